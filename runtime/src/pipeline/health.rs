//! How a run is, for those who ask from outside: what it does before it is at work, whether its workers move, how far it has committed.
//!
//! It keeps what it is told and judges nothing; probes and people act on it.

use super::worker::Gauges;
use crate::time::Millis;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How a run is; clones are the same one.
#[derive(Clone, Default)]
pub struct Health(Arc<Inner>);

/// What a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Tasks are being made, or made anew.
    #[default]
    Starting,
    /// Partitions are waited for.
    Gathering {
        /// Those that are there.
        held: usize,
        /// Those that there are.
        expected: usize,
    },
    /// State is being read back from its logs.
    Restoring,
    /// Tasks are at work.
    Running,
    /// Something has failed, and a new try from the last commit is on its way.
    Recovering,
    /// Partitions have come or gone, and tasks are made anew.
    Rebalancing,
    /// It was told to stop, and makes its last commit.
    Draining,
    /// It has ended, and all that was read is committed.
    Stopped,
    /// It has ended with an error.
    Failed,
}

#[derive(Default)]
struct Inner {
    phase: Mutex<(Phase, Millis)>,
    restored: AtomicU64,
    copied: AtomicU64,
    behind: AtomicU64,
    workers: Mutex<Vec<Arc<Gauges>>>,
    committed: Mutex<Committed>,
}

/// How far the last commits went.
#[derive(Default)]
struct Committed {
    at: Option<Instant>,
    /// The next offset, by stream and partition.
    positions: BTreeMap<(usize, u32), i64>,
    /// Commits that went further than those before.
    advances: u64,
}

/// When a thread moved last.
#[derive(Debug)]
pub struct Pulse {
    made: Instant,
    /// Milliseconds since it was made; [`Pulse::ENDED`] when the thread has nothing more to do.
    last: AtomicU64,
}

// === impl Health ===

impl Health {
    /// What the run is doing.
    pub fn phase(&self) -> Phase {
        self.0.phase.lock().0
    }

    /// Since when it has been in that state, on the clock of the run; 0 before it has told any.
    pub fn since(&self) -> Millis {
        self.0.phase.lock().1
    }

    /// Records of state that were read back from logs.
    pub fn restored(&self) -> u64 {
        self.0.restored.load(Ordering::Relaxed)
    }

    /// Records that standby copies have read, and those of them that were new at their last look.
    pub fn standby(&self) -> (u64, u64) {
        (self.0.copied.load(Ordering::Relaxed), self.0.behind.load(Ordering::Relaxed))
    }

    /// The worker that has not moved for longest, where that is at least so long, and for how long.
    pub fn stuck(&self, after: Duration) -> Option<(usize, Duration)> {
        let workers = self.0.workers.lock();
        let still = workers.iter().enumerate().map(|(worker, gauges)| (worker, gauges.pulse.still()));
        still.filter(|(_, still)| *still >= after).max_by_key(|(_, still)| *still)
    }

    /// How long ago the last commit of this run was.
    pub fn commit_age(&self) -> Option<Duration> {
        self.0.committed.lock().at.map(|at| at.elapsed())
    }

    /// The offset up to which a partition of a stream is committed; `None` before the first commit of this run that has records of it.
    pub fn position(&self, stream: usize, partition: u32) -> Option<i64> {
        self.0.committed.lock().positions.get(&(stream, partition)).copied()
    }

    /// From now on the run does this. True where that is another state than before, or the first one.
    pub(super) fn enter(&self, now: Millis, phase: Phase) -> bool {
        let (before, since) = &mut *self.0.phase.lock();
        let is_news = before.state() != phase.state() || *since == 0;
        if is_news {
            *since = now.max(1);
        }
        *before = phase;
        is_news
    }

    /// These are at work.
    pub(super) fn at_work(&self, workers: &[Arc<Gauges>]) {
        *self.0.workers.lock() = workers.to_vec();
    }

    /// They have all ended.
    pub(super) fn at_rest(&self) {
        self.0.workers.lock().clear();
    }

    /// Commits so far that went further than those before: one of nothing but an event of the audit did not.
    pub(super) fn advances(&self) -> u64 {
        self.0.committed.lock().advances
    }

    pub(super) fn read_back(&self, records: usize) {
        self.0.restored.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn copied(&self, records: usize) {
        self.0.copied.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn behind(&self, records: usize) {
        self.0.behind.store(records as u64, Ordering::Relaxed);
    }

    /// A commit was made, up to these offsets (stream, partition, the next record).
    pub(super) fn committed(&self, positions: &[(usize, i32, i64)]) {
        let mut committed = self.0.committed.lock();
        committed.at = Some(Instant::now());
        let mut further = false;
        for (stream, partition, next) in positions {
            further |= committed.positions.insert((*stream, *partition as u32), *next) != Some(*next);
        }
        committed.advances += u64::from(further);
    }
}

// === impl Phase ===

impl Phase {
    /// All states' names.
    pub const STATES: [&str; 8] = ["starting", "restoring", "running", "rebalancing", "recovering", "draining", "stopped", "failed"];

    /// Its name for programs. Waiting for the first partitions is a part of starting.
    pub fn state(self) -> &'static str {
        match self {
            Phase::Starting | Phase::Gathering { .. } => "starting",
            Phase::Restoring => "restoring",
            Phase::Running => "running",
            Phase::Rebalancing => "rebalancing",
            Phase::Recovering => "recovering",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
            Phase::Failed => "failed",
        }
    }
}

impl fmt::Display for Phase {
    /// For whoever asks a probe: it names nothing that is not everybody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Starting => f.write_str("tasks are being started"),
            Phase::Gathering { held, expected } => write!(f, "waiting for partitions: {held} of {expected} are here"),
            Phase::Restoring => f.write_str("restoring state"),
            Phase::Running => f.write_str("ready"),
            Phase::Recovering => f.write_str("going back to the last commit after a failure, which is in the log"),
            Phase::Rebalancing => f.write_str("partitions have come or gone, tasks are being made anew"),
            Phase::Draining => f.write_str("making the last commit"),
            Phase::Stopped => f.write_str("stopped"),
            Phase::Failed => f.write_str("ended by an error, which is in the log"),
        }
    }
}

// === impl Pulse ===

impl Pulse {
    const ENDED: u64 = u64::MAX;

    /// It moves.
    pub fn beat(&self, now: Instant) {
        self.last.store(now.saturating_duration_since(self.made).as_millis() as u64, Ordering::Relaxed);
    }

    /// It has nothing more to do.
    pub fn end(&self) {
        self.last.store(Pulse::ENDED, Ordering::Relaxed);
    }

    fn still(&self) -> Duration {
        match self.last.load(Ordering::Relaxed) {
            Pulse::ENDED => Duration::ZERO,
            last => self.made.elapsed().saturating_sub(Duration::from_millis(last)),
        }
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse { made: Instant::now(), last: AtomicU64::new(0) }
    }
}
