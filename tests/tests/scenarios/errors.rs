//! The ladder of errors: what another operator takes over, when an operator is left alone for a while, when a pipeline stops.

use sangam::pipeline::RunOptions;
use sangam_tests::guests::wasm;
use sangam_tests::world::{Ended, Running, Seen, World, eventually, record};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `pay` takes numbers up to 10 and emits at most two events for one; `backup` takes numbers up to 100, and emits as many as it likes.
const PIPELINE: &str = r#"
    [streams.orders]
    partitions = 2
    [streams.done]
    [streams.saved]
    [streams.passed]
    [streams.kept]
    [streams.placed]
    [streams.too-late]
    [operators.pay]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "done", passed = "passed", placed = "placed" }
    late = "too-late"
    on_error = { fallback = "backup" }
    limits = { outputs_per_event = 2 }
    config = { most = 10 }
    [operators.backup]
    plugin = "kitchen-sink"
    outputs = { done = "saved", passed = "kept", placed = "placed" }
    config = { most = 100 }
"#;

#[test]
fn what_an_operator_cannot_take_goes_to_its_fallback_as_it_came() {
    let world = world(PIPELINE);
    world.send("orders", 1, &[(1, order("k", "count", 1))]);
    let value = rmp_serde::to_vec_named(&order("k", "forward", 11)).unwrap();
    let refused = sangam::broker::OutRecord {
        topic: "orders",
        partition: 1,
        key: Some(b"the record's key"),
        value: Some(&value),
        headers: b"\x81\xa5trace\xc4\x02id",
        time: 2,
    };
    world.write(&[refused]);
    world.send(
        "orders",
        1,
        &[(3, order("k", "flood", 5)), (4, order("k", "panic", 0)), (5, order("k", "late", 0)), (6, order("k", "count", 2))],
    );
    let ended = world.drain().unwrap();
    assert_eq!(ended["pay"], Ended { events: 6, ok: 2, late: 1, fallback: 3, ..Ended::default() });
    assert_eq!(ended["backup"], Ended { events: 3, ok: 2, dead: 1, ..Ended::default() });
    assert_eq!(times(&world.read("done")), [1, 6]);
    assert_eq!(times(&world.read("saved")), [3; 5], "what breaks one operator's limits may be within another's");

    let kept = world.read("kept").remove(0);
    assert_eq!((kept.key.as_deref(), kept.value.as_deref(), kept.time), (Some(&b"the record's key"[..]), Some(&value[..]), 2));
    let said = ["trace", "sangam.operator", "sangam.error.kind", "sangam.error", "sangam.input", "sangam.stream", "sangam.offset"];
    assert_eq!(said.map(|name| kept.header(name)), ["id", "pay", "reject", "11 is more than 10", "orders", "orders", "1"]);

    // What the fallback cannot take either goes where its own errors go.
    let letter = world.read("dead-letters").remove(0);
    let said = ["sangam.operator", "sangam.error.kind", "sangam.input", "sangam.stream", "sangam.partition", "sangam.offset"];
    assert_eq!(said.map(|name| letter.header(name)), ["backup", "trap", "pay:fallback", "orders", "1", "3"]);
    assert_eq!((letter.value(), letter.time), (order("k", "panic", 0), 4));
}

#[test]
fn the_events_of_a_key_reach_the_fallback_in_order() {
    for parallelism in [1, 3] {
        let world = world(&PIPELINE.replace("[operators.backup]", &format!("[operators.backup]\n    parallelism = {parallelism}")));
        for partition in 0..2 {
            let events: Vec<_> = (0..400).map(|n| (n, order(&format!("k{partition}{}", n % 7), "count", 9 + n % 3))).collect();
            world.send("orders", partition, &events);
        }
        let ended = world.drain().unwrap();
        let refused = (0..400).filter(|n| n % 3 == 2).count() as u64 * 2;
        assert_eq!(ended["pay"], Ended { events: 800, ok: 800 - refused, fallback: refused, ..Ended::default() });
        assert_eq!(ended["backup"], Ended { events: refused, ok: refused, ..Ended::default() });
        let mut by_key: BTreeMap<Vec<u8>, Vec<i64>> = BTreeMap::new();
        world.read("saved").into_iter().for_each(|seen| by_key.entry(seen.key.unwrap()).or_default().push(seen.time));
        assert!(by_key.len() == 14 && by_key.values().all(|times| times.is_sorted()), "{by_key:?}");
    }
}

#[test]
fn what_nobody_can_read_goes_through_the_fallback_and_is_counted_once() {
    let world = world(PIPELINE);
    for partition in 0..2 {
        world.send("orders", partition, &[(1, order("k", "count", 0)), (2, json!({"act": "count"}))]);
        world.write(&[record("orders", partition, 3, b"\xc1"), record("orders", partition, 4, b"no map")]);
        world.send("orders", partition, &[(5, order("k", "count", 0))]);
    }
    let ended = world.drain().unwrap();
    assert_eq!(ended["pay"], Ended { events: 10, ok: 4, fallback: 6, ..Ended::default() });
    assert_eq!(ended["backup"], Ended { events: 6, dead: 6, ..Ended::default() });
    let mut letters = world.read("dead-letters");
    letters.sort_by_key(|letter| (letter.header("sangam.partition"), letter.time));
    assert_eq!(times(&letters), [2, 3, 4, 2, 3, 4]);
    assert!(
        letters.iter().all(|letter| letter.header("sangam.error.kind") == "unreadable" && letter.header("sangam.operator") == "backup")
    );
}

#[test]
fn a_timer_that_breaks_has_no_event_to_hand_over_and_becomes_a_dead_letter() {
    let world = world(PIPELINE);
    world.send("orders", 0, &[(0, json!({"key": "k", "act": "wake", "with": {"number": 5, "text": "poison"}}))]);
    (0..2).for_each(|partition| world.send("orders", partition, &[(100, order("end", "silent", 0))]));
    let ended = world.drain().unwrap();
    assert_eq!((ended["pay"].ok, ended["pay"].fallback, ended["backup"].events), (3, 0, 0));
    let letter = world.read("dead-letters").remove(0);
    assert_eq!((letter.header("sangam.operator"), letter.header("sangam.timer")), ("pay".to_owned(), "poison".to_owned()));
}

#[test]
fn an_operator_that_keeps_breaking_is_left_alone_and_tried_again_later() {
    let world = world(&with_breaker("failures = 3, open_for = \"30s\""));
    let run = world.start();
    let send = |from: i64, acts: &[&str]| {
        let events: Vec<_> = (from..).zip(acts).map(|(time, act)| (time, order("k", act, 0))).collect();
        world.send("orders", 0, &events);
        settled(&run, from as u64 + acts.len() as u64)
    };
    // A refusal is an answer: what counts is breaking.
    let pay = send(0, &["panic", "panic", "reject", "panic", "panic", "count"]);
    assert_eq!((pay.ok, pay.fallback, circuits(&run)), (1, 5, (0, 0)));
    let pay = send(6, &["panic", "panic", "panic", "count", "count"]);
    assert_eq!((pay.ok, pay.fallback, circuits(&run)), (1, 10, (1, 1)), "the last two do not reach it");
    world.clock.advance(29_999);
    let pay = send(11, &["count"]);
    assert_eq!((pay.ok, pay.fallback, circuits(&run)), (1, 11, (1, 1)));
    world.clock.advance(1);
    let pay = send(12, &["panic", "count"]);
    assert_eq!((pay.ok, pay.fallback, circuits(&run)), (1, 13, (1, 2)), "the trial failed");
    world.clock.advance(30_000);
    let pay = send(14, &["count", "panic", "count"]);
    assert_eq!((pay.ok, pay.fallback, circuits(&run)), (3, 14, (0, 2)), "the trial worked, and it is used as before");
    run.stop().unwrap();
    assert_eq!(times(&world.read("done")), [5, 14, 16]);
    assert_eq!(times(&world.read("saved")), [9, 10, 11, 13]);
    let kinds: Vec<_> = world.read("dead-letters").iter().map(|letter| letter.header("sangam.operator")).collect();
    assert_eq!(kinds, ["backup"; 10]);
}

#[test]
fn events_that_a_broken_operator_is_spared_say_so() {
    let world = world(&with_breaker("failures = 1"));
    world.send("orders", 0, &[(0, order("k", "panic", 0)), (1, order("k", "forward", 0))]);
    assert_eq!(world.drain().unwrap()["pay"], Ended { events: 2, fallback: 2, ..Ended::default() });
    let kept = world.read("kept").remove(0);
    assert_eq!(kept.header("sangam.error.kind"), "circuit_open");
    assert!(kept.header("sangam.error").contains("was not called"), "{}", kept.header("sangam.error"));
}

#[test]
fn however_events_are_cut_into_batches_the_same_ones_reach_the_fallback() {
    let acts =
        ["count", "panic", "fault", "reject", "wake", "forward", "late", "panic", "count", "panic", "fault", "panic", "wake", "count"];
    let events: Vec<_> =
        (0..300).map(|n: i64| (n * 5, order(&format!("k{}", n % 3), acts[(n * n + n / 7) as usize % acts.len()], n % 20))).collect();
    let run = |batch: usize| {
        let world = world(&format!("batch = {batch}\n{}", with_breaker("failures = 4")).replace("partitions = 2", "partitions = 1"));
        world.send("orders", 0, &events);
        let ended = world.drain().unwrap();
        assert!(ended["pay"].ok > 20 && ended["pay"].fallback > 100, "{ended:?}");
        ["done", "passed", "saved", "kept", "too-late", "dead-letters"].map(|topic| world.read(topic))
    };
    let one = run(1);
    for batch in [2, 7, 64, 4096] {
        assert_eq!(run(batch), one, "batches of {batch}");
    }
}

#[test]
fn a_pipeline_with_too_many_dead_letters_stops_and_says_why() {
    let limited = format!(
        "dead_letters_max = {{ share = \"10%\", at_least = 20 }}\n{}",
        PIPELINE.replace("on_error = { fallback = \"backup\" }", "")
    );
    let limited =
        limited.replace("plugin = \"kitchen-sink\"\n    outputs", "plugin = \"kitchen-sink\"\n    input = \"orders\"\n    outputs");
    let world = world(&limited);
    let send = |world: &World, from: i64, refused: i64| {
        // Numbers above 10 are refused by the first operator only. They come in one piece, for both of its tasks.
        let number = |n: i64| if n < refused { 11 } else { 1 };
        let events: Vec<_> = (0..20).map(|n| (from + n, order(&format!("k{n}"), "count", number(n)))).collect();
        world.send("orders", 0, &events);
    };
    send(&world, 0, 2);
    assert_eq!(world.drain().unwrap()["pay"], Ended { events: 20, ok: 18, dead: 2, ..Ended::default() }, "10 % may be");
    let before = (world.read("done"), world.read("dead-letters"));
    send(&world, 100, 3);
    let why = world.drain().unwrap_err().to_string();
    let said = [
        "the operator `pay`",
        "3 of its last 20 events (15.00 %)",
        "more than 10 % within 60 s",
        "11 is more than 10",
        "`dead_letters_max`",
    ];
    assert!(said.iter().all(|said| why.contains(said)), "{why}");
    assert_eq!((world.read("done"), world.read("dead-letters")), before, "nothing of the commit is kept");
    // Started again it stops at the same place.
    assert!(world.drain().is_err());
    assert_eq!((world.read("done"), world.read("dead-letters")), before);
    let mended = world.with_pipeline(&limited.replace("most = 10\n", "most = 11\n").replace("most = 10 }", "most = 11 }"));
    assert_eq!(mended.drain().unwrap()["pay"], Ended { events: 20, ok: 20, ..Ended::default() });
}

#[test]
fn dead_letters_of_longer_ago_do_not_stop_a_pipeline() {
    let limited = format!(
        "dead_letters_max = {{ share = \"50%\", window = \"1m\", at_least = 1 }}\n{}",
        PIPELINE.replace("on_error = { fallback = \"backup\" }", "on_error = \"dead_letter\"")
    );
    let limited = limited.replace("[operators.backup]", "[operators.backup]\n    input = \"orders\"");
    let world = world(&limited);
    let run = world.start();
    world.send("orders", 0, &[(0, order("k", "count", 0)), (1, order("k", "reject", 0))]);
    settled(&run, 2);
    committed(&run, || world.read("dead-letters").len() == 2);
    world.clock.advance(60_000);
    world.send("orders", 0, &[(2, order("k", "count", 0)), (3, order("k", "reject", 0))]);
    settled(&run, 4);
    committed(&run, || world.read("dead-letters").len() == 4);
    world.send("orders", 0, &[(4, order("k", "reject", 0))]);
    let why = run.outcome().unwrap_err().to_string();
    assert!(why.contains("2 of its last 3 events"), "{why}");
}

#[test]
fn a_fallback_with_several_inputs_must_say_which() {
    let pipeline = r#"
        [streams.words]
        [streams.tallies]
        [streams.balances]
        [operators.count]
        input = "words"
        output = "tallies"
        on_error = { fallback = "balance" }
        [operators.balance]
        output = "balances"
    "#;
    let world = World::new(pipeline).plugin("count", &wasm("count")).plugin("balance", &wasm("balance"));
    let why = world.supervisor(RunOptions::default(), false).err().map(|why| why.to_string()).unwrap_or_default();
    assert!(why.contains("on_error = { fallback = \"balance\", input = \"INPUT\" }") && why.contains("the inputs orders, paid"), "{why}");
}

fn with_breaker(breaker: &str) -> String {
    PIPELINE.replace("{ fallback = \"backup\" }", &format!("{{ fallback = \"backup\", breaker = {{ {breaker} }} }}"))
}

/// How the events of the first operator ended, once so many have come in and it is done with them.
fn settled(run: &Running, events: u64) -> Ended {
    let m = &run.topology.operators[0].metrics;
    eventually("all events end", || {
        let [ok, late, dead, dropped, fallback] = [&m.ok, &m.late, &m.dead_letters, &m.dropped, &m.fallback].map(|end| end.get());
        (ok + late + dead + dropped + fallback == events).then_some(Ended { events, ok, late, dead, dropped, fallback })
    })
}

/// Waits for something that a commit brings.
fn committed(run: &Running, mut there: impl FnMut() -> bool) {
    eventually("a commit", || {
        assert!(!run.ended(), "the run has ended");
        there().then_some(())
    });
}

/// Circuits of the first operator that are open, and how often one has opened.
fn circuits(run: &Running) -> (i64, u64) {
    let m = &run.topology.operators[0].metrics;
    (m.circuits_open.get(), m.circuits_opened.get())
}

fn world(pipeline: &str) -> World {
    World::new(pipeline).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

fn order(key: &str, act: &str, number: i64) -> Value {
    json!({"key": key, "act": act, "with": {"number": number}})
}

fn times(seen: &[Seen]) -> Vec<i64> {
    seen.iter().map(|seen| seen.time).collect()
}
