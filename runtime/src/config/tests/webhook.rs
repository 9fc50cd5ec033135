//! Streams that are HTTP endpoints, the audit, and stamps: what is meant, and what is refused.

use super::refused::{check, check_stream};
use super::*;
use std::time::Duration;

/// Keys of the stream `out`, which an operator writes.
fn out(keys: &str) -> String {
    format!("[operators.o]\ninput = \"in\"\noutput = \"out\"\n[streams.in]\n[streams.out]\n{keys}")
}

fn webhook(keys: &str) -> Webhook {
    let pipeline = parse(&out(keys)).unwrap();
    match &pipeline.stream("out").unwrap().carrier {
        Carrier::Webhook(webhook) => webhook.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endpoint_has_a_default_for_everything_but_its_address() {
    assert_eq!(webhook(r#"url = "https://a.example/x""#), Webhook::new("out", "https://a.example/x"));
    let all = webhook(
        r#"url = "http://a.example:8080/${TOKEN}"
        headers = { Authorization = "Bearer ${TOKEN}" }
        timeout = "1s"
        in_flight = 2
        on_error = "dead_letter"
        retry_for = "3s"
        breaker = { failures = 9, open_for = "1m" }"#,
    );
    let expected = Webhook {
        headers: Options([("Authorization".to_owned(), "Bearer hunter2".to_owned())].into()),
        timeout: Duration::from_secs(1),
        in_flight: 2,
        on_error: Undelivered::SetAside(Duration::from_secs(3)),
        breaker: BreakerSpec { trips: Trips::Failures(9), open_for: Duration::from_secs(60) },
        ..Webhook::new("out", "http://a.example:8080/hunter2")
    };
    assert_eq!(all, expected);
    assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
    assert_eq!(parse(&out(r#"url = "https://a.example""#)).unwrap().guarantee, Guarantee::ExactlyOnce);
}

#[test]
fn of_an_address_only_scheme_and_host_are_printed() {
    for (url, place) in [
        ("https://a.example/token", "https://a.example"),
        ("http://a.example:80?token=1", "http://a.example:80"),
        ("http://user:secret@a.example/x@y", "a.example"),
        ("http://a.example", "http://a.example"),
    ] {
        assert_eq!(Webhook::new("out", url).place(), place);
    }
}

#[test]
fn what_an_endpoint_cannot_have_is_refused() {
    for bad in ["a.example", "ftp://a.example", "https://", "https:///x", "https://a b"] {
        let message = format!("6:7: `url`: `{bad}` is no address of an endpoint; write `https://HOST/PATH`");
        check(&out(&format!("url = \"{bad}\"")), &[(Kind::BadAddress, &message)]);
    }
    check(
        &out("url = \"http://a\"\nretry_for = \"1s\"\nheaders = { Host = \"b\", \"a b\" = \"c\" }\npartitions = 2"),
        &[
            (Kind::Conflict, "7:13: `out` is tried until it works; leave `retry_for` out, or write `on_error = \"dead_letter\"`"),
            (Kind::Conflict, "8:13: the header `Host` is set by Sangam; leave it out"),
            (Kind::BadName, "8:25: `a b` and its value cannot be a header of a request"),
            (
                Kind::Conflict,
                "9:1: `partitions` does not go with the stream `out`: a stream with a `url` is written to that endpoint and never read; leave it \
                 out, or leave out `url`",
            ),
        ],
    );
    check_stream(
        "retry_for = \"1s\"",
        &[(
            Kind::Conflict,
            "7:1: `retry_for` does not go with the stream `in`: it is for outputs to Kafka or to a `url`, which may be away; leave it out",
        )],
    );
}

#[test]
fn nobody_reads_an_endpoint_and_it_keeps_no_dead_letters() {
    check(
        "[operators.o]\ninput = \"in\"\n[operators.p]\ninput = \"x\"\ndead_letters = \"in\"\n[streams.x]\n[streams.in]\nurl = \"http://a\"",
        &[
            (Kind::Conflict, "2:9: `in` has a `url`: it can be written and not read; read another stream"),
            (Kind::Conflict, "5:16: `in` has a `url`, which keeps nothing: dead letters need a topic; name another stream"),
        ],
    );
}

#[test]
fn the_audit_goes_to_where_commits_are_unless_it_is_switched_off() {
    let audit = |text: &str| parse(&format!("{text}\n{BASE}")).unwrap().audit;
    let at = |topic: &str, asked| Some(Audit { cluster: EMBEDDED.into(), topic: topic.into(), asked });
    assert_eq!(audit(""), at("p.audit", false));
    assert_eq!(audit("audit = true"), at("p.audit", true));
    assert_eq!(audit("audit = false"), None);
    assert_eq!(audit("audit = { topic = \"builds\" }"), at("builds", true));
    let files = "dead_letters = \"f\"\n[operators.o]\ninput = \"f\"\noutput = \"g\"\non_error = \"drop\"\n[streams.f]\nfile = \"a\"\n[streams.g]\nfile = \"b\"";
    assert_eq!(parse(&files.replacen("dead_letters = \"f\"\n", "", 1)).unwrap().audit, None);
    let kafka = "[clusters.k]\nkind = \"kafka\"\nbrokers = \"b:9092\"\n[operators.o]\ninput = \"in\"\n[streams.in]\ncluster = \"k\"";
    assert_eq!(parse(kafka).unwrap().audit.unwrap().cluster, "k");
}

#[test]
fn a_stamp_is_for_all_operators_unless_one_says_otherwise() {
    let stamps =
        |text: &str, own: &str| parse(&format!("{text}\n[streams.in]\n[operators.o]\ninput = \"in\"\n{own}")).unwrap().operators[0].stamp;
    assert_eq!((stamps("", ""), stamps("stamp = true", ""), stamps("stamp = true", "stamp = false")), (false, true, false));
    assert!(stamps("", "stamp = true"));
}
