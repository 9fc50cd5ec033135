//! How records get through a producer's queue, whoever owns the producer.
//!
//! It hands over and waits; what becomes of a record is heard by the producer's context.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::util::IntoOpaque;

use crate::broker::OutRecord;
use crate::time::WATERMARK_MIN;

/// Reports are fetched every so many records; they arrive in batches anyway.
pub(super) const POLL_EVERY: usize = 256;

/// What is given to the library's thread when its queue is full, or while somebody waits for reports.
const TURN: Duration = Duration::from_millis(1);

/// A record as the client takes it; `opaque` comes back with what became of it.
pub(super) fn to_kafka<'a, O: IntoOpaque>(
    record: &OutRecord<'a>,
    headers: Option<OwnedHeaders>,
    opaque: O,
) -> BaseRecord<'a, [u8], [u8], O> {
    // Kafka knows no time before 1970, and its client takes 0 for "now"; a record without time gets just that.
    let timestamp = (record.time != WATERMARK_MIN).then(|| record.time.max(1));
    BaseRecord {
        topic: record.topic,
        partition: Some(record.partition),
        payload: record.value,
        key: record.key,
        timestamp,
        headers,
        delivery_opaque: opaque,
    }
}

/// Puts a record into the queue; where that is full, it waits so long for room.
pub(super) fn send<C: ProducerContext>(
    producer: &BaseProducer<C>,
    mut record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>,
    patience: Duration,
) -> Result<(), KafkaError> {
    let deadline = Instant::now() + patience;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            // Normal where records come faster than the network takes them.
            Err((cause, back)) if cause.rdkafka_error_code() == Some(Code::QueueFull) && Instant::now() < deadline => {
                record = back;
                producer.poll(TURN);
            }
            Err((cause, _)) => return Err(cause),
        }
    }
}

/// Waits until no record is under way, but no longer than this; returns whether none is. Not the crate's own flush, which sleeps in slices of
/// 100 ms.
pub(super) fn run_dry<C: ProducerContext>(producer: &BaseProducer<C>, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        producer.poll(TURN);
    }
    producer.in_flight_count() <= 0
}
