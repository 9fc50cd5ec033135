//! A pipeline's own metrics are a stream: sampled by the clock, written as ordinary events, and never in the pipeline's way.

use sangam::config::SAMPLED;
use sangam_tests::doors::get;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{self, bootstrap, broker, cluster, produce, stream, topic};
use sangam_tests::place::Place;
use sangam_tests::program::{Started, folder};
use sangam_tests::words::{COUNT, counting, process};
use sangam_tests::world::{NOW, Running, Seen, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

fn world(metrics: &str) -> World {
    World::new(&format!("{metrics}\n{COUNT}")).plugin("count", &wasm("count"))
}

fn samples(world: &World) -> Vec<Value> {
    world.read("sangam.metrics").iter().map(Seen::json).collect()
}

/// Waits for the sample of a time, and gives the values of a metric in it with their operators.
fn sampled(world: &World, at: i64, metric: &str) -> Vec<(Value, f64)> {
    let of = |sample: &Value| (sample["operator"].clone(), sample["value"].as_f64().unwrap());
    eventually("there is a sample", || {
        let now: Vec<_> = samples(world).into_iter().filter(|sample| sample["timestamp"] == at && sample["metric"] == metric).collect();
        (!now.is_empty()).then(|| now.iter().map(of).collect())
    })
}

/// Sends words that are counted and events that are none, and waits until all have been dealt with.
fn say(world: &World, running: &Running, good: u64, bad: u64) {
    let m = &running.topology.operators[0].metrics;
    let (ok, dead) = (m.ok.get() + good, m.dead_letters.get() + bad);
    world.send("words", 0, &vec![(1_000, json!({"text": "a"})); good as usize]);
    world.send("words", 1, &vec![(1_000, json!({"no": "text"})); bad as usize]);
    eventually("all are dealt with", || ((m.ok.get(), m.dead_letters.get()) == (ok, dead)).then_some(()));
}

#[test]
fn samples_are_taken_at_the_interval_and_rates_are_of_what_came_since_the_one_before() {
    let world = world("[metrics]\nlabels = { region = \"mumbai\" }");
    let running = world.start();
    say(&world, &running, 60, 20);
    world.clock.advance(30_000);
    let first = NOW + 30_000;
    assert_eq!(sampled(&world, first, "error_rate_percent"), [(Value::Null, 25.0)]);
    assert_eq!(sampled(&world, first, "events_per_second"), [(Value::Null, 80.0 / 30.0)]);
    assert_eq!(sampled(&world, first, "operator_events_per_second"), [(json!("count"), 80.0 / 30.0)]);
    assert_eq!(sampled(&world, first, "sangam_operator_events_in_total"), [(json!("count"), 80.0)]);
    assert_eq!(sampled(&world, first, "sangam_consumer_lag").len(), 2, "one for each partition");
    assert_eq!(sampled(&world, first, "instance_hours"), [(Value::Null, 30.0 / 3600.0)]);
    assert!(sampled(&world, first, "processing_latency_ms")[0].1 > 0.0);
    // Just short of the next one, and then exactly there.
    world.clock.advance(29_999);
    say(&world, &running, 3, 0);
    world.clock.advance(1);
    let second = NOW + 60_000;
    assert_eq!(sampled(&world, second, "error_rate_percent"), [(Value::Null, 0.0)]);
    assert_eq!(sampled(&world, second, "sangam_operator_events_in_total"), [(json!("count"), 83.0)], "counters go on");
    // Nothing came in: nothing was slow and nothing failed.
    world.clock.advance(30_000);
    let third = NOW + 90_000;
    for metric in ["error_rate_percent", "events_per_second", "processing_latency_ms"] {
        assert_eq!(sampled(&world, third, metric), [(Value::Null, 0.0)], "{metric}");
    }
    running.stop().unwrap();
    let all = samples(&world);
    assert!(all.iter().all(|sample| sample["region"] == "mumbai" && sample["pipeline"] == "test" && sample["instance"].is_string()));
    assert_eq!(all.iter().map(|sample| sample["timestamp"].as_i64().unwrap()).collect::<BTreeSet<_>>(), [first, second, third].into());
    assert!(world.read("sangam.metrics").iter().all(|seen| json!(seen.time) == seen.json()["timestamp"]));
}

#[test]
fn every_sample_has_a_name_that_the_file_may_ask_for_and_the_docs_explain() {
    let world = world("metrics = true");
    let running = world.start();
    say(&world, &running, 1, 0);
    // A watermark needs events in both partitions.
    world.send("words", 1, &[(1_000, json!({"text": "b"}))]);
    let watermark = &running.topology.operators[0].metrics.watermark_ms;
    eventually("there is a watermark", || (watermark.get() > 0).then_some(()));
    world.clock.advance(30_000);
    sampled(&world, NOW + 30_000, "partitions");
    running.stop().unwrap();
    let names: BTreeSet<String> = samples(&world).iter().map(|sample| sample["metric"].as_str().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = SAMPLED.map(str::to_owned).into();
    assert_eq!(names, known, "on the left what is taken, on the right what may be asked for");
    let docs = std::fs::read_to_string(folder("docs/metrics.md")).unwrap();
    let (_, docs) = docs.split_once("## As a stream").unwrap();
    let missing: Vec<_> = known.iter().filter(|name| !docs.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
}

#[test]
fn only_what_the_file_asks_for_is_taken_and_without_a_word_of_it_nothing_is() {
    let world = world("[metrics]\nevery = \"5s\"\nonly = [\"partitions\", \"operator_error_rate_percent\"]");
    let running = world.start();
    say(&world, &running, 1, 0);
    world.clock.advance(5_000);
    assert_eq!(sampled(&world, NOW + 5_000, "partitions"), [(Value::Null, 2.0)]);
    running.stop().unwrap();
    let names: BTreeSet<String> = samples(&world).iter().map(|sample| sample["metric"].to_string()).collect();
    assert_eq!(names, ["\"operator_error_rate_percent\"".to_owned(), "\"partitions\"".to_owned()].into());
    let silent = self::world("");
    silent.drain().unwrap();
    assert!(samples(&silent).is_empty());
}

#[test]
fn a_topic_of_samples_that_cannot_be_written_stops_nothing_is_counted_and_is_written_again_later() {
    let mut world = world("[clusters.other]\nkind = \"memory\"\n[metrics]\ncluster = \"other\"\n");
    let controls = world.controls("other");
    let running = world.start();
    say(&world, &running, 1, 0);
    controls.fail_flushes(1);
    world.clock.advance(30_000);
    eventually("the sample is lost", || (running.metrics.run.samples_lost.get() > 10).then_some(()));
    say(&world, &running, 5, 1);
    eventually("what was counted is committed", || (world.read("tallies").len() == 6).then_some(()));
    assert_eq!(running.metrics.run.restarts.get(), 0);
    world.clock.advance(30_000);
    assert_eq!(sampled(&world, NOW + 60_000, "sangam_operator_events_in_total"), [(json!("count"), 7.0)]);
    running.stop().unwrap();
    assert!(samples(&world).iter().all(|sample| sample["timestamp"] == NOW + 60_000));
}

#[test]
fn over_kafka_samples_are_ordinary_records_whatever_the_guarantee() {
    let (words, tallies, metrics) = (topic("words", 1), topic("tallies", 1), kafka::unique("metrics"));
    let counting = counting(&bootstrap(), &words, &tallies, "");
    let toml = format!("[metrics]\ntopic = \"{metrics}\"\nonly = [\"error_rate_percent\"]\n{counting}");
    let world = process(&kafka::unique("sampled"), &toml);
    let running = world.start();
    produce(&words, 0, &[("", r#"{"text": "a"}"#), ("", r#"{"no": "text"}"#)]);
    eventually("both are dealt with", || (running.topology.operators[0].metrics.dead_letters.get() == 1).then_some(()));
    eventually("the good one is counted", || (kafka::committed(&tallies).len() == 1).then_some(()));
    world.clock.advance(30_000);
    let seen = eventually("there is a sample", || Some(kafka::committed(&metrics)).filter(|seen| !seen.is_empty()));
    let sample = seen[0].json();
    assert_eq!(
        (&sample["metric"], &sample["value"], &sample["timestamp"]),
        (&json!("error_rate_percent"), &json!(50.0), &json!(NOW + 30_000))
    );
    // Another pipeline reads them as it reads any stream.
    let other = format!(
        "{}{}[streams.seen]\nformat = \"json\"\n[operators.pass]\ninput = \"samples\"\noutput = \"seen\"\n",
        cluster("main", &bootstrap()),
        stream("samples", "main", &metrics, "timestamp = \"timestamp\"")
    );
    let watches = World::new(&other).plugin("pass", &wasm("pass")).broker("main", Arc::new(broker()));
    let watching = watches.start();
    let read = eventually("it reads the sample", || Some(watches.read("seen")).filter(|seen| !seen.is_empty()));
    watching.stop().unwrap();
    running.stop().unwrap();
    assert_eq!((read[0].json(), read[0].time), (sample, NOW + 30_000));
}

#[test]
fn a_cluster_for_samples_that_nobody_answers_at_lets_the_pipeline_start_work_and_end() {
    // Port 9 is for what is to be discarded, and nothing listens there.
    let toml = r#"
        [clusters.away]
        kind = "kafka"
        brokers = "127.0.0.1:9"
        [metrics]
        cluster = "away"
        every = "100ms"
        [admin]
        listen = "127.0.0.1:0"
        [streams.words]
        file = "words.jsonl"
        follow = true
        [streams.tallies]
        file = "tallies.jsonl"
        [operators.count]
        input = "words"
        output = "tallies"
    "#;
    let place = Place::new(toml, &[("count", "count")]);
    std::fs::write(place.folder.path().join("words.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let program = Started::start(place.folder.path(), &["run", "p.toml", "--no-screen"]);
    let doors = program.doors();
    let tallies = || std::fs::read_to_string(place.folder.path().join("tallies.jsonl")).unwrap_or_default();
    eventually("the word is counted", || tallies().contains("\"seen\":1").then_some(()));
    let lost = |text: &str| text.lines().any(|line| line.strip_prefix("sangam_samples_lost_total ").is_some_and(|count| count != "0"));
    eventually("samples are lost, and counted", || lost(&get(doors, "/metrics").1).then_some(()));
    program.terminate();
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        ended.err.matches("samples of metrics are lost until their topic can be written").count(),
        1,
        "it is said once: {}",
        ended.err
    );
}
