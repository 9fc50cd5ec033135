//! Savepoints over a real Kafka: taken of its logs, put into them in one transaction, and carried from there to the embedded store and back.

mod passages;
mod roll_back;

use sangam::pipeline::savepoint::SavepointError;
use sangam::store::Pair;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, cluster, committed, topic, unique};
use sangam_tests::words::{self, process, tally, word, write_words};
use sangam_tests::world::{World, eventually, record};
use std::collections::BTreeMap;

const PARTITIONS: u32 = 3;

/// Counts words from one topic into another, with or without Kafka.
fn counting(cluster: &str, words: &str, tallies: &str) -> String {
    format!(
        r#"
        {cluster}
        [streams.words]
        cluster = "main"
        topic = "{words}"
        partitions = {PARTITIONS}
        format = "json"
        key = ["text"]
        [streams.tallies]
        cluster = "main"
        topic = "{tallies}"
        format = "json"
        [operators.count]
        input = "words"
        output = "tallies"
        "#
    )
}

/// A pipeline over Kafka, and its topics.
struct OverKafka {
    name: String,
    words: String,
    tallies: String,
}

impl OverKafka {
    fn new() -> OverKafka {
        OverKafka { name: unique("counting"), words: topic("words", PARTITIONS), tallies: topic("tallies", 1) }
    }

    fn toml(&self) -> String {
        counting(&cluster("main", &bootstrap()), &self.words, &self.tallies)
    }

    /// A process with nothing on its disk.
    fn process(&self) -> World {
        process(&self.name, &self.toml())
    }

    /// Writes 20 words to each partition.
    fn say(&self) {
        for partition in 0..PARTITIONS {
            write_words(&self.words, partition as i32, texts(partition));
        }
    }

    /// The last counts of each word.
    fn counts(&self) -> BTreeMap<String, u64> {
        words::tallies(&self.tallies).into_iter().collect()
    }

    fn all_have(&self, count: u64) {
        let counts = self.counts();
        assert_eq!(counts.len(), 4 * PARTITIONS as usize);
        assert!(counts.values().all(|seen| *seen == count), "{count}: {counts:?}");
    }
}

/// Four words, five times each, that no other partition has.
fn texts(partition: u32) -> impl Iterator<Item = String> {
    (0..20).map(move |n| format!("w{}-{partition}", n % 4))
}

/// The same pipeline without Kafka.
fn embedded(name: &str) -> World {
    World::on_disk(&counting("[clusters.main]\nkind = \"local\"", "words", "tallies")).named(name).plugin("count", &wasm("count"))
}

fn say_embedded(world: &World) {
    for partition in 0..PARTITIONS {
        // The stream is JSON: the bytes go as they are.
        let values: Vec<String> = texts(partition).map(|text| word(&text).to_string()).collect();
        let records = values.iter().map(|value| record("words", partition as i32, 0, value.as_bytes()));
        world.write(&records.collect::<Vec<_>>());
    }
}

fn last_embedded(world: &World) -> Vec<u64> {
    let last: BTreeMap<String, u64> = world.read("tallies").iter().map(|seen| tally(&seen.json())).collect();
    last.into_values().collect()
}

/// Hands the savepoints of one world to another.
fn carry(from: &World, to: &World) {
    std::fs::create_dir_all(to.folder().join("data")).unwrap();
    std::fs::rename(from.folder().join("data/savepoints"), to.folder().join("data/savepoints")).unwrap();
}

fn state(world: &World) -> BTreeMap<String, Vec<Pair>> {
    world.dump("state/").into_iter().chain(world.dump("stage/")).collect()
}

#[test]
fn a_restore_over_kafka_is_there_for_every_process_with_or_without_a_disk() {
    let kafka = OverKafka::new();
    let world = kafka.process();
    kafka.say();
    world.drain().unwrap();
    // Taken by a process that has never run: it reads the logs first.
    let other = kafka.process();
    let savepoint = other.savepoint("s").unwrap();
    assert!(savepoint.entries > 0 && savepoint.positions.len() == PARTITIONS as usize, "{savepoint:?}");
    let before = state(&world);
    kafka.say();
    world.drain().unwrap();
    kafka.all_have(10);

    other.restore("s").unwrap();
    assert!(state(&other) == before);
    // Words of the second round are counted again, by somebody with an empty disk and by one whose copy is older than the restore.
    kafka.process().drain().unwrap();
    kafka.all_have(10);
    assert_eq!(committed(&kafka.tallies).len(), 180, "what was written since stays, and comes again");
    kafka.say();
    world.drain().unwrap();
    kafka.all_have(15);
}

#[test]
fn a_savepoint_goes_from_the_embedded_store_to_kafka_and_back() {
    let kafka = OverKafka::new();
    let home = embedded(&kafka.name);
    say_embedded(&home);
    home.drain().unwrap();
    home.savepoint("s").unwrap();
    // The same records at Kafka, at the same offsets.
    kafka.say();
    let away = kafka.process();
    carry(&home, &away);
    away.restore("s").unwrap();
    assert!(state(&away) == state(&home));
    kafka.say();
    away.drain().unwrap();
    kafka.all_have(10);
    away.savepoint("t").unwrap();
    carry(&away, &home);
    let why = home.restore("t").unwrap_err().to_string();
    assert!(why.contains("up to offset 40, but there is nothing from offset 20 on"), "{why}");
    say_embedded(&home);
    home.restore("t").unwrap();
    assert!(state(&home) == state(&away));
    say_embedded(&home);
    home.drain().unwrap();
    assert_eq!(last_embedded(&home), [15; 12]);
}

#[test]
fn while_another_process_is_at_work_there_is_no_savepoint_and_no_restore() {
    let kafka = OverKafka::new();
    let (first, second) = (kafka.process(), kafka.process());
    kafka.say();
    let one = first.start();
    eventually("the first is at work", || (committed(&kafka.tallies).len() == 60).then_some(()));
    let two = second.start();
    eventually("the second has a share", || (two.metrics.commits.get() > 0 || two.control.running()).then_some(()));
    eventually("the first has given some up", || {
        kafka.say();
        (two.metrics.commits.get() > 0).then_some(())
    });
    let asked = one.control.savepoints().ask("live", "").unwrap().recv().unwrap();
    assert!(matches!(asked, Err(SavepointError::Shared { expected: 3, .. })), "{asked:?}");
    two.stop().unwrap();
    eventually("the first has all again", || one.control.savepoints().ask("live", "").unwrap().recv().unwrap().ok());
    one.stop().unwrap();
    first.restore("live").unwrap();
}

#[test]
fn a_damaged_savepoint_leaves_kafka_as_it_was() {
    let kafka = OverKafka::new();
    let world = kafka.process();
    kafka.say();
    world.drain().unwrap();
    world.savepoint("s").unwrap();
    kafka.say();
    world.drain().unwrap();
    let part = world.folder().join(format!("data/savepoints/{}/s/part-000000", kafka.name));
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let why = world.restore("s").unwrap_err().to_string();
    assert!(why.contains("part-000000 is not what was written"), "{why}");
    kafka.say();
    kafka.process().drain().unwrap();
    kafka.all_have(15);
}

/// What a pipeline that goes back with a bad build's state has counted of `a`, `a`, `b!`: the build fails at the last.
const TAKEN_BACK: [(&str, u64); 4] = [("a", 1), ("a", 2), ("a", 2), ("b!", 1)];

/// Runs a pipeline that takes such a build; returns what was counted.
fn counted_past_a_bad_build(world: World, toml: &str, say: &dyn Fn(&str), tallies: &str) -> Vec<(String, u64)> {
    let mut world = world.with_pipeline(&format!("batch = 1\n[savepoints]\non_bad_build = \"roll_back_state\"\n{toml}"));
    world.watch_batches = 100;
    let until = |count: usize| eventually("counted", || (committed(tallies).len() == count).then_some(()));
    let running = world.start();
    say("a");
    until(1);
    running.offer("count", wasm("count-broken"));
    eventually("the bad build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    say("a");
    until(2);
    say("b!");
    until(4);
    running.stop().unwrap();
    words::tallies(tallies)
}

#[test]
fn a_build_that_fails_over_kafka_takes_its_state_with_it() {
    let kafka = OverKafka::new();
    let say = |text: &str| write_words(&kafka.words, 0, [text]);
    let seen = counted_past_a_bad_build(kafka.process(), &kafka.toml(), &say, &kafka.tallies);
    assert_eq!(seen, TAKEN_BACK.map(|(word, seen)| (word.to_owned(), seen)));
}
