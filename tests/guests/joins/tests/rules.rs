//! The rules of joins, deduplication, top-N and suppression, one by one, as `docs/semantics.md` tells them.
//!
//! A script is rows and watermarks: `L:a@5` is the left row `a` of time 5, `R:-@6` a tombstone on the right, `W9` the watermark 9. What is
//! expected is which step brought what: `W9 > a-null@5`.

#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use joins::{In, Joins, Out, Row};
use sangam_sdk::join::{Interval, IntervalJoin, Joined};
use sangam_sdk::test::{Harness, Sent};
use sangam_sdk::*;

fn config(what: &str) -> Joins {
    Joins { what: what.into(), kind: "inner".into(), size: 1, n: 1, ..Joins::default() }
}

fn interval(kind: &str, lower: i64, upper: i64) -> Joins {
    Joins { kind: kind.into(), lower, upper, ..config("interval") }
}

/// Runs a script, each step alone; what is left at the end must be gone when all keys of tables are deleted.
fn run(config: Joins, script: &str) -> Vec<String> {
    let mut h = Harness::<Joins>::with(config);
    h.processing_time(0);
    let mut seen = Vec::new();
    for step in script.split_whitespace() {
        let (outputs, late) = (h.outputs().len(), h.late().len());
        match step.split_once(':') {
            None => h.advance(step[1..].parse().unwrap()),
            Some((side, row)) => {
                let (row, time) = row.split_once('@').unwrap();
                let row = parse(row);
                h.send(time.parse().unwrap(), if side == "L" { In::Left(row) } else { In::Right(row) })
            }
        };
        let mut brought: Vec<String> = h.outputs()[outputs..].iter().map(show).collect();
        brought.extend(h.late()[late..].iter().map(|_| "late".to_owned()));
        if !brought.is_empty() {
            seen.push(format!("{step} > {}", brought.join(" ")));
        }
    }
    seen
}

/// `value`, `value#number`, `part=value`, `part=value[start,end)`; `-` is no value.
fn parse(text: &str) -> Row {
    let (text, window) =
        text.strip_suffix(')').and_then(|text| text.split_once('[')).map_or((text, None), |(text, w)| (text, w.split_once(',')));
    let (part, value) = text.split_once('=').map_or((None, text), |(part, value)| (Some(part.to_owned()), value));
    let (value, number) = value.split_once('#').map_or((value, None), |(value, number)| (value, Some(number.parse().unwrap())));
    Row {
        key: "k".into(),
        value: (value != "-").then(|| value.to_owned()),
        number,
        part,
        window_start: window.map(|(start, _)| start.parse().unwrap()),
        window_end: window.map(|(_, end)| end.parse().unwrap()),
        ..Row::default()
    }
}

fn show(sent: &Sent) -> String {
    if sent.value.is_none() {
        return format!("gone@{}", sent.time);
    }
    let out: Out = sent.decode();
    let value = |value: Option<String>| value.unwrap_or("null".into());
    match (out.change, out.rank, out.part) {
        (Some(change), None, _) => format!("{change}{}", value(out.left)),
        (Some(change), Some(rank), _) => format!("{change}{}#{rank}", value(out.left)),
        (None, _, Some(part)) => format!("{part}={}@{}", value(out.left), sent.time),
        _ => format!("{}-{}@{}", value(out.left), value(out.right), sent.time),
    }
}

#[track_caller]
fn check(config: Joins, script: &str, expected: &[&str]) {
    assert_eq!(run(config, script), expected, "{script}");
}

// === interval ===

#[test]
fn both_bounds_of_an_interval_are_in_it_unless_said_otherwise() {
    let script = "L:a@10 R:p@8 R:q@9 R:r@12 R:s@13";
    check(interval("inner", -1, 2), script, &["R:q@9 > a-q@10", "R:r@12 > a-r@12"]);
    check(Joins { lower_exclusive: true, ..interval("inner", -1, 2) }, script, &["R:r@12 > a-r@12"]);
    check(Joins { upper_exclusive: true, ..interval("inner", -1, 2) }, script, &["R:q@9 > a-q@10"]);
}

#[test]
fn a_row_behind_the_watermark_is_late_and_one_exactly_at_it_is_not() {
    let script = "L:a@3 R:b@3 W3 L:c@4 L:d@2 R:e@2 R:f@3";
    let expected = ["R:b@3 > a-b@3", "L:c@4 > c-b@4", "L:d@2 > late", "R:e@2 > late", "R:f@3 > a-f@3 c-f@4"];
    check(interval("inner", -1, 1), script, &expected);
}

#[test]
fn grace_takes_late_rows_and_holds_the_unmatched_back_as_long() {
    let patient = Joins { grace: 10, ..interval("left", 0, 5) };
    check(patient.clone(), "L:a@1 W14 R:b@5 L:c@3 L:d@5 W100", &["R:b@5 > a-b@5", "L:c@3 > late", "L:d@5 > d-b@5"]);
    check(patient, "L:a@1 W15 W16", &["W16 > a-null@1"]);
}

#[test]
fn an_unmatched_row_comes_out_once_when_the_watermark_leaves_no_time_for_a_match() {
    check(interval("left", -5, 5), "L:a@10 R:x@30 W14 W15 W100", &["W15 > a-null@10"]);
    check(interval("right", -5, 5), "L:a@10 R:x@30 W100", &["W100 > null-x@30"]);
    check(interval("full", -5, 5), "L:a@10 R:x@30 L:b@28 W100", &["L:b@28 > b-x@30", "W100 > a-null@10"]);
    check(interval("left", -5, 5), "L:a@10 R:x@12 W100", &["R:x@12 > a-x@12"]);
}

#[test]
fn an_unmatched_row_does_not_wait_where_no_match_can_come_any_more() {
    // Its matches lie at least five milliseconds before it, where the watermark is already.
    check(interval("left", -9, -5), "W6 L:a@11", &["L:a@11 > a-null@11"]);
    check(interval("left", -9, -5), "W5 L:a@11 W6", &["W6 > a-null@11"]);
}

#[test]
fn a_late_pair_may_follow_a_row_that_was_emitted_as_unmatched() {
    let kafka = Joins { late_pairs: true, ..interval("left", -100, 0) };
    check(kafka, "L:a@1000 W1000 R:b@950", &["W1000 > a-null@1000", "R:b@950 > a-b@1000"]);
    check(interval("left", -100, 0), "L:a@1000 W1000 R:b@950", &["W1000 > a-null@1000", "R:b@950 > late"]);
}

#[test]
fn a_late_row_of_an_outer_join_that_can_find_nothing_is_late_and_not_unmatched() {
    let kafka = Joins { late_pairs: true, ..interval("full", -10, 10) };
    check(kafka, "W100 L:a@75 L:b@71 L:c@70", &["L:a@75 > a-null@75", "L:b@71 > b-null@71", "L:c@70 > late"]);
}

// === window ===

#[test]
fn a_window_join_gives_all_pairs_of_a_window_when_it_closes() {
    let tumbling = Joins { size: 10, ..config("window") };
    check(tumbling.clone(), "L:a@0 R:x@9 L:b@5 R:y@10 W8 W9 W19", &["W9 > a-x@9 b-x@9"]);
    check(Joins { kind: "full".into(), ..tumbling.clone() }, "L:a@0 R:y@10 W9 W19", &["W9 > a-null@9", "W19 > null-y@19"]);
    check(Joins { grace: 3, ..tumbling.clone() }, "L:a@0 W11 R:x@1 W12 L:b@2", &["W12 > a-x@9", "L:b@2 > late"]);
    check(Joins { slide: 5, ..tumbling }, "L:a@5 R:x@9 R:y@12 W100", &["W100 > a-x@9 a-x@14 a-y@14"]);
}

#[test]
fn a_window_join_lets_go_of_a_row_with_its_last_window() {
    let row = |value: &str| Row { key: "k".into(), value: Some(value.into()), ..Row::default() };
    let mut h = Harness::<Joins>::with(Joins { size: 10, slide: 5, ..config("window") });
    // [-5, 5) and [0, 10); [0, 10) and [5, 15).
    h.send(4, In::Left(row("a"))).send(5, In::Right(row("x")));
    let mut kept = |watermark| {
        h.advance(watermark);
        (h.state("k").unwrap_or_default().window.len(), h.timers("k").into_iter().map(|(_, at)| at).collect::<Vec<_>>())
    };
    assert_eq!(kept(3), ((1, 1), vec![4]));
    assert_eq!(kept(4), ((1, 1), vec![9]));
    assert_eq!(kept(9), ((0, 1), vec![14]));
    assert_eq!(kept(14), ((0, 0), vec![]));
}

// === as of ===

#[test]
fn a_row_meets_the_version_of_its_own_time_and_not_the_newest() {
    check(config("as_of"), "R:v1@1 R:v5@5 L:a@4 L:b@5 L:c@0 W5", &["W5 > a-v1@4 b-v5@5"]);
    let left = Joins { kind: "left".into(), ..config("as_of") };
    check(left.clone(), "R:v1@1 R:-@3 L:a@0 L:b@2 L:c@3 W5", &["W5 > a-null@0 b-v1@2 c-null@3"]);
    check(left, "R:old@1 R:new@1 L:a@1 W5", &["W5 > a-new@1"]);
}

#[test]
fn grace_lets_a_late_version_still_be_the_one() {
    let patient = Joins { grace: 10, ..config("as_of") };
    check(patient, "R:v1@1 L:a@4 W10 R:v3@3 W14", &["W14 > a-v3@4"]);
}

#[test]
fn a_row_that_comes_after_its_time_joins_at_once_with_what_is_still_known() {
    let script = "R:v1@1 W10 L:a@4 R:v8@8 L:b@9 L:c@4 W13 L:d@4";
    check(config("as_of"), script, &["L:a@4 > a-v1@4", "L:b@9 > b-v8@9"]);
    let history = Joins { history: 5, ..config("as_of") };
    check(history, script, &["L:a@4 > a-v1@4", "L:b@9 > b-v8@9", "L:c@4 > c-v1@4"]);
}

#[test]
fn versions_that_no_row_can_ask_for_are_forgotten_and_the_last_one_stays() {
    let mut h = Harness::<Joins>::with(config("as_of"));
    let mut versions = |script: &[(i64, Option<&str>)], watermark| {
        for (time, value) in script {
            h.send(*time, In::Right(Row { key: "k".into(), value: value.map(str::to_owned), ..Row::default() }));
        }
        h.advance(watermark);
        let kept = h.state("k").map_or(0, |memory| memory.as_of.len().1);
        (kept, h.timers("k").len())
    };
    assert_eq!(versions(&[(1, Some("a")), (5, Some("b")), (9, Some("c"))], 4), (3, 1));
    assert_eq!(versions(&[], 5), (2, 1));
    assert_eq!(versions(&[], 100), (1, 0));
    assert_eq!(versions(&[(7, Some("old"))], 100), (1, 0), "older than the one that counts");
    assert_eq!(versions(&[(110, None)], 109), (2, 1));
    assert_eq!(versions(&[], 110), (0, 0));
}

// === tables ===

#[test]
fn a_stream_without_a_row_in_the_table_passes_in_a_left_join_only() {
    check(config("stream_table"), "L:a@1 R:t@9 L:b@2 R:-@9 L:c@3", &["L:b@2 > b-t@2"]);
    let left = Joins { kind: "left".into(), ..config("stream_table") };
    check(left, "L:a@1 R:t@9 L:b@2 R:-@9 L:c@3", &["L:a@1 > a-null@1", "L:b@2 > b-t@2", "L:c@3 > c-null@3"]);
}

#[test]
fn a_joined_table_loses_a_row_once() {
    let script = "L:-@1 L:a@2 R:x@1 R:-@9 R:-@10 L:-@3 L:-@4";
    check(config("table_table"), script, &["R:x@1 > a-x@2", "R:-@9 > gone@9"]);
    let left = Joins { kind: "left".into(), ..config("table_table") };
    check(left, script, &["L:a@2 > a-null@2", "R:x@1 > a-x@2", "R:-@9 > a-null@9", "R:-@10 > a-null@10", "L:-@3 > gone@3"]);
}

// === deduplication ===

#[test]
fn the_first_row_is_the_one_with_the_smallest_time_whenever_it_comes() {
    check(config("dedup"), "L:a@5 L:b@5 L:c@9 L:d@3", &["L:a@5 > +Ia", "L:d@3 > -Ua +Ud"]);
}

#[test]
fn the_last_row_is_the_one_with_the_largest_time_and_of_those_the_one_that_came_last() {
    let last = Joins { last: true, ..config("dedup") };
    check(last, "L:a@5 L:b@5 L:c@4 L:d@9", &["L:a@5 > +Ia", "L:b@5 > -Ua +Ub", "L:d@9 > -Ub +Ud"]);
}

#[test]
fn a_row_whose_key_may_be_forgotten_is_late() {
    let ttl = Joins { ttl: Some(10), ..config("dedup") };
    check(ttl, "L:a@5 W14 L:b@5 W15 L:c@5 L:d@6", &["L:a@5 > +Ia", "L:c@5 > late", "L:d@6 > +Id"]);
}

// === top-N ===

#[test]
fn only_rows_that_reach_the_best_are_told_and_equal_rows_keep_their_order() {
    let two = Joins { n: 2, ..config("top") };
    let script = "L:a#12@0 L:b#19@0 L:c#19@0 L:d#11@0 L:e#11@0";
    check(two.clone(), script, &["L:a#12@0 > +Ia", "L:b#19@0 > +Ib", "L:d#11@0 > -Db +Id", "L:e#11@0 > -Da +Ie"]);
    let ranked = Joins { ranked: true, ..two };
    let shifts = ["L:a#12@0 > +Ia#1", "L:b#19@0 > +Ib#2", "L:d#11@0 > -Ua#1 +Ud#1 -Ub#2 +Ua#2", "L:e#11@0 > -Ua#2 +Ue#2"];
    check(ranked, script, &shifts);
}

#[test]
fn a_row_that_was_kept_behind_moves_up_when_one_of_the_best_is_retracted() {
    let two = Joins { n: 2, keep: Some(9), ..config("top") };
    let script = "L:a#12@0 L:b#19@0 L:c#11@0 R:a#12@0 R:x#1@0 R:b#19@0 R:c#11@0";
    let sets = ["L:a#12@0 > +Ia", "L:b#19@0 > +Ib", "L:c#11@0 > -Db +Ic", "R:a#12@0 > -Da +Ib", "R:b#19@0 > -Db", "R:c#11@0 > -Dc"];
    check(two.clone(), script, &sets);
    let ranked = Joins { ranked: true, ..two.clone() };
    let ranks = [
        "L:a#12@0 > +Ia#1",
        "L:b#19@0 > +Ib#2",
        "L:c#11@0 > -Ua#1 +Uc#1 -Ub#2 +Ua#2",
        "R:a#12@0 > -Ua#2 +Ub#2",
        "R:b#19@0 > -Db#2",
        "R:c#11@0 > -Dc#1",
    ];
    check(ranked, script, &ranks);
    check(Joins { keep: None, ..two }, "L:a#1@0 L:b#2@0 L:c#3@0 R:a#1@0", &["L:a#1@0 > +Ia", "L:b#2@0 > +Ib", "R:a#1@0 > -Da"]);
}

// === suppression ===

#[test]
fn a_windows_updates_are_one_result_when_it_has_closed() {
    let last_word = Joins { grace: 1, ..config("suppress") };
    let script = "L:w=1[0,2)@0 L:w=2[0,2)@1 L:v=1[2,4)@2 W1 L:w=3[0,2)@1 W2 W4";
    check(last_word, script, &["W2 > w=3@1", "W4 > v=1@2"]);
}

#[test]
fn a_window_that_is_taken_back_before_it_closes_was_never_there() {
    let script = "L:s1=1[0,5)@0 L:s1=-[0,5)@0 L:s2=2[0,8)@3 W100";
    check(config("suppress"), script, &["W100 > s2=2@3"]);
    // By time the reader may have seen the key before, so the tombstone stays.
    let limit = Joins { limit: Some(2), ..config("suppress") };
    check(limit, "L:a=1@0 L:a=-@1 W1 W2", &["W2 > gone@1"]);
}

#[test]
fn a_result_that_comes_when_its_window_has_closed_does_not_wait() {
    check(config("suppress"), "W100 L:w=1[0,100)@99", &["L:w=1[0,100)@99 > w=1@99"]);
}

#[test]
fn the_longest_held_leave_early_when_the_buffer_is_full() {
    let one = Joins { limit: Some(1_000), max_records: Some(1), ..config("suppress") };
    check(one, "L:v1=1@0 L:v1=0@1 L:v2=1@1 L:v1=1@2 L:x=1@3", &["L:v2=1@1 > v1=0@1", "L:v1=1@2 > v2=1@1", "L:x=1@3 > v1=1@2"]);
    // A key of one letter and a value of five take eight bytes.
    let bytes = Joins { limit: Some(1_000), max_bytes: Some(16), ..config("suppress") };
    check(bytes, "L:a=11111@0 L:b=22222@1 L:c=33333@2", &["L:c=33333@2 > a=11111@0"]);
}

#[test]
#[should_panic(expected = "the buffer that suppresses updates is full (2 of 1 records)")]
fn a_full_buffer_is_a_fault_where_it_may_not_emit_early() {
    run(Joins { limit: Some(1_000), max_records: Some(1), stop: true, ..config("suppress") }, "L:a=1@0 L:b=1@0");
}

// === two in one operator ===

#[event]
struct Seen {
    key: String,
    kind: String,
}

#[event]
struct Pair {
    what: String,
}

#[state]
struct Twice {
    near: IntervalJoin<String, String>,
    far: IntervalJoin<String, String>,
}

#[config]
struct TwoJoins {}

const NEAR: Interval = Interval::around(5).kind(join::Kind::Left).timer("near");
const FAR: Interval = Interval::around(50).kind(join::Kind::Left).timer("far");

impl TwoJoins {
    fn tell(what: &str, joined: Vec<Joined<String, String>>) -> impl Iterator<Item = Pair> {
        joined.into_iter().map(move |joined| Pair { what: format!("{what} {}", joined.right.unwrap_or("alone".into())) })
    }
}

#[operator(key = "key")]
impl TwoJoins {
    fn on_event(&self, seen: Seen, twice: &mut Twice, ctx: &mut Context) -> Result<Vec<Pair>> {
        let (near, far) = if seen.kind == "left" {
            (twice.near.left(&NEAR, seen.kind.clone(), ctx)?, twice.far.left(&FAR, seen.kind, ctx)?)
        } else {
            (twice.near.right(&NEAR, seen.kind.clone(), ctx)?, twice.far.right(&FAR, seen.kind, ctx)?)
        };
        Ok(Self::tell("near", near).chain(Self::tell("far", far)).collect())
    }
    fn on_timer(&self, timer: Timer, twice: &mut Twice, ctx: &mut Context) -> Vec<Pair> {
        let near = twice.near.on_timer(&NEAR, timer, ctx);
        let far = twice.far.on_timer(&FAR, timer, ctx);
        Self::tell("near", near).chain(Self::tell("far", far)).collect()
    }
}

#[test]
fn two_joins_in_one_operator_have_a_timer_each() {
    let mut h = Harness::<TwoJoins>::new();
    let seen = |kind: &str| Seen { key: "k".into(), kind: kind.into() };
    h.send(0, seen("left")).send(20, seen("r")).advance(5);
    assert_eq!(h.timers("k"), [("near".to_owned(), 25), ("far".to_owned(), 50)]);
    let said = |h: &mut Harness<TwoJoins>| h.take::<Pair>("out").into_iter().map(|pair| pair.what).collect::<Vec<_>>();
    assert_eq!(said(&mut h), ["far r", "near alone"]);
    h.end();
    assert_eq!((said(&mut h), h.keys(), h.timers("k")), (vec![], vec![], vec![]));
}
