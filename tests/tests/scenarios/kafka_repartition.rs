//! Several processes share a pipeline whose events are keyed anew through a topic at a real Kafka: they join, leave and take over from each
//! other, and every event counts once, in order per key; windows close when the senders of all processes have passed.

use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, broker, committed, ends, produce, topic, unique};
use sangam_tests::world::{Running, World, eventually};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const PARTITIONS: i32 = 3;

/// Counts words that lie in any partition, and how many of each there were in every second.
fn pipeline(words: &str, tallies: &str, seconds: &str) -> String {
    format!(
        r#"
        [clusters.main]
        kind = "kafka"
        brokers = "{}"
        [streams.words]
        cluster = "main"
        topic = "{words}"
        format = "json"
        timestamp = "at"
        [streams.tallies]
        cluster = "main"
        topic = "{tallies}"
        format = "json"
        [streams.seconds]
        cluster = "main"
        topic = "{seconds}"
        format = "json"
        [operators.count]
        input = "words"
        output = "tallies"
        route = "repartition"
        [operators.windowing]
        input = "words"
        output = "seconds"
        key = "text"
        route = "repartition"
        parallelism = 4
        config = {{ window = {{ type = "tumbling", size = "1s" }}, aggregate = [{{ fn = "count" }}] }}
        "#,
        bootstrap()
    )
}

/// A pipeline of a test's own.
struct Case {
    name: String,
    words: String,
    tallies: String,
    seconds: String,
    events: usize,
    /// The second that the first round is in. Outputs carry their time, and Kafka deletes what is older than its retention: so a day ago.
    first: i64,
}

impl Case {
    fn new() -> Case {
        let (words, tallies, seconds) = (topic("words", PARTITIONS as u32), topic("tallies", 2), topic("seconds", 1));
        let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 - 86_400;
        Case { name: unique("rekeyed"), words, tallies, seconds, events: 0, first }
    }

    /// A process with nothing on its disk.
    fn process(&self, more: &str) -> World {
        let toml = format!("{more}\n{}", pipeline(&self.words, &self.tallies, &self.seconds));
        let world = World::on_disk(&toml).named(&self.name).plugin("count", &wasm("count")).plugin("windowing", &wasm("windowing"));
        world.broker("main", Arc::new(broker()))
    }

    /// Writes words over all partitions, every word in each of them, in the second that is numbered `round`.
    fn say(&mut self, round: usize) {
        for partition in 0..PARTITIONS {
            let start = (self.first + round as i64) * 1_000;
            let texts: Vec<String> = (0..200).map(|n| format!(r#"{{"text": "w{}", "at": {}}}"#, n % 7, start + n)).collect();
            produce(&self.words, partition, &texts.iter().map(|text| ("", text.as_str())).collect::<Vec<_>>());
            self.events += texts.len();
        }
    }

    fn tallies(&self) -> Vec<Value> {
        committed(&self.tallies).iter().map(|seen| serde_json::from_slice(seen.value.as_ref().unwrap()).unwrap()).collect()
    }

    fn until_counted(&self) {
        eventually("every event is counted", || (committed(&self.tallies).len() >= self.events).then_some(()));
    }

    /// Each word is counted from 1 up, nothing left out, nothing twice, in order.
    fn all_counted_once(&self) {
        let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for tally in self.tallies() {
            counts.entry(tally["text"].as_str().unwrap().to_owned()).or_default().push(tally["seen"].as_u64().unwrap());
        }
        for (word, seen) in &counts {
            assert!(seen.iter().copied().eq(1..=seen.len() as u64), "{word}: {seen:?}");
        }
        assert_eq!(counts.values().map(Vec::len).sum::<usize>(), self.events);
    }

    /// How many events were in the windows that have closed, by the number of their second.
    fn closed(&self) -> BTreeMap<i64, u64> {
        let (mut closed, mut known) = (BTreeMap::new(), BTreeMap::new());
        for seen in committed(&self.seconds) {
            let window: Value = serde_json::from_slice(seen.value.as_ref().unwrap()).unwrap();
            let (second, count) = (window["window_start"].as_i64().unwrap() / 1_000 - self.first, window["count"].as_u64().unwrap());
            assert_eq!(known.insert((window["key"].to_string(), second), count), None, "{window} came twice");
            *closed.entry(second).or_default() += count;
        }
        closed
    }

    /// The windows of these seconds have closed, each with all of its events, and no others have.
    fn only_closed(&self, seconds: std::ops::Range<i64>) {
        let all = 200 * PARTITIONS as u64;
        eventually("the windows close", || (self.closed().len() >= seconds.clone().count()).then_some(()));
        assert_eq!(self.closed(), seconds.map(|second| (second, all)).collect());
    }
}

#[test]
fn a_drain_reads_what_it_has_just_sent_and_what_has_been_read_is_deleted() {
    for guarantee in ["exactly_once", "at_least_once"] {
        let mut case = Case::new();
        let world = case.process(&format!("guarantee = \"{guarantee}\""));
        for round in 0..3 {
            case.say(round);
            world.drain().unwrap();
            case.all_counted_once();
            case.only_closed(0..round as i64);
        }
        let passage = format!("{}.count.words.repartition", case.name);
        let ends = ends(&passage);
        assert_eq!(ends.len(), PARTITIONS as usize, "{guarantee}");
        assert!(ends.iter().all(|(low, _)| *low > 0), "{guarantee}: nothing was deleted: {ends:?}");
        let left = committed(&passage).into_iter().filter(|seen| seen.value.is_some()).count();
        assert_eq!(left, 0, "{guarantee}: all that was read may go");
    }
}

#[test]
fn a_process_without_a_disk_goes_on_from_what_is_in_kafka_watermarks_of_senders_included() {
    let mut case = Case::new();
    for round in 0..3 {
        case.say(round);
        case.process("").drain().unwrap();
        case.all_counted_once();
        case.only_closed(0..round as i64);
    }
}

#[test]
fn two_processes_share_the_keys_and_hand_them_over() {
    let mut case = Case::new();
    let (first, second) = (case.process(""), case.process(""));
    case.say(0);
    let one: Running = first.start();
    case.until_counted();
    // The second joins, work goes on in both, the first leaves, and comes back: each time keys and their senders change places.
    let two = second.start();
    for round in 1..4 {
        case.say(round);
        case.until_counted();
        case.only_closed(0..round as i64);
    }
    eventually("the second has work", || (two.metrics.commits.get() > 0).then_some(()));
    one.stop().unwrap();
    case.say(4);
    case.until_counted();
    case.only_closed(0..4);
    let one = first.start();
    case.say(5);
    case.until_counted();
    case.only_closed(0..5);
    for running in [one, two] {
        running.stop().unwrap();
    }
    case.all_counted_once();
}
