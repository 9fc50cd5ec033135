//! Partitions come and go: what the group's coordinator decides becomes queues, buffers and [`Assignment`]s.
//!
//! All of it runs on the consumer's thread, inside the poll of its main queue.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext};

use super::consumer::Command;
use super::error;
use super::gate::Bounds;
use super::lane::Lane;
use super::queue::{self, PartitionQueue};
use super::source::{Buffer, KafkaSource};
use super::wake::Wake;
use super::watch::Watch;
use crate::broker::{Assignment, BrokerError, Handback, Start, Subscribe};

/// A member of a group as librdkafka's callbacks see it.
pub(super) struct Membership {
    pub(super) cluster: String,
    pub(super) subscribe: Subscribe,
    pub(super) bounds: Bounds,
    pub(super) commands: Sender<Command>,
    /// Where they arrive. They are served while a rebalance waits, too: a commit may be what it waits for.
    pub(super) received: Receiver<Command>,
    /// Partitions went to another member before what was read of them was committed: nothing that was read since may be committed any more.
    pub(super) forfeited: AtomicBool,
    /// The subscription is to end: nobody settles anything any more.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) wake: Arc<Wake>,
    pub(super) news: Arc<News>,
    pub(super) watch: Watch,
    /// The partitions that are ours. Only the consumer's thread looks at them; the lock is for the compiler.
    pub(super) lanes: Mutex<Vec<Lane>>,
    /// For a client that asks where partitions end.
    pub(super) asker: ClientConfig,
}

/// What the subscription's owner has not been told yet.
#[derive(Default)]
pub(super) struct News {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    assignments: Vec<Assignment>,
    error: Option<BrokerError>,
    /// The subscription cannot go on, and why.
    ended: Option<String>,
}

/// How long Kafka may take to tell an offset; a transaction that is about to end can hold up the group's.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked.
const ASK_TRIES: usize = 3;
/// How long partitions that go may wait for the commit of what was read of them. The group waits for us meanwhile.
const HANDBACK_TIMEOUT: Duration = Duration::from_secs(45);
const HANDBACK_TURN: Duration = Duration::from_millis(2);
/// A partition that has just been assigned cannot be moved for a moment.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
const SEEK_TURN: Duration = Duration::from_millis(20);

// === impl News ===

impl News {
    /// What has happened since the last call.
    pub(super) fn take(&self) -> Result<Vec<Assignment>, BrokerError> {
        let mut heard = self.heard.lock();
        if !heard.assignments.is_empty() {
            return Ok(std::mem::take(&mut heard.assignments));
        }
        match (heard.error.take(), &heard.ended) {
            (Some(error), _) => Err(error),
            (None, Some(why)) => Err(BrokerError::Fenced(why.clone())),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Tells an error once. The first is kept: those after it follow from it more often than not.
    pub(super) fn fail(&self, error: BrokerError) {
        self.heard.lock().error.get_or_insert(error);
    }

    /// Tells from now on that the subscription cannot go on.
    pub(super) fn end(&self, why: String) {
        self.heard.lock().ended.get_or_insert(why);
    }

    /// Why the subscription cannot go on.
    pub(super) fn ended(&self) -> Option<String> {
        self.heard.lock().ended.clone()
    }

    fn assignment(&self, assignment: Assignment) {
        self.heard.lock().assignments.push(assignment);
    }
}

// === impl Membership ===

impl Membership {
    fn gain(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<()> {
        self.read(consumer, &self.committed(consumer, partitions)?)
    }

    /// Reads partitions from now on, each from the offset that is said there, or else from where the subscription starts.
    pub(super) fn read(&self, consumer: &BaseConsumer<Self>, committed: &TopicPartitionList) -> KafkaResult<()> {
        let mut starts = TopicPartitionList::with_capacity(committed.count());
        for partition in committed.elements() {
            partition.error()?;
            let (topic, number) = (partition.topic(), partition.partition());
            let offset = match partition.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            // SAFETY: the client lives, and the lanes are cleared before it goes: see `Reader` in `consumer`.
            let queue = unsafe { PartitionQueue::split(consumer.client().native_ptr(), topic, number, Arc::clone(&self.wake)) };
            let queue = queue.ok_or_else(|| KafkaError::Subscription(format!("{topic}/{number} has no queue")))?;
            // Looked up here and not left to the library, so that the place is settled when the reader hears of the partition.
            let next = offset.map_or_else(|| self.first(consumer, topic, number), Ok)?;
            let buffer = Arc::new(Buffer::new(topic, number, self.bounds, next));
            let source = KafkaSource::new(Arc::clone(&buffer), self.commands.clone(), Arc::clone(&self.wake));
            self.lanes.lock().push(Lane::new(buffer, queue));
            self.news.assignment(Assignment::Gained {
                topic: topic.to_owned(),
                partition: number,
                committed: offset,
                source: Box::new(source),
            });
            starts.add_partition_offset(topic, number, Offset::Offset(next))?;
            tracing::info!(topic, partition = number, committed = offset, next, "partition gained");
        }
        if is_eager(consumer) { consumer.assign(&starts) } else { consumer.incremental_assign(&starts) }
    }

    fn lose(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<()> {
        let by_force = consumer.assignment_lost();
        self.forfeited.fetch_or(by_force, Ordering::SeqCst);
        let (awaited, dropped, late) = Handback::awaited();
        let handback = if by_force { Handback::too_late() } else { awaited.clone() };
        drop(awaited);
        for partition in partitions.elements() {
            let (topic, number) = (partition.topic(), partition.partition());
            for lane in self.lanes.lock().iter().filter(|lane| lane.is(topic, number)) {
                // What lies ready belongs to the next owner as well.
                lane.buffer.lost.store(true, Ordering::Release);
                lane.buffer.reset(lane.buffer.next.load(Ordering::Relaxed));
            }
            self.news.assignment(Assignment::Lost { topic: topic.to_owned(), partition: number, handback: handback.clone() });
            tracing::info!(topic, partition = number, by_force, "partition lost");
        }
        drop(handback);
        self.wait_for(consumer, &dropped, &late);
        let lost = |lane: &Lane| partitions.find_partition(&lane.buffer.topic, lane.buffer.partition).is_some();
        self.lanes.lock().retain(|lane| !lost(lane));
        if is_eager(consumer) { consumer.unassign() } else { consumer.incremental_unassign(partitions) }
    }

    /// Waits until what was read of partitions that go is committed: their next owner must not start before.
    fn wait_for(&self, consumer: &BaseConsumer<Self>, dropped: &Receiver<Infallible>, late: &AtomicBool) {
        let deadline = Instant::now() + HANDBACK_TIMEOUT;
        while dropped.try_recv() == Err(TryRecvError::Empty) {
            if self.stop.load(Ordering::Acquire) || Instant::now() >= deadline {
                late.store(true, Ordering::SeqCst);
                return self.forfeited.store(true, Ordering::SeqCst);
            }
            if let Ok(command) = self.received.recv_timeout(HANDBACK_TURN) {
                self.obey(consumer, command, &|| ());
            }
        }
    }

    /// Does what was asked of the consumer's thread; `serve` has the client's events served, where that is allowed.
    pub(super) fn obey(&self, consumer: &BaseConsumer<Self>, command: Command, serve: &dyn Fn()) {
        // Whoever asked may have gone; then nobody misses the answer.
        match command {
            Command::Commit { offsets, mode, done } => done.send(self.commit(consumer, &offsets, mode)).ok(),
            Command::Seek { buffer, offset, done } => done.send(self.seek(consumer, &buffer, offset, serve)).ok(),
            Command::Member { done } => done.send(self.member(consumer)).ok(),
            Command::Look { done } => done.send(self.look_again()).ok(),
        };
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, offsets: &[(String, i32, i64)], mode: CommitMode) -> Result<(), BrokerError> {
        let sort = |cause: KafkaError| error::sort(&cause, "commit offsets", &self.cluster);
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            if !self.lanes.lock().iter().any(|lane| lane.is(topic, *partition)) {
                return Err(BrokerError::Fenced(format!(
                    "{topic}/{partition} is read by another member of the group now; its offset was not committed"
                )));
            }
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(sort)?;
        }
        consumer.commit(&list, mode).map_err(sort)
    }

    fn seek(&self, consumer: &BaseConsumer<Self>, buffer: &Buffer, offset: i64, serve: &dyn Fn()) -> Result<(), BrokerError> {
        let deadline = Instant::now() + SEEK_TIMEOUT;
        while !buffer.lost.load(Ordering::Acquire) {
            match consumer.seek(&buffer.topic, buffer.partition, Offset::Offset(offset), SEEK_TIMEOUT) {
                Ok(()) => {
                    buffer.reset(offset);
                    return Ok(());
                }
                Err(cause) if Instant::now() >= deadline => {
                    let place = format!("{}/{}", buffer.topic, buffer.partition);
                    return Err(BrokerError::Retry(format!("Kafka at {}: cannot go to offset {offset} of {place}: {cause}", self.cluster)));
                }
                Err(_) => {
                    thread::sleep(SEEK_TURN);
                    serve();
                }
            }
        }
        // It went away meanwhile; its reader is told so by the next changes.
        Ok(())
    }

    /// Asks where our partitions end, whatever transactions are open: what a commit has just ended may not be over yet for a reader of
    /// committed records, and is to be waited for.
    fn look_again(&self) -> Result<(), BrokerError> {
        let sort = |cause: KafkaError| error::sort(&cause, "look up where partitions end", &self.cluster);
        let asker: BaseConsumer<Watch> = self.asker.create_with_context(Watch::default()).map_err(sort)?;
        for lane in self.lanes.lock().iter() {
            let (_, end) = asker.fetch_watermarks(&lane.buffer.topic, lane.buffer.partition, ASK_TIMEOUT).map_err(sort)?;
            lane.buffer.asked.store(end, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Who we are in the group. On the consumer's thread, where no partition can go to another member meanwhile.
    fn member(&self, consumer: &BaseConsumer<Self>) -> Result<ConsumerGroupMetadata, BrokerError> {
        let fenced = |why| BrokerError::Fenced(format!("Kafka at {}: nothing can be committed, {why}", self.cluster));
        if self.forfeited.load(Ordering::SeqCst) {
            return Err(fenced("partitions have gone to another member of the group"));
        }
        // Outside of the group there is no generation, and a commit without one would not be checked. The library says so beside the
        // metadata, not in it; a generation never comes back, so what is the same before and after is that of what lies between.
        // SAFETY: the client lives.
        let generation = || unsafe { queue::generation(consumer.client().native_ptr()) };
        let before = generation();
        match consumer.group_metadata() {
            Some(member) if before.is_some() && before == generation() => Ok(member),
            _ => Err(fenced("this process is no member of the group just now")),
        }
    }

    /// The offsets that the coordinator keeps for the group.
    fn committed(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        patiently(|| consumer.committed_offsets(partitions.clone(), ASK_TIMEOUT))
    }

    /// Where to start in a partition for which the group has no offset.
    fn first(&self, consumer: &BaseConsumer<Self>, topic: &str, partition: i32) -> KafkaResult<i64> {
        let (low, high) = patiently(|| consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT))?;
        Ok(match self.subscribe.start_of(topic) {
            Start::Earliest => low,
            Start::Latest => high,
        })
    }
}

/// Whether a rebalance takes all partitions before it gives any.
fn is_eager(consumer: &BaseConsumer<Membership>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager)
}

/// Asks again where that can help.
fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    for _ in 1..ASK_TRIES {
        match ask() {
            Err(error) if matches!(error::sort(&error, "", ""), BrokerError::Retry(_)) => {}
            result => return result,
        }
    }
    ask()
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.hear_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.watch.hear_error(&error, text);
    }
}

impl ConsumerContext for Membership {
    // Overridden as the crate's own starts to read before the group's offsets are known, and leaves the partitions in the common queue.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let result = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.gain(consumer, partitions),
            _ => self.lose(consumer, partitions),
        };
        if let Err(error) = result {
            // A member that does not take what it was given would hold it without reading: better to leave and to join anew.
            self.news.end(error::sort(&error, "take over partitions", &self.cluster).to_string());
        }
    }
}
