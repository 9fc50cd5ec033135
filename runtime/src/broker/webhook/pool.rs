//! The threads that call an endpoint: so many requests are under way at a time, and those of one key follow each other.
//!
//! They try again what may work later, and leave the endpoint alone for a while when it keeps failing. Nobody else waits for an answer but a
//! sink at its flush.

use super::endpoint::{Answer, Endpoint};
use crate::breaker::Passage;
use crate::broker::circuit::Circuit;
use crate::broker::delivered::Delivered;
use crate::broker::{BrokerError, Refusal};
use crate::config::{Format, Undelivered, Webhook};
use crate::metrics::SinkMetrics;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The threads of one endpoint.
pub(super) struct Pool {
    shared: Arc<Shared>,
    lanes: usize,
    /// One for each thread; empty until somebody writes.
    senders: Mutex<Vec<Sender<Job>>>,
}

/// What the threads share.
struct Shared {
    endpoint: Endpoint,
    on_error: Undelivered,
    circuit: Circuit,
    /// Until then the endpoint wants to be left alone: it has said so, and means all requests.
    not_before: Mutex<Instant>,
    delivered: Mutex<Delivered>,
}

/// A record to be delivered.
pub(super) struct Job {
    pub body: Vec<u8>,
    /// The same for the same record.
    pub name: String,
    /// The how-manieth its sink has taken since its last flush.
    pub number: usize,
    /// Set when nobody waits for it any more.
    pub given_up: Arc<AtomicBool>,
    pub reply: Sender<Outcome>,
}

/// What became of a job.
pub(super) struct Outcome {
    pub number: usize,
    /// Why the record is refused, if it is.
    pub refused: Option<Refusal>,
}

/// Records that wait for a thread; what comes on top of them waits in the worker.
const LANE_MAX: usize = 64;

/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How often a thread that waits looks whether anybody still waits for it.
const LOOK: Duration = Duration::from_millis(20);

// === impl Pool ===

impl Pool {
    pub(super) fn new(webhook: &Webhook, format: Format) -> Pool {
        let shared = Shared {
            endpoint: Endpoint::new(webhook, format),
            on_error: webhook.on_error,
            circuit: Circuit::new(&webhook.stream, webhook.breaker),
            not_before: Mutex::new(Instant::now()),
            delivered: Mutex::default(),
        };
        Pool { shared: Arc::new(shared), lanes: webhook.in_flight.max(1), senders: Mutex::default() }
    }

    pub(super) fn count_in(&self, metrics: SinkMetrics) {
        self.shared.circuit.count_in(metrics);
    }

    /// The ways to the threads, which start with the first sink.
    pub(super) fn lanes(&self) -> Result<Vec<Sender<Job>>, BrokerError> {
        let mut senders = self.senders.lock();
        while senders.len() < self.lanes {
            let (sender, jobs) = bounded(LANE_MAX);
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name(format!("webhook-{}", senders.len())).spawn(move || shared.work(&jobs));
            thread
                .map_err(|why| BrokerError::Fatal(format!("a thread for `{}` cannot be started: {why}", self.shared.circuit.stream())))?;
            senders.push(sender);
        }
        Ok(senders.clone())
    }

    /// Whether a record of that name has been delivered, by work that was not committed.
    pub(super) fn has_delivered(&self, name: &str) -> bool {
        self.shared.delivered.lock().holds(name)
    }

    /// Records of these names are committed.
    pub(super) fn forget(&self, names: &[String]) {
        self.shared.delivered.lock().forget(names);
    }

    /// Why there is no answer, for people.
    pub(super) fn trouble(&self) -> String {
        let last = self.shared.circuit.last_failure();
        let why = if last.is_empty() { format!("{} takes its time", self.shared.endpoint.place()) } else { last };
        format!("`{}`: {why}", self.shared.circuit.stream())
    }
}

// === impl Shared ===

impl Shared {
    fn work(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            if let Some(refused) = self.deliver(&job) {
                // A sink that is gone needs no answer.
                let _ = job.reply.send(Outcome { number: job.number, refused });
            }
        }
    }

    /// Brings a record to its end: why it is refused, if it is. `None` when nobody waits for it any more.
    fn deliver(&self, job: &Job) -> Option<Option<Refusal>> {
        let first = Instant::now();
        let mut pause = PAUSES.0;
        let mut tries = 0;
        loop {
            if job.given_up.load(Ordering::Relaxed) {
                return None;
            }
            let held = self.not_before.lock().saturating_duration_since(Instant::now());
            if !held.is_zero() {
                if self.gives_up(first.elapsed() + held) {
                    return Some(Some(away(format!("it wants to be left alone: {}", self.circuit.last_failure()))));
                }
                std::thread::park_timeout(LOOK.min(held));
                continue;
            }
            if self.circuit.passage() == Passage::Barred {
                if self.on_error.retry_for().is_some() {
                    return Some(Some(self.circuit.refusal()));
                }
                std::thread::park_timeout(LOOK);
                continue;
            }
            tries += 1;
            match self.endpoint.post(&job.body, &job.name) {
                Answer::Taken => {
                    self.delivered.lock().add(&job.name);
                    self.circuit.works(true);
                    return Some(None);
                }
                Answer::Refused(why) => {
                    // It answers: there is nothing wrong with the endpoint.
                    self.circuit.works(false);
                    return Some(Some(Refusal { why, away: false }));
                }
                Answer::Later(why, after) => {
                    let open = self.fails(&why, after);
                    let wait = after.unwrap_or_else(|| jitter(pause));
                    pause = (pause * 2).min(PAUSES.1);
                    if self.gives_up(if open { Duration::MAX } else { first.elapsed() + wait }) {
                        return Some(Some(away(format!("{why} (tried {tries} times)"))));
                    }
                    if !rest(wait, &job.given_up) {
                        return None;
                    }
                    self.circuit.metrics().retries.inc();
                }
            }
        }
    }

    /// Whether a record that would be tried again after so long is set aside instead.
    fn gives_up(&self, after: Duration) -> bool {
        self.on_error.retry_for().is_some_and(|retry_for| after > retry_for)
    }

    /// Notes a failed try, and for how long the endpoint wants to be left alone; true when the circuit is not closed now.
    fn fails(&self, why: &str, after: Option<Duration>) -> bool {
        if let Some(after) = after {
            *self.not_before.lock() = Instant::now() + after;
        }
        self.circuit.fails(why)
    }
}

/// A record that may be taken another time.
fn away(why: String) -> Refusal {
    Refusal { why, away: true }
}

/// A pause in the upper half below its bound: many who lost the same endpoint do not come back at the same moment.
fn jitter(bound: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) >> 11;
    bound / 2 + (bound / 2).mul_f64(random as f64 / (1u64 << 53) as f64)
}

/// Waits; false when nobody waits for the outcome any more.
fn rest(time: Duration, given_up: &AtomicBool) -> bool {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if given_up.load(Ordering::Relaxed) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        std::thread::park_timeout(LOOK.min(left));
    }
}
