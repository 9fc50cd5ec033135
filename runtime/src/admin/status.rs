//! What is known of a running pipeline at one moment, as plain values: the API sends them, the screen draws them.

use crate::metrics::Metrics;
use crate::pipeline::{BuildStatus, Builds, Control};
use crate::store::Store;
use crate::task::{OperatorNode, Topology};
use crate::time::{Clock, Millis, SystemClock, WATERMARK_MIN};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where to look.
pub struct View {
    /// Streams and operators.
    pub topology: Arc<Topology>,
    /// The builds that run.
    pub builds: Builds,
    /// The run.
    pub control: Control,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is committed.
    pub store: Arc<dyn Store>,
    /// When the run started.
    pub started: Instant,
}

/// A pipeline at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub pipeline: String,
    /// The time of day, in milliseconds since the epoch.
    pub now_ms: Millis,
    /// How long it has run.
    pub uptime_ms: u64,
    /// What it is doing: `starting`, `restoring`, `running`, `rebalancing`, `recovering`, `draining`, `stopped`, `failed`.
    pub state: String,
    /// Since when, in milliseconds since the epoch.
    pub state_since_ms: Millis,
    /// Whether its tasks are at work.
    pub running: bool,
    /// Whether it was asked to end.
    pub stopping: bool,
    /// Records that wait to be read.
    pub lag: u64,
    /// Commits.
    pub commits: u64,
    /// The operators, in the order of the pipeline file.
    pub operators: Vec<OperatorStatus>,
}

/// An operator at one moment. Every event in ends as one of `ok`, `late`, `dead_letters`, `dropped`, `fallback`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OperatorStatus {
    /// Its name.
    pub name: String,
    /// Events that came in.
    pub events_in: u64,
    /// Outputs.
    pub events_out: u64,
    /// Events that were processed.
    pub ok: u64,
    /// Events that came after all their windows had closed.
    pub late: u64,
    /// Events that were refused and kept.
    pub dead_letters: u64,
    /// Events that were counted and are gone.
    pub dropped: u64,
    /// Events that were refused and went to another operator.
    pub fallback: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Keys with state or timers.
    pub keys: i64,
    /// The lowest watermark of its tasks; `None` before there is one. The largest number there is: the input has ended.
    pub watermark_ms: Option<Millis>,
    /// Its plugin.
    pub build: Build,
}

/// What runs of a plugin, and what became of its last new builds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Build {
    /// The plugin's name.
    pub plugin: String,
    /// Version in the manifest.
    pub version: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The last swap.
    pub swapped: Option<Swap>,
    /// The last build that was not taken, or was taken back.
    pub refused: Option<Refused>,
}

/// A new build that was put in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swap {
    /// When, in milliseconds since the epoch.
    pub at_ms: Millis,
    /// For how long the stream stood still.
    pub pause_us: u64,
}

/// A new build that does not run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// When, in milliseconds since the epoch.
    pub at_ms: Millis,
    /// Why.
    pub why: String,
}

// === impl View ===

impl View {
    /// The figures now.
    pub fn status(&self) -> Status {
        let builds = self.builds.lock().clone();
        let operators = self.topology.operators.iter().map(|node| operator(node, builds.get(&node.plugin_name))).collect();
        Status {
            pipeline: self.topology.name.clone(),
            now_ms: SystemClock.now(),
            uptime_ms: millis(self.started.elapsed()) as u64,
            state: self.control.health().phase().state().to_owned(),
            state_since_ms: self.control.health().since(),
            running: self.control.running(),
            stopping: self.control.stopping(),
            lag: self.control.lag(),
            commits: self.metrics.commits.get(),
            operators,
        }
    }
}

fn operator(node: &OperatorNode, build: Option<&BuildStatus>) -> OperatorStatus {
    let m = &node.metrics;
    // How events ended is read before how many came in: while they flow, `in` may run ahead of the sum, but never lag behind it.
    let [ok, late, dead_letters, dropped, fallback] = [&m.ok, &m.late, &m.dead_letters, &m.dropped, &m.fallback].map(|end| end.get());
    OperatorStatus {
        name: node.name.to_string(),
        events_in: m.events_in.get(),
        events_out: m.events_out.get(),
        ok,
        late,
        dead_letters,
        dropped,
        fallback,
        faults: m.faults.get(),
        keys: m.keys.get(),
        // The gauge stands at 0 until the first event has moved it.
        watermark_ms: Some(m.watermark_ms.get()).filter(|watermark| ![0, WATERMARK_MIN].contains(watermark)),
        build: Build {
            plugin: node.plugin_name.clone(),
            version: build.map_or_else(|| node.plugin.manifest().version.clone(), |build| build.version.clone()),
            sha256: build.map_or_else(|| node.plugin.sha256().to_owned(), |build| build.sha256.clone()),
            swapped: build
                .and_then(|build| build.swapped)
                .map(|(at, pause)| Swap { at_ms: since_epoch(at), pause_us: pause.as_micros() as u64 }),
            refused: build.and_then(|build| build.refused.as_ref()).map(|(at, why)| Refused { at_ms: since_epoch(*at), why: why.clone() }),
        },
    }
}

// === impl OperatorStatus ===

impl OperatorStatus {
    /// Events in that have not ended in one of the five ways. At a commit it is 0; anything else then is a bug.
    pub fn unsettled(&self) -> i64 {
        self.events_in as i64 - (self.ok + self.late + self.dead_letters + self.dropped + self.fallback) as i64
    }
}

fn since_epoch(at: SystemTime) -> Millis {
    at.duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> Millis {
    time.as_millis() as Millis
}
