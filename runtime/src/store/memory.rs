//! The store in memory: a table for each space, kept in a file too when it is given one. For tests, and for state that fits into memory.
//!
//! With a file, reading never touches the disk and a write appends once; opening reads the whole file.

use super::log::Log;
use super::small::Small;
use super::table::{Found, Order, Table};
use super::{Changes, Pair, Snapshot, Store, StoreError, Visit};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard};
use std::collections::BTreeMap;
use std::path::Path;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    spaces: RwLock<Spaces>,
    /// Held by who writes until all changes are there, and by who reads more than one of them.
    whole: RwLock<()>,
    /// Held over a whole write: log and spaces see writes in the same order.
    log: Mutex<Option<Log>>,
}

#[derive(Debug, Default)]
struct Spaces {
    /// Those that hold anything.
    tables: BTreeMap<String, Table<Value>>,
    /// Bytes of all keys and values.
    bytes: u64,
}

/// Values up to 22 bytes, as of most counters, take no memory of their own.
type Value = Small<22>;

/// Changes that are made together: what is looked up for them stays near until they are made, and who reads waits for a tenth of a millisecond.
const SLICE: usize = 512;

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
        let log = Log::open(path, &mut |space, key, value| drop(spaces.apply(space, [((key, value), None)].into_iter())))?;
        Ok(MemoryStore { spaces: RwLock::new(spaces), whole: RwLock::default(), log: Mutex::new(Some(log)) })
    }

    /// The spaces, of which this one is in order.
    fn in_order(&self, space: &str) -> RwLockReadGuard<'_, Spaces> {
        let spaces = self.spaces.read();
        if spaces.tables.get(space).is_none_or(Table::is_in_order) {
            return spaces;
        }
        drop(spaces);
        // Others read on while the order is made.
        let spaces = self.spaces.upgradable_read();
        let order = spaces.tables.get(space).map(Table::order);
        let mut spaces = RwLockUpgradableReadGuard::upgrade(spaces);
        if let (Some(table), Some(order)) = (spaces.tables.get_mut(space), order) {
            table.keep(order);
        }
        RwLockWriteGuard::downgrade(spaces)
    }
}

impl Store for MemoryStore {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.spaces.read().tables.get(space).and_then(|table| table.get(key)).map(|value| value.as_slice().to_vec()))
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        let _whole = self.whole.read();
        if let Some(mut range) = self.in_order(space).tables.get(space).and_then(|table| table.range(from)) {
            // The flow says only whether `each` has had enough.
            let _ = range.try_for_each(|(key, value)| each(key, value.as_slice()));
        }
        Ok(())
    }

    fn floor(&self, space: &str, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        let _whole = self.whole.read();
        let spaces = self.in_order(space);
        let last = spaces.tables.get(space).and_then(|table| table.floor(key).flatten());
        Ok(last.map(|(key, value)| (key.to_vec(), value.as_slice().to_vec())))
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        let _whole = self.whole.read();
        Ok(self.spaces.read().tables.keys().cloned().collect())
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut log = self.log.lock();
        if let Some(log) = log.as_mut() {
            log.append(changes)?;
        }
        let whole = self.whole.write();
        let mut unasked = Vec::new();
        for (space, changes) in changes.by_space(SLICE) {
            // This takes most of the time, and stops nobody who reads.
            let found = self.spaces.read().find(space, changes.clone());
            unasked.push(self.spaces.write().apply(space, changes.zip(found)));
        }
        let spaces = self.spaces.read();
        if let Some(log) = log.as_mut().filter(|log| log.len() > LOG_MIN.max(4 * spaces.bytes) && spaces.bytes < REPLACE_MAX) {
            // The changes are safe already: a file that cannot be written anew is only longer than it need be.
            if let Err(error) = log.replace(&spaces.contents()) {
                tracing::warn!(%error, "the store's file could not be written anew");
            }
        }
        drop((spaces, whole));
        // Freeing a large one takes a while: nobody waits for that.
        drop(unasked);
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
    /// Where the keys of changes are, if there is the space.
    fn find<'c>(&self, space: &str, changes: impl Iterator<Item = (&'c [u8], Option<&'c [u8]>)>) -> Vec<Option<Found>> {
        let table = self.tables.get(space);
        changes.map(|(key, _)| table.map(|table| table.find(key))).collect()
    }

    /// Makes changes in a space; returns its order, where nobody asks for it any more.
    fn apply<'c>(&mut self, space: &str, changes: impl Iterator<Item = ((&'c [u8], Option<&'c [u8]>), Option<Found>)>) -> Option<Order> {
        if !self.tables.contains_key(space) {
            self.tables.insert(space.to_owned(), Table::new());
        }
        let table = self.tables.get_mut(space)?;
        for ((key, value), found) in changes {
            self.bytes = set(table, key, value, found.unwrap_or_else(|| table.find(key)), self.bytes);
        }
        let unasked = table.take_unasked();
        if table.is_empty() {
            self.tables.remove(space);
        }
        unasked
    }

    fn contents(&self) -> Changes {
        let mut contents = Changes::default();
        for (space, table) in &self.tables {
            table.iter().for_each(|(key, value)| contents.put(space, key, value.as_slice()));
        }
        contents
    }
}

/// Makes a change; returns how many bytes there are then.
fn set(table: &mut Table<Value>, key: &[u8], value: Option<&[u8]>, found: Found, bytes: u64) -> u64 {
    let Some(value) = value else {
        return bytes - table.remove(key, found).map_or(0, |old| (key.len() + old.as_slice().len()) as u64);
    };
    let mut new = 0;
    let kept = table.get_or_insert(key, found, || {
        new = key.len();
        Value::new(&[])
    });
    let before = kept.as_slice().len();
    kept.set(value);
    bytes + (new + value.len()) as u64 - before as u64
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
