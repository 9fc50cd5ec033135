//! Asks a cluster about its topics and makes new ones, within a bounded time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::options::KafkaOptions;
use super::watch::Watch;
use crate::broker::{BrokerError, PartitionOffset};

/// A client that asks questions.
pub(super) struct Metadata {
    client: BaseConsumer<Watch>,
    options: KafkaOptions,
}

/// A question is asked in turns this long; between them the client tells why there is no answer yet.
const TURN: Duration = Duration::from_millis(250);

/// A writer waits for a setting no longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks whether a new topic has become visible.
const LOOK: Duration = Duration::from_millis(20);

// === impl Metadata ===

impl Metadata {
    pub(super) fn new(options: &KafkaOptions) -> Result<Metadata, BrokerError> {
        let client = options.client().create_with_context(Watch::default());
        let client = client.map_err(|cause| error::sort(&cause, "make a client", &options.bootstrap))?;
        Ok(Metadata { client, options: options.clone() })
    }

    /// Number of partitions of a topic, `None` where there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        let cluster = &self.options.bootstrap;
        let deadline = Instant::now() + self.options.connect_timeout;
        loop {
            let answer = self.client.fetch_metadata(Some(topic), TURN.min(self.options.connect_timeout));
            // Serves the client's events; a reader without a group gets no records.
            while self.client.poll(Duration::ZERO).is_some() {}
            match answer {
                Ok(metadata) => match metadata.topics().iter().find(|found| found.name() == topic) {
                    None => return Ok(None),
                    Some(found) => match found.error().map(Code::from) {
                        None | Some(Code::NoError) if found.partitions().is_empty() => return Ok(None),
                        None | Some(Code::NoError) => return Ok(Some(found.partitions().len() as u32)),
                        Some(code) if error::is_no_topic(code) => return Ok(None),
                        // A topic that has just been made has no leader yet.
                        Some(Code::LeaderNotAvailable) if Instant::now() < deadline => thread::sleep(LOOK),
                        Some(code) => return Err(error::sort_code(code, &format!("look up the topic `{topic}`"), cluster)),
                    },
                },
                Err(cause) => {
                    if let Some(reason) = self.client.context().take_refusal() {
                        return Err(error::refused(cluster, &reason));
                    }
                    if !is_silence(&cause) {
                        return Err(error::sort(&cause, &format!("look up the topic `{topic}`"), cluster));
                    }
                    if Instant::now() >= deadline {
                        return Err(error::unreachable(cluster, self.client.context().reason().as_deref()));
                    }
                }
            }
        }
    }

    /// A setting of a topic, as it holds now; `None` where the topic has none of that name.
    pub(super) fn setting(&self, topic: &str, name: &str) -> Result<Option<String>, BrokerError> {
        let (cluster, doing) = (&self.options.bootstrap, format!("look up `{name}` of the topic `{topic}`"));
        let sort = |cause: KafkaError| error::sort(&cause, &doing, cluster);
        let admin: AdminClient<Watch> = self.options.client().create_with_context(Watch::default()).map_err(sort)?;
        let limits = AdminOptions::new().request_timeout(Some(self.options.connect_timeout.min(ANSWER_TIMEOUT)));
        let answer = block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &limits)).map_err(sort)?;
        match answer.into_iter().next() {
            Some(Ok(settings)) => Ok(settings.get(name).and_then(|entry| entry.value.clone())),
            Some(Err(code)) => Err(error::sort_code(code, &doing, cluster)),
            None => Ok(None),
        }
    }

    /// Makes a topic with some settings of its own and waits until it can be seen.
    pub(super) fn create(&self, topic: &str, partitions: u32, settings: &[(&str, &str)]) -> Result<(), BrokerError> {
        // Also tells an unreachable cluster in better words than the admin client has.
        if self.partitions(topic)?.is_some() {
            return Ok(());
        }
        let (cluster, timeout) = (&self.options.bootstrap, self.options.connect_timeout);
        let doing = format!("create the topic `{topic}`");
        let sort = |cause: KafkaError| error::sort(&cause, &doing, cluster);
        let admin: AdminClient<Watch> = self.options.client().create_with_context(Watch::default()).map_err(sort)?;
        // -1: as many replicas as the cluster makes by default.
        let wanted = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(-1));
        let wanted = settings.iter().fold(wanted, |wanted, (name, value)| wanted.set(name, value));
        let limits = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        for result in block_on(admin.create_topics([&wanted], &limits)).map_err(sort)? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(error::sort_code(code, &doing, cluster)),
            }
        }
        let deadline = Instant::now() + timeout;
        while self.partitions(topic)?.is_none() {
            if Instant::now() >= deadline {
                return Err(BrokerError::Retry(format!(
                    "Kafka at {cluster}: the new topic `{topic}` cannot be seen yet; it will be tried again"
                )));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Deletes the records before these offsets. With a client of its own, so that questions about topics need not wait for it.
pub(super) fn delete_before(options: &KafkaOptions, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
    let sort = |cause: KafkaError| error::sort(&cause, "delete records that have been read", &options.bootstrap);
    let admin: AdminClient<Watch> = options.client().create_with_context(Watch::default()).map_err(sort)?;
    let mut before = TopicPartitionList::with_capacity(offsets.len());
    for (topic, partition, offset) in offsets {
        before.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(sort)?;
    }
    let limits = AdminOptions::new().request_timeout(Some(options.connect_timeout)).operation_timeout(Some(options.connect_timeout));
    let deleted = block_on(admin.delete_records(&before, &limits)).map_err(sort)?;
    deleted.elements().iter().try_for_each(|partition| partition.error().map_err(sort))
}

/// True where the cluster has not answered, as opposed to an answer that we do not like.
fn is_silence(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::OperationTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::TimedOutQueue
                | Code::RequestTimedOut
        )
    )
}

/// Waits for the admin client's answer on this thread; the client makes progress on its own, so there is nothing to run.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
