//! The facts in `tests/vectors/semantics.json` on the real engine, each in four ways: plain, restarted after every step, in several tasks
//! that are put on other workers midway, and with another build after every step. All four agree, in what comes out and in the state of each
//! key, and nothing is left in the store.
//!
//! A fact's category says how it is run, its configuration and steps what is run: another case of a known kind needs no code here. What
//! cannot be run so is in `docs/semantics.md` with the reason.

mod case;
mod fact;
mod failures;
mod joins;
mod live;
mod patterns;
mod standing;
mod states;
mod windows;

use fact::{Fact, facts};
use std::collections::BTreeSet;

/// How the facts of a category are run; `*` is any ending. The first that fits counts.
type Kinds = &'static [(&'static str, fn(&Fact))];

const ALL: [Kinds; 6] = [windows::KINDS, patterns::KINDS, joins::KINDS, states::KINDS, standing::KINDS, failures::KINDS];

/// The heading in `docs/semantics.md` under which the facts stand that are not run here, one to a row.
const NOT_HERE: &str = "### Facts that are not run on the engine";

/// How a fact is run by one of these kinds.
fn runner(kinds: Kinds, fact: &Fact) -> Option<fn(&Fact)> {
    let fits = |category: &str| match category.strip_suffix('*') {
        Some(start) => fact.category().starts_with(start),
        None => fact.category() == category,
    };
    kinds.iter().find(|(category, _)| fits(category)).map(|(_, run)| *run)
}

/// Runs the facts of these kinds, but for those that are listed.
fn run(kinds: Kinds) {
    let listed = listed();
    for fact in facts().iter().filter(|fact| !listed.contains(fact.id())) {
        if let Some(run) = runner(kinds, fact) {
            println!("{} {}", fact.id(), fact.category());
            run(fact);
        }
    }
}

#[test]
fn windows_do_what_the_facts_say_in_all_four_ways() {
    run(windows::KINDS);
}

#[test]
fn patterns_do_what_the_facts_say_in_all_four_ways() {
    run(patterns::KINDS);
}

#[test]
fn joins_and_rankings_do_what_the_facts_say_in_all_four_ways() {
    run(joins::KINDS);
}

#[test]
fn state_and_timers_do_what_the_facts_say_in_all_four_ways() {
    run(states::KINDS);
}

#[test]
fn watermarks_do_what_the_facts_say_in_all_four_ways() {
    run(standing::KINDS);
}

#[test]
fn failures_end_as_the_facts_say_in_all_four_ways() {
    run(failures::KINDS);
}

/// Ids that the page lists as not run here, each with a reason.
fn listed() -> BTreeSet<String> {
    let page = include_str!("../../../docs/semantics.md");
    let section = page.split(NOT_HERE).nth(1).unwrap_or_else(|| panic!("the page has no {NOT_HERE}"));
    let rows = section.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| "));
    let rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|row| row[0] != "fact")
        .map(|row| {
            assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "a fact, what it says, and why it is not run: {row:?}");
            row[0].to_owned()
        })
        .collect()
}

/// Facts that are neither run, by one kind, nor listed.
fn astray(facts: &[Fact], listed: &BTreeSet<String>) -> Vec<String> {
    let runs = |fact: &Fact| ALL.iter().filter(|kinds| runner(kinds, fact).is_some()).count() == 1;
    let astray = facts.iter().filter(|fact| !runs(fact) && !listed.contains(fact.id()));
    astray.map(|fact| format!("{} {}", fact.id(), fact.category())).collect()
}

#[test]
fn every_fact_is_run_or_listed_with_the_reason_why_not() {
    let (facts, listed) = (facts(), listed());
    assert_eq!(astray(&facts, &listed), [] as [&str; 0]);
    let ids: BTreeSet<&str> = facts.iter().map(Fact::id).collect();
    assert_eq!(ids.len(), facts.len(), "an id is one fact's");
    // One that nobody has heard of is noticed.
    let new = [Fact(serde_json::json!({"id": "Z99", "category": "unheard_of"}))];
    assert_eq!(astray(&new, &listed), ["Z99 unheard_of"]);
}
