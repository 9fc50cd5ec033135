//! What a pipeline that uses the plugin sees: windows, lateness, values, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis};
use serde_json::{Value, json};
use windowing::{Settings, Windowing};

fn config(config: &Value) -> Result<Settings, String> {
    Settings::read(&rmp_serde::to_vec_named(config).unwrap())
}

fn every(size: &str, lateness: &str, aggregate: &Value) -> Harness<Windowing> {
    let window = json!({ "type": "tumbling", "size": size });
    let written = json!({ "window": window, "allowed_lateness": lateness, "aggregate": aggregate });
    Harness::with(config(&written).unwrap()).key("k")
}

fn counts(size: &str, lateness: &str) -> Harness<Windowing> {
    every(size, lateness, &json!([{ "fn": "count" }]))
}

fn send(h: &mut Harness<Windowing>, time: Millis, event: &Value) {
    h.send_raw(time, &rmp_serde::to_vec_named(event).unwrap());
}

fn values(h: &mut Harness<Windowing>) -> Vec<Value> {
    h.outputs().iter().map(|sent| rmp_serde::from_slice(sent.value.as_ref().unwrap()).unwrap()).collect()
}

/// `(output time, window start, count)` of everything emitted.
fn closed(h: &mut Harness<Windowing>) -> Vec<(Millis, i64, u64)> {
    let times: Vec<Millis> = h.outputs().iter().map(|sent| sent.time).collect();
    let values = values(h);
    let rows = times.into_iter().zip(&values);
    rows.map(|(time, value)| (time, value["window_start"].as_i64().unwrap(), value["count"].as_u64().unwrap())).collect()
}

#[test]
fn an_event_belongs_to_the_window_that_starts_at_or_before_it() {
    let check = |offset: &str, time: Millis, start: Millis| {
        let window = json!({ "type": "tumbling", "size": "10s", "offset": offset });
        let settings = config(&json!({ "window": window, "aggregate": [{ "fn": "count" }] })).unwrap();
        let found = settings.window().windows_at(time)[0];
        assert_eq!((found.start, found.end), (start, start + 10_000), "{time} with offset {offset}");
    };
    check("0s", 0, 0);
    check("0s", 9_999, 0);
    check("0s", 10_000, 10_000);
    check("0s", -1, -10_000);
    check("0s", -10_000, -10_000);
    check("3s", 2_999, -7_000);
    check("3s", 3_000, 3_000);
    check("3s", 12_999, 3_000);
    check("-3s", 6_999, -3_000);
}

#[test]
fn a_window_closes_when_the_watermark_reaches_its_last_millisecond() {
    let check = |watermark: Millis, expected: &[(Millis, i64, u64)]| {
        let mut h = counts("10s", "0s");
        send(&mut h, 0, &json!({ "k": "a" }));
        send(&mut h, 9_999, &json!({ "k": "a" }));
        send(&mut h, 10_000, &json!({ "k": "a" }));
        h.advance(watermark);
        assert_eq!(closed(&mut h), expected, "watermark {watermark}");
    };
    check(9_998, &[]);
    check(9_999, &[(9_999, 0, 2)]);
    check(19_998, &[(9_999, 0, 2)]);
    check(19_999, &[(9_999, 0, 2), (19_999, 10_000, 1)]);
}

#[test]
fn windows_close_in_order_of_time_however_their_events_came() {
    let mut h = counts("10s", "0s");
    for time in [25_000, 5_000, 15_000, 6_000] {
        send(&mut h, time, &json!({ "k": "a" }));
    }
    assert_eq!(h.timers("a"), [("window".to_owned(), 9_999)]);
    h.end();
    assert_eq!(closed(&mut h), [(9_999, 0, 2), (19_999, 10_000, 1), (29_999, 20_000, 1)]);
}

#[test]
fn an_event_is_late_once_its_window_and_the_allowed_lateness_are_past() {
    let check = |lateness: &str, watermark: Millis, late: usize, expected: &[(Millis, i64, u64)]| {
        let mut h = counts("10s", lateness);
        send(&mut h, 1, &json!({ "k": "a" }));
        h.advance(watermark);
        send(&mut h, 2, &json!({ "k": "a" }));
        assert_eq!(h.late().len(), late, "lateness {lateness}, watermark {watermark}");
        assert_eq!(closed(&mut h), expected, "lateness {lateness}, watermark {watermark}");
    };
    check("0s", 9_998, 0, &[]);
    check("0s", 9_999, 1, &[(9_999, 0, 1)]);
    check("5s", 9_999, 0, &[(9_999, 0, 1), (9_999, 0, 2)]);
    check("5s", 14_998, 0, &[(9_999, 0, 1), (9_999, 0, 2)]);
    check("5s", 14_999, 1, &[(9_999, 0, 1)]);
}

#[test]
fn a_first_event_that_is_late_but_allowed_is_emitted_at_once_and_once() {
    let mut h = counts("10s", "5s");
    h.advance(12_000);
    send(&mut h, 3, &json!({ "k": "a" }));
    assert_eq!(closed(&mut h), [(9_999, 0, 1)]);
    h.end();
    assert_eq!(closed(&mut h).len(), 1);
}

#[test]
fn nothing_is_remembered_once_the_windows_of_a_key_are_over() {
    let mut h = counts("10s", "5s");
    send(&mut h, 0, &json!({ "k": "a" }));
    send(&mut h, 12_000, &json!({ "k": "a" }));
    send(&mut h, 12_000, &json!({ "k": "b" }));
    h.advance(14_999);
    assert_eq!(h.state("a").unwrap().iter().map(|(start, _)| start).collect::<Vec<_>>(), [10_000]);
    h.advance(24_998);
    assert_eq!(h.keys(), ["a", "b"]);
    h.advance(24_999);
    assert_eq!(h.keys(), Vec::<String>::new());
    assert_eq!(h.timers("a"), []);
}

#[test]
fn an_event_without_the_field_is_counted_and_skipped_by_the_other_functions() {
    let all = json!([
        { "fn": "count" }, { "fn": "sum", "field": "d" }, { "fn": "avg", "field": "d", "as": "mean" },
        { "fn": "min", "field": "d" }, { "fn": "max", "field": "d" }
    ]);
    let check = |events: &[Value], expected: Value| {
        let mut h = every("10s", "0s", &all);
        for event in events {
            send(&mut h, 0, event);
        }
        h.end();
        assert_eq!(values(&mut h), [expected]);
    };
    let row = |count: u64, sum: Value, mean: Value, min: Value, max: Value| json!({ "key": "a", "window_start": 0, "window_end": 10_000, "count": count, "sum_d": sum, "mean": mean, "min_d": min, "max_d": max });
    check(&[json!({ "k": "a" }), json!({ "k": "a", "d": null })], row(2, Value::Null, Value::Null, Value::Null, Value::Null));
    check(
        &[json!({ "k": "a", "d": 3 }), json!({ "k": "a" }), json!({ "k": "a", "d": -1 })],
        row(3, 2.into(), 1.0.into(), (-1).into(), 3.into()),
    );
    check(&[json!({ "k": "a", "d": 1 }), json!({ "k": "a", "d": 0.5 })], row(2, 1.5.into(), 0.75.into(), 0.5.into(), 1.into()));
    check(
        &[json!({ "k": "a", "d": i64::MAX }), json!({ "k": "a", "d": 1 })],
        row(2, 9_223_372_036_854_775_808.0.into(), 4_611_686_018_427_387_904.0.into(), 1.into(), i64::MAX.into()),
    );
}

#[test]
fn the_output_has_the_order_of_the_configuration() {
    let mut h =
        every("1m", "0s", &json!([{ "fn": "max", "field": "d" }, { "fn": "count", "as": "events" }, { "fn": "min", "field": "d" }]));
    send(&mut h, 0, &json!({ "k": "a", "d": 1 }));
    h.end();
    let bytes = h.outputs()[0].value.clone().unwrap();
    let text: String = bytes.iter().map(|byte| if byte.is_ascii_graphic() { *byte as char } else { ' ' }).collect();
    let places: Vec<_> = ["key", "window_start", "window_end", "max_d", "events", "min_d"].iter().map(|name| text.find(name)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
}

#[test]
fn a_field_that_is_no_number_refuses_the_event_and_leaves_no_trace() {
    let mut h = every("10s", "0s", &json!([{ "fn": "count" }, { "fn": "sum", "field": "x.d" }]));
    send(&mut h, 0, &json!({ "k": "a", "x": { "d": 1 } }));
    send(&mut h, 0, &json!({ "k": "a", "x": { "d": "1" } }));
    send(&mut h, 0, &json!({ "k": "b", "x": { "d": true } }));
    assert_eq!(h.rejects().iter().map(|reject| reject.why.as_str()).collect::<Vec<_>>(), ["the field `x.d` is not a number"; 2]);
    assert_eq!(h.keys(), ["a"]);
    h.end();
    assert_eq!(values(&mut h), [json!({ "key": "a", "window_start": 0, "window_end": 10_000, "count": 1, "sum_x.d": 1 })]);
}

#[test]
fn a_key_of_several_fields_comes_out_as_its_parts() {
    let check = |key: &str, expected: Value| {
        let mut h = counts("10s", "0s").key(key);
        send(&mut h, 0, &json!({ "k": "a", "n": 7 }));
        h.end();
        assert_eq!(values(&mut h)[0]["key"], expected);
    };
    check("k", json!("a"));
    check("n", json!("7"));
    check("k, n", json!(["a", "7"]));
    check("$all", json!(""));
}

#[test]
fn a_configuration_that_cannot_be_met_is_refused_in_a_sentence() {
    let hour = json!({ "type": "tumbling", "size": "1h" });
    let check = |written: Value, expected: &str| assert_eq!(config(&written).map(|_| ()), Err(expected.to_owned()));
    let window = |window: Value, expected: &str| {
        check(json!({ "window": window, "aggregate": [{ "fn": "count" }] }), &format!("config field `window`: {expected}"));
    };
    let aggregate = |aggregate: Value, expected: &str| {
        check(json!({ "window": hour, "aggregate": aggregate }), &format!("config field `aggregate`: {expected}"));
    };
    window(
        json!({ "type": "rolling", "size": "1h" }),
        "there are no windows of type `rolling`; there are tumbling, hopping, sliding, session, cumulate, count, batch and global",
    );
    window(json!({ "type": "tumbling" }), "a window has some length: write size = \"1h\"");
    window(json!({ "type": "hopping", "size": "1h" }), "a window has some length: write slide = \"5m\"");
    window(json!({ "type": "session", "size": "1h" }), "a window has some length: write gap = \"30m\"");
    window(json!({ "type": "tumbling", "size": "0s" }), "a window has some length: \"10s\", \"5m\", \"1h\"");
    window(
        json!({ "type": "tumbling", "size": "1h", "offset": "60m" }),
        "the offset shifts tumbling, hopping and cumulating windows, by less than their size",
    );
    window(
        json!({ "type": "hopping", "size": "5m", "slide": "1h" }),
        "the slide is more than nothing and at most the size: hopping windows leave no event out",
    );
    window(json!({ "type": "cumulate", "size": "1d", "step": "7h" }), "the size is a multiple of the step: cumulate(\"1d\", \"1h\")");
    window(json!({ "type": "tumbling", "size": "1h", "gap": "5m" }), "tumbling windows have no gap: remove it");
    window(json!({ "type": "tumbling", "size": 60 }), "`60` is no duration: write its unit too, as in \"60s\"");
    window(json!({ "type": "count", "size": "1h" }), "`1h` is no number of events: write size = 100");
    window(
        json!({ "type": "tumbling", "size": "1d", "zone": "Mars/Base" }),
        "there is no time zone `Mars/Base`: write a name such as Europe/Berlin",
    );
    window(
        json!({ "type": "tumbling", "size": "one hour" }),
        "`one hour` is no duration: write whole numbers with their units, as in 250ms, 30s, 5m, 1h30m, 1d",
    );
    window(
        json!(60),
        "invalid type: integer `60`, expected a length such as \"1h\", or a table such as { type = \"hopping\", size = \"1h\", slide = \"5m\" }",
    );
    window(json!("0s"), "a window has some length: \"10s\", \"5m\", \"1h\"");
    aggregate(json!([]), "it is empty: name at least one, for example { fn = \"count\" }");
    aggregate(
        json!([{ "fn": "median", "field": "d" }]),
        "the function `median` is not supported; there are count, sum, min, max, avg, first, last, distinct, top and quantile",
    );
    aggregate(
        json!([{ "fn": "top", "field": "d" }]),
        "top says how many values it has, from 1 to 1000: { fn = \"top\", field = \"amount\", k = 3 }",
    );
    aggregate(
        json!([{ "fn": "quantile", "field": "d", "q": 95 }]),
        "quantile says which, from 0 to 1: { fn = \"quantile\", field = \"amount\", q = 0.95 }",
    );
    aggregate(json!([{ "fn": "sum", "field": "d", "k": 3 }]), "k belongs to top: remove it from sum");
    aggregate(json!([{ "fn": "sum" }]), "sum needs the field it is made of: { fn = \"sum\", field = \"amount\" }");
    aggregate(json!([{ "fn": "count", "field": "d" }]), "count counts events and takes no field; remove `field = \"d\"`");
    aggregate(json!([{ "fn": "count" }, { "fn": "count" }]), "the output would have `count` twice; give one another name, as = \"…\"");
    aggregate(json!([{ "fn": "count", "as": "key" }]), "the output would have `key` twice; give one another name, as = \"…\"");
    check(
        json!({ "window": hour, "emit": "sometimes", "aggregate": [{ "fn": "count" }] }),
        "config field `emit`: there is no mode `sometimes`; there are on_close, on_update and { early = \"10s\" }",
    );
    check(json!({ "window": hour }), "config field `aggregate` is missing");
    check(
        json!({ "window": hour, "aggregates": [] }),
        "unknown config field `aggregates`: did you mean `aggregate`? valid: `window`, `allowed_lateness`, `emit`, `aggregate`",
    );
}

/// `(key, window start, window end, time, value of the one aggregate)` of everything emitted by these windows, when time ends.
fn told(window: Value, more: Value, events: &[(Millis, &str)]) -> Vec<String> {
    let mut written = json!({ "window": window, "aggregate": [{ "fn": "count", "as": "n" }] });
    more.as_object().unwrap().iter().for_each(|(name, value)| written[name] = value.clone());
    let mut results = Vec::new();
    for batch in [1, 3, 100] {
        let mut h: Harness<Windowing> = Harness::with(config(&written).unwrap()).key("k").batch(batch);
        for (time, key) in events {
            send(&mut h, *time, &json!({ "k": key }));
        }
        h.end();
        let times: Vec<Millis> = h.outputs().iter().map(|sent| sent.time).collect();
        let rows = values(&mut h).into_iter().zip(times);
        let rows = rows.map(|(row, time)| {
            format!("{} [{}, {}) {}", row["key"].as_str().unwrap(), row["window_start"], row["window_end"], row["n"]) + &format!(" @{time}")
        });
        let found: Vec<String> = rows.collect();
        assert!(h.is_idle(), "something is left");
        assert!(results.is_empty() || results == found, "batches of {batch}");
        results = found;
    }
    results
}

#[test]
fn every_kind_of_window_comes_from_the_configuration() {
    let events = [(1_000, "a"), (4_000, "a"), (9_000, "a")];
    let check = |window: Value, more: Value, expected: &[&str]| assert_eq!(told(window.clone(), more, &events), expected, "{window}");
    check(json!({ "type": "tumbling", "size": "5s" }), json!({}), &["a [0, 5000) 2 @4999", "a [5000, 10000) 1 @9999"]);
    check(
        json!({ "type": "hopping", "size": "6s", "slide": "3s" }),
        json!({}),
        &[
            "a [-3000, 3000) 1 @2999",
            "a [0, 6000) 2 @5999",
            "a [3000, 9000) 1 @8999",
            "a [6000, 12000) 1 @11999",
            "a [9000, 15000) 1 @14999",
        ],
    );
    check(
        json!({ "type": "sliding", "size": "3s" }),
        json!({}),
        &["a [-2000, 1001) 1 @1000", "a [1000, 4001) 2 @4000", "a [1001, 4002) 1 @4001", "a [6000, 9001) 1 @9000"],
    );
    check(json!({ "type": "session", "gap": "4s" }), json!({}), &["a [1000, 8000) 2 @7999", "a [9000, 13000) 1 @12999"]);
    check(
        json!({ "type": "cumulate", "size": "6s", "step": "3s" }),
        json!({}),
        &["a [0, 3000) 1 @2999", "a [0, 6000) 2 @5999", "a [6000, 12000) 1 @11999"],
    );
    check(json!({ "type": "count", "size": 2 }), json!({}), &["a [1000, 4001) 2 @4000"]);
    check(
        json!({ "type": "count", "size": 2, "slide": 1 }),
        json!({}),
        &["a [1000, 1001) 1 @1000", "a [1000, 4001) 2 @4000", "a [4000, 9001) 2 @9000"],
    );
    let forever = format!("a [{}, {}) 3 @{}", i64::MIN, i64::MAX, i64::MAX);
    check(json!({ "type": "global" }), json!({}), &[&forever]);
}

#[test]
fn a_window_emits_when_the_configuration_says() {
    let events = [(1_000, "a"), (4_000, "a"), (9_000, "a")];
    let check = |emit: Value, expected: &[&str]| {
        assert_eq!(told(json!({ "type": "tumbling", "size": "10s" }), json!({ "emit": emit }), &events), expected, "{emit}");
    };
    check(json!("on_close"), &["a [0, 10000) 3 @9999"]);
    check(json!("on_update"), &["a [0, 10000) 1 @9999", "a [0, 10000) 2 @9999", "a [0, 10000) 3 @9999"]);
    check(json!({ "count": 2 }), &["a [0, 10000) 2 @9999"]);
    check(json!({ "count": 2, "purge": true }), &["a [0, 10000) 2 @9999"]);
}

#[test]
fn early_results_come_while_the_window_is_open_and_only_with_news() {
    let settings = json!({ "window": { "type": "tumbling", "size": "1m" }, "emit": { "early": "10s" }, "aggregate": [{ "fn": "count" }] });
    let mut h: Harness<Windowing> = Harness::with(config(&settings).unwrap()).key("k");
    send(&mut h, 3_000, &json!({ "k": "a" }));
    h.advance(9_999);
    assert_eq!(closed(&mut h), []);
    h.advance(10_000);
    assert_eq!(closed(&mut h), [(59_999, 0, 1)]);
    h.advance(25_000);
    send(&mut h, 26_000, &json!({ "k": "a" }));
    h.advance(30_000);
    assert_eq!(closed(&mut h), [(59_999, 0, 1), (59_999, 0, 2)]);
    h.end();
    assert_eq!(closed(&mut h), [(59_999, 0, 1), (59_999, 0, 2), (59_999, 0, 2)]);
    assert!(h.is_idle());
}

#[test]
fn a_day_in_a_time_zone_has_23_or_25_hours_when_the_clock_changes() {
    let hour = 3_600_000;
    // The clocks of Berlin went forward on 2024-03-31 and back on 2024-10-27.
    for (noon, hours) in [(1_711_882_800_000, 23), (1_730_026_800_000, 25), (1_730_113_200_000, 24)] {
        let found = told(json!({ "type": "tumbling", "size": "1d", "zone": "Europe/Berlin" }), json!({}), &[(noon, "a")]);
        let start = noon - noon.rem_euclid(24 * hour);
        let day = (start - 2 * hour..=start)
            .step_by(hour as usize)
            .find(|start| found == [format!("a [{start}, {}) 1 @{}", start + hours * hour, start + hours * hour - 1)]);
        assert!(day.is_some(), "{found:?} has not {hours} hours");
    }
}

#[test]
fn all_functions_over_sessions_that_merge() {
    let all = json!([
        { "fn": "first", "field": "d" }, { "fn": "last", "field": "d" }, { "fn": "distinct", "field": "d" }, { "fn": "top", "field": "d", "k": 2 },
        { "fn": "quantile", "field": "d", "q": 0.5 }, { "fn": "avg", "field": "d" }, { "fn": "first", "field": "name", "as": "who" }
    ]);
    let settings = json!({ "window": { "type": "session", "gap": "5s" }, "aggregate": all });
    for batch in [1, 2, 10] {
        let mut h: Harness<Windowing> = Harness::with(config(&settings).unwrap()).key("k").batch(batch);
        for (time, d) in [(0, 5), (10_000, 7), (6_000, 1), (1_000, 5), (5_000, 2)] {
            send(&mut h, time, &json!({ "k": "a", "d": d, "name": format!("n{d}") }));
        }
        h.end();
        let expected = json!({
            "key": "a", "window_start": 0, "window_end": 15_000, "first_d": 5, "last_d": 7, "distinct_d": 4, "top_d": [7, 5], "quantile_d": 5,
            "avg_d": 4.0, "who": "n5",
        });
        assert_eq!(values(&mut h), [expected]);
        assert!(h.is_idle());
    }
}
