//! The only door to topics: in memory, embedded on disk, Kafka, files and pipes, behind one set of traits.
//!
//! It moves bytes, keys, times, headers and offsets; it does not know events' formats, operators or state.

mod circuit;
mod delivered;
mod error;
mod file;
mod kafka;
mod local;
mod memory;
mod webhook;

#[doc(hidden)]
pub mod suite;

pub use error::BrokerError;
pub use file::{FileBroker, FileFormat, FileOptions};
pub use kafka::{BadProperty, Bounds, KafkaBroker, KafkaOptions};
pub use local::LocalBroker;
pub use memory::{Controls, MemoryBroker};
pub use webhook::WebhookBroker;

pub use crate::config::Start;

use crate::config::Delivery;
use crate::events::Events;
use crate::metrics::SinkMetrics;
use crate::store::{Changes, Store};
use crate::time::Millis;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A place that holds topics.
pub trait Broker: Send + Sync {
    /// Number of partitions of a topic, or `None` where there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError>;

    /// The first offset of a partition and the one behind its last record, where that is known.
    fn bounds(&self, topic: &str, partition: i32) -> Result<Option<(i64, i64)>, BrokerError> {
        let _ = (topic, partition);
        Ok(None)
    }

    /// Makes a topic; one that is there already is left as it is.
    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError>;

    /// Starts to read topics as member of a group.
    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Starts to read all partitions of topics, whoever else reads them: no group shares them out, and nobody keeps offsets for the caller.
    fn follow(&self, topics: &[String]) -> Result<Box<dyn Subscription>, BrokerError> {
        self.subscribe(&Subscribe::new("", topics, Start::Earliest))
    }

    /// Starts to write topics.
    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError>;

    /// The same place for one stream alone, whose records are delivered past any transaction, and are given back where it is away. `None`
    /// where records are delivered in no other way than they are.
    fn delivering(&self, stream: &str, topic: &str, delivery: &Delivery) -> Result<Option<Arc<dyn Broker>>, BrokerError> {
        let _ = (stream, topic, delivery);
        Ok(None)
    }

    /// An error while it is known that nothing can be written to it for now, and the pipeline waits for it. It may try.
    fn ready(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    /// Where it is to count what it sends; for a broker that calls somebody.
    fn count_in(&self, metrics: SinkMetrics) {
        let _ = metrics;
    }

    /// Starts to write records with names, which are noted down in the ledger of that name; makes the ledger where there is none. Another
    /// process that wrote to it before writes no more.
    fn once(&self, _ledger: &str) -> Result<Box<dyn OnceSink>, BrokerError> {
        Err(BrokerError::Fatal("a file cannot remember what has been written to it".to_owned()))
    }

    /// What a ledger holds.
    fn written(&self, _ledger: &str) -> Result<Written, BrokerError> {
        Ok(Written::new())
    }

    /// Whether it has transactions.
    fn has_transactions(&self) -> bool {
        false
    }

    /// Starts to write in transactions, under an id that is this writer's own. Whoever wrote under it before is fenced off, and what that
    /// one had not committed is gone. `None` where there are no transactions.
    fn transactions(&self, id: &str) -> Result<Option<Arc<dyn Transactions>>, BrokerError> {
        let _ = id;
        Ok(None)
    }

    /// Makes a log: a topic that keeps at least the newest record of each key. One that is there already is left as it is.
    fn create_log(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.create(topic, partitions)
    }

    /// Makes a topic that events only pass through: it keeps them, however old they are, until they are deleted by
    /// [`Broker::delete_before`]. One that is there already is left as it is.
    fn create_passage(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.create(topic, partitions)
    }

    /// Deletes the records before these offsets, which nobody needs any more. A broker that cannot keeps them.
    fn delete_before(&self, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
        let _ = offsets;
        Ok(())
    }

    /// Makes a topic that keeps its records for ever. One that is there already is left as it is.
    fn create_lasting(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.create(topic, partitions)
    }

    /// Reads what is committed in a partition, from an offset (its start, for `None`) to where it ends now, without a group. Returns the
    /// offset to go on from.
    fn replay(&self, topic: &str, partition: i32, from: Option<i64>, each: Replayed<'_>) -> Result<Replay, BrokerError> {
        let _ = (from, each);
        Err(BrokerError::Fatal(format!("{topic}/{partition} cannot be read back: this kind of broker has no logs")))
    }
}

/// Is given the records of a log in order, a run at a time.
pub type Replayed<'a> = &'a mut dyn FnMut(&Events) -> Result<(), BrokerError>;

/// How a log was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// To its end: the offset to go on from next time.
    To(i64),
    /// It ends before the offset asked for: it is not the log that this was an offset of.
    Short,
}

/// One transaction after the other: what is written in one, and the offsets that go with it, is there for readers as a whole or not at all.
/// After any error the transactions that were open are lost, and so is this writer; a new one under the same id goes on from the last
/// commit.
pub trait Transactions: Send + Sync {
    /// A writer into whichever transaction is open.
    fn sink(&self) -> Box<dyn Sink>;

    /// Closes the open transaction and opens the next one, once all that was written has arrived: what is written from now on comes behind
    /// it. Nobody may write meanwhile. The closed one must be committed before the next is closed.
    fn close(&self) -> Result<Box<dyn Closed>, BrokerError>;
}

/// A transaction that takes no more records but those that say what it has led to.
pub trait Closed: Send {
    /// Adds a record to a partition of a log; `None` deletes the key.
    fn append(&mut self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), BrokerError>;

    /// Commits it, with the offsets of the next records to read of `member`'s partitions. Returns where in each partition of a log its records
    /// are.
    fn commit(self: Box<Self>, offsets: &[PartitionOffset], member: Option<&Member>) -> Result<Vec<Appended>, BrokerError>;
}

/// Records that a transaction added to a partition of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset of the first.
    pub first: i64,
    /// Offset behind the last.
    pub end: i64,
}

/// A place in a topic: topic, partition, offset.
pub type PartitionOffset = (String, i32, i64);

/// Who a process is in a group, at one moment: what a transaction shows to commit offsets. Only the broker that made it can read it.
pub struct Member(Box<dyn Any + Send>);

impl Member {
    /// What a broker of its kind can read again.
    pub fn new(who: impl Any + Send) -> Member {
        Member(Box::new(who))
    }

    /// What it was made of, for the broker that made it.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// A partition that is to go to another process waits until this and its clones are dropped: before that, what was read of it may be
/// committed.
#[derive(Clone, Default)]
pub struct Handback {
    _held: Option<Sender<Infallible>>,
    late: Arc<AtomicBool>,
}

impl Handback {
    /// One that somebody waits for: the receiver hears when all its clones are gone. What is returned last is set when nobody waits any more.
    pub fn awaited() -> (Handback, Receiver<Infallible>, Arc<AtomicBool>) {
        let (held, dropped) = bounded(0);
        let late = Arc::new(AtomicBool::new(false));
        (Handback { _held: Some(held), late: Arc::clone(&late) }, dropped, late)
    }

    /// One for a partition that was taken away by force.
    pub fn too_late() -> Handback {
        Handback { _held: None, late: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether the partition is another's already, so that nothing that was read of it may be committed.
    pub fn is_too_late(&self) -> bool {
        self.late.load(Ordering::SeqCst)
    }
}

/// What to read.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The consumer group: who shares the work, and under which name offsets are kept.
    pub group: String,
    /// The topics, each with where to start in a partition for which there is no offset.
    pub topics: Vec<(String, Start)>,
}

impl Subscribe {
    /// Topics that all start at the same place.
    pub fn new(group: impl Into<String>, topics: impl IntoIterator<Item = impl Into<String>>, start: Start) -> Subscribe {
        Subscribe { group: group.into(), topics: topics.into_iter().map(|topic| (topic.into(), start)).collect() }
    }

    /// The topics' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(|(topic, _)| topic.as_str())
    }

    /// Where to start in a topic.
    pub fn start_of(&self, topic: &str) -> Start {
        self.topics.iter().find(|(known, _)| known == topic).map(|(_, start)| *start).unwrap_or_default()
    }
}

/// Partitions that this process reads now, and how that changes.
pub trait Subscription: Send {
    /// Partitions gained and lost since the last call. Call it regularly, also while nothing is read: it keeps the group membership alive.
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError>;

    /// Tells the outside how far everything is safe: topic, partition, offset of the next record to read.
    fn commit(&mut self, offsets: &[PartitionOffset]) -> Result<(), BrokerError>;

    /// The same, without waiting for an answer, which may be long in coming where the outside is away; a failure is not heard of.
    fn commit_later(&mut self, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
        self.commit(offsets)
    }

    /// Looks up where partitions end now: from here on [`Source::lag`] counts what was written before this call, by whomever.
    fn look_again(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }

    /// Who this process is in the group right now, for [`Transactions::commit`]; `None` where transactions need no such thing.
    fn member(&mut self) -> Result<Option<Member>, BrokerError> {
        Ok(None)
    }
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
    /// Another process is to read it; what is not committed will be done again there.
    Lost {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// To be dropped once what was read of it is committed or given up.
        handback: Handback,
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

    /// What it holds ready for its reader; nothing where it holds nothing.
    fn buffered(&self) -> Buffered {
        Buffered::default()
    }
}

/// What a source holds ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered {
    /// Records.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How often it has been so full that nothing more was fetched until the reader had caught up.
    pub stops: u64,
    /// Records that the topic deleted before they were read: by its retention, or because somebody asked for it.
    pub missed: u64,
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

    /// Whether it may refuse at the flush what it has taken before. Such a sink wants its records by [`Sink::write_named`].
    fn refuses_late(&self) -> bool {
        false
    }

    /// Takes a record under a name: the same name when the same work is done again, so that whoever gets it can tell a repeat.
    fn write_named(&mut self, record: &OutRecord<'_>, name: &str, changes: &mut Changes) -> Result<(), BrokerError> {
        let _ = name;
        self.write(record, changes)
    }

    /// What it has refused, after a flush, of the records that it had taken since the flush before: the how-manieth, from 0, and why.
    fn refused(&mut self) -> Vec<(usize, Refusal)> {
        Vec::new()
    }
}

/// Ends a run of writes that no commit takes: what `sink` has taken is safe when this returns, be it outside or with `changes` in the store.
pub fn settle(sink: &mut dyn Sink, changes: &mut Changes, store: &dyn Store) -> Result<(), BrokerError> {
    sink.flush(changes)?;
    let written = if changes.is_empty() { Ok(()) } else { store.write(changes) };
    sink.settled(written.is_ok());
    Ok(written?)
}

/// Why a sink gives a record back that it had taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for people.
    pub why: String,
    /// It could not be delivered for now, and may be another time; else it will never be taken as it is.
    pub away: bool,
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
