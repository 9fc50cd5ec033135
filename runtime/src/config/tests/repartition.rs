//! Topics through which events are keyed anew: which there are, and where.

use super::parse;
use super::refused::check_operator;
use crate::config::error::Kind;
use crate::config::{Carrier, Rekeys, Stream};

/// Name, cluster and topic of the streams that are made for an operator's inputs, and which input each is for.
fn made(text: &str) -> Vec<(String, String, String, usize)> {
    let kafka = "[clusters.k]\nkind = \"kafka\"\nbrokers = \"k:9092\"\n[streams.in]\ncluster = \"k\"\n[streams.more]\n";
    let streams = parse(&format!("name = \"orders\"\n{kafka}[operators.o]\nroute = \"repartition\"\n{text}")).unwrap().streams;
    let known = |stream: Stream| {
        let Rekeys { operator, input } = stream.rekeys?;
        assert_eq!(operator, "o");
        let Carrier::Topic { cluster, topic, partitions: 0, create: true } = stream.carrier else { panic!("{:?}", stream.carrier) };
        Some((stream.name, cluster, topic, input))
    };
    streams.into_iter().filter_map(known).collect()
}

fn expected(name: &str, topic: &str, input: usize) -> (String, String, String, usize) {
    (name.to_owned(), "k".to_owned(), topic.to_owned(), input)
}

#[test]
fn each_stream_that_an_operator_reads_gets_a_topic_at_the_home_of_the_transactions() {
    assert_eq!(made("input = \"in\""), [expected("o:in", "orders.o.in.repartition", 0)]);
    let two = [expected("o:more", "orders.o.more.repartition", 0), expected("o:in", "orders.o.in.repartition", 1)];
    assert_eq!(made("input = [\"more\", \"in\"]"), two);
}

#[test]
fn a_stream_at_two_ports_gets_a_topic_for_each() {
    let two = [expected("o:in.a", "orders.o.in.a.repartition", 0), expected("o:in.b", "orders.o.in.b.repartition", 1)];
    assert_eq!(made("inputs = { a = \"in\", b = \"in\" }"), two);
}

#[test]
fn without_kafka_there_is_no_topic_to_go_through() {
    let message = "5:9: `repartition` goes through a topic at Kafka, and no stream of this pipeline is there; write `exchange`: \
                   without Kafka there is one process";
    check_operator("input = \"in\"\nroute = \"repartition\"", &[(Kind::Conflict, message)]);
}
