//! How large a record each topic takes, as far as a broker has refused one: a topic's limit may be below what the client sends.
//!
//! A broker refuses when a record is long on its way, by batches, and without saying which. So its answer only leads to a question: what the
//! topic's `max.message.bytes` is. From then on records beyond it are refused before they are sent. Records are measured uncompressed, as
//! Kafka's own client does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};

use super::metadata::Metadata;
use super::options::KafkaOptions;
use crate::broker::OutRecord;

/// What has been learned of the topics of a cluster; all of its writers share it.
pub(super) struct RecordSizes {
    options: KafkaOptions,
    /// Anything has been learned: before, a record costs one look at this.
    any: AtomicBool,
    learned: Mutex<BTreeMap<String, Learned>>,
}

struct Learned {
    /// Size in bytes of the largest batch.
    max: usize,
    /// When the broker said so; `None` where it does not tell, and the size of what it refused had to do.
    said: Option<Instant>,
}

/// After so long a topic is asked again before one more record is refused: its limit may have been raised.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Bytes of a batch before its first record: offset, length, epoch, magic, checksum, attributes, last offset, two times, producer's id, epoch
/// and sequence, count (Kafka's record batch, magic 2).
const BATCH_HEADER: usize = 8 + 4 + 4 + 1 + 4 + 2 + 4 + 8 + 8 + 8 + 2 + 4 + 4;

// === impl RecordSizes ===

impl RecordSizes {
    pub(super) fn new(options: &KafkaOptions) -> RecordSizes {
        RecordSizes { options: options.clone(), any: AtomicBool::new(false), learned: Mutex::default() }
    }

    /// Why a record is too large for its topic, where that is known.
    pub(super) fn refuses<H: Headers>(&self, record: &OutRecord<'_>, headers: Option<&H>) -> Option<String> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut all = self.learned.lock();
        let learned = all.get_mut(record.topic)?;
        let size = batch_of_one(record.key, record.value, headers);
        if size > learned.max && learned.said.is_some_and(|said| said.elapsed() >= AGAIN_AFTER) {
            learned.ask_again(self.limit_of(record.topic));
        }
        (size > learned.max).then(|| {
            let limit = if learned.said.is_some() { "`max.message.bytes`" } else { "by what its broker has refused" };
            format!("the record takes {size} bytes, and the topic `{}` at most {} ({limit})", record.topic, learned.max)
        })
    }

    /// A broker has refused a batch as too large, with records up to `size`, from a writer whose batches have more than one record up to
    /// `batch` bytes only. Returns from what size on records are refused now.
    pub(super) fn learn(&self, topic: &str, size: usize, batch: usize) -> usize {
        let limit = self.limit_of(topic);
        // Where the limit explains it, it counts. Else what was refused has to do, or the same would happen again.
        let explained = limit.filter(|limit| size > *limit || batch > *limit);
        let max = explained.unwrap_or(size.saturating_sub(1));
        self.learned.lock().insert(topic.to_owned(), Learned { max, said: explained.map(|_| Instant::now()) });
        self.any.store(true, Ordering::Relaxed);
        max
    }

    /// Has a new writer's batches of more than one record keep to what has been learned of all topics, as it cannot tell which topic they are
    /// for; returns how many bytes they have at most.
    pub(super) fn limit_batches(&self, config: &mut ClientConfig) -> Result<usize, KafkaError> {
        let batch_max = config.create_native_config()?.get("batch.size")?.parse().unwrap_or(usize::MAX);
        let learned = self.learned.lock().values().map(|learned| learned.max).min();
        // The library's limit is for all topics; and a record beyond it still goes, alone.
        let batch_max = learned.map_or(batch_max, |max| max.clamp(1, batch_max));
        config.set("batch.size", batch_max.to_string());
        Ok(batch_max)
    }

    fn limit_of(&self, topic: &str) -> Option<usize> {
        let limit = Metadata::new(&self.options).and_then(|metadata| metadata.setting(topic, "max.message.bytes"));
        match limit {
            Ok(limit) => limit?.parse().ok(),
            Err(why) => {
                tracing::warn!("{why}; records are refused by the size of those that the broker has refused");
                None
            }
        }
    }
}

impl Learned {
    /// What was known stands where there is no answer.
    fn ask_again(&mut self, limit: Option<usize>) {
        self.max = limit.unwrap_or(self.max);
        self.said = Some(Instant::now());
    }
}

// === sizes ===

/// Bytes of a batch that holds a message alone.
pub(super) fn size_of<M: Message>(message: &M) -> usize {
    batch_of_one(message.key(), message.payload(), message.headers())
}

fn batch_of_one<H: Headers>(key: Option<&[u8]>, value: Option<&[u8]>, headers: Option<&H>) -> usize {
    let count = headers.map_or(0, Headers::count);
    let headers = headers.into_iter().flat_map(Headers::iter);
    let headers: usize = headers.map(|header| with_length(Some(header.key.as_bytes())) + with_length(header.value)).sum();
    // Attributes, and how far time and offset are from the batch's: a byte each.
    let record = 3 + with_length(key) + with_length(value) + varint(count as i64) + headers;
    BATCH_HEADER + varint(record as i64) + record
}

fn with_length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or_else(|| varint(-1), |bytes| varint(bytes.len() as i64) + bytes.len())
}

/// Bytes of a number as Kafka's records have it: zigzag, seven bits to a byte.
fn varint(number: i64) -> usize {
    let zigzag = ((number << 1) ^ (number >> 63)) as u64;
    (64 - zigzag.max(1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_a_byte_for_each_seven_bits() {
        let sizes = [(0, 1), (-1, 1), (63, 1), (64, 2), (-64, 1), (8191, 2), (8192, 3), (1 << 20, 4)];
        assert!(sizes.iter().all(|(number, bytes)| varint(*number) == *bytes));
    }
}
