//! When a partition is idle: nothing has come for so long, counted only while somebody asked.
//!
//! The count starts with the first look that finds nothing, so that it lags behind by up to one look; that much a partition is safe from
//! being given up too early.

use crate::time::Millis;

/// A longer pause than this between two looks means that the task was held up, not that the partition was silent.
const ASKING_MS: Millis = 500;

/// Counts a partition's silence.
#[derive(Clone, Debug)]
pub struct Idleness {
    /// After so much silence it is idle; `None`: never.
    timeout: Option<Millis>,
    /// The last look that found nothing.
    looked: Option<Millis>,
    silence: Millis,
    idle: bool,
}

impl Idleness {
    /// A partition that is active, and idle after `timeout` milliseconds of silence. Without a timeout, or with one that is not above
    /// zero, it never is.
    pub fn new(timeout: Option<Millis>) -> Idleness {
        Idleness { timeout: timeout.filter(|timeout| *timeout > 0), looked: None, silence: 0, idle: false }
    }

    /// Something has come.
    pub fn heard(&mut self) {
        (self.looked, self.silence, self.idle) = (None, 0, false);
    }

    /// Nobody asks just now, because of back-pressure, alignment or a commit: that time is not silence.
    pub fn held_up(&mut self) {
        self.looked = None;
    }

    /// A look at `now` has found nothing; true when the partition has become idle with it.
    pub fn silent(&mut self, now: Millis) -> bool {
        let since = self.looked.replace(now).unwrap_or(now);
        if (0..=ASKING_MS).contains(&(now - since)) {
            self.silence += now - since;
        }
        let idle = self.timeout.is_some_and(|timeout| self.silence >= timeout);
        idle && !std::mem::replace(&mut self.idle, idle)
    }

    /// Whether it is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }
}
