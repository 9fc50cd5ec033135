//! Where workers pin up how far their operators are, for those who ask from other threads.
//!
//! It only keeps what was said last. After tasks have been made anew nothing of the old ones stays.

use crate::task::{OperatorStanding, SourceStanding};
use crate::time::Millis;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a worker says how far it is: often enough for people, too rare to cost anything.
pub(super) const EVERY: Duration = Duration::from_millis(50);

/// The board; clones are the same one.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Standings>>);

/// What is pinned up.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    /// When somebody said something last, on the host's clock.
    pub now: Millis,
    /// By operator and slice of its keys.
    pub operators: BTreeMap<(usize, u32), OperatorStanding>,
    /// By stream and partition.
    pub sources: BTreeMap<(usize, u32), SourceStanding>,
}

impl Board {
    /// Everything that is pinned up.
    pub fn read(&self) -> Standings {
        self.0.lock().clone()
    }

    /// Takes everything down.
    pub(super) fn clear(&self) {
        *self.0.lock() = Standings::default();
    }

    /// Pins up what a task says.
    pub(super) fn pin(
        &self,
        now: Millis,
        slice: u32,
        operators: Vec<(usize, OperatorStanding)>,
        sources: impl Iterator<Item = SourceStanding>,
    ) {
        let mut board = self.0.lock();
        board.now = board.now.max(now);
        board.operators.extend(operators.into_iter().map(|(operator, standing)| ((operator, slice), standing)));
        board.sources.extend(sources.map(|source| ((source.stream, source.partition), source)));
    }
}
