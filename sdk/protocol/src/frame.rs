//! The frame: one batch of events, the state of their keys and the timers that are due, as one MessagePack array.
//!
//! Columns of fixed width travel as binary in little-endian, so that either side reads entry `i` with one load.

use crate::Millis;
use crate::msgpack::{Error, Reader, Result, write};

/// Elements of the frame's outer array. Readers ignore elements past those that they know.
const ELEMENTS: usize = 10;

/// Elements for an operator that asks for processing time: behind the events its due processing-time timers, until when such timers
/// fire in this batch, and the clock.
const ELEMENTS_WITH_CLOCK: usize = 13;

/// Marker of a 64-bit signed integer: the clock is always written so, as it is read from the frame's end.
const INT64: u8 = 0xd3;

/// A timer that is due: in the frame in the order in which it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTimer<'a> {
    /// The key's slot.
    pub slot: u32,
    /// The time that it was set for.
    pub at: Millis,
    /// Its name.
    pub name: &'a str,
}

/// Writes frames into a buffer that is reused from batch to batch.
///
/// Call [`FrameWriter::start`], then the columns in any order (`event` and its field bytes belong together), then [`FrameWriter::finish`].
#[derive(Debug, Default)]
pub struct FrameWriter {
    times: Vec<u8>,
    watermarks: Vec<u8>,
    slots: Vec<u8>,
    kinds: Vec<u8>,
    /// The events, encoded; the caller appends the fields of each event that it announced.
    events: Vec<u8>,
    event_count: usize,
    keys: Vec<u8>,
    states: Vec<u8>,
    slot_count: usize,
    timers: Vec<u8>,
    timer_count: usize,
    clock: Option<Clock>,
    clock_timers: Vec<u8>,
    clock_timer_count: usize,
    out: Vec<u8>,
}

/// Processing time in a frame.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Millis,
    until: Millis,
}

impl FrameWriter {
    /// Forgets the last frame.
    pub fn start(&mut self) {
        for column in [
            &mut self.times,
            &mut self.watermarks,
            &mut self.slots,
            &mut self.kinds,
            &mut self.events,
            &mut self.keys,
            &mut self.states,
            &mut self.timers,
            &mut self.clock_timers,
            &mut self.out,
        ] {
            column.clear();
        }
        (self.event_count, self.slot_count, self.timer_count, self.clock_timer_count) = (0, 0, 0, 0);
        self.clock = None;
    }

    /// Adds an event: its time and the watermark as it stood before it. Returns the buffer to append the event's value to:
    /// one array of its fields, or one binary for an operator that takes bytes.
    #[inline]
    pub fn event(&mut self, time: Millis, watermark: Millis) -> &mut Vec<u8> {
        self.times.extend_from_slice(&time.to_le_bytes());
        self.watermarks.extend_from_slice(&watermark.to_le_bytes());
        self.event_count += 1;
        &mut self.events
    }

    /// The slot of the event just added; for all events of a keyed operator, for none of a stateless one.
    #[inline]
    pub fn slot(&mut self, slot: u32) {
        self.slots.extend_from_slice(&slot.to_le_bytes());
    }

    /// The type of the event just added; for all events where the operator has several types, for none otherwise.
    #[inline]
    pub fn kind(&mut self, kind: u8) {
        self.kinds.push(kind);
    }

    /// Adds a slot: a key, and its state where it has one. Returns the slot's number.
    #[inline]
    pub fn key(&mut self, key: &[u8], state: Option<&[u8]>) -> u32 {
        write::bin(&mut self.keys, key);
        match state {
            Some(state) => write::bin(&mut self.states, state),
            None => write::nil(&mut self.states),
        }
        self.slot_count += 1;
        (self.slot_count - 1) as u32
    }

    /// Adds a due timer; call in firing order.
    #[inline]
    pub fn timer(&mut self, timer: DueTimer<'_>) {
        timer.append(&mut self.timers);
        self.timer_count += 1;
    }

    /// Says what the host's clock shows, to an operator that asks for processing time. Processing-time timers that are set during the
    /// batch fire in it only if they are for a time before `until`, and only in a batch without events.
    #[inline]
    pub fn clock(&mut self, now: Millis, until: Millis) {
        self.clock = Some(Clock { now, until });
    }

    /// Adds a processing-time timer that is due; call in firing order, after [`FrameWriter::clock`], in a frame without events.
    #[inline]
    pub fn clock_timer(&mut self, timer: DueTimer<'_>) {
        timer.append(&mut self.clock_timers);
        self.clock_timer_count += 1;
    }

    /// Events added so far.
    pub fn events(&self) -> usize {
        self.event_count
    }

    /// Bytes of events and state gathered so far, to keep a frame within bounds.
    pub fn size(&self) -> usize {
        self.events.len() + self.states.len() + self.keys.len()
    }

    /// Puts the frame together, as two pieces to be laid end to end: the events are copied once, into the guest, and not before.
    /// `watermark` is where the watermark stands after the batch; timers set during the batch fire in it only if they are for a
    /// time before `until`.
    pub fn finish(&mut self, watermark: Millis, until: Millis) -> [&[u8]; 2] {
        let out = &mut self.out;
        write::array(out, if self.clock.is_some() { ELEMENTS_WITH_CLOCK } else { ELEMENTS });
        write::i64(out, watermark);
        write::i64(out, until);
        for column in [&self.times, &self.watermarks, &self.slots, &self.kinds] {
            write::bin(out, column);
        }
        write::array(out, self.slot_count);
        out.extend_from_slice(&self.keys);
        write::array(out, self.slot_count);
        out.extend_from_slice(&self.states);
        write::array(out, self.timer_count);
        out.extend_from_slice(&self.timers);
        write::array(out, self.event_count);
        if let Some(Clock { now, until }) = self.clock {
            write::array(&mut self.events, self.clock_timer_count);
            self.events.extend_from_slice(&self.clock_timers);
            write::i64(&mut self.events, until);
            self.events.push(INT64);
            self.events.extend_from_slice(&now.to_be_bytes());
        }
        [out, &self.events]
    }
}

/// A frame as the guest reads it; the columns borrow from the frame's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Where the watermark stands after the batch.
    pub watermark: Millis,
    /// Timers set during this batch fire in it only if they are for a time before this.
    pub until: Millis,
    /// What the host's clock shows; `None` where the operator does not ask for processing time.
    pub now: Option<Millis>,
    /// Processing-time timers set during this batch fire in it only if they are for a time before this. The lowest time there is in a
    /// batch with events: there none does.
    pub clock_until: Millis,
    times: &'a [u8],
    watermarks: &'a [u8],
    slots: &'a [u8],
    kinds: &'a [u8],
    event_count: usize,
    events: &'a [u8],
    slot_count: usize,
    keys: &'a [u8],
    states: &'a [u8],
    timer_count: usize,
    timers: &'a [u8],
    clock_timer_count: usize,
    clock_timers: &'a [u8],
}

impl DueTimer<'_> {
    fn append(&self, out: &mut Vec<u8>) {
        write::array(out, 3);
        write::u64(out, u64::from(self.slot));
        write::i64(out, self.at);
        write::str(out, self.name);
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame and checks that its columns agree in length.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let elements = reader.array()?;
        if elements < ELEMENTS {
            return Err(Error::Truncated);
        }
        let watermark = reader.i64()?;
        let until = reader.i64()?;
        let times = reader.bin()?;
        let watermarks = reader.bin()?;
        let slots = reader.bin()?;
        let kinds = reader.bin()?;
        let (slot_count, keys) = run(&mut reader)?;
        let (state_count, states) = run(&mut reader)?;
        let (timer_count, timers) = run(&mut reader)?;
        // The events come last and are not stepped over here: the one who decodes them finds their end.
        let event_count = reader.array()?;
        let events = reader.rest();
        let agree = times.len() == 8 * event_count
            && watermarks.len() == 8 * event_count
            && (slots.is_empty() || slots.len() == 4 * event_count)
            && (kinds.is_empty() || kinds.len() == event_count)
            && state_count == slot_count;
        if !agree {
            return Err(Error::Range("the number of events"));
        }
        let (mut now, mut clock_until, mut clock_timer_count, mut clock_timers) = (None, Millis::MIN, 0, &[][..]);
        if elements >= ELEMENTS_WITH_CLOCK {
            // With events it is found from the end: to get there from the front, all of them would have to be stepped over.
            now = bytes.last_chunk::<9>().and_then(|last| last.strip_prefix(&[INT64])?.try_into().ok()).map(i64::from_be_bytes);
            if event_count == 0 {
                (clock_timer_count, clock_timers) = run(&mut reader)?;
                clock_until = reader.i64()?;
            }
        }
        Ok(Frame {
            watermark,
            until,
            now,
            clock_until,
            times,
            watermarks,
            slots,
            kinds,
            event_count,
            events,
            slot_count,
            keys,
            states,
            timer_count,
            timers,
            clock_timer_count,
            clock_timers,
        })
    }

    /// Number of events.
    #[inline]
    pub fn len(&self) -> usize {
        self.event_count
    }

    /// True when the frame carries no event; it may still carry timers.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.event_count == 0
    }

    /// Event time of event `i`; 0 past the end.
    #[inline]
    pub fn time(&self, i: usize) -> Millis {
        entry(self.times, i).map_or(0, i64::from_le_bytes)
    }

    /// The watermark as it stood before event `i`; 0 past the end.
    #[inline]
    pub fn watermark_before(&self, i: usize) -> Millis {
        entry(self.watermarks, i).map_or(0, i64::from_le_bytes)
    }

    /// The slot of event `i`, or `None` for a stateless operator.
    #[inline]
    pub fn slot(&self, i: usize) -> Option<usize> {
        entry(self.slots, i).map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    /// The type of event `i`; 0 where there is only one.
    #[inline]
    pub fn kind(&self, i: usize) -> u8 {
        self.kinds.get(i).copied().unwrap_or(0)
    }

    /// The events' values, one after the other.
    #[inline]
    pub fn events(&self) -> Reader<'a> {
        Reader::new(self.events)
    }

    /// Number of slots.
    #[inline]
    pub fn slots(&self) -> usize {
        self.slot_count
    }

    /// Each slot's key and state, in order of the slots.
    pub fn keys(&self) -> impl Iterator<Item = Result<(&'a [u8], Option<&'a [u8]>)>> + use<'a> {
        let (mut keys, mut states) = (Reader::new(self.keys), Reader::new(self.states));
        (0..self.slot_count).map(move |_| {
            let key = keys.bin()?;
            let state = if states.nil()? { None } else { Some(states.bin()?) };
            Ok((key, state))
        })
    }

    /// Number of due timers.
    #[inline]
    pub fn timer_count(&self) -> usize {
        self.timer_count
    }

    /// The due timers, in firing order.
    pub fn timers(&self) -> DueTimers<'a> {
        DueTimers { left: self.timer_count, reader: Reader::new(self.timers) }
    }

    /// Number of due processing-time timers.
    #[inline]
    pub fn clock_timer_count(&self) -> usize {
        self.clock_timer_count
    }

    /// The due processing-time timers, in firing order; there are none in a frame with events.
    pub fn clock_timers(&self) -> DueTimers<'a> {
        DueTimers { left: self.clock_timer_count, reader: Reader::new(self.clock_timers) }
    }
}

/// Due timers, in firing order.
#[derive(Clone, Debug)]
pub struct DueTimers<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for DueTimers<'a> {
    type Item = Result<DueTimer<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(due_timer(&mut self.reader))
    }
}

fn due_timer<'a>(reader: &mut Reader<'a>) -> Result<DueTimer<'a>> {
    if reader.array()? != 3 {
        return Err(Error::Range("a timer's three elements"));
    }
    let slot = u32::try_from(reader.u64()?).map_err(|_| Error::Range("a slot"))?;
    Ok(DueTimer { slot, at: reader.i64()?, name: reader.str()? })
}

/// An array's length and the bytes of its elements.
fn run<'a>(reader: &mut Reader<'a>) -> Result<(usize, &'a [u8])> {
    let count = reader.array()?;
    let body = reader.rest();
    let start = reader.position();
    for _ in 0..count {
        reader.skip()?;
    }
    Ok((count, body.get(..reader.position() - start).unwrap_or(&[])))
}

#[inline]
fn entry<const N: usize>(column: &[u8], i: usize) -> Option<[u8; N]> {
    column.as_chunks().0.get(i).copied()
}
