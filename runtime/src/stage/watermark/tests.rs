//! The facts about watermarks from other engines' test suites, and what must hold whatever happens.

use super::*;
use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN};
use proptest::prelude::{Just, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use serde_json::Value;

// --- the facts ---

/// The cases of `tests/vectors/semantics.json` whose category begins so.
fn cases(category: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/semantics.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let all = all["vectors"].as_array().unwrap();
    all.iter().filter(|case| case["category"].as_str().unwrap().starts_with(category)).cloned().collect()
}

fn time(value: &Value) -> Millis {
    match value.as_str() {
        Some("i64::MIN") => WATERMARK_MIN,
        Some("i64::MAX") => WATERMARK_MAX,
        _ => value.as_i64().unwrap(),
    }
}

fn steps(case: &Value) -> Vec<(String, Vec<Value>)> {
    let step = |step: &Value| (step[0].as_str().unwrap().to_owned(), step.as_array().unwrap()[1..].to_vec());
    case["steps"].as_array().unwrap().iter().map(step).collect()
}

fn observed(strategy: Strategy, times: &Value) -> Millis {
    let mut generator = Generator::new(strategy);
    times.as_array().unwrap().iter().for_each(|at| generator.observe(time(at)));
    generator.watermark()
}

/// Several inputs, with what an operator would see of them after each step: the new watermark, where it has moved, and a change between
/// active and idle.
struct Valve {
    inputs: Combined,
    told: Millis,
    idle: bool,
}

impl Valve {
    fn news(&mut self) -> Value {
        let (watermark, idle) = (self.inputs.watermark(), self.inputs.all_idle());
        let moved = (watermark > self.told).then(|| Value::from(watermark));
        let turned = (idle != self.idle).then(|| Value::from(if idle { "IDLE" } else { "ACTIVE" }));
        (self.told, self.idle) = (watermark, idle);
        match (moved, turned) {
            (Some(moved), Some(turned)) => Value::from(vec![moved, turned]),
            (moved, turned) => moved.or(turned).unwrap_or(Value::Null),
        }
    }
}

/// Runs a case over inputs. In Flink's multiplexer a partition that says something is active again; its valve is told so apart.
fn combine(case: &Value, speaks_when_idle: bool) -> Value {
    let inputs = Combined::new(case["config"]["inputs"].as_u64().unwrap() as usize);
    let mut valve = Valve { inputs, told: WATERMARK_MIN, idle: false };
    let (mut seen, mut watermarks) = (Vec::new(), Vec::new());
    for (step, with) in steps(case) {
        let input = with.first().map_or(0, |input| input.as_u64().unwrap() as usize);
        match step.as_str() {
            "in" => {
                if speaks_when_idle {
                    valve.inputs.active(input);
                }
                valve.inputs.advance(input, time(&with[1]));
            }
            "idle" => drop(valve.inputs.idle(input)),
            "active" => valve.inputs.active(input),
            "finish" => drop(valve.inputs.finish(input)),
            "periodic_emit" => {}
            other => panic!("a step that nobody knows: {other}"),
        }
        seen.push(valve.news());
        watermarks.push(valve.told);
    }
    match &case["expect"] {
        Value::Object(expected) => {
            if let Some(forbidden) = expected.get("must_not_emit") {
                let forbidden = time(&forbidden.as_str().unwrap().split(' ').next().unwrap().into());
                assert!(!watermarks.contains(&forbidden), "{watermarks:?}");
            }
            if let Some(last) = expected.get("final_watermark") {
                assert_eq!(valve.inputs.watermark(), time(last));
            }
            case["expect"].clone()
        }
        _ => Value::from(seen),
    }
}

#[test]
fn every_fact_about_watermarks_holds() {
    let mut ran = Vec::new();
    for case in cases("wm_") {
        let (id, category) = (case["id"].as_str().unwrap(), case["category"].as_str().unwrap());
        let config = &case["config"];
        let each = |each: &mut dyn FnMut(&str, &[Value]) -> Value| -> Value {
            steps(&case).iter().map(|(step, with)| each(step, with)).collect::<Vec<_>>().into()
        };
        let found = match category {
            "wm_bounded" | "wm_ascending" => {
                let strategy = match config.get("bound") {
                    Some(bound) => Strategy::Bounded { out_of_orderness: time(bound) },
                    None => Strategy::Monotonic,
                };
                // Each step is a partition of its own.
                let found = each(&mut |_, with| observed(strategy, &with[0]).into());
                found.as_array().unwrap().iter().map(|at| if *at == WATERMARK_MIN { "i64::MIN".into() } else { at.clone() }).collect()
            }
            "wm_idle_timeout" => {
                let mut idleness = Idleness::new(Some(time(&config["idle_timeout_ms"])));
                each(&mut |step, with| {
                    if step == "last_event_at" {
                        idleness.heard();
                        return Value::Null;
                    }
                    idleness.silent(time(&with[0]));
                    if idleness.is_idle() { "idle" } else { "not idle" }.into()
                })
            }
            "wm_alignment" => {
                // The slowest of the group is elsewhere, and says how far the others may go.
                let (group, splits) = (Alignment::new(1), config["splits"].as_object().unwrap().len());
                let slowest = group.place(0, 0);
                slowest.rest();
                let mut splits = vec![Generator::new(Strategy::Monotonic); splits];
                each(&mut |step, with| {
                    match step.strip_prefix("emit_split") {
                        Some(split) => splits[split.parse::<usize>().unwrap()].advance(time(&with[0])),
                        None => slowest.report(time(&with[0])),
                    }
                    let held: Vec<usize> = (0..splits.len()).filter(|split| splits[*split].is_ahead_of(slowest.allowed())).collect();
                    held.into()
                })
            }
            "wm_lag_frames" => {
                // Jet's watermark is one above ours, and comes in steps of a frame; ours moves with every event.
                let (lag, frame) = (time(&config["lag"]), time(&config["frame"]));
                let mut generator = Generator::new(Strategy::Bounded { out_of_orderness: lag });
                let mut told = WATERMARK_MIN;
                let mut found = Vec::new();
                for at in steps(&case)[0].1[0].as_array().unwrap() {
                    generator.observe(time(at));
                    let jets = (generator.watermark() + 1).div_euclid(frame) * frame;
                    if jets > told {
                        found.push(Value::from(vec![Value::from("wm"), jets.into()]));
                    }
                    (told, _) = (jets, found.push(at.clone()));
                }
                found.into()
            }
            _ => combine(&case, category == "wm_multiplex"),
        };
        let expected = &case["expect"];
        match (expected, &found) {
            // Where the fact says nothing of a step, anything goes; alignment is the one kind where a step may be left open.
            (Value::Array(expected), Value::Array(found)) if category == "wm_alignment" => {
                for (expected, found) in expected.iter().zip(found).filter(|(expected, _)| !expected.is_null()) {
                    assert_eq!(found, expected, "{id}");
                }
            }
            _ => assert_eq!(&found, expected, "{id}: {}", case["why"]),
        }
        ran.push(id.to_owned());
    }
    assert!(ran.len() >= 13, "{ran:?}");
}

// --- one partition ---

#[test]
fn the_watermark_trails_the_highest_time_by_the_bound_and_one() {
    let mut generator = Generator::new(Strategy::Bounded { out_of_orderness: 10 });
    assert_eq!(generator.watermark(), WATERMARK_MIN);
    for (time, expected) in [(100, 89), (90, 89), (101, 90), (i64::MIN, 90)] {
        generator.observe(time);
        assert_eq!(generator.watermark(), expected, "after {time}");
    }
}

#[test]
fn a_punctuated_watermark_moves_when_an_event_says_so_and_not_back() {
    let mut generator = Generator::new(Strategy::Punctuated);
    generator.observe(1_000);
    assert_eq!(generator.watermark(), WATERMARK_MIN);
    for (mark, expected) in [(500, 500), (400, 500), (501, 501)] {
        generator.mark(mark);
        assert_eq!(generator.watermark(), expected);
    }
    let mut bounded = Generator::new(Strategy::Monotonic);
    bounded.mark(500);
    assert_eq!(bounded.watermark(), WATERMARK_MIN, "other watermarks do not listen to marks");
}

fn observed_delay(share: f64, margin: Millis) -> Generator {
    Generator::new(Strategy::ObservedDelay { quantile: Quantile::new(share).unwrap(), margin })
}

#[test]
fn an_observed_delay_is_learned_from_the_events_and_a_margin_is_added() {
    let mut generator = observed_delay(0.5, 10);
    // Of the delays 0, 0, 30 the median is 0; of 0, 0, 30, 30, 40 it is 30.
    for (time, expected) in [(100, 89), (200, 189), (170, 189), (170, 189), (160, 189), (300, 289), (400, 389)] {
        generator.observe(time);
        assert_eq!(generator.watermark(), expected, "after {time}");
    }
    // Now most delays are 30, and so is the median: the watermark keeps that distance from here on, without going back.
    (0..6).for_each(|_| generator.observe(370));
    assert_eq!(generator.watermark(), 389);
    generator.observe(450);
    assert_eq!(generator.watermark(), 450 - 30 - 10 - 1);
}

proptest! {
    #[test]
    fn the_watermark_never_goes_back_and_what_was_learned_survives_a_restart_anywhere(
        times in prop::collection::vec(0i64..100_000, 1..80), at in 0usize..80, share in 0.01f64..=1.0, margin in 0i64..100,
    ) {
        let (mut whole, mut halves) = (observed_delay(share, margin), observed_delay(share, margin));
        let mut last = WATERMARK_MIN;
        for (i, time) in times.iter().enumerate() {
            if i == at {
                let (highest, delays) = halves.learned().unwrap();
                let mut restarted = observed_delay(share, margin);
                restarted.advance(halves.watermark());
                restarted.recall(highest, &delays);
                halves = restarted;
            }
            whole.observe(*time);
            halves.observe(*time);
            prop_assert_eq!(whole.watermark(), halves.watermark());
            prop_assert!(whole.watermark() >= last);
            last = whole.watermark();
        }
    }
}

// --- several ---

#[test]
fn the_slowest_input_decides_and_an_idle_one_does_not() {
    let mut both = Combined::new(2);
    assert_eq!(both.advance(0, 50), WATERMARK_MIN);
    assert_eq!(both.advance(1, 20), 20);
    assert_eq!(both.holding_back(), Some((1, 20)));
    assert_eq!(both.idle(1), 50);
    // It comes back behind the others: they do not go back, nor do they wait before it has caught up.
    both.active(1);
    assert_eq!(both.advance(1, 30), 50);
    assert_eq!(both.advance(0, 60), 60);
    assert_eq!(both.advance(1, 70), 60);
    assert_eq!(both.advance(0, 80), 70);
}

#[test]
fn one_that_is_catching_up_is_still_waited_for_when_all_others_fall_idle() {
    let mut three = Combined::new(3);
    for (input, at) in [(0, 50), (1, 10), (2, 20)] {
        three.advance(input, at);
    }
    three.idle(0);
    assert_eq!(three.idle(1), 20);
    three.active(1);
    assert_eq!(three.idle(2), 20, "input 1 is at 10 and its next events may be for 21");
    assert!(!three.all_idle());
    assert_eq!(three.advance(1, 30), 30);
}

#[test]
fn one_that_comes_back_ahead_counts_at_once() {
    let mut three = Combined::new(3);
    three.advance(0, 178);
    three.advance(1, 152);
    three.idle(2);
    assert_eq!(three.idle(0), 152);
    three.active(2);
    assert_eq!(three.idle(1), 152, "input 2 is catching up");
    three.active(0);
    assert_eq!(three.watermark(), 178);
}

#[test]
fn the_end_of_time_comes_when_all_have_finished_and_not_before() {
    let mut both = Combined::new(2);
    both.advance(0, 10);
    assert_eq!(both.finish(1), 10, "the finished one is not waited for");
    assert_eq!(both.idle(0), 10);
    assert!(both.all_idle());
    both.active(0);
    assert!(both.is_last(0));
    assert_eq!(both.finish(0), WATERMARK_MAX);
    assert!(!both.all_idle(), "finished is not idle");
}

#[test]
fn time_in_which_nobody_asked_is_not_silence() {
    let mut idleness = Idleness::new(Some(1_000));
    let mut ask = |times: &[Millis]| times.iter().filter(|now| idleness.silent(**now)).copied().collect::<Vec<_>>();
    assert_eq!(ask(&[0, 400, 800]), [0i64; 0]);
    assert_eq!(ask(&[60_000, 60_100]), [0i64; 0], "a minute in which the task was held up");
    assert_eq!(ask(&[60_200, 60_300]), [60_200]);
    idleness.heard();
    (0..10).for_each(|i| {
        idleness.silent(100_000 + 400 * i);
        idleness.held_up();
    });
    assert!(!idleness.is_idle(), "a source that is held back is not idle");
    assert!((0..100).all(|i| !Idleness::new(None).silent(400 * i)));
}

#[test]
fn the_fast_wait_for_the_slow_but_not_for_those_that_rest() {
    let group = Alignment::new(3);
    let [a, b, c] = [0, 1, 2].map(|member| group.place(member, 100));
    assert!(a.allowed() < 0, "nothing is known of the others yet");
    a.report(1_000);
    b.report(500);
    c.report(700);
    assert_eq!(a.allowed(), 600);
    b.rest();
    assert_eq!(a.allowed(), 800);
    a.rest();
    c.rest();
    assert_eq!(b.allowed(), WATERMARK_MAX);
}

/// What can happen to an input.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Advance(Millis),
    Idle,
    Finish,
}

fn happens() -> impl proptest::strategy::Strategy<Value = (usize, Happens)> {
    let what = prop_oneof![6 => (0i64..200).prop_map(Happens::Advance), 2 => Just(Happens::Idle), 1 => Just(Happens::Finish)];
    (0usize..4, what)
}

proptest! {
    #[test]
    fn the_common_watermark_never_goes_back_and_is_the_least_of_those_that_count(what in prop::collection::vec(happens(), 1..60)) {
        let mut combined = Combined::new(4);
        let mut last = WATERMARK_MIN;
        for (input, what) in what {
            match what {
                Happens::Advance(to) => {
                    combined.active(input);
                    combined.advance(input, to);
                }
                Happens::Idle => drop(combined.idle(input)),
                Happens::Finish => drop(combined.finish(input)),
            }
            let now = combined.watermark();
            prop_assert!(now >= last);
            let of = |wanted| combined.inputs().iter().filter(move |(_, standing)| *standing == wanted).map(|(at, _)| *at);
            match of(Standing::Active).min() {
                // An input counts only from the common watermark on, so that the least of those that count is it.
                Some(least) => prop_assert_eq!(now, least.max(last)),
                None if of(Standing::Behind).next().is_some() => prop_assert_eq!(now, last),
                None => prop_assert_eq!(now, of(Standing::Idle).max().unwrap_or(WATERMARK_MAX).max(last)),
            }
            last = now;
        }
    }
}
