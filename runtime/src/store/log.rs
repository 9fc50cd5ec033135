//! A file that whole sets of changes are appended to, and that is read back up to the last whole one.
//!
//! A frame is its body's length and checksum (the first 8 bytes of SHA-256), then the body: space, key and value or nil of each
//! change, as MessagePack. It does not know what is in the store, so that its owner says when and with what to write it anew.

use super::{Changes, StoreError};
use sangam_protocol::msgpack::{Error, Reader, write};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An open log. Its owner holds a lock next to it, since the log itself is replaced now and then.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// End of the last whole frame.
    end: u64,
    body: Vec<u8>,
    /// A torn frame could not be cut off, or a new file not made safe: nothing may be written any more.
    poisoned: bool,
    _lock: File,
}

/// Is given every change that is read back.
pub(super) type Replay<'a> = dyn FnMut(&str, &[u8], Option<&[u8]>) + 'a;

/// What a log starts with; the digit is the format's version.
const MAGIC: &[u8] = b"sangam store log 1\n";

/// Length and checksum.
const HEAD: usize = 4 + 8;

impl Log {
    /// Opens or makes a log and hands every change of every whole frame to `each`. What is behind the last whole frame was never
    /// acknowledged, and is cut off.
    pub(super) fn open(path: &Path, each: &mut Replay<'_>) -> Result<Log, StoreError> {
        let io = |error| StoreError::from_io(path, error);
        let lock = File::create(beside(path, "lock")).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Locked(path.to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        if !bytes.starts_with(MAGIC) {
            if !MAGIC.starts_with(&bytes) {
                return Err(StoreError::Damaged(path.to_owned(), "it does not start as one".to_owned()));
            }
            start(&mut file).map_err(io)?;
            sync_folder(path).map_err(io)?;
            bytes = MAGIC.to_vec();
        }
        let mut end = MAGIC.len();
        while let Some(body) = whole_frame(&bytes[end..]) {
            read_body(body, each).map_err(|error| StoreError::Damaged(path.to_owned(), format!("at byte {end}: {error}")))?;
            end += HEAD + body.len();
        }
        let mut log = Log { path: path.to_owned(), file, end: end as u64, body: Vec::new(), poisoned: false, _lock: lock };
        log.cut().map_err(io)?;
        Ok(log)
    }

    /// Size of the file.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Appends changes; when it returns they are on disk. When it fails, none are.
    pub(super) fn append(&mut self, changes: &Changes) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Io(self.path.clone(), "an earlier write failed and could not be undone; start again".to_owned()));
        }
        frame(changes, &mut self.body)?;
        if let Err(error) = self.file.write_all(&self.body).and_then(|()| self.file.sync_data()) {
            self.poisoned = self.cut().is_err();
            return Err(StoreError::from_io(&self.path, error));
        }
        self.end += self.body.len() as u64;
        Ok(())
    }

    /// Replaces everything by `contents`, at once.
    pub(super) fn replace(&mut self, contents: &Changes) -> Result<(), StoreError> {
        frame(contents, &mut self.body)?;
        let new = beside(&self.path, "new");
        let replace = || {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
            start(&mut file)?;
            file.write_all(&self.body)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            Ok(file)
        };
        self.file = replace().map_err(|error| StoreError::from_io(&self.path, error))?;
        self.end = (MAGIC.len() + self.body.len()) as u64;
        // Until the folder is safe a crash may bring the old file back, without what would be appended to the new one.
        let synced = sync_folder(&self.path);
        self.poisoned = synced.is_err();
        synced.map_err(|error| StoreError::from_io(&self.path, error))
    }

    /// Cuts off what is behind the last whole frame.
    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end)).map(drop)
    }
}

fn start(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(MAGIC)?;
    file.sync_all()
}

fn frame(changes: &Changes, out: &mut Vec<u8>) -> Result<(), StoreError> {
    out.clear();
    out.extend_from_slice(&[0; HEAD]);
    for (space, key, value) in changes.iter() {
        write::str(out, space);
        write::bin(out, key);
        match value {
            Some(value) => write::bin(out, value),
            None => write::nil(out),
        }
    }
    let body = &out[HEAD..];
    let len = u32::try_from(body.len()).map_err(|_| StoreError::Io(PathBuf::new(), "more than 4 GiB in one commit".to_owned()))?;
    let sum = checksum(body);
    out[..4].copy_from_slice(&len.to_le_bytes());
    out[4..HEAD].copy_from_slice(&sum);
    Ok(())
}

fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    rest.get(..u32::from_le_bytes(*len) as usize).filter(|body| checksum(body) == *sum)
}

fn read_body(body: &[u8], each: &mut Replay<'_>) -> Result<(), Error> {
    let mut reader = Reader::new(body);
    while !reader.is_empty() {
        let (space, key) = (reader.str()?, reader.bin()?);
        let value = if reader.nil()? { None } else { Some(reader.bin()?) };
        each(space, key, value);
    }
    Ok(())
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&Sha256::digest(body)[..8]);
    sum
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// A new or renamed file is there after a crash only once its folder has been synced.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
