//! Savepoints of pipelines that key events anew through a topic: what is under way there is part of them, and what was sent since counts for
//! nothing after a restore. The cluster's topics are embedded ones here; `kafka_savepoints::passages` has a real one.

use super::since;
use sangam::pipeline::savepoint::SavepointError;
use sangam_tests::guests::wasm;
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CLUSTER: &str = "[clusters.main]\nkind = \"kafka\"\nbrokers = \"nowhere:9092\"\n";

const COUNT: &str = r#"
    [streams.words]
    cluster = "main"
    create = true
    partitions = 4
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
    route = "repartition"
    parallelism = 3
    on_error = "stop"
"#;

const THROUGH: &str = "test.count.words.repartition";

fn counting() -> World {
    World::on_disk(&format!("{CLUSTER}{COUNT}")).plugin("count", &wasm("count"))
}

/// Writes words that lie in any partition; `last` is one more, the last one.
fn say(world: &World, last: Option<&str>) {
    for partition in 0..4 {
        let words = (0..50).map(|n| json!({"text": format!("w{}", n % 7)}));
        let last = last.filter(|_| partition == 3).map(|text| json!({"text": text}));
        world.send("words", partition, &words.chain(last).map(|word| (0, word)).collect::<Vec<_>>());
    }
}

/// A pipeline all of whose words are under way: whoever is to count them fails at the first batch.
fn all_under_way() -> World {
    let world = counting().plugin("count", &wasm("count-broken"));
    say(&world, Some("b!"));
    world.drain().unwrap_err();
    assert!(world.read("tallies").is_empty() && !world.read(THROUGH).is_empty());
    world
}

/// Each word's counts go up by one from behind `from`; how far they go.
fn counts(tallies: &[Value], from: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut counts = from.clone();
    for tally in tallies {
        let count = counts.entry(tally["text"].as_str().unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(tally["seen"].as_u64(), Some(*count), "{tally}");
    }
    counts
}

fn records_to_read(world: &World) -> u64 {
    world.read(THROUGH).len() as u64
}

#[test]
fn events_under_way_in_a_repartition_topic_are_saved_and_counted_once_after_a_restore() {
    let world = all_under_way();
    let savepoint = world.savepoint("s").unwrap();
    assert_eq!(savepoint.under_way, [("count:words".to_owned(), records_to_read(&world))].into());

    let world = world.plugin("count", &wasm("count"));
    world.drain().unwrap();
    say(&world, None);
    world.drain().unwrap();
    let before = world.read("tallies").len();
    assert_eq!(before, 401);
    let (wanted, scratch) = (world.dump("state/"), counts(&world.values("tallies"), &BTreeMap::new()));

    // What has gone through the topic since is read by nobody any more; and a second restore throws away what the first has sent.
    world.restore("s").unwrap();
    world.restore("s").unwrap();
    world.drain().unwrap();
    assert_eq!(counts(&since(&world, "tallies", before), &BTreeMap::new()), scratch);
    assert!(world.dump("state/") == wanted, "as if there had been no restore");
}

#[test]
fn what_is_sent_after_a_savepoint_and_not_read_is_thrown_away_by_a_restore() {
    let world = counting();
    say(&world, None);
    world.drain().unwrap();
    let savepoint = world.savepoint("s").unwrap();
    assert_eq!(savepoint.under_way, BTreeMap::new(), "a drain leaves nothing under way");
    let known = counts(&world.values("tallies"), &BTreeMap::new());
    let before = world.read("tallies").len();

    // Sent, and never counted.
    let world = world.plugin("count", &wasm("count-broken"));
    say(&world, Some("b!"));
    world.drain().unwrap_err();
    assert_eq!(world.read("tallies").len(), before);
    let world = world.plugin("count", &wasm("count"));
    world.restore("s").unwrap();
    world.drain().unwrap();
    let counted = since(&world, "tallies", before);
    assert_eq!(counted.len(), 201, "each event after the savepoint, once");
    counts(&counted, &known);
}

#[test]
fn a_savepoint_of_a_running_pipeline_has_what_is_under_way_at_one_commit() {
    let world = counting();
    say(&world, None);
    let running = world.start();
    eventually("it commits", || (running.metrics.commits.get() > 0).then_some(()));
    let mut names = Vec::new();
    for n in 0..5 {
        say(&world, None);
        let name = format!("s{n}");
        names.push(running.control.savepoints().ask(&name, "live").unwrap().recv().unwrap().unwrap());
    }
    running.stop().unwrap();
    world.drain().unwrap();
    let (wanted, scratch) = (world.dump("state/"), counts(&world.values("tallies"), &BTreeMap::new()));
    for savepoint in names {
        let before = world.read("tallies").len();
        world.restore(&savepoint.name).unwrap();
        world.drain().unwrap();
        // Every word of which the savepoint had counted some goes on from there.
        let again = since(&world, "tallies", before);
        let mut from = scratch.clone();
        again.iter().for_each(|tally| *from.get_mut(tally["text"].as_str().unwrap()).unwrap() -= 1);
        assert_eq!(counts(&again, &from), scratch, "{}", savepoint.name);
        assert!(world.dump("state/") == wanted, "{}", savepoint.name);
    }
}

#[test]
fn what_is_under_way_has_no_place_in_a_pipeline_that_keys_in_memory_unless_it_may_be_left_behind() {
    let world = all_under_way();
    world.savepoint("s").unwrap();
    let world = world.with_pipeline(&format!("{CLUSTER}{}", COUNT.replace("repartition", "exchange")));
    let world = world.plugin("count", &wasm("count"));
    let why = world.restore("s").unwrap_err();
    assert!(matches!(&why, SavepointError::NotRestored(what) if what == "the stream `count:words`"), "{why}");
    world.stopped().restore_savepoint("s", true).unwrap();
    say(&world, None);
    world.drain().unwrap();
    assert_eq!(world.read("tallies").len(), 200, "those under way are left behind");
}

#[test]
fn a_savepoint_of_a_pipeline_that_keys_in_memory_goes_on_through_a_topic_from_where_that_ends() {
    let world = counting().with_pipeline(&format!("{CLUSTER}{}", COUNT.replace("repartition", "exchange")));
    say(&world, None);
    world.drain().unwrap();
    world.savepoint("s").unwrap();
    let known = counts(&world.values("tallies"), &BTreeMap::new());
    // The topic has had other uses meanwhile.
    let world = world.with_pipeline(&format!("{CLUSTER}{COUNT}"));
    say(&world, None);
    world.drain().unwrap();
    let before = world.read("tallies").len();
    world.restore("s").unwrap();
    world.drain().unwrap();
    let again = since(&world, "tallies", before);
    assert_eq!(again.len(), 200);
    counts(&again, &known);
}
