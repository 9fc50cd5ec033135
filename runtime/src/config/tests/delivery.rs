//! Streams at a cluster that may be away: what is meant, what is guaranteed beside them, and what is refused.

use super::refused::check;
use super::*;
use std::time::Duration;

/// A pipeline that reads and writes at one cluster, with `more` about the stream `far` at another.
fn two(more: &str) -> String {
    format!(
        "[operators.o]\ninput = \"in\"\noutput = [\"out\", \"far\"]\n[clusters.a]\nkind = \"kafka\"\nbrokers = \"a:9092\"\n[clusters.b]\nkind = \"kafka\"\n\
         brokers = \"b:9092\"\n[streams.in]\ncluster = \"a\"\n[streams.out]\ncluster = \"a\"\n[streams.kept]\ncluster = \"a\"\n[streams.far]\ncluster = \"b\"\n{more}"
    )
}

#[test]
fn a_stream_that_may_be_away_says_what_becomes_of_its_events_and_when_it_is_left_alone() {
    let delivery = |more: &str| parse(&two(more)).unwrap().stream("far").unwrap().delivery;
    assert_eq!(delivery(""), None);
    assert_eq!(delivery("on_error = \"wait\""), Some(Delivery { on_error: Undelivered::Wait, breaker: BreakerSpec::OF_SINKS }));
    let set_aside = Undelivered::SetAside(Webhook::RETRY_FOR);
    assert_eq!(delivery("on_error = \"dead_letter\""), Some(Delivery { on_error: set_aside, breaker: BreakerSpec::OF_SINKS }));
    let all = "on_error = { fallback = \"kept\" }\nretry_for = \"1s\"\nbreaker = { failures = 1, open_for = \"2s\" }";
    let breaker = BreakerSpec { trips: Trips::Failures(1), open_for: Duration::from_secs(2) };
    assert_eq!(delivery(all), Some(Delivery { on_error: Undelivered::SetAside(Duration::from_secs(1)), breaker }));
    assert_eq!(parse(&two(all)).unwrap().stream("far").unwrap().fallback.as_deref(), Some("kept"));
    assert!(parse(&two(all)).unwrap().warnings.is_empty(), "the fallback is in use");
}

#[test]
fn what_is_written_to_one_cluster_stays_exactly_once_beside_a_stream_that_may_be_away() {
    let guarantee = |more: &str| parse(&two(more)).unwrap().guarantee;
    assert_eq!(guarantee("[operators.p]\ninput = \"in\"\noutput = \"kept\""), Guarantee::AtLeastOnce);
    let asked = format!("guarantee = \"exactly_once\"\n{}", two("[operators.p]\ninput = \"in\"\noutput = \"kept\""));
    let message = "1:13: `exactly_once` cannot be kept: a transaction is kept by one cluster, here `a`, and the stream `far` is written to `b`: give it \
                   `cluster = \"a\"`, or say by its `on_error` that it may be away, or write `at_least_once`";
    check(&asked, &[(Kind::Conflict, message)]);
    assert_eq!(guarantee("on_error = \"wait\"\n[operators.p]\ninput = \"in\"\noutput = \"kept\""), Guarantee::ExactlyOnce);
    assert_eq!(guarantee("on_error = { fallback = \"kept\" }"), Guarantee::ExactlyOnce);
    let home = parse(&two("on_error = \"wait\"").replace("[\"out\", \"far\"]", "[\"far\", \"out\"]")).unwrap();
    let letters = &home.stream(DEAD_LETTERS).unwrap().carrier;
    assert!(matches!(letters, Carrier::Topic { cluster, .. } if cluster == "a"), "dead letters are where commits are: {letters:?}");
}

#[test]
fn a_stream_that_may_be_away_is_neither_read_nor_takes_dead_letters() {
    check(
        &two("on_error = \"wait\"\n[operators.p]\ninput = \"far\"\n[operators.q]\ninput = \"kept\"\ndead_letters = \"far\""),
        &[
            (
                Kind::Conflict,
                "20:9: `far` has `on_error`, `retry_for` or `breaker`, which are for a stream that is written and not read here; leave them out",
            ),
            (
                Kind::Conflict,
                "23:16: `far` may be away, and dead letters must be kept with the commit; name a stream without `on_error`, `retry_for` and `breaker`",
            ),
        ],
    );
}

#[test]
fn a_record_is_tried_for_no_longer_than_a_transaction_may_be_open() {
    let tried = |time: &str| two(&format!("on_error = \"dead_letter\"\nretry_for = \"{time}\"\n[operators.q]\ninput = \"kept\""));
    assert!(parse(&tried("8s")).is_ok());
    let message =
        "19:13: `retry_for` is at most 8s at Kafka, as the commit waits meanwhile, found `8001ms`; write `8s`, or `on_error = \"wait\"`";
    check(&tried("8001ms"), &[(Kind::OutOfRange, message)]);
}

#[test]
fn a_fallback_is_another_topic_that_has_none() {
    let unused = "[operators.q]\ninput = \"kept\"";
    check(
        &two(&format!("on_error = {{ fallback = \"kpet\" }}\n{unused}")),
        &[(Kind::UnknownStream, "18:25: there is no stream `kpet` to fall back to; did you mean `kept`?")],
    );
    check(
        &two(&format!("on_error = {{ fallback = \"far\" }}\n{unused}")),
        &[(Kind::Cycle, "18:25: `far` cannot be the fallback, as it is itself or has one; name a stream that has none")],
    );
    check(
        &two(&format!("on_error = {{ fallback = \"f\" }}\n[streams.f]\nfile = \"f\"\n{unused}")),
        &[(Kind::Conflict, "18:25: a fallback is a topic, and `f` is none; name another stream")],
    );
    check(
        &two(&format!("on_error = {{ }}\n{unused}")),
        &[(Kind::MissingKey, "18:1: this names no stream; write `on_error = { fallback = \"STREAM\" }`")],
    );
}
