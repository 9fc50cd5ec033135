//! Where the dead letters of a pipeline are: opens its streams, reads them, and knows which letters have been replayed.

use super::super::surroundings::{self, Connected};
use super::super::topics::{self, Reading};
use super::{Letter, Which};
use crate::broker::{Broker, Written};
use crate::config::{Carrier, ClusterKind, Format, Pipeline, Stream};
use crate::pipeline::Brokers;
use crate::stage::letter::header;
use crate::store::{MemoryStore, Store};
use crate::time::Millis;
use anyhow::{Context, Result, bail};
use std::sync::Arc;

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

// === impl Desk ===

impl Desk {
    /// Opens the streams of dead letters that `which` means.
    pub fn open(which: &Which) -> Result<Desk> {
        let pipeline = surroundings::read_pipeline(&which.pipeline)?;
        let streams = streams(&pipeline, which)?;
        let is_embedded = |s: &usize| pipeline.streams.get(*s).is_some_and(|stream| pipeline.kind_of(stream) == Some(&ClusterKind::Local));
        let store = match topics::open_store(&pipeline, "give dead letters a stream at Kafka") {
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
            let mut reading = Reading::start(broker.as_ref(), &format!("{}.dlq", self.pipeline.name), topic, partitions)?;
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
            Carrier::Webhook(_) => "an endpoint keeps nothing",
            Carrier::Internal => "another operator takes them in memory, and nobody keeps them",
        };
        bail!("the dead letters in `{name}` cannot be read back: {why}; give them a topic, embedded or at Kafka");
    }
    Ok(streams)
}
