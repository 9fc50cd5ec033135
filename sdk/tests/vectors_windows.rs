//! The facts about windows that other engines' test suites state (`tests/vectors/semantics.json`), each run in several ways.
//!
//! A batch boundary is a snapshot and a restore, since state goes to its bytes and back; so every size of batch is one of the ways.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[path = "support/any_window.rs"]
mod any_window;

use std::collections::BTreeMap;

use any_window::{Found, Gathered, Item, Settings, harness};
use sangam_sdk::test::Harness;
use sangam_sdk::window::{Kind, Trigger, WindowSpec, Zone};
use sangam_sdk::*;
use serde_json::Value;

/// A vector as it is written.
struct Vector(Value);

/// What happens in a run.
#[derive(Clone, Debug)]
enum Step {
    Event { key: String, value: i64, text: String, time: Millis },
    Watermark(Millis),
}

/// Everything that came out of a run.
#[derive(Debug, PartialEq)]
struct Ran {
    /// Key, time and value.
    results: Vec<(String, Millis, Found)>,
    /// Numbers of the late events.
    late: Vec<usize>,
}

impl Vector {
    fn all() -> Vec<Vector> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/semantics.json");
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        file["vectors"].as_array().unwrap().iter().cloned().map(Vector).collect()
    }

    fn of(categories: &[&str]) -> Vec<Vector> {
        let found: Vec<Vector> = Vector::all().into_iter().filter(|vector| categories.contains(&vector.text("category"))).collect();
        assert!(!found.is_empty());
        found
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.text("id")
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.0["config"][name].as_i64()
    }

    fn spec(&self) -> WindowSpec {
        let size = self.number("size").unwrap_or_default();
        let spec = match self.0["config"]["type"].as_str().unwrap() {
            "tumbling" => WindowSpec::tumbling(size),
            "sliding" | "hopping" => WindowSpec::hopping(size, self.number("slide").unwrap()),
            "sliding_on_event" => WindowSpec::sliding(self.number("time_difference").unwrap()),
            "session" => WindowSpec::session(self.number("gap").unwrap_or_else(|| self.number("gap_s").unwrap() * 1_000)),
            "session_merge" => WindowSpec::session(1),
            "global" => WindowSpec::global(),
            other => panic!("{}: windows of type {other}", self.id()),
        };
        let trigger = match self.0["config"]["trigger"].as_str() {
            None | Some("event_time" | "event_time (accumulating)" | "end_of_stream") => Trigger::on_close(),
            Some("purging(event_time)") => Trigger::on_close().purging(),
            Some(text) => {
                let (purging, inner) = text.strip_prefix("purging(").map_or((false, text), |inner| (true, inner.trim_end_matches(')')));
                let trigger = Trigger::on_count(inner.strip_prefix("count ").unwrap().parse().unwrap());
                if purging { trigger.purging() } else { trigger }
            }
        };
        spec.offset(self.number("offset").unwrap_or(0)).lateness(self.number("lateness").unwrap_or(0)).trigger(trigger)
    }

    /// The steps; `time` reads `i64::MAX` and what is reckoned from it. Jet's watermark t says less than t, Flink's up to t. Kafka has
    /// none: there it follows the newest event by the grace, which is when a window's grace has passed.
    fn steps(&self) -> Vec<Step> {
        let kafka = self.text("engine") == "kafka-streams";
        let jet = i64::from(self.text("engine") == "hazelcast-jet");
        let mut newest = Millis::MIN;
        let mut steps = Vec::new();
        for step in self.0["steps"].as_array().unwrap() {
            match step[0].as_str().unwrap() {
                "event" => {
                    let time = self.time(&step[3], newest);
                    newest = newest.max(time);
                    let text = step[2].as_str().unwrap_or_default().to_owned();
                    steps.push(Step::Event { key: step[1].as_str().unwrap().into(), value: step[2].as_i64().unwrap_or(0), text, time });
                    if kafka {
                        steps.push(Step::Watermark(newest - self.number("grace").unwrap() - 1));
                    }
                }
                "event_s" => {
                    let time = step[1].as_i64().unwrap() * 1_000;
                    steps.push(Step::Event { key: "k".into(), value: 1, text: String::new(), time });
                }
                "merge" => {
                    for window in step[1].as_array().unwrap() {
                        let time = window[0].as_i64().unwrap();
                        steps.push(Step::Event { key: "k".into(), value: 1, text: String::new(), time });
                    }
                }
                "watermark" => steps.push(Step::Watermark(self.time(&step[1], newest) - jet)),
                "end_of_input" => steps.push(Step::Watermark(Millis::MAX)),
                "snapshot_restore" => {}
                other => panic!("{}: {other}", self.id()),
            }
        }
        steps
    }

    fn time(&self, written: &Value, newest: Millis) -> Millis {
        match written.as_str() {
            None => written.as_i64().unwrap(),
            Some("window.end-1") => self.spec().windows_at(newest)[0].last(),
            Some(text) => match text.strip_prefix("i64::MAX-") {
                Some(less) => Millis::MAX - less.parse::<Millis>().unwrap(),
                None => {
                    assert_eq!(text, "i64::MAX");
                    Millis::MAX
                }
            },
        }
    }

    /// Runs the steps in every way, and checks that all ways agree and leave nothing behind.
    fn run(&self, spec: &WindowSpec) -> Ran {
        let steps = self.steps();
        let plain = run(spec, &steps, 1, false, |_| true);
        for batch in [2, 3, 5, 1_000] {
            assert_eq!(run(spec, &steps, batch, false, |_| true), plain, "{} in batches of {batch}", self.id());
        }
        assert_eq!(run(spec, &steps, 1, true, |_| true), plain, "{} reloaded after every step", self.id());
        // Two tasks, each with its keys, under the same watermark.
        let halves = ["key1", "k1"].map(|first| {
            let [one, other] = [true, false].map(|own| run(spec, &steps, 2, false, |key| (key == first) == own));
            let mut both = Ran { results: [one.results, other.results].concat(), late: [one.late, other.late].concat() };
            both.results.sort_by(order);
            both.late.sort_unstable();
            both
        });
        for both in halves {
            let mut all = Ran { results: plain.results.clone(), late: plain.late.clone() };
            all.results.sort_by(order);
            assert_eq!(both, all, "{} split over two tasks", self.id());
        }
        plain
    }

    /// Results up to the last step as the vector tells them: key, value, and time or window where it has them.
    fn check(&self) {
        let ran = self.run(&self.spec());
        let counts = self.0["config"]["agg"] == "count";
        let kafka = self.text("engine") == "kafka-streams";
        let gap = if kafka { self.number("gap").unwrap_or(0) } else { 0 };
        let mut found: Vec<String> = Vec::new();
        let mut expected: Vec<String> = Vec::new();
        let rows = self.0["expect"].as_array().unwrap();
        for row in rows {
            expected.push(format!(
                "{} {} {} {}",
                row["key"].as_str().unwrap(),
                row["value"],
                self.instant(&row["ts"], kafka),
                row["window"]
            ));
        }
        let (windows, times) = (rows.iter().any(|row| !row["window"].is_null()), rows.iter().any(|row| !row["ts"].is_null()) && !kafka);
        for (key, time, result) in &ran.results {
            let value = if counts { result.count as i64 } else { result.sum };
            let window = if windows { serde_json::json!([result.start, result.end - gap]) } else { Value::Null };
            let time = if times { time.to_string() } else { "null".into() };
            found.push(format!("{key} {value} {time} {window}"));
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}: {}", self.id(), self.text("why"));
        if let Some(late) = self.0["expect_late"].as_array() {
            let late: Vec<i64> = late.iter().map(|event| event[2].as_i64().unwrap()).collect();
            let times: Vec<i64> =
                self.steps().iter().filter_map(|step| if let Step::Event { time, .. } = step { Some(*time) } else { None }).collect();
            assert_eq!(ran.late.iter().map(|event| times[*event]).collect::<Vec<_>>(), late, "{}: late events", self.id());
        }
    }

    /// Kafka's results have the time of the newest event; ours have that of the window.
    fn instant(&self, written: &Value, kafka: bool) -> String {
        match written.as_str() {
            _ if kafka => "null".into(),
            Some(_) => self.time(written, self.newest()).to_string(),
            None => written.to_string(),
        }
    }

    fn newest(&self) -> Millis {
        let times = self.steps().into_iter().filter_map(|step| if let Step::Event { time, .. } = step { Some(time) } else { None });
        times.max().unwrap()
    }
}

fn order(a: &(String, Millis, Found), b: &(String, Millis, Found)) -> std::cmp::Ordering {
    (a.1, &a.0, a.2.start, &a.2.numbers).cmp(&(b.1, &b.0, b.2.start, &b.2.numbers))
}

/// What came out up to the last step; then time ends, and nothing may be left.
fn run(spec: &WindowSpec, steps: &[Step], batch: usize, reload: bool, takes: impl Fn(&str) -> bool) -> Ran {
    let mut h: Harness<Gathered> = harness(spec, batch);
    let mut numbers = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Event { key, value, text, time } if takes(key) => {
                numbers.push(steps[..number].iter().filter(|step| matches!(step, Step::Event { .. })).count());
                h.send(*time, Item { key: key.clone(), number: *value, text: text.clone() });
            }
            Step::Event { .. } => {}
            Step::Watermark(watermark) => {
                h.advance(*watermark);
            }
        }
        if reload {
            h.reload(Settings(spec.clone()));
        }
    }
    let results = h.outputs().iter().map(|sent| (sent.key(), sent.time, sent.decode())).collect();
    let late = h.late().iter().map(|late| numbers[late.event]).collect();
    h.end();
    assert!(h.is_idle(), "something is left: {:?}", h.keys());
    Ran { results, late }
}

#[test]
fn windows_of_an_event() {
    for vector in Vector::of(&["assigner"]) {
        for (step, expected) in vector.0["steps"].as_array().unwrap().iter().zip(vector.0["expect"].as_array().unwrap()) {
            let windows = vector.spec().windows_at(step[1].as_i64().unwrap());
            let windows: Vec<[i64; 2]> = windows.into_iter().map(|window| [window.start, window.end]).collect();
            assert_eq!(serde_json::json!(windows), *expected, "{}: {}", vector.id(), vector.text("why"));
        }
    }
}

#[test]
fn definitions_that_no_window_can_meet() {
    for vector in Vector::of(&["assigner_invalid"]) {
        for step in vector.0["steps"].as_array().unwrap() {
            let number = |name: &str, default: i64| match &step[1][name] {
                Value::Null => default,
                Value::String(text) => 10 + i64::from(text == "size+1"),
                number => number.as_i64().unwrap(),
            };
            let size = number("size", 10);
            let tumbling = WindowSpec::tumbling(size).offset(number("offset", 0)).lateness(number("grace", 0));
            let checks = [tumbling, WindowSpec::hopping(10, number("advance", 10))].map(|spec| spec.check().is_ok());
            assert_eq!(checks == [true, true], step[0] == "accept", "{}: {step}", vector.id());
        }
    }
}

#[test]
fn wall_clocks() {
    for vector in Vector::of(&["timezone"]) {
        let zone = Zone::named(vector.0["config"]["zone"].as_str().unwrap()).unwrap();
        for (step, expected) in vector.0["steps"].as_array().unwrap().iter().zip(vector.0["expect"].as_array().unwrap()) {
            let local = match step[1].as_str().unwrap() {
                "i64::MAX" => i64::MAX,
                text => {
                    let (day, time) = text.split_once('T').unwrap();
                    assert_eq!(day, "1970-01-01");
                    let parts: Vec<f64> = time.split(':').map(|part| part.parse().unwrap()).collect();
                    ((parts[0] * 3_600.0 + parts[1] * 60.0 + parts[2]) * 1_000.0).round() as i64
                }
            };
            let expected = expected.as_i64().unwrap_or(i64::MAX);
            assert_eq!(zone.instant(local), expected, "{}: {}", vector.id(), vector.text("why"));
        }
    }
}

#[test]
fn times_that_a_clock_skips_or_shows_twice() {
    let check =
        |zone: &str, local: Millis, expected: Millis| assert_eq!(Zone::named(zone).unwrap().instant(local), expected, "{local} in {zone}");
    // Los Angeles went forward on 2021-03-14 at 2:00: half past two is the instant of the change, 10:00 UTC.
    check("America/Los_Angeles", 1_615_689_000_000, 1_615_716_000_000);
    check("America/Los_Angeles", 1_615_687_200_000, 1_615_716_000_000);
    // It went back on 2021-11-07 at 2:00 to 1:00: one o'clock is the second one, 09:00 UTC.
    check("America/Los_Angeles", 1_636_246_800_000, 1_636_275_600_000);
    check("America/Los_Angeles", 1_636_243_200_000, 1_636_268_400_000);
    check("America/Los_Angeles", 1_636_250_400_000, 1_636_279_200_000);
    check("UTC", 5, 5);
    check("Asia/Kolkata", 0, -19_800_000);
}

#[test]
fn results_and_late_events() {
    for vector in Vector::of(&[
        "tumbling",
        "session",
        "session_trigger",
        "global_count",
        "global_eos",
        "late",
        "late_side_output",
        "late_session",
        "overflow",
        "batch_flush",
        "grace_final_results",
        "session_final",
    ]) {
        vector.check();
    }
}

#[test]
fn sessions_that_touch_are_one() {
    for vector in Vector::of(&["session_touch"]) {
        let mut steps = vector.steps();
        steps.push(Step::Watermark(Millis::MAX));
        let ran = run(&vector.spec(), &steps, 1, false, |_| true);
        let Kind::Session { gap } = vector.spec().kind() else { panic!() };
        let found: Vec<[i64; 2]> = ran.results.iter().map(|(_, _, found)| [found.start, found.end]).collect();
        let expected: Vec<[i64; 2]> = vector.0["expect"]
            .as_array()
            .unwrap()
            .iter()
            .map(|window| match window.get("open") {
                // Bytewax says when the last event was, in seconds.
                Some(open) => [open.as_i64().unwrap() * 1_000, window["close"].as_i64().unwrap() * 1_000 + gap],
                None => [window[0].as_i64().unwrap(), window[1].as_i64().unwrap()],
            })
            .collect();
        assert_eq!(found, expected, "{}: {}", vector.id(), vector.text("why"));
    }
}

#[test]
fn updates_of_a_window_that_emits_on_update() {
    for vector in Vector::of(&["grace_final_results", "session_final"]) {
        let ran = vector.run(&vector.spec().trigger(Trigger::on_update()));
        let gap = vector.number("gap");
        let found: Vec<(i64, i64, i64)> =
            ran.results.iter().map(|(_, _, found)| (found.start, found.end - gap.unwrap_or(0), found.count as i64)).collect();
        let rows = vector.0["expect_updates"].as_array().unwrap();
        // Kafka takes a session back that has been merged, by a tombstone: we do not.
        let rows = rows.iter().map(|row| if gap.is_some() { (&row[1], &row[2], &row[3]) } else { (&row[0], &row[1], &row[2]) });
        let numbers = |(start, end, count): (&Value, &Value, &Value)| Some((start.as_i64()?, end.as_i64()?, count.as_i64()?));
        assert_eq!(found, rows.filter_map(numbers).collect::<Vec<_>>(), "{}: {}", vector.id(), vector.text("why"));
    }
}

#[test]
fn updates_of_sliding_windows() {
    for vector in Vector::of(&["sliding_time_difference_update"]) {
        let ran = vector.run(&vector.spec().trigger(Trigger::on_update()));
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, _, result) in ran.results {
            found.entry(result.start.to_string()).or_default().push(result.text);
        }
        assert_eq!(serde_json::json!(found), vector.0["expect"], "{}: {}", vector.id(), vector.text("why"));
    }
}

/// Our rule, where the vector leaves it open: a window closes by the definition that it was opened with (`docs/semantics.md`).
#[test]
fn windows_that_are_open_when_their_definition_changes() {
    for vector in Vector::of(&["hot_reload_window_change"]) {
        for step in vector.0["steps"].as_array().unwrap() {
            let spec = |name: &str| {
                let (kind, numbers) = step[1][name].as_str().unwrap().split_once(' ').unwrap();
                match (kind, numbers.split_once('/')) {
                    ("sliding", Some((size, slide))) => WindowSpec::hopping(size.parse().unwrap(), slide.parse().unwrap()),
                    _ => WindowSpec::tumbling(numbers.parse().unwrap()),
                }
            };
            let (from, to) = (spec("from"), spec("to"));
            for batch in [1, 100] {
                let mut h = harness(&from, batch);
                for time in 0..4 {
                    h.send(time, Item { key: "k".into(), number: time, text: String::new() });
                }
                h.advance(1).reload(Settings(to.clone()));
                let before = h.take::<Found>("out").len();
                h.end();
                let found: Vec<(i64, i64)> = h.take::<Found>("out").iter().map(|found| (found.end, found.sum)).collect();
                let mut expected: Vec<(i64, i64)> = (0..4)
                    .flat_map(|time| from.windows_at(time))
                    .map(|window| (window.end, (0..4).filter(|time| (window.start..window.end).contains(time)).sum()))
                    .collect();
                expected.sort_unstable();
                expected.dedup();
                assert_eq!(found, expected[before..], "{step}");
                assert!(h.is_idle());
            }
        }
    }
}

/// Sums by the host's clock.
macro_rules! by_the_clock {
    ($module:ident, $($window:tt)*) => {
        mod $module {
            use super::*;

            #[state]
            pub struct Total {
                sum: i64,
            }

            #[operator(key = "key", processing_time, $($window)*)]
            impl Total {
                fn add(&mut self, item: Item) {
                    self.sum += item.number;
                }
                #[allow(dead_code, reason = "tumbling windows do not merge")]
                fn merge(&mut self, later: Self) {
                    self.sum += later.sum;
                }
                fn close(self, w: Window) -> Found {
                    Found { start: w.start, end: w.end, count: 0, sum: self.sum, text: String::new(), numbers: Vec::new() }
                }
            }
        }
    };
}

by_the_clock!(tumbling_by_the_clock, window = "3s");
by_the_clock!(session_by_the_clock, window = session("3s"));

#[test]
fn windows_by_the_clock() {
    fn check<O: Operator<Config = ()>>(vector: &Vector) {
        for batch in [1, 2, 100] {
            let mut h = Harness::<O>::new().batch(batch);
            for step in vector.0["steps"].as_array().unwrap() {
                match step[0].as_str().unwrap() {
                    "proc_time" => h.processing_time(step[1].as_i64().unwrap()),
                    _ => {
                        let item = Item { key: step[1].as_str().unwrap().into(), number: step[2].as_i64().unwrap(), text: String::new() };
                        h.send(vector.time(&step[3], 0), item)
                    }
                };
            }
            let mut found: Vec<Value> = h
                .outputs()
                .iter()
                .map(|sent| serde_json::json!({ "key": sent.key(), "value": sent.decode::<Found>().sum, "ts": sent.time }))
                .collect();
            let mut expected = vector.0["expect"].as_array().unwrap().clone();
            found.sort_by_key(ToString::to_string);
            expected.sort_by_key(ToString::to_string);
            assert_eq!(found, expected, "{} in batches of {batch}: {}", vector.id(), vector.text("why"));
            h.processing_time(100_000);
            assert!(h.is_idle(), "something is left");
        }
    }
    for vector in Vector::of(&["proc_tumbling"]) {
        assert_eq!(vector.number("size"), Some(3_000));
        check::<tumbling_by_the_clock::Total>(&vector);
    }
    for vector in Vector::of(&["proc_session"]) {
        assert_eq!(vector.number("gap"), Some(3_000));
        check::<session_by_the_clock::Total>(&vector);
    }
}

#[test]
fn every_vector_about_windows_is_run_or_named_here() {
    const RUN: [&str; 20] = [
        "assigner",
        "assigner_invalid",
        "timezone",
        "tumbling",
        "session",
        "session_touch",
        "session_trigger",
        "global_count",
        "global_eos",
        "late",
        "late_side_output",
        "late_session",
        "overflow",
        "hot_reload_window_change",
        "batch_flush",
        "grace_final_results",
        "session_final",
        "sliding_time_difference_update",
        "proc_tumbling",
        "proc_session",
    ];
    for vector in Vector::all().iter().filter(|vector| vector.id().starts_with(['A', 'W'])) {
        let category = vector.text("category");
        assert!(RUN.contains(&category), "{} of category {category}", vector.id());
    }
}
