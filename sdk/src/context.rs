//! What an operator may know and ask for besides its event: time, key, timers, counters. Never the clock.

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
    key: &'a [u8],
    /// Names of the timers below, end to end.
    names: String,
    timers: Vec<Change>,
    counters: Vec<(String, u64)>,
    /// What this call adds: index into `counters`, and how much.
    adds: Vec<(usize, u64)>,
    touched: bool,
}

/// A timer to set or to clear; its name is a range of the names.
#[derive(Clone, Copy, Debug)]
struct Change {
    start: usize,
    end: usize,
    at: Option<Millis>,
}

impl<'a> Context<'a> {
    /// A context for the test of a plain function: this event time, no watermark yet, no key.
    pub fn at(time: Millis) -> Self {
        Context {
            time,
            watermark: WATERMARK_MIN,
            key: &[],
            names: String::new(),
            timers: Vec::new(),
            counters: Vec::new(),
            adds: Vec::new(),
            touched: false,
        }
    }

    /// The same context with this watermark.
    #[must_use]
    pub fn with_watermark(self, watermark: Millis) -> Self {
        Context { watermark, ..self }
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
        self.change(name, Some(at));
    }

    /// Forgets the timer `name` of this key.
    #[inline]
    pub fn cancel(&mut self, name: &str) {
        self.change(name, None);
    }

    /// Counts as a write of the state although nothing in it changes: prolongs the life of a `#[state(ttl = "1h")]`.
    pub fn touch(&mut self) {
        self.touched = true;
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

    /// The timers that this call asked for so far, and those that it cancelled (`None`): for tests.
    pub fn wakes(&self) -> Vec<(&str, Option<Millis>)> {
        self.changes().collect()
    }

    fn change(&mut self, name: &str, at: Option<Millis>) {
        let start = self.names.len();
        self.names.push_str(name);
        self.timers.push(Change { start, end: self.names.len(), at });
    }

    // === for the loop over a batch ===

    /// Turns to the next call.
    #[inline]
    pub(crate) fn enter(&mut self, time: Millis, watermark: Millis, key: &'a [u8]) {
        (self.time, self.watermark, self.key) = (time, watermark, key);
    }

    #[inline]
    pub(crate) fn has_changes(&self) -> bool {
        !self.timers.is_empty()
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = (&str, Option<Millis>)> {
        self.timers.iter().map(|change| (self.names.get(change.start..change.end).unwrap_or(""), change.at))
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
        self.touched = false;
    }

    /// Whether the call said that it writes the state.
    pub(crate) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// Counters that this batch added to.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().filter(|(_, total)| *total > 0).map(|(name, total)| (name.as_str(), *total))
    }
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
}

impl<'a> Timer<'a> {
    /// A timer, for the test of a plain function.
    pub fn new(name: &'a str, at: Millis) -> Self {
        Timer { name, at }
    }

    /// The name that it was set by.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The time that it was set for.
    pub fn at(&self) -> Millis {
        self.at
    }
}
