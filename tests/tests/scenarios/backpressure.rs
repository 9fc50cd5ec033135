//! An operator slowed on purpose, sources at full speed: what waits in memory is bounded, only what is slow waits, nothing is lost.

use sangam::broker::{Bounds, KafkaBroker, KafkaOptions};
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, cluster, produce, records, stream, topic};
use sangam_tests::world::{World, eventually};
use serde_json::json;
use std::sync::Arc;

#[test]
fn a_slow_operator_stops_those_that_send_to_it_and_what_is_under_way_stays_bounded() {
    const PARTITIONS: i32 = 64;
    const EACH: usize = 2_000;
    let world = World::new(
        r#"
        workers = 2
        batch = 64
        [streams.orders]
        partitions = 64
        # Partitions that keep pace take 256 events at a time, so that many runs are made of few events.
        max_drift = "1h"
        idle = "1h"
        [streams.out]
        [operators.slow]
        plugin = "kitchen-sink"
        input = "orders"
        parallelism = 2
        outputs = { passed = "out", done = "out", placed = "out" }
        "#,
    )
    .plugin("kitchen-sink", &wasm("kitchen-sink"));
    for partition in 0..PARTITIONS {
        let events = (0..EACH).map(|n| (n as i64, json!({"key": format!("k{}", n % 100), "act": "work", "with": {"number": 10_000}})));
        world.send("orders", partition, &events.collect::<Vec<_>>());
    }
    let all = PARTITIONS as u64 * EACH as u64;
    let running = world.start();
    let mut most = 0;
    eventually("everything is processed", || {
        most = most.max(running.sum("sangam_exchange_runs", ""));
        (running.sum("sangam_operator_events_total", "\"ok\"") == all).then_some(())
    });
    assert!(running.sum("sangam_backpressure_events_total", "exchange") > 0, "the inboxes have been full");
    // Two inboxes of 64 runs, and at each partition's task the two runs that it had made when it was stopped.
    assert!(most <= 2 * 64 + PARTITIONS as u64 * 2, "{most} runs were under way");
    running.stop().unwrap();
    assert_eq!(world.values("out").len() as u64, all, "nothing is lost");
}

#[test]
fn a_slow_operator_holds_up_its_own_partitions_only_and_what_is_read_ahead_stays_bounded() {
    const BOUND: usize = 500;
    const BYTES: usize = 1 << 20;
    const RECORDS: usize = 20_000;
    let (slow, quick, out) = (topic("slow", 1), topic("quick", 1), topic("out", 1));
    let operator = |name: &str| {
        format!(
            "[operators.{name}]\nplugin = \"kitchen-sink\"\ninput = \"{name}\"\noutputs = {{ passed = \"out\", done = \"out\", placed = \"out\" }}"
        )
    };
    let toml = format!(
        "workers = 2\nbatch = 50\nguarantee = \"at_least_once\"\n{}{}{}{}{}\n{}",
        cluster("main", &bootstrap()),
        stream("slow", "main", &slow, "key = \"key\""),
        stream("quick", "main", &quick, "key = \"key\""),
        stream("out", "main", &out, ""),
        operator("slow"),
        operator("quick"),
    );
    let options = KafkaOptions { buffer: Bounds { records: BOUND, bytes: BYTES }, ..KafkaOptions::new(bootstrap()) };
    let world = World::new(&toml).plugin("kitchen-sink", &wasm("kitchen-sink"));
    let world = world.broker("main", Arc::new(KafkaBroker::connect(options).unwrap()));
    let act = |work: u32| format!(r#"{{"key": "k", "act": "work", "with": {{"number": {work}}}}}"#);
    let (heavy, light) = (act(100_000), act(0));
    produce(&slow, 0, &vec![("k", heavy.as_str()); RECORDS]);
    produce(&quick, 0, &vec![("k", light.as_str()); RECORDS]);
    let running = world.start();
    let mut most = (0, 0);
    let mut look = || {
        let standings = running.control.standings();
        let held = standings.sources.values().map(|source| source.buffered);
        most = held.fold(most, |most, held| (most.0.max(held.records), most.1.max(held.bytes)));
        standings
    };
    let ok = |operator: &str| running.sum("sangam_operator_events_total", &format!("operator=\"{operator}\",outcome=\"ok\""));
    let behind = eventually("the quick one is done", || {
        let standings = look();
        (ok("quick") == RECORDS as u64).then(|| RECORDS as u64 - ok("slow").min(standings.sources.len() as u64 * RECORDS as u64))
    });
    assert!(behind > 0, "the quick one did not wait for the slow one");
    eventually("the slow one is done", || {
        look();
        (ok("slow") == RECORDS as u64).then_some(())
    });
    assert!(most.0 > 0 && most.0 <= BOUND && most.1 <= BYTES, "{most:?} records and bytes were held ready");
    assert!(running.sum("sangam_backpressure_events_total", "source") > 0, "the buffer has been full");
    assert_eq!(running.metrics.run.restarts.get(), 0, "nobody was thrown out of the group");
    running.stop().unwrap();
    assert_eq!(records(&out), 2 * RECORDS, "nothing is lost, nothing came twice");
}
