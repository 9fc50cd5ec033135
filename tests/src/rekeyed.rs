//! A pipeline at Kafka that keys words anew through topics: one operator counts those that lie in any partition, another says how many of each
//! there were in every second.

#![expect(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

use std::time::{SystemTime, UNIX_EPOCH};

use crate::guests::wasm;
use crate::kafka::{bootstrap, cluster, committed, produce, stream, topic, unique};
use crate::words::{COUNTER, process};
use crate::world::World;

/// Partitions of the words.
pub const PARTITIONS: i32 = 3;

/// Words that one round adds to each of them.
pub const ROUND: i64 = 200;

/// A pipeline of a test's own, and its topics.
pub struct Rekeyed {
    /// Its name.
    pub name: String,
    /// What is read.
    pub words: String,
    /// What is counted.
    pub tallies: String,
    /// The windows.
    pub seconds: String,
    /// The second that the first round is in. Outputs carry their time, and Kafka deletes what is older than its retention: so a day ago.
    pub first: i64,
}

/// A window: its key, the number of its second, and how many words were in it.
pub type Window = (String, i64, u64);

impl Rekeyed {
    /// One with so many partitions for the tallies.
    pub fn new(tallies: u32) -> Rekeyed {
        let (words, tallies, seconds) = (topic("words", PARTITIONS as u32), topic("tallies", tallies), topic("seconds", 1));
        let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 - 86_400;
        Rekeyed { name: unique("rekeyed"), words, tallies, seconds, first }
    }

    /// Its file. What is written behind it is said of the operator that counts.
    pub fn toml(&self) -> String {
        let windowing = r#"
            [operators.windowing]
            input = "words"
            output = "seconds"
            key = "text"
            route = "repartition"
            parallelism = 4
            config = { window = { type = "tumbling", size = "1s" }, aggregate = [{ fn = "count" }] }
        "#;
        let streams = [
            stream("words", "main", &self.words, "timestamp = \"at\""),
            stream("tallies", "main", &self.tallies, ""),
            stream("seconds", "main", &self.seconds, ""),
        ];
        format!("{}{}{windowing}\n{COUNTER}route = \"repartition\"\n", cluster("main", &bootstrap()), streams.concat())
    }

    /// A process of a pipeline of this name, with nothing on its disk.
    pub fn process(&self, toml: &str) -> World {
        process(&self.name, toml).plugin("windowing", &wasm("windowing"))
    }

    /// Adds words to all partitions, every word in each of them, in the second that is numbered `round`; returns how many.
    pub fn say(&self, round: i64) -> usize {
        let at = (self.first + round) * 1_000;
        let texts: Vec<String> = (0..ROUND).map(|n| format!(r#"{{"text": "w{}", "at": {}}}"#, n % 7, at + n)).collect();
        let records: Vec<(&str, &str)> = texts.iter().map(|text| ("", text.as_str())).collect();
        (0..PARTITIONS).for_each(|partition| produce(&self.words, partition, &records));
        PARTITIONS as usize * records.len()
    }

    /// The windows that have closed, in order.
    pub fn windows(&self) -> Vec<Window> {
        let windows = committed(&self.seconds).into_iter().map(|seen| seen.json());
        let second = |start: i64| start / 1_000 - self.first;
        let window = |window: serde_json::Value| {
            let (key, start) = (window["key"].as_str().unwrap().to_owned(), window["window_start"].as_i64().unwrap());
            (key, second(start), window["count"].as_u64().unwrap())
        };
        windows.map(window).collect()
    }
}
