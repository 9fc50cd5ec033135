//! The facts about state and timers, run by small guests of their own, by `limits` and by `alarm-clock`.

use super::Kinds;
use super::case::{Case, Step, told};
use super::fact::{Fact, list, number, text};
use super::standing;
use sangam_tests::world::Seen;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// By category.
pub const KINDS: Kinds =
    &[("timers_dedupe", standing::timers), ("timers_state_order", state_and_timers), ("ttl_*", time_to_live), ("broadcast_*", broadcast)];

// === time to live ===

/// Times to live of the guests, in milliseconds: facts of other lengths are drawn out or in.
const TTL: i64 = 100;

/// `[time, "put a"]`, `[time, "k1 get"]`, `[time, "SNAPSHOT"]`, `["restore", "SNAPSHOT"]`. The guests keep a value from its last write or read.
fn time_to_live(fact: &Fact) {
    let plugin = if fact.config()["update"] == "OnReadAndWrite" { "ttl-read" } else { "ttl-write" };
    let ttl = fact.number("ttl").unwrap();
    let (mut steps, mut expected) = (Vec::new(), Vec::new());
    for (step, told) in fact.steps().iter().zip(list(fact.expect())) {
        let said = text(&step[1]);
        let words: Vec<&str> = said.split(' ').collect();
        let at = || number(&step[0]) * TTL / ttl;
        let (key, act) = if words[0].starts_with('k') { (words[0], &words[1..]) } else { ("k", &words[..]) };
        match act {
            ["SNAPSHOT"] if step[0] == "restore" => steps.push(Step::Restore),
            ["SNAPSHOT"] => steps.push(Step::Snapshot),
            ["put", value] => steps.push(Step::Event(at(), json!({"key": key, "act": "put", "text": value}))),
            ["get"] => {
                steps.push(Step::Event(at(), json!({"key": key, "act": "get"})));
                let value = told.as_str().filter(|value| !value.starts_with("empty"));
                expected.push(json!({"key": key, "value": value}));
            }
            other => panic!("{}: a step {other:?}", fact.id()),
        }
    }
    // A state that is over leaves the store when the watermark gets there, with nobody asking for it.
    let last = fact.steps().iter().filter_map(|step| step[0].as_i64()).max().unwrap() * TTL / ttl;
    steps.push(Step::Watermark(last + 2 * TTL));
    let ran = Case::new(fact.id(), plugin, json!({}), steps, Seen::value).run();
    assert_eq!(ran.emitted, expected, "{}: {}", fact.id(), fact.text("why"));
    assert_eq!(ran.state, Default::default(), "{}: cleared", fact.id());
}

// === timers ===

/// What `kitchen-sink` says of what it is given by the operator before it: under what watermark it came.
fn under(seen: &Seen) -> Value {
    let (value, key) = (seen.value(), String::from_utf8(seen.key.clone().unwrap()).unwrap());
    let what = if value["act"] == "note" { "INPUT" } else { "STATE" };
    json!({"said": format!("{what}:{key}@{}", told(seen.time)), "watermark": told(number(&value["watermark"]))})
}

/// What the first operator emits stands among the watermarks where an operator behind it sees it.
fn state_and_timers(fact: &Fact) {
    let delay: i64 =
        fact.config()["rule"].as_str().unwrap().split("watermark+").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let step = |step: &Value| match step[0].as_str().unwrap() {
        "watermark" => Step::Watermark(number(&step[1])),
        "event" => Step::Event(number(&step[3]), json!({"key": text(&step[1])})),
        other => panic!("{}: a step {other}", fact.id()),
    };
    // Watermarks that are read together are one: a clock step lets every way take one step at a time.
    let steps = std::iter::once(Step::Clock(0)).chain(fact.steps().iter().map(step)).collect();
    let case = Case {
        others: &["kitchen-sink"],
        wiring: "input = \"in\"\noutput = \"orders\"\nkey = \"key\"",
        tables: r#"
            [operators.behind]
            plugin = "kitchen-sink"
            input = "orders"
            route = "forward"
            outputs = { done = "out", passed = "out", placed = "out" }"#,
        ..Case::new(fact.id(), "first-and-second", json!({"delay": delay}), steps, under)
    };
    // The operator behind counts what it has seen, and so remembers it.
    let ran = Case { stays: true, ..case }.run();
    let said = |watermark: Option<i64>| {
        let under = ran.emitted.iter().filter(move |row| row["watermark"].as_i64() == watermark);
        under.map(|row| row["said"].clone()).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for watermark in fact.steps().iter().filter(|step| step[0] == "watermark").map(|step| number(&step[1])) {
        found.push(format!("WM{watermark}").into());
        found.extend(said(Some(watermark)));
    }
    assert_eq!(Value::Array(found), *fact.expect(), "{}: {}", fact.id(), fact.text("why"));
}

// === broadcast state ===

/// The limits that were seen: by a payment which all of them forbid, and by a timer.
fn visible(seen: &Seen) -> Value {
    let value = seen.value();
    let by = if value["user"].as_str().unwrap().ends_with("later") { "visible_at_timer" } else { "visible_at_data" };
    json!({"by": by, "rules": value["limits"]})
}

/// Each rule is a limit of its name. The guest's timer fires 10 ms after the event that has set it.
fn broadcast(fact: &Fact) {
    let mut steps = Vec::new();
    for (time, step) in (0..).zip(fact.steps()) {
        match step[0].as_str().unwrap() {
            "rule" => steps.push(Step::Rule(time, json!({"name": text(&step[1]), "max": 0}))),
            "data" => steps.push(Step::Event(time, json!({"user": step[1], "amount": 1}))),
            "timer" => steps.push(Step::Watermark(time + 10)),
            other => panic!("{}: a step {other}", fact.id()),
        }
    }
    let wiring = "inputs = { in = \"in\", broadcast = \"rules\" }\noutput = \"out\"\nkey = \"user\"";
    let case = Case { wiring, stays: true, ..Case::new(fact.id(), "limits", json!({}), steps, visible) };
    let ran = case.run();
    // Every task has the same: that is looked at in every way, when the states of the tasks are put together.
    let names = |rules: &Value| list(rules).iter().map(text).collect::<BTreeSet<_>>();
    let found: Vec<_> = ran.emitted.iter().map(|row| (text(&row["by"]), names(&row["rules"]))).collect();
    let expected = ["visible_at_data", "visible_at_timer"].map(|by| (by.to_owned(), names(&fact.expect()[by])));
    assert_eq!(found, expected, "{}: {}", fact.id(), fact.text("why"));
}
