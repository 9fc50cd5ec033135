//! What a pipeline is doing is told wherever somebody looks: the doors, the metrics, the audit; and a worker that dies is replaced.

use sangam::config::Guarantee;
use sangam::pipeline::PipelineError;
use sangam_tests::doors::{get, open};
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, topic, unique};
use sangam_tests::words::{self, COUNT, counting, process, say, write_words};
use sangam_tests::world::{Ended, Seen, World, eventually};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn world(more: &str) -> World {
    World::new(&format!("{more}\n{COUNT}\n[clusters.local]\nkind = \"local\"")).plugin("count", &wasm("count"))
}

/// What the audit says of the pipeline as a whole: by what, and the state or the reason.
fn audited(world: &World) -> Vec<(String, String)> {
    let events: Vec<Value> = world.read("test.audit").iter().map(Seen::json).collect();
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let whole = events.iter().filter(|event| event["operator"].is_null());
    whole.map(|event| (text(event, "by"), text(event, "state") + &text(event, "why"))).collect()
}

fn states(world: &World) -> Vec<String> {
    audited(world).into_iter().filter(|(by, _)| by == "state").map(|(_, state)| state).collect()
}

/// How often each word was counted last.
fn counted(world: &World, text: &str) -> u64 {
    let tallies = world.values("tallies").into_iter().filter(|tally| tally["text"] == text);
    tallies.map(|tally| tally["seen"].as_u64().unwrap()).max().unwrap_or(0)
}

#[test]
fn each_state_of_a_run_is_told_in_the_audit_that_the_file_asks_for_from_the_start_to_the_end() {
    let world = world("audit = true");
    say(&world, 0, "a");
    let running = world.start();
    eventually("it is at work, and the audit says so", || (states(&world).last()? == "running").then_some(()));
    running.stop().unwrap();
    assert_eq!(states(&world), ["starting", "restoring", "running", "draining", "stopped"]);
    let events: Vec<Value> = world.read("test.audit").iter().map(Seen::json).collect();
    assert!(events.iter().all(|event| event["pipeline"] == "test" && event["at"].is_i64()), "{events:?}");
    let silent = self::world("");
    silent.drain().unwrap();
    assert_eq!(states(&silent), Vec::<String>::new(), "an audit that nobody asked for is for builds");
}

#[test]
fn a_failure_and_partitions_that_move_are_told_and_so_is_an_end_by_an_error() {
    let mut world = world("audit = true");
    let controls = world.controls("local");
    say(&world, 0, "a");
    let running = world.start();
    eventually("the word is counted", || (counted(&world, "a") == 1).then_some(()));
    controls.fail_flushes(1);
    say(&world, 0, "a");
    eventually("it is counted after the failure", || (counted(&world, "a") == 2).then_some(()));
    controls.lose("words", 1);
    eventually("the partition is gone", || states(&world).contains(&"rebalancing".to_owned()).then_some(()));
    controls.gain("words", 1);
    say(&world, 0, "a");
    eventually("it goes on", || (counted(&world, "a") == 3).then_some(()));
    running.stop().unwrap();
    let states = states(&world);
    let at = |state: &str| states.iter().position(|known| known == state);
    assert!(at("running") < at("recovering") && at("recovering") < at("rebalancing") && at("recovering").is_some(), "{states:?}");
    assert_eq!(states.last().unwrap(), "stopped");
    // An operator that must stop at what it cannot take.
    let strict = self::world("audit = true\n").with_pipeline(&format!("audit = true\n{COUNT}\non_error = \"stop\"\n"));
    strict.send("words", 0, &[(0, json!({"no": "text"}))]);
    strict.drain().unwrap_err();
    assert_eq!(self::states(&strict).last().unwrap(), "failed");
}

#[test]
fn the_doors_and_the_metrics_say_the_state_and_since_when() {
    let world = world("");
    let running = world.start();
    let doors = open(&running, Duration::from_secs(600));
    eventually("it runs", || (get(doors.address(), "/healthz") == (200, "ok, running\n".to_owned())).then_some(()));
    let status: Value = serde_json::from_str(&get(doors.address(), "/api/v1/pipeline").1).unwrap();
    assert_eq!((&status["state"], &status["state_since_ms"]), (&json!("running"), &json!(sangam_tests::world::NOW)));
    let (_, metrics) = get(doors.address(), "/metrics");
    for line in
        ["sangam_state{state=\"running\"} 1\n", "sangam_state{state=\"starting\"} 0\n", "sangam_state_changes_total{state=\"running\"} 1\n"]
    {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    running.control.stop();
    eventually("the run ends", || running.ended().then_some(()));
    let status: Value = serde_json::from_str(&get(doors.address(), "/api/v1/pipeline").1).unwrap();
    assert_eq!((&status["state"], &status["running"]), (&json!("stopped"), &json!(false)));
}

#[test]
fn a_worker_that_dies_is_replaced_and_its_tasks_go_on_from_the_last_commit() {
    let (world, falls) = world("audit = true\nworkers = 2").falling("local");
    say(&world, 0, "a");
    let running = world.start();
    let doors = open(&running, Duration::from_secs(600));
    eventually("the word is counted", || (counted(&world, "a") == 1).then_some(()));
    falls.store(1, Ordering::SeqCst);
    say(&world, 0, "a");
    say(&world, 1, "b");
    eventually("all are counted after the fall", || ((counted(&world, "a"), counted(&world, "b")) == (2, 1)).then_some(()));
    assert_eq!(running.metrics.run.worker_deaths.get(), 1);
    assert!(get(doors.address(), "/metrics").1.contains("sangam_worker_deaths_total 1\n"));
    assert_eq!(get(doors.address(), "/healthz").0, 200);
    eventually("the audit says so", || audited(&world).contains(&("worker_died".into(), "the source fell over".into())).then_some(()));
    running.stop().unwrap();
    assert_eq!(world.values("tallies").len(), 3, "nothing is lost and nothing comes twice: {:?}", world.values("tallies"));
}

#[test]
fn workers_that_die_again_and_again_end_the_run_with_what_they_said() {
    let (world, falls) = world("").falling("local");
    falls.store(u32::MAX, Ordering::SeqCst);
    say(&world, 0, "a");
    let running = world.start();
    let metrics = running.metrics.clone();
    let ended = running.outcome().unwrap_err();
    assert!(matches!(&ended, PipelineError::Vanished { times: 5, why } if why == "the source fell over"), "{ended}");
    assert_eq!(metrics.run.worker_deaths.get(), 5);
    assert_eq!(audited(&world).iter().filter(|(by, _)| by == "worker_died").count(), 5, "it is in every audit");
    // What is committed is whole: the next start goes on.
    falls.store(0, Ordering::SeqCst);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 1, ok: 1, ..Ended::default() });
}

#[test]
fn over_kafka_a_worker_that_dies_costs_nothing_and_doubles_nothing() {
    let (words, tallies) = (topic("words", 2), topic("tallies", 1));
    let (world, falls) = process(&unique("falling"), &counting(&bootstrap(), &words, &tallies, "")).falling("main");
    assert_eq!(world.pipeline().guarantee, Guarantee::ExactlyOnce);
    let running = world.start();
    for n in 0..30 {
        // In the midst of it, once and again.
        if n % 10 == 5 {
            falls.store(1, Ordering::SeqCst);
        }
        write_words(&words, n % 2, ["a"]);
    }
    let seen = eventually("all are counted", || Some(words::tallies(&tallies)).filter(|seen| seen.len() >= 30));
    running.stop().unwrap();
    let mut counts: Vec<u64> = seen.into_iter().map(|(_, seen)| seen).collect();
    counts.sort_unstable();
    assert!(counts.iter().copied().eq(1..=30), "{counts:?}");
}
