//! Partitions come and go: what the group's coordinator decides becomes queues, buffers and [`Assignment`]s.
//!
//! All of it runs on the consumer's thread, inside the poll of its main queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::consumer::Command;
use super::error;
use super::gate::Bounds;
use super::lane::Lane;
use super::queue::PartitionQueue;
use super::source::{Buffer, KafkaSource};
use super::wake::Wake;
use super::watch::Watch;
use crate::broker::{Assignment, BrokerError, Start};

/// A member of a group as librdkafka's callbacks see it.
pub(super) struct Membership {
    pub(super) cluster: String,
    pub(super) start: Start,
    pub(super) bounds: Bounds,
    pub(super) commands: Sender<Command>,
    pub(super) wake: Arc<Wake>,
    pub(super) news: Arc<News>,
    pub(super) watch: Watch,
    /// The partitions that are ours. Only the consumer's thread looks at them; the lock is for the compiler.
    pub(super) lanes: Mutex<Vec<Lane>>,
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
        let committed = self.committed(consumer, partitions)?;
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
        consumer.incremental_assign(&starts)
    }

    fn lose(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<()> {
        let by_force = consumer.assignment_lost();
        for partition in partitions.elements() {
            let (topic, number) = (partition.topic(), partition.partition());
            self.lanes.lock().retain(|lane| {
                let stays = !lane.is(topic, number);
                if !stays {
                    // What lies ready belongs to the next owner as well.
                    lane.buffer.lost.store(true, Ordering::Release);
                    lane.buffer.reset(lane.buffer.next.load(Ordering::Relaxed));
                }
                stays
            });
            self.news.assignment(Assignment::Lost { topic: topic.to_owned(), partition: number });
            tracing::info!(topic, partition = number, by_force, "partition lost");
        }
        consumer.incremental_unassign(partitions)
    }

    /// The offsets that the coordinator keeps for the group.
    fn committed(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        patiently(|| consumer.committed_offsets(partitions.clone(), ASK_TIMEOUT))
    }

    /// Where to start in a partition for which the group has no offset.
    fn first(&self, consumer: &BaseConsumer<Self>, topic: &str, partition: i32) -> KafkaResult<i64> {
        let (low, high) = patiently(|| consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT))?;
        Ok(match self.start {
            Start::Earliest => low,
            Start::Latest => high,
        })
    }
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
