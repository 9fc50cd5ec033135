//! What is run in a simulation: pipelines, and input for them.

use super::dice::Dice;
use serde_json::{Value, json};

/// A pipeline and the shape of its input. All of it reads the topic `in`.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// The pipeline, without its clusters.
    pub toml: &'static str,
    /// The plugins.
    pub plugins: &'static [&'static str],
    /// The operator's plugin that is reloaded.
    pub reloads: &'static str,
    /// Topics with their partitions; the first is the input.
    pub topics: &'static [(&'static str, u32)],
    /// Topics that the pipeline reads.
    pub reads: &'static [&'static str],
    /// Topics in which every event of the input ends once, where there are such.
    pub ends: &'static [&'static str],
    event: fn(&mut Dice, i32, i64) -> (i64, Value),
}

/// What input starts with.
const EPOCH: i64 = 1_700_000_000_000;

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "count",
        toml: r#"
            [streams.in]
            cluster = "main"
            topic = "in"
            key = ["text"]
            [streams.out]
            cluster = "main"
            topic = "out"
            [operators.count]
            input = "in"
            output = "out"
        "#,
        plugins: &["count"],
        reloads: "count",
        topics: &[("in", 3), ("out", 2)],
        reads: &["in"],
        ends: &["out"],
        event: word,
    },
    Workload {
        name: "count by exchange",
        toml: r#"
            [streams.in]
            cluster = "main"
            topic = "in"
            [streams.out]
            cluster = "main"
            topic = "out"
            [operators.count]
            input = "in"
            output = "out"
            route = "exchange"
            parallelism = 2
        "#,
        plugins: &["count"],
        reloads: "count",
        topics: &[("in", 3), ("out", 2)],
        reads: &["in"],
        ends: &["out"],
        event: word,
    },
    Workload {
        name: "count by repartition",
        toml: r#"
            [streams.in]
            cluster = "main"
            topic = "in"
            [streams.out]
            cluster = "main"
            topic = "out"
            [operators.count]
            input = "in"
            output = "out"
            route = "repartition"
            parallelism = 2
        "#,
        plugins: &["count"],
        reloads: "count",
        topics: &[("in", 3), ("out", 2)],
        reads: &["in"],
        ends: &["out"],
        event: word,
    },
    Workload {
        name: "count twice",
        toml: r#"
            [streams.in]
            cluster = "main"
            topic = "in"
            key = ["text"]
            [streams.between]
            cluster = "main"
            topic = "between"
            key = ["text"]
            [streams.out]
            cluster = "main"
            topic = "out"
            [operators.first]
            plugin = "count"
            input = "in"
            output = "between"
            [operators.second]
            plugin = "count"
            input = "between"
            output = "out"
        "#,
        plugins: &["count"],
        reloads: "count",
        topics: &[("in", 2), ("between", 2), ("out", 2)],
        reads: &["in", "between"],
        ends: &["out"],
        event: word,
    },
    Workload {
        name: "windows",
        toml: r#"
            [streams.in]
            cluster = "main"
            topic = "in"
            key = ["text"]
            out_of_orderness = "20ms"
            [streams.out]
            cluster = "main"
            topic = "out"
            [streams.late]
            cluster = "main"
            topic = "late"
            [operators.windows]
            plugin = "windowing"
            key = "text"
            input = "in"
            output = "out"
            late = "late"
            config = { window = { type = "tumbling", size = "100ms" }, aggregate = [{ fn = "count", as = "n" }, { fn = "sum", field = "n", as = "sum" }] }
        "#,
        plugins: &["windowing"],
        reloads: "windowing",
        topics: &[("in", 3), ("out", 2), ("late", 1)],
        reads: &["in"],
        ends: &[],
        event: timed,
    },
    Workload {
        name: "windows by repartition",
        toml: r#"
            [streams.in]
            cluster = "main"
            topic = "in"
            out_of_orderness = "200ms"
            [streams.out]
            cluster = "main"
            topic = "out"
            [operators.windows]
            plugin = "windowing"
            key = "text"
            input = "in"
            output = "out"
            route = "repartition"
            parallelism = 2
            config = { window = { type = "tumbling", size = "100ms" }, aggregate = [{ fn = "count", as = "n" }, { fn = "sum", field = "n", as = "sum" }] }
        "#,
        plugins: &["windowing"],
        reloads: "windowing",
        topics: &[("in", 3), ("out", 2)],
        reads: &["in"],
        ends: &[],
        event: timed,
    },
    Workload {
        name: "kitchen-sink",
        toml: r#"
            batch = 32
            [streams.in]
            cluster = "main"
            topic = "in"
            key = ["key"]
            [streams.out]
            cluster = "main"
            topic = "out"
            [streams.late]
            cluster = "main"
            topic = "late"
            [streams.dead]
            cluster = "main"
            topic = "dead"
            [operators.sink]
            plugin = "kitchen-sink"
            input = "in"
            outputs = { done = "out", passed = "out", placed = "out" }
            late = "late"
            dead_letters = "dead"
            config = { delay = 50 }
        "#,
        plugins: &["kitchen-sink"],
        reloads: "kitchen-sink",
        topics: &[("in", 3), ("out", 2), ("late", 1), ("dead", 1)],
        reads: &["in"],
        ends: &[],
        event: act,
    },
];

impl Workload {
    /// The pipeline file.
    pub fn pipeline(&self, guarantee: &str) -> String {
        // What stands before the first table belongs to the pipeline.
        let (before, tables) = self.toml.split_at(self.toml.find("[streams").unwrap_or(0));
        format!(
            "workers = 1\nguarantee = \"{guarantee}\"\n{before}\n[clusters.main]\nkind = \"kafka\"\nbrokers = \"in-memory:9092\"\n{tables}"
        )
    }

    /// The `n`-th event of a partition: its time, and its value.
    pub fn event(&self, dice: &mut Dice, partition: i32, n: i64) -> (i64, Value) {
        let (time, value) = (self.event)(dice, partition, n);
        (EPOCH + time, value)
    }

    /// Whether it reads what it has written, so that a savepoint does not bring all of it back: what was written in between stays.
    pub fn reads_itself(&self) -> bool {
        self.reads.len() > 1
    }

    /// Whether several tasks send to one.
    pub fn keys_anew(&self) -> bool {
        self.toml.contains("route =")
    }

    /// Whether several processes can share it: no events change tasks in memory.
    pub fn can_be_shared(&self) -> bool {
        !self.toml.contains("exchange")
    }

    /// Partitions that are read.
    pub fn sources(&self) -> u32 {
        self.topics.iter().filter(|(topic, _)| self.reads.contains(topic)).map(|(_, partitions)| partitions).sum()
    }
}

/// Words, each of which is in one partition only: its order is known.
fn word(dice: &mut Dice, partition: i32, n: i64) -> (i64, Value) {
    (n, json!({"text": format!("w{}-{partition}", dice.below(5))}))
}

/// Words with times that jump, some by more than the stream's bound.
fn timed(dice: &mut Dice, partition: i32, n: i64) -> (i64, Value) {
    let back = if dice.percent(10) { 150 } else { dice.below(20) as i64 };
    (n * 7 - back, json!({"text": format!("w{}-{partition}", dice.below(4)), "n": dice.below(100)}))
}

fn act(dice: &mut Dice, partition: i32, n: i64) -> (i64, Value) {
    let acts = ["count", "note", "map_set", "map_remove", "list_push", "list_pop", "wake", "wake", "cancel", "forward", "place", "both"];
    let rare = ["forget", "reject", "late", "drop", "silent"];
    let act = if dice.percent(15) { dice.pick(&rare) } else { dice.pick(&acts) };
    let key = format!("k{}-{partition}", dice.below(5));
    // What is placed under it comes from one task only: its order is known.
    let (number, text) = (40 + dice.below(60), format!("t{}-{partition}", dice.below(3)));
    (n, json!({"key": key, "act": act, "with": {"number": number, "text": text}}))
}
