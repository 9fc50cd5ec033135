//! What is refused before the first event, and an audience whose limits change while it watches.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: the first surprise ends the test")]

use live_viewers::{Alert, LiveViewers};
use sangam_sdk::Config;
use sangam_sdk::test::Harness;
use serde_json::json;

fn read(config: serde_json::Value) -> Result<LiveViewers, String> {
    LiveViewers::read(&rmp_serde::to_vec_named(&config).unwrap())
}

#[test]
fn a_limit_that_is_no_number_and_a_name_that_is_not_known_are_refused() {
    let check = |config: serde_json::Value, expected: &str| {
        let why = read(config.clone()).expect_err("it is wrong");
        assert!(why.contains(expected), "{config}: {why}");
    };
    check(json!({ "overlaod": {} }), "overlaod");
    check(json!({ "milestone_every": "often" }), "config field `milestone_every`: expected");
    check(json!({ "buffer": { "below": "low", "commands": [] } }), "invalid type: string \"low\", expected a number");
    check(json!({ "buffer": { "beneath": 1, "commands": [] } }), "unknown field `beneath`");
    check(
        json!({ "overload": { "above": 1, "say": { "alert": "A", "severity": "B", "action": "C", "loud": true } } }),
        "unknown field `loud`",
    );
}

#[test]
fn a_lower_limit_holds_from_the_next_event_on() {
    let limit =
        |above: u64| read(json!({ "overload": { "above": above, "say": { "alert": "A", "severity": "B", "action": "C" } } })).unwrap();
    let play = |h: &mut Harness<LiveViewers>, session: &str| {
        let event = json!({ "session_id": session, "event_type": "play", "quality": "720p", "buffer_health": 50.0, "location": "goa" });
        h.send_raw(0, &rmp_serde::to_vec_named(&event).unwrap());
    };
    let mut h = Harness::<LiveViewers>::with(limit(5)).key("location");
    play(&mut h, "a");
    play(&mut h, "b");
    assert!(h.take::<Alert>("alerts").is_empty());
    h.reload(limit(1));
    play(&mut h, "b");
    assert_eq!(h.take::<Alert>("alerts").iter().map(|alert| alert.viewers).collect::<Vec<_>>(), [2]);
}
