//! What is run in a simulation: pipelines, and input for them.

use super::dice::Dice;
use serde_json::{Value, json};

/// A pipeline and the shape of its input. All of it reads the topic `in`.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What stands before the first table of the file.
    pub head: &'static str,
    /// What is said of streams; each is in the topic of its name.
    pub settings: &'static [(&'static str, &'static str)],
    /// The operators.
    pub operators: &'static str,
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

/// Says of a stream of words that each of them is in one partition only.
const BY_TEXT: &str = "key = [\"text\"]";

const COUNT: Workload = Workload {
    name: "count",
    head: "",
    settings: &[("in", BY_TEXT)],
    operators: r#"
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
};

const WINDOWS: Workload = Workload {
    name: "windows",
    settings: &[("in", "key = [\"text\"]\nout_of_orderness = \"20ms\"")],
    operators: r#"
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
    ends: &[],
    event: timed,
    ..COUNT
};

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    COUNT,
    Workload {
        name: "count by exchange",
        settings: &[],
        operators: r#"
            [operators.count]
            input = "in"
            output = "out"
            route = "exchange"
            parallelism = 2
        "#,
        ..COUNT
    },
    Workload {
        name: "count by repartition",
        settings: &[],
        operators: r#"
            [operators.count]
            input = "in"
            output = "out"
            route = "repartition"
            parallelism = 2
        "#,
        ..COUNT
    },
    Workload {
        name: "count twice",
        settings: &[("in", BY_TEXT), ("between", BY_TEXT)],
        operators: r#"
            [operators.first]
            plugin = "count"
            input = "in"
            output = "between"
            [operators.second]
            plugin = "count"
            input = "between"
            output = "out"
        "#,
        topics: &[("in", 2), ("between", 2), ("out", 2)],
        reads: &["in", "between"],
        ..COUNT
    },
    WINDOWS,
    Workload {
        name: "windows by repartition",
        settings: &[("in", "out_of_orderness = \"200ms\"")],
        operators: r#"
            [operators.windows]
            plugin = "windowing"
            key = "text"
            input = "in"
            output = "out"
            route = "repartition"
            parallelism = 2
            config = { window = { type = "tumbling", size = "100ms" }, aggregate = [{ fn = "count", as = "n" }, { fn = "sum", field = "n", as = "sum" }] }
        "#,
        topics: &[("in", 3), ("out", 2)],
        ..WINDOWS
    },
    Workload {
        name: "kitchen-sink",
        head: "batch = 32",
        settings: &[("in", "key = [\"key\"]")],
        operators: r#"
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
        let settings = |stream: &str| self.settings.iter().find(|(name, _)| *name == stream).map_or("", |(_, settings)| settings);
        let stream = |(name, _): &(&str, u32)| format!("[streams.{name}]\ncluster = \"main\"\ntopic = \"{name}\"\n{}\n", settings(name));
        let streams: String = self.topics.iter().map(stream).collect();
        let cluster = "[clusters.main]\nkind = \"kafka\"\nbrokers = \"in-memory:9092\"\n";
        format!("workers = 1\nguarantee = \"{guarantee}\"\n{}\n{cluster}{streams}{}", self.head, self.operators)
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
        self.operators.contains("route =")
    }

    /// Whether several processes can share it: no events change tasks in memory.
    pub fn can_be_shared(&self) -> bool {
        !self.operators.contains("exchange")
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
