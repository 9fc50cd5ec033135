//! Records with names at Kafka: a transaction writes the record, and its name into a compacted topic, the ledger.
//!
//! The ledger is also the transactional id: whoever begins to write under it ends what an earlier writer had not finished, and sees all
//! that it had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::options::KafkaOptions;
use super::sizes::RecordSizes;
use super::transactions::KafkaTransactions;
use crate::broker::{BrokerError, Named, OnceSink, Transactions, Written};
use crate::store::Changes;
use crate::time::Millis;

/// A writer of records with names.
pub(super) struct KafkaOnce {
    transactions: KafkaTransactions,
    options: KafkaOptions,
    ledger: String,
}

/// Longest wait for the next record of a ledger.
const SILENCE: Duration = Duration::from_secs(30);

/// What the client is given at a time to get on.
const TURN: Duration = Duration::from_millis(100);

/// The one partition of a ledger.
const PARTITION: i32 = 0;

// === impl KafkaOnce ===

impl KafkaOnce {
    /// Takes the ledger over from whoever wrote it before. The topic is there.
    pub(super) fn new(options: &KafkaOptions, sizes: &Arc<RecordSizes>, ledger: &str) -> Result<KafkaOnce, BrokerError> {
        let transactions = KafkaTransactions::new(options, sizes, ledger)?;
        Ok(KafkaOnce { transactions, options: options.clone(), ledger: ledger.to_owned() })
    }
}

impl OnceSink for KafkaOnce {
    fn written(&mut self) -> Result<Written, BrokerError> {
        written(&self.options, &self.ledger)
    }

    fn write(&mut self, records: &[Named<'_>], now: Millis) -> Result<(), BrokerError> {
        // Kafka lies outside the store.
        let (mut sink, mut none) = (self.transactions.sink(), Changes::default());
        for record in records.iter().filter_map(|named| named.record.as_ref()) {
            sink.write(record, &mut none)?;
        }
        let mut closed = self.transactions.close()?;
        for named in records {
            closed.append(&self.ledger, PARTITION, named.name.as_bytes(), Some(now.to_string().as_bytes()))?;
        }
        closed.commit(&[], None).map(drop)
    }
}

/// The names of a ledger and when they were written; none where there is no such topic. It does not wait for a transaction that a killed
/// writer has left open, as reading a log back would: who writes has ended it before.
pub(super) fn written(options: &KafkaOptions, ledger: &str) -> Result<Written, BrokerError> {
    let doing = format!("read the topic `{ledger}`");
    let sort = |cause: KafkaError| error::sort(&cause, &doing, &options.bootstrap);
    let consumer: BaseConsumer = options.reader().create().map_err(sort)?;
    let metadata = consumer.fetch_metadata(Some(ledger), options.connect_timeout).map_err(sort)?;
    let mut left = BTreeSet::new();
    let mut from = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        from.add_partition_offset(ledger, partition.id(), Offset::Beginning).map_err(sort)?;
        left.insert(partition.id());
    }
    consumer.assign(&from).map_err(sort)?;
    let mut names = Written::new();
    let mut deadline = Instant::now() + SILENCE;
    while !left.is_empty() {
        match consumer.poll(TURN) {
            Some(Ok(mark)) => {
                let name = String::from_utf8_lossy(mark.key().unwrap_or_default()).into_owned();
                let at = mark.payload().and_then(|at| std::str::from_utf8(at).ok()?.parse().ok());
                names.insert(name, at.unwrap_or(0));
                deadline = Instant::now() + SILENCE;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                left.remove(&partition);
            }
            Some(Err(cause)) => match sort(cause) {
                BrokerError::Retry(_) if Instant::now() < deadline => {}
                why => return Err(why),
            },
            None if Instant::now() < deadline => {}
            None => return Err(error::unreachable(&options.bootstrap, None)),
        }
    }
    Ok(names)
}
