//! What a pipeline that uses the plugin sees: each rule at its boundary, order of arrival, what is forgotten, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

use fraud_rules::{FraudRules, Rules, Scored};
use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis, hours, minutes};
use serde_json::{Value, json};

fn read(config: &Value) -> Result<FraudRules, String> {
    FraudRules::read(&rmp_serde::to_vec_named(config).unwrap())
}

fn with_rule(rule: &Value) -> Harness<FraudRules> {
    Harness::with(read(&json!({ "rules": [rule] })).unwrap())
}

fn payment(amount: f64) -> Value {
    json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": amount })
}

fn send(h: &mut Harness<FraudRules>, time: Millis, payment: &Value) {
    h.send_raw(time, &rmp_serde::to_vec_named(payment).unwrap());
}

/// The score of each payment, at the time and with the fields given.
fn scores(rule: &Value, payments: &[(Millis, Value)]) -> Vec<f64> {
    let mut h = with_rule(rule);
    for (time, payment) in payments {
        send(&mut h, *time, payment);
    }
    h.take::<Scored>("scored").iter().map(|scored| scored.score).collect()
}

#[test]
fn an_amount_counts_as_large_only_above_the_limit() {
    let check = |amount: f64, expected: f64| {
        let rule = json!({ "type": "amount_above", "amount": 50_000, "weight": 40 });
        assert_eq!(scores(&rule, &[(0, payment(amount))]), [expected], "{amount}");
    };
    check(49_999.99, 0.0);
    check(50_000.0, 0.0);
    check(50_000.01, 40.0);
}

#[test]
fn payments_are_counted_over_the_hour_before_each_and_with_it() {
    let check = |times: &[Millis], expected: &[f64]| {
        let payments: Vec<_> = times.iter().map(|time| (*time, payment(1.0))).collect();
        assert_eq!(scores(&json!({ "type": "velocity_count", "above": 2, "weight": 30 }), &payments), expected, "{times:?}");
    };
    check(&[0, 0, 0, 0], &[0.0, 0.0, 30.0, 30.0]);
    check(&[0, 1, hours(1) - 1], &[0.0, 0.0, 30.0]);
    check(&[0, 1, hours(1)], &[0.0, 0.0, 0.0]);
    check(&[0, minutes(30), minutes(20)], &[0.0, 0.0, 0.0]);
    check(&[0, minutes(30), minutes(20), minutes(30)], &[0.0, 0.0, 0.0, 30.0]);
}

#[test]
fn money_is_summed_over_the_span_exactly() {
    let check = |amounts: &[f64], expected: f64| {
        let payments: Vec<_> = amounts.iter().map(|amount| (0, payment(*amount))).collect();
        let rule = json!({ "type": "velocity_sum", "above": 0.3, "within": "10m", "weight": 25 });
        assert_eq!(scores(&rule, &payments).last(), Some(&expected), "{amounts:?}");
    };
    check(&[0.1, 0.1, 0.1], 0.0);
    check(&[0.1, 0.1, 0.1, 0.01], 25.0);
    check(&[0.31], 25.0);
}

#[test]
fn a_device_is_new_until_it_has_been_used() {
    let check = |first: bool, expected: &[f64]| {
        let devices = ["a", "a", "b", "a", "b"];
        let mut payments: Vec<_> =
            devices.map(|device| (0, json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "device_id": device }))).into();
        payments.push((0, payment(1.0)));
        assert_eq!(scores(&json!({ "type": "new_device", "first": first, "weight": 20 }), &payments), expected, "first = {first}");
    };
    check(true, &[20.0, 0.0, 20.0, 0.0, 0.0, 0.0]);
    check(false, &[0.0, 0.0, 20.0, 0.0, 0.0, 0.0]);
}

#[test]
fn an_amount_is_round_from_the_least_on_and_to_the_cent() {
    let check = |amount: f64, expected: f64| {
        let rule = json!({ "type": "round_amount", "multiple_of": 1_000, "at_least": 10_000, "weight": 15 });
        assert_eq!(scores(&rule, &[(0, payment(amount))]), [expected], "{amount}");
    };
    check(9_000.0, 0.0);
    check(10_000.0, 15.0);
    check(10_000.01, 0.0);
    check(10_500.0, 0.0);
    check(11_000.0, 15.0);
    check(0.0, 0.0);
}

#[test]
fn a_way_too_far_for_the_time_is_impossible_in_either_order() {
    let at = |location: &str| json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "location": location });
    let check = |from: &str, to: &str, elapsed: Millis, expected: f64| {
        let rule = json!({ "type": "impossible_travel", "above_kmh": 500, "above_km": 50, "within": "3h", "weight": 50 });
        assert_eq!(scores(&rule, &[(hours(9), at(from)), (hours(9) + elapsed, at(to))]), [0.0, expected], "{from} to {to} in {elapsed}");
        assert_eq!(scores(&rule, &[(hours(9), at(from)), (hours(9) - elapsed, at(to))]), [0.0, expected], "{from} to {to} in -{elapsed}");
    };
    check("Mumbai", "Delhi", hours(2), 50.0);
    check("Mumbai", "Delhi", hours(3), 0.0);
    check("Mumbai", "Delhi", 0, 50.0);
    check("Mumbai", "Mumbai", 0, 0.0);
    check("Mumbai", "Thane", 0, 0.0);
    check("Mumbai", "Pune", minutes(14), 50.0);
    check("Mumbai", "Pune", minutes(15), 0.0);
    check("Mumbai", "Atlantis", 0, 0.0);
    check("10,70", "-40,-110", hours(3), 50.0);
    check("10,70", "-40,-110", hours(3) + 1, 0.0);
}

#[test]
fn weights_add_up_to_a_hundred_and_alerts_are_those_at_the_alert_level() {
    let check = |weights: &[i64], alert_level: &str, expected: (f64, &str, &str, usize)| {
        let rules: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(i, weight)| json!({ "name": i.to_string(), "type": "amount_above", "amount": 0, "weight": weight }))
            .collect();
        let mut h = Harness::with(read(&json!({ "rules": rules, "alert_level": alert_level })).unwrap());
        send(&mut h, 5, &payment(1.0));
        let (scored, alerts) = (h.take::<Scored>("scored"), h.take::<Scored>("alerts"));
        let one = &scored[0];
        assert_eq!((one.score, one.level.as_str(), one.action.as_str(), alerts.len()), expected, "{weights:?}");
        assert!(alerts.iter().all(|alert| alert == one));
        assert_eq!(one.reasons.len(), weights.len());
    };
    check(&[], "high", (0.0, "low", "allow", 0));
    check(&[39], "medium", (39.0, "low", "allow", 0));
    check(&[40], "medium", (40.0, "medium", "verify", 1));
    check(&[30, 29], "high", (59.0, "medium", "verify", 0));
    check(&[30, 30], "high", (60.0, "high", "review", 1));
    check(&[30, 30, 20], "critical", (80.0, "critical", "block", 1));
    check(&[90, 90], "low", (100.0, "critical", "block", 1));
    check(&[50, -80], "high", (0.0, "low", "allow", 0));
}

#[test]
fn a_payer_who_is_quiet_is_forgotten_by_and_by() {
    let mut h = Harness::with(read(&json!({ "remember": "10h" })).unwrap());
    let event = json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "device_id": "d" });
    send(&mut h, 0, &event);
    send(&mut h, minutes(30), &event);
    assert_eq!(h.timers("ann"), [("idle".to_owned(), hours(1))]);
    h.advance(minutes(90) - 1);
    assert_eq!(h.state("ann").unwrap().history.len(), 2);
    h.advance(minutes(90));
    let payer = h.state("ann").unwrap();
    assert_eq!((payer.history.len(), payer.devices.len()), (0, 1));
    h.advance(minutes(30) + hours(10) - 1);
    assert_eq!(h.keys(), ["ann"]);
    h.advance(minutes(30) + hours(10));
    assert_eq!(h.keys(), Vec::<String>::new());
    assert_eq!(h.timers("ann"), []);
}

#[test]
fn a_payer_who_comes_back_is_forgotten_as_soon_the_next_time() {
    let mut h = Harness::with(read(&json!({ "remember": "10h" })).unwrap());
    let event = json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "device_id": "d" });
    send(&mut h, 0, &event);
    h.advance(hours(1));
    assert_eq!(h.timers("ann"), [("idle".to_owned(), hours(10))]);
    send(&mut h, hours(5), &event);
    h.advance(hours(6) - 1);
    assert_eq!(h.state("ann").unwrap().history.len(), 1);
    h.advance(hours(6));
    assert_eq!(h.state("ann").unwrap().history.len(), 0);
    h.advance(hours(15));
    assert!(h.is_idle());
}

#[test]
fn a_payer_whose_payments_no_rule_looks_at_has_one_timer() {
    let mut h = Harness::with(read(&json!({ "remember": "10h", "rules": [{ "type": "new_device" }] })).unwrap());
    for hour in [0, 3, 6] {
        send(&mut h, hours(hour), &json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "device_id": "d" }));
        assert_eq!(h.timers("ann"), [("idle".to_owned(), hours(10))]);
        h.advance(hours(hour));
    }
    h.advance(hours(16) - 1);
    assert_eq!(h.keys(), ["ann"]);
    h.advance(hours(16));
    assert!(h.is_idle());
}

#[test]
fn a_surge_does_not_make_the_state_grow() {
    let mut h = Harness::with(read(&json!({ "payments_kept": 100 })).unwrap()).batch(512);
    for i in 0..20_000 {
        let time = i * 1_000;
        let event = json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "device_id": format!("d{i}"), "location": "Pune" });
        send(&mut h, time, &event);
        h.advance(time - 5_000);
    }
    let payer = h.state("ann").unwrap();
    assert_eq!(payer.history.len(), 100);
    assert!(payer.tracks[0].buckets.len() <= 61, "{}", payer.tracks[0].buckets.len());
    assert_eq!(payer.devices.len(), 16);
}

#[test]
fn a_payment_that_cannot_be_read_is_refused_by_the_name_of_its_field() {
    let check = |event: Value, expected: &str| {
        let mut h = Harness::with(read(&json!({ "fields": { "device_id": "device.id" } })).unwrap());
        send(&mut h, 0, &event);
        assert_eq!(h.rejects().iter().map(|reject| reject.why.as_str()).collect::<Vec<_>>(), [expected]);
        assert_eq!(h.keys(), Vec::<String>::new());
    };
    check(json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": -1 }), "-1 is no amount of money");
    check(json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1e300 }), &format!("{} is no amount of money", 1e300));
    check(json!({ "transaction_id": "t", "sender_vpa": "ann" }), "the field `amount` is missing");
    check(json!({ "transaction_id": "t", "amount": 1 }), "the key field `sender_vpa` is missing");
    let text = json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": "much" });
    check(text, "field `amount`: expected a number, found a string");
    let device = json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "device": { "id": 7 } });
    check(device, "field `device.id`: expected a string, found an integer");
}

#[test]
fn an_unknown_location_is_counted_and_scored_without() {
    let mut h = Harness::with(read(&json!({})).unwrap());
    send(&mut h, 0, &json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 1, "location": "Atlantis" }));
    assert_eq!(h.counters()["unknown_locations"], 1);
    assert_eq!(h.take::<Scored>("scored").len(), 1);
}

#[test]
fn a_rule_that_makes_no_sense_is_refused_in_a_sentence_that_names_it_and_its_place() {
    let check = |rules: Value, place: &str, expected: &str| {
        let config = json!({ "rules": rules });
        assert_eq!(read(&config).map(|_| ()), Err(format!("config field `rules{place}`: {expected}")), "{rules}");
    };
    let types = "amount_above, amount_in, amount_between, round_amount, odd_hours, velocity_count, velocity_sum, equal_amounts, new_device, \
        short_device, shared_device, impossible_travel, risky_place, merchant_score, new_merchant, category_score, model";
    let one = |rule: Value| json!([{ "type": "new_device" }, rule]);
    check(
        one(json!({ "name": "x", "type": "horoscope" })),
        "[1].type",
        &format!("rule `x` is of the unknown type `horoscope`; there are {types}"),
    );
    check(one(json!({ "weight": 5 })), "[1]", &format!("rule 2 has no type; there are {types}"));
    check(
        one(json!({ "name": "large", "type": "amount_above", "weight": "heavy" })),
        "[1].weight",
        "rule `large`: weight must be a number, not the text `heavy`",
    );
    let unnamed = |settings: Value, setting: &str, expected: &str| {
        let kind = settings["type"].as_str().unwrap().to_owned();
        check(one(settings), &format!("[1].{setting}"), &format!("rule 2 (`{kind}`): {setting} {expected}"));
    };
    unnamed(json!({ "type": "amount_above", "weight": [1] }), "weight", "must be a number, not a list");
    unnamed(json!({ "type": "amount_above", "weight": { "a": 1 } }), "weight", "must be a number, not a table");
    unnamed(json!({ "type": "amount_above", "weight": null }), "weight", "must be a number, not a value of another kind");
    unnamed(json!({ "type": "amount_above", "weight": 1.1e15 }), "weight", "must be a number up to 10^15, not the number 1100000000000000");
    unnamed(json!({ "type": "amount_above", "amount": -5 }), "amount", "must be an amount of money, not the number -5");
    unnamed(json!({ "type": "velocity_sum", "within": 5 }), "within", "must be a duration such as \"1h\", not the number 5");
    unnamed(json!({ "type": "velocity_sum", "within": "0s" }), "within", "must be longer than nothing");
    unnamed(json!({ "type": "round_amount", "multiple_of": 0 }), "multiple_of", "must be more than nothing");
    unnamed(json!({ "type": "equal_amounts", "count": 2.5 }), "count", "must be a whole number from 1 on, not the number 2.5");
    unnamed(json!({ "type": "equal_amounts", "count": 0 }), "count", "must be a whole number from 1 on, not the number 0");
    unnamed(json!({ "type": "amount_in", "amounts": 5 }), "amounts", "must be a list of amounts, not the number 5");
    unnamed(
        json!({ "type": "amount_in", "amounts": [1, "x"] }),
        "amounts",
        "must be a list of amounts of money, and in it, not the text `x`",
    );
    unnamed(json!({ "type": "risky_place", "places": "Pune" }), "places", "must be a list of texts, not the text `Pune`");
    unnamed(json!({ "type": "odd_hours", "to": "6 am" }), "to", "must be a time of day such as \"06:00\", not the text `6 am`");
    unnamed(json!({ "type": "new_device", "first": 1 }), "first", "must be true or false, not the number 1");
    unnamed(json!({ "type": "model", "types": { "p2p": "x" } }), "types.p2p", "must be a number, not the text `x`");
    check(
        one(json!({ "name": "fast", "type": "velocity_sum", "within": "1 hour" })),
        "[1].within",
        "rule `fast`: within: `1 hour` is no duration: write whole numbers with their units, as in 250ms, 30s, 5m, 1h30m, 1d",
    );
    check(
        one(json!({ "name": "fast", "type": "velocity_sum", "limit": 5 })),
        "[1].limit",
        "rule `fast` has no setting `limit`; it has off, name, type, above, within, weight",
    );
    check(one(json!({ "type": "new_device" })), "[1]", "two rules are called `new_device`; name them, name = \"…\"");
}

#[test]
fn everything_that_is_wrong_with_the_rules_is_said_at_once() {
    let rules =
        json!([{ "type": "new_device", "weight": "x" }, { "type": "new_device" }, { "name": "y" , "type": "amount_above", "amount": "z" }]);
    let why = read(&json!({ "rules": rules })).map(|_| ()).unwrap_err();
    assert_eq!(
        why,
        "config field `rules[0].weight`: rule 1 (`new_device`): weight must be a number, not the text `x`; \
         config field `rules[2].amount`: rule `y`: amount must be a number, not the text `z`"
    );
}

#[test]
fn what_else_makes_no_sense_is_refused_too() {
    let check = |config: Value, expected: &str| assert_eq!(read(&config).map(|_| ()), Err(expected.to_owned()));
    check(json!({ "levels": { "medium": 70 } }), "config field `levels`: medium, high and critical must ascend; 70, 60, 80 do not");
    check(
        json!({ "places": { "Nowhere": [91, 0] } }),
        "config field `places`: the place `Nowhere` is nowhere: write [degrees north, degrees east], up to 90 and 180",
    );
    check(json!({ "preset": "gpay" }), "config field `preset`: there is no preset `gpay`; there are upi and paytm");
    check(
        json!({ "zone": "Asia/Atlantis" }),
        "config field `zone`: there is no time zone `Asia/Atlantis`: write a name such as Asia/Kolkata, or how far from UTC, as in +05:30",
    );
    check(
        json!({ "fields": { "device": "d" } }),
        "config field `fields.device`: there is no such field; there are transaction_id, amount, device_id, location, merchant_id, \
         merchant_category, transaction_type, payment_method, device_users, payer",
    );
    check(json!({ "fields": { "amount": "" } }), "config field `fields.amount`: a path is a name, or several joined by dots");
    check(json!({ "payments_kept": 0 }), "config field `payments_kept`: at least one must be kept");
}

#[test]
fn the_rules_in_the_readme_are_the_default_ones() {
    let readme = include_str!("../README.md");
    let block = readme.split("```").nth(1).unwrap().trim_start_matches("toml");
    let pipeline: toml::Table = block.parse().unwrap();
    let config = rmp_serde::to_vec_named(&pipeline["operators"]["fraud-rules"]["config"]).unwrap();
    assert_eq!(FraudRules::read(&config).unwrap().rules, Rules::default());
}

#[test]
fn rules_of_other_payment_systems_are_a_configuration() {
    let wallet = json!({
        "fields": { "device_id": "device_fingerprint" },
        "rules": [
            { "name": "hourly_amount", "type": "velocity_sum", "above": 50_000, "within": "1h", "weight": 40 },
            { "name": "hourly_count", "type": "velocity_count", "above": 20, "within": "1h", "weight": 30 },
            { "name": "daily_amount", "type": "velocity_sum", "above": 200_000, "within": "1d", "weight": 50 },
            { "type": "new_device", "weight": 20 },
            { "name": "flight", "type": "impossible_travel", "above_kmh": 900, "above_km": 0, "weight": 30 },
            { "name": "haste", "type": "impossible_travel", "above_kmh": 100, "above_km": 0, "weight": 20 },
        ],
        "actions": { "low": "approve", "medium": "additional_verification", "high": "manual_review" },
    });
    let mut h = Harness::with(read(&wallet).unwrap()).key("sender_phone");
    for i in 0..6 {
        let amount = json!(40_000);
        send(
            &mut h,
            i * hours(2),
            &json!({ "transaction_id": "t", "sender_phone": "98", "amount": amount, "device_fingerprint": "abcdefghijk" }),
        );
    }
    let scored = h.take::<Scored>("scored");
    assert_eq!(scored.iter().map(|scored| scored.score).collect::<Vec<_>>(), [20.0, 0.0, 0.0, 0.0, 0.0, 50.0]);
    assert_eq!((scored[5].sender_vpa.as_str(), scored[5].action.as_str()), ("98", "additional_verification"));
    assert_eq!(scored[5].reasons[0].rule, "daily_amount");
}

#[test]
fn a_scored_payment_says_what_fired_and_why() {
    let mut h = Harness::with(read(&json!({})).unwrap());
    send(&mut h, 0, &json!({ "transaction_id": "t", "sender_vpa": "ann", "amount": 120_000, "device_id": "d" }));
    let why: Vec<String> =
        h.take::<Scored>("alerts")[0].reasons.iter().map(|reason| format!("{} +{}: {}", reason.rule, reason.weight, reason.why)).collect();
    assert_eq!(
        why,
        [
            "amount_above +40: 120000.00 is above 100000.00",
            "velocity_sum +25: 120000.00 within 1h is above 50000.00",
            "new_device +20: the first device of the payer",
            "round_amount +15: 120000.00 is a multiple of 1000.00",
        ]
    );
}
