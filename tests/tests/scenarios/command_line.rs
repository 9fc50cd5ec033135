//! The program as a user meets it: what it prints, what it refuses, what it leaves behind.

use sangam_tests::program::{Ran, guest, json_lines, run};
use serde_json::{Value, json};
use std::fs;

const WORDS: &str = "{\"text\":\"to\",\"at\":1}\n{\"text\":\"be\",\"at\":2}\n{\"text\":\"to\",\"at\":3}\n";

fn exec(args: &[&str], input: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let count = guest("count");
    run(folder.path(), &[&["exec", &count], args].concat(), input)
}

#[test]
fn exec_writes_plain_values() {
    let ran = exec(&[], WORDS);
    assert_eq!(json_lines(&ran.out), [json!({"text":"to","seen":1}), json!({"text":"be","seen":1}), json!({"text":"to","seen":2})]);
    assert_eq!(ran.err, "");
}

#[test]
fn an_envelope_shows_where_an_output_went_and_what_was_refused() {
    let ran = exec(&["--envelope", "--timestamp", "at"], "{\"text\":\"to\",\"at\":7}\n{\"at\":8}\nno json\n{\"text\":5,\"at\":9}\n");
    assert_eq!(
        json_lines(&ran.out),
        [
            json!({"port":"out","key":"to","timestamp":7,"value":{"text":"to","seen":1}}),
            json!({"port":"dead-letter","key":null,"timestamp":8,"error":"the field `text` is missing","value":{"at":8}}),
            json!({"port":"dead-letter","key":null,"timestamp":null,"error":"the value is not JSON: expected ident at line 1 column 2","value":"no json"}),
            json!({"port":"dead-letter","key":null,"timestamp":9,"error":"field `text`: expected a string, found an integer","value":{"text":5,"at":9}}),
        ]
    );
}

#[test]
fn the_figures_add_up() {
    let ran = exec(&["--stats", "json"], &format!("{WORDS}{{}}\n"));
    let stats: Value = serde_json::from_str(&ran.err).unwrap();
    let figure = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!((figure("events_in"), figure("events_out"), figure("dead_letters"), figure("late"), figure("dropped")), (4, 3, 1, 0, 0));
    assert!(figure("guest_memory_bytes") > 0 && stats["seconds"].as_f64().unwrap() > 0.0 && stats["cpu_seconds"].is_number(), "{stats}");
}

#[test]
fn the_size_of_batches_cannot_be_seen_in_the_output() {
    let input: String =
        (0..500).map(|i| if i % 7 == 0 { "{}\n".to_owned() } else { format!("{{\"text\":\"w{}\",\"at\":{i}}}\n", i % 13) }).collect();
    let whole = exec(&["--envelope", "--timestamp", "at"], &input);
    for batch in ["1", "3", "64"] {
        assert_eq!(exec(&["--envelope", "--timestamp", "at", "--batch", batch], &input).out, whole.out, "batches of {batch}");
    }
}

#[test]
fn framed_messagepack_goes_in_and_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |value: &Value| {
        let bytes = rmp_serde::to_vec_named(value).unwrap();
        [(bytes.len() as u32).to_le_bytes().to_vec(), bytes].concat()
    };
    fs::write(folder.path().join("in.mp"), [frame(&json!({"text":"a"})), frame(&json!({"text":"a"}))].concat()).unwrap();
    let count = guest("count");
    let ran = run(folder.path(), &["exec", &count, "--input", "in.mp", "--input-format", "framed-msgpack", "--output", "out.mp"], "");
    assert!(ran.ok, "{}", ran.err);
    let out = fs::read(folder.path().join("out.mp")).unwrap();
    let mut values = Vec::new();
    let mut rest = out.as_slice();
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let (value, tail) = tail.split_at(u32::from_le_bytes(head.try_into().unwrap()) as usize);
        values.push(rmp_serde::from_slice::<Value>(value).unwrap());
        rest = tail;
    }
    assert_eq!(values, [json!({"text":"a","seen":1}), json!({"text":"a","seen":2})]);
}

#[test]
fn windows_that_still_wait_fire_at_the_end_unless_told_not_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("c.toml"),
        "window = { type = \"tumbling\", size = \"1m\" }\naggregate = [{ fn = \"count\" }, { fn = \"sum\", field = \"n\" }]\n",
    )
    .unwrap();
    let windowing = guest("windowing");
    let args = ["exec", windowing.as_str(), "--key", "k", "--timestamp", "t", "--config", "c.toml"];
    let input = "{\"k\":\"a\",\"t\":1000,\"n\":2}\n{\"k\":\"a\",\"t\":59999,\"n\":3}\n";
    let drained = run(folder.path(), &args, input);
    assert_eq!(json_lines(&drained.out), [json!({"key":"a","window_start":0,"window_end":60000,"count":2,"sum_n":5})], "{}", drained.err);
    assert_eq!(run(folder.path(), &[&args[..], &["--no-drain"]].concat(), input).out, "");
}

#[test]
fn a_setting_that_the_plugin_does_not_know_is_refused_with_the_names_that_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let windowing = guest("windowing");
    let ran = run(folder.path(), &["exec", &windowing, "--key", "k", "--set", "windw=1"], "");
    assert!(!ran.ok);
    assert!(ran.err.contains("windw") && ran.err.contains("window"), "{}", ran.err);
}

#[test]
fn a_setting_that_the_plugin_refuses_is_shown_at_its_line_of_the_pipeline_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::copy(guest("windowing"), folder.path().join("plugins/windowing.wasm")).unwrap();
    let pipeline = r#"
[streams.sales]
file = "sales.jsonl"
format = "json"
[streams.hours]
file = "hours.jsonl"
format = "json"
[operators.windowing]
input = "sales"
output = "hours"
key = ["shop"]
[operators.windowing.config]
aggregate = [{ fn = "count" }]
window = { type = "tumbling", size = "an hour" }
"#;
    fs::write(folder.path().join("pipeline.toml"), pipeline).unwrap();
    for command in ["validate", "run"] {
        let ran = run(folder.path(), &[command, "pipeline.toml"], "");
        assert!(!ran.ok);
        assert!(ran.err.contains("pipeline.toml:14:"), "{}", ran.err);
        assert!(ran.err.contains("14 | window = { type"), "{}", ran.err);
    }
}

#[test]
fn a_file_that_is_no_plugin_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.wasm"), "not wasm").unwrap();
    let ran = run(folder.path(), &["exec", "x.wasm"], "");
    assert!(!ran.ok && ran.err.contains("x.wasm"), "{}", ran.err);
    let ran = run(folder.path(), &["exec", "nowhere.wasm"], "");
    assert!(!ran.ok && ran.err.contains("nowhere.wasm"), "{}", ran.err);
}

#[test]
fn inspect_tells_what_a_plugin_is() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["inspect", &guest("count"), "--json"], "");
    let view: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(view["manifest"]["name"], "count");
    assert_eq!(view["manifest"]["key"], json!(["text"]));
    assert_eq!(view["manifest"]["outputs"], json!(["out"]));
}

#[test]
fn a_new_plugin_builds_passes_its_fixtures_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), &["new", "hello"], "");
    assert!(made.ok, "{}", made.err);
    let plugin = folder.path().join("hello");
    let built = run(&plugin, &["build"], "");
    assert!(built.ok, "{}", built.err);
    let tested = run(&plugin, &["test", "--plugin", "plugins/hello.wasm"], "");
    assert!(tested.ok, "{}{}", tested.out, tested.err);
    let valid = run(&plugin, &["validate", "pipeline.toml"], "");
    assert!(valid.ok, "{}", valid.err);
    let ran = run(&plugin, &["run", "pipeline.toml"], "");
    assert!(ran.ok && ran.out.contains("{\"text\":\"to\",\"seen\":2}"), "{}{}", ran.out, ran.err);
}

#[test]
fn the_summary_of_a_run_says_how_many_keys_are_held() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::copy(guest("count"), folder.path().join("plugins/count.wasm")).unwrap();
    fs::write(folder.path().join("words.jsonl"), WORDS).unwrap();
    let pipeline = "[streams.words]\nfile = \"words.jsonl\"\n[streams.out]\n[operators.count]\ninput = \"words\"\noutput = \"out\"";
    fs::write(folder.path().join("pipeline.toml"), pipeline).unwrap();
    let ran = run(folder.path(), &["run", "pipeline.toml"], "");
    let row = ran.out.lines().find(|line| line.starts_with("count ")).unwrap();
    let figures: Vec<&str> = row.split_whitespace().rev().collect();
    assert_eq!(figures[1..3], ["2", "3"], "keys and outputs: {}", ran.out);
}

#[test]
fn paths_start_at_the_folder_of_the_pipeline_file_wherever_the_program_is_called_from() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sub/plugins")).unwrap();
    fs::copy(guest("count"), folder.path().join("sub/plugins/count.wasm")).unwrap();
    fs::write(folder.path().join("sub/words.jsonl"), WORDS).unwrap();
    let pipeline = "[streams.words]\nfile = \"words.jsonl\"\n[streams.out]\nfile = \"out.jsonl\"\n[operators.count]\ninput = \"words\"\noutput = \"out\"";
    fs::write(folder.path().join("sub/pipeline.toml"), pipeline).unwrap();
    let ran = run(folder.path(), &["run", "sub/pipeline.toml"], "");
    assert!(ran.ok, "{}", ran.err);
    assert_eq!(json_lines(&fs::read_to_string(folder.path().join("sub/out.jsonl")).unwrap()).len(), 3);
    assert!(folder.path().join("sub/data/pipeline").is_dir());
}
