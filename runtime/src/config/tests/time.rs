//! What a stream's watermark and an operator's batches may be told, and what is said about what they may not.

use super::*;
use std::time::Duration;

/// What the stream `in` with these keys means.
fn stream(keys: &str) -> Stream {
    parse(&format!("[operators.o]\ninput = \"in\"\n[streams.in]\n{keys}")).unwrap().streams.remove(0)
}

/// The sort and message of every error in these keys of a stream, and how many lines down.
fn refused(keys: &str) -> Vec<(Kind, String)> {
    let errors = parse(&format!("[operators.o]\ninput = \"in\"\n[streams.in]\n{keys}")).unwrap_err().errors;
    errors.iter().map(|error| (error.kind, error.headline().split_once(": ").unwrap().1.to_owned())).collect()
}

#[track_caller]
fn check(keys: &str, kind: Kind, part: &str) {
    let found = refused(keys);
    assert!(found.len() == 1 && found[0].0 == kind && found[0].1.contains(part), "{keys}: {found:?}");
}

#[test]
fn a_watermark_may_be_a_word_or_a_table() {
    let check = |keys: &str, expected: Watermarks| assert_eq!(stream(keys).watermarks, expected, "{keys}");
    check("watermark = \"monotonic\"", Watermarks::Bounded(Duration::ZERO));
    check("watermark = { punctuated = \"mark.at\" }", Watermarks::Punctuated { field: "mark.at".into(), unit: TimeUnit::Milliseconds });
    check(
        "watermark = { punctuated = \"mark\" }\ntimestamp_unit = \"s\"",
        Watermarks::Punctuated { field: "mark".into(), unit: TimeUnit::Seconds },
    );
    check(
        "watermark = { observed_delay = 0.95, margin = \"60s\" }",
        Watermarks::ObservedDelay { millionths: 950_000, margin: Duration::from_secs(60) },
    );
    check("[streams.in.watermark]\nobserved_delay = 1", Watermarks::ObservedDelay { millionths: 1_000_000, margin: Duration::ZERO });
}

#[test]
fn a_watermark_that_says_nothing_or_too_much_is_refused() {
    check("watermark = {}", Kind::MissingKey, "write `{ punctuated = \"FIELD\" }`");
    check("watermark = { punctuated = \"a\", observed_delay = 0.5 }", Kind::Conflict, "exclude each other");
    check("watermark = { punctuated = \"a\", margin = \"1s\" }", Kind::Conflict, "leave it out");
    check("watermark = { observed_delay = 0 }", Kind::OutOfRange, "above 0 and at most 1");
    check("watermark = { observed_delay = 95 }", Kind::OutOfRange, "above 0 and at most 1");
    check("watermark = { observed_delay = \"p95\" }", Kind::WrongType, "such as 0.95");
    check("watermark = { observed_delay = 0.9 }\nout_of_orderness = \"5s\"", Kind::Conflict, "learned");
    check("watermark = { punctuated = \"a\" }\nformat = \"raw\"", Kind::Conflict, "no fields");
    check("watermark = 5", Kind::WrongType, "`watermark`");
}

#[test]
fn partitions_that_wait_for_each_other_must_know_when_one_is_idle() {
    let aligned = stream("max_drift = \"1m\"\nidle = \"30s\"");
    assert_eq!((aligned.max_drift, aligned.align.as_str()), (Some(Duration::from_secs(60)), "in"));
    assert_eq!(stream("max_drift = \"1m\"\nidle = \"30s\"\nalign = \"all\"").align, "all");
    check("max_drift = \"1m\"", Kind::MissingKey, "add `idle = \"30s\"`");
    check("max_drift = \"1m\"\nidle = \"off\"", Kind::MissingKey, "add `idle = \"30s\"`");
    check("align = \"all\"", Kind::MissingKey, "max_drift");
}

#[test]
fn a_batch_ends_by_count_by_interval_or_by_either() {
    let batch = |keys: &str| {
        let text = format!("[streams.in]\n[operators.o]\ninput = \"in\"\n{keys}");
        parse(&text).map(|pipeline| pipeline.operators[0].batch).map_err(|errors| errors.errors[0].headline().to_owned())
    };
    let some = |count, interval: Option<u64>| Ok(Some(Batch { count, interval: interval.map(Duration::from_millis) }));
    assert_eq!(batch(""), Ok(None));
    assert_eq!(batch("batch = { count = 1000, interval = \"50ms\" }"), some(Some(1_000), Some(50)));
    assert_eq!(batch("batch = { count = 3 }"), some(Some(3), None));
    assert_eq!(batch("batch = { interval = \"1s\" }"), some(None, Some(1_000)));
    assert!(batch("batch = {}").unwrap_err().contains("by `count`, by `interval`"));
    assert!(batch("batch = { count = 0 }").unwrap_err().contains("from 1"));
    assert!(batch("batch = 5").unwrap_err().contains("expected a table"));
}
