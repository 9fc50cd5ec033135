//! Runs a plugin's fixtures natively: `test.toml` says how, `input.jsonl` goes in, `expected.jsonl` must come out.
//!
//! The watermark is that of a source with bounded out-of-orderness, taken after every event, and the end of the input ends time.

use std::fs;
use std::path::Path;

use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis, Operator};
use serde_json::{Value, json};

/// How the fixtures are run.
pub struct Plan {
    key: Option<String>,
    timestamp: String,
    out_of_orderness: Millis,
    config: Vec<u8>,
}

impl Plan {
    /// Reads `test.toml`.
    pub fn read(folder: &Path) -> Plan {
        let table: toml::Table = text(&folder.join("test.toml")).parse().unwrap();
        let word = |name: &str| table.get(name).map(|value| value.as_str().unwrap().to_owned());
        Plan {
            key: table.get("key").map(|key| key.clone().try_into::<Vec<String>>().unwrap().join(",")),
            timestamp: word("timestamp").unwrap(),
            out_of_orderness: seconds(&word("out_of_orderness").unwrap()),
            config: rmp_serde::to_vec_named(&table.get("config").cloned().unwrap_or(toml::Table::new().into())).unwrap(),
        }
    }

    /// A harness that is configured so.
    pub fn harness<O: Operator>(&self) -> Harness<O> {
        let harness = Harness::with(O::Config::read(&self.config).unwrap());
        if let Some(key) = &self.key { harness.key(key) } else { harness }
    }

    /// Sends every line of a file, each followed by its watermark, and ends time.
    pub fn send<O: Operator>(&self, harness: &mut Harness<O>, input: &Path) {
        let mut newest = Millis::MIN;
        for event in lines(input) {
            let time = event[&self.timestamp].as_i64().unwrap();
            newest = newest.max(time);
            harness.send_raw(time, &rmp_serde::to_vec_named(&event).unwrap()).advance(newest - self.out_of_orderness - 1);
        }
        harness.end();
    }
}

/// Checks that the fixtures give what they must, in batches of any size.
pub fn check<O: Operator>(folder: &str) {
    let folder = Path::new(folder).join("fixtures");
    let plan = Plan::read(&folder);
    let expected = lines(&folder.join("expected.jsonl"));
    for batch in [1, 2, 7, 1000] {
        let mut harness = plan.harness::<O>().batch(batch);
        plan.send(&mut harness, &folder.join("input.jsonl"));
        let found = outputs(&mut harness);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "line {} in batches of {batch}", i + 1);
        }
        assert_eq!(found.len(), expected.len(), "in batches of {batch}");
        assert!(harness.keys().is_empty(), "something is remembered after the end of time: {:?}", harness.keys());
    }
}

/// Everything emitted, as the lines of `expected.jsonl`.
pub fn outputs<O: Operator>(harness: &mut Harness<O>) -> Vec<Value> {
    let line = |sent: &sangam_sdk::test::Sent| {
        let value: Value = rmp_serde::from_slice(sent.value.as_ref().unwrap()).unwrap();
        json!({ "port": sent.port, "key": sent.key(), "timestamp": sent.time, "value": value })
    };
    harness.outputs().iter().map(line).collect()
}

/// A file's lines as JSON.
pub fn lines(path: &Path) -> Vec<Value> {
    text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn seconds(text: &str) -> Millis {
    match text.split_at(text.len() - 1) {
        (number, "s") => number.parse::<Millis>().unwrap() * 1_000,
        (number, "m") => number.parse::<Millis>().unwrap() * 60_000,
        (number, "h") => number.parse::<Millis>().unwrap() * 3_600_000,
        _ => panic!("{text}: seconds, minutes or hours"),
    }
}
