//! A savepoint brings a pipeline back to where it was, all of it or nothing, and one that is not whole is not trusted.

mod command;
mod passages;
mod roll_back;

use sangam::pipeline::savepoint::SavepointError;
use sangam::store::{Pair, Store};
use sangam_tests::guests::wasm;
use sangam_tests::spy::{Fault, SpyStore};
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// State, timers and cells; rules in every task; windows that are open; events that wait for a batch.
const ALL_KINDS: &str = r#"
    [streams.orders]
    [streams.done]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "done", passed = "done", placed = "done" }
    config = { delay = 50 }

    [streams.payments]
    partitions = 3
    [streams.limits]
    partitions = 2
    [streams.verdicts]
    [operators.limits]
    inputs = { in = "payments", broadcast = "limits" }
    output = "verdicts"

    [streams.sales]
    [streams.sums]
    [operators.w2]
    input = "sales"
    output = "sums"

    [streams.words]
    partitions = 2
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
    batch = { count = 7 }
"#;

const COUNT: &str = r#"
    [streams.words]
    partitions = 4
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
"#;

fn all_kinds(world: World) -> World {
    ["kitchen-sink", "limits", "w2", "count"].into_iter().fold(world, |world, name| world.plugin(name, &wasm(name)))
}

/// Events of round `round` for every operator.
fn events(world: &World, round: i64) {
    let acts = ["count", "wake", "map_set", "both", "list_push", "wake", "forward", "place"];
    // The windows of a round, a minute long, close in the next one.
    let at = |n: i64| round * 100_000 + n;
    let order = |n: i64| json!({"key": format!("k{}", n * 7 % 31), "act": acts[(n % 8) as usize], "with": {"number": 40 + n % 5, "text": format!("t{}", n % 3)}});
    world.send("orders", 0, &(0..200).map(|n| (at(n), order(n))).collect::<Vec<_>>());
    let limit = |name: &str| [(at(0), json!({"name": format!("{name}{round}"), "max": 10 * round}))];
    world.send("limits", 0, &limit("l"));
    world.send("limits", 1, &limit("n"));
    let payment = |n: i64| (at(n), json!({"user": format!("u{n}"), "amount": 100}));
    (0..3).for_each(|partition| world.send("payments", partition, &(0..10).map(payment).collect::<Vec<_>>()));
    let sale = |n: i64| {
        (
            at(n),
            json!({"transaction_id": "t", "sender_vpa": format!("s{}", n % 9), "receiver_vpa": "r", "amount": 2.5, "timestamp": at(n), "device_id": "d", "location": "l", "merchant_category": null}),
        )
    };
    world.send("sales", 0, &(0..50).map(sale).collect::<Vec<_>>());
    words(world, round);
}

fn words(world: &World, round: i64) {
    let word = |n: i64| (round * 1_000 + n, json!({"text": format!("w{}", n % 5)}));
    (0..2).for_each(|partition| world.send("words", partition, &(0..10).map(word).collect::<Vec<_>>()));
}

/// All that tasks remember, and how far they have read.
fn state(world: &World) -> BTreeMap<String, Vec<Pair>> {
    let kinds = ["cells/", "clock/", "stage/", "state/", "waiting/", "positions", "schemas", "slices"];
    kinds.iter().flat_map(|kind| world.dump(kind)).collect()
}

/// The values that a topic has got since it had so many.
fn since(world: &World, topic: &str, count: usize) -> Vec<Value> {
    world.values(topic).split_off(count)
}

fn counting() -> World {
    World::new(COUNT).plugin("count", &wasm("count"))
}

/// Takes the savepoint `s` of a pipeline that has counted some words.
fn saved() -> World {
    let world = counting();
    words(&world, 0);
    world.drain().unwrap();
    world.savepoint("s").unwrap();
    world
}

/// The files of the savepoint `s`.
fn files(world: &World) -> Vec<PathBuf> {
    let folder = world.folder().join("data/savepoints/test/s");
    let within = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    within(folder.clone()).chain(within(folder.join("plugins"))).collect()
}

#[test]
fn everything_comes_back_byte_for_byte_and_the_same_input_gives_the_same_outputs_again() {
    for world in [World::new(ALL_KINDS), World::on_disk(ALL_KINDS)].map(all_kinds) {
        events(&world, 1);
        world.drain().unwrap();
        let before = state(&world);
        for kind in ["cells/sink/", "state/sink/", "state/limits/", "state/w2/", "waiting/count/"] {
            assert!(before.keys().any(|space| space.starts_with(kind)), "nothing of {kind}");
        }
        let savepoint = world.savepoint("first").unwrap();
        assert_eq!((savepoint.operators.len(), savepoint.pipeline.as_str()), (4, "test"));
        // These come from one task each, in one order; where several tasks write, they take turns as they like.
        let since_then =
            |from: &[usize]| ["done", "sums"].iter().zip(from).map(|(topic, from)| since(&world, topic, *from)).collect::<Vec<_>>();
        let counts = || ["done", "sums", "verdicts", "tallies"].map(|topic| world.read(topic).len());
        let remembered = |world: &World| ["cells/sink/", "state/sink/", "state/w2/", "stage/", "positions"].map(|kind| world.dump(kind));
        let from = counts();
        events(&world, 2);
        world.drain().unwrap();
        let (outputs, grown, after) = (since_then(&from), counts(), remembered(&world));
        assert!(state(&world) != before);

        world.restore("first").unwrap();
        assert!(state(&world) == before, "another state than was saved");
        world.drain().unwrap();
        assert!(since_then(&grown) == outputs && outputs.iter().all(|topic| !topic.is_empty()));
        assert_eq!(counts(), [0, 1, 2, 3].map(|i| grown[i] + grown[i] - from[i]));
        assert!(remembered(&world) == after);
    }
}

#[test]
fn a_savepoint_of_a_running_pipeline_is_of_one_commit_and_the_stream_goes_on() {
    let world = counting();
    let running = world.start();
    for round in 0..5 {
        words(&world, round);
        let name = format!("s{round}");
        let asked = running.control.savepoints().ask(&name, "a test").unwrap();
        let savepoint = asked.recv().unwrap().unwrap();
        assert_eq!((savepoint.name, savepoint.why), (name, "a test".to_owned()));
        eventually("all is counted", || (world.read("tallies").len() == 20 * (round as usize + 1)).then_some(()));
    }
    running.stop().unwrap();
    // State and positions are of one moment: whichever is restored, every word is counted once from there.
    for round in 0..5 {
        world.restore(&format!("s{round}")).unwrap();
        world.drain().unwrap();
        let seen = world.values("tallies").iter().rev().take(5).map(|tally| tally["seen"].as_u64().unwrap()).max();
        assert_eq!(seen, Some(20), "from s{round}");
    }
}

#[test]
fn a_partition_that_had_not_been_read_is_read_from_its_start_after_a_restore() {
    let world = counting();
    world.send("words", 0, &[(0, json!({"text": "a"}))]);
    world.drain().unwrap();
    world.savepoint("s").unwrap();
    world.send("words", 3, &[(0, json!({"text": "b"}))]);
    world.drain().unwrap();
    world.restore("s").unwrap();
    world.drain().unwrap();
    let seen: Vec<_> = world.values("tallies").iter().map(|tally| (tally["text"].clone(), tally["seen"].clone())).collect();
    assert_eq!(seen, [(json!("a"), json!(1)), (json!("b"), json!(1)), (json!("b"), json!(1))]);
}

#[test]
fn a_savepoint_that_is_not_whole_is_refused_whatever_is_wrong_with_it_and_nothing_changes() {
    let world = saved();
    words(&world, 1);
    world.drain().unwrap();
    let before = world.dump("");
    let all = files(&world);
    assert_eq!(all.len(), 4, "a manifest, a part, a build and the pipeline's file");
    for file in all {
        let whole = std::fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let needed = name.starts_with("part-") || name == "manifest.json";
        let mut flipped = whole.clone();
        let middle = whole.len() / 2;
        flipped[middle] ^= 1;
        let torn = |len: usize| Some(whole[..len].to_vec());
        for (what, bytes) in [("flipped", Some(flipped)), ("torn", torn(middle)), ("empty", torn(0)), ("gone", None)] {
            match bytes {
                Some(bytes) => std::fs::write(&file, bytes).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            if needed {
                let why = world.restore("s").unwrap_err().to_string();
                assert!(why.contains(&name), "{name} {what}: {why}");
                assert!(world.dump("") == before, "{name} {what}: the state has changed");
            }
            std::fs::write(&file, &whole).unwrap();
        }
    }
    world.restore("s").unwrap();
}

#[test]
fn a_savepoint_without_a_manifest_is_listed_as_such_and_can_be_removed() {
    let world = saved();
    std::fs::remove_file(world.folder().join("data/savepoints/test/s/manifest.json")).unwrap();
    let depot = world.stopped().savepoints().unwrap();
    let listed = depot.list().unwrap();
    assert!(matches!(&listed[0].savepoint, Err(SavepointError::Incomplete { name, .. }) if name == "s"), "{listed:?}");
    assert!(matches!(world.savepoint("s"), Err(SavepointError::Exists { .. })));
    depot.remove("s").unwrap();
    assert!(depot.list().unwrap().is_empty());
    assert!(matches!(world.restore("s"), Err(SavepointError::Missing { .. })));
    world.savepoint("s").unwrap();
}

#[test]
fn a_savepoint_that_does_not_fit_the_pipeline_is_refused_with_what_to_do() {
    let check = |pipeline: &str, expected: &str| {
        let world = saved().with_pipeline(pipeline);
        let before = state(&world);
        let why = world.restore("s").unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
        assert!(state(&world) == before, "the state has changed");
    };
    check(
        &format!("{COUNT}\nroute = \"exchange\"\nparallelism = 3"),
        "would run in 3 slices, but its state in the savepoint is cut into 4",
    );
    check(&COUNT.replace("operators.count]", "operators.other]\nplugin = \"count\""), "has not: the operator `count`; put it back");
    check(&COUNT.replace("words", "texts"), "has not: the stream `words`; put it back");
    let world = saved().named("another");
    std::fs::rename(world.folder().join("data/savepoints/test"), world.folder().join("data/savepoints/another")).unwrap();
    let why = world.restore("s").unwrap_err().to_string();
    assert!(why.contains("is of the pipeline `test`, this one is `another`"), "{why}");
}

#[test]
fn what_the_pipeline_has_no_longer_is_left_out_where_that_is_allowed_and_what_is_new_starts_empty() {
    let world = saved().with_pipeline(&COUNT.replace("operators.count]", "operators.other]\nplugin = \"count\""));
    world.stopped().restore_savepoint("s", true).unwrap();
    assert!(world.dump("state/").is_empty());
    words(&world, 1);
    world.drain().unwrap();
    assert_eq!(world.read("tallies").len(), 40, "the positions are those of the savepoint");
    assert_eq!(world.values("tallies")[20]["seen"], 1, "the new operator has counted nothing yet");
}

#[test]
fn topics_that_lack_what_the_savepoint_has_read_are_refused() {
    let world = saved();
    let other = World::new(COUNT).plugin("count", &wasm("count"));
    std::fs::create_dir_all(other.folder().join("data")).unwrap();
    std::fs::rename(world.folder().join("data/savepoints"), other.folder().join("data/savepoints")).unwrap();
    let why = other.restore("s").unwrap_err().to_string();
    assert!(why.contains("has read `words`/0 up to offset 10, but there is nothing from offset 0 on"), "{why}");
    // The same records are there: one may go on elsewhere.
    words(&other, 0);
    other.restore("s").unwrap();
    words(&other, 1);
    other.drain().unwrap();
    assert!(other.values("tallies").iter().all(|tally| tally["seen"].as_u64() > Some(4)), "{:?}", other.values("tallies"));
}

#[test]
fn a_newer_build_migrates_what_is_restored_and_an_older_one_is_refused() {
    let world = saved();
    let newer = world.plugin("count", &wasm("count-next"));
    newer.restore("s").unwrap();
    words(&newer, 1);
    newer.drain().unwrap();
    assert!(newer.values("tallies").iter().any(|tally| tally["seen"] == 8 && tally["since"] == 1));
    newer.savepoint("newer").unwrap();
    let older = newer.plugin("count", &wasm("count"));
    let before = older.dump("");
    let why = older.restore("newer").unwrap_err().to_string();
    assert!(why.contains("the operator `count` cannot go on from the savepoint") && why.contains("has version 2 already"), "{why}");
    assert!(older.dump("") == before);
    older.restore("s").unwrap();
    older.drain().unwrap();
}

#[test]
fn a_disk_that_is_full_or_read_only_leaves_the_state_as_it_was() {
    let store = Arc::new(SpyStore::default());
    let world = World::over(COUNT, store.clone(), Arc::new(tempfile::tempdir().unwrap())).plugin("count", &wasm("count"));
    words(&world, 0);
    world.drain().unwrap();
    world.savepoint("s").unwrap();
    words(&world, 1);
    world.drain().unwrap();
    let before = world.dump("");
    for (fault, expected) in [(Fault::Full, "no space left"), (Fault::ReadOnly, "cannot be written")] {
        store.fail(Some(fault));
        let why = world.restore("s").unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
        store.fail(None);
        assert!(world.dump("") == before);
    }
    let writes = store.writes().len();
    world.restore("s").unwrap();
    assert_eq!(store.writes().len(), writes + 1, "a restore is one write");
    assert!(!store.spaces().unwrap().is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let world = counting();
    std::fs::create_dir_all(world.folder().join("data")).unwrap();
    std::fs::write(world.folder().join("data/savepoints"), "a file").unwrap();
    let why = world.savepoint("s").unwrap_err().to_string();
    assert!(why.contains("data/savepoints"), "{why}");
    for name in ["", "..", ".hidden", "a/b", "ä", &"n".repeat(129)] {
        assert!(matches!(world.savepoint(name), Err(SavepointError::Name(_))), "{name}");
    }
}
