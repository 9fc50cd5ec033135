//! The events that live partial matches have taken, each stored once, and the paths through them.
//!
//! A path is a chain of nodes from its last event back to its first; partial matches that share a beginning share its nodes. A node has
//! one node before it, so a path needs no version number to be told from another (SASE's and Flink's buffers merge nodes and do). It
//! knows no states and no conditions.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::field::{Encode, Field};
use crate::wrong::Wrong;

/// No node: nothing has been taken yet.
pub(super) const NONE: u32 = u32::MAX;

/// Events and paths, both in order of arrival; what dies leaves no gap.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Buffer<E> {
    events: Vec<(Millis, E)>,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    step: u16,
    event: u32,
    before: u32,
}

impl<E> Default for Buffer<E> {
    fn default() -> Self {
        Buffer { events: Vec::new(), nodes: Vec::new() }
    }
}

impl<E> Buffer<E> {
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// The number that the next event will get.
    pub(super) fn next_event(&self) -> u32 {
        self.events.len() as u32
    }

    pub(super) fn push_event(&mut self, time: Millis, event: E) {
        self.events.push((time, event));
    }

    /// Lengthens the path that ends at `before`.
    pub(super) fn push_node(&mut self, step: u16, event: u32, before: u32) -> u32 {
        self.nodes.push(Node { step, event, before });
        (self.nodes.len() - 1) as u32
    }

    /// Time of an event.
    pub(super) fn time(&self, event: u32) -> Option<Millis> {
        self.events.get(event as usize).map(|(time, _)| *time)
    }

    /// Time of the last event of a path.
    pub(super) fn last_time(&self, node: u32) -> Option<Millis> {
        self.time(self.nodes.get(node as usize)?.event)
    }

    /// The path that ends at `node`, from its last event to its first: step, number, time and event.
    pub(super) fn back(&self, node: u32) -> impl Iterator<Item = (u16, u32, Millis, &E)> {
        let mut next = node;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next as usize)?;
            // A path leads back in time; a stored one that does not would never end.
            next = if node.before < next { node.before } else { NONE };
            let (time, event) = self.events.get(node.event as usize)?;
            Some((node.step, node.event, *time, event))
        })
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.nodes.clear();
    }

    /// Forgets what no path that ends at one of `ends` goes through, and tells where the rest went.
    pub(super) fn sweep(&mut self, ends: impl Iterator<Item = u32>) -> Moved {
        let mut nodes = vec![NONE; self.nodes.len()];
        let mut events = vec![NONE; self.events.len()];
        for end in ends {
            let mut at = end;
            while let (Some(mark), Some(node)) = (nodes.get_mut(at as usize), self.nodes.get(at as usize)) {
                if *mark != NONE {
                    break;
                }
                *mark = 0;
                if let Some(mark) = events.get_mut(node.event as usize) {
                    *mark = 0;
                }
                at = if node.before < at { node.before } else { NONE };
            }
        }
        number(&mut nodes);
        number(&mut events);
        let mut i = 0;
        self.events.retain(|_| keeps(&events, &mut i));
        i = 0;
        self.nodes.retain(|_| keeps(&nodes, &mut i));
        for node in &mut self.nodes {
            node.event = moved(&events, node.event);
            node.before = moved(&nodes, node.before);
        }
        Moved { nodes, events }
    }
}

/// Where nodes and events went in a sweep.
pub(super) struct Moved {
    nodes: Vec<u32>,
    events: Vec<u32>,
}

impl Moved {
    pub(super) fn node(&self, node: u32) -> u32 {
        moved(&self.nodes, node)
    }

    pub(super) fn event(&self, event: u32) -> u32 {
        moved(&self.events, event)
    }
}

fn moved(table: &[u32], old: u32) -> u32 {
    table.get(old as usize).copied().unwrap_or(NONE)
}

/// Numbers what is marked.
fn number(marks: &mut [u32]) {
    let mut next = 0;
    for mark in marks.iter_mut().filter(|mark| **mark != NONE) {
        *mark = next;
        next += 1;
    }
}

fn keeps(table: &[u32], i: &mut usize) -> bool {
    let keeps = table.get(*i).is_some_and(|new| *new != NONE);
    *i += 1;
    keeps
}

// === as a part of the state ===

impl<'a, E: Field<'a>> Buffer<E> {
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let events = reader.array()? / 2;
        let mut buffer = Buffer { events: Vec::with_capacity(events.min(64)), nodes: Vec::new() };
        for _ in 0..events {
            let time = reader.i64()?;
            buffer.events.push((time, E::decode(reader)?));
        }
        let nodes = reader.array()? / 3;
        buffer.nodes.reserve(nodes.min(64));
        for _ in 0..nodes {
            let node = Node { step: u16::decode(reader)?, event: u32::decode(reader)?, before: u32::decode(reader)?.wrapping_sub(1) };
            buffer.nodes.push(node);
        }
        Ok(buffer)
    }
}

impl<E: Encode> Buffer<E> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.events.len() * 2);
        for (time, event) in &self.events {
            write::i64(out, *time);
            event.pack(out);
        }
        write::array(out, self.nodes.len() * 3);
        for node in &self.nodes {
            write::u64(out, u64::from(node.step));
            write::u64(out, u64::from(node.event));
            write::u64(out, u64::from(node.before.wrapping_add(1)));
        }
    }
}
