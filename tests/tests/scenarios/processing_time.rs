//! Timers by the clock: they fire when the host's clock gets there, whatever the watermark does, and survive every restart.

use sangam_protocol::effects::EffectsWriter;
use sangam_tests::guest::Guest;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{NOW, World, eventually};
use serde_json::{Value, json};

const ALARM: &str = r#"
    [streams.orders]
    [streams.rang]
    [streams.ended]
    [operators.alarm]
    plugin = "alarm-clock"
    input = "orders"
    outputs = { rang = "rang", ended = "ended" }
"#;

fn world(toml: &str) -> World {
    World::new(toml).plugin("alarm-clock", &wasm("alarm-clock"))
}

fn order(key: &str, act: &str, text: &str, number: i64) -> (i64, Value) {
    (5, json!({"key": key, "act": act, "text": text, "number": number}))
}

/// What has rung: name, time of the output after [`NOW`], and what the clock showed after it.
fn rang(world: &World) -> Vec<(String, i64, i64)> {
    let seen = world.read("rang").into_iter();
    seen.map(|seen| {
        let value = seen.value();
        assert_eq!(value["by_clock"], true);
        (value["name"].as_str().unwrap().to_owned(), seen.time - NOW, value["now"].as_i64().unwrap() - NOW)
    })
    .collect()
}

fn names(world: &World) -> Vec<String> {
    rang(world).into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn a_timer_rings_at_its_time_and_every_run_in_between_is_a_restart() {
    let world = world(ALARM);
    world.send("orders", 0, &[order("a", "after", "tea", 1_000)]);
    world.drain().unwrap();
    for (by, expected) in [(0, 0), (999, 0), (1, 1), (10_000, 1)] {
        world.clock.advance(by);
        world.drain().unwrap();
        assert_eq!(rang(&world).len(), expected, "after {by} ms more");
    }
    assert_eq!(rang(&world), [("tea".to_owned(), 1_000, 1_000)]);
    assert!(world.dump("clock/").is_empty(), "no timer is left behind");
}

#[test]
fn an_event_that_comes_when_the_clock_has_moved_finds_done_what_was_due_by_then() {
    let world = world(ALARM);
    world.send("orders", 0, &[order("a", "after", "tea", 1_000)]);
    world.drain().unwrap();
    world.clock.advance(1_000);
    world.send("orders", 0, &[order("a", "count", "", 0)]);
    world.drain().unwrap();
    assert_eq!(rang(&world), [("tea".to_owned(), 1_000, 1_000)]);
    assert_eq!(world.values("rang")[0]["events"], 1, "it rang before the second order");
}

#[test]
fn a_jump_of_the_clock_rings_everything_that_was_missed_in_order() {
    let world = world(ALARM);
    let orders = [order("a", "after", "late", 95), order("b", "after", "again", 70), order("c", "after", "early", 20)];
    world.send("orders", 0, &orders);
    world.drain().unwrap();
    world.clock.advance(125);
    world.drain().unwrap();
    let expected =
        [("early", 20), ("again", 70), ("again", 80), ("again", 90), ("late", 95), ("again", 100), ("again", 110), ("again", 120)];
    assert_eq!(rang(&world), expected.map(|(name, at)| (name.to_owned(), at, 125)));
}

#[test]
fn a_running_pipeline_rings_and_commits_without_any_event() {
    let world = world(ALARM);
    let running = world.start();
    world.send("orders", 0, &[order("a", "after", "tea", 1_000), order("a", "after", "gone", 500), order("a", "cancel", "gone", 0)]);
    eventually("the orders are taken", || (!world.dump("clock/").is_empty()).then_some(()));
    world.clock.advance(1_000);
    eventually("it rings", || (names(&world) == ["tea"]).then_some(()));
    running.stop().unwrap();
}

#[test]
fn more_timers_than_one_call_takes_ring_in_order() {
    let world = world(ALARM);
    let orders: Vec<_> = (0..10_000).map(|i| order(&format!("k{i}"), "after", &format!("t{}", i * 7 % 100), i * 7 % 100)).collect();
    world.send("orders", 0, &orders);
    world.drain().unwrap();
    world.clock.advance(1_000);
    world.drain().unwrap();
    let rang = rang(&world);
    assert_eq!(rang.len(), 10_000);
    assert!(rang.is_sorted_by_key(|(_, at, _)| *at));
}

#[test]
fn a_timer_that_kills_the_guest_is_put_aside_and_the_others_ring() {
    let world = world(ALARM);
    world.send("orders", 0, &[order("a", "after", "one", 10), order("b", "after", "poison", 20), order("c", "after", "two", 30)]);
    world.drain().unwrap();
    world.clock.advance(40);
    world.drain().unwrap();
    assert_eq!(names(&world), ["one", "two"]);
    let letters = world.read("dead-letters");
    assert_eq!(letters.len(), 1);
    assert!(letters[0].header("sangam.error").contains("poison"), "{:?}", letters[0].headers);
    assert!(world.dump("clock/").is_empty());
}

#[test]
fn a_guest_that_sets_such_a_timer_without_asking_for_processing_time_is_stopped_at_the_event() {
    let mut effects = EffectsWriter::default();
    effects.start();
    effects.clock_timer(0, "alarm", Some(NOW));
    let guest = Guest::answering(effects.finish()).build().unwrap();
    let world =
        World::new("[streams.words]\n[streams.out]\n[operators.guest]\ninput = \"words\"\noutput = \"out\"").plugin("guest", &guest);
    world.send("words", 0, &[(0, json!({"text": "a"}))]);
    assert_eq!(world.drain().unwrap()["guest"].dead, 1);
    let why = world.read("dead-letters")[0].header("sangam.error");
    assert!(why.contains("its manifest does not say `\"processing_time\": true`"), "{why}");
    assert!(world.dump("clock/").is_empty());
}

#[test]
fn a_new_build_takes_the_pending_timers_over() {
    let world = world(ALARM);
    let running = world.start();
    world.send("orders", 0, &[order("a", "after", "tea", 1_000)]);
    eventually("the order is taken", || (!world.dump("clock/").is_empty()).then_some(()));
    let old = running.sha256("alarm-clock");
    running.offer("alarm-clock", rebuilt(&wasm("alarm-clock"), 1));
    eventually("the new build runs", || (running.sha256("alarm-clock") != old).then_some(()));
    world.clock.advance(1_000);
    eventually("it rings", || (names(&world) == ["tea"]).then_some(()));
    running.stop().unwrap();
}

/// Batches of up to three items, open for at most three seconds of the clock.
fn by_batches() -> World {
    let toml = "[streams.items]\n[streams.sums]\n[operators.clock-windows]\ninput = \"items\"\noutput = \"sums\"\n\
                config = { size = 3_000, count = 3 }";
    World::new(toml).plugin("clock-windows", &wasm("clock-windows"))
}

fn item(time: i64, key: &str, value: i64) -> (i64, Value) {
    (time, json!({"key": key, "value": value}))
}

/// The batches so far: key, start and end after [`NOW`], sum.
fn sums(world: &World) -> Vec<(String, i64, i64, i64)> {
    let values = world.values("sums").into_iter();
    values
        .map(|sum| {
            let number = |field: &str| sum[field].as_i64().unwrap();
            (sum["key"].as_str().unwrap().to_owned(), number("window_start") - NOW, number("window_end") - NOW, number("sum"))
        })
        .collect()
}

#[test]
fn a_batch_by_the_clock_ends_with_its_last_millisecond_whatever_its_events_say_and_survives_restarts() {
    let world = by_batches();
    world.send("items", 0, &[item(NOW + 900_000, "a", 1), item(5, "a", 10)]);
    world.drain().unwrap();
    world.clock.advance(2_998);
    world.drain().unwrap();
    assert_eq!(sums(&world), [], "two of three, and two milliseconds are left");
    world.clock.advance(1);
    world.drain().unwrap();
    assert_eq!(sums(&world), [("a".to_owned(), 0, 3_000, 11)]);
    assert_eq!(world.read("sums")[0].time, NOW + 2_999);
    world.send("items", 0, &[item(0, "a", 100)]);
    world.drain().unwrap();
    world.clock.advance(3_000);
    world.drain().unwrap();
    assert_eq!(sums(&world)[1..], [("a".to_owned(), 2_999, 5_999, 100)], "the next one begins with its first event");
    assert!(world.dump("clock/").is_empty(), "no timer is left behind");
}

#[test]
fn a_batch_by_the_clock_that_is_full_does_not_wait_for_it() {
    let world = by_batches();
    world.send("items", 0, &[item(0, "a", 1), item(0, "b", 1_000), item(0, "a", 10)]);
    world.drain().unwrap();
    world.clock.advance(7);
    world.send("items", 0, &[item(0, "a", 100), item(0, "a", 2)]);
    world.drain().unwrap();
    assert_eq!(sums(&world), [("a".to_owned(), 0, 8, 111)]);
    world.clock.advance(2_993);
    world.drain().unwrap();
    assert_eq!(sums(&world)[1..], [("b".to_owned(), 0, 3_000, 1_000)], "each key has batches of its own");
    world.clock.advance(6);
    world.drain().unwrap();
    assert_eq!(sums(&world)[2..], [("a".to_owned(), 7, 3_007, 2)]);
}

#[test]
fn an_event_that_comes_when_the_time_of_a_batch_is_over_is_in_the_next_one() {
    let world = by_batches();
    world.send("items", 0, &[item(0, "a", 1)]);
    world.drain().unwrap();
    world.clock.advance(3_000);
    world.send("items", 0, &[item(0, "a", 10), item(0, "a", 10), item(0, "a", 10)]);
    world.drain().unwrap();
    assert_eq!(sums(&world), [("a".to_owned(), 0, 3_000, 1), ("a".to_owned(), 3_000, 3_001, 30)]);
}

#[test]
fn a_running_pipeline_ends_a_batch_by_the_clock_without_another_event() {
    let world = by_batches();
    let running = world.start();
    world.send("items", 0, &[item(0, "a", 1)]);
    eventually("the item is taken", || (!world.dump("clock/").is_empty()).then_some(()));
    world.clock.advance(2_999);
    eventually("the batch ends", || (sums(&world) == [("a".to_owned(), 0, 3_000, 1)]).then_some(()));
    running.stop().unwrap();
}
