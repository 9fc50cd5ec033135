//! The circuit breaker of one place that is written to, and what is counted of it. All threads that write there share it.
//!
//! It sends nothing, and leaves to its owner what becomes of a record that is not sent.

use super::Refusal;
use crate::breaker::{Breaker, Passage};
use crate::config::BreakerSpec;
use crate::metrics::SinkMetrics;
use crate::time::Millis;
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::time::Instant;

/// A breaker that several threads ask.
pub(super) struct Circuit {
    stream: String,
    breaker: Mutex<Breaker>,
    /// Why the last try failed.
    last_failure: Mutex<String>,
    metrics: OnceLock<SinkMetrics>,
    started: Instant,
}

// === impl Circuit ===

impl Circuit {
    /// A closed one, for a stream.
    pub(super) fn new(stream: &str, spec: BreakerSpec) -> Circuit {
        Circuit {
            stream: stream.to_owned(),
            breaker: Mutex::new(Breaker::new(spec)),
            last_failure: Mutex::default(),
            metrics: OnceLock::new(),
            started: Instant::now(),
        }
    }

    /// The stream that it is of.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) fn count_in(&self, metrics: SinkMetrics) {
        let _ = self.metrics.set(metrics);
    }

    /// Where it counts: for itself, as long as nobody has said otherwise.
    pub(super) fn metrics(&self) -> &SinkMetrics {
        self.metrics.get_or_init(SinkMetrics::default)
    }

    /// Whether to call. After [`Passage::Trial`] the caller must say how it went, as nobody else passes before.
    pub(super) fn passage(&self) -> Passage {
        let mut breaker = self.breaker.lock();
        let passage = breaker.passage(self.now());
        self.show(&breaker);
        passage
    }

    /// It has answered; `taken`: it has the record, else it refuses it for good, and works all the same.
    pub(super) fn works(&self, taken: bool) {
        self.answers();
        let metrics = self.metrics();
        if taken { &metrics.delivered } else { &metrics.refused }.inc();
    }

    /// It has answered to a question that was no record.
    pub(super) fn answers(&self) {
        let mut breaker = self.breaker.lock();
        breaker.succeeded(self.now(), 1);
        self.show(&breaker);
    }

    /// Notes a failed try; true when the circuit is not closed now.
    pub(super) fn fails(&self, why: &str) -> bool {
        why.clone_into(&mut self.last_failure.lock());
        self.metrics().failures.inc();
        let mut breaker = self.breaker.lock();
        let opened = breaker.failed(self.now());
        self.show(&breaker);
        if opened {
            self.metrics().circuits_opened.inc();
            tracing::warn!(stream = %self.stream, "what it is written to keeps failing, and its circuit is open now; the last failure: {why}");
        }
        !breaker.is_closed()
    }

    /// Why the last try failed; empty where none has.
    pub(super) fn last_failure(&self) -> String {
        self.last_failure.lock().clone()
    }

    /// What is said of a record that is not even tried.
    pub(super) fn refusal(&self) -> Refusal {
        Refusal { why: format!("its circuit is open, as it keeps failing: {}", self.last_failure.lock()), away: true }
    }

    fn show(&self, breaker: &Breaker) {
        self.metrics().circuit_open.set(i64::from(!breaker.is_closed()));
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }
}
