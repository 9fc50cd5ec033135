//! Events that are keyed anew through a topic come to the same as with an exchange: one owner for each key, the watermark of the slowest
//! sender, dead letters that say where an event came from, and an end that waits for what is still on its way.

use sangam::broker::OutRecord;
use sangam_protocol::msgpack::write;
use sangam_tests::guests::wasm;
use sangam_tests::words::{all_23_counted_once, say_everywhere};
use sangam_tests::world::{Ended, NOW, World, eventually};
use serde_json::json;
use std::collections::BTreeMap;

/// The topics of the cluster are embedded ones here, which is faster; `kafka_repartition` has a real one.
const CLUSTER: &str = "[clusters.main]\nkind = \"kafka\"\nbrokers = \"nowhere:9092\"\n";

fn world(pipeline: &str) -> World {
    let world = World::new(&format!("{CLUSTER}{pipeline}")).plugin("count", &wasm("count")).plugin("windowing", &wasm("windowing"));
    world.plugin("kitchen-sink", &wasm("kitchen-sink"))
}

const COUNT: &str = r#"
    [streams.words]
    cluster = "main"
    create = true
    partitions = 4
    [streams.out]
    partitions = 3
    [operators.count]
    input = "words"
    output = "out"
    route = "repartition"
"#;

const THROUGH: &str = "test.count.words.repartition";

#[test]
fn words_that_lie_in_any_partition_are_counted_by_one_task_each() {
    let world = world(COUNT);
    say_everywhere(&world, "words", 4, 1_000);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 4_000, ok: 4_000, ..Ended::default() });
    all_23_counted_once(&world.values("out"), 4_000);
    let carried = world.read(THROUGH);
    let partitions: Vec<usize> =
        (0..4).map(|p| carried.iter().filter(|seen| seen.partition == p && seen.value.is_some()).count()).collect();
    assert!(partitions.iter().all(|records| *records > 0), "as many partitions as the words have: {partitions:?}");
    assert_eq!(partitions.iter().sum::<usize>(), 4_000);
    // A key is in one partition only.
    let mut places: BTreeMap<String, i32> = BTreeMap::new();
    for seen in carried.iter().filter(|seen| seen.value.is_some()) {
        let word = seen.value()["text"].as_str().unwrap().to_owned();
        assert_eq!(*places.entry(word).or_insert(seen.partition), seen.partition);
    }
    // What is there already is not read again.
    say_everywhere(&world, "words", 4, 100);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 400, ok: 400, ..Ended::default() });
    all_23_counted_once(&world.values("out"), 4_400);
}

#[test]
fn the_topic_has_as_many_partitions_as_the_operator_asks_for_and_keeps_them() {
    let asked = COUNT.replace("route", "parallelism = 7\n    route");
    let world = world(&asked);
    say_everywhere(&world, "words", 4, 500);
    world.drain().unwrap();
    all_23_counted_once(&world.values("out"), 2_000);
    assert_eq!(world.read(THROUGH).iter().map(|seen| seen.partition).max(), Some(6));

    // Without a wish it runs in as many slices as before, and not in as many as the words have.
    let world = world.with_pipeline(&format!("{CLUSTER}{COUNT}"));
    say_everywhere(&world, "words", 4, 100);
    world.drain().unwrap();
    all_23_counted_once(&world.values("out"), 2_400);

    let other = asked.replace("parallelism = 7", "parallelism = 3");
    let why = world.with_pipeline(&format!("{CLUSTER}{other}")).supervisor(Default::default(), false).err().unwrap().to_string();
    assert!(why.contains("the 7 partitions of its input") && why.contains("keeps the partitions that it was made with"), "{why}");
}

#[test]
fn an_operator_may_send_through_a_topic_to_one_that_does_the_same() {
    let world = world(
        r#"
        [streams.words]
        cluster = "main"
        create = true
        partitions = 4
        [streams.out]
        [operators.first]
        plugin = "count"
        input = "words"
        output = "between"
        route = "repartition"
        parallelism = 2
        [operators.second]
        plugin = "count"
        input = "between"
        output = "out"
        route = "repartition"
        parallelism = 5
        "#,
    );
    say_everywhere(&world, "words", 4, 500);
    let ended = world.drain().unwrap();
    assert_eq!(ended["second"], Ended { events: 2_000, ok: 2_000, ..Ended::default() });
    all_23_counted_once(&world.values("out"), 2_000);
    assert_eq!(world.read("test.second.between.repartition").iter().filter(|seen| seen.value.is_some()).count(), 2_000);
}

const WINDOWS: &str = r#"
    [streams.words]
    cluster = "main"
    create = true
    partitions = 3
    [streams.out]
    [operators.windowing]
    input = "words"
    output = "out"
    key = "text"
    route = "repartition"
    config = { window = { type = "tumbling", size = "1s" }, aggregate = [{ fn = "count" }] }
"#;

/// Keys and starts of windows, with how many they counted.
fn windows(world: &World) -> BTreeMap<(String, i64), u64> {
    let mut windows = BTreeMap::new();
    for window in world.values("out") {
        let at = (window["key"].as_str().unwrap().to_owned(), window["window_start"].as_i64().unwrap());
        assert_eq!(windows.insert(at, window["count"].as_u64().unwrap()), None, "{window} came twice");
    }
    windows
}

#[test]
fn a_window_closes_when_all_who_send_have_passed_its_end() {
    let world = world(WINDOWS);
    let word = |time: i64| (time, json!({"text": "a"}));
    world.send("words", 0, &[word(100), word(5_000)]);
    world.send("words", 1, &[word(200), word(900)]);
    world.send("words", 2, &[word(300), word(6_000)]);
    // A drain is not the end of time.
    world.drain().unwrap();
    assert_eq!(windows(&world), BTreeMap::new(), "partition 1 has only come to 900");
    world.send("words", 1, &[word(999)]);
    world.drain().unwrap();
    assert_eq!(windows(&world), BTreeMap::new(), "partition 1 has only come to 999, so that its watermark is at 998");
    world.send("words", 1, &[word(1_000)]);
    world.drain().unwrap();
    assert_eq!(windows(&world), [(("a".to_owned(), 0), 5)].into());
}

#[test]
fn at_the_end_of_the_input_every_window_closes_also_those_behind_two_topics() {
    let world = world(
        r#"
        [streams.words]
        cluster = "main"
        create = true
        partitions = 3
        bounded = true
        [streams.out]
        [operators.seconds]
        plugin = "windowing"
        input = "words"
        output = "between"
        key = "text"
        route = "repartition"
        config = { window = { type = "tumbling", size = "1s" }, aggregate = [{ fn = "count" }] }
        [operators.windowing]
        input = "between"
        output = "out"
        key = "key"
        route = "repartition"
        config = { window = { type = "tumbling", size = "10s" }, aggregate = [{ fn = "sum", field = "count" }, { fn = "count" }] }
        "#,
    );
    for partition in 0..3 {
        let words = (0..300).map(|n| (n * 100, json!({"text": format!("w{}", n % 5)})));
        world.send("words", partition, &words.collect::<Vec<_>>());
    }
    world.finish().unwrap();
    let windows = windows(&world);
    // 30 s of events: three windows of 10 s with ten of 1 s each, for five words.
    assert_eq!(windows.len(), 15, "{windows:?}");
    assert!(windows.values().all(|seconds| *seconds == 10), "{windows:?}");
    let sums: f64 = world.values("out").iter().map(|window| window["sum_count"].as_f64().unwrap()).sum();
    assert_eq!(sums, 900.0, "every event is in one of them");
}

const TIMERS: &str = r#"
    [streams.orders]
    cluster = "main"
    create = true
    partitions = 3
    idle = "1s"
    [streams.done]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    route = "repartition"
    outputs = { done = "done", passed = "done", placed = "done" }
"#;

#[test]
fn a_sender_that_is_idle_holds_nothing_back() {
    let world = world(TIMERS);
    let alarms = || world.values("done").iter().filter(|done| done["act"] == "alarm").count();
    world.send("orders", 0, &[(0, json!({"key": "a", "act": "wake", "with": {"number": 100, "text": "alarm"}}))]);
    world.send("orders", 1, &[(50, json!({"key": "c", "act": "count"}))]);
    let running = world.start();
    eventually("both are heard", || (world.values("done").len() == 2).then_some(()));
    assert_eq!(alarms(), 0, "nothing has come from partition 2, and 1 has only come to 50");
    let mut later = 1_000;
    eventually("the others are idle", || {
        later += 1;
        world.clock.advance(100);
        world.send("orders", 0, &[(later, json!({"key": "b", "act": "silent"}))]);
        (alarms() == 1).then_some(())
    });
    running.stop().unwrap();
}

/// A header of one entry.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::map(&mut out, 1);
    write::str(&mut out, name);
    write::bin(&mut out, value.as_bytes());
    out
}

#[test]
fn a_dead_letter_tells_of_the_event_as_it_was_before_it_went_through_the_topic() {
    let world = world(TIMERS);
    let (value, headers) = (rmp_serde::to_vec_named(&json!({"key": "k", "act": "reject"})).unwrap(), header("trace", "42"));
    let record = OutRecord { topic: "orders", partition: 2, key: Some(b"own"), value: Some(&value), headers: &headers, time: -7 };
    world.send("orders", 2, &[(NOW, json!({"act": "count"}))]);
    world.write(&[record]);
    assert_eq!(world.drain().unwrap()["sink"], Ended { events: 2, dead: 2, ..Ended::default() });
    let letters = world.read("test.dead-letters");
    let of = |offset: &str| letters.iter().find(|letter| letter.header("sangam.offset") == offset).unwrap();
    // The first has no key, and got no further than its own partition; the second was refused behind the topic.
    assert!(of("0").header("sangam.error").contains("`key`"), "{}", of("0").header("sangam.error"));
    let letter = of("1");
    let told =
        ["sangam.stream", "sangam.partition", "sangam.input", "sangam.timestamp", "trace", "sangam.from"].map(|name| letter.header(name));
    assert_eq!(told, ["orders", "2", "orders", "-7", "42", ""]);
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&b"own"[..]), Some(&value[..])));
}

#[test]
fn a_failure_in_mid_commit_loses_and_doubles_nothing() {
    let mut world = world(COUNT);
    let controls = world.controls("main");
    say_everywhere(&world, "words", 4, 1_000);
    let running = world.start();
    for failures in 1..=5 {
        controls.fail_flushes(1);
        say_everywhere(&world, "words", 4, 100);
        eventually("it goes back to the last commit", || (running.metrics.run.restarts.get() >= failures).then_some(()));
    }
    eventually("all are counted", || (world.values("out").len() >= 6_000).then_some(()));
    running.stop().unwrap();
    all_23_counted_once(&world.values("out"), 6_000);
}

#[test]
fn an_event_without_a_key_goes_to_the_fallback_of_its_operator() {
    let world = world(
        r#"
        [streams.words]
        cluster = "main"
        create = true
        partitions = 4
        [streams.out]
        [streams.others]
        [operators.count]
        input = "words"
        output = "out"
        route = "repartition"
        on_error = { fallback = "others" }
        [operators.others]
        plugin = "kitchen-sink"
        outputs = { done = "others", passed = "others", placed = "others" }
        "#,
    );
    world.send("words", 3, &[(0, json!({"text": "a"})), (1, json!({"key": "b", "act": "count"}))]);
    let ended = world.drain().unwrap();
    assert_eq!(ended["count"], Ended { events: 2, ok: 1, fallback: 1, ..Ended::default() });
    assert_eq!(ended["others"], Ended { events: 1, ok: 1, ..Ended::default() });
}

#[test]
fn a_stream_that_is_read_from_its_end_still_is_beside_a_topic_that_is_read_from_its_start() {
    let world = world(&COUNT.replace("partitions = 4", "partitions = 4\n    start = \"latest\""));
    say_everywhere(&world, "words", 4, 100);
    assert_eq!(world.drain().unwrap()["count"], Ended::default());
}

#[test]
fn an_operator_without_keys_is_refused() {
    let world = world(
        r#"
        [streams.words]
        cluster = "main"
        create = true
        [streams.out]
        [operators.w1]
        input = "words"
        output = "out"
        route = "repartition"
        "#,
    );
    let why = world.plugin("w1", &wasm("w1")).supervisor(Default::default(), false).err().unwrap().to_string();
    assert!(why.contains("`w1`: it keeps no state per key"), "{why}");
}
