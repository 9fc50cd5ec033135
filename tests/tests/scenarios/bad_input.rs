//! Whatever comes in, and whatever is missing around it: a clear sentence, nothing lost, and the good goes on.

use sangam::broker::OutRecord;
use sangam::config::Pipeline;
use sangam::pipeline::RunOptions;
use sangam::store::DiskStore;
use sangam_tests::guests::wasm;
use sangam_tests::spy::{Fault, SpyStore};
use sangam_tests::world::{Ended, World, eventually};
use serde_json::{Value, json};
use std::sync::Arc;

const COUNT: &str = r#"
    [streams.words]
    [streams.out]
    [operators.count]
    input = "words"
    output = "out"
"#;

fn world(toml: &str) -> World {
    World::new(toml).plugin("count", &wasm("count")).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

#[test]
fn an_event_that_cannot_be_read_is_set_aside_whole_and_the_next_one_is_processed() {
    let msgpack = |value: Value| Some(rmp_serde::to_vec_named(&value).unwrap());
    let large = vec![b'x'; 20 << 20];
    let cases: Vec<(&str, Option<Vec<u8>>, &str)> = vec![
        ("no key", msgpack(json!({"at": 5})), "the field `text` is missing"),
        ("a null key", msgpack(json!({"text": null, "at": 5})), "the field `text` is missing"),
        ("a key that is a list", msgpack(json!({"text": ["a"], "at": 5})), "the key field `text`"),
        ("no timestamp", msgpack(json!({"text": "a"})), "the timestamp field `at` is missing"),
        ("a time before 1970", msgpack(json!({"text": "a", "at": -1})), "the timestamp field `at` is -1, before 1970"),
        ("the year 9999", msgpack(json!({"text": "a", "at": 253_370_764_800_000_i64})), "in the year 9999 or later"),
        ("microseconds", msgpack(json!({"text": "a", "at": 1_700_000_000_000_000_i64})), "is the unit right?"),
        ("a text for a time", msgpack(json!({"text": "a", "at": "noon"})), "the timestamp field `at` is not a time"),
        ("not MessagePack", Some(b"\xc1\xc1".to_vec()), "the value is a reserved byte"),
        ("cut short", Some(b"\x82\xa4text\xa1a\xa2at".to_vec()), "cut short"),
        ("JSON", Some(br#"{"text":"a","at":5}"#.to_vec()), "MessagePack"),
        ("nothing", Some(Vec::new()), "MessagePack"),
        ("a tombstone", None, ""),
        ("20 MB", Some(large), "20971520 bytes, more than the stream's `max_event` of 16777216"),
    ];
    let world = world(&COUNT.replace("[streams.words]", "[streams.words]\ntimestamp = \"at\""));
    let good = rmp_serde::to_vec_named(&json!({"text": "good", "at": 7})).unwrap();
    for (_, value, _) in &cases {
        let record = |value| OutRecord { topic: "words", partition: 0, key: Some(b"key"), value, headers: &[], time: 3 };
        world.write(&[record(value.as_deref()), record(Some(&good))]);
    }
    let bad = cases.len() as u64;
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 2 * bad, ok: bad, dead: bad, ..Ended::default() });
    assert_eq!(world.values("out").last(), Some(&json!({"text": "good", "seen": bad})));
    let letters = world.read("dead-letters");
    for ((i, (what, value, expected)), letter) in cases.iter().enumerate().zip(&letters) {
        let error = letter.header("sangam.error");
        assert!(error.contains(expected) && !error.is_empty(), "{what}: {error}");
        assert_eq!(
            (letter.header("sangam.error.kind"), letter.header("sangam.offset")),
            ("unreadable".into(), (2 * i).to_string()),
            "{what}"
        );
        assert!(letter.value == *value && letter.key.as_deref() == Some(b"key"), "{what}: as it came");
    }
}

#[test]
fn an_event_that_is_not_json_where_json_is_expected_says_so() {
    let world = world(&COUNT.replace("[streams.words]", "[streams.words]\nformat = \"json\""));
    let texts = [r#"{"text": "a"}"#, r#"{"text": "a""#, "[1]", "\u{feff}", r#"{"text": {}}"#, r#"{"text": "a"}"#];
    for text in texts {
        world.write(&[OutRecord { topic: "words", partition: 0, key: None, value: Some(text.as_bytes()), headers: &[], time: 0 }]);
    }
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 6, ok: 2, dead: 4, ..Ended::default() });
    let errors: Vec<_> = world.read("dead-letters").iter().map(|letter| letter.header("sangam.error")).collect();
    for (error, expected) in errors.iter().zip(["not JSON: EOF", "not a JSON object", "not JSON", "the key field `text`"]) {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_pipeline_file_that_cannot_work_is_refused_with_what_to_write_instead() {
    let check = |what: &str, toml: String, expected: &[&str]| {
        let why = Pipeline::parse(&toml, "test.toml", &|_| None).unwrap_err().to_string();
        for expected in expected {
            assert!(why.contains(expected), "{what}: no `{expected}` in\n{why}");
        }
    };
    check(
        "two operators of one name",
        format!("{COUNT}\n[operators.count]\ninput = \"words\""),
        &["test.toml:8:12", "`count` stands here a second time"],
    );
    check("an unknown key", COUNT.replace("input =", "inptu ="), &["test.toml:5", "inptu", "input"]);
    let circle = "[streams.a]\n[streams.b]\n[operators.x]\ninput = \"a\"\noutput = \"b\"\n[operators.y]\ninput = \"b\"\noutput = \"a\"";
    check("a circle", circle.to_owned(), &["test.toml:3:12", "a cycle: `x`"]);
}

#[test]
fn a_pipeline_that_does_not_fit_its_plugins_or_topics_is_refused_with_what_to_do() {
    let check = |what: &str, world: World, expected: &[&str]| {
        let why = world.supervisor(RunOptions::default(), false).err().unwrap_or_else(|| panic!("{what}: it is taken")).to_string();
        for expected in expected {
            assert!(why.contains(expected), "{what}: no `{expected}` in\n{why}");
        }
    };
    let sink =
        "[streams.orders]\n[streams.done]\n[operators.kitchen-sink]\ninput = \"orders\"\noutputs = { done = \"done\", placed = \"done\" }";
    check(
        "a port that leads nowhere",
        world(sink),
        &["`kitchen-sink`", "`passed` is bound to nothing", "outputs = { passed", "discard = [\"passed\"]"],
    );
    let discards = format!("{sink}\ndiscard = [\"past\"]");
    check("a port to discard that is not there", world(&discards), &["no port `past`", "`passed` is bound to nothing"]);
    check(
        "a port that is not there",
        world(&COUNT.replace("output = \"out\"", "outputs = { tally = \"out\" }")),
        &["no port `tally`", "out"],
    );
    let missing = COUNT.replace("[streams.words]", "[streams.words]\ncreate = false");
    check("no topic", world(&missing), &["stream `words`", "the topic `words` does not exist", "create = true"]);
    check("no plugin", World::new(COUNT), &["operator `count`", "count.wasm", "sangam build"]);
    check("no plugin, but another", World::new(COUNT).plugin("cuont", &wasm("count")), &["cuont"]);
    check("no folder", World::new(&format!("plugins = \"elsewhere\"\n{COUNT}")), &["the plugin folder", "elsewhere is not there"]);
    check("garbage", World::new(COUNT).plugin("count", b"\x7fELF"), &["count.wasm: "]);
    let config = "\nconfig = { delay = \"soon\" }";
    let whole = sink.replace("placed =", "passed = \"done\", placed =");
    check("a configuration that the plugin refuses", world(&format!("{whole}{config}")), &["`kitchen-sink`", "delay"]);
    // What is there may be used without leave to make it.
    assert!(world(&missing).topic("words", 2).supervisor(RunOptions::default(), false).is_ok());
}

#[test]
fn what_leaves_by_a_port_that_nobody_needs_is_dropped_and_the_other_ports_go_on() {
    let sink = "[streams.orders]\n[streams.done]\n[operators.kitchen-sink]\ninput = \"orders\"\noutputs = { done = \"done\" }\n\
                discard = [\"passed\", \"placed\"]";
    let world = world(sink);
    let order = |act: &str| json!({"key": "k", "act": act, "with": {"number": 1, "text": "t"}});
    world.send("orders", 0, &[(1, order("forward")), (2, order("both")), (3, order("place")), (4, order("count"))]);
    let ended = world.drain().unwrap()["kitchen-sink"];
    assert_eq!(ended, Ended { events: 4, ok: 4, ..Ended::default() });
    let acts: Vec<Value> = world.values("done").iter().map(|done| done["act"].clone()).collect();
    assert_eq!(acts, ["both", "count"]);
}

#[test]
fn a_disk_that_takes_no_more_stops_the_pipeline_and_costs_nothing() {
    let faults = [(Fault::Full, "no space left"), (Fault::ReadOnly, "not mounted read-only"), (Fault::Denied, "permission denied")];
    for (fault, expected) in faults {
        let store = Arc::new(SpyStore::default());
        let world = World::over(COUNT, store.clone(), Arc::new(tempfile::tempdir().unwrap())).plugin("count", &wasm("count"));
        let say = |n: i64| world.send("words", 0, &[(n, json!({"text": "a"}))]);
        say(0);
        let running = world.start();
        eventually("the first is counted", || (world.read("out").len() == 1).then_some(()));
        say(1);
        store.fail(Some(fault));
        force_a_commit(&world);
        let why = running.outcome().unwrap_err().to_string();
        assert!(why.contains(expected), "{fault:?}: {why}");
        store.fail(None);
        say(2);
        world.drain().unwrap();
        let seen: Vec<_> = world.values("out").iter().map(|tally| tally["seen"].clone()).collect();
        assert_eq!(seen, [1, 2, 3], "{fault:?}");
    }
}

/// Whether or not the last event was counted in time: a new build is put in at a commit.
fn force_a_commit(world: &World) {
    let file = world.plugins().join("count.wasm");
    std::fs::write(file, sangam_tests::guests::rebuilt(&wasm("count"), 1)).unwrap();
}

#[test]
fn a_data_folder_that_another_process_uses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/count.wasm"), wasm("count")).unwrap();
    std::fs::write(folder.path().join("words.toml"), format!("data = \"data\"\n{COUNT}")).unwrap();
    let _other = DiskStore::open(&folder.path().join("data")).unwrap();
    let why = run(folder.path().join("words.toml"));
    assert!(why.contains("is in use by another process; stop it, or give this pipeline a data folder of its own"), "{why}");
}

#[test]
fn a_broker_that_is_not_there_is_named_with_its_address() {
    // Bound and let go: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/count.wasm"), wasm("count")).unwrap();
    let clusters = format!("[clusters.main]\nkind = \"kafka\"\nbrokers = \"127.0.0.1:{port}\"\n");
    let toml = format!("{clusters}{}", COUNT.replace("[streams.words]", "[streams.words]\ncluster = \"main\""));
    std::fs::write(folder.path().join("words.toml"), toml).unwrap();
    let why = run(folder.path().join("words.toml"));
    assert!(why.contains("stream `words`") && why.contains(&format!("127.0.0.1:{port}")), "{why}");
}

/// What `sangam run` says of a pipeline that it does not run.
fn run(pipeline: std::path::PathBuf) -> String {
    let command = sangam::cli::run::Run { pipeline, drain: true, no_screen: true };
    format!("{:#}", sangam::cli::run::run(&command).unwrap_err())
}
