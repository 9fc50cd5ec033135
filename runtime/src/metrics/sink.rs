//! What is counted of a sink that calls somebody: requests, and whether it is being left alone.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of one sink.
#[derive(Clone, Debug, Default)]
pub struct SinkMetrics {
    /// Records that were delivered.
    pub delivered: Counter,
    /// Records that will never be taken.
    pub refused: Counter,
    /// Tries that failed.
    pub failures: Counter,
    /// Tries after one that failed.
    pub retries: Counter,
    /// 1 while the circuit is open or half-open, else 0.
    pub circuit_open: Gauge,
    /// How often the circuit has opened.
    pub circuits_opened: Counter,
}

/// The counters of all sinks.
#[derive(Clone, Debug, Default)]
pub(super) struct Sinks {
    records: Family<OutcomeLabels, Counter>,
    failures: Family<SinkLabels, Counter>,
    retries: Family<SinkLabels, Counter>,
    circuit_open: Family<SinkLabels, Gauge>,
    circuits_opened: Family<SinkLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkLabels {
    pipeline: String,
    stream: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    pipeline: String,
    stream: String,
    outcome: &'static str,
}

impl Sinks {
    pub(super) fn registered(r: &mut Registry) -> Sinks {
        let sinks = Sinks::default();
        r.register("sink_records", "Records of a sink with a circuit breaker by how they ended: delivered, refused", sinks.records.clone());
        r.register("sink_failures", "Tries of a sink that failed and may work later", sinks.failures.clone());
        r.register("sink_retries", "Tries of a sink after one that failed", sinks.retries.clone());
        r.register("sink_circuit_open", "1 while the circuit breaker of a sink is open or half-open, else 0", sinks.circuit_open.clone());
        r.register("sink_circuits_opened", "How often the circuit breaker of a sink has opened", sinks.circuits_opened.clone());
        sinks
    }

    pub(super) fn of(&self, pipeline: &str, stream: &str) -> SinkMetrics {
        let labels = SinkLabels { pipeline: pipeline.to_owned(), stream: stream.to_owned() };
        let records = |outcome| {
            let labels = OutcomeLabels { pipeline: pipeline.to_owned(), stream: stream.to_owned(), outcome };
            self.records.get_or_create(&labels).clone()
        };
        SinkMetrics {
            delivered: records("delivered"),
            refused: records("refused"),
            failures: self.failures.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            circuit_open: self.circuit_open.get_or_create(&labels).clone(),
            circuits_opened: self.circuits_opened.get_or_create(&labels).clone(),
        }
    }
}
