//! What a task knows of how far its operators are, and what they wait for: the facts behind "why has my window not fired".
//!
//! It looks; it neither words an answer nor asks other tasks.

use super::{Handover, IntakeState, Task};
use crate::broker::Buffered;
use crate::stage::Standing;
use crate::time::Millis;

/// How far an operator is in one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorStanding {
    /// Its watermark.
    pub watermark: Millis,
    /// Those that it waits for.
    pub channels: Vec<ChannelStanding>,
    /// The next event-time timer.
    pub next_timer: Option<Millis>,
    /// Pending event-time timers.
    pub timers: usize,
    /// The next processing-time timer.
    pub next_clock_timer: Option<Millis>,
    /// Pending processing-time timers.
    pub clock_timers: usize,
    /// Keys with state or timers.
    pub keys: usize,
    /// Events that wait for their batch.
    pub waiting: usize,
}

/// One of those that an operator's watermark is the least of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelStanding {
    /// The operator's input.
    pub input: usize,
    /// The partition of the stream that is read, or the slice of the operator that writes it.
    pub from: u32,
    /// Where its watermark stands.
    pub watermark: Millis,
    /// Since when it has stood there, as far as this run has seen, on the host's clock.
    pub since: Millis,
    /// How it counts.
    pub standing: Standing,
}

/// A partition that a task reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceStanding {
    /// The stream.
    pub stream: usize,
    /// Its partition.
    pub partition: u32,
    /// Offset of the next record; below zero before the first.
    pub next: i64,
    /// Records that wait to be read, where that is known.
    pub lag: Option<u64>,
    /// How it is with it.
    pub state: IntakeState,
    /// What its source holds ready.
    pub buffered: Buffered,
}

impl Task {
    /// How far each operator of the task is, at `now`. Call it now and then: how long a watermark stands still is counted from call to call.
    pub fn standings(&mut self, now: Millis) -> Vec<(usize, OperatorStanding)> {
        let mut standings = Vec::new();
        for (operator, (spec, node)) in self.topology.operators.iter().zip(&mut self.nodes).enumerate() {
            let Some(node) = node else { continue };
            for (seen, (watermark, _)) in node.seen.iter_mut().zip(node.combined.inputs()) {
                if seen.0 != *watermark {
                    *seen = (*watermark, now);
                }
            }
            let mut channels = Vec::new();
            for (input, (first, count)) in spec.channels.iter().enumerate() {
                for sender in 0..*count {
                    let (Some((watermark, standing)), Some(seen)) =
                        (node.combined.inputs().get(first + sender), node.seen.get(first + sender))
                    else {
                        continue;
                    };
                    let exchange = self.topology.streams.iter().flat_map(|stream| &stream.consumers);
                    let exchange =
                        exchange.filter(|to| to.operator == operator && to.input == input).any(|consumer| consumer.to != Handover::Here);
                    let from = if exchange { sender as u32 } else { self.partition };
                    channels.push(ChannelStanding { input, from, watermark: *watermark, since: seen.1, standing: *standing });
                }
            }
            let standing = OperatorStanding {
                watermark: node.stage.watermark(),
                channels,
                next_timer: node.stage.next_timer(),
                timers: node.stage.table().timers(),
                next_clock_timer: node.stage.next_clock_timer(),
                clock_timers: node.stage.clock_timers(),
                keys: node.stage.keys(),
                waiting: node.waiting.as_ref().map_or(0, super::waiting::Waiting::len),
            };
            standings.push((operator, standing));
        }
        standings
    }

    /// The partitions that the task reads.
    pub fn sources(&self) -> impl Iterator<Item = SourceStanding> {
        self.intakes.iter().map(|intake| SourceStanding {
            stream: intake.stream,
            partition: intake.partition() as u32,
            next: intake.next(),
            lag: intake.lag(),
            state: intake.state(),
            buffered: intake.buffered(),
        })
    }
}
