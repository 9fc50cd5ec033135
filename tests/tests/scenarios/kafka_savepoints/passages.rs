//! The same for a pipeline that keys its events anew through topics at Kafka: events that are under way there when the savepoint is taken, and
//! those that are when it is restored.

use super::{TAKEN_BACK, counted_past_a_bad_build};
use sangam::broker::Broker;
use sangam::pipeline::savepoint::Savepoint;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{broker, committed, ends, produce};
use sangam_tests::rekeyed::Rekeyed;
use sangam_tests::words;
use sangam_tests::world::{World, eventually};
use serde_json::json;
use std::collections::BTreeMap;

/// The pipeline, under a guarantee; it stops at what its counter cannot take.
pub(super) struct Guarded {
    pub(super) topics: Rekeyed,
    guarantee: &'static str,
}

/// What is in the two output topics from some place on, by key: how often each word was counted, and how many were in each window.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) words: BTreeMap<String, u64>,
    pub(super) windows: BTreeMap<(String, i64), u64>,
}

impl Guarded {
    pub(super) fn new(guarantee: &'static str) -> Guarded {
        Guarded { topics: Rekeyed::new(1), guarantee }
    }

    pub(super) fn toml(&self) -> String {
        format!("guarantee = \"{}\"\n{}on_error = \"stop\"\n", self.guarantee, self.topics.toml())
    }

    /// A process with nothing on its disk.
    fn process(&self) -> World {
        self.topics.process(&self.toml())
    }

    pub(super) fn say(&self, round: i64) {
        self.topics.say(round);
    }

    /// A word at which the broken build of the counter fails, and the pipeline stops.
    fn say_what_is_no_word(&self, round: i64) {
        let at = (self.topics.first + round) * 1_000 + 500;
        produce(&self.topics.words, 0, &[("", &format!(r#"{{"text": "b!", "at": {at}}}"#))]);
    }

    /// Stops with words under way: the counter fails at them.
    fn fail_at(&self, world: World) -> World {
        let world = world.plugin("count", &wasm("count-broken"));
        let why = world.drain().unwrap_err().to_string();
        assert!(why.contains("count"), "{why}");
        world.plugin("count", &wasm("count"))
    }

    /// How often each word comes behind what had been read at a savepoint.
    fn words_behind(&self, savepoint: &Savepoint) -> BTreeMap<String, u64> {
        let mut behind = BTreeMap::new();
        for seen in committed(&self.topics.words) {
            let read = savepoint
                .positions
                .iter()
                .any(|at| (at.stream.as_str(), at.partition as i32) == ("words", seen.partition) && seen.offset < at.offset);
            if !read {
                *behind.entry(seen.json()["text"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        behind
    }

    /// How many records the output topics hold.
    pub(super) fn outputs(&self) -> (usize, usize) {
        (committed(&self.topics.tallies).len(), committed(&self.topics.seconds).len())
    }

    /// What they have got since, upon what was known; `None` where that is not known so exactly. Counts go up one by one, and no window
    /// comes twice.
    pub(super) fn since(&self, (tallies, seconds): (usize, usize), known: Option<&Counted>) -> Counted {
        let start = known.map(|_| 0);
        let mut counted =
            known.map_or_else(Counted::default, |known| Counted { words: known.words.clone(), windows: known.windows.clone() });
        for (word, now) in words::tallies(&self.topics.tallies).split_off(tallies) {
            let seen = counted.words.entry(word.clone()).or_insert(start.unwrap_or(now - 1));
            *seen += 1;
            assert_eq!(now, *seen, "{}: {word}", self.guarantee);
        }
        for (key, second, count) in self.topics.windows().split_off(seconds) {
            assert_eq!(counted.windows.insert((key.clone(), second), count), None, "{key} in second {second} came twice");
        }
        counted
    }
}

#[test]
fn after_a_restore_every_event_counts_as_in_a_run_from_scratch_those_under_way_included() {
    for guarantee in ["exactly_once", "at_least_once"] {
        let kafka = Guarded::new(guarantee);
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
        // At least once, a run that failed before its commit has sent words on that are read again.
        let again = if guarantee == "at_least_once" { kafka.words_behind(&savepoint) } else { BTreeMap::new() };

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
        assert!(got.words.keys().eq(words.keys()), "{guarantee}: {:?}", got.words);
        for (word, count) in &words {
            let most = count + again.get(word).unwrap_or(&0);
            assert!(
                (*count..=most).contains(&got.words[word]),
                "{guarantee}: {word} is there {count} times, and up to {most} with what is read again; {:?}",
                got.words
            );
        }
        let (in_windows, most) = (got.windows.values().sum::<u64>(), 1_201 + again.values().sum::<u64>());
        assert!((1_201..=most).contains(&in_windows), "{guarantee}: the windows of the first two seconds: {:?}", got.windows);
        assert_eq!(got.windows.len(), 15, "{guarantee}: {:?}", got.windows);
    }
}

#[test]
fn a_savepoint_of_running_work_over_kafka_is_of_one_commit_whatever_is_under_way() {
    let kafka = Guarded::new("exactly_once");
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
        let mut known = Counted { words: scratch.words.clone(), ..Counted::default() };
        for (word, _) in words::tallies(&kafka.topics.tallies).split_off(before.0) {
            *known.words.get_mut(&word).unwrap() -= 1;
        }
        let got = kafka.since(before, Some(&known));
        assert_eq!(got.words, scratch.words, "s{round}");
        assert!(got.windows.iter().all(|(at, count)| scratch.windows.get(at) == Some(count)), "s{round}: {:?}", got.windows);
    }
}

#[test]
fn a_savepoint_is_refused_where_events_under_way_are_gone() {
    let kafka = Guarded::new("exactly_once");
    let world = kafka.process();
    kafka.say(0);
    world.drain().unwrap();
    kafka.say(1);
    kafka.say_what_is_no_word(1);
    let world = kafka.fail_at(world);
    let passage = format!("{}.count.words.repartition", kafka.topics.name);
    let all: Vec<_> =
        ends(&passage).into_iter().enumerate().map(|(partition, (_, end))| (passage.clone(), partition as i32, end)).collect();
    broker().delete_before(&all).unwrap();
    let why = world.savepoint("s").unwrap_err().to_string();
    assert!(why.contains(&format!("the events under way in {passage}/")) && why.contains("it begins at offset"), "{why}");
    assert!(world.stopped().savepoints().unwrap().list().unwrap().iter().all(|one| one.savepoint.is_err()));
}

#[test]
fn a_build_that_fails_behind_a_repartition_topic_takes_its_state_with_it() {
    let kafka = Rekeyed::new(1);
    let say = |text: &str| produce(&kafka.words, 0, &[("", &json!({"text": text, "at": kafka.first * 1_000}).to_string())]);
    let mut seen = counted_past_a_bad_build(kafka.process(&kafka.toml()), &kafka.toml(), &say, &kafka.tallies);
    // Other tasks count other words: only of one word there is an order.
    seen[2..].sort_unstable();
    assert_eq!(seen, TAKEN_BACK.map(|(word, seen)| (word.to_owned(), seen)));
}
