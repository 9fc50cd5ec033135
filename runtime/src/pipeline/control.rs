//! How others stop a run and look into it while it works; clones are the same one.
//!
//! It carries wishes and facts between threads, and does nothing itself.

use super::board::{Board, Standings};
use super::health::{Health, Phase};
use super::savepoint::Requests;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Lets others stop a run and look into it.
#[derive(Clone, Default)]
pub struct Control {
    stop: Arc<AtomicBool>,
    lag: Arc<AtomicU64>,
    health: Health,
    standings: Board,
    savepoints: Requests,
}

impl Control {
    /// Asks the run to commit what is under way and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to end.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether tasks are at work: not before partitions are there, nor while a failure is being got over.
    pub fn running(&self) -> bool {
        self.health.phase() == Phase::Running
    }

    /// What the run is doing, and whether it moves.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// How far operators and partitions are, as their workers have said last.
    pub fn standings(&self) -> Standings {
        self.standings.read()
    }

    /// Records that wait to be read, where that is known.
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// Who wants savepoints of it.
    pub fn savepoints(&self) -> &Requests {
        &self.savepoints
    }

    pub(super) fn board(&self) -> &Board {
        &self.standings
    }

    pub(super) fn lags(&self, records: u64) {
        self.lag.store(records, Ordering::Relaxed);
    }
}
