//! The broker of tests: topics in a store, and a handle that makes the outside misbehave as Kafka would.
//!
//! Records, offsets and commits are the embedded broker's; only the faults are its own.

use super::{
    Assignment, Broker, BrokerError, Handback, LocalBroker, OnceSink, OutRecord, Polled, Replay, Replayed, Sink, Source, Subscribe,
    Subscription, Written,
};
use crate::events::Events;
use crate::store::{Changes, Store};
use parking_lot::Mutex;
use std::sync::Arc;

/// A broker that does as it is told.
#[derive(Clone)]
pub struct MemoryBroker {
    topics: LocalBroker,
    controls: Controls,
}

/// Makes a broker misbehave. What is told holds for everything that the broker has made and will make.
#[derive(Clone, Default)]
pub struct Controls(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    delayed_polls: u32,
    failing_writes: u32,
    failing_flushes: u32,
    failing_commits: u32,
    refused_writes: u32,
    /// Counts fences: what was made under a lower count is fenced.
    fences: u32,
    moves: Vec<Move>,
}

#[derive(Clone)]
struct Move {
    topic: String,
    partition: i32,
    gained: bool,
}

struct MemorySubscription {
    broker: MemoryBroker,
    subscribe: Subscribe,
    inner: Box<dyn Subscription>,
    fences: u32,
    moves_seen: usize,
}

struct MemorySource {
    controls: Controls,
    inner: Box<dyn Source>,
}

struct MemorySink {
    controls: Controls,
    inner: Box<dyn Sink>,
    fences: u32,
}

// === impl MemoryBroker ===

impl MemoryBroker {
    /// A broker over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        MemoryBroker { topics: LocalBroker::new(store), controls: Controls::default() }
    }

    /// Another process's way to the same topics, with controls of its own.
    pub fn beside(&self) -> Self {
        MemoryBroker { topics: self.topics.clone(), controls: Controls::default() }
    }

    /// The handle that makes it misbehave.
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// The topics themselves, which never misbehave.
    pub fn topics(&self) -> &LocalBroker {
        &self.topics
    }
}

impl Broker for MemoryBroker {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        self.topics.partitions(topic)
    }

    fn bounds(&self, topic: &str, partition: i32) -> Result<Option<(i64, i64)>, BrokerError> {
        self.topics.bounds(topic, partition)
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.topics.create(topic, partitions)
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(MemorySubscription {
            broker: self.clone(),
            subscribe: subscription.clone(),
            inner: self.topics.subscribe(subscription)?,
            fences: self.controls.0.lock().fences,
            moves_seen: 0,
        }))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(MemorySink { controls: self.controls(), inner: self.topics.sink()?, fences: self.controls.0.lock().fences }))
    }

    fn once(&self, ledger: &str) -> Result<Box<dyn OnceSink>, BrokerError> {
        self.topics.once(ledger)
    }

    fn written(&self, ledger: &str) -> Result<Written, BrokerError> {
        self.topics.written(ledger)
    }

    fn replay(&self, topic: &str, partition: i32, from: Option<i64>, each: Replayed<'_>) -> Result<Replay, BrokerError> {
        self.topics.replay(topic, partition, from, each)
    }
}

// === impl Controls ===

impl Controls {
    /// The next `polls` find nothing.
    pub fn delay(&self, polls: u32) {
        self.0.lock().delayed_polls = polls;
    }

    /// The next `writes` fail, and may be tried again.
    pub fn fail_writes(&self, writes: u32) {
        self.0.lock().failing_writes = writes;
    }

    /// The next `flushes` fail, and may be tried again.
    pub fn fail_flushes(&self, flushes: u32) {
        self.0.lock().failing_flushes = flushes;
    }

    /// The next `commits` of offsets find that another process has taken over.
    pub fn fail_commits(&self, commits: u32) {
        self.0.lock().failing_commits = commits;
    }

    /// The next `writes` are refused for good.
    pub fn refuse(&self, writes: u32) {
        self.0.lock().refused_writes = writes;
    }

    /// Another process takes over: sinks and subscriptions made so far can no longer write or commit.
    pub fn fence(&self) {
        self.0.lock().fences += 1;
    }

    /// Takes a partition away from the subscriptions that read it.
    pub fn lose(&self, topic: &str, partition: i32) {
        self.0.lock().moves.push(Move { topic: topic.to_owned(), partition, gained: false });
    }

    /// Gives a partition (back) to the subscriptions of its topic.
    pub fn gain(&self, topic: &str, partition: i32) {
        self.0.lock().moves.push(Move { topic: topic.to_owned(), partition, gained: true });
    }

    fn fenced(&self, fences: u32) -> Result<(), BrokerError> {
        if self.0.lock().fences == fences { Ok(()) } else { Err(BrokerError::Fenced("another process has taken over".to_owned())) }
    }

    /// Fails as long as the counter that `which` picks is not used up.
    fn use_up(&self, which: impl FnOnce(&mut Plan) -> &mut u32) -> bool {
        let mut plan = self.0.lock();
        let counter = which(&mut plan);
        let hit = *counter > 0;
        *counter = counter.saturating_sub(1);
        hit
    }
}

// === impl MemorySubscription ===

impl MemorySubscription {
    fn gain(&self, topic: String, partition: i32) -> Result<Assignment, BrokerError> {
        let committed = self.broker.topics.committed(&self.subscribe.group, &topic, partition)?;
        // A group that has read before goes on; one that has not starts where the subscription says.
        let start = Subscribe::new(&*self.subscribe.group, [&*topic], self.subscribe.start_of(&topic));
        let of_partition = |assignment: &Assignment| matches!(assignment, Assignment::Gained { partition: p, .. } if *p == partition);
        match self.broker.topics.subscribe(&start)?.changes()?.into_iter().find(of_partition) {
            Some(Assignment::Gained { source, .. }) => Ok(Assignment::Gained { topic, partition, committed, source }),
            _ => Err(BrokerError::Fatal(format!("the topic `{topic}` has no partition {partition}"))),
        }
    }
}

impl Subscription for MemorySubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        let mut news = self.inner.changes()?;
        let moves = self.broker.controls.0.lock().moves[self.moves_seen..].to_vec();
        self.moves_seen += moves.len();
        for Move { topic, partition, gained } in moves {
            if !self.subscribe.names().any(|known| known == topic) {
                continue;
            }
            let before = news.len();
            news.retain(|known| !matches!(known, Assignment::Gained { topic: t, partition: p, .. } if *t == topic && *p == partition));
            if gained {
                news.push(self.gain(topic, partition)?);
            } else if news.len() == before {
                news.push(Assignment::Lost { topic, partition, handback: Handback::default() });
            }
        }
        let controls = &self.broker.controls;
        Ok(news.into_iter().map(|assignment| under_control(assignment, controls)).collect())
    }

    fn commit(&mut self, offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        self.broker.controls.fenced(self.fences)?;
        if self.broker.controls.use_up(|plan| &mut plan.failing_commits) {
            return Err(BrokerError::Fenced("another process has taken over".to_owned()));
        }
        self.inner.commit(offsets)
    }
}

fn under_control(assignment: Assignment, controls: &Controls) -> Assignment {
    match assignment {
        Assignment::Gained { topic, partition, committed, source } => {
            let source = Box::new(MemorySource { controls: controls.clone(), inner: source });
            Assignment::Gained { topic, partition, committed, source }
        }
        lost @ Assignment::Lost { .. } => lost,
    }
}

// === impl MemorySource ===

impl Source for MemorySource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        self.inner.seek(offset)
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        if self.controls.use_up(|plan| &mut plan.delayed_polls) {
            return Ok(Polled::Empty);
        }
        self.inner.poll(max, into)
    }

    fn lag(&self) -> Option<u64> {
        self.inner.lag()
    }
}

// === impl MemorySink ===

impl Sink for MemorySink {
    fn write(&mut self, record: &OutRecord<'_>, changes: &mut Changes) -> Result<(), BrokerError> {
        self.controls.fenced(self.fences)?;
        if self.controls.use_up(|plan| &mut plan.failing_writes) {
            return Err(BrokerError::Retry("the write was lost on its way".to_owned()));
        }
        if self.controls.use_up(|plan| &mut plan.refused_writes) {
            return Err(BrokerError::Refused("the record was refused".to_owned()));
        }
        self.inner.write(record, changes)
    }

    fn flush(&mut self, changes: &mut Changes) -> Result<(), BrokerError> {
        self.controls.fenced(self.fences)?;
        if self.controls.use_up(|plan| &mut plan.failing_flushes) {
            return Err(BrokerError::Retry("the flush was not answered".to_owned()));
        }
        self.inner.flush(changes)
    }

    fn settled(&mut self, written: bool) {
        self.inner.settled(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Start;
    use crate::broker::suite::{CASES, LEDGERS, World, commit, read, record, subscribe, values};
    use crate::store::MemoryStore;
    use std::time::Duration;

    /// Makes the topic `t` with two partitions and a record in each.
    fn memory() -> (MemoryBroker, Arc<dyn Store>) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let broker = MemoryBroker::new(Arc::clone(&store));
        broker.create("t", 2).unwrap();
        commit(&world(&broker, &store), &mut *broker.sink().unwrap(), &[record("t", 0, b"a"), record("t", 1, b"b")]);
        (broker, store)
    }

    fn world<'a>(broker: &'a MemoryBroker, store: &'a Arc<dyn Store>) -> World<'a> {
        World { broker, store: &**store, name: "memory", patience: Duration::ZERO }
    }

    fn told(subscription: &mut dyn Subscription) -> Vec<(bool, i32, Option<i64>)> {
        let changes = subscription.changes().unwrap().into_iter();
        changes
            .map(|change| match change {
                Assignment::Gained { partition, committed, .. } => (true, partition, committed),
                Assignment::Lost { partition, .. } => (false, partition, None),
            })
            .collect()
    }

    #[test]
    fn left_alone_it_does_what_every_broker_does() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let broker = MemoryBroker::new(Arc::clone(&store));
        for (name, case) in CASES.iter().chain(LEDGERS) {
            println!("{name}");
            case(&World { broker: &broker, store: &*store, name, patience: Duration::ZERO });
        }
    }

    #[test]
    fn delayed_records_arrive_after_so_many_polls() {
        let (broker, store) = memory();
        let mut reader = subscribe(&world(&broker, &store), "g", "t", Start::Earliest, 2);
        broker.controls().delay(2);
        let polls = [(); 3].map(|()| reader.sources[0].poll(10, &mut Events::default()).unwrap());
        assert_eq!(polls, [Polled::Empty, Polled::Empty, Polled::Some(1)]);
    }

    #[test]
    fn a_write_and_a_flush_that_fail_can_be_tried_again() {
        let (broker, store) = memory();
        let (mut sink, mut changes) = (broker.sink().unwrap(), Changes::default());
        broker.controls().fail_writes(1);
        broker.controls().fail_flushes(1);
        assert!(matches!(sink.write(&record("t", 0, b"c"), &mut changes), Err(BrokerError::Retry(_))));
        sink.write(&record("t", 0, b"c"), &mut changes).unwrap();
        assert!(matches!(sink.flush(&mut changes), Err(BrokerError::Retry(_))));
        sink.flush(&mut changes).unwrap();
        store.write(&changes).unwrap();
        sink.settled(true);
        let world = world(&broker, &store);
        assert_eq!(values(&read(&world, &mut *subscribe(&world, "g", "t", Start::Earliest, 2).sources[0], 2)), ["a", "c"]);
    }

    #[test]
    fn a_refused_record_is_refused_once() {
        let (broker, _store) = memory();
        let (mut sink, mut changes) = (broker.sink().unwrap(), Changes::default());
        broker.controls().refuse(1);
        assert!(matches!(sink.write(&record("t", 0, b"c"), &mut changes), Err(BrokerError::Refused(_))));
        sink.write(&record("t", 0, b"d"), &mut changes).unwrap();
    }

    #[test]
    fn a_fenced_process_neither_writes_nor_commits_and_a_new_one_does() {
        let (broker, store) = memory();
        let (mut sink, mut changes) = (broker.sink().unwrap(), Changes::default());
        let mut reader = subscribe(&world(&broker, &store), "g", "t", Start::Earliest, 2);
        sink.write(&record("t", 0, b"c"), &mut changes).unwrap();
        broker.controls().fence();
        assert!(matches!(sink.write(&record("t", 0, b"c"), &mut changes), Err(BrokerError::Fenced(_))));
        assert!(matches!(sink.flush(&mut changes), Err(BrokerError::Fenced(_))));
        assert!(matches!(reader.subscription.commit(&[("t".to_owned(), 0, 1)]), Err(BrokerError::Fenced(_))));
        commit(&world(&broker, &store), &mut *broker.sink().unwrap(), &[record("t", 0, b"d")]);
    }

    #[test]
    fn a_partition_that_comes_back_starts_at_what_was_committed() {
        let (broker, store) = memory();
        let subscribe = Subscribe::new("g".to_owned(), ["t".to_owned()], Start::Earliest);
        let mut subscription = broker.subscribe(&subscribe).unwrap();
        assert_eq!(told(&mut *subscription), [(true, 0, None), (true, 1, None)]);
        broker.controls().lose("t", 1);
        broker.controls().lose("elsewhere", 1);
        assert_eq!(told(&mut *subscription), [(false, 1, None)]);

        let other = broker.beside();
        other.controls().lose("t", 0);
        let mut second = other.subscribe(&subscribe).unwrap();
        assert_eq!(told(&mut *second), [(true, 1, None)]);
        second.commit(&[("t".to_owned(), 1, 1)]).unwrap();

        broker.controls().gain("t", 1);
        let Some(Assignment::Gained { committed, mut source, .. }) = subscription.changes().unwrap().pop() else {
            panic!("nothing gained")
        };
        assert_eq!(committed, Some(1));
        commit(&world(&broker, &store), &mut *broker.sink().unwrap(), &[record("t", 1, b"c")]);
        assert_eq!(values(&read(&world(&broker, &store), &mut *source, 1)), ["c"]);
    }
}
