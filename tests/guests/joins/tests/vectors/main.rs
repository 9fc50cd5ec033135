//! The facts of `tests/vectors/semantics.json` about joins, deduplication, top-N, suppression and timers.
//!
//! Each runs one event at a time, a few at a time and all at once: in the harness the state goes through its bytes between two batches, so
//! the first of these is also a restart after every step.

#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use std::collections::BTreeMap;

use joins::{In, Joins, Out, Row};
use sangam_sdk::join::Kind;
use sangam_sdk::test::{Harness, Sent};
use serde_json::Value as Json;

mod timers;

const FACTS: &str = include_str!("../../../../vectors/semantics.json");
const BATCHES: [usize; 3] = [1, 3, usize::MAX];

/// Every category that is run here; `*` is any ending.
const RUN: [&str; 10] = [
    "interval_join*",
    "stream_stream_*",
    "left_join_*",
    "stream_table_*",
    "table_table_*",
    "temporal_*",
    "dedup_*",
    "top_n",
    "suppress_*",
    "timers_*",
];

fn facts() -> Vec<Json> {
    let mut facts: Json = serde_json::from_str(FACTS).unwrap();
    facts["vectors"].as_array_mut().map(std::mem::take).unwrap()
}

fn is_of(vector: &Json, category: &str) -> bool {
    let own = vector["category"].as_str().unwrap();
    category.strip_suffix('*').map_or(own == category, |start| own.starts_with(start))
}

#[test]
fn no_fact_about_these_things_is_passed_over() {
    for vector in facts() {
        let about = ["J", "D", "N", "T"].iter().any(|letter| vector["id"].as_str().unwrap().starts_with(letter));
        let about = about || vector["category"].as_str().unwrap().contains("suppress");
        assert_eq!(about, RUN.iter().any(|category| is_of(&vector, category)), "{} {}", vector["id"], vector["category"]);
    }
}

/// Runs every vector of a category.
fn each(category: &str, run: fn(&Json, usize)) {
    let facts = facts();
    let chosen: Vec<_> = facts.iter().filter(|vector| is_of(vector, category)).collect();
    assert!(!chosen.is_empty(), "no vector of the category {category}");
    for vector in chosen {
        for batch in BATCHES {
            println!("{} in batches of {batch}", vector["id"]);
            run(vector, batch);
        }
    }
}

// === reading what the vectors say ===

fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn rules(what: &str, config: &Json) -> Joins {
    let kind = config["type"].as_str().filter(|kind| Kind::named(kind).is_some()).unwrap_or("inner");
    Joins { what: what.into(), kind: kind.into(), size: 1, n: 1, ..Joins::default() }
}

/// The intervals of a vector: one, or several cases of `[lower, upper]` or `[lower, upper, lower included, upper included]`.
fn intervals(config: &Json) -> Vec<Joins> {
    let one = |lower: &Json, upper: &Json, lower_in: &Json, upper_in: &Json| Joins {
        lower: number(lower),
        upper: number(upper),
        lower_exclusive: lower_in == false,
        upper_exclusive: upper_in == false,
        ..rules("interval", config)
    };
    match config["cases"].as_array() {
        Some(cases) => cases.iter().map(|case| one(&case[0], &case[1], &case[2], &case[3])).collect(),
        None => vec![one(&config["lower"], &config["upper"], &config["lower_incl"], &config["upper_incl"])],
    }
}

// === feeding and looking ===

fn row(key: &str, value: Option<&str>) -> Row {
    Row { key: key.into(), value: value.map(str::to_owned), ..Row::default() }
}

fn side(left: bool, row: Row) -> In {
    if left { In::Left(row) } else { In::Right(row) }
}

fn outs(h: &mut Harness<Joins>) -> Vec<(Option<Out>, Sent)> {
    let sent = h.outputs().to_vec();
    sent.into_iter().map(|sent| (sent.value.is_some().then(|| sent.decode()), sent)).collect()
}

/// A result as the vectors write it: `left-right`.
fn pair(out: &Out) -> String {
    format!("{}-{}", out.left.as_deref().unwrap_or("null"), out.right.as_deref().unwrap_or("null"))
}

fn pairs(h: &mut Harness<Joins>) -> Vec<String> {
    let mut all: Vec<_> = outs(h).iter().map(|(out, _)| pair(out.as_ref().unwrap())).collect();
    all.sort();
    all
}

fn expected_pairs(expected: &Json) -> Vec<String> {
    let mut all: Vec<_> = list(expected).iter().map(|pair| format!("{}-{}", text(&pair[0]), text(&pair[1]))).collect();
    all.sort();
    all
}

/// No state and no timer is left behind.
fn gone(h: &mut Harness<Joins>, keys: &[&str]) {
    h.end();
    assert_eq!(h.keys(), Vec::<String>::new(), "state is left behind");
    for key in keys {
        assert_eq!(h.timers(key), [], "a timer is left behind");
    }
}

// === interval joins ===

#[test]
fn an_interval_join_pairs_what_lies_within_the_bounds_and_keeps_no_row_longer_than_that_takes() {
    each("interval_join*", |vector, batch| {
        let cases = intervals(&vector["config"]);
        for (i, case) in cases.iter().enumerate() {
            let expected = if cases.len() > 1 { &vector["expect"][i] } else { &vector["expect"] };
            let with = || Harness::<Joins>::with(case.clone()).batch(batch);
            let steps = &vector["steps"];
            if steps.is_array() {
                let mut h = with();
                play_interval(&mut h, list(steps));
                assert_pairs(&mut h, expected);
                assert_eq!(h.late().len(), vector["expect_late"].as_array().map_or(0, Vec::len));
                gone(&mut h, &["k"]);
            } else if let Some(watermarks) = steps["buffers_after_wm"].as_array() {
                let mut h = with();
                [true, false].iter().for_each(|left| fill(&mut h, *left, steps, false));
                for watermark in watermarks {
                    h.advance(number(watermark));
                    let (left, right) = h.state("k").unwrap_or_default().interval.times();
                    assert_eq!(serde_json::json!([left, right]), expected[watermark.to_string()], "at watermark {watermark}");
                }
                gone(&mut h, &["k"]);
            } else {
                // Whichever side is ahead.
                for left_first in [true, false] {
                    let mut h = with();
                    fill(&mut h, left_first, steps, false);
                    fill(&mut h, !left_first, steps, true);
                    assert_pairs(&mut h, expected);
                    assert_eq!(h.late(), []);
                    gone(&mut h, &["k"]);
                }
            }
        }
    });
}

/// Sends the rows of one side; the watermark follows the side that is behind.
fn fill(h: &mut Harness<Joins>, left: bool, steps: &Json, behind: bool) {
    for time in list(&steps[if left { "left" } else { "right" }]) {
        h.send(number(time), side(left, row("k", Some(&text(time)))));
        if behind {
            h.advance(number(time));
        }
    }
}

/// `["left", time]`, `["right", time]` and `["watermark", time]`, the watermark also as one of each side.
fn play_interval(h: &mut Harness<Joins>, steps: &[Json]) {
    for step in steps {
        match step[0].as_str().unwrap() {
            "left" | "L" => h.send(number(&step[1]), In::Left(row("k", Some(&text(&step[1]))))),
            "right" | "R" => h.send(number(&step[1]), In::Right(row("k", Some(&text(&step[1]))))),
            "watermark" | "wm" => h.advance(step[2].as_i64().map_or(number(&step[1]), |right| right.min(number(&step[1])))),
            "snapshot_restore" => h.flush(),
            other => panic!("a step called {other}"),
        };
    }
}

fn assert_pairs(h: &mut Harness<Joins>, expected: &Json) {
    assert_eq!(pairs(h), expected_pairs(expected));
    for (out, sent) in outs(h) {
        let out = out.unwrap();
        let times = [out.left, out.right].map(|time| time.unwrap().parse::<i64>().unwrap());
        assert_eq!(sent.time, times[0].max(times[1]), "a pair has the later of both times");
    }
}

// === joins of two streams as Kafka Streams has them ===

/// Kafka Streams has no watermark: time stands at the latest record, and the record itself counts already when it is processed.
struct StreamTime(i64);

impl StreamTime {
    fn send(&mut self, h: &mut Harness<Joins>, left: bool, key: &str, value: &str, time: i64) {
        self.0 = self.0.max(time);
        h.advance(self.0 - 1).send(time, side(left, row(key, Some(value))));
    }
}

fn near(config: &Json) -> Joins {
    let difference = number(&config["time_difference"]);
    let (before, after) = (config["before"].as_i64().unwrap_or(difference), config["after"].as_i64().unwrap_or(difference));
    Joins { lower: -before, upper: after, grace: number(&config["grace"]), late_pairs: true, ..rules("interval", config) }
}

#[test]
fn a_join_of_two_streams_pairs_what_is_at_most_the_time_difference_apart() {
    each("stream_stream_*", |vector, batch| {
        let mut h = Harness::<Joins>::with(near(&vector["config"])).batch(batch);
        let mut clock = StreamTime(i64::MIN + 1);
        let left = vector["steps"]["left"].as_object().unwrap();
        for (key, time) in left {
            clock.send(&mut h, true, key, key, number(time));
        }
        let rounds = list(&vector["steps"]["right_rounds"]);
        for (round, expected) in rounds.iter().zip(list(&vector["expect"])) {
            let before = h.outputs().len();
            for key in left.keys() {
                clock.send(&mut h, false, key, key, number(round));
            }
            let joined: Vec<Json> = outs(&mut h)[before..].iter().map(|(_, sent)| sent.key().parse().unwrap()).collect();
            assert_eq!(&Json::from(joined), expected, "round {round}");
            assert!(outs(&mut h)[before..].iter().all(|(_, sent)| sent.time == number(round)));
        }
        gone(&mut h, &left.keys().map(String::as_str).collect::<Vec<_>>());
    });
}

#[test]
fn an_unmatched_row_is_emitted_before_the_newer_row_that_proves_it_unmatched() {
    each("left_join_*", |vector, batch| {
        let mut h = Harness::<Joins>::with(near(&vector["config"])).batch(batch);
        let mut clock = StreamTime(i64::MIN + 1);
        for (step, expected) in list(&vector["steps"]).iter().zip(list(&vector["expect"])) {
            let before = h.outputs().len();
            clock.send(&mut h, step[0] == "left", &text(&step[1][0]), &text(&step[1][1]), number(&step[1][2]));
            let seen =
                outs(&mut h)[before..].iter().map(|(out, sent)| (sent.key(), pair(out.as_ref().unwrap()), sent.time)).collect::<Vec<_>>();
            let expected =
                list(expected).iter().map(|row| (text(&row[0]), text(&row[1]).replace('+', "-"), number(&row[2]))).collect::<Vec<_>>();
            assert_eq!(seen, expected, "after {step}");
        }
        gone(&mut h, &["0", "1"]);
    });
}

// === tables ===

/// Each result as `[left-right or null, time]`.
fn shown(h: &mut Harness<Joins>) -> Json {
    outs(h).iter().map(|(out, sent)| serde_json::json!([out.as_ref().map(pair), sent.time])).collect()
}

#[test]
fn a_stream_meets_the_table_as_it_stands_or_as_it_was_where_the_table_has_versions() {
    each("stream_table_*", |vector, batch| {
        let config = &vector["config"];
        let versioned = config["right"].as_str().is_some_and(|table| table.contains("version"));
        let what = if versioned { "as_of" } else { "stream_table" };
        let (grace, history) = (config["grace"].as_i64().unwrap_or(0), config["history_retention"].as_i64().unwrap_or(1_000));
        let mut h = Harness::<Joins>::with(Joins { grace, history, ..rules(what, config) }).batch(batch);
        let mut time = i64::MIN;
        for step in list(&vector["steps"]) {
            let (left, at) = (step[0] == "L", number(&step[2]));
            h.send(at, side(left, row("k", step[1].as_str())));
            if versioned && left {
                // The join has its own stream time: the latest of the stream's records, once it is there.
                time = time.max(at);
                h.advance(time);
            }
        }
        assert_eq!(shown(&mut h), vector["expect"]);
        h.send(10_000, side(false, row("k", None)));
        gone(&mut h, &["k"]);
    });
}

#[test]
fn each_change_of_one_of_two_tables_changes_their_join_and_a_tombstone_comes_once() {
    each("table_table_*", |vector, batch| {
        let config = &vector["config"];
        let mut h = Harness::<Joins>::with(rules("table_table", config)).batch(batch);
        for step in list(&vector["steps"]) {
            h.send(number(&step[2]), side(step[0] == "L", row("k", step[1].as_str())));
        }
        assert_eq!(shown(&mut h), vector["expect"]);
        h.send(99, side(false, row("k", None))).send(99, side(true, row("k", None)));
        gone(&mut h, &["k"]);
    });
}

#[test]
fn a_row_meets_the_version_of_its_time_when_both_watermarks_have_passed_it() {
    each("temporal_*", |vector, batch| {
        for kind in ["inner", "left"] {
            let config = Joins { kind: kind.into(), ..rules("as_of", &Json::Null) };
            let mut h = Harness::<Joins>::with(config).batch(batch);
            let mut keys = BTreeMap::new();
            for step in list(&vector["steps"]) {
                let name = step[0].as_str().unwrap();
                if name == "wm" {
                    h.advance(number(&step[1]).min(number(&step[2])));
                    continue;
                }
                let (time, key, value) = (number(&step[1][0]), text(&step[1][1]), text(&step[1][2]));
                keys.insert(key.clone(), time);
                match name {
                    "left" => h.send(time, side(true, row(&key, Some(&value)))),
                    // What a row was before its update says nothing that the update does not.
                    "right-U" => &mut h,
                    "right-D" => h.send(time, side(false, row(&key, None))),
                    _ => h.send(time, side(false, row(&key, Some(&value)))),
                };
            }
            let mut expected = expected_pairs(&vector["expect"]["inner"]);
            if kind == "left" {
                expected.extend(expected_pairs(&vector["expect"]["left_only"]));
                expected.sort();
            }
            assert_eq!(pairs(&mut h), expected, "{kind}");
            let names: Vec<_> = keys.keys().map(String::as_str).collect();
            for key in &names {
                h.send(1_000, side(false, row(key, None)));
            }
            gone(&mut h, &names);
        }
    });
}

// === deduplication, top-N, suppression ===

#[test]
fn of_all_rows_of_a_key_one_is_kept_until_its_time_to_live_is_over() {
    each("dedup_*", |vector, batch| {
        let config = &vector["config"];
        let ttl = config["state_ttl_ms"].as_i64();
        let rules = Joins { last: config["keep"] == "last", ttl, ttl_by_clock: true, ..rules("dedup", &Json::Null) };
        let mut h = Harness::<Joins>::with(rules).batch(batch);
        h.processing_time(0);
        let mut keys: Vec<String> = Vec::new();
        for step in list(&vector["steps"]) {
            match step[0].as_str().unwrap() {
                "event" => {
                    // The row says its time, so that a row that is taken back says it too.
                    let value = format!("{}@{}", step[2], step[3]);
                    keys.push(text(&step[1]));
                    h.send(number(&step[3]), In::Left(row(&text(&step[1]), Some(&value))))
                }
                "watermark" => h.advance(number(&step[1])),
                "ttl_clock" => h.processing_time(number(&step[1])),
                "snapshot_restore" => h.flush(),
                other => panic!("a step called {other}"),
            };
        }
        let seen: Vec<_> = outs(&mut h).into_iter().map(|(out, sent)| (out.unwrap(), sent.key())).collect();
        let expected = list(&vector["expect"]);
        assert_eq!(seen.len(), expected.len(), "{seen:?}");
        for (out, key) in seen {
            // The source compares in any order.
            let found = expected.iter().any(|row| {
                let same = Some(format!("{}@{}", row["value"], row["ts"])) == out.left && text(&row["key"]) == key;
                same && out.change.as_deref() == Some(row["kind"].as_str().unwrap_or("+I"))
            });
            assert!(found, "{key} {out:?}");
        }
        h.processing_time(1_000_000);
        keys.iter().for_each(|key| assert_eq!(h.processing_timers(key), []));
        gone(&mut h, &keys.iter().map(String::as_str).collect::<Vec<_>>());
    });
}

#[test]
fn the_row_that_is_pushed_out_of_the_best_is_deleted_before_the_new_one_comes() {
    each("top_n", |vector, batch| {
        let mut h = Harness::<Joins>::with(rules("top", &vector["config"])).batch(batch);
        for step in list(&vector["steps"]) {
            let row = Row { number: step[2].as_i64(), n: step[1].as_u64(), ..row(&text(&step[0]), Some("")) };
            h.send(0, In::Left(row));
        }
        let told = outs(&mut h).into_iter().map(|(out, sent)| {
            let out = out.unwrap();
            // The vectors write `+` for `+I` and `-` for `-D`.
            serde_json::json!([out.change.unwrap()[..1], sent.key(), out.number])
        });
        assert_eq!(told.collect::<Json>(), vector["expect"]);
    });
}

#[test]
fn an_update_is_held_from_the_first_of_its_key_and_the_last_one_comes_out() {
    each("suppress_*", |vector, batch| {
        let config = &vector["config"];
        let limit = config["suppress_until_time_limit"].as_i64();
        let max_records = config["max_records"].as_u64();
        let mut h = Harness::<Joins>::with(Joins { limit, max_records, ..rules("suppress", &Json::Null) }).batch(batch);
        let mut time = i64::MIN;
        for update in list(&vector["expect_raw"]) {
            // Stream time: the record is put into the buffer first, then what is due leaves it.
            time = time.max(number(&update[2]));
            let row = Row { part: Some(text(&update[0])), ..row("all", Some(&text(&update[1]))) };
            h.send(number(&update[2]), In::Left(row)).advance(time);
        }
        let seen = outs(&mut h).into_iter().map(|(out, sent)| {
            let out = out.unwrap();
            serde_json::json!({"key": out.part, "value": out.left.unwrap().parse::<i64>().unwrap(), "ts": sent.time})
        });
        assert_eq!(seen.collect::<Json>(), vector["expect"]);
        gone(&mut h, &["all"]);
    });
}
