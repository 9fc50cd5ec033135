//! What a pipeline that uses the plugin sees: groups, tops, lateness, what is forgotten, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

mod support;

use sangam_sdk::Millis;
use serde_json::{Value, json};
use support::{group, groups, order, read, send, take, tops, with};

#[test]
fn a_window_gives_its_groups_by_name_when_it_closes() {
    let mut h = with(&json!({ "update": "0s" }));
    for (time, city, category, amount) in
        [(0, "Pune", "fuel", 10.0), (59_999, "Pune", "fuel", 20.0), (5, "Agra", "tea", 0.3), (60_000, "Agra", "fuel", 1.0)]
    {
        send(&mut h, time, &order(city, category, amount));
    }
    h.advance(59_998);
    assert_eq!(h.outputs(), []);
    h.advance(59_999);
    let sent: Vec<(String, Millis)> = h.outputs().iter().map(|sent| (sent.key(), sent.time)).collect();
    assert_eq!(sent, [("Agra/tea".to_owned(), 59_999), ("Pune/fuel".to_owned(), 59_999), (String::new(), 59_999)]);
    let closed = take(&mut h, "groups");
    let expected = json!({
        "window_start": 0, "window_end": 60_000, "city": "Pune", "category": "fuel", "orders": 2, "revenue": 30.0, "average": 15.0
    });
    assert_eq!(closed[1], expected);
    h.end();
    assert_eq!(groups(&mut h), ["60000..120000 Agra/fuel 1 1.0"]);
}

#[test]
fn money_adds_up_to_the_cent() {
    let mut h = with(&json!({ "update": "0s" }));
    for _ in 0..1_000 {
        send(&mut h, 0, &order("Pune", "fuel", 0.1));
    }
    h.end();
    assert_eq!(groups(&mut h), ["0..60000 Pune/fuel 1000 100.0"]);
}

#[test]
fn the_top_is_over_all_groups_and_has_the_totals_of_all() {
    let mut h = with(&json!({ "update": "0s", "top": 2 }));
    for (city, category, amount) in [("Pune", "fuel", 5.0), ("Agra", "tea", 7.0), ("Pune", "tea", 6.0), ("Pune", "fuel", 5.0)] {
        send(&mut h, 0, &order(city, category, amount));
    }
    h.end();
    assert_eq!(tops(&mut h), ["0..60000 closed 4 23.0: Pune/fuel 2 10.0, Agra/tea 1 7.0"]);
}

#[test]
fn groups_that_sell_the_same_stand_in_the_order_of_their_names() {
    let check = |by: &str, expected: &str| {
        let mut h = with(&json!({ "update": "0s", "top": 3, "by": by, "group_by": ["city"] }));
        for (city, amount) in [("Pune", 4.0), ("Agra", 4.0), ("Kochi", 1.0), ("Kochi", 1.0), ("Delhi", 3.0), ("Delhi", 1.0)] {
            send(&mut h, 0, &order(city, "tea", amount));
        }
        h.end();
        let top: Vec<String> = take(&mut h, "top").iter().map(|value| support::top(value, &["city"])).collect();
        assert_eq!(top, [expected]);
    };
    check("revenue", "0..60000 closed 6 14.0: Agra 1 4.0, Delhi 2 4.0, Pune 1 4.0");
    check("orders", "0..60000 closed 6 14.0: Delhi 2 4.0, Kochi 2 2.0, Agra 1 4.0");
}

#[test]
fn the_top_runs_along_and_is_silent_when_nothing_has_changed() {
    let mut h = with(&json!({ "window": "1m", "update": "10s" }));
    let mut check = |orders: &[(Millis, &str, f64)], watermark: Millis, expected: &[(Millis, &str)]| {
        for (time, city, amount) in orders {
            send(&mut h, *time, &order(city, "tea", *amount));
        }
        h.advance(watermark);
        let times: Vec<Millis> = h.outputs().iter().filter(|sent| sent.port == "top").map(|sent| sent.time).collect();
        let tops = tops(&mut h);
        let found: Vec<(Millis, &str)> = times.into_iter().zip(tops.iter().map(String::as_str)).collect();
        assert_eq!(found, expected, "watermark {watermark}");
    };
    check(&[(1_000, "Pune", 1.0), (2_000, "Agra", 2.0)], 9_999, &[]);
    check(&[], 10_000, &[(10_000, "0..60000 open 2 3.0: Agra/tea 1 2.0, Pune/tea 1 1.0")]);
    check(&[], 30_000, &[]);
    check(&[(31_000, "Pune", 4.0)], 40_000, &[(40_000, "0..60000 open 3 7.0: Pune/tea 2 5.0, Agra/tea 1 2.0")]);
    check(&[(55_000, "Agra", 9.0), (61_000, "Kochi", 1.0)], 59_998, &[(50_000, "0..60000 open 4 16.0: Agra/tea 2 11.0, Pune/tea 2 5.0")]);
    check(&[], 59_999, &[(59_999, "0..60000 closed 4 16.0: Agra/tea 2 11.0, Pune/tea 2 5.0")]);
    check(&[], 70_000, &[(70_000, "60000..120000 open 1 1.0: Kochi/tea 1 1.0")]);
    check(&[], 119_999, &[(119_999, "60000..120000 closed 1 1.0: Kochi/tea 1 1.0")]);
}

#[test]
fn an_order_is_late_once_its_window_has_closed() {
    let check = |window: Value, watermark: Millis, late: usize| {
        let mut h = with(&json!({ "window": window, "update": "0s" }));
        h.advance(watermark);
        send(&mut h, 7, &order("Pune", "fuel", 1.0));
        assert_eq!(h.late().len(), late, "{window}, watermark {watermark}");
    };
    check(json!("1m"), 59_998, 0);
    check(json!("1m"), 59_999, 1);
    // The last window that has it is [0, 60 s).
    check(json!({ "type": "hopping", "size": "1m", "slide": "20s" }), 59_998, 0);
    check(json!({ "type": "hopping", "size": "1m", "slide": "20s" }), 59_999, 1);
    check(json!({ "type": "cumulate", "size": "1m", "step": "20s" }), 59_998, 0);
    check(json!({ "type": "cumulate", "size": "1m", "step": "20s" }), 59_999, 1);
}

#[test]
fn nothing_is_remembered_of_windows_that_have_closed() {
    let mut h = with(&json!({ "update": "45s" }));
    for time in [0, 61_000, 62_000] {
        send(&mut h, time, &order("Pune", "fuel", 1.0));
    }
    assert_eq!(h.state("").unwrap().iter().map(|(start, _)| start).collect::<Vec<_>>(), [0, 60_000]);
    h.advance(60_000);
    assert_eq!(h.state("").unwrap().iter().map(|(start, _)| start).collect::<Vec<_>>(), [60_000]);
    h.advance(119_999);
    assert!(h.is_idle());
}

#[test]
fn every_kind_of_window_adds_up_what_is_in_it() {
    let orders = [(1_000, "Pune", 1.0), (4_000, "Agra", 2.0), (9_000, "Pune", 4.0)];
    let check = |window: Value, expected: &[&str]| {
        for (batch, update) in [(1, "0s"), (2, "1s"), (100, "0s"), (100, "1s")] {
            let mut h = with(&json!({ "window": window, "update": update })).batch(batch);
            for (time, city, amount) in orders {
                send(&mut h, time, &order(city, "tea", amount));
            }
            h.end();
            assert_eq!(groups(&mut h), expected, "{window} in batches of {batch}, update {update}");
            assert!(h.is_idle(), "{window}");
        }
    };
    check(json!("5s"), &["0..5000 Agra/tea 1 2.0", "0..5000 Pune/tea 1 1.0", "5000..10000 Pune/tea 1 4.0"]);
    check(
        json!({ "type": "tumbling", "size": "5s", "offset": "1s" }),
        &["1000..6000 Agra/tea 1 2.0", "1000..6000 Pune/tea 1 1.0", "6000..11000 Pune/tea 1 4.0"],
    );
    check(
        json!({ "type": "hopping", "size": "10s", "slide": "5s" }),
        &[
            "-5000..5000 Agra/tea 1 2.0",
            "-5000..5000 Pune/tea 1 1.0",
            "0..10000 Agra/tea 1 2.0",
            "0..10000 Pune/tea 2 5.0",
            "5000..15000 Pune/tea 1 4.0",
        ],
    );
    check(
        json!({ "type": "cumulate", "size": "10s", "step": "5s" }),
        &["0..5000 Agra/tea 1 2.0", "0..5000 Pune/tea 1 1.0", "0..10000 Agra/tea 1 2.0", "0..10000 Pune/tea 2 5.0"],
    );
    check(
        json!({ "type": "session", "gap": "4s" }),
        &["1000..8000 Agra/tea 1 2.0", "1000..8000 Pune/tea 1 1.0", "9000..13000 Pune/tea 1 4.0"],
    );
    check(
        json!({ "type": "global" }),
        &["-9223372036854775808..9223372036854775807 Agra/tea 1 2.0", "-9223372036854775808..9223372036854775807 Pune/tea 2 5.0"],
    );
}

#[test]
fn groups_are_told_apart_by_any_fields_of_any_path() {
    let check = |group_by: Value, names: &[&str], expected: &[&str]| {
        let mut h = with(&json!({ "group_by": group_by, "update": "0s" }));
        for (shop, prime) in [(7, true), (12, false), (7, true)] {
            send(&mut h, 0, &json!({ "to": { "city": "Pune" }, "shop": shop, "prime": prime, "amount": 1 }));
        }
        h.end();
        assert_eq!(take(&mut h, "groups").iter().map(|value| group(value, names)).collect::<Vec<_>>(), expected);
    };
    check(json!(["to.city"]), &["city"], &["0..60000 Pune 3 3.0"]);
    check(json!(["shop"]), &["shop"], &["0..60000 12 1 1.0", "0..60000 7 2 2.0"]);
    check(json!(["to.city", "prime"]), &["city", "prime"], &["0..60000 Pune/false 1 1.0", "0..60000 Pune/true 2 2.0"]);
    check(json!([]), &[], &["0..60000  3 3.0"]);
}

#[test]
fn with_another_key_there_is_a_top_for_each() {
    let alerts = json!([{ "name": "any", "of": "window", "orders_above": 0 }]);
    let mut h = with(&json!({ "group_by": ["city"], "update": "0s", "alerts": alerts })).key("country");
    for (country, city, amount) in [("IN", "Pune", 1.0), ("NP", "Patan", 5.0), ("IN", "Agra", 2.0)] {
        send(&mut h, 0, &json!({ "country": country, "city": city, "amount": amount }));
    }
    h.end();
    let keys: Vec<String> = h.outputs().iter().map(|sent| format!("{} {}", sent.port, sent.key())).collect();
    assert_eq!(keys, ["groups Agra", "groups Pune", "alerts IN", "top IN", "groups Patan", "alerts NP", "top NP"]);
    let tops: Vec<String> = take(&mut h, "top").iter().map(|value| support::top(value, &["city"])).collect();
    assert_eq!(tops, ["0..60000 closed 2 3.0: Agra 1 2.0, Pune 1 1.0", "0..60000 closed 1 5.0: Patan 1 5.0"]);
}

#[test]
fn no_two_groups_run_together() {
    let mut h = with(&json!({ "update": "0s" }));
    for (city, category) in [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("a/b", "c"), ("a", "b/c"), ("पुणे", "चाय")]
    {
        send(&mut h, 0, &order(city, category, 1.0));
    }
    h.end();
    assert_eq!(groups(&mut h).len(), 7);
}

#[test]
fn an_order_is_worth_the_product_of_its_fields() {
    let check = |amount: Value, event: Value, expected: &str| {
        let mut h = with(&json!({ "amount": amount, "group_by": [], "update": "0s" }));
        send(&mut h, 0, &event);
        h.end();
        assert_eq!(take(&mut h, "groups").iter().map(|value| value["revenue"].to_string()).collect::<Vec<_>>(), [expected]);
    };
    check(json!(["price", "quantity"]), json!({ "price": 19.99, "quantity": 3 }), "59.97");
    check(json!(["price", "quantity"]), json!({ "price": 19.99, "quantity": 0 }), "0.0");
    check(json!(["price"]), json!({ "price": 250 }), "250.0");
    check(json!("bill.total"), json!({ "bill": { "total": 0.005 } }), "0.01");
}

#[test]
fn only_events_with_the_given_values_are_orders() {
    let check = |only: Value, event: Value, counted: bool| {
        let mut h = with(&json!({ "only": only, "group_by": [], "update": "0s" }));
        send(&mut h, 0, &event);
        assert_eq!(h.keys().len(), usize::from(counted), "{only} {event}");
        h.end();
        assert_eq!(take(&mut h, "groups").len(), usize::from(counted), "{only} {event}");
        assert_eq!((h.rejects().len(), h.late().len(), h.dropped().len()), (0, 0, 0), "{only} {event}");
    };
    let placed = json!({ "event_type": "order_placed" });
    check(placed.clone(), json!({ "event_type": "order_placed", "amount": 1 }), true);
    check(placed.clone(), json!({ "event_type": "delivered", "amount": 1 }), false);
    // What is no order needs nothing that an order has.
    check(placed.clone(), json!({ "event_type": "delivered" }), false);
    check(placed.clone(), json!({ "event_type": null, "amount": 1 }), false);
    check(placed, json!({ "amount": 1 }), false);
    let either = json!({ "status": ["completed", "pending"], "prime": true, "shop": 7 });
    check(either.clone(), json!({ "status": "pending", "prime": true, "shop": 7, "amount": 1 }), true);
    check(either.clone(), json!({ "status": "failed", "prime": true, "shop": 7, "amount": 1 }), false);
    check(either.clone(), json!({ "status": "pending", "prime": false, "shop": 7, "amount": 1 }), false);
    check(either, json!({ "status": "pending", "prime": true, "shop": 8, "amount": 1 }), false);
}

#[test]
fn an_estimate_is_so_much_for_each_order() {
    let mut h = with(&json!({ "group_by": ["area"], "estimates": { "minutes": 15, "bikes": 0.5 }, "update": "0s" }));
    for area in ["Andheri", "Bandra", "Andheri", "Andheri"] {
        send(&mut h, 0, &json!({ "area": area, "amount": 100 }));
    }
    h.end();
    let estimates: Vec<String> = take(&mut h, "groups").iter().map(|v| format!("{} {} {}", v["area"], v["minutes"], v["bikes"])).collect();
    assert_eq!(estimates, ["\"Andheri\" 45.0 1.5", "\"Bandra\" 15.0 0.5"]);
}

#[test]
fn an_order_that_makes_no_sense_is_refused() {
    let check = |event: Value, expected: &str| {
        let mut h = with(&json!({}));
        send(&mut h, 0, &event);
        assert_eq!(h.rejects().iter().map(|reject| reject.why.as_str()).collect::<Vec<_>>(), [expected]);
        assert!(h.is_idle());
    };
    check(json!({ "city": "Pune", "category": "fuel", "amount": -2 }), "-2 is no amount of money");
    check(json!({ "city": "Pune", "category": "fuel", "amount": 1e14 }), "100000000000000 is no amount of money");
    check(json!({ "city": "Pune", "category": "fuel", "amount": "2" }), "the field `amount` is not a number");
    check(json!({ "city": "Pune", "category": "fuel" }), "the field `amount` is missing");
    check(json!({ "city": "Pune", "amount": 2 }), "the field `category` is missing");
    check(
        json!({ "city": 2.5, "category": "fuel", "amount": 2 }),
        "the field `city` names no group: it is neither text, nor a whole number, nor a boolean",
    );
}

#[test]
fn a_refused_order_leaves_its_window_as_it_was() {
    let mut h = with(&json!({ "update": "0s" }));
    send(&mut h, 0, &order("Pune", "fuel", 5.0));
    send(&mut h, 0, &order("Pune", "fuel", -1.0));
    send(&mut h, 0, &order("Agra", "fuel", -1.0));
    h.end();
    assert_eq!(groups(&mut h), ["0..60000 Pune/fuel 1 5.0"]);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let check = |config: Value, expected: &str| assert_eq!(read(&config).map(|_| ()), Err(expected.to_owned()), "{config}");
    check(json!({ "window": "0s" }), "config field `window`: a window has some length: \"10s\", \"5m\", \"1h\"");
    check(
        json!({ "window": { "type": "count", "size": 5 } }),
        "config field `window`: orders are added up in tumbling, hopping, cumulate, session or global windows",
    );
    check(
        json!({ "window": { "type": "sliding", "size": "5s" } }),
        "config field `window`: orders are added up in tumbling, hopping, cumulate, session or global windows",
    );
    check(
        json!({ "update": "often" }),
        "config field `update`: `often` is no duration: write whole numbers with their units, as in 250ms, 30s, 5m, 1h30m, 1d",
    );
    check(
        json!({ "tops": 3 }),
        "unknown config field `tops`: did you mean `top`? valid: `role`, `window`, `group_by`, `amount`, `only`, `top`, `by`, `update`, `alerts`, `estimates`",
    );
    check(json!({ "top": 0 }), "config field `top`: a top has 1 to 1000 groups, not 0");
    check(json!({ "top": 1001 }), "config field `top`: a top has 1 to 1000 groups, not 1001");
    check(json!({ "amount": [] }), "config field `amount`: name at least one field");
    check(json!({ "group_by": ["a.x", "b.x"] }), "config field `group_by`: outputs would have `x` twice");
    check(json!({ "group_by": ["orders"] }), "config field `group_by`: outputs would have `orders` twice");
    check(json!({ "group_by": ["x."] }), "config field `group_by`: it has a field without a name");
    check(
        json!({ "group_by": ["a", "b", "c", "d", "e", "f", "g", "h", "i"] }),
        "config field `group_by`: at most 8 fields tell groups apart, not 9",
    );
    check(json!({ "estimates": { "city": 2 } }), "config field `estimates`: outputs would have `city` twice");
    check(json!({ "alerts": [{ "name": "peak" }] }), "config field `alerts`: `peak` has no limit: add orders_above or revenue_above");
    check(json!({ "alerts": [{ "name": "", "orders_above": 1 }] }), "config field `alerts`: an alert has a name");
    check(
        json!({ "role": "groups", "alerts": [{ "name": "peak", "of": "window", "orders_above": 1 }] }),
        "config field `alerts`: `peak` is of the whole window, which an operator with role = \"groups\" does not see: move it to the one with role = \"top\"",
    );
    check(
        json!({ "role": "top", "alerts": [{ "name": "busy", "orders_above": 1 }] }),
        "config field `alerts`: `busy` is of a group: move it to the operator with role = \"groups\", or say of = \"window\"",
    );
    check(
        json!({ "role": "top", "window": "1h" }),
        "config field `window`: it belongs to the operator that adds up the groups, not to the one with role = \"top\"",
    );
    check(
        json!({ "role": "groups", "top": 3 }),
        "config field `top`: it belongs to the operator that ranks the groups, not to the one with role = \"groups\"",
    );
}
