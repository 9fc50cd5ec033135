//! Reads a log back: one partition, committed records only, from an offset to where it ends now.
//!
//! Where it ends is asked as a reader of uncommitted records does: the end that a reader of committed ones is told lies before any
//! transaction that is still open, and what was committed behind it would be missing (KAFKA-10167).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::options::KafkaOptions;
use super::queue::{BATCH_RECORDS_MAX, Batch, PartitionQueue};
use super::wake::Wake;
use super::watch::Watch;
use crate::broker::{BrokerError, Replay, Replayed};
use crate::events::Events;

/// How long a partition's ends may take to be told.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// No record for so long, with some still to come: longer than any transaction that holds readers up lives.
const SILENCE: Duration = Duration::from_secs(90);
/// Wakes are exact; this bounds what one that was missed would cost.
const IDLE: Duration = Duration::from_millis(50);
/// A run is handed over when it holds as much.
const RUN_BYTES: usize = 4 << 20;

/// The first offset of a partition, and the one behind its last record, committed or not.
pub(super) fn bounds(options: &KafkaOptions, topic: &str, partition: i32) -> Result<(i64, i64), BrokerError> {
    let sort = |cause: KafkaError| error::sort(&cause, &format!("look up where {topic}/{partition} ends"), &options.bootstrap);
    let asker: BaseConsumer<Watch> = options.asker().create_with_context(Watch::default()).map_err(sort)?;
    asker.fetch_watermarks(topic, partition, ASK_TIMEOUT).map_err(sort)
}

/// Reads a partition of a log.
pub(super) fn replay(
    options: &KafkaOptions,
    topic: &str,
    partition: i32,
    from: Option<i64>,
    each: Replayed<'_>,
) -> Result<Replay, BrokerError> {
    let cluster = &options.bootstrap;
    let doing = format!("read {topic}/{partition} back");
    let sort = |cause: KafkaError| error::sort(&cause, &doing, cluster);
    let (low, end) = bounds(options, topic, partition)?;
    let from = match from {
        Some(from) if from > end => return Ok(Replay::Short),
        from => from.unwrap_or(low).max(low),
    };
    if from >= end {
        return Ok(Replay::To(from));
    }
    let consumer: BaseConsumer<Watch> = options.reader().create_with_context(Watch::default()).map_err(sort)?;
    let wake = Arc::new(Wake::default());
    // SAFETY: the client lives in this function, and the queue, which is declared behind it, is dropped before it.
    let queue = unsafe { PartitionQueue::split(consumer.client().native_ptr(), topic, partition, Arc::clone(&wake)) };
    let mut queue = queue.ok_or_else(|| BrokerError::Retry(format!("Kafka at {cluster}: {topic}/{partition} has no queue")))?;
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(sort)?;
    consumer.assign(&start).map_err(sort)?;
    let (mut batch, mut run, mut next, mut heard) = (Batch::new(), Events::default(), from, Instant::now());
    loop {
        let taken = queue.take(BATCH_RECORDS_MAX, &mut batch, next, &mut run);
        next = run.rows.last().map_or(next, |row| next.max(row.offset + 1)).max(taken.end.unwrap_or(next));
        if let Some(code) = taken.error {
            return Err(error::sort_code(code, &doing, cluster));
        }
        let all = next >= end;
        if !run.is_empty() && (all || run.arena.len() >= RUN_BYTES || taken.records == 0) {
            each(&run)?;
            run.clear();
        }
        if all {
            return Ok(Replay::To(next));
        }
        if taken.records > 0 {
            heard = Instant::now();
        } else if heard.elapsed() >= SILENCE {
            let reason = consumer.context().reason().unwrap_or_else(|| "a transaction may still be open".to_owned());
            return Err(BrokerError::Retry(format!(
                "Kafka at {cluster}: {topic}/{partition} cannot be read beyond offset {next} of {end}: {reason}; it will be tried again"
            )));
        } else {
            // Serves the client's events; records come by the queue.
            while consumer.poll(Duration::ZERO).is_some() {}
            wake.wait(IDLE);
        }
    }
}
