//! One partition as a task reads it: records in, scanned events with times and watermarks out.

use super::StreamNode;
use crate::broker::{BrokerError, Polled, Source};
use crate::config::Watermarks;
use crate::events::Events;
use crate::route::{Scanner, check_time, event_time};
use crate::stage::{Generator, Strategy};
use crate::store::{Changes, Store, StoreError};
use crate::time::{Clock, Millis, WATERMARK_MAX, WATERMARK_MIN};
use sangam_protocol::msgpack::{Reader, write};
use std::sync::Arc;

/// Bytes after which a fetch takes no more: small events fill it by number first, large ones must not fill the memory.
const FETCH_BYTES_MAX: usize = 8 << 20;

/// The most events of one poll: sixteen of the largest that a source hands over (64 MiB) are what an arena can hold.
const POLL_MAX: usize = 16;

/// Reads one partition of one stream.
pub struct Intake {
    /// The stream.
    pub stream: usize,
    partition: i32,
    source: Box<dyn Source>,
    scanner: Scanner,
    generator: Generator,
    /// Offset of the next record.
    next: i64,
    clock: Arc<dyn Clock>,
    /// Since when nothing has come, while it was asked for.
    silent_since: Option<Millis>,
    /// Time of silence, without the times in which the task did not ask.
    silence: Millis,
    idle: bool,
    ended: bool,
}

/// What an intake found.
#[derive(Debug, Default)]
pub struct Found {
    /// True when there was nothing to read.
    pub empty: bool,
    /// True when nothing will come any more.
    pub ended: bool,
    /// True when all that is there has been read. What is on its way is there: a fetch that has not arrived makes `empty` only.
    pub caught_up: bool,
    /// True when the partition has just turned out to be silent for longer than it may be.
    pub idle: bool,
}

impl Intake {
    /// Reads `source` from where the store says that the last commit left off, or else from what the outside has committed, or else from
    /// its start; with no `start` at all, from where it stands, which is the last commit's position too.
    pub fn new(
        index: usize,
        node: &StreamNode,
        partition: i32,
        mut source: Box<dyn Source>,
        start: Option<Option<i64>>,
        store: &dyn Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Intake, BrokerError> {
        let strategy = match node.watermarks {
            Watermarks::Bounded(bound) => Strategy::Bounded { out_of_orderness: bound.as_millis() as Millis },
            Watermarks::ProcessingTime => Strategy::ProcessingTime,
        };
        let mut generator = Generator::new(strategy);
        let mut next = start.flatten().unwrap_or(-1);
        if let Some((offset, watermark)) = read_position(store, &node.name, partition)? {
            next = offset;
            generator.advance(watermark);
        }
        if next >= 0 && start.is_some() {
            source.seek(next)?;
        }
        let scanner = Scanner::new(&node.wants, &[]);
        Ok(Intake {
            stream: index,
            partition,
            source,
            scanner,
            generator,
            next,
            clock,
            silent_since: None,
            silence: 0,
            idle: false,
            ended: false,
        })
    }

    /// Appends up to `max` events, scanned, to `events`; those that cannot be read are marked.
    pub fn take(&mut self, node: &StreamNode, max: usize, events: &mut Events) -> Result<Found, BrokerError> {
        let mut found = Found::default();
        if self.ended {
            return Ok(Found { empty: true, ended: true, caught_up: true, ..found });
        }
        match self.fill(max, events)? {
            Polled::Some(_) => {}
            Polled::Empty => {
                found.empty = true;
                found.caught_up = self.lag() == Some(0);
                if found.caught_up && node.bounded {
                    self.ended = true;
                    return Ok(Found { ended: true, ..found });
                }
                found.idle = self.be_silent(node);
                return Ok(found);
            }
            Polled::End => {
                self.ended = true;
                return Ok(Found { empty: true, ended: true, caught_up: true, ..found });
            }
        }
        (self.silent_since, self.silence, self.idle) = (None, 0, false);
        self.scanner.start(events);
        for i in 0..events.rows.len() {
            if let Err(reason) = self.read(node, events, i) {
                events.unreadable.push((i, reason));
            }
        }
        Ok(found)
    }

    /// Polls in portions until there are `max` events, or enough bytes, or nothing more.
    fn fill(&mut self, max: usize, events: &mut Events) -> Result<Polled, BrokerError> {
        while events.len() < max && events.arena.len() < FETCH_BYTES_MAX {
            match self.source.poll(POLL_MAX.min(max - events.len()), events)? {
                Polled::Some(_) => {}
                last if events.is_empty() => return Ok(last),
                _ => break,
            }
        }
        Ok(Polled::Some(events.len()))
    }

    /// Looks for the fields that are wanted now.
    pub fn rewire(&mut self, node: &StreamNode) {
        if self.scanner.width() != node.wants.paths().len() {
            self.scanner = Scanner::new(&node.wants, &[]);
        }
    }

    /// Where the watermark of this partition stands.
    pub fn watermark(&self) -> Millis {
        self.generator.watermark()
    }

    /// The end of a bounded stream: nothing more will come.
    pub fn close(&mut self) {
        self.generator.advance(WATERMARK_MAX);
    }

    /// Records that are there and not read yet, where that is known.
    pub fn lag(&self) -> Option<u64> {
        self.source.lag()
    }

    /// Whether it has been silent for so long that all that was there must have been read: for sources that do not know how much there is (a
    /// file that grows), or that will never hand over their last offsets (they hold no records).
    pub fn has_been_silent(&self) -> bool {
        /// Longer than it takes to look up where a topic ends, and to fetch from it.
        const SILENCE_MS: Millis = 5_000;
        self.silence >= SILENCE_MS
    }

    /// Adds its position to a commit; `None` before the first record.
    pub fn position(&self, node: &StreamNode, into: &mut Changes) -> Option<(i32, i64)> {
        if self.next < 0 {
            return None;
        }
        let mut value = Vec::with_capacity(20);
        write::array(&mut value, 2);
        write::i64(&mut value, self.next);
        write::i64(&mut value, self.generator.watermark());
        into.put(POSITIONS, position_key(&node.name, self.partition).as_bytes(), &value);
        Some((self.partition, self.next))
    }

    /// Gives the source back.
    pub fn into_source(self) -> (usize, i32, Box<dyn Source>) {
        (self.stream, self.partition, self.source)
    }

    /// Fills in what the engine needs to know of row `i`: its origin, its fields, its time, its watermark.
    #[inline]
    fn read(&mut self, node: &StreamNode, events: &mut Events, i: usize) -> Result<(), String> {
        let Some(row) = events.rows.get_mut(i) else { return Ok(()) };
        row.stream = self.stream as u16;
        row.format = node.format;
        row.watermark = self.generator.watermark();
        self.next = row.offset + 1;
        let recorded = row.time;
        let bytes = if row.value.is_none() { 0 } else { row.value.len() };
        if bytes > node.event_bytes_max {
            return Err(format!("the event has {bytes} bytes, more than the stream's `max_event` of {}", node.event_bytes_max));
        }
        self.scanner.scan(events, i)?;
        let time = match node.time_field {
            _ if node.watermarks == Watermarks::ProcessingTime => self.clock.now(),
            None if recorded == WATERMARK_MIN => self.clock.now(),
            None => check_time(recorded).map_err(|why| format!("the record's time {why}"))?,
            Some(place) => {
                let field = events.fields_of(i).get(place).and_then(|span| span.of(&events.arena));
                let path = node.wants.paths().get(place).map_or("", String::as_str);
                let field = field.ok_or_else(|| format!("the timestamp field `{path}` is missing"))?;
                event_time(field, node.time_unit).map_err(|why| format!("the timestamp field `{path}` {why}"))?
            }
        };
        if let Some(row) = events.rows.get_mut(i) {
            row.time = time;
        }
        self.generator.observe(time);
        Ok(())
    }

    /// Counts silence, but only while the task keeps asking: a partition that nobody reads is not idle.
    fn be_silent(&mut self, node: &StreamNode) -> bool {
        /// A longer pause than this between two polls means that the task was held up, not that the stream was silent.
        const ASKING_MS: Millis = 500;
        let now = self.clock.now();
        let since = self.silent_since.replace(now).unwrap_or(now);
        if now - since <= ASKING_MS {
            self.silence += now - since;
        }
        let idle = node.idle.is_some_and(|idle| self.silence >= idle.as_millis() as Millis);
        idle && !std::mem::replace(&mut self.idle, idle)
    }
}

/// The space of the store that holds how far each partition has been read.
pub const POSITIONS: &str = "positions";

fn position_key(stream: &str, partition: i32) -> String {
    format!("{stream}/{partition}")
}

/// The next offset and the watermark of a partition at the last commit.
pub fn read_position(store: &dyn Store, stream: &str, partition: i32) -> Result<Option<(i64, Millis)>, StoreError> {
    let value = store.get(POSITIONS, position_key(stream, partition).as_bytes())?;
    Ok(value.and_then(|value| {
        let mut reader = Reader::new(&value);
        (reader.array().ok()? == 2).then_some(())?;
        Some((reader.i64().ok()?, reader.i64().ok()?))
    }))
}
