//! Events change hands between tasks so that each key has one owner: counts are right, the watermark is the lowest of all partitions,
//! and nothing stands still, whatever the wiring.

use sangam_tests::guests::wasm;
use sangam_tests::orders::wake;
use sangam_tests::words::{all_23_counted_once, say_everywhere};
use sangam_tests::world::{Ended, World, eventually};
use serde_json::json;

fn world(pipeline: &str) -> World {
    World::new(pipeline).plugin("count", &wasm("count")).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

#[test]
fn words_that_lie_in_any_partition_are_counted_by_one_task_each() {
    let world =
        world("[streams.words]\npartitions = 4\n[streams.out]\npartitions = 3\n[operators.count]\ninput = \"words\"\noutput = \"out\"");
    say_everywhere(&world, "words", 4, 1_000);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 4_000, ok: 4_000, ..Ended::default() });
    all_23_counted_once(&world.values("out"), 4_000);
}

#[test]
fn two_operators_in_a_row_agree_whether_they_share_a_task_or_not() {
    for route in ["auto", "exchange", "forward"] {
        let world = world(&format!(
            r#"
            [streams.words]
            partitions = 4
            [streams.out]
            [operators.first]
            plugin = "count"
            input = "words"
            output = "between"
            [operators.second]
            plugin = "count"
            input = "between"
            output = "out"
            route = "{route}"
            "#
        ));
        say_everywhere(&world, "words", 4, 500);
        assert_eq!(world.drain().unwrap()["second"], Ended { events: 2_000, ok: 2_000, ..Ended::default() }, "{route}");
        all_23_counted_once(&world.values("out"), 2_000);
    }
}

#[test]
fn a_drained_pipeline_has_finished_what_it_wrote_for_itself() {
    let world = world(
        r#"
        [streams.words]
        partitions = 4
        [streams.between]
        partitions = 2
        [streams.out]
        [operators.first]
        plugin = "count"
        input = "words"
        output = "between"
        [operators.second]
        plugin = "count"
        input = "between"
        output = "out"
        "#,
    );
    say_everywhere(&world, "words", 4, 500);
    assert_eq!(world.drain().unwrap()["second"], Ended { events: 2_000, ok: 2_000, ..Ended::default() });
    all_23_counted_once(&world.values("out"), 2_000);
}

#[test]
fn a_drain_waits_for_what_is_there_though_it_has_not_arrived() {
    let pipeline = "[streams.words]\n[streams.out]\n[operators.count]\ninput = \"words\"\noutput = \"out\"";
    let mut world = world(pipeline);
    say_everywhere(&world, "words", 1, 500);
    // As with a fetch over the network, the first looks find nothing.
    world.controls("local").delay(100);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 500, ok: 500, ..Ended::default() });
}

#[test]
fn a_bounded_stream_ends_where_its_topics_do() {
    let bounded = "[streams.words]\nbounded = true\npartitions = 3\n[streams.out]\n[operators.count]\ninput = \"words\"\noutput = \"out\"";
    let mut world = world(bounded);
    say_everywhere(&world, "words", 3, 500);
    world.controls("local").delay(100);
    // Nobody stops it.
    world.start().outcome().unwrap();
    all_23_counted_once(&world.values("out"), 1_500);
}

#[test]
fn tasks_that_send_to_each_other_do_not_wait_for_each_other_for_ever() {
    // `second` takes `words` where they are, and what `first` makes of them by exchange: 64 tasks, each of which sends to all.
    let world = world(
        r#"
        workers = 2
        [streams.words]
        partitions = 64
        key = "text"
        [streams.out]
        [operators.first]
        plugin = "count"
        input = "words"
        output = "between"
        [operators.second]
        plugin = "count"
        input = ["words", "between"]
        output = "out"
        "#,
    );
    for partition in 0..64 {
        let words = (0..50_000).map(|n| (n, json!({"text": format!("w{partition}-{}", n % 9)})));
        world.send("words", partition, &words.collect::<Vec<_>>());
    }
    let running = world.start();
    eventually("everything is counted", || (running.metrics.render().contains("ok\"} 6400000")).then_some(()));
    running.stop().unwrap();
}

#[test]
fn groups_of_tasks_that_send_to_each_other_in_a_circle_do_not_wait_for_ever() {
    // `first` and `third` share the tasks of `words`, by their key; `second` has tasks of its own, and both directions are exchanges.
    let world = world(
        r#"
        workers = 2
        [streams.words]
        partitions = 128
        key = "text"
        [streams.out]
        [operators.first]
        plugin = "count"
        input = "words"
        output = "there"
        [operators.second]
        plugin = "count"
        input = "there"
        route = "exchange"
        parallelism = 128
        output = "back"
        [operators.third]
        plugin = "count"
        input = ["words", "back"]
        output = "out"
        "#,
    );
    for partition in 0..128 {
        let words = (0..300).map(|n| (n, json!({"text": format!("w{partition}-{}", n)})));
        world.send("words", partition, &words.collect::<Vec<_>>());
    }
    let running = world.start();
    eventually("everything is counted", || (running.metrics.render().contains("ok\"} 76800")).then_some(()));
    running.stop().unwrap();
}

#[test]
fn an_event_without_a_key_is_refused_before_it_changes_hands() {
    let world = world("[streams.words]\npartitions = 4\n[streams.out]\n[operators.count]\ninput = \"words\"\noutput = \"out\"");
    let events = [(0, json!({"text": "a"})), (1, json!({"word": "b"})), (2, json!({"text": 1.5})), (3, json!({"text": "a"}))];
    world.send("words", 2, &events);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 4, ok: 2, dead: 2, ..Ended::default() });
    let letters = world.read("dead-letters");
    let told: Vec<_> = letters.iter().map(|letter| (letter.header("sangam.offset"), letter.header("sangam.error"))).collect();
    assert_eq!(told[0].0, "1");
    assert!(told[0].1.contains("`text`") && told[1].1.contains("`text`"), "{told:?}");
}

const TIMERS: &str = r#"
    [streams.orders]
    partitions = 3
    idle = "1s"
    [streams.done]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "done", passed = "done", placed = "done" }
"#;

fn alarms(world: &World) -> usize {
    world.values("done").iter().filter(|done| done["act"] == "alarm").count()
}

#[test]
fn the_slowest_partition_decides_and_one_that_is_idle_does_not() {
    let world = world(TIMERS);
    world.send("orders", 0, &[(0, wake("a", 100))]);
    let running = world.start();
    eventually("it is heard", || (world.values("done").len() == 1).then_some(()));
    world.send("orders", 0, &[(1_000, json!({"key": "b", "act": "count"}))]);
    world.send("orders", 1, &[(90, json!({"key": "c", "act": "count"}))]);
    world.send("orders", 2, &[(2_000, json!({"key": "d", "act": "count"}))]);
    eventually("all are heard", || (world.values("done").len() == 4).then_some(()));
    assert_eq!(alarms(&world), 0, "partition 1 has only come to 90");
    world.send("orders", 1, &[(101, json!({"key": "c", "act": "count"}))]);
    eventually("the timer fires", || (alarms(&world) == 1).then_some(()));
    // From here on partition 1 is silent, while the others go on.
    world.send("orders", 0, &[(1_000, wake("a", 200)), (5_000, json!({"key": "b", "act": "count"}))]);
    world.send("orders", 2, &[(5_000, json!({"key": "d", "act": "count"}))]);
    eventually("the others are heard", || (world.values("done").len() == 9).then_some(()));
    assert_eq!(alarms(&world), 1, "no time has passed: nobody is idle");
    let mut later = 6_000;
    eventually("it is idle, and holds nothing back", || {
        // The others stay awake; the clock moves on in steps in which everybody is asked.
        later += 1;
        world.clock.advance(100);
        for partition in [0, 2] {
            world.send("orders", partition, &[(later, json!({"key": "b", "act": "silent"}))]);
        }
        (alarms(&world) == 2).then_some(())
    });
    running.stop().unwrap();
}
