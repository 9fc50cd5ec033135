//! Topics through which events are keyed anew: one for each stream that an operator with `route = "repartition"` reads.

use super::wiring::Wired;
use crate::config::error::Kind;
use crate::config::meaning::{Carrier, Cluster, Operator, Rekeys, Route, Stream};
use crate::config::source::Source;
use crate::config::written::Written;

/// Adds the topics' streams, by names that no file can use. How many partitions they get is known when their readers are.
pub(super) fn add_streams(written: &Written, pipeline: &str, wired: &mut Wired, clusters: &[Cluster], source: &Source<'_>) {
    let home = wired.home(clusters).map(str::to_owned);
    let mut made: Vec<Stream> = Vec::new();
    for (operator, at) in wired.operators.iter().zip(&written.operators) {
        let Some(route) = at.route.as_ref().filter(|_| operator.route == Route::Repartition) else { continue };
        let Some(cluster) = &home else {
            let message = "`repartition` goes through a topic at Kafka, and no stream of this pipeline is there; write `exchange`: \
                           without Kafka there is one process";
            source.error(Kind::Conflict, &route.place, message);
            continue;
        };
        for input in 0..operator.inputs.len() {
            let mut stream = stream(pipeline, operator, input, cluster);
            // What is keyed anew is as urgent as it was.
            let of = operator.inputs.get(input).and_then(|binding| wired.streams.iter().find(|known| known.name == binding.stream));
            stream.priority = of.map(|of| of.priority).unwrap_or_default();
            if made.iter().any(|other| other.carrier == stream.carrier) {
                let message = format!("two operators would share a topic for `{}`; give this one another name", stream.name);
                source.error(Kind::Conflict, &at.name.place, message);
            }
            made.push(stream);
        }
    }
    wired.streams.extend(made);
}

fn stream(pipeline: &str, operator: &Operator, input: usize, cluster: &str) -> Stream {
    let of = operator.inputs.get(input).map_or("", |binding| &binding.stream);
    let port = operator.inputs.get(input).and_then(|binding| binding.port.as_deref());
    // By the port only where that tells two apart: the topic's name is to be read by people.
    let shared = operator.inputs.iter().filter(|other| other.stream == of).count() > 1;
    let place = port.filter(|_| shared).map_or_else(|| of.to_owned(), |port| format!("{of}.{port}"));
    let topic = format!("{pipeline}.{}.{}.repartition", operator.name, place.replace(':', "."));
    let carrier = Carrier::Topic { cluster: cluster.to_owned(), topic, partitions: 0, create: true };
    let rekeys = Some(Rekeys { operator: operator.name.clone(), input });
    Stream { rekeys, ..Stream::new(format!("{}:{place}", operator.name), carrier) }
}
