//! The facts about timers.

use sangam_sdk::test::Harness;
use sangam_sdk::*;
use serde_json::Value as Json;

use super::{each, list, number, text};

#[event]
struct Input {
    key: String,
    value: String,
}

#[event]
struct Said {
    text: String,
}

#[state]
struct Stored {
    value: String,
}

/// On the first input of a key: store the value, set a timer and say so; on the second: clear both.
#[config]
struct FirstAndSecond {}

#[operator(key = "key")]
impl FirstAndSecond {
    fn on_event(&self, input: Input, stored: &mut Stored, ctx: &mut Context) -> Option<Said> {
        if !stored.value.is_empty() {
            stored.value.clear();
            ctx.cancel("later");
            return None;
        }
        ctx.wake("later", ctx.watermark() + 5);
        stored.value = input.value;
        Some(Said { text: format!("INPUT:{}@{}", stored.value, ctx.time()) })
    }

    fn on_timer(&self, timer: Timer, stored: &mut Stored) -> Said {
        Said { text: format!("STATE:{}@{}", std::mem::take(&mut stored.value), timer.at()) }
    }
}

#[test]
fn what_a_timer_emits_comes_before_the_watermark_that_fired_it_and_sees_the_state_of_its_key() {
    each("timers_state_order", |vector, batch| {
        let mut h = Harness::<FirstAndSecond>::new().batch(batch);
        let mut seen: Vec<String> = Vec::new();
        for step in list(&vector["steps"]) {
            if step[0] == "watermark" {
                h.advance(number(&step[1]));
                seen.extend(h.take::<Said>("out").into_iter().map(|said| said.text));
                seen.push(format!("WM{}", step[1]));
            } else {
                // The key is the number; an empty value in the vector stands for it.
                let key = text(&step[1]);
                h.send(number(&step[3]), Input { key: key.clone(), value: key });
            }
        }
        assert_eq!(Json::from(seen), vector["expect"]);
        h.end();
        assert_eq!(h.keys(), Vec::<String>::new());
    });
}

#[event]
struct Register {
    key: String,
    at: i64,
}

/// A timer per time, by giving each a name of its own.
#[config]
struct PerTime {}

#[operator(key = "key", processing_time)]
impl PerTime {
    fn on_event(&self, register: Register, ctx: &mut Context) {
        ctx.wake_at_processing_time(&register.at.to_string(), register.at);
    }
    fn on_timer(&self, _timer: Timer) {}
}

#[test]
fn equal_timers_of_a_key_are_one_and_the_earliest_is_the_next_to_fire() {
    each("timers_dedupe", |vector, batch| {
        let mut h = Harness::<PerTime>::new().batch(batch);
        h.processing_time(0);
        let mut keys: Vec<String> = Vec::new();
        let (mut counts, mut armed) = (Vec::new(), Vec::new());
        let mut look = |h: &mut Harness<PerTime>, keys: &[String]| {
            let pending: Vec<Millis> = keys.iter().flat_map(|key| h.processing_timers(key)).map(|(_, at)| at).collect();
            counts.push(pending.len());
            armed.push(pending.into_iter().min());
        };
        let steps = list(&vector["steps"]);
        let registers = steps.iter().take_while(|step| step[0] == "register").count();
        for step in &steps[..registers] {
            let key = text(&step[1]);
            // Twice: the second changes nothing.
            for _ in 0..2 {
                h.send(0, Register { key: key.clone(), at: number(&step[2]) });
            }
            keys.push(key);
        }
        keys.dedup();
        look(&mut h, &keys);
        for step in &steps[registers..] {
            h.processing_time(number(&step[1]));
            look(&mut h, &keys);
        }
        assert_eq!(serde_json::json!(counts), vector["expect"]["logical_after"]);
        assert_eq!(serde_json::json!(armed), vector["expect"]["physical_armed_at"]);
    });
}
