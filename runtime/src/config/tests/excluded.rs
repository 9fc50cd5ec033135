//! What does not go together is refused, with what to change.

use super::refused::{check, check_operator, check_stream, check_top};
use super::*;

#[test]
fn settings_that_exclude_each_other_are_refused() {
    check_top(
        r#"[clusters.a]
kind = "kafka"
brokers = "a:9092"
options = { "group.id" = "x", security.protocol = "ssl" }"#,
        &[
            (Kind::Conflict, "4:13: `group.id` is set by Sangam; the pipeline's `name` is the group"),
            (
                Kind::WrongType,
                r#"4:31: `options.security`: expected a string, a number or a boolean, found a table; write names that have dots in quotes, as in "security.protocol" = "ssl""#,
            ),
        ],
    );
    check_top(
        r#"[clusters.a]
kind = "local"
brokers = "a:9092"
options = {}"#,
        &[
            (Kind::Conflict, r#"3:11: `brokers` is for `kind = "kafka"`; the cluster `a` is of another kind"#),
            (Kind::Conflict, r#"4:1: `options` is for `kind = "kafka"`; the cluster `a` is of another kind"#),
        ],
    );
    check_top(
        r#"[clusters.a]
kind = "local"
[clusters.b]
kind = "local""#,
        &[(Kind::Conflict, "3:11: there is one embedded store, and `a` is it; use that one, or another `kind`")],
    );
    check_top(
        r#"[clusters.local]
kind = "memory""#,
        &[(Kind::Conflict, "1:11: `local` is the name of the embedded cluster; choose another one")],
    );
    check_operator(r#"input = ["in", "in"]"#, &[(Kind::Conflict, "4:16: the operator already reads `in` here; leave one of the two out")]);
    check_operator(
        r#"input = "in"
output = "out"
outputs = { a = "out" }"#,
        &[(Kind::Conflict, "6:1: `output` and `outputs` exclude each other; keep `outputs` where ports have names")],
    );
    check_operator(
        r#"input = "in"
on_error = "drop"
dead_letters = "out""#,
        &[(Kind::Conflict, "6:16: nothing would go to `out`, since `on_error` is `drop`; leave one of the two out")],
    );
    check_stream(r#"format = "framed-msgpack""#, &[(Kind::Conflict, "7:10: a topic knows where an event ends; write `msgpack`")]);
    check_stream(
        r#"format = "raw"
timestamp = "ts"
key = "k""#,
        &[
            (
                Kind::Conflict,
                "8:1: `timestamp` does not go with the stream `in`: `raw` bytes have no fields; choose another `format`, or leave it out",
            ),
            (
                Kind::Conflict,
                "9:1: `key` does not go with the stream `in`: `raw` bytes have no fields; choose another `format`, or leave it out",
            ),
        ],
    );
    check_stream(
        r#"timestamp_unit = "s""#,
        &[(Kind::Conflict, "7:18: `timestamp_unit` is the unit of a field; name that field as `timestamp`")],
    );
    check_stream(
        r#"watermark = "monotonic"
out_of_orderness = "5s""#,
        &[(
            Kind::Conflict,
            r#"8:1: `out_of_orderness` does not go with the stream `in`: `monotonic` says that times never go back; write `watermark = "bounded"`, or leave it out"#,
        )],
    );
    check_stream(
        r#"watermark = "processing_time"
timestamp = "ts""#,
        &[(
            Kind::Conflict,
            "8:1: `timestamp` does not go with the stream `in`: with `processing_time` the clock alone counts; leave it out, or choose another `watermark`",
        )],
    );
    check_stream(
        "file = \"in.jsonl\"\nbounded = true",
        &[(
            Kind::Conflict,
            "8:1: `bounded` does not go with the stream `in`: a file ends where it ends, unless it is followed; leave it out",
        )],
    );
    check_stream(
        "follow = true",
        &[(
            Kind::Conflict,
            "7:1: `follow` does not go with the stream `in`: only a file is followed, a topic always is; leave it out, or name a `file`",
        )],
    );
    check_stream(
        r#"file = "in.jsonl"
partitions = 4"#,
        &[(Kind::Conflict, "8:14: a file has one partition, found 4; leave `partitions` out")],
    );
    check_stream(
        r#"file = "in.jsonl"
cluster = "k"
topic = "t"
create = true"#,
        &[
            (
                Kind::Conflict,
                "8:1: `cluster` does not go with the stream `in`: a stream in a file has no topic; leave it out, or leave out `file`",
            ),
            (
                Kind::Conflict,
                "9:1: `topic` does not go with the stream `in`: a stream in a file has no topic; leave it out, or leave out `file`",
            ),
            (
                Kind::Conflict,
                "10:1: `create` does not go with the stream `in`: a stream in a file has no topic; leave it out, or leave out `file`",
            ),
        ],
    );
    check_stream(
        r#"file = "in.mp"
format = "msgpack""#,
        &[(Kind::Conflict, "8:10: in a file, MessagePack needs to know where an event ends; write `framed-msgpack`")],
    );
    check(
        r#"guarantee = "exactly_once"
[streams.in]
[streams.out]
file = "out.jsonl"
[operators.o]
input = "in"
output = "out""#,
        &[(
            Kind::Conflict,
            "1:13: `exactly_once` cannot be kept: lines of a file cannot be taken back, and the stream `out` is written to one: write to a topic, or write `at_least_once`",
        )],
    );
}

#[test]
fn exactly_once_needs_all_outputs_in_one_place() {
    check(
        r#"guarantee = "exactly_once"
[clusters.k]
kind = "kafka"
brokers = "a:9092"
[streams.in]
cluster = "k"
[streams.out]
[operators.o]
input = "in"
output = "out""#,
        &[(
            Kind::Conflict,
            "1:13: `exactly_once` cannot be kept: a transaction is kept by one cluster, here `k`, and the stream `out` is written to `local`: \
             give it `cluster = \"k\"`, or write `at_least_once`",
        )],
    );
}

#[test]
fn a_port_is_bound_or_discarded_but_not_both() {
    check_operator(
        r#"input = "in"
outputs = { sales = "out", alerts = "out" }
discard = ["alerts", "top", "top"]"#,
        &[
            (Kind::Conflict, "6:12: the port `alerts` goes to `out`; discard it, or bind it"),
            (Kind::Conflict, "6:29: the port `top` stands here twice"),
        ],
    );
}

#[test]
fn a_door_open_to_the_network_needs_a_token() {
    check_top(
        r#"[admin]
listen = "0.0.0.0:9600""#,
        &[(
            Kind::Insecure,
            r#"2:10: `0.0.0.0:9600` can be reached from the network; add `token = "${NAME}"`, or listen on `127.0.0.1:9600`"#,
        )],
    );
}

#[test]
fn two_streams_cannot_be_read_from_one_place() {
    let said = |streams: &str, expected: &[(Kind, &str)]| {
        check(&format!("{streams}\n[operators.one]\ninput = \"a\"\n[operators.two]\ninput = \"b\""), expected);
    };
    let refused = [(Kind::Conflict, "3:10: `b` is read from where `a` is; let its operators read `a`, too")];
    said("[streams.a]\nfile = \"in.jsonl\"\n[streams.b]\nfile = \"in.jsonl\"", &refused);
    said("[streams.a]\ntopic = \"t\"\n[streams.b]\ntopic = \"t\"", &refused);
    said("[streams.a]\ntopic = \"b\"\n[streams.b]\nkey = \"k\"", &refused);
    let two = |a: &str, b: &str| {
        let streams = "[streams.a]\ncluster = \"x\"\n[streams.b]\ncluster = \"y\"\ntopic = \"a\"";
        let kafka = |name: &str, brokers: &str| format!("[clusters.{name}]\nkind = \"kafka\"\nbrokers = \"{brokers}\"");
        format!("{streams}\n{}\n{}", kafka("x", a), kafka("y", b))
    };
    said(&two("k:9092", "k:9092"), &refused);
    said(&two("k:9092", "other:9092"), &[]);
    check(
        "[streams.in]\n[streams.a]\nfile = \"out\"\n[streams.b]\nfile = \"out\"\n[operators.o]\ninput = \"in\"\noutput = [\"a\", \"b\"]",
        &[],
    );
}
