//! One partition as a task reads it: records in, scanned events with times and watermarks out.

use super::passage::{Arrival, Senders};
use super::{Pace, Progress, StreamNode};
use crate::broker::{BrokerError, Buffered, Polled, Source};
use crate::config::Watermarks;
use crate::events::Events;
use crate::route::{Scanner, TimeUnit, check_time, event_time};
use crate::stage::{Aligned, Generator, Idleness, Quantile, Strategy};
use crate::store::{Changes, Store, StoreError};
use crate::time::{Clock, Millis, WATERMARK_MAX, WATERMARK_MIN};
use sangam_protocol::msgpack::{Reader, write};
use std::sync::Arc;

/// Bytes after which a fetch takes no more: small events fill it by number first, large ones must not fill the memory.
const FETCH_BYTES_MAX: usize = 8 << 20;

/// The most events that a partition which keeps pace with others takes at once: so many it may be ahead before it is held back.
const ALIGNED_MAX: usize = 256;

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
    idleness: Idleness,
    /// The partitions that it keeps pace with.
    aligned: Option<Aligned>,
    /// It is ahead of those by more than it may.
    held: bool,
    ended: bool,
    /// The watermark and the pace that were last told to those that read it.
    told: Progress,
    /// Those that send through it, where events come here to be keyed anew.
    senders: Option<Senders>,
    /// How often its buffer had been full when somebody asked.
    stopped: u64,
    /// How many records its topic had deleted unread when somebody asked.
    missed: u64,
}

/// What an intake found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// How many events.
    pub events: usize,
    /// True when it took no more only because it had as many as it might.
    pub more: bool,
    /// True when there was nothing to read.
    pub empty: bool,
    /// True when nothing will come any more.
    pub ended: bool,
    /// True when all that is there has been read. What is on its way is there: a fetch that has not arrived makes `empty` only.
    pub caught_up: bool,
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
        let mut generator = Generator::new(strategy(&node.watermarks));
        let mut next = start.flatten().unwrap_or(-1);
        if !node.everywhere
            && let Some(position) = store.get(POSITIONS, position_key(&node.name, partition).as_bytes())?
            && let Some((offset, watermark, learned)) = read_value(&position)
        {
            next = offset;
            generator.advance(watermark);
            if let Some((highest, delays)) = learned {
                generator.recall(highest, delays);
            }
        }
        if next >= 0 && start.is_some() {
            source.seek(next)?;
        }
        let scanner = Scanner::new(&node.wants, &[]);
        let stopped = source.buffered().stops;
        Ok(Intake {
            stream: index,
            partition,
            source,
            scanner,
            generator,
            next,
            clock,
            idleness: Idleness::new(node.idle.map(|idle| idle.as_millis() as Millis)),
            aligned: None,
            held: false,
            ended: false,
            told: Progress { watermark: WATERMARK_MIN, pace: Pace::Active },
            senders: None,
            stopped,
            // What was missed before anybody could ask counts too.
            missed: 0,
        })
    }

    /// The same for a partition of a passage, whose senders say how far they are. `names` are those of all streams.
    pub fn of_passage(self, node: &StreamNode, names: Arc<[String]>, store: &dyn Store) -> Result<Intake, StoreError> {
        let position = store.get(POSITIONS, position_key(&node.name, self.partition).as_bytes())?;
        let senders = Senders::new(names, position.as_deref().and_then(senders_of));
        Ok(Intake { senders: Some(senders), ..self })
    }

    /// Whether it is a partition of a passage.
    pub fn is_passage(&self) -> bool {
        self.senders.is_some()
    }

    /// What has come through a passage since the last call.
    pub(super) fn arrivals(&mut self) -> Vec<Arrival> {
        self.senders.as_mut().map(Senders::arrivals).unwrap_or_default()
    }

    /// The same, keeping pace with others.
    pub fn in_step(self, aligned: Option<Aligned>) -> Intake {
        if let Some(aligned) = &aligned {
            aligned.report(self.generator.watermark());
        }
        Intake { aligned, ..self }
    }

    /// Appends up to `max` events, scanned, to `events`; those that cannot be read are marked.
    pub fn take(&mut self, node: &StreamNode, max: usize, events: &mut Events) -> Result<Found, BrokerError> {
        let mut found = Found::default();
        if self.ended {
            return Ok(Found { empty: true, ended: true, caught_up: true, ..found });
        }
        self.held = self.aligned.as_ref().is_some_and(|aligned| self.generator.is_ahead_of(aligned.allowed()));
        if self.held {
            self.idleness.held_up();
            return Ok(Found { empty: true, ..found });
        }
        match self.fill(max, events)? {
            Polled::Some(_) => (found.events, found.more) = (events.len(), self.has_enough(max, events)),
            Polled::Empty => {
                found.empty = true;
                let lag = self.lag();
                found.caught_up = lag == Some(0);
                if found.caught_up && node.bounded {
                    // Senders that have all come to their end may still have a last word.
                    self.ended = self.senders.is_none();
                    self.rest();
                    return Ok(Found { ended: true, ..found });
                }
                if lag.is_some_and(|lag| lag > 0) {
                    // What is on its way has not been silent.
                    self.idleness.held_up();
                } else {
                    self.idleness.silent(self.clock.now());
                }
                if self.idleness.is_idle() {
                    self.rest();
                } else if node.watermarks == Watermarks::ProcessingTime {
                    // The clock goes on without events, and so do windows.
                    self.generator.advance(self.clock.now().saturating_sub(1));
                }
                return Ok(found);
            }
            Polled::End => {
                self.ended = true;
                self.rest();
                return Ok(Found { empty: true, ended: true, caught_up: true, ..found });
            }
        }
        self.idleness.heard();
        if let Some(senders) = &mut self.senders {
            self.next = events.rows.last().map_or(self.next, |row| row.offset + 1);
            senders.unpack(self.stream, &mut self.scanner, events);
            return Ok(found);
        }
        self.scanner.start(events);
        for i in 0..events.rows.len() {
            if let Err(reason) = self.read(node, events, i) {
                events.unreadable.push((i, reason));
            }
        }
        if let Some(aligned) = &self.aligned {
            aligned.report(self.generator.watermark());
        }
        Ok(found)
    }

    /// Nobody asks for events just now: that is not silence.
    pub fn held_up(&mut self) {
        self.idleness.held_up();
    }

    /// Nobody is to wait for it.
    fn rest(&self) {
        if let Some(aligned) = &self.aligned {
            aligned.rest();
        }
    }

    /// How far it is, and whether it is to be waited for.
    pub(super) fn progress(&self) -> Progress {
        let pace = match self.state() {
            IntakeState::Active | IntakeState::Held => Pace::Active,
            IntakeState::Idle => Pace::Idle,
            IntakeState::Ended => Pace::Finished,
        };
        Progress { watermark: self.watermark(), pace }
    }

    /// The progress, if it is another than the one that was told last: after a restart, what the last commit has brought back.
    pub(super) fn news(&mut self) -> Option<Progress> {
        let now = self.progress();
        (std::mem::replace(&mut self.told, now) != now).then_some(now)
    }

    /// How it is with the partition.
    pub fn state(&self) -> IntakeState {
        if self.ended {
            IntakeState::Ended
        } else if self.held {
            IntakeState::Held
        } else if self.idleness.is_idle() {
            IntakeState::Idle
        } else {
            IntakeState::Active
        }
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Polls in portions until there are `max` events, or enough bytes, or nothing more.
    fn fill(&mut self, max: usize, events: &mut Events) -> Result<Polled, BrokerError> {
        while !self.has_enough(max, events) {
            match self.source.poll(POLL_MAX.min(max - events.len()), events)? {
                Polled::Some(_) => {}
                last if events.is_empty() => return Ok(last),
                _ => break,
            }
        }
        Ok(Polled::Some(events.len()))
    }

    fn has_enough(&self, max: usize, events: &Events) -> bool {
        let max = if self.aligned.is_some() { max.min(ALIGNED_MAX) } else { max };
        events.len() >= max || events.arena.len() >= FETCH_BYTES_MAX
    }

    /// What its source holds ready.
    pub fn buffered(&self) -> Buffered {
        self.source.buffered()
    }

    /// How often the source's buffer has been full since this was last asked.
    pub fn times_stopped(&mut self) -> u64 {
        let stops = self.source.buffered().stops;
        stops - std::mem::replace(&mut self.stopped, stops).min(stops)
    }

    /// Records that its topic has deleted unread since this was last asked.
    pub fn missed(&mut self) -> u64 {
        let missed = self.source.buffered().missed;
        missed - std::mem::replace(&mut self.missed, missed).min(missed)
    }

    /// Looks for the fields that are wanted now.
    pub fn rewire(&mut self, node: &StreamNode) {
        if self.scanner.width() != node.wants.paths().len() {
            self.scanner = Scanner::new(&node.wants, &[]);
        }
    }

    /// Offset of the next record; below zero before the first.
    pub fn next(&self) -> i64 {
        self.next
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
    /// file that grows), or that will never hand over their last offsets (they hold no records). One that is held back by others, which
    /// themselves wait for it, counts at once.
    pub fn has_been_silent(&self) -> bool {
        /// Longer than it takes to look up where a topic ends, and to fetch from it.
        const SILENCE_MS: Millis = 5_000;
        self.held || self.idleness.silence() >= SILENCE_MS
    }

    /// Adds its position to a commit; `None` before the first record.
    pub fn position(&self, node: &StreamNode, into: &mut Changes) -> Option<(i32, i64)> {
        // How far tasks have heard what every process reads, they keep themselves.
        if self.next < 0 || node.everywhere {
            return None;
        }
        let mut value = Vec::with_capacity(20);
        let learned = self.generator.learned();
        let elements = if self.senders.is_some() { 3 } else { 2 };
        write::array(&mut value, if learned.is_some() { 4 } else { elements });
        write::i64(&mut value, self.next);
        write::i64(&mut value, self.generator.watermark());
        if let Some(senders) = &self.senders {
            senders.write(&mut value);
        }
        if let Some((highest, delays)) = learned {
            write::i64(&mut value, highest);
            write::bin(&mut value, &delays);
        }
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
            // A clock that was set back makes no event late.
            _ if node.watermarks == Watermarks::ProcessingTime => self.clock.now().max(self.generator.watermark().saturating_add(1)),
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
        if let Some((place, unit)) = node.watermark_field {
            let mark = events.fields_of(i).get(place).and_then(|span| span.of(&events.arena));
            let path = || node.wants.paths().get(place).map_or("", String::as_str);
            if let Some(mark) = mark
                .map(|mark| read_mark(mark, unit, time))
                .transpose()
                .map_err(|why| format!("the watermark field `{}` {why}", path()))?
                .flatten()
            {
                self.generator.mark(mark);
            }
        }
        self.generator.observe(time);
        Ok(())
    }
}

/// How it is with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeState {
    /// It is read.
    Active,
    /// Nothing has come for longer than the stream's `idle`.
    Idle,
    /// It is too far ahead of others, and waits for them.
    Held,
    /// It is bounded, and has been read to its end.
    Ended,
}

fn strategy(watermarks: &Watermarks) -> Strategy {
    match watermarks {
        Watermarks::Bounded(bound) => Strategy::Bounded { out_of_orderness: bound.as_millis() as Millis },
        Watermarks::Punctuated { .. } => Strategy::Punctuated,
        Watermarks::ObservedDelay { millionths, margin } => {
            let quantile = Quantile::from_millionths(*millionths);
            Strategy::ObservedDelay { quantile, margin: margin.as_millis() as Millis }
        }
        Watermarks::ProcessingTime => Strategy::ProcessingTime,
    }
}

/// What an event says of the watermark: a time, `true` for the event's own, nothing otherwise.
fn read_mark(mark: &[u8], unit: TimeUnit, time: Millis) -> Result<Option<Millis>, String> {
    match mark {
        [0xc0 | 0xc2] => Ok(None),
        [0xc3] => Ok(Some(time)),
        mark => event_time(mark, unit).map(Some),
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
    Ok(value.and_then(|value| read_value(&value).map(|(offset, watermark, _)| (offset, watermark))))
}

/// A partition of a stream, and how far it has been read: the next offset, and the watermark.
pub type Place<'a> = ((&'a str, u32), (i64, Millis));

/// What an entry of [`POSITIONS`] says.
pub fn read_place<'a>(key: &'a [u8], value: &[u8]) -> Option<Place<'a>> {
    let (stream, partition) = std::str::from_utf8(key).ok()?.rsplit_once('/')?;
    let (offset, watermark, _) = read_value(value)?;
    Some(((stream, partition.parse().ok()?), (offset, watermark)))
}

/// The value of an entry of [`POSITIONS`] that says the same but for the offset. `None` where it cannot be read.
pub fn moved_to(value: &[u8], offset: i64) -> Option<Vec<u8>> {
    let mut reader = Reader::new(value);
    let elements = reader.array().ok()?;
    reader.i64().ok()?;
    let mut moved = Vec::with_capacity(value.len() + 8);
    write::array(&mut moved, elements);
    write::i64(&mut moved, offset);
    moved.extend_from_slice(reader.rest());
    Some(moved)
}

/// The entry of [`POSITIONS`] for a partition of which nothing is known but where to start, whatever others say of it.
pub fn put_start(stream: &str, partition: u32, offset: i64, into: &mut Changes) {
    let mut value = Vec::with_capacity(19);
    write::array(&mut value, 2);
    write::i64(&mut value, offset);
    write::i64(&mut value, WATERMARK_MIN);
    into.put(POSITIONS, position_key(stream, partition as i32).as_bytes(), &value);
}

/// Offset, watermark and what the watermark's generator has learned.
type Position<'a> = (i64, Millis, Option<(Millis, &'a [u8])>);

fn read_value(value: &[u8]) -> Option<Position<'_>> {
    let mut reader = Reader::new(value);
    let elements = reader.array().ok()?;
    let (offset, watermark) = (reader.i64().ok()?, reader.i64().ok()?);
    let learned = if elements >= 4 { Some((reader.i64().ok()?, reader.bin().ok()?)) } else { None };
    Some((offset, watermark, learned))
}

/// What a position says of those that send through a passage.
fn senders_of(position: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(position);
    let senders = reader.array().ok()? == 3 && reader.i64().is_ok() && reader.i64().is_ok();
    senders.then(|| reader.rest())
}
