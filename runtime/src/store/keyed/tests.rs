//! The table against a plain model, and what its users care about one by one.

use super::{Due, KeyedTable};
use crate::store::{Changes, MemoryStore, Store};
use crate::time::Millis;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const SPACE: &str = "state/op/0";

// === the model ===

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    states: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Time and place by key and name.
    timers: BTreeMap<(Vec<u8>, String), (Millis, u64)>,
    cells: BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>,
    seq: u64,
}

impl Model {
    fn due(&self, watermark: Millis) -> Vec<(Vec<u8>, String, Millis)> {
        let mut due: Vec<_> = self.timers.iter().filter(|(_, (at, _))| *at <= watermark).collect();
        due.sort_by_key(|(_, place)| **place);
        due.into_iter().map(|((key, name), (at, _))| (key.clone(), name.clone(), *at)).collect()
    }

    fn live(&self) -> usize {
        let mut keys: Vec<_> = self.states.keys().chain(self.timers.keys().map(|(key, _)| key)).collect();
        keys.sort();
        keys.dedup();
        keys.len()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Look(u8),
    State(u8, Option<u8>),
    Timer(u8, u8, Option<Millis>),
    Fire(Millis, usize),
    Cell(u8, u8, Option<u8>),
    Commit,
    Rollback,
    Restore,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = 0..12_u8;
    let op = prop_oneof![
        1 => key.clone().prop_map(Op::Look),
        4 => (key.clone(), prop::option::weighted(0.7, 0..60_u8)).prop_map(|(key, len)| Op::State(key, len)),
        6 => (key.clone(), 0..4_u8, prop::option::weighted(0.8, 0..40_i64)).prop_map(|(key, name, at)| Op::Timer(key, name, at)),
        2 => (0..40_i64, 0..5_usize).prop_map(|(watermark, max)| Op::Fire(watermark, max)),
        2 => (key, 0..4_u8, prop::option::weighted(0.7, 0..9_u8)).prop_map(|(key, cell, value)| Op::Cell(key, cell, value)),
        1 => Just(Op::Commit),
        1 => Just(Op::Rollback),
        1 => Just(Op::Restore),
    ];
    prop::collection::vec(op, 0..200)
}

/// Keys on both sides of what fits in place.
fn key_of(key: u8) -> Vec<u8> {
    vec![key; usize::from(key) * 5]
}

fn name_of(name: u8) -> String {
    format!("timer {name}")
}

fn commit(table: &mut KeyedTable, store: &MemoryStore) {
    let mut changes = Changes::default();
    table.changes(&mut changes);
    store.write(&changes).unwrap();
    table.committed();
}

fn due(table: &mut KeyedTable, watermark: Millis, max: usize) -> (Vec<Due>, bool) {
    let mut due = Vec::new();
    let more = table.due(watermark, max, &mut due);
    (due, more)
}

fn apply(op: &Op, table: &mut KeyedTable, store: &MemoryStore, now: &mut Model, committed: &mut Model) {
    match *op {
        Op::Look(key) => drop(table.key(&key_of(key))),
        Op::State(key, len) => {
            let state = len.map(|len| vec![len; usize::from(len)]);
            let id = table.key(&key_of(key));
            table.set_state(id, state.as_deref());
            match state {
                Some(state) => drop(now.states.insert(key_of(key), state)),
                None => drop(now.states.remove(&key_of(key))),
            }
        }
        Op::Timer(key, name, at) => {
            let id = table.key(&key_of(key));
            table.set_timer(id, &name_of(name), at);
            let place = (key_of(key), name_of(name));
            match at {
                Some(at) if now.timers.get(&place).is_none_or(|(old, _)| *old != at) => {
                    now.timers.insert(place, (at, now.seq));
                    now.seq += 1;
                }
                Some(_) => {}
                None => drop(now.timers.remove(&place)),
            }
        }
        Op::Fire(watermark, max) => {
            let (due, more) = due(table, watermark, max);
            let expected = now.due(watermark);
            let found: Vec<_> =
                due.iter().map(|due| (table.name(due.id).to_vec(), table.timer_name(due.name).to_owned(), due.at)).collect();
            assert_eq!(found, expected[..max.min(expected.len())]);
            assert_eq!(more, expected.len() > max);
            table.consume(&due);
            for (key, name, _) in found {
                now.timers.remove(&(key, name));
            }
        }
        Op::Cell(key, cell, value) => {
            let id = table.key(&key_of(key));
            let value = value.map(|value| vec![value]);
            table.set_cell(id, &[cell / 2, cell], value.as_deref());
            match value {
                Some(value) => drop(now.cells.insert((key_of(key), vec![cell / 2, cell]), value)),
                None => drop(now.cells.remove(&(key_of(key), vec![cell / 2, cell]))),
            }
        }
        Op::Commit => {
            commit(table, store);
            committed.clone_from(now);
        }
        Op::Rollback => {
            table.rollback();
            now.clone_from(committed);
        }
        Op::Restore => {
            assert_eq!(table.restore(store).unwrap(), committed.live());
            // After a restore the order goes on behind the last timer that is there.
            committed.seq = committed.timers.values().map(|(_, seq)| seq + 1).max().unwrap_or(0);
            now.clone_from(committed);
        }
    }
}

fn assert_same(table: &mut KeyedTable, store: &MemoryStore, model: &Model) {
    assert_eq!((table.len(), table.timers()), (model.live(), model.timers.len()));
    assert_eq!(table.next_timer(), model.timers.values().map(|(at, _)| *at).min());
    let (all, more) = due(table, Millis::MAX, usize::MAX);
    let all: Vec<_> = all.iter().map(|due| (table.name(due.id).to_vec(), table.timer_name(due.name).to_owned(), due.at)).collect();
    assert_eq!((all, more), (model.due(Millis::MAX), false));
    let states: BTreeMap<_, _> = table.keys().filter_map(|id| Some((table.name(id).to_vec(), table.state(id)?.to_vec()))).collect();
    assert_eq!(states, model.states);
    for key in 0..12 {
        let id = table.key(&key_of(key));
        for (prefix, after) in
            [(vec![], None), (vec![1], None), (vec![], Some(vec![0, 1])), (vec![1], Some(vec![0])), (vec![0], Some(vec![0, 0]))]
        {
            let mut found = Vec::new();
            let mut keep = |cell: &[u8], value: &[u8]| {
                found.push((cell.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            };
            table.scan_cells(store, id, &prefix, after.as_deref(), &mut keep).unwrap();
            let ours = model.cells.iter().filter(|((of, cell), _)| {
                *of == key_of(key) && cell.starts_with(&prefix) && after.as_ref().is_none_or(|after| cell > after)
            });
            let expected: Vec<_> = ours.map(|((_, cell), value)| (cell.clone(), value.clone())).collect();
            assert_eq!(found, expected);
        }
    }
}

proptest! {
    #[test]
    fn any_history_leaves_what_a_plain_map_would_hold(ops in ops()) {
        let store = MemoryStore::new();
        let mut table = KeyedTable::new(SPACE.to_owned());
        let (mut now, mut committed) = (Model::default(), Model::default());
        for op in &ops {
            apply(op, &mut table, &store, &mut now, &mut committed);
            assert_same(&mut table, &store, &now);
        }
        table.rollback();
        assert_same(&mut table, &store, &committed);
        let mut restored = KeyedTable::new(SPACE.to_owned());
        restored.restore(&store).unwrap();
        assert_same(&mut restored, &store, &committed);
    }

    #[test]
    fn a_rolled_back_transaction_leaves_no_trace_in_the_bytes_of_the_next_one(before in ops(), lost in ops(), after in ops()) {
        let run = |with_lost: bool| {
            let store = MemoryStore::new();
            let mut table = KeyedTable::new(SPACE.to_owned());
            let (mut now, mut committed) = (Model::default(), Model::default());
            before.iter().for_each(|op| apply(op, &mut table, &store, &mut now, &mut committed));
            table.rollback();
            now.clone_from(&committed);
            if with_lost {
                let inside = lost.iter().filter(|op| !matches!(op, Op::Commit | Op::Rollback | Op::Restore));
                inside.for_each(|op| apply(op, &mut table, &store, &mut now, &mut committed));
                table.rollback();
                now.clone_from(&committed);
            }
            after.iter().for_each(|op| apply(op, &mut table, &store, &mut now, &mut committed));
            commit(&mut table, &store);
            let mut bytes = Vec::new();
            for space in store.spaces().unwrap() {
                let mut keep = |key: &[u8], value: &[u8]| {
                    bytes.push((space.clone(), key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                };
                store.scan(&space, &[], &mut keep).unwrap();
            }
            bytes
        };
        prop_assert_eq!(run(true), run(false));
    }
}

// === one by one ===

fn table() -> KeyedTable {
    KeyedTable::new(SPACE.to_owned())
}

#[test]
fn a_key_that_was_only_looked_at_takes_no_room_after_the_commit() {
    let (mut table, store) = (table(), MemoryStore::new());
    for round in 0..100_u32 {
        for key in 0..100_u32 {
            table.key(&(round * 100 + key).to_be_bytes());
        }
        commit(&mut table, &store);
    }
    assert_eq!((table.len(), table.entries.len()), (0, 100));
    assert!(store.spaces().unwrap().is_empty());
}

#[test]
fn a_key_has_one_slot_per_batch() {
    let mut table = table();
    let (a, b) = (table.key(b"a"), table.key(b"b"));
    assert_eq!([table.slot_mark(a, 1, 0), table.slot_mark(b, 1, 1), table.slot_mark(a, 1, 2)], [0, 1, 0]);
    assert_eq!([table.slot_mark(b, 2, 0), table.slot_mark(a, 2, 1)], [0, 1]);
}

#[test]
fn a_key_whose_state_came_and_went_in_one_commit_is_not_written() {
    let mut table = table();
    let id = table.key(b"k");
    table.set_state(id, Some(b"s"));
    table.set_state(id, None);
    let mut changes = Changes::default();
    table.changes(&mut changes);
    assert!(changes.is_empty());
}

#[test]
fn writing_the_state_that_is_there_is_no_change() {
    let (mut table, store) = (table(), MemoryStore::new());
    let id = table.key(b"k");
    table.set_state(id, Some(b"s"));
    commit(&mut table, &store);
    table.set_state(id, Some(b"s"));
    let mut changes = Changes::default();
    table.changes(&mut changes);
    assert!(changes.is_empty());
}

#[test]
fn a_timer_that_is_moved_on_for_ever_does_not_pile_up() {
    let mut table = table();
    let id = table.key(b"session");
    for at in 0..100_000 {
        table.set_timer(id, "idle", Some(at));
    }
    assert_eq!((table.timers(), table.next_timer()), (1, Some(99_999)));
    assert!(table.wheel.stubs() < 3000, "{} stubs", table.wheel.stubs());
}

#[test]
fn names_that_nobody_uses_any_more_are_forgotten() {
    let (mut table, store) = (table(), MemoryStore::new());
    let id = table.key(b"k");
    for name in 0..50_000 {
        table.set_timer(id, &format!("window {name}"), Some(1));
        table.set_timer(id, &format!("window {}", name - 1), None);
        if name % 100 == 0 {
            commit(&mut table, &store);
        }
    }
    assert_eq!(table.timers_of(id), [("window 49999", 1)]);
    assert!(table.names.len() < 3000, "{} names", table.names.len());
}

#[test]
fn a_damaged_entry_is_named_by_its_key() {
    let store = MemoryStore::new();
    let mut changes = Changes::default();
    changes.put(SPACE, b"abc", b"\xc1");
    store.write(&changes).unwrap();
    let error = table().restore(&store).unwrap_err().to_string();
    assert!(error.contains("abc"), "{error}");
}

#[test]
fn an_idle_key_with_an_open_window_costs_at_most_200_bytes_beyond_its_state() {
    const KEYS: usize = 100_000;
    let mut table = KeyedTable::new(SPACE.to_owned());
    // An open tumbling window with two sums, and the timer that closes it.
    let (mut held, state) = (0, [7; 38]);
    for n in 0..KEYS {
        let key = format!("customer-{n}");
        held += key.len() + state.len();
        let id = table.key(key.as_bytes());
        table.set_state(id, Some(&state));
        table.set_timer(id, "window", Some(60_000 + n as Millis % 3));
    }
    table.committed();
    table.written();
    let beyond = (table.bytes() - held) / KEYS;
    assert!(beyond <= 200, "{beyond} bytes beyond key and state");
    println!("{beyond} bytes beyond key and state");
}
