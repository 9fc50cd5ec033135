//! Which build has run from which record on is written down, with the commit that holds its first effects; and each output can say it itself.

use sangam::broker::OutRecord;
use sangam::digest::sha256;
use sangam_tests::guest::{fixture, trapping_count};
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::kafka::{self, bootstrap, topic};
use sangam_tests::place::Place;
use sangam_tests::program;
use sangam_tests::spy::SpyStore;
use sangam_tests::words::{COUNT, counting, process, say, write_words};
use sangam_tests::world::{Seen, World, eventually};
use serde_json::{Value, json};
use std::sync::Arc;

/// The audit of a world whose topics are embedded.
fn audit(world: &World) -> Vec<Value> {
    world.read("test.audit").iter().map(Seen::json).collect()
}

#[test]
fn a_start_and_a_swap_are_written_down_with_their_first_offsets_and_what_they_replace() {
    let old = fixture("count.wat").unwrap();
    let world = World::new(COUNT).plugin("count", &old);
    say(&world, 0, "a");
    say(&world, 0, "b");
    say(&world, 1, "c");
    world.drain().unwrap();
    let running = world.start();
    let new = rebuilt(&old, 1);
    running.offer("count", new.clone());
    let events = eventually("the swap is written down, though nothing else happens", || Some(audit(&world)).filter(|all| all.len() == 3));
    running.stop().unwrap();
    let first = [json!({"words": {"0": null, "1": null}}), json!({"words": {"0": 2, "1": 1}}), json!({"words": {"0": 2, "1": 1}})];
    for ((event, by), first) in events.iter().zip(["start", "start", "file"]).zip(first) {
        assert_eq!((&event["by"], &event["first"]), (&json!(by), &first), "{event}");
        assert_eq!((&event["pipeline"], &event["operator"], &event["plugin"]), (&json!("test"), &json!("count"), &json!("count")));
        assert_eq!((&event["version"], &event["at"]), (&json!("1.0.0"), &json!(sangam_tests::world::NOW)));
        // The configuration is an empty map.
        assert_eq!(event["config"], json!(sha256(&[0x80])));
    }
    assert_eq!([&events[1]["sha256"], &events[2]["sha256"]], [&json!(sha256(&old)), &json!(sha256(&new))]);
    assert_eq!(events[2]["replaces"], json!(sha256(&old)));
}

#[test]
fn a_swap_is_written_down_in_the_commit_that_holds_the_first_output_of_the_new_build() {
    let store = Arc::new(SpyStore::default());
    let world = World::over(COUNT, store.clone(), Arc::new(tempfile::tempdir().unwrap())).plugin("count", &fixture("count.wat").unwrap());
    let running = world.start();
    let mut said = 0;
    running.offer("count", rebuilt(&fixture("count.wat").unwrap(), 1));
    // Under load: events come before, during and after the swap.
    eventually("the new build has counted", || {
        say(&world, said % 2, "a");
        said += 1;
        (running.metrics.reloads.get() == 1 && said > 50).then_some(())
    });
    running.stop().unwrap();
    let holds = |changes: &sangam::store::Changes, text: &[u8]| {
        changes.iter().filter_map(|(.., value)| value).any(|value| value.windows(text.len()).any(|window| window == text))
    };
    let writes = store.writes();
    let swap = writes.iter().filter(|changes| holds(changes, br#""by":"file""#)).collect::<Vec<_>>();
    assert_eq!(swap.len(), 1, "written down once");
    // Positions of the commit before the swap are what its event says.
    let event = audit(&world).into_iter().find(|event| event["by"] == "file").unwrap();
    let first = &event["first"]["words"];
    assert!(first["0"].as_i64().is_some() || first["1"].as_i64().is_some(), "{event}");
}

#[test]
fn a_build_that_is_refused_or_taken_back_is_written_down_with_the_reason() {
    let good = fixture("count.wat").unwrap();
    let mut world = World::new(COUNT).plugin("count", &good);
    world.watch_batches = 100;
    let running = world.start();
    running.offer("count", b"\0asm but then something else".to_vec());
    eventually("it is refused", || running.refused("count"));
    say(&world, 0, "a");
    eventually("the first word is counted", || (world.read("tallies").len() == 1).then_some(()));
    running.offer("count", trapping_count().unwrap());
    eventually("the bad build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    say(&world, 0, "a");
    let events = eventually("all is written down", || Some(audit(&world)).filter(|all| all.len() == 4));
    running.stop().unwrap();
    let by: Vec<&str> = events.iter().map(|event| event["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["start", "refused", "file", "roll_back"]);
    assert!(
        events.iter().filter(|event| event["by"] != "file").all(|event| event["sha256"] == json!(sha256(&good))),
        "what runs: {events:?}"
    );
    assert_eq!(events[1]["refused"], json!(sha256(b"\0asm but then something else")));
    assert!(events[1]["why"].as_str().unwrap().contains("count.wasm"), "{}", events[1]);
    assert_eq!(events[3]["replaces"], json!(sha256(&trapping_count().unwrap())));
    assert!(events[3]["why"].as_str().unwrap().contains("unreachable"), "{}", events[3]);
    assert_eq!(events[3]["first"]["words"]["0"], json!(2), "where the old build goes on in all tasks");
}

#[test]
fn an_event_of_the_audit_outlives_a_commit_that_failed_and_comes_once() {
    let good = fixture("count.wat").unwrap();
    let mut world = World::new(COUNT).plugin("count", &good);
    let controls = world.controls("local");
    let running = world.start();
    say(&world, 0, "a");
    eventually("the first word is counted", || (world.read("tallies").len() == 1).then_some(()));
    running.offer("count", rebuilt(&good, 1));
    controls.fail_flushes(2);
    eventually("the new build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    say(&world, 0, "a");
    eventually("the second word is counted", || (world.read("tallies").len() == 2).then_some(()));
    running.stop().unwrap();
    let by: Vec<Value> = audit(&world).into_iter().map(|event| event["by"].clone()).collect();
    assert_eq!(by, ["start", "file"]);
}

#[test]
fn there_is_no_audit_where_the_file_says_so_or_nothing_is_kept() {
    let world = World::new(&format!("audit = false\n{COUNT}")).plugin("count", &fixture("count.wat").unwrap());
    say(&world, 0, "a");
    world.drain().unwrap();
    assert!(audit(&world).is_empty());
    let memory = "[clusters.m]\nkind = \"memory\"\n[streams.a]\ncluster = \"m\"\n[streams.b]\ncluster = \"m\"\n[streams.dead-letters]\ncluster = \"m\"\n";
    let toml = format!("{memory}[operators.count]\ninput = \"a\"\noutput = \"b\"\n");
    assert_eq!(World::new(&toml).pipeline().audit, None);
}

#[test]
fn over_kafka_a_swap_is_written_down_in_the_transaction_and_sangam_audit_lists_it() {
    let (words, tallies) = (topic("words", 1), topic("tallies", 1));
    let name = kafka::unique("audited");
    let toml = format!("stamp = true\n{}", counting(&bootstrap(), &words, &tallies, ""));
    let (world, old) = (process(&name, &toml), wasm("count"));
    write_words(&words, 0, ["a"]);
    let running = world.start();
    eventually("the first word is counted", || (kafka::committed(&tallies).len() == 1).then_some(()));
    let new = rebuilt(&old, 1);
    running.offer("count", new.clone());
    eventually("the new build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    write_words(&words, 0, ["a"]);
    let seen = eventually("the second word is counted", || Some(kafka::committed(&tallies)).filter(|seen| seen.len() == 2));
    running.stop().unwrap();
    let stamps: Vec<String> = seen.iter().map(|seen| String::from_utf8(seen.headers[0].1.clone().unwrap()).unwrap()).collect();
    assert_eq!(stamps, [&old, &new].map(|build| format!("count 0.1.0 {}", &sha256(build)[..12])));
    std::fs::write(world.folder().join("p.toml"), format!("name = \"{name}\"\n{toml}")).unwrap();
    let said = |more: &[&str]| {
        let ran = program::run(world.folder(), &[&["audit", "p.toml"], more].concat(), "");
        assert!(ran.ok, "{}", ran.err);
        ran.out
    };
    let listed: Vec<Value> = said(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let facts: Vec<_> =
        listed.iter().map(|event| (event["by"].as_str().unwrap(), event["sha256"].clone(), event["first"].clone())).collect();
    let first = |offset: Value| json!({ "words": { "0": offset } });
    assert_eq!(facts, [("start", json!(sha256(&old)), first(Value::Null)), ("file", json!(sha256(&new)), first(json!(1)))]);
    let table = said(&["--operator", "count"]);
    assert!(table.contains(&sha256(&new)[..12]) && table.contains("words/0@1"), "{table}");
}

#[test]
fn the_audit_of_an_embedded_pipeline_is_listed_when_it_has_stopped() {
    let place = Place::new(
        "data = \"data\"\n[streams.words]\n[streams.tallies]\n[operators.count]\ninput = \"words\"\noutput = \"tallies\"\n",
        &[("count", "count")],
    );
    say(&place.world(), 0, "a");
    place.drain();
    place.plugin("count", "count-next");
    place.drain();
    let table = place.said(&["audit", "p.toml"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let shas = ["count", "count-next"].map(|guest| sha256(&wasm(guest))[..12].to_owned());
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[1].contains(&shas[0].as_str()) && lines[1].contains(&"words/0@start"), "{table}");
    assert!(lines[2].contains(&shas[1].as_str()) && lines[2].contains(&"words/0@1"), "{table}");
    assert_eq!(place.said(&["audit", "p.toml", "--operator", "nobody"]), "");
}

#[test]
fn an_output_bears_the_build_that_made_it_also_where_a_build_is_taken_back() {
    let (good, broken) = (wasm("count"), wasm("count-broken"));
    let mut world = World::new(&format!("stamp = true\n{COUNT}")).plugin("count", &good);
    world.watch_batches = 1_000;
    let running = world.start();
    say(&world, 0, "a");
    eventually("the first word is counted", || (world.read("tallies").len() == 1).then_some(()));
    running.offer("count", broken.clone());
    eventually("the bad build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    say(&world, 0, "b");
    eventually("the bad build counts", || (world.read("tallies").len() == 2).then_some(()));
    say(&world, 0, "c!");
    let seen = eventually("the old one does what it cannot", || Some(world.read("tallies")).filter(|seen| seen.len() == 3));
    running.stop().unwrap();
    let stamps: Vec<String> = seen.iter().map(|seen| seen.header("sangam.version")).collect();
    assert_eq!(stamps, [&good, &broken, &good].map(|build| format!("count 0.1.0 {}", &sha256(build)[..12])));
}

#[test]
fn a_stamp_leaves_other_headers_as_they_are_and_takes_the_place_of_an_older_one() {
    let world = World::new("[streams.words]\n[streams.out]\n[operators.forward]\ninput = \"words\"\noutput = \"out\"\nstamp = true\n");
    let forward = sangam_tests::guest::Guest {
        manifest: Some(r#"{"abi":1,"name":"forward","version":"7","kind":"stateless","inputs":[{"name":"in"}],"outputs":["out"]}"#.into()),
        ..sangam_tests::guest::Guest::answering(&[0x96, 0x91, 0x92, 0, 0, 0x90, 0x90, 0x90, 0x80, 0x90])
    };
    let forward = forward.from_the_first_event().build().unwrap();
    let world = world.plugin("forward", &forward);
    let mut headers = vec![0x82];
    for (name, value) in [("sangam.version", "other 1 0"), ("trace", "t")] {
        sangam_protocol::msgpack::write::str(&mut headers, name);
        sangam_protocol::msgpack::write::bin(&mut headers, value.as_bytes());
    }
    let record = OutRecord { topic: "words", partition: 0, key: None, value: Some(&[0x80]), headers: &headers, time: 0 };
    world.write(&[record]);
    world.drain().unwrap();
    let seen = world.read("out").remove(0);
    assert_eq!((seen.header("trace"), seen.headers.len()), ("t".to_owned(), 2));
    assert_eq!(seen.header("sangam.version"), format!("forward 7 {}", &sha256(&forward)[..12]));
}
