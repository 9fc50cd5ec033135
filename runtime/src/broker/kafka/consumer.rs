//! The thread of a subscription: it owns the consumer, keeps the membership of the group alive and fills the partitions' buffers.
//!
//! It hands records over; what becomes of them, and when their offsets are committed, is decided elsewhere.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::options::KafkaOptions;
use super::queue::{self, Batch};
use super::rebalance::{Membership, News};
use super::source::Buffer;
use super::wake::Wake;
use super::watch::Watch;
use crate::broker::{Assignment, BrokerError, Member, Start, Subscribe, Subscription};

/// What the thread is asked to do. It answers on `done`.
pub(super) enum Command {
    Commit { offsets: Vec<(String, i32, i64)>, mode: CommitMode, done: Sender<Result<(), BrokerError>> },
    Seek { buffer: Arc<Buffer>, offset: i64, done: Sender<Result<(), BrokerError>> },
    Member { done: Sender<Result<ConsumerGroupMetadata, BrokerError>> },
    Look { done: Sender<Result<(), BrokerError>> },
}

/// A subscription's handle; dropping it leaves the group.
pub(super) struct KafkaSubscription {
    news: Arc<News>,
    commands: Sender<Command>,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread owns.
struct Reader {
    consumer: BaseConsumer<Membership>,
    topics: Vec<String>,
    stop: Arc<AtomicBool>,
    batch: Batch,
    cluster: String,
}

/// The library wants a group's name from every reader; one that is assigned its partitions joins none.
const NO_GROUP: &str = "sangam";
/// Callers wait for their answer, so more than one command for each of them is never on the way.
const COMMANDS_MAX: usize = 64;
/// Wakes are exact; this only bounds what one that was missed would cost, and paces the work of the clock.
const IDLE: Duration = Duration::from_millis(50);
/// How often the high watermarks are looked up.
const WATERMARKS_EVERY: Duration = Duration::from_millis(500);
/// A partition that is held back fetches nothing, so its watermark must be asked for. No longer than this at a time.
const WATERMARK_TIMEOUT: Duration = Duration::from_millis(500);
/// Events served per round.
const EVENTS_PER_ROUND: usize = 8;

// === impl KafkaSubscription ===

impl KafkaSubscription {
    /// Joins a group, which says what is to be read.
    pub(super) fn start(options: &KafkaOptions, subscribe: &Subscribe) -> Result<KafkaSubscription, BrokerError> {
        let topics: Vec<&str> = subscribe.names().collect();
        KafkaSubscription::begin(options, subscribe, |consumer| consumer.subscribe(&topics))
    }

    /// Reads partitions (topic and number) from their start, in no group.
    pub(super) fn follow(
        options: &KafkaOptions,
        topics: &[String],
        partitions: &[(String, i32)],
    ) -> Result<KafkaSubscription, BrokerError> {
        let nobodys = Subscribe::new(NO_GROUP, topics, Start::Earliest);
        KafkaSubscription::begin(options, &nobodys, |consumer| {
            let mut all = TopicPartitionList::with_capacity(partitions.len());
            partitions.iter().try_for_each(|(topic, partition)| all.add_partition_offset(topic, *partition, Offset::Invalid))?;
            consumer.context().read(consumer, &all)
        })
    }

    fn begin(
        options: &KafkaOptions,
        subscribe: &Subscribe,
        assign: impl FnOnce(&BaseConsumer<Membership>) -> KafkaResult<()>,
    ) -> Result<KafkaSubscription, BrokerError> {
        let (commands, received) = bounded(COMMANDS_MAX);
        let (news, wake, stop) = (Arc::new(News::default()), Arc::new(Wake::default()), Arc::new(AtomicBool::new(false)));
        let membership = Membership {
            cluster: options.bootstrap.clone(),
            subscribe: subscribe.clone(),
            bounds: options.buffer,
            commands: commands.clone(),
            received,
            stop: Arc::clone(&stop),
            forfeited: AtomicBool::new(false),
            wake: Arc::clone(&wake),
            news: Arc::clone(&news),
            watch: Watch::default(),
            lanes: Mutex::default(),
            asker: options.asker(),
        };
        let doing = if subscribe.group == NO_GROUP {
            format!("read {}", subscribe.names().collect::<Vec<_>>().join(", "))
        } else {
            format!("join the group `{}`", subscribe.group)
        };
        let sort = |cause: KafkaError| error::sort(&cause, &doing, &options.bootstrap);
        let mut consumer: BaseConsumer<Membership> =
            options.consumer(&subscribe.group, subscribe.topics.len()).create_with_context(membership).map_err(sort)?;
        let woken = Arc::clone(&wake);
        consumer.set_nonempty_callback(move || woken.call());
        assign(&consumer).map_err(sort)?;
        let reader = Reader {
            consumer,
            topics: subscribe.names().map(str::to_owned).collect(),
            stop: Arc::clone(&stop),
            batch: Batch::new(),
            cluster: options.bootstrap.clone(),
        };
        let thread = thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || reader.run())
            .map_err(|cause| BrokerError::Retry(format!("no thread for the reader of Kafka at {}: {cause}", options.bootstrap)))?;
        Ok(KafkaSubscription { news, commands, wake, stop, thread: Some(thread) })
    }

    /// Has the thread do something, and waits for its answer.
    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, BrokerError>>) -> Command) -> Result<T, BrokerError> {
        let (done, answer) = bounded(1);
        self.commands.send(command(done)).map_err(|_| self.ended())?;
        self.wake.call();
        answer.recv().map_err(|_| self.ended())?
    }

    fn ended(&self) -> BrokerError {
        BrokerError::Fenced(self.news.ended().unwrap_or_else(|| "the subscription has ended".to_owned()))
    }
}

impl Subscription for KafkaSubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        self.news.take()
    }

    // On the reader's thread, where no rebalance can come in between: a commit of a partition that has just moved
    // would set its new owner's progress back.
    fn commit(&mut self, offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        if offsets.is_empty() {
            return Ok(());
        }
        // librdkafka bounds the time that it takes (`socket.timeout.ms`).
        self.ask(|done| Command::Commit { offsets: offsets.to_vec(), mode: CommitMode::Sync, done })
    }

    fn commit_later(&mut self, offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.ask(|done| Command::Commit { offsets: offsets.to_vec(), mode: CommitMode::Async, done })
    }

    fn look_again(&mut self) -> Result<(), BrokerError> {
        self.ask(|done| Command::Look { done })
    }

    // Asked for anew each time: a rebalance makes it stale, and one from before the group was joined would commit without a check.
    fn member(&mut self) -> Result<Option<Member>, BrokerError> {
        self.ask(|done| Command::Member { done }).map(|member| Some(Member::new(member)))
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake.call();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the reader's thread of a Kafka subscription had panicked");
        }
    }
}

// === impl Reader ===

impl Reader {
    fn run(mut self) {
        let mut watermarks_due = Instant::now();
        while !self.stop.load(Ordering::Acquire) && self.membership().news.ended().is_none() {
            self.serve();
            while let Ok(command) = self.membership().received.try_recv() {
                self.membership().obey(&self.consumer, command, &|| self.serve());
            }
            let filled = self.fill();
            if Instant::now() >= watermarks_due {
                self.watermarks();
                watermarks_due = Instant::now() + WATERMARKS_EVERY;
            }
            if !filled {
                self.membership().wake.wait(IDLE);
            }
        }
        // The partitions' queues must go before their client; what is left of the membership goes with it, by way of a last rebalance.
        for lane in self.membership().lanes.lock().drain(..) {
            lane.buffer.lost.store(true, Ordering::Release);
        }
    }

    fn membership(&self) -> &Membership {
        self.consumer.context()
    }

    /// Serves rebalances, errors and log lines.
    fn serve(&self) {
        for _ in 0..EVENTS_PER_ROUND {
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(message)) => self.stray(&message),
                Some(Err(error)) => self.error(&error),
            }
        }
    }

    /// A record that took the common way, as it could where a partition comes back to us; it belongs into its buffer all the same.
    fn stray(&self, message: &BorrowedMessage<'_>) {
        let mut lanes = self.membership().lanes.lock();
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.is(message.topic(), message.partition())) {
            // SAFETY: the message lives as long as its borrow.
            unsafe { lane.add(message.ptr(), &self.cluster) };
        }
    }

    fn error(&self, error: &KafkaError) {
        let membership = self.membership();
        let Some(code) = error.rdkafka_error_code() else { return };
        match code {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                membership.news.end(error::sort(error, "stay in the group", &self.cluster).to_string());
            }
            // One broker of many, or one that comes back: the library goes on by itself.
            Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut | Code::PartitionEOF => {}
            Code::AllBrokersDown => membership.news.fail(error::unreachable(&self.cluster, membership.watch.reason().as_deref())),
            _ if error::is_no_topic(code) => membership.news.fail(BrokerError::NoTopic(self.topic_of(membership.watch.reason()))),
            _ => membership.news.fail(error::sort(error, &format!("read {}", self.topics.join(", ")), &self.cluster)),
        }
    }

    /// The topic that an error speaks of: its text is the only place where the library says so.
    fn topic_of(&self, reason: Option<String>) -> String {
        let named = reason.and_then(|reason| self.topics.iter().find(|topic| reason.contains(topic.as_str())).cloned());
        named.unwrap_or_else(|| self.topics.join(", "))
    }

    /// Moves what has been fetched into the buffers that have room; says whether there was anything.
    fn fill(&mut self) -> bool {
        let mut lanes = self.consumer.context().lanes.lock();
        let mut any = false;
        for lane in lanes.iter_mut() {
            any |= lane.fill(&mut self.batch, &self.cluster);
            if let Some(gap) = lane.gap.take() {
                self.look_for_missed(&lane.buffer, gap);
            }
        }
        any
    }

    /// Nothing has come from a gap in the offsets. Records were deleted there if the partition starts within it now: the client then goes on
    /// where it starts (`auto.offset.reset`), as Kafka's other clients do; but what is lost is to be seen.
    fn look_for_missed(&self, buffer: &Buffer, gap: Range<i64>) {
        // SAFETY: the client lives as long as `self`.
        let known = unsafe { queue::watermarks(self.consumer.client().native_ptr(), &buffer.topic, buffer.partition) };
        let Some((low, _)) = known.filter(|(low, _)| gap.start < *low && *low <= gap.end) else { return };
        let missed = low.abs_diff(gap.start);
        buffer.missed.fetch_add(missed, Ordering::Relaxed);
        tracing::error!(
            topic = buffer.topic,
            partition = buffer.partition,
            missed,
            from = gap.start,
            to = low,
            "records were deleted before they were read, and the stream goes on after them: the topic's `retention.ms` or `retention.bytes` \
             is too small for how far behind this pipeline was"
        );
    }

    /// Looks how far each partition goes.
    fn watermarks(&self) {
        let membership = self.membership();
        let lanes = membership.lanes.lock();
        let mut answers = true;
        for lane in lanes.iter() {
            let buffer = &lane.buffer;
            let (topic, partition) = (buffer.topic.as_str(), buffer.partition);
            let known = if lane.is_held_back() && answers {
                let asked = self.consumer.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT);
                answers = asked.is_ok();
                asked.ok().map(|(_, high)| high)
            } else {
                // SAFETY: the client lives as long as `self`.
                unsafe { queue::watermarks(self.consumer.client().native_ptr(), topic, partition) }.map(|(_, high)| high)
            };
            if let Some(high) = known {
                buffer.high.store(high, Ordering::Relaxed);
                let wanted = buffer.floor.load(Ordering::Relaxed);
                // What the client knows may be from the last time that the partition was ours: so the broker is asked before anything is said.
                let cut_off = (high < wanted).then(|| self.consumer.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT).ok()).flatten();
                if let Some((_, end)) = cut_off.filter(|(_, end)| *end < wanted) {
                    *buffer.error.lock() = Some(error::cut_off(topic, partition, wanted, end, &self.cluster));
                }
            }
            // SAFETY: as above.
            if let Some(position) = unsafe { queue::position(self.consumer.client().native_ptr(), topic, partition) } {
                buffer.end.store(position, Ordering::SeqCst);
            }
        }
    }
}
