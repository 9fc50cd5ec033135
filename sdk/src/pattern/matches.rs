//! What is remembered for a key: events that wait for the watermark, and partial matches over events that they share.
//!
//! It is state like any other: it travels with the batch, is equal to its default when nothing is open, and knows no pattern. Two lists
//! hold all of it, because most keys have little and a list costs an allocation each time that the state is read.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use super::buffer::{NONE, Node, Paths, Sweep};
use super::spare;
use crate::field::{Cells, Encode, Field};
use crate::shape;
use crate::state::State;
use crate::wrong::Wrong;

/// The open matches of one key: a field of a `#[state]` struct, or the whole state.
///
/// `E` is what is kept of an event: an `#[event]` or `#[state]` struct without lifetimes, or a [`crate::Value`]. An event is stored once,
/// whatever the number of partial matches that hold it, by position: a build may add fields at the end, as in a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches<E: 'static> {
    /// Events that partial matches hold, in the order in which they passed; then those that the watermark has not passed yet, in order of
    /// time, then of arrival.
    events: Vec<(Millis, E)>,
    held: usize,
    /// The nodes of the paths; then partial matches, in order of their first events; then matches that wait until no partial match that
    /// began earlier is open, in the same order.
    table: Vec<[u32; 3]>,
    nodes: usize,
    open: usize,
    /// The pattern that they belong to.
    pub(super) fingerprint: u32,
}

/// A way through the pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Where in the pattern it stands.
    pub(super) state: u32,
    /// The last node of its path.
    pub(super) node: u32,
    /// Number of its first event.
    pub(super) start: u32,
}

impl From<&[u32; 3]> for Run {
    fn from([state, node, start]: &[u32; 3]) -> Self {
        Run { state: *state, node: *node, start: *start }
    }
}

/// The partial and the complete matches, taken out of the table while events pass.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) open: Vec<Run>,
    pub(super) done: Vec<Run>,
}

impl<E: 'static> Matches<E> {
    /// Number of partial matches.
    pub fn partial(&self) -> usize {
        self.open
    }

    /// Number of events that wait for the watermark.
    pub fn waiting(&self) -> usize {
        self.events.len() - self.held
    }

    /// Number of events that partial matches hold, each counted once.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.is_idle()
    }

    /// Whether no match is open.
    pub(super) fn is_idle(&self) -> bool {
        self.table.len() == self.nodes
    }

    /// Number of open matches, complete ones too.
    pub(super) fn runs(&self) -> usize {
        self.table.len() - self.nodes
    }

    pub(super) fn has_done(&self) -> bool {
        self.runs() > self.open
    }

    pub(super) fn open(&self) -> impl Iterator<Item = Run> {
        self.table.iter().skip(self.nodes).take(self.open).map(Run::from)
    }

    /// Time of the next event to pass.
    pub(super) fn next(&self) -> Option<Millis> {
        self.events.get(self.held).map(|(time, _)| *time)
    }

    /// Puts an event among those that wait; true where it is the first of them.
    pub(super) fn wait(&mut self, time: Millis, event: E) -> bool {
        if self.events.capacity() == 0 {
            self.events = spare::events();
        }
        let waiting = self.events.get(self.held..).unwrap_or(&[]);
        let place = waiting.partition_point(|(known, _)| *known <= time);
        self.events.insert(self.held + place, (time, event));
        place == 0
    }

    /// Forgets every match.
    pub(super) fn give_up(&mut self) {
        self.events.drain(..self.held);
        self.table.clear();
        (self.held, self.nodes, self.open, self.fingerprint) = (0, 0, 0, 0);
    }

    // === while events pass ===

    pub(super) fn paths(&self) -> Paths<'_, E> {
        let (events, nodes) = (self.events.get(..self.held), self.table.get(..self.nodes));
        Paths::new(events.unwrap_or(&[]), nodes.unwrap_or(&[]))
    }

    /// Takes the matches out of the table.
    pub(super) fn lift(&mut self, runs: &mut Runs) {
        if self.table.capacity() == 0 {
            self.table = spare::table();
        }
        runs.open.clear();
        runs.done.clear();
        runs.open.extend(self.open());
        runs.done.extend(self.table.iter().skip(self.nodes + self.open).map(Run::from));
        self.table.truncate(self.nodes);
        self.open = 0;
    }

    /// Puts them back.
    pub(super) fn settle(&mut self, runs: &Runs) {
        self.open = runs.open.len();
        self.table.extend(runs.open.iter().chain(&runs.done).map(|run| [run.state, run.node, run.start]));
    }

    /// The event at `place`, its time, and the number that it gets when it is taken.
    pub(super) fn event(&self, place: usize) -> Option<(Millis, &E, u32)> {
        self.events.get(place).map(|(time, event)| (*time, event, self.held as u32))
    }

    /// Lengthens the path that ends at `before` by the event that is passing.
    pub(super) fn push_node(&mut self, step: u16, before: u32) -> u32 {
        self.table.push([u32::from(step), self.held as u32, before]);
        self.nodes = self.table.len();
        (self.nodes - 1) as u32
    }

    /// Holds the event at `place`. What lies between the held events and those that wait has passed and is gone.
    pub(super) fn hold(&mut self, place: usize) {
        self.events.swap(self.held, place);
        self.held += 1;
    }

    /// Forgets the events that have passed, up to `place`, and are not held.
    pub(super) fn forget(&mut self, place: usize) {
        self.events.drain(self.held..place);
    }

    /// Forgets what no match holds.
    pub(super) fn sweep(&mut self, runs: &mut Runs, sweep: &mut Sweep) {
        sweep.mark(&self.table, self.held, runs.open.iter().chain(&runs.done).map(|run| run.node));
        let (mut held, mut nodes) = (0, 0);
        for i in 0..self.held {
            if sweep.event(i as u32) != NONE {
                self.events.swap(held, i);
                held += 1;
            }
        }
        for i in 0..self.nodes {
            if sweep.node(i as u32) != NONE {
                self.table.swap(nodes, i);
                nodes += 1;
            }
        }
        self.table.truncate(nodes);
        (self.held, self.nodes) = (held, nodes);
        for [_, event, before] in &mut self.table {
            (*event, *before) = (sweep.event(*event), sweep.node(*before));
        }
        for run in runs.open.iter_mut().chain(&mut runs.done) {
            (run.node, run.start) = (sweep.node(run.node), sweep.event(run.start));
        }
    }
}

impl<E> Drop for Matches<E> {
    fn drop(&mut self) {
        spare::give(&mut self.events, &mut self.table);
    }
}

impl<E> Default for Matches<E> {
    fn default() -> Self {
        Matches { events: Vec::new(), held: 0, table: Vec::new(), nodes: 0, open: 0, fingerprint: 0 }
    }
}

impl<E: Clone + Encode + for<'a> Field<'a> + 'static> State for Matches<E> {
    const SCHEMA: &'static str = "{\"name\":\"Matches\",\"version\":1,\"fields\":[{\"name\":\"events\",\"type\":\"array\"},\
        {\"name\":\"held\",\"type\":\"u64\"},{\"name\":\"pattern\",\"type\":\"u32\"},{\"name\":\"paths\",\"type\":\"array\"},\
        {\"name\":\"open\",\"type\":\"array\"},{\"name\":\"done\",\"type\":\"array\"}]}";
}

/// Fields of the encoding; where no match is open there are only the events.
const FIELDS: usize = 6;

/// A state that is read is about to grow by so much.
const ROOM: usize = 2;

impl<'a, E: Field<'a> + 'static> Field<'a> for Matches<E> {
    const KIND: &'static str = "array";
    const CELLS: Cells = E::CELLS.inside();

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut matches = Matches::default();
        let fields = reader.array()?;
        if fields == 0 {
            return Ok(matches);
        }
        let events = reader.array()? / 2;
        matches.events = spare::events();
        matches.events.reserve(events.min(64) + ROOM);
        for _ in 0..events {
            let time = reader.i64()?;
            matches.events.push((time, E::decode(reader)?));
        }
        if fields >= FIELDS {
            matches.held = usize::decode(reader)?.min(matches.events.len());
            matches.fingerprint = u32::decode(reader)?;
            matches.table = spare::table();
            matches.nodes = triples(reader, &mut matches.table)?;
            for node in &mut matches.table {
                node[2] = node[2].wrapping_sub(1);
            }
            matches.open = triples(reader, &mut matches.table)?;
            triples(reader, &mut matches.table)?;
            shape::rest(reader, fields - FIELDS)?;
        }
        Ok(matches)
    }
}

fn triples(reader: &mut Reader<'_>, table: &mut Vec<[u32; 3]>) -> Result<usize, Wrong> {
    let count = reader.array()? / 3;
    table.reserve(count.min(64) + ROOM);
    for _ in 0..count {
        table.push([u32::decode(reader)?, u32::decode(reader)?, u32::decode(reader)?]);
    }
    Ok(count)
}

impl<E: Encode> Encode for Matches<E> {
    fn encode(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return write::array(out, 0);
        }
        write::array(out, if self.is_idle() { 1 } else { FIELDS });
        write::array(out, self.events.len() * 2);
        for (time, event) in &self.events {
            write::i64(out, *time);
            event.pack(out);
        }
        if self.is_idle() {
            return;
        }
        write::u64(out, self.held as u64);
        write::u64(out, u64::from(self.fingerprint));
        let (nodes, runs) = self.table.split_at(self.nodes);
        let (open, done) = runs.split_at(self.open);
        write::array(out, nodes.len() * 3);
        for [step, event, before] in nodes {
            write_triple(&[*step, *event, before.wrapping_add(1)], out);
        }
        for runs in [open, done] {
            write::array(out, runs.len() * 3);
            runs.iter().for_each(|run| write_triple(run, out));
        }
    }
}

fn write_triple(triple: &Node, out: &mut Vec<u8>) {
    for number in triple {
        write::u64(out, u64::from(*number));
    }
}
