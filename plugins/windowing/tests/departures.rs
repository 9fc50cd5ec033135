//! 20,000 real departures through the pipeline of `examples/departures`: the same windows as a script computes that shares no code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of all plugins")]
#[path = "../../fixtures.rs"]
mod fixtures;

use std::fs;
use std::path::{Path, PathBuf};

use sangam_sdk::Config;
use sangam_sdk::test::Harness;
use serde_json::{Value, json};
use windowing::{Settings, Windowing};

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/departures").join(file)
}

/// Runs the whole file in batches of `batch` events, as `pipeline.toml` says.
fn run(batch: usize) -> Harness<Windowing> {
    let pipeline: toml::Table = fs::read_to_string(example("pipeline.toml")).unwrap().parse().unwrap();
    let (stream, operator) = (&pipeline["streams"]["departures"], &pipeline["operators"]["windowing"]);
    assert_eq!(stream["out_of_orderness"].as_str(), Some("2h"));
    let timestamp = stream["timestamp"].as_str().unwrap();
    let windowing = Settings::read(&rmp_serde::to_vec_named(&operator["config"]).unwrap()).unwrap();
    let mut h = Harness::with(windowing).key(operator["key"].as_str().unwrap()).batch(batch);
    let mut newest = i64::MIN;
    for event in fixtures::lines(&example("departures.jsonl")) {
        let time = event[timestamp].as_i64().unwrap();
        newest = newest.max(time);
        h.send_raw(time, &rmp_serde::to_vec_named(&event).unwrap()).advance(newest - 2 * 3_600_000 - 1);
    }
    h.end();
    h
}

#[test]
fn real_departures_give_the_windows_that_a_script_computes() {
    let totals: Value = serde_json::from_str(&fs::read_to_string(example("expected/totals.json")).unwrap()).unwrap();
    for batch in [64, 1024] {
        let mut h = run(batch);
        let mut found: Vec<Value> = fixtures::outputs(&mut h).into_iter().map(|mut line| line["value"].take()).collect();
        found.sort_by_key(|row| (row["key"].as_str().unwrap().to_owned(), row["window_start"].as_i64()));
        let sum = |name: &str| found.iter().map(|row| row[name].as_i64().unwrap()).sum::<i64>();
        let computed = json!({
            "windows": found.len(), "count": sum("count"), "late": h.late().len(), "sum_delay_min": sum("sum_delay_min"),
            "events": sum("count") as usize + h.late().len(),
        });
        for (name, value) in computed.as_object().unwrap() {
            assert_eq!(*value, totals[name], "{name} in batches of {batch}");
        }
        for (i, (found, expected)) in found.iter().zip(fixtures::lines(&example("expected/windows.jsonl"))).enumerate() {
            assert_eq!(*found, expected, "line {} in batches of {batch}", i + 1);
        }
        assert_eq!(h.keys(), Vec::<String>::new());
    }
}
