//! Records with names at Kafka: a transaction writes the record, and its name into a compacted topic, the ledger.
//!
//! The ledger is also the transactional id: whoever begins to write under it ends what an earlier writer had not finished, and sees all
//! that it had.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::options::KafkaOptions;
use super::writer::to_kafka;
use super::{error, headers};
use crate::broker::{BrokerError, Named, OnceSink, Start, Written};
use crate::time::Millis;

/// A writer of records with names.
pub(super) struct KafkaOnce {
    producer: BaseProducer,
    options: KafkaOptions,
    ledger: String,
}

/// What a topic must be told to become a ledger: the last record of each name is kept for ever.
pub(super) const LEDGER_SETTINGS: &[(&str, &str)] = &[("cleanup.policy", "compact")];

/// Longest wait for one step of a transaction: as long as a coordinator that moves takes, and a broker that is restarted.
const STEP: Duration = Duration::from_secs(30);

/// Longest wait for the next record of a ledger.
const SILENCE: Duration = Duration::from_secs(30);

/// What the client is given at a time to get on.
const TURN: Duration = Duration::from_millis(100);

// === impl KafkaOnce ===

impl KafkaOnce {
    /// Takes the ledger over from whoever wrote it before. The topic is there.
    pub(super) fn new(options: &KafkaOptions, ledger: &str) -> Result<KafkaOnce, BrokerError> {
        let mut config = options.producer();
        // A transaction ends before a record of it may be given up.
        config.set("transactional.id", ledger).set("message.timeout.ms", STEP.as_millis().to_string());
        let doing = format!("write under the transactional id `{ledger}`");
        let sort = |cause: KafkaError| error::sort(&cause, &doing, &options.bootstrap);
        let producer: BaseProducer = config.create().map_err(sort)?;
        producer.init_transactions(STEP).map_err(sort)?;
        Ok(KafkaOnce { producer, options: options.clone(), ledger: ledger.to_owned() })
    }

    fn send_all(&self, records: &[Named<'_>], now: Millis) -> Result<(), BrokerError> {
        for named in records {
            if let Some(record) = &named.record {
                let headers = headers::to_kafka(record.headers).map_err(BrokerError::Refused)?;
                self.send(to_kafka(record, headers, ()), record.topic)?;
            }
            // A value, as none would be a tombstone.
            let mark = BaseRecord::<[u8], [u8]>::to(&self.ledger).key(named.name.as_bytes()).payload(b"1").timestamp(now);
            self.send(mark, &self.ledger)?;
        }
        Ok(())
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>, topic: &str) -> Result<(), BrokerError> {
        let deadline = Instant::now() + STEP;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((cause, back)) if cause.rdkafka_error_code() == Some(Code::QueueFull) && Instant::now() < deadline => {
                    record = back;
                    self.producer.poll(TURN);
                }
                Err((cause, _)) => return Err(error::sort(&cause, &format!("write to {topic}"), &self.options.bootstrap)),
            }
        }
    }
}

impl OnceSink for KafkaOnce {
    fn written(&mut self) -> Result<Written, BrokerError> {
        written(&self.options, &self.ledger)
    }

    fn write(&mut self, records: &[Named<'_>], now: Millis) -> Result<(), BrokerError> {
        let cluster = &self.options.bootstrap;
        let sort = |cause: KafkaError| error::sort(&cause, "write in a transaction", cluster);
        self.producer.begin_transaction().map_err(sort)?;
        let done = self.send_all(records, now).and_then(|()| self.producer.commit_transaction(STEP).map_err(sort));
        if done.is_err() {
            // Where even this fails, whoever takes the ledger over next does it.
            let _ = self.producer.abort_transaction(STEP);
        }
        done
    }
}

/// The names of a ledger and when they were written; none where there is no such topic.
pub(super) fn written(options: &KafkaOptions, ledger: &str) -> Result<Written, BrokerError> {
    let doing = format!("read the topic `{ledger}`");
    let sort = |cause: KafkaError| error::sort(&cause, &doing, &options.bootstrap);
    // The group is never joined; the library wants a name.
    let consumer: BaseConsumer = options.consumer(ledger, Start::Earliest).create().map_err(sort)?;
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
                names.insert(name, mark.timestamp().to_millis().unwrap_or(0));
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
