//! The store in memory: ordered maps, kept in a file too when it is given one. For tests, and for state that fits into memory.
//!
//! With a file, reading never touches the disk and a write appends once; opening reads the whole file.

use super::log::Log;
use super::small::Small;
use super::{Changes, Pair, Snapshot, Store, StoreError, Visit};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::path::Path;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    spaces: RwLock<Spaces>,
    /// Held over a whole write: log and maps see writes in the same order.
    log: Mutex<Option<Log>>,
}

#[derive(Debug, Default)]
struct Spaces {
    maps: BTreeMap<String, BTreeMap<Key, Vec<u8>>>,
    /// Bytes of all keys and values.
    bytes: u64,
}

/// Most keys stay in the tree's nodes: a look-up among millions then waits for memory once per node, not once per key that it passes.
type Key = Small<30>;

/// A file under this size is not worth writing anew.
const LOG_MIN: u64 = 16 << 20;

/// Keys and values that go into one frame of a file that is written anew must fit its 32-bit length.
const REPLACE_MAX: u64 = 2 << 30;

// === impl MemoryStore ===

impl MemoryStore {
    /// A store that is gone when it is dropped.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// A store that is kept in the file at `path`, which is made when it is not there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut spaces = Spaces::default();
        let log = Log::open(path, &mut |space, key, value| spaces.apply(space, key, value))?;
        Ok(MemoryStore { spaces: RwLock::new(spaces), log: Mutex::new(Some(log)) })
    }
}

impl Store for MemoryStore {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.spaces.read().maps.get(space).and_then(|map| map.get(key)).cloned())
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        if let Some(map) = self.spaces.read().maps.get(space) {
            // The flow says only whether `each` has had enough.
            let _ =
                map.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).try_for_each(|(key, value)| each(key.as_slice(), value));
        }
        Ok(())
    }

    fn floor(&self, space: &str, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        let spaces = self.spaces.read();
        let last = spaces.maps.get(space).and_then(|map| map.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back());
        Ok(last.map(|(key, value)| (key.as_slice().to_vec(), value.clone())))
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.spaces.read().maps.keys().cloned().collect())
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut log = self.log.lock();
        if let Some(log) = log.as_mut() {
            log.append(changes)?;
        }
        let mut spaces = self.spaces.write();
        changes.iter().for_each(|(space, key, value)| spaces.apply(space, key, value));
        if let Some(log) = log.as_mut().filter(|log| log.len() > LOG_MIN.max(4 * spaces.bytes) && spaces.bytes < REPLACE_MAX) {
            // The changes are safe already: a file that cannot be written anew is only longer than it need be.
            if let Err(error) = log.replace(&spaces.contents()) {
                tracing::warn!(%error, "the store's file could not be written anew");
            }
        }
        Ok(())
    }
}

impl Snapshot for MemoryStore {
    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        Store::spaces(self)
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        Store::scan(self, space, from, each)
    }
}

// === impl Spaces ===

impl Spaces {
    fn apply(&mut self, space: &str, key: &[u8], value: Option<&[u8]>) {
        let size = |key: &[u8], value: &[u8]| (key.len() + value.len()) as u64;
        match (value, self.maps.get_mut(space)) {
            (Some(value), map) => {
                let map = match map {
                    Some(map) => map,
                    None => self.maps.entry(space.to_owned()).or_default(),
                };
                match map.entry(Key::new(key)) {
                    Entry::Vacant(entry) => {
                        entry.insert(value.to_vec());
                        self.bytes += size(key, value);
                    }
                    Entry::Occupied(mut entry) => {
                        self.bytes = self.bytes + size(key, value) - size(key, entry.get());
                        set(entry.get_mut(), value);
                    }
                }
            }
            (None, Some(map)) => {
                self.bytes -= map.remove(key).map_or(0, |old| size(key, &old));
                if map.is_empty() {
                    self.maps.remove(space);
                }
            }
            (None, None) => {}
        }
    }

    fn contents(&self) -> Changes {
        let mut contents = Changes::default();
        for (space, map) in &self.maps {
            map.iter().for_each(|(key, value)| contents.put(space, key.as_slice(), value));
        }
        contents
    }
}

/// Sets a value in the memory that it has, unless most of that would lie idle.
fn set(old: &mut Vec<u8>, value: &[u8]) {
    if old.capacity() / 2 > value.len() {
        *old = Vec::new();
    }
    old.clear();
    old.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite;
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use tempfile::tempdir;

    fn put(store: &MemoryStore, key: &[u8], value: &[u8]) {
        let mut changes = Changes::default();
        changes.put("s", key, value);
        store.write(&changes).unwrap();
    }

    #[test]
    fn it_does_what_every_store_does() {
        suite::run(&|folder| MemoryStore::open(&folder.join("store")).map(|store| Box::new(store) as Box<dyn Store>));
    }

    #[test]
    fn a_write_that_was_cut_short_is_dropped_and_all_before_it_is_kept() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("store");
        put(&MemoryStore::open(&path).unwrap(), b"first", b"1");
        let whole = fs::read(&path).unwrap();
        put(&MemoryStore::open(&path).unwrap(), b"second", b"2");
        let both = fs::read(&path).unwrap();
        for cut in whole.len()..both.len() {
            fs::write(&path, &both[..cut]).unwrap();
            let store = MemoryStore::open(&path).unwrap();
            assert_eq!((store.get("s", b"first").unwrap(), store.get("s", b"second").unwrap()), (Some(b"1".to_vec()), None));
            put(&store, b"third", b"3");
            drop(store);
            assert_eq!(MemoryStore::open(&path).unwrap().get("s", b"third").unwrap(), Some(b"3".to_vec()), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_tail_is_not_believed() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("store");
        put(&MemoryStore::open(&path).unwrap(), b"first", b"1");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[9; 100]).unwrap();
        assert_eq!(MemoryStore::open(&path).unwrap().get("s", b"first").unwrap(), Some(b"1".to_vec()));
    }

    #[test]
    fn a_file_grows_no_further_than_a_few_times_what_is_in_it() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("store");
        let store = MemoryStore::open(&path).unwrap();
        let value = vec![7; 1 << 20];
        for i in 0..40_u8 {
            put(&store, &[i % 2], &value);
        }
        assert!(fs::metadata(&path).unwrap().len() <= LOG_MIN + (1 << 21));
        drop(store);
        let store = MemoryStore::open(&path).unwrap();
        assert_eq!((store.get("s", &[0]).unwrap(), store.get("s", &[1]).unwrap()), (Some(value.clone()), Some(value)));
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_and_left_alone() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("store");
        fs::write(&path, "notes of mine").unwrap();
        assert!(matches!(MemoryStore::open(&path), Err(StoreError::Damaged(..))));
        assert_eq!(fs::read(&path).unwrap(), b"notes of mine");
    }
}
