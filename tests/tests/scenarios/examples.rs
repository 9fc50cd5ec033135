//! Every example runs and gives what its own, separate computation expects.

use sangam_tests::program::{folder, guest, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// Copies an example to a folder of its own, with the plugins that it names.
fn example(name: &str, plugins: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder("examples").join(name)).unwrap().flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    fs::create_dir(copy.path().join("plugins")).unwrap();
    for plugin in plugins {
        fs::copy(guest(plugin), copy.path().join("plugins").join(format!("{plugin}.wasm"))).unwrap();
    }
    copy
}

fn lines(text: &str) -> BTreeSet<String> {
    // Numbers that are equal are written alike once they have been read.
    let values = text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str::<Value>(line).unwrap());
    values.map(|value| value.to_string()).collect()
}

#[test]
fn the_departures_come_out_as_the_script_that_knows_no_streams_has_computed() {
    let example = example("departures", &["windowing"]);
    let ran = run(example.path(), &["run", "pipeline.toml"], "");
    assert!(ran.ok, "{}", ran.err);
    let expected = fs::read_to_string(folder("examples/departures/expected/windows.jsonl")).unwrap();
    let (got, expected) = (lines(&ran.out), lines(&expected));
    assert_eq!(expected.len(), 17_372);
    assert_eq!(got.symmetric_difference(&expected).take(3).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(
        ran.err.contains("20,000 = 19,876 +  124"),
        "the summary adds up: {}",
        ran.out.lines().rev().take(6).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn every_plugin_gives_what_its_fixtures_expect() {
    for plugin in ["windowing", "fraud-rules", "order-analytics"] {
        let ran = run(&folder("plugins").join(plugin), &["test", "--plugin", &guest(plugin)], "");
        assert!(ran.ok, "{plugin}: {}{}", ran.out, ran.err);
    }
}
