//! A disk in memory under the engine's own store: what was written is durable once it was synced. A crash keeps of the rest what a seed says,
//! sector by sector, in any order.

use super::dice::Dice;
use parking_lot::Mutex;
use redb::{BackendError, StorageBackend};
use std::io::{Error, ErrorKind, Result};
use std::ops::Bound;
use std::sync::Arc;

/// A disk; its clones are the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Image>>);

#[derive(Default)]
struct Image {
    /// What a crash leaves.
    durable: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    pending: Vec<Change>,
    /// Counts openings: who opened it before the last one has nothing to do with it any more.
    opened: u64,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// The disk as one process sees it.
pub struct Session {
    disk: Disk,
    opened: u64,
    at: Box<dyn Fn(Access) -> Fate + Send + Sync>,
}

/// What is done with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Bytes are written.
    Write,
    /// What was written is made durable.
    Sync,
}

/// What becomes of a process at an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Lives,
    /// It crashes in the middle of it.
    Crashes,
    /// It has crashed before.
    IsDead,
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

// === impl Disk ===

impl Disk {
    /// Opens it for a process. `at` says of each access what becomes of the process there.
    pub fn open(&self, at: impl Fn(Access) -> Fate + Send + Sync + 'static) -> Session {
        let mut image = self.0.lock();
        image.opened += 1;
        Session { disk: self.clone(), opened: image.opened, at: Box::new(at) }
    }

    /// The power fails: of what was not synced some sectors are there and others are not.
    pub fn crash(&self, dice: &mut Dice) {
        let mut image = self.0.lock();
        image.opened += 1;
        // All, none or some: each happens.
        let keeps = [0, 50, 100][dice.below(3)];
        for change in std::mem::take(&mut image.pending) {
            match change {
                Change::Length(len) => image.durable.resize(len, 0),
                Change::Write(offset, data) => image.durable.keep(offset, &data, |_| dice.percent(keeps)),
            }
        }
        image.seen = image.durable.clone();
    }

    /// It is another one: empty.
    pub fn wipe(&self) {
        let mut image = self.0.lock();
        *image = Image { opened: image.opened + 1, ..Image::default() };
    }
}

/// Applies a write, in sectors.
trait Sectors {
    fn keep(&mut self, offset: usize, data: &[u8], keeps: impl FnMut(usize) -> bool);
}

impl Sectors for Vec<u8> {
    fn keep(&mut self, offset: usize, data: &[u8], mut keeps: impl FnMut(usize) -> bool) {
        let mut at = offset;
        while at < offset + data.len() {
            let end = ((at / SECTOR + 1) * SECTOR).min(offset + data.len());
            if keeps(at / SECTOR) {
                let len = self.len().max(end);
                self.resize(len, 0);
                self[at..end].copy_from_slice(&data[at - offset..end - offset]);
            }
            at = end;
        }
    }
}

// === impl Session ===

impl Session {
    fn image(&self) -> Result<parking_lot::MutexGuard<'_, Image>> {
        let image = self.disk.0.lock();
        if image.opened == self.opened { Ok(image) } else { Err(gone()) }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotConnected, "the process has crashed")
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.opened)
    }
}

impl StorageBackend for Session {
    fn len(&self) -> Result<u64> {
        Ok(self.image()?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let image = self.image()?;
        let from = offset as usize;
        out.copy_from_slice(image.seen.get(from..from + out.len()).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut image = self.image()?;
        image.seen.resize(len as usize, 0);
        image.pending.push(Change::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        if (self.at)(Access::Sync) != Fate::Lives {
            return Err(gone());
        }
        let mut image = self.image()?;
        for change in std::mem::take(&mut image.pending) {
            match change {
                Change::Length(len) => image.durable.resize(len, 0),
                Change::Write(offset, data) => image.durable.keep(offset, &data, |_| true),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let fate = (self.at)(Access::Write);
        if fate == Fate::IsDead {
            return Err(gone());
        }
        let mut image = self.image()?;
        // The write that a crash falls into may be on the disk in part.
        image.pending.push(Change::Write(offset as usize, data.to_vec()));
        if fate == Fate::Crashes {
            return Err(gone());
        }
        image.seen.keep(offset as usize, data, |_| true);
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<bool, BackendError> {
        Ok(true)
    }
}
