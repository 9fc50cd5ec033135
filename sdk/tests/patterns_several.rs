//! Several patterns over the events of a key, in one state.

#![allow(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]
#![expect(missing_docs, reason = "the operators of a test speak for themselves")]

use sangam_sdk::pattern::{Found, Match, Matches, Several, Spec};
use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
pub struct Step {
    pub user: String,
    pub name: String,
    pub amount: i64,
}

#[event]
pub struct Seen {
    pub pattern: String,
    pub amounts: Vec<i64>,
    pub timed_out: bool,
}

fn seen(pattern: &str, found: &Found<Value>) -> Output<Seen> {
    let (found, timed_out): (&Match<Value>, _) = match found {
        Found::Match(found) => (found, false),
        Found::TimedOut(found) => (found, true),
    };
    let amounts = found.iter().map(|(.., step)| step.decode::<Step>().unwrap().amount).collect();
    Output::new(Seen { pattern: pattern.to_owned(), amounts, timed_out }).at(found.time())
}

mod all {
    use super::*;
    use std::collections::BTreeMap;

    #[config]
    pub struct All {
        pub patterns: BTreeMap<String, Spec>,
    }

    #[state]
    pub struct Open {
        pub matches: Several<Value>,
    }

    #[operator(key = "user")]
    impl All {
        fn on_event(&self, step: Step, open: &mut Open, ctx: &mut Context) -> Result<()> {
            open.matches.process(Value::from(&step), ctx)
        }
        fn on_timer(&self, timer: Timer, open: &mut Open, ctx: &mut Context) -> Result<Vec<Output<Seen>>> {
            let patterns: Vec<_> =
                self.patterns.iter().map(|(name, spec)| Ok((name.as_str(), spec.over_values()?))).collect::<Result<_>>()?;
            Ok(open.matches.advance(patterns, timer, ctx)?.iter().map(|(name, found)| seen(name, found)).collect())
        }
    }
}

mod one {
    use super::*;

    #[config]
    pub struct One {
        pub pattern: Spec,
    }

    #[state]
    pub struct Open {
        pub matches: Matches<Value>,
    }

    #[operator(key = "user")]
    impl One {
        fn on_event(&self, step: Step, open: &mut Open, ctx: &mut Context) -> Result<()> {
            self.pattern.over_values()?.process(&mut open.matches, Value::from(&step), ctx)
        }
        fn on_timer(&self, timer: Timer, open: &mut Open, ctx: &mut Context) -> Result<Vec<Output<Seen>>> {
            let found = self.pattern.over_values()?.advance(&mut open.matches, timer, ctx)?;
            Ok(found.iter().map(|found| seen("", found)).collect())
        }
    }
}

use all::All;
use one::One;

fn spec(first: &str, second: &str, within: &str, times: &str) -> Spec {
    let text = format!(
        r#"{{ "within": "{within}", "after_match": "skip_past_last_event", "steps": [
            {{ "name": "one", "where": {{ "field": "name", "equals": "{first}" }}, "times": "{times}" }},
            {{ "name": "two", "where": {{ "field": "name", "equals": "{second}" }} }} ] }}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn patterns() -> Vec<(&'static str, Spec)> {
    vec![("ab", spec("a", "b", "10s", "1")), ("ba", spec("b", "a", "4s", "2")), ("bc", spec("b", "c", "7s", "1"))]
}

fn config(patterns: Vec<(&str, Spec)>) -> All {
    All { patterns: patterns.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect() }
}

/// Events with times that go back by up to 3 s, the same ones each time.
fn steps() -> Vec<(Millis, Step)> {
    let mut random: u64 = 7;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    (0..600)
        .map(|i| {
            let time = (i * 700) as Millis - next(4) as Millis * 1_000;
            let name = ["a", "b", "c", "d"][next(4) as usize];
            (time, Step { user: ["ann", "bob"][next(2) as usize].into(), name: name.into(), amount: i as i64 })
        })
        .collect()
}

fn run<O: Operator>(h: &mut Harness<O>) -> Vec<(String, Millis, Seen)> {
    for (i, (time, step)) in steps().into_iter().enumerate() {
        h.send(time, step).advance((i * 700) as Millis - 3_001);
    }
    h.end();
    let mut seen: Vec<_> = h.outputs().iter().map(|sent| (sent.key(), sent.time, sent.decode::<Seen>())).collect();
    seen.sort_by(|a, b| (&a.0, a.1, &a.2.amounts).cmp(&(&b.0, b.1, &b.2.amounts)));
    assert!(h.is_idle());
    seen
}

#[test]
fn each_of_several_patterns_finds_what_it_finds_alone_in_batches_of_any_size() {
    for batch in [1, 5, 1_000] {
        let together = run(&mut Harness::<All>::with(config(patterns())).batch(batch));
        assert!(together.len() > 100);
        for (name, pattern) in patterns() {
            let alone = run(&mut Harness::<One>::with(One { pattern }));
            let of_it: Vec<_> = together.iter().filter(|(.., seen)| seen.pattern == name).cloned().collect();
            let of_it: Vec<_> = of_it.into_iter().map(|(key, time, seen)| (key, time, Seen { pattern: String::new(), ..seen })).collect();
            assert!(!alone.is_empty());
            assert_eq!(of_it, alone, "{name} in batches of {batch}");
        }
    }
}

fn step(name: &str, amount: i64) -> Step {
    Step { user: "ann".into(), name: name.into(), amount }
}

#[test]
fn a_pattern_that_goes_gives_up_its_partial_matches_and_one_that_comes_sees_what_still_waits() {
    let mut h = Harness::<All>::with(config(vec![("ab", spec("a", "b", "10s", "1"))]));
    h.send(1_000, step("a", 1)).advance(1_000).send(2_000, step("b", 2)).send(3_000, step("c", 3));
    h.reload(config(vec![("bc", spec("b", "c", "10s", "1"))]));
    h.advance(3_000);
    assert_eq!(h.take::<Seen>("out"), [Seen { pattern: "bc".into(), amounts: vec![2, 3], timed_out: false }]);
    assert_eq!(h.counters()["pattern_partial_matches_of_old_pattern"], 1);
    assert!(h.is_idle());
}

#[test]
fn an_event_whose_time_the_watermark_has_reached_is_late_and_one_after_it_is_not() {
    let mut h = Harness::<All>::with(config(patterns()));
    h.advance(1_000).send(1_000, step("a", 1)).send(1_001, step("a", 2));
    h.advance(1_001);
    assert_eq!((h.late().len(), h.rejects().len()), (1, 0));
    h.end();
    assert_eq!(h.take::<Seen>("out"), [Seen { pattern: "ab".into(), amounts: vec![2], timed_out: true }]);
}
