//! Counting who pays with a device, in an operator keyed by device before the one that scores.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of this plugin")]
mod support;

use fraud_rules::{Counted, FraudRules};
use sangam_sdk::test::Harness;
use sangam_sdk::{Encode, Millis, hours};
use serde_json::{Value, json};
use support::{read, scored, send};

fn devices(config: Value) -> Harness<FraudRules> {
    let mut all = json!({ "mode": "devices", "fields": { "device_id": "fp", "payer": "phone" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    Harness::with(read(&all).unwrap()).key("fp")
}

fn by(phone: &str, device: &str) -> Value {
    json!({ "transaction_id": "t", "phone": phone, "fp": device, "amount": 5, "location": "Pune", "merchant_id": "m" })
}

/// How many users each payment finds.
fn users(config: Value, payments: &[(Millis, &str, &str)]) -> Vec<u64> {
    let mut h = devices(config).batch(3);
    payments.iter().for_each(|(time, phone, device)| send(&mut h, *time, &by(phone, device)));
    h.take::<Counted>("scored").iter().map(|counted| counted.device_users).collect()
}

#[test]
fn users_of_a_device_are_counted_once_each_and_forgotten_when_they_stay_away() {
    let check = |payments: &[(Millis, &str, &str)], expected: &[u64]| assert_eq!(users(json!({ "remember": "1h" }), payments), expected);
    check(&[(0, "a", "d"), (1, "b", "d"), (2, "a", "d"), (3, "c", "d"), (4, "a", "e")], &[1, 2, 2, 3, 1]);
    check(&[(0, "a", "d"), (hours(1) - 1, "b", "d"), (hours(1), "c", "d")], &[1, 2, 2]);
    assert_eq!(users(json!({ "users_kept": 2 }), &[(0, "a", "d"), (1, "b", "d"), (2, "c", "d"), (3, "d", "d")]), [1, 2, 2, 2]);
}

fn value(text: &str) -> sangam_sdk::Value {
    (&text.to_owned()).into()
}

#[test]
fn a_payment_goes_on_under_the_names_that_the_next_operator_reads() {
    let mut h = devices(json!({}));
    send(&mut h, 7, &by("98", "0123456789"));
    let counted = h.take::<Counted>("scored").remove(0);
    let expected = Counted {
        transaction_id: "t".into(),
        sender_vpa: "98".into(),
        amount: 5.0,
        device_id: Some(value("0123456789")),
        location: Some(value("Pune")),
        merchant_id: Some(value("m")),
        merchant_category: None,
        transaction_type: None,
        payment_method: None,
        device_users: 1,
    };
    assert_eq!(counted, expected);
}

#[test]
fn the_fourth_user_of_a_device_is_above_three() {
    let mut count = devices(json!({ "preset": "paytm", "fields": { "device_id": "fp", "payer": "phone" } }));
    let config = json!({ "preset": "paytm", "rules": [{ "name": "model", "off": true }], "fields": { "device_id": "device_id" } });
    let mut score = Harness::<FraudRules>::with(read(&config).unwrap());
    for (i, phone) in ["1", "2", "3", "3", "4"].iter().enumerate() {
        send(&mut count, i as Millis, &by(phone, "0123456789"));
        for counted in count.take::<Counted>("scored") {
            let mut bytes = Vec::new();
            counted.encode(&mut bytes);
            score.send_raw(i as Millis, &bytes);
        }
    }
    let fired: Vec<bool> = scored(&mut score).iter().map(|one| one.reasons.iter().any(|reason| reason.rule == "shared_device")).collect();
    assert_eq!(fired, [false, false, false, false, true]);
}

#[test]
fn what_no_rule_can_read_goes_on_as_it_came_so_that_the_payment_is_reviewed() {
    let mut count = devices(json!({}));
    let mut odd = by("1", "0123456789");
    odd["location"] = json!(7);
    send(&mut count, 0, &odd);
    let mut bytes = Vec::new();
    count.take::<Counted>("scored").remove(0).encode(&mut bytes);
    let mut score = Harness::<FraudRules>::with(read(&json!({ "preset": "paytm" })).unwrap());
    score.send_raw(0, &bytes);
    let one = scored(&mut score).remove(0);
    assert_eq!((one.level.as_str(), one.action.as_str()), ("high", "manual_review"));
    let failed: Vec<&str> =
        one.reasons.iter().filter(|reason| reason.why.contains("the rule failed")).map(|reason| &*reason.rule).collect();
    assert_eq!(failed, ["impossible_travel", "fast_travel"]);
}

#[test]
fn what_cannot_be_counted_is_refused_and_nothing_stays() {
    let check = |payment: Value, expected: &str| {
        let mut h = devices(json!({}));
        send(&mut h, 0, &payment);
        assert_eq!(h.rejects()[0].why, expected);
        assert!(h.is_idle());
    };
    check(json!({ "transaction_id": "t", "phone": "1", "amount": 5 }), "the key field `fp` is missing");
    check(json!({ "transaction_id": "t", "fp": "d", "amount": 5 }), "the field `phone` is missing");
    check(json!({ "transaction_id": "t", "fp": "d", "phone": "1", "amount": -5 }), "-5 is no amount of money");

    let mut h = devices(json!({ "remember": "10h" }));
    send(&mut h, 0, &by("1", "d"));
    send(&mut h, hours(4), &by("2", "d"));
    h.advance(hours(14) - 1);
    assert_eq!(h.keys(), ["d"]);
    h.advance(hours(14));
    assert!(h.is_idle());
}
