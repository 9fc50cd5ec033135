//! A build with another layout of its state takes over what is stored, key by key, and there is no way back to the one before.

use sangam::digest::sha256;
use sangam::pipeline::PipelineError;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};

const COUNT: &str = r#"
    [streams.words]
    partitions = 3
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
"#;

fn send(world: &World, words: &[&str]) {
    for (partition, word) in (0..3).cycle().zip(words) {
        world.send("words", partition, &[(0, json!({"text": word}))]);
    }
}

/// The tallies of words that were counted after the first `from` of them, in alphabetical order.
fn tallies(world: &World, from: usize) -> Vec<Value> {
    let mut tallies = world.values("tallies").split_off(from);
    tallies.sort_by_key(|tally| tally["text"].as_str().unwrap().to_owned());
    tallies
}

#[test]
fn a_build_that_migrates_takes_over_while_the_stream_runs() {
    let (before, after) = (wasm("count"), wasm("count-next"));
    let mut world = World::new(COUNT).plugin("count", &before);
    world.watch_batches = 100;
    let running = world.start();
    send(&world, &["a", "b", "c", "a", "b", "c"]);
    eventually("the first build has counted", || (world.read("tallies").len() == 6).then_some(()));
    running.offer("count", after.clone());
    eventually("the next build runs", || (running.sha256("count") == sha256(&after)).then_some(()));
    send(&world, &["a", "b", "new"]);
    eventually("the next build has counted", || (world.read("tallies").len() == 9).then_some(()));
    let expected = [
        json!({"text": "a", "seen": 3, "since": 1}),
        json!({"text": "b", "seen": 3, "since": 1}),
        json!({"text": "new", "seen": 1, "since": 2}),
    ];
    assert_eq!(tallies(&world, 6), expected);

    running.offer("count", rebuilt(&before, 1));
    let why = eventually("the first build is not taken back in", || running.refused("count"));
    assert!(why.contains("its state `Seen` has schema version 1, the state at hand has version 2 already: run the newer build"), "{why}");
    // `c` has not been seen since: it is migrated only now.
    send(&world, &["c"]);
    eventually("the last word is counted", || (world.read("tallies").len() == 10).then_some(()));
    assert_eq!(tallies(&world, 9), [json!({"text": "c", "seen": 3, "since": 1})]);
    running.stop().unwrap();
}

#[test]
fn a_build_that_migrates_takes_over_at_a_start_and_an_earlier_one_does_not_start_any_more() {
    let world = World::new(COUNT).plugin("count", &wasm("count"));
    send(&world, &["a", "b"]);
    world.drain().unwrap();
    let world = world.plugin("count", &wasm("count-next"));
    send(&world, &["a"]);
    world.drain().unwrap();
    assert_eq!(tallies(&world, 2), [json!({"text": "a", "seen": 2, "since": 1})]);

    let world = world.plugin("count", &wasm("count"));
    let stored = world.dump("");
    match world.drain() {
        Err(PipelineError::Schema { operator, why }) => {
            assert!(operator == "count" && why.contains("has version 2 already"), "{operator}: {why}");
        }
        other => panic!("it started: {other:?}"),
    }
    assert_eq!(world.dump(""), stored);
}
