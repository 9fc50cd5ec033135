//! What is counted, per operator and per stream, with handles resolved once so that counting costs nanoseconds.
//!
//! It does not serve HTTP; `admin` renders the registry.

pub mod machine;
mod run;
mod sink;

pub use run::{RunMetrics, RunNow, Seconds, WorkerMetrics};
pub use sink::SinkMetrics;

use crate::time::Millis;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Labels of everything that belongs to an operator.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OperatorLabels {
    /// The pipeline's name.
    pub pipeline: String,
    /// The operator's name in the pipeline.
    pub operator: String,
}

/// Labels of a counter that an operator keeps itself.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GuestLabels {
    pipeline: String,
    operator: String,
    name: String,
}

/// The metrics of one operator; shared by all its tasks.
///
/// Every event that comes in ends as exactly one of `ok`, `late`, `dead_letters`, `dropped`, `fallback`.
#[derive(Clone, Debug)]
pub struct OperatorMetrics {
    /// Events that came in.
    pub events_in: Counter,
    /// Events that were processed.
    pub ok: Counter,
    /// Events that came after all their windows had closed.
    pub late: Counter,
    /// Events that were refused and kept.
    pub dead_letters: Counter,
    /// Events that were counted and are gone.
    pub dropped: Counter,
    /// Events that were refused and went to another operator.
    pub fallback: Counter,
    /// Outputs, forwards included.
    pub events_out: Counter,
    /// Outputs whose time is not after the watermark: allowed, but whoever is downstream may find them late.
    pub outputs_behind: Counter,
    /// Timers that fired.
    pub timers_fired: Counter,
    /// Calls that ended in a trap, a timeout, or effects that were refused.
    pub faults: Counter,
    /// Tasks whose circuit is not closed: the operator kept failing there, and its fallback gets the events.
    pub circuits_open: Gauge,
    /// How often a task's circuit has opened.
    pub circuits_opened: Counter,
    /// Calls of the guest.
    pub calls: Counter,
    /// Seconds that a call took.
    pub call_seconds: Histogram,
    /// Seconds that all calls took together, which a histogram does not tell.
    pub called_seconds: Seconds,
    /// Keys with state or timers.
    pub keys: Gauge,
    /// About how much memory their state and timers take, in bytes.
    pub state_bytes: Gauge,
    /// Linear memory of the operator's instances, in bytes.
    pub memory_bytes: Gauge,
    /// The most linear memory that its instances had together, in bytes.
    pub memory_peak_bytes: Gauge,
    /// The lowest watermark of its tasks, in milliseconds since the epoch.
    pub watermark_ms: Gauge,
    /// Keys and watermark of each task, by its slice of the keys. They stay when a run is over: its summary shows them.
    slices: Arc<Mutex<BTreeMap<u32, Slice>>>,
    labels: OperatorLabels,
    last_dead_letter: Arc<Mutex<String>>,
    guest: Family<GuestLabels, Counter>,
    guest_handles: Arc<Mutex<BTreeMap<String, Counter>>>,
}

/// What one task of an operator has reported.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    keys: usize,
    bytes: usize,
    watermark: Option<Millis>,
}

/// The most counters that one operator may name.
const GUEST_COUNTERS_MAX: usize = 256;

impl OperatorMetrics {
    /// The watermark of the task with this slice of the keys has moved.
    pub fn reached(&self, slice: u32, watermark: Millis) {
        let mut slices = self.slices.lock();
        slices.entry(slice).or_default().watermark = Some(watermark);
        self.watermark_ms.set(slices.values().filter_map(|slice| slice.watermark).min().unwrap_or(watermark));
    }

    /// The task with this slice holds so many keys, in so many bytes.
    pub fn holds(&self, slice: u32, keys: usize, bytes: usize) {
        let mut slices = self.slices.lock();
        let here = slices.entry(slice).or_default();
        (here.keys, here.bytes) = (keys, bytes);
        self.keys.set(slices.values().map(|slice| slice.keys as i64).sum());
        self.state_bytes.set(slices.values().map(|slice| slice.bytes as i64).sum());
    }

    /// A call of the guest has taken so long.
    pub fn called(&self, took: Duration) {
        self.calls.inc();
        self.called_seconds.inc_by(took.as_secs_f64());
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// An event was refused and kept.
    pub fn dead_letter(&self, why: &str) {
        self.dead_letters.inc();
        why.clone_into(&mut self.last_dead_letter.lock());
    }

    /// Why the last event that was kept was refused; empty before there was one.
    pub fn last_dead_letter(&self) -> String {
        self.last_dead_letter.lock().clone()
    }

    /// Other tasks take over, which may have other slices.
    pub fn handed_over(&self) {
        self.slices.lock().clear();
    }

    /// The linear memory of one instance has changed by so many bytes.
    pub fn memory_changed(&self, by: i64) {
        let before = self.memory_bytes.inc_by(by);
        self.memory_peak_bytes.set(self.memory_peak_bytes.get().max(before + by));
    }

    /// Adds to a counter that the operator keeps itself; past [`GUEST_COUNTERS_MAX`] names, new ones are not taken.
    pub fn guest_counter(&self, name: &str, add: u64) {
        let mut handles = self.guest_handles.lock();
        if let Some(counter) = handles.get(name) {
            counter.inc_by(add);
        } else if handles.len() < GUEST_COUNTERS_MAX {
            let labels =
                GuestLabels { pipeline: self.labels.pipeline.clone(), operator: self.labels.operator.clone(), name: name.to_owned() };
            let counter = self.guest.get_or_create(&labels).clone();
            counter.inc_by(add);
            handles.insert(name.to_owned(), counter);
        }
    }

    /// The operator's own counters.
    pub fn guest_counters(&self) -> BTreeMap<String, u64> {
        self.guest_handles.lock().iter().map(|(name, counter)| (name.clone(), counter.get())).collect()
    }
}

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    events: Family<OutcomeLabels, Counter>,
    events_in: Family<OperatorLabels, Counter>,
    events_out: Family<OperatorLabels, Counter>,
    outputs_behind: Family<OperatorLabels, Counter>,
    timers_fired: Family<OperatorLabels, Counter>,
    faults: Family<OperatorLabels, Counter>,
    circuits_open: Family<OperatorLabels, Gauge>,
    circuits_opened: Family<OperatorLabels, Counter>,
    calls: Family<OperatorLabels, Counter>,
    call_seconds: Family<OperatorLabels, Histogram, fn() -> Histogram>,
    keys: Family<OperatorLabels, Gauge>,
    state: Family<OperatorLabels, Gauge>,
    memory: Family<OperatorLabels, Gauge>,
    memory_peak: Family<OperatorLabels, Gauge>,
    watermark: Family<OperatorLabels, Gauge>,
    guest: Family<GuestLabels, Counter>,
    sinks: sink::Sinks,
    /// The run as a whole.
    pub run: RunMetrics,
    /// Commits that were made.
    pub commits: Counter,
    /// Seconds that a commit took, from the last event in to the offsets safe.
    pub commit_seconds: Histogram,
    /// New builds of plugins that were taken.
    pub reloads: Counter,
    /// New builds of plugins that were refused or rolled back.
    pub reloads_refused: Counter,
    /// Seconds that a swap held the stream up.
    pub reload_pause_seconds: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    pipeline: String,
    operator: String,
    outcome: &'static str,
}

fn seconds() -> Histogram {
    // From 10 µs to 20 s.
    Histogram::new(exponential_buckets(1e-5, 2.0, 22))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sangam");
        let mut metrics = Metrics {
            events: Family::default(),
            events_in: Family::default(),
            events_out: Family::default(),
            outputs_behind: Family::default(),
            timers_fired: Family::default(),
            faults: Family::default(),
            circuits_open: Family::default(),
            circuits_opened: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(seconds),
            keys: Family::default(),
            state: Family::default(),
            memory: Family::default(),
            memory_peak: Family::default(),
            watermark: Family::default(),
            guest: Family::default(),
            sinks: sink::Sinks::registered(&mut registry),
            run: RunMetrics::registered(&mut registry),
            commits: Counter::default(),
            commit_seconds: seconds(),
            reloads: Counter::default(),
            reloads_refused: Counter::default(),
            reload_pause_seconds: seconds(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            "operator_events_in",
            "Events that came in (Flink: numRecordsIn; Kafka Streams: process-total)",
            m.events_in.clone(),
        );
        registry.register(
            "operator_events",
            "Events by how they ended: ok, late, dead_letter, dropped (Flink: numLateRecordsDropped; Kafka Streams: dropped-records-total)",
            m.events.clone(),
        );
        registry.register("operator_events_out", "Outputs, forwards included (Flink: numRecordsOut)", m.events_out.clone());
        registry.register("operator_outputs_behind_watermark", "Outputs whose time is not after the watermark", m.outputs_behind.clone());
        registry.register(
            "operator_timers_fired",
            "Timers that fired (Flink: numFiredTimers; Kafka Streams: punctuate-total)",
            m.timers_fired.clone(),
        );
        registry.register("operator_faults", "Calls that ended in a trap, a timeout or refused effects", m.faults.clone());
        registry.register("operator_circuits_open", "Tasks whose circuit breaker is open or half-open", m.circuits_open.clone());
        registry.register("operator_circuits_opened", "How often a task's circuit breaker has opened", m.circuits_opened.clone());
        registry.register("operator_calls", "Calls of the guest", m.calls.clone());
        registry.register_with_unit(
            "operator_call",
            "Time of one call of the guest, a batch (Kafka Streams: process-latency)",
            Unit::Seconds,
            m.call_seconds.clone(),
        );
        registry.register("operator_keys", "Keys with state or timers (Kafka Streams: estimate-num-keys)", m.keys.clone());
        registry.register_with_unit(
            "operator_state",
            "Memory of state and timers (Flink: lastCheckpointFullSize)",
            Unit::Bytes,
            m.state.clone(),
        );
        registry.register_with_unit("operator_memory", "Linear memory of the instances", Unit::Bytes, m.memory.clone());
        registry.register_with_unit(
            "operator_memory_peak",
            "Most linear memory of the instances together",
            Unit::Bytes,
            m.memory_peak.clone(),
        );
        registry.register(
            "operator_watermark_ms",
            "Lowest watermark, milliseconds since the epoch (Flink: currentInputWatermark)",
            m.watermark.clone(),
        );
        registry.register("operator_counter", "Counters that operators keep themselves", m.guest.clone());
        registry.register("commits", "Commits (Flink: numberOfCompletedCheckpoints; Kafka Streams: commit-total)", m.commits.clone());
        registry.register_with_unit(
            "commit",
            "Time of one commit (Flink: lastCheckpointDuration; Kafka Streams: commit-latency)",
            Unit::Seconds,
            m.commit_seconds.clone(),
        );
        registry.register("reloads", "New builds that were taken", m.reloads.clone());
        registry.register("reloads_refused", "New builds that were refused or rolled back", m.reloads_refused.clone());
        registry.register_with_unit("reload_pause", "How long a swap held the stream up", Unit::Seconds, m.reload_pause_seconds.clone());
        metrics.registry = registry;
        metrics
    }
}

impl Metrics {
    /// The metrics of one operator.
    pub fn operator(&self, pipeline: &str, operator: &str) -> OperatorMetrics {
        let labels = OperatorLabels { pipeline: pipeline.to_owned(), operator: operator.to_owned() };
        let outcome = |outcome| {
            let labels = OutcomeLabels { pipeline: labels.pipeline.clone(), operator: labels.operator.clone(), outcome };
            self.events.get_or_create(&labels).clone()
        };
        OperatorMetrics {
            events_in: self.events_in.get_or_create(&labels).clone(),
            ok: outcome("ok"),
            late: outcome("late"),
            dead_letters: outcome("dead_letter"),
            dropped: outcome("dropped"),
            fallback: outcome("fallback"),
            events_out: self.events_out.get_or_create(&labels).clone(),
            outputs_behind: self.outputs_behind.get_or_create(&labels).clone(),
            timers_fired: self.timers_fired.get_or_create(&labels).clone(),
            faults: self.faults.get_or_create(&labels).clone(),
            circuits_open: self.circuits_open.get_or_create(&labels).clone(),
            circuits_opened: self.circuits_opened.get_or_create(&labels).clone(),
            calls: self.calls.get_or_create(&labels).clone(),
            call_seconds: self.call_seconds.get_or_create(&labels).clone(),
            called_seconds: Seconds::default(),
            keys: self.keys.get_or_create(&labels).clone(),
            state_bytes: self.state.get_or_create(&labels).clone(),
            memory_bytes: self.memory.get_or_create(&labels).clone(),
            memory_peak_bytes: self.memory_peak.get_or_create(&labels).clone(),
            slices: Arc::default(),
            watermark_ms: self.watermark.get_or_create(&labels).clone(),
            guest: self.guest.clone(),
            guest_handles: Arc::default(),
            last_dead_letter: Arc::default(),
            labels,
        }
    }

    /// The metrics of a sink that calls somebody, by its stream.
    pub fn sink(&self, pipeline: &str, stream: &str) -> SinkMetrics {
        self.sinks.of(pipeline, stream)
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
