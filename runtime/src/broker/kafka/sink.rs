//! Writes records to topics.
//!
//! Kafka lies outside the store, so nothing is ever added to a store's changes: a record is on its way at once, and safe after a flush.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::options::KafkaOptions;
use super::watch::Watch;
use super::{error, headers};
use crate::broker::{BrokerError, OutRecord, Sink};
use crate::store::Changes;
use crate::time::WATERMARK_MIN;

/// A writer.
pub(super) struct KafkaSink {
    producer: BaseProducer<Deliveries>,
    cluster: String,
    /// A flush waits no longer: by then the library has given up every record by itself.
    patience: Duration,
    /// What the library sends at most, for the words of an error.
    record_len_max: String,
    since_poll: usize,
}

/// Hears what became of each record.
#[derive(Default)]
struct Deliveries {
    watch: Watch,
    /// The first record since the last flush that could not be delivered.
    failure: Mutex<Option<Failure>>,
}

#[derive(Clone, Debug)]
struct Failure {
    code: Code,
    topic: String,
    partition: i32,
    len: usize,
}

/// Reports are fetched every so many records; they arrive in batches anyway.
const POLL_EVERY: usize = 256;
/// What is given to the library's thread when its queue is full, or while a flush waits.
const TURN: Duration = Duration::from_millis(1);
/// On top of the time after which a record is given up.
const GRACE: Duration = Duration::from_secs(5);

// === impl KafkaSink ===

impl KafkaSink {
    pub(super) fn new(options: &KafkaOptions) -> Result<KafkaSink, BrokerError> {
        let cluster = options.bootstrap.clone();
        let sort = |cause| error::sort(&cause, "make a writer", &cluster);
        let config = options.producer();
        let record_len_max = config.create_native_config().and_then(|native| native.get("message.max.bytes")).map_err(sort)?;
        let producer = config.create_with_context(Deliveries::default()).map_err(sort)?;
        Ok(KafkaSink { producer, cluster, patience: options.message_timeout() + GRACE, record_len_max, since_poll: 0 })
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                // Normal where records come faster than the network takes them.
                Err((cause, back)) if cause.rdkafka_error_code() == Some(Code::QueueFull) && Instant::now() < deadline => {
                    record = back;
                    self.producer.poll(TURN);
                }
                Err((cause, _)) => return Err(cause),
            }
        }
    }

    fn sort(&self, failure: &Failure) -> BrokerError {
        let Failure { code, topic, partition, len } = failure;
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

impl Sink for KafkaSink {
    fn write(&mut self, record: &OutRecord<'_>, _: &mut Changes) -> Result<(), BrokerError> {
        let headers = headers::to_kafka(record.headers).map_err(BrokerError::Refused)?;
        let out = to_kafka(record, headers);
        self.send(out).map_err(|cause| match cause.rdkafka_error_code() {
            Some(code) => self.sort(&Failure::of(code, record)),
            None => error::sort(&cause, &format!("write to {}", record.topic), &self.cluster),
        })?;
        self.since_poll += 1;
        if self.since_poll >= POLL_EVERY {
            self.since_poll = 0;
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    // Not the crate's own flush, which sleeps in slices of 100 ms.
    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        let deadline = Instant::now() + self.patience;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                let reason = self.producer.client().context().watch.reason();
                return Err(error::unreachable(&self.cluster, reason.as_deref()));
            }
            self.producer.poll(TURN);
        }
        match self.producer.client().context().failure.lock().take() {
            Some(failure) => Err(self.sort(&failure)),
            None => Ok(()),
        }
    }

    fn settled(&mut self, _: bool) {}
}

pub(super) fn to_kafka<'a>(record: &OutRecord<'a>, headers: Option<OwnedHeaders>) -> BaseRecord<'a, [u8], [u8]> {
    // Kafka knows no time before 1970, and its client takes 0 for "now"; a record without time gets just that.
    let timestamp = (record.time != WATERMARK_MIN).then(|| record.time.max(1));
    BaseRecord {
        topic: record.topic,
        partition: Some(record.partition),
        payload: record.value,
        key: record.key,
        timestamp,
        headers,
        delivery_opaque: (),
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
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((cause, message)) = result {
            self.failure.lock().get_or_insert_with(|| Failure {
                code: cause.rdkafka_error_code().unwrap_or(Code::Fail),
                topic: message.topic().to_owned(),
                partition: message.partition(),
                len: message.key_len() + message.payload_len(),
            });
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
        }
    }
}
