//! A pipeline's own metrics as a stream: where samples of them go, how often, and which.

use super::meaning::Carrier;
use std::collections::BTreeMap;
use std::time::Duration;

/// The topic where the file names none. Pipelines of a cluster share it: each sample says whose it is.
pub const SAMPLES_TOPIC: &str = "sangam.metrics";

/// What there are samples of; docs/metrics.md says what each is. Those with `operator` in their name are there once for each operator.
pub const SAMPLED: [&str; 25] = [
    "events_per_second",
    "processing_latency_ms",
    "error_rate_percent",
    "consumer_lag_messages",
    "memory_utilization_percent",
    "instance_hours",
    "storage_gb",
    "network_gb",
    "partitions",
    "operator_events_per_second",
    "operator_processing_latency_ms",
    "operator_error_rate_percent",
    "sangam_operator_events_in_total",
    "sangam_operator_events_total",
    "sangam_operator_events_out_total",
    "sangam_operator_faults_total",
    "sangam_operator_keys",
    "sangam_operator_state_bytes",
    "sangam_operator_memory_bytes",
    "sangam_operator_watermark_lag_seconds",
    "sangam_consumer_lag",
    "sangam_commits_total",
    "sangam_restarts_total",
    "sangam_running",
    "sangam_worker_deaths_total",
];

/// The fields of a sample that are Sangam's own, so that no label may be called so.
pub(super) const SAMPLE_FIELDS: [&str; 9] =
    ["metric", "value", "timestamp", "pipeline", "instance", "operator", "outcome", "stream", "partition"];

/// Samples of a pipeline's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// The cluster's name.
    pub cluster: String,
    /// The topic's name there.
    pub topic: String,
    /// How often they are taken.
    pub every: Duration,
    /// The names of those that are taken; empty: all.
    pub only: Vec<String>,
    /// Further fields of each sample, such as the region.
    pub labels: BTreeMap<String, String>,
}

impl Samples {
    /// How often they are taken unless the file says otherwise.
    pub const EVERY: Duration = Duration::from_secs(30);

    /// Their topic, as a stream's would be.
    pub fn carrier(&self) -> Carrier {
        Carrier::Topic { cluster: self.cluster.clone(), topic: self.topic.clone(), partitions: 1, create: true }
    }

    /// Whether these are taken.
    pub fn has(&self, metric: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == metric)
    }
}
