//! Samples of a pipeline's own metrics: where they go, and what is refused.

use super::refused::check_top;
use super::*;
use std::time::Duration;

fn samples(text: &str) -> Option<Samples> {
    parse(&format!("{text}\n{BASE}")).unwrap().samples
}

fn at(cluster: &str) -> Samples {
    let (cluster, topic) = (cluster.to_owned(), "sangam.metrics".to_owned());
    Samples { cluster, topic, every: Duration::from_secs(30), only: Vec::new(), labels: Default::default() }
}

#[test]
fn there_are_samples_only_where_the_file_asks_for_them_and_they_go_to_where_commits_are() {
    assert_eq!([samples(""), samples("metrics = false")], [None, None]);
    assert_eq!([samples("metrics = true"), samples("[metrics]")], [Some(at(EMBEDDED)), Some(at(EMBEDDED))]);
    let kafka = "[clusters.k]\nkind = \"kafka\"\nbrokers = \"a:1\"\n";
    let reads_kafka = format!("metrics = true\n{kafka}[operators.o]\ninput = \"in\"\n[streams.in]\ncluster = \"k\"\n");
    assert_eq!(parse(&reads_kafka).unwrap().samples, Some(at("k")));
    let text = format!(
        "{kafka}[metrics]\ncluster = \"k\"\ntopic = \"${{TOPIC}}\"\nevery = \"5s\"\nonly = [\"partitions\", \"sangam_running\"]\nlabels = {{ region = \"mumbai\", zone = 3 }}"
    );
    let expected = Samples {
        topic: "from-env".into(),
        every: Duration::from_secs(5),
        only: vec!["partitions".into(), "sangam_running".into()],
        labels: [("region".into(), "mumbai".into()), ("zone".into(), "3".into())].into(),
        ..at("k")
    };
    assert_eq!(samples(&text), Some(expected));
}

#[test]
fn samples_of_what_there_are_none_of_and_places_that_are_none_are_refused() {
    check_top("[metrics]\ncluster = \"lokal\"", &[(Kind::UnknownCluster, "2:11: there is no cluster `lokal`; did you mean `local`?")]);
    check_top(
        "[metrics]\nonly = [\"event_per_second\"]",
        &[(Kind::BadChoice, "2:9: `only`: there are no samples of `event_per_second`; did you mean `events_per_second`?")],
    );
    check_top(
        "[metrics]\nlabels = { operator = \"o\" }",
        &[(Kind::Conflict, "2:12: `operator` is a field of every sample; give the label another name")],
    );
    check_top("[metrics]\nevery = \"0s\"", &[(Kind::OutOfRange, "2:9: `every` must be longer than zero")]);
}
