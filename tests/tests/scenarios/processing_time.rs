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
