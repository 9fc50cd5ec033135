//! A producer, and what became of the records that it was given.
//!
//! It sends and waits; whether in a transaction or not is its owner's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

use super::sending::{POLL_EVERY, run_dry, send, to_kafka};
use super::sizes::{self, RecordSizes};
use super::watch::Watch;
use super::{error, headers};
use crate::broker::{BrokerError, OutRecord};

/// A producer.
pub(super) struct Writer {
    pub(super) producer: BaseProducer<Deliveries>,
    pub(super) cluster: String,
    /// A flush waits no longer: by then the library has given up every record by itself.
    patience: Duration,
    /// What the library sends at most, for the words of an error.
    record_len_max: String,
    sizes: Arc<RecordSizes>,
    /// Batches of more than one record are no larger.
    batch_max: usize,
    since_poll: AtomicUsize,
}

/// Hears what became of each record.
#[derive(Default)]
pub(super) struct Deliveries {
    watch: Watch,
    /// The first record since the last flush that could not be delivered; of those that were too large, the largest.
    failure: Mutex<Option<Failure>>,
    /// By the number under which records were sent, from 1: the offset of the first of them, and the one behind the last.
    ranges: Mutex<Vec<Option<(i64, i64)>>>,
}

#[derive(Clone, Debug)]
struct Failure {
    code: Code,
    topic: String,
    partition: i32,
    len: usize,
    /// Bytes that a batch of this record alone would take, where its broker has refused it.
    size: usize,
}

/// The number of records of whose offsets nobody asks.
pub(super) const UNTRACKED: usize = 0;

/// On top of the time after which a record is given up.
const GRACE: Duration = Duration::from_secs(5);

// === impl Writer ===

impl Writer {
    /// A producer that gives a record up after `timeout`.
    pub(super) fn new(mut config: ClientConfig, cluster: &str, timeout: Duration, sizes: &Arc<RecordSizes>) -> Result<Writer, BrokerError> {
        let sort = |cause| error::sort(&cause, "make a writer", cluster);
        let native = config.create_native_config().map_err(sort)?;
        let record_len_max = native.get("message.max.bytes").map_err(sort)?;
        let batch_max = sizes.limit_batches(&mut config).map_err(sort)?;
        let producer = config.create_with_context(Deliveries::default()).map_err(sort)?;
        let (cluster, sizes, since_poll) = (cluster.to_owned(), Arc::clone(sizes), AtomicUsize::new(0));
        Ok(Writer { producer, cluster, patience: timeout + GRACE, record_len_max, sizes, batch_max, since_poll })
    }

    /// Sends a record; it is on its way when this returns. `number` is what its offset is kept under.
    pub(super) fn write(&self, record: &OutRecord<'_>, number: usize) -> Result<(), BrokerError> {
        let headers = headers::to_kafka(record.headers).map_err(BrokerError::Refused)?;
        if let Some(why) = self.sizes.refuses(record, headers.as_ref()) {
            return Err(BrokerError::Refused(format!("Kafka at {}: {why}", self.cluster)));
        }
        let out = to_kafka(record, headers, number);
        send(&self.producer, out, self.patience).map_err(|cause| match cause.rdkafka_error_code() {
            // A record before this one has failed, and with it the transaction: its error tells what to do.
            Some(Code::State) => self.flush().err().unwrap_or_else(|| self.sort(&Failure::of(Code::State, record))),
            Some(code) => self.sort(&Failure::of(code, record)),
            None => error::sort(&cause, &format!("write to {}", record.topic), &self.cluster),
        })?;
        if self.since_poll.fetch_add(1, Ordering::Relaxed) % POLL_EVERY == POLL_EVERY - 1 {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Returns once the broker has taken every record.
    pub(super) fn flush(&self) -> Result<(), BrokerError> {
        if !run_dry(&self.producer, self.patience) {
            return Err(error::unreachable(&self.cluster, self.reason().as_deref()));
        }
        match self.deliveries().failure.lock().take() {
            Some(failure) if failure.code == Code::MessageSizeTooLarge => Err(self.too_large(&failure)),
            Some(failure) => Err(self.sort(&failure)),
            None => Ok(()),
        }
    }

    /// Gives up what has not been sent, and waits no longer than this for answers to what has been.
    pub(super) fn give_up(&self, limit: Duration) {
        self.producer.purge(PurgeConfig::default().queue());
        run_dry(&self.producer, limit);
    }

    /// What the client has said last of its connections.
    pub(super) fn reason(&self) -> Option<String> {
        self.deliveries().watch.reason()
    }

    /// The offset of the first record sent under a number since the last time this was asked, and the one behind the last.
    pub(super) fn take_range(&self, number: usize) -> Option<(i64, i64)> {
        self.deliveries().ranges.lock().get_mut(number.checked_sub(1)?)?.take()
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer.client().context()
    }

    /// A broker has refused what the library has sent. Which records of the batch are to blame is seen when they are written again.
    fn too_large(&self, Failure { topic, partition, size, .. }: &Failure) -> BrokerError {
        let max = self.sizes.learn(topic, *size, self.batch_max);
        BrokerError::Retry(format!(
            "Kafka at {}: {topic}/{partition} does not take a batch with a record of {size} bytes; from now on records of more than {max} bytes are \
             refused before they are sent",
            self.cluster
        ))
    }

    fn sort(&self, failure: &Failure) -> BrokerError {
        let Failure { code, topic, partition, len, .. } = failure;
        if error::is_no_topic(*code) {
            return BrokerError::NoTopic(topic.clone());
        }
        let error = error::sort_code(*code, &format!("write a record of {len} bytes to {topic}/{partition}"), &self.cluster);
        match error {
            BrokerError::Refused(text) if *code == Code::MessageSizeTooLarge => BrokerError::Refused(format!(
                "{text} (largest that this writer sends: {} bytes, `message.max.bytes`; the topic has a limit of its own, `max.message.bytes`)",
                self.record_len_max
            )),
            error => error,
        }
    }
}

// === impl Deliveries ===

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.hear_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.watch.hear_error(&error, text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) if number == UNTRACKED => {}
            Ok(message) => {
                let (mut ranges, offset) = (self.ranges.lock(), message.offset());
                if ranges.len() < number {
                    ranges.resize(number, None);
                }
                if let Some(range) = ranges.get_mut(number - 1) {
                    let (first, end) = range.unwrap_or((offset, offset));
                    *range = Some((first.min(offset), end.max(offset + 1)));
                }
            }
            Err((cause, message)) => {
                let code = cause.rdkafka_error_code().unwrap_or(Code::Fail);
                let size = if code == Code::MessageSizeTooLarge { sizes::size_of(message) } else { 0 };
                let mut first = self.failure.lock();
                if first.as_ref().is_none_or(|first| first.code == Code::MessageSizeTooLarge && first.size < size) {
                    let (topic, len) = (message.topic().to_owned(), message.key_len() + message.payload_len());
                    *first = Some(Failure { code, topic, partition: message.partition(), len, size });
                }
            }
        }
    }
}

impl Failure {
    fn of(code: Code, record: &OutRecord<'_>) -> Failure {
        Failure {
            code,
            topic: record.topic.to_owned(),
            partition: record.partition,
            len: record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len),
            size: 0,
        }
    }
}
