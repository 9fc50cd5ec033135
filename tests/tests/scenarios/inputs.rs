//! Several inputs of one operator: each stream goes to the input that the file names, and all meet under their keys.

use sangam::pipeline::RunOptions;
use sangam_tests::guests::wasm;
use sangam_tests::world::{Ended, World};
use serde_json::json;
use std::collections::BTreeMap;

/// A pipeline with these inputs; the topics differ in number of partitions.
fn world(inputs: &str) -> World {
    let pipeline = format!(
        r#"
        [streams.orders]
        partitions = 3
        [streams.old-orders]
        [streams.payments]
        partitions = 2
        [streams.balances]
        [operators.balance]
        {inputs}
        output = "balances"
        "#
    );
    World::new(&pipeline).plugin("balance", &wasm("balance"))
}

#[test]
fn orders_and_payments_meet_whatever_their_partitions() {
    let world = world(r#"inputs = { paid = "payments", orders = ["orders", "old-orders"] }"#);
    for user in 0..20 {
        let name = format!("u{user}");
        world.send("orders", user % 3, &[(0, json!({"user": name, "total": 100}))]);
        world.send("old-orders", 0, &[(0, json!({"user": name, "total": 1_000}))]);
        world.send("payments", user % 2, &[(0, json!({"payer": {"id": name}, "amount": user}))]);
    }
    world.send("payments", 0, &[(0, json!({"user": "u1", "amount": 5}))]);
    let ended = world.drain().unwrap()["balance"];
    assert_eq!(ended, Ended { events: 61, ok: 60, dead: 1, ..Ended::default() });
    assert_eq!(world.read("dead-letters")[0].header("sangam.error"), "the key field `payer.id` is missing");
    // The order of a user's events is not known, but their last one says what all of them come to.
    let mut balances: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for value in world.values("balances") {
        balances.entry(value["user"].as_str().unwrap().to_owned()).or_default().push(value["open"].as_i64().unwrap());
    }
    for user in 0..20 {
        let open = &balances[&format!("u{user}")];
        assert_eq!((open.len(), open.last()), (3, Some(&(1_100 - user))), "u{user}");
    }
}

#[test]
fn inputs_that_are_bound_wrongly_are_named_before_anything_starts() {
    let check = |inputs: &str, expected: &[&str]| {
        let why = world(inputs).supervisor(RunOptions::default(), false).err().map(|why| why.to_string()).unwrap_or_default();
        expected.iter().for_each(|expected| assert!(why.contains(expected), "{inputs}: {why}"));
    };
    check(
        r#"input = "orders""#,
        &["the plugin has the inputs orders, paid; say which one takes the stream `orders`: `inputs = { INPUT = \"orders\" }`"],
    );
    check(
        r#"inputs = { orders = "orders", payments = "payments" }"#,
        &["the plugin has no input `payments`; its inputs are orders, paid", "its input `paid` is bound to nothing"],
    );
}

#[test]
fn each_stream_starts_where_it_says_whatever_others_say() {
    for (first, second) in [("earliest", "latest"), ("latest", "earliest")] {
        let pipeline = format!(
            r#"
            [streams.first]
            start = "{first}"
            [streams.second]
            start = "{second}"
            [streams.tallies]
            [operators.count]
            input = ["first", "second"]
            output = "tallies"
            "#
        );
        let world = World::new(&pipeline).plugin("count", &wasm("count"));
        ["first", "second"].iter().for_each(|topic| world.send(topic, 0, &[(0, json!({"text": topic}))]));
        world.drain().unwrap();
        let from_start = if first == "earliest" { "first" } else { "second" };
        assert_eq!(world.values("tallies"), [json!({"text": from_start, "seen": 1})]);
    }
}
