//! The figures of a sample: counters as they stand, and what follows from how far they have moved since the sample before.
//!
//! It reads counters and does not write them; what each figure is, docs/metrics.md says.

use super::Sampled;
use crate::metrics::machine;
use crate::pipeline::health::Phase;
use crate::task::{OperatorNode, Topology};
use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN};
use serde_json::{Value, json};

/// One number of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// What it is.
    pub metric: &'static str,
    /// How much.
    pub value: f64,
    /// Of which operator, or of which partition of which stream.
    pub of: Vec<(&'static str, Value)>,
}

/// What counters stood at.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// When, on the clock that was given.
    pub at: Millis,
    /// By operator.
    operators: Vec<Counts>,
    /// Bytes over the network, where that is known.
    network: Option<u64>,
    /// Bytes of the store on disk.
    stored: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    events: u64,
    /// Refused: dead letters, dropped, gone to a fallback.
    refused: u64,
    calls: u64,
    called_seconds: f64,
    /// It reads what comes from outside, not only what another operator writes.
    first: bool,
}

/// What moved between two looks.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    per_second: f64,
    /// Mean of a call.
    latency_ms: f64,
    error_percent: f64,
}

// === impl Look ===

impl Look {
    pub fn at(at: Millis, topology: &Topology, stored: u64) -> Look {
        let operators = topology.operators.iter().enumerate().map(|(o, node)| Counts::of(node, reads_from_outside(topology, o)));
        Look { at, operators: operators.collect(), network: machine::network_bytes(), stored }
    }

    fn all(&self) -> Counts {
        let first = self.operators.iter().filter(|counts| counts.first);
        let events = first.clone().map(|counts| counts.events).sum();
        Counts { events, refused: self.operators.iter().map(|counts| counts.refused).sum(), ..Counts::default() }
    }
}

impl Counts {
    fn of(node: &OperatorNode, first: bool) -> Counts {
        let m = &node.metrics;
        Counts {
            // Refused before all: while events flow, more may have come in than ended, never fewer.
            refused: m.dead_letters.get() + m.dropped.get() + m.fallback.get(),
            events: m.events_in.get(),
            calls: m.calls.get(),
            called_seconds: m.called_seconds.get(),
            first,
        }
    }

    fn since(&self, before: &Counts, seconds: f64) -> Rates {
        let moved = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let (events, calls) = (moved(self.events, before.events), moved(self.calls, before.calls));
        // Where nothing came in, nothing was slow and nothing failed.
        Rates {
            per_second: events / seconds,
            latency_ms: (self.called_seconds - before.called_seconds) * 1e3 / calls.max(1.0),
            error_percent: (moved(self.refused, before.refused) * 100.0 / events.max(1.0)).min(100.0),
        }
    }
}

fn reads_from_outside(topology: &Topology, operator: usize) -> bool {
    let mut read = topology.streams.iter().filter(|stream| stream.consumers.iter().any(|consumer| consumer.operator == operator));
    read.any(|stream| stream.topic.is_some() && stream.carries.is_none())
}

/// All figures of a sample.
pub(super) fn figures(now: &Look, before: &Look, from: &Sampled) -> Vec<Figure> {
    let mut out = Vec::new();
    let seconds = ((now.at - before.at) as f64 / 1e3).max(1e-3);
    let mut latency = 0.0;
    for (node, (counts, earlier)) in from.topology.operators.iter().zip(now.operators.iter().zip(&before.operators)) {
        let rates = counts.since(earlier, seconds);
        latency += rates.latency_ms;
        of_operator(node, rates, now.at, &mut out);
    }
    let all = Rates { latency_ms: latency, ..now.all().since(&before.all(), seconds) };
    of_pipeline(all, now, before, seconds, from, &mut out);
    of_partitions(from, &mut out);
    out
}

fn of_operator(node: &OperatorNode, rates: Rates, now: Millis, out: &mut Vec<Figure>) {
    let m = &node.metrics;
    let name = ("operator", json!(&*node.name));
    let mut add = |metric, value: f64| out.push(Figure { metric, value, of: vec![name.clone()] });
    add("operator_events_per_second", rates.per_second);
    add("operator_processing_latency_ms", rates.latency_ms);
    add("operator_error_rate_percent", rates.error_percent);
    add("sangam_operator_events_in_total", m.events_in.get() as f64);
    add("sangam_operator_events_out_total", m.events_out.get() as f64);
    add("sangam_operator_faults_total", m.faults.get() as f64);
    add("sangam_operator_keys", m.keys.get() as f64);
    add("sangam_operator_state_bytes", m.state_bytes.get() as f64);
    add("sangam_operator_memory_bytes", m.memory_bytes.get() as f64);
    let watermark = m.watermark_ms.get();
    // The gauge stands at 0 until the first event has moved it; at the end of time nothing is behind.
    if ![0, WATERMARK_MIN, WATERMARK_MAX].contains(&watermark) {
        add("sangam_operator_watermark_lag_seconds", now.saturating_sub(watermark) as f64 / 1e3);
    }
    let ends = [("ok", &m.ok), ("late", &m.late), ("dead_letter", &m.dead_letters), ("dropped", &m.dropped), ("fallback", &m.fallback)];
    for (outcome, counter) in ends {
        let of = vec![name.clone(), ("outcome", json!(outcome))];
        out.push(Figure { metric: "sangam_operator_events_total", value: counter.get() as f64, of });
    }
}

fn of_pipeline(rates: Rates, now: &Look, before: &Look, seconds: f64, from: &Sampled, out: &mut Vec<Figure>) {
    const GB: f64 = 1e9;
    let mut add = |metric, value: f64| out.push(Figure { metric, value, of: Vec::new() });
    add("events_per_second", rates.per_second);
    add("processing_latency_ms", rates.latency_ms);
    add("error_rate_percent", rates.error_percent);
    if let Some(memory) = machine::memory() {
        add("memory_utilization_percent", memory.used as f64 * 100.0 / memory.most.max(1) as f64);
    }
    add("instance_hours", seconds / 3600.0);
    add("storage_gb", now.stored as f64 / GB);
    if let (Some(bytes), Some(earlier)) = (now.network, before.network) {
        add("network_gb", bytes.saturating_sub(earlier) as f64 / GB);
    }
    add("sangam_commits_total", from.metrics.commits.get() as f64);
    add("sangam_restarts_total", from.metrics.run.restarts.get() as f64);
    add("sangam_worker_deaths_total", from.metrics.run.worker_deaths.get() as f64);
    add("sangam_running", f64::from(u8::from(from.control.health().phase() == Phase::Running)));
}

fn of_partitions(from: &Sampled, out: &mut Vec<Figure>) {
    let sources = from.control.standings().sources;
    out.push(Figure { metric: "partitions", value: sources.len() as f64, of: Vec::new() });
    let lags: Vec<_> = sources.iter().filter_map(|(at, source)| Some((at, source.lag?))).collect();
    for ((stream, partition), lag) in &lags {
        let name = from.topology.streams.get(*stream).map_or("", |stream| stream.name.as_str());
        let of = vec![("stream", json!(name)), ("partition", json!(partition))];
        out.push(Figure { metric: "sangam_consumer_lag", value: *lag as f64, of });
    }
    if !lags.is_empty() {
        let all = lags.iter().map(|(_, lag)| *lag).sum::<u64>();
        out.push(Figure { metric: "consumer_lag_messages", value: all as f64, of: Vec::new() });
    }
}
