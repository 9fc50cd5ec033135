//! A pipeline from Kafka to Kafka, with a plugin from the watched folder.

use rdkafka::producer::{BaseRecord, Producer};
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::kafka::{PATIENCE, bootstrap, broker, producer, topic, unique};
use sangam_tests::spy::{Fault, SpyStore};
use sangam_tests::words::{counting, counts, process, tallies, write_words};
use sangam_tests::world::{Ended, Running, World, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PARTITIONS: u32 = 3;

/// Counts words, each of which is in every partition.
fn pipeline(words: &str, tallies: &str) -> String {
    counting(&bootstrap(), words, tallies, "")
}

/// How a run over everything that is there ended for the counting operator.
fn drained(world: &World) -> Ended {
    world.drain().unwrap()["count"]
}

/// Writes a round of words over all partitions; returns how many.
fn say(words: &str, round: usize) -> usize {
    let texts = || (0..200).map(|n| format!("w{}", (n + round) % 11));
    (0..PARTITIONS as i32).for_each(|partition| write_words(words, partition, texts()));
    200 * PARTITIONS as usize
}

/// Counts of each word that are in the topic, whatever came twice.
fn distinct(topic: &str) -> BTreeMap<String, BTreeSet<u64>> {
    counts(tallies(topic)).into_iter().map(|(word, seen)| (word, seen.into_iter().collect())).collect()
}

fn processed(running: &Running, events: usize) {
    let ok = || running.sum("sangam_operator_events_total", "outcome=\"ok\"");
    eventually("everything is processed", || (ok() >= events as u64).then_some(()));
}

#[test]
fn words_from_kafka_are_counted_into_kafka_through_restarts_and_reloads() {
    let (words, tallies) = (topic("words", PARTITIONS), topic("tallies", 2));
    let mut world = process(&unique("counting"), &pipeline(&words, &tallies));
    let mut total = 0;
    for round in 0..3 {
        let running = world.start();
        let events = say(&words, round);
        if round == 1 {
            let build = rebuilt(&wasm("count"), 1);
            std::fs::write(world.plugins().join("count.wasm"), build).unwrap();
            eventually("the new build runs", || (running.metrics.reloads.get() == 1).then_some(()));
        }
        processed(&running, events);
        total += events;
        running.stop().unwrap();
        world = world.reopened();
    }
    let counts = distinct(&tallies);
    assert_eq!(counts.len(), 11);
    // Each count from 1 up is there, and none is left out or goes beyond the events that there were.
    assert!(counts.values().all(|seen| seen.iter().copied().eq(1..=seen.len() as u64)), "{counts:?}");
    assert_eq!(counts.values().map(BTreeSet::len).sum::<usize>(), total);
}

#[test]
fn outputs_of_a_commit_that_failed_come_again_and_their_events_are_counted_once() {
    let (words, tallies) = (topic("words", PARTITIONS), topic("tallies", 2));
    let store = Arc::new(SpyStore::default());
    let at_least_once = format!("guarantee = \"at_least_once\"\n{}", pipeline(&words, &tallies));
    let world = World::over(&at_least_once, store.clone(), Arc::new(tempfile::tempdir().unwrap()));
    let world = world.plugin("count", &wasm("count")).broker("main", Arc::new(broker()));
    let mut total = say(&words, 0);
    let running = world.start();
    processed(&running, total);
    // Outputs are flushed before the store is asked: with the disk full, they are out and nothing else is.
    store.fail(Some(Fault::Full));
    total += say(&words, 1);
    assert!(running.outcome().unwrap_err().to_string().contains("no space left"));
    store.fail(None);
    let running = world.start();
    total += say(&words, 2);
    let counts = eventually("every event is counted", || {
        let counts = distinct(&tallies);
        (counts.values().map(BTreeSet::len).sum::<usize>() == total).then_some(counts)
    });
    assert!(counts.values().all(|seen| seen.iter().copied().eq(1..=seen.len() as u64)), "{counts:?}");
    running.stop().unwrap();
}

#[test]
fn a_drain_reads_all_that_is_in_kafka_and_ends() {
    let (words, tallies) = (topic("words", PARTITIONS), topic("tallies", 2));
    let world = World::new(&pipeline(&words, &tallies)).plugin("count", &wasm("count")).broker("main", Arc::new(broker()));
    assert_eq!(drained(&world), Ended::default());
    for round in 0..2 {
        let events = say(&words, round) as u64;
        assert_eq!(drained(&world), Ended { events, ok: events, ..Ended::default() });
    }
    assert_eq!(drained(&world), Ended::default());
}

#[test]
fn a_drain_ends_behind_the_marker_of_a_transaction() {
    let (words, tallies) = (topic("words", 1), topic("tallies", 1));
    let world = World::new(&pipeline(&words, &tallies)).plugin("count", &wasm("count")).broker("main", Arc::new(broker()));
    let writer = producer(&[("transactional.id", &unique("writer"))]);
    writer.init_transactions(PATIENCE).unwrap();
    for (commit, read) in [(true, 1), (false, 0), (true, 1)] {
        writer.begin_transaction().unwrap();
        writer.send(BaseRecord::to(&words).partition(0).key("k").payload(r#"{"text": "a"}"#)).map_err(|(error, _)| error).unwrap();
        writer.flush(PATIENCE).unwrap();
        if commit {
            writer.commit_transaction(PATIENCE).unwrap()
        } else {
            writer.abort_transaction(PATIENCE).unwrap()
        }
        assert_eq!(drained(&world), Ended { events: read, ok: read, ..Ended::default() });
        // What lies behind the last record is a marker, which nobody ever reads.
        assert_eq!(drained(&world), Ended::default());
    }
}
