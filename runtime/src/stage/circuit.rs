//! The circuit breaker of an operator that others stand in for: whether it is called, and what its calls say of it.
//!
//! Each task has one of its own, so that the tasks share nothing. What counts is events: an operator that refuses one works, one that breaks at it
//! does not.

use super::{Failure, OnError, Stage};
use crate::breaker::{Breaker, Passage};

impl Stage {
    /// A new breaker, where the operator has one; the one before it is forgotten, as with a new build.
    pub(super) fn close_circuit(&mut self) {
        self.circuit_moved(|stage| {
            stage.breaker = match stage.spec.on_error {
                OnError::Fallback(Some(spec)) => Some(Breaker::new(spec)),
                _ => None,
            };
        });
    }

    /// Whether the operator is called for the next event.
    pub(super) fn passage(&mut self) -> Passage {
        let Stage { breaker: Some(breaker), spec, .. } = self else { return Passage::Free };
        breaker.passage(spec.clock.now())
    }

    /// The operator has handled so many events.
    pub(super) fn went_well(&mut self, events: usize) {
        if self.breaker.is_none() || events == 0 {
            return;
        }
        self.circuit_moved(|stage| {
            if let Stage { breaker: Some(breaker), spec, .. } = stage {
                breaker.succeeded(spec.clock.now(), events as u64);
            }
        });
    }

    /// The operator has broken at an event.
    pub(super) fn went_wrong(&mut self, failure: &Failure) {
        self.circuit_moved(|stage| {
            if let Stage { breaker: Some(breaker), spec, partition, .. } = stage
                && breaker.failed(spec.clock.now())
            {
                spec.metrics.circuits_opened.inc();
                tracing::warn!(
                    operator = %spec.name, slice = *partition,
                    "the operator keeps failing, and its circuit is open now: events go to its fallback; the last failure: {}", failure.message
                );
            }
        });
    }

    /// Does something with the breaker, and keeps the count of those that are not closed.
    fn circuit_moved(&mut self, change: impl FnOnce(&mut Stage)) {
        let was_open = self.circuit_is_open();
        change(self);
        let is_open = self.circuit_is_open();
        self.spec.metrics.circuits_open.inc_by(i64::from(is_open) - i64::from(was_open));
    }

    /// Open, or half-open.
    pub(super) fn circuit_is_open(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| !breaker.is_closed())
    }
}
