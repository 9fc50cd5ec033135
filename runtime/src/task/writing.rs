//! A task's outputs on their way to topics, and what becomes of those that a topic does not take.

use super::{OperatorNode, Outbox, Refused, Stamp, Task, TaskError};
use crate::broker::BrokerError;
use crate::events::Events;
use crate::stage::{Failure, FailureKind, Outputs, Subject, Way, letter};

impl Task {
    /// Writes what is bound to topics, in the order in which it was emitted.
    pub(super) fn write(&mut self, spec: &OperatorNode, operator: usize, outputs: &Outputs, outbox: &mut Outbox) -> Result<(), TaskError> {
        let mut next = vec![0; outputs.ports.len() + 3];
        let (runs, taken_back) = self.stamps(spec, operator, outputs);
        let (of_another, stamp) = taken_back.map_or((0, None), |(count, stamp)| (count, Some(stamp)));
        (outbox.stamp, outbox.operator) = (stamp, operator);
        for (i, way) in outputs.order.iter().enumerate() {
            if i == of_another {
                outbox.stamp.clone_from(&runs);
            }
            let (place, streams, as_it_came) = match way {
                Way::Port(port) => (usize::from(*port), spec.outputs.get(usize::from(*port)).map_or(&[][..], Vec::as_slice), false),
                Way::Late => (outputs.ports.len(), spec.late.as_slice(), true),
                Way::DeadLetter => (outputs.ports.len() + 1, spec.dead_letters.as_slice(), true),
                Way::Fallback => (outputs.ports.len() + 2, spec.fallback.as_slice(), true),
            };
            let (Some(events), Some(i)) = (outputs.way(*way), next.get_mut(place)) else { continue };
            let row = *i;
            *i += 1;
            for stream in streams {
                if *way == Way::DeadLetter {
                    self.keep_letter(*stream, events, row, outbox)?;
                } else if let Some(reason) = outbox.write(*stream, events, row, self.partition, as_it_came)? {
                    self.keep_unwritable((spec, operator), *stream, events, row, reason, outbox)?;
                }
            }
        }
        Ok(())
    }

    /// What the outputs of a call bear: the stamp of the build that runs and, where another was taken back on the way, that one's for the first
    /// so many.
    fn stamps(&mut self, spec: &OperatorNode, operator: usize, outputs: &Outputs) -> (Option<Stamp>, Option<(usize, Stamp)>) {
        let Some(node) = self.nodes.get_mut(operator).and_then(Option::as_mut).filter(|_| spec.stamp) else { return (None, None) };
        let build = node.stage.plugin();
        if !node.stamp.as_ref().is_some_and(|stamp| stamp.is_of(build)) {
            node.stamp = Some(Stamp::new(&spec.name, build));
        }
        let taken_back = outputs.taken_back.as_ref().map(|(count, build)| (*count, Stamp::new(&spec.name, build)));
        (node.stamp.clone(), taken_back)
    }

    /// Keeps an output that a sink has refused after it had taken it: in the stream's fallback, where it may be delivered another time.
    pub fn keep_refused(&mut self, refused: &Refused, outbox: &mut Outbox) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(spec) = topology.operators.get(refused.operator) else { return Ok(()) };
        let fallback = topology.streams.get(refused.stream).and_then(|node| node.fallback).filter(|_| refused.why.away);
        let mut reason = refused.why.why.clone();
        if let Some(stream) = fallback {
            outbox.operator = refused.operator;
            outbox.stamp.clone_from(&refused.stamp);
            match outbox.write(stream, &refused.events, 0, refused.partition, refused.as_it_came)? {
                None => return Ok(()),
                Some(why) => reason = format!("{reason}; nor by its fallback: {why}"),
            }
        }
        self.keep_unwritable((spec, refused.operator), refused.stream, &refused.events, 0, reason, outbox)
    }

    /// Keeps an output that the stream `to` cannot take.
    fn keep_unwritable(
        &mut self,
        (spec, operator): (&OperatorNode, usize),
        to: usize,
        events: &Events,
        row: usize,
        reason: String,
        outbox: &mut Outbox,
    ) -> Result<(), TaskError> {
        let failure = Failure::new(FailureKind::Effects, format!("an output cannot be written: {reason}"));
        let mut letters = Events::default();
        let to = self.topology.stream_names.get(to).map_or("", String::as_str);
        if spec.dead_letters.is_none() {
            tracing::warn!(operator = %spec.name, stream = to, "an output is dropped, as the operator keeps no dead letters: {reason}");
        }
        if let (Some(row), Some(stream)) = (events.rows.get(row), spec.dead_letters) {
            self.origin(operator).dead_letter(events, row, Subject::Output(to), &failure, &mut letters);
            self.keep_letter(stream, &letters, 0, outbox)?;
        }
        Ok(())
    }

    /// Writes a dead letter. One that its stream cannot take goes without its key and value: where it came from is enough to find it again.
    pub(super) fn keep_letter(&self, stream: usize, letters: &Events, row: usize, outbox: &mut Outbox) -> Result<(), TaskError> {
        let Some(reason) = outbox.write(stream, letters, row, self.partition, true)? else { return Ok(()) };
        let mut bare = Events::default();
        if let Some(letter) = letters.rows.get(row) {
            letter::without_content(letters, letter, &reason, &mut bare);
        }
        let Some(reason) = outbox.write(stream, &bare, 0, self.partition, true)? else { return Ok(()) };
        let name = self.topology.stream_names.get(stream).map_or("", String::as_str);
        Err(BrokerError::Fatal(format!("a dead letter cannot be written to `{name}`: {reason}")).into())
    }
}
