//! What a pipeline that uses the plugin sees: windows, lateness, values, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis};
use serde_json::{Value, json};
use windowing::Windowing;

fn config(config: &Value) -> Result<Windowing, String> {
    Windowing::read(&rmp_serde::to_vec_named(config).unwrap())
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
        let windowing = config(&json!({ "window": window, "aggregate": [{ "fn": "count" }] })).unwrap();
        let found = windowing.window.around(time);
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
    assert_eq!(h.state("a").unwrap().open.iter().map(|open| open.start).collect::<Vec<_>>(), [10_000]);
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
    window(json!({ "type": "sliding", "size": "1h" }), "windows of type `sliding` are not supported; there are tumbling ones");
    window(json!({ "type": "tumbling" }), "a window has some length: write size = \"1h\"");
    window(json!({ "type": "tumbling", "size": "0s" }), "a window has some length: write size = \"1h\"");
    window(json!({ "type": "tumbling", "size": "1h", "offset": "60m" }), "the offset must be less than the size");
    window(
        json!({ "type": "tumbling", "size": "one hour" }),
        "`one hour` is no duration: write a whole number and a unit, as in 250ms, 30s, 5m, 1h, 1d",
    );
    window(json!("1h"), "invalid type: string \"1h\", expected a table such as { type = \"tumbling\", size = \"1h\" }");
    aggregate(json!([]), "it is empty: name at least one, for example { fn = \"count\" }");
    aggregate(json!([{ "fn": "median", "field": "d" }]), "the function `median` is not supported; there are count, sum, min, max and avg");
    aggregate(json!([{ "fn": "sum" }]), "sum needs the field it is made of: { fn = \"sum\", field = \"amount\" }");
    aggregate(json!([{ "fn": "count", "field": "d" }]), "count counts events and takes no field; remove `field = \"d\"`");
    aggregate(json!([{ "fn": "count" }, { "fn": "count" }]), "the output would have `count` twice; give one another name, as = \"…\"");
    aggregate(json!([{ "fn": "count", "as": "key" }]), "the output would have `key` twice; give one another name, as = \"…\"");
    check(
        json!({ "window": hour, "emit": "on_update", "aggregate": [{ "fn": "count" }] }),
        "config field `emit`: the mode `on_update` is not supported; there is on_close",
    );
    check(json!({ "window": hour }), "config field `aggregate` is missing");
    check(
        json!({ "window": hour, "aggregates": [] }),
        "unknown config field `aggregates`: did you mean `aggregate`? valid: `window`, `allowed_lateness`, `emit`, `aggregate`",
    );
}
