//! Rules on a compacted Kafka topic: every task knows them before the first event that they are for, in a new pipeline, after a restart,
//! and while the stream runs.

use sangam_protocol::key;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, broker, committed, compacted, produce, topic};
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const TASKS: usize = 3;

/// Enough users for every task to have some.
const USERS: usize = 12;

/// Payments and limits at Kafka, verdicts in the embedded store.
fn world(payments: &str, limits: &str) -> World {
    let toml = format!(
        r#"
        [clusters.main]
        kind = "kafka"
        brokers = "{}"
        [streams.payments]
        cluster = "main"
        topic = "{payments}"
        format = "json"
        timestamp = "at"
        [streams.limits]
        cluster = "main"
        topic = "{limits}"
        format = "json"
        timestamp = "at"
        [streams.verdicts]
        [operators.limits]
        inputs = {{ in = "payments", broadcast = "limits" }}
        output = "verdicts"
        "#,
        bootstrap()
    );
    World::on_disk(&toml).plugin("limits", &wasm("limits")).broker("main", Arc::new(broker()))
}

/// Limits of one name, one after the other, each from its time on. A name has one partition, as with a producer that goes by the key.
fn limit(limits: &str, name: &str, versions: &[(i64, Option<i64>)]) {
    let record = |(at, max): &(i64, Option<i64>)| json!({"name": name, "max": max, "at": at}).to_string();
    let records: Vec<String> = versions.iter().map(record).collect();
    let records: Vec<(&str, &str)> = records.iter().map(|record| (name, record.as_str())).collect();
    produce(limits, i32::from(name > "m"), &records);
}

/// A payment of 100 by each user.
fn pay(payments: &str, at: i64) {
    for partition in 0..TASKS {
        let users = (partition..USERS).step_by(TASKS);
        let payments_of: Vec<String> = users.map(|user| json!({"user": format!("u{user}"), "amount": 100, "at": at}).to_string()).collect();
        produce(payments, partition as i32, &payments_of.iter().map(|payment| ("", payment.as_str())).collect::<Vec<_>>());
    }
}

/// Every user's payment number `number` has broken these limits.
fn check(world: &World, number: u64, limits: &[&str]) {
    let later = |verdict: &Value| verdict["user"].as_str().unwrap().ends_with("later");
    let verdicts: Vec<Value> =
        world.values("verdicts").into_iter().filter(|verdict| verdict["payments"] == number && !later(verdict)).collect();
    assert_eq!(verdicts.len(), USERS, "payment {number}: {verdicts:?}");
    verdicts.iter().for_each(|verdict| assert_eq!(verdict["limits"], json!(limits), "payment {number}: {verdict}"));
}

/// All tasks have the same broadcast state.
fn agree(world: &World) {
    let spaces = world.dump("state/limits/");
    let states = spaces.values().flatten().filter(|(key, _)| key == key::BROADCAST).map(|(_, state)| state.clone());
    let states: Vec<Vec<u8>> = states.collect();
    assert_eq!((states.len(), states.iter().collect::<BTreeSet<_>>().len()), (TASKS, 1), "the tasks differ");
}

#[test]
fn rules_of_a_compacted_topic_are_known_before_the_events_that_they_are_for() {
    let (payments, limits) = (topic("payments", TASKS as u32), compacted("limits", 2));
    // The payments lie there first; then limits that change so often that Kafka forgets all but the last ones.
    pay(&payments, 100);
    limit(&limits, "gone", &[(0, Some(1)), (60, None)]);
    limit(&limits, "other", &[(0, Some(10_000)), (70, Some(70))]);
    for round in 0..5 {
        limit(&limits, "low", &(0..100).map(|n| (n / 2, Some(100_000 - round * 100 - n))).collect::<Vec<_>>());
        limit(&limits, "too new", &(0..100).map(|n| (101, Some(n))).collect::<Vec<_>>());
    }
    limit(&limits, "low", &[(50, Some(10))]);
    limit(&limits, "too new", &[(150, Some(1))]);
    let written = 2 + 2 + 1_000 + 2;
    eventually("Kafka forgets what was overwritten", || {
        // What is written last is never looked at by the cleaner: it takes another record to get at the ones before.
        limit(&limits, "low", &[(50, Some(10))]);
        limit(&limits, "too new", &[(150, Some(1))]);
        (committed(&limits).len() < written / 2).then_some(())
    });

    let mut world = world(&payments, &limits);
    world.drain().unwrap();
    check(&world, 1, &["low", "other"]);
    agree(&world);

    // While it is down, payments come, and after them the limit that is for them.
    pay(&payments, 200);
    limit(&limits, "low", &[(160, None)]);
    limit(&limits, "new", &[(200, Some(99))]);
    world = world.reopened();
    world.drain().unwrap();
    check(&world, 2, &["new", "other", "too new"]);
    agree(&world);

    // While it runs, a limit that a task has is one for the next payment.
    let running = world.start();
    limit(&limits, "new", &[(250, Some(100))]);
    eventually("every task has it", || (running.sum("sangam_operator_events_total", "outcome=\"ok\"") >= TASKS as u64).then_some(()));
    pay(&payments, 300);
    eventually("the payments are judged", || {
        (world.values("verdicts").iter().filter(|verdict| verdict["payments"] == 3).count() >= USERS).then_some(())
    });
    running.stop().unwrap();
    check(&world, 3, &["other", "too new"]);
    agree(&world);
}

#[test]
fn a_store_that_knows_nothing_of_the_rules_reads_them_again_however_far_the_group_has_been() {
    let (payments, limits) = (topic("payments", TASKS as u32), compacted("limits", 2));
    limit(&limits, "low", &[(0, Some(10)), (50, Some(20))]);
    limit(&limits, "other", &[(0, Some(30)), (40, None)]);
    for round in 1..3 {
        // The name is that of the group at Kafka; the store is another one each time.
        let world = world(&payments, &limits);
        pay(&payments, 100 * round);
        world.drain().unwrap();
        // What the group has read of the payments stays read.
        check(&world, 1, &["low"]);
        agree(&world);
    }
}
