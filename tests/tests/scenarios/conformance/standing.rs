//! The facts that speak of what an operator waits for: the watermarks of its inputs, and its timers by the clock.
//!
//! Each step is looked at while the pipeline runs, in all four ways; a step that is a restart finds the inputs idle again that were.

use super::Kinds;
use super::case::{EPOCH, WAYS, Way};
use super::fact::{Fact, list, number};
use super::live::Live;
use sangam::stage::Standing;
use sangam::task::OperatorStanding;
use sangam::time::WATERMARK_MIN;
use sangam_tests::world::eventually;
use serde_json::{Value, json};

/// By category.
pub const KINDS: Kinds = &[("wm_bounded", generators), ("wm_ascending", generators), ("wm_lag_frames", frames), ("wm_*", combined)];

// === timers by the clock ===

/// After all are registered, and after each move of the clock: how many are pending, and which one is waited for.
pub fn timers(fact: &Fact) {
    let toml = r#"
        [streams.in]
        [streams.out]
        [operators.it]
        plugin = "alarm-clock"
        input = "in"
        outputs = { rang = "out", ended = "out" }
        key = "key""#;
    for way in WAYS {
        let mut live = Live::new(way, "alarm-clock", toml);
        let mut looks = list(&fact.expect()["logical_after"]).iter().zip(list(&fact.expect()["physical_armed_at"]));
        for (i, step) in fact.steps().iter().enumerate() {
            if step[0] == "register" {
                let at = number(&step[2]);
                // Twice: the second changes nothing.
                for _ in 0..2 {
                    live.send("in", 0, json!({"key": step[1], "act": "at", "text": at.to_string(), "number": EPOCH + at}));
                }
            } else {
                live.clock(number(&step[1]));
            }
            live.settle();
            if step[0] != "register" || fact.steps().get(i + 1).is_none_or(|next| next[0] != "register") {
                let (pending, armed) = looks.next().unwrap();
                eventually(&format!("{} {way:?} after {step}: {pending} timers, the next at {armed}", fact.id()), || {
                    let slices = live.slices()?;
                    let timers: usize = slices.iter().map(|slice| slice.clock_timers).sum();
                    let next = slices.iter().filter_map(|slice| slice.next_clock_timer).min().map(|at| at - EPOCH);
                    (json!([timers, next]) == json!([pending, armed])).then_some(())
                });
            }
            live.between(i, fact.steps().len());
        }
        assert!(looks.next().is_none());
    }
}

// === watermarks ===

/// The stream whose partitions are the inputs, and an operator that has no use for what has no key.
fn inputs(source: &str, bounded: &[String]) -> String {
    let names: Vec<String> = std::iter::once("in".to_owned()).chain(bounded.iter().cloned()).map(|name| format!("\"{name}\"")).collect();
    let bounded: String = bounded.iter().map(|name| format!("[streams.{name}]\nbounded = true\n")).collect();
    let names = names.join(", ");
    format!(
        r#"
        [streams.in]
        {source}
        {bounded}
        [streams.out]
        [operators.it]
        plugin = "kitchen-sink"
        input = [{names}]
        outputs = {{ done = "out", passed = "out", placed = "out" }}
        key = "key""#
    )
}

/// A watermark in the fact's words.
fn told(watermark: i64) -> Value {
    if watermark == WATERMARK_MIN { "i64::MIN".into() } else { (watermark - EPOCH).into() }
}

/// The watermark that every slice of the operator has, once `ready` says that all is in.
fn watermark(live: &Live, what: &str, ready: impl Fn(&OperatorStanding) -> bool) -> i64 {
    eventually(what, || {
        let slices = live.slices()?;
        slices.iter().all(&ready).then(|| {
            let watermarks: Vec<i64> = slices.iter().map(|slice| slice.watermark).collect();
            assert!(watermarks.windows(2).all(|pair| pair[0] == pair[1]), "{what}: {watermarks:?}");
            watermarks[0]
        })
    })
}

/// The watermarks after each of the times, as one partition makes them from its events.
fn observed(fact: &Fact, way: Way, source: &str, bound: i64, times: &[Value]) -> Vec<i64> {
    let mut live = Live::new(way, "kitchen-sink", &inputs(source, &[]));
    let (mut highest, mut seen) = (None, Vec::new());
    for (i, time) in times.iter().enumerate() {
        let at = EPOCH + number(time);
        live.send_at(at, "in", 0, json!({}));
        highest = highest.max(Some(at));
        // The channel says what the partition says; that it is what the fact says is for the caller to see.
        let least = highest.unwrap_or(at) - bound - 1;
        let what = format!("{} {way:?} after {time}", fact.id());
        seen.push(watermark(&live, &what, |slice| slice.channels.iter().all(|channel| channel.watermark >= least)));
        live.between(i, times.len());
    }
    seen
}

/// The last watermark of each step, which is a partition of its own.
fn generators(fact: &Fact) {
    let bound = fact.number("bound");
    let source = bound.map_or("watermark = \"monotonic\"".to_owned(), |bound| format!("out_of_orderness = \"{bound}ms\""));
    for way in WAYS {
        for (step, expected) in fact.steps().iter().zip(list(fact.expect())) {
            let seen = observed(fact, way, &source, bound.unwrap_or(0), list(&step[1]));
            let last = seen.last().copied().unwrap_or_else(|| {
                let live = Live::new(way, "kitchen-sink", &inputs(&source, &[]));
                watermark(&live, "it has started", |_| true)
            });
            assert_eq!(told(last), *expected, "{} {way:?}: {}", fact.id(), fact.text("why"));
        }
    }
}

/// Jet's watermark is one above ours, and comes in steps of a frame; ours moves with every event.
fn frames(fact: &Fact) {
    let (lag, frame) = (fact.number("lag").unwrap(), fact.number("frame").unwrap());
    for way in WAYS {
        let times = list(&fact.steps()[0][1]);
        let seen = observed(fact, way, &format!("out_of_orderness = \"{lag}ms\""), lag, times);
        let (mut last, mut found) = (i64::MIN, Vec::new());
        for (time, ours) in times.iter().zip(seen) {
            let jets = (ours - EPOCH + 1).div_euclid(frame) * frame;
            if jets > last {
                found.push(json!(["wm", jets]));
            }
            last = jets;
            found.push(time.clone());
        }
        assert_eq!(Value::Array(found), *fact.expect(), "{} {way:?}: {}", fact.id(), fact.text("why"));
    }
}

/// What is known of one of several inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Known {
    watermark: Option<i64>,
    idle: bool,
    finished: bool,
}

impl Known {
    /// Whether this is what an operator knows of it.
    fn is(&self, channel: &sangam::task::ChannelStanding) -> bool {
        let at = self.watermark.map_or(WATERMARK_MIN, |at| EPOCH + at);
        match channel.standing {
            Standing::Finished => self.finished,
            Standing::Idle => self.idle && channel.watermark == at,
            _ => !self.idle && !self.finished && channel.watermark == at,
        }
    }
}

/// Several inputs: partitions of a stream, and a stream of its own for each that finishes.
fn combined(fact: &Fact) {
    let count = fact.number("inputs").unwrap() as usize;
    let finishes = |input: usize| fact.steps().iter().any(|step| step[0] == "finish" && step[1] == input);
    let (ending, going): (Vec<usize>, Vec<usize>) = (0..count).partition(|input| finishes(*input));
    let source = format!("partitions = {}\nwatermark = {{ punctuated = \"watermark\" }}\nidle = \"1s\"", going.len());
    let toml = inputs(&source, &ending.iter().map(|input| format!("ending{input}")).collect::<Vec<_>>());
    for way in WAYS {
        let mut live = Live::new(way, "kitchen-sink", &toml);
        let mut known = vec![Known::default(); count];
        // A stream without records that ends where it does has finished before anything else.
        ending.iter().for_each(|input| known[*input].finished = true);
        let (mut last, mut was_idle, mut seen, mut watermarks) = (WATERMARK_MIN, false, Vec::new(), Vec::new());
        for (i, step) in fact.steps().iter().enumerate() {
            let input = step[1].as_u64().unwrap() as usize;
            match step[0].as_str().unwrap() {
                "in" => {
                    let partition = going.iter().position(|going| *going == input).unwrap();
                    live.send("in", partition as i32, json!({"watermark": EPOCH + number(&step[2])}));
                    // An event makes its partition active.
                    known[input].idle = false;
                    known[input].watermark = known[input].watermark.max(step[2].as_i64());
                }
                "idle" => known[input].idle = true,
                "finish" => assert!(known[input].finished),
                other => panic!("{}: a step {other}", fact.id()),
            }
            let now = standing(&mut live, &going, &known, &format!("{} {way:?} after {step}", fact.id()));
            let idle = known.iter().any(|known| known.idle) && known.iter().all(|known| known.idle || known.finished);
            let moved = (now > last).then(|| told(now));
            let turned = (idle != was_idle).then(|| Value::from(if idle { "IDLE" } else { "ACTIVE" }));
            (last, was_idle) = (now, idle);
            seen.push(match (moved, turned) {
                (Some(moved), Some(turned)) => json!([moved, turned]),
                (moved, turned) => moved.or(turned).unwrap_or(Value::Null),
            });
            watermarks.push(now);
            live.between(i, fact.steps().len());
        }
        match fact.expect() {
            Value::Object(expected) => {
                if let Some(forbidden) = expected.get("must_not_emit") {
                    assert!(forbidden.as_str().unwrap().starts_with("i64::MAX "), "{forbidden}");
                    assert!(watermarks.iter().all(|at| *at < i64::MAX), "{} {way:?}: {watermarks:?}", fact.id());
                    let furthest = known.iter().filter_map(|known| known.watermark).max().unwrap();
                    assert_eq!(told(last), furthest, "{} {way:?}: the furthest holds", fact.id());
                }
                if let Some(expected) = expected.get("final_watermark") {
                    assert_eq!(told(last), *expected, "{} {way:?}: {}", fact.id(), fact.text("why"));
                }
            }
            expected => assert_eq!(Value::Array(seen), *expected, "{} {way:?}: {}", fact.id(), fact.text("why")),
        }
    }
}

/// Brings about that those inputs are idle that are meant to be, by silence, and no others, which go on saying nothing of time. Returns the
/// watermark of the operator, once it knows of all inputs what is to be known.
fn standing(live: &mut Live, going: &[usize], known: &[Known], what: &str) -> i64 {
    let silent = known.iter().any(|known| known.idle);
    eventually(what, || {
        live.settle();
        let slices = live.slices()?;
        let knows = |slice: &OperatorStanding| {
            slice.channels.len() == known.len()
                && known.iter().all(|one| {
                    let of = |other: &&Known| *other == one;
                    known.iter().filter(of).count() == slice.channels.iter().filter(|channel| one.is(channel)).count()
                })
        };
        if slices.iter().all(knows) {
            assert!(slices.iter().all(|slice| slice.watermark == slices[0].watermark), "{what}: slices differ");
            return Some(slices[0].watermark);
        }
        if silent {
            for (partition, input) in (0..).zip(going) {
                if !known[*input].idle {
                    live.send("in", partition, json!({}));
                }
            }
            live.settle();
            live.world().clock.advance(400);
        }
        None
    })
}
