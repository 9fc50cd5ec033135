//! What an operator may know and ask for besides its event: time, key, timers, counters.
//!
//! No clock of its own: processing time is what the host says with each batch, and only to an operator that asks for it.

use sangam_protocol::msgpack::Reader;
use sangam_protocol::{Millis, WATERMARK_MIN};

/// Time, key, timers and counters of the call at hand.
///
/// What a call asks for happens when the call returns; a refused event leaves no timer and no count behind.
///
/// ```
/// use sangam_sdk::*;
///
/// fn remind(ctx: &mut Context) {
///     ctx.wake("reminder", ctx.time() + 60_000);
/// }
///
/// let mut ctx = Context::at(1_000);
/// remind(&mut ctx);
/// assert_eq!(ctx.wakes(), [("reminder", Some(61_000))]);
/// ```
#[derive(Debug)]
pub struct Context<'a> {
    time: Millis,
    watermark: Millis,
    /// What the host's clock shows; `None` for an operator that does not ask for it.
    now: Option<Millis>,
    key: &'a [u8],
    /// Names of the timers below, end to end.
    names: String,
    timers: Vec<Change>,
    counters: Vec<(String, u64)>,
    /// What this call adds: index into `counters`, and how much.
    adds: Vec<(usize, u64)>,
}

/// A timer to set or to clear; its name is a range of the names.
#[derive(Clone, Copy, Debug)]
struct Change {
    start: usize,
    end: usize,
    at: Option<Millis>,
    kind: TimeKind,
}

/// Which time a timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKind {
    /// Event time: the watermark.
    Event,
    /// Processing time: the host's clock.
    Processing,
}

impl<'a> Context<'a> {
    /// A context for the test of a plain function: this event time, no watermark yet, no key.
    pub fn at(time: Millis) -> Self {
        Context {
            time,
            watermark: WATERMARK_MIN,
            now: None,
            key: &[],
            names: String::new(),
            timers: Vec::new(),
            counters: Vec::new(),
            adds: Vec::new(),
        }
    }

    /// The same context with this watermark.
    #[must_use]
    pub fn with_watermark(self, watermark: Millis) -> Self {
        Context { watermark, ..self }
    }

    /// The same context with this reading of the host's clock.
    #[must_use]
    pub fn with_now(self, now: Millis) -> Self {
        Context { now: Some(now), ..self }
    }

    /// The same context with this key.
    #[must_use]
    pub fn with_key(self, key: &'a str) -> Self {
        Context { key: key.as_bytes(), ..self }
    }

    /// Event time of the event; for a timer, the time that it was set for.
    #[inline]
    pub fn time(&self) -> Millis {
        self.time
    }

    /// No event with a time up to this one is expected any more.
    #[inline]
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// Processing time: what the host's clock showed when it put this batch together, in milliseconds since 1970. It is the same for every
    /// event of a batch, and never goes back. For operators that ask for it: `#[operator(.., processing_time)]`.
    ///
    /// ```
    /// use sangam_sdk::Context;
    ///
    /// let ctx = Context::at(500).with_now(2_000);
    /// assert_eq!(ctx.now() - ctx.time(), 1_500);
    /// ```
    ///
    /// # Panics
    /// When the operator does not ask for it: then its frames do not carry it.
    #[inline]
    #[track_caller]
    pub fn now(&self) -> Millis {
        match self.now {
            Some(now) => now,
            None => no_clock(),
        }
    }

    /// The key as text; empty for a stateless operator, and for a key that is not text.
    #[inline]
    pub fn key(&self) -> &'a str {
        std::str::from_utf8(self.key).unwrap_or("")
    }

    /// The key's bytes.
    #[inline]
    pub fn key_bytes(&self) -> &'a [u8] {
        self.key
    }

    /// Part `i` of a key of several fields, `key = "city, category"`.
    ///
    /// ```
    /// let key = "\u{92}";           // not a composite key
    /// assert_eq!(sangam_sdk::Context::at(0).with_key(key).key_part(0), None);
    /// ```
    pub fn key_part(&self, i: usize) -> Option<&'a str> {
        let mut reader = Reader::new(self.key);
        if i >= reader.array().ok()? {
            return None;
        }
        for _ in 0..i {
            reader.skip().ok()?;
        }
        reader.str().ok()
    }

    /// Calls `on_timer` for this key when the watermark reaches `at`. A key has one pending time per name: a second call moves it.
    #[inline]
    pub fn wake(&mut self, name: &str, at: Millis) {
        self.change(name, Some(at), TimeKind::Event);
    }

    /// Forgets the event-time timer `name` of this key.
    #[inline]
    pub fn cancel(&mut self, name: &str) {
        self.change(name, None, TimeKind::Event);
    }

    /// Calls `on_timer` for this key when the host's clock reaches `at`, between two batches. Processing-time timers have names of their
    /// own: one called `idle` and an event-time timer called `idle` know nothing of each other. For operators that ask for processing time.
    #[inline]
    pub fn wake_at_processing_time(&mut self, name: &str, at: Millis) {
        self.change(name, Some(at), TimeKind::Processing);
    }

    /// Calls `on_timer` for this key once `after` milliseconds of processing time have passed.
    ///
    /// ```
    /// use sangam_sdk::*;
    ///
    /// let mut ctx = Context::at(0).with_now(10_000);
    /// ctx.wake_after("flush", seconds(5));
    /// assert_eq!(ctx.processing_time_wakes(), [("flush", Some(15_000))]);
    /// ```
    ///
    /// # Panics
    /// When the operator does not ask for processing time.
    #[inline]
    #[track_caller]
    pub fn wake_after(&mut self, name: &str, after: Millis) {
        self.wake_at_processing_time(name, self.now().saturating_add(after));
    }

    /// Forgets the processing-time timer `name` of this key.
    #[inline]
    pub fn cancel_processing_time(&mut self, name: &str) {
        self.change(name, None, TimeKind::Processing);
    }

    /// Adds to a counter that the host shows among the pipeline's metrics.
    pub fn count(&mut self, name: &str, add: u64) {
        let known = self.counters.iter().position(|(known, _)| known == name);
        let index = known.unwrap_or_else(|| {
            self.counters.push((name.to_owned(), 0));
            self.counters.len() - 1
        });
        self.adds.push((index, add));
    }

    /// The event-time timers that this call asked for so far, and those that it cancelled (`None`): for tests.
    pub fn wakes(&self) -> Vec<(&str, Option<Millis>)> {
        self.of_kind(TimeKind::Event)
    }

    /// The same of processing-time timers.
    pub fn processing_time_wakes(&self) -> Vec<(&str, Option<Millis>)> {
        self.of_kind(TimeKind::Processing)
    }

    fn of_kind(&self, kind: TimeKind) -> Vec<(&str, Option<Millis>)> {
        self.changes().filter(|(_, _, of)| *of == kind).map(|(name, at, _)| (name, at)).collect()
    }

    fn change(&mut self, name: &str, at: Option<Millis>, kind: TimeKind) {
        let start = self.names.len();
        self.names.push_str(name);
        self.timers.push(Change { start, end: self.names.len(), at, kind });
    }

    // === for the loop over a batch ===

    /// What the frame says of the clock.
    pub(crate) fn set_now(&mut self, now: Option<Millis>) {
        self.now = now;
    }

    /// Turns to the next call.
    #[inline]
    pub(crate) fn enter(&mut self, time: Millis, watermark: Millis, key: &'a [u8]) {
        (self.time, self.watermark, self.key) = (time, watermark, key);
    }

    #[inline]
    pub(crate) fn has_changes(&self) -> bool {
        !self.timers.is_empty()
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = (&str, Option<Millis>, TimeKind)> {
        self.timers.iter().map(|change| (self.names.get(change.start..change.end).unwrap_or(""), change.at, change.kind))
    }

    /// The call is done and stands.
    #[inline]
    pub(crate) fn keep(&mut self) {
        if !self.timers.is_empty() {
            self.timers.clear();
            self.names.clear();
        }
        for (index, add) in self.adds.drain(..) {
            if let Some((_, total)) = self.counters.get_mut(index) {
                *total = total.saturating_add(add);
            }
        }
    }

    /// The call is done and leaves no trace.
    pub(crate) fn forget(&mut self) {
        self.timers.clear();
        self.names.clear();
        self.adds.clear();
    }

    /// Counters that this batch added to.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().filter(|(_, total)| *total > 0).map(|(name, total)| (name.as_str(), *total))
    }
}

#[cold]
#[track_caller]
fn no_clock() -> ! {
    panic!(
        "it asks for processing time but does not say so: write `#[operator(.., processing_time)]`; in a test of a plain function, `Context::at(..).with_now(..)`"
    )
}

/// The timer that fires.
///
/// ```
/// let timer = sangam_sdk::Timer::new("idle", 500);
/// assert_eq!((timer.name(), timer.at()), ("idle", 500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer<'a> {
    name: &'a str,
    at: Millis,
    kind: TimeKind,
}

impl<'a> Timer<'a> {
    /// A timer, for the test of a plain function.
    pub fn new(name: &'a str, at: Millis) -> Self {
        Timer { name, at, kind: TimeKind::Event }
    }

    /// A processing-time timer, for the test of a plain function.
    pub fn at_processing_time(name: &'a str, at: Millis) -> Self {
        Timer { name, at, kind: TimeKind::Processing }
    }

    /// The name that it was set by.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The time that it was set for.
    pub fn at(&self) -> Millis {
        self.at
    }

    /// Whether it waited for the host's clock, not for the watermark.
    pub fn is_processing_time(&self) -> bool {
        self.kind == TimeKind::Processing
    }
}
