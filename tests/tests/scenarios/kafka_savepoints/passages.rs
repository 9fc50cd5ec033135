//! The same for a pipeline that keys its events anew through topics at Kafka: events that are under way there when the savepoint is taken, and
//! those that are when it is restored.

use sangam::broker::Broker;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, broker, committed, ends, produce, topic, unique};
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const PARTITIONS: i32 = 3;

/// Counts words that lie in any partition, and how many of each there were in every second.
pub(super) struct Rekeyed {
    pub(super) name: String,
    words: String,
    tallies: String,
    seconds: String,
    guarantee: &'static str,
    /// The second that the first round is in: a day ago, since Kafka deletes what is older than its retention.
    first: i64,
}

/// What is in the two output topics from some place on, by key: how often each word was counted, and how many were in each window.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) words: BTreeMap<String, u64>,
    pub(super) windows: BTreeMap<(String, i64), u64>,
}

impl Rekeyed {
    pub(super) fn new(guarantee: &'static str) -> Rekeyed {
        let (words, tallies, seconds) = (topic("words", PARTITIONS as u32), topic("tallies", 1), topic("seconds", 1));
        let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 - 86_400;
        Rekeyed { name: unique("rekeyed"), words, tallies, seconds, guarantee, first }
    }

    pub(super) fn toml(&self) -> String {
        let Rekeyed { words, tallies, seconds, guarantee, .. } = self;
        format!(
            r#"
            guarantee = "{guarantee}"
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
            on_error = "stop"
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

    /// A process with nothing on its disk.
    fn process(&self) -> World {
        let world = World::on_disk(&self.toml()).named(&self.name).plugin("count", &wasm("count"));
        world.plugin("windowing", &wasm("windowing")).broker("main", Arc::new(broker()))
    }

    /// Writes 200 words to each partition, every word in each of them, in the second that is numbered `round`.
    pub(super) fn say(&self, round: i64) {
        for partition in 0..PARTITIONS {
            let at = (self.first + round) * 1_000;
            let texts: Vec<String> = (0..200).map(|n| format!(r#"{{"text": "w{}", "at": {}}}"#, n % 7, at + n)).collect();
            produce(&self.words, partition, &texts.iter().map(|text| ("", text.as_str())).collect::<Vec<_>>());
        }
    }

    /// A word at which the broken build of the counter fails, and the pipeline stops.
    fn say_what_is_no_word(&self, round: i64) {
        let at = (self.first + round) * 1_000 + 500;
        produce(&self.words, 0, &[("", &format!(r#"{{"text": "b!", "at": {at}}}"#))]);
    }

    /// Stops with words under way: the counter fails at them.
    fn fail_at(&self, world: World) -> World {
        let world = world.plugin("count", &wasm("count-broken"));
        let why = world.drain().unwrap_err().to_string();
        assert!(why.contains("count"), "{why}");
        world.plugin("count", &wasm("count"))
    }

    /// How many records the output topics hold.
    pub(super) fn outputs(&self) -> (usize, usize) {
        (committed(&self.tallies).len(), committed(&self.seconds).len())
    }

    /// What they have got since, upon what was known; `None` where that is not known so exactly. Counts go up one by one, and no window
    /// comes twice.
    pub(super) fn since(&self, (tallies, seconds): (usize, usize), known: Option<&Counted>) -> Counted {
        let value = |seen: sangam_tests::kafka::Seen| serde_json::from_slice::<Value>(&seen.value.unwrap()).unwrap();
        let start = known.map(|_| 0);
        let mut counted =
            known.map_or_else(Counted::default, |known| Counted { words: known.words.clone(), windows: known.windows.clone() });
        for tally in committed(&self.tallies).split_off(tallies).into_iter().map(value) {
            let now = tally["seen"].as_u64().unwrap();
            let seen = counted.words.entry(tally["text"].as_str().unwrap().to_owned()).or_insert(start.unwrap_or(now - 1));
            *seen += 1;
            assert_eq!(now, *seen, "{}: {tally}", self.guarantee);
        }
        for window in committed(&self.seconds).split_off(seconds).into_iter().map(value) {
            let at = (window["key"].as_str().unwrap().to_owned(), window["window_start"].as_i64().unwrap() / 1_000 - self.first);
            let count = window["count"].as_u64().unwrap();
            assert_eq!(counted.windows.insert(at, count), None, "{window} came twice");
        }
        counted
    }
}

#[test]
fn after_a_restore_every_event_counts_as_in_a_run_from_scratch_those_under_way_included() {
    for guarantee in ["exactly_once", "at_least_once"] {
        let kafka = Rekeyed::new(guarantee);
        // At least once, the state is on the disk of one process and nowhere else.
        let another = |world: World| if guarantee == "exactly_once" { kafka.process() } else { world };
        let world = kafka.process();
        kafka.say(0);
        world.drain().unwrap();
        kafka.say(1);
        kafka.say_what_is_no_word(1);
        let world = kafka.fail_at(world);
        let at_savepoint = kafka.since((0, 0), Some(&Counted::default()));
        let world = another(world);
        let savepoint = world.savepoint("s").unwrap();
        assert!(savepoint.under_way.contains_key("count:words"), "{guarantee}: {:?}", savepoint.under_way);

        world.drain().unwrap();
        kafka.say(2);
        kafka.say_what_is_no_word(2);
        // More is under way when it is restored, which is to count for nothing.
        let world = kafka.fail_at(world);
        let before = kafka.outputs();
        world.restore("s").unwrap();
        let world = another(world);
        world.drain().unwrap();
        // At least once, outputs of the run that failed may be there of which its state does not know.
        let mut got = kafka.since(before, Some(&at_savepoint).filter(|_| guarantee == "exactly_once"));
        got.windows.extend(at_savepoint.windows);

        let words: BTreeMap<String, u64> =
            (0..7u64).map(|n| (format!("w{n}"), (0..200).filter(|m| m % 7 == n).count() as u64 * 9)).collect();
        let words: BTreeMap<String, u64> = words.into_iter().chain([("b!".to_owned(), 2)]).collect();
        assert_eq!(got.words, words, "{guarantee}");
        let in_windows: u64 = got.windows.values().sum();
        assert_eq!((in_windows, got.windows.len()), (1_201, 15), "{guarantee}: the windows of the first two seconds: {:?}", got.windows);
    }
}

#[test]
fn a_savepoint_of_running_work_over_kafka_is_of_one_commit_whatever_is_under_way() {
    let kafka = Rekeyed::new("exactly_once");
    let world = kafka.process();
    let running = world.start();
    for round in 0..4 {
        kafka.say(round);
        running.control.savepoints().ask(&format!("s{round}"), "live").unwrap().recv().unwrap().unwrap();
    }
    eventually("all is counted", || (kafka.outputs().0 == 2_400).then_some(()));
    running.stop().unwrap();
    world.drain().unwrap();
    let scratch = kafka.since((0, 0), Some(&Counted::default()));
    for round in [1, 3] {
        let before = kafka.outputs();
        world.restore(&format!("s{round}")).unwrap();
        world.drain().unwrap();
        // What is counted again goes up to the same numbers.
        let again = committed(&kafka.tallies).split_off(before.0);
        let mut known = Counted { words: scratch.words.clone(), ..Counted::default() };
        for tally in again.iter().map(|seen| serde_json::from_slice::<Value>(seen.value.as_ref().unwrap()).unwrap()) {
            *known.words.get_mut(tally["text"].as_str().unwrap()).unwrap() -= 1;
        }
        let got = kafka.since(before, Some(&known));
        assert_eq!(got.words, scratch.words, "s{round}");
        assert!(got.windows.iter().all(|(at, count)| scratch.windows.get(at) == Some(count)), "s{round}: {:?}", got.windows);
    }
}

#[test]
fn a_savepoint_is_refused_where_events_under_way_are_gone() {
    let kafka = Rekeyed::new("exactly_once");
    let world = kafka.process();
    kafka.say(0);
    world.drain().unwrap();
    kafka.say(1);
    kafka.say_what_is_no_word(1);
    let world = kafka.fail_at(world);
    let passage = format!("{}.count.words.repartition", kafka.name);
    let all: Vec<_> =
        ends(&passage).into_iter().enumerate().map(|(partition, (_, end))| (passage.clone(), partition as i32, end)).collect();
    broker().delete_before(&all).unwrap();
    let why = world.savepoint("s").unwrap_err().to_string();
    assert!(why.contains(&format!("the events under way in {passage}/")) && why.contains("it begins at offset"), "{why}");
    assert!(world.stopped().savepoints().unwrap().list().unwrap().iter().all(|one| one.savepoint.is_err()));
}

#[test]
fn a_build_that_fails_behind_a_repartition_topic_takes_its_state_with_it() {
    let kafka = Rekeyed::new("exactly_once");
    let back = "batch = 1\n[savepoints]\non_bad_build = \"roll_back_state\"\n";
    let toml = kafka.toml().replace("on_error = \"stop\"", "");
    let mut world = kafka.process().with_pipeline(&format!("{back}{}", toml.replace("guarantee = \"exactly_once\"", "")));
    world.watch_batches = 100;
    let say = |text: &str| produce(&kafka.words, 0, &[("", &json!({"text": text, "at": kafka.first * 1_000}).to_string())]);
    let until = |count: usize| eventually("counted", || (committed(&kafka.tallies).len() == count).then_some(()));
    let running = world.start();
    say("a");
    until(1);
    running.offer("count", wasm("count-broken"));
    eventually("the bad build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    say("a");
    until(2);
    say("b!");
    until(4);
    let seen: Vec<Value> =
        committed(&kafka.tallies).iter().map(|seen| serde_json::from_slice(seen.value.as_ref().unwrap()).unwrap()).collect();
    let mut seen: Vec<_> = seen.iter().map(|tally| (tally["text"].as_str().unwrap(), tally["seen"].as_u64().unwrap())).collect();
    // Other tasks count other words: only of one word there is an order.
    seen[2..].sort_unstable();
    assert_eq!(seen, [("a", 1), ("a", 2), ("a", 2), ("b!", 1)]);
    running.stop().unwrap();
}
