//! Which windows there are and when they emit: what `#[operator(window = ..)]` declares, or a configuration gives at run time.
//!
//! It holds numbers only; what is done with them is in the files beside it.

use sangam_protocol::Millis;

use super::zone::Zone;
use super::{FOREVER, Window};

/// A kind of windows. Lengths are in milliseconds; `docs/windows.md` has a picture of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One after the other, of one size.
    Tumbling {
        /// Length.
        size: Millis,
    },
    /// Of one size, one every `slide`: an event is in `size / slide` of them.
    Hopping {
        /// Length.
        size: Millis,
        /// From the start of one to the start of the next.
        slide: Millis,
    },
    /// Around every event, the span `size` before and after it, both ends included (Kafka's sliding windows).
    Sliding {
        /// How far apart two events of a window may be.
        size: Millis,
    },
    /// As long as no two events are further apart than the gap.
    Session {
        /// The gap.
        gap: Millis,
    },
    /// From one start, ever longer by `step`, up to `size`: then the next start.
    Cumulate {
        /// Length of the longest.
        size: Millis,
        /// How much longer each is than the one before.
        step: Millis,
    },
    /// The last `size` events, every `slide` events.
    Count {
        /// Events in a window.
        size: u64,
        /// Events from one result to the next.
        slide: u64,
    },
    /// Up to `count` events, but no more than have come within `span` of the first; a new one begins with the event after.
    Batch {
        /// From the time of the first event on.
        span: Millis,
        /// The most events.
        count: u64,
    },
    /// One window for everything.
    Global,
    /// Those that the events bring along: what earlier windows emitted is gathered by the same windows.
    Given,
}

/// When a window emits what it has gathered.
///
/// The parts add up: `on_close().early(d)` emits every `d` and at the close, `on_count(4).purging()` whenever four events are in, and then
/// forgets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// When the watermark reaches the window's last millisecond, and then for each event that is late but allowed.
    pub close: bool,
    /// At multiples of this many milliseconds of event time, as long as the window is open; 0 is never.
    pub early: Millis,
    /// Whenever this many events have come since it emitted last; 0 is never.
    pub count: u64,
    /// Whether what has been emitted is forgotten, so that the next result is only what came since.
    pub purge: bool,
}

impl Trigger {
    /// When the watermark reaches the window's last millisecond.
    pub const fn on_close() -> Trigger {
        Trigger { close: true, early: 0, count: 0, purge: false }
    }

    /// For every event, and not at the close: the last result is the final one.
    pub const fn on_update() -> Trigger {
        Trigger::on_count(1)
    }

    /// For every `events` events.
    pub const fn on_count(events: u64) -> Trigger {
        Trigger { close: false, early: 0, count: events, purge: false }
    }

    /// At multiples of `every` milliseconds too, as long as the window is open.
    #[must_use]
    pub const fn early(mut self, every: Millis) -> Trigger {
        self.early = every;
        self
    }

    /// Forgets what has been emitted.
    #[must_use]
    pub const fn purging(mut self) -> Trigger {
        self.purge = true;
        self
    }

    /// Whether it can be told from the watermark and the event alone, without a memory for each window.
    const fn is_plain(&self) -> bool {
        !self.purge && self.early == 0 && self.count == if self.close { 0 } else { 1 }
    }
}

/// Windows: their kind, where they start, how long they wait, and when they emit.
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::window::{Trigger, WindowSpec};
///
/// let spec = WindowSpec::hopping(hours(1), minutes(5)).lateness(minutes(1)).trigger(Trigger::on_update());
/// assert_eq!(spec.check(), Ok(()));
/// assert_eq!(spec.windows_at(minutes(58)).len(), 12);
/// assert!(WindowSpec::hopping(minutes(5), hours(1)).check().is_err());
/// ```
///
/// A field of a `#[config]` reads it as the pipeline writes it, a length or a table; what no windows are like is refused:
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::window::WindowSpec;
///
/// #[config] struct Settings { window: WindowSpec }
///
/// let settings = Settings::read(b"\x81\xa6window\xa21h").unwrap();
/// assert_eq!(settings.window, WindowSpec::tumbling(hours(1)));
/// assert!(Settings::read(b"\x81\xa6window\xa20s").is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WindowSpec {
    pub(super) kind: Kind,
    pub(super) offset: Millis,
    pub(super) zone: Option<Zone>,
    pub(super) lateness: Millis,
    pub(super) trigger: Trigger,
    pub(super) by_clock: bool,
}

impl WindowSpec {
    /// Windows of this kind that start at multiples of their size, take no late events, and emit when they close.
    pub const fn new(kind: Kind) -> WindowSpec {
        WindowSpec { kind, offset: 0, zone: None, lateness: 0, trigger: Trigger::on_close(), by_clock: false }
    }

    /// Windows of `size`, one after the other.
    pub const fn tumbling(size: Millis) -> WindowSpec {
        WindowSpec::new(Kind::Tumbling { size })
    }

    /// Windows of `size`, one every `slide`.
    pub const fn hopping(size: Millis, slide: Millis) -> WindowSpec {
        WindowSpec::new(Kind::Hopping { size, slide })
    }

    /// Windows around every event.
    pub const fn sliding(size: Millis) -> WindowSpec {
        WindowSpec::new(Kind::Sliding { size })
    }

    /// Windows that last until `gap` passes without an event.
    pub const fn session(gap: Millis) -> WindowSpec {
        WindowSpec::new(Kind::Session { gap })
    }

    /// Windows that grow by `step` up to `size`.
    pub const fn cumulate(size: Millis, step: Millis) -> WindowSpec {
        WindowSpec::new(Kind::Cumulate { size, step })
    }

    /// The last `size` events, every `slide` events.
    pub const fn count(size: u64, slide: u64) -> WindowSpec {
        WindowSpec::new(Kind::Count { size, slide })
    }

    /// Batches of up to `count` events, none of them open for longer than `span` after its first event.
    pub const fn batch(span: Millis, count: u64) -> WindowSpec {
        WindowSpec::new(Kind::Batch { span, count })
    }

    /// One window for everything: it closes when the input ends.
    pub const fn global() -> WindowSpec {
        WindowSpec::new(Kind::Global)
    }

    /// The windows that the events name themselves, as results of earlier windows do: `fn bounds` reads them.
    pub const fn given() -> WindowSpec {
        WindowSpec::new(Kind::Given)
    }

    /// Shifts the starts of tumbling, hopping and cumulating windows; less than their size, either way.
    #[must_use]
    pub const fn offset(mut self, offset: Millis) -> WindowSpec {
        self.offset = offset;
        self
    }

    /// Lets tumbling, hopping and cumulating windows go by the clock on a wall in this time zone. Needs the feature `zones`.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn zone(mut self, name: &str) -> Result<WindowSpec, String> {
        self.zone = Some(Zone::named(name)?);
        Ok(self)
    }

    /// How long after its end a window still takes events.
    #[must_use]
    pub const fn lateness(mut self, lateness: Millis) -> WindowSpec {
        self.lateness = lateness;
        self
    }

    /// Lets windows go by the host's clock: an event's time is when it comes, whatever it says. For an operator with `processing_time`.
    #[must_use]
    pub const fn processing_time(mut self) -> WindowSpec {
        self.by_clock = true;
        self
    }

    /// When a window emits.
    #[must_use]
    pub const fn trigger(mut self, trigger: Trigger) -> WindowSpec {
        self.trigger = trigger;
        self
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the author's aggregate must be able to merge.
    pub const fn merges(&self) -> bool {
        !matches!(self.kind, Kind::Tumbling { .. } | Kind::Batch { .. } | Kind::Global | Kind::Given)
    }

    /// Says what is wrong with it, in a sentence.
    ///
    /// # Errors
    /// When no windows are like that.
    pub const fn check(&self) -> Result<(), &'static str> {
        let (longest, pitch) = match self.kind {
            Kind::Tumbling { size } => (size, size),
            Kind::Hopping { size, slide } => {
                if slide <= 0 || slide > size {
                    return Err("the slide is more than nothing and at most the size: hopping windows leave no event out");
                }
                (size, slide)
            }
            Kind::Cumulate { size, step } => {
                if step <= 0 || size % step != 0 {
                    return Err("the size is a multiple of the step: cumulate(\"1d\", \"1h\")");
                }
                (size, step)
            }
            Kind::Sliding { size } => (size, 0),
            Kind::Session { gap } => (gap, 0),
            Kind::Count { size, slide } => {
                if size == 0 || slide == 0 || slide > size {
                    return Err("a window holds at least one event, and the slide is at least 1 and at most the size");
                }
                (1, 0)
            }
            Kind::Batch { span, count } => {
                if count == 0 {
                    return Err("a batch holds at least one event: batch(\"3s\", 1000)");
                }
                (span, 0)
            }
            Kind::Global | Kind::Given => (1, 0),
        };
        if longest <= 0 {
            return Err("a window has some length: \"10s\", \"5m\", \"1h\"");
        }
        if self.offset != 0 && (pitch == 0 || self.offset <= -longest || self.offset >= longest) {
            return Err("the offset shifts tumbling, hopping and cumulating windows, by less than their size");
        }
        if self.zone.is_some() && pitch < 60_000 {
            return Err("a time zone is for tumbling, hopping and cumulating windows of a minute or more");
        }
        if matches!(self.kind, Kind::Batch { .. }) && self.lateness != 0 {
            return Err("no event is late for a batch: remove the lateness");
        }
        if self.by_clock && self.lateness != 0 {
            return Err("no event is late by the clock: remove the lateness");
        }
        if self.by_clock && matches!(self.kind, Kind::Given) {
            return Err("windows that the events name go by event time");
        }
        if self.lateness < 0 {
            return Err("the lateness is not negative");
        }
        if self.trigger.early < 0 {
            return Err("an early result comes every so many milliseconds, more than none");
        }
        match self.kind {
            Kind::Count { .. } if !(self.trigger.is_plain() && self.trigger.close) => {
                Err("a count window emits when it is full and at no other time; for more use a global window with a count")
            }
            Kind::Batch { .. } if !(self.trigger.is_plain() && self.trigger.close) => {
                Err("a batch emits when it is over and at no other time")
            }
            Kind::Sliding { .. } if !self.trigger.is_plain() => Err("sliding windows emit on close or on update"),
            _ => Ok(()),
        }
    }

    /// The tumbling, hopping or cumulating windows that an event of this time belongs to, in order; of a session the one that it
    /// starts; none for the other kinds, where it depends on the other events.
    pub fn windows_at(&self, time: Millis) -> Vec<Window> {
        match self.kind {
            Kind::Global => vec![self.window(Millis::MIN, FOREVER)],
            Kind::Session { gap } => vec![Window { start: time, end: time.saturating_add(gap) }],
            Kind::Sliding { .. } | Kind::Count { .. } | Kind::Batch { .. } | Kind::Given => Vec::new(),
            _ => self.spans_at(self.local(time)).map(|(_, _, window)| window).collect(),
        }
    }

    // === the grid: times here are those of the wall clock, where there is a zone ===

    /// Whether overlapping windows share what they gather, in slices.
    #[inline]
    pub(super) const fn shares(&self) -> bool {
        match self.kind {
            Kind::Hopping { .. } | Kind::Cumulate { .. } => self.trigger.is_plain(),
            Kind::Sliding { .. } => true,
            _ => false,
        }
    }

    /// Whether a window that is open has nothing to do but to gather.
    #[inline]
    pub(super) const fn is_simple(&self) -> bool {
        self.zone.is_none() && self.trigger.close && self.trigger.is_plain()
    }

    /// The time on the wall.
    #[inline]
    pub(super) fn local(&self, time: Millis) -> Millis {
        self.zone.as_ref().map_or(time, |zone| zone.local(time))
    }

    /// The window between two times on the wall. While the clock goes back its end is the second time that the clock shows it, its start
    /// the first.
    #[inline]
    pub(super) fn window(&self, start: Millis, end: Millis) -> Window {
        match &self.zone {
            None => Window { start, end },
            Some(zone) => Window { start: zone.first(start), end: zone.instant(end) },
        }
    }

    /// From the end of one window to the end of the next.
    #[inline]
    pub(super) const fn pitch(&self) -> Millis {
        match self.kind {
            Kind::Tumbling { size } => size,
            Kind::Hopping { slide, .. } => slide,
            Kind::Cumulate { step, .. } => step,
            _ => 1,
        }
    }

    /// Length of a slice: what all windows have either whole or not at all.
    #[inline]
    pub(super) const fn slice(&self) -> Millis {
        match self.kind {
            Kind::Hopping { size, slide } => gcd(size, slide),
            _ => self.pitch(),
        }
    }

    /// Start of the slice around a time.
    #[inline]
    pub(super) const fn slice_of(&self, local: Millis) -> Millis {
        floor(local, self.offset, self.slice())
    }

    /// End of the first window that has the slice.
    #[inline]
    pub(super) const fn first_end(&self, slice: Millis) -> Millis {
        let end = slice.saturating_add(self.slice());
        match self.kind {
            // Ends lie on the grid of starts, shifted by the size.
            Kind::Hopping { size, slide } => {
                let shift = self.offset.saturating_add(size % slide);
                floor(end.saturating_sub(1), shift, slide).saturating_add(slide)
            }
            _ => end,
        }
    }

    /// End of the last window that has the slice.
    #[inline]
    pub(super) const fn last_end(&self, slice: Millis) -> Millis {
        match self.kind {
            Kind::Hopping { size, slide } => floor(slice, self.offset, slide).saturating_add(size),
            Kind::Cumulate { size, .. } => floor(slice, self.offset, size).saturating_add(size),
            _ => slice.saturating_add(self.slice()),
        }
    }

    /// Start of the window that ends there.
    #[inline]
    pub(super) const fn start_of(&self, end: Millis) -> Millis {
        match self.kind {
            Kind::Hopping { size, .. } => end.saturating_sub(size),
            Kind::Cumulate { size, step } => floor(end.saturating_sub(step), self.offset, size),
            _ => end.saturating_sub(self.pitch()),
        }
    }

    /// Start and end on the wall of all windows that have this time, in order, and the windows. Where the clock skips an end, two of them are
    /// the same window, which comes once.
    pub(super) fn spans_at(&self, local: Millis) -> impl Iterator<Item = (Millis, Millis, Window)> + '_ {
        let slice = self.slice_of(local);
        let (pitch, last) = (self.pitch(), self.last_end(slice));
        let mut next = Some(self.first_end(slice));
        let mut before = None;
        std::iter::from_fn(move || {
            loop {
                let end = next.filter(|end| *end <= last)?;
                next = end.checked_add(pitch);
                let start = self.start_of(end);
                let window = self.window(start, end);
                if before.replace(window) != Some(window) {
                    return Some((start, end, window));
                }
            }
        })
    }
}

/// The greatest number up to `time` that is `offset` more than a multiple of `size`.
#[inline]
pub(super) const fn floor(time: Millis, offset: Millis, size: Millis) -> Millis {
    // Never beyond the ends of time: what does not fit starts there.
    match time.checked_sub(offset) {
        Some(from) => time.saturating_sub(from.rem_euclid(size)),
        None => time.saturating_sub((time.rem_euclid(size) - offset.rem_euclid(size)).rem_euclid(size)),
    }
}

const fn gcd(a: Millis, b: Millis) -> Millis {
    if b == 0 { a } else { gcd(b, a % b) }
}
