//! Where events leave the engine: which topic, which partition, in which format.

use super::{TopicRef, Topology};
use crate::broker::{BrokerError, OutRecord, Sink};
use crate::events::{Events, Format, Row};
use crate::route::{json_to_msgpack, msgpack_to_json, partition_of};
use crate::store::Changes;
use std::sync::Arc;

/// Writes streams. One worker has one, for all its tasks.
pub struct Outbox {
    topology: Arc<Topology>,
    /// By cluster.
    sinks: Vec<Box<dyn Sink>>,
    /// What sinks in the store want written with the next commit.
    pub changes: Changes,
    scratch: Vec<u8>,
}

impl Outbox {
    /// An outbox over one sink per cluster.
    pub fn new(topology: Arc<Topology>, sinks: Vec<Box<dyn Sink>>) -> Outbox {
        Outbox { topology, sinks, changes: Changes::default(), scratch: Vec::new() }
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
        let (Some(sink), Some(row)) = (self.sinks.get_mut(topic.cluster), events.rows.get(row)) else { return Ok(None) };
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
        let partition = key.map_or(partition % topic.partitions.max(1), |key| partition_of(key, topic.partitions));
        let record =
            OutRecord { topic: &topic.topic, partition: partition as i32, key, value, headers: events.headers(row), time: row.time };
        match sink.write(&record, &mut self.changes) {
            Ok(()) => Ok(None),
            Err(BrokerError::Refused(reason)) => Ok(Some(reason)),
            Err(why) => Err(why),
        }
    }

    /// Adds to `changes` what the sinks in the store still hold, and waits until everything outside is safe.
    pub fn flush(&mut self) -> Result<(), BrokerError> {
        self.sinks.iter_mut().try_for_each(|sink| sink.flush(&mut self.changes))
    }

    /// The changes of the last flush have been written, or are lost.
    pub fn settled(&mut self, written: bool) {
        self.sinks.iter_mut().for_each(|sink| sink.settled(written));
    }
}

/// Whether the bytes of an event have a form that a topic should keep. Those of another format than the stream that was read have none: an
/// operator has emitted them, and they were in memory only. Nor has anything in a file, where bytes of another format would end lines anywhere.
fn has_form(topology: &Topology, topic: &TopicRef, row: &Row) -> bool {
    !topic.is_file && topology.streams.get(usize::from(row.stream)).is_none_or(|read| read.format == row.format)
}
