//! What is urgent is read first, what can wait gets its share, and neither changes what comes out.

use sangam_tests::guests::wasm;
use sangam_tests::world::{Ended, World};
use serde_json::{Value, json};

/// Two streams that one worker reads, passed on into one topic in the order in which they were processed.
fn world(urgent: &str, bulk: &str) -> World {
    let toml = format!(
        r#"
        workers = 1
        [clusters.outside]
        kind = "memory"
        [streams.urgent]
        cluster = "outside"
        partitions = 2
        key = "key"
        priority = "{urgent}"
        [streams.bulk]
        partitions = 2
        key = "key"
        priority = "{bulk}"
        [streams.out]
        [operators.urgent]
        plugin = "kitchen-sink"
        input = "urgent"
        outputs = {{ passed = "out", done = "out", placed = "out" }}
        [operators.bulk]
        plugin = "kitchen-sink"
        input = "bulk"
        outputs = {{ passed = "out", done = "out", placed = "out" }}
        "#
    );
    World::new(&toml).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

/// Events for both partitions of a stream.
fn send(world: &World, stream: &str, events: i64) {
    for partition in 0..2 {
        let events = (0..events / 2).map(|n| (n, json!({"key": stream, "act": "forward", "with": {"number": n}})));
        world.send(stream, partition, &events.collect::<Vec<_>>());
    }
}

/// Which stream each output is of, in the order in which they were made.
fn order(world: &World) -> Vec<bool> {
    world.values("out").iter().map(|out| out["key"] == "urgent").collect()
}

/// How many events that can wait are processed before the last urgent one, and the most of them in a row.
fn in_between(order: &[bool]) -> (usize, usize) {
    let last = order.iter().rposition(|urgent| *urgent).unwrap();
    let before: Vec<&[bool]> = order[..last].split(|urgent| *urgent).collect();
    (before.iter().map(|run| run.len()).sum(), before.iter().map(|run| run.len()).max().unwrap())
}

#[test]
fn urgent_events_go_first_and_those_that_can_wait_get_their_share() {
    let world = world("high", "low");
    send(&world, "urgent", 20_000);
    send(&world, "bulk", 40_000);
    let ended = world.drain().unwrap();
    assert_eq!(ended["urgent"], Ended { events: 20_000, ok: 20_000, ..Ended::default() });
    assert_eq!(ended["bulk"], Ended { events: 40_000, ok: 40_000, ..Ended::default() }, "nothing that waits is lost");
    let order = order(&world);
    assert!(order[..1024].iter().all(|urgent| *urgent));
    let (all, in_a_row) = in_between(&order);
    // One in twenty: 20,000 × 5/95, less what the last rounds have not paid out.
    assert!((900..=1_060).contains(&all), "{all} events that can wait among 20,000 urgent ones");
    assert!(in_a_row <= 110, "an urgent event waited for {in_a_row} others");
}

#[test]
fn an_urgent_event_that_comes_into_a_backlog_waits_for_one_turn_of_it() {
    let mut world = world("high", "low");
    send(&world, "urgent", 10);
    send(&world, "bulk", 100_000);
    // As if they came later: four looks into each of the two partitions find nothing yet.
    world.controls("outside").delay(8);
    world.drain().unwrap();
    let order = order(&world);
    let first = order.iter().position(|urgent| *urgent).unwrap();
    assert_eq!(first, 4 * 1024, "after each turn of those that can wait there is a look at what is urgent");
    assert!(order[first..first + 10].iter().all(|urgent| *urgent));
}

#[test]
fn streams_of_one_priority_are_all_read_in_each_round() {
    let world = world("low", "low");
    send(&world, "urgent", 20_000);
    send(&world, "bulk", 20_000);
    world.drain().unwrap();
    let order = order(&world);
    let first_half = order[..20_000].iter().filter(|urgent| **urgent).count();
    assert!((8_000..=12_000).contains(&first_half), "{first_half}");
}

#[test]
fn the_order_of_processing_is_the_same_each_time() {
    let run = || {
        let world = world("normal", "low");
        send(&world, "urgent", 9_000);
        send(&world, "bulk", 9_000);
        world.drain().unwrap();
        order(&world)
    };
    assert_eq!(run(), run());
}

#[test]
fn priorities_change_no_result_of_an_operator_that_reads_both() {
    let meet = |orders: &str, payments: &str| -> Vec<String> {
        let world = World::new(&format!(
            r#"
            [streams.orders]
            partitions = 3
            priority = "{orders}"
            [streams.payments]
            partitions = 3
            priority = "{payments}"
            [streams.out]
            partitions = 2
            [operators.sink]
            plugin = "kitchen-sink"
            input = ["orders", "payments"]
            outputs = {{ passed = "out", done = "out", placed = "out" }}
            "#
        ));
        let world = world.plugin("kitchen-sink", &wasm("kitchen-sink"));
        for partition in 0..3 {
            // Each key has a timer that is due when both streams have come to its time: their watermarks decide as ever.
            let orders = (0..2_000)
                .map(|n| (n, json!({"key": format!("k{n}-{partition}"), "act": "wake", "with": {"number": 5_000, "text": "alarm"}})));
            world.send("orders", partition, &orders.collect::<Vec<_>>());
            let payments = (0..8_000).map(|n| (n, json!({"key": format!("p{}-{partition}", n % 50), "act": "silent"})));
            world.send("payments", partition, &payments.collect::<Vec<_>>());
            world.send("orders", partition, &[(6_500, json!({"key": "last", "act": "silent"}))]);
        }
        world.drain().unwrap();
        let fired = world.values("out");
        let mut fired: Vec<String> = fired.iter().filter(|out| out["act"] == "alarm").map(Value::to_string).collect();
        fired.sort();
        fired.into_iter().map(without_watermark).collect()
    };
    let alike = meet("normal", "normal");
    // Timers up to 6,499 are due, of orders up to 1,499 in each of the three partitions.
    assert_eq!(alike.len(), 3 * 1_500);
    assert_eq!(meet("high", "low"), alike);
    assert_eq!(meet("low", "high"), alike);
}

/// The watermark that a timer saw depends on how the input was cut into batches.
fn without_watermark(fired: String) -> String {
    let mut fired: Value = serde_json::from_str(&fired).unwrap();
    fired.as_object_mut().unwrap().remove("watermark");
    fired.to_string()
}
