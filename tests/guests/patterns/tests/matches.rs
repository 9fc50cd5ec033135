//! The guest's outputs.

use patterns::{Named, Patterns};
use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
struct Seen {
    user: String,
    name: String,
}

#[test]
fn a_pattern_of_the_configuration_is_found_and_its_partial_matches_time_out() {
    let pattern = r#"{
        "within": "10s", "after_match": "skip_past_last_event",
        "steps": [
            { "name": "first", "where": { "field": "name", "equals": "a" } },
            { "name": "then", "where": { "field": "name", "starts_with": "b" }, "times": "1..", "greedy": true },
            { "name": "last", "where": { "field": "name", "equals": "c" } }
        ]
    }"#;
    let config = Patterns { pattern: serde_json::from_str(pattern).unwrap(), name: "name".into() };
    let mut h = Harness::<Patterns>::with(config).key("user").batch(4);
    for (time, name) in [(0, "a"), (1_000, "b1"), (3_000, "c"), (2_000, "b2"), (4_000, "a")] {
        h.send(time, Seen { user: "ann".into(), name: name.into() });
    }
    h.end();
    let found = h.take::<Named>("matched");
    assert_eq!(found.iter().map(|found| found.events.join(" ")).collect::<Vec<_>>(), ["a b1 b2 c"]);
    assert_eq!((found[0].started, found[0].time, &found[0].steps["then"]), (0, 3_000, &vec!["b1".to_owned(), "b2".to_owned()]));
    let timed_out = h.take::<Named>("timed_out");
    assert_eq!(timed_out.iter().map(|found| (found.events.join(" "), found.time)).collect::<Vec<_>>(), [("a".to_owned(), 14_000)]);
    assert_eq!((h.keys(), h.timers("ann")), (vec![], vec![]));
}
