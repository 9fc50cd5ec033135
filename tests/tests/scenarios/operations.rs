//! What those who run it rely on: probes that tell the truth, metrics that are in the docs, and a SIGTERM that ends in time.

use sangam::broker::{Broker, KafkaBroker, KafkaOptions, OutRecord};
use sangam::pipeline::PipelineError;
use sangam::store::{Changes, MemoryStore, Pair, Store, StoreError, Visit};
use sangam_tests::doors::{get, open};
use sangam_tests::guests::wasm;
use sangam_tests::kafka::OwnBroker;
use sangam_tests::program::{Ended, Started, folder, guest, run};
use sangam_tests::words::{COUNT, say};
use sangam_tests::world::{World, eventually, sum};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);

fn world(toml: &str) -> World {
    World::new(toml).plugin("count", &wasm("count"))
}

fn words(range: std::ops::Range<usize>) -> String {
    range.fold(String::new(), |mut text, n| {
        writeln!(text, r#"{{"text": "w{n}", "at": {n}}}"#).unwrap();
        text
    })
}

/// A folder with the count plugin and a pipeline.
fn place(pipeline: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("plugins")).unwrap();
    for plugin in ["count", "kitchen-sink"] {
        fs::copy(guest(plugin), place.path().join("plugins").join(format!("{plugin}.wasm"))).unwrap();
    }
    fs::write(place.path().join("pipeline.toml"), pipeline).unwrap();
    place
}

fn start(place: &Path) -> Started {
    Started::start(place, &["run", "pipeline.toml", "--no-screen"])
}

/// The names that were counted, each as often as it stands there.
fn counted(lines: &str) -> Vec<String> {
    let tallies = lines.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str::<Value>(line).unwrap());
    tallies.map(|tally| tally["text"].as_str().unwrap().to_owned()).collect()
}

fn set(names: &[String]) -> BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}

/// How many events the operator `count` has dealt with.
fn dealt_with(doors: SocketAddr) -> u64 {
    sum(&get(doors, "/metrics").1, "sangam_operator_events_total", r#"outcome="ok""#)
}

// === probes ===

#[test]
fn a_pipeline_is_not_ready_before_its_partitions_are_there() {
    let mut world = world(&format!("{COUNT}\n[clusters.local]\nkind = \"local\""));
    say(&world, 0, "a");
    let controls = world.controls("local");
    controls.lose("words", 1);
    let running = world.start();
    let doors = open(&running, LONG);
    eventually("one partition is missing, and the probe says so", || {
        (get(doors.address(), "/readyz") == (503, "waiting for partitions: 1 of 2 are here\n".to_owned())).then_some(())
    });
    controls.gain("words", 1);
    eventually("it is ready", || (get(doors.address(), "/readyz") == (200, "ready\n".to_owned())).then_some(()));
    running.control.stop();
    assert_eq!(get(doors.address(), "/readyz"), (503, "stopping\n".to_owned()));
    running.stop().unwrap();
}

/// A store that is read only once somebody lets it be.
struct Shut {
    inner: MemoryStore,
    gate: parking_lot::RwLock<()>,
}

impl Store for Shut {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: &str, from: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        let _open = self.gate.read();
        self.inner.scan(space, from, each)
    }

    fn floor(&self, space: &str, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.inner.floor(space, key)
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        self.inner.spaces()
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        self.inner.write(changes)
    }
}

#[test]
fn a_pipeline_is_not_ready_while_it_reads_its_state_back() {
    let store = Arc::new(Shut { inner: MemoryStore::new(), gate: parking_lot::RwLock::new(()) });
    let world = World::over(COUNT, store.clone(), Arc::new(tempfile::tempdir().unwrap())).plugin("count", &wasm("count"));
    say(&world, 0, "a");
    let shut = store.gate.write();
    let running = world.start();
    let doors = open(&running, LONG);
    eventually("state is read back", || (get(doors.address(), "/readyz") == (503, "restoring state\n".to_owned())).then_some(()));
    assert_eq!(get(doors.address(), "/healthz").0, 200);
    drop(shut);
    eventually("it is ready", || (get(doors.address(), "/readyz").0 == 200).then_some(()));
    running.stop().unwrap();
}

/// Counts words to the standard output, which is a sink that does not answer for as long as nobody reads it.
const TO_STDOUT: &str = r#"
    drain_timeout = "500ms"
    [admin]
    listen = "127.0.0.1:0"
    stuck_after = "400ms"
    [streams.words]
    file = "words.jsonl"
    follow = true
    [streams.tallies]
    file = "-"
    [operators.count]
    input = "words"
    output = "tallies"
"#;

#[test]
fn a_worker_that_does_not_move_makes_the_program_unhealthy_until_it_moves_again() {
    let place = place(&TO_STDOUT.replace("500ms", "60s"));
    fs::write(place.path().join("words.jsonl"), words(0..20_000)).unwrap();
    let mut program = start(place.path());
    let doors = program.doors();
    let (_, why) = eventually("it is unhealthy", || Some(get(doors, "/healthz")).filter(|(status, _)| *status == 503));
    assert!(why.starts_with("worker ") && why.contains("has not moved for"), "{why}");
    let out = program.read();
    eventually("it is healthy", || (get(doors, "/healthz") == (200, "ok, running\n".to_owned())).then_some(()));
    eventually("all is counted", || (dealt_with(doors) == 20_000).then_some(()));
    program.terminate();
    let Ended { code, err } = program.ended();
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(set(&counted(&out.join().unwrap())).len(), 20_000);
}

// === metrics ===

/// Names of metrics as they stand in queries, from what a scraper gets.
fn exposed(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect()
}

#[test]
fn every_metric_is_in_the_docs_and_every_one_in_the_docs_is_there() {
    let place = place(
        r#"
        [admin]
        listen = "127.0.0.1:0"
        [streams.orders]
        file = "orders.jsonl"
        follow = true
        [streams.acts]
        format = "json"
        [streams.done]
        [operators.pass]
        plugin = "kitchen-sink"
        input = "orders"
        outputs = { passed = "acts", done = "done", placed = "done" }
        [operators.sink]
        plugin = "kitchen-sink"
        input = "acts"
        outputs = { done = "done", passed = "done", placed = ["done", "hook"] }
        [streams.hook]
        url = "http://127.0.0.1:9"
        "#,
    );
    fs::write(place.path().join("orders.jsonl"), "{\"key\": \"a\", \"act\": \"forward\"}\n").unwrap();
    let docs = fs::read_to_string(folder("docs/metrics.md")).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `sangam_")?.split_once('`'));
    let docs: BTreeSet<String> = rows.map(|(name, _)| format!("sangam_{name}")).collect();
    assert!(docs.len() > 20, "{docs:?}");
    let program = start(place.path());
    let doors = program.doors();
    let sampled = |text: &str| text.contains("sangam_operator_watermark_lag_seconds{") && text.contains("sangam_consumer_lag{");
    let (_, text) = eventually("both operators have had the event", || {
        Some(get(doors, "/metrics")).filter(|(_, text)| text.matches("name=\"acts\"").count() == 2 && sampled(text))
    });
    assert_eq!(exposed(&text), docs, "on the left what is exposed, on the right what docs/metrics.md says");
    let undocumented = text.lines().filter(|line| line.starts_with("# HELP")).filter(|line| line.trim_end().split(' ').count() < 5);
    assert_eq!(undocumented.count(), 0, "every metric has a help text");
    program.terminate();
    assert_eq!(program.ended().code, Some(0));
}

#[test]
fn a_return_to_the_last_commit_is_counted_and_a_stop_without_a_last_commit_is_an_error() {
    let mut world = world(&format!("{COUNT}\n[clusters.local]\nkind = \"local\""));
    say(&world, 0, "a");
    world.controls("local").fail_flushes(u32::MAX);
    let running = world.start();
    let doors = open(&running, LONG);
    eventually("it goes back", || get(doors.address(), "/metrics").1.contains("sangam_restarts_total 1\n").then_some(()));
    let stopped = running.stop().unwrap_err();
    assert!(matches!(&stopped, PipelineError::Unfinished(why) if why.contains("the flush was not answered")), "{stopped}");
}

// === the end ===

#[test]
fn sigterm_under_load_commits_what_was_read_and_the_next_start_goes_on_from_there() {
    let pipeline = r#"
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
    let place = place(pipeline);
    let all = 300_000;
    fs::write(place.path().join("words.jsonl"), words(0..all)).unwrap();
    let program = start(place.path());
    let doors = program.doors();
    eventually("it is under way", || (dealt_with(doors) > 1_000).then_some(()));
    program.terminate();
    let Ended { code, err } = program.ended();
    assert_eq!(code, Some(0), "{err}");
    fs::write(place.path().join("pipeline.toml"), pipeline.replace("follow = true", "")).unwrap();
    let rest = run(place.path(), &["run", "pipeline.toml"], "");
    assert!(rest.ok, "{}", rest.err);
    let counted = counted(&fs::read_to_string(place.path().join("tallies.jsonl")).unwrap());
    assert_eq!((counted.len(), set(&counted).len()), (all, all), "nothing is missing, nothing came twice");
}

#[test]
fn sigterm_ends_in_time_where_a_sink_does_not_answer_and_says_what_is_not_committed() {
    let place = place(TO_STDOUT);
    fs::write(place.path().join("words.jsonl"), words(0..20_000)).unwrap();
    let program = start(place.path());
    let doors = program.doors();
    // A busy machine may hold a worker up for a moment, but not so long.
    eventually("the sink is full", || get(doors, "/healthz").1.contains("has not moved for 3 s").then_some(()));
    program.terminate();
    let Ended { code, err } = program.ended();
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("`drain_timeout` (500ms)") && err.contains("words.jsonl") | err.contains("words/0"), "{err}");
    fs::write(place.path().join("pipeline.toml"), TO_STDOUT.replace("follow = true", "")).unwrap();
    let again = run(place.path(), &["run", "pipeline.toml"], "");
    assert!(again.ok, "{}", again.err);
    assert_eq!(set(&counted(&again.out)).len(), 20_000, "all of it was processed again");
}

#[test]
fn sigterm_ends_in_time_when_the_broker_is_gone_and_nothing_is_lost_or_doubled() {
    let mut own = OwnBroker::start();
    let all = 2_000;
    fill(&own.address, "words", &words(0..all));
    let place = place(&format!(
        r#"
        drain_timeout = "2s"
        commit_interval = "10m"
        guarantee = "exactly_once"
        [admin]
        listen = "127.0.0.1:0"
        [clusters.main]
        kind = "kafka"
        brokers = "{}"
        [streams.words]
        cluster = "main"
        format = "json"
        [streams.tallies]
        cluster = "main"
        create = true
        format = "json"
        [operators.count]
        input = "words"
        output = "tallies"
        "#,
        own.address
    ));
    let program = start(place.path());
    let doors = program.doors();
    eventually("all is processed, and nothing is committed", || (dealt_with(doors) == all as u64).then_some(()));
    own.kill();
    let asked = Instant::now();
    program.terminate();
    let Ended { code, err } = program.ended();
    // Two seconds, and what a busy machine takes to end a process; a transaction alone would hold it for 15 s.
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}: {err}", asked.elapsed());
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("read, but not known to be committed: words/0 ..2000") && err.contains("nothing is lost"), "{err}");
    own.again();
    let again = run(place.path(), &["run", "pipeline.toml", "--drain"], "");
    assert!(again.ok, "{}", again.err);
    let counted = counted(&committed(&own.address, "tallies"));
    assert_eq!((counted.len(), set(&counted).len()), (all, all), "nothing is missing, nothing came twice");
}

fn kafka(address: &str) -> KafkaBroker {
    KafkaBroker::connect(KafkaOptions::new(address)).unwrap()
}

/// Makes a topic of one partition with a record for each line.
fn fill(address: &str, topic: &str, lines: &str) {
    let broker = kafka(address);
    broker.create(topic, 1).unwrap();
    let (mut sink, mut changes) = (broker.sink().unwrap(), Changes::default());
    for line in lines.lines() {
        let record = OutRecord { topic, partition: 0, key: None, value: Some(line.as_bytes()), headers: &[], time: 0 };
        sink.write(&record, &mut changes).unwrap();
    }
    sink.flush(&mut changes).unwrap();
}

/// The values of what is committed in a topic of one partition, in lines.
fn committed(address: &str, topic: &str) -> String {
    let mut lines = String::new();
    let read = kafka(address).replay(topic, 0, None, &mut |events| {
        for row in &events.rows {
            writeln!(lines, "{}", String::from_utf8_lossy(events.value(row).unwrap())).unwrap();
        }
        Ok(())
    });
    read.unwrap();
    lines
}

// === the deployment ===

#[test]
fn the_pipeline_of_the_deployment_is_valid_and_ends_before_the_orchestrator_loses_patience() {
    let place = place("");
    fs::copy(guest("windowing"), place.path().join("plugins/windowing.wasm")).unwrap();
    let deployed = fs::read_to_string(folder("examples/deploy/pipeline.toml")).unwrap();
    let here = deployed.replace("/var/lib/sangam", &place.path().display().to_string()).replace("${SANGAM_ADMIN_TOKEN}", "secret");
    fs::write(place.path().join("pipeline.toml"), here).unwrap();
    let valid = run(place.path(), &["validate", "pipeline.toml"], "");
    assert!(valid.ok && valid.err.is_empty(), "{}", valid.err);
    for (file, patience) in
        [("compose.yml", "stop_grace_period: 45s"), ("kubernetes/statefulset.yaml", "terminationGracePeriodSeconds: 45")]
    {
        let manifest = fs::read_to_string(folder("examples/deploy").join(file)).unwrap();
        assert!(manifest.contains(patience) && deployed.contains("drain_timeout = \"30s\""), "{file}");
    }
}

#[test]
fn a_test_broker_that_is_stopped_takes_its_own_data_with_it_and_nobody_elses() {
    for (owner_is_another, stays) in [(true, true), (false, false)] {
        let (run, data) = (tempfile::tempdir().unwrap(), tempfile::Builder::new().prefix("sangam-kafka.").tempdir().unwrap());
        let owner = if owner_is_another { Path::new("/somewhere/else") } else { run.path() };
        fs::write(data.path().join("run"), owner.display().to_string()).unwrap();
        fs::write(run.path().join("data"), data.path().display().to_string()).unwrap();
        let stop = std::process::Command::new(folder("scripts/kafka")).arg("stop").env("SANGAM_KAFKA_RUN", run.path()).status().unwrap();
        assert!(stop.success());
        assert_eq!(data.path().exists(), stays);
    }
}
