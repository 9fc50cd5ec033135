//! Bad files, and what is said about each: the place, the sort, the message.

use super::*;

/// Checks what is said about a file: the place, the sort and the message of each error in order.
#[track_caller]
pub(super) fn check(text: &str, expected: &[(Kind, &str)]) {
    let errors = parse(text).map(|_| ()).err().map_or_else(Vec::new, |errors| errors.errors);
    let found: Vec<_> = errors.iter().map(|error| (error.kind, error.headline())).collect();
    let expected: Vec<_> = expected.iter().map(|(kind, line)| (*kind, format!("p.toml:{line}"))).collect();
    assert_eq!(found, expected, "\n{text}");
}

/// The same with [`BASE`] behind the text.
#[track_caller]
pub(super) fn check_top(text: &str, expected: &[(Kind, &str)]) {
    check(&format!("{text}\n{BASE}"), expected);
}

/// The same for keys of the operator.
#[track_caller]
pub(super) fn check_operator(text: &str, expected: &[(Kind, &str)]) {
    check(&format!("[streams.in]\n[streams.out]\n[operators.o]\n{text}"), expected);
}

/// The same for keys of the stream.
#[track_caller]
pub(super) fn check_stream(text: &str, expected: &[(Kind, &str)]) {
    check(&format!("[operators.o]\ninput = \"in\"\n[clusters.k]\nkind = \"kafka\"\nbrokers = \"k:9092\"\n[streams.in]\n{text}"), expected);
}

#[test]
fn a_text_that_is_not_toml_is_shown_where_it_breaks() {
    check(
        r#"batch = 5
batch = 6
wrkers = 2
[streams.in]
[streams.in]
[operators.o]
input = "in""#,
        &[
            (Kind::DuplicateKey, "2:1: `batch` stands here a second time; keep one of the two"),
            (Kind::UnknownKey, "3:1: unknown key `wrkers`; did you mean `workers`?"),
            (Kind::DuplicateKey, "5:10: `in` stands here a second time; keep one of the two"),
        ],
    );
    check(r#"name = "x"#, &[(Kind::Syntax, r#"1:10: this is not TOML: invalid basic string, expected `"`"#)]);
    check("batch 5", &[(Kind::Syntax, "1:7: this is not TOML: key with no value, expected `=`")]);
}

#[test]
fn an_unknown_key_comes_with_the_key_that_was_meant() {
    check_top(
        "inptu = 1",
        &[(
            Kind::UnknownKey,
            "1:1: unknown key `inptu`; expected `name`, `data`, `plugins`, `commit_interval`, `drain_timeout`, `workers`, `batch`, `on_remove`, `guarantee`, `priority_floor`, `standby`, `dead_letters`, `dead_letters_max`, `stamp`, `capture`, `admin`, `savepoints`, `audit`, `metrics`, `clusters`, `streams` or `operators`",
        )],
    );
    check_top(
        "zzz = 1",
        &[(
            Kind::UnknownKey,
            "1:1: unknown key `zzz`; expected `name`, `data`, `plugins`, `commit_interval`, `drain_timeout`, `workers`, `batch`, `on_remove`, `guarantee`, `priority_floor`, `standby`, `dead_letters`, `dead_letters_max`, `stamp`, `capture`, `admin`, `savepoints`, `audit`, `metrics`, `clusters`, `streams` or `operators`",
        )],
    );
    check_top(
        r#"[admin]
listen = "0.0.0.0:9600"
tokn = "x""#,
        &[(Kind::UnknownKey, "3:1: unknown key `tokn` in `[admin]`; did you mean `token`?")],
    );
    check_operator(r#"inptu = "in""#, &[(Kind::UnknownKey, "4:1: unknown key `inptu` in `[operators.o]`; did you mean `input`?")]);
    check_operator(
        r#"input = "in"
oputput = "out""#,
        &[(Kind::UnknownKey, "5:1: unknown key `oputput` in `[operators.o]`; did you mean `output`?")],
    );
    check_operator(
        r#"input = "in"
limits = { mem = "1MiB" }"#,
        &[(
            Kind::UnknownKey,
            "5:12: unknown key `mem` in `[operators.o.limits]`; expected `memory`, `batch_time`, `output`, `outputs_per_event`, `state` or `log_lines`",
        )],
    );
    check_operator(
        r#"input = "in"
limits = { memroy = "1MiB" }"#,
        &[(Kind::UnknownKey, "5:12: unknown key `memroy` in `[operators.o.limits]`; did you mean `memory`?")],
    );
    check_stream(r#"formt = "json""#, &[(Kind::UnknownKey, "7:1: unknown key `formt` in `[streams.in]`; did you mean `format`?")]);
    check(
        r#"[operators.o]
inptu = "in"
[streams.in]"#,
        &[(Kind::UnknownKey, "2:1: unknown key `inptu` in `[operators.o]`; did you mean `input`?")],
    );
}

#[test]
fn a_key_that_is_needed_and_not_there_is_asked_for() {
    check_top("[admin]", &[(Kind::MissingKey, r#"1:2: `[admin]` has no `listen`; write `listen = "127.0.0.1:9600"`"#)]);
    check_top(
        "[clusters.a]",
        &[(Kind::MissingKey, r#"1:11: the cluster `a` has no `kind`; write `kind = "kafka"`, `"local"` or `"memory"`"#)],
    );
    check_top(
        r#"[clusters.a]
kind = "kafka""#,
        &[(Kind::MissingKey, r#"1:11: the cluster `a` has no `brokers`; write `brokers = "HOST:9092"`"#)],
    );
    check_operator("input = []", &[(Kind::MissingKey, "4:9: `input` is an empty list; name at least one")]);
    check_operator(r#"plugin = "p""#, &[(Kind::MissingKey, r#"3:12: the operator `o` has no input; write `input = "STREAM"`"#)]);
    check("[streams.in]", &[(Kind::MissingKey, r#"1:1: there is no operator; add one as `[operators.NAME]` with `input = "STREAM"`"#)]);
}

#[test]
fn a_value_of_another_type_is_refused_with_the_type_that_fits() {
    check_top(r#"batch = "5""#, &[(Kind::WrongType, "1:9: `batch`: expected a whole number, found a string")]);
    check_top("workers = 1.5", &[(Kind::WrongType, "1:11: `workers`: expected a whole number, found a float")]);
    check_top(
        "commit_interval = 200",
        &[(Kind::WrongType, r#"1:19: `commit_interval`: expected a duration, such as "5s", found an integer"#)],
    );
    check_top("clusters = 5", &[(Kind::WrongType, "1:12: `clusters`: expected a table, found an integer")]);
    check_top(r#"streams.x = "y""#, &[(Kind::WrongType, "1:13: `streams.x`: expected a table, found a string")]);
    check_operator("input = 5", &[(Kind::WrongType, "4:9: `input`: expected a name or a list of names, found an integer")]);
    check_operator(r#"input = ["in", 5]"#, &[(Kind::WrongType, "4:16: `input`: expected a string, found an integer")]);
    check_operator(
        r#"input = "in"
outputs = { alerts = 5 }"#,
        &[(Kind::WrongType, "5:13: `outputs.alerts`: expected a stream or a list of streams, found an integer")],
    );
    check_operator(
        r#"input = "in"
config = 5"#,
        &[(Kind::WrongType, "5:10: `config`: expected a table, found an integer")],
    );
    check_operator(
        r#"inputs = { left = "in", right = ["in", 7] }"#,
        &[(Kind::WrongType, "4:25: `inputs.right`: expected a stream or a list of streams, found an array")],
    );
    check_operator(
        r#"input = "in"
late = ["out"]"#,
        &[(Kind::WrongType, "5:8: `late`: expected a name, found an array")],
    );
    check_stream("partitions = true", &[(Kind::WrongType, "7:14: `partitions`: expected a whole number, found a boolean")]);
    check_stream("max_event = true", &[(Kind::WrongType, r#"7:13: `max_event`: expected a size, such as "64MiB", found a boolean"#)]);
}

#[test]
fn a_number_a_duration_or_a_size_out_of_range_is_refused_with_its_range() {
    check_top("batch = 0", &[(Kind::OutOfRange, "1:9: `batch` must be from 1 to 1048576, found 0")]);
    check_top("batch = -1", &[(Kind::OutOfRange, "1:9: `batch` must be from 1 to 1048576, found -1")]);
    check_top(
        "workers = 99999999999999999999",
        &[(Kind::OutOfRange, "1:11: `workers` must be from 1 to 1024, found 99999999999999999999")],
    );
    check_top(
        r#"commit_interval = "200 parsecs""#,
        &[(
            Kind::BadDuration,
            "1:19: `commit_interval`: `200 parsecs` is not a duration; write a number and its unit, such as `250ms`, `5s`, `1m`, `2h` or `1d`",
        )],
    );
    check_top(r#"commit_interval = "0s""#, &[(Kind::OutOfRange, "1:19: `commit_interval` must be longer than zero")]);
    check_operator(
        r#"input = "in"
parallelism = 0"#,
        &[(Kind::OutOfRange, "5:15: `parallelism` must be from 1 to 1024, found 0")],
    );
    check_operator(
        r#"input = "in"
limits = { memory = "0B", batch_time = "0s", state = "8GiB", output = "much", log_lines = 0, outputs_per_event = "x" }"#,
        &[
            (Kind::OutOfRange, "5:21: `memory` must be from 1 byte to 4GiB, found `0B`"),
            (Kind::OutOfRange, "5:40: `batch_time` must be longer than zero"),
            (Kind::OutOfRange, "5:54: `state` must be from 1 byte to 1GiB, found `8GiB`"),
            (Kind::BadSize, "5:71: `output`: `much` is not a size; write a number and its unit, such as `512B`, `64KiB`, `64MiB` or `1GB`"),
            (Kind::OutOfRange, "5:91: `log_lines` must be from 1 to 1000000000, found 0"),
            (Kind::WrongType, "5:114: `outputs_per_event`: expected a whole number, found a string"),
        ],
    );
    check_operator(
        r#"input = "in"
limits.memory = "64 MiBs"
on_error = "ignore""#,
        &[
            (
                Kind::BadSize,
                "5:17: `memory`: `64 MiBs` is not a size; write a number and its unit, such as `512B`, `64KiB`, `64MiB` or `1GB`",
            ),
            (Kind::BadChoice, "6:12: `on_error`: expected `dead_letter`, `drop` or `stop`, found `ignore`"),
        ],
    );
    check_stream("partitions = 0", &[(Kind::OutOfRange, "7:14: `partitions` must be from 1 to 10000, found 0")]);
    check_stream(
        r#"out_of_orderness = "-5s""#,
        &[(
            Kind::BadDuration,
            "7:20: `out_of_orderness`: `-5s` is not a duration; write a number and its unit, such as `250ms`, `5s`, `1m`, `2h` or `1d`",
        )],
    );
    check_stream(r#"idle = "0s""#, &[(Kind::OutOfRange, "7:8: `idle` must be longer than zero")]);
    check_stream(
        r#"idle = "of""#,
        &[(
            Kind::BadDuration,
            "7:8: `idle`: `of` is not a duration; write a number and its unit, such as `250ms`, `5s`, `1m`, `2h` or `1d`",
        )],
    );
    check_stream(r#"max_event = "2GiB""#, &[(Kind::OutOfRange, "7:13: `max_event` must be from 1 byte to 1GiB, found `2GiB`")]);
    check_stream(
        r#"max_event = "16 megs""#,
        &[(
            Kind::BadSize,
            "7:13: `max_event`: `16 megs` is not a size; write a number and its unit, such as `512B`, `64KiB`, `64MiB` or `1GB`",
        )],
    );
}

#[test]
fn a_word_that_is_no_choice_is_refused_with_the_choices() {
    check_top(r#"on_remove = "drop""#, &[(Kind::BadChoice, "1:13: `on_remove`: expected `keep`, found `drop`")]);
    check_top(
        r#"guarantee = "exactly-once""#,
        &[(
            Kind::BadChoice,
            "1:13: `guarantee`: expected `at_least_once` or `exactly_once`, found `exactly-once`; did you mean `exactly_once`?",
        )],
    );
    check_top(
        r#"[clusters.a]
kind = "kafak""#,
        &[(Kind::BadChoice, "2:8: `kind`: expected `kafka`, `local` or `memory`, found `kafak`; did you mean `kafka`?")],
    );
    check_operator(
        r#"input = "in"
route = "froward""#,
        &[(
            Kind::BadChoice,
            "5:9: `route`: expected `auto`, `forward`, `exchange` or `repartition`, found `froward`; did you mean `forward`?",
        )],
    );
    check_stream(
        r#"format = "yaml""#,
        &[(Kind::BadChoice, "7:10: `format`: expected `msgpack`, `json`, `raw` or `framed-msgpack`, found `yaml`")],
    );
    check_stream(
        r#"format = "mspack""#,
        &[(
            Kind::BadChoice,
            "7:10: `format`: expected `msgpack`, `json`, `raw` or `framed-msgpack`, found `mspack`; did you mean `msgpack`?",
        )],
    );
    check_stream(
        r#"timestamp = "ts"
timestamp_unit = "us""#,
        &[(Kind::BadChoice, "8:18: `timestamp_unit`: expected `ms` or `s`, found `us`")],
    );
    check_stream(r#"start = "newest""#, &[(Kind::BadChoice, "7:9: `start`: expected `earliest` or `latest`, found `newest`")]);
    check_stream(
        r#"file = "in.jsonl"
format = "framed-msgpck""#,
        &[(
            Kind::BadChoice,
            "8:10: `format`: expected `msgpack`, `json`, `raw` or `framed-msgpack`, found `framed-msgpck`; did you mean `framed-msgpack`?",
        )],
    );
}

#[test]
fn a_name_with_odd_characters_is_refused() {
    check_top(
        r#"name = "two words""#,
        &[(Kind::BadName, "1:8: `two words` is not a name: it has ` `, names have letters, digits, `.`, `_` and `-`")],
    );
    check_top(r#"name = """#, &[(Kind::BadName, "1:8: a name must not be empty")]);
    check_top(
        r#"[admin]
listen = "here""#,
        &[(Kind::BadAddress, "2:10: `listen`: `here` is not an address; write an IP address and a port, such as `127.0.0.1:9600`")],
    );
    check_top(
        r#"[clusters.a]
kind = "kafka"
brokers = "a b:9092""#,
        &[(Kind::BadAddress, "3:11: `brokers`: `a b:9092` is not a list of addresses; write `HOST:PORT`, several separated by commas")],
    );
    check_top(
        r#"[clusters."a b"]
kind = "memory""#,
        &[(Kind::BadName, "1:11: `a b` is not a name: it has ` `, names have letters, digits, `.`, `_` and `-`")],
    );
    check_operator(
        r#"input = "in"
outputs = { "a b" = "out" }"#,
        &[(Kind::BadName, "5:13: `a b` is not a name: it has ` `, names have letters, digits, `.`, `_` and `-`")],
    );
    check_operator(
        r#"input = "in"
key = """#,
        &[(Kind::BadField, "5:7: a field must not be empty; write names joined by dots, as in `user.id`")],
    );
    check_operator(
        r#"input = "in"
key = ["a", "b..c"]"#,
        &[(Kind::BadField, "5:13: `b..c` is not a field; write names joined by dots, as in `user.id`")],
    );
    check_operator(
        r#"input = "${TOPIC}""#,
        &[(Kind::BadName, "4:9: `${TOPIC}` is not a name: it has `$`, names have letters, digits, `.`, `_` and `-`")],
    );
    check_stream(
        r#"topic = "a/b""#,
        &[(Kind::BadName, "7:9: `a/b` is not the name of a topic; those have up to 249 letters, digits, `.`, `_` and `-`")],
    );
    check_stream(
        r#"topic = "${ODD}""#,
        &[(Kind::BadName, "7:9: `${ODD}` is not the name of a topic; those have up to 249 letters, digits, `.`, `_` and `-`")],
    );
    check_stream(r#"timestamp = "a..b""#, &[(Kind::BadField, "7:13: `a..b` is not a field; write names joined by dots, as in `user.id`")]);
    check_stream(r#"file = """#, &[(Kind::BadName, "7:8: `file` must not be empty")]);
}

#[test]
fn a_variable_that_is_not_set_is_reported_where_it_is_asked_for() {
    check_top(
        r#"[admin]
listen = "0.0.0.0:9600"
token = "${NO_TOKEN}""#,
        &[(
            Kind::MissingVariable,
            "3:10: the environment variable `NO_TOKEN` is not set; set it, or give a default as in `${NO_TOKEN:-default}`",
        )],
    );
    check_operator(
        r#"input = "in"
config = { a = "${MISSING}", b = [1, "${ALSO}"], c = 99999999999999999999 }"#,
        &[
            (
                Kind::MissingVariable,
                "5:17: the environment variable `MISSING` is not set; set it, or give a default as in `${MISSING:-default}`",
            ),
            (Kind::MissingVariable, "5:39: the environment variable `ALSO` is not set; set it, or give a default as in `${ALSO:-default}`"),
            (Kind::OutOfRange, "5:54: `config`: 99999999999999999999 does not fit 64 bits"),
        ],
    );
    check_stream(
        r#"topic = "${MISSING}""#,
        &[(
            Kind::MissingVariable,
            "7:10: the environment variable `MISSING` is not set; set it, or give a default as in `${MISSING:-default}`",
        )],
    );
    check_stream(
        r#"topic = "x-${1BAD}-${}""#,
        &[
            (Kind::BadVariable, "7:12: `1BAD` is not the name of an environment variable; write `${NAME}` or `${NAME:-default}`"),
            (Kind::BadVariable, "7:20: `` is not the name of an environment variable; write `${NAME}` or `${NAME:-default}`"),
        ],
    );
    check_stream(r#"topic = "x-${OPEN""#, &[(Kind::BadVariable, "7:12: `${` without `}`; write `$${` for the characters themselves")]);
}

#[test]
fn a_name_that_leads_nowhere_comes_with_what_to_do() {
    check_operator(
        r#"input = "inn""#,
        &[(Kind::UnknownStream, "4:9: there is no stream `inn`, and no operator writes it; did you mean `in`?")],
    );
    check_operator(
        r#"input = "orders""#,
        &[(
            Kind::UnknownStream,
            "4:9: there is no stream `orders`, and no operator writes it; declare it as `[streams.orders]`, or let an operator write it",
        )],
    );
    check_operator(
        r#"input = "in"
output = "oout""#,
        &[(Kind::UnknownStream, "5:10: there is no stream `oout`, and no operator reads it; did you mean `out`?")],
    );
    check_operator(
        r#"input = "in"
output = "alerts""#,
        &[(
            Kind::UnknownStream,
            "5:10: there is no stream `alerts`, and no operator reads it; declare it as `[streams.alerts]`, or let an operator read it",
        )],
    );
    check_operator(
        r#"input = "in"
late = "nowhere""#,
        &[(
            Kind::UnknownStream,
            "5:8: there is no stream `nowhere`, and no operator reads it; declare it as `[streams.nowhere]`, or let an operator read it",
        )],
    );
    check_stream(r#"cluster = "kk""#, &[(Kind::UnknownCluster, "7:11: there is no cluster `kk`; define it as `[clusters.kk]`")]);
    check_stream(r#"cluster = "prod""#, &[(Kind::UnknownCluster, "7:11: there is no cluster `prod`; define it as `[clusters.prod]`")]);
    check_stream(
        "internal = true",
        &[(Kind::UnknownStream, "6:10: no operator writes the internal stream `in`; let one, or leave out `internal` to give it a topic")],
    );
    check_stream(
        r#"internal = true
timestamp = "ts"
topic = "x"
format = "json"
key = "k""#,
        &[
            (Kind::UnknownStream, "6:10: no operator writes the internal stream `in`; let one, or leave out `internal` to give it a topic"),
            (
                Kind::Conflict,
                "8:1: `timestamp` says nothing about the internal stream `in`: its events keep the time that their operator gave them; leave it out",
            ),
            (Kind::Conflict, "9:1: `topic` says nothing about the internal stream `in`: it has no topic and no file; leave it out"),
            (
                Kind::Conflict,
                "10:1: `format` says nothing about the internal stream `in`: its events are handed on as they are; leave it out",
            ),
            (
                Kind::Conflict,
                "11:1: `key` says nothing about the internal stream `in`: its events are keyed by the operator that reads it; leave it out",
            ),
        ],
    );
    check(
        r#"dead_letters = "dlq"
[streams.in]
[operators.o]
input = "in""#,
        &[(
            Kind::UnknownStream,
            "1:16: there is no stream `dlq`, and no operator reads it; declare it as `[streams.dlq]`, or let an operator read it",
        )],
    );
    check(
        r#"[streams.in]
[streams.mid]
internal = true
[operators.a]
input = "in"
output = "mid""#,
        &[(Kind::UnknownStream, "2:10: no operator reads the internal stream `mid`; let one, or leave out `internal` to give it a topic")],
    );
}

#[test]
fn events_that_would_flow_in_a_circle_are_refused() {
    check_operator(
        r#"input = "in"
output = "in""#,
        &[(Kind::Cycle, "3:12: a cycle: `o` → in → `o`; let one of them write another stream")],
    );
    check(
        r#"[streams.in]
[operators.a]
input = ["in", "y"]
output = "x"
[operators.b]
input = "x"
output = "y""#,
        &[(Kind::Cycle, "2:12: a cycle: `a` → x → `b` → y → `a`; let one of them write another stream")],
    );
    check(
        r#"[streams.in]
topic = "t"
[streams.out]
topic = "t"
[operators.o]
input = "in"
output = "out""#,
        &[(Kind::Cycle, "5:12: a cycle: `o` → out → `o`; let one of them write another stream")],
    );
    // Two names of one Kafka.
    check(
        r#"[clusters.here]
kind = "kafka"
brokers = "k:9092"
[clusters.there]
kind = "kafka"
brokers = "k:9092"
[streams.in]
cluster = "here"
topic = "t"
[streams.out]
cluster = "there"
topic = "t"
[operators.o]
input = "in"
output = "out""#,
        &[(Kind::Cycle, "13:12: a cycle: `o` → out → `o`; let one of them write another stream")],
    );
    check(
        r#"[streams.in]
[streams.dead-letters]
[operators.o]
input = "in"
[operators.again]
input = "dead-letters""#,
        &[(
            Kind::Cycle,
            r#"5:12: `again` reads `dead-letters`, where its own dead letters would go; give it another `dead_letters`, or `on_error = "drop"`"#,
        )],
    );
    check(
        r#"[streams.in]
[operators.a]
input = ["in", "b"]
output = "a"
[operators.b]
input = "a"
output = "b"
[operators.c]
input = ["in", "d", "a"]
output = "c"
[operators.d]
input = "c"
output = "d"
[operators.e]
input = "d""#,
        &[
            (Kind::Cycle, "2:12: a cycle: `a` → a → `b` → b → `a`; let one of them write another stream"),
            (Kind::Cycle, "8:12: a cycle: `c` → c → `d` → d → `c`; let one of them write another stream"),
        ],
    );
}

#[test]
fn a_column_counts_characters_and_not_bytes() {
    check_operator(
        "input = \"in\"\nconfig = { \"größe\" = \"${MISSING}\" }",
        &[(
            Kind::MissingVariable,
            "5:23: the environment variable `MISSING` is not set; set it, or give a default as in `${MISSING:-default}`",
        )],
    );
}
