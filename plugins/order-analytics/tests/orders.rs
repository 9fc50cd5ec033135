//! What a pipeline that uses the plugin sees: groups, tops, lateness, what is forgotten, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

use order_analytics::{GroupTotal, Order, OrderAnalytics, Top};
use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis};
use serde_json::{Value, json};

fn read(config: &Value) -> Result<OrderAnalytics, String> {
    OrderAnalytics::read(&rmp_serde::to_vec_named(config).unwrap())
}

fn with(config: &Value) -> Harness<OrderAnalytics> {
    Harness::with(read(config).unwrap())
}

fn order<'a>(city: &'a str, category: &'a str, amount: f64) -> Order<'a> {
    Order { category, city, amount }
}

/// `city/category orders revenue` of each group.
fn groups(h: &mut Harness<OrderAnalytics>) -> Vec<String> {
    let line = |group: &GroupTotal| format!("{} {}/{} {} {}", group.window_start, group.city, group.category, group.orders, group.revenue);
    h.take::<GroupTotal>("groups").iter().map(line).collect()
}

/// `window closed first-city revenue` of each top.
fn tops(h: &mut Harness<OrderAnalytics>) -> Vec<String> {
    let line =
        |top: &Top| format!("{} {} {} {}", top.window_start, if top.closed { "closed" } else { "open" }, top.groups[0].city, top.revenue);
    h.take::<Top>("top").iter().map(line).collect()
}

#[test]
fn a_window_gives_its_groups_by_name_when_it_closes() {
    let mut h = with(&json!({ "update": "0s" }));
    h.send(0, order("Pune", "fuel", 10.0)).send(59_999, order("Pune", "fuel", 20.0)).send(5, order("Agra", "tea", 0.3));
    h.send(60_000, order("Agra", "fuel", 1.0)).advance(59_998);
    assert_eq!(h.outputs(), []);
    h.advance(59_999);
    let sent: Vec<(String, Millis)> = h.outputs().iter().map(|sent| (sent.key(), sent.time)).collect();
    assert_eq!(sent, [("Agra/tea".to_owned(), 59_999), ("Pune/fuel".to_owned(), 59_999), (String::new(), 59_999)]);
    let average: Vec<f64> = h.take::<GroupTotal>("groups").iter().map(|group| group.average).collect();
    assert_eq!(average, [0.3, 15.0]);
    h.end();
    assert_eq!(groups(&mut h), ["60000 Agra/fuel 1 1"]);
}

#[test]
fn money_adds_up_to_the_cent() {
    let mut h = with(&json!({ "update": "0s" }));
    for _ in 0..1_000 {
        h.send(0, order("Pune", "fuel", 0.1));
    }
    h.end();
    assert_eq!(groups(&mut h), ["0 Pune/fuel 1000 100"]);
}

#[test]
fn the_top_is_over_all_groups_and_has_the_totals_of_all() {
    let mut h = with(&json!({ "update": "0s", "top": 2 }));
    for (city, category, amount) in [("Pune", "fuel", 5.0), ("Agra", "tea", 7.0), ("Pune", "tea", 6.0), ("Pune", "fuel", 5.0)] {
        h.send(0, order(city, category, amount));
    }
    h.end();
    let top = h.take::<Top>("top").pop().unwrap();
    let sellers: Vec<String> = top.groups.iter().map(|seller| format!("{}/{} {}", seller.city, seller.category, seller.revenue)).collect();
    assert_eq!(sellers, ["Pune/fuel 10", "Agra/tea 7"]);
    assert_eq!((top.closed, top.orders, top.revenue), (true, 4, 23.0));
}

#[test]
fn the_top_runs_along_and_is_silent_when_nothing_has_changed() {
    let mut h = with(&json!({ "window": "1m", "update": "10s" }));
    let mut check = |orders: &[(Millis, &str, f64)], watermark: Millis, expected: &[&str]| {
        for (time, city, amount) in orders {
            h.send(*time, order(city, "tea", *amount));
        }
        h.advance(watermark);
        assert_eq!(tops(&mut h), expected, "watermark {watermark}");
    };
    check(&[(1_000, "Pune", 1.0), (2_000, "Agra", 2.0)], 9_998, &[]);
    check(&[], 9_999, &["0 open Agra 3"]);
    check(&[], 30_000, &[]);
    check(&[(31_000, "Pune", 4.0)], 39_999, &["0 open Pune 7"]);
    check(&[(55_000, "Agra", 9.0), (61_000, "Kochi", 1.0)], 59_998, &[]);
    check(&[], 59_999, &["0 closed Agra 16"]);
    check(&[], 69_999, &["60000 open Kochi 1"]);
    check(&[], 119_999, &["60000 closed Kochi 1"]);
}

#[test]
fn an_order_is_late_once_its_window_has_closed() {
    let check = |watermark: Millis, late: usize| {
        let mut h = with(&json!({}));
        h.advance(watermark);
        h.send(7, order("Pune", "fuel", 1.0));
        assert_eq!(h.late().len(), late, "watermark {watermark}");
    };
    check(59_998, 0);
    check(59_999, 1);
}

#[test]
fn nothing_is_remembered_of_windows_that_have_closed() {
    let mut h = with(&json!({ "update": "45s" }));
    for time in [0, 61_000, 62_000] {
        h.send(time, order("Pune", "fuel", 1.0));
    }
    assert_eq!(h.state("").unwrap().groups.len(), 2);
    h.advance(60_000);
    assert_eq!(h.state("").unwrap().groups.len(), 1);
    h.advance(119_999);
    assert_eq!(h.keys(), Vec::<String>::new());
    assert_eq!(h.timers(""), []);
}

#[test]
fn an_order_that_makes_no_sense_is_refused() {
    let check = |event: Value, expected: &str| {
        let mut h = with(&json!({}));
        h.send_raw(0, &rmp_serde::to_vec_named(&event).unwrap());
        assert_eq!(h.rejects().iter().map(|reject| reject.why.as_str()).collect::<Vec<_>>(), [expected]);
        assert_eq!(h.keys(), Vec::<String>::new());
    };
    check(json!({ "city": "Pune", "category": "fuel", "amount": -2 }), "-2 is no amount of money");
    check(json!({ "city": "Pune", "category": "fuel", "amount": "2" }), "field `amount`: expected a number, found a string");
    check(json!({ "city": "Pune", "amount": 2 }), "the field `category` is missing");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let check = |config: Value, expected: &str| assert_eq!(read(&config).map(|_| ()), Err(expected.to_owned()));
    check(json!({ "window": "0s" }), "config field `window`: a window has some length: write \"1m\"");
    check(
        json!({ "update": "often" }),
        "config field `update`: `often` is no duration: write whole numbers with their units, as in 250ms, 30s, 5m, 1h30m, 1d",
    );
    check(json!({ "tops": 3 }), "unknown config field `tops`: did you mean `top`? valid: `window`, `top`, `update`");
}
