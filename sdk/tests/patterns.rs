//! Patterns as an author writes them, and what happens around the matching: late events, limits, changed patterns, state.

#![allow(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]
#![expect(missing_docs, reason = "the operators of a test speak for themselves")]

mod support {
    pub mod finder;
}

use sangam_sdk::pattern::{AfterMatch, Match, Matches, Pattern, Spec};
use sangam_sdk::test::Harness;
use sangam_sdk::*;
use support::finder::{Finder, Hit, Named, event};

#[event]
pub struct Payment {
    pub card: String,
    pub amount: f64,
}

#[event]
pub struct Alert {
    pub steps: Vec<String>,
    pub amount: f64,
}

#[outputs]
pub enum Out {
    Alert(Alert),
    Quiet(Alert),
}

fn alert(m: &Match<Payment>) -> Alert {
    Alert { steps: m.iter().map(|(step, ..)| step.to_owned()).collect(), amount: m.iter().map(|(.., payment)| payment.amount).sum() }
}

/// The long form of the operator: matches, and partial matches whose time is over.
mod probing {
    use super::*;

    #[config]
    pub struct Probing {
        pub large: f64,
        #[config(default = 10_000)]
        pub within: Millis,
    }

    #[operator(key = "card", pattern)]
    impl Probing {
        fn pattern(&self) -> Pattern<Payment> {
            let large = self.large;
            Pattern::begin("small")
                .where_(|payment: &Payment, _| payment.amount < 1.0)
                .one_or_more()
                .greedy()
                .followed_by("large")
                .where_(move |payment, _| payment.amount > large)
                .or(|payment, earlier| earlier.first("small").is_some_and(|small| payment.amount > 1_000.0 * small.amount))
                .within(self.within)
                .after_match(AfterMatch::SkipPastLastEvent)
        }
        fn on_match(&self, m: Match<Payment>) -> Out {
            Out::Alert(alert(&m))
        }
        fn on_timeout(&self, m: Match<Payment>, ctx: &mut Context) -> Option<Out> {
            ctx.count("timed_out", 1);
            (m.events("small").count() > 1).then(|| Out::Quiet(alert(&m)))
        }
    }
}

use probing::Probing;

fn pay(amount: f64) -> Payment {
    Payment { card: "4".into(), amount }
}

fn rules() -> Probing {
    Probing { large: 500.0, within: 10_000 }
}

#[test]
fn a_match_has_the_time_of_its_last_event_and_a_timed_out_one_that_of_its_first_plus_the_limit() {
    for batch in 1..8 {
        let mut h = Harness::<Probing>::with(rules()).batch(batch);
        h.send(1_000, pay(0.5)).send(2_000, pay(900.0)).send(30_000, pay(0.5)).send(31_000, pay(0.2)).send(60_000, pay(0.5)).end();
        let seen: Vec<_> = h.outputs().iter().map(|sent| (sent.port.clone(), sent.time, sent.key())).collect();
        assert_eq!(seen, [("alert".to_owned(), 2_000, "4".to_owned()), ("quiet".to_owned(), 40_000, "4".to_owned())]);
        assert_eq!(h.take::<Alert>("alert"), [Alert { steps: vec!["small".into(), "large".into()], amount: 900.5 }]);
        assert_eq!(h.counters()["timed_out"], 3);
        assert_eq!((h.keys(), h.timers("4")), (vec![], vec![]));
    }
}

#[test]
fn a_condition_may_look_at_what_is_taken_already() {
    let mut h = Harness::<Probing>::with(rules());
    h.send(1, pay(0.01)).send(2, pay(20.0)).send(3, pay(0.5)).send(4, pay(20.0)).end();
    assert_eq!(h.take::<Alert>("alert").len(), 1);
}

#[test]
fn an_event_passes_when_the_watermark_reaches_its_time_in_order_of_time() {
    let mut h = Harness::<Probing>::with(rules());
    h.send(2_000, pay(900.0)).send(1_000, pay(0.5)).advance(1_999);
    assert_eq!((h.outputs().len(), h.state("4").unwrap().waiting(), h.state("4").unwrap().partial()), (0, 1, 1));
    assert_eq!(h.timers("4"), [("pattern".to_owned(), 2_000)]);
    h.advance(2_000);
    assert_eq!(h.outputs().len(), 1);
    h.send(2_000, pay(0.5));
    assert_eq!(h.late()[0].why, "the watermark has passed its time");
    assert_eq!((h.keys(), h.timers("4")), (vec![], vec![]));
}

#[test]
fn keys_do_not_see_each_other() {
    let mut h = Harness::<Probing>::with(rules());
    h.send(1, pay(0.5)).send(2, Payment { card: "5".into(), amount: 900.0 }).end();
    assert_eq!(h.take::<Alert>("alert"), []);
}

#[test]
fn a_timer_that_is_not_its_own_and_an_event_that_begins_nothing_leave_no_state() {
    let mut h = Harness::<Probing>::with(rules());
    h.send(1_000, pay(50.0)).advance(1_000);
    assert_eq!((h.keys(), h.timers("4")), (vec![], vec![]));
}

// === state ===

fn finder(json: &str) -> Harness<Finder> {
    Harness::<Finder>::with(Finder::of(json))
}

const A_THEN_B: &str = r#"{ "within": "1m", "steps": [
    { "name": "a", "where": { "field": "name", "equals": "a" } },
    { "name": "any", "contiguity": "followed_by_any", "times": "1..", "allow_combinations": true },
    { "name": "b", "where": { "field": "name", "equals": "b" } } ] }"#;

#[test]
fn an_event_is_stored_once_whatever_the_number_of_partial_matches() {
    let mut h = finder(A_THEN_B);
    let long = "x".repeat(1_000);
    h.send(0, event("a", 0, 0));
    for i in 1..8 {
        h.send(i, event(&long, 0, i as u64));
    }
    h.advance(8);
    let matches = h.state("k").unwrap().matches;
    assert_eq!((matches.held(), matches.waiting()), (8, 0));
    assert!(matches.partial() > 150, "{} partial matches", matches.partial());
    let mut bytes = Vec::new();
    matches.encode(&mut bytes);
    // Seven long events, and three small numbers per path and per partial match.
    assert!(bytes.len() < 7 * 1_030 + matches.partial() * 16, "{} bytes", bytes.len());
    h.end();
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]));
}

#[test]
fn state_goes_to_bytes_and_back() {
    let mut h = finder(A_THEN_B);
    h.send(0, event("a", 0, 0)).send(1, event("c", 0, 1)).send(2, event("d", 0, 2)).advance(1);
    let state = h.state("k").unwrap().matches;
    let back: Matches<Value> = Value::from(&state).decode().unwrap();
    assert_eq!(back, state);
    assert_eq!(Value::from(&Matches::<Value>::default()).bytes(), [0x90]);
}

#[test]
fn partial_matches_beyond_the_limit_are_given_up_and_counted() {
    let pattern = A_THEN_B.replace("\"within\"", "\"max_partial_matches\": 10, \"within\"");
    let run = |batch: usize| {
        let mut h = Harness::<Finder>::with(Finder::of(&pattern)).batch(batch);
        h.send(0, event("a", 0, 0));
        for i in 1..8 {
            h.send(i, event("x", 0, i as u64));
        }
        h.send(8, event("b", 0, 8)).advance(8);
        assert!(h.state("k").unwrap().matches.partial() <= 10);
        h.end();
        assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]));
        (h.outputs().to_vec(), h.counters().clone())
    };
    let (outputs, counters) = run(1);
    assert!(!outputs.is_empty() && counters["pattern_partial_matches_dropped"] > 0);
    assert_eq!(run(9), (outputs, counters));
}

#[test]
fn an_event_too_many_for_its_key_is_refused() {
    let mut h = finder(r#"{ "max_waiting": 2, "steps": [{ "name": "a" }] }"#);
    for i in 0..4 {
        h.send(i, event("a", 0, i as u64));
    }
    assert_eq!(h.rejects().iter().map(|rejected| rejected.event).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(h.rejects()[0].why, "2 events of this key wait for the watermark already");
    h.advance(1).send(2, event("a", 0, 9)).end();
    assert_eq!(h.take::<Hit>("matched").len(), 3);
}

// === patterns that change ===

/// A pattern for each event: what a stream of rules does to an operator.
mod changing {
    use super::*;

    #[event]
    pub struct Ruled {
        pub key: String,
        pub name: String,
        pub rule: Option<Spec>,
    }

    #[state]
    pub struct Rules {
        pub rule: Option<Spec>,
        pub matches: Matches<Value>,
    }

    #[config]
    pub struct Changing;

    #[operator(key = "key")]
    impl Changing {
        fn on_event(&self, event: Ruled, rules: &mut Rules, ctx: &mut Context) -> Result<()> {
            if event.rule.is_some() {
                rules.rule = event.rule;
                return Ok(());
            }
            let Some(rule) = &rules.rule else { return Err(discard("no rule yet")) };
            rule.over_values()?.process(&mut rules.matches, Value::from(&event), ctx)
        }
        fn on_timer(&self, timer: Timer, rules: &mut Rules, ctx: &mut Context) -> Result<Vec<Hit>> {
            let Some(rule) = &rules.rule else { return Ok(vec![]) };
            let found = rule.over_values()?.advance(&mut rules.matches, timer, ctx)?;
            Ok(found.iter().map(|_| Hit { events: vec![], steps: vec![], ids: vec![] }).collect())
        }
    }
}

use changing::{Changing, Ruled};

fn rule(first: &str) -> Ruled {
    let json = format!(
        r#"{{ "within": 1000, "steps": [
            {{ "name": "a", "where": {{ "field": "name", "equals": "{first}" }} }},
            {{ "name": "b", "where": {{ "field": "name", "equals": "b" }} }} ] }}"#
    );
    Ruled { key: "k".into(), name: String::new(), rule: Some(serde_json::from_str(&json).unwrap()) }
}

fn named(name: &str) -> Ruled {
    Ruled { key: "k".into(), name: name.into(), rule: None }
}

#[test]
fn partial_matches_go_with_the_pattern_that_they_belong_to() {
    for batch in 1..8 {
        let mut h = Harness::<Changing>::new().batch(batch);
        h.send(1, rule("a")).send(2, named("a")).advance(2);
        h.send(3, rule("a")).send(4, named("b")).advance(4);
        assert_eq!(h.take::<Hit>("out").len(), 1, "the same pattern again changes nothing");
        h.send(5, named("a")).advance(5);
        h.send(6, rule("c")).send(7, named("b")).advance(7);
        assert_eq!(h.take::<Hit>("out"), []);
        assert_eq!(h.counters()["pattern_partial_matches_of_old_pattern"], 1, "the one that began at 5");
        h.send(8, named("c")).send(9, named("b")).advance(9);
        assert_eq!(h.take::<Hit>("out").len(), 1);
        h.end();
        assert_eq!(h.state("k").unwrap().matches, Matches::default());
        assert_eq!(h.timers("k"), []);
    }
}

#[test]
fn a_spec_is_the_same_after_it_has_been_stored() {
    let rule = rule("a").rule.unwrap();
    let back: Spec = Value::from(&rule).decode().unwrap();
    assert_eq!(back, rule);
    assert_eq!(back.fields(), ["name"]);
}

// === what is refused ===

#[test]
fn a_mistake_in_a_pattern_says_what_to_write_instead() {
    type P = Pattern<Payment>;
    let check = |pattern: P, expected: &str| assert_eq!(pattern.check(), Err(expected.to_owned()));
    let a = || P::begin("a");
    check(a().next("a"), "every step has a name of its own; `a` is there twice or empty");
    check(
        a().optional().not_next("b"),
        "`b` says what must not follow an optional step: write two patterns, one with that step and one without",
    );
    check(a().not_followed_by("b"), "the last step is not_followed_by: say for how long, with `within`");
    check(a().until(|_, _| true), "step `a`: `until` ends a step without upper bound: say one_or_more() or times_or_more(n) first");
    check(a().greedy(), "step `a`: `greedy` is for a repeated step without allow_combinations: say how often first");
    check(a().times(2).one_or_more(), "step `a`: a step takes one of times, times_range, times_or_more and one_or_more");
    check(a().consecutive(), "step `a`: consecutive and allow_combinations are for a repeated step: say how often first");
    check(a().times(2).consecutive().allow_combinations(), "step `a`: a step takes one of consecutive and allow_combinations");
    check(a().times_range(3, 2), "times are counted from 1 to 1000, the smaller number first; not 3 to 2");
    check(a().next("b").within(0), "`within` is a time, in milliseconds from 1; not 0");
    check(a().not_next("b").optional().next("c"), "step `b`: `optional` does not go with a step that must not follow");
    check(a().after_match(AfterMatch::skip_to_first("x")), "after a match it skips to `x`, which is no step of the pattern");
    check(a().within_previous(5), "the first step has none before it: say within_previous on a later one");
    check(
        a().next("b").optional().within_previous(5),
        "step `b`: within_previous is for a step that comes once, or a fixed number of times",
    );
    check(P::begin_group(a()).greedy(), "the group: a group cannot be greedy: make its steps greedy");
    let nested = P::begin_group(P::begin_group(P::begin_group(a().times(900)).times(900)).times(900));
    assert!(nested.check().is_err_and(|why| why.contains("use smaller quantifiers")));
}

#[test]
fn a_mistake_in_a_spec_names_its_place() {
    let check = |json: &str, expected: &str| {
        let why = serde_json::from_str::<Spec>(json).unwrap_err().to_string();
        assert!(why.starts_with(expected), "{why}");
    };
    check("[]", "pattern: expected a table, found a list");
    check(r#"{ "steps": [] }"#, "pattern.steps: a pattern has at least one step");
    check(r#"{ "steps": [{ "nmae": "a" }] }"#, "pattern.steps[0]: unknown field `nmae`; valid: `name`, `group`");
    check(r#"{ "steps": [{ "name": "a", "contiguity": "next" }] }"#, "pattern.steps[0].contiguity: the first step follows nothing");
    check(
        r#"{ "steps": [{ "name": "a" }, { "name": "b", "contiguity": "nxt" }] }"#,
        "pattern.steps[1].contiguity: unknown `nxt`; valid: next, followed_by",
    );
    check(
        r#"{ "steps": [{ "name": "a", "where": { "above": 1 } }] }"#,
        "pattern.steps[0].where: `above` is about a field: add `field = \"name\"`",
    );
    check(r#"{ "steps": [{ "name": "a", "where": { "field": "x" } }] }"#, "pattern.steps[0].where: say what the field must be: `exists`");
    check(r#"{ "steps": [{ "name": "a", "times": "2..5" }] }"#, "pattern.steps[0].times: a number, \"2..=5\" (from 2 to 5), or \"1..\"");
    check(r#"{ "within": "10 parsecs", "steps": [{ "name": "a" }] }"#, "pattern.within: a duration is a number and a unit");
    check(r#"{ "after_match": "skip", "steps": [{ "name": "a" }] }"#, "pattern.after_match: unknown `skip`; valid: no_skip");
    check(
        r#"{ "steps": [{ "name": "a", "where": { "field": "x", "above": { "step": "z", "field": "y" } } }] }"#,
        "a condition looks back to the step `z`, which the pattern does not have",
    );
    check(r#"{ "steps": [{ "name": "a", "greedy": true }] }"#, "step `a`: `greedy` is for a repeated step");
}

#[test]
fn a_malformed_pattern_is_refused_before_the_first_event() {
    use sangam_sdk::pattern::Detector;
    let read = |json: &[u8]| <Detector<Probing> as Config>::read(json).map(|_| ());
    assert_eq!(read(b"\x82\xa5large\xcb\x40\x7f\x40\x00\x00\x00\x00\x00\xa6within\xcd\x27\x10"), Ok(()));
    let wrong = read(b"\x82\xa5large\xcb\x40\x7f\x40\x00\x00\x00\x00\x00\xa6within\x00");
    assert_eq!(wrong, Err("the pattern cannot be matched: `within` is a time, in milliseconds from 1; not 0".into()));
}

#[test]
#[should_panic(expected = "could not skip to `b`: the match has no such event")]
fn skipping_to_what_is_not_there_may_be_a_fault() {
    let json = r#"{ "after_match": { "skip_to_first": "b", "or_fail": true }, "steps": [
        { "name": "a", "where": { "field": "name", "equals": "a" } },
        { "name": "b", "where": { "field": "name", "equals": "b" }, "optional": true },
        { "name": "c", "where": { "field": "name", "equals": "c" } } ] }"#;
    finder(json).send(1, event("a", 0, 0)).send(2, event("c", 0, 1)).end().flush();
}

// === conditions as data ===

#[test]
fn a_condition_on_fields() {
    let check = |fits: &str, name: &str, value: i64, expected: bool| {
        let mut h = finder(&format!(r#"{{ "steps": [{{ "name": "s", "where": {fits} }}] }}"#));
        h.send(1, event(name, value, 0)).end();
        assert_eq!(h.take::<Hit>("matched").len() == 1, expected, "{fits} of {name} {value}");
    };
    for (test, below, equal, above) in [
        ("equals", false, true, false),
        ("not_equals", true, false, true),
        ("above", false, false, true),
        ("at_least", false, true, true),
        ("below", true, false, false),
        ("at_most", true, true, false),
    ] {
        for (value, expected) in [(4, below), (5, equal), (6, above)] {
            check(&format!(r#"{{ "field": "value", "{test}": 5 }}"#), "n", value, expected);
            check(&format!(r#"{{ "field": "value", "{test}": 5.0 }}"#), "n", value, expected);
        }
    }
    check(r#"{ "field": "value", "in": [1, "x", 7] }"#, "n", 7, true);
    check(r#"{ "field": "value", "in": [1, "7"] }"#, "n", 7, false);
    check(r#"{ "field": "name", "starts_with": "ab" }"#, "abc", 0, true);
    check(r#"{ "field": "name", "ends_with": "bc" }"#, "abc", 0, true);
    check(r#"{ "field": "name", "contains": "x" }"#, "abc", 0, false);
    check(r#"{ "field": "name", "above": 5 }"#, "abc", 0, false);
    check(r#"{ "field": "missing", "equals": 5 }"#, "abc", 0, false);
    check(r#"{ "field": "missing", "not_equals": 5 }"#, "abc", 0, false);
    check(r#"{ "field": "missing", "exists": false }"#, "abc", 0, true);
    check(r#"{ "field": "name", "exists": true }"#, "abc", 0, true);
    check(r#"{ "not": { "field": "name", "equals": "abc" } }"#, "abc", 0, false);
    check(r#"{ "any": [{ "field": "value", "equals": 1 }, { "field": "name", "equals": "abc" }] }"#, "abc", 0, true);
    check(r#"{ "field": "value", "above": 1, "below": 3, "not": { "field": "name", "equals": "x" } }"#, "abc", 2, true);
}

#[test]
fn a_condition_on_a_field_of_an_earlier_event() {
    let rises = r#"{ "steps": [{ "name": "a" },
        { "name": "b", "contiguity": "next", "where": { "field": "value", "above": { "step": "a", "field": "value", "times": 2, "plus": 1 } } }] }"#;
    let mut h = finder(rises);
    for (i, value) in [3, 7, 16, 30].into_iter().enumerate() {
        h.send(i as i64, event("n", value, i as u64));
    }
    h.end();
    assert_eq!(h.take::<Hit>("matched").iter().map(|hit| hit.ids.clone()).collect::<Vec<_>>(), [[1, 2]]);
}

#[test]
fn a_step_may_have_a_time_since_the_one_before() {
    let pattern = r#"{ "steps": [{ "name": "a", "where": { "field": "name", "equals": "a" } },
        { "name": "b", "where": { "field": "name", "equals": "b" }, "within_previous": 10 },
        { "name": "c", "where": { "field": "name", "equals": "c" }, "within_previous": 5 }] }"#;
    let mut h = finder(pattern);
    for (i, (time, name)) in [(0, "a"), (9, "b"), (13, "c"), (20, "a"), (30, "b"), (40, "a"), (41, "b"), (46, "c")].into_iter().enumerate()
    {
        h.send(time, event(name, 0, i as u64));
    }
    h.end();
    assert_eq!(h.take::<Hit>("matched").iter().map(|hit| hit.ids.clone()).collect::<Vec<_>>(), [[0, 1, 2]]);
    let timed_out: Vec<_> = h.outputs().iter().map(|sent| (sent.decode::<Hit>().ids, sent.time)).collect();
    assert_eq!(timed_out, [(vec![3], 30), (vec![5, 6], 46)]);
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]));
}

// === several types of event ===

mod several {
    use super::*;

    #[event]
    pub struct Login {
        pub user: String,
        pub ok: bool,
    }
    #[event]
    pub struct Transfer {
        pub user: String,
        pub amount: f64,
    }
    #[event(tag = "kind")]
    pub enum Activity {
        Login(Login),
        Transfer(Transfer),
    }
    #[config]
    pub struct Takeover;

    #[operator(key = "user", pattern)]
    impl Takeover {
        fn pattern(&self) -> Pattern<Activity> {
            Pattern::begin("failed")
                .where_(|event, _| matches!(event, Activity::Login(login) if !login.ok))
                .times(2)
                .followed_by("transfer")
                .where_(|event, _| matches!(event, Activity::Transfer(_)))
                .within(60_000)
        }
        fn on_match(&self, m: Match<Activity>) -> Option<Alert> {
            let Some(Activity::Transfer(transfer)) = m.last("transfer") else { return None };
            Some(Alert { steps: vec![], amount: transfer.amount })
        }
    }
}

#[test]
fn a_pattern_may_be_over_events_of_several_types() {
    use several::{Activity, Login, Takeover, Transfer};
    let mut h = Harness::<Takeover>::with(Takeover);
    let failed = || Activity::Login(Login { user: "ann".into(), ok: false });
    h.send(1, failed()).advance(1).send(2, failed()).advance(2);
    h.send(3, Activity::Transfer(Transfer { user: "ann".into(), amount: 7.5 })).end();
    assert_eq!(h.take::<Alert>("out"), [Alert { steps: vec![], amount: 7.5 }]);
    assert_eq!((h.keys(), h.timers("ann")), (vec![], vec![]));
}

#[test]
fn an_event_of_a_state_is_read_back_by_position() {
    let event = Named { key: "k".into(), name: "n".into(), value: 1, id: 2 };
    let mut packed = Vec::new();
    event.pack(&mut packed);
    assert_eq!(packed, b"\x94\xa1k\xa1n\x01\x02");
    assert_eq!(Value::from(&event).decode::<Named>().unwrap(), event);
}
