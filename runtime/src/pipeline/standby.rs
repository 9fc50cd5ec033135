//! Standby copies: what other processes of the pipeline know is kept in this one's store, too, so that taking a slice over reads only the tail
//! of its log. Kafka Streams has them as `num.standby.replicas`; here each process that is told to keeps all slices that it does not own.
//!
//! A thread of its own reads the logs, now and then and a bounded piece at a time; no commit waits for more than one write of it. It never
//! touches a slice that this process owns: owners change only while copying is at rest, and what was read before that is not written after it.
//! It leaves the log of positions alone, of which this process writes a part.

use super::health::Health;
use super::ledger::{LOGS, place_in_log};
use crate::broker::{Broker, BrokerError, Replay};
use crate::store::{Changes, Store, StoreError};
use crate::task::{Log, SCHEMAS, put_back, spaces_of};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A slice of an operator's keys: the operator's name and the number.
pub type Slice = (String, u32);

/// The copies that a process keeps of slices that it does not own. They end with this.
pub struct Standby {
    turn: Arc<Mutex<Turn>>,
    _until: Sender<Infallible>,
}

/// Whether slices may be copied, and which not. Whoever writes one holds the lock.
#[derive(Default)]
struct Turn {
    /// Another one with each change; what was read in an earlier one is not written.
    number: u64,
    /// The slices that this process owns; `None` while copying rests.
    owned: Option<BTreeSet<Slice>>,
}

/// What the thread has. It holds on to no store: a run that has ended must be able to close its own.
struct Copier {
    pipeline: String,
    broker: Arc<dyn Broker>,
    store: Weak<dyn Store>,
    turn: Arc<Mutex<Turn>>,
    health: Health,
    slices: Vec<Slice>,
    /// By slice: records that were new at the last look.
    behind: BTreeMap<Slice, usize>,
}

/// The space of the store for versions of state that copies are of, until their slice is taken over: `operator/slice`.
const COPIED_SCHEMAS: &str = "standby-schemas";

/// How long the thread rests after each slice: each look at a log takes a connection.
const BETWEEN_SLICES: Duration = Duration::from_millis(100);

/// How long it rests after all of them.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(1);

/// The most records of a slice in one look, more or less: the others want to be looked at, too.
const RECORDS_MAX: usize = 100_000;

/// Why a replay was ended early; never shown.
const ENOUGH: &str = "enough for now";

impl Standby {
    /// Starts with nothing to copy, until the first [`Standby::resume`].
    pub fn start(
        pipeline: &str,
        broker: Arc<dyn Broker>,
        store: &Arc<dyn Store>,
        health: &Health,
        slices: Vec<Slice>,
    ) -> std::io::Result<Standby> {
        let (until, ended) = bounded(0);
        let turn = Arc::new(Mutex::new(Turn::default()));
        let (pipeline, store, health) = (pipeline.to_owned(), Arc::downgrade(store), health.clone());
        let copier = Copier { pipeline, broker, store, turn: Arc::clone(&turn), health, slices, behind: BTreeMap::new() };
        // Nobody waits for its end: it may be listening to a broker that does not answer, and writes nothing any more.
        std::thread::Builder::new().name("standby".to_owned()).spawn(move || copier.run(&ended))?;
        Ok(Standby { turn, _until: until })
    }

    /// From now on nothing is written, until it is resumed.
    pub fn pause(&self) {
        self.turn.lock().now(None);
    }

    /// Goes on with all slices but those that this process owns.
    pub fn resume(&self, owned: BTreeSet<Slice>) {
        self.turn.lock().now(Some(owned));
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.pause();
    }
}

/// What a copy has read of the version of its slice's state counts from now on, as if the log had been read by its owner.
pub fn take_over(operator: &str, slice: u32, store: &dyn Store) -> Result<(), StoreError> {
    let key = format!("{operator}/{slice}");
    let Some(version) = store.get(COPIED_SCHEMAS, key.as_bytes())? else { return Ok(()) };
    let mut changes = Changes::default();
    changes.put(SCHEMAS, operator.as_bytes(), &version);
    changes.delete(COPIED_SCHEMAS, key.as_bytes());
    store.write(&changes)
}

// === impl Turn ===

impl Turn {
    fn now(&mut self, owned: Option<BTreeSet<Slice>>) {
        self.number += 1;
        self.owned = owned;
    }

    /// The number of the turn, where the slice may be copied in it.
    fn of(&self, slice: &Slice) -> Option<u64> {
        self.owned.as_ref().filter(|owned| !owned.contains(slice)).map(|_| self.number)
    }
}

// === impl Copier ===

impl Copier {
    fn run(mut self, ended: &Receiver<Infallible>) {
        loop {
            for slice in self.slices.clone() {
                let turn = self.turn.lock().of(&slice);
                let Some(turn) = turn else {
                    self.behind.remove(&slice);
                    continue;
                };
                match self.copy(&slice, turn) {
                    Ok(records) => drop(self.behind.insert(slice, records)),
                    // The broker may be away; whoever works with it says so.
                    Err(why) => tracing::debug!(pipeline = %self.pipeline, operator = %slice.0, slice = slice.1, "no standby copy: {why}"),
                }
                self.health.behind(self.behind.values().sum());
                if is_over(ended, BETWEEN_SLICES) {
                    return;
                }
            }
            if is_over(ended, BETWEEN_ROUNDS) {
                return;
            }
        }
    }

    /// Brings the copy of a slice to where its log ends; returns how many records there were.
    fn copy(&self, (operator, slice): &Slice, turn: u64) -> Result<usize, BrokerError> {
        let log = Log::Operator(operator);
        let topic = log.topic(&self.pipeline);
        let place = format!("{topic}/{slice}");
        let Some(mut from) = self.place(operator, *slice, &place)? else { return Ok(0) };
        let mut records = 0;
        let read = self.broker.replay(&topic, *slice as i32, from, &mut |events| {
            let Some(last) = events.rows.last() else { return Ok(()) };
            let (mut read, mut changes) = (Changes::default(), Changes::default());
            for row in &events.rows {
                let key = events.key(row).unwrap_or(&[]);
                put_back(log, *slice, key, events.value(row), &mut read).map_err(|why| BrokerError::Fatal(why.to_string()))?;
            }
            for (space, key, value) in read.iter() {
                // One version for all slices is in the store already: the one of the slices that this process owns.
                match space {
                    SCHEMAS => changes.set(COPIED_SCHEMAS, format!("{operator}/{slice}").as_bytes(), value),
                    space => changes.set(space, key, value),
                }
            }
            self.write(turn, &place, &mut from, last.offset + 1, changes)?;
            records += events.rows.len();
            self.health.copied(events.rows.len());
            if records >= RECORDS_MAX { Err(BrokerError::Retry(ENOUGH.to_owned())) } else { Ok(()) }
        });
        match read {
            Ok(Replay::To(next)) if from != Some(next) => self.write(turn, &place, &mut from, next, Changes::default())?,
            // What is ahead of its log is made anew by whoever takes the slice over.
            Ok(Replay::To(_) | Replay::Short) => {}
            Err(BrokerError::Retry(why)) if why == ENOUGH => {}
            Err(why) => return Err(why),
        }
        Ok(records)
    }

    /// Where to go on in a slice's log. `None` where there is nothing to go on with: state from a time without logs is its owner's business.
    fn place(&self, operator: &str, slice: u32, place: &str) -> Result<Option<Option<i64>>, BrokerError> {
        let Some(store) = self.store.upgrade() else { return Ok(None) };
        let from = place_in_log(store.as_ref(), place)?;
        let mut is_empty = true;
        for space in spaces_of(operator, slice).filter(|_| from.is_none()) {
            store.scan(&space, &[], &mut |_, _| {
                is_empty = false;
                ControlFlow::Break(())
            })?;
        }
        Ok(is_empty.then_some(from))
    }

    /// Writes what was read from `from` to `next`, together with how far that is: as long as it is still the same turn.
    fn write(&self, turn: u64, place: &str, from: &mut Option<i64>, next: i64, mut changes: Changes) -> Result<(), BrokerError> {
        let now = self.turn.lock();
        let Some(store) = self.store.upgrade().filter(|_| now.number == turn) else { return Err(BrokerError::Retry(ENOUGH.to_owned())) };
        changes.put(LOGS, place.as_bytes(), &next.to_le_bytes());
        store.write(&changes)?;
        *from = Some(next);
        Ok(())
    }
}

/// Rests for a while; true when it is over meanwhile.
fn is_over(ended: &Receiver<Infallible>, rest: Duration) -> bool {
    matches!(ended.recv_timeout(rest), Err(RecvTimeoutError::Disconnected))
}
