//! Two operators in a row: the first adds up groups, each under its own key, the second ranks them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

mod support;

use sangam_sdk::Millis;
use serde_json::{Value, json};
use support::{Orders, groups, order, read, send, take, tops, with};

/// The two operators of a pipeline, with the watermark that goes from one to the other.
struct Steps {
    groups: Orders,
    top: Orders,
    passed: usize,
}

impl Steps {
    fn new(groups: &Value, top: &Value) -> Steps {
        let mut first = json!({ "role": "groups" });
        let mut second = json!({ "role": "top" });
        for (step, more) in [(&mut first, groups), (&mut second, top)] {
            more.as_object().unwrap().iter().for_each(|(name, value)| step[name] = value.clone());
        }
        Steps { groups: with(&first).key("city, category"), top: with(&second), passed: 0 }
    }

    fn send(&mut self, time: Millis, city: &str, amount: f64) -> &mut Self {
        send(&mut self.groups, time, &order(city, "tea", amount));
        self
    }

    /// What the first operator emits reaches the second before the watermark does.
    fn advance(&mut self, watermark: Millis) -> &mut Self {
        self.groups.advance(watermark);
        self.pass();
        self.top.advance(watermark);
        self
    }

    fn end(&mut self) -> &mut Self {
        self.groups.end();
        self.pass();
        self.top.end();
        self
    }

    fn pass(&mut self) {
        for sent in &self.groups.outputs()[self.passed..] {
            assert_eq!(sent.port, "groups");
            self.top.send_raw(sent.time, sent.value.as_ref().unwrap());
        }
        self.passed = self.groups.outputs().len();
    }
}

#[test]
fn the_second_operator_gives_the_top_of_each_window() {
    for window in [
        json!("1m"),
        json!({ "type": "hopping", "size": "1m", "slide": "30s" }),
        json!({ "type": "cumulate", "size": "1m", "step": "30s" }),
    ] {
        let orders = [(1_000, "Pune", 1.0), (2_000, "Agra", 2.0), (35_000, "Pune", 4.0), (36_000, "Kochi", 4.5), (61_000, "Agra", 3.0)];
        let mut alone = with(&json!({ "window": window, "top": 2, "update": "0s" }));
        let mut steps = Steps::new(&json!({ "window": window }), &json!({ "top": 2, "update": "0s" }));
        for (time, city, amount) in orders {
            send(&mut alone, time, &order(city, "tea", amount));
            steps.send(time, city, amount);
            alone.advance(time - 5_000);
            steps.advance(time - 5_000);
        }
        alone.end();
        steps.end();
        let expected = tops(&mut alone);
        assert!(expected.len() >= 2);
        assert_eq!(tops(&mut steps.top), expected, "{window}");
        assert!(steps.groups.is_idle() && steps.top.is_idle());
        assert_eq!(steps.top.late(), []);
    }
}

#[test]
fn the_top_runs_along_as_the_groups_tell_their_news() {
    let mut steps = Steps::new(&json!({ "update": "10s" }), &json!({ "top": 2 }));
    steps.send(1_000, "Pune", 1.0).send(2_000, "Agra", 2.0).send(3_000, "Kochi", 0.5).advance(9_999);
    assert_eq!(tops(&mut steps.top), [""; 0]);
    // All groups of one time are in one top, which comes when the watermark has passed that time.
    steps.advance(10_000).advance(10_001);
    assert_eq!(tops(&mut steps.top), ["0..60000 open 3 3.5: Agra/tea 1 2.0, Pune/tea 1 1.0"]);
    steps.send(12_000, "Kochi", 9.0).advance(45_000);
    assert_eq!(tops(&mut steps.top), ["0..60000 open 4 12.5: Kochi/tea 2 9.5, Agra/tea 1 2.0"]);
    steps.advance(59_998);
    assert_eq!(tops(&mut steps.top), [""; 0]);
    steps.advance(59_999);
    assert_eq!(tops(&mut steps.top), ["0..60000 closed 4 12.5: Kochi/tea 2 9.5, Agra/tea 1 2.0"]);
    assert!(steps.groups.is_idle() && steps.top.is_idle());
}

#[test]
fn groups_from_several_slices_are_ranked_when_all_have_told() {
    let mut h = with(&json!({ "role": "top" }));
    let mut tell = |city: &str, time: Millis, watermark: Millis| {
        let result = json!({
            "window_start": 0, "window_end": 60_000, "city": city, "category": "tea",
            "orders": time, "revenue": 1.0, "orders_added": 1, "revenue_added": 1.0
        });
        send(&mut h, time, &result);
        h.advance(watermark);
        tops(&mut h).len()
    };
    assert_eq!(tell("Pune", 10_000, 9_000), 0);
    assert_eq!(tell("Agra", 10_000, 12_000), 1);
    // One slice is ahead of the other one.
    assert_eq!(tell("Pune", 20_000, 13_000), 0);
    assert_eq!(tell("Pune", 30_000, 18_000), 0);
    assert_eq!(tell("Agra", 20_000, 20_001), 1);
    assert_eq!(tell("Agra", 30_000, 59_998), 1);
}

#[test]
fn a_group_tells_what_it_has_and_what_of_it_is_new() {
    let mut steps = Steps::new(&json!({ "update": "10s" }), &json!({}));
    steps.send(1_000, "Pune", 1.5).advance(10_000).send(11_000, "Pune", 2.0).send(12_000, "Pune", 3.0).advance(20_000).end();
    let times: Vec<(String, Millis)> = steps.groups.outputs().iter().map(|sent| (sent.key(), sent.time)).collect();
    assert_eq!(times, [10_000, 20_000, 59_999].map(|time| ("Pune/tea".to_owned(), time)));
    let news: Vec<String> = take(&mut steps.groups, "groups")
        .iter()
        .map(|v| format!("{} {} {} {} {}", v["closed"], v["orders"], v["revenue"], v["orders_added"], v["revenue_added"]))
        .collect();
    assert_eq!(news, ["false 1 1.5 1 1.5", "false 3 6.5 2 5.0", "true 3 6.5 0 0.0"]);
}

#[test]
fn a_window_of_many_groups_is_watched_by_the_operator_that_sees_them_all() {
    let alerts = json!([{ "name": "peak", "of": "window", "orders_above": 3 }]);
    let check = |cities: &[&str], expected: usize| {
        let mut steps = Steps::new(&json!({ "update": "10s" }), &json!({ "alerts": alerts }));
        cities.iter().for_each(|city| {
            steps.send(0, city, 1.0);
        });
        steps.advance(30_000).end();
        assert_eq!(take(&mut steps.top, "alerts").len(), expected, "{cities:?}");
    };
    check(&["Pune", "Agra", "Pune"], 0);
    check(&["Pune", "Agra", "Pune", "Kochi"], 1);
    check(&["Pune", "Agra", "Pune", "Kochi", "Kochi"], 1);
}

/// Bytes of the state of a key.
fn bytes(h: &mut Orders, key: &str) -> usize {
    let mut bytes = Vec::new();
    sangam_sdk::Encode::encode(&h.state(key).unwrap(), &mut bytes);
    bytes.len()
}

#[test]
fn a_ranking_keeps_no_more_groups_than_it_shows() {
    let mut steps = Steps::new(&json!({ "update": "0s" }), &json!({ "top": 3 }));
    for i in 0..500 {
        steps.send(0, &format!("city-{i:03}"), f64::from((i * 7_919) % 500));
    }
    steps.groups.advance(59_999);
    steps.pass();
    let kept = bytes(&mut steps.top, "");
    assert!(kept < 150, "{kept} bytes for three groups of 500");
    steps.end();
    assert_eq!(tops(&mut steps.top).len(), 1);
}

#[test]
fn a_group_is_small() {
    let name = "city-000".len() + "tea".len();
    let mut alone = with(&json!({}));
    let mut steps = Steps::new(&json!({}), &json!({}));
    for i in 0..1_000 {
        let city = format!("city-{:03}", i % 500);
        send(&mut alone, 0, &order(&city, "tea", 499.99));
        steps.send(0, &city, 499.99);
    }
    let each = bytes(&mut alone, "") / 500;
    assert!(each <= 24 + name, "{each} bytes for a group among others");
    let key = steps.groups.keys()[0].clone();
    let own = bytes(&mut steps.groups, &key);
    assert!(own <= 32, "{own} bytes for a group under its own key");
}

#[test]
fn a_key_that_is_not_the_group_is_refused() {
    let check = |key: &str, group_by: Value, why: &str| {
        let mut h = with(&json!({ "role": "groups", "group_by": group_by })).key(key);
        send(&mut h, 0, &order("Pune", "tea", 1.0));
        let found: Vec<&str> = h.rejects().iter().map(|reject| reject.why.as_str()).collect();
        assert_eq!(found, if why.is_empty() { vec![] } else { vec![why] }, "key {key}");
        assert_eq!(h.is_idle(), !why.is_empty());
    };
    let pair = json!(["city", "category"]);
    let say = "with role = \"groups\" the operator's key is the group: write key = [\"city\", \"category\"] in the pipeline";
    check("city, category", pair.clone(), "");
    check("category, city", pair.clone(), say);
    check("city", pair.clone(), say);
    check("$all", pair, say);
    check("city", json!(["city"]), "");
    check("category", json!(["city"]), "with role = \"groups\" the operator's key is the group: write key = [\"city\"] in the pipeline");
}

#[test]
fn a_single_field_is_a_key_and_a_name() {
    let mut h = with(&json!({ "role": "groups", "group_by": ["city"], "update": "0s" })).key("city");
    for city in ["Pune", "Agra", "Pune"] {
        send(&mut h, 0, &order(city, "tea", 1.0));
    }
    h.end();
    let sold: Vec<String> = take(&mut h, "groups").iter().map(|value| support::group(value, &["city"])).collect();
    assert_eq!(sold, ["0..60000 Pune 2 2.0", "0..60000 Agra 1 1.0"], "keys close in the order in which they were opened");
}

#[test]
fn what_is_no_result_of_a_group_is_refused() {
    let result = json!({
        "window_start": 0, "window_end": 60_000, "city": "Pune", "category": "tea",
        "orders": 1, "revenue": 2.0, "orders_added": 1, "revenue_added": 2.0
    });
    let check = |field: &str, value: Value, why: &str| {
        let mut h = with(&json!({ "role": "top" }));
        let mut event = result.clone();
        event[field] = value;
        send(&mut h, 0, &event);
        let found: Vec<&str> = h.rejects().iter().map(|reject| reject.why.as_str()).collect();
        assert_eq!(found, if why.is_empty() { vec![] } else { vec![why] });
        h.end();
        assert!(groups(&mut h).is_empty() && h.is_idle());
    };
    check("orders", json!(1), "");
    check("window_start", Value::Null, "the field `window_start` is missing");
    check("window_end", json!("soon"), "the field `window_end` is not a number");
    check("window_end", json!(0), "its window ends at 0, before it has begun at 0");
    check("city", Value::Null, "the field `city` is missing");
    check("orders", json!(-1), "the field `orders` is not a number");
    check("revenue_added", Value::Null, "the field `revenue_added` is missing");
    assert!(read(&json!({ "role": "first" })).is_err());
}
