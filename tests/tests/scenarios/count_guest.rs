//! The counting operator, in whatever language it was written: the same events give the same counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use sangam::sandbox::{Limits, Plugin, Sandbox, SandboxOptions};
use sangam_protocol::effects::{Emit, RejectKind};
use sangam_protocol::msgpack::Reader;
use sangam_tests::guest::fixture;
use sangam_tests::play::{Batch, field, play};

#[test]
fn a_guest_by_hand_counts_words_as_the_abi_says() {
    check(&fixture("count.wat").unwrap());
}

#[test]
fn a_guest_by_hand_refuses_what_is_no_text_and_counts_the_rest() {
    let plugin = load(&fixture("count.wat").unwrap());
    let limits = Limits::default();
    let mut instance = plugin.start(&[0x80], &limits).unwrap();
    let events = vec![(0, field("a")), (0, vec![0x91, 0xcd, 1, 2]), (0, field("a"))];
    let batch = Batch { events, slots: vec![(b"a", None)], timers: Vec::new() };
    let (emits, rejects) = play(&mut instance, &batch, &limits, |effects| {
        let rejects: Vec<_> = effects.rejects().map(|(event, kind, reason)| (event, kind, reason.to_owned())).collect();
        (effects.emit_count(), rejects)
    })
    .unwrap();
    assert_eq!(emits, 2);
    assert_eq!(rejects, [(1, RejectKind::Reject, "`text` must be a string".to_owned())]);
}

#[test]
fn a_guest_by_hand_stops_at_state_that_is_not_its_own() {
    let plugin = load(&fixture("count.wat").unwrap());
    let limits = Limits::default();
    let mut instance = plugin.start(&[0x80], &limits).unwrap();
    let batch = Batch { events: vec![(0, field("a"))], slots: vec![(b"a", Some(vec![1, 2, 3]))], timers: Vec::new() };
    let refused = play(&mut instance, &batch, &limits, |_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "the operator failed: state: not 8 bytes");
}

/// What any build of the counting operator must do: input type with the one field `text`, key `text`, port `out`, output
/// `{"text": str, "seen": uint}`; its state is its own affair.
pub fn check(wasm: &[u8]) {
    let plugin = load(wasm);
    assert_eq!(plugin.manifest().name, "count");
    assert_eq!(plugin.manifest().key, ["text"]);
    assert_eq!(plugin.manifest().outputs, ["out"]);
    let long = "long ".repeat(20_000);
    let words: Vec<&str> =
        (0..2_000).map(|i| ["to", "be", "or", "not", "", "to", "naïve", &long][(i * 7 + i / 5) % 8 % (8 - i % 2)]).collect();
    let mut seen = BTreeMap::new();
    let expected: Vec<(String, u64)> = words
        .iter()
        .map(|&word| {
            let seen = seen.entry(word).or_insert(0);
            *seen += 1;
            (word.to_owned(), *seen)
        })
        .collect();
    // Any split into batches gives the same, whether the instance stays or a new one takes over with the state alone.
    for (batch_events, new_instance_each_batch) in [(1, false), (7, true), (300, false), (words.len(), false)] {
        let got = count(&plugin, &words, batch_events, new_instance_each_batch);
        assert!(got == expected, "in batches of {batch_events}");
    }
    check_memory(&plugin);
}

/// A guest that leaks a few bytes per batch runs well for a week.
fn check_memory(plugin: &Arc<Plugin>) {
    let limits = Limits::default();
    let mut instance = plugin.start(&[0x80], &limits).unwrap();
    let batch = Batch::texts(&["some", "words", "to", "count"]);
    let mut run = |batches: usize| {
        for _ in 0..batches {
            play(&mut instance, &batch, &limits, |_| ()).unwrap();
        }
        instance.memory_bytes()
    };
    let before = run(1_000);
    assert_eq!(run(100_000), before, "after 100,000 batches");
}

fn load(wasm: &[u8]) -> Arc<Plugin> {
    Sandbox::new(SandboxOptions { instances_max: 4, ..SandboxOptions::default() }).unwrap().load(wasm).unwrap()
}

/// The outputs for `words`, keeping state as the host would.
fn count(plugin: &Arc<Plugin>, words: &[&str], batch_events: usize, new_instance_each_batch: bool) -> Vec<(String, u64)> {
    let limits = Limits::default();
    let mut states: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut outputs = Vec::new();
    let mut instance = plugin.start(&[0x80], &limits).unwrap();
    for words in words.chunks(batch_events) {
        if new_instance_each_batch {
            instance = plugin.start(&[0x80], &limits).unwrap();
        }
        let mut keys: Vec<&str> = words.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let slot = |word: &str| keys.binary_search(&word).unwrap() as u32;
        let batch = Batch {
            events: words.iter().map(|word| (slot(word), field(word))).collect(),
            slots: keys.iter().map(|key| (key.as_bytes(), states.get(key).cloned())).collect(),
            timers: Vec::new(),
        };
        let changed = play(&mut instance, &batch, &limits, |effects| {
            for (expected_event, emit) in (0..).zip(effects.emits()) {
                let Emit::Simple { port: 0, event, value: Some(value) } = emit else { panic!("{emit:?}") };
                assert_eq!(event, expected_event);
                outputs.push(read_output(value));
            }
            effects.states().map(|(slot, state)| (slot, state.map(<[u8]>::to_vec))).collect::<Vec<_>>()
        })
        .unwrap();
        for (slot, state) in changed {
            states.insert(keys[slot as usize], state.unwrap());
        }
    }
    outputs
}

fn read_output(value: &[u8]) -> (String, u64) {
    let mut reader = Reader::new(value);
    assert_eq!(reader.map(), Ok(2));
    let (mut text, mut seen) = (None, None);
    for _ in 0..2 {
        match reader.str().unwrap() {
            "text" => text = Some(reader.str().unwrap().to_owned()),
            "seen" => seen = Some(reader.u64().unwrap()),
            other => panic!("{other}"),
        }
    }
    assert!(reader.is_empty());
    (text.unwrap(), seen.unwrap())
}
