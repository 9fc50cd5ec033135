//! The only door to topics: in memory, embedded on disk, Kafka, files and pipes, behind one set of traits.
//!
//! It moves bytes, keys, times, headers and offsets; it does not know events' formats, operators or state.

mod error;
mod file;
mod kafka;
mod local;
mod memory;

#[doc(hidden)]
pub mod suite;

pub use error::BrokerError;
pub use file::{FileBroker, FileFormat, FileOptions};
pub use kafka::{BadProperty, Bounds, KafkaBroker, KafkaOptions};
pub use local::LocalBroker;
pub use memory::{Controls, MemoryBroker};

use crate::events::Events;
use crate::store::Changes;
use crate::time::Millis;
use std::collections::BTreeMap;

/// A place that holds topics.
pub trait Broker: Send + Sync {
    /// Number of partitions of a topic, or `None` where there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError>;

    /// Makes a topic; one that is there already is left as it is.
    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError>;

    /// Starts to read topics as member of a group.
    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Starts to write topics.
    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError>;

    /// Starts to write records with names, which are noted down in the ledger of that name; makes the ledger where there is none. Another
    /// process that wrote to it before writes no more.
    fn once(&self, _ledger: &str) -> Result<Box<dyn OnceSink>, BrokerError> {
        Err(BrokerError::Fatal("a file cannot remember what has been written to it".to_owned()))
    }

    /// What a ledger holds.
    fn written(&self, _ledger: &str) -> Result<Written, BrokerError> {
        Ok(Written::new())
    }
}

/// What to read.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The consumer group: who shares the work, and under which name offsets are kept.
    pub group: String,
    /// The topics.
    pub topics: Vec<String>,
    /// Where to start in a partition for which there is no offset.
    pub start: Start,
}

/// Where to start in a partition for which there is no offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record.
    #[default]
    Earliest,
    /// With records that come from now on.
    Latest,
}

/// Partitions that this process reads now, and how that changes.
pub trait Subscription: Send {
    /// Partitions gained and lost since the last call. Call it regularly, also while nothing is read: it keeps the group membership alive.
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError>;

    /// Tells the outside how far everything is safe: topic, partition, offset of the next record to read.
    fn commit(&mut self, offsets: &[(String, i32, i64)]) -> Result<(), BrokerError>;
}

/// A partition that was gained or lost.
pub enum Assignment {
    /// This process reads it from now on.
    Gained {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The offset of the next record, where the outside keeps one for the group.
        committed: Option<i64>,
        /// The reader.
        source: Box<dyn Source>,
    },
    /// Another process reads it from now on; what is not committed will be done again there.
    Lost {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
}

/// Reads one partition.
pub trait Source: Send {
    /// Goes to an offset; before the first poll, where the pipeline knows better than `committed` and the start rule.
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError>;

    /// Appends at most `max` records that are there now, without waiting for more.
    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError>;

    /// Records that are there and not read yet, where that is known. A drain ends when it is 0, and so does not end where nothing is known.
    fn lag(&self) -> Option<u64>;
}

/// A poll stops once a run holds this many bytes, so that large records do not add up to what no run can hold.
pub(crate) const POLL_BYTES_MAX: usize = 64 << 20;

/// How a poll went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Records were appended.
    Some(usize),
    /// Nothing there right now; more may come.
    Empty,
    /// Nothing there and nothing will come: the input is bounded and has been read.
    End,
}

/// A record on its way out.
#[derive(Clone, Copy, Debug)]
pub struct OutRecord<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers as a MessagePack map of text to binary; empty where there are none.
    pub headers: &'a [u8],
    /// Event time.
    pub time: Millis,
}

/// Writes records.
pub trait Sink: Send {
    /// Takes a record. A sink that lives in the store adds to `changes` and is safe once those are written; any other may send at once.
    fn write(&mut self, record: &OutRecord<'_>, changes: &mut Changes) -> Result<(), BrokerError>;

    /// For a sink outside the store: returns once every record taken so far is safe. For one in the store: adds what it still holds to `changes`.
    fn flush(&mut self, changes: &mut Changes) -> Result<(), BrokerError>;

    /// The changes that were handed out with the last flush have been written (`true`) or have been lost (`false`). With a loss goes
    /// everything that the sink still holds; call it so, too, to give up records before their flush.
    fn settled(&mut self, written: bool);
}

/// Names of records that have been written, each with when.
pub type Written = BTreeMap<String, Millis>;

/// A record with a name. Without a record, the name alone is noted down.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The record.
    pub record: Option<OutRecord<'a>>,
}

/// Writes records that must not come twice. It does not compare: the caller looks into [`OnceSink::written`] first.
pub trait OnceSink {
    /// What the ledger holds.
    fn written(&mut self) -> Result<Written, BrokerError>;

    /// Writes all the records and their names, or nothing; `now` is noted down as when.
    fn write(&mut self, records: &[Named<'_>], now: Millis) -> Result<(), BrokerError>;
}
