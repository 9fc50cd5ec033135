//! Dead letters that one can work with: listed, shown, exported, tried with a mended build, and sent back, each event once.

use sangam::broker::OutRecord;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{self, bootstrap, produce, topic, unique};
use sangam_tests::orders::order;
use sangam_tests::place::Place;
use sangam_tests::program::{self, json_lines};
use sangam_tests::words::{COUNT, counting, process, tally, word};
use sangam_tests::world::eventually;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

fn words() -> String {
    format!("data = \"data\"\nworkers = 1\n{COUNT}")
}

/// The words of `tallies`, with what was counted.
fn tallies(place: &Place) -> Vec<(String, u64)> {
    let mut all: Vec<_> = place.world().values("tallies").iter().map(tally).collect();
    all.sort();
    all
}

/// Two words that the build cannot take, one of them with a key, a header and bytes that are no text.
fn broken() -> Place {
    let place = Place::new(&words(), &[("count", "count-broken")]);
    let world = place.world();
    world.send("words", 0, &[(5, word("a")), (6, word("b!")), (7, word("a"))]);
    let value = rmp_serde::to_vec_named(&word("c!")).unwrap();
    let (key, headers) = (Some(&b"\xff\x00key"[..]), &b"\x81\xa5trace\xc4\x02id"[..]);
    world.write(&[OutRecord { topic: "words", partition: 1, key, value: Some(&value), headers, time: 8 }]);
    drop(world);
    place.drain();
    place
}

/// The one letter of partition 1 of `words`.
fn letter_of_c(place: &Place) -> String {
    let all = json_lines(&place.said(&["dlq", "list", "p.toml", "--json"]));
    all.iter().find(|letter| letter["origin"]["partition"] == 1).unwrap()["letter"].as_str().unwrap().to_owned()
}

#[test]
fn dead_letters_are_listed_shown_and_exported_with_all_that_they_carry() {
    let place = broken();
    let listed = json_lines(&place.said(&["dlq", "list", "p.toml", "--json"]));
    assert_eq!(listed.len(), 2);
    let b = listed.iter().find(|letter| letter["origin"]["partition"] == 0).unwrap();
    assert_eq!(b["origin"], json!({"stream": "words", "partition": 0, "offset": 1}));
    let told = ["operator", "kind", "input", "attempts", "time_ms", "replayed_ms", "timer"].map(|name| b[name].clone());
    assert_eq!(told, [json!("count"), json!("trap"), json!("words"), json!(1), json!(6), Value::Null, Value::Null]);
    assert!(b["error"].as_str().unwrap().contains("`b!` is no word"), "{b}");
    assert!(b["backtrace"].as_array().unwrap().iter().any(|frame| frame.as_str().unwrap().contains("check_spelling")), "{b}");
    let table = place.said(&["dlq", "list", "p.toml"]);
    assert!(
        table.starts_with("letter ") && table.contains("`c!` is no word") && table.ends_with("2 dead letters, 2 not replayed\n"),
        "{table}"
    );
    for nobody in [&["--kind", "reject"][..], &["--operator", "count", "--kind", "late"]] {
        assert_eq!(place.said(&[&["dlq", "list", "p.toml"], nobody].concat()), "0 dead letters, 0 not replayed\n");
    }
    let limited = place.said(&["dlq", "list", "p.toml", "--limit", "1"]);
    assert!(limited.ends_with("2 dead letters (1 not shown; `--limit 0` shows all), 2 not replayed\n"), "{limited}");

    let c = letter_of_c(&place);
    let page = place.said(&["dlq", "show", "p.toml", &c]);
    for part in
        ["words/1 at offset 0", "check_spelling", "ff006b6579", "trace = id", "{\"text\":\"c!\"} (9 bytes of MessagePack)", "attempt 1"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let export = json_lines(&place.said(&["dlq", "export", "p.toml"]));
    let c = export.iter().find(|letter| letter["letter"] == c.as_str()).unwrap();
    assert_eq!((&c["key"], &c["headers"]), (&json!({"base64": "/wBrZXk="}), &json!([{"name": "trace", "text": "id"}])));
    assert_eq!(c["value"]["base64"], "gaR0ZXh0omMh");
    let written = place.said(&["dlq", "export", "p.toml", "--output", "letters.jsonl"]);
    assert_eq!(
        (written, json_lines(&std::fs::read_to_string(place.folder.path().join("letters.jsonl")).unwrap())),
        (String::new(), export)
    );
}

#[test]
fn dead_letters_in_a_file_are_lines_of_its_format_whatever_the_stream_that_they_were_in() {
    let folder = tempfile::tempdir().unwrap();
    let toml = r#"
        [streams.words]
        file = "words.jsonl"
        timestamp = "at"
        [streams.tallies]
        file = "-"
        [streams.refused]
        file = "refused.jsonl"
        [operators.count]
        input = "words"
        output = "counted"
        [operators.again]
        plugin = "count-broken"
        input = "counted"
        output = "tallies"
        dead_letters = "refused"
    "#;
    std::fs::write(folder.path().join("p.toml"), toml).unwrap();
    // Counted, they are MessagePack in memory. There a ten is the byte of a line end.
    let words: String = (0..11).map(|at| format!("{}\n", json!({ "text": "b!", "at": at }))).collect();
    std::fs::write(folder.path().join("words.jsonl"), words).unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    for plugin in ["count", "count-broken"] {
        std::fs::copy(program::guest(plugin), folder.path().join(format!("plugins/{plugin}.wasm"))).unwrap();
    }
    let ran = program::run(folder.path(), &["run", "p.toml"], "");
    assert!(ran.ok, "{}", ran.err);
    let refused = json_lines(&std::fs::read_to_string(folder.path().join("refused.jsonl")).unwrap());
    let expected: Vec<_> = (1..=11).map(|seen| json!({ "text": "b!", "seen": seen })).collect();
    assert_eq!(refused, expected);
}

#[test]
fn a_mended_build_is_tried_first_and_what_it_takes_comes_out_once() {
    let place = broken();
    let broken = place.said(&["dlq", "replay", "p.toml", "--with", "plugins/count.wasm"]);
    assert!(broken.contains("still fails: trap: ") && broken.ends_with("0 replayed, 2 not taken by the build\n"), "{broken}");
    let mended = program::guest("count");
    let dry = place.said(&["dlq", "replay", "p.toml", "--with", &mended, "--dry-run"]);
    assert!(dry.contains("would go to words/1") && dry.ends_with("2 would be replayed\n"), "{dry}");
    let replayed = place.sangam(&["dlq", "replay", "p.toml", "--with", &mended]);
    assert!(replayed.ok && replayed.out.contains("replayed to words/0") && replayed.out.ends_with("2 replayed\n"), "{}", replayed.out);
    assert!(replayed.err.contains("plugins still holds another build for count"), "{}", replayed.err);
    place.plugin("count", "count");
    for _ in 0..2 {
        assert_eq!(place.said(&["dlq", "replay", "p.toml", "--with", &mended]), "0 replayed, 2 replayed before\n");
        place.drain();
    }
    assert_eq!(tallies(&place), [("a", 1), ("a", 2), ("b!", 1), ("c!", 1)].map(|(word, seen)| (word.to_owned(), seen)));
    let back = place.world().read("words").into_iter().find(|seen| seen.partition == 1 && seen.offset == 1).unwrap();
    assert_eq!((back.key.as_deref(), back.time, back.header("trace")), (Some(&b"\xff\x00key"[..]), 8, "id".to_owned()));
    assert_eq!(back.header("sangam.replay.attempt"), "2");
    assert!(back.headers.keys().all(|name| name == "trace" || name.starts_with("sangam.replay.")), "{:?}", back.headers);
    let listed = place.said(&["dlq", "list", "p.toml", "--pending"]);
    assert_eq!(listed, "0 dead letters, 0 not replayed\n");
}

#[test]
fn an_event_that_fails_again_is_another_letter_that_knows_how_often_it_was_tried() {
    let place = broken();
    let c = letter_of_c(&place);
    assert!(place.said(&["dlq", "replay", "p.toml", &c]).ends_with("1 replayed\n"));
    let again = place.said(&["dlq", "replay", "p.toml", &c]);
    assert!(again.contains(&format!("{c}  was replayed at ")) && again.ends_with("0 replayed, 1 replayed before\n"), "{again}");
    place.drain();
    let listed = json_lines(&place.said(&["dlq", "list", "p.toml", "--json", "--pending"]));
    let second = listed.iter().find(|letter| letter["attempts"] == 2).unwrap();
    assert_eq!((listed.len(), &second["replay_of"], &second["origin"]["offset"]), (2, &json!(c), &json!(1)));
    // The new letter is another event, and what has been replayed goes again only when one asks for it.
    assert!(place.said(&["dlq", "replay", "p.toml", second["letter"].as_str().unwrap()]).ends_with("1 replayed\n"));
    assert!(place.said(&["dlq", "replay", "p.toml", "--again", &c]).ends_with("1 replayed\n"));
    place.drain();
    let mut attempts: Vec<_> =
        json_lines(&place.said(&["dlq", "list", "p.toml", "--json"])).iter().map(|l| l["attempts"].as_u64().unwrap()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 2, 2, 3]);
}

#[test]
fn an_event_that_two_operators_refused_goes_back_once() {
    let two = words() + "[operators.second]\nplugin = \"count\"\ninput = \"words\"\noutput = \"tallies\"\n";
    let place = Place::new(&two, &[("count", "count-broken")]);
    place.world().send("words", 0, &[(5, word("b!"))]);
    place.drain();
    place.plugin("count", "count");
    let replayed = place.sangam(&["dlq", "replay", "p.toml"]);
    assert!(replayed.out.ends_with("1 replayed, 1 replayed before\n"), "{}", replayed.out);
    assert!(replayed.err.contains("`words` is read by count and second: each of them gets these events again"), "{}", replayed.err);
    assert_eq!(place.said(&["dlq", "replay", "p.toml", "--operator", "second"]), "0 replayed, 1 replayed before\n");
    place.drain();
    assert_eq!(tallies(&place), [("b!".to_owned(), 1), ("b!".to_owned(), 1)], "once from each");
}

#[test]
fn a_replay_that_is_killed_goes_on_where_it_was() {
    let place = Place::new(&words(), &[("count", "count-broken")]);
    let words: Vec<_> = (0..3_000).map(|n| (n, word(&format!("w{n}!")))).collect();
    place.world().send("words", 0, &words);
    place.drain();
    let mut child = place.start(&["dlq", "replay", "p.toml"]);
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(first.ends_with("replayed to words/0"), "{first}");
    child.kill().unwrap();
    child.wait().unwrap();
    let rest = place.said(&["dlq", "replay", "p.toml"]);
    assert!(!rest.ends_with("0 replayed, 3000 replayed before\n"), "it was killed before the end");
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    place.world().read("words").iter().for_each(|seen| *times.entry(seen.time).or_default() += 1);
    assert!(times.len() == 3_000 && times.values().all(|count| *count == 2), "each was sent once, and is back once");
}

#[test]
fn a_running_pipeline_has_its_dead_letters_to_itself() {
    let place = broken();
    let world = place.world();
    let running = world.start();
    let ran = place.sangam(&["dlq", "list", "p.toml"]);
    let said = ran.err;
    assert!(!ran.ok, "{}", ran.out);
    running.stop().unwrap();
    drop(world);
    assert!(said.contains("the pipeline is running") && said.contains("Stop it"), "{said}");
    assert!(place.said(&["dlq", "list", "p.toml"]).contains("2 dead letters"));
}

#[test]
fn an_event_goes_to_a_stream_of_another_format_in_the_format_of_that_stream() {
    for (from, to) in [("json", "msgpack"), ("json", "json"), ("framed-msgpack", "json")] {
        let toml = format!(
            r#"
            data = "data"
            [streams.words]
            file = "words.in"
            format = "{from}"
            [streams.again]
            format = "{to}"
            [streams.tallies]
            [operators.count]
            input = ["words", "again"]
            output = "tallies"
            "#
        );
        let place = Place::new(&toml, &[("count", "count-broken")]);
        let binary = rmp_serde::to_vec_named(&word("b!")).unwrap();
        let framed = [(binary.len() as u32).to_le_bytes().to_vec(), binary].concat();
        std::fs::write(place.folder.path().join("words.in"), if from == "json" { b"{\"text\":\"b!\"}\n".to_vec() } else { framed })
            .unwrap();
        place.drain();
        place.plugin("count", "count");
        let replayed = place.said(&["dlq", "replay", "p.toml", "--to", "again"]);
        assert!(replayed.ends_with("1 replayed\n"), "{replayed}");
        place.drain();
        assert_eq!(tallies(&place), [("b!".to_owned(), 1)], "from {from} to {to}");
    }
}

#[test]
fn what_cannot_go_back_says_why_and_where_else_it_could_go() {
    let chain = r#"
        data = "data"
        [streams.words]
        [streams.tallies]
        [streams.again]
        [operators.pass]
        plugin = "kitchen-sink"
        input = "words"
        outputs = { done = "tallies", passed = "between", placed = "tallies" }
        [operators.count]
        input = "between"
        output = "tallies"
        [operators.more]
        plugin = "count"
        input = "again"
        output = "tallies"
    "#;
    let place = Place::new(chain, &[("count", "count-broken"), ("kitchen-sink", "kitchen-sink")]);
    let forward = json!({"key": "k", "act": "forward", "text": "b!"});
    let wake = json!({"key": "k", "act": "wake", "with": {"number": 1, "text": "poison"}});
    place.world().send("words", 0, &[(1, forward), (2, wake), (9, json!({"key": "k", "act": "silent"}))]);
    place.drain();
    let replayed = place.said(&["dlq", "replay", "p.toml"]);
    assert!(replayed.contains("cannot be replayed: it is the timer `poison`"), "{replayed}");
    assert!(replayed.contains("`between` is no topic") && replayed.contains("name another with `--to STREAM`"), "{replayed}");
    assert!(replayed.ends_with("0 replayed, 2 cannot be replayed\n"), "{replayed}");
    place.plugin("count", "count");
    let replayed = place.said(&["dlq", "replay", "p.toml", "--operator", "count", "--to", "again"]);
    assert!(replayed.contains("replayed to again/0") && replayed.ends_with("1 replayed\n"), "{replayed}");
    place.drain();
    assert!(tallies_of(&place).contains(&json!({"text": "b!", "seen": 1})));

    let wrong = |args: &[&str]| {
        let ran = place.sangam(&[&["dlq"], args].concat());
        assert!(!ran.ok, "{args:?}: {}", ran.out);
        ran.err
    };
    assert!(wrong(&["replay", "p.toml", "--to", "nowhere"]).contains("`nowhere` is no stream of this pipeline"));
    assert!(wrong(&["replay", "p.toml", "dead-letters/0/77"]).contains("are not there"));
    assert!(wrong(&["replay", "p.toml", "77"]).contains("write STREAM/PARTITION/OFFSET"));
    assert!(wrong(&["show", "p.toml", "dead-letters/0/77"]).contains("`sangam dlq list` names those that there are"));
    assert!(wrong(&["list", "p.toml", "--stream", "words"]).contains("they go to dead-letters"));
    assert!(wrong(&["list", "p.toml", "--operator", "nobody"]).contains("there are pass, count, more"));
    let sink = program::guest("kitchen-sink");
    let misfit = wrong(&["replay", "p.toml", "--operator", "count", "--with", &sink]);
    assert!(misfit.contains("cannot take over from the build of `count`"), "{misfit}");
}

fn tallies_of(place: &Place) -> Vec<Value> {
    place.world().values("tallies")
}

#[test]
fn a_pipeline_that_has_not_run_has_no_dead_letters_and_says_so() {
    let place = Place::new(&words(), &[("count", "count")]);
    let ran = place.sangam(&["dlq", "list", "p.toml"]);
    assert!(!ran.ok && ran.err.contains("the pipeline has not run yet"), "{}", ran.err);
    assert!(!place.folder.path().join("data").exists(), "a look makes nothing");
}

#[test]
fn the_state_that_the_key_has_counts_when_a_build_is_tried() {
    // What it answers grows with what it has stored: 900 answers of some 50 bytes, or of some 150 with a hundred items each.
    let sink = r#"
        data = "data"
        [streams.orders]
        [streams.done]
        [operators.sink]
        plugin = "kitchen-sink"
        input = "orders"
        outputs = { done = "done", passed = "done", placed = "done" }
    "#;
    let place = Place::new(sink, &[("kitchen-sink", "kitchen-sink")]);
    let order = |act: &str, number: i64| order("k", act, number, "item");
    let items = (0..100).map(|n| (n, order("list_push", n)));
    place.world().send("orders", 0, &items.chain([(200, order("flood", 900))]).collect::<Vec<_>>());
    let toml = format!("name = \"test\"\n{sink}        limits = {{ output = \"4KiB\" }}\n");
    std::fs::write(place.folder.path().join("p.toml"), &toml).unwrap();
    place.drain();
    let mended = program::guest("kitchen-sink");
    let still = place.said(&["dlq", "replay", "p.toml", "--with", &mended]);
    assert!(still.contains("still fails: limit: "), "{still}");
    // Without the state of the key they would fit.
    std::fs::write(place.folder.path().join("p.toml"), toml.replace("4KiB", "100KiB")).unwrap();
    let still = place.said(&["dlq", "replay", "p.toml", "--with", &mended]);
    assert!(still.contains("still fails: limit: "), "{still}");
    std::fs::write(place.folder.path().join("p.toml"), toml.replace("4KiB", "64MiB")).unwrap();
    assert!(place.said(&["dlq", "replay", "p.toml", "--with", &mended]).ends_with("1 replayed\n"));
}

/// A pipeline with everything at Kafka, its dead letters too.
fn at_kafka(words: &str, tallies: &str, refused: &str) -> String {
    let refused = format!("[streams.refused]\ncluster = \"main\"\ntopic = \"{refused}\"\n");
    format!("dead_letters = \"refused\"\n{}{refused}", counting(&bootstrap(), words, tallies, ""))
}

/// A folder for the program, with the same pipeline under a name of its own, as the name is also the ledger's.
fn beside(toml: &str) -> Place {
    let place = Place::new("", &[("count", "count-broken")]);
    std::fs::write(place.folder.path().join("p.toml"), format!("name = \"{}\"\n{toml}", unique("dlq"))).unwrap();
    place
}

#[test]
fn dead_letters_at_kafka_are_replayed_once_while_the_pipeline_runs() {
    let (words, tallies, refused) = (topic("words", 2), topic("tallies", 1), topic("refused", 2));
    let toml = at_kafka(&words, &tallies, &refused);
    let place = beside(&toml);
    let world = process(&unique("counting"), &toml).plugin("count", &wasm("count-broken"));
    let running = world.start();
    produce(&words, 1, &[("k", r#"{"text": "a"}"#), ("k", r#"{"text": "b!"}"#), ("k", "no json")]);
    kafka::consume(&refused, 2);
    let listed = place.said(&["dlq", "list", "p.toml"]);
    assert!(listed.ends_with("2 dead letters, 2 not replayed\n"), "{listed}");
    std::fs::write(world.plugins().join("count.wasm"), wasm("count")).unwrap();
    eventually("the mended build runs", || (running.metrics.reloads.get() == 1).then_some(()));

    let mended = program::guest("count");
    let replayed = place.sangam(&["dlq", "replay", "p.toml", "--with", &mended]);
    assert!(replayed.out.contains("replayed to words/1"), "{}{}", replayed.out, replayed.err);
    assert!(
        replayed.out.contains("still fails: unreadable: ") && replayed.out.ends_with("1 replayed, 1 not taken by the build\n"),
        "{}",
        replayed.out
    );
    assert!(replayed.err.contains("without the state of the keys"), "{}", replayed.err);
    let again = place.said(&["dlq", "replay", "p.toml", "--with", &mended]);
    assert!(again.ends_with("0 replayed, 1 replayed before, 1 not taken by the build\n"), "{again}");
    let listed = place.said(&["dlq", "list", "p.toml", "--pending"]);
    assert!(listed.ends_with("1 dead letters, 1 not replayed\n"), "{listed}");
    let seen = kafka::consume(&tallies, 2);
    let texts: Vec<Value> = seen.iter().map(|seen| serde_json::from_slice(seen.value.as_deref().unwrap()).unwrap()).collect();
    assert_eq!(texts, [json!({"text": "a", "seen": 1}), json!({"text": "b!", "seen": 1})]);
    running.stop().unwrap();
}

#[test]
fn a_replay_into_kafka_that_is_killed_goes_on_where_it_was() {
    const EVENTS: usize = 1_500;
    let (words, tallies, refused) = (topic("words", 2), topic("tallies", 1), topic("refused", 1));
    let toml = at_kafka(&words, &tallies, &refused);
    let texts: Vec<String> = (0..EVENTS).map(|n| format!("{{\"text\": \"w{n}!\"}}")).collect();
    produce(&words, 0, &texts.iter().map(|text| ("k", text.as_str())).collect::<Vec<_>>());
    let world = process(&unique("counting"), &toml).plugin("count", &wasm("count-broken"));
    assert_eq!(world.drain().unwrap()["count"].dead, EVENTS as u64);
    let place = beside(&toml);
    let mut child = place.start(&["dlq", "replay", "p.toml"]);
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(first.ends_with("replayed to words/0"), "{first}");
    child.kill().unwrap();
    child.wait().unwrap();
    let rest = place.said(&["dlq", "replay", "p.toml"]);
    assert!(rest.contains(" replayed, ") && !rest.ends_with("0 replayed, 1500 replayed before\n"), "it was killed before the end");
    assert_eq!(place.said(&["dlq", "replay", "p.toml"]), "0 replayed, 1500 replayed before\n");
    let mut times: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    kafka::consume(&words, 2 * EVENTS).into_iter().for_each(|seen| *times.entry(seen.value.unwrap()).or_default() += 1);
    assert!(times.len() == EVENTS && times.values().all(|count| *count == 2), "each was sent once, and is back once");
}

#[test]
fn dead_letters_can_be_looked_at_while_the_cluster_that_they_go_back_to_is_down() {
    let toml = r#"
        data = "data"
        dead_letters = "refused"
        [clusters.main]
        kind = "kafka"
        brokers = "127.0.0.1:1"
        [streams.words]
        cluster = "main"
        [streams.tallies]
        [streams.refused]
        [operators.count]
        input = "words"
        output = "tallies"
    "#;
    let place = Place::new(toml, &[("count", "count")]);
    let mut headers = vec![0x83];
    for (name, value) in [("sangam.input", "words"), ("sangam.operator", "count"), ("sangam.error", "boom")] {
        headers.push(0xa0 | name.len() as u8);
        headers.extend(name.bytes());
        headers.extend([0xc4, value.len() as u8]);
        headers.extend(value.bytes());
    }
    let letter = OutRecord { topic: "refused", partition: 0, key: None, value: Some(b"\x80"), headers: &headers, time: 5 };
    place.world().write(&[letter]);
    let listed = place.sangam(&["dlq", "list", "p.toml"]);
    assert!(listed.ok && listed.out.contains("boom") && listed.out.ends_with("1 dead letters, 1 not replayed\n"), "{}", listed.out);
    assert!(listed.err.contains("127.0.0.1:1") && listed.err.contains("looks as if it had not"), "{}", listed.err);
    let replay = place.sangam(&["dlq", "replay", "p.toml"]);
    assert!(!replay.ok && replay.err.contains("127.0.0.1:1") && !replay.out.contains("1 replayed"), "{}{}", replay.out, replay.err);
}
