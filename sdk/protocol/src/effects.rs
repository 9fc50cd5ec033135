//! The effects: everything that a call wants to happen, as one MessagePack array; or the fault that ended it, as a map.
//!
//! [`EffectsWriter`] is the guest's side. [`Effects::read`] is the host's: it checks every index and limit before anything is
//! applied, so that a batch happens whole or not at all.

use crate::Millis;
use crate::msgpack::{Error as Malformed, Reader, write};

/// Elements of the effects' outer array: emits, states, timers, rejects, counters, cells. A seventh, processing-time timers, is there
/// only when there are any.
const ELEMENTS: usize = 6;

/// Why an event is not processed, as the guest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectKind {
    /// The event is refused: it goes to the dead letters.
    Reject,
    /// The event came after all its windows had closed.
    Late,
    /// The operator has no use for the event; counted and gone.
    Drop,
}

impl RejectKind {
    fn code(self) -> u64 {
        match self {
            RejectKind::Reject => 0,
            RejectKind::Late => 1,
            RejectKind::Drop => 2,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => RejectKind::Reject,
            1 => RejectKind::Late,
            2 => RejectKind::Drop,
            _ => return None,
        })
    }
}

/// The key of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKey<'a> {
    /// The key of a slot of this frame.
    Slot(u32),
    /// These bytes.
    Bytes(&'a [u8]),
    /// No key.
    None,
}

/// What an operator was handling when it emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The event with this index.
    Event(u32),
    /// A timer that fired before the event with this index, or after the last one when it is the number of events.
    TimerBefore(u32),
}

impl Cause {
    /// An event is its index; a timer before event `i` is `-1 - i`.
    fn code(self) -> i64 {
        match self {
            Cause::Event(event) => i64::from(event),
            Cause::TimerBefore(event) => -1 - i64::from(event),
        }
    }

    fn from_code(code: i64) -> Result<Self, Malformed> {
        let cause = if code < 0 { u32::try_from(-1 - code).map(Cause::TimerBefore) } else { u32::try_from(code).map(Cause::Event) };
        cause.map_err(|_| Malformed::Range("a 32-bit index"))
    }
}

/// One emitted thing, in the order of emission.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Emit<'a> {
    /// Event `event` leaves by `port` as it came: value, key, time and headers, no byte encoded again.
    Forward {
        /// Output port.
        port: u32,
        /// Index of the event in the frame.
        event: u32,
    },
    /// A value made while handling event `event`, with that event's key and time.
    Simple {
        /// Output port.
        port: u32,
        /// Index of the event in the frame.
        event: u32,
        /// The value, or `None` for a tombstone.
        value: Option<&'a [u8]>,
    },
    /// A value with its own time, key and headers.
    Full {
        /// Output port.
        port: u32,
        /// What was being handled.
        cause: Cause,
        /// The value, or `None` for a tombstone.
        value: Option<&'a [u8]>,
        /// Event time of the output.
        time: Millis,
        /// Key of the output.
        key: OutputKey<'a>,
        /// Headers: a MessagePack map of text to binary, empty where there are none.
        headers: &'a [u8],
    },
}

/// Builds effects in a buffer that is reused from batch to batch.
#[derive(Debug, Default)]
pub struct EffectsWriter {
    out: Vec<u8>,
    emits: usize,
    states: Vec<u8>,
    state_count: usize,
    timers: Vec<u8>,
    timer_count: usize,
    rejects: Vec<u8>,
    reject_count: usize,
    counters: Vec<u8>,
    counter_count: usize,
    cells: Vec<u8>,
    cell_count: usize,
    clock_timers: Vec<u8>,
    clock_timer_count: usize,
}

/// Bytes before the first emit: the outer head and the five-byte head of the emits.
const PRELUDE: usize = 6;

/// Where an [`EffectsWriter`] stood, to return to when an event turns out to be refused.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    out: usize,
    emits: usize,
}

impl EffectsWriter {
    /// Forgets the last batch.
    pub fn start(&mut self) {
        self.out.clear();
        write::array(&mut self.out, ELEMENTS);
        write::array32(&mut self.out, 0);
        for column in [&mut self.states, &mut self.timers, &mut self.rejects, &mut self.counters, &mut self.cells, &mut self.clock_timers] {
            column.clear();
        }
        self.clock_timer_count = 0;
        (self.emits, self.state_count, self.timer_count, self.reject_count, self.counter_count, self.cell_count) = (0, 0, 0, 0, 0, 0);
    }

    /// Where the emits stand now.
    pub fn mark(&self) -> Mark {
        Mark { out: self.out.len(), emits: self.emits }
    }

    /// Takes back every emit since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.out);
        self.emits = mark.emits;
    }

    /// Emits event `event` as it came.
    #[inline]
    pub fn forward(&mut self, port: u32, event: u32) {
        write::array(&mut self.out, 2);
        write::u64(&mut self.out, u64::from(port));
        write::u64(&mut self.out, u64::from(event));
        self.emits += 1;
    }

    /// Emits a value with the event's key and time; `value` appends its bytes.
    #[inline]
    pub fn simple(&mut self, port: u32, event: u32, value: impl FnOnce(&mut Vec<u8>)) {
        write::array(&mut self.out, 3);
        write::u64(&mut self.out, u64::from(port));
        write::u64(&mut self.out, u64::from(event));
        write::bin_with(&mut self.out, value);
        self.emits += 1;
    }

    /// Emits a value with its own time, key and headers (a MessagePack map, or nothing); `value` appends its bytes, `None` is a tombstone.
    pub fn full(
        &mut self,
        port: u32,
        cause: Cause,
        time: Millis,
        key: OutputKey<'_>,
        headers: &[u8],
        value: Option<impl FnOnce(&mut Vec<u8>)>,
    ) {
        let out = &mut self.out;
        write::array(out, 6);
        write::u64(out, u64::from(port));
        write::i64(out, cause.code());
        match value {
            Some(value) => write::bin_with(out, value),
            None => write::nil(out),
        }
        write::i64(out, time);
        match key {
            OutputKey::Slot(slot) => write::u64(out, u64::from(slot)),
            OutputKey::Bytes(bytes) => write::bin(out, bytes),
            OutputKey::None => write::nil(out),
        }
        if headers.is_empty() {
            write::nil(out);
        } else {
            out.extend_from_slice(headers);
        }
        self.emits += 1;
    }

    /// Sets a slot's state; `None` deletes it.
    #[inline]
    pub fn state(&mut self, slot: u32, state: Option<&[u8]>) {
        write::array(&mut self.states, 2);
        write::u64(&mut self.states, u64::from(slot));
        match state {
            Some(state) => write::bin(&mut self.states, state),
            None => write::nil(&mut self.states),
        }
        self.state_count += 1;
    }

    /// Sets the timer `name` of a slot's key; `None` clears it.
    #[inline]
    pub fn timer(&mut self, slot: u32, name: &str, at: Option<Millis>) {
        append_timer(&mut self.timers, slot, name, at);
        self.timer_count += 1;
    }

    /// Sets the processing-time timer `name` of a slot's key; `None` clears it.
    #[inline]
    pub fn clock_timer(&mut self, slot: u32, name: &str, at: Option<Millis>) {
        append_timer(&mut self.clock_timers, slot, name, at);
        self.clock_timer_count += 1;
    }

    /// Says that an event was not processed.
    #[inline]
    pub fn reject(&mut self, event: u32, kind: RejectKind, reason: &str) {
        write::array(&mut self.rejects, 3);
        write::u64(&mut self.rejects, u64::from(event));
        write::u64(&mut self.rejects, kind.code());
        write::str(&mut self.rejects, reason);
        self.reject_count += 1;
    }

    /// Adds to a counter.
    pub fn counter(&mut self, name: &str, add: u64) {
        write::str(&mut self.counters, name);
        write::u64(&mut self.counters, add);
        self.counter_count += 1;
    }

    /// Sets one cell of a slot's large state; `None` deletes it.
    pub fn cell(&mut self, slot: u32, cell: &[u8], value: Option<&[u8]>) {
        write::array(&mut self.cells, 3);
        write::u64(&mut self.cells, u64::from(slot));
        write::bin(&mut self.cells, cell);
        match value {
            Some(value) => write::bin(&mut self.cells, value),
            None => write::nil(&mut self.cells),
        }
        self.cell_count += 1;
    }

    /// Puts the effects together.
    pub fn finish(&mut self) -> &[u8] {
        let out = &mut self.out;
        write::patch32(out, PRELUDE - 5, self.emits);
        for (count, column) in [(self.state_count, &self.states), (self.timer_count, &self.timers), (self.reject_count, &self.rejects)] {
            write::array(out, count);
            out.extend_from_slice(column);
        }
        write::map(out, self.counter_count);
        out.extend_from_slice(&self.counters);
        write::array(out, self.cell_count);
        out.extend_from_slice(&self.cells);
        if self.clock_timer_count > 0 {
            if let Some(head) = out.first_mut() {
                *head += 1;
            }
            write::array(out, self.clock_timer_count);
            out.extend_from_slice(&self.clock_timers);
        }
        out
    }

    /// Throws the effects away and says instead that the operator failed, and at which event where that is known.
    pub fn fault(&mut self, event: Option<u32>, message: &str) -> &[u8] {
        self.out.clear();
        write::map(&mut self.out, 2);
        write::str(&mut self.out, "fault");
        write::str(&mut self.out, message);
        write::str(&mut self.out, "event");
        match event {
            Some(event) => write::u64(&mut self.out, u64::from(event)),
            None => write::nil(&mut self.out),
        }
        &self.out
    }
}

fn append_timer(out: &mut Vec<u8>, slot: u32, name: &str, at: Option<Millis>) {
    write::array(out, 3);
    write::u64(out, u64::from(slot));
    write::str(out, name);
    match at {
        Some(at) => write::i64(out, at),
        None => write::nil(out),
    }
}

/// What effects may contain at most. Breaking a limit condemns the batch, which is then cut down to the event that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectLimits {
    /// Bytes of the whole effects.
    pub output_bytes: usize,
    /// Emits of each event; all timers of the batch together may have as many per event and timer.
    pub outputs_per_event: usize,
    /// Bytes of state of one key, and of one cell.
    pub state_bytes: usize,
    /// Timers set or cleared per event of the batch; timers count as events.
    pub timers_per_event: usize,
    /// Bytes of a timer's name, of a counter's name, of a cell's key.
    pub name_bytes: usize,
    /// Counters per batch.
    pub counters: usize,
}

impl Default for EffectLimits {
    fn default() -> Self {
        EffectLimits {
            output_bytes: 64 << 20,
            outputs_per_event: 10_000,
            state_bytes: 1 << 20,
            timers_per_event: 1_000,
            name_bytes: 1 << 10,
            counters: 1 << 10,
        }
    }
}

/// What the host knows of the frame that the effects answer.
#[derive(Clone, Copy, Debug)]
pub struct Answering {
    /// Events in the frame.
    pub events: usize,
    /// Slots in the frame.
    pub slots: usize,
    /// Due timers in the frame, of either kind.
    pub timers: usize,
    /// Output ports in the manifest.
    pub ports: usize,
}

/// Why effects are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectsError {
    /// Not the MessagePack value that the ABI asks for; says in which part.
    Malformed(&'static str, Malformed),
    /// An index that names nothing in the frame: which kind, the index, how many there are.
    OutOfRange(&'static str, u64, usize),
    /// A limit is broken: which one, what was asked for, what is allowed.
    Limit(&'static str, usize, usize),
    /// The operator says itself that it failed, and at which event where that is known.
    Fault {
        /// The event that it failed at.
        event: Option<u32>,
        /// What it says.
        message: String,
    },
}

impl std::fmt::Display for EffectsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EffectsError::Malformed(part, why) => write!(f, "the effects are malformed: {part}: {why}"),
            EffectsError::OutOfRange(what, index, count) => write!(f, "the effects name {what} {index}, but there are {count}"),
            EffectsError::Limit(what, asked, allowed) => write!(f, "the effects break a limit: {asked} {what}, at most {allowed} allowed"),
            EffectsError::Fault { message, .. } => write!(f, "the operator failed: {message}"),
        }
    }
}

impl std::error::Error for EffectsError {}

/// Effects that have been checked whole: every walk over them from here on cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Effects<'a> {
    emits: Part<'a>,
    states: Part<'a>,
    timers: Part<'a>,
    rejects: Part<'a>,
    counters: Part<'a>,
    cells: Part<'a>,
    clock_timers: Part<'a>,
}

#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    count: usize,
    body: &'a [u8],
}

impl<'a> Effects<'a> {
    /// Reads effects and checks them against the frame that they answer and the limits.
    pub fn read(bytes: &'a [u8], answering: Answering, limits: &EffectLimits) -> Result<Self, EffectsError> {
        if bytes.len() > limits.output_bytes {
            return Err(EffectsError::Limit("bytes of effects", bytes.len(), limits.output_bytes));
        }
        let mut reader = Reader::new(bytes);
        if matches!(reader.peek(), Ok(0x80..=0x8f)) {
            return Err(read_fault(reader));
        }
        let outer = |e| EffectsError::Malformed("outer array", e);
        let elements = reader.array().map_err(outer)?;
        if elements < ELEMENTS {
            return Err(EffectsError::Malformed("outer array", Malformed::Truncated));
        }
        // A batch of only a watermark may still fire timers that it set itself: count it as one event.
        let steps = (answering.events + answering.timers).max(1);
        let within =
            |what, count: usize, allowed: usize| if count > allowed { Err(EffectsError::Limit(what, count, allowed)) } else { Ok(()) };
        let index =
            |what, index: u64, count: usize| if index >= count as u64 { Err(EffectsError::OutOfRange(what, index, count)) } else { Ok(()) };

        // Emits stand in the order of their events. What one event may emit must not depend on which others are in its batch.
        let mut of_event = (u32::MAX, 0);
        let mut one_more = |event: u32| {
            of_event = if of_event.0 == event { (event, of_event.1 + 1) } else { (event, 1) };
            within("outputs", of_event.1, limits.outputs_per_event)
        };
        let emits = part("emits", &mut reader, read_emit, |emit| match emit {
            Emit::Forward { port, event } | Emit::Simple { port, event, .. } => {
                index("port", u64::from(port), answering.ports)?;
                index("event", u64::from(event), answering.events)?;
                one_more(event)
            }
            Emit::Full { port, cause, key, .. } => {
                index("port", u64::from(port), answering.ports)?;
                match cause {
                    Cause::Event(event) => {
                        index("event", u64::from(event), answering.events)?;
                        one_more(event)?;
                    }
                    Cause::TimerBefore(event) => index("event", u64::from(event), answering.events + 1)?,
                }
                if let OutputKey::Slot(slot) = key { index("slot", u64::from(slot), answering.slots) } else { Ok(()) }
            }
        })?;
        within("outputs", emits.count, limits.outputs_per_event.saturating_mul(steps))?;
        let states = part("states", &mut reader, read_state, |(slot, state)| {
            index("slot", u64::from(slot), answering.slots)?;
            within("bytes of state of one key", state.map_or(0, <[u8]>::len), limits.state_bytes)
        })?;
        let check_timer = |(slot, name, _): (u32, &str, Option<Millis>)| {
            index("slot", u64::from(slot), answering.slots)?;
            within("bytes of a timer's name", name.len(), limits.name_bytes)
        };
        let timers = part("timers", &mut reader, read_timer, check_timer)?;
        within("timers", timers.count, limits.timers_per_event.saturating_mul(steps))?;
        let rejects = part("rejects", &mut reader, read_reject, |(event, _, _)| index("event", u64::from(event), answering.events))?;
        within("rejects", rejects.count, answering.events)?;
        let counters = map_part(&mut reader, limits)?;
        let cells = part("cells", &mut reader, read_cell, |(slot, cell, value)| {
            index("slot", u64::from(slot), answering.slots)?;
            within("bytes of a cell's key", cell.len(), limits.name_bytes)?;
            within("bytes of one cell", value.map_or(0, <[u8]>::len), limits.state_bytes)
        })?;
        let clock_timers = if elements > ELEMENTS {
            part("processing-time timers", &mut reader, read_timer, check_timer)?
        } else {
            Part { count: 0, body: &[] }
        };
        within("timers", clock_timers.count, limits.timers_per_event.saturating_mul(steps))?;
        Ok(Effects { emits, states, timers, rejects, counters, cells, clock_timers })
    }

    /// What is emitted, in order.
    pub fn emits(&self) -> impl Iterator<Item = Emit<'a>> + use<'a> {
        walk(self.emits, read_emit)
    }

    /// Number of emits.
    pub fn emit_count(&self) -> usize {
        self.emits.count
    }

    /// Slots whose state changed, with the new state; `None` deletes it.
    pub fn states(&self) -> impl Iterator<Item = (u32, Option<&'a [u8]>)> + use<'a> {
        walk(self.states, read_state)
    }

    /// Timers to set, or to clear where there is no time, in the order in which it happened.
    pub fn timers(&self) -> impl Iterator<Item = (u32, &'a str, Option<Millis>)> + use<'a> {
        walk(self.timers, read_timer)
    }

    /// Processing-time timers to set, or to clear where there is no time, in the order in which it happened.
    pub fn clock_timers(&self) -> impl Iterator<Item = (u32, &'a str, Option<Millis>)> + use<'a> {
        walk(self.clock_timers, read_timer)
    }

    /// Events that were not processed, and why.
    pub fn rejects(&self) -> impl Iterator<Item = (u32, RejectKind, &'a str)> + use<'a> {
        walk(self.rejects, read_reject)
    }

    /// Number of rejects.
    pub fn reject_count(&self) -> usize {
        self.rejects.count
    }

    /// Counters and what to add to them.
    pub fn counters(&self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        walk(self.counters, |reader| Ok((reader.str()?, reader.u64()?)))
    }

    /// Cells of large state that changed; `None` deletes the cell.
    pub fn cells(&self) -> impl Iterator<Item = (u32, &'a [u8], Option<&'a [u8]>)> + use<'a> {
        walk(self.cells, read_cell)
    }
}

fn walk<'a, T>(part: Part<'a>, mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>) -> impl Iterator<Item = T> {
    let mut reader = Reader::new(part.body);
    // Checked once in `Effects::read`, so `ok` never swallows an error here.
    (0..part.count).map_while(move |_| read(&mut reader).ok())
}

fn part<'a, T>(
    name: &'static str,
    reader: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
    mut check: impl FnMut(T) -> Result<(), EffectsError>,
) -> Result<Part<'a>, EffectsError> {
    let malformed = |e| EffectsError::Malformed(name, e);
    let count = reader.array().map_err(malformed)?;
    let (start, body) = (reader.position(), reader.rest());
    for _ in 0..count {
        check(read(reader).map_err(malformed)?)?;
    }
    Ok(Part { count, body: body.get(..reader.position() - start).unwrap_or(&[]) })
}

fn map_part<'a>(reader: &mut Reader<'a>, limits: &EffectLimits) -> Result<Part<'a>, EffectsError> {
    let malformed = |e| EffectsError::Malformed("counters", e);
    let count = reader.map().map_err(malformed)?;
    if count > limits.counters {
        return Err(EffectsError::Limit("counters", count, limits.counters));
    }
    let (start, body) = (reader.position(), reader.rest());
    for _ in 0..count {
        let name = reader.str().map_err(malformed)?;
        if name.len() > limits.name_bytes {
            return Err(EffectsError::Limit("bytes of a counter's name", name.len(), limits.name_bytes));
        }
        reader.u64().map_err(malformed)?;
    }
    Ok(Part { count, body: body.get(..reader.position() - start).unwrap_or(&[]) })
}

fn index32(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.u64()?).map_err(|_| Malformed::Range("a 32-bit index"))
}

#[inline]
fn read_emit<'a>(reader: &mut Reader<'a>) -> Result<Emit<'a>, Malformed> {
    let elements = reader.array()?;
    let port = index32(reader)?;
    let emit = match elements {
        2 => Emit::Forward { port, event: index32(reader)? },
        3 => Emit::Simple { port, event: index32(reader)?, value: optional_bin(reader)? },
        6 => {
            let cause = Cause::from_code(reader.i64()?)?;
            let value = optional_bin(reader)?;
            let time = reader.i64()?;
            let key = match reader.peek()? {
                0xc0 => {
                    reader.nil()?;
                    OutputKey::None
                }
                0xc4..=0xc6 => OutputKey::Bytes(reader.bin()?),
                _ => OutputKey::Slot(index32(reader)?),
            };
            let headers = if reader.nil()? { &[] } else { read_headers(reader)? };
            Emit::Full { port, cause, value, time, key, headers }
        }
        _ => return Err(Malformed::Range("the 2, 3 or 6 elements of an emit")),
    };
    Ok(emit)
}

fn read_headers<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let (start, body) = (reader.position(), reader.rest());
    for _ in 0..reader.map()? {
        reader.str()?;
        reader.bin()?;
    }
    Ok(body.get(..reader.position() - start).unwrap_or(&[]))
}

#[inline]
fn optional_bin<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    if reader.nil()? { Ok(None) } else { reader.bin().map(Some) }
}

fn elements(reader: &mut Reader<'_>, expected: usize, what: &'static str) -> Result<(), Malformed> {
    if reader.array()? == expected { Ok(()) } else { Err(Malformed::Range(what)) }
}

#[inline]
fn read_state<'a>(reader: &mut Reader<'a>) -> Result<(u32, Option<&'a [u8]>), Malformed> {
    elements(reader, 2, "the 2 elements of a state")?;
    Ok((index32(reader)?, optional_bin(reader)?))
}

#[inline]
fn read_timer<'a>(reader: &mut Reader<'a>) -> Result<(u32, &'a str, Option<Millis>), Malformed> {
    elements(reader, 3, "the 3 elements of a timer")?;
    let (slot, name) = (index32(reader)?, reader.str()?);
    let at = if reader.nil()? { None } else { Some(reader.i64()?) };
    Ok((slot, name, at))
}

fn read_reject<'a>(reader: &mut Reader<'a>) -> Result<(u32, RejectKind, &'a str), Malformed> {
    elements(reader, 3, "the 3 elements of a reject")?;
    let event = index32(reader)?;
    let kind = RejectKind::from_code(reader.u64()?).ok_or(Malformed::Range("a kind of reject (0, 1 or 2)"))?;
    Ok((event, kind, reader.str()?))
}

/// A slot, a cell's key, and its value.
type Cell<'a> = (u32, &'a [u8], Option<&'a [u8]>);

fn read_cell<'a>(reader: &mut Reader<'a>) -> Result<Cell<'a>, Malformed> {
    elements(reader, 3, "the 3 elements of a cell")?;
    Ok((index32(reader)?, reader.bin()?, optional_bin(reader)?))
}

fn read_fault(mut reader: Reader<'_>) -> EffectsError {
    /// The most of a fault's message that is kept, in bytes.
    const MESSAGE_MAX: usize = 4 << 10;
    let mut message = String::new();
    let mut event = None;
    let mut read = || -> Result<(), Malformed> {
        for _ in 0..reader.map()? {
            match reader.str()? {
                "fault" => message = reader.str()?.chars().take(MESSAGE_MAX).collect(),
                "event" if !reader.nil()? => event = Some(index32(&mut reader)?),
                "event" => {}
                _ => reader.skip()?,
            }
        }
        Ok(())
    };
    match read() {
        Ok(()) => EffectsError::Fault { event, message },
        Err(e) => EffectsError::Malformed("fault", e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: Answering = Answering { events: 3, slots: 2, timers: 1, ports: 2 };

    fn read(bytes: &[u8]) -> Result<Effects<'_>, EffectsError> {
        Effects::read(bytes, FRAME, &EffectLimits { state_bytes: 8, ..EffectLimits::default() })
    }

    #[test]
    fn effects_come_back_as_they_were_written() {
        let mut writer = EffectsWriter::default();
        writer.start();
        writer.forward(1, 2);
        writer.simple(0, 1, |out| out.push(7));
        writer.full(1, Cause::TimerBefore(3), -5, OutputKey::Slot(1), &[0x80], Some(|out: &mut Vec<u8>| out.push(9)));
        writer.full(1, Cause::Event(2), 6, OutputKey::Bytes(b"k"), &[], None::<fn(&mut Vec<u8>)>);
        writer.state(0, Some(b"s"));
        writer.state(1, None);
        writer.timer(1, "idle", Some(40));
        writer.timer(0, "idle", None);
        writer.reject(0, RejectKind::Late, "its window has closed");
        writer.counter("seen", 3);
        writer.cell(1, b"c", Some(b"v"));
        let bytes = writer.finish().to_vec();
        let effects = read(&bytes).unwrap();
        assert_eq!(
            effects.emits().collect::<Vec<_>>(),
            [
                Emit::Forward { port: 1, event: 2 },
                Emit::Simple { port: 0, event: 1, value: Some(&[7]) },
                Emit::Full {
                    port: 1,
                    cause: Cause::TimerBefore(3),
                    value: Some(&[9]),
                    time: -5,
                    key: OutputKey::Slot(1),
                    headers: &[0x80]
                },
                Emit::Full { port: 1, cause: Cause::Event(2), value: None, time: 6, key: OutputKey::Bytes(b"k"), headers: &[] },
            ]
        );
        assert_eq!(effects.states().collect::<Vec<_>>(), [(0, Some(&b"s"[..])), (1, None)]);
        assert_eq!(effects.timers().collect::<Vec<_>>(), [(1, "idle", Some(40)), (0, "idle", None)]);
        assert_eq!(effects.rejects().collect::<Vec<_>>(), [(0, RejectKind::Late, "its window has closed")]);
        assert_eq!(effects.counters().collect::<Vec<_>>(), [("seen", 3)]);
        assert_eq!(effects.cells().collect::<Vec<_>>(), [(1, &b"c"[..], Some(&b"v"[..]))]);
    }

    #[test]
    fn what_names_nothing_in_the_frame_is_refused() {
        let check = |write: &dyn Fn(&mut EffectsWriter), expected: &str| {
            let mut writer = EffectsWriter::default();
            writer.start();
            write(&mut writer);
            assert_eq!(read(writer.finish()).unwrap_err().to_string(), expected);
        };
        check(&|w| w.forward(2, 0), "the effects name port 2, but there are 2");
        check(&|w| w.forward(0, 3), "the effects name event 3, but there are 3");
        check(
            &|w| w.full(0, Cause::TimerBefore(3), 0, OutputKey::Slot(2), &[], None::<fn(&mut Vec<u8>)>),
            "the effects name slot 2, but there are 2",
        );
        check(&|w| w.state(2, None), "the effects name slot 2, but there are 2");
        check(&|w| w.timer(9, "t", None), "the effects name slot 9, but there are 2");
        check(&|w| w.reject(3, RejectKind::Reject, ""), "the effects name event 3, but there are 3");
        check(&|w| w.state(0, Some(&[0; 9])), "the effects break a limit: 9 bytes of state of one key, at most 8 allowed");
    }

    #[test]
    fn a_fault_is_told_with_its_event() {
        let mut writer = EffectsWriter::default();
        writer.start();
        writer.forward(0, 0);
        assert_eq!(
            read(writer.fault(Some(2), "no route")).unwrap_err(),
            EffectsError::Fault { event: Some(2), message: "no route".into() }
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_check_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn damaged_effects_never_panic(at in 0usize..64, byte: u8) {
            let mut writer = EffectsWriter::default();
            writer.start();
            writer.forward(1, 2);
            writer.full(1, Cause::TimerBefore(3), -5, OutputKey::Slot(1), &[0x80], Some(|out: &mut Vec<u8>| out.push(9)));
            writer.state(0, Some(b"s"));
            writer.timer(1, "idle", Some(40));
            writer.counter("seen", 3);
            let mut bytes = writer.finish().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(effects) = read(&bytes) {
                effects.emits().for_each(drop);
                effects.states().for_each(drop);
                effects.timers().for_each(drop);
            }
        }
    }
}
