//! "Why has my window not fired?" has an answer: at the command line and at the admin doors, under reload and after a restart.

use sangam::admin::Admin;
use sangam::cli::ask::Doors;
use sangam::cli::why::{self, WhyCommand};
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::orders::wake;
use sangam_tests::world::{Running, World, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const ALARMS: &str = r#"
    [streams.orders]
    partitions = 3
    [streams.done]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "done", passed = "done", placed = "done" }
"#;

fn world(toml: &str) -> World {
    World::new(toml).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

/// The admin doors of a running pipeline, on a port of their own.
fn doors(running: &Running) -> Admin {
    sangam_tests::doors::open(running, Duration::from_secs(60))
}

fn ask(doors: &Admin, operator: &str, json: bool) -> Result<String, String> {
    let command = WhyCommand { operator: operator.to_owned(), doors: Doors { admin: doors.address().to_string(), token: None }, json };
    let mut out = Vec::new();
    why::run(&command, &mut out).map_err(|why| format!("{why:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

fn json(doors: &Admin, operator: &str) -> Value {
    serde_json::from_str(&ask(doors, operator, true).unwrap()).unwrap()
}

/// Partition 1 has come to 90, the others are ahead; alarms are set for 100 and 200.
fn stuck(world: &World) {
    world.send("orders", 0, &[(0, wake("a", 100)), (0, wake("b", 200)), (1_000, json!({"key": "a", "act": "silent"}))]);
    world.send("orders", 1, &[(91, json!({"key": "c", "act": "silent"}))]);
    world.send("orders", 2, &[(2_001, json!({"key": "d", "act": "silent"}))]);
}

/// What must be said of it, however it came to that.
fn check_stuck(doors: &Admin) -> Value {
    let why = eventually("the workers say how far they are", || {
        let why = json(doors, "sink");
        // After a restart the operator knows its watermark before its partitions have said theirs.
        let all_have = why["channels"].as_array()?.iter().all(|channel| !channel["watermark_ms"].is_null());
        (all_have && why["holding_back"] == "orders/1" && why["watermark_ms"] == 90).then_some(why)
    });
    let channels: Vec<_> =
        why["channels"].as_array().unwrap().iter().map(|c| (c["name"].as_str().unwrap(), c["watermark_ms"].as_i64())).collect();
    assert_eq!(channels, [("orders/1", Some(90)), ("orders/0", Some(999)), ("orders/2", Some(2_000))]);
    assert_eq!((&why["next_timer_ms"], &why["pending_timers"]), (&json!(100), &json!(2)), "{why}");
    why
}

#[test]
fn it_names_the_partition_that_holds_the_watermark_back_since_when_and_what_is_due_next() {
    let world = world(ALARMS);
    stuck(&world);
    let running = world.start();
    let doors = doors(&running);
    check_stuck(&doors);
    world.clock.advance(42_000);
    let said = eventually("time passes", || ask(&doors, "sink", false).ok().filter(|said| said.contains("since 42 s")));
    assert!(
        said.starts_with(
            "orders/1 holds the watermark at 1970-01-01T00:00:00.090Z since 42 s: no event with a later time has come (its stream says no \
             `idle`, so that it is waited for for ever); the next timer is due at 1970-01-01T00:00:00.100Z.\n"
        ),
        "{said}"
    );
    for part in ["orders/1", "holds it back", "event-time timers: 2, the next at 1970-01-01T00:00:00.100Z", "processing-time timers: 0"] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    world.send("orders", 1, &[(5_001, json!({"key": "c", "act": "silent"}))]);
    eventually("now another one is the last", || (json(&doors, "sink")["holding_back"] == "orders/0").then_some(()));
    assert_eq!(json(&doors, "sink")["pending_timers"], 0);
    running.stop().unwrap();
}

#[test]
fn a_new_build_and_a_restart_change_nothing_in_the_answer() {
    let world = world(ALARMS);
    stuck(&world);
    let running = world.start();
    let before = {
        let doors = doors(&running);
        let before = check_stuck(&doors);
        let old = running.sha256("kitchen-sink");
        running.offer("kitchen-sink", rebuilt(&wasm("kitchen-sink"), 1));
        eventually("the new build runs", || (running.sha256("kitchen-sink") != old).then_some(()));
        assert_eq!(check_stuck(&doors)["channels"], before["channels"]);
        before
    };
    running.stop().unwrap();
    let running = world.start();
    let doors = doors(&running);
    // Nothing has been read since: what is known comes from the last commit.
    assert_eq!(check_stuck(&doors)["answer"], before["answer"]);
    running.stop().unwrap();
}

#[test]
fn what_waits_for_another_operator_is_sent_there() {
    let world = world(
        r#"
        [streams.orders]
        partitions = 2
        [streams.passed]
        internal = true
        [streams.done]
        [operators.first]
        plugin = "kitchen-sink"
        input = "orders"
        outputs = { done = "done", passed = "passed", placed = "done" }
        [operators.second]
        plugin = "kitchen-sink"
        input = "passed"
        outputs = { done = "done", passed = "done", placed = "done" }
    "#,
    );
    let running = world.start();
    let doors = doors(&running);
    world.send("orders", 0, &[(100, json!({"key": "a", "act": "forward"}))]);
    let why = eventually("partition 1 is waited for", || {
        let why = json(&doors, "second");
        why["answer"].as_str().is_some_and(|answer| answer.contains("`sangam why first` says why")).then_some(why)
    });
    assert_eq!(why["channels"][0]["from"], "first");
    eventually("the first waits for partition 1", || {
        let first = json(&doors, "first");
        first["answer"].as_str().is_some_and(|answer| answer.starts_with("orders/1 has had no event for")).then_some(())
    });
    running.stop().unwrap();
}

#[test]
fn a_slip_in_the_question_is_answered_with_what_to_do() {
    let world = world(ALARMS);
    let running = world.start();
    let open = doors(&running);
    assert_eq!(ask(&open, "sinc", false).unwrap_err(), "there is no operator `sinc`; the pipeline has sink");
    let address = open.address().to_string();
    drop(open);
    let command = WhyCommand { operator: "sink".to_owned(), doors: Doors { admin: address.clone(), token: None }, json: false };
    let nobody = format!("{:#}", why::run(&command, &mut Vec::new()).unwrap_err());
    assert!(nobody.starts_with(&format!("nobody answers at {address}")) && nobody.contains("--admin"), "{nobody}");
    running.stop().unwrap();
}
