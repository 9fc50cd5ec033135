//! Passages: topics between an operator and what it reads, by which events are keyed anew. Which there are, and how they are cut.
//!
//! What goes through them is the tasks' business; what becomes of it afterwards is `sweep`'s.

use super::PipelineError;
use super::brokers::Brokers;
use super::crew::Failed;
use crate::config::{Carrier, Pipeline};
use crate::task::{Consumer, Group, Handover, StreamNode, Topology};

/// What is said of an operator that asks for a passage it has no use for.
pub const NO_KEY: &str = "it keeps no state per key, so that its events need not be keyed anew; leave `route = \"repartition\"` out";

/// The stream that carries the events of an operator's input.
pub fn of(pipeline: &Pipeline, operator: &str, input: usize) -> Option<usize> {
    let carries = |stream: &crate::config::Stream| {
        stream.rekeys.as_ref().is_some_and(|rekeys| (rekeys.operator.as_str(), rekeys.input) == (operator, input))
    };
    pipeline.streams.iter().position(carries)
}

/// Has `reader` take the events of the stream `carried` by way of the stream `through`.
pub fn wire(streams: &mut [StreamNode], carried: usize, through: usize, reader: Consumer) {
    if let Some(node) = streams.get_mut(carried) {
        node.consumers.push(Consumer { to: Handover::Through(through), ..reader });
    }
    if let Some(node) = streams.get_mut(through) {
        node.consumers.push(Consumer { to: Handover::Here, ..reader });
        node.carries = Some(carried);
    }
}

/// Says how many partitions the passages get that are still to be made: as many as their operator asks for, or has of other topics, or else
/// as the widest of those that send through them. One that is there already keeps its own.
pub fn size(pipeline: &Pipeline, streams: &mut [StreamNode], groups: &[Group], of_operator: &[usize]) {
    let widths = Widths { pipeline, streams, groups, of_operator };
    let open = streams.iter().enumerate().filter(|(_, node)| node.carries.is_some() && partitions(node) == Some(0));
    let sizes: Vec<(usize, u32)> = open
        .filter_map(|(s, node)| Some((s, widths.of_group(*of_operator.get(node.consumers.first()?.operator)?, &mut Vec::new()))))
        .collect();
    for (s, size) in sizes {
        if let Some(topic) = streams.get_mut(s).and_then(|node| node.topic.as_mut()) {
            topic.partitions = size;
        }
    }
}

/// A passage ends when what comes to it does: once everything else that the pipeline reads can end.
pub fn end(pipeline: &Pipeline, streams: &mut [StreamNode], groups: &[Group]) {
    let reads = groups.iter().flat_map(|group| &group.reads).filter_map(|s| pipeline.streams.get(*s));
    let ends = |stream: &crate::config::Stream| stream.bounded || matches!(stream.carrier, Carrier::File { follow: false, .. });
    let all_end = reads.filter(|stream| stream.rekeys.is_none()).all(ends);
    streams.iter_mut().filter(|node| node.carries.is_some()).for_each(|node| node.bounded = all_end);
}

/// Makes the passages' topics, where they are not there.
pub fn make(topology: &Topology, brokers: &Brokers) -> Result<(), Failed> {
    for node in topology.streams.iter().filter(|node| node.carries.is_some()) {
        let Some((topic, broker)) = node.topic.as_ref().and_then(|topic| Some((topic, brokers.all().get(topic.cluster)?))) else {
            continue;
        };
        broker.create_passage(&topic.topic, topic.partitions)?;
        // Another process may have made it meanwhile, from another file.
        if let Some(then) = broker.partitions(&topic.topic)?.filter(|then| *then != topic.partitions) {
            let reader = node.consumers.first().and_then(|consumer| topology.operators.get(consumer.operator));
            let operator = reader.map_or_else(String::new, |node| node.name.to_string());
            return Err(Failed::Fatal(PipelineError::Repartitioned { operator, then, now: topic.partitions }));
        }
    }
    Ok(())
}

fn partitions(node: &StreamNode) -> Option<u32> {
    node.topic.as_ref().map(|topic| topic.partitions)
}

/// How many tasks groups have, before all of it is settled.
struct Widths<'a> {
    pipeline: &'a Pipeline,
    streams: &'a [StreamNode],
    groups: &'a [Group],
    of_operator: &'a [usize],
}

impl Widths<'_> {
    /// `seen` are the groups that have been asked on the way, as groups may feed each other in a circle.
    fn of_group(&self, group: usize, seen: &mut Vec<usize>) -> u32 {
        let Some(node) = self.groups.get(group).filter(|_| !seen.contains(&group)) else { return 1 };
        seen.push(group);
        let asked = node.operators.iter().filter_map(|o| self.pipeline.operators.get(*o)?.parallelism).max();
        let read = node.reads.iter().filter_map(|s| partitions(self.streams.get(*s)?)).filter(|partitions| *partitions > 0).max();
        if let Some(width) = asked.map(|asked| asked as u32).filter(|_| read.is_none()).or(read) {
            return width;
        }
        let feeds = |stream: &&StreamNode| {
            stream.consumers.iter().any(|to| to.to != Handover::Here && self.of_operator.get(to.operator) == Some(&group))
        };
        let feeders = self.streams.iter().filter(feeds);
        feeders.map(|stream| stream.producer.map_or(1, |group| self.of_group(group, seen))).max().unwrap_or(1).max(1)
    }
}
