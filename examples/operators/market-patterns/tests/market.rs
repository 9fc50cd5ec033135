//! The sequences of the shipped pipeline at their boundaries, and rules that change.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: the first surprise ends the test")]

use market_patterns::{Alert, MarketPatterns};
use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis};
use serde_json::{Value, json};

const S: Millis = 1_000;

/// The configuration of the shipped pipeline.
fn config() -> toml::Table {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../market-patterns/pipeline.toml")).unwrap();
    let pipeline: toml::Table = text.parse().unwrap();
    pipeline["operators"]["market-patterns"]["config"].as_table().unwrap().clone()
}

fn read(config: &toml::Table) -> Result<MarketPatterns, String> {
    MarketPatterns::read(&rmp_serde::to_vec_named(config).unwrap())
}

fn send(h: &mut Harness<MarketPatterns>, input: &str, time: Millis, event: &Value) {
    let bytes = rmp_serde::to_vec_named(event).unwrap();
    if input == "in" {
        h.send_raw(time, &bytes)
    } else {
        h.send_raw_to(input, time, &bytes)
    };
}

fn spike() -> Value {
    json!({ "type": "volume_spike", "volume": 900_000.0 })
}

fn news(text: &str) -> Value {
    json!({ "type": "news", "news_text": text })
}

fn trade(price: f64) -> Value {
    json!({ "type": "trade", "price": price, "volume": 10.0 })
}

fn order(side: &str, size: f64) -> Value {
    json!({ "type": "order", "order_type": side, "order_size": size })
}

/// Sends events of one symbol, each named by its number, and returns pattern, route, events and confidence of each alert.
fn alerts(h: &mut Harness<MarketPatterns>, events: &[(Millis, Value)]) -> Vec<(String, String, String, f64)> {
    for (i, (time, event)) in events.iter().enumerate() {
        let mut event = event.clone();
        event["event_id"] = i.to_string().into();
        event["symbol"] = "INFY".into();
        send(h, "in", *time, &event);
    }
    h.end();
    let alerts = h.outputs().iter().map(|sent| {
        let alert: Alert = sent.decode();
        assert_eq!((sent.time, alert.symbol.as_str()), (alert.detected, "INFY"));
        (alert.pattern, sent.port.clone(), alert.events.join(" "), alert.confidence)
    });
    let alerts = alerts.collect();
    assert!(h.is_idle(), "{:?} {:?}", h.keys(), h.timers("INFY"));
    alerts
}

/// The alerts of the shipped rules, as `pattern:events`.
#[track_caller]
fn check(events: &[(Millis, Value)], expected: &[&str]) {
    for batch in [1, 100] {
        let mut h = Harness::<MarketPatterns>::with(read(&config()).unwrap()).batch(batch);
        let found: Vec<_> = alerts(&mut h, events).into_iter().map(|(pattern, _, events, _)| format!("{pattern}:{events}")).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_bull_run_is_a_spike_and_good_news_up_to_600_s_later() {
    check(&[(0, spike()), (100 * S, news("Record profit"))], &["bull_run:0 1"]);
    check(&[(0, spike()), (299 * S, news("Record profit"))], &["bull_run:0 1"]);
    check(&[(0, spike()), (600 * S, news("a gain"))], &["bull_run:0 1", "insider_trading:0 1"]);
    check(&[(0, spike()), (600 * S + 1, news("a gain"))], &["insider_trading:0 1"]);
    check(&[(0, spike()), (100 * S, news("a loss"))], &[]);
    check(&[(0, spike()), (100 * S, news("no word of any kind"))], &[]);
    check(&[(0, news("a gain")), (100 * S, spike())], &[]);
}

#[test]
fn insider_trading_is_a_spike_and_any_news_300_to_1800_s_later() {
    check(&[(0, spike()), (300 * S - 1, news("nothing"))], &[]);
    check(&[(0, spike()), (300 * S, news("nothing"))], &["insider_trading:0 1"]);
    check(&[(0, spike()), (1_800 * S, news("a fine"))], &["insider_trading:0 1"]);
    check(&[(0, spike()), (1_800 * S + 1, news("nothing"))], &[]);
}

#[test]
fn a_bear_signal_is_bad_news_and_a_sale_of_more_than_10000_up_to_300_s_later() {
    let bad = || news("A fraud scandal after record growth: fine");
    check(&[(0, bad()), (300 * S, order("sell", 10_000.01))], &["bear_signal:0 1"]);
    check(&[(0, bad()), (300 * S + 1, order("sell", 20_000.0))], &[]);
    check(&[(0, bad()), (10 * S, order("sell", 10_000.0))], &[]);
    check(&[(0, bad()), (10 * S, order("buy", 20_000.0))], &[]);
    check(&[(0, news("a fraud, a gain")), (10 * S, order("sell", 20_000.0))], &[]);
}

#[test]
fn momentum_is_three_rises_in_a_row_among_trades_within_180_s() {
    let run = |times: [Millis; 4], prices: [f64; 4]| times.into_iter().zip(prices.map(trade)).collect::<Vec<_>>();
    check(&run([0, S, 2 * S, 180 * S], [1.0, 2.0, 3.0, 4.0]), &["momentum:0 1 2 3"]);
    check(&run([0, S, 2 * S, 180 * S + 1], [1.0, 2.0, 3.0, 4.0]), &[]);
    check(&run([0, S, 2 * S, 3 * S], [1.0, 2.0, 2.0, 3.0]), &[]);
    check(&run([0, S, 2 * S, 3 * S], [1.0, 3.0, 2.0, 4.0]), &[]);
    check(&run([0, S, 2 * S, 3 * S], [4.0, 1.0, 2.0, 3.0]), &[]);
    check(&[(0, trade(4.0)), (1, trade(1.0)), (2, trade(2.0)), (3, spike()), (4, trade(3.0)), (5, trade(3.5))], &["momentum:1 2 4 5"]);
    // The run goes on, and its next match begins after the one before.
    let rising: Vec<_> = (0..9).map(|i| (i * S, trade(i as f64))).collect();
    check(&rising, &["momentum:0 1 2 3", "momentum:4 5 6 7"]);
}

#[test]
fn manipulation_is_an_order_of_more_than_50000_and_the_opposite_of_more_than_30000_within_60_s() {
    check(&[(0, order("buy", 50_000.01)), (60 * S, order("sell", 30_000.01))], &["manipulation:0 1"]);
    check(&[(0, order("sell", 60_000.0)), (S, order("buy", 40_000.0))], &["manipulation:0 1"]);
    check(&[(0, order("buy", 50_000.0)), (S, order("sell", 40_000.0))], &[]);
    check(&[(0, order("buy", 60_000.0)), (S, order("sell", 30_000.0))], &[]);
    check(&[(0, order("buy", 60_000.0)), (S, order("buy", 60_000.0))], &[]);
    check(&[(0, order("buy", 60_000.0)), (60 * S + 1, order("sell", 60_000.0))], &[]);
    check(&[(0, order("buy", 60_000.0)), (S, order("sell", 60_000.0)), (2 * S, order("buy", 60_000.0))], &["manipulation:0 1"]);
}

#[test]
fn sequences_are_by_event_time_whatever_the_order_of_arrival_and_by_symbol() {
    check(&[(100 * S, news("a gain")), (0, spike())], &["bull_run:1 0"]);
    let mut h = Harness::<MarketPatterns>::with(read(&config()).unwrap());
    let of = |symbol: &str, mut event: Value| {
        event["event_id"] = symbol.into();
        event["symbol"] = symbol.into();
        event
    };
    send(&mut h, "in", 0, &of("TCS", spike()));
    send(&mut h, "in", S, &of("INFY", news("a gain")));
    h.end();
    assert_eq!((h.outputs().len(), h.is_idle()), (0, true));
}

#[test]
fn confidence_is_a_half_and_what_events_haste_and_the_pattern_add_up_to_one() {
    let check = |events: &[(Millis, Value)], expected: &[(&str, &str, f64)]| {
        let found = alerts(&mut Harness::with(read(&config()).unwrap()), events);
        let found: Vec<_> = found.iter().map(|(pattern, route, _, sure)| (pattern.as_str(), route.as_str(), *sure)).collect();
        assert_eq!(found, expected);
    };
    check(&[(0, spike()), (0, news("a gain"))], &[("bull_run", "desks", 0.9)]);
    check(&[(0, spike()), (60 * S, news("a gain"))], &[("bull_run", "desks", 0.8)]);
    check(&[(0, spike()), (120 * S, news("a gain"))], &[("bull_run", "desks", 0.7)]);
    check(&[(0, spike()), (300 * S, news("a gain"))], &[("bull_run", "desks", 0.7), ("insider_trading", "regulator", 0.9)]);
    check(&[(0, news("debt")), (30 * S, order("sell", 20_000.0))], &[("bear_signal", "risk", 0.85)]);
    check(&[(0, order("sell", 60_000.0)), (6 * S, order("buy", 60_000.0))], &[("manipulation", "surveillance", 0.89)]);
    let rising: Vec<_> = (0..4).map(|i| (i, trade(i as f64))).collect();
    check(&rising, &[("momentum", "desks", 0.999995)]);
}

#[test]
fn what_is_no_event_of_a_market_is_refused_with_the_reason() {
    let check = |event: Value, why: &str| {
        let mut h = Harness::<MarketPatterns>::with(read(&config()).unwrap());
        send(&mut h, "in", 0, &event);
        h.end();
        assert_eq!(h.rejects().iter().map(|rejected| rejected.why.as_str()).collect::<Vec<_>>(), [why]);
    };
    check(
        json!({ "event_id": "1", "symbol": "X", "type": "rumour" }),
        "unknown type `rumour`; valid: trade, order, news, price_alert, volume_spike",
    );
    check(json!({ "event_id": "1", "symbol": "X", "type": "order", "order_type": "hold" }), "unknown order_type `hold`; valid: buy, sell");
}

#[test]
fn a_rule_that_cannot_be_read_is_refused_before_the_first_event() {
    let check = |change: &str, expected: &str| {
        let mut config = config();
        let changes: toml::Table = change.parse().unwrap();
        merge(&mut config, changes);
        let why = read(&config).expect_err(change);
        assert!(why.contains(expected), "{change}: {why}");
    };
    check("patterns.bull_run.route = \"press\"", "unknown variant `press`, expected one of");
    check("patterns.bull_run.bonus = \"much\"", "invalid type: string \"much\", expected a number");
    check("patterns.bull_run.bonus = nan", "no number to reckon with");
    check("patterns.bull_run.weight = 1", "unknown field `weight`");
    check(
        "patterns.new = { route = \"desks\", pattern = { steps = [{ name = \"a\", where = { field = \"prize\", above = 1 } }] } }",
        "`prize`",
    );
    check("confidence.base = \"half\"", "expected a number");
    check("confidence.recency_seconds = 0", "more than 0");
    check("wrods = {}", "wrods");
}

fn merge(into: &mut toml::Table, changes: toml::Table) {
    for (name, value) in changes {
        match (into.get_mut(&name).and_then(toml::Value::as_table_mut), value) {
            (Some(table), toml::Value::Table(changes)) => merge(table, changes),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

#[test]
fn patterns_and_words_that_come_while_it_runs_hold_from_their_time_on() {
    let mut h = Harness::<MarketPatterns>::with(read(&config()).unwrap());
    send(&mut h, "broadcast", 10 * S, &json!({ "pattern": "bull_run", "off": true }));
    send(
        &mut h,
        "broadcast",
        10 * S,
        &json!({ "pattern": "panic", "rule": { "route": "risk", "pattern": {
        "steps": [{ "name": "sale", "where": { "field": "order_size", "above": 90_000 } }] } } }),
    );
    send(&mut h, "broadcast", 20 * S, &json!({ "words": "negative", "list": ["Cyclone"] }));
    send(&mut h, "broadcast", 30 * S, &json!({ "pattern": "bull_run" }));
    let found = alerts(
        &mut h,
        &[
            (0, spike()),
            (5 * S, news("a gain")),
            (6 * S, order("buy", 95_000.0)),
            (7 * S, spike()),
            (12 * S, news("a gain")),
            (13 * S, order("buy", 90_000.01)),
            (19 * S, news("cyclone")),
            (20 * S, news("CYCLONE")),
            (21 * S, order("sell", 10_001.0)),
            (22 * S, spike()),
            (40 * S, spike()),
            (50 * S, news("a gain")),
        ],
    );
    let found: Vec<_> = found.into_iter().map(|(pattern, _, events, _)| format!("{pattern}:{events}")).collect();
    assert_eq!(found, ["bull_run:0 1", "panic:5", "bear_signal:7 8", "bull_run:10 11"]);
    assert!(h.rejects().is_empty());
}

#[test]
fn a_message_that_is_no_rule_is_refused_and_changes_nothing() {
    let check = |message: Value, expected: &str| {
        let mut h = Harness::<MarketPatterns>::with(read(&config()).unwrap());
        send(&mut h, "broadcast", 0, &message);
        let found = alerts(&mut h, &[(S, spike()), (2 * S, news("a gain"))]);
        assert_eq!(found.len(), 1);
        let why: Vec<_> = h.rejects().iter().map(|rejected| rejected.why.clone()).collect();
        assert!(why.len() == 1 && why[0].contains(expected), "{message}: {why:?}");
    };
    check(json!({}), "a message is");
    check(json!({ "pattern": "bull_run", "words": "positive" }), "a message is");
    check(json!({ "pattern": "bull_run", "rule": { "route": "desks", "bonus": "x", "pattern": { "steps": [] } } }), "expected a number");
    check(json!({ "pattern": "bull_run", "rule": { "route": "desks", "pattern": { "steps": [] } } }), "at least one step");
    check(json!({ "words": "funny", "list": [] }), "unknown words `funny`");
}
