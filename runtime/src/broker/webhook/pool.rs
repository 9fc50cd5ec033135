//! The threads that call an endpoint: so many requests are under way at a time, and those of one key follow each other.
//!
//! They try again what may work later, and leave the endpoint alone for a while when it keeps failing. Nobody else waits for an answer but a
//! sink at its flush.

use super::delivered::Delivered;
use super::endpoint::{Answer, Endpoint};
use crate::breaker::{Breaker, Passage};
use crate::broker::BrokerError;
use crate::config::{Format, Undelivered, Webhook};
use crate::metrics::SinkMetrics;
use crate::time::Millis;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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
    stream: String,
    endpoint: Endpoint,
    on_error: Undelivered,
    breaker: Mutex<Breaker>,
    /// Until then the endpoint wants to be left alone: it has said so, and means all requests.
    not_before: Mutex<Instant>,
    /// Why the last try failed.
    last_failure: Mutex<String>,
    delivered: Mutex<Delivered>,
    metrics: OnceLock<SinkMetrics>,
    started: Instant,
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
    pub refused: Option<String>,
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
            stream: webhook.stream.clone(),
            endpoint: Endpoint::new(webhook, format),
            on_error: webhook.on_error,
            breaker: Mutex::new(Breaker::new(webhook.breaker)),
            not_before: Mutex::new(Instant::now()),
            last_failure: Mutex::default(),
            delivered: Mutex::default(),
            metrics: OnceLock::new(),
            started: Instant::now(),
        };
        Pool { shared: Arc::new(shared), lanes: webhook.in_flight.max(1), senders: Mutex::default() }
    }

    pub(super) fn count_in(&self, metrics: SinkMetrics) {
        let _ = self.shared.metrics.set(metrics);
    }

    /// The ways to the threads, which start with the first sink.
    pub(super) fn lanes(&self) -> Result<Vec<Sender<Job>>, BrokerError> {
        let mut senders = self.senders.lock();
        while senders.len() < self.lanes {
            let (sender, jobs) = bounded(LANE_MAX);
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name(format!("webhook-{}", senders.len())).spawn(move || shared.work(&jobs));
            thread.map_err(|why| BrokerError::Fatal(format!("a thread for `{}` cannot be started: {why}", self.shared.stream)))?;
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
        let last = self.shared.last_failure.lock();
        let why = if last.is_empty() { format!("{} takes its time", self.shared.endpoint.place()) } else { last.clone() };
        format!("`{}`: {why}", self.shared.stream)
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
    fn deliver(&self, job: &Job) -> Option<Option<String>> {
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
                    return Some(Some(format!("it wants to be left alone: {}", self.last_failure.lock())));
                }
                std::thread::park_timeout(LOOK.min(held));
                continue;
            }
            let passage = self.breaker.lock().passage(self.now());
            if passage == Passage::Barred {
                if let Undelivered::DeadLetter(_) = self.on_error {
                    return Some(Some(format!("its circuit is open, as it keeps failing: {}", self.last_failure.lock())));
                }
                std::thread::park_timeout(LOOK);
                continue;
            }
            tries += 1;
            match self.endpoint.post(&job.body, &job.name) {
                Answer::Taken => {
                    self.delivered.lock().add(&job.name);
                    self.works(true);
                    return Some(None);
                }
                Answer::Refused(why) => {
                    // It answers: there is nothing wrong with the endpoint.
                    self.works(false);
                    return Some(Some(why));
                }
                Answer::Later(why, after) => {
                    let open = self.fails(&why, after);
                    let wait = after.unwrap_or_else(|| jitter(pause));
                    pause = (pause * 2).min(PAUSES.1);
                    if self.gives_up(if open { Duration::MAX } else { first.elapsed() + wait }) {
                        return Some(Some(format!("{why} (tried {tries} times)")));
                    }
                    if !rest(wait, &job.given_up) {
                        return None;
                    }
                    self.metrics().retries.inc();
                }
            }
        }
    }

    fn works(&self, taken: bool) {
        self.moved(|breaker, now| {
            breaker.succeeded(now, 1);
            false
        });
        let metrics = self.metrics();
        if taken { &metrics.delivered } else { &metrics.refused }.inc();
    }

    /// Whether a record that would be tried again after so long is set aside instead.
    fn gives_up(&self, after: Duration) -> bool {
        matches!(self.on_error, Undelivered::DeadLetter(retry_for) if after > retry_for)
    }

    /// Notes a failed try, and for how long the endpoint wants to be left alone; true when the circuit is not closed now.
    fn fails(&self, why: &str, after: Option<Duration>) -> bool {
        if let Some(after) = after {
            *self.not_before.lock() = Instant::now() + after;
        }
        why.clone_into(&mut self.last_failure.lock());
        self.metrics().failures.inc();
        let (opened, is_closed) = self.moved(|breaker, now| breaker.failed(now));
        if opened {
            self.metrics().circuits_opened.inc();
            tracing::warn!(stream = %self.stream, "the endpoint keeps failing, and its circuit is open now; the last failure: {why}");
        }
        !is_closed
    }

    /// Does something with the breaker, and shows what has become of it.
    fn moved(&self, change: impl FnOnce(&mut Breaker, Millis) -> bool) -> (bool, bool) {
        let mut breaker = self.breaker.lock();
        let opened = change(&mut breaker, self.now());
        let is_closed = breaker.is_closed();
        self.metrics().circuit_open.set(i64::from(!is_closed));
        (opened, is_closed)
    }

    /// Where it counts: for itself, as long as nobody has said otherwise.
    fn metrics(&self) -> &SinkMetrics {
        self.metrics.get_or_init(SinkMetrics::default)
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }
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
