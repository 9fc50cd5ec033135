//! Where the dead letters of a pipeline are: opens its streams, reads them, and knows which letters have been replayed.

use super::super::surroundings::{self, Connected};
use super::{Letter, Which};
use crate::broker::{Assignment, Broker, Polled, Source, Start, Subscribe, Subscription, Written};
use crate::config::{Carrier, ClusterKind, Format, Pipeline, Stream};
use crate::events::Events;
use crate::pipeline::Brokers;
use crate::stage::letter::header;
use crate::store::{DiskStore, MemoryStore, Store, StoreError};
use crate::time::{Clock, Millis, SystemClock};
use anyhow::{Context, Result, bail};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A pipeline's dead letters, and all that is needed to deal with them.
pub(super) struct Desk {
    pub pipeline: Pipeline,
    pub brokers: Brokers,
    /// The pipeline's store, where it is at hand: embedded topics, and the state of keys.
    pub store: Option<Arc<dyn Store>>,
    /// The streams that dead letters lie in, by index.
    streams: Vec<usize>,
    /// What has been replayed, from every ledger.
    written: Written,
}

/// Letters that are read at once.
const READ_MAX: usize = 256;

/// How long the next letter of a topic may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether it has come.
const LOOK: Duration = Duration::from_millis(5);

// === impl Desk ===

impl Desk {
    /// Opens the streams of dead letters that `which` means.
    pub fn open(which: &Which) -> Result<Desk> {
        let pipeline = surroundings::read_pipeline(&which.pipeline)?;
        let streams = streams(&pipeline, which)?;
        let is_embedded = |s: &usize| pipeline.streams.get(*s).is_some_and(|stream| pipeline.kind_of(stream) == Some(&ClusterKind::Local));
        let store = match open_store(&pipeline) {
            Err(why) if streams.iter().any(is_embedded) => return Err(why),
            store => store.ok(),
        };
        let Connected { brokers, .. } = surroundings::connect(&pipeline, &store.clone().unwrap_or_else(|| Arc::new(MemoryStore::new())))?;
        let mut written = Written::new();
        for broker in brokers.all() {
            // Dead letters can be looked at while a cluster that they might go back to is down; a replay asks again, and stops there.
            match broker.written(&ledger(&pipeline)) {
                Ok(more) => written.extend(more),
                Err(why) => eprintln!("sangam: {why}; what has been replayed into it looks as if it had not"),
            }
        }
        Ok(Desk { pipeline, brokers, store, streams, written })
    }

    /// When a letter was replayed, where it was.
    pub fn replayed(&self, letter: &Letter) -> Option<Millis> {
        self.written.get(&letter.replay_name()).copied()
    }

    /// How a letter's value is encoded: as in the stream that its operator had it from.
    pub fn format_of(&self, letter: &Letter) -> Option<Format> {
        let named = |name: &str| self.pipeline.stream(letter.header(name)).map(|stream| stream.format);
        named(header::INPUT).or_else(|| named(header::OUTPUT))
    }

    /// The broker of a stream.
    pub fn broker(&self, stream: usize) -> Result<&Arc<dyn Broker>> {
        self.brokers.all().get(self.brokers.of_stream(stream)).context("the stream has no broker")
    }

    /// Hands every letter that `which` means to `each`, stream by stream and partition by partition, in order.
    pub fn each(&self, which: &Which, each: &mut dyn FnMut(Letter) -> Result<()>) -> Result<()> {
        let meant = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        for s in &self.streams {
            let Some((stream, topic)) = self.pipeline.streams.get(*s).and_then(|stream| Some((stream, topic(stream)?))) else { continue };
            let broker = self.broker(*s)?;
            let Some(partitions) = broker.partitions(topic)? else { continue };
            let mut reading = Reading::start(broker.as_ref(), &self.pipeline.name, topic, partitions)?;
            while let Some(events) = reading.next()? {
                for row in &events.rows {
                    let letter = Letter::new(&stream.name, events, row);
                    if meant(&which.operator, letter.header(header::OPERATOR)) && meant(&which.kind, letter.header(header::KIND)) {
                        each(letter)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The ledger of what has been replayed into a pipeline.
pub(super) fn ledger(pipeline: &Pipeline) -> String {
    format!("{}.replayed", pipeline.name)
}

/// The topic of a stream that has one.
pub(super) fn topic(stream: &Stream) -> Option<&str> {
    if let Carrier::Topic { topic, .. } = &stream.carrier { Some(topic) } else { None }
}

/// The streams that dead letters go to, of those that are meant.
fn streams(pipeline: &Pipeline, which: &Which) -> Result<Vec<usize>> {
    let mut names: Vec<&str> = pipeline.operators.iter().filter_map(|operator| operator.dead_letters.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    if let Some(name) = &which.operator
        && pipeline.operator(name).is_none()
    {
        let known: Vec<_> = pipeline.operators.iter().map(|operator| operator.name.as_str()).collect();
        bail!("there is no operator `{name}`; there are {}", known.join(", "));
    }
    if let Some(name) = &which.stream {
        if !names.contains(&name.as_str()) {
            let known = if names.is_empty() { "no operator keeps any".to_owned() } else { format!("they go to {}", names.join(", ")) };
            bail!("no dead letters go to `{name}`; {known}");
        }
        names.retain(|known| known == name);
    }
    let mut streams = Vec::new();
    for name in names {
        let Some((s, stream)) = pipeline.streams.iter().enumerate().find(|(_, stream)| stream.name == name) else { continue };
        let why = match &stream.carrier {
            Carrier::Topic { .. } if pipeline.kind_of(stream) == Some(&ClusterKind::Memory) => {
                "they are gone with the process that had them"
            }
            Carrier::Topic { .. } => {
                streams.push(s);
                continue;
            }
            Carrier::File { .. } => "a file keeps their values, and nothing of where they came from",
            Carrier::Internal => "another operator takes them in memory, and nobody keeps them",
        };
        bail!("the dead letters in `{name}` cannot be read back: {why}; give them a topic, embedded or at Kafka");
    }
    Ok(streams)
}

fn open_store(pipeline: &Pipeline) -> Result<Arc<dyn Store>> {
    if !pipeline.data.join(DiskStore::FILE).is_file() {
        bail!("{} is not there: the pipeline has not run yet, or runs with another `data` folder", pipeline.data.display());
    }
    match DiskStore::open(&pipeline.data) {
        Ok(store) => Ok(Arc::new(store)),
        Err(StoreError::Locked(path)) => bail!(
            "{} is in use: the pipeline is running, and its embedded topics belong to it until it ends. Stop it (Ctrl-C, or SIGTERM; it \
             goes on where it stopped), or give dead letters a stream at Kafka, where they can be read while it runs",
            path.display()
        ),
        Err(why) => Err(why.into()),
    }
}

// === reading a topic to its end ===

/// Reads a topic up to where it ends now, one partition after the other.
struct Reading {
    topic: String,
    /// Kept for its membership.
    subscription: Box<dyn Subscription>,
    /// Those to come, the next one last.
    sources: Vec<(i32, Box<dyn Source>)>,
    /// Past the last letter to be read of the one at hand, once that is known.
    end: Option<i64>,
    events: Events,
}

impl Reading {
    fn start(broker: &dyn Broker, pipeline: &str, topic: &str, partitions: u32) -> Result<Reading> {
        // A group of its own: it commits nothing, and takes no partition from anybody.
        let group = format!("{pipeline}.dlq-{}-{}", std::process::id(), SystemClock.now());
        let mut subscription = broker.subscribe(&Subscribe { group, topics: vec![topic.to_owned()], start: Start::Earliest })?;
        let (mut sources, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while sources.len() < partitions as usize {
            for change in subscription.changes()? {
                if let Assignment::Gained { partition, source, .. } = change {
                    sources.push((partition, source));
                }
            }
            if sources.len() < partitions as usize {
                pause(deadline, topic)?;
            }
        }
        sources.sort_by_key(|(partition, _)| std::cmp::Reverse(*partition));
        Ok(Reading { topic: topic.to_owned(), subscription, sources, end: None, events: Events::default() })
    }

    /// The next letters; `None` when all have been read.
    fn next(&mut self) -> Result<Option<&Events>> {
        let mut deadline = Instant::now() + PATIENCE;
        self.events.clear();
        while let Some((_, source)) = self.sources.last_mut() {
            self.subscription.changes()?;
            let polled = source.poll(READ_MAX, &mut self.events)?;
            let lag = source.lag();
            let next = self.events.rows.last().map(|row| row.offset + 1);
            if let (None, Some(lag), Some(next)) = (self.end, lag, next) {
                // What is added from now on is for another time: a topic may grow as fast as it is read.
                self.end = Some(next + lag as i64);
            }
            let past = |offset: Option<i64>| self.end.zip(offset).is_some_and(|(end, offset)| offset >= end);
            if lag == Some(0) || polled == Polled::End || past(next) {
                self.sources.pop();
                let end = self.end.take();
                self.events.rows.retain(|row| end.is_none_or(|end| row.offset < end));
                deadline = Instant::now() + PATIENCE;
            }
            if !self.events.is_empty() {
                return Ok(Some(&self.events));
            }
            if polled == Polled::Empty && !self.sources.is_empty() && lag != Some(0) {
                pause(deadline, &self.topic)?;
            }
        }
        Ok(None)
    }
}

fn pause(deadline: Instant, topic: &str) -> Result<()> {
    if Instant::now() >= deadline {
        bail!("the topic `{topic}` did not come within {PATIENCE:?}; is its cluster in trouble?");
    }
    // The other side is another process: there is nothing to be woken by.
    std::thread::park_timeout(LOOK);
    Ok(())
}
