//! Clusters: what each kind needs, and that there is exactly one embedded one.

use crate::config::error::Kind;
use crate::config::meaning::{Cluster, ClusterKind, EMBEDDED, Options};
use crate::config::source::{At, Source};
use crate::config::written::{WrittenCluster, WrittenKind};

/// Settings of the client library that Sangam sets itself; another value would break commits or the group.
const OURS: [(&str, &str); 6] = [
    ("bootstrap.servers", "write `brokers` instead"),
    ("metadata.broker.list", "write `brokers` instead"),
    ("group.id", "the pipeline's `name` is the group"),
    ("enable.auto.commit", "offsets are committed with state and outputs"),
    ("enable.auto.offset.store", "offsets are committed with state and outputs"),
    ("transactional.id", "it follows from the pipeline's `name`"),
];

/// What the clusters mean, the embedded one first where nobody declares it.
pub(super) fn mean(written: &[WrittenCluster], source: &Source<'_>) -> Vec<Cluster> {
    let mut clusters = Vec::with_capacity(written.len() + 1);
    let mut embedded: Option<&At<String>> = None;
    for cluster in written {
        let name = &cluster.name;
        // A kind that could not be read has been reported; with this one nothing else is missing.
        let kind = cluster.kind.as_ref().map_or(WrittenKind::Memory, |kind| kind.value);
        if kind == WrittenKind::Local {
            if let Some(first) = embedded {
                let message = format!("there is one embedded store, and `{}` is it; use that one, or another `kind`", first.value);
                source.error(Kind::Conflict, &name.place, message);
            }
            embedded = embedded.or(Some(name));
        } else if name.value == EMBEDDED && cluster.kind.is_some() {
            source.error(Kind::Conflict, &name.place, format!("`{EMBEDDED}` is the name of the embedded cluster; choose another one"));
        }
        clusters.push(Cluster { name: name.value.clone(), kind: mean_kind(kind, cluster, source) });
    }
    if embedded.is_none() {
        clusters.insert(0, Cluster { name: EMBEDDED.to_owned(), kind: ClusterKind::Local });
    }
    clusters
}

fn mean_kind(kind: WrittenKind, cluster: &WrittenCluster, source: &Source<'_>) -> ClusterKind {
    let name = &cluster.name.value;
    if kind == WrittenKind::Kafka {
        if !cluster.has_brokers {
            let message = format!("the cluster `{name}` has no `brokers`; write `brokers = \"HOST:9092\"`");
            source.error(Kind::MissingKey, &cluster.name.place, message);
        }
        for (option, _) in &cluster.options {
            if let Some((_, instead)) = OURS.iter().find(|(ours, _)| *ours == option.value) {
                source.error(Kind::Conflict, &option.place, format!("`{}` is set by Sangam; {instead}", option.value));
            }
        }
        let brokers = cluster.brokers.as_ref().map_or(String::new(), |brokers| check_brokers(brokers, source));
        let options = cluster.options.iter().map(|(option, value)| (option.value.clone(), value.clone())).collect();
        return ClusterKind::Kafka { brokers, options: Options(options) };
    }
    if let (Some(brokers), Some(_)) = (&cluster.brokers, &cluster.kind) {
        let message = format!("`brokers` is for `kind = \"kafka\"`; the cluster `{name}` is of another kind");
        source.error(Kind::Conflict, &brokers.place, message);
    }
    if let (Some(place), Some(_)) = (&cluster.options_key, &cluster.kind) {
        source.error(Kind::Conflict, place, format!("`options` is for `kind = \"kafka\"`; the cluster `{name}` is of another kind"));
    }
    if kind == WrittenKind::Local { ClusterKind::Local } else { ClusterKind::Memory }
}

/// Each broker has to be `host:port`, or a host alone.
fn check_brokers(brokers: &At<String>, source: &Source<'_>) -> String {
    let fits = |broker: &str| {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if !brokers.value.split(',').map(str::trim).all(fits) {
        let quote = source.quote(&brokers.place);
        let message = format!("`brokers`: `{quote}` is not a list of addresses; write `HOST:PORT`, several separated by commas");
        source.error(Kind::BadAddress, &brokers.place, message);
    }
    brokers.value.clone()
}
