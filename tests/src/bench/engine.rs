//! The workloads on the engine: the path of production, from a supervisor and a worker thread down to the guest, over records in memory.
//!
//! Only the two ends are of its own making: a source that hands out frames, and a sink that counts what it is given and drops it.

use super::frames::Frames;
use super::totals::Totals;
use super::{Workload, cpu_ns};
use anyhow::Context;
use sangam::broker::{Assignment, Broker, BrokerError, OutRecord, Polled, Sink, Source, Subscribe, Subscription};
use sangam::config::{Carrier, Operator, Pipeline, Stream, TimeUnit, Timestamp, Watermarks};
use sangam::events::{Events, Record};
use sangam::metrics::Metrics;
use sangam::pipeline::{Brokers, Control, Plugins, RunOptions, Supervisor, plan};
use sangam::sandbox::{Sandbox, SandboxOptions};
use sangam::store::{Changes, MemoryStore};
use sangam::time::{Millis, SystemClock, WATERMARK_MIN};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a workload is run.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The most events per call of the guest; `None` for the engine's default.
    pub batch: Option<usize>,
    /// How often everything is committed; `None` for a single commit after the end, which is not measured.
    pub commit: Option<Duration>,
    /// Whether to read the outputs and add them up. That costs time: not for a run that is measured.
    pub read_outputs: bool,
}

/// How a run went.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Processor time of all threads up to the last output; with commits, up to the end of the last one.
    pub cpu_ns: u64,
    /// The same by the clock on the wall.
    pub wall: Duration,
    /// What came out; counts and sums only where outputs were read.
    pub totals: Totals,
}

/// The pipeline of a workload, from a stream `in` to a stream `out`, both of them topics with one partition on the cluster `cluster`.
pub fn pipeline(workload: Workload, cluster: &str, topics: [&str; 2]) -> Pipeline {
    let stream = |name: &str, topic: &str| {
        let carrier = Carrier::Topic { cluster: cluster.into(), topic: topic.into(), partitions: 1, create: false };
        Stream::new(name, carrier)
    };
    let [input, output] = topics;
    let path = workload.events().time_field().to_owned();
    let timestamp = Timestamp::Field { path, unit: TimeUnit::Milliseconds };
    let watermarks = Watermarks::Bounded(Duration::from_secs(5));
    let mut pipeline = Pipeline::new(format!("bench-{}", workload.name().to_lowercase()));
    pipeline.workers = 1;
    pipeline.streams = vec![Stream { timestamp, watermarks, ..stream("in", input) }, stream("out", output)];
    let name = workload.name().to_lowercase();
    pipeline.operators = vec![Operator::new(name).input("in").output("out")];
    if workload == Workload::W4 {
        pipeline.streams.push(Stream::internal("groups"));
        pipeline.operators =
            vec![Operator::new("w4").input("in").output("out").output("groups"), Operator::new("w4-top").input("groups").output("out")];
    }
    pipeline
}

/// The plugins of a folder on a sandbox that keeps their code in `cache`.
///
/// # Errors
/// When the system has no room for a sandbox.
pub fn plugins(folder: &Path, cache: &Path) -> anyhow::Result<Arc<Plugins>> {
    let sandbox = Sandbox::new(SandboxOptions { cache_dir: Some(cache.to_owned()), ..SandboxOptions::default() })?;
    Ok(Arc::new(Plugins::new(sandbox, folder)))
}

/// A supervisor of `pipeline` over `broker` with an empty store.
///
/// # Errors
/// When a plugin or a topic is missing.
pub fn supervisor(pipeline: Pipeline, plugins: &Arc<Plugins>, broker: &Arc<dyn Broker>, options: RunOptions) -> anyhow::Result<Supervisor> {
    let mut brokers = Brokers::connect(&pipeline, &mut |_, _| Ok(("bench".to_owned(), broker.clone())))?;
    brokers.topics(&pipeline)?;
    let metrics = Arc::new(Metrics::default());
    let topology = plan(&pipeline, plugins, &metrics, &|stream| brokers.partitions(stream), &|stream| brokers.of_stream(stream))?;
    Ok(Supervisor {
        topology: Arc::new(topology),
        pipeline,
        brokers,
        store: Arc::new(MemoryStore::new()),
        plugins: plugins.clone(),
        clock: Arc::new(SystemClock),
        metrics,
        options,
        reloader: None,
    })
}

/// Runs a workload once over `frames`.
///
/// # Errors
/// When the pipeline fails, or not every event was processed.
pub fn run(workload: Workload, frames: &Arc<Frames>, plugins: &Arc<Plugins>, conditions: Conditions) -> anyhow::Result<Run> {
    let outputs = Arc::new(Outputs::default());
    let broker: Arc<dyn Broker> =
        Arc::new(Memory { frames: frames.clone(), outputs: outputs.clone(), read: conditions.read_outputs, endless: false });
    let mut pipeline = pipeline(workload, "bench", ["in", "out"]);
    pipeline.commit_interval = conditions.commit.unwrap_or(Duration::MAX);
    if let Some(batch) = conditions.batch {
        pipeline.batch = batch;
    }
    let options = RunOptions { close_at_end: true, ..RunOptions::default() };
    let mut supervisor = supervisor(pipeline, plugins, &broker, options)?;
    let (cpu, wall) = (cpu_ns(), Instant::now());
    supervisor.run(&Control::default())?;
    let end = if conditions.commit.is_some() { cpu_ns() } else { outputs.flushed_at_cpu_ns.load(Ordering::Relaxed) };
    let wall = wall.elapsed();
    for operator in &supervisor.topology.operators {
        let metrics = &operator.metrics;
        let (came, went) = (metrics.events_in.get(), metrics.ok.get());
        anyhow::ensure!(came == went && metrics.faults.get() == 0, "`{}` processed only {went} of {came} events", operator.name);
    }
    let first = supervisor.topology.operators.first().context("no operator")?;
    let came = first.metrics.events_in.get();
    anyhow::ensure!(came == frames.len() as u64, "`{}` was given only {came} of {} events", first.name, frames.len());
    let totals = *outputs.totals.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Run { cpu_ns: end.saturating_sub(cpu), wall, totals })
}

/// A supervisor of a workload that is not run, for what has been planned.
///
/// # Errors
/// When a plugin is missing.
pub fn idle(workload: Workload, plugins: &Arc<Plugins>) -> anyhow::Result<Supervisor> {
    endless(workload, &Arc::default(), plugins)
}

/// A supervisor of a workload whose stream is the frames over and over.
///
/// # Errors
/// When a plugin is missing.
pub fn endless(workload: Workload, frames: &Arc<Frames>, plugins: &Arc<Plugins>) -> anyhow::Result<Supervisor> {
    let broker: Arc<dyn Broker> = Arc::new(Memory { frames: frames.clone(), outputs: Arc::default(), read: false, endless: true });
    supervisor(pipeline(workload, "bench", ["in", "out"]), plugins, &broker, RunOptions::default())
}

// === the two ends ===

/// What has come out.
#[derive(Default)]
struct Outputs {
    totals: Mutex<Totals>,
    /// Processor time of the process when the sink was last flushed: the last output was out by then.
    flushed_at_cpu_ns: AtomicU64,
}

/// A topic `in` with the frames, and a topic `out` that takes anything.
struct Memory {
    frames: Arc<Frames>,
    outputs: Arc<Outputs>,
    read: bool,
    /// Whether the frames begin again after the last.
    endless: bool,
}

struct MemorySubscription(Option<Assignment>);

struct MemorySource {
    frames: Arc<Frames>,
    next: usize,
    endless: bool,
}

struct MemorySink {
    outputs: Arc<Outputs>,
    totals: Totals,
    read: bool,
}

impl Broker for Memory {
    fn partitions(&self, _topic: &str) -> Result<Option<u32>, BrokerError> {
        Ok(Some(1))
    }

    fn create(&self, _topic: &str, _partitions: u32) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&self, _subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        let source = Box::new(MemorySource { frames: self.frames.clone(), next: 0, endless: self.endless });
        Ok(Box::new(MemorySubscription(Some(Assignment::Gained { topic: "in".into(), partition: 0, committed: None, source }))))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(MemorySink { outputs: self.outputs.clone(), totals: Totals::default(), read: self.read }))
    }
}

impl Subscription for MemorySubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        Ok(self.0.take().into_iter().collect())
    }

    fn commit(&mut self, _offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Source for MemorySource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        self.next = offset as usize;
        Ok(())
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        if self.endless && self.next == self.frames.len() {
            self.next = 0;
        }
        let end = (self.next + max).min(self.frames.len());
        for i in self.next..end {
            let time: Millis = WATERMARK_MIN;
            into.push(&Record { value: Some(self.frames.get(i)), time, offset: i as i64, ..Record::default() });
        }
        let polled = end - std::mem::replace(&mut self.next, end);
        Ok(if polled == 0 { Polled::End } else { Polled::Some(polled) })
    }

    fn lag(&self) -> Option<u64> {
        Some((self.frames.len() - self.next) as u64)
    }
}

impl Sink for MemorySink {
    fn write(&mut self, record: &OutRecord<'_>, _changes: &mut Changes) -> Result<(), BrokerError> {
        let value = record.value.unwrap_or(&[]);
        if self.read {
            return self.totals.add(value).map_err(|why| BrokerError::Fatal(format!("an output is not a map: {why}")));
        }
        self.totals.records += 1;
        self.totals.bytes += value.len() as u64;
        std::hint::black_box(value);
        Ok(())
    }

    fn flush(&mut self, _changes: &mut Changes) -> Result<(), BrokerError> {
        *self.outputs.totals.lock().unwrap_or_else(PoisonError::into_inner) = self.totals;
        self.outputs.flushed_at_cpu_ns.store(cpu_ns(), Ordering::Relaxed);
        Ok(())
    }

    fn settled(&mut self, _written: bool) {}
}
