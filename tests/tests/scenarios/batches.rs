//! Batches by count and by interval: events wait until there are enough of them, across commits and restarts, and `on_batch_end` sees each.

use sangam_tests::guests::wasm;
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};

fn toml(batch: &str) -> String {
    format!(
        "[streams.orders]\n[streams.rang]\n[streams.ended]\n[operators.alarm]\nplugin = \"alarm-clock\"\ninput = \"orders\"\n\
         outputs = {{ rang = \"rang\", ended = \"ended\" }}\n{batch}"
    )
}

fn world(batch: &str) -> World {
    World::new(&toml(&format!("batch = {batch}"))).plugin("alarm-clock", &wasm("alarm-clock"))
}

fn orders(from: i64, count: i64) -> Vec<(i64, Value)> {
    (from..from + count).map(|i| (i, json!({"key": if i % 3 == 2 { "b" } else { "a" }, "act": "count"}))).collect()
}

fn ended(world: &World) -> Vec<(String, i64)> {
    world.values("ended").iter().map(|ended| (ended["key"].as_str().unwrap().to_owned(), ended["events"].as_i64().unwrap())).collect()
}

#[test]
fn a_batch_has_as_many_events_as_were_asked_for_however_they_come_and_whenever_the_run_restarts() {
    let all = orders(0, 31);
    let whole = world("{ count = 6 }");
    whole.send("orders", 0, &all);
    whole.drain().unwrap();
    // Of each three events two are for `a`, so that each batch of six has four of them.
    let expected: Vec<_> = (0..5).flat_map(|_| [("a".to_owned(), 4), ("b".to_owned(), 2)]).collect();
    assert_eq!(ended(&whole), expected);
    assert_eq!(whole.dump("waiting/").len(), 1, "the thirty-first waits");
    for run in [1, 4, 7] {
        let split = world("{ count = 6 }");
        for events in all.chunks(run) {
            split.send("orders", 0, events);
            split.drain().unwrap();
        }
        assert_eq!(split.read("ended"), whole.read("ended"), "runs of {run}");
        for space in ["waiting/", "state/", "stage/"] {
            assert_eq!(split.dump(space), whole.dump(space), "{space} after runs of {run}");
        }
    }
}

#[test]
fn what_waits_is_not_forgotten_when_the_pipeline_no_longer_says_batch() {
    let world = world("{ count = 100 }");
    world.send("orders", 0, &orders(0, 5));
    world.drain().unwrap();
    assert_eq!(ended(&world), []);
    let world = world.with_pipeline(&toml(""));
    world.send("orders", 0, &orders(5, 1));
    world.drain().unwrap();
    assert_eq!(ended(&world).iter().map(|(_, events)| events).sum::<i64>(), 6);
    assert!(world.dump("waiting/").is_empty());
}

#[test]
fn a_batch_ends_when_its_first_event_has_waited_long_enough() {
    let world = world("{ count = 100, interval = \"50ms\" }");
    let running = world.start();
    world.send("orders", 0, &orders(0, 3));
    eventually("the events wait", || (!world.dump("waiting/").is_empty()).then_some(()));
    world.clock.advance(49);
    world.send("orders", 0, &orders(3, 2));
    eventually("they wait together", || {
        let standings = running.control.standings();
        standings.operators.values().any(|standing| standing.waiting == 5).then_some(())
    });
    assert_eq!(ended(&world), []);
    world.clock.advance(1);
    eventually("the batch ends", || (ended(&world) == [("a".to_owned(), 4), ("b".to_owned(), 1)]).then_some(()));
    eventually("nothing waits", || world.dump("waiting/").is_empty().then_some(()));
    running.stop().unwrap();
}

#[test]
fn time_does_not_run_ahead_of_the_events_that_wait() {
    let world = world("{ count = 2 }");
    let order = |time: i64, act: &str| (time, json!({"key": "a", "act": act, "text": "alarm", "number": 100}));
    world.send("orders", 0, &[order(0, "event"), order(10, "count"), order(500, "count")]);
    world.drain().unwrap();
    assert_eq!(world.values("rang"), Vec::<Value>::new(), "the event of 500 waits, and the watermark with it");
    world.send("orders", 0, &[order(600, "count")]);
    world.drain().unwrap();
    let rang = world.values("rang");
    assert_eq!((rang.len(), rang[0]["events"].clone()), (1, json!(3)), "after the event of 500, which was ahead of the watermark");
}
