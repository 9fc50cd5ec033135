//! A call that failed is kept as one file, and runs again from it: the same bytes, on any machine, or through another build.

use sangam_tests::guests::wasm;
use sangam_tests::orders::order;
use sangam_tests::place::Place;
use sangam_tests::program;
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const ORDERS: &str = r#"
    data = "data"
    workers = 1
    batch = 16
    capture = "captures"
    [streams.orders]
    [streams.done]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "done", passed = "done", placed = "done" }
    limits = { batch_time = "1s", memory = "16MiB", output = "4KiB" }
"#;

const WORDS: &str = r#"
    data = "data"
    capture = "captures"
    [streams.words]
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
"#;

fn sink(toml: &str, events: &[(i64, Value)]) -> Place {
    let place = Place::new(toml, &[("kitchen-sink", "kitchen-sink")]);
    place.world().send("orders", 0, events);
    place.drain();
    place
}

/// The files that are there, in order of their names.
fn files(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.folder.path().join("captures"));
    let mut files: Vec<_> = entries.map_or_else(|_| Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect());
    files.sort();
    files
}

fn debug(place: &Place, args: &[&str]) -> (bool, Value) {
    let ran = place.sangam(&[&["debug"], args, &["--json"]].concat());
    (ran.ok, serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{args:?}: {}{}", ran.out, ran.err)))
}

/// Each letter's kind, and the file that it names.
fn captured(place: &Place) -> Vec<(String, Option<String>)> {
    let listed = place.said(&["dlq", "list", "p.toml", "--json"]);
    let letters = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    letters.map(|letter| (letter["kind"].as_str().unwrap().to_owned(), letter["capture"].as_str().map(str::to_owned))).collect()
}

#[test]
fn a_failed_call_is_captured_and_fails_again_byte_for_byte() {
    let mut events: Vec<_> = (0..100).map(|n| (n, order("k", "list_push", n, ""))).collect();
    events.extend((0..5).map(|n| (100 + n, order("k", "map_set", n, &format!("cell {n}")))));
    let poison = ["flood", "panic", "spin", "grow", "fault", "reject"];
    events.extend(poison.iter().zip(200..).map(|(act, time)| (time, order("k", act, 100, "boom"))));
    events.extend([(300, order("k", "wake", 1, "poison")), (400, order("k", "silent", 0, ""))]);
    let place = sink(ORDERS, &events);
    let letters = captured(&place);
    let kinds: Vec<_> = letters.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["limit", "trap", "timeout", "limit", "fault", "reject", "trap"]);
    assert_eq!(files(&place).len(), 6, "one for each call that failed, however often it was cut in half; to refuse is no failure");
    assert!(files(&place).iter().all(|file| fs::metadata(file).unwrap().permissions().mode() & 0o077 == 0), "for their owner's eyes only");
    for (kind, file) in &letters {
        let Some(file) = file else {
            assert_eq!(kind, "reject");
            continue;
        };
        // Elsewhere, without pipeline, plugins or data.
        let elsewhere = tempfile::tempdir().unwrap();
        fs::copy(place.folder.path().join("captures").join(file), elsewhere.path().join("call")).unwrap();
        let ran = program::run(elsewhere.path(), &["debug", "call", "--json"], "");
        let view: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(!ran.ok && ran.err.contains(&format!("the call fails: {kind}: ")), "{}", ran.err);
        assert_eq!((&view["same"], &view["now"]["kind"], &view["unknown_reads"]), (&json!(true), &json!(kind), &json!(0)), "{view}");
        // Where a loop without end is when its time is over, no two runs agree.
        assert!(kind == "timeout" || view["then"] == view["now"], "{view}");
    }
    let by_kind = |kind: &str| letters.iter().find(|(known, _)| known == kind).unwrap().1.as_ref().unwrap();
    let (_, flood) = debug(&place, &[&format!("captures/{}", by_kind("limit"))]);
    assert!(flood["then"]["effects_base64"].as_str().unwrap().len() > 4 << 10, "what it answered is there, and the same");
    assert!(flood["reads"].as_u64().unwrap() > 0, "a map and a list were read cell by cell");
    let page = place.sangam(&["debug", &format!("captures/{}", by_kind("trap"))]).out;
    for part in [
        "sink of the pipeline test",
        "1 events, 1 keys",
        "key = \"k\", act = \"panic\", with.number = 100",
        "on_event",
        "the same, byte for byte",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn another_build_takes_the_captured_call_as_it_would_have_in_the_pipeline() {
    let place = Place::new(WORDS, &[("count", "count")]);
    let word = json!({"text": "b!"});
    place.world().send("words", 0, &[(1, word.clone())]);
    place.drain();
    place.plugin("count", "count-broken");
    place.world().send("words", 0, &[(2, word)]);
    place.drain();
    let file = format!("captures/{}", files(&place)[0].file_name().unwrap().to_str().unwrap());
    let mended = program::guest("count");
    let page = place.said(&["debug", &file, "--plugin", &mended]);
    assert!(page.contains("by out, of event 0: {\"text\":\"b!\",\"seen\":2}") && page.contains("now with  count 0.1.0"), "{page}");
    let (ok, first) = debug(&place, &[&file, "--plugin", &mended]);
    assert!(ok && first["now"]["kind"].is_null() && first["same"] == false, "{first}");
    assert_eq!(debug(&place, &[&file, "--plugin", &mended]).1, first, "and again");
    // What comes out of the pipeline once the letter is replayed is what the trial has shown.
    place.plugin("count", "count");
    place.said(&["dlq", "replay", "p.toml"]);
    place.drain();
    assert_eq!(place.world().values("tallies")[1], json!({"text": "b!", "seen": 2}));

    let ran = place.sangam(&["debug", &file, "--plugin", &program::guest("kitchen-sink")]);
    assert!(!ran.ok && ran.err.contains("cannot be given what was captured"), "{}", ran.err);
}

#[test]
fn nothing_is_captured_unless_asked_for_nor_beyond_the_bounds() {
    let poison: Vec<_> = (0..5).map(|n| (n, order("k", "panic", n, "boom"))).chain([(5, order("k", "count", 0, ""))]).collect();
    let check = |capture: &str, count: usize| {
        let place = sink(&ORDERS.replace("capture = \"captures\"", capture), &poison);
        assert_eq!(files(&place).len(), count, "{capture}");
        let letters = captured(&place);
        assert_eq!((letters.len(), letters.iter().filter(|(_, file)| file.is_some()).count()), (5, count), "{capture}");
        assert_eq!(place.world().read("done").len(), 1, "{capture}: the rest goes on");
    };
    check("", 0);
    check("capture = \"captures\"", 5);
    check("capture = { folder = \"captures\", files = 2 }", 2);
    check("capture = { folder = \"captures\", bytes = \"1KiB\" }", 0);
    let size = fs::metadata(program::guest("kitchen-sink")).unwrap().len();
    check(&format!("capture = {{ folder = \"captures\", bytes = {} }}", size * 5 / 2), 2);
}

#[test]
fn a_folder_that_cannot_be_written_to_stops_nothing() {
    let place = Place::new(ORDERS, &[("kitchen-sink", "kitchen-sink")]);
    fs::write(place.folder.path().join("captures"), "a file where the folder would be").unwrap();
    place.world().send("orders", 0, &[(0, order("k", "panic", 0, "boom")), (1, order("k", "count", 0, ""))]);
    place.drain();
    assert_eq!(captured(&place), [("trap".to_owned(), None)]);
    assert_eq!(place.world().read("done").len(), 1);
}

#[test]
fn a_new_build_that_is_taken_back_leaves_the_batch_that_it_failed_at() {
    let folder = tempfile::tempdir().unwrap();
    let toml = WORDS.replace("\"captures\"", &format!("\"{}\"", folder.path().join("captures").display()));
    let mut world = World::new(&toml).plugin("count", &wasm("count"));
    world.watch_batches = 100;
    let running = world.start();
    running.offer("count", wasm("count-broken"));
    eventually("the new build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    world.send("words", 0, &[(0, json!({"text": "a"})), (1, json!({"text": "b!"})), (2, json!({"text": "c"}))]);
    let why = eventually("it is taken back", || running.refused("count"));
    assert!(why.contains("`b!` is no word") && why.contains("(captured in count-"), "{why}");
    running.stop().unwrap();
    let file = fs::read_dir(folder.path().join("captures")).unwrap().next().unwrap().unwrap().path();
    let ran = program::run(folder.path(), &["debug", file.to_str().unwrap()], "");
    assert!(!ran.ok && ran.out.contains("the same, byte for byte") && ran.out.contains("text = \"b!\""), "{}{}", ran.out, ran.err);
    assert!(world.read("dead-letters").is_empty());
}

#[test]
fn a_file_that_is_no_capture_or_a_damaged_one_is_refused_with_words() {
    let place = sink(ORDERS, &[(0, order("k", "panic", 0, "boom"))]);
    let good = fs::read(&files(&place)[0]).unwrap();
    let refused = |bytes: &[u8], why: &str| {
        fs::write(place.folder.path().join("bad"), bytes).unwrap();
        let ran = place.sangam(&["debug", "bad"]);
        assert!(!ran.ok && ran.err.contains(why) && ran.err.contains("bad"), "{why}: {}", ran.err);
        assert_eq!(ran.out, "");
    };
    refused(b"", "this is no captured call");
    refused(b"{\"garbage\": true}", "this is no captured call");
    refused(&wasm("count"), "this is no captured call");
    refused(b"sangam capture 9\nfrom the future", "use the version that wrote it");
    refused(&good[..good.len() / 2], "the file is damaged: its checksum is another");
    refused(&good[..20], "the file is damaged: it breaks off");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    refused(&flipped, "the file is damaged: its checksum is another");
    let ran = place.sangam(&["debug", "nowhere"]);
    assert!(!ran.ok && ran.err.contains("nowhere cannot be read"), "{}", ran.err);
}
