//! A pipeline in a world of its own: a folder, a store, topics that can misbehave, a clock that stands still, and the real engine.
//!
//! Everything goes in and comes out by topics and files, as in production; `Supervisor`, planner and sandbox are the program's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: the first surprise ends the test")]

use sangam::broker::{Assignment, Broker, Controls, MemoryBroker, OutRecord, Polled, Start, Subscribe, WebhookBroker, settle};
use sangam::config::{Carrier, Pipeline};
use sangam::events::Events;
use sangam::metrics::Metrics;
use sangam::pipeline::savepoint::{Savepoint, SavepointError};
use sangam::pipeline::{Brokers, Builds, Control, NewFile, PipelineError, Plugins, Reloader, RunOptions, Supervisor, plan};
use sangam::sandbox::{Sandbox, SandboxOptions};
use sangam::store::{Changes, DiskStore, MemoryStore, Pair, Store};
use sangam::task::Topology;
use sangam::time::ManualClock;
use sangam_protocol::msgpack::Reader;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::falling::Falling;

/// Longest wait for something that happens on another thread. Ample, as machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the clock of a new world shows.
pub const NOW: i64 = 1_700_000_000_000;

/// A pipeline and all that it needs.
pub struct World {
    folder: Arc<tempfile::TempDir>,
    name: String,
    toml: String,
    /// The store: state, positions, topics.
    pub store: Arc<dyn Store>,
    broker: MemoryBroker,
    /// Brokers by cluster, over the same topics, each to be disturbed on its own.
    clusters: BTreeMap<String, MemoryBroker>,
    /// Brokers that are none of ours, by cluster.
    outside: BTreeMap<String, Arc<dyn Broker>>,
    /// The clock.
    pub clock: ManualClock,
    sandbox: Arc<Sandbox>,
    /// Batches for which a new build is watched.
    pub watch_batches: u32,
}

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Time.
    pub time: i64,
    /// Headers.
    pub headers: BTreeMap<String, Vec<u8>>,
}

/// How the events of an operator ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Events that came in.
    pub events: u64,
    /// Processed.
    pub ok: u64,
    /// Late.
    pub late: u64,
    /// Refused and kept.
    pub dead: u64,
    /// Counted and gone.
    pub dropped: u64,
    /// Refused and given to another operator.
    pub fallback: u64,
}

/// A pipeline on a thread of its own; it is stopped when this goes.
pub struct Running {
    /// To stop it.
    pub control: Control,
    /// What is known of builds.
    pub builds: Builds,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Who runs where.
    pub topology: Arc<Topology>,
    /// What is committed.
    pub store: Arc<dyn Store>,
    offers: Option<crossbeam_channel::Sender<NewFile>>,
    thread: Option<JoinHandle<Result<(), PipelineError>>>,
}

// === impl World ===

impl World {
    /// A world whose store is in memory. The pipeline's topics are embedded, whatever cluster the file says.
    pub fn new(toml: &str) -> World {
        World::over(toml, Arc::new(MemoryStore::new()), Arc::new(tempfile::tempdir().unwrap()))
    }

    /// A world whose store is on disk.
    pub fn on_disk(toml: &str) -> World {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let store = Arc::new(DiskStore::open(&folder.path().join("data")).unwrap());
        World::over(toml, store, folder)
    }

    /// A world over a store that somebody else made.
    pub fn over(toml: &str, store: Arc<dyn Store>, folder: Arc<tempfile::TempDir>) -> World {
        std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
        let broker = MemoryBroker::new(store.clone());
        let (name, toml) = ("test".to_owned(), toml.to_owned());
        let (clusters, clock) = (BTreeMap::new(), ManualClock::at(NOW));
        World { folder, name, toml, store, broker, clusters, outside: BTreeMap::new(), clock, sandbox: sandbox(), watch_batches: 0 }
    }

    /// Drops everything but the folder, and opens what is there again, as after a restart of the process.
    pub fn reopened(self) -> World {
        let World { folder, name, toml, store, broker, clusters, outside, clock, sandbox, watch_batches } = self;
        drop((store, broker, clusters));
        let store: Arc<dyn Store> = Arc::new(DiskStore::open(&folder.path().join("data")).unwrap());
        let broker = MemoryBroker::new(store.clone());
        World { folder, name, toml, store, broker, clusters: BTreeMap::new(), outside, clock, sandbox, watch_batches }
    }

    /// Compiles every module itself: for tests that make more builds than the cache of compiled code should see.
    pub fn without_code_cache(mut self) -> World {
        self.sandbox = Sandbox::new(SandboxOptions::default()).unwrap();
        self
    }

    /// The same world with another pipeline file.
    pub fn with_pipeline(mut self, toml: &str) -> World {
        self.toml = toml.to_owned();
        self
    }

    /// The same world with another name for the pipeline: one that is alone with it at a broker that others use, too.
    pub fn named(mut self, name: &str) -> World {
        self.name = name.to_owned();
        self
    }

    /// Puts a plugin into the folder.
    pub fn plugin(self, name: &str, wasm: &[u8]) -> World {
        std::fs::write(self.plugins().join(format!("{name}.wasm")), wasm).unwrap();
        self
    }

    /// The folder of plugins.
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The folder that the pipeline file would be in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a cluster a broker from elsewhere, a real one. What others do there is not to be met with, so the pipeline gets a name of its own.
    pub fn broker(mut self, cluster: &str, broker: Arc<dyn Broker>) -> World {
        if self.name == "test" {
            self.name = crate::kafka::unique("test");
        }
        self.outside.insert(cluster.to_owned(), broker);
        self
    }

    /// Has the sources of a cluster panic; returns how often they still will.
    pub fn falling(mut self, cluster: &str) -> (World, Arc<AtomicU32>) {
        let inner = self.outside.get(cluster).cloned().unwrap_or_else(|| Arc::new(self.broker.clone()));
        let (broker, falls) = Falling::over(inner);
        self.outside.insert(cluster.to_owned(), Arc::new(broker));
        (self, falls)
    }

    /// Gives a cluster a broker of its own, over the same topics, and returns what makes it misbehave.
    pub fn controls(&mut self, cluster: &str) -> Controls {
        self.clusters.entry(cluster.to_owned()).or_insert_with(|| self.broker.beside()).controls()
    }

    /// The pipeline as its file means it.
    pub fn pipeline(&self) -> Pipeline {
        let toml = format!("name = \"{}\"\ncommit_interval = \"5ms\"\n{}", self.name, self.toml);
        let mut pipeline = Pipeline::parse(&toml, "test.toml", &|_| None).unwrap_or_else(|why| panic!("{why}"));
        pipeline.plugins = self.folder.path().join(&pipeline.plugins);
        pipeline.data = self.folder.path().join(&pipeline.data);
        pipeline
    }

    /// Everything between the file and a run, as the program puts it together.
    pub fn supervisor(&self, options: RunOptions, watching: bool) -> anyhow::Result<Supervisor> {
        let pipeline = self.pipeline();
        let plugins = Arc::new(Plugins::new(self.sandbox.clone(), &pipeline.plugins));
        let mut brokers = Brokers::connect(&pipeline, &mut |carrier, format| {
            if let Carrier::Webhook(webhook) = carrier {
                return Ok((format!("webhook {}", webhook.stream), Arc::new(WebhookBroker::new(webhook, format)) as Arc<dyn Broker>));
            }
            let Carrier::Topic { cluster, .. } = carrier else { panic!("only topics here, not {carrier:?}") };
            if let Some(outside) = self.outside.get(cluster) {
                return Ok((cluster.clone(), outside.clone()));
            }
            let broker = self.clusters.get(cluster).unwrap_or(&self.broker);
            Ok((cluster.clone(), Arc::new(broker.clone()) as Arc<dyn Broker>))
        })?;
        brokers.topics(&pipeline)?;
        let metrics = Arc::new(Metrics::default());
        let topology = plan(&pipeline, &plugins, &metrics, &|s| brokers.partitions(s), &|s| brokers.of_stream(s))?;
        let topology = Arc::new(topology);
        let reloader = if watching { Some(Reloader::start(plugins.clone(), &pipeline, &topology)?) } else { None };
        let (store, clock) = (self.store.clone(), Arc::new(self.clock.clone()));
        Ok(Supervisor { pipeline, topology, brokers, store, plugins, clock, metrics, options, reloader })
    }

    /// Processes everything that is there, on this thread; returns how each operator's events ended.
    pub fn drain(&self) -> Result<BTreeMap<String, Ended>, PipelineError> {
        self.process(RunOptions { drain: true, ..RunOptions::default() })
    }

    /// Processes everything that is there, on this thread, and then the end of the input: every stream that the pipeline reads is bounded.
    pub fn finish(&self) -> Result<BTreeMap<String, Ended>, PipelineError> {
        self.process(RunOptions { close_at_end: true, ..RunOptions::default() })
    }

    fn process(&self, options: RunOptions) -> Result<BTreeMap<String, Ended>, PipelineError> {
        let mut supervisor = self.supervisor(options, false).unwrap();
        supervisor.run(&Control::default())?;
        let ended = supervisor.topology.operators.iter().map(|node| {
            let m = &node.metrics;
            let ends = [&m.events_in, &m.ok, &m.late, &m.dead_letters, &m.dropped, &m.fallback];
            let [events, ok, late, dead, dropped, fallback] = ends.map(|c| c.get());
            let ended = Ended { events, ok, late, dead, dropped, fallback };
            assert_eq!(events, ok + late + dead + dropped + fallback, "{}: every event ends in exactly one way: {ended:?}", node.name);
            (node.name.to_string(), ended)
        });
        Ok(ended.collect())
    }

    /// The pipeline, of which nothing runs.
    pub fn stopped(&self) -> Supervisor {
        self.supervisor(RunOptions::default(), false).unwrap()
    }

    /// Takes a savepoint while nothing runs.
    pub fn savepoint(&self, name: &str) -> Result<Savepoint, SavepointError> {
        self.stopped().create_savepoint(name, "a test")
    }

    /// Puts a savepoint in the place of the state.
    pub fn restore(&self, name: &str) -> Result<Savepoint, SavepointError> {
        self.stopped().restore_savepoint(name, false)
    }

    /// Runs until it is stopped, on a thread of its own, with an eye on the folder of plugins.
    pub fn start(&self) -> Running {
        let options = RunOptions { watch_batches: self.watch_batches, ..RunOptions::default() };
        let mut supervisor = self.supervisor(options, true).unwrap();
        let reloader = supervisor.reloader.as_ref().unwrap();
        let (builds, offers) = (reloader.builds(), Some(reloader.news()));
        let (metrics, topology) = (supervisor.metrics.clone(), supervisor.topology.clone());
        let control = Control::default();
        let told = control.clone();
        let thread = std::thread::spawn(move || supervisor.run(&told));
        let store = self.store.clone();
        Running { control, builds, metrics, topology, store, offers, thread: Some(thread) }
    }

    /// Makes a topic ahead of the pipeline.
    pub fn topic(self, topic: &str, partitions: u32) -> World {
        self.broker.topics().create(topic, partitions).unwrap();
        self
    }

    /// Adds events to a partition of a topic: the record's time, and the value, which is written as MessagePack.
    pub fn send(&self, topic: &str, partition: i32, events: &[(i64, Value)]) {
        let values: Vec<Vec<u8>> = events.iter().map(|(_, value)| rmp_serde::to_vec_named(value).unwrap()).collect();
        let records = events.iter().zip(&values).map(|((time, _), value)| record(topic, partition, *time, value));
        self.write(&records.collect::<Vec<_>>());
    }

    /// Adds records as they are.
    pub fn write(&self, records: &[OutRecord<'_>]) {
        let topics = self.broker.topics();
        for record in records {
            if topics.partitions(record.topic).unwrap().is_none() {
                let carried =
                    |stream: &&sangam::config::Stream| matches!(&stream.carrier, Carrier::Topic { topic, .. } if topic == record.topic);
                let Some(Carrier::Topic { partitions, .. }) = self.pipeline().streams.iter().find(carried).map(|s| s.carrier.clone())
                else {
                    panic!("the pipeline has no topic {}", record.topic)
                };
                topics.create(record.topic, partitions).unwrap();
            }
        }
        let (mut sink, mut changes) = (topics.sink().unwrap(), Changes::default());
        for record in records {
            sink.write(record, &mut changes).unwrap();
        }
        settle(&mut *sink, &mut changes, &*self.store).unwrap();
    }

    /// Everything that is in a topic, by partition and offset.
    pub fn read(&self, topic: &str) -> Vec<Seen> {
        let topics = self.broker.topics();
        if topics.partitions(topic).unwrap().is_none() {
            return Vec::new();
        }
        let subscribe = Subscribe::new("nobody".to_owned(), [topic.to_owned()], Start::Earliest);
        let mut seen = Vec::new();
        for change in topics.subscribe(&subscribe).unwrap().changes().unwrap() {
            let Assignment::Gained { mut source, .. } = change else { continue };
            let mut events = Events::default();
            while let Polled::Some(_) = source.poll(1 << 20, &mut events).unwrap() {}
            seen.extend(events.rows.iter().map(|row| Seen {
                partition: row.partition,
                offset: row.offset,
                key: events.key(row).map(<[u8]>::to_vec),
                value: events.value(row).map(<[u8]>::to_vec),
                time: row.time,
                headers: headers(events.headers(row)),
            }));
        }
        seen.sort_by_key(|seen| (seen.partition, seen.offset));
        seen
    }

    /// The values of a topic, by partition and offset.
    pub fn values(&self, topic: &str) -> Vec<Value> {
        self.read(topic).iter().map(Seen::value).collect()
    }

    /// All that the store holds in spaces that begin so: what runs are compared by.
    pub fn dump(&self, prefix: &str) -> BTreeMap<String, Vec<Pair>> {
        let spaces = self.store.spaces().unwrap().into_iter().filter(|space| space.starts_with(prefix));
        spaces
            .map(|space| {
                let mut pairs = Vec::new();
                let mut keep = |key: &[u8], value: &[u8]| {
                    pairs.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                };
                self.store.scan(&space, &[], &mut keep).unwrap();
                (space, pairs)
            })
            .filter(|(_, pairs)| !pairs.is_empty())
            .collect()
    }
}

// === impl Seen ===

impl Seen {
    /// The value, read as MessagePack; of a tombstone, null.
    pub fn value(&self) -> Value {
        self.value.as_ref().map_or(Value::Null, |value| rmp_serde::from_slice(value).unwrap())
    }

    /// The value, read as JSON.
    pub fn json(&self) -> Value {
        self.value.as_ref().map_or(Value::Null, |value| serde_json::from_slice(value).unwrap())
    }

    /// A header as text; empty where there is none.
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }
}

// === impl Running ===

impl Running {
    /// Offers a new build, as the watch does for a file in the folder.
    pub fn offer(&self, name: &str, wasm: Vec<u8>) {
        let file = NewFile { name: name.to_owned(), path: PathBuf::from(format!("{name}.wasm")), bytes: wasm };
        self.offers.as_ref().unwrap().send(file).unwrap();
    }

    /// The SHA-256 of the build of a plugin that runs.
    pub fn sha256(&self, plugin: &str) -> String {
        self.builds.lock()[plugin].sha256.clone()
    }

    /// Why the last build that was not taken, or was taken back, was not.
    pub fn refused(&self, plugin: &str) -> Option<String> {
        self.builds.lock()[plugin].refused.as_ref().map(|(_, why)| why.clone())
    }

    /// Its metrics whose names begin with `name`, together, as far as they have these labels.
    pub fn sum(&self, name: &str, labels: &str) -> u64 {
        sum(&self.metrics.render(), name, labels)
    }

    /// Whether the run has ended.
    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of a run that ends by itself.
    pub fn outcome(mut self) -> Result<(), PipelineError> {
        eventually("the run ends", || self.ended().then_some(()));
        self.thread.take().unwrap().join().unwrap()
    }

    /// Stops it.
    pub fn stop(mut self) -> Result<(), PipelineError> {
        self.control.stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Calls `attempt` until it has a result; fails the test when that takes longer than [`PATIENCE`].
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// What the lines of metrics say together whose names begin with `name` and that have these labels.
pub fn sum(metrics: &str, name: &str, labels: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(labels));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// A record without a key.
pub fn record<'a>(topic: &'a str, partition: i32, time: i64, value: &'a [u8]) -> OutRecord<'a> {
    OutRecord { topic, partition, key: None, value: Some(value), headers: &[], time }
}

/// One sandbox for all tests of a process, with a cache, so that a guest is compiled once.
fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/code");
    let options = SandboxOptions { cache_dir: Some(cache), ..SandboxOptions::default() };
    SANDBOX.get_or_init(|| Sandbox::new(options).unwrap()).clone()
}

fn headers(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    if bytes.is_empty() {
        return BTreeMap::new();
    }
    let mut reader = Reader::new(bytes);
    (0..reader.map().unwrap()).map(|_| (reader.str().unwrap().to_owned(), reader.bin().unwrap().to_vec())).collect()
}
