//! Schema versions: a build reads what earlier ones have stored, each key when it is first seen.

use sangam_sdk::test::{Harness, Snapshot};
use sangam_sdk::*;

#[event]
struct Word {
    text: String,
    add: i64,
}
#[event]
struct Tally {
    count: i64,
    note: String,
}

/// Builds of one operator.
macro_rules! builds {
    ($($module:ident $state:item $methods:item)*) => {$(
        mod $module {
            use super::*;
            $state
            $methods
            #[operator(key = "text")]
            pub(crate) fn count(word: Word, state: &mut Seen) -> Tally {
                state.add(word.add);
                state.tally()
            }
        }
    )*};
}

builds! {
    first
    #[state]
    pub(crate) struct Seen { pub(crate) count: u32 }
    impl Seen {
        fn add(&mut self, n: i64) { self.count = (i64::from(self.count) + n) as u32; }
        fn tally(&self) -> Tally { Tally { count: self.count.into(), note: String::new() } }
    }

    second
    #[state(version = 2, migrate = from_first)]
    pub(crate) struct Seen { pub(crate) note: String, pub(crate) count: i64 }
    impl Seen {
        fn add(&mut self, n: i64) { self.count += n; }
        fn tally(&self) -> Tally { Tally { count: self.count, note: self.note.clone() } }
    }

    third
    #[state(version = 3, migrate = from_older, ttl = "1h")]
    pub(crate) struct Seen { pub(crate) counts: Vec<i64>, pub(crate) note: String }
    impl Seen {
        fn add(&mut self, n: i64) {
            self.counts.push(n);
            if self.counts.iter().sum::<i64>() == 0 { *self = Seen::default(); }
        }
        fn tally(&self) -> Tally { Tally { count: self.counts.iter().sum(), note: self.note.clone() } }
    }

    forgetful
    #[state(version = 2)]
    pub(crate) struct Seen { pub(crate) count: u64 }
    impl Seen {
        fn add(&mut self, _: i64) { self.count += 1; }
        fn tally(&self) -> Tally { Tally { count: self.count as i64, note: String::new() } }
    }
}

fn from_first(version: u32, bytes: &[u8]) -> Result<second::Seen> {
    Ok(second::Seen { count: first::Seen::from_bytes(bytes)?.count.into(), note: format!("from {version}") })
}

fn from_older(version: u32, bytes: &[u8]) -> Result<third::Seen> {
    let before = if version == 1 { from_first(1, bytes)? } else { second::Seen::from_bytes(bytes)? };
    Ok(third::Seen { counts: vec![before.count], note: before.note })
}

fn word(text: &str, add: i64) -> Word {
    Word { text: text.to_owned(), add }
}

/// Another build goes on from a snapshot.
fn taken_over<O: Operator>(from: &Snapshot) -> Harness<O> {
    let mut h = Harness::<O>::new();
    h.restore(from);
    h
}

#[test]
fn each_key_is_migrated_when_it_is_first_seen() {
    let mut h = Harness::<first::count>::new();
    h.send(0, word("a", 3)).send(0, word("b", 4));
    let mut h = taken_over::<second::count>(&h.snapshot());
    h.send(1, word("a", 1)).send(1, word("new", 1));
    let tallies: Vec<(i64, String)> = h.take::<Tally>("out").into_iter().map(|tally| (tally.count, tally.note)).collect();
    assert_eq!(tallies, [(4, "from 1".to_owned()), (1, String::new())]);
    // `b` still stands as the first build left it, and goes two versions at once; `a` goes one.
    let mut h = taken_over::<third::count>(&h.snapshot());
    h.send(2, word("b", 1)).send(2, word("a", 1)).send(2, word("new", 1));
    assert_eq!(h.state("b"), Some(third::Seen { counts: vec![4, 1], note: "from 1".into() }));
    assert_eq!(h.state("a"), Some(third::Seen { counts: vec![4, 1], note: "from 1".into() }));
    assert_eq!(h.state("new"), Some(third::Seen { counts: vec![1, 1], note: String::new() }));
    // Its states live for an hour from when the build first saw them.
    assert_eq!(h.timers("b"), [("$ttl".to_owned(), 2 + hours(1))]);
    h.send(3, word("b", -5)).send(3, word("a", -5)).send(3, word("new", -2));
    assert_eq!(h.keys(), Vec::<String>::new());
    assert_eq!((h.timers("a"), h.timers("b")), (vec![], vec![]));
}

#[test]
#[should_panic(
    expected = "the stored state has version 1, this build has version 2 and no way from one to the other: write #[state(version = 2, migrate = from_old)]"
)]
fn a_build_that_cannot_migrate_says_what_it_lacks() {
    let mut h = Harness::<first::count>::new();
    h.send(0, word("a", 3));
    taken_over::<forgetful::count>(&h.snapshot()).send(1, word("a", 1));
}

#[test]
#[should_panic(expected = "the stored state has version 2, this build knows versions up to 1: run the newer build")]
fn an_earlier_build_does_not_read_what_a_later_one_has_stored() {
    let mut h = Harness::<second::count>::new();
    h.send(0, word("a", 3));
    taken_over::<first::count>(&h.snapshot()).send(1, word("a", 1));
}
