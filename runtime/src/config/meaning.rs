//! What a pipeline file means: plain values with every default filled in, as the engine takes them.
//!
//! They can be made in code as well (`sangam exec` does); nothing here checks them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::audit::Audit;
use super::delivery::Delivery;
use super::error::Diagnostic;
use super::samples::Samples;
use super::savepoints::Savepoints;
use super::webhook::Webhook;

/// The name of the embedded cluster, where the file does not give it another.
pub const EMBEDDED: &str = "local";

/// The name of the stream that takes dead letters, where the file does not name one.
pub const DEAD_LETTERS: &str = "dead-letters";

/// What the name of the stream ends with that takes an operator's events to its fallback: names in a file have no colon.
pub const FALLBACK: &str = ":fallback";

/// What a priority gets at least unless the file says otherwise: 5 %, so that one event in twenty is one of those that can wait, and a stream
/// of high priority keeps nine tenths of the throughput beside two lower ones.
pub const PRIORITY_FLOOR: u32 = 50_000;

/// The path that stands for standard input and standard output.
pub const STDIO: &str = "-";

/// A pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name; also the consumer group at its clusters.
    pub name: String,
    /// Folder of the embedded store: state, timers, offsets, embedded topics.
    pub data: PathBuf,
    /// The folder of plugins that is watched.
    pub plugins: PathBuf,
    /// How often everything is committed.
    pub commit_interval: Duration,
    /// How long the end of a run may take once it was asked for.
    pub drain_timeout: Duration,
    /// Worker threads.
    pub workers: usize,
    /// The most events per call of an operator.
    pub batch: usize,
    /// What happens to an operator whose plugin's file is deleted.
    pub on_remove: OnRemove,
    /// What holds for outputs after a failure.
    pub guarantee: Guarantee,
    /// The share of all events that a stream of lower priority gets while others have events, in millionths; for each priority.
    pub priority_floor: u32,
    /// Whether copies of other processes' state are kept, for a quick take-over.
    pub standby: bool,
    /// The HTTP doors; `None`: closed.
    pub admin: Option<Admin>,
    /// Where savepoints are, and when they are taken by themselves.
    pub savepoints: Savepoints,
    /// The text of its file, variables not put in; empty for one that was made in code. Never printed: what variables should hold may stand there.
    pub text: Secret,
    /// Where it is written down which builds have run; `None`: nowhere.
    pub audit: Option<Audit>,
    /// Where samples of its own metrics go; `None`: nowhere.
    pub samples: Option<Samples>,
    /// The clusters; the embedded one is always among them.
    pub clusters: Vec<Cluster>,
    /// Every stream that an operator reads or writes, and the declared ones that none does.
    pub streams: Vec<Stream>,
    /// The operators, in the order of the file.
    pub operators: Vec<Operator>,
    /// What looks like a slip, but does not keep the pipeline from starting.
    pub warnings: Vec<Diagnostic>,
}

/// What happens to an operator whose plugin's file is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRemove {
    /// It goes on with the build that it has.
    #[default]
    Keep,
}

/// What holds for outputs after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// Nothing is lost; outputs since the last commit may come twice.
    AtLeastOnce,
    /// Nothing is lost and nothing comes twice.
    #[default]
    ExactlyOnce,
}

/// The HTTP doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address that they listen at.
    pub listen: SocketAddr,
    /// What callers must show; always there when the address is not a loopback one.
    pub token: Option<Secret>,
    /// A worker that has not moved for so long makes the pipeline unhealthy.
    pub stuck_after: Duration,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

/// A place that holds topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the pipeline.
    pub name: String,
    /// Its kind.
    pub kind: ClusterKind,
}

/// The kinds of clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterKind {
    /// Topics in the embedded store.
    Local,
    /// Topics in memory, gone with the process; for tests.
    Memory,
    /// A Kafka cluster.
    Kafka {
        /// `host:port`, separated by commas.
        brokers: String,
        /// Settings of the client library, passed through.
        options: Options,
    },
}

impl ClusterKind {
    /// Whether it is a Kafka cluster.
    pub fn is_kafka(&self) -> bool {
        matches!(self, ClusterKind::Kafka { .. })
    }
}

/// Settings that are passed through; their values are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(pub BTreeMap<String, String>);

/// A stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name in the pipeline.
    pub name: String,
    /// Where its events are.
    pub carrier: Carrier,
    /// How a value is encoded.
    pub format: Format,
    /// Where the event time comes from.
    pub timestamp: Timestamp,
    /// How the watermark follows from event times.
    pub watermarks: Watermarks,
    /// After how long without events a partition no longer holds the watermark back; `None`: it always does.
    pub idle: Option<Duration>,
    /// How far a partition's watermark may be ahead of the slowest it is aligned with; `None`: as far as it likes.
    pub max_drift: Option<Duration>,
    /// Streams of the same name here are aligned with each other.
    pub align: String,
    /// The fields that its topic is partitioned by; empty: not known.
    pub key: Vec<String>,
    /// Where to start in a partition that has never been read.
    pub start: Start,
    /// Whether it ends where its topic does when that has been read up, as a bounded source of Flink's does.
    pub bounded: bool,
    /// The most bytes of one event.
    pub max_event: u64,
    /// Whether it is read before others or after them.
    pub priority: Priority,
    /// How its events are delivered, where that is not by the commit.
    pub delivery: Option<Delivery>,
    /// The stream that gets those that cannot be delivered for now; `None`: they are dead letters.
    pub fallback: Option<String>,
    /// Whose events it carries to those that own their keys, where it is a topic of Sangam's own for that.
    pub rekeys: Option<Rekeys>,
}

/// An input whose events go through a topic, to be keyed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeys {
    /// The operator.
    pub operator: String,
    /// Which of its inputs, as they stand in [`Operator::inputs`].
    pub input: usize,
}

/// Which of several streams is read first where more than one has events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// Before those that can wait.
    #[default]
    Normal,
    /// After all others, but for the pipeline's `priority_floor`.
    Low,
}

/// Where a stream's events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In a topic.
    Topic {
        /// The cluster's name.
        cluster: String,
        /// The topic's name at the cluster.
        topic: String,
        /// Partitions, for when the topic is made.
        partitions: u32,
        /// Whether to make the topic when it is not there.
        create: bool,
    },
    /// In a file. JSON and raw: one event per line; MessagePack: each behind its length in four bytes, little-endian.
    File {
        /// The file; [`STDIO`] for standard input or output.
        path: PathBuf,
        /// Whether to wait for more at the end.
        follow: bool,
    },
    /// At an HTTP endpoint: each event is a request.
    Webhook(Webhook),
    /// Nowhere: from one operator to the next in memory.
    Internal,
}

/// How a value is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// MessagePack, a map or an array.
    #[default]
    MessagePack,
    /// JSON.
    Json,
    /// Bytes that nobody looks into.
    Raw,
}

/// Where the event time comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Timestamp {
    /// The time that the broker keeps for the record; for a line of a file, the time it is read.
    #[default]
    Record,
    /// A field of the event.
    Field {
        /// Its path.
        path: String,
        /// What it counts.
        unit: TimeUnit,
    },
}

/// What a timestamp counts since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds.
    #[default]
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// How the watermark follows from event times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watermarks {
    /// Events may be late by so much against the newest one: the watermark is the newest time, less this, less a millisecond.
    Bounded(Duration),
    /// A field of the event says it: a time up to which nothing more will come, or `true` for the event's own time.
    Punctuated {
        /// Its path.
        field: String,
        /// What it counts, where it holds a time.
        unit: TimeUnit,
    },
    /// As bounded, by what is learned from the events: a quantile of their delays so far, and a margin.
    ObservedDelay {
        /// The quantile, in millionths.
        millionths: u32,
        /// What is added to it.
        margin: Duration,
    },
    /// The clock: an event's time is when it was read.
    ProcessingTime,
}

/// Where to start in a partition for which there is no offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event.
    #[default]
    Earliest,
    /// With events that come from now on.
    Latest,
}

/// An operator in its place in the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// Its name in the pipeline; its state belongs to this name.
    pub name: String,
    /// The plugin: the stem of its file in the folder of plugins.
    pub plugin: String,
    /// The streams that it reads.
    pub inputs: Vec<Binding>,
    /// The fields that form the key; empty: those that the plugin names.
    pub key: Vec<String>,
    /// How events come to it.
    pub route: Route,
    /// The streams that it writes.
    pub outputs: Vec<Binding>,
    /// The ports whose events nobody wants: they are dropped.
    pub discard: Vec<String>,
    /// Slices of the keys; `None`: as many as its inputs have partitions.
    pub parallelism: Option<usize>,
    /// The plugin's own settings.
    pub config: Config,
    /// The stream that takes late events; `None`: they are counted and gone.
    pub late: Option<String>,
    /// The stream that takes what is refused; there for every operator of a file whose `on_error` is [`OnError::DeadLetter`], and, for what is
    /// no event, [`OnError::Fallback`].
    pub dead_letters: Option<String>,
    /// The share of its events that may become dead letters before the pipeline stops; `None`: all of them.
    pub dead_letters_max: Option<ShareLimit>,
    /// What happens to an event that the operator refuses or fails on.
    pub on_error: OnError,
    /// Whether each output says in a header which build has made it.
    pub stamp: bool,
    /// Where failing calls are kept; `None`: nowhere.
    pub capture: Option<Capture>,
    /// What one call may use.
    pub limits: Limits,
    /// When events that have come are handed over as a batch; `None`: at once.
    pub batch: Option<Batch>,
}

/// Where failing calls are kept, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The folder.
    pub folder: PathBuf,
    /// The most files in it.
    pub files: usize,
    /// The most bytes of all of them.
    pub bytes: u64,
}

/// When an operator gets its events as a batch: as soon as either holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// So many have come.
    pub count: Option<usize>,
    /// The first of them has waited for so long.
    pub interval: Option<Duration>,
}

/// A stream at a port of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The port's name in the manifest; `None`: the operator's only one.
    pub port: Option<String>,
    /// The stream's name.
    pub stream: String,
}

/// How events come to an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Forward where the stream is known to be partitioned by the operator's key, exchange otherwise.
    #[default]
    Auto,
    /// As they are: the topic is already partitioned by the key.
    Forward,
    /// By the hash of the key, between the workers of this process.
    Exchange,
    /// By the hash of the key, through a topic, so that several processes may share the work.
    Repartition,
}

/// What happens to an event that the operator refuses or fails on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It goes to the dead letters, with the reason.
    #[default]
    DeadLetter,
    /// It is counted and gone.
    Drop,
    /// The pipeline stops before it.
    Stop,
    /// Another operator gets it, with the reason.
    Fallback(Fallback),
}

/// Who gets what an operator cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The operator.
    pub operator: String,
    /// Which of its inputs; `None`: the only one that is not broadcast.
    pub input: Option<String>,
    /// The internal stream between the two. No file can name it.
    pub stream: String,
    /// When events go there without the operator being called; `None`: never.
    pub breaker: Option<BreakerSpec>,
}

/// A share of what happens in a window of time that must not be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLimit {
    /// The share, in millionths.
    pub millionths: u32,
    /// The window, which slides.
    pub window: Duration,
    /// How much must have happened in the window before the share says anything.
    pub at_least: u64,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSpec {
    /// What opens it.
    pub trips: Trips,
    /// For how long it stays open before one call is tried.
    pub open_for: Duration,
}

/// What opens a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trips {
    /// So many failures without a success between them.
    Failures(u64),
    /// More than this share of all calls.
    Share(ShareLimit),
}

/// A plugin's own settings; their values are never printed.
#[derive(Clone, Default, PartialEq)]
pub struct Config(pub toml::Table);

/// What one call of an operator may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Time for one batch.
    pub batch_time: Duration,
    /// Bytes of output of one call.
    pub output: u64,
    /// Events of output of one call, per event of input.
    pub outputs_per_event: u64,
    /// Bytes of state per key.
    pub state: u64,
    /// Log lines of one call.
    pub log_lines: u64,
}

// === impl Pipeline ===

impl Pipeline {
    /// A pipeline with the defaults of a file of that name, without streams and operators.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Pipeline {
            data: PathBuf::from("data").join(&name),
            name,
            plugins: PathBuf::from("plugins"),
            commit_interval: Duration::from_millis(200),
            drain_timeout: Duration::from_secs(30),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            batch: 4096,
            on_remove: OnRemove::default(),
            guarantee: Guarantee::default(),
            priority_floor: PRIORITY_FLOOR,
            standby: false,
            admin: None,
            savepoints: Savepoints::default(),
            text: Secret(String::new()),
            audit: None,
            samples: None,
            clusters: vec![Cluster { name: EMBEDDED.to_owned(), kind: ClusterKind::Local }],
            streams: Vec::new(),
            operators: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The stream of that name.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == name)
    }

    /// The operator of that name.
    pub fn operator(&self, name: &str) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// The kind of cluster that a stream's topic is on; none for a stream without a topic.
    pub fn kind_of(&self, stream: &Stream) -> Option<&ClusterKind> {
        let Carrier::Topic { cluster, .. } = &stream.carrier else { return None };
        self.cluster(cluster).map(|cluster| &cluster.kind)
    }

    /// The operators that read a stream.
    pub fn readers<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a Operator> {
        self.operators.iter().filter(move |operator| operator.inputs.iter().any(|input| input.stream == stream))
    }

    /// The operators that write a stream, through a port or as late or dead letters.
    pub fn writers<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a Operator> {
        self.operators.iter().filter(move |operator| operator.writes().any(|written| written == stream))
    }
}

// === impl Stream ===

impl Stream {
    /// A stream with defaults on that carrier.
    pub fn new(name: impl Into<String>, carrier: Carrier) -> Self {
        let name = name.into();
        Stream {
            align: name.clone(),
            max_drift: None,
            name,
            carrier,
            format: Format::default(),
            timestamp: Timestamp::default(),
            watermarks: Watermarks::default(),
            idle: None,
            key: Vec::new(),
            start: Start::default(),
            bounded: false,
            max_event: 16 << 20,
            delivery: None,
            fallback: None,
            rekeys: None,
            priority: Priority::default(),
        }
    }

    /// A stream on a topic of the same name with one partition, in the embedded cluster.
    pub fn embedded(name: impl Into<String>) -> Self {
        let name = name.into();
        Stream::new(name.clone(), Carrier::Topic { cluster: EMBEDDED.to_owned(), topic: name, partitions: 1, create: true })
    }

    /// A stream in a file; [`STDIO`] for standard input or output.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>, format: Format) -> Self {
        Stream { format, ..Stream::new(name, Carrier::File { path: path.into(), follow: false }) }
    }

    /// A stream from one operator to the next, in memory.
    pub fn internal(name: impl Into<String>) -> Self {
        Stream::new(name, Carrier::Internal)
    }
}

// === impl Operator ===

impl Operator {
    /// An operator that is its plugin's namesake, bound to nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Operator {
            batch: None,
            plugin: name.clone(),
            name,
            inputs: Vec::new(),
            key: Vec::new(),
            route: Route::default(),
            outputs: Vec::new(),
            discard: Vec::new(),
            parallelism: None,
            config: Config::default(),
            late: None,
            dead_letters: None,
            dead_letters_max: None,
            on_error: OnError::default(),
            stamp: false,
            capture: None,
            limits: Limits::default(),
        }
    }

    /// The same, reading that stream.
    pub fn input(mut self, stream: impl Into<String>) -> Self {
        self.inputs.push(Binding { port: None, stream: stream.into() });
        self
    }

    /// The same, writing that stream through its only port.
    pub fn output(mut self, stream: impl Into<String>) -> Self {
        self.outputs.push(Binding { port: None, stream: stream.into() });
        self
    }

    /// The same, writing that stream through that port.
    pub fn port(mut self, port: impl Into<String>, stream: impl Into<String>) -> Self {
        self.outputs.push(Binding { port: Some(port.into()), stream: stream.into() });
        self
    }

    /// Every stream that it writes: through ports, late events, dead letters, what falls back.
    pub fn writes(&self) -> impl Iterator<Item = &str> {
        let ports = self.outputs.iter().map(|output| output.stream.as_str());
        let fallback = self.fallback().map(|fallback| fallback.stream.as_str());
        ports.chain(self.late.as_deref()).chain(self.dead_letters.as_deref()).chain(fallback)
    }

    /// Who gets what it cannot take, where that is another operator.
    pub fn fallback(&self) -> Option<&Fallback> {
        if let OnError::Fallback(fallback) = &self.on_error { Some(fallback) } else { None }
    }
}

// === impl Fallback ===

impl Fallback {
    /// What falls from one operator back to another, by its only input.
    pub fn new(from: &str, to: impl Into<String>) -> Self {
        Fallback { operator: to.into(), input: None, stream: format!("{from}{FALLBACK}"), breaker: None }
    }
}

// === impl BreakerSpec, Watermarks, Capture, Limits ===

impl BreakerSpec {
    /// That of what is written to, unless the file says otherwise.
    pub const OF_SINKS: BreakerSpec = BreakerSpec { trips: Trips::Failures(5), open_for: Duration::from_secs(30) };
}

impl Capture {
    /// The word that stands for none.
    pub const OFF: &str = "off";

    /// A folder with the usual bounds.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Capture { folder: folder.into(), files: 100, bytes: 256 << 20 }
    }
}

impl Default for Watermarks {
    fn default() -> Self {
        Watermarks::Bounded(Duration::ZERO)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 64 << 20,
            batch_time: Duration::from_secs(1),
            output: 64 << 20,
            outputs_per_event: 10_000,
            state: 1 << 20,
            log_lines: 100,
        }
    }
}

// === what is never printed ===

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, format_args!("…")))).finish()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, format_args!("…")))).finish()
    }
}
