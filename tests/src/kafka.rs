//! A real Kafka for scenarios: where it is, topics of one's own, and records in and out past the engine.
//!
//! It is never skipped: a scenario that needs Kafka and has none fails, and says how to get one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: the first surprise ends the test")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use sangam::broker::{Broker, KafkaBroker, KafkaOptions};

/// Longest wait for something that Kafka does. Ample, as machines that run tests are busy; nothing waits longer than it needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A record as another program would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The time that the record carries.
    pub time: Option<i64>,
}

/// The broker's address.
pub fn bootstrap() -> String {
    std::env::var("SANGAM_TEST_KAFKA").unwrap_or_else(|_| {
        panic!(
            "this scenario needs a real Kafka, and SANGAM_TEST_KAFKA (host:port) is not set.\n\
             All tests with a broker of their own:  scripts/test\n\
             A broker to keep:                      scripts/kafka start && eval \"$(scripts/kafka env)\""
        )
    })
}

/// A broker of a test's own, to be killed and started again; it goes when the test ends.
pub struct OwnBroker {
    run: tempfile::TempDir,
    /// Its address, the same after every start.
    pub address: String,
}

impl OwnBroker {
    /// Starts one.
    pub fn start() -> OwnBroker {
        let mut broker = OwnBroker { run: tempfile::tempdir().unwrap(), address: String::new() };
        broker.again();
        broker
    }

    /// Ends it as a power cut would; what it had acknowledged is still there at the next start.
    pub fn kill(&self) {
        self.script("kill");
    }

    /// Starts it again after [`OwnBroker::kill`].
    pub fn again(&mut self) {
        let said = self.script("start");
        self.address = said.trim().strip_prefix("bootstrap=").unwrap().to_owned();
    }

    fn script(&self, verb: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka");
        let output =
            Command::new(script).arg(verb).env("SANGAM_KAFKA_RUN", self.run.path()).env("SANGAM_KAFKA_HEAP", "256m").output().unwrap();
        assert!(output.status.success(), "scripts/kafka {verb}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.script("stop");
    }
}

/// A cluster in a pipeline file.
pub fn cluster(name: &str, address: &str) -> String {
    format!("[clusters.{name}]\nkind = \"kafka\"\nbrokers = \"{address}\"\n")
}

/// A stream of JSON in a pipeline file; `more` is what else is said of it.
pub fn stream(name: &str, cluster: &str, topic: &str, more: &str) -> String {
    format!("[streams.{name}]\ncluster = \"{cluster}\"\ntopic = \"{topic}\"\nformat = \"json\"\n{more}\n")
}

/// The broker as the engine sees it.
pub fn broker() -> KafkaBroker {
    KafkaBroker::connect(KafkaOptions::new(bootstrap())).unwrap()
}

/// A name that no other test, and no other run, uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{name}-{now}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new topic with a name of its own.
pub fn topic(name: &str, partitions: u32) -> String {
    let topic = unique(name);
    broker().create(&topic, partitions).unwrap();
    topic
}

/// A new topic that keeps the last record of each key, and forgets the others as soon as Kafka's cleaner gets to it.
pub fn compacted(name: &str, partitions: u32) -> String {
    let topic = unique(name);
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let wanted = NewTopic::new(&topic, partitions as i32, TopicReplication::Fixed(1));
    let wanted = wanted.set("cleanup.policy", "compact").set("segment.ms", "50").set("min.cleanable.dirty.ratio", "0.01");
    // The request is on its way; the topic says when it is done.
    drop(admin.create_topics([&wanted], &AdminOptions::new()));
    eventually("the new topic", || broker().partitions(&topic).unwrap());
    topic
}

/// Calls `attempt` until it has a result; fails the test when that takes longer than [`PATIENCE`].
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        // The other side is another process: there is nothing to be woken by.
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A writer past the engine; `properties` are librdkafka's.
pub fn producer(properties: &[(&str, &str)]) -> BaseProducer {
    producer_at(&bootstrap(), properties)
}

/// The same, to a broker elsewhere.
pub fn producer_at(address: &str, properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("linger.ms", "5");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Writes records of key and value to one partition and waits until they are safe.
pub fn produce(topic: &str, partition: i32, records: &[(&str, &str)]) {
    produce_at(&bootstrap(), topic, partition, records);
}

/// The same, to a broker elsewhere.
pub fn produce_at(address: &str, topic: &str, partition: i32, records: &[(&str, &str)]) {
    let producer = producer_at(address, &[]);
    for (key, value) in records {
        let record = BaseRecord::to(topic).partition(partition).key(*key).payload(*value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Deletes a topic and waits until it is gone.
pub fn delete(topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    // The client works on its own threads; nobody need wait for the answer but by looking.
    drop(admin.delete_topics(&[topic], &AdminOptions::new()));
    eventually("the topic is gone", || broker().partitions(topic).unwrap().is_none().then_some(()));
}

/// How many records a topic holds now; of one that is written without transactions.
pub fn records(topic: &str) -> usize {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions = metadata.topics()[0].partitions().iter();
    let ends = partitions.map(|partition| consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap().1);
    ends.map(|end| usize::try_from(end).unwrap()).sum()
}

/// The first offset of each partition of a topic, and the one behind its last record.
pub fn ends(topic: &str) -> Vec<(i64, i64)> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions = metadata.topics()[0].partitions().iter();
    partitions.map(|partition| consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap()).collect()
}

/// The first `count` committed records of a topic, ordered by partition and offset.
pub fn consume(topic: &str, count: usize) -> Vec<Seen> {
    let (consumer, _) = from_the_start(&bootstrap(), topic, "false");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::with_capacity(count);
    while seen.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records of {topic} within {PATIENCE:?}", seen.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            seen.push(Seen::from(&message.unwrap()));
        }
    }
    seen.sort_by_key(|record| (record.partition, record.offset));
    seen
}

/// Everything that is committed in a topic, to its end as of now, ordered by partition and offset.
pub fn committed(topic: &str) -> Vec<Seen> {
    committed_at(&bootstrap(), topic)
}

/// The same, at a broker elsewhere.
pub fn committed_at(address: &str, topic: &str) -> Vec<Seen> {
    let (consumer, partitions) = from_the_start(address, topic, "true");
    let (deadline, mut ended, mut seen) = (Instant::now() + PATIENCE, BTreeSet::new(), Vec::new());
    while ended.len() < partitions {
        assert!(Instant::now() < deadline, "the end of {topic} is not reached within {PATIENCE:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => seen.push(Seen::from(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            // On a busy machine a connection may be gone for a moment; the client makes it anew.
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown))) => {}
            Some(Err(why)) => panic!("{topic}: {why}"),
        }
    }
    seen.sort_by_key(|record| (record.partition, record.offset));
    seen
}

/// A reader of committed records, at the start of all partitions, of which it tells the number; and whether it is to tell their ends.
fn from_the_start(address: &str, topic: &str, ends: &str) -> (BaseConsumer, usize) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", ends)
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut from = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        from.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&from).unwrap();
    (consumer, from.count())
}

impl Seen {
    /// The value, read as JSON; of a tombstone, null.
    pub fn json(&self) -> Value {
        self.value.as_ref().map_or(Value::Null, |value| serde_json::from_slice(value).unwrap())
    }
}

impl From<&BorrowedMessage<'_>> for Seen {
    fn from(message: &BorrowedMessage<'_>) -> Seen {
        let headers = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect::<Vec<_>>());
        Seen {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
            time: message.timestamp().to_millis(),
        }
    }
}
