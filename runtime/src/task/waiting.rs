//! Events that wait until there are enough of them for a batch, or until the first has waited long enough.
//!
//! They are part of what is committed: their positions are behind, so that after a restart they wait here again, in their order. It does
//! not know what a batch does.

use super::Topology;
use crate::config::Batch;
use crate::events::{Events, Format, Record, Row};
use crate::route::Scanner;
use crate::store::{Changes, Store, StoreError};
use crate::time::Millis;
use sangam_protocol::msgpack::{Error as Malformed, Reader, write};
use std::path::PathBuf;

/// Bytes that may wait: an operator that asks for more events at once than fit gets those that there are.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Events of one operator in one task.
#[derive(Debug)]
pub struct Waiting {
    space: String,
    operator: usize,
    count: usize,
    interval: Option<Millis>,
    /// Runs of events of one input each, in the order in which they came.
    runs: Vec<(usize, Events)>,
    /// When the first of them came.
    since: Millis,
    /// What waits is not what the store has.
    changed: bool,
    stored: bool,
}

/// The key, in the space of what waits, that holds all of it.
const KEY: &[u8] = b"events";

/// Elements of a row in the store.
const ELEMENTS: usize = 11;

impl Waiting {
    /// What waits according to the store. `most` is the number of events that ends a batch where the trigger names none.
    ///
    /// # Errors
    /// When the store fails, or what it has cannot be read.
    pub fn restore(
        trigger: Batch,
        most: usize,
        topology: &Topology,
        operator: usize,
        partition: u32,
        store: &dyn Store,
        now: Millis,
    ) -> Result<Waiting, StoreError> {
        let name = topology.operators.get(operator).map_or("", |node| &node.name);
        let space = space(name, partition);
        let interval = trigger.interval.map(|interval| interval.as_millis() as Millis);
        let mut waiting = Waiting {
            space,
            operator,
            count: trigger.count.unwrap_or(most).max(1),
            interval,
            runs: Vec::new(),
            since: now,
            changed: false,
            stored: false,
        };
        if let Some(bytes) = store.get(&waiting.space, KEY)? {
            waiting.stored = true;
            let damaged =
                |why: Malformed| StoreError::Damaged(PathBuf::from(&waiting.space), format!("events that wait cannot be read: {why}"));
            waiting.runs = read(&bytes).map_err(damaged)?;
            waiting.rescan(topology);
        }
        Ok(waiting)
    }

    /// Whether the store has events of an operator that wait.
    pub fn is_there(operator: &str, partition: u32, store: &dyn Store) -> Result<bool, StoreError> {
        Ok(store.get(&space(operator, partition), KEY)?.is_some())
    }

    /// Adds events, their watermarks filled in.
    pub fn add(&mut self, input: usize, events: &Events, now: Millis) {
        if events.is_empty() {
            return;
        }
        if self.is_empty() {
            self.since = now;
        }
        self.changed = true;
        let run = run_for(&mut self.runs, input);
        let before = run.len();
        (0..events.len()).for_each(|i| run.push_from(events, i));
        run.unreadable.extend(events.unreadable.iter().map(|(row, why)| (before + row, why.clone())));
    }

    /// Takes the next batch out, if it is full or its time has come; with `all`, whatever is there.
    pub fn take(&mut self, now: Millis, all: bool) -> Option<Vec<(usize, Events)>> {
        let len = self.len();
        let bytes: usize = self.runs.iter().map(|(_, events)| events.arena.len()).sum();
        let in_time = self.interval.is_some_and(|interval| now.saturating_sub(self.since) >= interval);
        if len == 0 || !(len >= self.count || bytes > WAITING_BYTES_MAX || in_time || all) {
            return None;
        }
        self.changed = true;
        if len <= self.count {
            return Some(std::mem::take(&mut self.runs));
        }
        let (mut batch, mut rest) = (Vec::new(), Vec::new());
        let mut taken = 0;
        for (input, events) in std::mem::take(&mut self.runs) {
            let mut unreadable = events.unreadable.iter().peekable();
            for i in 0..events.len() {
                let to = run_for(if taken < self.count { &mut batch } else { &mut rest }, input);
                if let Some((_, why)) = unreadable.next_if(|(row, _)| *row == i) {
                    to.unreadable.push((to.len(), why.clone()));
                }
                to.push_from(&events, i);
                taken += 1;
            }
        }
        self.runs = rest;
        self.since = now;
        Some(batch)
    }

    /// The watermark as it stood before the first event that waits: further than this the operator must not go.
    pub fn watermark(&self) -> Option<Millis> {
        self.runs.first().and_then(|(_, events)| events.rows.first()).map(|row| row.watermark)
    }

    /// The watermark as it stood before the last event that waits.
    pub fn last_watermark(&self) -> Option<Millis> {
        self.runs.last().and_then(|(_, events)| events.rows.last()).map(|row| row.watermark)
    }

    /// Whether what waits will be handed over by itself.
    pub fn has_a_term(&self) -> bool {
        self.interval.is_some() && !self.is_empty()
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|(_, events)| events.len()).sum()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Looks again for the fields that are wanted now.
    pub fn rescan(&mut self, topology: &Topology) {
        for (input, events) in &mut self.runs {
            let reads = |consumer: &super::Consumer| consumer.operator == self.operator && consumer.input == *input;
            let Some(node) = topology.streams.iter().find(|stream| stream.consumers.iter().any(reads)) else { continue };
            let mut scanner = Scanner::new(&node.wants, &[]);
            scanner.start(events);
            let known = std::mem::take(&mut events.unreadable);
            let mut known = known.into_iter().peekable();
            for i in 0..events.len() {
                let found = scanner.scan(events, i);
                let why = known.next_if(|(row, _)| *row == i).map(|(_, why)| why).or(found.err());
                events.unreadable.extend(why.map(|why| (i, why)));
            }
        }
    }

    /// Adds what waits to a commit, if that has changed.
    pub fn changes(&mut self, into: &mut Changes) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        if !self.is_empty() {
            into.put(&self.space, KEY, &bytes(&self.runs));
        } else if self.stored {
            into.delete(&self.space, KEY);
        }
        self.stored = !self.is_empty();
    }
}

fn space(operator: &str, partition: u32) -> String {
    format!("waiting/{operator}/{partition}")
}

/// The last run, if it is of that input, or a new one.
fn run_for(runs: &mut Vec<(usize, Events)>, input: usize) -> &mut Events {
    if runs.last().is_none_or(|(last, _)| *last != input) {
        runs.push((input, Events::default()));
    }
    let last = runs.len() - 1;
    &mut runs[last].1
}

fn bytes(runs: &[(usize, Events)]) -> Vec<u8> {
    let mut out = Vec::new();
    write::array(&mut out, runs.iter().map(|(_, events)| events.len()).sum());
    for (input, events) in runs {
        let mut unreadable = events.unreadable.iter().peekable();
        for (i, row) in events.rows.iter().enumerate() {
            write::array(&mut out, ELEMENTS);
            write::u64(&mut out, *input as u64);
            write::i64(&mut out, row.time);
            write::i64(&mut out, row.watermark);
            write::u64(&mut out, u64::from(row.stream));
            write::i64(&mut out, i64::from(row.partition));
            write::i64(&mut out, row.offset);
            let format = [Format::MsgPack, Format::Json, Format::Raw].iter().position(|format| *format == row.format);
            write::u64(&mut out, format.unwrap_or(0) as u64);
            for span in [row.key, row.value, row.headers] {
                match span.of(&events.arena) {
                    Some(bytes) => write::bin(&mut out, bytes),
                    None => write::nil(&mut out),
                }
            }
            match unreadable.next_if(|(row, _)| *row == i) {
                Some((_, why)) => write::str(&mut out, why),
                None => write::nil(&mut out),
            }
        }
    }
    out
}

fn read(bytes: &[u8]) -> Result<Vec<(usize, Events)>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut runs = Vec::new();
    for _ in 0..reader.array()? {
        if reader.array()? != ELEMENTS {
            return Err(Malformed::Range("the elements of an event"));
        }
        let run = run_for(&mut runs, reader.u64()? as usize);
        let (time, watermark, stream) = (reader.i64()?, reader.i64()?, reader.u64()? as u16);
        let (partition, offset) = (reader.i64()? as i32, reader.i64()?);
        let format = match reader.u64()? {
            1 => Format::Json,
            2 => Format::Raw,
            _ => Format::MsgPack,
        };
        let mut optional = || if reader.nil()? { Ok(None) } else { reader.bin().map(Some) };
        let (key, value, headers) = (optional()?, optional()?, optional()?);
        run.push(&Record { key, value, headers: headers.unwrap_or(&[]), time, partition, offset });
        if let Some(row) = run.rows.last_mut() {
            *row = Row { watermark, stream, format, ..*row };
        }
        if !reader.nil()? {
            let why = reader.str()?.to_owned();
            run.unreadable.push((run.len() - 1, why));
        }
    }
    Ok(runs)
}
