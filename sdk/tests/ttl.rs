//! Time to live: an unused state is gone when its time is over, whoever asks, and leaves nothing behind.

use proptest::prelude::*;
use sangam_sdk::test::{Harness, Snapshot};
use sangam_sdk::*;

#[event]
#[derive(Eq)]
struct Step {
    key: String,
    /// `put:x` (value and cell), `set:x` (value), `cell:x`, `refuse:x`, `clear`, `touch`, `get`
    act: String,
}
#[event]
struct Answer {
    value: Option<String>,
    items: u64,
}

/// The two operators differ in nothing but what counts as a use.
macro_rules! operators {
    ($($module:ident: $state:meta),*) => {$(
        mod $module {
            use super::*;
            #[$state]
            pub(crate) struct Kept {
                pub(crate) value: Option<String>,
                pub(crate) items: Map<String, u64>,
            }
            #[operator(key = "key")]
            pub(crate) fn keep(step: Step, kept: &mut Kept, ctx: &mut Context) -> Result<Option<Answer>> {
                match step.act.split_once(':') {
                    Some(("put", value)) => {
                        kept.value = Some(value.to_owned());
                        kept.items.insert(value.to_owned(), 1);
                        Ok(None)
                    }
                    Some(("set", value)) => {
                        kept.value = Some(value.to_owned());
                        Ok(None)
                    }
                    Some(("cell", value)) => {
                        kept.items.insert(value.to_owned(), ctx.time() as u64);
                        Ok(None)
                    }
                    Some((_, value)) => {
                        kept.value = Some(value.to_owned());
                        Err(reject("refused"))
                    }
                    None => {
                        match step.act.as_str() {
                            "clear" => {
                                kept.items.clear();
                                *kept = Kept::default();
                            }
                            "touch" => ctx.touch(),
                            _ => return Ok(Some(Answer { value: kept.value.clone(), items: kept.items.len() as u64 })),
                        }
                        Ok(None)
                    }
                }
            }
        }
    )*};
}
operators! { on_write: state(ttl = "100ms"), on_read: state(ttl = "100ms", ttl_from = "read") }

type OnWrite = on_write::keep;
type OnRead = on_read::keep;

fn step(key: &str, act: &str) -> Step {
    Step { key: key.to_owned(), act: act.to_owned() }
}

/// Does the steps one after the other, from a restart each; gives what each `get` saw.
fn run<O: Operator>(steps: &[(i64, &str)]) -> (Vec<Option<String>>, Harness<O>) {
    let mut h = Harness::<O>::new();
    for (time, act) in steps {
        let before = h.snapshot();
        h.restore(&before);
        h.send(*time, step("k", act));
    }
    let seen = h.take::<Answer>("out").into_iter().map(|answer| answer.value).collect();
    (seen, h)
}

fn check<O: Operator>(steps: &[(i64, &str)], expected: &[Option<&str>]) {
    let (seen, mut h) = run::<O>(steps);
    assert_eq!(seen, expected.iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>(), "{steps:?}");
    h.end();
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]), "left behind by {steps:?}");
}

#[test]
fn a_state_expires_at_its_last_write_plus_its_time_to_live() {
    // S01
    check::<OnWrite>(
        &[(0, "put:a"), (20, "get"), (50, "put:b"), (120, "get"), (170, "put:c"), (220, "get"), (300, "get")],
        &[Some("a"), Some("b"), Some("c"), None],
    );
    // Exactly then, and not a millisecond earlier; reading does not help.
    check::<OnWrite>(&[(0, "put:a"), (99, "get"), (100, "get")], &[Some("a"), None]);
    check::<OnWrite>(&[(-100, "put:a"), (-1, "get"), (0, "get")], &[Some("a"), None]);
    // The same value again is no change: who means a write says so.
    check::<OnWrite>(&[(0, "put:a"), (50, "set:a"), (100, "get")], &[None]);
    check::<OnWrite>(&[(0, "put:a"), (50, "touch"), (149, "get"), (150, "get")], &[Some("a"), None]);
    // A write to a cell is a write.
    check::<OnWrite>(&[(0, "put:a"), (50, "cell:a"), (149, "get"), (150, "get")], &[Some("a"), None]);
}

#[test]
fn reading_prolongs_a_life_that_counts_from_the_last_read() {
    // S03
    check::<OnRead>(&[(0, "put:a"), (50, "get"), (120, "get"), (250, "get")], &[Some("a"), Some("a"), None]);
    check::<OnRead>(&[(0, "put:a"), (99, "get"), (198, "get"), (298, "get")], &[Some("a"), Some("a"), None]);
    // A key without state has no life to prolong.
    check::<OnRead>(&[(0, "get"), (50, "get")], &[None, None]);
}

#[test]
fn a_refused_event_is_no_use_and_does_not_bring_an_expired_state_back() {
    check::<OnRead>(&[(0, "put:a"), (50, "refuse:b"), (99, "get")], &[Some("a")]);
    check::<OnRead>(&[(0, "put:a"), (50, "refuse:b"), (100, "get")], &[None]);
    check::<OnWrite>(&[(0, "put:a"), (100, "refuse:b"), (100, "get")], &[None]);
}

#[test]
fn times_of_last_use_are_part_of_a_snapshot_and_later_writes_are_not() {
    // S05
    let mut h = Harness::<OnWrite>::new();
    for (time, key, act) in [(0, "k1", "put:a"), (50, "k1", "put:b"), (100, "k2", "put:a")] {
        h.send(time, step(key, act));
    }
    let snapshot: Snapshot = h.snapshot();
    h.send(170, step("k1", "put:c")).send(170, step("k2", "put:b"));
    h.restore(&snapshot);
    h.send(180, step("k1", "get")).send(180, step("k2", "get"));
    let seen: Vec<_> = h.take::<Answer>("out").into_iter().map(|answer| answer.value).collect();
    assert_eq!(seen, [None, Some("a".to_owned())]);
}

#[test]
fn an_expired_state_leaves_the_store_with_its_cells_when_the_watermark_gets_there() {
    let mut h = Harness::<OnWrite>::new();
    h.send(0, step("k", "put:a")).send(30, step("k", "put:b"));
    // One timer, set when the state was made; it finds out that the state has been used since, and waits on.
    assert_eq!(h.timers("k"), [("$ttl".to_owned(), 100)]);
    h.advance(129);
    assert_eq!((h.keys(), h.timers("k")), (vec!["k".to_owned()], vec![("$ttl".to_owned(), 130)]));
    h.advance(130);
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]));
    // So does a state that the operator itself forgets.
    h.send(140, step("k", "put:a")).send(150, step("k", "clear"));
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]));
}

#[test]
fn a_late_event_is_handled_at_the_watermark() {
    let mut h = Harness::<OnWrite>::new();
    h.advance(500);
    h.send(40, step("k", "put:a")).send(60, step("k", "get"));
    assert_eq!(h.take::<Answer>("out")[0].value, Some("a".to_owned()));
    assert_eq!(h.timers("k"), [("$ttl".to_owned(), 600)]);
}

#[test]
fn the_end_of_time_comes_before_a_life_that_would_end_after_it() {
    check::<OnWrite>(&[(i64::MAX - 50, "put:a"), (i64::MAX - 1, "get")], &[Some("a")]);
}

/// The same operator before it had a time to live, and after it has lost it again.
mod without {
    use super::*;
    #[state]
    pub(crate) struct Kept {
        pub(crate) value: Option<String>,
        pub(crate) items: Map<String, u64>,
    }
    #[operator(key = "key")]
    pub(crate) fn keep(step: Step, kept: &mut Kept) -> Option<Answer> {
        match step.act.split_once(':') {
            Some((_, value)) => {
                kept.value = Some(value.to_owned());
                None
            }
            None => Some(Answer { value: kept.value.clone(), items: kept.items.len() as u64 }),
        }
    }
}

#[test]
fn a_build_that_brings_a_time_to_live_counts_it_from_the_first_event_that_it_sees() {
    let mut before = Harness::<without::keep>::new();
    before.send(0, step("k", "put:a"));
    let mut h = Harness::<OnWrite>::new();
    h.restore(&before.snapshot());
    h.send(1_000, step("k", "get")).send(1_099, step("k", "get")).send(1_100, step("k", "get"));
    let seen: Vec<_> = h.take::<Answer>("out").into_iter().map(|answer| answer.value).collect();
    assert_eq!(seen, [Some("a".to_owned()), Some("a".to_owned()), None]);
}

#[test]
fn a_build_that_takes_the_time_to_live_away_keeps_what_is_there() {
    let mut before = Harness::<OnWrite>::new();
    before.send(0, step("k", "put:a"));
    let mut h = Harness::<without::keep>::new();
    h.restore(&before.snapshot());
    h.advance(500);
    h.send(500, step("k", "get"));
    assert_eq!(h.take::<Answer>("out")[0].value, Some("a".to_owned()));
    assert_eq!(h.timers("k"), []);
}

/// Timers of its own beside that of its state's life.
mod timers {
    use super::*;
    #[state(ttl = "100ms")]
    pub(crate) struct Count {
        pub(crate) seen: u64,
    }
    #[config]
    pub(crate) struct Counting {}
    #[operator(key = "key")]
    impl Counting {
        pub(crate) fn on_event(&self, step: Step, count: &mut Count, ctx: &mut Context) {
            if step.act == "count" {
                count.seen += 1;
            }
            ctx.wake("look", ctx.time() + 100);
        }
        pub(crate) fn on_timer(&self, timer: Timer, count: &mut Count) -> Answer {
            Answer { value: Some(timer.name().to_owned()), items: count.seen }
        }
    }
}

#[test]
fn a_timer_at_the_end_of_a_life_finds_nothing_and_one_before_it_finds_all() {
    let mut h = Harness::<timers::Counting>::new();
    h.send(0, step("k", "count")).advance(100);
    h.send(200, step("k", "count")).send(250, step("k", "count"));
    h.advance(340).send(345, step("k", "wake")).end();
    let items: Vec<u64> = h.take::<Answer>("out").into_iter().map(|answer| answer.items).collect();
    // At 100 the life of the first count ends; at 445 that of the others has been over since 350.
    assert_eq!(items, [0, 0]);
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]));
}

proptest! {
    /// Against a model, and in batches of any size.
    #[test]
    fn what_a_state_shows_is_what_was_last_put_within_its_life(
        steps in prop::collection::vec((0..40i64, 0..6u8, 0..3u8, prop::option::of(0..60i64)), 1..60),
        batch in 1..20usize,
        from_read in any::<bool>(),
    ) {
        let (mut time, mut watermark) = (0, i64::MIN);
        let mut planned = Vec::new();
        let mut model: [Option<(String, i64)>; 3] = [const { None }; 3];
        let mut expected = Vec::new();
        for (i, (later, act, key, advance)) in steps.into_iter().enumerate() {
            time += later;
            let at = time - 15 * i64::from(act == 5);
            let now = at.max(watermark);
            let kept = &mut model[key as usize];
            if kept.as_ref().is_some_and(|(_, used)| now >= used + 100) {
                *kept = None;
            }
            let what = match act {
                0 => {
                    *kept = Some((format!("v{i}"), now.max(kept.as_ref().map_or(now, |(_, used)| *used))));
                    format!("put:v{i}")
                }
                1 => {
                    *kept = None;
                    "clear".to_owned()
                }
                2 => format!("refuse:v{i}"),
                _ => {
                    expected.push(kept.as_ref().map(|(value, _)| value.clone()));
                    if let Some((_, used)) = kept && from_read {
                        *used = now.max(*used);
                    }
                    "get".to_owned()
                }
            };
            watermark = watermark.max(advance.map_or(i64::MIN, |back| time - back));
            planned.push((at, step(["a", "b", "c"][key as usize], &what), watermark));
        }
        let (seen, left) = if from_read { play::<OnRead>(&planned, batch) } else { play::<OnWrite>(&planned, batch) };
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(&left, &if from_read { play::<OnRead>(&planned, 1).1 } else { play::<OnWrite>(&planned, 1).1 });
        prop_assert_eq!(left.1, (Vec::<String>::new(), 0), "left behind");
    }
}

/// What `get` saw; what there was before the end of time: states and timers; and what there was after it.
#[expect(clippy::type_complexity, reason = "looked at in one place")]
fn play<O: Operator>(
    steps: &[(i64, Step, i64)],
    batch: usize,
) -> (Vec<Option<String>>, (Vec<(String, Vec<(String, i64)>)>, (Vec<String>, usize))) {
    let mut h = Harness::<O>::new().batch(batch);
    for (time, step, watermark) in steps {
        h.send(*time, step.clone()).advance(*watermark);
    }
    let timers = |h: &mut Harness<O>| ["a", "b", "c"].map(|key| (key.to_owned(), h.timers(key))).to_vec();
    let before = timers(&mut h);
    h.end();
    let after = timers(&mut h).iter().map(|(_, timers)| timers.len()).sum();
    let seen = h.take::<Answer>("out").into_iter().map(|answer| answer.value).collect();
    (seen, (before, (h.keys(), after)))
}

/// A life by the host's clock.
mod by_clock {
    use super::*;

    #[state(ttl = "10ms", ttl_time = "processing")]
    pub(crate) struct First {
        pub(crate) value: Option<i64>,
    }
    #[event]
    pub(crate) struct Line {
        pub(crate) key: String,
        pub(crate) value: i64,
    }
    /// The first row of each key.
    #[operator(key = "key", processing_time)]
    pub(crate) fn first(row: Line, first: &mut First) -> Option<Line> {
        first.value.is_none().then(|| {
            first.value = Some(row.value);
            row
        })
    }
}

#[test]
fn a_life_by_the_clock_takes_no_notice_of_event_time() {
    // D01
    let mut h = Harness::<by_clock::first>::new();
    let row = |key: &str, value| by_clock::Line { key: key.to_owned(), value };
    let mut seen: Vec<(String, i64, i64)> = Vec::new();
    let mut take = |h: &mut Harness<by_clock::first>| {
        let sent: Vec<_> = h.outputs().iter().map(|sent| (sent.decode::<by_clock::Line>(), sent.time)).collect();
        h.take::<by_clock::Line>("out");
        seen.extend(sent.into_iter().map(|(row, time)| (row.key, row.value, time)));
    };
    h.send(99, row("key1", 13)).send(99, row("key1", 13)).send(100, row("key1", 12)).send(101, row("key2", 11)).advance(102);
    take(&mut h);
    let snapshot = h.snapshot();
    h.restore(&snapshot);
    h.send(300, row("key1", 12)).send(301, row("key2", 11)).send(299, row("key3", 5)).advance(302);
    take(&mut h);
    assert_eq!((h.keys().len(), h.timers("key1"), h.processing_timers("key1")), (3, vec![], vec![("$ttl".to_owned(), 10)]));
    h.processing_time(11);
    assert_eq!((h.keys(), h.processing_timers("key1")), (vec![], vec![]));
    h.send(400, row("key1", 12)).send(401, row("key2", 11)).advance(402);
    take(&mut h);
    let expected = [("key1", 13, 99), ("key2", 11, 101), ("key3", 5, 299), ("key1", 12, 400), ("key2", 11, 401)];
    assert_eq!(seen, expected.map(|(key, value, time)| (key.to_owned(), value, time)));
    h.end();
    assert_eq!(h.keys().len(), 2, "the end of event time is not the end of a life by the clock");
    h.processing_time(21);
    assert_eq!((h.keys(), h.processing_timers("key2")), (vec![], vec![]));
}

#[test]
fn a_life_by_the_clock_ends_exactly_then() {
    let mut h = Harness::<by_clock::first>::new();
    let row = || by_clock::Line { key: "k".into(), value: 1 };
    h.processing_time(5).send(0, row()).processing_time(14).send(0, row()).flush();
    assert_eq!(h.take::<by_clock::Line>("out").len(), 1);
    h.processing_time(15).send(0, row());
    assert_eq!(h.take::<by_clock::Line>("out").len(), 1);
}
