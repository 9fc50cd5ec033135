//! Random runs against oracles that look at everything at once, and the same runs cut into batches at random.
//!
//! What is compared comes through the harness; at the end of each run no state and no timer may be left.

#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use joins::{In, Joins, Out, Row};
use proptest::prelude::*;
use sangam_sdk::Millis;
use sangam_sdk::test::{Harness, Sent};

/// No watermark yet.
const WATERMARK_MIN: Millis = Millis::MIN;

#[derive(Clone, Debug)]
enum Step {
    /// A row of the left or the right side with its time; its value is the number of the step.
    Send(bool, Millis),
    Advance(Millis),
}

/// Rows and watermarks that drift forward together, with rows before and behind the watermark.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (any::<bool>(), -15i64..25).prop_map(|(left, jitter)| Step::Send(left, jitter)),
        1 => (-10i64..5).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let drift = |(i, step)| match step {
            Step::Send(left, jitter) => Step::Send(left, i as i64 + jitter),
            Step::Advance(jitter) => Step::Advance(i as i64 + jitter),
        };
        steps.into_iter().enumerate().map(drift).collect()
    })
}

fn config(what: &str) -> Joins {
    Joins { what: what.into(), kind: "inner".into(), size: 1, n: 1, ..Joins::default() }
}

fn kind() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["inner", "left", "right", "full"]).prop_map(str::to_owned)
}

/// What a run gives: per step what came out, the numbers of late events.
type Seen = (Vec<Vec<Sent>>, Vec<usize>);

/// Plays the steps, each in a batch of its own, and everything in batches that end where `cut` says: both must give the same.
fn play(config: &Joins, steps: &[Step], cuts: &[bool]) -> Seen {
    let mut h = Harness::<Joins>::with(config.clone());
    let mut per_step = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let before = h.outputs().len();
        feed(&mut h, i, step);
        per_step.push(h.outputs()[before..].to_vec());
    }
    let before = h.outputs().len();
    h.end();
    per_step.push(h.outputs()[before..].to_vec());
    let mut cut = Harness::<Joins>::with(config.clone()).batch(usize::MAX);
    for (i, step) in steps.iter().enumerate() {
        feed(&mut cut, i, step);
        if cuts[i % cuts.len()] {
            cut.flush();
        }
    }
    cut.end();
    assert_eq!(cut.outputs(), h.outputs(), "batching shows");
    assert_eq!(cut.late(), h.late());
    for h in [&mut h, &mut cut] {
        assert_eq!((h.keys(), h.timers("k")), (Vec::new(), Vec::new()), "state or a timer is left behind");
    }
    let sends: Vec<usize> = steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Send(..))).map(|(i, _)| i).collect();
    (per_step, h.late().iter().map(|late| sends[late.event]).collect())
}

fn feed(h: &mut Harness<Joins>, i: usize, step: &Step) {
    match step {
        Step::Send(left, time) => {
            let row = Row { key: "k".into(), value: Some(i.to_string()), ..Row::default() };
            h.send(*time, if *left { In::Left(row) } else { In::Right(row) });
        }
        Step::Advance(watermark) => {
            h.advance(*watermark);
        }
    }
}

/// Left row, right row, time.
type Result3 = (Option<usize>, Option<usize>, Millis);

fn results(sent: &[Sent]) -> Vec<Result3> {
    let mut all: Vec<_> = sent
        .iter()
        .map(|sent| {
            let out: Out = sent.decode();
            let number = |value: Option<String>| value.map(|value| value.parse().unwrap());
            (number(out.left), number(out.right), sent.time)
        })
        .collect();
    all.sort();
    all
}

fn sorted(mut all: Vec<Result3>) -> Vec<Result3> {
    all.sort();
    all
}

/// The rows that a step brings: number, side, time, watermark before it.
fn rows(steps: &[Step]) -> Vec<(usize, bool, Millis, Millis)> {
    let mut watermark = WATERMARK_MIN;
    let mut rows = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Send(left, time) => rows.push((i, *left, *time, watermark)),
            Step::Advance(to) => watermark = watermark.max(*to),
        }
    }
    rows
}

// === interval ===

/// The interval join by its definition: each row as it comes is compared with every earlier one.
fn interval_oracle(rules: &Joins, steps: &[Step]) -> (Vec<Vec<Result3>>, Vec<usize>) {
    struct Kept {
        number: usize,
        left: bool,
        time: Millis,
        matched: bool,
        told: bool,
    }
    let lower = rules.lower + i64::from(rules.lower_exclusive);
    let upper = rules.upper - i64::from(rules.upper_exclusive);
    let length = if rules.late_pairs { upper - lower } else { 0 };
    // From the row's time on: how long it can be matched by rows that are not late, and how long it is there to be matched.
    let open = |left: bool| if left { upper } else { -lower } + rules.grace;
    let there = |left: bool| (if left { upper } else { -lower }).max(length).max(0) + rules.grace;
    let outer = |left: bool| rules.kind == "full" || rules.kind == if left { "left" } else { "right" };
    let mut kept: Vec<Kept> = Vec::new();
    let (mut per_step, mut late) = (Vec::new(), Vec::new());
    let mut watermark = WATERMARK_MIN;
    let one = |row: &Kept| if row.left { (Some(row.number), None, row.time) } else { (None, Some(row.number), row.time) };
    for (number, step) in steps.iter().chain([&Step::Advance(i64::MAX)]).enumerate() {
        let mut out = Vec::new();
        match step {
            Step::Send(left, time) => {
                let (left, time) = (*left, *time);
                let reach = if left { upper } else { -lower };
                let too_late = time < watermark.saturating_sub(rules.grace)
                    && !(rules.late_pairs && time + reach > watermark.saturating_sub(there(!left)));
                if too_late {
                    late.push(number);
                    per_step.push(out);
                    continue;
                }
                let mut row = Kept { number, left, time, matched: false, told: false };
                for other in kept.iter_mut().filter(|other| other.left != left && other.time + there(other.left) > watermark) {
                    let distance = if left { other.time - time } else { time - other.time };
                    if (lower..=upper).contains(&distance) {
                        (row.matched, other.matched) = (true, true);
                        let (l, r) = if left { (number, other.number) } else { (other.number, number) };
                        out.push((Some(l), Some(r), time.max(other.time)));
                    }
                }
                kept.push(row);
            }
            Step::Advance(to) => watermark = watermark.max(*to),
        }
        for row in kept.iter_mut().filter(|row| outer(row.left) && !row.matched && !row.told) {
            if row.time + open(row.left) <= watermark {
                row.told = true;
                out.push(one(row));
            }
        }
        per_step.push(sorted(out));
    }
    (per_step, late)
}

fn interval() -> impl Strategy<Value = Joins> {
    (kind(), -12i64..12, 0i64..15, any::<[bool; 3]>(), 0i64..8).prop_map(|(kind, lower, length, [a, b, late_pairs], grace)| Joins {
        kind,
        lower,
        upper: lower + length,
        lower_exclusive: a,
        upper_exclusive: b,
        late_pairs,
        grace,
        ..config("interval")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_interval_join_is_what_comparing_every_row_with_every_other_gives(
        rules in interval(), steps in steps(), cuts in prop::collection::vec(any::<bool>(), 60),
    ) {
        let (seen, late) = play(&rules, &steps, &cuts);
        let (expected, expected_late) = interval_oracle(&rules, &steps);
        prop_assert_eq!(late, expected_late);
        prop_assert_eq!(seen.iter().map(|sent| results(sent)).collect::<Vec<_>>(), expected);
    }

    /// Without rows behind the watermark the result is the one of SQL, whatever the watermarks were.
    #[test]
    fn an_interval_join_of_rows_that_are_not_late_is_the_join_of_sql(
        rules in interval(), steps in steps(), cuts in prop::collection::vec(any::<bool>(), 60),
    ) {
        let rows_in_time: Vec<_> = rows(&steps).into_iter().filter(|(_, _, time, watermark)| *time > watermark.saturating_sub(rules.grace)).collect();
        let kept: Vec<usize> = rows_in_time.iter().map(|(i, ..)| *i).collect();
        let steps: Vec<_> = steps.into_iter().enumerate().map(|(i, step)| match step {
            // The place of a late row is taken by a watermark that changes nothing.
            Step::Send(..) if !kept.contains(&i) => Step::Advance(WATERMARK_MIN),
            step => step,
        }).collect();
        let (seen, late) = play(&rules, &steps, &cuts);
        let lower = rules.lower + i64::from(rules.lower_exclusive);
        let upper = rules.upper - i64::from(rules.upper_exclusive);
        let side = |wanted: bool| rows_in_time.iter().filter(move |(_, left, ..)| *left == wanted);
        let mut expected: Vec<Result3> = Vec::new();
        for (l, _, left, _) in side(true) {
            expected.extend(side(false).filter(|(_, _, right, _)| (lower..=upper).contains(&(right - left))).map(|(r, _, right, _)| (Some(*l), Some(*r), *left.max(right))));
        }
        let pairs = expected.clone();
        for (i, left, time, _) in &rows_in_time {
            let alone = !pairs.iter().any(|(l, r, _)| if *left { *l == Some(*i) } else { *r == Some(*i) });
            if alone && (rules.kind == "full" || rules.kind == if *left { "left" } else { "right" }) {
                expected.push(if *left { (Some(*i), None, *time) } else { (None, Some(*i), *time) });
            }
        }
        prop_assert_eq!(late, Vec::<usize>::new());
        prop_assert_eq!(results(&seen.concat()), sorted(expected));
    }

    // === window ===

    #[test]
    fn a_window_join_is_the_product_of_both_sides_of_each_window(
        (kind, size, slide, offset, grace) in (kind(), 1i64..20, 1i64..24, -9i64..9, 0i64..6),
        steps in steps(), cuts in prop::collection::vec(any::<bool>(), 60),
    ) {
        let rules = Joins { kind: kind.clone(), size, slide, offset, grace, ..config("window") };
        let (seen, late) = play(&rules, &steps, &cuts);
        let rows = rows(&steps);
        let mut expected: Vec<Result3> = Vec::new();
        let starts = (-200i64..300).filter(|start| (start - offset).rem_euclid(slide) == 0);
        let mut open_for = vec![0; steps.len()];
        let mut windows_of = vec![0; steps.len()];
        for start in starts {
            let last = start + size - 1;
            let inside: Vec<_> = rows.iter().filter(|(_, _, time, _)| (start..=last).contains(time)).collect();
            inside.iter().for_each(|(i, ..)| windows_of[*i] += 1);
            let taken: Vec<_> = inside.into_iter().filter(|(_, _, _, watermark)| last + grace > *watermark).collect();
            taken.iter().for_each(|(i, ..)| open_for[*i] += 1);
            let side = |wanted: bool| taken.iter().filter(move |(_, left, ..)| *left == wanted).map(|(i, ..)| *i);
            for l in side(true) {
                expected.extend(side(false).map(|r| (Some(l), Some(r), last)));
            }
            if side(false).next().is_none() && (kind == "left" || kind == "full") {
                expected.extend(side(true).map(|l| (Some(l), None, last)));
            }
            if side(true).next().is_none() && (kind == "right" || kind == "full") {
                expected.extend(side(false).map(|r| (None, Some(r), last)));
            }
        }
        prop_assert_eq!(results(&seen.concat()), sorted(expected));
        let expected_late: Vec<_> = (0..steps.len()).filter(|i| windows_of[*i] > 0 && open_for[*i] == 0).collect();
        prop_assert_eq!(late, expected_late);
        // Windows close in order.
        let times: Vec<_> = seen.concat().iter().map(|sent| sent.time).collect();
        prop_assert!(times.is_sorted());
    }

    // === as of ===

    /// Of versions and rows that are not late each row meets the last version that is not after it, whenever that came.
    #[test]
    fn an_as_of_join_finds_the_version_of_each_rows_time(
        (left_join, grace) in (any::<bool>(), 0i64..8), steps in steps(), cuts in prop::collection::vec(any::<bool>(), 60),
    ) {
        let rules = Joins { kind: if left_join { "left" } else { "inner" }.into(), grace, ..config("as_of") };
        let rows: Vec<_> = rows(&steps).into_iter().filter(|(_, _, time, watermark)| *time > watermark.saturating_sub(grace)).collect();
        let kept: Vec<usize> = rows.iter().map(|(i, ..)| *i).collect();
        let steps: Vec<_> = steps.into_iter().enumerate().map(|(i, step)| match step {
            Step::Send(..) if !kept.contains(&i) => Step::Advance(WATERMARK_MIN),
            step => step,
        }).collect();
        let mut h = Harness::<Joins>::with(rules.clone());
        let mut cut = Harness::<Joins>::with(rules).batch(usize::MAX);
        let deleted = |i: usize| i.is_multiple_of(4);
        for (i, step) in steps.iter().enumerate() {
            for h in [&mut h, &mut cut] {
                match step {
                    // Every fourth version deletes the key.
                    Step::Send(false, time) if deleted(i) => {
                        h.send(*time, In::Right(Row { key: "k".into(), ..Row::default() }));
                    }
                    step => feed(h, i, step),
                }
            }
            if cuts[i] {
                cut.flush();
            }
        }
        for h in [&mut h, &mut cut] {
            h.send(10_000, In::Right(Row { key: "k".into(), ..Row::default() })).end();
            prop_assert_eq!((h.keys(), h.timers("k")), (Vec::new(), Vec::new()));
        }
        prop_assert_eq!(h.outputs(), cut.outputs());
        let mut expected = Vec::new();
        for (l, _, time, _) in rows.iter().filter(|(_, left, ..)| *left) {
            let versions = rows.iter().filter(|(_, left, at, _)| !left && at <= time);
            let version = versions.max_by_key(|(i, _, at, _)| (*at, *i)).map(|(i, ..)| *i).filter(|i| !deleted(*i));
            if version.is_some() || left_join {
                expected.push((Some(*l), version, *time));
            }
        }
        prop_assert_eq!(results(h.outputs()), sorted(expected));
    }
}
