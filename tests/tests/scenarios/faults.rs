//! Faults of the surroundings that have no better place: brokers away for long, topics deleted, coordinators that move, clocks that jump.

use rdkafka::mocking::{MockCluster, MockCoordinator};
use sangam::broker::{Assignment, Broker, KafkaBroker, KafkaOptions, Source, Start, Subscribe};
use sangam::events::Events;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{OwnBroker, bootstrap, broker, delete, produce_at, topic, unique};
use sangam_tests::words::{counting, process, tallies_at};
use sangam_tests::world::{Ended, Running, World, eventually};
use serde_json::json;
use std::sync::Arc;

fn say(address: &str, topic: &str, times: usize) {
    produce_at(address, topic, 0, &vec![("", r#"{"text": "a"}"#); times]);
}

fn seen(address: &str, topic: &str) -> Vec<u64> {
    tallies_at(address, topic).into_iter().map(|(_, seen)| seen).collect()
}

/// A pipeline that counts words of a topic of its own, exactly once.
struct Counting {
    words: String,
    tallies: String,
    world: World,
}

impl Counting {
    /// One that is running and has counted the first ten.
    fn begun() -> (Counting, Running) {
        let (words, tallies) = (topic("words", 1), topic("tallies", 1));
        let world = process(&unique("counting"), &counting(&bootstrap(), &words, &tallies, ""));
        say(&bootstrap(), &words, 10);
        let running = world.start();
        eventually("the first are counted", || (seen(&bootstrap(), &tallies).len() == 10).then_some(()));
        (Counting { words, tallies, world }, running)
    }

    fn say(&self, times: usize) {
        say(&bootstrap(), &self.words, times);
    }

    fn seen(&self) -> Vec<u64> {
        seen(&bootstrap(), &self.tallies)
    }
}

#[test]
fn a_broker_that_is_away_until_everybody_has_given_up_costs_nothing() {
    let mut own = OwnBroker::start();
    // What a writer waits for an answer, and a run for its broker, is shortened: it stands for the minutes that they wait by default.
    let options = KafkaOptions::new(&own.address).with("message.timeout.ms", "2000").with("transaction.timeout.ms", "2000");
    let broker = KafkaBroker::connect(options).unwrap();
    broker.create("words", 1).unwrap();
    broker.create("tallies", 1).unwrap();
    let world = World::on_disk(&counting(&own.address, "words", "tallies", "")).plugin("count", &wasm("count"));
    let world = world.broker("main", Arc::new(broker));
    say(&own.address, "words", 50);
    let running = world.start();
    eventually("the first are counted", || (seen(&own.address, "tallies").len() == 50).then_some(()));
    own.kill();
    eventually("it has tried again, more than once", || (running.metrics.run.restarts.get() >= 3).then_some(()));
    own.again();
    say(&own.address, "words", 50);
    eventually("the rest are counted", || (seen(&own.address, "tallies").len() >= 100).then_some(()));
    running.stop().unwrap();
    assert!(seen(&own.address, "tallies").into_iter().eq(1..=100), "nothing is missing, nothing came twice");
}

#[test]
fn a_topic_that_is_deleted_under_a_running_pipeline_stops_it_by_its_name() {
    let (kafka, running) = Counting::begun();
    delete(&kafka.words);
    let why = running.outcome().unwrap_err().to_string();
    assert!(why.contains(&kafka.words), "{why}");
    assert!(kafka.seen().into_iter().eq(1..=10));
}

#[test]
fn records_that_a_topic_deletes_before_they_are_read_are_counted_and_the_stream_goes_on_after_them() {
    let (kafka, running) = Counting::begun();
    assert_eq!(running.metrics.run.missed.get(), 0);
    running.stop().unwrap();
    kafka.say(10);
    broker().delete_before(&[(kafka.words.clone(), 0, 15)]).unwrap();
    let running = kafka.world.start();
    eventually("what is left is counted", || (kafka.seen().len() >= 15).then_some(()));
    eventually("what is missing, too", || (running.metrics.run.missed.get() > 0).then_some(()));
    assert_eq!(running.metrics.run.missed.get(), 5, "offsets 10 to 14");
    running.stop().unwrap();
    assert!(kafka.seen().into_iter().eq(1..=15));
}

#[test]
fn a_topic_that_was_made_anew_is_not_taken_for_the_one_that_was_read() {
    let (kafka, running) = Counting::begun();
    running.stop().unwrap();
    delete(&kafka.words);
    eventually("the topic is made anew", || broker().create(&kafka.words, 1).ok());
    kafka.say(3);
    let why = kafka.world.start().outcome().unwrap_err().to_string();
    assert!(why.contains(&format!("{}/0 was read up to offset 10 and ends at 3 now", kafka.words)), "{why}");
    assert!(kafka.seen().into_iter().eq(1..=10), "none of the new ones is passed over unsaid");
}

/// The library's own cluster of mock brokers is told to move the group's coordinator; it stands for no claim about transactions.
#[test]
fn a_group_whose_coordinator_moves_goes_on_reading_and_committing() {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("words", 1, 3).unwrap();
    let group = unique("group");
    cluster.coordinator(MockCoordinator::Group(group.clone()), 1).unwrap();
    let broker = KafkaBroker::connect(KafkaOptions::new(cluster.bootstrap_servers())).unwrap();
    let subscribe = Subscribe::new(group.clone(), ["words".to_owned()], Start::Earliest);
    let mut subscription = broker.subscribe(&subscribe).unwrap();
    let mut source: Option<Box<dyn Source>> = None;
    let mut events = Events::default();
    for round in 1..=3 {
        say(&cluster.bootstrap_servers(), "words", 10);
        eventually("the records of the round", || {
            // News of a coordinator that does not answer are no end: the supervisor tries again after them.
            for change in subscription.changes().unwrap_or_default() {
                match change {
                    Assignment::Gained { source: gained, .. } => source = Some(gained),
                    Assignment::Lost { .. } => source = None,
                }
            }
            source.as_mut()?.poll(100, &mut events).unwrap();
            (events.len() >= round * 10).then_some(())
        });
        let at: Vec<i64> = events.rows.iter().map(|row| row.offset).collect();
        assert!(at.into_iter().eq(0..round as i64 * 10), "none left out, none twice");
        cluster.coordinator(MockCoordinator::Group(group.clone()), 1 + round as i32 % 3).unwrap();
        eventually("a commit at the new coordinator", || subscription.commit(&[("words".to_owned(), 0, round as i64 * 10)]).ok());
    }
}

#[test]
fn a_clock_that_jumps_forth_and_back_makes_no_event_late_and_no_window_close_twice() {
    let world = World::new(
        r#"
        [streams.orders]
        watermark = "processing_time"
        [streams.out]
        [operators.sink]
        plugin = "kitchen-sink"
        input = "orders"
        outputs = { passed = "out", done = "out", placed = "out" }
        "#,
    )
    .plugin("kitchen-sink", &wasm("kitchen-sink"));
    let mut events = 0;
    for jump in [0, 3_600_000, -7_200_000, 1, -1, 86_400_000] {
        world.clock.advance(jump);
        let wake = json!({"key": format!("k{events}"), "act": "wake", "with": {"number": 10, "text": "alarm"}});
        world.send("orders", 0, &[(0, wake), (0, json!({"key": "k", "act": "count"}))]);
        events += 2;
        assert_eq!(world.drain().unwrap()["sink"], Ended { events: 2, ok: 2, ..Ended::default() }, "after a jump of {jump} ms");
    }
    // The clock stands behind the latest times that it has shown, and comes to them.
    world.clock.advance(2 * 86_400_000);
    world.send("orders", 0, &[(0, json!({"key": "k", "act": "count"}))]);
    world.drain().unwrap();
    let out = world.values("out");
    let watermarks: Vec<i64> = out.iter().map(|out| out["watermark"].as_i64().unwrap()).collect();
    assert!(watermarks.is_sorted(), "a watermark goes back: {watermarks:?}");
    assert_eq!(out.iter().filter(|out| out["act"] == "alarm").count(), events / 2, "each timer fires once");
}
