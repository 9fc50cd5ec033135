//! A store that remembers what was written to it, and fails or waits when it is told to.

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use sangam::store::{Changes, MemoryStore, Pair, Store, StoreError, Visit};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A store in memory with somebody looking over its shoulder.
#[derive(Default)]
pub struct SpyStore {
    inner: MemoryStore,
    writes: Mutex<Vec<Changes>>,
    fault: Mutex<Option<Fault>>,
    gate: RwLock<()>,
    commits_begun: AtomicU32,
}

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is full.
    Full,
    /// It was mounted read-only.
    ReadOnly,
    /// The right to write was taken away.
    Denied,
}

impl SpyStore {
    /// From now on every write fails; `None`: no longer.
    pub fn fail(&self, fault: Option<Fault>) {
        *self.fault.lock() = fault;
    }

    /// Commits wait as long as somebody has this.
    pub fn hold_commits(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write()
    }

    /// How many commits have come to be written, successfully or not.
    pub fn commits_begun(&self) -> u32 {
        self.commits_begun.load(Ordering::SeqCst)
    }

    /// Every write so far, each of which was one atomic step.
    pub fn writes(&self) -> Vec<Changes> {
        self.writes.lock().clone()
    }
}

impl Store for SpyStore {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(space, from, each)
    }

    fn floor(&self, space: &str, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.inner.floor(space, key)
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        self.inner.spaces()
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        let path = PathBuf::from("data");
        if changes.iter().any(|(space, ..)| space == "positions") {
            self.commits_begun.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.read());
        }
        match *self.fault.lock() {
            Some(Fault::Full) => return Err(StoreError::Full(path)),
            Some(Fault::ReadOnly) => return Err(StoreError::Denied(path, ErrorKind::ReadOnlyFilesystem.into())),
            Some(Fault::Denied) => return Err(StoreError::Denied(path, ErrorKind::PermissionDenied.into())),
            None => {}
        }
        self.writes.lock().push(changes.clone());
        self.inner.write(changes)
    }
}
