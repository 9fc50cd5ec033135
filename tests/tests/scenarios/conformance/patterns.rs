//! The facts about patterns, run by the guest `patterns`, which is configured to what the fact writes in words.

use super::Kinds;
use super::case::{Case, Ran, Step};
use super::fact::{Fact, list, number, same, text};
use sangam_tests::world::Seen;
use serde_json::{Value, json};

/// By category.
pub const KINDS: Kinds = &[("cep_*", by_shape)];

/// Several patterns with their events, several variants of one pattern, one that times out, or a single one: the fact's shape says which.
fn by_shape(fact: &Fact) {
    match fact.expect() {
        _ if fact.config()["cases"].is_array() => cases(fact),
        Value::Object(expected) if expected.contains_key("timed_out") => timing_out(fact),
        Value::Object(_) => variants(fact),
        _ => single(fact),
    }
}

// === reading a pattern ===

/// Reads a pattern as the facts write it: `c followedBy a{2,5} greedy followedBy d within 10`.
fn pattern(written: &str) -> Value {
    let mut pattern = json!({"steps": []});
    let mut contiguity = None;
    let mut words = written.split(" | ").next().unwrap().split_whitespace().map(|word| word.trim_end_matches(','));
    while let Some(word) = words.next() {
        let steps = pattern["steps"].as_array_mut().unwrap();
        match word {
            "->" => {}
            "within" => pattern["within"] = words.next().unwrap().parse::<i64>().unwrap().into(),
            "next" | "followedBy" | "followedByAny" | "notNext" | "notFollowedBy" => contiguity = Some(snake(word)),
            "greedy" | "consecutive" | "allowCombinations" | "optional" => steps.last_mut().unwrap()[snake(word)] = true.into(),
            // A remark of several words, `(inner contiguity varies)`.
            _ if word.starts_with('(') => drop((!word.ends_with(')')).then(|| words.find(|word| word.ends_with(')')))),
            _ => {
                let mut step = step(word);
                contiguity.take().into_iter().for_each(|contiguity| step["contiguity"] = contiguity.into());
                steps.push(step);
            }
        }
    }
    pattern
}

/// A step: `a`, `a+`, `a{2,}`, `start(any)`.
fn step(word: &str) -> Value {
    let (word, remark) = word.split_once('(').unwrap_or((word, ""));
    let name = word.trim_end_matches(|c: char| !c.is_alphabetic());
    let mut step = json!({"name": name});
    if remark != "any)" {
        step["where"] = json!({"field": "name", "starts_with": name});
    }
    match &word[name.len()..] {
        "" => {}
        "+" => step["times"] = "1..".into(),
        "*" => step["times"] = "0..".into(),
        "?" => step["optional"] = true.into(),
        braces => {
            let times = braces.trim_matches(['{', '}']);
            step["times"] = match times.split_once(',') {
                None => times.parse::<u64>().unwrap().into(),
                Some((from, "")) => format!("{from}..").into(),
                Some((from, to)) => format!("{from}..={to}").into(),
            };
        }
    }
    step
}

/// `followedByAny` as our configuration writes it.
fn snake(word: &str) -> String {
    word.chars().flat_map(|c| c.is_uppercase().then_some('_').into_iter().chain(c.to_lowercase())).collect()
}

/// The pattern in the variant that a name among the expectations asks for.
fn variant(mut pattern: Value, name: &str) -> Value {
    if let Some(target) = name.strip_prefix("skipTo").filter(|target| *target != "Next") {
        let (which, step) = target.trim_end_matches(')').split_once('(').unwrap();
        pattern["after_match"] = json!({ (format!("skip_to_{}", snake(which).trim_matches('_'))): step });
        return pattern;
    }
    let steps = pattern["steps"].as_array_mut().unwrap();
    let all = |steps: &mut [Value], contiguity: &str| {
        let open = steps.iter_mut().skip(1).filter(|step| step["contiguity"].is_null());
        open.for_each(|step| step["contiguity"] = contiguity.into());
    };
    let loops = |steps: &mut [Value], inner: &str| {
        steps.iter_mut().filter(|step| !step["times"].is_null()).for_each(|step| step[inner] = true.into());
    };
    let has_loop = steps.iter().any(|step| !step["times"].is_null());
    match name {
        "noSkip" | "skipToNext" | "skipPastLastEvent" => pattern["after_match"] = snake(name).into(),
        "strict" if has_loop => loops(steps, "consecutive"),
        "nondeterministic" if has_loop => loops(steps, "allow_combinations"),
        "relaxed" if has_loop => {}
        "strict" => all(steps, "next"),
        "relaxed" => all(steps, "followed_by"),
        "nondeterministic" => all(steps, "followed_by_any"),
        "consecutive" | "allowCombinations" => loops(steps, &snake(name)),
        "default_relaxed" => {}
        _ if !name.contains(',') => all(steps, &snake(name.trim_start_matches("all "))),
        _ => {
            // `followedBy m, followedBy n, ..`
            for (contiguity, of) in name.split(", ").map(|part| part.split_once(' ').unwrap()) {
                let step = steps.iter_mut().find(|step| step["name"] == of).unwrap_or_else(|| panic!("no step {of}"));
                step["contiguity"] = snake(contiguity).into();
            }
        }
    }
    pattern
}

// === running it ===

/// Runs a pattern over events `a`, `b1`, `c@7`: at times 1, 2, 3 .. unless they say. Each passes before the next one comes.
fn run(id: &str, pattern: &Value, events: &Value) -> Ran {
    let events = list(events).iter().map(|event| event.as_str().unwrap());
    let at = |(i, name): (i64, &str)| (name.to_owned(), name.split_once('@').map_or(i, |(_, time)| time.parse().unwrap()));
    let events: Vec<(String, i64)> = (1..).zip(events).map(at).collect();
    let mut steps = Vec::new();
    for (name, time) in &events {
        steps.push(Step::Event(*time, json!({"key": "k", "name": name})));
        if events.is_sorted_by_key(|(_, time)| *time) {
            steps.push(Step::Watermark(time - 1));
        }
    }
    steps.push(Step::Watermark(1_000));
    let config = json!({"pattern": pattern, "name": "name"});
    let wiring = "input = \"in\"\noutputs = { matched = \"out\", timed_out = \"timed-out\" }\nkey = \"key\"";
    Case { wiring, ..Case::new(format!("{id}: {pattern}"), "patterns", config, steps, found) }.run()
}

/// A match as it came out: names and time.
fn found(seen: &Seen) -> Value {
    json!({"events": seen.value()["events"], "ts": super::case::told(seen.time)})
}

/// Events without their times.
fn names(events: &Value) -> Value {
    list(events).iter().map(|event| json!(text(event).split('@').next())).collect()
}

/// Matches of these names are what was found. Names have their times only where the fact gives them.
fn check(id: &str, ran: &Ran, expected: &Value) {
    let timed = list(expected).iter().flat_map(list).any(|name| text(name).contains('@'));
    let found: Vec<Value> = ran.emitted.iter().map(|row| names(&row["events"])).collect();
    let wanted: Vec<Value> = list(expected).iter().map(names).collect();
    same(&found, &wanted, id);
    if timed {
        // Where two events have one name, its time says which of them is meant.
        let has = |row: &Value, name: &Value| list(&row["events"]).contains(name);
        let timed = list(expected).iter().flat_map(list).filter(|name| text(name).contains('@'));
        timed.for_each(|name| assert!(ran.emitted.iter().any(|row| has(row, name)), "{id}: {name}"));
    }
}

fn single(fact: &Fact) {
    check(fact.id(), &run(fact.id(), &pattern(fact.config()["pattern"].as_str().unwrap()), &fact.0["steps"]), fact.expect());
}

/// Several variants of one pattern over the same events.
fn variants(fact: &Fact) {
    let written = pattern(fact.config()["pattern"].as_str().unwrap());
    for (name, expected) in fact.expect().as_object().unwrap() {
        let id = format!("{} {name}", fact.id());
        check(&id, &run(&id, &variant(written.clone(), name), &fact.0["steps"]), expected);
    }
}

/// Several patterns, each with its events.
fn cases(fact: &Fact) {
    let cases = list(&fact.config()["cases"]);
    assert_eq!((cases.len(), cases.len()), (fact.steps().len(), list(fact.expect()).len()));
    for ((written, events), expected) in cases.iter().zip(fact.steps()).zip(list(fact.expect())) {
        let id = format!("{} {written}", fact.id());
        check(&id, &run(&id, &pattern(written.as_str().unwrap()), events), expected);
    }
}

/// How many matches there are, and which partial matches time out when.
fn timing_out(fact: &Fact) {
    let ran = run(fact.id(), &pattern(fact.config()["pattern"].as_str().unwrap()), &fact.0["steps"]);
    assert_eq!(json!(ran.emitted.len()), fact.expect()["matches"], "{}", fact.id());
    let partial = |row: &Value| json!([names(&row["events"]), number(&row["ts"])]);
    let found: Vec<Value> = ran.timed_out.iter().map(partial).collect();
    same(&found, list(&fact.expect()["timed_out"]), &format!("{}: {}", fact.id(), fact.text("why")));
}
