//! Facts about patterns from Flink's own test suites (`flink-cep`, `nfa/*ITCase`): what is found in which events. No code is copied.

#![allow(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

mod support {
    pub mod finder;
}

use serde_json::{Value as Json, json};
use support::finder::{events, run, sorted};

/// `a` is a step of events whose names begin with `a`; `a=xyz` one whose names begin with one of x, y, z. In front of it: ` ` followed by,
/// `>` next, `?>` followed by any, `!` not followed by, `!>` not next. Behind it: quantifiers, which stand in the table of the test.
fn pattern(steps: &[(&str, &str, Json)]) -> Json {
    let steps = steps.iter().enumerate().map(|(i, (contiguity, name, more))| {
        let mut step = json!({});
        if let Some(group) = more.get("group") {
            step["group"] = group.clone();
        } else {
            let (name, letters) = name.split_once('=').unwrap_or((name, name));
            let letters = letters.chars().map(|letter| json!({ "field": "name", "starts_with": letter.to_string() }));
            step["name"] = json!(name);
            step["where"] = json!({ "any": letters.collect::<Vec<_>>() });
        }
        if i > 0 {
            let known = [(" ", "followed_by"), (">", "next"), ("?>", "followed_by_any"), ("!", "not_followed_by"), ("!>", "not_next")];
            step["contiguity"] = json!(known.iter().find(|(sign, _)| sign == contiguity).unwrap().1);
        }
        for (field, value) in more.as_object().unwrap() {
            step[field] = value.clone();
        }
        step
    });
    json!({ "steps": steps.collect::<Vec<_>>() })
}

#[track_caller]
fn check(pattern: &Json, input: &str, expected: &[&str]) {
    let found = run(&pattern.to_string(), &events(input));
    let short = found.matched.iter().map(|(events, _)| {
        let names: Vec<_> = events.iter().map(|event| event.split('@').next().unwrap()).collect();
        names.join(" ")
    });
    assert_eq!(sorted(short), sorted(expected.iter().map(|way| (*way).to_owned())), "{pattern} in {input}");
}

fn no() -> Json {
    json!({})
}

fn with(mut pattern: Json, field: &str, value: Json) -> Json {
    pattern[field] = value;
    pattern
}

// === until: UntilConditionITCase ===

#[test]
fn until_ends_a_loop_and_is_not_part_of_it() {
    let case = |contiguity, mut more: Json, end: bool| {
        more["until"] = json!({ "field": "name", "equals": "a-stop" });
        let mut steps = vec![("", "c", no()), (contiguity, "a", more)];
        let stop = json!({ "where": { "field": "name", "equals": "a-stop" } });
        if end {
            steps.push((" ", "end", stop));
        }
        pattern(&steps)
    };
    let one = || json!({ "times": "1.." });
    let many = || json!({ "times": "0.." });
    let kind = |mut more: Json, field: &str| {
        more[field] = json!(true);
        more
    };
    let input = "c a1 a2 a-stop a4";
    let eager = ["c a1 a2 a-stop", "c a1 a-stop"];
    let eager_or_none = ["c a1 a2 a-stop", "c a1 a-stop", "c a-stop"];
    check(&case(" ", one(), true), input, &eager);
    check(&case(" ", kind(one(), "consecutive"), true), input, &eager);
    check(&case(" ", many(), true), input, &eager_or_none);
    check(&case(" ", kind(many(), "consecutive"), true), input, &eager_or_none);
    let combinations = ["c a1 a2 a3 a-stop", "c a1 a2 a-stop", "c a1 a3 a-stop", "c a1 a-stop"];
    check(&case(" ", kind(one(), "allow_combinations"), true), "c a1 a2 a3 a-stop a5", &combinations);
    check(&case("?>", one(), false), "c a1 a2 a-stop a3", &["c a1 a2", "c a1", "c a2", "c a3"]);
    check(&case("?>", many(), false), "c a1 a2 a-stop a3", &["c a1 a2", "c a1", "c a2", "c a3", "c"]);
}

#[test]
fn until_ends_a_loop_that_takes_everything() {
    let all = json!({ "steps": [
        { "name": "c", "where": { "field": "name", "equals": "c" } },
        { "name": "any", "times": "1..", "until": { "field": "name", "equals": "stop" } },
    ] });
    check(&all, "c a1 a2 d stop a4", &["c a1 a2 d", "c a1 a2", "c a1"]);
}

// === what must not follow: NotPatternITCase ===

#[test]
fn what_must_not_follow_before_an_optional_step_counts_until_that_is_taken() {
    let case = |c: Json, end: &[(&'static str, &'static str, Json)]| {
        let mut steps = vec![("", "a", no()), ("!", "b", no()), ("?>", "c", c)];
        steps.extend_from_slice(end);
        pattern(&steps)
    };
    let d = [(" ", "d", no())];
    check(&case(json!({ "optional": true }), &d), "a1 c1 b1 c2 d", &["a1 c1 d"]);
    check(&case(json!({ "optional": true }), &[]), "a1 c1 b1 c2", &["a1 c1", "a1"]);
    check(&case(json!({ "times": 2, "optional": true }), &d), "a1 c1 b1 c2 d", &["a1 c1 c2 d"]);
    check(&case(json!({ "times": 2, "optional": true }), &d), "a1 d1 e b1 c1 c2 d2", &["a1 d1"]);
}

#[test]
fn what_must_not_follow_a_repeated_step_ends_it() {
    let case = |contiguity, b: Json, not| pattern(&[("", "a", no()), (contiguity, "b", b), (not, "c", no()), (" ", "d", no())]);
    check(&case("?>", json!({ "times": 2 }), "!"), "a1 b1 c b2 d", &[]);
    check(&case("?>", json!({ "times": 2 }), "!"), "a1 d1 e b1 b2 c1 d2", &[]);
    check(&case(" ", json!({ "times": "1.." }), "!>"), "a b1 c b2 d", &[]);
    check(&case("?>", json!({ "times": "1.." }), "!>"), "a b1 c b2 d", &["a b2 d"]);
    let input = "a b1 b2 b3 c b4 b5 b6 d";
    let eager = ["a b4 b5 b6 d", "a b4 b5 d", "a b4 d", "a b5 b6 d", "a b5 d", "a b6 d"];
    check(&case(" ", json!({ "times": "1.." }), "!"), input, &[]);
    check(&case("?>", json!({ "times": "1.." }), "!"), input, &eager);
    let combinations = [&eager[..], &["a b4 b6 d"]].concat();
    check(&case("?>", json!({ "times": "1..", "allow_combinations": true }), "!"), input, &combinations);
}

#[test]
fn what_must_not_follow_counts_until_a_repeated_step_begins() {
    let case = |contiguity, b: Json| pattern(&[("", "a", no()), ("!", "c", no()), (contiguity, "b", b), (" ", "d", no())]);
    let input = "a b1 c b4 b5 b6 d";
    let eager = ["a b1 b4 b5 b6 d", "a b1 b4 b5 d", "a b1 b4 d", "a b1 d"];
    let combinations = [&eager[..], &["a b1 b4 b6 d", "a b1 b5 b6 d", "a b1 b5 d", "a b1 b6 d"]].concat();
    for contiguity in [" ", "?>"] {
        for times in ["1..", "0.."] {
            check(&case(contiguity, json!({ "times": times })), input, &eager);
            check(&case(contiguity, json!({ "times": times, "allow_combinations": true })), input, &combinations);
        }
    }
    check(&pattern(&[("", "a", no()), ("!", "b", no()), (" ", "c", no()), (" ", "d", no())]), "a1 b1 c1 a2 c2 d", &["a2 c2 d"]);
}

#[test]
fn what_must_not_follow_at_the_end_waits_for_the_time_to_be_over() {
    let a_no_b = pattern(&[("", "a", no()), ("!", "b", no())]);
    let input = "a1@1 b1@2 a2@4 c@5 b2@10 a3@11 b3@13";
    check(&with(a_no_b, "within", json!(3)), input, &["a2"]);
    let since_previous = pattern(&[("", "a", no()), ("!", "b", json!({ "within_previous": 3 }))]);
    check(&since_previous, input, &["a2"]);
    let times = pattern(&[("", "a", no()), ("!", "b", no()), (" ", "c", json!({ "times": "0..=2" }))]);
    let input = "a1@1 b1@2 a2@10 c1@11 c2@12 a3@20 c3@21 c4@24";
    check(&with(times, "within", json!(3)), input, &["a1", "a2", "a2 c1", "a2 c1 c2", "a3", "a3 c3"]);
    let loops = pattern(&[("", "a", json!({ "times": "1..", "allow_combinations": true })), (" ", "c", no()), ("!", "b", no())]);
    let past = with(with(loops, "within", json!(5)), "after_match", json!("skip_past_last_event"));
    check(&past, "a1@1 a2@2 a3@3 c1@4 c2@10", &["a1 a2 a3 c1"]);
}

// === after a match: AfterMatchSkipITCase ===

#[test]
fn after_a_match_those_that_overlap_are_skipped() {
    let skip = |pattern: Json, after: Json, input: &str, expected: &[&str]| check(&with(pattern, "after_match", after), input, expected);
    let ab = pattern(&[("", "a", no()), ("?>", "b", no())]);
    skip(ab.clone(), json!("no_skip"), "a1 b1 a2 b2", &["a1 b1", "a1 b2", "a2 b2"]);
    skip(ab, json!("skip_to_next"), "a1 b1 a2 b2", &["a1 b1", "a2 b2"]);
    let loops = pattern(&[("", "a", no()), (">", "b", json!({ "times": "1.." }))]);
    skip(loops.clone(), json!("no_skip"), "a1 b1 b2 b3", &["a1 b1 b2 b3", "a1 b1 b2", "a1 b1"]);
    skip(loops, json!("skip_to_next"), "a1 b1 b2 b3", &["a1 b1"]);
    let both = || pattern(&[("", "start=x", json!({ "times": 2 })), (">", "end=x", json!({ "times": 2 }))]);
    skip(both(), json!({ "skip_to_first": "end" }), "x1 x2 x3 x4 x5 x6", &["x1 x2 x3 x4", "x3 x4 x5 x6"]);
    skip(both(), json!({ "skip_to_last": "end" }), "x1 x2 x3 x4 x5 x6 x7", &["x1 x2 x3 x4", "x4 x5 x6 x7"]);
    let four = pattern(&[("", "a", no()), ("?>", "b", no()), ("?>", "c", no()), (" ", "d", no())]);
    skip(four, json!("skip_past_last_event"), "a1 a2 b1 b2 c1 c2 d1 d2", &["a1 b1 c1 d1"]);
    let strict = pattern(&[("", "a", no()), (">", "b", no())]);
    skip(strict, json!("skip_past_last_event"), "a1 c a2 b2", &["a2 b2"]);
}

#[test]
fn a_step_to_skip_to_may_be_missing() {
    let skip = |pattern: Json, after: Json, input: &str, expected: &[&str]| check(&with(pattern, "after_match", after), input, expected);
    let optional = pattern(&[("", "x", json!({ "times": "0.." })), (">", "b", no()), (">", "c", no())]);
    skip(optional, json!({ "skip_to_first": "b" }), "b1 c1 b2 c2", &["b1 c1", "b2 c2"]);
    let first = pattern(&[("", "b", no()), (">", "c", no())]);
    skip(first, json!({ "skip_to_first": "b" }), "b1 c1 b2 c2", &["b1 c1", "b2 c2"]);
    let missed = pattern(&[("", "a", no()), (">", "b", json!({ "times": "0..", "consecutive": true })), (">", "c", no())]);
    skip(missed.clone(), json!({ "skip_to_first": "b" }), "a c", &["a c"]);
    skip(missed, json!({ "skip_to_last": "b" }), "a c", &["a c"]);
    let loops = || pattern(&[("", "a", no()), (">", "b", json!({ "times": "1..", "consecutive": true }))]);
    for after in ["skip_to_first", "skip_to_last"] {
        skip(loops(), json!({ after: "b" }), "a1 b1 a2 b2 b3 a3 b4", &["a1 b1", "a2 b2", "a3 b4"]);
    }
}

#[test]
fn skipping_to_a_greedy_step_keeps_what_begins_there() {
    let steps = [("", "s=ac", no()), (" ", "t=bc", no()), (" ", "c", json!({ "times": "1..", "greedy": true })), (" ", "d", no())];
    let pattern = with(pattern(&steps), "after_match", json!({ "skip_to_first": "c" }));
    check(&pattern, "a b c1 c2 c3 d", &["a b c1 c2 c3 d", "c1 c2 c3 d"]);
}

#[test]
fn a_match_that_is_complete_waits_for_one_that_began_earlier() {
    let same = json!({ "all": [
        { "field": "name", "starts_with": "b" },
        { "field": "value", "equals": { "step": "a", "field": "value", "event": "first" } },
    ] });
    let pattern = pattern(&[("", "a", no()), (" ", "c", no()), (" ", "b", json!({ "where": same }))]);
    let pattern = with(pattern, "after_match", json!({ "skip_to_first": "c" }));
    let input = [("a1", 0), ("c1", 0), ("a2", 1), ("c2", 0), ("b1", 1), ("b2", 0)];
    let input: Vec<_> = input.iter().enumerate().map(|(i, (name, value))| ((*name).to_owned(), *value, i as i64)).collect();
    let found = run(&pattern.to_string(), &input);
    let names: Vec<_> = found.matched.iter().map(|(events, _)| events.join(" ")).collect();
    assert_eq!(names, ["a1 c1 b2", "a2 c2 b1"]);
    // The second was complete first, and came when the first did.
    assert!(found.matched.iter().all(|(_, time)| *time == 5));
}

// === groups: GroupITCase ===

#[test]
fn a_group_is_repeated_as_a_whole() {
    let group = || {
        json!([
            { "name": "a", "where": { "field": "name", "starts_with": "a" } },
            { "name": "b", "where": { "field": "name", "starts_with": "b" } },
        ])
    };
    let case = |mut more: Json| {
        more["group"] = group();
        pattern(&[("", "c", no()), (" ", "", more), (" ", "d", no())])
    };
    check(&case(json!({ "times": 2 })), "c a1 b1 a2 b2 d", &["c a1 b1 a2 b2 d"]);
    check(&case(json!({ "optional": true })), "c a1 a2 b d", &["c d", "c a1 b d"]);
    check(&case(json!({ "times": 2, "optional": true })), "c a d", &["c d"]);
    check(&case(json!({ "times": "1.." })), "c a1 b1 a2 b2 d", &["c a1 b1 d", "c a1 b1 a2 b2 d"]);
    check(&case(json!({ "times": "0.." })), "c a1 b1 a2 b2 d", &["c d", "c a1 b1 d", "c a1 b1 a2 b2 d"]);
    let begins = pattern(&[("", "", json!({ "group": group(), "times": 2 })), (" ", "d", no())]);
    check(&begins, "a1 b1 a2 b2 d", &["a1 b1 a2 b2 d"]);
}

// === docs/content/docs/libs/cep.md ===

#[test]
fn the_examples_of_the_documentation() {
    let loops = pattern(&[("", "b", json!({ "times": "1.." })), (">", "c", no())]);
    let skip = |after: Json, expected: &[&str]| check(&with(loops.clone(), "after_match", after), "b1 b2 b3 c", expected);
    skip(json!("no_skip"), &["b1 b2 b3 c", "b2 b3 c", "b3 c"]);
    skip(json!("skip_to_next"), &["b1 b2 b3 c", "b2 b3 c", "b3 c"]);
    skip(json!("skip_past_last_event"), &["b1 b2 b3 c"]);
    skip(json!({ "skip_to_first": "b" }), &["b1 b2 b3 c", "b2 b3 c", "b3 c"]);
    skip(json!({ "skip_to_last": "b" }), &["b1 b2 b3 c", "b3 c"]);
}
