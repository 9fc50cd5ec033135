//! Watermarks in a running pipeline: however they are made, restarts change nothing, and nobody is waited for who need not be.

use sangam_tests::guests::wasm;
use sangam_tests::orders::wake;
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};

/// Alarms by the watermark, over a stream with these keys.
fn world(stream: &str) -> World {
    let toml = format!(
        "[streams.orders]\n{stream}\n[streams.done]\n[operators.sink]\nplugin = \"kitchen-sink\"\ninput = \"orders\"\n\
         outputs = {{ done = \"done\", passed = \"done\", placed = \"done\" }}"
    );
    World::new(&toml).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

fn silent() -> Value {
    json!({"key": "x", "act": "silent"})
}

fn alarms(world: &World) -> usize {
    world.values("done").iter().filter(|done| done["act"] == "alarm").count()
}

#[test]
fn events_say_themselves_how_far_the_watermark_is() {
    let world = world("watermark = { punctuated = \"mark\" }");
    let mark = |mark: Value| json!({"key": "x", "act": "silent", "mark": mark});
    let check = |time: i64, event: Value, expected: usize| {
        world.send("orders", 0, &[(time, event.clone())]);
        world.drain().unwrap();
        assert_eq!(alarms(&world), expected, "after {event} at {time}");
    };
    check(0, wake("a", 100), 0);
    check(1_000, silent(), 0);
    check(1_000, mark(json!(99)), 0);
    check(1_000, mark(json!(false)), 0);
    check(50, mark(json!(100)), 1);
    check(0, wake("a", 300), 1);
    check(299, mark(json!(true)), 1);
    check(300, mark(json!(true)), 2);
    check(0, mark(json!("soon")), 2);
    assert_eq!(world.read("dead-letters").len(), 1, "a mark that is no time is not read over");
}

#[test]
fn what_was_learned_of_delays_survives_restarts() {
    let stream = "watermark = { observed_delay = 0.9, margin = \"5ms\" }";
    let events: Vec<(i64, Value)> =
        (0..60i64).map(|i| (1_000 + 10 * i - (i * 37 % 11) * (i % 4), wake(&format!("k{}", i % 13), 20 + i % 7))).collect();
    let whole = world(stream);
    whole.send("orders", 0, &events);
    whole.drain().unwrap();
    let restarted = world(stream);
    for event in &events {
        restarted.send("orders", 0, std::slice::from_ref(event));
        restarted.drain().unwrap();
    }
    assert!(alarms(&whole) > 0);
    assert_eq!(whole.read("done"), restarted.read("done"));
    for space in ["positions", "stage/"] {
        assert_eq!(whole.dump(space), restarted.dump(space), "{space}");
    }
}

#[test]
fn a_partition_that_is_silent_after_a_restart_is_where_it_was() {
    let world = world("partitions = 2");
    world.send("orders", 0, &[(0, wake("a", 100))]);
    world.send("orders", 1, &[(1_000, silent())]);
    world.drain().unwrap();
    world.send("orders", 0, &[(500, silent())]);
    world.drain().unwrap();
    assert_eq!(alarms(&world), 1, "partition 1 has been at 999 before, and need not say it again");
}

#[test]
fn what_an_idle_partition_sets_free_is_committed_without_any_event() {
    let world = world("partitions = 2\nidle = \"1s\"");
    let running = world.start();
    world.send("orders", 0, &[(0, wake("a", 100)), (500, silent())]);
    world.send("orders", 1, &[(50, silent())]);
    eventually("all is read", || (world.values("done").len() == 1).then_some(()));
    eventually("the alarm comes", || {
        world.clock.advance(100);
        (alarms(&world) == 1).then_some(())
    });
    running.stop().unwrap();
}

#[test]
fn with_processing_time_windows_close_by_the_clock_alone() {
    let world = world("watermark = \"processing_time\"");
    let running = world.start();
    world.send("orders", 0, &[(0, wake("a", 100))]);
    eventually("it is read", || (world.values("done").len() == 1).then_some(()));
    world.clock.advance(101);
    eventually("the alarm comes", || (alarms(&world) == 1).then_some(()));
    running.stop().unwrap();
}

#[test]
fn a_partition_that_is_too_far_ahead_is_held_back_and_not_idle_meanwhile() {
    let world = world("partitions = 2\nmax_drift = \"100ms\"\nidle = \"60s\"\nkey = \"key\"");
    let running = world.start();
    let lag = |partition: u32| {
        let source = running.control.standings().sources.get(&(0, partition)).copied();
        source.map(|source| (source.lag, source.state))
    };
    let events = |times: &[i64]| times.iter().map(|time| (*time, json!({"key": "k", "act": "count"}))).collect::<Vec<_>>();
    world.send("orders", 0, &events(&[0]));
    world.send("orders", 1, &events(&[0]));
    eventually("both are heard", || (world.values("done").len() == 2).then_some(()));
    world.send("orders", 0, &events(&[10_000]));
    eventually("it runs ahead", || (world.values("done").len() == 3).then_some(()));
    world.send("orders", 0, &events(&[10_001]));
    let held = Some((Some(1), sangam::task::IntakeState::Held));
    eventually("it is held back", || (lag(0) == held).then_some(()));
    for _ in 0..10 {
        world.clock.advance(400);
    }
    assert_eq!(lag(0), held, "waiting is not being idle");
    assert_eq!(world.values("done").len(), 3);
    world.send("orders", 1, &events(&[9_950]));
    eventually("the slow one has caught up, and both go on", || (world.values("done").len() == 5).then_some(()));
    running.stop().unwrap();
}
