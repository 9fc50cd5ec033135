//! `sangam exec`: one operator over a file or a pipe, with the engine that runs in production.

use super::surroundings;
use crate::broker::{Broker, BrokerError, FileBroker, FileFormat, FileOptions, OutRecord, Sink, Subscribe, Subscription};
use crate::config::{self, Carrier, Config, Operator, Pipeline, Stream, TimeUnit, Timestamp, Watermarks};
use crate::metrics::{Metrics, OperatorMetrics};
use crate::pipeline::{Brokers, Control, Plugins, RunOptions, Supervisor, plan};
use crate::route::{json_to_msgpack, msgpack_to_json};
use crate::store::{Changes, MemoryStore, Store};
use crate::time::SystemClock;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use sangam_protocol::msgpack::{Reader, write};
use serde::Serialize;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Run one operator over a file or a pipe.
#[derive(Clone, Debug, Args)]
pub struct Exec {
    /// The plugin.
    pub plugin: PathBuf,
    /// The field that is the key (several, joined by commas, make a composite key); `$key` and `$all` as in a pipeline.
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    pub key: Vec<String>,
    /// The field that holds the event time, in milliseconds since the epoch. Without it, an event's time is when it is read.
    #[arg(long, value_name = "FIELD")]
    pub timestamp: Option<String>,
    /// How far events may come out of order before they are late.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = config::parse_duration)]
    pub out_of_orderness: Duration,
    /// The operator's configuration, a TOML file.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// One setting of the configuration, `name=value`; may be repeated, and goes over the file.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Where events come from; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// How the input is encoded.
    #[arg(long, value_enum, default_value_t = Encoding::Json)]
    pub input_format: Encoding,
    /// Where outputs go; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// How outputs are encoded; as the input, where it is not given.
    #[arg(long, value_enum)]
    pub output_format: Option<Encoding>,
    /// Write port, key and timestamp with each output, and late events and dead letters as ports `late` and `dead-letter`.
    #[arg(long)]
    pub envelope: bool,
    /// Print figures of the run to standard error.
    #[arg(long, value_enum)]
    pub stats: Option<Stats>,
    /// The most events per call of the operator.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    /// Leave windows and timers that still wait unfired at the end of the input.
    #[arg(long)]
    pub no_drain: bool,
}

/// Encodings of files and pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// One JSON value per line.
    Json,
    /// A length of four bytes, little-endian, then so many bytes of MessagePack.
    FramedMsgpack,
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stats {
    /// One JSON object.
    Json,
}

/// Figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Events that were read.
    pub events_in: u64,
    /// Outputs, forwards included.
    pub events_out: u64,
    /// Events that came after all their windows had closed.
    pub late: u64,
    /// Events that were refused and kept.
    pub dead_letters: u64,
    /// Events that were counted and are gone.
    pub dropped: u64,
    /// Wall-clock time from the first read to the last output, without compiling the plugin.
    pub seconds: f64,
    /// CPU time of the whole process, user and system, over the same stretch.
    pub cpu_seconds: f64,
    /// The most linear memory that the operator's instance had.
    pub guest_memory_bytes: u64,
}

/// Names of the streams for what was not processed.
const LATE: &str = "late";
const DEAD_LETTER: &str = "dead-letter";

/// Runs the command.
pub fn run(command: &Exec) -> Result<()> {
    let output: Box<dyn Write + Send> = if command.output == Path::new(config::STDIO) {
        Box::new(std::io::stdout())
    } else {
        let file = std::fs::File::create(&command.output);
        Box::new(file.with_context(|| format!("{} cannot be written", command.output.display()))?)
    };
    let mut table = toml::Table::new();
    if let Some(path) = &command.config {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        table = toml::from_str(&text).with_context(|| format!("{} is not TOML", path.display()))?;
    }
    for assignment in &command.set {
        config::set(&mut table, assignment).with_context(|| format!("--set {assignment}"))?;
    }
    let figures = exec(command, table, output)?;
    match command.stats {
        Some(Stats::Json) => eprintln!("{}", serde_json::to_string(&figures)?),
        None if figures.dead_letters + figures.late > 0 && !command.envelope => {
            eprintln!("sangam: {} events refused, {} late; --envelope shows them", figures.dead_letters, figures.late);
        }
        None => {}
    }
    Ok(())
}

/// Runs the operator; outputs go to `output`.
pub fn exec(command: &Exec, table: toml::Table, output: Box<dyn Write + Send>) -> Result<Figures> {
    let folder = command.plugin.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = command.plugin.file_name().and_then(|name| name.to_str()?.strip_suffix(".wasm")) else {
        bail!("{} is not a .wasm file", command.plugin.display());
    };
    let plugins = Arc::new(Plugins::new(surroundings::sandbox()?, folder));
    let manifest = {
        let bytes = std::fs::read(&command.plugin).with_context(|| format!("{} cannot be read", command.plugin.display()))?;
        let inspection = crate::sandbox::inspect(&bytes).with_context(|| command.plugin.display().to_string())?;
        inspection.manifest
    };
    if manifest.keyed_inputs().count() > 1 {
        let inputs: Vec<_> = manifest.keyed_inputs().map(|input| input.name.as_str()).collect();
        bail!("{name} has the inputs {}, and `exec` feeds only one: run it in a pipeline, with a stream for each", inputs.join(", "));
    }
    let pipeline = pipeline(command, name, table, &manifest.outputs);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let writer = Arc::new(Mutex::new(BufWriter::with_capacity(1 << 18, output)));
    let out = ExecBroker { writer, encoding: encoding(command), envelope: command.envelope };
    let mut brokers = Brokers::connect(&pipeline, &mut |carrier, _| {
        Ok(match carrier {
            Carrier::File { .. } => {
                let format = if command.input_format == Encoding::Json { FileFormat::JsonLines } else { FileFormat::Framed };
                let options = FileOptions { format: Some(format), ..FileOptions::default() };
                ("input".to_owned(), Arc::new(FileBroker::new(options)) as Arc<dyn Broker>)
            }
            _ => ("output".to_owned(), Arc::new(out.clone())),
        })
    })?;
    brokers.topics(&pipeline)?;
    let metrics = Arc::new(Metrics::default());
    let topology = plan(&pipeline, &plugins, &metrics, &|s| brokers.partitions(s), &|s| brokers.of_stream(s))?;
    let counted = topology.operators.first().map(|node| node.metrics.clone());
    let options = RunOptions { close_at_end: !command.no_drain, ..RunOptions::default() };
    let (clock, topology) = (Arc::new(SystemClock), Arc::new(topology));
    let mut supervisor = Supervisor { pipeline, topology, brokers, store, plugins, clock, metrics, options, reloader: None };
    let (started, cpu) = (Instant::now(), cpu_seconds());
    supervisor.run(&Control::default())?;
    let mut figures = counted.map(|metrics| figures(&metrics)).unwrap_or_default();
    figures.seconds = started.elapsed().as_secs_f64();
    figures.cpu_seconds = cpu_seconds() - cpu;
    Ok(figures)
}

/// The pipeline that the flags describe.
fn pipeline(command: &Exec, name: &str, table: toml::Table, ports: &[String]) -> Pipeline {
    let mut pipeline = Pipeline::new("exec");
    let format = |encoding| if encoding == Encoding::Json { config::Format::Json } else { config::Format::MessagePack };
    let mut input = Stream::file("input", &command.input, format(command.input_format));
    input.watermarks = Watermarks::Bounded(command.out_of_orderness);
    if let Some(path) = &command.timestamp {
        input.timestamp = Timestamp::Field { path: path.clone(), unit: TimeUnit::Milliseconds };
    }
    pipeline.streams.push(input);
    let mut operator = Operator::new(name).input("input");
    for port in ports.iter().map(String::as_str).chain([LATE, DEAD_LETTER]) {
        // A port may be called `late` itself: streams are told apart by a prefix that envelopes do not show.
        let special = port == LATE || port == DEAD_LETTER;
        let name = format!("{}{port}", if special && !ports.iter().any(|p| p == port) { "" } else { "port " });
        let mut stream =
            Stream::new(&name, Carrier::Topic { cluster: "exec".to_owned(), topic: name.clone(), partitions: 1, create: true });
        stream.format = format(encoding(command));
        pipeline.streams.push(stream);
        if ports.iter().any(|p| p == port) {
            operator = operator.port(port, &name);
        }
    }
    operator.late = Some(LATE.to_owned());
    operator.dead_letters = Some(DEAD_LETTER.to_owned());
    operator.key = command.key.clone();
    operator.config = Config(table);
    pipeline.operators.push(operator);
    pipeline.workers = 1;
    pipeline.batch = command.batch as usize;
    pipeline
}

fn encoding(command: &Exec) -> Encoding {
    command.output_format.unwrap_or(command.input_format)
}

/// What an operator has counted.
pub fn figures(metrics: &OperatorMetrics) -> Figures {
    Figures {
        events_in: metrics.events_in.get(),
        events_out: metrics.events_out.get(),
        late: metrics.late.get(),
        dead_letters: metrics.dead_letters.get(),
        dropped: metrics.dropped.get(),
        guest_memory_bytes: metrics.memory_peak_bytes.get() as u64,
        ..Figures::default()
    }
}

/// CPU time of this process so far, user and system, in seconds.
pub fn cpu_seconds() -> f64 {
    // SAFETY: `getrusage` writes one `rusage` to the place that it is given, and any bytes are a valid `rusage`.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Where outputs go: topics are ports, and all of them are one file.
#[derive(Clone)]
struct ExecBroker {
    writer: Arc<Mutex<BufWriter<Box<dyn Write + Send>>>>,
    encoding: Encoding,
    envelope: bool,
}

impl Broker for ExecBroker {
    fn partitions(&self, _: &str) -> Result<Option<u32>, BrokerError> {
        Ok(Some(1))
    }

    fn create(&self, _: &str, _: u32) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&self, _: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        Err(BrokerError::Fatal("the output cannot be read".to_owned()))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(ExecSink { broker: self.clone(), scratch: Vec::new() }))
    }
}

struct ExecSink {
    broker: ExecBroker,
    scratch: Vec<u8>,
}

impl Sink for ExecSink {
    fn write(&mut self, record: &OutRecord<'_>, _: &mut Changes) -> Result<(), BrokerError> {
        let port = record.topic.strip_prefix("port ").unwrap_or(record.topic);
        let set_aside = port.len() == record.topic.len();
        if set_aside && !self.broker.envelope {
            return Ok(());
        }
        self.scratch.clear();
        match (self.broker.encoding, self.broker.envelope) {
            (_, false) => self.scratch.extend_from_slice(record.value.unwrap_or(b"null")),
            (Encoding::Json, true) => envelope_json(port, record, &mut self.scratch),
            (Encoding::FramedMsgpack, true) => envelope_msgpack(port, record, &mut self.scratch),
        }
        let mut writer = self.broker.writer.lock();
        let written = match self.broker.encoding {
            Encoding::Json => writer.write_all(&self.scratch).and_then(|()| writer.write_all(b"\n")),
            Encoding::FramedMsgpack => {
                let len = (self.scratch.len() as u32).to_le_bytes();
                writer.write_all(&len).and_then(|()| writer.write_all(&self.scratch))
            }
        };
        written.map_err(|why| BrokerError::Fatal(format!("the output cannot be written: {why}")))
    }

    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        self.broker.writer.lock().flush().map_err(|why| BrokerError::Fatal(format!("the output cannot be written: {why}")))
    }

    fn settled(&mut self, _: bool) {}
}

/// The reason that a dead letter carries in its headers.
fn error_of(record: &OutRecord<'_>) -> Option<String> {
    let mut reader = Reader::new(record.headers);
    let pairs = reader.map().ok()?;
    for _ in 0..pairs {
        let (name, value) = (reader.str().ok()?, reader.bin().ok()?);
        if name == "sangam.error" {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
    }
    None
}

#[derive(Serialize)]
struct Envelope<'a> {
    port: &'a str,
    key: Option<String>,
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    value: &'a serde_json::value::RawValue,
}

fn envelope_json(port: &str, record: &OutRecord<'_>, out: &mut Vec<u8>) {
    let raw = |text: String| serde_json::value::RawValue::from_string(text);
    // A late event or dead letter comes as it was read: JSON, MessagePack, or neither.
    let value = record.value.map_or(Ok("null".to_owned()), |value| match std::str::from_utf8(value) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => {
            let mut json = Vec::new();
            msgpack_to_json(value, &mut json).map(|()| String::from_utf8_lossy(&json).into_owned())
        }
    });
    let value = value.ok().and_then(|text| raw(text).ok());
    let as_text = || raw(serde_json::Value::String(String::from_utf8_lossy(record.value.unwrap_or(&[])).into_owned()).to_string());
    let Some(value) = value.or_else(|| as_text().ok()) else { return };
    let known = record.time != crate::time::WATERMARK_MIN;
    let key = record.key.map(sangam_protocol::key::display);
    let envelope = Envelope { port, key, timestamp: known.then_some(record.time), error: error_of(record), value: &value };
    // Writing to memory, of types that cannot fail.
    let _ = serde_json::to_writer(out, &envelope);
}

fn envelope_msgpack(port: &str, record: &OutRecord<'_>, out: &mut Vec<u8>) {
    let error = error_of(record);
    write::map(out, 4 + usize::from(error.is_some()));
    write::str(out, "port");
    write::str(out, port);
    write::str(out, "key");
    match record.key {
        Some(key) => write::str(out, &sangam_protocol::key::display(key)),
        None => write::nil(out),
    }
    write::str(out, "timestamp");
    if record.time == crate::time::WATERMARK_MIN {
        write::nil(out)
    } else {
        write::i64(out, record.time)
    }
    if let Some(error) = error {
        write::str(out, "error");
        write::str(out, &error);
    }
    write::str(out, "value");
    let Some(value) = record.value else { return write::nil(out) };
    let mut reader = Reader::new(value);
    let whole = reader.skip().is_ok() && reader.is_empty();
    let mut converted = Vec::new();
    if whole {
        out.extend_from_slice(value);
    } else if json_to_msgpack(value, &mut converted).is_ok() {
        out.extend_from_slice(&converted);
    } else {
        write::bin(out, value);
    }
}
