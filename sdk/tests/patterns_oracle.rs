//! Long random runs of patterns against an oracle that knows no automaton: it tries every way through the events, by the definitions of
//! the contiguities.

#![allow(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

mod support {
    pub mod finder;
}

use proptest::prelude::*;
use sangam_sdk::test::Harness;
use serde_json::{Value as Json, json};
use support::finder::{Finder, Hit, event};

// === patterns ===

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Next,
    FollowedBy,
    Any,
    NotNext,
    NotFollowedBy,
}

#[derive(Clone, Debug)]
struct Step {
    letter: char,
    link: Link,
    min: usize,
    max: Option<usize>,
    inner: Link,
    optional: bool,
    greedy: bool,
    until: Option<char>,
    /// Its value is at least that of the last event of the first step.
    grows: bool,
}

impl Step {
    fn is_not(&self) -> bool {
        matches!(self.link, Link::NotNext | Link::NotFollowedBy)
    }

    fn is_loop(&self) -> bool {
        self.max != Some(1)
    }

    fn json(&self, i: usize) -> Json {
        let mut fits = vec![json!({ "field": "name", "equals": self.letter.to_string() })];
        if self.grows {
            fits.push(json!({ "field": "value", "at_least": { "step": "s0", "field": "value" } }));
        }
        let mut step = json!({ "name": format!("s{i}"), "where": { "all": fits } });
        if i > 0 {
            step["contiguity"] = json!(match self.link {
                Link::Next => "next",
                Link::FollowedBy => "followed_by",
                Link::Any => "followed_by_any",
                Link::NotNext => "not_next",
                Link::NotFollowedBy => "not_followed_by",
            });
        }
        if self.is_loop() {
            step["times"] = json!(match self.max {
                None => format!("{}..", self.min),
                Some(max) => format!("{}..={max}", self.min),
            });
            step["consecutive"] = json!(self.inner == Link::Next);
            step["allow_combinations"] = json!(self.inner == Link::Any);
            step["greedy"] = json!(self.greedy);
            if let Some(until) = self.until {
                step["until"] = json!({ "field": "name", "equals": until.to_string() });
            }
        }
        step["optional"] = json!(self.optional);
        step
    }
}

/// Letters a to c are taken, x and y stand in the way.
fn step() -> impl Strategy<Value = Step> {
    let link = prop_oneof![2 => Just(Link::Next), 3 => Just(Link::FollowedBy), 2 => Just(Link::Any)];
    let not = prop_oneof![8 => Just(None), 1 => Just(Some(Link::NotNext)), 1 => Just(Some(Link::NotFollowedBy))];
    let inner = prop_oneof![Just(Link::Next), Just(Link::FollowedBy), Just(Link::Any)];
    let counts =
        prop_oneof![4 => Just((1, Some(1))), 2 => Just((1, None)), 1 => Just((2, None)), 1 => Just((2, Some(2))), 1 => Just((1, Some(3)))];
    (0..3usize, link, not, inner, counts, any::<[bool; 4]>(), prop::sample::select(vec!['x', 'y'])).prop_map(
        |(letter, link, not, inner, (min, max), [optional, greedy, until, grows], stand)| {
            let letter = ['a', 'b', 'c'][letter];
            let single =
                Step { letter, link, min: 1, max: Some(1), inner: Link::FollowedBy, optional: false, greedy: false, until: None, grows };
            match not {
                Some(link) => Step { letter: stand, link, grows: false, ..single },
                None => {
                    let unbounded = max.is_none();
                    let greedy = greedy && max != Some(1) && min == 1 && inner != Link::Any;
                    let until = (until && unbounded && !greedy).then_some(stand);
                    Step { min, max, inner, optional: optional && !greedy, greedy, until, grows: grows && !greedy, ..single }
                }
            }
        },
    )
}

/// Steps that make a pattern, without those corners where Flink's rule is not that of the definitions: see `docs/patterns.md`.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..5).prop_map(|mut steps| {
        for i in 0..steps.len() {
            let before = (i > 0).then(|| steps[i - 1].clone());
            let last = i + 1 == steps.len();
            let step = &mut steps[i];
            step.grows &= i > 0;
            let may_follow_not = before.as_ref().is_some_and(|before| !before.optional && !before.greedy && !before.is_not());
            if step.is_not() && (!may_follow_not || last && step.link == Link::NotNext) {
                (step.link, step.letter) = (Link::FollowedBy, 'b');
            }
            if before.is_some_and(|before| before.greedy || before.link == Link::NotNext) {
                step.optional = false;
            }
            if i == 0 {
                step.link = Link::Next;
            }
        }
        if steps.iter().all(|step| step.optional) {
            steps[0].optional = false;
        }
        steps
    })
}

// === the oracle ===

#[derive(Clone, Debug)]
struct Event {
    letter: char,
    value: i64,
    time: i64,
}

/// A match: steps and events, and the time when it is complete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    taken: Vec<(usize, usize)>,
    complete: i64,
}

struct Oracle<'o> {
    steps: &'o [Step],
    events: &'o [Event],
    within: Option<i64>,
    found: Vec<Way>,
}

/// What stands in the way to the next step: letters that must not come, and one that a greedy step has not taken.
#[derive(Clone, Default)]
struct Guard {
    nots: Vec<char>,
    greedy: Option<usize>,
}

impl Oracle<'_> {
    fn fits(&self, i: usize, e: usize, taken: &[(usize, usize)]) -> bool {
        let (step, event) = (&self.steps[i], &self.events[e]);
        let first = taken.iter().rev().find(|(step, _)| *step == 0);
        event.letter == step.letter && (!step.grows || first.is_some_and(|(_, first)| event.value >= self.events[*first].value))
    }

    /// Goes on to step `i` after what is taken.
    fn go(&mut self, i: usize, taken: &[(usize, usize)], guard: &Guard) {
        let Some(step) = self.steps.get(i) else {
            let last = self.events[taken.last().unwrap().1].time;
            self.complete(taken, last);
            return;
        };
        let step = step.clone();
        let mut guard = guard.clone();
        match step.link {
            Link::NotFollowedBy if i + 1 == self.steps.len() => {
                let (_, end) = self.span(taken);
                let stands = |event: &&Event| event.time < end && event.letter == step.letter;
                let after = taken.last().unwrap().1 + 1;
                if !self.events[after..].iter().any(|event| stands(&event)) {
                    self.complete(taken, end);
                }
            }
            Link::NotFollowedBy => {
                guard.nots.push(step.letter);
                self.go(i + 1, taken, &guard);
            }
            Link::NotNext => {
                let next = taken.last().unwrap().1 + 1;
                if self.events.get(next).is_some_and(|event| event.letter != step.letter) {
                    self.go(i + 1, taken, &guard);
                }
            }
            _ => {
                self.repeat(i, taken, &guard, 0);
                if step.optional {
                    self.go(i + 1, taken, &guard);
                }
            }
        }
    }

    /// Takes step `i` once more, of which `count` are taken.
    fn repeat(&mut self, i: usize, taken: &[(usize, usize)], guard: &Guard, count: usize) {
        let step = self.steps[i].clone();
        if step.max == Some(count) {
            return;
        }
        let link = if count == 0 { step.link } else { step.inner };
        let first = taken.last().map_or(0, |(_, last)| last + 1);
        for e in first..self.events.len() {
            let event = self.events[e].clone();
            if !taken.is_empty() && event.time >= self.span(taken).1 {
                return;
            }
            let ended = step.until == Some(event.letter);
            let blocked = guard.nots.contains(&event.letter) || guard.greedy.is_some_and(|greedy| self.fits(greedy, e, taken));
            if blocked {
                return;
            }
            let fits = self.fits(i, e, taken);
            if fits && !ended {
                let mut taken = taken.to_vec();
                taken.push((i, e));
                // What must not follow a loop must not come within it either.
                let stops = self.steps.get(i + 1).filter(|next| next.link == Link::NotFollowedBy).map(|next| next.letter);
                // Nor may what must not come next come after any repetition that could be the last.
                let not_next = self.steps.get(i + 1).filter(|next| next.link == Link::NotNext && count + 1 >= step.min);
                let ends = not_next.is_some_and(|not| self.events.get(e + 1).is_some_and(|event| event.letter == not.letter));
                if !ends {
                    self.repeat(i, &taken, &Guard { nots: stops.into_iter().collect(), greedy: None }, count + 1);
                }
                if count + 1 >= step.min {
                    let greedy = (step.greedy && step.max != Some(step.min)).then_some(i);
                    self.go(i + 1, &taken, &Guard { nots: Vec::new(), greedy });
                }
            }
            // Nothing is passed over before the first event.
            let passes = match link {
                Link::Any => true,
                Link::FollowedBy => !fits,
                _ => false,
            };
            if !taken.is_empty() && (!passes || count > 0 && ended) {
                return;
            }
        }
    }

    /// When a match begins, and when its time is over.
    fn span(&self, taken: &[(usize, usize)]) -> (i64, i64) {
        let start = self.events[taken[0].1].time;
        (start, start + self.within.unwrap_or(i64::MAX / 4))
    }

    fn complete(&mut self, taken: &[(usize, usize)], complete: i64) {
        let (_, end) = self.span(taken);
        if self.events[taken.last().unwrap().1].time < end {
            self.found.push(Way { taken: taken.to_vec(), complete });
        }
    }
}

fn all_ways(steps: &[Step], events: &[Event], within: Option<i64>) -> Vec<Way> {
    let mut oracle = Oracle { steps, events, within, found: Vec::new() };
    oracle.go(0, &[], &Guard::default());
    oracle.found.sort();
    oracle.found
}

// === running it ===

/// Sends the events in an order, so many per batch.
fn run(pattern: &Json, events: &[Event], order: &[usize], batch: usize) -> Vec<Way> {
    let mut h = Harness::<Finder>::with(Finder::of(&pattern.to_string())).batch(batch);
    let in_order = order.is_sorted();
    for &e in order {
        let Event { letter, value, time } = &events[e];
        h.send(*time, event(&letter.to_string(), *value, e as u64));
        if in_order {
            h.advance(time - 1);
        }
    }
    h.end();
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]), "something is left behind");
    assert_eq!((h.late().len(), h.rejects().len()), (0, 0));
    let matched = h.outputs().iter().filter(|sent| sent.port == "matched");
    let way = |sent: &sangam_sdk::test::Sent| {
        let hit: Hit = sent.decode();
        let taken = hit.ids.iter().zip(&hit.steps).map(|(id, step)| (step[1..].parse().unwrap(), *id as usize));
        Way { taken: taken.collect(), complete: sent.time }
    };
    matched.map(way).collect()
}

fn pattern_json(steps: &[Step], within: Option<i64>, after: &Json) -> Json {
    let steps: Vec<Json> = steps.iter().enumerate().map(|(i, step)| step.json(i)).collect();
    let mut pattern = json!({ "steps": steps, "after_match": after, "max_partial_matches": 1_000_000 });
    if let Some(within) = within {
        pattern["within"] = json!(within);
    }
    pattern
}

fn sorted(mut ways: Vec<Way>) -> Vec<Way> {
    ways.sort();
    ways
}

// === what is drawn ===

/// Events in order of time; several may have one.
fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let letter = prop_oneof![4 => Just('a'), 4 => Just('b'), 4 => Just('c'), 1 => Just('x'), 1 => Just('y')];
    prop::collection::vec((letter, 0..4i64, 0..3i64), 1..most).prop_map(|drawn| {
        let mut time = 100;
        let next = |(letter, value, gap)| {
            time += gap;
            Event { letter, value, time }
        };
        drawn.into_iter().map(next).collect()
    })
}

fn needs_within(steps: &[Step]) -> bool {
    steps.last().is_some_and(Step::is_not)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_way_through_the_events_is_found_and_no_other(
        steps in steps(),
        events in events(14),
        within in prop::option::of(2..12i64),
        keys in prop::collection::vec(any::<u32>(), 14),
        batch in 1..15usize,
    ) {
        let within = if needs_within(&steps) { within.or(Some(5)) } else { within };
        let pattern = pattern_json(&steps, within, &json!("no_skip"));
        let expected = all_ways(&steps, &events, within);
        let in_order: Vec<usize> = (0..events.len()).collect();
        let found = run(&pattern, &events, &in_order, 1);
        prop_assert_eq!(&sorted(found.clone()), &expected, "{}", pattern);
        prop_assert_eq!(&run(&pattern, &events, &in_order, batch), &found, "batches of {}", batch);
        // Events of one time stay in their order; others arrive in any.
        let mut shuffled = in_order;
        shuffled.sort_by_key(|e| (keys[events[*e].time as usize % keys.len()], events[*e].time, *e));
        prop_assert_eq!(&sorted(run(&pattern, &events, &shuffled, batch)), &expected, "out of order");
    }
}

// === after a match ===

#[derive(Clone, Copy, Debug)]
enum After {
    Next,
    PastLast,
    First(usize),
    Last(usize),
}

impl After {
    fn json(self) -> Json {
        match self {
            After::Next => json!("skip_to_next"),
            After::PastLast => json!("skip_past_last_event"),
            After::First(step) => json!({ "skip_to_first": format!("s{step}") }),
            After::Last(step) => json!({ "skip_to_last": format!("s{step}") }),
        }
    }

    /// Matches that begin before this event are given up.
    fn cut(self, way: &Way) -> usize {
        let of = |step: usize| way.taken.iter().filter(move |(taken, _)| *taken == step).map(|(_, event)| *event);
        match self {
            After::Next => way.taken[0].1 + 1,
            After::PastLast => way.taken.last().unwrap().1 + 1,
            After::First(step) => of(step).next().unwrap_or(0),
            After::Last(step) => of(step).next_back().unwrap_or(0),
        }
    }
}

fn after(steps: usize) -> impl Strategy<Value = After> {
    prop_oneof![Just(After::Next), Just(After::PastLast), (0..steps).prop_map(After::First), (0..steps).prop_map(After::Last)]
}

/// Goes through what was emitted: each must be one of the first of what is left, by beginning and by completion, and takes away what it
/// skips. Nothing may be left at the end.
fn check_skipped(mut left: Vec<Way>, emitted: &[Way], after: After) -> Result<(), String> {
    let order = |way: &Way| (way.taken[0].1, way.complete);
    for way in emitted {
        let Some(first) = left.iter().map(order).min() else { return Err(format!("{way:?} was to be skipped")) };
        // It may have waited for one that began earlier, so its own time says nothing.
        let place = left.iter().position(|known| known.taken == way.taken && order(known) == first);
        let Some(place) = place else { return Err(format!("{way:?} came instead of one that begins and ends at {first:?}")) };
        let found = left.remove(place);
        if way.complete < found.complete {
            return Err(format!("{way:?} came before it was complete"));
        }
        let cut = after.cut(&found);
        left.retain(|known| known.taken[0].1 >= cut);
    }
    if left.is_empty() { Ok(()) } else { Err(format!("missing: {left:?}")) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_match_takes_those_away_that_it_skips_and_no_others(
        (steps, after) in steps().prop_flat_map(|steps| { let n = steps.len(); (Just(steps), after(n)) }),
        events in events(14),
        within in 2..12i64,
        batch in 1..15usize,
    ) {
        let pattern = pattern_json(&steps, Some(within), &after.json());
        let in_order: Vec<usize> = (0..events.len()).collect();
        let emitted = run(&pattern, &events, &in_order, 1);
        let checked = check_skipped(all_ways(&steps, &events, Some(within)), &emitted, after);
        prop_assert!(checked.is_ok(), "{} of {:?} for {}", checked.unwrap_err(), emitted, pattern);
        prop_assert_eq!(&run(&pattern, &events, &in_order, batch), &emitted, "batches of {}", batch);
    }
}

/// A long stream: short times between the events keep the number of ways within bounds.
#[test]
fn a_long_stream_leaves_nothing_out_and_nothing_behind() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut found_in_all = 0;
    for _ in 0..20 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let events = events(400).new_tree(&mut runner).unwrap().current();
        let within = Some(5);
        let pattern = pattern_json(&steps, within, &json!("no_skip"));
        let order: Vec<usize> = (0..events.len()).collect();
        let found = run(&pattern, &events, &order, 7);
        found_in_all += found.len();
        assert_eq!(sorted(found), all_ways(&steps, &events, within), "{pattern}");
    }
    assert!(found_in_all > 500, "only {found_in_all} matches were found");
}
