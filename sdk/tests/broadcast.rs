//! Broadcast state: written by broadcast inputs only, read under every key, ordered by the time from which each version applies.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sangam_protocol::manifest::Manifest;
use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
struct Data {
    key: String,
    wake: Option<i64>,
}
#[event]
struct Rule {
    id: i64,
    limit: Option<i64>,
}
#[event]
struct Visible {
    by: String,
    rules: Vec<i64>,
}
#[state]
struct Seen {
    events: u64,
}

/// Rules in order of arrival, whatever their times.
mod plain {
    use super::*;

    #[state]
    pub(crate) struct Rules {
        pub(crate) ids: Vec<i64>,
    }
    #[config]
    pub(crate) struct Watch {}

    #[operator(key = "key")]
    impl Watch {
        fn on_broadcast(&self, rule: Rule, rules: &mut Rules, ctx: &mut Context) -> Result<()> {
            rules.ids.push(rule.id);
            ctx.count("rules", 1);
            match rule.id {
                ..0 => Err(reject("rules count from 0")),
                666 => {
                    ctx.wake("never", 0);
                    Ok(())
                }
                _ => Ok(()),
            }
        }
        fn on_event(&self, data: Data, seen: &mut Seen, rules: &Rules, ctx: &mut Context) -> Visible {
            seen.events += 1;
            data.wake.into_iter().for_each(|at| ctx.wake("look", at));
            Visible { by: data.key, rules: rules.ids.clone() }
        }
        fn on_timer(&self, timer: Timer, rules: &Rules) -> Visible {
            Visible { by: timer.name().to_owned(), rules: rules.ids.clone() }
        }
    }
}

/// Rules by id, each from its time on; of two inputs.
mod versioned {
    use super::*;

    #[state]
    pub(crate) struct Rules {
        pub(crate) limits: Broadcast<i64, i64>,
    }
    #[event]
    pub(crate) struct Removal {
        pub(crate) rule: i64,
    }
    #[inputs]
    pub(crate) enum Control {
        Rules(Rule),
        Removals(Removal),
    }
    #[inputs]
    pub(crate) enum In {
        Data(Data),
    }
    #[config]
    pub(crate) struct Limits {}

    #[operator(key = "key")]
    impl Limits {
        fn on_broadcast(&self, event: Control, rules: &mut Rules, ctx: &Context) {
            match event {
                Control::Rules(Rule { id, limit: Some(limit) }) => rules.limits.put(id, limit, ctx),
                Control::Rules(Rule { id, limit: None }) | Control::Removals(Removal { rule: id }) => rules.limits.remove(&id, ctx),
            }
        }
        fn on_event(&self, In::Data(data): In, rules: &Rules, ctx: &Context) -> Visible {
            Visible { by: data.key, rules: rules.limits.iter(ctx.time()).flat_map(|(id, limit)| [*id, *limit]).collect() }
        }
    }
}

fn data(key: &str) -> Data {
    Data { key: key.to_owned(), wake: None }
}

fn rule(id: i64) -> Rule {
    Rule { id, limit: None }
}

#[test]
fn events_and_timers_see_every_rule_that_came_before_them() {
    // B01
    for batch in [1, 2, 3, 100] {
        let mut h = Harness::<plain::Watch>::new().batch(batch);
        for id in [5, 34, 53, 12, 98] {
            h.send_to("broadcast", 0, rule(id));
        }
        h.send(0, Data { key: "trigger".into(), wake: Some(41) });
        h.send_to("broadcast", 0, rule(51));
        h.advance(41);
        let seen: Vec<(String, Vec<i64>)> = h.take::<Visible>("out").into_iter().map(|visible| (visible.by, visible.rules)).collect();
        let expected = [("trigger", vec![5, 34, 53, 12, 98]), ("look", vec![5, 34, 53, 12, 98, 51])];
        assert_eq!(seen, expected.map(|(by, rules)| (by.to_owned(), rules)), "in batches of {batch}");
        assert_eq!((h.keys(), h.timers("trigger")), (vec!["trigger".to_owned()], vec![]));
    }
}

#[test]
fn a_restart_and_another_build_find_the_rules() {
    let mut h = Harness::<plain::Watch>::new();
    h.send_to("broadcast", 0, rule(5)).send(0, data("a"));
    let snapshot = h.snapshot();
    h.send_to("broadcast", 0, rule(6));
    h.restore(&snapshot);
    assert_eq!(h.broadcast(), plain::Rules { ids: vec![5] });
    h.send(0, data("a"));
    assert_eq!(h.take::<Visible>("out").pop().map(|visible| visible.rules), Some(vec![5]));
}

#[test]
fn a_refused_rule_leaves_nothing_behind() {
    let mut h = Harness::<plain::Watch>::new().batch(10);
    h.send_to("broadcast", 0, rule(1)).send_to("broadcast", 0, rule(-1)).send_to("broadcast", 0, data("no rule")).send(0, data("a"));
    assert_eq!(h.broadcast(), plain::Rules { ids: vec![1] });
    let why: Vec<&str> = h.rejects().iter().map(|rejected| rejected.why.as_str()).collect();
    assert_eq!(why, ["rules count from 0", "the field `id` is missing"]);
    assert_eq!(h.counters()["rules"], 1);
}

#[test]
#[should_panic(expected = "on_broadcast sets a timer: timers belong to keys, and a broadcast event has none")]
fn a_rule_cannot_set_a_timer() {
    Harness::<plain::Watch>::new().send_to("broadcast", 0, rule(666)).flush();
}

#[test]
fn a_rule_never_applies_to_events_before_it() {
    let mut h = Harness::<versioned::Limits>::new();
    h.send_to("rules", 100, Rule { id: 1, limit: Some(10) });
    // Out of order: the version from 50 comes after the one from 100, and applies between them.
    h.send_to("rules", 50, Rule { id: 1, limit: Some(5) });
    h.send_to("removals", 200, versioned::Removal { rule: 1 });
    let mut check = |time: i64, expected: &[i64]| {
        h.send(time, data("a"));
        assert_eq!(h.take::<Visible>("out")[0].rules, expected, "at {time}");
    };
    check(49, &[]);
    check(50, &[1, 5]);
    check(99, &[1, 5]);
    check(100, &[1, 10]);
    check(199, &[1, 10]);
    check(200, &[]);
    check(49, &[]);
}

#[test]
fn what_no_event_can_ask_for_any_more_is_forgotten() {
    let mut h = Harness::<versioned::Limits>::new();
    for (time, limit) in [(10, Some(1)), (20, Some(2)), (30, None), (40, Some(4))] {
        h.send_to("rules", time, Rule { id: 1, limit });
    }
    h.advance(25);
    h.send_to("rules", 50, Rule { id: 2, limit: Some(7) });
    let mut expected = versioned::Rules::default();
    for (from, limit) in [(20, Some(2)), (30, None), (40, Some(4))] {
        expected.limits.put_from(1, from, limit);
    }
    expected.limits.put_from(2, 50, Some(7));
    assert_eq!(h.broadcast(), expected);
    h.advance(35);
    h.send_to("removals", 60, versioned::Removal { rule: 2 });
    h.send_to("removals", 60, versioned::Removal { rule: 1 });
    h.advance(60);
    // A removal is known for a day, so that what comes late does not bring the rule back.
    h.send_to("rules", 10, Rule { id: 1, limit: Some(1) });
    h.send(61, data("a"));
    assert_eq!(h.take::<Visible>("out").pop().map(|visible| visible.rules), Some(vec![]));
    h.advance(60 + hours(24));
    h.send_to("rules", hours(25), Rule { id: 3, limit: Some(3) });
    let mut expected = versioned::Rules::default();
    expected.limits.put_from(3, hours(25), Some(3));
    assert_eq!(h.broadcast(), expected);
}

#[test]
fn the_manifest_marks_the_broadcast_inputs() {
    let inputs = |text: &str| {
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        manifest.check().unwrap();
        manifest.inputs.into_iter().map(|input| (input.name, input.broadcast)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(<plain::Watch as Operator>::MANIFEST), [("in".to_owned(), false), ("broadcast".to_owned(), true)]);
    let names = ["data", "rules", "removals"].map(str::to_owned);
    assert_eq!(inputs(<versioned::Limits as Operator>::MANIFEST), names.map(|name| (name.clone(), name != "data")));
}

proptest! {
    /// Rules in any order, events in any order: each event sees, of each rule, the latest version that is not after it.
    #[test]
    fn versions_are_found_as_by_brute_force(
        steps in prop::collection::vec((any::<bool>(), 0..4i64, prop::option::of(0..9i64), 0..60i64, prop::option::of(0..60i64)), 0..60),
        batch in 1..20usize,
    ) {
        let mut h = Harness::<versioned::Limits>::new().batch(batch);
        let mut known: Vec<(i64, i64, Option<i64>)> = Vec::new();
        let mut expected = Vec::new();
        let mut watermark = -1;
        for (is_rule, id, limit, time, advance) in steps {
            if is_rule {
                h.send_to("rules", time, Rule { id, limit });
                known.push((id, time, limit));
            } else {
                // Only events that are not late may ask.
                let time = time.max(watermark + 1);
                h.send(time, data("a"));
                let mut latest: BTreeMap<i64, (i64, Option<i64>)> = BTreeMap::new();
                for (id, from, limit) in known.iter().filter(|(_, from, _)| *from <= time) {
                    let entry = latest.entry(*id).or_insert((*from, *limit));
                    if *from >= entry.0 {
                        *entry = (*from, *limit);
                    }
                }
                expected.push(latest.iter().filter_map(|(id, (_, limit))| Some([*id, (*limit)?])).flatten().collect::<Vec<_>>());
            }
            if let Some(to) = advance {
                watermark = watermark.max(to);
                h.advance(to);
            }
        }
        let seen: Vec<Vec<i64>> = h.take::<Visible>("out").into_iter().map(|visible| visible.rules).collect();
        prop_assert_eq!(seen, expected);
        h.end();
        prop_assert_eq!(h.keys(), Vec::<String>::new());
        prop_assert!(h.is_idle());
    }
}
