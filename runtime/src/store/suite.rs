//! What every store does, whatever it is made of.

use super::{Changes, Run, Store, StoreError};
use std::ops::ControlFlow;
use std::path::Path;

/// Opens the store in a folder.
pub(super) type Open<'a> = &'a dyn Fn(&Path) -> Result<Box<dyn Store>, StoreError>;

/// Runs every case in a folder of its own.
pub(super) fn run(open: Open<'_>) {
    for (name, case) in CASES {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        case(&|| open(folder.path()));
    }
}

type Case = fn(&dyn Fn() -> Result<Box<dyn Store>, StoreError>);

const CASES: &[(&str, Case)] = &[
    ("an empty store has nothing", an_empty_store_has_nothing),
    ("what was written is there after a drop and reopen", what_was_written_is_there_after_a_reopen),
    ("a later change of the same key wins", a_later_change_wins),
    ("a scan goes in order of bytes from where it is told to and stops when it is told to", a_scan_goes_in_order),
    ("floor finds the last key not above", floor_finds_the_last_key_not_above),
    ("spaces do not mix, and only those that hold anything are listed", spaces_do_not_mix),
    ("keys and values may be empty, and values large", keys_and_values_may_be_empty_or_large),
    ("a second process is kept out, and let in afterwards", a_second_opener_is_kept_out),
    ("writers on several threads do not mix up their new spaces", writers_on_several_threads_do_not_mix),
    ("a scan finds all of a write or nothing of it", a_scan_finds_all_of_a_write_or_nothing),
    ("an empty set of changes is fine", an_empty_set_of_changes_is_fine),
    ("runs of changes are applied all or none, and may look at what is there", runs_are_applied_all_or_none),
    ("a snapshot holds what there was, whatever is written later", a_snapshot_stays),
];

type Opener<'a> = &'a dyn Fn() -> Result<Box<dyn Store>, StoreError>;

fn an_empty_store_has_nothing(open: Opener<'_>) {
    let store = open().unwrap();
    assert_eq!(store.get("s", b"k").unwrap(), None);
    assert_eq!(store.floor("s", b"k").unwrap(), None);
    assert!(entries(&*store, "s", b"").is_empty());
    assert!(store.spaces().unwrap().is_empty());
}

fn what_was_written_is_there_after_a_reopen(open: Opener<'_>) {
    for round in 0..5_u8 {
        let store = open().unwrap();
        for earlier in 0..round {
            assert_eq!(store.get("s", &[earlier]).unwrap(), Some(vec![earlier; 10]), "round {round}");
            assert_eq!(store.get("t", &[earlier]).unwrap(), None, "round {round}");
        }
        write(&*store, &[("s", &[round], Some(&[round; 10])), ("t", &[round], Some(b"x"))]);
        write(&*store, &[("t", &[round], None)]);
    }
}

fn a_later_change_wins(open: Opener<'_>) {
    let store = open().unwrap();
    write(&*store, &[("s", b"a", Some(b"1")), ("s", b"b", Some(b"1")), ("s", b"a", None), ("s", b"b", Some(b"2")), ("s", b"c", None)]);
    assert_eq!(entries(&*store, "s", b""), [(b"b".to_vec(), b"2".to_vec())]);
}

fn a_scan_goes_in_order(open: Opener<'_>) {
    let store = open().unwrap();
    let keys: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"ab", b"\xff\xff"];
    for key in [3, 1, 5, 0, 4, 2] {
        write(&*store, &[("s", keys[key], Some(b"v")), ("r", keys[key], Some(b"no")), ("t", keys[key], Some(b"no"))]);
    }
    let found = |from: &[u8]| entries(&*store, "s", from).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(found(b""), keys);
    assert_eq!(found(b"a\0"), keys[3..]);
    assert_eq!(found(b"aa"), keys[4..]);
    assert!(found(b"\xff\xff\xff").is_empty());
    let mut seen = 0;
    let mut stop_at_second = |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan("s", b"", &mut stop_at_second).unwrap();
    assert_eq!(seen, 2);
}

fn floor_finds_the_last_key_not_above(open: Opener<'_>) {
    let store = open().unwrap();
    write(&*store, &[("r", b"zzz", Some(b"no")), ("s", b"b", Some(b"1")), ("s", b"d", Some(b"2")), ("t", b"a", Some(b"no"))]);
    let floor = |key: &[u8]| store.floor("s", key).unwrap().map(|(key, _)| key);
    assert_eq!(floor(b"a"), None);
    assert_eq!(floor(b"b"), Some(b"b".to_vec()));
    assert_eq!(floor(b"c"), Some(b"b".to_vec()));
    assert_eq!(floor(b"d\0"), Some(b"d".to_vec()));
    assert_eq!(floor(b"\xff"), Some(b"d".to_vec()));
}

fn spaces_do_not_mix(open: Opener<'_>) {
    let store = open().unwrap();
    write(&*store, &[("b/long name/0", b"k", Some(b"1")), ("a", b"k", Some(b"2")), ("c", b"k", Some(b"3"))]);
    assert_eq!(store.spaces().unwrap(), ["a", "b/long name/0", "c"]);
    write(&*store, &[("a", b"k", None), ("never", b"k", None)]);
    assert_eq!(store.spaces().unwrap(), ["b/long name/0", "c"]);
    drop(store);
    let store = open().unwrap();
    assert_eq!(store.spaces().unwrap(), ["b/long name/0", "c"]);
    write(&*store, &[("d", b"k", Some(b"4"))]);
    assert_eq!(entries(&*store, "c", b""), [(b"k".to_vec(), b"3".to_vec())]);
    assert_eq!(entries(&*store, "d", b""), [(b"k".to_vec(), b"4".to_vec())]);
}

fn keys_and_values_may_be_empty_or_large(open: Opener<'_>) {
    let large = vec![7; 3 << 20];
    let store = open().unwrap();
    write(&*store, &[("s", b"", Some(b"")), ("s", &large[..5000], Some(&large))]);
    drop(store);
    let store = open().unwrap();
    assert_eq!(store.get("s", b"").unwrap(), Some(vec![]));
    assert_eq!(store.get("s", &large[..5000]).unwrap().map(|value| value.len()), Some(large.len()));
}

fn a_second_opener_is_kept_out(open: Opener<'_>) {
    let store = open().unwrap();
    assert!(matches!(open().err(), Some(StoreError::Locked(_))));
    drop(store);
    open().unwrap();
}

fn writers_on_several_threads_do_not_mix(open: Opener<'_>) {
    let store = open().unwrap();
    let name = |thread: u8, space: u8| format!("{thread}/{space}");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &*store;
            scope.spawn(move || (0..5).for_each(|space| write(store, &[(&name(thread, space), b"k", Some(&[thread, space]))])));
        }
    });
    for (thread, space) in (0..4).flat_map(|thread| (0..5).map(move |space| (thread, space))) {
        assert_eq!(entries(&*store, &name(thread, space), b""), [(b"k".to_vec(), vec![thread, space])]);
    }
}

fn a_scan_finds_all_of_a_write_or_nothing(open: Opener<'_>) {
    let store = open().unwrap();
    let of_round = |round: u32| {
        let mut changes = Changes::default();
        (0..1_000_u32).for_each(|key| changes.put("s", &key.to_be_bytes(), &round.to_be_bytes()));
        changes
    };
    store.write(&of_round(0)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..20).for_each(|round| store.write(&of_round(round)).unwrap()));
        while !writer.is_finished() {
            let mut found = entries(&*store, "s", b"");
            assert_eq!(found.len(), 1_000);
            found.dedup_by(|a, b| a.1 == b.1);
            assert_eq!(found.len(), 1);
        }
    });
}

fn an_empty_set_of_changes_is_fine(open: Opener<'_>) {
    let store = open().unwrap();
    write(&*store, &[]);
    assert!(store.spaces().unwrap().is_empty());
}

fn runs_are_applied_all_or_none(open: Opener<'_>) {
    let store = open().unwrap();
    write(&*store, &[("s", b"a", Some(b"old")), ("s", b"b", Some(b"old"))]);
    for (end, expected) in [(Run::GiveUp, [b"old".to_vec(), b"old".to_vec()]), (Run::Last, [b"0".to_vec(), b"2".to_vec()])] {
        let mut round = 0;
        let mut next = |run: &mut Changes| {
            assert!(run.is_empty());
            assert_eq!(store.get("s", b"b").unwrap(), Some(b"old".to_vec()), "nothing is there before all is");
            run.put("s", if round == 0 { b"a" } else { b"b" }, round.to_string().as_bytes());
            run.put("new", b"k", b"v");
            round += 1;
            if round < 3 { Run::More } else { end }
        };
        assert_eq!(store.write_runs(&mut next).unwrap(), end == Run::Last);
        assert_eq!([b"a", b"b"].map(|key| store.get("s", key).unwrap().unwrap()), expected);
        assert_eq!(store.get("new", b"k").unwrap().is_some(), end == Run::Last);
    }
    drop(store);
    let store = open().unwrap();
    assert_eq!(store.get("s", b"b").unwrap(), Some(b"2".to_vec()));
}

fn a_snapshot_stays(open: Opener<'_>) {
    let store = open().unwrap();
    assert!(store.snapshot().unwrap().spaces().unwrap().is_empty());
    write(&*store, &[("s", b"a", Some(b"1")), ("s", b"b", Some(b"2"))]);
    let snapshot = store.snapshot().unwrap();
    write(&*store, &[("s", b"a", None), ("s", b"b", Some(b"3")), ("t", b"a", Some(b"4"))]);
    let mut found = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    snapshot.scan("s", b"", &mut keep).unwrap();
    snapshot.scan("t", b"", &mut keep).unwrap();
    assert_eq!(found, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
    assert_eq!(snapshot.spaces().unwrap(), ["s"]);
}

fn write(store: &dyn Store, entries: &[super::Change<'_>]) {
    let mut changes = Changes::default();
    for &(space, key, value) in entries {
        changes.set(space, key, value);
    }
    store.write(&changes).unwrap();
}

fn entries(store: &dyn Store, space: &str, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(space, from, &mut keep).unwrap();
    found
}
