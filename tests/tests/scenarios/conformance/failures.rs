//! The facts about events that break their operator, and about runs that break off.

use super::Kinds;
use super::case::{WAYS, Way};
use super::fact::{Fact, list, number, text};
use super::live::Live;
use crate::recovery;
use sangam::broker::Controls;
use sangam::store::DiskStore;
use sangam_tests::guests::wasm;
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// By category.
pub const KINDS: Kinds = &[("error_handler", handlers), ("eos_task_failure", exactly_once)];

// === events that break their operator ===

/// Kafka Streams asks a handler, written by the user, what becomes of an event that failed; here the pipeline says it by one of three
/// words, and what a handler might do besides cannot happen: a file that says anything else does not start.
fn handlers(fact: &Fact) {
    let records: Vec<String> = list(&fact.config()["records"]).iter().map(text).collect();
    for (step, expected) in fact.steps().iter().zip(list(fact.expect())) {
        for way in WAYS {
            match step[1].as_str().unwrap() {
                "CONTINUE" => go_on(way, &records, expected),
                "FAIL" => stop(way, &records, expected),
                other => {
                    assert!(expected.as_str().unwrap().starts_with("stop"), "{expected}");
                    let file = pipeline(other);
                    let refused = sangam::config::Pipeline::parse(&file, "test.toml", &|_| None).unwrap_err().to_string();
                    assert!(refused.contains("on_error"), "{refused}");
                }
            }
        }
    }
}

fn pipeline(on_error: &str) -> String {
    format!(
        r#"
        [streams.in]
        [streams.out]
        [operators.it]
        plugin = "kitchen-sink"
        input = "in"
        outputs = {{ done = "out", passed = "out", placed = "out" }}
        key = "key"
        on_error = "{on_error}""#
    )
}

/// A record is passed on, unless its name says that the operator fails at it.
fn record(name: &str) -> Value {
    json!({"key": "k", "act": if name.starts_with("ERR") { "fault" } else { "forward" }, "name": name})
}

fn processed(world: &World) -> Value {
    world.values("out").iter().map(|value| value["name"].clone()).collect()
}

fn go_on(way: Way, records: &[String], expected: &Value) {
    let mut live = Live::new(way, "kitchen-sink", &pipeline("drop"));
    for (i, name) in records.iter().enumerate() {
        live.send("in", 0, record(name));
        live.between(i, records.len());
    }
    live.stop();
    let found = json!({"processed": processed(live.world()), "dropped_records_total": live.dropped});
    assert_eq!(found, *expected, "X01 {way:?}");
}

/// It stops before the first event that it fails at, whenever it is started again, and says which one that is.
fn stop(way: Way, records: &[String], expected: &Value) {
    let mut live = Live::new(way, "kitchen-sink", &pipeline("stop"));
    let fails = records.iter().position(|name| name.starts_with("ERR")).unwrap();
    for (i, name) in records.iter().enumerate().take(fails) {
        live.send("in", 0, record(name));
        live.between(i, records.len());
    }
    live.stop();
    live.start();
    records[fails..].iter().for_each(|name| live.send("in", 0, record(name)));
    for _ in 0..2 {
        let why = live.outcome().unwrap_err().to_string();
        // `taskId, processor, topic, partition, offset=1`: what says where, and of what.
        let offset = text(&expected["error_has"]).rsplit('=').next().unwrap().to_owned();
        for part in ["operator `it`", "stream `in`", "partition 0", &format!("offset {offset}")] {
            assert!(why.contains(part), "X01 {way:?}: {part}: {why}");
        }
        live.start();
    }
    live.outcome().unwrap_err();
    let found = json!([processed(live.world()), live.dropped]);
    assert_eq!(found, json!([expected["processed"], expected["dropped_records_total"]]), "X01 {way:?}");
}

// === exactly once ===

const PARTITIONS: i32 = 2;

const THROUGH: &str = r#"
    [streams.in]
    partitions = 2
    [streams.out]
    partitions = 2
    [operators.it]
    plugin = "kitchen-sink"
    input = "in"
    outputs = { done = "out", passed = "out", placed = "out" }
    key = "key""#;

/// What is written to each partition from step to step: each record says which one it is.
struct Writer {
    written: i64,
}

impl Writer {
    fn write(&mut self, count: i64, mut send: impl FnMut(i32, Value)) {
        for n in self.written..self.written + count {
            for partition in 0..PARTITIONS {
                send(partition, json!({"key": format!("k{partition}"), "act": "forward", "from": partition, "number": n}));
            }
        }
        self.written += count;
    }
}

/// Numbers that came out of each partition, in order.
fn came_out(world: &World) -> BTreeMap<i64, Vec<i64>> {
    let mut numbers: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    world.values("out").iter().for_each(|value| numbers.entry(number(&value["from"])).or_default().push(number(&value["number"])));
    numbers
}

/// A commit is one write into the store; the error is a commit that fails when its outputs are written. They are never seen.
fn exactly_once(fact: &Fact) {
    let expected = number(&fact.expect()["read_committed_per_partition"]);
    let whole: BTreeMap<i64, Vec<i64>> = (0..i64::from(PARTITIONS)).map(|partition| (partition, (0..expected).collect())).collect();
    for way in WAYS {
        let mut controls: Option<Controls> = None;
        let mut live = Live::disturbed(way, "kitchen-sink", THROUGH, |world| controls = Some(world.controls("local")));
        let mut writer = Writer { written: 0 };
        for (i, step) in fact.steps().iter().enumerate() {
            match step[0].as_str().unwrap() {
                "write per partition" | "write" => {
                    writer.write(number(&step[1]), |partition, value| live.send("in", partition, value));
                    let all = (writer.written * i64::from(PARTITIONS)) as usize;
                    eventually("it is committed", || (live.world().values("out").len() >= all).then_some(()));
                }
                "inject error" => controls.as_ref().unwrap().fail_flushes(1),
                // Every write is committed, and only what is committed can be read.
                "commit" | "read_uncommitted sees 15 per partition" => {}
                other => panic!("{}: a step {other}", fact.id()),
            }
            // A fault that waits for the next commit is not to hit a restart.
            if step[0] != "inject error" {
                live.between(i, fact.steps().len());
            }
        }
        live.stop();
        assert_eq!(came_out(live.world()), whole, "{} {way:?}: {}", fact.id(), fact.text("why"));
        let all = (expected * i64::from(PARTITIONS)) as u64;
        assert!(live.emitted > all, "{} {way:?}: {} emitted, of {all} that count: no commit has failed", fact.id(), live.emitted);
    }
    assert_eq!(killed_after_every_step(fact), whole, "{} killed after every step: {}", fact.id(), fact.text("why"));
}

/// The same by a process that is killed after every step, as soon as it has written something.
fn killed_after_every_step(fact: &Fact) -> BTreeMap<i64, Vec<i64>> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let open = || World::over(THROUGH, Arc::new(DiskStore::open(&data).unwrap()), folder.clone());
    let toml = format!("name = \"test\"\ndata = \"data\"\ncommit_interval = \"5ms\"\n{THROUGH}");
    std::fs::write(folder.path().join("pipeline.toml"), toml).unwrap();
    drop(open().plugin("kitchen-sink", &wasm("kitchen-sink")));
    let mut writer = Writer { written: 0 };
    for step in fact.steps() {
        if let Some(count) = step[1].as_i64() {
            let world = open();
            writer.write(count, |partition, value| world.send("in", partition, &[(0, value)]));
        }
        let before = recovery::touched(&data);
        let mut child = recovery::program(folder.path(), false);
        eventually("it has written something", || (recovery::touched(&data) != before).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let world = open();
    world.drain().unwrap();
    came_out(&world)
}
