//! What comes by a broadcast input is known to every task, before any key is handled, over restarts and reloads.

use sangam::digest::sha256;
use sangam_protocol::key;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{Ended, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LIMITS: &str = r#"
    [streams.payments]
    partitions = 3
    [streams.limits]
    partitions = 2
    [streams.verdicts]
    [operators.limits]
    inputs = { in = "payments", broadcast = "limits" }
    output = "verdicts"
"#;

/// Enough users for every task to have some.
const USERS: i64 = 12;

fn limit(world: &World, time: i64, name: &str, max: Option<i64>) {
    let partition = i32::from(name > "m");
    world.send("limits", partition, &[(time, json!({"name": name, "max": max}))]);
}

/// A payment of 100 by each user.
fn pay(world: &World, time: i64) {
    for user in 0..USERS {
        world.send("payments", (user % 3) as i32, &[(time, json!({"user": format!("u{user}"), "amount": 100}))]);
    }
}

/// Every user's payment number `number` has broken these limits.
fn check(verdicts: &[Value], number: u64, limits: &[&str]) {
    let of = |verdict: &&Value| verdict["payments"] == number && verdict["user"] != "clock" && !is_later(verdict);
    let verdicts: Vec<&Value> = verdicts.iter().filter(of).collect();
    assert_eq!(verdicts.len() as i64, USERS, "payment {number}: {verdicts:?}");
    verdicts.iter().for_each(|verdict| assert_eq!(verdict["limits"], json!(limits), "payment {number}: {verdict}"));
}

/// Whether it is a timer's.
fn is_later(verdict: &Value) -> bool {
    verdict["user"].as_str().unwrap().ends_with("later")
}

/// The broadcast state in each task.
fn states(world: &World) -> Vec<Vec<u8>> {
    let spaces = world.dump("state/limits/");
    assert_eq!(spaces.len(), 3, "not every task has state");
    spaces.into_values().filter_map(|pairs| pairs.into_iter().find(|(key, _)| key == key::BROADCAST)).map(|(_, state)| state).collect()
}

#[test]
fn every_task_knows_what_was_there_before_it_handles_a_key() {
    let world = World::new(LIMITS).plugin("limits", &wasm("limits"));
    // All of it lies there when the pipeline starts for the first time, the payments first.
    pay(&world, 100);
    limit(&world, 0, "low", Some(10));
    limit(&world, 50, "middle", Some(50));
    limit(&world, 101, "too new", Some(1));
    (0..5_000).for_each(|n| limit(&world, 0, "high", Some(1_000 + n)));
    let ended = world.drain().unwrap();
    check(&world.values("verdicts"), 1, &["low", "middle"]);
    // Each of the three tasks has had each of the limits.
    let events = USERS as u64 + 3 * 5_003;
    assert_eq!(ended["limits"], Ended { events, ok: events, ..Ended::default() });
    let states = states(&world);
    assert_eq!((states.len(), states.iter().collect::<BTreeSet<_>>().len()), (3, 1), "the tasks differ");

    // After a restart only what is new is read.
    limit(&world, 150, "middle", None);
    pay(&world, 200);
    let events = USERS as u64 + 3;
    assert_eq!(world.drain().unwrap()["limits"], Ended { events, ok: events, ..Ended::default() });
    check(&world.values("verdicts"), 2, &["low", "too new"]);
}

#[test]
fn limits_change_while_the_stream_runs_and_survive_a_new_build_and_a_restart() {
    let build = wasm("limits");
    let world = World::on_disk(LIMITS).plugin("limits", &build);
    let running = world.start();
    limit(&world, 0, "low", Some(10));
    limit(&world, 0, "odd", Some(20));
    // Each task has handled both.
    eventually("the limits are known", || (running.metrics.render().contains("ok\"} 6\n")).then_some(()));
    pay(&world, 100);
    eventually("the first payments are judged", || (world.read("verdicts").len() as i64 >= USERS).then_some(()));
    let next = rebuilt(&build, 1);
    let sha = sha256(&next);
    running.offer("limits", next);
    eventually("the new build runs", || (running.sha256("limits") == sha).then_some(()));
    pay(&world, 200);
    eventually("the next payments are judged", || (world.read("verdicts").len() as i64 >= 2 * USERS).then_some(()));
    // The watermark moves on although no limit comes: the timers of the payments fire.
    (0..3).for_each(|partition| world.send("payments", partition, &[(1_000, json!({"user": "clock", "amount": 1}))]));
    let later = || world.values("verdicts").into_iter().filter(|verdict| is_later(verdict) && verdict["payments"] == 2).collect::<Vec<_>>();
    eventually("the timers have fired", || (later().len() as i64 == USERS).then_some(()));
    running.stop().unwrap();
    check(&world.values("verdicts"), 1, &["low", "odd"]);
    check(&world.values("verdicts"), 2, &["low", "odd"]);
    later().iter().for_each(|verdict| assert_eq!(verdict["limits"], json!(["low", "odd"]), "{verdict}"));

    let world = world.reopened();
    pay(&world, 1_100);
    world.drain().unwrap();
    check(&world.values("verdicts"), 3, &["low", "odd"]);
}

#[test]
fn a_limit_that_is_refused_is_one_dead_letter() {
    let world = World::new(LIMITS).plugin("limits", &wasm("limits"));
    limit(&world, 0, "bad", Some(-1));
    limit(&world, 0, "low", Some(10));
    world.send("limits", 0, &[(0, json!({"max": 5}))]);
    pay(&world, 100);
    let ended = world.drain().unwrap()["limits"];
    let events = 9 + USERS as u64;
    assert_eq!(ended, Ended { events, ok: 3 + USERS as u64, dead: 2, dropped: 4, ..Ended::default() });
    let why: BTreeSet<String> = world.read("dead-letters").iter().map(|letter| letter.header("sangam.error")).collect();
    assert_eq!(why, ["a limit is not negative", "the field `name` is missing"].map(str::to_owned).into());
    assert_eq!(world.read("dead-letters").len(), 2);
    check(&world.values("verdicts"), 1, &["low"]);
}

#[test]
fn an_operator_runs_without_its_broadcast_input() {
    let world = World::new(
        r#"
        [streams.payments]
        partitions = 3
        [streams.verdicts]
        [operators.limits]
        input = "payments"
        output = "verdicts"
        "#,
    );
    let world = world.plugin("limits", &wasm("limits"));
    pay(&world, 100);
    world.drain().unwrap();
    check(&world.values("verdicts"), 1, &[]);
}
