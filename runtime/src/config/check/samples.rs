//! What is meant by `[metrics]`: where samples of the pipeline's own metrics go.

use super::{audit, streams};
use crate::config::error::Kind;
use crate::config::meaning::{Cluster, Operator, Stream};
use crate::config::samples::{SAMPLE_FIELDS, SAMPLED, SAMPLES_TOPIC, Samples};
use crate::config::source::{At, Source, did_you_mean};
use crate::config::written::WrittenSamples;

/// They go to where the pipeline's commits are, as the audit does, or to the cluster that the file names.
pub(super) fn mean(
    written: Option<WrittenSamples>,
    operators: &[Operator],
    all: &[Stream],
    clusters: &[Cluster],
    source: &Source<'_>,
) -> Option<Samples> {
    let WrittenSamples::On { topic, every, cluster, only, labels } = written? else { return None };
    if let Some(named) = cluster.as_ref().filter(|named| !clusters.iter().any(|cluster| cluster.name == named.value)) {
        let hint = did_you_mean(&named.value, clusters.iter().map(|cluster| cluster.name.as_str()));
        let hint = if hint.is_empty() { format!("; define it as `[clusters.{}]`", named.value) } else { hint };
        source.error(Kind::UnknownCluster, &named.place, format!("there is no cluster `{}`{hint}", named.value));
    }
    only.iter().for_each(|name| check_name(name, source));
    labels.iter().for_each(|(name, _)| check_label(name, source));
    let home = || audit::home(operators, all, clusters).unwrap_or_else(|| streams::embedded(clusters).to_owned());
    Some(Samples {
        cluster: cluster.map_or_else(home, |named| named.value),
        topic: topic.map_or_else(|| SAMPLES_TOPIC.to_owned(), |topic| streams::check_topic(&topic, source)),
        every: every.map_or(Samples::EVERY, |at| at.value),
        only: only.into_iter().map(|name| name.value).collect(),
        labels: labels.into_iter().map(|(name, value)| (name.value, value)).collect(),
    })
}

fn check_name(name: &At<String>, source: &Source<'_>) {
    if !SAMPLED.contains(&name.value.as_str()) {
        let hint = did_you_mean(&name.value, SAMPLED);
        let hint = if hint.is_empty() { format!("; there are {}", SAMPLED.join(", ")) } else { hint };
        source.error(Kind::BadChoice, &name.place, format!("`only`: there are no samples of `{}`{hint}", name.value));
    }
}

fn check_label(name: &At<String>, source: &Source<'_>) {
    if SAMPLE_FIELDS.contains(&name.value.as_str()) {
        source.error(Kind::Conflict, &name.place, format!("`{}` is a field of every sample; give the label another name", name.value));
    }
}
