//! What a file says of errors: fallbacks, breakers, the share of dead letters; and what is said about what it may not.

use super::*;
use std::time::Duration;

/// Two operators in a row of lines, the first of them with these keys.
fn file(keys: &str) -> String {
    format!("[streams.in]\n[operators.pay]\ninput = \"in\"\n{keys}\n[operators.backup]\n")
}

fn fallback(keys: &str) -> Fallback {
    let pipeline = parse(&file(keys)).unwrap_or_else(|why| panic!("{why}"));
    pipeline.operator("pay").unwrap().fallback().unwrap().clone()
}

/// The only error of these keys, which stand from line 4 on, must be this one.
#[track_caller]
fn check(keys: &str, kind: Kind, expected: &str) {
    let errors = parse(&file(keys)).unwrap_err().errors;
    let found: Vec<_> = errors.iter().map(|error| (error.kind, error.headline())).collect();
    // The operator behind it may lack what the first one should have given it.
    let (first, rest) = found.split_first().unwrap();
    assert_eq!(first, &(kind, format!("p.toml:{expected}")), "{keys}");
    assert!(rest.iter().all(|(kind, message)| *kind == Kind::MissingKey && message.contains("`backup` has no input")), "{keys}: {rest:?}");
}

#[test]
fn every_whole_example_in_the_guide_is_a_pipeline() {
    let page = include_str!("../../../../docs/errors.md");
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole: Vec<&str> = blocks.filter(|block| block.contains("[streams")).collect();
    assert_eq!(whole.len(), 2, "the page has lost its examples");
    for block in whole {
        let pipeline = parse(block).unwrap_or_else(|errors| panic!("{errors}\n{block}"));
        assert_eq!(pipeline.warnings, [], "{block}");
    }
}

#[test]
fn a_fallback_is_an_operator_that_reads_what_another_cannot_take() {
    let pipeline = parse(&file("on_error = { fallback = \"backup\" }")).unwrap();
    let (pay, backup) = (pipeline.operator("pay").unwrap(), pipeline.operator("backup").unwrap());
    assert_eq!(pay.on_error, OnError::Fallback(Fallback::new("pay", "backup")));
    assert_eq!(backup.inputs, [Binding { port: None, stream: "pay:fallback".to_owned() }]);
    assert_eq!(pipeline.stream("pay:fallback").map(|stream| &stream.carrier), Some(&Carrier::Internal));
    // A timer that fails is no event that another operator could take.
    assert_eq!((pay.dead_letters.as_deref(), backup.dead_letters.as_deref()), (Some(DEAD_LETTERS), Some(DEAD_LETTERS)));
    assert_eq!(pipeline.warnings, []);
}

#[test]
fn a_fallback_may_have_inputs_of_its_own_and_stand_in_for_many() {
    let text = "[streams.in]\n[operators.a]\ninput = \"in\"\non_error.fallback = \"c\"\n[operators.b]\ninput = \"in\"\n\
                on_error = { fallback = \"c\", input = \"failed\" }\n[operators.c]\ninputs = { all = \"in\" }\n";
    let inputs = parse(text).unwrap().operator("c").unwrap().inputs.clone();
    let binding = |port: Option<&str>, stream: &str| Binding { port: port.map(str::to_owned), stream: stream.to_owned() };
    assert_eq!(inputs, [binding(Some("all"), "in"), binding(None, "a:fallback"), binding(Some("failed"), "b:fallback")]);
}

#[test]
fn a_breaker_opens_after_failures_in_a_row_or_at_a_share_of_them() {
    let breaker = |keys: &str| fallback(&format!("on_error = {{ fallback = \"backup\", breaker = {{ {keys} }} }}")).breaker.unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(breaker("failures = 5"), BreakerSpec { trips: Trips::Failures(5), open_for: seconds(30) });
    assert_eq!(breaker("failures = 1, open_for = \"2s\""), BreakerSpec { trips: Trips::Failures(1), open_for: seconds(2) });
    let limit = ShareLimit { millionths: 500_000, window: seconds(10), at_least: 20 };
    assert_eq!(breaker("share = \"50%\", window = \"10s\", at_least = 20").trips, Trips::Share(limit));
    let limit = ShareLimit { millionths: 1, window: seconds(60), at_least: 100 };
    assert_eq!(breaker("share = \"0.0001%\"").trips, Trips::Share(limit));
}

#[test]
fn the_share_of_dead_letters_is_the_pipelines_unless_an_operator_has_its_own() {
    let text = "dead_letters_max = { share = \"5%\" }\n[streams.in]\n[operators.a]\ninput = \"in\"\n[operators.b]\ninput = \"in\"\n\
                dead_letters_max = { share = \"0.1 %\", window = \"1h\", at_least = 1 }\n[operators.c]\ninput = \"in\"\non_error = \"drop\"\n";
    let pipeline = parse(text).unwrap();
    let limit = |name: &str| pipeline.operator(name).unwrap().dead_letters_max;
    assert_eq!(limit("a"), Some(ShareLimit { millionths: 50_000, window: Duration::from_secs(60), at_least: 100 }));
    assert_eq!(limit("b"), Some(ShareLimit { millionths: 1_000, window: Duration::from_secs(3_600), at_least: 1 }));
    assert_eq!(limit("c"), None, "it has no dead letters");
    assert_eq!(parse(BASE).unwrap().operators[0].dead_letters_max, None);
}

#[test]
fn what_a_fallback_may_not_be_is_said_at_its_place() {
    check(
        "on_error = \"fallback\"",
        Kind::MissingKey,
        "4:12: this does not say which operator; write `on_error = { fallback = \"OPERATOR\" }`",
    );
    check("on_error = {}", Kind::MissingKey, "4:1: this names no operator; write `on_error = { fallback = \"OPERATOR\" }`");
    check(
        "on_error = { fallback = \"bakcup\" }",
        Kind::UnknownOperator,
        "4:25: there is no operator `bakcup` to fall back to; did you mean `backup`?",
    );
    check(
        "on_error = { fallback = \"elsewhere\" }",
        Kind::UnknownOperator,
        "4:25: there is no operator `elsewhere` to fall back to; add it as `[operators.elsewhere]`",
    );
    check("on_error = { fallback = \"pay\" }", Kind::Cycle, "4:25: `pay` cannot be its own fallback; name another operator");
    check(
        "on_error = { falback = \"backup\" }",
        Kind::UnknownKey,
        "4:14: unknown key `falback` in `[operators.pay.on_error]`; did you mean `fallback`?",
    );
}

#[test]
fn operators_that_fall_back_to_each_other_are_refused() {
    let text = file("on_error = { fallback = \"backup\" }") + "on_error = { fallback = \"pay\" }\n";
    let errors = parse(&text).unwrap_err().errors;
    let found: Vec<_> = errors.iter().map(|error| (error.kind, error.headline())).collect();
    let cycle = "p.toml:2:12: a cycle: `pay` → pay:fallback → `backup` → backup:fallback → `pay`; give one of them another fallback";
    assert_eq!(found, [(Kind::Cycle, cycle.to_owned())]);
}

#[test]
fn an_operator_that_nothing_leads_to_has_no_input() {
    let errors = parse(&file("")).unwrap_err().errors;
    let found: Vec<_> = errors.iter().map(|error| (error.kind, error.headline())).collect();
    assert_eq!(found, [(Kind::MissingKey, "p.toml:5:12: the operator `backup` has no input; write `input = \"STREAM\"`".to_owned())]);
}

#[test]
fn a_breaker_that_says_too_little_or_too_much_is_refused() {
    let check = |keys: &str, kind, expected: &str| {
        check(&format!("on_error = {{ fallback = \"backup\", breaker = {{ {keys} }} }}"), kind, expected);
    };
    let nothing =
        "4:35: this does not say what opens the circuit; write `failures = 5`, or `share = \"50%\", window = \"10s\", at_least = 20`";
    check("open_for = \"1s\"", Kind::MissingKey, nothing);
    check("failures = 5, share = \"50%\"", Kind::Conflict, "4:61: `failures` and `share` exclude each other; keep one of them");
    check(
        "failures = 5, window = \"1m\"",
        Kind::Conflict,
        "4:61: `window` and `at_least` belong to `share`; leave them out, or write `share` for `failures`",
    );
    check("failures = 0", Kind::OutOfRange, "4:58: `failures` must be from 1 to 1000000000, found 0");
    for share in ["0%", "100%", "5", "-1%", "many%", "NaN%", "0.00001%"] {
        let expected = format!("4:55: `share` must be a share above 0% and below 100%, such as `5%`, found `{share}`");
        check(&format!("share = \"{share}\""), Kind::OutOfRange, &expected);
    }
}

#[test]
fn a_share_of_dead_letters_needs_dead_letters() {
    check(
        "on_error = \"drop\"\ndead_letters_max = { share = \"5%\" }",
        Kind::Conflict,
        "5:1: there are no dead letters to limit, since `on_error` is `drop`; leave one of the two out",
    );
    check(
        "dead_letters_max = { window = \"1m\" }",
        Kind::MissingKey,
        "4:1: this does not say how many are too many; write `{ share = \"5%\", window = \"1m\", at_least = 100 }`",
    );
    check("dead_letters_max = \"5%\"", Kind::WrongType, "4:20: `dead_letters_max`: expected a table, found a string");
}
