//! Where a pipeline's savepoints lie: found, read, written and removed. Everything that is read is compared with its checksum.
//!
//! A savepoint is a folder `<pipeline>/<name>`: parts with the state, the builds, the pipeline's file, and at last `manifest.json`.

use super::under_way::UNDER_WAY;
use super::{FORMAT, SavedObject, Savepoint, SavepointError, check_name};
use crate::digest::sha256;
use crate::objects::{Objects, ObjectsError};
use sangam_protocol::msgpack::{Error as Malformed, Reader, write};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The savepoints of a pipeline.
pub struct Depot {
    objects: Objects,
    pipeline: String,
}

/// A savepoint that was found, or what is wrong with it.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The savepoint.
    pub savepoint: Result<Savepoint, SavepointError>,
}

/// Writes a savepoint, part after part.
pub(super) struct Writing<'a> {
    depot: &'a Depot,
    savepoint: Savepoint,
    part: Vec<u8>,
    /// The space of the last entry of the part.
    space: String,
}

/// The manifest as it lies there: the bytes that the checksum is of are those of the text.
#[derive(Serialize, Deserialize)]
struct Sealed {
    savepoint: Box<RawValue>,
    sha256: String,
}

/// Is given space, key and value of entries one by one.
pub(super) type Each<'a, E> = &'a mut dyn FnMut(&str, &[u8], &[u8]) -> Result<(), E>;

const MANIFEST: &str = "manifest.json";

/// A part is closed when it holds as much: what is in memory of a savepoint at any time.
const PART_BYTES: usize = 16 << 20;

// === impl Depot ===

impl Depot {
    /// The savepoints of a pipeline in a place.
    pub fn new(objects: Objects, pipeline: &str) -> Depot {
        Depot { objects, pipeline: pipeline.to_owned() }
    }

    /// All that there are, the oldest first, those that cannot be read last.
    pub fn list(&self) -> Result<Vec<Listed>, SavepointError> {
        let mut listed = Vec::new();
        for name in self.names()? {
            let savepoint = self.read(&name);
            listed.push(Listed { name, savepoint });
        }
        listed.sort_by_key(|one| (one.savepoint.as_ref().map_or(i64::MAX, |savepoint| savepoint.created_ms), one.name.clone()));
        Ok(listed)
    }

    /// The names of all that there are, finished or not.
    pub fn names(&self) -> Result<Vec<String>, SavepointError> {
        Ok(self.objects.list(&self.pipeline)?.folders)
    }

    /// The manifest of a savepoint.
    pub fn read(&self, name: &str) -> Result<Savepoint, SavepointError> {
        check_name(name)?;
        let path = self.path(name, MANIFEST);
        let file = self.objects.name_of(&path);
        let Some(bytes) = self.objects.get(&path)? else {
            return Err(if self.is_there(name)? {
                SavepointError::Incomplete { name: name.to_owned(), file }
            } else {
                SavepointError::Missing { name: name.to_owned(), at: self.at() }
            });
        };
        let damaged = |why: &str| SavepointError::Damaged { file: file.clone(), why: why.to_owned() };
        let sealed: Sealed = serde_json::from_slice(&bytes).map_err(|why| damaged(&format!("is no manifest ({why})")))?;
        if sha256(sealed.savepoint.get().as_bytes()) != sealed.sha256 {
            return Err(damaged("is not what was written: its checksum differs"));
        }
        /// What every format has.
        #[derive(Deserialize)]
        struct Written {
            format: u32,
            sangam: String,
        }
        let text = sealed.savepoint.get();
        let written: Written = serde_json::from_str(text).map_err(|why| damaged(&format!("is no manifest ({why})")))?;
        if written.format != FORMAT {
            return Err(SavepointError::Format { file, format: written.format, sangam: written.sangam });
        }
        serde_json::from_str(text).map_err(|why| damaged(&format!("is no manifest ({why})")))
    }

    /// Removes a savepoint, finished or not.
    pub fn remove(&self, name: &str) -> Result<(), SavepointError> {
        check_name(name)?;
        if !self.is_there(name)? {
            return Err(SavepointError::Missing { name: name.to_owned(), at: self.at() });
        }
        // The manifest first: what is left after a crash says itself that it is no savepoint.
        self.objects.delete(&self.path(name, MANIFEST))?;
        Ok(self.objects.clear(&format!("{}/{name}", self.pipeline))?)
    }

    /// The build of that SHA-256 in a savepoint.
    pub fn build(&self, savepoint: &Savepoint, sha256: &str) -> Result<Vec<u8>, SavepointError> {
        let path = plugin_path(sha256);
        let file = savepoint.files.iter().find(|file| file.path == path);
        let file = file.ok_or_else(|| SavepointError::Damaged {
            file: self.objects.name_of(&self.path(&savepoint.name, &path)),
            why: "is not in the manifest".to_owned(),
        })?;
        self.load(&savepoint.name, file)
    }

    /// Hands every entry of the state to `each`: space, key, value. One part is in memory at a time.
    pub(super) fn entries<E: From<SavepointError>>(&self, savepoint: &Savepoint, part: &SavedObject, each: Each<'_, E>) -> Result<(), E> {
        let bytes = self.load(&savepoint.name, part)?;
        let malformed = |why: Malformed| SavepointError::Damaged {
            file: self.objects.name_of(&self.path(&savepoint.name, &part.path)),
            why: format!("cannot be read ({why})"),
        };
        let mut reader = Reader::new(&bytes);
        let mut space = "";
        while !reader.is_empty() {
            if !reader.nil().map_err(malformed)? {
                space = reader.str().map_err(malformed)?;
            }
            let (key, value) = (reader.bin().map_err(malformed)?, reader.bin().map_err(malformed)?);
            each(space, key, value)?;
        }
        Ok(())
    }

    /// Starts to write a savepoint under the name that it has.
    pub(super) fn write(&self, savepoint: Savepoint) -> Result<Writing<'_>, SavepointError> {
        check_name(&savepoint.name)?;
        if self.is_there(&savepoint.name)? {
            return Err(SavepointError::Exists { name: savepoint.name, at: self.at() });
        }
        Ok(Writing { depot: self, savepoint, part: Vec::new(), space: String::new() })
    }

    fn load(&self, name: &str, object: &SavedObject) -> Result<Vec<u8>, SavepointError> {
        let path = self.path(name, &object.path);
        let damaged = |why: String| SavepointError::Damaged { file: self.objects.name_of(&path), why };
        let bytes = self.objects.get(&path)?.ok_or_else(|| damaged("is not there".to_owned()))?;
        if bytes.len() as u64 != object.bytes {
            return Err(damaged(format!("has {} bytes, {} were written", bytes.len(), object.bytes)));
        }
        if sha256(&bytes) != object.sha256 {
            return Err(damaged("is not what was written: its checksum differs".to_owned()));
        }
        Ok(bytes)
    }

    fn is_there(&self, name: &str) -> Result<bool, SavepointError> {
        Ok(self.names()?.iter().any(|known| known == name))
    }

    fn at(&self) -> String {
        self.objects.name_of(&self.pipeline)
    }

    fn path(&self, name: &str, object: &str) -> String {
        format!("{}/{name}/{object}", self.pipeline)
    }
}

// === impl Writing ===

impl Writing<'_> {
    /// Adds an entry of the state.
    pub fn entry(&mut self, space: &str, key: &[u8], value: &[u8]) -> Result<(), SavepointError> {
        if self.part.is_empty() || self.space != space {
            space.clone_into(&mut self.space);
            write::str(&mut self.part, space);
        } else {
            write::nil(&mut self.part);
        }
        write::bin(&mut self.part, key);
        write::bin(&mut self.part, value);
        self.savepoint.entries += 1;
        if self.part.len() >= PART_BYTES { self.close() } else { Ok(()) }
    }

    /// Adds a record that was under way in a passage, after those that went before it there.
    pub fn under_way(&mut self, stream: &str, key: &[u8], record: &[u8]) -> Result<(), SavepointError> {
        match self.savepoint.under_way.get_mut(stream) {
            Some(count) => *count += 1,
            None => drop(self.savepoint.under_way.insert(stream.to_owned(), 1)),
        }
        self.entry(UNDER_WAY, key, record)
    }

    /// Adds the build of that SHA-256, where it is not there yet.
    pub fn build(&mut self, sha256: &str, wasm: &[u8]) -> Result<(), SavepointError> {
        let path = plugin_path(sha256);
        if self.savepoint.files.iter().any(|file| file.path == path) {
            return Ok(());
        }
        self.file(&path, wasm.to_vec())
    }

    /// Adds another file.
    pub fn file(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), SavepointError> {
        let object = self.object(path.to_owned(), bytes)?;
        self.savepoint.files.push(object);
        Ok(())
    }

    /// Writes the manifest: from now on it is a savepoint.
    pub fn finish(mut self, positions: Vec<super::SavedPosition>) -> Result<Savepoint, SavepointError> {
        if !self.part.is_empty() {
            self.close()?;
        }
        self.savepoint.positions = positions;
        let failed = |why: serde_json::Error| SavepointError::Objects(ObjectsError::Other(MANIFEST.to_owned(), why.to_string()));
        let text = serde_json::to_string_pretty(&self.savepoint).map_err(failed)?;
        let sha256 = sha256(text.as_bytes());
        let sealed = Sealed { savepoint: RawValue::from_string(text).map_err(failed)?, sha256 };
        let bytes = serde_json::to_vec(&sealed).map_err(failed)?;
        self.depot.objects.create(&self.depot.path(&self.savepoint.name, MANIFEST), bytes)?;
        Ok(self.savepoint)
    }

    fn close(&mut self) -> Result<(), SavepointError> {
        let path = format!("part-{:06}", self.savepoint.parts.len());
        let part = std::mem::take(&mut self.part);
        let object = self.object(path, part)?;
        self.savepoint.bytes += object.bytes;
        self.savepoint.parts.push(object);
        Ok(())
    }

    fn object(&self, path: String, bytes: Vec<u8>) -> Result<SavedObject, SavepointError> {
        let object = SavedObject { bytes: bytes.len() as u64, sha256: sha256(&bytes), path };
        self.depot.objects.create(&self.depot.path(&self.savepoint.name, &object.path), bytes)?;
        Ok(object)
    }
}

/// The folder of builds in a savepoint.
const PLUGINS: &str = "plugins";

fn plugin_path(sha256: &str) -> String {
    format!("{PLUGINS}/{sha256}.wasm")
}
