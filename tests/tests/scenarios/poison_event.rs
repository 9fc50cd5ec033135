//! Poison: an event or a timer that breaks its operator. It alone is set aside, with everything that a person needs to see why; all
//! others are processed.

use sangam::digest::sha256;
use sangam_tests::guests::wasm;
use sangam_tests::orders::order;
use sangam_tests::world::{Ended, Seen, World};

const PIPELINE: &str = r#"
    [streams.orders]
    partitions = 2
    [streams.done]
    [streams.passed]
    [streams.placed]
    [streams.too-late]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "done", passed = "passed", placed = "placed" }
    late = "too-late"
    limits = { batch_time = "1s", memory = "16MiB" }
"#;

#[test]
fn a_poison_event_alone_becomes_a_dead_letter_with_all_that_is_known() {
    let world = world(PIPELINE);
    let cases = [
        ("panic", "trap", "panicked at "),
        ("fault", "fault", "boom"),
        ("spin", "timeout", "1s"),
        ("grow", "limit", "bytes of memory"),
        ("flood", "limit", "allowed"),
        ("reject", "reject", "boom"),
    ];
    for (i, (act, ..)) in (0..).zip(cases) {
        let mut events: Vec<_> = (0..10).map(|n| (i * 100 + n, order("k", "count", 0, ""))).collect();
        events[7].1 = order("k", act, 11_000, "boom");
        let value = rmp_serde::to_vec_named(&events[7].1).unwrap();
        world.send("orders", 1, &events[..7]);
        let record = sangam::broker::OutRecord {
            topic: "orders",
            partition: 1,
            key: Some(b"the record's key"),
            value: Some(&value),
            headers: b"\x81\xa5trace\xc4\x02id",
            time: events[7].0,
        };
        world.write(&[record]);
        world.send("orders", 1, &events[8..]);
    }
    let ended = world.drain().unwrap()["sink"];
    let letters = world.read("dead-letters");
    let acts: Vec<_> = letters.iter().map(|letter| letter.value()["act"].clone()).collect();
    assert_eq!(acts, cases.map(|(act, ..)| act));
    assert_eq!(ended, Ended { events: 60, ok: 54, dead: 6, ..Ended::default() });
    let sha256 = sha256(&wasm("kitchen-sink"));
    for (i, ((act, kind, message), letter)) in (0..).zip(cases.iter().zip(&letters)) {
        let has = |name: &str| letter.header(name);
        assert_eq!(has("sangam.error.kind"), *kind, "{act}");
        assert!(has("sangam.error").contains(message), "{act}: {}", has("sangam.error"));
        assert_eq!((has("sangam.operator"), has("sangam.plugin")), ("sink".to_owned(), sha256.clone()), "{act}");
        let origin = [has("sangam.stream"), has("sangam.partition"), has("sangam.offset")];
        assert_eq!(origin, ["orders".to_owned(), "1".to_owned(), (i * 10 + 7).to_string()], "{act}");
        let more = [has("sangam.input"), has("sangam.timestamp"), has("sangam.attempts")];
        assert_eq!(more, ["orders".to_owned(), (i * 100 + 7).to_string(), "1".to_owned()], "{act}");
        assert_eq!(has("trace"), "id", "{act}: the event's own headers stay");
        assert_eq!(letter.key.as_deref(), Some(&b"the record's key"[..]), "{act}");
        assert_eq!(letter.value(), order("k", act, 11_000, "boom"), "{act}");
        assert_eq!(letter.time, i * 100 + 7, "{act}");
        let trapped = ["trap", "timeout"].contains(kind);
        assert_eq!(!has("sangam.backtrace").is_empty(), trapped || *act == "grow", "{act}: {}", has("sangam.backtrace"));
        if *act == "panic" {
            assert!(has("sangam.backtrace").contains("on_event"), "{}", has("sangam.backtrace"));
        }
    }
    // What the poison had changed before it broke is gone: every other event counts, and it does not.
    let counts: Vec<u64> = world.values("done").iter().map(|done| done["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, (1..=54).collect::<Vec<_>>());
}

#[test]
fn a_topic_of_nothing_but_poison_is_worked_off() {
    for act in ["fault", "panic"] {
        let world = world(&format!("batch = 4096\n{PIPELINE}"));
        let events: Vec<_> = (0..3_000).map(|n| (n, order("k", act, 0, "all of them"))).collect();
        world.send("orders", 0, &events);
        assert_eq!(world.drain().unwrap()["sink"], Ended { events: 3_000, dead: 3_000, ..Ended::default() }, "{act}");
        assert!(world.read("dead-letters").iter().map(|letter| letter.time).eq(0..3_000), "{act}: in order");
    }
}

#[test]
fn an_event_ends_in_exactly_one_way() {
    let events = |world: &World| {
        let acts = ["count", "late", "drop", "reject", "fault", "panic", "silent", "forward", "count"];
        world.send("orders", 0, &(0..).zip(acts).map(|(time, act)| (time, order("k", act, 0, "x"))).collect::<Vec<_>>());
    };
    let kept = world(PIPELINE);
    events(&kept);
    assert_eq!(kept.drain().unwrap()["sink"], Ended { events: 9, ok: 4, late: 1, dead: 3, dropped: 1, fallback: 0 });
    assert_eq!(times(&kept.read("too-late")), [1]);
    assert_eq!(times(&kept.read("dead-letters")), [3, 4, 5]);
    let dropped = world(&PIPELINE.replace("limits =", "on_error = \"drop\"\n    limits ="));
    events(&dropped);
    assert_eq!(dropped.drain().unwrap()["sink"], Ended { events: 9, ok: 4, late: 1, dead: 0, dropped: 4, fallback: 0 });
    assert_eq!(dropped.read("dead-letters"), []);
    // Nobody wants late events: they are counted and gone.
    let unwanted = world(&PIPELINE.replace("late = \"too-late\"", ""));
    events(&unwanted);
    assert_eq!(unwanted.drain().unwrap()["sink"], Ended { events: 9, ok: 4, late: 1, dead: 3, dropped: 1, fallback: 0 });
    assert_eq!(times(&unwanted.read("dead-letters")), [3, 4, 5]);
}

#[test]
fn a_pipeline_that_is_to_stop_at_errors_stops_before_the_event_and_keeps_what_was_committed() {
    let stopping = world(&PIPELINE.replace("limits =", "on_error = \"stop\"\n    limits ="));
    stopping.send("orders", 0, &[(0, order("k", "count", 0, "")), (1, order("k", "count", 0, ""))]);
    stopping.drain().unwrap();
    let events = [(2, order("k", "count", 0, "")), (3, order("k", "fault", 0, "no route")), (4, order("k", "count", 0, ""))];
    stopping.send("orders", 0, &events);
    let why = stopping.drain().unwrap_err().to_string();
    assert!(why.contains("`sink` failed, and `on_error = \"stop\"`") && why.contains("no route"), "{why}");
    assert!(why.contains("stream `orders`, partition 0, offset 3"), "{why}");
    assert_eq!(times(&stopping.read("done")), [0, 1], "nothing of the commit that it is in");
    // With the file mended it goes on where it stopped.
    let mended = stopping.with_pipeline(PIPELINE);
    assert_eq!(mended.drain().unwrap()["sink"], Ended { events: 3, ok: 2, dead: 1, ..Ended::default() });
    assert_eq!(times(&mended.read("done")), [0, 1, 2, 4]);
}

#[test]
fn a_poison_timer_is_set_aside_and_the_others_fire() {
    let world = world(PIPELINE);
    let wakes = ["early", "poison", "late", "poison", "last"];
    let events: Vec<_> = (0..).zip(wakes).map(|(n, timer)| (n, order(&format!("k{n}"), "wake", 1_000, timer))).collect();
    world.send("orders", 0, &events);
    (0..2).for_each(|partition| world.send("orders", partition, &[(10_000, order("end", "silent", 0, ""))]));
    assert_eq!(world.drain().unwrap()["sink"], Ended { events: 7, ok: 7, ..Ended::default() });
    let mut letters = world.read("dead-letters");
    letters.sort_by_key(|letter| letter.time);
    let told: Vec<_> =
        letters.iter().map(|letter| (letter.key.clone().unwrap(), letter.time, letter.header("sangam.error.kind"))).collect();
    assert_eq!(told, [(b"k1".to_vec(), 1_001, "trap".to_owned()), (b"k3".to_vec(), 1_003, "trap".to_owned())]);
    assert!(letters[0].header("sangam.error").starts_with("the timer `poison` for 1001: "), "{}", letters[0].header("sangam.error"));
    let backtrace = letters[0].header("sangam.backtrace");
    // Of the operator and the SDK; small functions are inlined when the module is compiled, and have no name then.
    assert!(backtrace.contains("timer"), "{backtrace}");
    assert_eq!((letters[0].header("sangam.timer"), letters[0].header("sangam.timestamp")), ("poison".to_owned(), "1001".to_owned()));
    let nowhere = ["sangam.input", "sangam.stream", "sangam.partition", "sangam.offset"];
    assert!(nowhere.iter().all(|name| letters[0].header(name).is_empty()), "no event has led to it: {:?}", letters[0].headers);
    let fired: Vec<_> = world.values("done").into_iter().filter(|done| done["act"] != "wake").map(|done| done["act"].clone()).collect();
    assert_eq!(fired.len(), 3, "{fired:?}");
}

fn world(pipeline: &str) -> World {
    World::new(pipeline).plugin("kitchen-sink", &wasm("kitchen-sink"))
}

fn times(seen: &[Seen]) -> Vec<i64> {
    seen.iter().map(|seen| seen.time).collect()
}
