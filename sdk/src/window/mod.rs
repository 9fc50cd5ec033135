//! Windows, a library over state and timers: what `#[operator(key = "..", window = "1m")]` runs.
//!
//! A key has one timer, for the next thing that happens to any of its windows. The host knows nothing of windows, and they know nothing
//! of a clock unless they are told to go by it. The rules are in `docs/semantics.md`, pictures of the windows in `docs/windows.md`.

mod batch;
mod counted;
mod folded;
mod pane;
mod panes;
mod session;
mod slices;
mod sliding;
mod spec;
mod store;
mod written;
mod zone;

pub use spec::{Kind, Trigger, WindowSpec};
pub use store::Windows;
pub use zone::Zone;

use sangam_protocol::{Millis, WATERMARK_MAX};

use crate::config::Config;
use crate::emit::Emitter;
use crate::event::{Event, FieldPath};
use crate::state::State;
use crate::{Context, Error, Result, Timer, late};
use pane::{Pane, Panes};

/// Name of the timer that closes windows.
const TIMER: &str = "window";

/// The end of a window that has none: its last millisecond is the end of time.
const FOREVER: Millis = Millis::MAX;

/// What is due at the end of time is due just before: a timer that a batch sets for the very end would wait for a batch after it.
const END: Millis = WATERMARK_MAX - 1;

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
    /// The first millisecond after it; `i64::MAX` is none.
    pub end: Millis,
}

impl Window {
    /// The window of `size` milliseconds around `time`; windows start at multiples of their size, before 1970 too.
    pub fn around(time: Millis, size: Millis) -> Window {
        let start = spec::floor(time, 0, size);
        Window { start, end: start.saturating_add(size) }
    }

    /// The last millisecond in it: it closes when the watermark gets here, and its result has this time.
    pub fn last(self) -> Millis {
        if self.end == FOREVER { FOREVER } else { self.end.saturating_sub(1) }
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
    /// Whether the configuration says which windows, so that any kind may come.
    const ANY_KIND: bool;
    /// Whether it can refuse an event, of which then nothing may remain.
    const FALLIBLE: bool;
    /// Whether it does so before it changes anything, so that nothing has to be taken back.
    const UNTOUCHED: bool;
    /// Whether overlapping windows may share slices, the older of which stand in a cell.
    const SLICES: bool;

    /// Which windows, and when they emit.
    fn spec(config: &Self::Config) -> Result<&WindowSpec>;
    /// Takes one event in.
    fn gather(&mut self, config: &Self::Config, event: Self::Event<'_>, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
    /// Takes in what another one has gathered, from later events. Kinds whose windows never share or join events do without.
    fn merge(&mut self, config: &Self::Config, later: Self);
    /// Emits the result of a window that is over.
    fn finish(self, config: &Self::Config, event: Window, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
    /// Emits the result of a window that is over but still takes late events.
    fn peek(&self, config: &Self::Config, event: Window, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
    /// Emits what a window has that is still open; it may note what it has told.
    fn early(&mut self, config: &Self::Config, event: Window, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()> {
        self.peek(config, event, ctx, out)
    }
    /// The window that an event belongs to, where events bring their windows.
    fn bounds(_config: &Self::Config, _event: &Self::Event<'_>) -> Result<Window> {
        Err(Error::Fault("windows are given, but there is no `fn bounds` that says which window an event belongs to".into()))
    }
    /// After how long without an event a session that has this one ends; `None`: as the definition says.
    fn gap(_config: &Self::Config, _event: &Self::Event<'_>) -> Option<Millis> {
        None
    }
    /// The fields that it wants, where it takes a `Row`.
    fn fields(_config: &Self::Config) -> Vec<FieldPath> {
        Vec::new()
    }
}

/// One event or timer of one key.
struct Call<'c, 'x, 'w, A: Aggregate> {
    config: &'c A::Config,
    spec: &'c WindowSpec,
    /// The event's time, or what the host's clock shows.
    time: Millis,
    /// No event is expected up to here.
    watermark: Millis,
    ctx: &'c mut Context<'x>,
    out: &'c mut Emitter<'w>,
}

/// Puts an event into its windows. One that has closed already but still takes events is emitted again, with all it has.
#[doc(hidden)]
#[inline]
pub fn on_event<A: Aggregate>(
    config: &A::Config,
    event: A::Event<'_>,
    state: &mut Windows<A>,
    ctx: &mut Context<'_>,
    out: &mut Emitter<'_>,
) -> Result<()> {
    let spec = A::spec(config)?;
    state.adopt(spec)?;
    let held = !state.panes.is_empty();
    // The clock may show the same again.
    let (time, watermark) = if spec.by_clock { (ctx.now(), ctx.now().saturating_sub(1)) } else { (ctx.time(), ctx.watermark()) };
    let mut call = Call { config, spec, time, watermark, ctx, out };
    let news = match spec.kind {
        Kind::Session { gap } => session::on_event(&mut call, event, state, gap)?,
        Kind::Sliding { size } => sliding::on_event(&mut call, event, state, size)?,
        Kind::Count { size, slide } => counted::on_event(&mut call, event, state, size, slide)?,
        Kind::Batch { .. } => batch::on_event(&mut call, event, state)?,
        _ if spec.shares() => slices::on_event(&mut call, event, state)?,
        _ => panes::on_event(&mut call, event, state)?,
    };
    if news {
        call.arm(watermark, state)?;
    } else if held && state.is_empty() {
        if spec.by_clock { call.ctx.cancel_processing_time(TIMER) } else { call.ctx.cancel(TIMER) }
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
    let spec = A::spec(config)?;
    state.adopt(spec)?;
    let mut call = Call { config, spec, time: timer.at(), watermark: timer.at(), ctx, out };
    call.close(timer.at(), state)?;
    state.close_older();
    call.arm(timer.at(), state)
}

impl<'x, 'w, A: Aggregate> Call<'_, 'x, 'w, A> {
    /// Puts an event into a pane; one that is refused leaves it as it was.
    #[inline]
    fn gather(&mut self, pane: &mut Pane<A>, event: A::Event<'_>) -> Result<()> {
        let before = if A::FALLIBLE && !A::UNTOUCHED { Some(pane.content.clone()) } else { None };
        let purged = pane.content.is_none();
        let taken = pane.content.get_or_insert_default().gather(self.config, event, self.ctx, self.out);
        match (&taken, before) {
            (Err(_), Some(before)) => pane.content = before,
            (Err(_), None) if purged => pane.content = None,
            _ => {}
        }
        taken
    }

    /// Closes what is due, the windows of an earlier definition first.
    fn close(&mut self, now: Millis, state: &mut Windows<A>) -> Result<()> {
        if let Some((spec, old)) = state.older(self.spec) {
            Call { spec: &spec, config: self.config, time: self.time, watermark: self.watermark, ctx: self.ctx, out: self.out }
                .close(now, old)?;
        }
        match self.kind()? {
            Kind::Sliding { .. } => sliding::on_timer(self, now, state, self.size()),
            Kind::Count { .. } => {
                state.panes = Panes::None;
                Ok(())
            }
            Kind::Batch { .. } => batch::on_timer(self, now, state),
            Kind::Hopping { .. } | Kind::Cumulate { .. } if self.spec.shares() => slices::on_timer(self, now, state),
            _ => panes::on_timer(self, now, state),
        }
    }

    /// When the next thing happens to any window after `now`.
    fn next_due(&self, now: Millis, state: &mut Windows<A>) -> Result<Option<Millis>> {
        if !state.has_panes() {
            return Ok(None);
        }
        Ok(match self.kind()? {
            Kind::Sliding { .. } => sliding::next_due(self, now, state, self.size())?,
            Kind::Count { .. } => Some(END),
            Kind::Batch { .. } => batch::next_due(self, state),
            Kind::Hopping { .. } | Kind::Cumulate { .. } if self.spec.shares() => slices::next_due(self, now, state)?,
            _ => panes::next_due(self, now, state),
        })
    }

    /// Sets the timer for it.
    fn arm(&mut self, now: Millis, state: &mut Windows<A>) -> Result<()> {
        let mut next = self.next_due(now, state)?;
        let mut older = state.older(self.spec);
        while let Some((spec, old)) = older {
            let call = Call { spec: &spec, config: self.config, time: self.time, watermark: self.watermark, ctx: self.ctx, out: self.out };
            next = next.into_iter().chain(call.next_due(now, old)?).min();
            older = old.older(&spec);
        }
        if let Some(next) = next {
            if self.spec.by_clock { self.ctx.wake_at_processing_time(TIMER, next) } else { self.ctx.wake(TIMER, next) }
        }
        Ok(())
    }

    /// The kind of windows at hand. An operator that declares its kind has no other, and none of their code.
    #[inline]
    fn kind(&self) -> Result<Kind> {
        if A::ANY_KIND { Ok(self.spec.kind) } else { Ok(A::spec(self.config)?.kind) }
    }

    fn size(&self) -> Millis {
        if let Kind::Sliding { size } = self.spec.kind { size } else { 0 }
    }

    /// When a window is over: from then on it takes no events.
    #[inline]
    fn over(&self, window: Window) -> Millis {
        window.last().saturating_add(self.spec.lateness)
    }

    /// Emits what a window has, and forgets that if the trigger says so.
    fn fire(&mut self, pane: &mut Pane<A>, window: Window) -> Result<()> {
        if self.spec.trigger.purge {
            return pane.content.take().map_or(Ok(()), |content| self.tell(content, window));
        }
        let open = self.is_open(window);
        let Some(content) = &mut pane.content else { return Ok(()) };
        let out = &mut self.out.at(window.last());
        if open { content.early(self.config, window, self.ctx, out) } else { content.peek(self.config, window, self.ctx, out) }
    }

    /// Emits what a window has, which then forgets it, or of which it has a copy.
    fn tell(&mut self, mut content: A, window: Window) -> Result<()> {
        if self.is_open(window) {
            return content.early(self.config, window, self.ctx, &mut self.out.at(window.last()));
        }
        self.finish(content, window)
    }

    fn is_open(&self, window: Window) -> bool {
        self.watermark < due(window.last())
    }

    /// Emits what a window has had.
    fn finish(&mut self, content: A, window: Window) -> Result<()> {
        content.finish(self.config, window, self.ctx, &mut self.out.at(window.last()))
    }
}

/// What happens at a time happens before the end of time.
#[inline]
fn due(time: Millis) -> Millis {
    time.min(END)
}

#[cold]
fn closed() -> Error {
    late("its window has closed")
}

/// The definition of an operator that declares it; checked while it is compiled.
#[doc(hidden)]
pub const fn declared(spec: WindowSpec, merges: bool) -> WindowSpec {
    if let Err(why) = spec.check() {
        panic!("{}", why);
    }
    assert!(
        merges || !spec.merges(),
        "windows of this kind share or join what they gather: add `fn merge(&mut self, later: Self)`, which takes it in"
    );
    spec
}

/// What `add` may return: nothing, or the refusal of the event.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`add` cannot return `{Self}`",
    note = "`add` takes the event in and returns nothing, or Result<()> or Result<(), Untouched> to refuse it; `close` returns what the window emits"
)]
pub trait Added {
    /// Whether it can refuse the event.
    const FALLIBLE: bool;
    /// Whether it refuses before it changes anything.
    const UNTOUCHED: bool;
    fn result(self) -> Result<()>;
}

impl Added for () {
    const FALLIBLE: bool = false;
    const UNTOUCHED: bool = true;
    fn result(self) -> Result<()> {
        Ok(())
    }
}

impl Added for Result<()> {
    const FALLIBLE: bool = true;
    const UNTOUCHED: bool = false;
    fn result(self) -> Result<()> {
        self
    }
}

impl Added for Result<(), Untouched> {
    const FALLIBLE: bool = true;
    const UNTOUCHED: bool = true;
    #[inline]
    fn result(self) -> Result<()> {
        self.map_err(|Untouched(error)| error)
    }
}

/// The refusal of an event by an `add` that has changed nothing yet.
///
/// A window is copied before an `add` that returns `Result<()>`, in case that it changes something and then refuses. One that looks first
/// and changes afterwards says so, and is spared the copy.
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::window::Untouched;
///
/// #[event] struct Sale { shop: String, amount: f64 }
/// #[state] struct Revenue { sales: Vec<f64> }
///
/// #[operator(key = "shop", window = "1m")]
/// impl Revenue {
///     fn add(&mut self, sale: Sale) -> Result<(), Untouched> {
///         if sale.amount < 0.0 {
///             return Err(reject("a negative amount").into());
///         }
///         self.sales.push(sale.amount);
///         Ok(())
///     }
///     fn close(self, _w: Window) -> Sale { Sale { shop: String::new(), amount: self.sales.iter().sum() } }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untouched(pub Error);

impl<E: Into<Error>> From<E> for Untouched {
    fn from(error: E) -> Self {
        Untouched(error.into())
    }
}
