//! The shipped rule sets: each of their rules by an example and its nearest miss, changes to them, and that the docs say what they are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of all plugins")]
#[path = "../../fixtures.rs"]
mod fixtures;
#[allow(dead_code, reason = "shared by the tests of this plugin")]
mod support;

use fraud_rules::{FraudRules, Rules, Scored};
use sangam_sdk::{Millis, hours, minutes};
use serde_json::{Value, json};
use support::{harness, payment, read, scored, send};

/// Noon of a Tuesday in India.
const NOON: Millis = 1_699_943_400_000;

/// What the last of some payments is scored, without the model: a payment is told by its time after noon, and fields.
fn last(preset: &str, payments: &[(Millis, Value)]) -> Scored {
    let config = json!({
        "preset": preset,
        "rules": [{ "name": "model", "off": true }],
        "merchants": { "m80": 80, "m60": 60 },
        "fields": { "device_id": "device" },
    });
    let mut h = harness(&config);
    for (time, fields) in payments {
        send(&mut h, NOON + time, &payment(fields));
    }
    assert_eq!(h.rejects(), []);
    scored(&mut h).pop().unwrap()
}

fn reasons(scored: &Scored) -> Vec<(&str, f64)> {
    scored.reasons.iter().map(|reason| (reason.rule.as_str(), reason.weight)).collect()
}

fn amount(amount: f64) -> Value {
    json!({ "amount": amount })
}

/// So many payments of 1.00, one a minute, and then one of an amount.
fn after(many: i64, each: f64, then: Value) -> Vec<(Millis, Value)> {
    let mut payments: Vec<_> = (0..many).map(|i| (minutes(i), amount(each))).collect();
    payments.push((minutes(many), then));
    payments
}

#[test]
fn the_upi_rules_fire_as_they_are_published() {
    let check = |payments: &[(Millis, Value)], expected: &[(&str, f64)]| {
        let one = last("upi", payments);
        assert_eq!(reasons(&one), expected, "{payments:?}");
    };
    check(&[(0, amount(1.0))], &[]);
    check(&after(13, 1.0, amount(1.0)), &[]);
    check(&after(14, 1.0, amount(1.0)), &[("busy_hour", 30.0)]);
    check(&after(20, 1.0, amount(1.0)), &[("busy_hour", 30.0), ("hourly_limit", 0.0)]);
    check(&after(1, 30_000.5, amount(19_999.5)), &[]);
    check(&after(1, 30_000.5, amount(19_999.51)), &[("hourly_amount", 25.0)]);
    let day = |then: f64| [(0, amount(50_000.5)), (hours(2), amount(then))];
    check(&day(49_999.5), &[]);
    check(&day(49_999.51), &[("daily_limit", 0.0)]);
    check(&[(0, amount(9_000.0))], &[]);
    check(&[(0, amount(10_000.0))], &[("round_amount", 15.0)]);
    check(&[(0, amount(10_001.0))], &[]);
    let travel = |after: Millis, to: &str| [(0, json!({ "location": "Mumbai" })), (after, json!({ "location": to }))];
    check(&travel(hours(2), "Delhi"), &[("impossible_travel", 50.0)]);
    check(&travel(hours(3), "Delhi"), &[("fast_travel", 20.0)]);
    check(&travel(hours(12), "Delhi"), &[]);
    // 20 km in five minutes: 240 km/h, and too near.
    check(&travel(minutes(5), "Thane"), &[]);
    check(&[(0, json!({ "device": "new" }))], &[("new_device", 20.0)]);
    check(&[(0, json!({ "device": "new" })), (1, json!({ "device": "new" }))], &[]);
}

#[test]
fn the_paytm_rules_fire_as_they_are_published() {
    let check = |payments: &[(Millis, Value)], expected: &[(&str, f64)]| {
        let one = last("paytm", payments);
        assert_eq!(reasons(&one), expected, "{payments:?}");
    };
    let one = |fields: Value, expected: &[(&str, f64)]| check(&[(0, fields)], expected);
    check(&after(1, 30_000.5, amount(19_999.5)), &[]);
    check(&after(1, 30_000.5, amount(19_999.51)), &[("hourly_amount", 40.0)]);
    check(&[(0, amount(30_000.5)), (hours(1), amount(19_999.51))], &[]);
    check(&after(19, 1.0, amount(2.0)), &[]);
    check(&after(20, 1.0, amount(2.0)), &[("hourly_count", 30.0)]);
    let day = |last: f64| (0..5).map(|i| (hours(2 * i), amount(if i < 4 { 40_000.5 } else { last }))).collect::<Vec<_>>();
    check(&day(39_998.0), &[]);
    check(&day(39_998.01), &[("daily_amount", 50.0)]);
    check(&after(3, 7.0, amount(7.0)), &[]);
    check(&after(4, 7.0, amount(7.0)), &[("equal_amounts", 25.0)]);
    one(json!({ "device": "0123456789" }), &[("new_device", 20.0)]);
    one(json!({ "device": "012345678" }), &[("new_device", 20.0), ("short_device", 35.0)]);
    one(json!({ "device": "0123456789", "amount": 25_000.01 }), &[("new_device", 20.0), ("new_device_large", 15.0)]);
    one(json!({ "device_users": 3 }), &[]);
    one(json!({ "device_users": 4 }), &[("shared_device", 30.0)]);
    for round in [10_000.0, 25_000.0, 50_000.0] {
        one(amount(round), &[("round_amount", 20.0)]);
    }
    one(amount(100_000.0), &[("hourly_amount", 40.0), ("round_amount", 20.0)]);
    one(amount(9_998.0), &[("structuring", 25.0)]);
    one(amount(9_999.0), &[("just_below", 35.0), ("structuring", 25.0)]);
    one(amount(24_999.0), &[("just_below", 35.0)]);
    let night =
        |after_midnight: Millis, paid: f64, expected: &[(&str, f64)]| check(&[(hours(12) + after_midnight, amount(paid))], expected);
    night(-1, 10_000.01, &[]);
    night(0, 10_000.01, &[("odd_hours", 15.0)]);
    night(hours(5) + minutes(59), 10_000.01, &[("odd_hours", 15.0)]);
    night(hours(6), 10_000.01, &[]);
    night(0, 10_000.0, &[("round_amount", 20.0)]);
    let travel = |after: Millis, to: &str| [(0, json!({ "location": "Mumbai" })), (after, json!({ "location": to }))];
    check(&travel(hours(1), "Delhi"), &[("impossible_travel", 50.0)]);
    check(&travel(hours(2), "Delhi"), &[("fast_travel", 20.0)]);
    check(&travel(hours(12), "Delhi"), &[]);
    check(&travel(minutes(5), "Thane"), &[("fast_travel", 20.0)]);
    let merchant = |id: &str| json!({ "merchant_id": id });
    let month = hours(30 * 24);
    check(&[(0, merchant("m")), (month - 1, merchant("m"))], &[("new_merchant", 10.0)]);
    check(&[(0, merchant("m")), (month, merchant("m"))], &[]);
    check(&[(0, merchant("m80")), (month, merchant("m80"))], &[("risky_merchant", 30.0)]);
    check(&[(0, merchant("m60")), (month, merchant("m60"))], &[("doubtful_merchant", 15.0)]);
    check(&[(0, merchant("aNEWb")), (month, merchant("aNEWb"))], &[("new_merchant", 10.0)]);
    one(json!({ "merchant_category": "gambling" }), &[("risky_category", 5.0)]);
    one(json!({ "merchant_category": "books" }), &[]);
}

#[test]
fn levels_and_actions_are_those_of_the_preset() {
    let check = |preset: &str, payments: &[(Millis, Value)], expected: (f64, &str, &str)| {
        let one = last(preset, payments);
        assert_eq!((one.score, one.level.as_str(), one.action.as_str()), expected, "{preset}: {payments:?}");
    };
    let new_device = json!({ "device": "0123456789", "amount": 9_999 });
    let failing = json!({ "device": 7, "amount": 1 });
    check("paytm", &[(0, amount(1.0))], (0.0, "low", "approve"));
    check("paytm", &[(0, json!({ "device": "short", "amount": 1 }))], (55.0, "medium", "additional_verification"));
    check("paytm", &[(0, amount(9_999.0))], (60.0, "high", "manual_review"));
    check("paytm", &[(0, new_device)], (80.0, "critical", "block"));
    check("paytm", &[(0, failing.clone())], (0.0, "high", "manual_review"));
    check("upi", &[(0, amount(1.0))], (0.0, "low", "approved"));
    check("upi", &[(0, json!({ "device": "d", "amount": 51_000 }))], (60.0, "high", "review"));
    check("upi", &after(14, 4_000.0, json!({ "device": "d", "amount": 10_000 })), (90.0, "critical", "blocked"));
    check("upi", &[(0, failing)], (0.0, "high", "review"));
}

#[test]
fn a_preset_is_changed_setting_by_setting() {
    let rules = |config: Value| read(&config).unwrap().rules;
    let preset = rules(json!({ "preset": "paytm" }));
    let changed = rules(json!({ "preset": "paytm", "rules": [
        { "name": "hourly_amount", "above": 60_000 },
        { "type": "new_device", "weight": 5 },
        { "name": "risky_place", "places": ["Surat"] },
        { "name": "model", "off": true },
        { "name": "mine", "type": "amount_above", "amount": 5 },
    ] }));
    let find = |rules: &Rules, name: &str| rules.list.iter().find(|rule| rule.name == name).cloned();
    let hourly = find(&changed, "hourly_amount").unwrap();
    assert_eq!(hourly.weight, 40.0);
    assert_ne!(hourly.test, find(&preset, "hourly_amount").unwrap().test);
    assert_eq!(find(&changed, "new_device").unwrap().weight, 5.0);
    assert_eq!(find(&changed, "model"), None);
    assert_eq!(changed.list.last().unwrap().name, "mine");
    assert_eq!(changed.list.len(), preset.list.len());
    // Another type is another rule under the same name.
    let other = rules(json!({ "preset": "upi", "rules": [{ "name": "busy_hour", "type": "amount_above", "amount": 5 }] }));
    assert_eq!(find(&other, "busy_hour").unwrap().weight, 40.0);
    let actions = read(&json!({ "preset": "upi", "actions": { "medium": "ask" } })).unwrap().actions;
    assert_eq!(
        ["low", "medium", "critical"].map(|level| actions.at(serde_json::from_value(json!(level)).unwrap()).to_owned()),
        ["approved", "ask", "blocked"]
    );
}

#[test]
fn the_docs_show_each_preset_as_it_is() {
    let docs = include_str!("../../../docs/plugins/fraud-rules.md");
    for preset in ["upi", "paytm"] {
        let start = format!("```toml\n# The preset {preset}");
        let block = docs.split_once(&start).unwrap_or_else(|| panic!("the docs do not show the preset {preset}")).1;
        let block = format!("#{}", block.split_once("```").unwrap().0);
        let table: toml::Table = block.parse().unwrap();
        let written = <FraudRules as sangam_sdk::Config>::read(&rmp_serde::to_vec_named(&table).unwrap()).unwrap();
        let shipped = read(&json!({ "preset": preset })).unwrap();
        assert_eq!(written.rules, shipped.rules, "{preset}");
        assert_eq!((written.actions, written.zone), (shipped.actions, shipped.zone), "{preset}");
        assert_eq!((written.categories, written.fields), (shipped.categories, shipped.fields), "{preset}");
        assert_eq!((written.on_failed_rule, written.levels), (shipped.on_failed_rule, shipped.levels), "{preset}");
    }
}

#[test]
fn the_fixtures_of_each_preset_give_what_they_must_in_batches_of_any_size() {
    for preset in ["upi", "paytm"] {
        fixtures::check::<FraudRules>(&format!("{}/presets/{preset}", env!("CARGO_MANIFEST_DIR")));
    }
}
