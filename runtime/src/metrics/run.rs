//! What is counted of a run as a whole: its workers' time, how far behind it is, what runs.
//!
//! Some of it is read off when somebody asks ([`RunMetrics::show`]), not kept up to date in between.

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Seconds and parts of them.
pub type Seconds = Counter<f64, AtomicU64>;
type SecondsNow = Gauge<f64, AtomicU64>;

/// The metrics of a run.
#[derive(Clone, Default)]
pub struct RunMetrics {
    /// How often it went back to the last commit after a failure.
    pub restarts: Counter,
    /// Worker threads that have died.
    pub worker_deaths: Counter,
    /// Samples of metrics that could not be written.
    pub samples_lost: Counter,
    /// The state that it is in.
    state: Arc<Mutex<Option<&'static str>>>,
    states: Family<StateLabels, Gauge>,
    state_changes: Family<StateLabels, Counter>,
    workers: Family<WorkerLabels, Seconds>,
    restored: Counter,
    copied: Counter,
    behind: Gauge,
    running: Gauge,
    uptime: SecondsNow,
    commit_age: SecondsNow,
    lag: Family<PartitionLabels, Gauge>,
    watermark_lag: Family<super::OperatorLabels, SecondsNow>,
    build: Family<BuildLabels, Gauge>,
    plugins: Family<PluginLabels, Gauge>,
    stops: Family<StopLabels, Counter>,
    /// Records that topics deleted before they were read.
    pub missed: Counter,
    under_way: Gauge,
    buffered_records: Family<PartitionLabels, Gauge>,
    buffered_bytes: Family<PartitionLabels, Gauge>,
}

/// What a worker's time goes to. The four add up to all of it.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    /// Fetching, calling operators, writing.
    pub busy: Seconds,
    /// There is nothing to do.
    pub idle: Seconds,
    /// Somebody downstream has no room.
    pub back_pressured: Seconds,
    /// Holding still, flushing and handing over, for a commit.
    pub committing: Seconds,
    /// How often the buffer between a source and its reader was full.
    pub source_stops: Counter,
    /// How often a task's inbox was full.
    pub exchange_stops: Counter,
    /// Records that topics deleted before they were read, all over the process.
    pub missed: Counter,
    /// Runs of events on their way between tasks, all over the process.
    pub under_way: Gauge,
}

/// A run as it is when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct RunNow {
    /// The pipeline's name.
    pub pipeline: String,
    /// Whether tasks are at work.
    pub running: bool,
    /// Seconds since the start.
    pub uptime: f64,
    /// Seconds since the last commit.
    pub commit_age: f64,
    /// Records of state that were read back from logs.
    pub restored: u64,
    /// Records that standby copies have read, and those that were new at their last look.
    pub standby: (u64, u64),
    /// By stream and partition: records that wait to be read.
    pub lag: Vec<(String, u32, u64)>,
    /// By stream and partition: records that its source holds ready, and their bytes.
    pub buffered: Vec<(String, u32, usize, usize)>,
    /// By operator: seconds that its watermark is behind the clock.
    pub watermark_lag: Vec<(String, f64)>,
    /// By plugin: version and SHA-256 of what runs.
    pub plugins: Vec<(String, String, String)>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WorkerLabels {
    worker: u32,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StopLabels {
    at: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PartitionLabels {
    pipeline: String,
    stream: String,
    partition: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
    version: String,
    sha256: String,
}

impl RunMetrics {
    pub(super) fn registered(registry: &mut Registry) -> RunMetrics {
        let run = RunMetrics::default();
        run.build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let r = registry;
        r.register("running", "1 while tasks are at work, else 0 (Kafka Streams: alive-stream-threads)", run.running.clone());
        r.register(
            "state",
            "1 for the state that the pipeline is in, 0 for others that it has been in (Kafka Streams: state)",
            run.states.clone(),
        );
        r.register("state_changes", "Times that the pipeline has entered a state", run.state_changes.clone());
        r.register_with_unit("uptime", "Time since the start (Flink: uptime)", Unit::Seconds, run.uptime.clone());
        r.register("restarts", "Times that the run went back to the last commit (Flink: numRestarts)", run.restarts.clone());
        r.register(
            "worker_deaths",
            "Worker threads that died and were replaced (Kafka Streams: failed-stream-threads)",
            run.worker_deaths.clone(),
        );
        r.register("samples_lost", "Samples of metrics that could not be written to their topic", run.samples_lost.clone());
        r.register("restore_records", "Records of state read back from logs (Kafka Streams: restore-total)", run.restored.clone());
        r.register("standby_records", "Records that standby copies have read (Kafka Streams: standby-update-total)", run.copied.clone());
        r.register("standby_lag", "Records that were new to standby copies at their last look", run.behind.clone());
        r.register_with_unit(
            "commit_age",
            "Time since the last commit, or since the start (Flink: lastCompletedCheckpointId standing still)",
            Unit::Seconds,
            run.commit_age.clone(),
        );
        r.register_with_unit(
            "worker",
            "Time of a worker by what it did (Flink: busy-, idle-, backPressuredTimeMsPerSecond)",
            Unit::Seconds,
            run.workers.clone(),
        );
        r.register("consumer_lag", "Records that wait to be read (Flink: pendingRecords; Kafka: records-lag)", run.lag.clone());
        r.register("backpressure_events", "Times that a buffer was full and its writers stopped", run.stops.clone());
        r.register("missed_records", "Records that a topic deleted before they were read", run.missed.clone());
        r.register("buffered_records", "Records that a source holds ready (Flink: inputQueueLength)", run.buffered_records.clone());
        r.register_with_unit(
            "buffered",
            "Bytes that a source holds ready (Kafka Streams: input-buffer-bytes-total)",
            Unit::Bytes,
            run.buffered_bytes.clone(),
        );
        r.register("exchange_runs", "Runs of events on their way between tasks (Flink: outputQueueLength)", run.under_way.clone());
        r.register_with_unit(
            "operator_watermark_lag",
            "How far the lowest watermark is behind the clock (Flink: currentInputWatermark; Kafka Streams: record-e2e-latency)",
            Unit::Seconds,
            run.watermark_lag.clone(),
        );
        r.register("build_info", "The version of sangam; always 1", run.build.clone());
        r.register("plugin_info", "The build of a plugin that runs; always 1", run.plugins.clone());
        run
    }

    /// The pipeline is in this state from now on.
    pub fn enter(&self, state: &'static str) {
        let mut now = self.state.lock();
        if let Some(before) = now.replace(state) {
            self.states.get_or_create(&StateLabels { state: before }).set(0);
        }
        self.states.get_or_create(&StateLabels { state }).set(1);
        self.state_changes.get_or_create(&StateLabels { state }).inc();
    }

    /// The counters of one worker.
    pub fn worker(&self, worker: u32) -> WorkerMetrics {
        let state = |state| self.workers.get_or_create(&WorkerLabels { worker, state }).clone();
        let stops = |at| self.stops.get_or_create(&StopLabels { at }).clone();
        WorkerMetrics {
            busy: state("busy"),
            idle: state("idle"),
            back_pressured: state("backpressured"),
            committing: state("committing"),
            source_stops: stops("source"),
            exchange_stops: stops("exchange"),
            missed: self.missed.clone(),
            under_way: self.under_way.clone(),
        }
    }

    /// Brings what is read off up to date. Partitions and builds that are gone leave. One at a time may call it.
    pub fn show(&self, now: &RunNow) {
        self.running.set(now.running.into());
        self.uptime.set(now.uptime);
        self.commit_age.set(now.commit_age);
        self.restored.inc_by(now.restored.saturating_sub(self.restored.get()));
        self.copied.inc_by(now.standby.0.saturating_sub(self.copied.get()));
        self.behind.set(now.standby.1 as i64);
        self.lag.clear();
        for (stream, partition, records) in &now.lag {
            let labels = PartitionLabels { pipeline: now.pipeline.clone(), stream: stream.clone(), partition: *partition };
            self.lag.get_or_create(&labels).set(*records as i64);
        }
        self.buffered_records.clear();
        self.buffered_bytes.clear();
        for (stream, partition, records, bytes) in &now.buffered {
            let labels = PartitionLabels { pipeline: now.pipeline.clone(), stream: stream.clone(), partition: *partition };
            self.buffered_records.get_or_create(&labels).set(*records as i64);
            self.buffered_bytes.get_or_create(&labels).set(*bytes as i64);
        }
        self.watermark_lag.clear();
        for (operator, seconds) in &now.watermark_lag {
            let labels = super::OperatorLabels { pipeline: now.pipeline.clone(), operator: operator.clone() };
            self.watermark_lag.get_or_create(&labels).set(*seconds);
        }
        self.plugins.clear();
        for (plugin, version, sha256) in &now.plugins {
            let labels = PluginLabels { plugin: plugin.clone(), version: version.clone(), sha256: sha256.clone() };
            self.plugins.get_or_create(&labels).set(1);
        }
    }
}
