//! Every example runs and gives what its own, separate computation expects.

use sangam_tests::kafka;
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
fn the_departures_go_through_kafka_and_come_out_as_the_script_has_computed() {
    let example = example("departures", &["windowing"]);
    let [departures, delays, late] = ["departures", "delays", "too-late"].map(|name| kafka::topic(name, 1));
    let recorded = fs::read_to_string(example.path().join("departures.jsonl")).unwrap();
    let records: Vec<_> = recorded.lines().map(|line| ("", line)).collect();
    kafka::produce(&departures, 0, &records);
    let pipeline = fs::read_to_string(example.path().join("kafka.toml")).unwrap();
    let pipeline = pipeline
        .replace("${SANGAM_KAFKA:-localhost:9092}", &kafka::bootstrap())
        .replace("name = \"departures\"", &format!("name = \"{departures}\""))
        .replace("[streams.departures]", &format!("[streams.departures]\ntopic = \"{departures}\""))
        .replace("[streams.delays]", &format!("[streams.delays]\ntopic = \"{delays}\""))
        .replace("[streams.too-late]", &format!("[streams.too-late]\ntopic = \"{late}\""));
    fs::write(example.path().join("pipeline.toml"), pipeline).unwrap();

    let ran = run(example.path(), &["run", "pipeline.toml"], "");
    assert!(ran.ok, "{}", ran.err);
    let values = kafka::committed(&delays).into_iter().map(|seen| String::from_utf8(seen.value.unwrap()).unwrap());
    let got = lines(&values.collect::<Vec<_>>().join("\n"));
    let expected = lines(&fs::read_to_string(folder("examples/departures/expected/windows.jsonl")).unwrap());
    assert_eq!(expected.len(), 17_372);
    assert_eq!(got.symmetric_difference(&expected).take(3).collect::<Vec<_>>(), Vec::<&String>::new());
    // Late ones come as they were written, and nothing else is late.
    let late = kafka::committed(&late);
    assert_eq!(late.len(), 124);
    assert!(late.iter().all(|seen| records.iter().any(|(_, line)| Some(line.as_bytes()) == seen.value.as_deref())));
}

#[test]
fn every_plugin_gives_what_its_fixtures_expect() {
    for fixtures in ["windowing", "fraud-rules", "fraud-rules/presets/upi", "fraud-rules/presets/paytm", "order-analytics"] {
        let plugin = fixtures.split('/').next().unwrap();
        let ran = run(&folder("plugins").join(fixtures), &["test", "--plugin", &guest(plugin)], "");
        assert!(ran.ok, "{fixtures}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn the_page_of_a_plugin_names_every_option_that_it_has() {
    for plugin in ["windowing", "fraud-rules", "order-analytics"] {
        let page = fs::read_to_string(folder("docs/plugins").join(format!("{plugin}.md"))).unwrap();
        let said = run(&folder("docs"), &["inspect", "--json", &guest(plugin)], "");
        assert!(said.ok, "{}", said.err);
        let inspected: Value = serde_json::from_str(&said.out).unwrap();
        let options = inspected["manifest"]["config"].as_array().unwrap();
        assert!(!options.is_empty());
        let rows = options.iter().map(|option| format!("| `{}` |", option["name"].as_str().unwrap()));
        assert_eq!(rows.filter(|row| !page.contains(row)).collect::<Vec<_>>(), Vec::<String>::new(), "docs/plugins/{plugin}.md");
    }
}
