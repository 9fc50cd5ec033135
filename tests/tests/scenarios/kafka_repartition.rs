//! Several processes share a pipeline whose events are keyed anew through a topic at a real Kafka: they join, leave and take over from each
//! other, and every event counts once, in order per key; windows close when the senders of all processes have passed.

use sangam_tests::kafka::{committed, ends};
use sangam_tests::rekeyed::{PARTITIONS, ROUND, Rekeyed};
use sangam_tests::words::{all_counted_once, until_counted};
use sangam_tests::world::{Running, World, eventually};
use std::collections::BTreeMap;

/// A pipeline of a test's own, and how many words it has been given.
struct Case {
    topics: Rekeyed,
    events: usize,
}

impl Case {
    fn new() -> Case {
        Case { topics: Rekeyed::new(2), events: 0 }
    }

    /// A process with nothing on its disk.
    fn process(&self, more: &str) -> World {
        self.topics.process(&format!("{more}\n{}", self.topics.toml()))
    }

    fn say(&mut self, round: i64) {
        self.events += self.topics.say(round);
    }

    fn until_counted(&self) {
        until_counted(&self.topics.tallies, self.events);
    }

    fn all_counted_once(&self) {
        all_counted_once(&self.topics.tallies, self.events);
    }

    /// How many events were in the windows that have closed, by the number of their second.
    fn closed(&self) -> BTreeMap<i64, u64> {
        let (mut closed, mut known) = (BTreeMap::new(), BTreeMap::new());
        for (key, second, count) in self.topics.windows() {
            assert_eq!(known.insert((key.clone(), second), count), None, "{key} in second {second} came twice");
            *closed.entry(second).or_default() += count;
        }
        closed
    }

    /// The windows of these seconds have closed, each with all of its events, and no others have.
    fn only_closed(&self, seconds: std::ops::Range<i64>) {
        let all = (ROUND * i64::from(PARTITIONS)) as u64;
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
            case.only_closed(0..round);
        }
        let passage = format!("{}.count.words.repartition", case.topics.name);
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
        case.only_closed(0..round);
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
        case.only_closed(0..round);
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
