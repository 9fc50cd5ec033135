//! Several patterns over the events of a key: one queue of events that wait for the watermark, one timer, partial matches per pattern.
//!
//! Which patterns there are is asked when events pass, so patterns that come by a broadcast input apply from their own time on. Each pattern
//! is matched as if it were alone.

use std::collections::BTreeMap;

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use super::advance::TIMER;
use super::builder::{Pattern, WAITING_MAX};
use super::found::Found;
use super::matches::Matches;
use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;
use crate::{Context, Result, Timer, late, reject, shape};

/// The open matches of several patterns, each with a name: a field of a `#[state]` struct, instead of a [`Matches`] per pattern.
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::pattern::{Found, Pattern, Several};
/// use sangam_sdk::test::Harness;
///
/// #[event] struct Step { user: String, name: String }
/// #[event] struct Seen { pattern: String }
/// #[state] struct Open { matches: Several<Step> }
/// #[config] struct Both {}
///
/// fn then(first: &'static str, second: &'static str) -> Pattern<Step> {
///     Pattern::begin("first").where_(move |step: &Step, _| step.name == first)
///         .followed_by("second").where_(move |step, _| step.name == second).within(minutes(1))
/// }
///
/// #[operator(key = "user")]
/// impl Both {
///     fn on_event(&self, step: Step, open: &mut Open, ctx: &mut Context) -> Result<()> { open.matches.process(step, ctx) }
///     fn on_timer(&self, timer: Timer, open: &mut Open, ctx: &mut Context) -> Result<Vec<Output<Seen>>> {
///         let patterns = [("ab", &then("a", "b")), ("ba", &then("b", "a"))];
///         let found = open.matches.advance(patterns, timer, ctx)?;
///         let seen = |(name, found): (&str, Found<Step>)| match found {
///             Found::Match(found) => Some(Output::new(Seen { pattern: name.to_owned() }).at(found.time())),
///             Found::TimedOut(_) => None,
///         };
///         Ok(found.into_iter().filter_map(seen).collect())
///     }
/// }
///
/// let mut h = Harness::<Both>::new();
/// for (time, name) in [(1, "a"), (3, "a"), (2, "b")] {
///     h.send(time, Step { user: "ann".into(), name: name.into() });
/// }
/// h.end();
/// assert_eq!(h.take::<Seen>("out"), [Seen { pattern: "ab".into() }, Seen { pattern: "ba".into() }]);
/// assert!(h.is_idle());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Several<E: 'static> {
    /// In order of time, then of arrival.
    waiting: Vec<(Millis, E)>,
    /// Of patterns that have any.
    open: BTreeMap<String, Matches<E>>,
    /// When the first partial match times out.
    deadline: Option<Millis>,
}

impl<E: Clone + 'static> Several<E> {
    /// Takes an event in. It waits until the watermark has reached its time; [`Several::advance`] then lets it pass.
    ///
    /// # Errors
    /// Late, when the watermark has reached the event's time already. Refused, when [`WAITING_MAX`] events of the key wait. In both cases
    /// the state is as it was.
    pub fn process(&mut self, event: E, ctx: &mut Context<'_>) -> Result<()> {
        let time = ctx.time();
        if time <= ctx.watermark() {
            return Err(late("the watermark has passed its time"));
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(reject(format!("{WAITING_MAX} events of this key wait for the watermark already")));
        }
        let place = self.waiting.partition_point(|(known, _)| *known <= time);
        self.waiting.insert(place, (time, event));
        if place == 0 {
            self.wake(ctx);
        }
        Ok(())
    }

    /// Lets the events pass that the watermark has reached, and time with them, over each of the patterns; returns what was found, by pattern
    /// in the given order, then in order of time. Partial matches of a pattern that is not given are given up.
    ///
    /// # Errors
    /// As [`Pattern::advance`].
    pub fn advance<'p>(
        &mut self,
        patterns: impl IntoIterator<Item = (&'p str, &'p Pattern<E>)>,
        timer: Timer<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Vec<(&'p str, Found<E>)>> {
        let mut found = Vec::new();
        if timer.name() != TIMER || timer.is_processing_time() {
            return Ok(found);
        }
        let passing = self.waiting.partition_point(|(time, _)| *time <= timer.at());
        let mut before = std::mem::take(&mut self.open);
        self.deadline = None;
        for (name, pattern) in patterns {
            let mut matches = before.remove(name).unwrap_or_default();
            for (time, event) in self.waiting.iter().take(passing) {
                matches.wait(*time, event.clone());
            }
            let one = pattern.pass(&mut matches, timer.at(), ctx, true)?;
            found.extend(one.into_iter().map(|found| (name, found)));
            if !matches.is_empty() {
                self.deadline = [self.deadline, pattern.due(&matches)?].into_iter().flatten().min();
                self.open.insert(name.to_owned(), matches);
            }
        }
        let lost: usize = before.values().map(Matches::runs).sum();
        if lost > 0 {
            ctx.count("pattern_partial_matches_of_old_pattern", lost as u64);
        }
        self.waiting.drain(..passing);
        self.wake(ctx);
        Ok(found)
    }

    /// Sets the timer for the next event to pass, or the next partial match to time out.
    fn wake(&self, ctx: &mut Context<'_>) {
        let next = self.waiting.first().map(|(time, _)| *time);
        if let Some(at) = [next, self.deadline].into_iter().flatten().min() {
            ctx.wake(TIMER, at);
        }
    }
}

impl<E> Several<E> {
    /// Number of partial matches, of all patterns.
    pub fn partial(&self) -> usize {
        self.open.values().map(Matches::partial).sum()
    }

    /// Number of events that wait for the watermark.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl<E> Default for Several<E> {
    fn default() -> Self {
        Several { waiting: Vec::new(), open: BTreeMap::new(), deadline: None }
    }
}

/// Fields of the encoding; there are none where nothing is remembered.
const FIELDS: usize = 3;

impl<'a, E: Field<'a> + 'static> Field<'a> for Several<E> {
    const KIND: &'static str = "array";
    const CELLS: Cells = E::CELLS.inside();

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut several = Several::default();
        let fields = reader.array()?;
        if fields >= FIELDS {
            several.waiting = <Vec<(Millis, E)>>::decode(reader)?;
            several.open = BTreeMap::decode(reader)?;
            several.deadline = Option::decode(reader)?;
            shape::rest(reader, fields - FIELDS)?;
        }
        Ok(several)
    }
}

impl<E: Encode> Encode for Several<E> {
    fn encode(&self, out: &mut Vec<u8>) {
        if self.waiting.is_empty() && self.open.is_empty() {
            return write::array(out, 0);
        }
        write::array(out, FIELDS);
        // As `Matches` does: by position, so that a build may add fields to the event.
        write::array(out, self.waiting.len());
        for (time, event) in &self.waiting {
            write::array(out, 2);
            write::i64(out, *time);
            event.pack(out);
        }
        self.open.encode(out);
        self.deadline.encode(out);
    }
}
