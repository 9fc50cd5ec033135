//! One batch: a frame in, effects out. The order of everything that happens in it is decided here.
//!
//! Batching is invisible: nothing here depends on where a batch starts or ends, except what goes back to the host.

mod control;
mod life;

use sangam_protocol::Millis;
use sangam_protocol::effects::{EffectsWriter, RejectKind};
use sangam_protocol::frame::Frame;
use sangam_protocol::key;
use sangam_protocol::msgpack::{Error as Malformed, Reader};

use crate::context::TimeKind;
use crate::emit::Emitter;
use crate::event::Event;
use crate::field::Encode;
use crate::operator::Operator;
use crate::shared::Shared;
use crate::state::State;
use crate::stored::{self, Head};
use crate::timers::{Fired, Timers};
use crate::ttl::{self, Life, Ttl, TtlClock};
use crate::{Context, Error, Result, Timer, cells};

/// The effects' buffer is given back after a batch beyond this, so that one giant batch does not hold memory for ever.
const EFFECTS_KEPT: usize = 4 << 20;

/// An operator with its configuration and the buffers that it reuses from batch to batch.
pub(crate) struct Instance<O: Operator> {
    config: O::Config,
    writer: EffectsWriter,
    timers: Timers,
    clock_timers: Timers,
    /// The bytes of the default state, which means "nothing to remember".
    blank: Vec<u8>,
    scratch: Vec<u8>,
    shared: Shared<O::Broadcast>,
    last: usize,
}

impl<O: Operator> Instance<O> {
    pub(crate) fn new(config: O::Config) -> Self {
        let mut blank = Vec::new();
        O::State::default().encode(&mut blank);
        Instance {
            config,
            writer: EffectsWriter::default(),
            timers: Timers::default(),
            clock_timers: Timers::default(),
            blank,
            scratch: Vec::new(),
            shared: Shared::new(),
            last: 0,
        }
    }

    pub(crate) fn config(&self) -> &O::Config {
        &self.config
    }

    /// Runs one batch; the bytes are its effects, or the fault that ended it.
    pub(crate) fn process(&mut self, input: &[u8]) -> &[u8] {
        if self.last > EFFECTS_KEPT {
            self.writer = EffectsWriter::default();
        }
        self.writer.start();
        if O::State::HANDLES {
            cells::start();
        }
        let end = match Frame::read(input) {
            Ok(frame) => self.run(&frame),
            Err(error) => Err(garbage(error)),
        };
        let effects = match end {
            Ok(()) => self.writer.finish(),
            Err(Stop { event, why }) => self.writer.fault(event, &why),
        };
        self.last = effects.len();
        effects
    }

    fn run(&mut self, frame: &Frame<'_>) -> Result<(), Stop> {
        let mut slots = Vec::with_capacity(frame.slots());
        for slot in frame.keys() {
            let (key, bytes) = slot.map_err(garbage)?;
            slots.push(Slot { key, bytes, state: None, newest: None });
        }
        if O::BROADCAST {
            // The host puts it first, whatever else is in the batch.
            let bytes = slots.first().filter(|slot| slot.key == key::BROADCAST).map(|slot| slot.bytes);
            let bytes = bytes.ok_or_else(|| garbage(Malformed::Range("a first slot with the broadcast state")))?;
            self.shared.start(bytes).map_err(|error| Stop { event: None, why: format!("broadcast state: {}", text(error)) })?;
        }
        if Batch::<O>::TIMERS {
            self.timers.start(frame).map_err(garbage)?;
            if O::PROCESSING_TIME {
                self.clock_timers.start_clock(frame).map_err(garbage)?;
            }
        }
        let mut batch = Batch::<O> {
            config: &self.config,
            writer: &mut self.writer,
            timers: &mut self.timers,
            clock_timers: &mut self.clock_timers,
            slots,
            nothing: O::State::default(),
            ctx: Context::at(0),
            clock: frame.now.unwrap_or(Millis::MIN),
            lives: if O::State::TTL.is_some() { Life::unborn(frame.slots()) } else { Vec::new() },
            shared: &mut self.shared,
            blank: &self.blank,
            scratch: &mut self.scratch,
        };
        batch.ctx.set_now(frame.now);
        batch.fire_clock(frame)?;
        let mut events = frame.events();
        for i in 0..frame.len() {
            let watermark = frame.watermark_before(i);
            batch.advance(i, watermark)?;
            batch.event(frame, i, watermark, &mut events)?;
            // What the event set for the past fires now, under the watermark of now: were it left to the next advance, it would see
            // how far that one goes, which depends on where the batch ends.
            batch.advance(i + 1, watermark)?;
        }
        batch.end(frame)?;
        batch.advance(frame.len(), frame.watermark)?;
        batch.finish();
        Ok(())
    }
}

/// Why a batch ends early: nothing of it happens.
struct Stop {
    event: Option<u32>,
    why: String,
}

#[cold]
fn garbage(error: Malformed) -> Stop {
    Stop { event: None, why: format!("the frame is malformed: {error}") }
}

#[cold]
fn misfit(event: u32, why: &str) -> Stop {
    Stop { event: Some(event), why: why.to_owned() }
}

/// A key of this batch. Its state is decoded when it is first needed, and once.
struct Slot<'f, S> {
    key: &'f [u8],
    bytes: Option<&'f [u8]>,
    state: Option<S>,
    /// The highest time of its events in this batch that were not refused; kept for those who end batches.
    newest: Option<Millis>,
}

impl<S: State> Slot<'_, S> {
    #[inline]
    fn state(&mut self, number: u32) -> Result<&mut S> {
        if self.state.is_none() {
            let mut state: S = self.bytes.map_or_else(|| Ok(S::default()), stored::read)?;
            state.bind_all(number);
            self.state = Some(state);
        }
        Ok(self.state.get_or_insert_default())
    }
}

struct Batch<'f, 'i, O: Operator> {
    config: &'i O::Config,
    writer: &'i mut EffectsWriter,
    timers: &'i mut Timers,
    clock_timers: &'i mut Timers,
    slots: Vec<Slot<'f, O::State>>,
    /// What a stateless operator gets for a state.
    nothing: O::State,
    ctx: Context<'f>,
    /// What the host's clock shows, where the operator asks for it.
    clock: Millis,
    /// By slot; none where states live for ever.
    lives: Vec<Life>,
    shared: &'i mut Shared<O::Broadcast>,
    blank: &'i [u8],
    scratch: &'i mut Vec<u8>,
}

impl<'f, O: Operator> Batch<'f, '_, O> {
    /// Whether it has timers: its own, or those that take expired state away.
    const TIMERS: bool = {
        let by_clock = matches!(O::State::TTL, Some(Ttl { clock: TtlClock::Processing, .. }));
        assert!(!by_clock || O::PROCESSING_TIME, "a `ttl` by processing time needs the clock: write #[operator(.., processing_time)]");
        O::TIMERS || O::State::TTL.is_some()
    };

    /// Fires every timer up to `watermark`, before event `position`.
    #[inline]
    fn advance(&mut self, position: usize, watermark: Millis) -> Result<(), Stop> {
        if !Self::TIMERS {
            // Timers of an earlier version that still had `on_timer` come due and go.
            return Ok(());
        }
        while let Some(fired) = self.timers.fire(watermark) {
            self.event_timer(position as u32, watermark, &fired)?;
        }
        Ok(())
    }

    /// Apart from the loop over the events, most of which find nothing due.
    #[inline(never)]
    fn event_timer(&mut self, position: u32, watermark: Millis, fired: &Fired) -> Result<(), Stop> {
        self.timer(position, watermark, fired, TimeKind::Event)
            .map_err(|error| Stop { event: None, why: format!("timer `{}`: {}", self.timers.name(fired), of_timer(error)) })
    }

    /// Fires every processing-time timer up to the clock's reading, each with the event-time timers that it sets for the past.
    fn fire_clock(&mut self, frame: &Frame<'_>) -> Result<(), Stop> {
        let (true, Some(now)) = (O::PROCESSING_TIME && Self::TIMERS, frame.now.filter(|_| frame.is_empty())) else { return Ok(()) };
        while let Some(fired) = self.clock_timers.fire(now) {
            self.timer(0, frame.watermark, &fired, TimeKind::Processing)
                .map_err(|error| Stop { event: None, why: format!("timer `{}`: {}", self.clock_timers.name(&fired), of_timer(error)) })?;
            self.advance(0, frame.watermark)?;
        }
        Ok(())
    }

    fn timer(&mut self, position: u32, watermark: Millis, fired: &Fired, kind: TimeKind) -> Result<()> {
        let name = if kind == TimeKind::Event { self.timers.name(fired) } else { self.clock_timers.name(fired) };
        if name == ttl::TIMER {
            return self.end_of_life(fired);
        }
        if !O::TIMERS {
            return Ok(());
        }
        // A timer by the clock has no event time: it happens at the watermark.
        let now = self.ttl_now(if kind == TimeKind::Event { fired.at } else { watermark });
        self.expire(fired.slot, now)?;
        let Some(slot) = self.slots.get_mut(fired.slot as usize) else { return Ok(()) };
        self.ctx.enter(fired.at, watermark, slot.key);
        let state = slot.state(fired.slot)?;
        let timer = match kind {
            TimeKind::Event => Timer::new(self.timers.name(fired), fired.at),
            TimeKind::Processing => Timer::at_processing_time(self.clock_timers.name(fired), fired.at),
        };
        let mut out = Emitter::timer(self.writer, position, fired.slot, fired.at);
        O::on_timer(self.config, timer, state, self.shared.state(), &mut self.ctx, &mut out)?;
        let changed = keep::<O>(state, &mut self.ctx, self.timers, self.clock_timers, Some(fired.slot))?;
        self.live(fired.slot, now, changed);
        Ok(())
    }

    /// Calls `on_batch_end` for every key that had an event, in the order of the slots, with the time of its newest event.
    fn end(&mut self, frame: &Frame<'_>) -> Result<(), Stop> {
        if !O::BATCH_END {
            return Ok(());
        }
        let events = frame.len();
        let watermark = events.checked_sub(1).map_or(frame.watermark, |last| frame.watermark_before(last));
        let fault = |error| Stop { event: None, why: format!("on_batch_end: {}", of_batch(error)) };
        for number in 0..self.slots.len() {
            let Some(time) = self.slots.get(number).and_then(|slot| slot.newest) else { continue };
            let now = self.ttl_now(time.max(watermark));
            let number = number as u32;
            self.expire(number, now).map_err(fault)?;
            let Some(slot) = self.slots.get_mut(number as usize) else { continue };
            self.ctx.enter(time, watermark, slot.key);
            let state = slot.state(number).map_err(fault)?;
            let mut out = Emitter::timer(self.writer, events as u32, number, time);
            O::on_batch_end(self.config, state, self.shared.state(), &mut self.ctx, &mut out).map_err(fault)?;
            let changed = keep::<O>(state, &mut self.ctx, self.timers, self.clock_timers, Some(number)).map_err(fault)?;
            self.live(number, now, changed);
        }
        Ok(())
    }

    #[inline]
    fn event(&mut self, frame: &Frame<'f>, i: usize, watermark: Millis, events: &mut Reader<'f>) -> Result<(), Stop> {
        let index = i as u32;
        if let Some(kind) = frame.kind(i).checked_sub(<O::Event<'f> as Event<'f>>::KINDS).filter(|_| O::BROADCAST) {
            return self.control(frame, i, kind, watermark, events);
        }
        let start = *events;
        let event = match O::Event::read(frame.kind(i), events) {
            Ok(event) => event,
            Err(wrong) if wrong.is_frame() => return Err(misfit(index, &wrong.reason())),
            Err(wrong) => return self.misread(index, start, events, &wrong.reason()),
        };
        let fault = |why: String| Stop { event: Some(index), why };
        let slot = if O::KEYED { frame.slot(i) } else { None };
        let time = frame.time(i);
        let now = self.ttl_now(time.max(watermark));
        if let Some(number) = slot {
            self.expire(number as u32, now).map_err(|error| fault(text(error)))?;
        }
        let (key, state) = match slot {
            None if O::KEYED => return Err(misfit(index, "the frame has no key for it")),
            None => (&[][..], &mut self.nothing),
            Some(number) => {
                let slot = self.slots.get_mut(number).ok_or_else(|| misfit(index, "the frame has no such slot"))?;
                (slot.key, slot.state(number as u32).map_err(|error| fault(text(error)))?)
            }
        };
        let slot = slot.map(|slot| slot as u32);
        self.ctx.enter(time, watermark, key);
        let before = if O::FALLIBLE { Some(state.clone()) } else { None };
        let mark = self.writer.mark();
        let mut out = Emitter::event(self.writer, index, slot, time);
        let error = match O::on_event(self.config, event, state, self.shared.state(), &mut self.ctx, &mut out) {
            Ok(()) => {
                let changed = keep::<O>(state, &mut self.ctx, self.timers, self.clock_timers, slot).map_err(|error| fault(text(error)))?;
                if let Some(slot) = slot {
                    self.live(slot, now, changed);
                }
                if O::BATCH_END
                    && let Some(slot) = slot.and_then(|slot| self.slots.get_mut(slot as usize))
                {
                    slot.newest = slot.newest.max(Some(time));
                }
                return Ok(());
            }
            Err(error) => error,
        };
        self.writer.rewind(mark);
        self.ctx.forget();
        if let Some(before) = before {
            *state = before;
        }
        if O::State::HANDLES {
            cells::undo();
        }
        self.refuse(index, error)
    }

    /// Steps over an event that does not hold what it should.
    #[cold]
    fn misread(&mut self, index: u32, start: Reader<'f>, events: &mut Reader<'f>, why: &str) -> Result<(), Stop> {
        *events = start;
        events.skip().map_err(garbage)?;
        self.writer.reject(index, RejectKind::Reject, why);
        Ok(())
    }

    /// Settles an event that the operator did not process.
    fn refuse(&mut self, index: u32, error: Error) -> Result<(), Stop> {
        match error {
            Error::Reject(why) => self.writer.reject(index, RejectKind::Reject, &why),
            Error::Late(why) => self.writer.reject(index, RejectKind::Late, &why),
            Error::Drop(why) => self.writer.reject(index, RejectKind::Drop, &why),
            Error::Ignore => {}
            Error::Fault(why) => return Err(Stop { event: Some(index), why }),
        }
        Ok(())
    }

    /// Writes what has changed, and only that.
    fn finish(self) {
        let scratch = self.scratch;
        for (number, slot) in self.slots.iter().enumerate() {
            let Some(state) = &slot.state else { continue };
            scratch.clear();
            let used = self.lives.get(number).and_then(Life::used);
            Head { version: O::State::VERSION, used }.append(scratch);
            let head = scratch.len();
            state.encode(scratch);
            if scratch.get(head..) == Some(self.blank) {
                if slot.bytes.is_some() {
                    self.writer.state(number as u32, None);
                }
            } else if slot.bytes != Some(scratch.as_slice()) {
                self.writer.state(number as u32, Some(scratch));
            }
        }
        if O::BROADCAST
            && let Some(bytes) = self.shared.finish()
        {
            self.writer.state(0, bytes);
        }
        if Self::TIMERS {
            self.timers.write(false, self.writer);
            if O::PROCESSING_TIME {
                self.clock_timers.write(true, self.writer);
            }
        }
        for (name, total) in self.ctx.counters() {
            self.writer.counter(name, total);
        }
        if O::State::HANDLES {
            cells::write(self.writer);
        }
    }
}

/// Lets a call's changes stand; true when it has written cells, or said that it writes.
#[inline]
fn keep<O: Operator>(
    state: &mut O::State,
    ctx: &mut Context<'_>,
    timers: &mut Timers,
    clock_timers: &mut Timers,
    slot: Option<u32>,
) -> Result<bool> {
    let mut changed = ctx.take_touched();
    if O::State::HANDLES {
        if let Some(slot) = slot {
            state.settle_all(slot)?;
        }
        changed |= cells::keep();
    }
    if ctx.has_changes() {
        let (true, Some(slot)) = (O::TIMERS, slot) else {
            return Err(Error::Fault(
                "it sets a timer but has no on_timer: write `impl Name { fn on_event(&self, ..) fn on_timer(&self, ..) }`".into(),
            ));
        };
        for (name, at, kind) in ctx.changes() {
            match kind {
                TimeKind::Event => timers.change(slot, name, at),
                TimeKind::Processing if O::PROCESSING_TIME => clock_timers.change(slot, name, at),
                TimeKind::Processing => {
                    return Err(Error::Fault(
                        "it sets a processing-time timer but does not ask for processing time: write `#[operator(.., processing_time)]`"
                            .into(),
                    ));
                }
            }
        }
    }
    ctx.keep();
    Ok(changed)
}

#[cold]
fn text(error: Error) -> String {
    match error {
        Error::Fault(why) => why,
        other => other.to_string(),
    }
}

#[cold]
fn of_batch(error: Error) -> String {
    match error {
        Error::Fault(why) => why,
        Error::Reject(why) | Error::Late(why) | Error::Drop(why) => format!("it has no event to refuse: {why}"),
        Error::Ignore => "it has no event to ignore".into(),
    }
}

#[cold]
fn of_timer(error: Error) -> String {
    match error {
        Error::Fault(why) => why,
        Error::Reject(why) | Error::Late(why) | Error::Drop(why) => format!("on_timer has no event to refuse: {why}"),
        Error::Ignore => "on_timer has no event to ignore".into(),
    }
}
