//! The pipeline's own metrics as a stream: samples, taken every so often and written to a topic as ordinary records.
//!
//! A thread of its own does it, so that a topic that is out of reach holds nothing up: what cannot be written is lost, and counted.

mod figures;

use super::PipelineError;
use super::control::Control;
use super::supervise::Supervisor;
use crate::broker::{Broker, BrokerError, OutRecord, Sink, settle};
use crate::config::{Pipeline, Samples};
use crate::metrics::{Metrics, machine};
use crate::route::partition_of;
use crate::store::{Changes, DiskStore, Store};
use crate::task::Topology;
use crate::time::{Clock, Millis};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use figures::{Figure, Look, figures};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Takes samples until it is dropped.
pub(super) struct Sampler {
    /// Dropped to end the thread.
    stop: Option<Sender<Infallible>>,
    ended: Receiver<Infallible>,
}

/// Where figures come from.
pub(super) struct Sampled {
    /// Who runs where, and what is counted of whom.
    pub topology: Arc<Topology>,
    /// What is counted of the run.
    pub metrics: Arc<Metrics>,
    /// How far it is.
    pub control: Control,
    /// The embedded store, and where it is.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

struct Sampling {
    file: Samples,
    pipeline: String,
    data: PathBuf,
    instance: String,
    from: Sampled,
    broker: Arc<dyn Broker>,
    sink: Option<Box<dyn Sink>>,
    /// The last one could not be written, which has been said.
    failing: bool,
}

/// How often it looks at the clock.
const LOOK: Duration = Duration::from_millis(50);

/// How long the end of a run waits for a sample that is being written: a broker that does not answer may hold it for minutes.
const PATIENCE: Duration = Duration::from_secs(2);

// === impl Sampler ===

impl Sampler {
    /// Starts to take samples, where the pipeline asks for any.
    pub fn start(pipeline: &Pipeline, broker: Option<&Arc<dyn Broker>>, from: Sampled) -> std::io::Result<Option<Sampler>> {
        let (Some(file), Some(broker)) = (&pipeline.samples, broker) else { return Ok(None) };
        let mut sampling = Sampling {
            file: file.clone(),
            pipeline: pipeline.name.clone(),
            data: pipeline.data.join(DiskStore::FILE),
            instance: machine::instance(),
            from,
            broker: broker.clone(),
            sink: None,
            failing: false,
        };
        let (stop, stopped) = bounded(0);
        let (ends, ended) = bounded(0);
        // The first look is at the start of the run, whenever the thread gets to it.
        let first = sampling.look();
        let run = move || {
            sampling.run(first, &stopped);
            drop((sampling, ends));
        };
        std::thread::Builder::new().name("samples".to_owned()).spawn(run)?;
        Ok(Some(Sampler { stop: Some(stop), ended }))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It says nothing but that it is gone.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

impl Supervisor {
    /// Starts to take samples, where the file asks for them; they end with what is returned.
    pub(super) fn take_samples(&self, control: &Control) -> Result<Option<Sampler>, PipelineError> {
        let (topology, metrics, control) = (self.topology.clone(), self.metrics.clone(), control.clone());
        let from = Sampled { topology, metrics, control, store: self.store.clone(), clock: self.clock.clone() };
        Sampler::start(&self.pipeline, self.brokers.of_samples(), from).map_err(PipelineError::Thread)
    }
}

// === impl Sampling ===

impl Sampling {
    fn run(&mut self, mut last: Look, stop: &Receiver<Infallible>) {
        while stop.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if self.from.clock.now() - last.at < self.file.every.as_millis() as Millis {
                continue;
            }
            let now = self.look();
            let figures = figures(&now, &last, &self.from);
            self.write(now.at, &figures);
            last = now;
        }
    }

    fn look(&self) -> Look {
        Look::at(self.from.clock.now(), &self.from.topology, machine::file_bytes(&self.data))
    }

    /// Writes a sample, or says once that it cannot.
    fn write(&mut self, at: Millis, figures: &[Figure]) {
        let figures = figures.iter().filter(|figure| self.file.has(figure.metric)).collect::<Vec<_>>();
        match self.try_write(at, &figures) {
            Ok(()) => self.failing = false,
            Err(why) => {
                self.sink = None;
                self.from.metrics.run.samples_lost.inc_by(figures.len() as u64);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(
                        pipeline = %self.pipeline, topic = %self.file.topic,
                        "samples of metrics are lost until their topic can be written; the pipeline goes on: {why}"
                    );
                }
            }
        }
    }

    fn try_write(&mut self, at: Millis, figures: &[&Figure]) -> Result<(), BrokerError> {
        let partitions = make_topic(self.broker.as_ref(), &self.file.topic)?;
        let values: Vec<String> = figures.iter().map(|figure| self.sample(at, figure)).collect();
        let sink = match &mut self.sink {
            Some(sink) => sink,
            none => none.insert(self.broker.sink()?),
        };
        let mut changes = Changes::default();
        for (figure, value) in figures.iter().zip(&values) {
            let key = figure.metric.as_bytes();
            let partition = partition_of(key, partitions) as i32;
            let (key, value) = (Some(key), Some(value.as_bytes()));
            sink.write(&OutRecord { topic: &self.file.topic, partition, key, value, headers: &[], time: at }, &mut changes)?;
        }
        settle(&mut **sink, &mut changes, &*self.from.store)
    }

    /// A sample as it is written: what, how much, when, of whom.
    fn sample(&self, at: Millis, figure: &Figure) -> String {
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        set("metric", json!(figure.metric));
        set("value", json!(figure.value));
        set("timestamp", json!(at));
        set("pipeline", json!(self.pipeline));
        set("instance", json!(self.instance));
        self.file.labels.iter().for_each(|(name, value)| set(name, json!(value)));
        figure.of.iter().for_each(|(name, value)| set(name, value.clone()));
        Value::Object(fields).to_string()
    }
}

/// Makes the topic where there is none; returns its partitions.
pub(super) fn make_topic(broker: &dyn Broker, topic: &str) -> Result<u32, BrokerError> {
    match broker.partitions(topic)? {
        Some(partitions) => Ok(partitions),
        None => broker.create(topic, 1).map(|()| 1),
    }
}
