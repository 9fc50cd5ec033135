//! Tumbling windows, a library over state and timers: what `#[operator(key = "..", window = "1m")]` runs.
//!
//! A key has one timer, for its next window to close or to forget. The host knows nothing of windows.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::config::Config;
use crate::emit::Emitter;
use crate::event::Event;
use crate::field::{Cells, Encode, Field};
use crate::shape;
use crate::state::State;
use crate::wrong::Wrong;
use crate::{Context, Result, Timer, late};

/// Name of the timer that closes windows.
const TIMER: &str = "window";

/// A span of event time, from `start` up to but not including `end`.
///
/// ```
/// use sangam_sdk::*;
///
/// let w = Window::around(-1, 60_000);
/// assert_eq!((w.start, w.end, w.last()), (-60_000, 0, -1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// The first millisecond in it.
    pub start: Millis,
    /// The first millisecond after it.
    pub end: Millis,
}

impl Window {
    /// The window of `size` milliseconds around `time`; windows start at multiples of their size, before 1970 too.
    pub fn around(time: Millis, size: Millis) -> Window {
        let start = time.saturating_sub(time.rem_euclid(size));
        Window { start, end: start.saturating_add(size) }
    }

    /// The last millisecond in it: it closes when the watermark gets here, and its result has this time.
    pub fn last(self) -> Millis {
        self.end.saturating_sub(1)
    }
}

/// What gathers the events of one window. `#[operator(window = "..")]` implements it for a `#[state]` struct.
pub trait Aggregate: State {
    /// What the operator is configured with.
    type Config: Config;
    /// What it takes.
    type Event<'a>: Event<'a>;
    /// Its name, for the manifest.
    const NAME: &'static str;
    /// Length of a window.
    const SIZE: Millis;
    /// How long after its end a window still takes events.
    const LATENESS: Millis;

    /// Takes one event in.
    fn gather(&mut self, config: &Self::Config, event: Self::Event<'_>, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
    /// Emits the result of a window that is over.
    fn finish(self, config: &Self::Config, event: Window, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
    /// Emits the result of a window that may still change.
    fn peek(&self, config: &Self::Config, event: Window, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
}

/// The open windows of one key, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows<A> {
    open: Vec<(Millis, A)>,
}

impl<A> Windows<A> {
    /// Start and content of each open window.
    pub fn iter(&self) -> impl Iterator<Item = (Millis, &A)> {
        self.open.iter().map(|(start, gathered)| (*start, gathered))
    }
}

impl<A: Aggregate> Windows<A> {
    /// Sets the timer for the first thing that happens to any window after `now`.
    fn arm(&self, now: Millis, ctx: &mut Context<'_>) {
        let next = self.open.iter().map(|(start, _)| {
            let last = span::<A>(*start).last();
            if last > now { last } else { last.saturating_add(A::LATENESS) }
        });
        if let Some(next) = next.min() {
            ctx.wake(TIMER, next);
        }
    }
}

fn span<A: Aggregate>(start: Millis) -> Window {
    Window { start, end: start.saturating_add(A::SIZE) }
}

/// The window around `time`. It is nearly always the newest one that is open, and a guest has no quick way to divide by a constant.
#[inline]
fn window_of<A: Aggregate>(open: &[(Millis, A)], time: Millis) -> Window {
    match open.last() {
        Some((start, _)) if (*start..span::<A>(*start).end).contains(&time) => span::<A>(*start),
        _ => Window::around(time, A::SIZE),
    }
}

/// Puts an event into its window. A window that has closed already but still takes events is emitted again, with all it has.
#[doc(hidden)]
pub fn on_event<A: Aggregate>(
    config: &A::Config,
    event: A::Event<'_>,
    state: &mut Windows<A>,
    ctx: &mut Context<'_>,
    out: &mut Emitter<'_>,
) -> Result<()> {
    let window = window_of(&state.open, ctx.time());
    let (last, watermark) = (window.last(), ctx.watermark());
    if watermark >= last.saturating_add(A::LATENESS) {
        return Err(late("its window has closed"));
    }
    let place = state.open.binary_search_by_key(&window.start, |(start, _)| *start);
    let index = place.unwrap_or_else(|index| {
        state.open.insert(index, (window.start, A::default()));
        index
    });
    if let Some((_, gathered)) = state.open.get_mut(index) {
        gathered.gather(config, event, ctx, out)?;
        if watermark >= last {
            gathered.peek(config, window, ctx, &mut out.at(last))?;
        }
    }
    if place.is_err() {
        state.arm(watermark, ctx);
    }
    Ok(())
}

/// Closes what is due, forgets what takes no more events.
#[doc(hidden)]
pub fn on_timer<A: Aggregate>(
    config: &A::Config,
    timer: Timer<'_>,
    state: &mut Windows<A>,
    ctx: &mut Context<'_>,
    out: &mut Emitter<'_>,
) -> Result<()> {
    if timer.name() != TIMER {
        return Ok(());
    }
    let now = timer.at();
    let mut index = 0;
    while let Some((start, gathered)) = state.open.get(index) {
        let window = span::<A>(*start);
        let over = window.last().saturating_add(A::LATENESS) <= now;
        if window.last() == now && !over {
            gathered.peek(config, window, ctx, out)?;
        }
        if over {
            let (_, gathered) = state.open.remove(index);
            if window.last() == now {
                gathered.finish(config, window, ctx, out)?;
            }
        } else {
            index += 1;
        }
    }
    state.arm(now, ctx);
    Ok(())
}

/// What `add` may return: nothing, or the refusal of the event.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`add` cannot return `{Self}`",
    note = "`add` takes the event in and returns nothing, or Result<()> to refuse it; `close` returns what the window emits"
)]
pub trait Added {
    fn result(self) -> Result<()>;
}

impl Added for () {
    fn result(self) -> Result<()> {
        Ok(())
    }
}

impl Added for Result<()> {
    fn result(self) -> Result<()> {
        self
    }
}

// === the windows as a state ===

impl<A> Default for Windows<A> {
    fn default() -> Self {
        Windows { open: Vec::new() }
    }
}

impl<A: Aggregate> State for Windows<A> {
    const SCHEMA: &'static str = "null";
}

impl<'a, A: Field<'a>> Field<'a> for Windows<A> {
    const KIND: &'static str = "array";
    const CELLS: Cells = A::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut open = Vec::new();
        for _ in 0..reader.array()? {
            shape::pair(reader)?;
            open.push((reader.i64()?, A::decode(reader)?));
        }
        Ok(Windows { open })
    }
}

impl<A: Encode> Encode for Windows<A> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.open.len());
        for (start, gathered) in &self.open {
            write::array(out, 2);
            write::i64(out, *start);
            gathered.encode(out);
        }
    }
}
