//! The audit: where it goes, unless the file says that there is none.

use super::streams;
use crate::config::audit::Audit;
use crate::config::meaning::{Carrier, Cluster, ClusterKind, Operator, Stream};
use crate::config::written::WrittenAudit;

/// What the file says of the audit. It goes to where the pipeline's commits are: the Kafka that it writes to, or else reads, or the embedded
/// store. A pipeline that is in memory or in files only has none unless it asks for it.
pub(super) fn mean(
    written: Option<&WrittenAudit>,
    pipeline: &str,
    operators: &[Operator],
    streams: &[Stream],
    clusters: &[Cluster],
) -> Option<Audit> {
    let (topic, asked) = match written {
        Some(WrittenAudit::Off) => return None,
        Some(WrittenAudit::On { topic }) => (topic.as_ref().map(|topic| topic.value.clone()), true),
        None => (None, false),
    };
    let home = home(operators, streams, clusters);
    let cluster = home.or_else(|| asked.then(|| streams::embedded(clusters).to_owned()))?;
    Some(Audit { cluster, topic: topic.unwrap_or_else(|| Audit::topic_of(pipeline)), asked })
}

/// The cluster that commits are in, where that is a durable one.
pub(super) fn home(operators: &[Operator], streams: &[Stream], clusters: &[Cluster]) -> Option<String> {
    let ports = operators.iter().flat_map(|operator| &operator.outputs).map(|binding| &binding.stream);
    let aside = operators.iter().flat_map(|operator| operator.late.iter().chain(&operator.dead_letters));
    let read = operators.iter().flat_map(|operator| &operator.inputs).map(|binding| &binding.stream);
    let used: Vec<&str> = ports.chain(aside).chain(read).filter_map(|name| cluster_of(name, streams)).collect();
    let is = |name: &str, fits: fn(&ClusterKind) -> bool| clusters.iter().any(|cluster| cluster.name == name && fits(&cluster.kind));
    let first = |fits: fn(&ClusterKind) -> bool| used.iter().find(|name| is(name, fits)).map(|name| (*name).to_owned());
    first(ClusterKind::is_kafka).or_else(|| first(|kind| *kind == ClusterKind::Local))
}

fn cluster_of<'a>(name: &str, streams: &'a [Stream]) -> Option<&'a str> {
    match &streams.iter().find(|stream| stream.name == name && stream.delivery.is_none())?.carrier {
        Carrier::Topic { cluster, .. } => Some(cluster),
        Carrier::File { .. } | Carrier::Webhook(_) | Carrier::Internal => None,
    }
}
