//! The only door to state: an ordered key-value store with spaces and atomic writes, in memory or on disk.
//!
//! It does not know operators, keys or timers; `keyed` builds those on top and is what the hot path uses.

mod chunks;
mod disk;
mod error;
mod index;
pub mod keyed;
mod log;
mod memory;
mod small;
mod table;

#[cfg(test)]
mod suite;

pub use disk::DiskStore;
pub use error::StoreError;
pub use keyed::{Due, KeyId, KeyedTable, TimerName};
pub use memory::MemoryStore;

use std::ops::ControlFlow;

/// A store. One process at a time owns a store on disk.
pub trait Store: Send + Sync {
    /// The value under `key` in `space`.
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits a space in key order from `from` (inclusive) until `each` breaks.
    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError>;

    /// The last entry of a space whose key is not above `key`.
    fn floor(&self, space: &str, key: &[u8]) -> Result<Option<Pair>, StoreError>;

    /// Names of the spaces that hold anything, in order.
    fn spaces(&self) -> Result<Vec<String>, StoreError>;

    /// Applies all changes or none; when it returns, they survive a crash as far as the store can promise. Until then `get` may find some of
    /// them already; `scan` and `floor` find all or none.
    fn write(&self, changes: &Changes) -> Result<(), StoreError>;

    /// The same with more changes than should be in memory at once: asks `next` for one run after the other. False where `next` gave up,
    /// and nothing was applied. Here they are gathered all the same; a store that can do better does.
    fn write_runs(&self, next: Runs<'_>) -> Result<bool, StoreError> {
        let (mut all, mut run) = (Changes::default(), Changes::default());
        loop {
            run.clear();
            let more = next(&mut run);
            all.extend(&run);
            match more {
                Run::More => {}
                Run::Last => return self.write(&all).map(|()| true),
                Run::GiveUp => return Ok(false),
            }
        }
    }

    /// What the store holds now, whatever is written later. Here it is a copy in memory; a store that can do better does.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let (copy, mut changes) = (MemoryStore::new(), Changes::default());
        for space in self.spaces()? {
            changes.clear();
            self.scan(&space, &[], &mut |key, value| {
                changes.put(&space, key, value);
                ControlFlow::Continue(())
            })?;
            copy.write(&changes)?;
        }
        Ok(Box::new(copy))
    }
}

/// A store as it was at one moment.
pub trait Snapshot: Send {
    /// As [`Store::spaces`].
    fn spaces(&self) -> Result<Vec<String>, StoreError>;

    /// As [`Store::scan`].
    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError>;
}

/// Is asked for changes, which it adds to those that it is given.
pub type Runs<'a> = &'a mut dyn FnMut(&mut Changes) -> Run;

/// What comes after a run of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// More changes.
    More,
    /// Nothing: that was all.
    Last,
    /// Nothing, and what there was counts for nothing either.
    GiveUp,
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Is given keys and values one by one until it breaks.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Changes to be applied together, in order; a later change of the same key wins.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    spaces: Vec<String>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    space: u32,
    at: usize,
    key_len: u32,
    /// `None` deletes.
    value_len: Option<u32>,
}

/// One change: the space, the key, and the new value (`None` deletes).
pub type Change<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

impl Changes {
    /// Sets a value.
    pub fn put(&mut self, space: &str, key: &[u8], value: &[u8]) {
        self.set(space, key, Some(value));
    }

    /// Deletes a key; deleting what is not there is fine.
    pub fn delete(&mut self, space: &str, key: &[u8]) {
        self.set(space, key, None);
    }

    /// Adds all of `other`, after what is here.
    pub fn extend(&mut self, other: &Changes) {
        other.iter().for_each(|(space, key, value)| self.set(space, key, value));
    }

    /// The changes in order.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.by_space(usize::MAX).flat_map(|(space, changes)| changes.map(move |(key, value)| (space, key, value)))
    }

    /// The changes in order, those of a space that follow each other at once, but no more than `most`.
    pub fn by_space(&self, most: usize) -> impl Iterator<Item = (&str, impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone)> {
        self.entries.chunk_by(|a, b| a.space == b.space).flat_map(move |entries| entries.chunks(most)).map(|entries| {
            let changes = entries.iter().map(|entry| {
                let key_end = entry.at + entry.key_len as usize;
                let value = entry.value_len.map(|len| &self.bytes[key_end..key_end + len as usize]);
                (&self.bytes[entry.at..key_end], value)
            });
            (entries.first().map_or("", |entry| &self.spaces[entry.space as usize]), changes)
        })
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// The same changes with nothing in them.
    pub fn emptied(mut self) -> Changes {
        self.clear();
        self
    }

    /// Bytes of memory that it has for keys and values.
    pub fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Sets a value, or deletes the key where there is none.
    pub fn set(&mut self, space: &str, key: &[u8], value: Option<&[u8]>) {
        let known = self.spaces.iter().rposition(|known| known == space);
        let index = known.unwrap_or_else(|| {
            self.spaces.push(space.to_owned());
            self.spaces.len() - 1
        });
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or(&[]));
        self.entries.push(Entry { space: index as u32, at, key_len: key.len() as u32, value_len: value.map(|value| value.len() as u32) });
    }
}
