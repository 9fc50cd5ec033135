//! What a user may say about a Kafka cluster, and what we say to librdkafka about it.
//!
//! Properties pass through by librdkafka's own names; those on which the engine's promises rest are ours.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::gate::Bounds;

/// A Kafka cluster and how to talk to it.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Addresses to start from: `host:port`, several with commas between.
    pub bootstrap: String,
    /// Properties of librdkafka by their own names: SASL, TLS, compression and so on.
    pub properties: BTreeMap<String, String>,
    /// How long to try before a broker counts as unreachable.
    pub connect_timeout: Duration,
    /// How much of each partition may lie ready for its reader.
    pub buffer: Bounds,
}

/// A property that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadProperty {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Long enough for a broker behind a slow name server, short enough to wait for at a terminal.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Properties that a user may not set, and why.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "it is the cluster's `bootstrap`"),
    ("metadata.broker.list", "it is the cluster's `bootstrap`"),
    ("group.id", "the group is the pipeline's"),
    ("group.remote.assignor", "it follows from what the pipeline reads"),
    ("auto.offset.reset", "it is the stream's `start`"),
    ("enable.auto.commit", "offsets are committed when results are safe"),
    ("auto.commit.enable", "offsets are committed when results are safe"),
    ("enable.auto.offset.store", "offsets are committed when results are safe"),
    ("enable.partition.eof", "the engine finds out itself where a partition ends"),
    ("isolation.level", "only committed records are read"),
    ("partition.assignment.strategy", "it follows from what the pipeline reads"),
    ("partitioner", "the engine chooses the partition, by the key's hash"),
    ("transactional.id", "transactions are the engine's"),
];

/// A record that the broker has not taken by then is an error of the flush. The library's own five minutes are longer than anybody waits.
const MESSAGE_TIMEOUT_MS: u64 = 60_000;

/// How long a process that has vanished in the middle of a transaction may hold up the readers of what it wrote. It bounds how long the
/// broker may be away, too, before a commit is given up and done again.
const TRANSACTION_TIMEOUT_MS: u64 = 15_000;

/// How every client behaves unless the user says otherwise.
const CLIENT_DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "sangam"),
    // A broker that is restarted is found again within a second, not ten.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
];

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    // The library's one second throttles a fast reader: a full queue then sleeps long after it has been emptied.
    ("fetch.queue.backoff.ms", "10"),
    // How long a process that was killed keeps its partitions: a few missed heartbeats, not the library's 45 seconds.
    ("session.timeout.ms", "10000"),
    // Members hear of a rebalance with a heartbeat, and moving partitions takes two of them: the library's three seconds would be felt.
    ("heartbeat.interval.ms", "1000"),
    // A topic that is deleted, or has got more partitions, is noticed after this, not after the library's five minutes.
    ("topic.metadata.refresh.interval.ms", "10000"),
    // Per partition, on top of our own buffer: enough for one fetch ahead.
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "8192"),
];

// Not `enable.partition.eof`: read in batches, its message moves the client's position one too far (librdkafka 4844), and the next rebalance
// would skip a record, or start from the beginning.
const CONSUMER_FIXED: &[(&str, &str)] =
    &[("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"), ("isolation.level", "read_committed")];

/// Whether the broker hands out the partitions (KIP-848) and not the members. It knows by itself when a member is gone, and moves nothing else
/// when one comes; but it alone says how long it waits for one that was killed (`group.consumer.session.timeout.ms`, 45 seconds).
const GROUP_PROTOCOL: &str = "group.protocol";

/// Defaults of ours that belong to the members' own protocol; with the broker's, the library refuses them.
const CLASSIC_ONLY: &[&str] = &["session.timeout.ms", "heartbeat.interval.ms"];

const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    // Retries must neither double nor reorder records.
    ("enable.idempotence", "true"),
    // A flush waits for this; a little still fills batches.
    ("linger.ms", "2"),
    ("queue.buffering.max.kbytes", "65536"),
    // A topic that is not there is an error after this, not after half a minute.
    ("topic.metadata.propagation.max.ms", "10000"),
];

impl KafkaOptions {
    /// A cluster without special wishes.
    pub fn new(bootstrap: impl Into<String>) -> KafkaOptions {
        KafkaOptions {
            bootstrap: bootstrap.into(),
            properties: BTreeMap::new(),
            connect_timeout: CONNECT_TIMEOUT,
            buffer: Bounds::default(),
        }
    }

    /// The same with one more property.
    pub fn with(mut self, name: &str, value: &str) -> KafkaOptions {
        self.properties.insert(name.to_owned(), value.to_owned());
        self
    }

    /// All properties that cannot be taken, in the order of their names.
    pub fn bad_properties(&self) -> Vec<BadProperty> {
        let bad = self.properties.iter().filter_map(|(name, value)| {
            let why = reserved(name).map(|why| format!("it cannot be set here: {why}")).or_else(|| refused(name, value))?;
            Some(BadProperty { name: name.clone(), why })
        });
        bad.collect()
    }

    /// For a client that only asks and makes topics.
    pub(super) fn client(&self) -> ClientConfig {
        self.layered(&[])
    }

    /// For a member of a group. What reads several topics may join them by key, so partitions of the same number go to the same member: that is
    /// the range assignor. With the members' own protocol it moves all partitions whenever a member comes or goes; what reads one topic keeps
    /// those that need not move.
    pub(super) fn consumer(&self, group: &str, topics: usize) -> ClientConfig {
        let mut config = self.layered(CONSUMER_DEFAULTS);
        config.extend(owned(CONSUMER_FIXED));
        if self.properties.get(GROUP_PROTOCOL).is_some_and(|protocol| protocol == "consumer") {
            for name in CLASSIC_ONLY.iter().filter(|name| !self.properties.contains_key(**name)) {
                config.remove(name);
            }
            config.set(GROUP_PROTOCOL, "consumer").set("group.remote.assignor", if topics > 1 { "range" } else { "uniform" });
        } else {
            config.set("partition.assignment.strategy", if topics > 1 { "range" } else { "cooperative-sticky" });
        }
        config.set("group.id", group);
        // Where to start, whoever reads a partition looks up; this is for a place that is no longer there.
        config.set("auto.offset.reset", "earliest");
        config
    }

    /// For a client that asks where partitions end, whatever transactions are open.
    pub(super) fn asker(&self) -> ClientConfig {
        let mut config = self.layered(&[]);
        config.set("isolation.level", "read_uncommitted").set("group.id", "sangam");
        config
    }

    /// For a client that reads a log back.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.layered(CONSUMER_DEFAULTS);
        config.extend(owned(CONSUMER_FIXED));
        config.set("enable.partition.eof", "true");
        // It reads one partition, as fast as it can, and is gone; an empty answer is what tells the end, so the broker need not wait for more.
        config.set("fetch.wait.max.ms", "5");
        config.set("queued.min.messages", "1000000").set("queued.max.messages.kbytes", "65536").set("group.id", "sangam");
        config
    }

    /// For a writer in transactions.
    pub(super) fn transactional(&self, id: &str) -> ClientConfig {
        let mut config = self.layered(PRODUCER_DEFAULTS);
        let timeout = self.transaction_timeout().as_millis().to_string();
        config.set("enable.idempotence", "true").set("transactional.id", id);
        // A record that is given up ends its transaction, so neither need outlast the other.
        config.set("transaction.timeout.ms", &timeout).set("message.timeout.ms", &timeout);
        config
    }

    /// For a writer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.layered(PRODUCER_DEFAULTS);
        config.set("message.timeout.ms", self.message_timeout().as_millis().to_string());
        config
    }

    /// When a record that the broker has not taken is given up.
    pub(super) fn message_timeout(&self) -> Duration {
        let said = ["message.timeout.ms", "delivery.timeout.ms"].iter().find_map(|name| self.properties.get(*name)?.parse().ok());
        Duration::from_millis(said.unwrap_or(MESSAGE_TIMEOUT_MS))
    }

    /// After how long a transaction is given up.
    pub(super) fn transaction_timeout(&self) -> Duration {
        let said = self.properties.get("transaction.timeout.ms").and_then(|value| value.parse().ok());
        Duration::from_millis(said.unwrap_or(TRANSACTION_TIMEOUT_MS))
    }

    fn layered(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(owned(CLIENT_DEFAULTS));
        config.extend(owned(defaults));
        config.extend(self.properties.clone());
        // Only for members of a group.
        config.remove(GROUP_PROTOCOL);
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

fn owned<'a>(pairs: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn reserved(name: &str) -> Option<&'static str> {
    RESERVED.iter().find(|(reserved, _)| *reserved == name).map(|(_, why)| *why)
}

/// What librdkafka says against a property.
fn refused(name: &str, value: &str) -> Option<String> {
    let why = match ClientConfig::new().set(name, value).create_native_config().err()? {
        KafkaError::ClientConfig(_, why, _, _) => why,
        other => other.to_string(),
    };
    // Its words may quote the value; a secret must not get into a log that way.
    let secret = ["password", "secret", "pem", "token"].iter().any(|word| name.contains(word));
    Some(if secret { "its value cannot be taken".to_owned() } else { why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(name: &str, value: &str) -> String {
        let bad = KafkaOptions::new("localhost:9092").with(name, value).bad_properties();
        bad.into_iter().map(|bad| format!("{}: {}", bad.name, bad.why)).collect()
    }

    #[test]
    fn properties_of_librdkafka_pass_through() {
        let options =
            KafkaOptions::new("a:1,b:2").with("compression.type", "lz4").with("security.protocol", "SASL_SSL").with("linger.ms", "50");
        assert_eq!(options.bad_properties(), []);
        let config = options.producer();
        assert_eq!(config.get("compression.type"), Some("lz4"));
        assert_eq!(config.get("linger.ms"), Some("50"), "what the user says wins over our default");
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
    }

    #[test]
    fn a_property_that_does_not_exist_is_refused_by_name() {
        assert!(
            why("compresion.type", "lz4").starts_with("compresion.type: No such configuration property"),
            "{}",
            why("compresion.type", "lz4")
        );
    }

    #[test]
    fn a_value_that_is_not_allowed_is_refused_by_name() {
        assert!(why("compression.type", "fast").starts_with("compression.type: Invalid value"), "{}", why("compression.type", "fast"));
    }

    #[test]
    fn what_the_engine_relies_on_cannot_be_changed() {
        assert!(why("group.id", "x").contains("the group is the pipeline's"));
        assert!(why("enable.auto.commit", "true").contains("committed when results are safe"));
    }

    #[test]
    fn all_bad_properties_are_found_at_once() {
        let options = KafkaOptions::new("a:1").with("nonsense", "1").with("group.id", "x").with("acks", "all").with("zero", "0");
        let names: Vec<_> = options.bad_properties().into_iter().map(|bad| bad.name).collect();
        assert_eq!(names, ["group.id", "nonsense", "zero"]);
    }

    #[test]
    fn every_default_is_one_that_librdkafka_knows() {
        let options = KafkaOptions::new("a:1");
        for config in [
            options.client(),
            options.asker(),
            options.reader(),
            options.consumer("g", 1),
            options.consumer("g", 2),
            options.clone().with("group.protocol", "consumer").consumer("g", 2),
            options.producer(),
            options.transactional("t"),
        ] {
            config.create_native_config().unwrap();
        }
    }

    #[test]
    fn readers_see_committed_records_only_and_never_commit_by_themselves() {
        let config = KafkaOptions::new("a:1").consumer("g", 1);
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("earliest"));
    }
}
