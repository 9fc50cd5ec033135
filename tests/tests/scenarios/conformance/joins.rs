//! The facts about joins, deduplication, top-N and suppression, run by the guest `joins`.

use super::Kinds;
use super::case::{Case, Ran, Step, told};
use super::fact::{Fact, list, number, same, text};
use joins::Memory;
use sangam_sdk::State;
use sangam_tests::world::Seen;
use serde_json::{Value, json};

/// By category.
pub const KINDS: Kinds = &[
    ("interval_join*", interval),
    ("stream_stream_*", near_in_time),
    ("left_join_*", near_in_time),
    ("stream_table_*", stream_table),
    ("table_table_*", table_table),
    ("temporal_*", as_of),
    ("dedup_*", dedup),
    ("top_n*", top),
    ("suppress_*", suppress),
];

// === feeding and looking ===

fn row(side: &str, key: &str, value: &Value, time: i64) -> Step {
    Step::Event(time, json!({"side": side, "key": key, "value": value}))
}

/// `left-right` with key and time; a tombstone is null.
fn pair(seen: &Seen) -> Value {
    let value = seen.value();
    let side = |name: &str| value[name].as_str().unwrap_or("null").to_owned();
    let pair = if value.is_null() { Value::Null } else { format!("{}-{}", side("left"), side("right")).into() };
    json!({"key": key(seen), "pair": pair, "ts": told(seen.time)})
}

fn key(seen: &Seen) -> String {
    String::from_utf8(seen.key.clone().unwrap_or_default()).unwrap()
}

fn case(fact: &Fact, mut rules: Value, steps: Vec<Step>) -> Case {
    if let Some(kind) = fact.config()["type"].as_str().filter(|kind| ["inner", "left", "right", "full"].contains(kind)) {
        rules["kind"] = kind.into();
    }
    Case::new(fact.id(), "joins", rules, steps, pair)
}

/// Result and time of each row, in order.
fn timed(ran: &Ran) -> Vec<Value> {
    ran.emitted.iter().map(|row| json!([row["pair"], row["ts"]])).collect()
}

// === interval joins ===

/// The intervals of a fact: one, or several cases of `[lower, upper]` or `[lower, upper, lower included, upper included]`.
fn intervals(fact: &Fact) -> Vec<Value> {
    let one = |lower: &Value, upper: &Value, lower_in: &Value, upper_in: &Value| {
        json!({
            "what": "interval", "lower": lower, "upper": upper, "lower_exclusive": lower_in == false, "upper_exclusive": upper_in == false,
        })
    };
    let config = fact.config();
    match config["cases"].as_array() {
        Some(cases) => cases.iter().map(|case| one(&case[0], &case[1], &case[2], &case[3])).collect(),
        None => vec![one(&config["lower"], &config["upper"], &config["lower_incl"], &config["upper_incl"])],
    }
}

fn rows(fact: &Fact, side: &str) -> Vec<i64> {
    list(&fact.0["steps"][side]).iter().map(number).collect()
}

fn interval(fact: &Fact) {
    let cases = intervals(fact);
    for (i, rules) in cases.iter().enumerate() {
        let expected = if cases.len() > 1 { &fact.expect()[i] } else { fact.expect() };
        match &fact.0["steps"] {
            steps if steps["buffers_after_wm"].is_array() => cleanup(fact, rules, expected),
            Value::Array(steps) => stepwise(fact, rules, steps, expected),
            _ => all_pairs(fact, rules, expected),
        }
    }
}

/// Pairs of times as they are expected to come out, with the later of both.
fn check_pairs(ran: &Ran, expected: &Value, what: &str) {
    let pairs = list(expected).iter().map(|pair| {
        let (left, right) = (number(&pair[0]), number(&pair[1]));
        json!([format!("{left}-{right}"), left.max(right)])
    });
    same(&timed(ran), &pairs.collect::<Vec<_>>(), what);
}

/// `["left", time]`, `["right", time]` and `["watermark", time]`, the watermark also as one of each side.
fn stepwise(fact: &Fact, rules: &Value, steps: &[Value], expected: &Value) {
    let step = |step: &Value| {
        let at = number(&step[1]);
        match step[0].as_str().unwrap() {
            "left" | "L" => Some(row("left", "k", &json!(at.to_string()), at)),
            "right" | "R" => Some(row("right", "k", &json!(at.to_string()), at)),
            "watermark" | "wm" => Some(Step::Watermark(step[2].as_i64().map_or(at, |right| right.min(at)))),
            other => panic!("{}: a step {other}", fact.id()),
        }
    };
    let steps = steps.iter().filter(|step| step[0] != "snapshot_restore").filter_map(step).collect();
    let ran = case(fact, rules.clone(), steps).run();
    check_pairs(&ran, expected, &format!("{} {rules}: {}", fact.id(), fact.text("why")));
    assert_eq!(ran.late.len(), fact.0["expect_late"].as_array().map_or(0, Vec::len), "{}: late", fact.id());
}

/// All pairs, whichever side is ahead; the watermark follows the one that is behind.
fn all_pairs(fact: &Fact, rules: &Value, expected: &Value) {
    for (ahead, behind) in [("left", "right"), ("right", "left")] {
        let mut steps: Vec<Step> = rows(fact, ahead).iter().map(|at| row(ahead, "k", &json!(at.to_string()), *at)).collect();
        for at in rows(fact, behind) {
            steps.extend([row(behind, "k", &json!(at.to_string()), at), Step::Watermark(at)]);
        }
        let ran = case(fact, rules.clone(), steps).run();
        check_pairs(&ran, expected, &format!("{} {rules}, {ahead} first: {}", fact.id(), fact.text("why")));
        assert_eq!(ran.late, [] as [i64; 0]);
    }
}

/// Which rows the state still has after each watermark.
fn cleanup(fact: &Fact, rules: &Value, expected: &Value) {
    let mut steps = Vec::new();
    for side in ["left", "right"] {
        steps.extend(rows(fact, side).iter().map(|at| row(side, "k", &json!(at.to_string()), *at)));
    }
    for watermark in list(&fact.0["steps"]["buffers_after_wm"]).iter().map(number) {
        steps.push(Step::Watermark(watermark));
        let ran = case(fact, rules.clone(), steps.clone()).run();
        let memory = ran.state.get(&b"k"[..]).map(|state| Memory::from_bytes(state).unwrap()).unwrap_or_default();
        let (left, right) = memory.interval.times();
        let kept = [left, right].map(|times| times.into_iter().map(told).collect::<Value>());
        assert_eq!(json!(kept), expected[watermark.to_string()], "{} {rules} at watermark {watermark}", fact.id());
    }
}

// === joins of two streams as Kafka Streams has them ===

/// Kafka Streams has no watermark: time stands at the latest record, and the record itself counts already when it is processed.
#[derive(Default)]
struct StreamTime {
    latest: Option<i64>,
    steps: Vec<Step>,
}

impl StreamTime {
    fn send(&mut self, side: &str, key: &str, value: &str, time: i64) {
        self.latest = self.latest.max(Some(time));
        self.steps.extend([Step::Watermark(self.latest.unwrap_or(time) - 1), row(side, key, &json!(value), time)]);
    }
}

fn near(fact: &Fact) -> Value {
    let difference = fact.number("time_difference").unwrap();
    let (before, after) = (fact.number("before").unwrap_or(difference), fact.number("after").unwrap_or(difference));
    json!({"what": "interval", "lower": -before, "upper": after, "grace": fact.number("grace").unwrap(), "late_pairs": true})
}

fn near_in_time(fact: &Fact) {
    if fact.0["steps"].is_array() { ordered(fact) } else { rounds(fact) }
}

/// Rounds of right rows against left rows: each says which keys it meets.
fn rounds(fact: &Fact) {
    let steps = &fact.0["steps"];
    let (mut stream, left) = (StreamTime::default(), steps["left"].as_object().unwrap());
    left.iter().for_each(|(key, time)| stream.send("left", key, key, number(time)));
    for round in list(&steps["right_rounds"]) {
        left.keys().for_each(|key| stream.send("right", key, key, number(round)));
    }
    let ran = case(fact, near(fact), stream.steps).run();
    for (round, expected) in list(&steps["right_rounds"]).iter().zip(list(fact.expect())) {
        let joined = ran.emitted.iter().filter(|row| row["ts"] == *round).map(|row| row["key"].as_str().unwrap().parse::<i64>().unwrap());
        assert_eq!(joined.map(Value::from).collect::<Value>(), *expected, "{} round {round}: {}", fact.id(), fact.text("why"));
    }
    assert_eq!(ran.emitted.len(), list(fact.expect()).iter().map(|keys| list(keys).len()).sum::<usize>(), "{}", fact.id());
}

/// `["left", [key, value, time]]` and `["right", ..]`; each step says what it brings as `[key, "left+right", time]`.
fn ordered(fact: &Fact) {
    let mut stream = StreamTime::default();
    for step in fact.steps() {
        stream.send(step[0].as_str().unwrap(), &text(&step[1][0]), &text(&step[1][1]), number(&step[1][2]));
    }
    let told = |row: &Value| json!([row["key"].as_str().unwrap().parse::<i64>().unwrap(), row["pair"], row["ts"]]);
    let expected: Vec<Value> =
        list(fact.expect()).iter().flat_map(list).map(|row| json!([row[0], text(&row[1]).replace('+', "-"), row[2]])).collect();
    let found: Vec<Value> = case(fact, near(fact), stream.steps).run().emitted.iter().map(told).collect();
    assert_eq!(found, expected, "{}: {}", fact.id(), fact.text("why"));
}

// === tables ===

fn changes(fact: &Fact) -> Vec<Step> {
    let side = |step: &Value| if step[0] == "L" { "left" } else { "right" };
    fact.steps().iter().map(|step| row(side(step), "k", &step[1], number(&step[2]))).collect()
}

/// A table with versions is met as it was; the join has its own stream time, the latest of the stream's records once it is there.
fn stream_table(fact: &Fact) {
    let versioned = fact.config()["right"].as_str().is_some_and(|table| table.contains("version"));
    let rules = if versioned {
        let number = |name: &str, default: i64| fact.number(name).unwrap_or(default);
        json!({"what": "as_of", "grace": number("grace", 0), "history": number("history_retention", 1_000)})
    } else {
        json!({"what": "stream_table"})
    };
    let (mut steps, mut latest) = (Vec::new(), i64::MIN);
    for (step, told) in changes(fact).into_iter().zip(fact.steps()) {
        steps.push(step);
        if versioned && told[0] == "L" {
            latest = latest.max(number(&told[2]));
            steps.push(Step::Watermark(latest));
        }
    }
    let ran = Case { stays: true, ..case(fact, rules, steps) }.run();
    assert_eq!(timed(&ran), list(fact.expect()), "{}: {}", fact.id(), fact.text("why"));
}

fn table_table(fact: &Fact) {
    let ran = Case { stays: true, ..case(fact, json!({"what": "table_table"}), changes(fact)) }.run();
    assert_eq!(timed(&ran), list(fact.expect()), "{}: {}", fact.id(), fact.text("why"));
}

/// The watermark is the least of both sides'. What a row was before its update says nothing that the update does not.
fn as_of(fact: &Fact) {
    for kind in ["inner", "left"] {
        let step = |step: &Value| {
            let (time, key, value) = (number(&step[1][0]), text(&step[1][1]), &step[1][2]);
            match step[0].as_str().unwrap() {
                "left" => Some(row("left", &key, value, time)),
                "right-U" => None,
                "right-D" => Some(row("right", &key, &Value::Null, time)),
                "right+" | "right+U" => Some(row("right", &key, value, time)),
                other => panic!("{}: a step {other}", fact.id()),
            }
        };
        let watermark = |step: &Value| (step[0] == "wm").then(|| Step::Watermark(number(&step[1]).min(number(&step[2]))));
        let steps = fact.steps().iter().filter_map(|one| watermark(one).or_else(|| step(one))).collect();
        let ran = Case { stays: true, ..case(fact, json!({"what": "as_of", "kind": kind}), steps) }.run();
        let mut expected = list(&fact.expect()["inner"]).to_vec();
        if kind == "left" {
            expected.extend_from_slice(list(&fact.expect()["left_only"]));
        }
        let expected: Vec<Value> = expected.iter().map(|pair| format!("{}-{}", text(&pair[0]), text(&pair[1])).into()).collect();
        let found: Vec<Value> = ran.emitted.iter().map(|row| row["pair"].clone()).collect();
        same(&found, &expected, &format!("{} {kind}: {}", fact.id(), fact.text("why")));
    }
}

// === deduplication, top-N, suppression ===

/// A change as it came out: what happened, to which row.
fn change(seen: &Seen) -> Value {
    let value = seen.value();
    json!({"key": key(seen), "change": value["change"], "row": value["left"], "number": value["number"]})
}

/// The row says its time, so that a row that is taken back says it too. The time to live goes by the clock, as in the fact.
fn dedup(fact: &Fact) {
    let rules = json!({
        "what": "dedup", "last": fact.config()["keep"] == "last", "ttl": fact.number("state_ttl_ms").unwrap(), "ttl_by_clock": true,
    });
    let mut steps = vec![Step::Clock(0)];
    for step in fact.steps() {
        match step[0].as_str().unwrap() {
            "event" => steps.push(row("left", &text(&step[1]), &json!(format!("{}@{}", step[2], step[3])), number(&step[3]))),
            "watermark" => steps.push(Step::Watermark(number(&step[1]))),
            "ttl_clock" => steps.push(Step::Clock(number(&step[1]))),
            "snapshot_restore" => {}
            other => panic!("{}: a step {other}", fact.id()),
        }
    }
    let ran = Case { tell: change, ..case(fact, rules, steps) }.run();
    let found: Vec<Value> = ran.emitted.iter().map(|row| json!([row["key"], row["change"], row["row"]])).collect();
    let kind = |row: &Value| row["kind"].as_str().unwrap_or("+I").to_owned();
    let expected = list(fact.expect()).iter().map(|row| json!([row["key"], kind(row), format!("{}@{}", row["value"], row["ts"])]));
    same(&found, &expected.collect::<Vec<_>>(), &format!("{}: {}", fact.id(), fact.text("why")));
}

/// The order is part of the fact; it writes `+` for `+I` and `-` for `-D`.
fn top(fact: &Fact) {
    let step = |(time, step): (i64, &Value)| {
        Step::Event(time, json!({"side": "left", "key": step[0], "value": "", "number": step[2], "n": step[1]}))
    };
    let steps = (0..).zip(fact.steps()).map(step).collect();
    let ran = Case { tell: change, stays: true, ..case(fact, json!({"what": "top"}), steps) }.run();
    let found: Vec<Value> =
        ran.emitted.iter().map(|row| json!([&row["change"].as_str().unwrap()[..1], row["key"], row["number"]])).collect();
    assert_eq!(found, list(fact.expect()), "{}: {}", fact.id(), fact.text("why"));
}

/// An update as it left the buffer.
fn released(seen: &Seen) -> Value {
    let value = seen.value();
    json!({"key": value["part"], "value": value["left"].as_str().map(|value| value.parse::<i64>().unwrap()), "ts": told(seen.time)})
}

/// Stream time: the record is put into the buffer first, then what is due leaves it.
fn suppress(fact: &Fact) {
    let mut rules = json!({"what": "suppress", "limit": fact.number("suppress_until_time_limit").unwrap()});
    if let Some(most) = fact.number("max_records") {
        rules["max_records"] = most.into();
    }
    let (mut steps, mut latest) = (Vec::new(), i64::MIN);
    for update in list(&fact.0["expect_raw"]) {
        let time = number(&update[2]);
        latest = latest.max(time);
        let row = json!({"side": "left", "key": "all", "part": update[0], "value": text(&update[1])});
        steps.extend([Step::Event(time, row), Step::Watermark(latest)]);
    }
    let ran = Case { tell: released, ..case(fact, rules, steps) }.run();
    assert_eq!(ran.emitted, list(fact.expect()), "{}: {}", fact.id(), fact.text("why"));
}
