//! Random rows through deduplication, top-N, suppression and joined tables: what the changes add up to is what a look at all rows gives.

use std::collections::BTreeMap;

use joins::{In, Joins, Out, Row};
use proptest::prelude::*;
use sangam_sdk::Millis;
use sangam_sdk::test::{Harness, Sent};

fn config(what: &str) -> Joins {
    Joins { what: what.into(), kind: "inner".into(), size: 1, n: 1, ..Joins::default() }
}

fn row(value: Option<String>) -> Row {
    Row { key: "k".into(), value, ..Row::default() }
}

/// Sends all steps one by one and calls `look` after each with what it brought; then in batches, which must give the same.
fn play<S>(config: &Joins, steps: &[S], cuts: &[bool], send: impl Fn(&mut Harness<Joins>, &S), mut look: impl FnMut(&S, &[Sent])) {
    let mut h = Harness::<Joins>::with(config.clone());
    let mut cut = Harness::<Joins>::with(config.clone()).batch(usize::MAX);
    h.processing_time(0);
    cut.processing_time(0);
    for (step, end) in steps.iter().zip(cuts.iter().cycle()) {
        let before = h.outputs().len();
        send(&mut h, step);
        look(step, &h.outputs()[before..]);
        send(&mut cut, step);
        if *end {
            cut.flush();
        }
    }
    h.end();
    cut.end();
    assert_eq!(h.outputs(), cut.outputs(), "batching shows");
    assert_eq!((h.keys(), h.timers("k")), (cut.keys(), cut.timers("k")));
    assert_eq!(h.timers("k"), [], "a timer is left behind");
}

fn out(sent: &Sent) -> Out {
    sent.decode()
}

fn cuts() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn deduplication_leaves_the_first_or_the_last_row_by_time(
        last in any::<bool>(), times in prop::collection::vec(0i64..12, 1..40), cuts in cuts(),
    ) {
        let steps: Vec<(usize, Millis)> = times.into_iter().enumerate().collect();
        let mut kept: Option<String> = None;
        let mut seen: Vec<(usize, Millis)> = Vec::new();
        let send = |h: &mut Harness<Joins>, (i, time): &(usize, Millis)| {
            h.send(*time, In::Left(row(Some(i.to_string()))));
        };
        play(&Joins { last, ..config("dedup") }, &steps, &cuts, send, |step, sent| {
            for out in sent.iter().map(out) {
                let adds = ["+I", "+U"].contains(&out.change.as_deref().unwrap());
                assert_eq!(kept.is_none(), adds, "a row is there only once");
                kept = if adds { out.left } else { assert_eq!(kept, out.left); None };
            }
            seen.push(*step);
            let oldest = seen.iter().min_by_key(|(i, time)| (*time, *i));
            let newest = seen.iter().max_by_key(|(i, time)| (*time, *i));
            assert_eq!(kept, if last { newest } else { oldest }.map(|(i, _)| i.to_string()));
        });
    }

    /// With a time to live no two rows of a key are let through while the first is remembered.
    #[test]
    fn a_key_counts_as_new_when_its_time_to_live_is_over(
        ttl in 0i64..10, steps in prop::collection::vec((-4i64..8, 0i64..4), 1..40), cuts in cuts(),
    ) {
        let mut time = 0;
        let steps: Vec<(Millis, Millis)> = steps.into_iter().map(|(jitter, step)| { time += step; (time + jitter, time) }).collect();
        let mut kept: Option<Millis> = None;
        let send = |h: &mut Harness<Joins>, (time, watermark): &(Millis, Millis)| {
            h.send(*time, In::Left(row(Some(time.to_string())))).advance(*watermark);
        };
        let mut reached = Millis::MIN;
        play(&Joins { ttl: Some(ttl), ..config("dedup") }, &steps, &cuts, send, |(time, watermark), sent| {
            kept = kept.filter(|kept| kept + ttl > reached);
            let new = time + ttl > reached && kept.is_none_or(|kept| *time < kept);
            assert_eq!(!sent.is_empty(), new, "{time} under {reached} with {kept:?}");
            kept = if new { Some(*time) } else { kept };
            reached = reached.max(*watermark);
        });
    }

    #[test]
    fn the_changes_of_a_ranking_add_up_to_the_best_rows(
        (n, ranked, all, descending) in (0u64..5, any::<bool>(), any::<bool>(), any::<bool>()),
        steps in prop::collection::vec((0i64..8, any::<bool>(), any::<prop::sample::Index>()), 1..50), cuts in cuts(),
    ) {
        let rules = Joins { n, ranked, descending, keep: all.then_some(u64::from(u32::MAX)), ..config("top") };
        // Where only the best are kept, rows only come.
        let mut there: Vec<(usize, i64)> = Vec::new();
        let steps: Vec<(bool, usize, i64)> = steps.into_iter().enumerate().map(|(i, (number, adds, which))| {
            if adds || !all || there.is_empty() {
                there.push((i, number));
                return (true, i, number);
            }
            let (gone, number) = there.remove(which.index(there.len()));
            (false, gone, number)
        }).collect();
        let send = |h: &mut Harness<Joins>, (adds, name, number): &(bool, usize, i64)| {
            let row = Row { number: Some(*number), ..row(Some(name.to_string())) };
            h.send(0, if *adds { In::Left(row) } else { In::Right(row) });
        };
        let mut rows: Vec<(usize, i64)> = Vec::new();
        let mut plain: Vec<String> = Vec::new();
        let mut ranks: BTreeMap<u64, String> = BTreeMap::new();
        play(&rules, &steps, &cuts, send, |(adds, name, number), sent| {
            if *adds { rows.push((*name, *number)) } else { rows.retain(|(other, _)| other != name) }
            let mut best = rows.clone();
            best.sort_by_key(|(name, number)| (if descending { -number } else { *number }, *name));
            let best: Vec<_> = best.into_iter().take(n as usize).map(|(name, _)| name.to_string()).collect();
            for out in sent.iter().map(out) {
                let (row, change) = (out.left.unwrap(), out.change.unwrap());
                match (ranked, change.as_str()) {
                    (false, "+I" | "+U") => plain.push(row),
                    (false, _) => { let place = plain.iter().position(|other| *other == row).unwrap(); plain.remove(place); }
                    (true, "+I") => assert_eq!(ranks.insert(out.rank.unwrap(), row), None),
                    (true, "+U") => assert_eq!(ranks.insert(out.rank.unwrap(), row), None),
                    (true, _) => assert_eq!(ranks.remove(&out.rank.unwrap()), Some(row)),
                }
                assert!(plain.len() <= n as usize && ranks.len() <= n as usize, "never more than the best, not even for a moment");
            }
            if ranked {
                assert_eq!(ranks.values().collect::<Vec<_>>(), best.iter().collect::<Vec<_>>());
                assert!(ranks.keys().copied().eq(1..=best.len() as u64));
            } else {
                let mut best = best;
                plain.sort();
                best.sort();
                assert_eq!(plain, best);
            }
        });
    }

    #[test]
    fn a_buffer_lets_go_of_the_last_update_of_each_key_when_its_time_comes_or_it_is_full(
        (limit, max_records) in (0i64..12, prop::option::of(0u64..4)),
        steps in prop::collection::vec((0u8..5, -3i64..3, 0i64..4, any::<bool>()), 1..50), cuts in cuts(),
    ) {
        let mut now = 0;
        let steps: Vec<_> = steps.into_iter().enumerate().map(|(i, (part, jitter, step, deletes))| {
            now += step;
            (part.to_string(), now + jitter, now, (!deletes).then(|| i.to_string()))
        }).collect();
        type Step = (String, Millis, Millis, Option<String>);
        let send = |h: &mut Harness<Joins>, (part, time, watermark, value): &Step| {
            h.send(*time, In::Left(Row { part: Some(part.clone()), ..row(value.clone()) })).advance(*watermark);
        };
        let rules = Joins { limit: Some(limit), max_records, ..config("suppress") };
        let mut held: BTreeMap<String, (Millis, Millis, Option<String>)> = BTreeMap::new();
        let mut reached = Millis::MIN;
        play(&rules, &steps, &cuts, send, |(part, time, watermark, value), sent| {
            let due = held.get(part).map_or(time + limit, |(due, ..)| *due);
            held.insert(part.clone(), (due, *time, value.clone()));
            let mut expected = Vec::new();
            let mut go = |held: &mut BTreeMap<String, (Millis, Millis, Option<String>)>, until: Millis, most: usize| {
                while let Some((due, part)) = held.iter().map(|(part, (due, ..))| (*due, part.clone())).min() {
                    if due > until && held.len() <= most { break }
                    let (_, time, value) = held.remove(&part).unwrap();
                    expected.push((part, time, value));
                }
            };
            go(&mut held, reached, max_records.map_or(usize::MAX, |most| most as usize));
            reached = reached.max(*watermark);
            go(&mut held, reached, usize::MAX);
            let seen: Vec<_> = sent.iter().map(|sent| match &sent.value {
                Some(_) => { let out = out(sent); (out.part.unwrap(), sent.time, out.left) }
                None => (String::from_utf8(sent.headers["part"].clone()).unwrap(), sent.time, None),
            }).collect();
            assert_eq!(seen, expected);
        });
    }

    #[test]
    fn the_join_of_two_tables_follows_every_change_and_deletes_only_what_was_there(
        kind in prop::sample::select(vec!["inner", "left", "right", "full"]),
        steps in prop::collection::vec((any::<bool>(), prop::option::of(0u8..9), 0i64..30), 1..40), cuts in cuts(),
    ) {
        let send = |h: &mut Harness<Joins>, (left, value, time): &(bool, Option<u8>, Millis)| {
            let row = row(value.map(|value| value.to_string()));
            h.send(*time, if *left { In::Left(row) } else { In::Right(row) });
        };
        type Known = Option<(u8, Millis)>;
        let (mut left_row, mut right_row): (Known, Known) = (None, None);
        play(&Joins { kind: kind.into(), ..config("table_table") }, &steps, &cuts, send, |(left, value, time), sent| {
            let joined = |l: Known, r: Known| match kind {
                "inner" => l.is_some() && r.is_some(),
                "left" => l.is_some(),
                "right" => r.is_some(),
                _ => l.is_some() || r.is_some(),
            };
            let before = joined(left_row, right_row);
            let changed = value.map(|value| (value, *time));
            if *left { left_row = changed } else { right_row = changed }
            let other = if *left { right_row } else { left_row };
            let at = other.map_or(*time, |(_, other)| other.max(*time));
            let text = |row: Known| row.map(|(value, _)| value.to_string());
            let expected = if joined(left_row, right_row) {
                vec![(Some((text(left_row), text(right_row))), at)]
            } else if before {
                vec![(None, at)]
            } else {
                vec![]
            };
            let seen: Vec<_> = sent.iter().map(|sent| {
                (sent.value.is_some().then(|| { let out = out(sent); (out.left, out.right) }), sent.time)
            }).collect();
            assert_eq!(seen, expected);
        });
    }
}
