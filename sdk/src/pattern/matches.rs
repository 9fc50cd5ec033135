//! What is remembered for a key: events that wait for the watermark, and partial matches over a shared buffer.
//!
//! It is state like any other: it travels with the batch, is equal to its default when nothing is open, and knows no pattern.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use super::buffer::Buffer;
use crate::field::{Cells, Encode, Field};
use crate::shape;
use crate::state::State;
use crate::wrong::Wrong;

/// The open matches of one key: a field of a `#[state]` struct, or the whole state.
///
/// `E` is what is kept of an event: an `#[event]` or `#[state]` struct without lifetimes, or a [`crate::Value`]. An event is stored once,
/// whatever the number of partial matches that hold it, by position: a build may add fields at the end, as in a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches<E> {
    /// Events that the watermark has not passed yet, in order of time, then of arrival.
    pub(super) waiting: Vec<(Millis, E)>,
    /// The pattern that the rest belongs to.
    pub(super) fingerprint: u32,
    pub(super) buffer: Buffer<E>,
    /// Partial matches, in order of their first events.
    pub(super) open: Vec<Run>,
    /// Matches that wait until no partial match that began earlier is open, in the same order.
    pub(super) done: Vec<Run>,
}

/// A way through the pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Where in the pattern it stands.
    pub(super) state: u32,
    /// Its last event in the buffer.
    pub(super) node: u32,
    /// Number of its first event in the buffer.
    pub(super) start: u32,
}

impl<E> Matches<E> {
    /// Number of partial matches.
    pub fn partial(&self) -> usize {
        self.open.len()
    }

    /// Number of events that wait for the watermark.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of events that partial matches hold, each counted once.
    pub fn held(&self) -> usize {
        self.buffer.events()
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.is_idle()
    }

    /// Whether no match is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.done.is_empty()
    }

    /// Forgets what no open match holds.
    pub(super) fn sweep(&mut self) {
        if self.is_idle() {
            self.buffer.clear();
            self.fingerprint = 0;
            return;
        }
        let moved = self.buffer.sweep(self.open.iter().chain(&self.done).map(|run| run.node));
        for run in self.open.iter_mut().chain(&mut self.done) {
            (run.node, run.start) = (moved.node(run.node), moved.event(run.start));
        }
    }
}

impl<E> Default for Matches<E> {
    fn default() -> Self {
        Matches { waiting: Vec::new(), fingerprint: 0, buffer: Buffer::default(), open: Vec::new(), done: Vec::new() }
    }
}

impl<E: Clone + Encode + for<'a> Field<'a> + 'static> State for Matches<E> {
    const SCHEMA: &'static str = "{\"name\":\"Matches\",\"version\":1,\"fields\":[{\"name\":\"waiting\",\"type\":\"array\"},\
        {\"name\":\"pattern\",\"type\":\"u32\"},{\"name\":\"events\",\"type\":\"array\"},{\"name\":\"paths\",\"type\":\"array\"},\
        {\"name\":\"open\",\"type\":\"array\"},{\"name\":\"done\",\"type\":\"array\"}]}";
}

/// Fields of the encoding: as many as there is something in.
const FIELDS: usize = 6;

impl<'a, E: Field<'a>> Field<'a> for Matches<E> {
    const KIND: &'static str = "array";
    const CELLS: Cells = E::CELLS.inside();

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut matches = Matches::default();
        let fields = reader.array()?;
        if fields == 0 {
            return Ok(matches);
        }
        let waiting = reader.array()? / 2;
        matches.waiting.reserve(waiting.min(64));
        for _ in 0..waiting {
            let time = reader.i64()?;
            matches.waiting.push((time, E::decode(reader)?));
        }
        if fields >= FIELDS {
            matches.fingerprint = u32::decode(reader)?;
            matches.buffer = Buffer::decode(reader)?;
            matches.open = runs(reader)?;
            matches.done = runs(reader)?;
            shape::rest(reader, fields - FIELDS)?;
        }
        Ok(matches)
    }
}

fn runs(reader: &mut Reader<'_>) -> Result<Vec<Run>, Wrong> {
    let count = reader.array()? / 3;
    let mut runs = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        runs.push(Run { state: u32::decode(reader)?, node: u32::decode(reader)?, start: u32::decode(reader)? });
    }
    Ok(runs)
}

impl<E: Encode> Encode for Matches<E> {
    fn encode(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return write::array(out, 0);
        }
        write::array(out, if self.is_idle() { 1 } else { FIELDS });
        write::array(out, self.waiting.len() * 2);
        for (time, event) in &self.waiting {
            write::i64(out, *time);
            event.pack(out);
        }
        if self.is_idle() {
            return;
        }
        write::u64(out, u64::from(self.fingerprint));
        self.buffer.encode(out);
        for runs in [&self.open, &self.done] {
            write::array(out, runs.len() * 3);
            for run in runs {
                write::u64(out, u64::from(run.state));
                write::u64(out, u64::from(run.node));
                write::u64(out, u64::from(run.start));
            }
        }
    }
}
