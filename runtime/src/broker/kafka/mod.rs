//! Kafka as a broker: groups, offsets and records of a real cluster behind the engine's traits.
//!
//! Everything that blocks has a thread of its own and a bound in time. Records are moved; what they mean is known elsewhere.

mod consumer;
mod error;
mod gate;
mod headers;
mod lane;
mod metadata;
mod once;
mod options;
mod outlet;
mod queue;
mod rebalance;
mod replay;
mod sending;
mod sink;
mod sizes;
mod source;
mod transactions;
mod wake;
mod watch;
mod writer;

pub use gate::Bounds;
pub use options::{BadProperty, KafkaOptions};

use parking_lot::Mutex;

use self::consumer::KafkaSubscription;
use self::metadata::Metadata;
use self::once::KafkaOnce;
use self::outlet::{Outlet, OutletSink};
use self::sink::KafkaSink;
use self::sizes::RecordSizes;
use self::transactions::KafkaTransactions;
use super::{Broker, BrokerError, OnceSink, PartitionOffset, Replay, Replayed, Sink, Subscribe, Subscription, Transactions, Written};
use crate::config::Delivery;
use crate::metrics::SinkMetrics;
use std::sync::Arc;

/// A Kafka cluster.
pub struct KafkaBroker {
    options: KafkaOptions,
    /// One question at a time; they are rare.
    metadata: Mutex<Metadata>,
    sizes: Arc<RecordSizes>,
    /// How records are delivered, where it is for one stream that has them delivered on their own.
    outlet: Option<Arc<Outlet>>,
}

/// What a log is made with: compaction keeps the newest record of each key.
const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact")];

/// What a topic is made with that events pass through: nothing goes by its age, as a reader may be away for long, and event times may be
/// of any day; they are carried elsewhere. Segments are small, since only whole ones give their room back.
const PASSAGE: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "LogAppendTime"),
    ("segment.bytes", "52428800"),
];

/// What a topic is made with whose records are kept, whatever the cluster's default is.
const LASTING: &[(&str, &str)] = &[("retention.ms", "-1")];

impl KafkaBroker {
    /// Gets ready to talk to a cluster. Nothing is sent yet, so a cluster that is down is no error here; a bad property is.
    pub fn connect(options: KafkaOptions) -> Result<KafkaBroker, BrokerError> {
        let bad = options.bad_properties();
        if !bad.is_empty() {
            let bad: Vec<_> = bad.iter().map(|bad| format!("`{}`: {}", bad.name, bad.why)).collect();
            return Err(BrokerError::Fatal(format!("Kafka at {}: {}", options.bootstrap, bad.join("; "))));
        }
        let metadata = Mutex::new(Metadata::new(&options)?);
        let sizes = Arc::new(RecordSizes::new(&options));
        Ok(KafkaBroker { options, metadata, sizes, outlet: None })
    }
}

impl Broker for KafkaBroker {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        self.metadata.lock().partitions(topic)
    }

    fn bounds(&self, topic: &str, partition: i32) -> Result<Option<(i64, i64)>, BrokerError> {
        replay::bounds(&self.options, topic, partition).map(Some)
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.metadata.lock().create(topic, partitions, &[])
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        // Kafka would wait for a missing topic for ever, and say nothing.
        for topic in subscription.names() {
            if self.partitions(topic)?.is_none() {
                return Err(BrokerError::NoTopic(topic.to_owned()));
            }
        }
        Ok(Box::new(KafkaSubscription::start(&self.options, subscription)?))
    }

    fn follow(&self, topics: &[String]) -> Result<Box<dyn Subscription>, BrokerError> {
        let mut partitions = Vec::new();
        for topic in topics {
            let count = self.partitions(topic)?.ok_or_else(|| BrokerError::NoTopic(topic.clone()))?;
            partitions.extend((0..count as i32).map(|partition| (topic.clone(), partition)));
        }
        Ok(Box::new(KafkaSubscription::follow(&self.options, topics, &partitions)?))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        if let Some(outlet) = &self.outlet {
            return Ok(Box::new(OutletSink::new(&self.options, &self.sizes, outlet)?));
        }
        Ok(Box::new(KafkaSink::new(&self.options, &self.sizes)?))
    }

    fn once(&self, ledger: &str) -> Result<Box<dyn OnceSink>, BrokerError> {
        self.create_log(ledger, 1)?;
        Ok(Box::new(KafkaOnce::new(&self.options, &self.sizes, ledger)?))
    }

    fn written(&self, ledger: &str) -> Result<Written, BrokerError> {
        if self.partitions(ledger)?.is_none() {
            return Ok(Written::new());
        }
        once::written(&self.options, ledger)
    }

    fn delivering(&self, stream: &str, topic: &str, delivery: &Delivery) -> Result<Option<Arc<dyn Broker>>, BrokerError> {
        let outlet = Some(Arc::new(Outlet::new(stream, topic, delivery)));
        let sizes = Arc::clone(&self.sizes);
        Ok(Some(Arc::new(KafkaBroker { sizes, outlet, ..KafkaBroker::connect(self.options.clone())? })))
    }

    fn ready(&self) -> Result<(), BrokerError> {
        let Some(outlet) = &self.outlet else { return Ok(()) };
        outlet.ready(|topic| self.partitions(topic).map(drop))
    }

    fn count_in(&self, metrics: SinkMetrics) {
        self.outlet.iter().for_each(|outlet| outlet.count_in(metrics.clone()));
    }

    fn has_transactions(&self) -> bool {
        self.outlet.is_none()
    }

    fn transactions(&self, id: &str) -> Result<Option<Arc<dyn Transactions>>, BrokerError> {
        Ok(Some(Arc::new(KafkaTransactions::new(&self.options, &self.sizes, id)?)))
    }

    fn create_log(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.metadata.lock().create(topic, partitions, COMPACTED)
    }

    fn create_passage(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.metadata.lock().create(topic, partitions, PASSAGE)
    }

    fn delete_before(&self, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
        metadata::delete_before(&self.options, offsets)
    }

    fn create_lasting(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.metadata.lock().create(topic, partitions, LASTING)
    }

    fn replay(&self, topic: &str, partition: i32, from: Option<i64>, each: Replayed<'_>) -> Result<Replay, BrokerError> {
        replay::replay(&self.options, topic, partition, from, each)
    }
}
