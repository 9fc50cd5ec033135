//! Alerts: exactly the limit is not beyond it, and each is told once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

mod support;

use sangam_sdk::Millis;
use serde_json::{Value, json};
use support::{Orders, order, send, take, with};

/// `time: alert start..end name orders` of each alert.
fn alerts(h: &mut Orders) -> Vec<String> {
    let times: Vec<Millis> = h.outputs().iter().filter(|sent| sent.port == "alerts").map(|sent| sent.time).collect();
    let line = |(time, value): (Millis, &Value)| {
        let name = value.get("city").map_or("", |city| city.as_str().unwrap());
        let alert = value["alert"].as_str().unwrap();
        format!("{time}: {alert} {}..{} {name} {}", value["window_start"], value["window_end"], value["orders"])
    };
    let values = take(h, "alerts");
    times.into_iter().zip(&values).map(line).collect()
}

fn orders(h: &mut Orders, time: Millis, city: &str, count: usize) {
    let event = order(city, "tea", 1.0);
    (0..count).for_each(|_| send(h, time, &event));
}

#[test]
fn exactly_the_limit_is_no_alert_and_one_more_is() {
    let check = |rule: Value, counts: &[(&str, usize)], expected: &[&str]| {
        let mut h = with(&json!({ "window": "1h", "update": "0s", "group_by": ["city"], "alerts": [rule] }));
        counts.iter().for_each(|(city, count)| orders(&mut h, 0, city, *count));
        h.end();
        assert_eq!(alerts(&mut h), expected, "{rule} of {counts:?}");
    };
    let high_demand = json!({ "name": "high_demand", "orders_above": 1000 });
    check(high_demand.clone(), &[("Pune", 1_000)], &[]);
    check(high_demand.clone(), &[("Pune", 1_001)], &["3599999: high_demand 0..3600000 Pune 1001"]);
    check(high_demand, &[("Pune", 600), ("Agra", 600)], &[]);
    let trending = json!({ "name": "trending", "orders_above": 100 });
    check(trending.clone(), &[("Pune", 100)], &[]);
    check(trending, &[("Pune", 101), ("Agra", 101)], &["3599999: trending 0..3600000 Agra 101", "3599999: trending 0..3600000 Pune 101"]);
    let peak = json!({ "name": "peak", "of": "window", "orders_above": 10000 });
    check(peak.clone(), &[("Pune", 6_000), ("Agra", 4_000)], &[]);
    check(peak, &[("Pune", 6_000), ("Agra", 4_001)], &["3599999: peak 0..3600000  10001"]);
    let rich = json!({ "name": "rich", "revenue_above": 99.5 });
    check(rich.clone(), &[("Pune", 99)], &[]);
    check(rich, &[("Pune", 100)], &["3599999: rich 0..3600000 Pune 100"]);
    check(json!({ "name": "cents", "revenue_above": 100 }), &[("Pune", 100)], &[]);
    let both = json!({ "name": "both", "orders_above": 5, "revenue_above": 9 });
    check(both.clone(), &[("Pune", 9)], &[]);
    check(both, &[("Pune", 10)], &["3599999: both 0..3600000 Pune 10"]);
}

#[test]
fn an_alert_is_told_with_the_next_news_and_once() {
    let rules = json!([{ "name": "busy", "orders_above": 2 }, { "name": "peak", "of": "window", "orders_above": 3 }]);
    for batch in [1, 2, 100] {
        let mut h = with(&json!({ "window": "1m", "update": "10s", "group_by": ["city"], "alerts": rules })).batch(batch);
        orders(&mut h, 0, "Pune", 2);
        h.advance(10_000);
        assert_eq!(alerts(&mut h), [""; 0]);
        orders(&mut h, 12_000, "Pune", 1);
        h.advance(20_000);
        assert_eq!(alerts(&mut h), ["20000: busy 0..60000 Pune 3"]);
        orders(&mut h, 21_000, "Pune", 9);
        h.advance(40_000);
        assert_eq!(alerts(&mut h), ["30000: peak 0..60000  12"]);
        orders(&mut h, 41_000, "Pune", 9);
        orders(&mut h, 65_000, "Agra", 3);
        h.end();
        assert_eq!(alerts(&mut h), ["70000: busy 60000..120000 Agra 3"], "in batches of {batch}");
    }
}

#[test]
fn windows_that_overlap_have_an_alert_each() {
    let check = |update: &str, expected: &[&str]| {
        let window = json!({ "type": "hopping", "size": "1m", "slide": "30s" });
        let rule = json!({ "name": "busy", "orders_above": 1 });
        let mut h = with(&json!({ "window": window, "update": update, "group_by": ["city"], "alerts": [rule] }));
        for (time, watermark) in [(10_000, 11_000), (19_000, 35_000), (31_000, 70_000), (71_000, 75_000)] {
            orders(&mut h, time, "Pune", 1);
            h.advance(watermark);
        }
        h.end();
        assert_eq!(alerts(&mut h), expected, "update {update}");
    };
    check("0s", &["29999: busy -30000..30000 Pune 2", "59999: busy 0..60000 Pune 3", "89999: busy 30000..90000 Pune 2"]);
    check("10s", &["20000: busy -30000..30000 Pune 2", "20000: busy 0..60000 Pune 2", "80000: busy 30000..90000 Pune 2"]);
}
