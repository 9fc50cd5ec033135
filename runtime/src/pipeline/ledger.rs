//! What a run over Kafka commits with: one transaction for outputs, offsets and the logs of what changed; and how a store is brought to
//! where those logs end.
//!
//! The logs are the truth, the store is a copy that makes a start fast: it is written after the transaction is committed, together with how
//! far into the logs it goes, so that it is never ahead of them and a restart reads only what came since.

use super::crew::Failed;
use super::health::Health;
use super::standby::{self, Slice, Standby};
use super::{Brokers, PipelineError};
use crate::broker::{Appended, Broker, BrokerError, Closed, Member, PartitionOffset, Replay, Sink, Transactions};
use crate::config::{Guarantee, Pipeline};
use crate::store::{Changes, Store, StoreError};
use crate::task::{Log, SCHEMAS, Topology, Work, log_of, put_back, record_key, spaces_of};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Transactions and logs of a pipeline.
pub struct Ledger {
    pipeline: String,
    cluster: usize,
    broker: Arc<dyn Broker>,
    transactions: Arc<dyn Transactions>,
    /// What operators' logs are still to be told, besides what commits change: operator, slice, changes.
    owed: Mutex<Vec<(String, u32, Changes)>>,
    health: Health,
    /// Slices of operators that have been read back.
    slices: Mutex<BTreeSet<(String, u32)>>,
}

/// The space of the store that holds how far into each partition of a log it goes: eight bytes, little-endian.
pub(super) const LOGS: &str = "changelogs";

/// The space of the store that holds what tells this process from others of the same pipeline.
const INSTANCE: &str = "instance";

/// So many changes of a log are written into the store at once.
const CHUNK: usize = 50_000;

/// How often a long restore says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

impl Ledger {
    /// Fences off whoever wrote for this process before, and makes the logs. `None` where all is committed in the store.
    pub fn open(
        pipeline: &Pipeline,
        brokers: &Brokers,
        topology: &Topology,
        store: &dyn Store,
        health: &Health,
    ) -> Result<Option<Ledger>, Failed> {
        if pipeline.guarantee != Guarantee::ExactlyOnce {
            return Ok(None);
        }
        let Some((cluster, broker)) = home(brokers, topology) else { return Ok(None) };
        let id = format!("{}-{}", pipeline.name, instance(store)?);
        let Some(transactions) = broker.transactions(&id)? else { return Ok(None) };
        let (owed, slices) = (Mutex::default(), Mutex::default());
        let ledger = Ledger { pipeline: pipeline.name.clone(), cluster, broker, transactions, owed, health: health.clone(), slices };
        ledger.make_logs(topology)?;
        Ok(Some(ledger))
    }

    /// A writer into the transaction that is open, for the cluster that has transactions.
    pub fn sink(&self, cluster: usize) -> Option<Box<dyn Sink>> {
        (cluster == self.cluster).then(|| self.transactions.sink())
    }

    /// The cluster that has the transactions; its offsets are committed with them.
    pub fn cluster(&self) -> usize {
        self.cluster
    }

    fn make_logs(&self, topology: &Topology) -> Result<(), Failed> {
        self.broker.create_log(&Log::Positions.topic(&self.pipeline), 1)?;
        for node in topology.operators.iter().filter(|node| node.is_keyed()) {
            let now = topology.groups.get(node.group).map_or(1, |group| group.parallelism);
            let topic = Log::Operator(&node.name).topic(&self.pipeline);
            self.broker.create_log(&topic, now)?;
            match self.broker.partitions(&topic)? {
                Some(then) if then != now => {
                    return Err(Failed::Fatal(PipelineError::Repartitioned { operator: node.name.to_string(), then, now }));
                }
                _ => {}
            }
        }
        Ok(())
    }

    // --- to where the logs end ---

    /// Brings the store to where the logs end, for the tasks that read the partitions gained (stream and number), and for those that get
    /// events from other tasks.
    pub fn catch_up(&self, topology: &Topology, gained: &[(usize, u32)], store: &dyn Store) -> Result<(), Failed> {
        self.read_back(Log::Positions, 0, store)?;
        let mut slices = slices_of(topology, gained);
        for (operator, slice) in &slices {
            self.read_slice_back(operator, *slice, store)?;
        }
        self.slices.lock().append(&mut slices);
        Ok(())
    }

    /// Starts to keep copies of what other processes know, at first of nothing.
    pub fn stand_by(&self, topology: &Topology, store: &Arc<dyn Store>) -> Result<Standby, Failed> {
        let all: Vec<_> =
            topology.groups.iter().flat_map(|group| &group.reads).flat_map(|stream| partitions_of(topology, *stream)).collect();
        let slices = slices_of(topology, &all).into_iter().collect();
        let standby = Standby::start(&self.pipeline, self.broker.clone(), store, &self.health, slices);
        standby.map_err(|why| Failed::Fatal(PipelineError::Thread(why)))
    }

    fn read_slice_back(&self, operator: &str, slice: u32, store: &dyn Store) -> Result<(), Failed> {
        standby::take_over(operator, slice, store)?;
        self.read_back(Log::Operator(operator), slice, store)?;
        // The version goes with every slice, as those may be in different places.
        if let Some(version) = store.get(SCHEMAS, operator.as_bytes())? {
            let mut changes = Changes::default();
            changes.put(SCHEMAS, operator.as_bytes(), &version);
            self.owe(operator, slice, changes);
        }
        Ok(())
    }

    /// Has changes added to each slice's log of an operator with the next commit.
    pub fn owe_all(&self, operator: &str, changes: &Changes) {
        for (_, slice) in self.slices.lock().iter().filter(|(name, _)| name == operator) {
            self.owe(operator, *slice, changes.clone());
        }
    }

    /// Has changes added to an operator's log with the next commit.
    fn owe(&self, operator: &str, slice: u32, changes: Changes) {
        self.owed.lock().push((operator.to_owned(), slice, changes));
    }

    fn read_back(&self, log: Log<'_>, slice: u32, store: &dyn Store) -> Result<(), Failed> {
        let topic = log.topic(&self.pipeline);
        let place = format!("{topic}/{slice}");
        let mut from = place_in_log(store, &place)?;
        let mut progress = Progress::new(&self.pipeline, &place);
        if from.is_none() {
            self.adopt(log, slice, &place, store)?;
        }
        loop {
            let mut changes = Changes::default();
            let read = self.broker.replay(&topic, slice as i32, from, &mut |events| {
                for row in &events.rows {
                    let key = events.key(row).unwrap_or(&[]);
                    put_back(log, slice, key, events.value(row), &mut changes).map_err(|why| {
                        BrokerError::Fatal(format!("{place}, offset {}: {why}; the topic is the log of `{}`", row.offset, self.pipeline))
                    })?;
                }
                self.health.read_back(events.rows.len());
                progress.add(events.rows.len());
                if changes.len() >= CHUNK {
                    store.write(&changes)?;
                    changes.clear();
                }
                Ok(())
            })?;
            match read {
                Replay::To(next) => {
                    if from != Some(next) {
                        changes.put(LOGS, place.as_bytes(), &next.to_le_bytes());
                        store.write(&changes)?;
                    }
                    progress.done();
                    return Ok(());
                }
                Replay::Short => {
                    tracing::warn!(pipeline = %self.pipeline, log = %place, "the local copy is ahead of its log, which must be another one; it is made anew");
                    changes.clear();
                    if let Log::Operator(operator) = log {
                        forget(operator, slice, store, &mut changes)?;
                    }
                    changes.delete(LOGS, place.as_bytes());
                    store.write(&changes)?;
                    from = None;
                }
            }
        }
    }

    /// State from a time without logs becomes the beginning of one; beside a log that has records it counts for nothing.
    fn adopt(&self, log: Log<'_>, slice: u32, place: &str, store: &dyn Store) -> Result<(), Failed> {
        let Log::Operator(operator) = log else { return Ok(()) };
        let mut held = Changes::default();
        for space in spaces_of(operator, slice) {
            store.scan(&space, &[], &mut |key, value| {
                held.put(&space, key, value);
                ControlFlow::Continue(())
            })?;
        }
        if held.is_empty() {
            return Ok(());
        }
        let mut records = 0;
        self.broker.replay(&log.topic(&self.pipeline), slice as i32, None, &mut |events| {
            records += events.rows.len();
            Ok(())
        })?;
        if records == 0 {
            tracing::info!(pipeline = %self.pipeline, log = %place, entries = held.len(), "the state that is here becomes the beginning of its log");
            self.owe(operator, slice, held);
        } else {
            let mut changes = Changes::default();
            forget(operator, slice, store, &mut changes)?;
            store.write(&changes)?;
        }
        Ok(())
    }

    /// Whether the store knows how far everything has been read: not where another process has committed since, or the log is another one.
    pub fn is_current(&self, store: &dyn Store) -> Result<bool, Failed> {
        let topic = Log::Positions.topic(&self.pipeline);
        let from = place_in_log(store, &format!("{topic}/0"))?;
        // Of each entry only the newest counts.
        let (mut changes, mut newest) = (Changes::default(), BTreeMap::new());
        let read = self.broker.replay(&topic, 0, from, &mut |events| {
            let keys = events.rows.iter().map(|row| (events.key(row).unwrap_or(&[]), events.value(row)));
            for (key, value) in keys {
                put_back(Log::Positions, 0, key, value, &mut changes).map_err(|why| BrokerError::Fatal(format!("{topic}: {why}")))?;
            }
            newest.extend(changes.iter().map(|(space, key, value)| ((space.to_owned(), key.to_vec()), value.map(<[u8]>::to_vec))));
            changes.clear();
            Ok(())
        })?;
        if read == Replay::Short {
            return Ok(false);
        }
        for ((space, key), value) in newest {
            if store.get(&space, &key)? != value {
                return Ok(false);
            }
        }
        Ok(true)
    }

    // --- commits ---

    /// Closes the transaction that holds the outputs so far: what is written from now on belongs to the next one.
    pub fn close(&self) -> Result<Box<dyn Closed>, Failed> {
        Ok(self.transactions.close()?)
    }

    /// Commits a round of work: the transaction first, then the store. After an error it is open whether the transaction counts; the logs
    /// tell when they are read again.
    pub fn commit(
        &self,
        mut closed: Box<dyn Closed>,
        work: &Work,
        topology: &Topology,
        member: Option<&Member>,
        store: &dyn Store,
    ) -> Result<(), Failed> {
        let mut key_of = Vec::new();
        for (operator, slice, changes) in self.owed.lock().drain(..) {
            let log = Log::Operator(&operator);
            let topic = log.topic(&self.pipeline);
            for (space, key, value) in changes.iter() {
                record_key(log, space, key, &mut key_of);
                closed.append(&topic, slice as i32, &key_of, value)?;
            }
        }
        let mut all = Changes::default();
        let mut last: Option<(&str, Log<'_>, String, u32)> = None;
        for (space, key, value) in work.changes.iter().flat_map(Changes::iter) {
            if is_minor(space) && store.get(space, key)?.as_deref() == value {
                continue;
            }
            all.set(space, key, value);
            let known = last.take().filter(|(known, ..)| *known == space);
            let at = known.or_else(|| {
                log_of(space, |operator| topology.is_keyed(operator)).map(|(log, slice)| (space, log, log.topic(&self.pipeline), slice))
            });
            if let Some((_, log, topic, slice)) = &at {
                record_key(*log, space, key, &mut key_of);
                closed.append(topic, *slice as i32, &key_of, value)?;
            }
            last = at;
        }
        let (offsets, positions) = (self.offsets(work, topology), Log::Positions.topic(&self.pipeline));
        for Appended { topic, partition, first, end } in closed.commit(&offsets, member)? {
            let place = format!("{topic}/{partition}");
            // Other processes write positions, too: what of theirs lies before ours is still to be read. Our own last record is followed by the
            // marker of its transaction, one offset.
            let known = place_in_log(store, &place)?;
            if topic != positions || known.is_some_and(|known| first <= known + 1) {
                all.put(LOGS, place.as_bytes(), &end.to_le_bytes());
            }
        }
        if !all.is_empty() {
            store.write(&all)?;
        }
        Ok(())
    }

    fn offsets(&self, work: &Work, topology: &Topology) -> Vec<PartitionOffset> {
        let at_home = |stream: usize| topology.streams.get(stream)?.topic.as_ref().filter(|topic| topic.cluster == self.cluster);
        let positions = work.positions.iter();
        positions.filter_map(|(stream, partition, offset)| Some((at_home(*stream)?.topic.clone(), *partition, *offset))).collect()
    }
}

/// The slices of keyed operators that belong to whoever reads these partitions (stream and number).
pub(super) fn slices_of(topology: &Topology, held: &[(usize, u32)]) -> BTreeSet<Slice> {
    let mut slices = BTreeSet::new();
    for node in topology.operators.iter().filter(|node| node.is_keyed()) {
        let Some(group) = topology.groups.get(node.group) else { continue };
        let read = held.iter().filter(|(stream, _)| group.reads.contains(stream)).map(|(_, slice)| *slice);
        let sent = (0..group.parallelism).filter(|_| group.has_inbox);
        slices.extend(read.chain(sent).map(|slice| (node.name.to_string(), slice)));
    }
    slices
}

fn partitions_of(topology: &Topology, stream: usize) -> impl Iterator<Item = (usize, u32)> {
    let topic = topology.streams.get(stream).and_then(|stream| stream.topic.as_ref());
    (0..topic.map_or(0, |topic| topic.partitions)).map(move |partition| (stream, partition))
}

/// The cluster with transactions that the pipeline writes to, or else reads.
fn home(brokers: &Brokers, topology: &Topology) -> Option<(usize, Arc<dyn Broker>)> {
    let written = topology.operators.iter().flat_map(|node| node.outputs.iter().flatten().chain(&node.late).chain(&node.dead_letters));
    let read = topology.groups.iter().flat_map(|group| &group.reads);
    let passages = (0..topology.streams.len()).filter(|s| topology.streams.get(*s).is_some_and(|stream| stream.carries.is_some()));
    let passages: Vec<usize> = passages.collect();
    let clusters =
        passages.iter().chain(written).chain(read).filter_map(|stream| Some(topology.streams.get(*stream)?.topic.as_ref()?.cluster));
    clusters.filter_map(|cluster| Some((cluster, brokers.all().get(cluster)?.clone()))).find(|(_, broker)| broker.has_transactions())
}

/// What tells this process from others of the same pipeline, and stays over restarts on the same store.
fn instance(store: &dyn Store) -> Result<String, StoreError> {
    if let Some(known) = store.get(INSTANCE, b"id")?.and_then(|id| String::from_utf8(id).ok()) {
        return Ok(known);
    }
    let id = format!("{:08x}", RandomState::new().build_hasher().finish() as u32);
    let mut changes = Changes::default();
    changes.put(INSTANCE, b"id", id.as_bytes());
    store.write(&changes)?;
    Ok(id)
}

pub(super) fn place_in_log(store: &dyn Store, place: &str) -> Result<Option<i64>, StoreError> {
    Ok(store.get(LOGS, place.as_bytes())?.and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes))
}

/// Spaces whose entries are written with every commit, changed or not.
fn is_minor(space: &str) -> bool {
    space == crate::task::POSITIONS || space.starts_with("stage/")
}

/// Adds the deletion of everything that a slice of an operator has in the store.
fn forget(operator: &str, slice: u32, store: &dyn Store, changes: &mut Changes) -> Result<(), StoreError> {
    for space in spaces_of(operator, slice) {
        store.scan(&space, &[], &mut |key, _| {
            changes.delete(&space, key);
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

/// Says how far a restore is, where it takes long.
struct Progress<'a> {
    pipeline: &'a str,
    place: &'a str,
    started: Instant,
    said: Instant,
    records: usize,
}

impl<'a> Progress<'a> {
    fn new(pipeline: &'a str, place: &'a str) -> Progress<'a> {
        let now = Instant::now();
        Progress { pipeline, place, started: now, said: now, records: 0 }
    }

    fn add(&mut self, records: usize) {
        self.records += records;
        if self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            tracing::info!(pipeline = self.pipeline, log = self.place, records = self.records, "restoring state");
        }
    }

    fn done(&self) {
        if self.records > 0 {
            let ms = self.started.elapsed().as_millis() as u64;
            tracing::info!(pipeline = self.pipeline, log = self.place, records = self.records, ms, "state restored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{MemoryBroker, OutRecord, settle};
    use crate::store::MemoryStore;
    use crate::task::POSITIONS;

    /// A process that is to read only.
    struct NoTransactions;

    impl Transactions for NoTransactions {
        fn sink(&self) -> Box<dyn Sink> {
            unreachable!("nothing is written")
        }

        fn close(&self) -> Result<Box<dyn Closed>, BrokerError> {
            unreachable!("nothing is committed")
        }
    }

    /// A ledger, the store that is its process's copy, and the one that its broker lies in.
    fn ledger() -> (Ledger, MemoryStore, Arc<dyn Store>) {
        let topics: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let broker = Arc::new(MemoryBroker::new(Arc::clone(&topics)));
        broker.create_log(&Log::Positions.topic("orders"), 1).unwrap();
        let (transactions, health, owed, slices) = (Arc::new(NoTransactions), Health::default(), Mutex::default(), Mutex::default());
        let ledger = Ledger { pipeline: "orders".to_owned(), cluster: 0, broker, transactions, owed, health, slices };
        (ledger, MemoryStore::new(), topics)
    }

    /// Adds what some process has committed to the log of positions.
    fn commit(ledger: &Ledger, topics: &dyn Store, changes: &[(&str, &str, Option<&str>)]) {
        let (mut sink, mut pending) = (ledger.broker.sink().unwrap(), Changes::default());
        let (topic, mut key) = (Log::Positions.topic("orders"), Vec::new());
        for (space, of, value) in changes {
            record_key(Log::Positions, space, of.as_bytes(), &mut key);
            let value = value.map(str::as_bytes);
            let record = OutRecord { topic: &topic, partition: 0, key: Some(&key), value, headers: &[], time: 0 };
            sink.write(&record, &mut pending).unwrap();
        }
        settle(&mut *sink, &mut pending, topics).unwrap();
    }

    #[test]
    fn a_copy_is_current_until_another_process_commits_and_again_when_it_has_read_that() {
        let (ledger, store, topics) = ledger();
        let is_current = || ledger.is_current(&store).unwrap();
        assert!(is_current(), "nothing has been committed");
        commit(&ledger, &*topics, &[(POSITIONS, "words/0", Some("1")), (POSITIONS, "words/1", Some("1"))]);
        assert!(!is_current());
        ledger.read_back(Log::Positions, 0, &store).unwrap();
        assert!(is_current());
        commit(&ledger, &*topics, &[("stage/split/1", "watermark", Some("9"))]);
        assert!(!is_current(), "what an operator without keys remembers is told there, too");
        ledger.read_back(Log::Positions, 0, &store).unwrap();
        commit(&ledger, &*topics, &[(POSITIONS, "words/1", None)]);
        assert!(!is_current(), "a position is gone");
        ledger.read_back(Log::Positions, 0, &store).unwrap();
        assert!(is_current());
    }

    #[test]
    fn a_copy_of_a_log_that_was_made_anew_is_not_current() {
        let (ledger, store, topics) = self::ledger();
        commit(&ledger, &*topics, &[(POSITIONS, "words/0", Some("1"))]);
        ledger.read_back(Log::Positions, 0, &store).unwrap();
        let (anew, ..) = self::ledger();
        assert!(!anew.is_current(&store).unwrap());
    }

    #[test]
    fn of_what_was_committed_since_only_the_newest_counts() {
        let (ledger, store, topics) = ledger();
        commit(&ledger, &*topics, &[(POSITIONS, "words/0", Some("1"))]);
        ledger.read_back(Log::Positions, 0, &store).unwrap();
        commit(&ledger, &*topics, &[(POSITIONS, "words/0", Some("2"))]);
        assert!(!ledger.is_current(&store).unwrap());
        commit(&ledger, &*topics, &[(POSITIONS, "words/0", None)]);
        assert!(!ledger.is_current(&store).unwrap());
        commit(&ledger, &*topics, &[(POSITIONS, "words/0", Some("1"))]);
        assert!(ledger.is_current(&store).unwrap(), "it is as the copy has it");
    }

    #[test]
    fn a_log_that_another_program_has_written_to_is_an_error_that_names_it() {
        let (ledger, store, topics) = ledger();
        commit(&ledger, &*topics, &[("words", "0", Some("1"))]);
        let why = format!("{:?}", ledger.is_current(&store).unwrap_err());
        assert!(why.contains("orders.positions: a record without a valid key"), "{why}");
    }
}
