//! Every type of rule at its boundaries; the types that need no history beyond a payment or two.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of this plugin")]
mod support;

use sangam_sdk::{Millis, hours, minutes, seconds};
use serde_json::{Value, json};
use support::{harness, payment, scored, scores, scores_under, send};

/// The score of one payment with these fields at time 0.
fn score(rule: &Value, fields: &Value) -> f64 {
    scores(rule, &[(0, fields.clone())])[0]
}

#[test]
fn an_amount_above_a_limit_fires_from_the_next_hundredth_on() {
    for limit in [50_000.0, 25_000.0, 10_000.0] {
        let rule = json!({ "type": "amount_above", "amount": limit, "weight": 40 });
        let check = |amount: f64, expected: f64| assert_eq!(score(&rule, &json!({ "amount": amount })), expected, "{amount} above {limit}");
        check(limit - 0.01, 0.0);
        check(limit, 0.0);
        check(limit + 0.01, 40.0);
    }
}

#[test]
fn a_listed_amount_is_met_to_the_hundredth() {
    let rule = json!({ "type": "amount_in", "amounts": [9_999, 24_999, 49_999, 99_999], "weight": 35 });
    let check = |amount: f64, expected: f64| assert_eq!(score(&rule, &json!({ "amount": amount })), expected, "{amount}");
    check(9_998.99, 0.0);
    check(9_999.0, 35.0);
    check(9_999.01, 0.0);
    check(24_999.0, 35.0);
    check(49_999.0, 35.0);
    check(99_999.0, 35.0);
    check(100_000.0, 0.0);
    let default = json!({ "type": "amount_in" });
    assert_eq!(score(&default, &json!({ "amount": 25_000 })), 20.0);
    assert_eq!(score(&json!({ "type": "amount_in", "amounts": [] }), &json!({ "amount": 25_000 })), 0.0);
}

#[test]
fn an_amount_between_two_includes_both() {
    let rule = json!({ "type": "amount_between", "from": 9_000, "to": 9_999, "weight": 25 });
    let check = |amount: f64, expected: f64| assert_eq!(score(&rule, &json!({ "amount": amount })), expected, "{amount}");
    check(8_999.99, 0.0);
    check(9_000.0, 25.0);
    check(9_500.5, 25.0);
    check(9_999.0, 25.0);
    check(9_999.01, 0.0);
}

#[test]
fn nine_thousand_nine_hundred_ninety_nine_is_both_just_below_and_in_the_range() {
    let rules = json!({ "rules": [{ "type": "amount_in", "amounts": [9_999], "weight": 35 }, { "type": "amount_between", "weight": 25 }] });
    let check = |amount: f64, expected: f64| assert_eq!(scores_under(&rules, &[(0, json!({ "amount": amount }))]), [expected], "{amount}");
    check(9_998.0, 25.0);
    check(9_999.0, 60.0);
    check(10_000.0, 0.0);
}

/// Midnight of 2023-11-15 in India, in UTC.
const MIDNIGHT_IN_INDIA: Millis = 1_699_986_600_000;

#[test]
fn odd_hours_are_those_of_the_zone_and_for_amounts_above_the_limit() {
    let score_at = |zone: &str, time: Millis, amount: f64| {
        let config =
            json!({ "zone": zone, "rules": [{ "type": "odd_hours", "from": "00:00", "to": "06:00", "above": 10_000, "weight": 15 }] });
        scores_under(&config, &[(time, json!({ "amount": amount }))])[0]
    };
    for zone in ["Asia/Kolkata", "+05:30"] {
        let check = |after: Millis, amount: f64, expected: f64| {
            assert_eq!(score_at(zone, MIDNIGHT_IN_INDIA + after, amount), expected, "{amount} {after} ms after midnight, {zone}");
        };
        check(-1, 10_001.0, 0.0);
        check(0, 10_001.0, 15.0);
        check(hours(5) + minutes(59), 10_001.0, 15.0);
        check(hours(6) - 1, 10_001.0, 15.0);
        check(hours(6), 10_001.0, 0.0);
        check(hours(3), 10_000.0, 0.0);
        check(hours(3), 10_000.01, 15.0);
    }
    // Midnight in India is half past six in the evening in London.
    assert_eq!(score_at("UTC", MIDNIGHT_IN_INDIA, 10_001.0), 0.0);
    assert_eq!(score_at("Europe/Berlin", MIDNIGHT_IN_INDIA + hours(5), 10_001.0), 15.0);
}

#[test]
fn a_new_device_with_a_large_payment_fires_above_the_limit_and_only_while_it_is_new() {
    let check = |amount: f64, expected: &[f64]| {
        let rules = json!({ "rules": [
            { "type": "new_device", "weight": 20 },
            { "name": "large", "type": "new_device", "above": 25_000, "weight": 15 },
        ] });
        let payments = ["a", "b", "a"].map(|device| (0, json!({ "amount": amount, "device_id": device })));
        assert_eq!(scores_under(&rules, &payments), expected, "{amount}");
    };
    check(24_999.99, &[20.0, 20.0, 0.0]);
    check(25_000.0, &[20.0, 20.0, 0.0]);
    check(25_000.01, &[35.0, 35.0, 0.0]);
}

#[test]
fn a_device_id_is_short_below_ten_characters_whatever_bytes_they_take() {
    let rule = json!({ "type": "short_device", "below": 10, "weight": 35 });
    let check = |device: Value, expected: f64| assert_eq!(score(&rule, &json!({ "device_id": device })), expected, "{device}");
    check(json!(""), 35.0);
    check(json!("123456789"), 35.0);
    check(json!("1234567890"), 0.0);
    check(json!("ääääääääää"), 0.0);
    check(json!("äääääääää"), 35.0);
    check(Value::Null, 0.0);
}

#[test]
fn a_device_is_shared_above_the_number_of_users() {
    let rule = json!({ "type": "shared_device", "above": 3, "weight": 30 });
    let check = |users: Value, expected: f64| assert_eq!(score(&rule, &json!({ "device_users": users })), expected, "{users}");
    check(json!(3), 0.0);
    check(json!(4), 30.0);
    check(Value::Null, 0.0);
}

#[test]
fn the_two_speeds_of_travel_never_fire_together() {
    let rules = json!({ "rules": [
        { "name": "flight", "type": "impossible_travel", "above_kmh": 900, "above_km": 0, "within": "30d", "weight": 50 },
        { "name": "haste", "type": "impossible_travel", "above_kmh": 100, "up_to_kmh": 900, "above_km": 0, "within": "30d", "weight": 20 },
    ] });
    // A degree along the equator is 111.195 km: 111.195 hours at 1 km/h.
    let check = |degrees: f64, kmh: f64, slack: Millis, expected: f64| {
        let elapsed = (degrees * std::f64::consts::PI * 6_371.0 / 180.0 / kmh * hours(1) as f64) as Millis + slack;
        let payments = [(0, json!({ "location": "0,0" })), (elapsed, json!({ "location": format!("0,{degrees}") }))];
        assert_eq!(scores_under(&rules, &payments)[1], expected, "{degrees} degrees at {kmh} km/h and {slack} ms");
    };
    check(10.0, 900.0, 0, 50.0);
    check(10.0, 900.0, 1, 20.0);
    check(10.0, 100.0, 0, 20.0);
    check(10.0, 100.0, 1, 0.0);
    check(0.0, 1.0, 0, 0.0);
    check(0.001, 1e9, 0, 50.0);
}

#[test]
fn slow_travel_counts_only_above_so_many_kilometres() {
    let rule = json!({ "type": "impossible_travel", "above_kmh": 100, "up_to_kmh": 500, "above_km": 50, "weight": 20 });
    let km = |km: f64| format!("0,{}", km / (std::f64::consts::PI * 6_371.0 / 180.0));
    let check = |distance: f64, expected: f64| {
        // At 200 km/h.
        let elapsed = (distance / 200.0 * hours(1) as f64) as Millis;
        let payments = [(0, json!({ "location": "0,0" })), (elapsed, json!({ "location": km(distance) }))];
        assert_eq!(scores(&rule, &payments)[1], expected, "{distance} km");
    };
    check(49.9, 0.0);
    check(50.1, 20.0);
}

#[test]
fn a_risky_place_is_one_of_the_list() {
    let rule = json!({ "type": "risky_place", "places": ["Surat", "12.5,77.5"], "weight": 15 });
    let check = |place: Value, expected: f64| assert_eq!(score(&rule, &json!({ "location": place })), expected, "{place}");
    check(json!("Surat"), 15.0);
    check(json!("surat"), 0.0);
    check(json!("Pune"), 0.0);
    check(json!("12.5,77.5"), 15.0);
    check(Value::Null, 0.0);
    assert_eq!(score(&json!({ "type": "risky_place" }), &json!({ "location": "Surat" })), 0.0);
}

#[test]
fn a_merchant_is_judged_by_its_score_in_the_table_once() {
    let config = json!({
        "merchants": { "m50": 50, "m50_1": 50.1, "m70": 70, "m71": 71 },
        "rules": [
            { "name": "risky", "type": "merchant_score", "above": 70, "weight": 30 },
            { "name": "doubtful", "type": "merchant_score", "above": 50, "up_to": 70, "weight": 15 },
        ],
    });
    let check = |merchant: Value, expected: f64| {
        assert_eq!(scores_under(&config, &[(0, json!({ "merchant_id": merchant }))]), [expected], "{merchant}");
    };
    check(json!("m50"), 0.0);
    check(json!("m50_1"), 15.0);
    check(json!("m70"), 15.0);
    check(json!("m71"), 30.0);
    check(json!("unknown"), 0.0);
    check(Value::Null, 0.0);
}

#[test]
fn a_category_is_judged_by_its_table() {
    let config = json!({ "categories": { "gambling": 90, "books": 0 }, "rules": [{ "type": "category_score", "above": 0, "weight": 5 }] });
    let check = |category: Value, expected: f64| {
        assert_eq!(scores_under(&config, &[(0, json!({ "merchant_category": category }))]), [expected], "{category}");
    };
    check(json!("gambling"), 5.0);
    check(json!("books"), 0.0);
    check(json!("travel"), 0.0);
    check(Value::Null, 0.0);
}

#[test]
fn a_merchant_is_new_for_thirty_days_from_the_payers_first_payment_on() {
    let rule = json!({ "type": "new_merchant", "contains": "NEW", "within": "30d", "weight": 10 });
    let check = |payments: &[(Millis, &str)], expected: &[f64]| {
        let payments: Vec<_> = payments.iter().map(|(time, merchant)| (*time, json!({ "merchant_id": merchant }))).collect();
        assert_eq!(scores(&rule, &payments), expected, "{payments:?}");
    };
    let month = hours(30 * 24);
    check(&[(0, "shop"), (month - 1, "shop"), (month, "shop")], &[10.0, 10.0, 0.0]);
    check(&[(0, "shop"), (month, "other"), (month, "shop")], &[10.0, 10.0, 0.0]);
    check(&[(0, "NEWSTAND"), (month, "NEWSTAND"), (2 * month, "A-NEW-SHOP")], &[10.0, 10.0, 10.0]);
    assert_eq!(scores(&rule, &[(0, json!({}))]), [0.0]);
}

#[test]
fn a_model_adds_points_in_silence_up_to_its_line_and_is_a_factor_above() {
    // With a bias alone the probability is known: 0.5, and 0.8 for ln 4.
    let run = |bias: f64| {
        let mut h = harness(&json!({ "rules": [{ "type": "model", "weight": 30, "factor_above": 15, "bias": bias }] }));
        send(&mut h, 0, &payment(&json!({})));
        let one = scored(&mut h).remove(0);
        (one.score, one.reasons.iter().map(|reason| format!("{} +{}: {}", reason.rule, reason.weight, reason.why)).collect::<Vec<_>>())
    };
    assert_eq!(run(0.0), (15.0, vec![]));
    assert_eq!(run(4f64.ln()), (24.0, vec!["model +24: the model says 80 %".to_owned()]));
    assert_eq!(run(-1e9), (0.0, vec![]));
}

#[test]
fn a_model_sees_the_score_of_the_rules_before_it() {
    let model = json!({ "type": "model", "weight": 100, "score": 0.1, "bias": -4 });
    let large = json!({ "type": "amount_above", "amount": 0, "weight": 40 });
    let check = |rules: Value, expected: f64| assert_eq!(scores_under(&json!({ "rules": rules }), &[(0, json!({}))]), [expected]);
    check(json!([large, model]), 90.0);
    check(json!([model, large]), 41.8);
}

#[test]
fn a_model_takes_the_type_the_method_and_the_local_weekend_into_account() {
    let config = json!({ "zone": "Asia/Kolkata", "rules": [{
        "type": "model", "weight": 100, "weekend": 1, "types": { "p2p": 2 }, "methods": { "card": 4 }, "bias": -7,
    }] });
    // 2023-11-18 was a Saturday; in India it began at half past six in the evening.
    let saturday = MIDNIGHT_IN_INDIA + hours(72);
    let check = |time: Millis, fields: Value, sum: f64| {
        let expected = (100.0 / (1.0 + f64::exp(7.0 - sum)) * 100.0).round() / 100.0;
        assert_eq!(scores_under(&config, &[(time, fields.clone())]), [expected], "{fields} at {time}");
    };
    check(saturday - 1, json!({}), 0.0);
    check(saturday, json!({}), 1.0);
    check(saturday + hours(48) - 1, json!({}), 1.0);
    check(saturday + hours(48), json!({}), 0.0);
    check(0, json!({ "transaction_type": "p2p" }), 2.0);
    check(0, json!({ "transaction_type": "p2p", "payment_method": "card" }), 6.0);
    check(0, json!({ "transaction_type": "p2m", "payment_method": "upi" }), 0.0);
}

#[test]
fn the_score_stays_a_number_from_0_to_100_whatever_the_weights() {
    let most = 1e15;
    let check = |weights: [f64; 2], expected: f64| {
        let config = json!({ "rules": [
            { "name": "a", "type": "amount_above", "amount": 0, "weight": weights[0] },
            { "name": "b", "type": "amount_above", "amount": 0, "weight": weights[1] },
            { "type": "model", "weight": 1, "bias": -most, "log_amount": most, "score": most, "hour_cos": -most },
        ] });
        assert_eq!(scores_under(&config, &[(0, json!({ "amount": 1e13 }))]), [expected], "{weights:?}");
    };
    check([most, most], 100.0);
    check([-most, -most], 0.0);
    check([most, -most], 1.0);
}

#[test]
fn a_rule_that_is_off_is_not_asked() {
    let rules = json!({ "rules": [{ "type": "amount_above", "amount": 0, "off": true }, { "type": "new_device", "off": false }] });
    assert_eq!(scores_under(&rules, &[(0, json!({ "device_id": "d" }))]), [20.0]);
}

#[test]
fn a_rule_that_fails_sends_the_payment_to_review_or_to_the_dead_letters() {
    let rules = json!([{ "type": "amount_above", "amount": 0, "weight": 5 }, { "type": "category_score" }, { "type": "new_device" }]);
    let broken = payment(&json!({ "merchant_category": 7, "device_id": true }));
    let mut h = harness(&json!({ "rules": rules, "on_failed_rule": "review", "actions": { "high": "manual_review" } }));
    send(&mut h, 0, &broken);
    let one = scored(&mut h).remove(0);
    assert_eq!((one.score, one.level.as_str(), one.action.as_str()), (5.0, "high", "manual_review"));
    let why: Vec<&str> = one.reasons.iter().map(|reason| reason.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "1.00 is above 0.00",
            "the rule failed: field `merchant_category`: expected a string, found an integer",
            "the rule failed: field `device_id`: expected a string, found a boolean",
        ]
    );
    assert_eq!(h.take::<fraud_rules::Scored>("alerts").len(), 1);

    let mut h = harness(&json!({ "rules": rules }));
    send(&mut h, 0, &payment(&json!({ "merchant_category": 7 })));
    assert_eq!(h.rejects()[0].why, "field `merchant_category`: expected a string, found an integer");
    assert_eq!(h.keys(), Vec::<String>::new());
}

#[test]
fn what_no_rule_asks_for_may_hold_anything() {
    let mut h = harness(&json!({ "rules": [{ "type": "amount_above" }] }));
    send(&mut h, 0, &payment(&json!({ "merchant_id": 5, "merchant_category": [], "device_users": "many", "transaction_type": {} })));
    assert_eq!((h.rejects().len(), scored(&mut h).len()), (0, 1));
}

#[test]
fn payments_are_counted_by_level() {
    let mut h = harness(&json!({ "rules": [{ "type": "amount_above", "amount": 10, "weight": 60 }] }));
    [1, 11, 12].iter().for_each(|amount| send(&mut h, seconds(1), &payment(&json!({ "amount": amount }))));
    assert_eq!((h.counters()["low"], h.counters()["high"]), (1, 2));
}
