//! The audit: which build of which operator has run from where on, as events in a topic of the pipeline's.
//!
//! An event waits here until a commit takes it, the one that holds the first effects of what it tells of; after a failed commit, it waits on.
//! It does not decide when there is something to tell, the supervisor does.

use super::crew::Failed;
use super::ledger::Ledger;
use crate::broker::{Broker, BrokerError, OutRecord, Sink, settle};
use crate::config;
use crate::digest::sha256;
use crate::store::{Changes, Store, StoreError};
use crate::task::{OperatorNode, Topology, Work, read_position};
use crate::time::Millis;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The audit of a pipeline.
pub struct Audit {
    pipeline: String,
    cluster: usize,
    broker: Arc<dyn Broker>,
    topic: String,
    asked: bool,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Events that no commit has taken yet, the oldest first.
    waiting: Vec<Entry>,
    /// What the commit under way was given, and through what.
    given: Option<(usize, Box<dyn Sink>)>,
    /// The builds at the start of the run have been noted.
    started: bool,
}

struct Entry {
    at: Millis,
    operator: String,
    fields: Map<String, Value>,
}

/// Why a build runs or does not.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// The run starts with it; these are the first offsets.
    Start(&'a [FirstOffset]),
    /// It came by the watched folder, takes the place of the build with this hash, and these are the first offsets.
    File(&'a str, &'a [FirstOffset]),
    /// It runs again, since the build with this hash failed in its first batches, and why.
    RollBack(&'a str, &'a str),
    /// It goes on, since the build with this hash is not taken, and why.
    Refused(&'a str, &'a str),
}

/// The first record of a partition that a build has to do with: stream, partition, and offset where that is known.
pub type FirstOffset = (usize, i32, Option<i64>);

/// The most events that wait. There are few; should the topic be out of reach for long, the oldest give way.
const WAITING_MAX: usize = 1000;

/// How long the end of a run waits for its last events.
const CLOSE_MAX: Duration = Duration::from_secs(2);

impl Audit {
    /// An audit into a topic of a cluster.
    pub(super) fn new(file: &config::Audit, pipeline: &str, cluster: usize, broker: Arc<dyn Broker>) -> Audit {
        let (pipeline, topic) = (pipeline.to_owned(), file.topic.clone());
        Audit { pipeline, cluster, broker, topic, asked: file.asked, book: Mutex::default() }
    }

    /// The broker that has its topic.
    pub(super) fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Makes the topic where there is none. False: it cannot be made, and nobody has asked for it.
    pub(super) fn make_topic(&self) -> Result<bool, BrokerError> {
        let made = match self.broker.partitions(&self.topic) {
            Ok(None) => self.broker.create_lasting(&self.topic, 1),
            there => there.map(drop),
        };
        match made {
            Err(why @ BrokerError::Fatal(_)) if !self.asked => {
                tracing::warn!(pipeline = %self.pipeline, topic = %self.topic, "no audit: {why}; make the topic, or say `audit = false`");
                Ok(false)
            }
            made => made.map(|()| true),
        }
    }

    /// Notes the builds that a run starts with, once, with where it goes on in the partitions `held`: of a partition that it has not read
    /// before, where its group is.
    pub(super) fn started(&self, now: Millis, topology: &Topology, held: &[FirstOffset], store: &dyn Store) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.book.lock().started, true) {
            return Ok(());
        }
        let mut first = Vec::new();
        for (stream, partition, committed) in held {
            let name = topology.streams.get(*stream).map_or("", |stream| stream.name.as_str());
            let known = read_position(store, name, *partition)?.map(|(offset, _)| offset);
            first.push((*stream, *partition, known.or(*committed)));
        }
        topology.operators.iter().for_each(|node| self.note(now, topology, node, Cause::Start(&first)));
        Ok(())
    }

    /// Notes why the build of `node` runs.
    pub(super) fn note(&self, now: Millis, topology: &Topology, node: &OperatorNode, cause: Cause<'_>) {
        let manifest = node.plugin.manifest();
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        set("at", json!(now));
        set("pipeline", json!(self.pipeline));
        set("operator", json!(&*node.name));
        set("plugin", json!(node.plugin_name));
        set("version", json!(manifest.version));
        set("sha256", json!(node.plugin.sha256()));
        set("config", json!(sha256(&node.config)));
        match cause {
            Cause::Start(first) => {
                set("by", json!("start"));
                set("first", offsets(topology, first));
            }
            Cause::File(replaces, first) => {
                set("by", json!("file"));
                set("replaces", json!(replaces));
                set("first", offsets(topology, first));
            }
            Cause::RollBack(replaces, why) => {
                set("by", json!("roll_back"));
                set("replaces", json!(replaces));
                set("why", json!(why));
            }
            Cause::Refused(refused, why) => {
                set("by", json!("refused"));
                set("refused", json!(refused));
                set("why", json!(why));
            }
        }
        self.wait(Entry { at: now, operator: node.name.to_string(), fields });
    }

    /// Notes what the pipeline is doing from now on, where the file asks for an audit: one that is there anyway is for builds.
    pub(super) fn note_state(&self, now: Millis, state: &str) {
        if self.asked {
            self.note_event(now, "state", &[("state", state)]);
        }
    }

    /// Notes that a worker thread has died, and what it said.
    pub(super) fn note_death(&self, now: Millis, why: &str) {
        self.note_event(now, "worker_died", &[("why", why)]);
    }

    /// An event of the pipeline as a whole.
    fn note_event(&self, at: Millis, by: &str, more: &[(&str, &str)]) {
        let about = [("pipeline", self.pipeline.as_str()), ("by", by)];
        let texts = about.iter().chain(more).map(|(name, value)| ((*name).to_owned(), json!(value)));
        let fields = texts.chain([("at".to_owned(), json!(at))]).collect();
        self.wait(Entry { at, operator: String::new(), fields });
    }

    fn wait(&self, entry: Entry) {
        let mut book = self.book.lock();
        if book.waiting.len() >= WAITING_MAX && book.given.is_none() {
            book.waiting.remove(0);
        }
        book.waiting.push(entry);
    }

    /// Writes what still waits, as no commit will take it any more. What cannot be written soon is lost; the log has it, too.
    pub(super) fn close(&self, store: &Arc<dyn Store>) {
        let waiting = {
            let mut book = self.book.lock();
            book.given = None;
            let all = std::mem::take(&mut book.waiting);
            // What is said of builds belongs to a commit that was not made.
            all.into_iter().filter(|entry| entry.operator.is_empty()).collect::<Vec<_>>()
        };
        if waiting.is_empty() {
            return;
        }
        let (broker, topic, store) = (self.broker.clone(), self.topic.clone(), store.clone());
        let (written, is_written) = crossbeam_channel::bounded(1);
        // A broker that does not answer may hold it for minutes, and the end of the run must not wait for that.
        let write = move || drop(written.send(write_now(broker.as_ref(), &topic, &waiting, store.as_ref())));
        let started = std::thread::Builder::new().name("audit".to_owned()).spawn(write);
        match started.map(|_| is_written.recv_timeout(CLOSE_MAX)) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(why))) => tracing::warn!(pipeline = %self.pipeline, "the last events of the audit are lost: {why}"),
            _ => tracing::warn!(pipeline = %self.pipeline, "the last events of the audit may be lost: their broker does not answer"),
        }
    }

    /// Whether anything waits for a commit.
    pub(super) fn is_waiting(&self) -> bool {
        !self.book.lock().waiting.is_empty()
    }

    /// Gives what waits to a commit: into its transaction, or with its changes; where neither is to be had, it is safe before it.
    pub(super) fn add(&self, work: &mut Work, ledger: Option<&Ledger>, topology: &Topology) -> Result<(), Failed> {
        let Book { waiting, given, .. } = &mut *self.book.lock();
        *given = None;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut sink = ledger.and_then(|ledger| ledger.sink(self.cluster)).map_or_else(|| self.broker.sink(), Ok)?;
        let mut changes = Changes::default();
        for entry in waiting.iter_mut() {
            // What is taken back in one task is taken back in the others at this commit.
            if entry.fields.get("by").is_some_and(|by| by == "roll_back") {
                entry.fields.insert("first".to_owned(), offsets(topology, &first_of(&work.positions)));
            }
            let value = Value::Object(entry.fields.clone()).to_string();
            let record = entry.record(&self.topic, &value);
            match sink.write(&record, &mut changes) {
                Err(BrokerError::Refused(why)) => {
                    tracing::error!(pipeline = %self.pipeline, topic = %self.topic, "an event of the audit is lost: {why}");
                }
                written => written?,
            }
        }
        sink.flush(&mut changes)?;
        work.changes.push(changes);
        *given = Some((waiting.len(), sink));
        Ok(())
    }

    /// The commit has what it was given.
    pub(super) fn committed(&self) {
        let mut book = self.book.lock();
        if let Some((count, mut sink)) = book.given.take() {
            sink.settled(true);
            book.waiting.drain(..count);
        }
    }
}

/// Where a build's work begins, where a commit has ended.
pub(super) fn first_of(positions: &[(usize, i32, i64)]) -> Vec<FirstOffset> {
    positions.iter().map(|(stream, partition, offset)| (*stream, *partition, Some(*offset))).collect()
}

impl Entry {
    /// It as a record; those of the pipeline as a whole have no key.
    fn record<'a>(&'a self, topic: &'a str, value: &'a str) -> OutRecord<'a> {
        let key = Some(self.operator.as_bytes()).filter(|operator| !operator.is_empty());
        OutRecord { topic, partition: 0, key, value: Some(value.as_bytes()), headers: &[], time: self.at }
    }
}

/// Writes events without a commit around them.
fn write_now(broker: &dyn Broker, topic: &str, entries: &[Entry], store: &dyn Store) -> Result<(), BrokerError> {
    let (mut sink, mut changes) = (broker.sink()?, Changes::default());
    for entry in entries {
        sink.write(&entry.record(topic, &Value::Object(entry.fields.clone()).to_string()), &mut changes)?;
    }
    settle(&mut *sink, &mut changes, store)
}

/// Offsets by stream and partition.
fn offsets(topology: &Topology, first: &[FirstOffset]) -> Value {
    let mut streams = Map::new();
    for (stream, partition, offset) in first {
        let Some(stream) = topology.streams.get(*stream) else { continue };
        let partitions = streams.entry(stream.name.clone()).or_insert_with(|| json!({}));
        if let Some(partitions) = partitions.as_object_mut() {
            partitions.insert(partition.to_string(), json!(offset));
        }
    }
    Value::Object(streams)
}
