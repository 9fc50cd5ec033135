//! What a pattern has found: whole matches, partial ones whose time is over, and what a condition sees of the match so far.
//!
//! It reads the buffer and changes nothing.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use sangam_protocol::Millis;

use super::buffer::Paths;

/// What a partial match has taken so far: what a condition may look at.
pub struct Matched<'m, E> {
    names: &'m [String],
    paths: Paths<'m, E>,
    node: u32,
    /// A condition has looked: its answer holds for this partial match only.
    pub(super) asked: Cell<bool>,
}

impl<'m, E> Matched<'m, E> {
    pub(super) fn new(names: &'m [String], paths: Paths<'m, E>, node: u32) -> Self {
        Matched { names, paths, node, asked: Cell::new(false) }
    }

    /// The events of a step, the last one first.
    fn back(&self, step: &str) -> impl Iterator<Item = &'m E> + use<'m, E> {
        self.asked.set(true);
        let step = self.names.iter().position(|name| name == step);
        self.paths.back(self.node).filter(move |(number, ..)| Some(*number as usize) == step).map(|(.., event)| event)
    }

    /// The events of a step in order; none when it has not come yet, or there is no such step.
    pub fn events(&self, step: &str) -> Vec<&'m E> {
        let mut events: Vec<_> = self.back(step).collect();
        events.reverse();
        events
    }

    /// The first event of a step.
    pub fn first(&self, step: &str) -> Option<&'m E> {
        self.back(step).last()
    }

    /// The last event of a step.
    pub fn last(&self, step: &str) -> Option<&'m E> {
        self.back(step).next()
    }
}

impl<E> fmt::Debug for Matched<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Matched")
    }
}

/// The events of a match, or of a partial match whose time is over.
///
/// ```
/// use sangam_sdk::pattern::Match;
///
/// let found = Match::new(5, [("a", 1, "x"), ("b", 2, "y"), ("b", 5, "z")]);
/// assert_eq!((found.first("b"), found.last("b"), found.events("c").count()), (Some(&"y"), Some(&"z"), 0));
/// assert_eq!((found.started(), found.time()), (1, 5));
/// ```
#[derive(Clone)]
pub struct Match<E> {
    time: Millis,
    names: Rc<[String]>,
    /// Number of the step's name, time, event.
    events: Vec<(u32, Millis, E)>,
}

impl<E> Match<E> {
    /// A match, for the test of a plain function: when it was found, and its events as step, time and event.
    pub fn new<'n>(time: Millis, events: impl IntoIterator<Item = (&'n str, Millis, E)>) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut number = |step: &str| {
            let known = names.iter().position(|name| name == step);
            known.unwrap_or_else(|| {
                names.push(step.to_owned());
                names.len() - 1
            }) as u32
        };
        let events = events.into_iter().map(|(step, time, event)| (number(step), time, event)).collect();
        Match { time, names: names.into(), events }
    }

    /// When it was found: the time of the event that completed it, or the time at which it timed out. Outputs have this time.
    pub fn time(&self) -> Millis {
        self.time
    }

    /// Time of its first event.
    pub fn started(&self) -> Millis {
        self.events.first().map_or(self.time, |(_, time, _)| *time)
    }

    /// The events of a step, in order.
    pub fn events<'m>(&'m self, step: &'m str) -> impl Iterator<Item = &'m E> {
        self.iter().filter(move |(name, ..)| *name == step).map(|(.., event)| event)
    }

    /// The first event of a step.
    pub fn first(&self, step: &str) -> Option<&E> {
        self.iter().find(|(name, ..)| *name == step).map(|(.., event)| event)
    }

    /// The last event of a step.
    pub fn last(&self, step: &str) -> Option<&E> {
        self.iter().rev().find(|(name, ..)| *name == step).map(|(.., event)| event)
    }

    /// All events in order, each with its step and its time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, Millis, &E)> {
        self.events.iter().map(|(step, time, event)| (self.names.get(*step as usize).map_or("", String::as_str), *time, event))
    }
}

impl<E: Clone> Match<E> {
    pub(super) fn take(time: Millis, names: &Rc<[String]>, paths: Paths<'_, E>, node: u32) -> Self {
        let mut events: Vec<_> = paths.back(node).map(|(step, _, time, event)| (step, time, event.clone())).collect();
        events.reverse();
        Match { time, names: names.clone(), events }
    }
}

impl<E: PartialEq> PartialEq for Match<E> {
    fn eq(&self, other: &Self) -> bool {
        self.time == other.time && self.iter().eq(other.iter())
    }
}

impl<E: fmt::Debug> fmt::Debug for Match<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Match at {} of ", self.time)?;
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What [`super::Pattern::advance`] finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<E> {
    /// A match.
    Match(Match<E>),
    /// A partial match whose time is over.
    TimedOut(Match<E>),
}
