//! Which streams are read first, and what is left for the others.

use super::*;

#[track_caller]
fn refused(text: &str, kind: Kind, line: usize, part: &str) {
    let errors = parse(text).unwrap_err().errors;
    let told: Vec<_> = errors.iter().map(|error| (error.kind, error.headline())).collect();
    let place = format!("p.toml:{line}:");
    assert!(told.len() == 1 && told[0].0 == kind && told[0].1.starts_with(&place) && told[0].1.contains(part), "{told:?}");
}

#[test]
fn a_stream_is_read_before_others_or_after_them_as_the_file_says() {
    let pipeline = parse(&format!("priority_floor = \"10%\"\n{BASE}priority = \"high\"")).unwrap();
    assert_eq!((pipeline.priority_floor, pipeline.streams[0].priority), (100_000, Priority::High));
    let pipeline = parse(BASE).unwrap();
    assert_eq!((pipeline.priority_floor, pipeline.streams[0].priority), (50_000, Priority::Normal));
}

#[test]
fn a_priority_that_there_is_not_is_refused_at_its_line() {
    refused(&format!("{BASE}priority = \"urgent\""), Kind::BadChoice, 4, "`high`, `normal` or `low`");
    refused(&format!("{BASE}priority = 1"), Kind::WrongType, 4, "`priority`");
    let internal = "[operators.o]\ninput = \"in\"\noutput = \"mid\"\n[operators.p]\ninput = \"mid\"\n[streams.in]\n[streams.mid]\n";
    refused(
        &format!("{internal}internal = true\npriority = \"low\""),
        Kind::Conflict,
        9,
        "its events come when those do that lead to them",
    );
}

#[test]
fn a_floor_leaves_at_least_as_much_for_the_highest_as_for_the_others() {
    assert_eq!(parse(&format!("priority_floor = \"33.3333%\"\n{BASE}")).unwrap().priority_floor, 333_333);
    refused(&format!("priority_floor = \"33.3334%\"\n{BASE}"), Kind::OutOfRange, 1, "at most a third");
    refused(&format!("priority_floor = \"0%\"\n{BASE}"), Kind::OutOfRange, 1, "above 0%");
    refused(&format!("priority_floor = 5\n{BASE}"), Kind::WrongType, 1, "such as \"5%\"");
}

#[test]
fn standby_copies_are_refused_where_there_is_no_log_to_make_them_of() {
    let kafka = "[clusters.k]\nkind = \"kafka\"\nbrokers = \"h:1\"\n[operators.o]\ninput = \"in\"\noutput = \"out\"\n[streams.in]\ncluster = \"k\"\n[streams.out]\ncluster = \"k\"\n";
    assert!(parse(&format!("standby = true\n{kafka}")).unwrap().standby);
    assert!(!parse(kafka).unwrap().standby);
    refused(&format!("standby = true\n{BASE}"), Kind::Conflict, 1, "the logs that `exactly_once` keeps at Kafka");
    refused(&format!("standby = true\nguarantee = \"at_least_once\"\n{kafka}"), Kind::Conflict, 1, "leave it out");
    assert!(!parse(&format!("standby = false\n{BASE}")).unwrap().standby);
}
