//! Velocity: exact at every boundary and in any order of arrival, and bounded where a payer pays more than is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of this plugin")]
mod support;

use fraud_rules::Scored;
use proptest::prelude::*;
use sangam_sdk::{Millis, hours, minutes, seconds};
use serde_json::{Value, json};
use support::{harness, payment, scored, scores, scores_under, send};

fn at(times: &[Millis]) -> Vec<(Millis, Value)> {
    times.iter().map(|time| (*time, json!({}))).collect()
}

#[test]
fn a_payment_counts_until_it_is_exactly_an_hour_old() {
    let check = |times: &[Millis], expected: &[f64]| {
        assert_eq!(scores(&json!({ "type": "velocity_count", "above": 2, "weight": 30 }), &at(times)), expected, "{times:?}");
    };
    // Nowhere near a whole minute.
    let start = 1_700_000_012_345;
    check(&[start, start + 1, start + hours(1) - 1], &[0.0, 0.0, 30.0]);
    check(&[start, start + 1, start + hours(1)], &[0.0, 0.0, 0.0]);
    check(&[start, start, start + hours(1) - 1, start + hours(1)], &[0.0, 0.0, 30.0, 0.0]);
    check(&[-1, 0, hours(1) - 2], &[0.0, 0.0, 30.0]);
    check(&[-1, 0, hours(1) - 1], &[0.0, 0.0, 0.0]);
}

#[test]
fn hourly_and_daily_sums_have_their_own_boundaries() {
    let check = |rule: (&str, f64), payments: &[(Millis, f64)], expected: f64| {
        let (within, above) = rule;
        let rule = json!({ "type": "velocity_sum", "above": above, "within": within, "weight": 40 });
        let payments: Vec<_> = payments.iter().map(|(time, amount)| (*time, json!({ "amount": amount }))).collect();
        assert_eq!(scores(&rule, &payments).last(), Some(&expected), "{rule}: {payments:?}");
    };
    let hourly = ("1h", 50_000.0);
    check(hourly, &[(0, 49_999.99)], 0.0);
    check(hourly, &[(0, 50_000.0)], 0.0);
    check(hourly, &[(0, 50_000.01)], 40.0);
    check(hourly, &[(0, 25_000.0), (1, 25_000.0)], 0.0);
    check(hourly, &[(0, 25_000.0), (1, 25_000.01)], 40.0);
    check(hourly, &[(0, 0.02), (hours(1) - 1, 49_999.99)], 40.0);
    check(hourly, &[(0, 0.02), (hours(1), 49_999.99)], 0.0);
    let daily = ("1d", 200_000.0);
    check(daily, &[(0, 100_000.0), (hours(24) - 1, 100_000.0)], 0.0);
    check(daily, &[(0, 100_000.0), (hours(24) - 1, 100_000.01)], 40.0);
    check(daily, &[(0, 100_000.0), (hours(24), 100_000.01)], 0.0);
}

#[test]
fn the_twenty_first_payment_of_an_hour_is_above_twenty() {
    let rule = json!({ "type": "velocity_count", "above": 20, "weight": 30 });
    let times: Vec<Millis> = (0..22).map(minutes).collect();
    let expected: Vec<f64> = (0..22).map(|i| if i >= 20 { 30.0 } else { 0.0 }).collect();
    assert_eq!(scores(&rule, &at(&times)), expected);
}

#[test]
fn the_fifth_equal_amount_within_the_hour_fires_and_one_other_breaks_the_row() {
    let check = |payments: &[(Millis, f64)], expected: &[f64]| {
        let payments: Vec<_> = payments.iter().map(|(time, amount)| (*time, json!({ "amount": amount }))).collect();
        let rule = json!({ "type": "equal_amounts", "count": 5, "within": "1h", "weight": 25 });
        assert_eq!(scores(&rule, &payments), expected, "{payments:?}");
    };
    let row = |amounts: &[f64]| amounts.iter().enumerate().map(|(i, amount)| (minutes(i as i64), *amount)).collect::<Vec<_>>();
    check(&row(&[7.0; 6]), &[0.0, 0.0, 0.0, 0.0, 25.0, 25.0]);
    check(&row(&[7.0, 7.0, 7.0, 7.01, 7.0, 7.0]), &[0.0; 6]);
    check(&row(&[8.0, 7.0, 7.0, 7.0, 7.0, 7.0]), &[0.0, 0.0, 0.0, 0.0, 0.0, 25.0]);
    // The first one is an hour old when the fifth comes: four are in the hour.
    let last = |time: Millis| [(0, 7.0), (1, 7.0), (2, 7.0), (3, 7.0), (time, 7.0)];
    check(&last(hours(1) - 1), &[0.0, 0.0, 0.0, 0.0, 25.0]);
    check(&last(hours(1)), &[0.0; 5]);
    // By event time, not by arrival: the odd one belongs between them, and to what comes after it.
    check(&[(10, 7.0), (20, 7.0), (40, 7.0), (50, 7.0), (30, 8.0), (60, 7.0)], &[0.0; 6]);
    check(&[(10, 7.0), (20, 7.0), (30, 7.0), (50, 8.0), (40, 7.0), (45, 7.0)], &[0.0, 0.0, 0.0, 0.0, 0.0, 25.0]);
}

#[test]
fn a_payment_that_comes_out_of_order_counts_what_was_before_it_in_its_own_hour() {
    let check = |times: &[Millis], expected: &[f64]| {
        assert_eq!(scores(&json!({ "type": "velocity_count", "above": 1, "weight": 30 }), &at(times)), expected, "{times:?}");
    };
    check(&[minutes(10), minutes(5)], &[0.0, 0.0]);
    check(&[0, minutes(10), minutes(5)], &[0.0, 30.0, 30.0]);
    // More than an hour behind the newest payment, and on time.
    check(&[0, hours(5), minutes(30)], &[0.0, 0.0, 30.0]);
    check(&[0, hours(5), hours(1)], &[0.0, 0.0, 0.0]);
}

#[test]
fn a_payment_behind_the_watermark_is_scored_by_what_is_left() {
    let mut h = harness(&json!({ "rules": [{ "type": "velocity_count", "above": 1, "weight": 30 }] }));
    send(&mut h, 0, &payment(&json!({})));
    h.advance(hours(3));
    send(&mut h, minutes(1), &payment(&json!({})));
    let scores: Vec<f64> = scored(&mut h).iter().map(|scored| scored.score).collect();
    assert_eq!(scores, [0.0, 0.0]);
    h.end();
    assert!(h.is_idle());
}

#[test]
fn payments_of_an_earlier_build_still_count_while_they_last() {
    // The state as a build stored it that kept sixtieths only: newest, tracks, devices, last place.
    let mut bytes = vec![0x94];
    bytes.extend([0xcd, 0xea, 0x60]);
    bytes.extend([0x91, 0x92, 0xce, 0x00, 0x36, 0xee, 0x80, 0x91, 0x93, 0x01, 0x05, 0xcd, 0x03, 0xe8]);
    bytes.extend([0x91, 0xa1, b'd', 0xc0]);
    let mut payer = <fraud_rules::Payer as sangam_sdk::State>::from_bytes(&bytes).unwrap();
    let needs = fraud_rules::Rules::default().needs;
    let payment = |time| fraud_rules::Payment { time, amount: sangam_sdk::Money::of_hundredths(100) };
    payer.pay(payment(minutes(30)), 0, &needs, 1_000);
    let total = payer.total(hours(1), minutes(30));
    assert_eq!((total.count, total.sum.hundredths()), (6, 1_100));
    payer.pay(payment(minutes(61)), minutes(61), &needs, 1_000);
    assert_eq!(payer.total(hours(1), minutes(61)).count, 2);
}

#[test]
fn nothing_is_left_of_payers_who_are_gone() {
    for config in [json!({}), json!({ "preset": "upi" }), json!({ "preset": "paytm" }), json!({ "rules": [] })] {
        let mut h = harness(&config).batch(7);
        for i in 0..500 {
            let (device, place) = (format!("device-{:04}", i % 9), if i % 2 == 0 { "Pune" } else { "Delhi" });
            let fields = json!({ "payer": format!("p{}", i % 11), "amount": i, "device_id": device, "device_fingerprint": device,
                "location": place, "merchant_id": format!("m{}", i % 5) });
            send(&mut h, seconds(i * 97 % 5_000), &payment(&fields));
        }
        let newest = (0..500).map(|i| seconds(i * 97 % 5_000)).max().unwrap();
        h.advance(hours(30 * 24) + newest - 1);
        assert_eq!(h.keys().len(), 1, "{config}");
        h.advance(hours(30 * 24) + newest);
        assert!(h.is_idle(), "{config}");
    }
}

/// Rules that fire always and say what they saw.
fn telling() -> Value {
    json!({ "rules": [
        { "name": "n1", "type": "velocity_count", "above": -1, "within": "1h" },
        { "name": "n2", "type": "velocity_count", "above": -1, "within": "7m" },
        { "name": "s", "type": "velocity_sum", "above": 0, "within": "1h" },
        { "name": "eq", "type": "equal_amounts", "count": 3, "within": "20m" },
    ] })
}

/// The first word of a rule's reason.
fn said<'s>(scored: &'s Scored, rule: &str) -> Option<&'s str> {
    scored.reasons.iter().find(|reason| reason.rule == rule)?.why.split(' ').next()
}

/// A payment of the oracle: who, when, hundredths.
type Paid = (u8, Millis, u64);

/// The payments of a payer in the span before and at a time, in order of time, then of arrival.
fn within(paid: &[Paid], payer: u8, time: Millis, span: Millis) -> Vec<u64> {
    let mut found: Vec<(Millis, u64)> = paid
        .iter()
        .filter(|(who, at, _)| *who == payer && *at <= time && time - *at < span)
        .map(|(_, at, amount)| (*at, *amount))
        .collect();
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, amount)| amount).collect()
}

proptest! {
    /// Any order of arrival, any batches, any watermarks: what is on time is counted as by brute force, and nothing is left behind.
    #[test]
    fn payments_are_counted_as_by_brute_force(
        steps in prop::collection::vec((0..3u8, 0..120i64, prop::sample::select(vec![0i64, -1, 1, 77]), 1..4u64, prop::option::of(0..150i64)), 0..80),
        batch in 1..20usize,
    ) {
        let mut h = harness(&telling()).batch(batch);
        let (mut paid, mut watermark): (Vec<Paid>, Millis) = (Vec::new(), -hours(1));
        let mut expected = Vec::new();
        for (payer, minute, slack, amount, advance) in steps {
            // Only payments that are on time have all of their past.
            let time = (minutes(minute) + slack).max(watermark + 1);
            send(&mut h, time, &payment(&json!({ "payer": format!("p{payer}"), "amount": amount as f64 / 100.0 })));
            paid.push((payer, time, amount));
            let hour = within(&paid, payer, time, hours(1));
            let row = within(&paid, payer, time, minutes(20));
            let equal = row.len() >= 3 && row[row.len() - 3..].iter().all(|one| *one == amount);
            let sum: u64 = hour.iter().sum();
            expected.push((
                Some(hour.len().to_string()),
                Some(within(&paid, payer, time, minutes(7)).len().to_string()),
                Some(format!("{}.{:02}", sum / 100, sum % 100)),
                equal,
            ));
            if let Some(to) = advance {
                watermark = watermark.max(minutes(to));
                h.advance(watermark);
            }
        }
        let seen: Vec<_> = scored(&mut h)
            .iter()
            .map(|one| {
                let word = |rule| said(one, rule).map(str::to_owned);
                (word("n1"), word("n2"), word("s"), word("eq").is_some())
            })
            .collect();
        prop_assert_eq!(seen, expected);
        h.end();
        prop_assert!(h.is_idle());
    }

    /// Beyond what is kept one by one, a count is short by less than a sixtieth of its span, and never long.
    #[test]
    fn a_payer_beyond_the_bound_is_counted_to_a_sixtieth(
        gaps in prop::collection::vec(0..90_000i64, 1..200),
        kept in 3..20usize,
        batch in 1..20usize,
    ) {
        let mut config = telling();
        config["payments_kept"] = json!(kept);
        let mut h = harness(&config).batch(batch);
        let (mut paid, mut time): (Vec<Paid>, Millis) = (Vec::new(), 0);
        for gap in gaps {
            time += gap;
            send(&mut h, time, &payment(&json!({ "payer": "p0" })));
            paid.push((0, time, 100));
            h.advance(time - seconds(30));
        }
        for (i, one) in scored(&mut h).iter().enumerate() {
            for (rule, span) in [("n1", hours(1)), ("n2", minutes(7))] {
                let count = |span| within(&paid[..=i], 0, paid[i].1, span).len();
                let found: usize = said(one, rule).unwrap().parse().unwrap();
                prop_assert!((count(span - span / 60)..=count(span)).contains(&found), "{}: {} of {}", rule, found, count(span));
            }
        }
        let payer = h.state("p0").unwrap();
        prop_assert!(payer.history.len() <= kept);
    }
}

#[test]
fn a_rule_that_looks_back_further_finds_what_was_kept_until_then() {
    let config = json!({ "rules": [{ "type": "velocity_count", "above": 1, "within": "1h", "weight": 30 }] });
    assert_eq!(scores_under(&config, &at(&[0, minutes(1)])), [0.0, 30.0]);
    let mut h = harness(&config);
    send(&mut h, 0, &payment(&json!({})));
    let longer = json!({ "rules": [{ "type": "velocity_count", "above": 1, "within": "1d", "weight": 30 }] });
    h.reload(support::read(&longer).unwrap());
    send(&mut h, hours(2), &payment(&json!({})));
    assert_eq!(scored(&mut h)[1].score, 30.0);
}
