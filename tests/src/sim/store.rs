//! The engine's store with the points before and after each write.

use super::faults::{Point, Verdict, Watch};
use sangam::store::{Changes, DiskStore, Pair, Snapshot, Store, StoreError, Visit};
use std::path::PathBuf;

/// A store whose process may crash at a write.
pub struct WatchedStore {
    inner: DiskStore,
    watch: Watch,
}

impl WatchedStore {
    pub fn new(inner: DiskStore, watch: Watch) -> WatchedStore {
        WatchedStore { inner, watch }
    }

    fn at(&self, point: Point) -> Result<(), StoreError> {
        match self.watch.at(point) {
            Verdict::Fail => Err(StoreError::Io(PathBuf::from("simulated"), format!("{point:?}: the process has crashed"))),
            _ => Ok(()),
        }
    }
}

impl Store for WatchedStore {
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

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.at(Point::Copy)?;
        self.inner.snapshot()
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        self.at(Point::StoreWrite)?;
        self.inner.write(changes)?;
        self.at(Point::StoreWritten)
    }
}
