//! Batching is invisible: however the same input is cut, into calls or into runs with a restart between them, the same bytes come out,
//! in the same order over all ports, and the same state and timers are left behind.

use proptest::prelude::*;
use sangam::store::Pair;
use sangam_tests::guests::wasm;
use sangam_tests::state::rank_timers;
use sangam_tests::world::{Seen, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All ports lead to one topic, so that the order over all of them counts.
const SINK: &str = r#"
    [streams.orders]
    out_of_orderness = "10ms"
    [streams.all]
    [operators.sink]
    plugin = "kitchen-sink"
    input = "orders"
    outputs = { done = "all", passed = "all", placed = "all" }
    late = "all"
    dead_letters = "all"
    config = { delay = 15 }
"#;

const COUNT: &str = r#"
    [streams.orders]
    [streams.all]
    [operators.count]
    key = "text"
    input = "orders"
    output = "all"
    dead_letters = "all"
"#;

/// Micro-batches, by count and by time.
const MICRO: &str = r#"
    [streams.orders]
    out_of_orderness = "10ms"
    [streams.all]
    [operators.windowing]
    key = "key"
    input = "orders"
    output = "all"
    dead_letters = "all"
    config = { window = { type = "batch", size = "20ms", count = 5 }, aggregate = [{ fn = "count" }, { fn = "first", field = "act" }] }
"#;

/// What is left of a run: outputs as they lie in the topic, and everything in the store but the topics' blocks, which are cut as the
/// commits were.
type Left = (Vec<Seen>, BTreeMap<String, Vec<Pair>>);

/// Runs `events` in calls of at most `batch`, with a restart after each of `runs` events.
fn left(pipeline: &str, events: &[(i64, Value)], batch: usize, runs: &[usize]) -> Left {
    let world = World::new(&format!("batch = {batch}\n{pipeline}"));
    let world = ["kitchen-sink", "count", "windowing"].into_iter().fold(world, |world, guest| world.plugin(guest, &wasm(guest)));
    let mut rest = events;
    for run in runs.iter().copied().chain([usize::MAX]) {
        let (now, later) = rest.split_at(run.min(rest.len()));
        world.send("orders", 0, now);
        world.drain().unwrap();
        rest = later;
    }
    let mut store = world.dump("");
    store.retain(|space, _| !space.starts_with("topic/"));
    store.iter_mut().filter(|(space, _)| space.starts_with("state/")).for_each(|(_, pairs)| rank_timers(pairs));
    (world.read("all"), store)
}

fn event() -> impl Strategy<Value = (i64, Value)> {
    let acts = [
        "count",
        "note",
        "map_set",
        "map_remove",
        "list_push",
        "list_pop",
        "wake",
        "wake",
        "wake",
        "cancel",
        "forget",
        "forward",
        "place",
        "both",
        "silent",
        "reject",
        "late",
        "drop",
        "fault",
        "panic",
        "flood",
        "nonsense",
    ];
    let texts = ["a", "b", "chain", "poison"];
    (0..3usize, 0..acts.len(), 0..40i64, 0..texts.len(), 0..25i64, 0..30u8).prop_map(move |(key, act, number, text, later, odd)| {
        let mut order =
            json!({"key": format!("k{key}"), "act": acts[act], "text": texts[text], "with": {"number": number, "text": texts[text]}});
        if odd == 0 {
            order = json!({"key": null, "act": "no key"});
        }
        (later, order)
    })
}

/// Events whose times go up on the whole, and come out of order by up to 15 ms.
fn events() -> impl Strategy<Value = Vec<(i64, Value)>> {
    prop::collection::vec((event(), 0..15i64), 1..120).prop_map(|events| {
        let mut time = 100;
        let timed = events.into_iter().map(|((later, order), earlier)| {
            time += later / 2;
            (time - earlier, order)
        });
        timed.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_bytes(events in events(), batch in 1..40usize, runs in prop::collection::vec(0..50usize, 0..4)) {
        for pipeline in [SINK, COUNT, MICRO] {
            let expected = left(pipeline, &events, 1024, &[]);
            for (batch, runs) in [(1, &[][..]), (2, &[]), (7, &[]), (batch, &runs)] {
                let (outputs, store) = left(pipeline, &events, batch, runs);
                prop_assert_eq!(&outputs, &expected.0, "outputs, batch {}, runs {:?}", batch, runs);
                prop_assert_eq!(&store, &expected.1, "store, batch {}, runs {:?}", batch, runs);
            }
        }
    }
}

#[test]
fn a_timer_sees_the_watermark_of_its_moment_also_before_an_event_that_cannot_be_read() {
    let wake = |key: &str, time: i64| (time, json!({"key": key, "act": "wake", "with": {"number": 25, "text": "t"}}));
    let unreadable = |time: i64| (time, json!({"key": null, "act": "no key"}));
    let events = [wake("a", 100), wake("b", 150), unreadable(160), wake("c", 165), wake("d", 200), unreadable(300)];
    let expected = left(SINK, &events, 1, &[1, 1, 1, 1, 1]);
    for (batch, runs) in [(1024, &[][..]), (1, &[]), (1024, &[2]), (1024, &[3]), (3, &[5])] {
        assert!(left(SINK, &events, batch, runs) == expected, "batch {batch}, runs {runs:?}");
    }
}

#[test]
fn events_that_cannot_be_read_become_dead_letters_among_the_outputs_of_timers_as_if_each_came_alone() {
    let order = |key: &str, time: i64| (time, json!({"key": key, "act": "count"}));
    let unreadable = |time: i64| (time, json!({"key": null, "act": "no key"}));
    let at_both_ends = vec![unreadable(100), unreadable(98), order("k1", 100), order("k2", 109), unreadable(135), unreadable(143)];
    let between =
        vec![order("k1", 100), unreadable(95), order("k2", 109), unreadable(135), unreadable(143), order("k3", 143), order("k3", 190)];
    for events in [at_both_ends, between] {
        let expected = left(MICRO, &events, 1, &vec![1; events.len()]);
        for (batch, runs) in [(1024, &[][..]), (1, &[]), (1024, &[2]), (1024, &[5]), (2, &[1, 3])] {
            assert_eq!(left(MICRO, &events, batch, runs).0, expected.0, "batch {batch}, runs {runs:?}");
        }
    }
}

#[test]
fn more_timers_than_one_call_takes_fire_in_order_however_large_the_batch() {
    const KEYS: i64 = 10_000;
    let wake =
        |key: i64, time: i64, at: i64| (time, json!({"key": format!("k{key}"), "act": "wake", "with": {"number": at - time, "text": "t"}}));
    // Most are due at one time, some before; one event comes when all are due, one more after it in the same run.
    let mut events: Vec<_> = (0..KEYS).map(|key| wake(key, 0, if key % 100 == 0 { 500 + key } else { 50_000 })).collect();
    events.push((60_000, json!({"key": "k1", "act": "count"})));
    events.push((60_011, json!({"key": "k2", "act": "count"})));
    events.push((60_022, json!({"key": "k3", "act": "count"})));
    let expected = left(SINK, &events, 1024, &[]);
    let fired: Vec<&Seen> = expected.0.iter().filter(|seen| seen.value()["act"] == "t").collect();
    assert_eq!(fired.len() as i64, KEYS);
    assert!(fired.is_sorted_by_key(|seen| seen.time));
    for batch in [7, 4096] {
        assert!(left(SINK, &events, batch, &[]) == expected, "batch {batch}");
    }
}
