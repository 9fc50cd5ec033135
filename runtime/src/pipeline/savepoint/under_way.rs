//! Events that are under way in passages when a savepoint is taken: they are part of it, and go into the passages again when it is restored.
//!
//! What a passage holds at that time belongs to the run that is given up. So it is read from where it ends, and what the savepoint has of it
//! is written there.

use super::super::Brokers;
use super::super::ledger::Ledger;
use super::SavepointError;
use super::depot::Writing;
use crate::broker::{Broker, BrokerError, OutRecord, Replay, Sink};
use crate::events::{Events, Row};
use crate::store::{Changes, Store};
use crate::task::{Topology, read_position};
use crate::time::WATERMARK_MIN;
use sangam_protocol::msgpack::{Error as Malformed, Reader, write};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// What is under way in the passages of a pipeline as of its last commit.
pub(super) struct UnderWay(Vec<Stretch>);

/// What of one partition has not been read.
struct Stretch {
    broker: Arc<dyn Broker>,
    stream: String,
    topic: String,
    partition: u32,
    /// Offset of the next record; `None` where none was ever read.
    from: Option<i64>,
    /// Offset behind the last record.
    end: i64,
}

/// The way of events that were under way back into their passages.
pub(super) struct Resend<'a> {
    topology: &'a Topology,
    /// By stream and partition: where the passage ends, before anything is sent again.
    ends: BTreeMap<(String, u32), i64>,
    /// By cluster.
    sinks: BTreeMap<usize, Box<dyn Sink>>,
    /// What sinks in the store want written.
    changes: Changes,
}

/// The space of a savepoint's entries that are events under way. Their key is their place, and they are in order there.
pub(super) const UNDER_WAY: &str = "under-way";

// === impl UnderWay ===

impl UnderWay {
    /// Looks up where passages end, while this process holds still. A process that has stood still for longer than it knows is not the only
    /// one that has written to them since its last commit; the ledger tells.
    pub fn new(topology: &Topology, brokers: &Brokers, store: &dyn Store, ledger: Option<&Ledger>) -> Result<UnderWay, SavepointError> {
        let mut stretches = Vec::new();
        for (node, topic) in topology.passages() {
            let Some(broker) = brokers.all().get(topic.cluster) else { continue };
            if broker.partitions(&topic.topic)?.is_none() {
                continue;
            }
            for partition in 0..topic.partitions {
                let from = read_position(store, &node.name, partition as i32)?.map(|(offset, _)| offset);
                let end = end_of(broker.as_ref(), &topic.topic, partition)?;
                if from.is_none_or(|from| from != end) {
                    let (broker, stream, topic) = (broker.clone(), node.name.clone(), topic.topic.clone());
                    stretches.push(Stretch { broker, stream, topic, partition, from, end });
                }
            }
        }
        match ledger {
            Some(ledger) if topology.passages().next().is_some() && !ledger.is_current(store)? => {
                Err(SavepointError::Again("another process has worked since the last commit".to_owned()))
            }
            _ => Ok(UnderWay(stretches)),
        }
    }

    /// Adds it to a savepoint. The pipeline may go on meanwhile, as long as nothing is deleted.
    pub fn save(&self, writing: &mut Writing<'_>) -> Result<(), SavepointError> {
        self.0.iter().try_for_each(|stretch| stretch.save(writing))
    }
}

impl Stretch {
    fn save(&self, writing: &mut Writing<'_>) -> Result<(), SavepointError> {
        let (place, mut record, mut failed) = (format!("{}/{}", self.stream, self.partition), Vec::new(), None);
        let read = self.broker.replay(&self.topic, self.partition as i32, self.from, &mut |events| {
            for row in events.rows.iter().filter(|row| row.offset < self.end) {
                put_record(events, row, &mut record);
                if let Err(why) = writing.under_way(&self.stream, place.as_bytes(), &record) {
                    let told = BrokerError::Fatal(why.to_string());
                    failed = Some(why);
                    return Err(told);
                }
            }
            Ok(())
        });
        if let Some(why) = failed {
            return Err(why);
        }
        let read = read?;
        let begins = self.broker.bounds(&self.topic, self.partition as i32)?.map_or(0, |(first, _)| first);
        match self.from {
            Some(from) if read == Replay::Short => {
                Err(self.error(format!("it ends at offset {}, and was read up to {from}: the topic is another one", self.end)))
            }
            Some(from) if begins > from => {
                Err(self.error(format!("it begins at offset {begins}, and was read up to {from} when the savepoint was taken; try again")))
            }
            _ => Ok(()),
        }
    }

    fn error(&self, why: String) -> SavepointError {
        SavepointError::UnderWay { topic: self.topic.clone(), partition: self.partition, why }
    }
}

// === impl Resend ===

impl<'a> Resend<'a> {
    /// Looks up where passages end; from now on nobody else may write to them. With a ledger, events go into its open transaction.
    pub fn open(topology: &'a Topology, brokers: &Brokers, ledger: Option<&Ledger>) -> Result<Resend<'a>, SavepointError> {
        let (mut ends, mut sinks) = (BTreeMap::new(), BTreeMap::new());
        for (node, topic) in topology.passages() {
            let Some(broker) = brokers.all().get(topic.cluster) else { continue };
            for partition in 0..topic.partitions {
                ends.insert((node.name.clone(), partition), end_of(broker.as_ref(), &topic.topic, partition)?);
            }
            if let Entry::Vacant(place) = sinks.entry(topic.cluster) {
                place.insert(ledger.and_then(|ledger| ledger.sink(topic.cluster)).map_or_else(|| broker.sink(), Ok)?);
            }
        }
        Ok(Resend { topology, ends, sinks, changes: Changes::default() })
    }

    /// From where a partition is to be read, if it is one of a passage.
    pub fn from(&self, stream: &str, partition: u32) -> Option<i64> {
        self.ends.get(&(stream.to_owned(), partition)).copied()
    }

    /// All partitions of passages, and from where they are to be read.
    pub fn places(&self) -> impl Iterator<Item = (&str, u32, i64)> {
        self.ends.iter().map(|((stream, partition), end)| (stream.as_str(), *partition, *end))
    }

    /// Sends what an entry of a savepoint says to have been under way; what the pipeline has no passage for is left behind.
    pub fn send(&mut self, place: &[u8], record: &[u8]) -> Result<(), SavepointError> {
        let place = std::str::from_utf8(place).ok().and_then(|place| place.rsplit_once('/'));
        let Some((stream, partition)) = place.and_then(|(stream, partition)| Some((stream, partition.parse::<i32>().ok()?))) else {
            return Ok(());
        };
        let Some((_, topic)) = self.topology.passages().find(|(node, _)| node.name == stream) else { return Ok(()) };
        let Some(sink) = self.sinks.get_mut(&topic.cluster) else { return Ok(()) };
        let malformed = |why: Malformed| SavepointError::Damaged { file: UNDER_WAY.to_owned(), why: format!("cannot be read ({why})") };
        let (key, value, headers) = read_record(record).map_err(malformed)?;
        // As when it was sent first: its own time is in a header.
        let record = OutRecord { topic: &topic.topic, partition, key, value, headers, time: WATERMARK_MIN };
        Ok(sink.write(&record, &mut self.changes)?)
    }

    /// Waits until all is safe, or adds to changes what is to be written into the store for that.
    pub fn flush(&mut self, into: &mut Changes) -> Result<(), SavepointError> {
        self.sinks.values_mut().try_for_each(|sink| sink.flush(&mut self.changes))?;
        into.extend(&std::mem::take(&mut self.changes));
        Ok(())
    }

    /// The changes have been written, or are lost.
    pub fn settled(mut self, written: bool) {
        self.sinks.values_mut().for_each(|sink| sink.settled(written));
    }
}

fn end_of(broker: &dyn Broker, topic: &str, partition: u32) -> Result<i64, SavepointError> {
    broker.bounds(topic, partition as i32)?.map(|(_, end)| end).ok_or_else(|| SavepointError::UnderWay {
        topic: topic.to_owned(),
        partition,
        why: "this kind of broker does not say where it ends".to_owned(),
    })
}

/// A record as a savepoint has it: key, value, headers.
fn put_record(events: &Events, row: &Row, into: &mut Vec<u8>) {
    into.clear();
    write::array(into, 3);
    for bytes in [events.key(row), events.value(row)] {
        match bytes {
            Some(bytes) => write::bin(into, bytes),
            None => write::nil(into),
        }
    }
    write::bin(into, events.headers(row));
}

type Kept<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [u8]);

fn read_record(record: &[u8]) -> Result<Kept<'_>, Malformed> {
    let mut reader = Reader::new(record);
    reader.array()?;
    let mut bytes = || if reader.nil()? { Ok(None) } else { reader.bin().map(Some) };
    let (key, value) = (bytes()?, bytes()?);
    Ok((key, value, reader.bin()?))
}
