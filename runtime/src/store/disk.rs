//! The store on disk: one redb file, of which only a cache is in memory. The default of a pipeline without Kafka.
//!
//! One table holds every space. A table per space measured the same at 40 spaces, small commits and large, and would grow redb's list
//! of tables with every operator and partition.

use super::{Changes, Pair, Run, Runs, Snapshot, Store, StoreError, Visit};
use parking_lot::{Mutex, RwLock};
use redb::{
    Builder, CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition,
    TableError, TransactionError,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A store on disk.
pub struct DiskStore {
    path: PathBuf,
    database: Database,
    /// Numbers of the spaces that are committed.
    spaces: RwLock<BTreeMap<String, u32>>,
    /// Held over a whole write: no two may number a new space.
    writing: Mutex<()>,
    /// What made the database stop; it answers nothing else until it is opened again.
    failure: Mutex<Option<std::io::ErrorKind>>,
}

/// Every entry: the number of its space (big endian), then its key.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// Number of each space. Numbers are never given out again.
const SPACES: TableDefinition<'_, &str, u32> = TableDefinition::new("spaces");

/// redb's default of 1 GiB would be more than most pipelines hold.
const CACHE_BYTES: usize = 128 << 20;

/// What a file of redb begins with, and the most that its header takes.
const MAGIC_BYTES: usize = 9;
const HEADER_BYTES: usize = 4096;

// === impl DiskStore ===

impl DiskStore {
    /// The file in the data folder.
    pub const FILE: &str = "sangam.redb";

    /// Opens the store in a data folder, and makes either when it is not there.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::from_io(folder, error))?;
        let path = folder.join(Self::FILE);
        let database = match builder().create(&path) {
            // Not while another process makes it: that one would hold its lock, and this be another error.
            Err(DatabaseError::Storage(StorageError::Io(error))) if error.kind() == ErrorKind::InvalidData && unmake(&path)? => {
                builder().create(&path)
            }
            database => database,
        };
        let database = database.map_err(|error| from_open(&path, error))?;
        DiskStore::start(path, database)
    }

    /// Opens a store over something that behaves as a file, called `path` in errors. For tests that make the disk fail.
    pub fn over(path: &Path, backend: impl StorageBackend) -> Result<Self, StoreError> {
        let failed = |error| StoreError::from_io(path, error);
        if is_unfinished(backend.len().map_err(failed)?, |at, out| backend.read(at, out)).map_err(failed)? {
            backend.set_len(0).map_err(failed)?;
        }
        let database = builder().create_with_backend(backend).map_err(|error| from_open(path, error))?;
        DiskStore::start(path.to_owned(), database)
    }

    fn start(path: PathBuf, database: Database) -> Result<Self, StoreError> {
        let store = DiskStore { path, database, spaces: RwLock::default(), writing: Mutex::default(), failure: Mutex::new(None) };
        let spaces = store.read_spaces().map_err(|error| store.error(error))?;
        *store.spaces.write() = spaces;
        Ok(store)
    }

    fn read_spaces(&self) -> Result<BTreeMap<String, u32>, Failure> {
        let spaces = match self.database.begin_read()?.open_table(SPACES) {
            Ok(spaces) => spaces,
            Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.into()),
        };
        spaces.iter()?.map(|entry| entry.map(|(name, number)| (name.value().to_owned(), number.value())).map_err(Failure::from)).collect()
    }

    /// Runs `read` on the entries, with the first and the last possible key of a space; nothing where the space was never written.
    fn in_space<T: Default>(
        &self,
        space: &str,
        read: impl FnOnce(&redb::ReadOnlyTable<&'static [u8], &'static [u8]>, Prefix) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let Some(prefix) = self.spaces.read().get(space).map(|&number| Prefix(number)) else {
            return Ok(T::default());
        };
        let table = || Ok(self.database.begin_read()?.open_table(ENTRIES)?);
        table().and_then(|table| read(&table, prefix)).map_err(|error| self.error(error))
    }

    fn try_write(&self, changes: &Changes) -> Result<BTreeMap<String, u32>, Failure> {
        let transaction = self.database.begin_write()?;
        let mut spaces = self.spaces.read().clone();
        apply(&transaction, changes, &mut spaces)?;
        transaction.commit()?;
        Ok(spaces)
    }

    /// `None` where `next` gave up.
    fn try_write_runs(&self, next: Runs<'_>) -> Result<Option<BTreeMap<String, u32>>, Failure> {
        let transaction = self.database.begin_write()?;
        let (mut spaces, mut run) = (self.spaces.read().clone(), Changes::default());
        loop {
            run.clear();
            let more = next(&mut run);
            if more == Run::GiveUp {
                transaction.abort()?;
                return Ok(None);
            }
            apply(&transaction, &run, &mut spaces)?;
            if more == Run::Last {
                transaction.commit()?;
                return Ok(Some(spaces));
            }
        }
    }

    fn learn(&self, spaces: BTreeMap<String, u32>) {
        let mut known = self.spaces.write();
        if spaces.len() > known.len() {
            *known = spaces;
        }
    }

    /// Once the disk has failed redb answers only that it has; the first failure is what a person wants to read.
    fn error(&self, failure: Failure) -> StoreError {
        let path = self.path.as_path();
        match failure {
            Failure::Storage(StorageError::Io(error)) => {
                self.failure.lock().get_or_insert(error.kind());
                StoreError::from_io(path, error)
            }
            Failure::Storage(StorageError::PreviousIo) => match *self.failure.lock() {
                Some(kind) => StoreError::from_io(path, kind.into()),
                None => StoreError::Io(path.to_owned(), "an earlier write failed; start again".to_owned()),
            },
            Failure::Storage(error) => from_storage(path, error),
            Failure::Other(error) => StoreError::Io(path.to_owned(), error),
        }
    }
}

impl Store for DiskStore {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.in_space(space, |table, prefix| {
            let mut place = Vec::with_capacity(4 + key.len());
            prefix.place(key, &mut place);
            Ok(table.get(place.as_slice())?.map(|value| value.value().to_vec()))
        })
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        self.in_space(space, |table, prefix| prefix.scan(table, from, each))
    }

    fn floor(&self, space: &str, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.in_space(space, |table, prefix| {
            let mut last = Vec::with_capacity(4 + key.len());
            prefix.place(key, &mut last);
            match table.range(prefix.start().as_slice()..=last.as_slice())?.next_back() {
                Some(entry) => entry.map(|(key, value)| Some((key.value()[4..].to_vec(), value.value().to_vec()))).map_err(Failure::from),
                None => Ok(None),
            }
        })
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        let known: Vec<String> = self.spaces.read().keys().cloned().collect();
        let mut holding = Vec::new();
        for space in known {
            if self
                .in_space(&space, |table, prefix| Ok(table.range(prefix.start().as_slice()..prefix.end().as_slice())?.next().is_some()))?
            {
                holding.push(space);
            }
        }
        Ok(holding)
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let _writing = self.writing.lock();
        let spaces = self.try_write(changes).map_err(|error| self.error(error))?;
        self.learn(spaces);
        Ok(())
    }

    fn write_runs(&self, next: Runs<'_>) -> Result<bool, StoreError> {
        let _writing = self.writing.lock();
        let spaces = self.try_write_runs(next).map_err(|error| self.error(error))?;
        let written = spaces.is_some();
        spaces.into_iter().for_each(|spaces| self.learn(spaces));
        Ok(written)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        // In this order: a space that is made in between is unknown, and only too many are known where nothing is read.
        let spaces = self.spaces.read().clone();
        let read = self.database.begin_read().map_err(|error| self.error(error.into()))?;
        Ok(Box::new(DiskSnapshot { path: self.path.clone(), read, spaces }))
    }
}

/// A store on disk as it was at one moment. As long as it is there, the file keeps what it reads.
struct DiskSnapshot {
    path: PathBuf,
    read: redb::ReadTransaction,
    spaces: BTreeMap<String, u32>,
}

impl Snapshot for DiskSnapshot {
    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.spaces.keys().cloned().collect())
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        let Some(prefix) = self.spaces.get(space).map(|&number| Prefix(number)) else { return Ok(()) };
        let mut scanned = || -> Result<(), Failure> { prefix.scan(&self.read.open_table(ENTRIES)?, from, each) };
        scanned().map_err(|failure| match failure {
            Failure::Storage(StorageError::Io(error)) => StoreError::from_io(&self.path, error),
            Failure::Storage(error) => from_storage(&self.path, error),
            Failure::Other(error) => StoreError::Io(self.path.clone(), error),
        })
    }
}

/// Applies changes within a transaction; new spaces are numbered and added to those known.
fn apply(transaction: &redb::WriteTransaction, changes: &Changes, spaces: &mut BTreeMap<String, u32>) -> Result<(), Failure> {
    let mut entries = transaction.open_table(ENTRIES)?;
    let mut place = Vec::new();
    let mut current: Option<(&str, Prefix)> = None;
    for (space, key, value) in changes.iter() {
        let prefix = match current.filter(|&(name, _)| name == space) {
            Some((_, prefix)) => prefix,
            None => match spaces.get(space) {
                Some(&number) => Prefix(number),
                None if value.is_none() => continue,
                None => {
                    let number = spaces.len() as u32;
                    transaction.open_table(SPACES)?.insert(space, number)?;
                    spaces.insert(space.to_owned(), number);
                    Prefix(number)
                }
            },
        };
        current = Some((space, prefix));
        prefix.place(key, &mut place);
        match value {
            Some(value) => drop(entries.insert(place.as_slice(), value)?),
            None => drop(entries.remove(place.as_slice())?),
        }
    }
    Ok(())
}

// === impl Prefix ===

/// What every key of a space starts with.
#[derive(Clone, Copy)]
struct Prefix(u32);

impl Prefix {
    fn place(self, key: &[u8], into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.start());
        into.extend_from_slice(key);
    }

    fn scan(self, table: &redb::ReadOnlyTable<&'static [u8], &'static [u8]>, from: &[u8], each: Visit<'_>) -> Result<(), Failure> {
        let mut first = Vec::with_capacity(4 + from.len());
        self.place(from, &mut first);
        for entry in table.range(first.as_slice()..self.end().as_slice())? {
            let (key, value) = entry?;
            if each(&key.value()[4..], value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn start(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    fn end(self) -> [u8; 4] {
        (self.0 + 1).to_be_bytes()
    }
}

// === errors ===

/// What redb's many error types come down to.
enum Failure {
    Storage(StorageError),
    Other(String),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Failure::Storage(error)
    }
}

macro_rules! failure_from {
    ($($error:ident),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                match error {
                    $error::Storage(error) => Failure::Storage(error),
                    other => Failure::Other(other.to_string()),
                }
            }
        }
    )*};
}

failure_from!(TableError, TransactionError, CommitError);

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Empties a file of which no more than the beginning was ever made, since a crash came between; true when it was such a file.
fn unmake(path: &Path) -> Result<bool, StoreError> {
    let failed = |error| StoreError::from_io(path, error);
    let mut file = File::options().read(true).write(true).open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let unfinished = is_unfinished(len, |at, out| file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(out))).map_err(failed)?;
    if unfinished {
        file.set_len(0).map_err(failed)?;
    }
    Ok(unfinished)
}

/// Whether a file was begun and holds nothing: redb writes the first bytes of a new file last, when the rest of its header is safe, and
/// entries only after that.
fn is_unfinished(len: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<bool> {
    let mut block = vec![0; HEADER_BYTES];
    for at in (0..len).step_by(HEADER_BYTES) {
        let block = &mut block[..HEADER_BYTES.min((len - at) as usize)];
        read(at, block)?;
        let telling = if at == 0 { &block[..MAGIC_BYTES.min(block.len())] } else { &block[..] };
        if telling.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(len > 0)
}

fn from_open(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Locked(path.to_owned()),
        DatabaseError::Storage(error) => from_storage(path, error),
        other => StoreError::Damaged(path.to_owned(), other.to_string()),
    }
}

fn from_storage(path: &Path, error: StorageError) -> StoreError {
    match error {
        StorageError::Io(error) => StoreError::from_io(path, error),
        StorageError::Corrupted(what) => StoreError::Damaged(path.to_owned(), what),
        other => StoreError::Io(path.to_owned(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite;
    use redb::BackendError;
    use redb::backends::FileBackend;
    use std::fs::{self, OpenOptions};
    use std::ops::Bound;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tempfile::tempdir;

    /// A disk of which only so many bytes are left.
    #[derive(Debug)]
    struct SmallDisk {
        file: FileBackend,
        room: Arc<AtomicU64>,
        says: ErrorKind,
    }

    impl StorageBackend for SmallDisk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            if len > self.room.load(Ordering::SeqCst) { Err(self.says.into()) } else { self.file.set_len(len) }
        }

        fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.room.load(Ordering::SeqCst) == 0 { Err(self.says.into()) } else { self.file.write(offset, data) }
        }

        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.try_lock_range(start, end)
        }
    }

    fn small_disk(path: &Path, room: &Arc<AtomicU64>, says: ErrorKind) -> Result<DiskStore, StoreError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        DiskStore::over(path, SmallDisk { file: FileBackend::new(file).unwrap(), room: Arc::clone(room), says })
    }

    fn put(store: &DiskStore, key: u32, bytes: usize) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.put("s", &key.to_be_bytes(), &vec![7; bytes]);
        store.write(&changes)
    }

    #[test]
    fn it_does_what_every_store_does() {
        suite::run(&|folder| DiskStore::open(folder).map(|store| Box::new(store) as Box<dyn Store>));
    }

    #[test]
    fn a_full_disk_loses_nothing_and_the_store_goes_on_once_there_is_room() {
        let folder = tempdir().unwrap();
        let path = folder.path().join(DiskStore::FILE);
        let room = Arc::new(AtomicU64::new(4 << 20));
        let store = small_disk(&path, &room, ErrorKind::StorageFull).unwrap();
        let written = (0..1000).find(|&key| match put(&store, key, 100_000) {
            Ok(()) => false,
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)), "{error}");
                true
            }
        });
        let written = written.expect("the disk fills up");
        let again = put(&store, 0, 100_000).map(|()| "written");
        assert!(matches!(again, Ok(_) | Err(StoreError::Full(_))), "a failed disk keeps its reason: {again:?}");
        drop(store);

        room.store(1 << 30, Ordering::SeqCst);
        let store = small_disk(&path, &room, ErrorKind::StorageFull).unwrap();
        for key in 0..written {
            assert_eq!(store.get("s", &key.to_be_bytes()).unwrap().map(|value| value.len()), Some(100_000), "key {key} of {written}");
        }
        assert_eq!(store.get("s", &written.to_be_bytes()).unwrap(), None);
        put(&store, written, 100_000).unwrap();
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_named_so() {
        let folder = tempdir().unwrap();
        let path = folder.path().join(DiskStore::FILE);
        let opened = small_disk(&path, &Arc::default(), ErrorKind::ReadOnlyFilesystem);
        assert!(matches!(opened.err(), Some(StoreError::Denied(..))));
    }

    #[test]
    fn a_folder_under_a_file_is_refused_with_its_path() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let data = folder.path().join("file/data");
        let error = DiskStore::open(&data).err().unwrap().to_string();
        assert!(error.contains(&data.display().to_string()), "{error}");
    }

    #[test]
    fn a_store_whose_making_was_cut_short_is_made_anew_and_one_that_holds_anything_is_not() {
        let folder = tempdir().unwrap();
        let path = folder.path().join(DiskStore::FILE);
        let mut content = vec![0; 100_000];
        content[MAGIC_BYTES..HEADER_BYTES].fill(7);
        fs::write(&path, &content).unwrap();
        put(&DiskStore::open(folder.path()).unwrap(), 1, 10).unwrap();
        assert!(DiskStore::open(folder.path()).unwrap().get("s", &1_u32.to_be_bytes()).unwrap().is_some());

        for place in [0, MAGIC_BYTES - 1, HEADER_BYTES, content.len() - 1] {
            let mut held = content.clone();
            held[place] = 1;
            fs::write(&path, &held).unwrap();
            assert!(matches!(DiskStore::open(folder.path()).err(), Some(StoreError::Damaged(..))), "{place}");
            assert_eq!(fs::read(&path).unwrap(), held);
        }
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_and_left_alone() {
        let folder = tempdir().unwrap();
        for content in [vec![b'x'; 100], vec![b'x'; 100_000]] {
            fs::write(folder.path().join(DiskStore::FILE), &content).unwrap();
            let error = DiskStore::open(folder.path()).err().unwrap();
            assert!(matches!(error, StoreError::Damaged(..)), "{error}");
            assert_eq!(fs::read(folder.path().join(DiskStore::FILE)).unwrap(), content);
        }
    }
}
