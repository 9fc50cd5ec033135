//! Where events leave the engine: which topic, which partition, in which format.

use super::names::Names;
use super::{Stamp, TopicRef, Topology};
use crate::broker::{BrokerError, OutRecord, Refusal, Sink};
use crate::events::{Events, Format, Row};
use crate::route::{json_to_msgpack, msgpack_to_json, partition_of};
use crate::store::Changes;
use crate::time::WATERMARK_MIN;
use std::sync::Arc;

/// Writes streams. One worker has one, for all its tasks.
pub struct Outbox {
    topology: Arc<Topology>,
    /// By cluster.
    sinks: Vec<Box<dyn Sink>>,
    /// What sinks in the store want written with the next commit.
    pub changes: Changes,
    scratch: Vec<u8>,
    /// What is put on each output from now on; what goes as it came has none.
    pub stamp: Option<Stamp>,
    stamped: Vec<u8>,
    /// Whose outputs they are.
    pub operator: usize,
    names: Names,
    /// By cluster: what a sink has taken since its last flush that may refuse it there.
    taken: Vec<Vec<Refused>>,
}

/// An output that a sink has taken and refused later.
pub struct Refused {
    /// Whose output it is.
    pub operator: usize,
    /// The partition of the task that wrote it.
    pub partition: u32,
    /// The stream that it was for.
    pub stream: usize,
    /// The output, alone.
    pub events: Events,
    /// Whether its bytes stay as they came.
    pub as_it_came: bool,
    /// What it bears.
    pub stamp: Option<Stamp>,
    /// Why.
    pub why: Refusal,
}

impl Outbox {
    /// An outbox over one sink per cluster.
    pub fn new(topology: Arc<Topology>, sinks: Vec<Box<dyn Sink>>) -> Outbox {
        let taken = sinks.iter().map(|_| Vec::new()).collect();
        let (changes, scratch, stamped, names) = (Changes::default(), Vec::new(), Vec::new(), Names::default());
        Outbox { topology, sinks, changes, scratch, stamp: None, stamped, operator: 0, names, taken }
    }

    /// Writes event `row` to a stream, in its format, or as it came; `partition` takes those without a key. Gives back why it cannot be
    /// written; a stream that is not in a topic takes nothing here.
    pub fn write(
        &mut self,
        stream: usize,
        events: &Events,
        row: usize,
        partition: u32,
        as_it_came: bool,
    ) -> Result<Option<String>, BrokerError> {
        let Some(node) = self.topology.streams.get(stream) else { return Ok(None) };
        let Some(topic) = &node.topic else { return Ok(None) };
        let at = row;
        let (Some(sink), Some(row)) = (self.sinks.get_mut(topic.cluster), events.rows.get(at)) else { return Ok(None) };
        let mut value = events.value(row);
        if let Some(bytes) = value
            && !(as_it_came && has_form(&self.topology, topic, row))
        {
            self.scratch.clear();
            let converted = match (row.format, node.format) {
                (Format::MsgPack, Format::Json) => Some(msgpack_to_json(bytes, &mut self.scratch)),
                (Format::Json, Format::MsgPack) => Some(json_to_msgpack(bytes, &mut self.scratch)),
                _ => None,
            };
            match converted {
                Some(Ok(())) => value = Some(&self.scratch),
                Some(Err(reason)) if !as_it_came => return Ok(Some(reason)),
                Some(Err(_)) | None => {}
            }
        }
        let key = events.key(row);
        let slice = partition;
        let partition = key.map_or(partition % topic.partitions.max(1), |key| partition_of(key, topic.partitions));
        let headers = match &self.stamp {
            Some(stamp) if !as_it_came => stamp.put_on(events.headers(row), &mut self.stamped),
            _ => events.headers(row),
        };
        let record = OutRecord { topic: &topic.topic, partition: partition as i32, key, value, headers, time: row.time };
        let written = match sink.refuses_late() {
            false => sink.write(&record, &mut self.changes),
            true => {
                let operator = self.topology.operators.get(self.operator).map_or("", |operator| &*operator.name);
                let from = self.topology.stream_names.get(usize::from(row.stream)).map_or("", String::as_str);
                let name = self.names.next((&self.topology.name, operator, &node.name), from, events, row);
                let written = sink.write_named(&record, &name, &mut self.changes);
                if let (Ok(()), Some(taken)) = (&written, self.taken.get_mut(topic.cluster)) {
                    let mut alone = Events::default();
                    alone.push_from(events, at);
                    let (operator, stamp) = (self.operator, self.stamp.clone());
                    let why = Refusal { why: String::new(), away: false };
                    taken.push(Refused { operator, partition: slice, stream, events: alone, as_it_came, stamp, why });
                }
                written
            }
        };
        refusal(written)
    }

    /// Writes a record to a partition of a passage. Gives back why it cannot be written.
    pub fn carry(
        &mut self,
        through: usize,
        partition: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[u8],
    ) -> Result<Option<String>, BrokerError> {
        let Some(topic) = self.topology.streams.get(through).and_then(|node| node.topic.as_ref()) else { return Ok(None) };
        let Some(sink) = self.sinks.get_mut(topic.cluster) else { return Ok(None) };
        // The event's own time is carried where the broker has no opinion of it.
        let record = OutRecord { topic: &topic.topic, partition: partition as i32, key, value, headers, time: WATERMARK_MIN };
        refusal(sink.write(&record, &mut self.changes))
    }

    /// Waits for the sinks that may refuse what they have taken; gives back what they have refused.
    pub fn deliver(&mut self) -> Result<Vec<Refused>, BrokerError> {
        let mut all = Vec::new();
        for (sink, taken) in self.sinks.iter_mut().zip(&mut self.taken).filter(|(sink, _)| sink.refuses_late()) {
            sink.flush(&mut self.changes)?;
            let mut taken: Vec<Option<Refused>> = std::mem::take(taken).into_iter().map(Some).collect();
            for (number, why) in sink.refused() {
                let refused = taken.get_mut(number).and_then(Option::take);
                all.extend(refused.map(|refused| Refused { why, ..refused }));
            }
        }
        Ok(all)
    }

    /// Adds to `changes` what the sinks in the store still hold, and waits until everything outside is safe.
    pub fn flush(&mut self) -> Result<(), BrokerError> {
        self.sinks.iter_mut().try_for_each(|sink| sink.flush(&mut self.changes))
    }

    /// The changes of the last flush have been written, or are lost.
    pub fn settled(&mut self, written: bool) {
        self.sinks.iter_mut().for_each(|sink| sink.settled(written));
        if !written {
            self.taken.iter_mut().for_each(Vec::clear);
        }
    }
}

/// Why a record was refused, if it was; other errors are the sink's own.
fn refusal(written: Result<(), BrokerError>) -> Result<Option<String>, BrokerError> {
    match written {
        Ok(()) => Ok(None),
        Err(BrokerError::Refused(reason)) => Ok(Some(reason)),
        Err(why) => Err(why),
    }
}

/// Whether the bytes of an event have a form that a topic should keep. Those of another format than the stream that was read have none: an
/// operator has emitted them, and they were in memory only. Nor has anything in a file, where bytes of another format would end lines anywhere.
fn has_form(topology: &Topology, topic: &TopicRef, row: &Row) -> bool {
    !topic.is_file && topology.streams.get(usize::from(row.stream)).is_none_or(|read| read.format == row.format)
}
