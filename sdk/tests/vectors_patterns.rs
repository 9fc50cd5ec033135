//! The patterns among the facts in `tests/vectors/semantics.json`, each with every size of batch.

#![allow(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

mod support {
    pub mod finder;
}

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use support::finder::{Seen, events, run, sorted};

/// A step whose events begin with a letter or word.
fn step(name: &str, contiguity: &str, more: Json) -> Json {
    let mut step = json!({ "name": name, "where": { "field": "name", "starts_with": name } });
    if !contiguity.is_empty() {
        step["contiguity"] = json!(contiguity);
    }
    for (field, value) in more.as_object().into_iter().flatten() {
        step[field] = value.clone();
    }
    step
}

fn plain(name: &str, contiguity: &str) -> Json {
    step(name, contiguity, json!({}))
}

fn pattern(steps: Vec<Json>) -> Json {
    json!({ "steps": steps })
}

fn with(mut pattern: Json, field: &str, value: Json) -> Json {
    pattern[field] = value;
    pattern
}

/// A match in the vector's words: event names, with their times only where the vector gives them.
fn expected(matches: &Json, seen: &Seen) {
    let named = |event: &str, expected: &str| event == expected || event.split('@').next() == Some(expected);
    let matches = matches.as_array().unwrap();
    let mut left = seen.matched.clone();
    for expected in matches {
        let expected: Vec<&str> = expected.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let place = left.iter().position(|(found, _)| {
            found.len() == expected.len() && found.iter().zip(&expected).all(|(found, expected)| named(found, expected))
        });
        let place = place.unwrap_or_else(|| panic!("{expected:?} is not among {:?}", seen.names()));
        left.remove(place);
    }
    assert_eq!(left, [], "more was found than {matches:?}");
}

fn text(steps: &Json) -> String {
    steps.as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn check(pattern: &Json, steps: &Json, expect: &Json) -> Seen {
    let seen = run(&pattern.to_string(), &events(&text(steps)));
    expected(expect, &seen);
    seen
}

fn vectors() -> Vec<Json> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/semantics.json");
    let file: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// The vector `id`, and that the test of it asks for every one of its cases.
fn vector(id: &str, cases: usize) -> (Json, Json) {
    let vector = vectors().into_iter().find(|vector| vector["id"] == id).unwrap();
    let expect = vector["expect"].clone();
    let stated = expect.as_object().map_or_else(|| expect.as_array().unwrap().len(), |cases| cases.len());
    assert!(cases == 0 || stated == cases, "{id} has {stated} cases");
    (vector["steps"].clone(), expect)
}

#[test]
fn every_pattern_among_the_vectors_has_a_test() {
    let here = include_str!("vectors_patterns.rs");
    let patterns = vectors().into_iter().filter(|vector| vector["category"].as_str().unwrap().starts_with("cep_"));
    let missing: BTreeSet<String> =
        patterns.map(|vector| vector["id"].as_str().unwrap().to_owned()).filter(|id| !here.contains(&format!("vector(\"{id}\""))).collect();
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn c01_the_three_contiguities() {
    let (steps, expect) = vector("C01", 3);
    for (name, contiguity) in [("strict", "next"), ("relaxed", "followed_by"), ("nondeterministic", "followed_by_any")] {
        check(&pattern(vec![plain("a", ""), plain("b", contiguity)]), &steps, &expect[name]);
    }
}

#[test]
fn c02_the_contiguities_inside_a_loop() {
    let (steps, expect) = vector("C02", 3);
    for (name, inner) in [("strict", "consecutive"), ("relaxed", "optional"), ("nondeterministic", "allow_combinations")] {
        let mut b = step("b", "followed_by_any", json!({ "times": "1.." }));
        b[inner] = json!(inner != "optional");
        check(&pattern(vec![plain("a", ""), b, plain("c", "followed_by")]), &steps, &expect[name]);
    }
}

#[test]
fn c03_steps_without_conditions() {
    let (steps, expect) = vector("C03", 2);
    for (name, contiguity) in [("followedBy", "followed_by"), ("followedByAny", "followed_by_any")] {
        let any = pattern(vec![json!({ "name": "start" }), json!({ "name": "end", "contiguity": contiguity })]);
        check(&any, &steps, &expect[name]);
    }
}

#[test]
fn c05_one_or_more() {
    let (steps, expect) = vector("C05", 3);
    for (name, inner) in [("consecutive", "consecutive"), ("default_relaxed", "optional"), ("allowCombinations", "allow_combinations")] {
        let mut a = step("a", "followed_by", json!({ "times": "1.." }));
        a[inner] = json!(inner != "optional");
        check(&pattern(vec![plain("c", ""), a, plain("b", "followed_by")]), &steps, &expect[name]);
    }
}

#[test]
fn c07_a_number_of_times() {
    let (steps, expect) = vector("C07", 3);
    let a = |contiguity, more: Json| {
        let mut a = step("a", contiguity, json!({ "times": 2 }));
        for (field, value) in more.as_object().into_iter().flatten() {
            a[field] = value.clone();
        }
        pattern(vec![plain("c", ""), a, plain("b", "followed_by")])
    };
    let cases = [a("next", json!({ "consecutive": true })), a("next", json!({ "allow_combinations": true })), a("followed_by", json!({}))];
    for (i, case) in cases.iter().enumerate() {
        check(case, &steps[i], &expect[i]);
    }
}

#[test]
fn c09_greedy() {
    let (steps, expect) = vector("C09", 3);
    let a = |times| step("a", "followed_by", json!({ "times": times, "greedy": true }));
    let cases = [
        pattern(vec![plain("c", ""), a("0.."), plain("d", "followed_by")]),
        pattern(vec![plain("c", ""), a("0..")]),
        pattern(vec![plain("c", ""), a("2..=5"), plain("d", "followed_by")]),
    ];
    for (i, case) in cases.iter().enumerate() {
        check(case, &steps[i], &expect[i]);
    }
}

fn start_middle_end(contiguity: &str) -> Json {
    with(pattern(vec![plain("start", ""), plain("middle", contiguity), plain("end", contiguity)]), "within", json!(10))
}

#[test]
fn c11_the_border_of_within_is_out() {
    let (steps, expect) = vector("C11", 0);
    check(&start_middle_end("followed_by"), &steps, &expect);
    let pair = with(pattern(vec![plain("start", ""), plain("end", "followed_by")]), "within", json!(2));
    check(&pair, &json!(["start@1", "end@3"]), &json!([]));
    check(&pair, &json!(["start@2", "end@3"]), &json!([["start", "end"]]));
}

#[test]
fn c12_partial_matches_time_out() {
    let (steps, expect) = vector("C12", 2);
    let seen = run(&start_middle_end("followed_by_any").to_string(), &events(&text(&steps)));
    assert_eq!(json!(seen.matched.len()), expect["matches"]);
    let said = |events: Vec<&str>, time: i64| format!("{} at {time}", events.join(" "));
    let found = seen.timed_out.iter().map(|(events, time)| {
        let events = events.iter().map(|event| event.split('@').next().unwrap());
        said(events.collect(), *time)
    });
    let expected = expect["timed_out"].as_array().unwrap().iter().map(|partial| {
        let events = partial[0].as_array().unwrap().iter().map(|event| event.as_str().unwrap());
        said(events.collect(), partial[1].as_i64().unwrap())
    });
    assert_eq!(sorted(found), sorted(expected));
}

#[test]
fn c14_what_must_not_follow() {
    let (steps, expect) = vector("C14", 3);
    let case = |not, c| pattern(vec![plain("a", ""), plain("b", not), plain("c", c), plain("d", "followed_by")]);
    let cases = [case("not_next", "followed_by_any"), case("not_next", "followed_by"), case("not_followed_by", "followed_by_any")];
    for (i, case) in cases.iter().enumerate() {
        check(case, &steps[i], &expect[i]);
    }
}

#[test]
fn c16_after_a_match() {
    let (steps, expect) = vector("C16", 2);
    for (name, after) in [("noSkip", "no_skip"), ("skipPastLastEvent", "skip_past_last_event")] {
        check(&with(pattern(vec![step("a", "", json!({ "times": 3 }))]), "after_match", json!(after)), &steps, &expect[name]);
    }
}

#[test]
fn c19_after_a_match_that_begins_with_a_loop() {
    let (steps, expect) = vector("C19", 4);
    let a = step("a", "", json!({ "times": "1..", "consecutive": true, "greedy": true }));
    let all = pattern(vec![a, plain("b", "next")]);
    let cases = [
        ("noSkip", json!("no_skip")),
        ("skipPastLastEvent", json!("skip_past_last_event")),
        ("skipToFirst(a)", json!({ "skip_to_first": "a" })),
        ("skipToLast(a)", json!({ "skip_to_last": "a" })),
    ];
    for (name, after) in cases {
        check(&with(all.clone(), "after_match", after), &steps, &expect[name]);
    }
}

#[test]
fn c21_branches() {
    let (steps, expect) = vector("C21", 2);
    let branching = |m, n, end| pattern(vec![plain("start", ""), plain("m", m), plain("n", n), plain("end", end)]);
    let any = "followed_by_any";
    check(&branching(any, any, any), &steps, &expect["all followedByAny"]);
    let next = branching("followed_by", "followed_by", any);
    check(&next, &steps, &expect["followedBy m, followedBy n, followedByAny end"]);
}
