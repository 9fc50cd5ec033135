//! A Kafka cluster in memory, as far as exactly-once needs one: logs with transaction markers, producers with epochs, and group offsets that
//! move with a transaction. It outlives the processes that use it.
//!
//! Readers see committed records only, and none behind a transaction that is still open. Nothing here fails: faults are `process`'s.

use super::group::Group;
use parking_lot::Mutex;
use sangam::broker::{BrokerError, OutRecord, PartitionOffset, Replay};
use sangam::events::{Events, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The cluster; its clones are the same one.
#[derive(Clone, Default)]
pub struct Cluster(pub(super) Arc<Mutex<State>>);

/// Everything that brokers and coordinators know.
#[derive(Default)]
pub(super) struct State {
    pub topics: BTreeMap<String, Vec<Partition>>,
    transactions: Vec<Transaction>,
    producers: BTreeMap<String, Producer>,
    pub groups: BTreeMap<String, Group>,
    /// Processes that are dead, or silent for longer than any timeout: their transactions end by their timeout.
    pub silent: BTreeSet<u64>,
    pub processes: u64,
}

#[derive(Default)]
pub(super) struct Partition {
    entries: Vec<Entry>,
    /// Everything before it belongs to no open transaction.
    stable: usize,
}

/// What has an offset: a record, or the marker of a transaction's end.
struct Entry {
    record: Option<Kept>,
    transaction: Option<usize>,
}

/// A record as it lies in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<u8>,
    /// Time.
    pub time: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Committed,
    Aborted,
}

struct Transaction {
    outcome: Outcome,
    process: u64,
    touched: BTreeSet<(String, i32)>,
    offsets: Vec<(String, PartitionOffset)>,
}

#[derive(Default)]
struct Producer {
    epoch: u64,
    open: Option<usize>,
}

/// A producer as its owner knows it: the id, and the epoch in which it is the owner's.
#[derive(Clone)]
pub(super) struct Seat {
    pub id: String,
    pub epoch: u64,
    pub process: u64,
    /// Its owner has begun a transaction and has not heard of its end.
    pub begun: Arc<AtomicBool>,
}

// === impl Cluster ===

impl Cluster {
    /// Makes a topic; one that is there is left as it is.
    pub fn create(&self, topic: &str, partitions: u32) {
        let mut state = self.0.lock();
        state.topics.entry(topic.to_owned()).or_insert_with(|| (0..partitions).map(|_| Partition::default()).collect());
    }

    /// Adds records without a transaction.
    pub fn write(&self, records: &[OutRecord<'_>]) {
        let mut state = self.0.lock();
        for record in records {
            if let Ok(partition) = state.partition(record.topic, record.partition) {
                partition.entries.push(Entry { record: Some(Kept::of(record)), transaction: None });
            }
        }
    }

    /// Time goes by: the transactions of those who are silent end.
    pub fn time_out(&self) {
        let mut state = self.0.lock();
        let open =
            (0..state.transactions.len()).filter(|number| state.transactions.get(*number).is_some_and(|t| t.outcome == Outcome::Open));
        for number in open.collect::<Vec<_>>() {
            state.time_out(number);
        }
    }

    /// The topics, with the number of their partitions.
    pub fn topics(&self) -> Vec<(String, i32)> {
        self.0.lock().topics.iter().map(|(name, partitions)| (name.clone(), partitions.len() as i32)).collect()
    }

    /// The committed records of a partition, with their offsets.
    pub fn committed(&self, topic: &str, partition: i32) -> Vec<(i64, Kept)> {
        let mut state = self.0.lock();
        let State { topics, transactions, .. } = &mut *state;
        let Some(partition) = topics.get_mut(topic).and_then(|partitions| partitions.get_mut(partition as usize)) else {
            return Vec::new();
        };
        let stable = partition.stable_end(transactions);
        let entries = partition.entries.iter().take(stable).enumerate();
        entries.filter_map(|(at, entry)| Some((at as i64, entry.visible(transactions)?.clone()))).collect()
    }

    /// The offset behind the last entry of a partition.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        self.0.lock().partition(topic, partition).map_or(0, |partition| partition.entries.len() as i64)
    }

    /// Keeps a partition for a guest of a group, as soon as its owner lets go of it.
    pub fn lend(&self, group: &str, place: (String, i32)) {
        self.0.lock().groups.entry(group.to_owned()).or_default().lend(place);
    }

    /// Nothing is kept for guests any more.
    pub fn take_back(&self, group: &str) {
        self.0.lock().groups.entry(group.to_owned()).or_default().take_back();
    }

    /// The next offset to read of a group.
    pub fn offset(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.0.lock().groups.get(group)?.offsets.get(&(topic.to_owned(), partition)).copied()
    }
}

// === impl State ===

impl State {
    pub fn partition(&mut self, topic: &str, partition: i32) -> Result<&mut Partition, BrokerError> {
        let partitions = self.topics.get_mut(topic).ok_or_else(|| BrokerError::NoTopic(topic.to_owned()))?;
        partitions.get_mut(partition as usize).ok_or_else(|| BrokerError::Fatal(format!("{topic} has no partition {partition}")))
    }

    // --- transactions ---

    /// Takes a producer over: its open transaction is aborted, and whoever had it before can do nothing with it any more.
    pub fn init(&mut self, id: &str, process: u64) -> Seat {
        self.silent.remove(&process);
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        let (epoch, open) = (producer.epoch, producer.open.take());
        if let Some(open) = open {
            self.end(open, Outcome::Aborted);
        }
        Seat { id: id.to_owned(), epoch, process, begun: Arc::default() }
    }

    /// Fails where a transaction was begun, and somebody else has taken the producer over, or its transaction has ended by its timeout.
    pub fn owned(&mut self, seat: &Seat) -> Result<(), BrokerError> {
        match self.producers.get(&seat.id) {
            Some(producer) if producer.epoch == seat.epoch => Ok(()),
            _ if !seat.begun.load(Ordering::SeqCst) => Ok(()),
            _ => Err(BrokerError::Fenced(format!("{}: another writer has this id now", seat.id))),
        }
    }

    fn open(&mut self, seat: &Seat) -> Result<usize, BrokerError> {
        seat.begun.store(true, Ordering::SeqCst);
        self.owned(seat)?;
        let next = self.transactions.len();
        let open = self.producers.get_mut(&seat.id).map_or(next, |producer| *producer.open.get_or_insert(next));
        if open == next {
            let (touched, offsets) = (BTreeSet::new(), Vec::new());
            self.transactions.push(Transaction { outcome: Outcome::Open, process: seat.process, touched, offsets });
        }
        Ok(open)
    }

    /// Adds a record to the seat's transaction; returns its offset.
    pub fn append(&mut self, seat: &Seat, record: &OutRecord<'_>) -> Result<i64, BrokerError> {
        self.partition(record.topic, record.partition)?;
        let open = self.open(seat)?;
        if let Some(transaction) = self.transactions.get_mut(open) {
            transaction.touched.insert((record.topic.to_owned(), record.partition));
        }
        let entries = &mut self.partition(record.topic, record.partition)?.entries;
        entries.push(Entry { record: Some(Kept::of(record)), transaction: Some(open) });
        Ok(entries.len() as i64 - 1)
    }

    /// Adds a group's offsets to the seat's transaction.
    pub fn add_offsets(&mut self, seat: &Seat, group: &str, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
        let open = self.open(seat)?;
        if let Some(transaction) = self.transactions.get_mut(open) {
            transaction.offsets.extend(offsets.iter().map(|offset| (group.to_owned(), offset.clone())));
        }
        Ok(())
    }

    /// Commits the seat's transaction, if one is open, or aborts it.
    pub fn finish(&mut self, seat: &Seat, commit: bool) -> Result<(), BrokerError> {
        if !seat.begun.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.owned(seat)?;
        seat.begun.store(false, Ordering::SeqCst);
        if let Some(open) = self.producers.get_mut(&seat.id).and_then(|producer| producer.open.take()) {
            self.end(open, if commit { Outcome::Committed } else { Outcome::Aborted });
        }
        Ok(())
    }

    fn end(&mut self, number: usize, outcome: Outcome) {
        let Some(transaction) = self.transactions.get_mut(number) else { return };
        transaction.outcome = outcome;
        let (touched, offsets) = (std::mem::take(&mut transaction.touched), std::mem::take(&mut transaction.offsets));
        for (topic, partition) in touched {
            if let Ok(partition) = self.partition(&topic, partition) {
                partition.entries.push(Entry { record: None, transaction: Some(number) });
            }
        }
        for (group, (topic, partition, offset)) in offsets.into_iter().filter(|_| outcome == Outcome::Committed) {
            self.groups.entry(group).or_default().offsets.insert((topic, partition), offset);
        }
    }

    /// Ends a transaction by its timeout, where its writer is silent. Its writer is fenced by that. False where it is not silent.
    fn time_out(&mut self, number: usize) -> bool {
        if !self.transactions.get(number).is_some_and(|transaction| self.silent.contains(&transaction.process)) {
            return false;
        }
        for producer in self.producers.values_mut().filter(|producer| producer.open == Some(number)) {
            producer.open = None;
            producer.epoch += 1;
        }
        self.end(number, Outcome::Aborted);
        true
    }

    /// Whether an open transaction holds offsets of a partition, so that nobody can be told yet where to start.
    pub fn offsets_pending(&mut self, group: &str, topic: &str, partition: i32) -> bool {
        let holds =
            |transaction: &Transaction| transaction.offsets.iter().any(|(of, (t, p, _))| of == group && t == topic && *p == partition);
        let open = self.transactions.iter().position(|transaction| transaction.outcome == Outcome::Open && holds(transaction));
        open.is_some_and(|open| !self.time_out(open))
    }

    // --- reading ---

    /// Gives at most `max` committed records from `next` on, and moves it behind them and what readers do not see.
    pub fn read(&mut self, topic: &str, partition: i32, next: &mut i64, max: usize, into: &mut Events) -> Result<usize, BrokerError> {
        loop {
            let read = self.read_stable(topic, partition, next, max, into)?;
            // What is still open may never end by itself.
            match self.blocker(topic, partition, *next) {
                Some(blocker) if read == 0 && self.time_out(blocker) => {}
                _ => return Ok(read),
            }
        }
    }

    fn read_stable(&mut self, topic: &str, number: i32, next: &mut i64, max: usize, into: &mut Events) -> Result<usize, BrokerError> {
        self.partition(topic, number)?;
        let State { topics, transactions, .. } = self;
        let Some(partition) = topics.get_mut(topic).and_then(|partitions| partitions.get_mut(number as usize)) else { return Ok(0) };
        let (stable, mut read) = (partition.stable_end(transactions), 0);
        while (*next as usize) < stable && read < max {
            let offset = *next;
            *next += 1;
            let Some(kept) = partition.entries.get(offset as usize).and_then(|entry| entry.visible(transactions)) else { continue };
            let (key, value) = (kept.key.as_deref(), kept.value.as_deref());
            into.push(&Record { key, value, headers: &kept.headers, time: kept.time, partition: number, offset });
            read += 1;
        }
        Ok(read)
    }

    /// The transaction that a reader at `next` waits for.
    fn blocker(&mut self, topic: &str, partition: i32, next: i64) -> Option<usize> {
        self.partition(topic, partition).ok()?.entries.get(next as usize)?.transaction
    }

    /// Reads a partition to where it ends now, a run at a time. Waits for nobody: a transaction that is open and alive is to be tried again
    /// later.
    pub fn replay(&mut self, topic: &str, partition: i32, from: Option<i64>) -> Result<(Replay, Vec<Events>), BrokerError> {
        let end = self.partition(topic, partition)?.len() as i64;
        let mut next = match from {
            Some(from) if from > end => return Ok((Replay::Short, Vec::new())),
            from => from.unwrap_or(0),
        };
        let mut runs = Vec::new();
        while next < end {
            let (mut run, before) = (Events::default(), next);
            if self.read(topic, partition, &mut next, REPLAY_RUN, &mut run)? > 0 {
                runs.push(run);
            } else if next == before {
                return Err(BrokerError::Retry(format!("{topic}/{partition}: a transaction is open at offset {next}")));
            }
        }
        Ok((Replay::To(next), runs))
    }
}

/// So many records of a log are handed over at once: few, so that small logs have several runs, too.
const REPLAY_RUN: usize = 16;

// === impl Partition ===

impl Partition {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn stable_end(&mut self, transactions: &[Transaction]) -> usize {
        let is_open =
            |entry: &Entry| entry.transaction.and_then(|number| transactions.get(number)).is_some_and(|t| t.outcome == Outcome::Open);
        while self.entries.get(self.stable).is_some_and(|entry| !is_open(entry)) {
            self.stable += 1;
        }
        self.stable
    }
}

// === impl Entry ===

impl Entry {
    fn visible(&self, transactions: &[Transaction]) -> Option<&Kept> {
        let counts = |number: usize| transactions.get(number).is_some_and(|transaction| transaction.outcome == Outcome::Committed);
        self.record.as_ref().filter(|_| self.transaction.is_none_or(counts))
    }
}

// === impl Kept ===

impl Kept {
    fn of(record: &OutRecord<'_>) -> Kept {
        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        Kept { key, value, headers: record.headers.to_vec(), time: record.time }
    }
}
