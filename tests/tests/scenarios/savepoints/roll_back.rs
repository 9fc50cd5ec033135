//! A build that fails while it is watched leads back to the state of before it, where the pipeline's file says so.

use super::COUNT;
use sangam::digest::sha256;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{Running, World, eventually};
use serde_json::json;

const BACK: &str = "[savepoints]\non_bad_build = \"roll_back_state\"\nkeep = 2\n";

fn counting(savepoints: &str) -> World {
    let mut world = World::new(&format!("batch = 1\n{savepoints}{COUNT}")).plugin("count", &wasm("count"));
    world.watch_batches = 100;
    world
}

fn say(world: &World, text: &str) {
    world.send("words", 1, &[(0, json!({"text": text}))]);
}

fn tallies(world: &World) -> Vec<(String, u64)> {
    let tally = |tally: &serde_json::Value| (tally["text"].as_str().unwrap().to_owned(), tally["seen"].as_u64().unwrap());
    world.values("tallies").iter().map(tally).collect()
}

fn swap(running: &Running, build: Vec<u8>) {
    let sha256 = sha256(&build);
    running.offer("count", build);
    eventually("the new build runs", || (running.sha256("count") == sha256).then_some(()));
}

/// Waits until these have come. Words are in different tasks, so which comes first is not said.
fn until(world: &World, expected: &[(&str, u64)]) {
    let mut expected: Vec<_> = expected.iter().map(|(text, seen)| ((*text).to_owned(), *seen)).collect();
    expected.sort();
    eventually(&format!("{expected:?}"), || {
        let mut tallies = tallies(world);
        tallies.sort();
        assert!(tallies.len() <= expected.len(), "{tallies:?}");
        (tallies == expected).then_some(())
    });
}

/// One word is counted by the good build, one by the bad one, which fails at the next.
fn fail(world: &World) -> Running {
    let running = world.start();
    say(world, "a");
    until(world, &[("a", 1)]);
    swap(&running, wasm("count-broken"));
    say(world, "a");
    until(world, &[("a", 1), ("a", 2)]);
    say(world, "b!");
    running
}

#[test]
fn a_build_that_fails_takes_its_state_with_it_where_the_file_says_so() {
    let world = counting(BACK);
    let running = fail(&world);
    // The good build does again what the bad one had done, and then what that one failed at.
    until(&world, &[("a", 1), ("a", 2), ("a", 2), ("b!", 1)]);
    let why = running.refused("count").unwrap();
    assert!(why.contains("was taken back") && why.contains("`b!` is no word"), "{why}");
    say(&world, "a");
    until(&world, &[("a", 1), ("a", 2), ("a", 2), ("b!", 1), ("a", 3)]);
    assert!(world.read("dead-letters").is_empty());
    running.stop().unwrap();
}

#[test]
fn without_being_told_so_only_the_code_goes_back() {
    for savepoints in ["", "[savepoints]\nbefore_swap = true\n"] {
        let world = counting(savepoints);
        let running = fail(&world);
        until(&world, &[("a", 1), ("a", 2), ("b!", 1)]);
        running.stop().unwrap();
    }
}

#[test]
fn where_the_savepoint_cannot_be_written_the_swap_goes_on_and_only_the_code_goes_back() {
    let world = counting(BACK);
    std::fs::create_dir_all(world.folder().join("data")).unwrap();
    std::fs::write(world.folder().join("data/savepoints"), "a file").unwrap();
    let running = fail(&world);
    until(&world, &[("a", 1), ("a", 2), ("b!", 1)]);
    running.stop().unwrap();
}

#[test]
fn of_savepoints_before_swaps_the_last_ones_are_kept_and_none_of_the_others_goes() {
    let world = counting(BACK);
    world.savepoint("mine").unwrap();
    let running = world.start();
    for build in 1..=4 {
        world.clock.advance(1);
        swap(&running, rebuilt(&wasm("count"), build));
    }
    running.stop().unwrap();
    let listed = world.stopped().savepoints().unwrap().list().unwrap();
    let swaps: Vec<_> = listed.iter().filter_map(|one| one.savepoint.as_ref().unwrap().swap.as_ref()).collect();
    assert_eq!((listed.len(), swaps.len()), (3, 2));
    let sha256 = |number| sha256(&rebuilt(&wasm("count"), number));
    assert_eq!(swaps.iter().map(|swap| swap.to.clone()).collect::<std::collections::BTreeSet<_>>(), [sha256(3), sha256(4)].into());
}
