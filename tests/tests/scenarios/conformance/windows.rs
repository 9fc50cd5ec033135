//! The facts about windows, run by the plugin `windowing`, and by `clock-windows` where they go by the clock.

use super::Kinds;
use super::case::{Case, EPOCH, Ran, Step, WAYS, Way, told};
use super::fact::{Fact, list, number, same, text};
use sangam::pipeline::RunOptions;
use sangam_tests::guests::wasm;
use sangam_tests::world::{Seen, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// By category.
pub const KINDS: Kinds = &[
    ("assigner", assigner),
    ("assigner_invalid", invalid),
    ("timezone", timezone),
    ("session_touch*", touching),
    ("sliding_time_difference*", sliding),
    ("proc_*", by_the_clock),
    ("overflow", overflow),
    ("hot_reload_*", changed),
    ("tumbling*", results),
    ("hopping*", results),
    ("sliding*", results),
    ("session*", results),
    ("global*", results),
    ("late", results),
    ("late_*", results),
    ("batch_flush", results),
    ("grace_*", results),
];

// === reading a fact ===

fn millis(number: i64) -> String {
    format!("{number}ms")
}

/// Windows of a type, as `windowing` is told of them.
fn window(config: &Value) -> Value {
    let millis = |name: &str| millis(number(&config[name]));
    let mut window = match config["type"].as_str().unwrap() {
        "tumbling" => json!({"type": "tumbling", "size": millis("size")}),
        "sliding" | "hopping" => json!({"type": "hopping", "size": millis("size"), "slide": millis("slide")}),
        "sliding_on_event" => json!({"type": "sliding", "size": millis("time_difference")}),
        "session" if config["gap_s"].is_number() => json!({"type": "session", "gap": format!("{}s", config["gap_s"])}),
        "session" => json!({"type": "session", "gap": millis("gap")}),
        // Windows that touch are merged: sessions of a gap of 1.
        "session_merge" => json!({"type": "session", "gap": "1ms"}),
        "global" => json!({"type": "global"}),
        other => panic!("windows of type {other}"),
    };
    if config["offset"].is_number() {
        window["offset"] = millis("offset").into();
    }
    window
}

fn emit(trigger: Option<&str>) -> Value {
    match trigger {
        None | Some("event_time" | "event_time (accumulating)" | "end_of_stream") => json!("on_close"),
        Some("purging(event_time)") => json!({"purge": true}),
        Some(written) => {
            let inner = written.strip_prefix("purging(").map_or(written, |inner| inner.trim_end_matches(')'));
            let count: u64 = inner.strip_prefix("count ").unwrap_or_else(|| panic!("a trigger {written}")).parse().unwrap();
            json!({"count": count, "purge": inner != written})
        }
    }
}

fn settings(config: &Value) -> Value {
    let of = |function: &str| json!({"fn": function, "field": "value", "as": function});
    json!({
        "window": window(config),
        "emit": emit(config["trigger"].as_str()),
        "allowed_lateness": millis(config["lateness"].as_i64().unwrap_or(0)),
        "aggregate": [{"fn": "count", "as": "count"}, of("sum"), of("first"), of("last")],
    })
}

/// A window as it came out.
fn row(seen: &Seen) -> Value {
    let mut value = seen.value();
    value["window"] = json!([told(number(&value["window_start"])), told(number(&value["window_end"]))]);
    value["ts"] = told(seen.time);
    value
}

fn event(key: &str, value: &Value, time: i64) -> Step {
    // Where only their number matters, facts write texts.
    let value = value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(1);
    Step::Event(time, json!({"key": key, "value": value}))
}

/// The steps. Jet's watermark t says less than t, Flink's up to t. Kafka has none: it follows the newest event by the grace.
fn steps(fact: &Fact, time: &dyn Fn(&Value) -> i64) -> Vec<Step> {
    let (kafka, jet) = (fact.text("engine") == "kafka-streams", i64::from(fact.text("engine") == "hazelcast-jet"));
    let mut newest = i64::MIN;
    let mut steps = Vec::new();
    for step in fact.steps() {
        match step[0].as_str().unwrap() {
            "event" => {
                let at = time(&step[3]);
                newest = newest.max(at);
                steps.push(event(step[1].as_str().unwrap(), &step[2], at));
                if kafka {
                    steps.push(Step::Watermark(newest - fact.number("grace").unwrap_or(0) - 1));
                }
            }
            "event_s" => steps.push(event("k", &json!(1), number(&step[1]) * 1_000)),
            "merge" => steps.extend(list(&step[1]).iter().map(|window| event("k", &json!(1), number(&window[0])))),
            "watermark" if step[1] == "i64::MAX" => steps.push(Step::End),
            "watermark" => steps.push(Step::Watermark(time(&step[1]) - jet)),
            "end_of_input" => steps.push(Step::End),
            // Every way but the plain one does that all the time.
            "snapshot_restore" => {}
            other => panic!("{}: a step {other}", fact.id()),
        }
    }
    steps
}

fn case(fact: &Fact, settings: Value, steps: Vec<Step>) -> Case {
    Case::new(fact.id(), "windowing", settings, steps, row)
}

// === holding against it ===

/// Of what came out the fields that the fact speaks of. Kafka's results have the time of the newest event, and its sessions end with it;
/// ours are those of the window.
fn check(fact: &Fact, ran: &Ran) {
    let kafka = fact.text("engine") == "kafka-streams";
    let gap = if kafka { fact.number("gap").unwrap_or(0) } else { 0 };
    let aggregate = fact.config()["agg"].as_str().unwrap();
    let rows = list(fact.expect());
    let has = |name: &str| rows.iter().any(|row| !row[name].is_null());
    let (times, windows) = (has("ts") && !kafka, has("window"));
    let pick = |key: &Value, value: &Value, ts: &Value, window: Value| {
        json!([key, value, if times { ts } else { &Value::Null }, if windows { window } else { Value::Null }])
    };
    let found = ran.emitted.iter().map(|row| {
        let window = json!([row["window"][0], row["window"][1].as_i64().map(|end| end - gap)]);
        pick(&row["key"], &row[aggregate], &row["ts"], window)
    });
    let expected = rows.iter().map(|row| pick(&row["key"], &row["value"], &row["ts"], row["window"].clone()));
    same(&found.collect::<Vec<_>>(), &expected.collect::<Vec<_>>(), &format!("{}: {}", fact.id(), fact.text("why")));
    if let Some(late) = fact.0["expect_late"].as_array() {
        assert_eq!(ran.late, late.iter().map(|event| number(&event[2])).collect::<Vec<_>>(), "{}: late", fact.id());
    }
}

fn results(fact: &Fact) {
    check(fact, &case(fact, settings(fact.config()), steps(fact, &number)).run());
    if let Some(updates) = fact.0["expect_updates"].as_array() {
        check_updates(fact, updates);
    }
}

/// Each event's update, `[start, end, count, ..]`, for sessions behind the key. Kafka takes back a session that has been merged, by a
/// tombstone; ours are told anew with their start and end.
fn check_updates(fact: &Fact, updates: &[Value]) {
    let mut settings = settings(fact.config());
    settings["emit"] = json!("on_update");
    let ran = case(fact, settings, steps(fact, &number)).run();
    let gap = fact.number("gap");
    let found = ran.emitted.iter().map(|row| json!([row["window"][0], number(&row["window"][1]) - gap.unwrap_or(0), row["count"]]));
    let at = usize::from(gap.is_some());
    let expected = updates.iter().map(|update| json!([update[at], update[at + 1], update[at + 2]])).filter(|row| !row[2].is_null());
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{}: updates: {}", fact.id(), fact.text("why"));
}

/// The windows of an event, as those that come out when it is the only one of its key.
fn assigner(fact: &Fact) {
    let times: Vec<i64> = fact.steps().iter().map(|step| number(&step[1])).collect();
    let mut steps: Vec<Step> = (0..).zip(&times).map(|(i, time)| event(&format!("event {i}"), &json!(1), *time)).collect();
    steps.push(Step::Watermark(times.iter().max().unwrap() + 1_000_000));
    let ran = case(fact, settings(fact.config()), steps).run();
    for (i, expected) in fact.expect().as_array().unwrap().iter().enumerate() {
        let own = ran.emitted.iter().filter(|row| row["key"] == format!("event {i}")).map(|row| row["window"].clone());
        assert_eq!(Value::from_iter(own), *expected, "{}: event {i}: {}", fact.id(), fact.text("why"));
    }
}

/// A configuration that no window can meet never starts, whatever the tasks; one that is allowed does.
fn invalid(fact: &Fact) {
    for step in fact.steps() {
        let number = |name: &str, default: i64| match &step[1][name] {
            Value::Null => default,
            Value::String(text) => 10 + i64::from(text == "size+1"),
            written => number(written),
        };
        let tumbling = json!({"type": "tumbling", "size": number("size", 10), "offset": number("offset", 0)});
        let hopping = json!({"type": "hopping", "size": 10, "slide": number("advance", 10)});
        let starts = |config: &Value, way: Way| {
            let mut settings = settings(config);
            settings["allowed_lateness"] = millis(number("grace", 0)).into();
            let case = case(fact, settings, Vec::new());
            let file = case.pipeline(&case.config, way, way.tasks().1, false);
            let world = World::new(&file).plugin("windowing", &wasm("windowing"));
            world.supervisor(RunOptions::default(), false).map(drop).map_err(|why| why.to_string())
        };
        for way in WAYS {
            let refused: Vec<String> = [&tumbling, &hopping].into_iter().filter_map(|config| starts(config, way).err()).collect();
            assert_eq!(refused.is_empty(), step[0] == "accept", "{}: {step}: {refused:?}", fact.id());
            assert!(refused.iter().all(|why| why.contains("config field") || why.contains("allowed_lateness")), "{refused:?}");
        }
    }
}

/// What an instant on the wall is, as the start of the daily window that begins at that time of day.
fn timezone(fact: &Fact) {
    const DAY: i64 = 86_400_000;
    for (step, expected) in fact.steps().iter().zip(list(fact.expect())) {
        let Some((day, time)) = step[1].as_str().unwrap().split_once('T') else {
            // The end of time is no time of an event: what is left of it on the engine is that the input's end closes windows of every zone.
            assert_eq!((&step[1], expected), (&json!("i64::MAX"), &json!("i64::MAX")));
            continue;
        };
        assert_eq!(day, "1970-01-01");
        let parts: Vec<f64> = time.split(':').map(|part| part.parse().unwrap()).collect();
        let offset = ((parts[0] * 3_600.0 + parts[1] * 60.0 + parts[2]) * 1_000.0).round() as i64;
        let mut settings = settings(&json!({"type": "tumbling", "size": DAY, "offset": offset}));
        settings["window"]["zone"] = fact.config()["zone"].clone();
        let start = number(expected);
        let steps =
            vec![event("k", &json!(1), start), event("k", &json!(1), start + DAY - 1), event("k", &json!(1), start + DAY), Step::End];
        let ran = case(fact, settings, steps).run();
        let found: Vec<Value> = ran.emitted.iter().map(|row| json!([row["window"], row["count"]])).collect();
        let expected = [json!([[start, start + DAY], 2]), json!([[start + DAY, start + 2 * DAY], 1])];
        assert_eq!(found, expected, "{}: {step}: {}", fact.id(), fact.text("why"));
    }
}

/// Windows that touch are one. Bytewax says of a session when its last event was, in seconds.
fn touching(fact: &Fact) {
    let mut steps = steps(fact, &number);
    steps.push(Step::End);
    let ran = case(fact, settings(fact.config()), steps).run();
    let seconds = |time: &Value| number(time) * 1_000;
    let expected = list(fact.expect()).iter().map(|window| match window.get("open") {
        Some(open) => json!([seconds(open), seconds(&window["close"]) + fact.number("gap_s").unwrap() * 1_000]),
        None => window.clone(),
    });
    let found: Vec<Value> = ran.emitted.iter().map(|row| row["window"].clone()).collect();
    assert_eq!(found, expected.collect::<Vec<_>>(), "{}: {}", fact.id(), fact.text("why"));
}

/// A window near the end of time. The host takes no such events, so the window comes earlier and the lateness is longer by as much: the sum
/// of its end and the lateness, of which the fact speaks, is the same.
fn overflow(fact: &Fact) {
    let (size, lateness) = (fact.number("size").unwrap(), fact.number("lateness").unwrap());
    let earlier = (i64::MAX - EPOCH) / size * size;
    let near_the_end = |written: &Value| {
        let less = written.as_str().and_then(|text| text.strip_prefix("i64::MAX-")).unwrap_or_else(|| panic!("{written}"));
        i64::MAX - less.parse::<i64>().unwrap() - earlier
    };
    let first = near_the_end(&fact.steps()[0][3]);
    let last = first.div_euclid(size) * size + size - 1;
    let time = |written: &Value| if written == "window.end-1" { last } else { near_the_end(written) };
    let mut config = fact.config().clone();
    config["lateness"] = json!(lateness + (earlier - EPOCH));
    let ran = case(fact, settings(&config), steps(fact, &time)).run();
    let found = ran.emitted.iter().map(|row| json!({"key": row["key"], "value": row["sum"], "ts": row["ts"]}));
    let expected = list(fact.expect()).iter().map(|row| json!({"key": row["key"], "value": row["value"], "ts": time(&row["ts"])}));
    same(&found.collect::<Vec<_>>(), &expected.collect::<Vec<_>>(), &format!("{}: {}", fact.id(), fact.text("why")));
}

/// Our rule, where the fact leaves it open: a window closes by the definition that it was opened with (`docs/semantics.md`).
fn changed(fact: &Fact) {
    for step in fact.steps() {
        let config = |name: &str| {
            let (kind, numbers) = step[1][name].as_str().unwrap().split_once(' ').unwrap();
            let (size, slide) = numbers.split_once('/').unwrap_or((numbers, numbers));
            json!({"type": kind, "size": size.parse::<i64>().unwrap(), "slide": slide.parse::<i64>().unwrap()})
        };
        let (from, to) = (config("from"), config("to"));
        let mut steps: Vec<Step> = (0..4).map(|time| event("k", &json!(time), time)).collect();
        // Jet's watermark 2.
        steps.extend([Step::Watermark(1), Step::Configure(settings(&to)), Step::End]);
        let ran = case(fact, settings(&from), steps).run();
        let found: Vec<Value> = ran.emitted.iter().map(|row| json!([row["window"][1], row["sum"]])).collect();
        let (size, slide) = (number(&from["size"]), number(&from["slide"]));
        let starts = (0..).map(|i| slide - size + i * slide).take_while(|start| *start < 4);
        let sum_of = |start: i64| (0..4).filter(|time| (start..start + size).contains(time)).sum::<i64>();
        let expected: Vec<Value> = starts.map(|start| json!([start + size, sum_of(start)])).collect();
        assert_eq!(found, expected, "{}: {step}", fact.id());
    }
}

/// What the sliding windows that start at a time have held, one update after the other. Sum, number, first and last tell which events.
fn sliding(fact: &Fact) {
    let mut settings = settings(fact.config());
    settings["emit"] = json!("on_update");
    let ran = case(fact, settings, steps(fact, &number)).run();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in &ran.emitted {
        let of = ["count", "sum", "first", "last"].map(|name| row[name].clone());
        found.entry(row["window"][0].to_string()).or_default().push(json!(of));
        let length = number(&row["window"][1]) - number(&row["window"][0]);
        assert_eq!(length, fact.number("time_difference").unwrap() + 1, "both its ends belong to it");
    }
    let of = |update: &Value| {
        let values: Vec<i64> = text(update).split('+').map(|value| value.parse().unwrap()).collect();
        json!([values.len(), values.iter().sum::<i64>(), values[0], values[values.len() - 1]])
    };
    let expected = fact.expect().as_object().unwrap().iter();
    let expected: BTreeMap<String, Vec<Value>> =
        expected.map(|(start, updates)| (start.clone(), list(updates).iter().map(of).collect())).collect();
    assert_eq!(found, expected, "{}: {}", fact.id(), fact.text("why"));
}

/// An event's time does not matter; the host's last one stands for the end of time, which it does not take.
fn by_the_clock(fact: &Fact) {
    let steps = fact.steps().iter().map(|step| match step[0].as_str().unwrap() {
        "proc_time" => Step::Clock(number(&step[1])),
        "event" => event(step[1].as_str().unwrap(), &step[2], step[3].as_i64().unwrap_or(sangam::route::TIME_MAX - 1 - EPOCH)),
        other => panic!("{}: a step {other}", fact.id()),
    });
    let config = ["size", "slide", "gap"].into_iter().filter_map(|name| Some((name.to_owned(), json!(fact.number(name)?))));
    let ran = Case::new(fact.id(), "clock-windows", Value::Object(config.collect()), steps.collect(), row).run();
    check(fact, &ran);
}
