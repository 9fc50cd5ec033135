//! How a pattern is said: steps, how they follow each other, how often, under which conditions, within what time.
//!
//! Nothing is matched here. A mistake is remembered and comes out of [`Pattern::check`], so that a chain of calls stays a chain.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use sangam_protocol::Millis;

use super::automaton::Automaton;
use super::compile;
use super::found::Matched;
use super::skip::AfterMatch;

/// Partial matches that a key may have unless [`Pattern::max_partial_matches`] says otherwise.
pub const PARTIAL_MATCHES_MAX: usize = 1_000;

/// Events of a key that may wait for the watermark unless [`Pattern::max_waiting`] says otherwise.
pub const WAITING_MAX: usize = 10_000;

/// Whether an event fits a step; it may look at what the partial match has taken before.
pub(super) type Condition<E> = Rc<dyn Fn(&E, &Matched<'_, E>) -> bool>;

/// A sequence of events to look for among the events of one key, in the terms of Flink's CEP.
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::pattern::{AfterMatch, Pattern};
///
/// #[event] struct Payment { card: String, amount: f64 }
///
/// let pattern = Pattern::begin("small")
///     .where_(|payment: &Payment, _| payment.amount < 1.0)
///     .one_or_more()
///     .followed_by("large")
///     .where_(|payment, earlier| earlier.last("small").is_some_and(|small| payment.amount > 500.0 * small.amount))
///     .within(minutes(10))
///     .after_match(AfterMatch::SkipPastLastEvent);
/// assert_eq!(pattern.check(), Ok(()));
/// ```
pub struct Pattern<E> {
    pub(super) steps: Vec<Step<E>>,
    pub(super) within: Option<Millis>,
    pub(super) after_match: AfterMatch,
    pub(super) partial_max: usize,
    pub(super) waiting_max: usize,
    pub(super) version: u64,
    /// The first mistake in the chain of calls.
    wrong: Option<String>,
    compiled: OnceCell<Result<Automaton<E>, String>>,
}

/// One step, or a group of them.
pub(super) struct Step<E> {
    pub(super) name: String,
    pub(super) link: Link,
    pub(super) count: Count,
    /// How the events of a repeated step follow each other.
    pub(super) inner: Link,
    pub(super) optional: bool,
    pub(super) greedy: bool,
    pub(super) condition: Option<Condition<E>>,
    pub(super) until: Option<Condition<E>>,
    /// The longest time since the event taken before.
    pub(super) gap: Option<Millis>,
    pub(super) group: Option<Vec<Step<E>>>,
}

/// How a step follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Next,
    FollowedBy,
    FollowedByAny,
    NotNext,
    NotFollowedBy,
}

impl Link {
    pub(super) fn is_not(self) -> bool {
        matches!(self, Link::NotNext | Link::NotFollowedBy)
    }
}

/// How often a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Once,
    Times(u32, u32),
    AtLeast(u32),
}

/// More copies of a step than this make an automaton that nobody meant.
const TIMES_MAX: u32 = 1_000;

impl<E> Pattern<E> {
    /// Starts with a step. Its name stands for its events in conditions and in the match.
    pub fn begin(name: &str) -> Self {
        Self::first(Step::new(name, Link::Next))
    }

    /// Starts with a group: quantifiers that follow repeat the whole of it.
    pub fn begin_group(group: Pattern<E>) -> Self {
        let wrong = group.wrong.clone();
        let mut pattern = Self::first(Step::of_group(group, Link::Next));
        pattern.wrong = wrong;
        pattern
    }

    fn first(step: Step<E>) -> Self {
        Pattern {
            steps: vec![step],
            within: None,
            after_match: AfterMatch::NoSkip,
            partial_max: PARTIAL_MATCHES_MAX,
            waiting_max: WAITING_MAX,
            version: 0,
            wrong: None,
            compiled: OnceCell::new(),
        }
    }

    // === what comes next ===

    /// The very next event of the key is this step (strict contiguity).
    #[must_use]
    pub fn next(self, name: &str) -> Self {
        self.step(name, Link::Next)
    }

    /// The first event that fits, with others in between (relaxed contiguity).
    #[must_use]
    pub fn followed_by(self, name: &str) -> Self {
        self.step(name, Link::FollowedBy)
    }

    /// Any later event that fits; one match for each (non-deterministic relaxed contiguity).
    #[must_use]
    pub fn followed_by_any(self, name: &str) -> Self {
        self.step(name, Link::FollowedByAny)
    }

    /// The very next event does not fit.
    #[must_use]
    pub fn not_next(self, name: &str) -> Self {
        self.step(name, Link::NotNext)
    }

    /// No event up to the following step fits; as the last step, none until [`Pattern::within`] is over.
    #[must_use]
    pub fn not_followed_by(self, name: &str) -> Self {
        self.step(name, Link::NotFollowedBy)
    }

    /// A group whose first event is the very next one.
    #[must_use]
    pub fn next_group(self, group: Pattern<E>) -> Self {
        self.group(group, Link::Next)
    }

    /// A group that begins with the first event that fits.
    #[must_use]
    pub fn followed_by_group(self, group: Pattern<E>) -> Self {
        self.group(group, Link::FollowedBy)
    }

    /// A group that begins with any later event that fits.
    #[must_use]
    pub fn followed_by_any_group(self, group: Pattern<E>) -> Self {
        self.group(group, Link::FollowedByAny)
    }

    fn step(mut self, name: &str, link: Link) -> Self {
        if link.is_not() && self.steps.last().is_some_and(|last| last.optional) {
            let why =
                format!("`{name}` says what must not follow an optional step: write two patterns, one with that step and one without");
            return self.mistake(why);
        }
        self.steps.push(Step::new(name, link));
        self
    }

    fn group(mut self, group: Pattern<E>, link: Link) -> Self {
        self.wrong = self.wrong.or_else(|| group.wrong.clone());
        self.steps.push(Step::of_group(group, link));
        self
    }

    // === conditions of the last step ===

    /// The event must fit this too. The second argument is what the partial match has taken so far.
    ///
    /// A condition is a function of these two and nothing else; for one event it may be asked once and answered for many.
    #[must_use]
    pub fn where_(self, condition: impl Fn(&E, &Matched<'_, E>) -> bool + 'static) -> Self
    where
        E: 'static,
    {
        self.condition(Rc::new(condition), false)
    }

    /// Or the event fits this.
    #[must_use]
    pub fn or(self, condition: impl Fn(&E, &Matched<'_, E>) -> bool + 'static) -> Self
    where
        E: 'static,
    {
        self.condition(Rc::new(condition), true)
    }

    pub(super) fn condition(self, added: Condition<E>, or: bool) -> Self
    where
        E: 'static,
    {
        self.change("a condition", |step| {
            if step.group.is_some() {
                return Err("a group has no condition of its own: give it to its steps".into());
            }
            step.condition = Some(match (step.condition.take(), or) {
                (None, _) => added,
                (Some(known), false) => Rc::new(move |event, earlier| known(event, earlier) && added(event, earlier)),
                (Some(known), true) => Rc::new(move |event, earlier| known(event, earlier) || added(event, earlier)),
            });
            Ok(())
        })
    }

    /// A repeated step takes no more once an event fits this; that event is not taken.
    #[must_use]
    pub fn until(self, condition: impl Fn(&E, &Matched<'_, E>) -> bool + 'static) -> Self {
        self.until_rc(Rc::new(condition))
    }

    pub(super) fn until_rc(self, condition: Condition<E>) -> Self {
        self.change("`until`", |step| {
            if !matches!(step.count, Count::AtLeast(_)) {
                return Err("`until` ends a step without upper bound: say one_or_more() or times_or_more(n) first".into());
            }
            if step.until.replace(condition).is_some() {
                return Err("`until` is said once per step".into());
            }
            Ok(())
        })
    }

    // === how often the last step is taken ===

    /// Exactly `n` events.
    #[must_use]
    pub fn times(self, n: u32) -> Self {
        self.times_range(n, n)
    }

    /// From `from` to `to` events; `from` 0 makes the step optional.
    #[must_use]
    pub fn times_range(self, from: u32, to: u32) -> Self {
        if to == 0 || from > to || to > TIMES_MAX {
            return self.mistake(format!("times are counted from 1 to {TIMES_MAX}, the smaller number first; not {from} to {to}"));
        }
        self.count(Count::Times(from.max(1), to), from == 0)
    }

    /// `n` events or more.
    #[must_use]
    pub fn times_or_more(self, n: u32) -> Self {
        if n > TIMES_MAX {
            return self.mistake(format!("times are counted up to {TIMES_MAX}, not {n}"));
        }
        self.count(Count::AtLeast(n.max(1)), n == 0)
    }

    /// One event or more.
    #[must_use]
    pub fn one_or_more(self) -> Self {
        self.count(Count::AtLeast(1), false)
    }

    fn count(self, count: Count, optional: bool) -> Self {
        self.change("a quantifier", |step| {
            if step.count != Count::Once {
                return Err("a step takes one of times, times_range, times_or_more and one_or_more".into());
            }
            step.count = count;
            step.optional |= optional;
            Ok(())
        })
    }

    /// The step may be missing.
    #[must_use]
    pub fn optional(self) -> Self {
        self.change("`optional`", |step| {
            step.optional = true;
            Ok(())
        })
    }

    /// A repeated step takes all it can before the next step begins, except at the end of the pattern.
    #[must_use]
    pub fn greedy(self) -> Self {
        self.change("`greedy`", |step| {
            if step.group.is_some() {
                return Err("a group cannot be greedy: make its steps greedy".into());
            }
            if step.count == Count::Once || step.inner == Link::FollowedByAny {
                return Err("`greedy` is for a repeated step without allow_combinations: say how often first".into());
            }
            step.greedy = true;
            Ok(())
        })
    }

    /// The events of a repeated step follow each other directly.
    #[must_use]
    pub fn consecutive(self) -> Self {
        self.inner(Link::Next)
    }

    /// The events of a repeated step may leave out any that would fit: one match for each combination.
    #[must_use]
    pub fn allow_combinations(self) -> Self {
        self.inner(Link::FollowedByAny)
    }

    fn inner(self, inner: Link) -> Self {
        self.change("`consecutive` and `allow_combinations`", |step| {
            if step.count == Count::Once {
                return Err("consecutive and allow_combinations are for a repeated step: say how often first".into());
            }
            if step.inner != Link::FollowedBy {
                return Err("a step takes one of consecutive and allow_combinations".into());
            }
            if step.greedy && inner == Link::FollowedByAny {
                return Err("`greedy` does not go with allow_combinations".into());
            }
            step.inner = inner;
            Ok(())
        })
    }

    // === the whole ===

    /// The whole match takes less than this: an event exactly `span` ms after the first is too late. A partial match that is still open
    /// then has timed out, at the time of its first event plus `span`.
    #[must_use]
    pub fn within(mut self, span: Millis) -> Self {
        if span <= 0 {
            return self.mistake(format!("`within` is a time, in milliseconds from 1; not {span}"));
        }
        self.within = Some(self.within.map_or(span, |known| known.min(span)));
        self
    }

    /// The last step comes less than `span` ms after the event taken before.
    #[must_use]
    pub fn within_previous(self, span: Millis) -> Self {
        if self.steps.len() < 2 {
            return self.mistake("the first step has none before it: say within_previous on a later one".into());
        }
        self.change("`within_previous`", |step| {
            if span <= 0 {
                return Err(format!("`within_previous` is a time, in milliseconds from 1; not {span}"));
            }
            if step.group.is_some() {
                return Err("`within_previous` is for a step: say it inside the group".into());
            }
            step.gap = Some(span);
            Ok(())
        })
    }

    /// What a match does to the partial matches that overlap with it. Without it: nothing.
    #[must_use]
    pub fn after_match(mut self, after_match: AfterMatch) -> Self {
        self.after_match = after_match;
        self
    }

    /// Partial matches that a key may have; those that started last are given up beyond that, and counted as
    /// `pattern_partial_matches_dropped`.
    #[must_use]
    pub fn max_partial_matches(mut self, most: usize) -> Self {
        self.partial_max = most.max(1);
        self
    }

    /// Events of a key that may wait for the watermark; one more is refused and goes to the dead letters.
    #[must_use]
    pub fn max_waiting(mut self, most: usize) -> Self {
        self.waiting_max = most.max(1);
        self
    }

    /// Says that the conditions are others than before. Partial matches of another version are given up; without it they go on as long
    /// as steps and times stay the same, because a closure cannot be compared with an older one.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Whether the pattern can be matched; the text says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        self.automaton().map(|_| ())
    }

    /// The pattern as states and edges, made when it is first needed.
    pub(super) fn automaton(&self) -> Result<&Automaton<E>, String> {
        let made = self.compiled.get_or_init(|| match &self.wrong {
            Some(why) => Err(why.clone()),
            None => compile::compile(self),
        });
        made.as_ref().map_err(Clone::clone)
    }

    fn change(mut self, what: &str, change: impl FnOnce(&mut Step<E>) -> Result<(), String>) -> Self {
        let Some(step) = self.steps.last_mut() else { return self };
        let changed = match step.link.is_not() && !matches!(what, "a condition" | "`within_previous`") {
            true => Err(format!("{what} does not go with a step that must not follow")),
            false => change(step),
        };
        let name = step.title();
        match changed {
            Ok(()) => self,
            Err(why) => self.mistake(format!("{name}: {why}")),
        }
    }

    pub(super) fn mistake(mut self, why: String) -> Self {
        self.wrong.get_or_insert(why);
        self
    }
}

impl<E> Step<E> {
    fn new(name: &str, link: Link) -> Self {
        Step {
            name: name.to_owned(),
            link,
            count: Count::Once,
            inner: Link::FollowedBy,
            optional: false,
            greedy: false,
            condition: None,
            until: None,
            gap: None,
            group: None,
        }
    }

    fn of_group(group: Pattern<E>, link: Link) -> Self {
        Step { group: Some(group.steps), ..Step::new("", link) }
    }

    fn title(&self) -> String {
        if self.group.is_some() { "the group".into() } else { format!("step `{}`", self.name) }
    }
}

impl<E> fmt::Debug for Pattern<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| (step.link, &step.name, step.count))).finish()
    }
}
