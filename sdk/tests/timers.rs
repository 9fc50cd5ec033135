//! Timers by the watermark, held to facts from Flink's test suite.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use sangam_sdk::test::Harness;
use sangam_sdk::*;
use serde_json::Value as Json;

#[event]
struct Input {
    key: i64,
}

#[event]
struct Said {
    what: String,
}

#[state]
struct Kept {
    value: Option<i64>,
}

#[config]
struct Toggle {}

/// The first input of a key is remembered, with a timer 5 ms after the watermark; the second forgets both.
#[operator(key = "key")]
impl Toggle {
    fn on_event(&self, input: Input, kept: &mut Kept, ctx: &mut Context) -> Option<Said> {
        if kept.value.take().is_some() {
            ctx.cancel("state");
            return None;
        }
        kept.value = Some(input.key);
        ctx.wake("state", ctx.watermark() + 5);
        Some(Said { what: format!("INPUT:{}", input.key) })
    }
    fn on_timer(&self, _state: Timer, kept: &mut Kept) -> Option<Said> {
        kept.value.take().map(|value| Said { what: format!("STATE:{value}") })
    }
}

#[test]
fn what_a_timer_says_comes_before_the_watermark_that_fired_it_and_under_its_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/semantics.json");
    let all: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases: Vec<&Json> = all["vectors"].as_array().unwrap().iter().filter(|case| case["category"] == "timers_state_order").collect();
    assert!(!cases.is_empty());
    for case in cases {
        let mut h = Harness::<Toggle>::with(Toggle {});
        let (mut seen, mut taken) = (Vec::new(), 0);
        for step in case["steps"].as_array().unwrap() {
            if step[0] == "event" {
                h.send(step[3].as_i64().unwrap(), Input { key: step[1].as_i64().unwrap() });
            } else {
                h.advance(step[1].as_i64().unwrap());
            }
            let outputs = &h.outputs()[taken..];
            seen.extend(outputs.iter().map(|sent| Json::from(format!("{}@{}", sent.decode::<Said>().what, sent.time))));
            taken += outputs.len();
            if step[0] == "watermark" {
                seen.push(format!("WM{}", step[1]).into());
            }
        }
        assert_eq!(Json::from(seen), case["expect"], "{}", case["id"]);
        assert_eq!(h.keys(), Vec::<String>::new());
    }
}
