//! Hands records to the threads of an endpoint, and waits for their answers at the flush.

use super::pool::{Job, Outcome, Pool};
use crate::broker::{BrokerError, OutRecord, Refusal, Sink};
use crate::store::Changes;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, unbounded};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) struct WebhookSink {
    pool: Arc<Pool>,
    lanes: Vec<Sender<Job>>,
    reply: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    /// Tells the threads that nobody waits for what they were given.
    given_up: Arc<AtomicBool>,
    /// Records taken since the last flush, and how many of them are not answered yet.
    taken: usize,
    open: usize,
    refused: Vec<(usize, Refusal)>,
    /// Names of records since the last commit, and of those in that commit: it may still be on its way to its end.
    names: Vec<String>,
    covered: Vec<String>,
}

/// How long a worker waits for an endpoint before the pipeline goes back to its last commit, where others get their turn: partitions may come
/// and go, and a run may end. Shorter than the transaction that is open meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);

impl WebhookSink {
    pub(super) fn new(pool: Arc<Pool>) -> Result<WebhookSink, BrokerError> {
        let lanes = pool.lanes()?;
        let (reply, outcomes) = unbounded();
        let (refused, names, covered) = (Vec::new(), Vec::new(), Vec::new());
        Ok(WebhookSink { pool, lanes, reply, outcomes, given_up: Arc::default(), taken: 0, open: 0, refused, names, covered })
    }

    fn hear(&mut self, outcome: Outcome) {
        self.open = self.open.saturating_sub(1);
        self.refused.extend(outcome.refused.map(|why| (outcome.number, why)));
    }

    fn give_up(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.given_up = Arc::default();
        // Answers to what was given up go nowhere.
        (self.reply, self.outcomes) = unbounded();
        (self.taken, self.open) = (0, 0);
        self.refused.clear();
        self.names.clear();
        self.covered.clear();
    }

    fn waits_for(&self) -> BrokerError {
        BrokerError::Retry(format!("{}; {} events wait for it", self.pool.trouble(), self.open))
    }
}

impl Sink for WebhookSink {
    fn write(&mut self, record: &OutRecord<'_>, changes: &mut Changes) -> Result<(), BrokerError> {
        let name = format!("{}/{}/{}", record.topic, record.time, self.taken);
        self.write_named(record, &name, changes)
    }

    fn write_named(&mut self, record: &OutRecord<'_>, name: &str, _: &mut Changes) -> Result<(), BrokerError> {
        let Some(body) = record.value else {
            return Err(BrokerError::Refused("a tombstone has nothing that could be sent to an endpoint".to_owned()));
        };
        let number = self.taken;
        if !self.pool.has_delivered(name) {
            // Events of a key go one after the other; those without one need no order.
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(record.key.unwrap_or(name.as_bytes()));
            let Some(lane) = self.lanes.get((hash % self.lanes.len().max(1) as u64) as usize) else { return Ok(()) };
            let (given_up, reply) = (self.given_up.clone(), self.reply.clone());
            let job = Job { body: body.to_vec(), name: name.to_owned(), number, given_up, reply };
            match lane.send_timeout(job, PATIENCE) {
                Ok(()) => self.open += 1,
                Err(SendTimeoutError::Timeout(_)) => return Err(self.waits_for()),
                Err(SendTimeoutError::Disconnected(_)) => return Err(BrokerError::Fatal("a thread of a webhook has ended".to_owned())),
            }
        }
        self.names.push(name.to_owned());
        self.taken += 1;
        Ok(())
    }

    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        let deadline = Instant::now() + PATIENCE;
        while self.open > 0 {
            match self.outcomes.recv_deadline(deadline) {
                Ok(outcome) => self.hear(outcome),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(self.waits_for()),
            }
        }
        self.taken = 0;
        Ok(())
    }

    fn settled(&mut self, written: bool) {
        if written {
            self.pool.forget(&self.covered);
            self.covered = std::mem::take(&mut self.names);
        } else {
            self.give_up();
        }
    }

    fn refuses_late(&self) -> bool {
        true
    }

    fn refused(&mut self) -> Vec<(usize, Refusal)> {
        self.refused.sort_unstable_by_key(|(number, _)| *number);
        std::mem::take(&mut self.refused)
    }
}

impl Drop for WebhookSink {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}
