//! Words that are counted, as in most scenarios: pipelines that do it, words on their way in, tallies on their way out, embedded and at Kafka.

#![expect(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::guests::wasm;
use crate::kafka::{bootstrap, broker, cluster, committed, committed_at, produce, stream};
use crate::world::{World, eventually};

/// Counts words of two partitions, in embedded topics.
pub const COUNT: &str = r#"
    [streams.words]
    partitions = 2
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
"#;

/// The same with four partitions, and as many for the tallies.
pub const COUNT_IN_FOUR: &str = r#"
    [streams.words]
    partitions = 4
    [streams.tallies]
    partitions = 4
    [operators.count]
    input = "words"
    output = "tallies"
"#;

/// The operator of both.
pub const COUNTER: &str = "[operators.count]\ninput = \"words\"\noutput = \"tallies\"\n";

/// Says of a stream of words that each of them is in one partition only.
pub const BY_TEXT: &str = "key = [\"text\"]";

/// How often each word had been seen, in the order in which its tallies came.
pub type Counts = BTreeMap<String, Vec<u64>>;

/// A word as an event.
pub fn word(text: &str) -> Value {
    json!({ "text": text })
}

/// A tally: the word, and how often it had been seen.
pub fn tally(value: &Value) -> (String, u64) {
    (value["text"].as_str().unwrap().to_owned(), value["seen"].as_u64().unwrap())
}

/// Tallies by their words.
pub fn counts(tallies: impl IntoIterator<Item = (String, u64)>) -> Counts {
    let mut counts = Counts::new();
    for (word, seen) in tallies {
        counts.entry(word).or_default().push(seen);
    }
    counts
}

/// Each word is counted from 1 up, nothing left out, nothing twice, in order.
pub fn each_counted_once(counts: &Counts) {
    for (word, seen) in counts {
        assert!(seen.iter().copied().eq(1..=seen.len() as u64), "{word}: {seen:?}");
    }
}

// === embedded ===

/// Adds a word to a partition of `words`.
pub fn say(world: &World, partition: i32, text: &str) {
    world.send("words", partition, &[(0, word(text))]);
}

/// Adds so many of 23 words to each partition of `words`, so that every word is in all of them.
pub fn say_everywhere(world: &World, topic: &str, partitions: i32, count: usize) {
    for partition in 0..partitions {
        let words = (0..count).map(|n| (n as i64, word(&format!("w{}", (n * 7 + n / 5) % 23))));
        world.send(topic, partition, &words.collect::<Vec<_>>());
    }
}

/// So many of 23 words have been counted, each once, in the order of the topic.
pub fn all_23_counted_once(tallies: &[Value], events: usize) {
    let counts = counts(tallies.iter().map(tally));
    each_counted_once(&counts);
    assert_eq!((tallies.len(), counts.len()), (events, 23));
}

// === at Kafka ===

/// Counts words from one topic into another; `more` is what else is said of the first.
pub fn counting(address: &str, words: &str, tallies: &str, more: &str) -> String {
    cluster("main", address) + &stream("words", "main", words, more) + &stream("tallies", "main", tallies, "") + COUNTER
}

/// A process of the pipeline `name` that counts words, with nothing on its disk.
pub fn process(name: &str, toml: &str) -> World {
    World::on_disk(toml).named(name).plugin("count", &wasm("count")).broker("main", Arc::new(broker()))
}

/// Adds words to a partition of a topic.
pub fn write_words<T: Display>(topic: &str, partition: i32, words: impl IntoIterator<Item = T>) {
    let values: Vec<String> = words.into_iter().map(|text| word(&text.to_string()).to_string()).collect();
    produce(topic, partition, &values.iter().map(|value| ("", value.as_str())).collect::<Vec<_>>());
}

/// The committed tallies of a topic, in order.
pub fn tallies(topic: &str) -> Vec<(String, u64)> {
    tallies_at(&bootstrap(), topic)
}

/// The same, at a broker elsewhere.
pub fn tallies_at(address: &str, topic: &str) -> Vec<(String, u64)> {
    committed_at(address, topic).iter().map(|seen| tally(&seen.json())).collect()
}

/// Waits until there are so many tallies in a topic, or more.
pub fn until_counted(topic: &str, events: usize) {
    eventually("every event is counted", || (committed(topic).len() >= events).then_some(()));
}

/// So many words have been counted into a topic, each once.
pub fn all_counted_once(topic: &str, events: usize) {
    let counts = counts(tallies(topic));
    each_counted_once(&counts);
    assert_eq!(counts.values().map(Vec::len).sum::<usize>(), events);
}
