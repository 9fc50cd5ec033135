//! Rules and scores that come by the broadcast input: from when on they hold, what they replace, what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of this plugin")]
mod support;

use fraud_rules::{FraudRules, Ruling};
use sangam_sdk::test::Harness;
use sangam_sdk::{Millis, hours, minutes};
use serde_json::{Value, json};
use support::{harness, payment, scored, send, tell};

/// Large payments +1, a new device +2.
fn two_rules() -> Value {
    json!({ "rules": [
        { "name": "large", "type": "amount_above", "amount": 100, "weight": 1 },
        { "name": "device", "type": "new_device", "weight": 2 },
    ] })
}

/// The score of a payment of 101.00 by somebody new.
fn score_at(h: &mut Harness<FraudRules>, time: Millis) -> f64 {
    let scored_before: u64 = h.counters().values().sum();
    send(h, time, &payment(&json!({ "payer": format!("p{scored_before}"), "amount": 101, "device_id": "d" })));
    scored(h).pop().unwrap().score
}

#[test]
fn without_messages_the_rules_of_the_configuration_hold() {
    let mut h = harness(&two_rules());
    assert_eq!(score_at(&mut h, 5), 3.0);
    assert_eq!(h.broadcast(), Ruling::default());
}

#[test]
fn a_rule_holds_from_the_time_of_its_message_on_and_never_before() {
    for batch in [1, 2, 3, 100] {
        let mut h = harness(&two_rules()).batch(batch);
        tell(&mut h, 100, &json!({ "id": "large", "rule": { "type": "amount_above", "amount": 100, "weight": 10 } }));
        tell(&mut h, 200, &json!({ "id": "large", "off": true }));
        // An older version that comes late holds between its time and the next.
        tell(&mut h, 50, &json!({ "id": "large", "rule": { "type": "amount_above", "amount": 100, "weight": 5 } }));
        tell(&mut h, 300, &json!({ "id": "large" }));
        let found: Vec<f64> = [49, 50, 99, 100, 199, 200, 299, 300, 49].iter().map(|time| score_at(&mut h, *time)).collect();
        assert_eq!(found, [3.0, 7.0, 7.0, 12.0, 12.0, 2.0, 2.0, 3.0, 3.0], "in batches of {batch}");
    }
}

#[test]
fn a_new_rule_comes_after_those_of_the_configuration() {
    let mut h = harness(&two_rules());
    tell(&mut h, 10, &json!({ "id": "aaa", "rule": { "type": "amount_in", "amounts": [101], "weight": 4 } }));
    send(&mut h, 10, &payment(&json!({ "amount": 101, "device_id": "d" })));
    let one = scored(&mut h).remove(0);
    assert_eq!(one.reasons.iter().map(|reason| reason.rule.as_str()).collect::<Vec<_>>(), ["large", "device", "aaa"]);
    assert_eq!(one.score, 7.0);
}

#[test]
fn a_rule_set_replaces_all_rules_from_its_time_on_and_single_rules_after_it_change_it() {
    let mut h = harness(&two_rules());
    tell(&mut h, 100, &json!({ "id": "large", "rule": { "type": "amount_above", "amount": 100, "weight": 10 } }));
    tell(&mut h, 200, &json!({ "rules": [{ "name": "large", "type": "amount_above", "amount": 100, "weight": 20 }] }));
    tell(&mut h, 300, &json!({ "id": "device", "rule": { "type": "new_device", "weight": 30 } }));
    tell(&mut h, 400, &json!({ "preset": "config" }));
    let found: Vec<f64> = [99, 100, 199, 200, 299, 300, 399, 400].iter().map(|time| score_at(&mut h, *time)).collect();
    assert_eq!(found, [3.0, 12.0, 12.0, 20.0, 20.0, 50.0, 50.0, 3.0]);
}

#[test]
fn a_rule_set_may_be_a_preset_with_changes() {
    let mut h = harness(&two_rules());
    tell(&mut h, 0, &json!({ "preset": "paytm", "rules": [{ "name": "new_device", "weight": 33 }, { "name": "model", "off": true }] }));
    send(&mut h, 0, &payment(&json!({ "amount": 10_000, "device_id": "0123456789" })));
    let one = scored(&mut h).remove(0);
    let reasons: Vec<_> = one.reasons.iter().map(|reason| (reason.rule.as_str(), reason.weight)).collect();
    assert_eq!(reasons, [("new_device", 33.0), ("round_amount", 20.0)]);
}

#[test]
fn the_same_rules_in_a_message_and_in_the_configuration_give_the_same_scores() {
    for preset in ["upi", "paytm"] {
        let mut by_config = harness(&json!({ "preset": preset, "fields": { "device_id": "device_id" }, "categories": {} }));
        let mut by_message = harness(&json!({ "zone": "Asia/Kolkata" }));
        tell(&mut by_message, 0, &json!({ "preset": preset }));
        for i in 0..300 {
            let fields = json!({ "payer": format!("p{}", i % 7), "amount": i * i, "device_id": format!("device-{}", i % 13),
                "location": if i % 5 == 0 { "Pune" } else { "Delhi" }, "merchant_id": format!("m{}", i % 3) });
            for h in [&mut by_config, &mut by_message] {
                send(h, minutes(i * 31 % 500), &payment(&fields));
            }
        }
        let scores = [&mut by_config, &mut by_message].map(|h| scored(h).into_iter().map(|one| one.reasons).collect::<Vec<_>>());
        assert_eq!(scores[0], scores[1], "{preset}");
    }
}

#[test]
fn scores_of_merchants_and_categories_go_over_those_of_the_configuration_and_back() {
    let mut h = harness(&json!({
        "merchants": { "m": 60 },
        "categories": { "c": 10 },
        "rules": [{ "type": "merchant_score", "above": 70, "weight": 30 }, { "type": "category_score", "above": 50, "weight": 5 }],
    }));
    tell(&mut h, 100, &json!({ "merchant": "m", "score": 71 }));
    tell(&mut h, 200, &json!({ "category": "c", "score": 51.5 }));
    tell(&mut h, 300, &json!({ "merchant": "m" }));
    let found: Vec<f64> = [99, 100, 200, 300]
        .iter()
        .map(|time| {
            send(&mut h, *time, &payment(&json!({ "merchant_id": "m", "merchant_category": "c" })));
            scored(&mut h).pop().unwrap().score
        })
        .collect();
    assert_eq!(found, [0.0, 30.0, 35.0, 5.0]);
}

#[test]
fn a_message_that_makes_no_sense_is_refused_and_the_old_rules_stay() {
    let mut h = harness(&two_rules());
    tell(&mut h, 0, &json!({ "id": "large", "rule": { "type": "amount_above", "amount": 100, "weight": 10 } }));
    let before = h.broadcast();
    let mut check = |message: Value, expected: &str| {
        let known = h.rejects().len();
        tell(&mut h, 1, &message);
        let why: Vec<_> = h.rejects()[known..].iter().map(|reject| reject.why.clone()).collect();
        assert_eq!(why, [expected], "{message}");
        assert_eq!(h.broadcast(), before, "{message}");
        assert_eq!(score_at(&mut h, 2), 12.0, "{message}");
    };
    let one_of = "a message is a rule set (`rules`, `preset`), a rule (`id`), or a score (`merchant` or `category`): one of them";
    check(json!({}), one_of);
    check(json!({ "rule": { "type": "new_device" } }), one_of);
    check(json!({ "id": "x", "rules": [] }), one_of);
    check(json!({ "merchant": "x", "category": "y", "score": 1 }), one_of);
    check(json!({ "merchant": "x", "score": "high" }), "field `score`: expected a number, found a string");
    check(json!({ "id": "large", "rule": { "weight": 5 } }), &format!("rule `large` has no type; there are {}", types()));
    check(
        json!({ "id": "large", "rule": { "type": "amount_above", "weight": "x" } }),
        "rule `large`: weight must be a number, not the text `x`",
    );
    check(json!({ "id": "large", "rule": "off" }), "rule `large`: a rule is a table of settings by name");
    check(json!({ "id": "large", "rule": {}, "off": true }), "rule `large` is given and switched off in one message");
    check(json!({ "id": "large", "rule": { "name": "l" } }), "rule `large` is named by its `id`: leave out its `name`");
    check(json!({ "preset": "gpay" }), "there is no preset `gpay`; there are upi and paytm");
    check(json!({ "rules": { "type": "new_device" } }), "rules are a list of tables, each with settings by name");
    check(
        json!({ "preset": "upi", "rules": [{ "name": "model", "weight": true }, { "name": "modell", "weight": 1 }] }),
        "rule `model`: weight must be a number, not `true`; rule `modell` has no type, and `upi` has no rule of that name, only busy_hour, \
         hourly_amount, round_amount, impossible_travel, fast_travel, new_device, daily_limit, hourly_limit, model",
    );
}

fn types() -> String {
    let why = support::read(&json!({ "rules": [{}] })).map(|_| ()).unwrap_err();
    why.split_once("there are ").unwrap().1.to_owned()
}

#[test]
fn a_restart_finds_the_rules_of_the_messages() {
    let mut h = harness(&two_rules());
    tell(&mut h, 10, &json!({ "preset": "upi", "rules": [{ "name": "model", "off": true }] }));
    tell(&mut h, 20, &json!({ "id": "new_device", "rule": { "type": "new_device", "weight": 44 } }));
    let snapshot = h.snapshot();
    let mut again = harness(&two_rules());
    again.restore(&snapshot);
    assert_eq!(again.broadcast(), h.broadcast());
    assert_eq!(score_at(&mut again, 15), 20.0);
    assert_eq!(score_at(&mut again, 20), 44.0);
}

#[test]
fn a_rule_that_comes_by_a_message_has_its_velocity() {
    let mut h = harness(&json!({ "rules": [] }));
    send(&mut h, 0, &payment(&json!({})));
    tell(&mut h, minutes(1), &json!({ "id": "v", "rule": { "type": "velocity_count", "above": 1, "within": "1h", "weight": 9 } }));
    for minute in [1, 2, 61, 62, 121] {
        send(&mut h, minutes(minute), &payment(&json!({})));
    }
    let scores: Vec<f64> = scored(&mut h).iter().map(|one| one.score).collect();
    // Before there was a rule that looks back nothing was kept: the second payment is the first that is.
    assert_eq!(scores, [0.0, 0.0, 9.0, 9.0, 9.0, 9.0]);
    h.advance(minutes(121) + hours(1));
    assert_eq!(h.state("ann").unwrap().history.len(), 0);
    h.end();
    assert!(h.keys().is_empty());
}

#[test]
fn versions_that_no_payment_can_ask_for_are_forgotten() {
    let mut h = harness(&two_rules());
    for i in 0..200 {
        tell(&mut h, minutes(i), &json!({ "id": "large", "rule": { "type": "amount_above", "weight": i } }));
        tell(&mut h, minutes(i), &json!({ "preset": "upi" }));
        h.advance(minutes(i));
    }
    let mut bytes = Vec::new();
    sangam_sdk::Encode::encode(&h.broadcast(), &mut bytes);
    assert!(bytes.len() < 200, "{} bytes", bytes.len());
}
