//! How streams, operators and tasks hang together, as the tasks need to know it. `pipeline::plan` works it out.

use crate::config::{Batch, Priority, Watermarks};
use crate::events::Format;
use crate::metrics::OperatorMetrics;
use crate::route::{Input, TimeUnit, Wants};
use crate::sandbox::{Limits, Plugin};
use crate::stage::{Captures, OnError, StageSpec};
use crate::store::Store;
use crate::time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// A pipeline's streams, operators, and the groups that run together.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The pipeline's name.
    pub name: String,
    /// The most events per call of an operator.
    pub batch: usize,
    /// The streams.
    pub streams: Vec<StreamNode>,
    /// Their names, as rows refer to them.
    pub stream_names: Arc<[String]>,
    /// The operators.
    pub operators: Vec<OperatorNode>,
    /// What runs in one task: streams that are read, and operators that need no re-keying between them.
    pub groups: Vec<Group>,
    /// Number of clusters; outputs are written through one sink each.
    pub clusters: usize,
}

/// A stream.
#[derive(Clone, Debug)]
pub struct StreamNode {
    /// Its name.
    pub name: String,
    /// Where it is kept; `None` for one that goes from operator to operator in memory.
    pub topic: Option<TopicRef>,
    /// How its values are encoded.
    pub format: Format,
    /// The field that holds the event time; `None`: the time of the record.
    pub time_field: Option<usize>,
    /// What that field counts.
    pub time_unit: TimeUnit,
    /// How its watermark follows its events.
    pub watermarks: Watermarks,
    /// The field that holds the watermark, where events carry it, and what it counts.
    pub watermark_field: Option<(usize, TimeUnit)>,
    /// After how long without events a partition no longer holds the watermark back.
    pub idle: Option<Duration>,
    /// Whether a partition of its topic has ended once it has been read up.
    pub bounded: bool,
    /// How far a partition's watermark may be ahead of the slowest of those that it is aligned with.
    pub max_drift: Option<Duration>,
    /// Streams of the same name here are aligned with each other.
    pub align: String,
    /// The most bytes of one event.
    pub event_bytes_max: usize,
    /// Whether it is read before others or after them.
    pub priority: Priority,
    /// The fields that anybody wants of its events.
    pub wants: Wants,
    /// Who reads it.
    pub consumers: Vec<Consumer>,
    /// Whether every process reads all of its topic, as it brings nothing but what operators keep in all of their tasks.
    pub everywhere: bool,
    /// The stream whose events it carries to the tasks that own their keys, where it is a topic of Sangam's own for that.
    pub carries: Option<usize>,
    /// The stream that gets what it cannot take for now.
    pub fallback: Option<usize>,
    /// The group whose tasks produce its events: those that read the topic, or the operator that writes it.
    pub producer: Option<usize>,
}

/// Where a stream is kept.
#[derive(Clone, Debug)]
pub struct TopicRef {
    /// Index of the cluster.
    pub cluster: usize,
    /// The topic's name there.
    pub topic: String,
    /// Its partitions.
    pub partitions: u32,
    /// It is a file: all records in it are of its format, also those that were refused.
    pub is_file: bool,
}

/// An operator that reads a stream.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    /// The operator.
    pub operator: usize,
    /// Which of its inputs.
    pub input: usize,
    /// How it gets them.
    pub to: Handover,
}

/// How events get from the task that has them to those that take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// They are taken where they are.
    Here,
    /// Each goes to the task that owns its key.
    ByKey,
    /// Each goes to every task of the operator.
    ToAll,
    /// Each goes to the task that owns its key by way of this stream, whose topic that task reads.
    Through(usize),
}

/// An operator.
#[derive(Clone, Debug)]
pub struct OperatorNode {
    /// Its name.
    pub name: Arc<str>,
    /// The name of its plugin's file, without the ending.
    pub plugin_name: String,
    /// Its code when the topology was worked out; a reload may have replaced it since.
    pub plugin: Arc<Plugin>,
    /// Its configuration, a MessagePack map.
    pub config: Arc<[u8]>,
    /// How it reads each of its streams.
    pub inputs: Vec<Input>,
    /// Where each of its inputs' watermark channels start, and how many there are: one, or one per task that sends; none for a broadcast
    /// input, which does not hold the watermark back.
    pub channels: Vec<(usize, usize)>,
    /// Streams that each port writes.
    pub outputs: Vec<Vec<usize>>,
    /// The stream that late events go to.
    pub late: Option<usize>,
    /// The stream that dead letters go to.
    pub dead_letters: Option<usize>,
    /// The stream that leads to the operator that gets what this one cannot take.
    pub fallback: Option<usize>,
    /// What it may use.
    pub limits: Limits,
    /// What becomes of events that it refuses or fails at.
    pub on_error: OnError,
    /// Where its failed calls are kept.
    pub captures: Option<Arc<Captures>>,
    /// What it counts.
    pub metrics: OperatorMetrics,
    /// When events that have come are handed over as a batch; `None`: at once.
    pub batch: Option<Batch>,
    /// Whether each output says which build has made it.
    pub stamp: bool,
    /// The group that it runs in.
    pub group: usize,
}

impl OperatorNode {
    /// Whether it keeps state per key.
    pub fn is_keyed(&self) -> bool {
        self.inputs.iter().any(Input::keyed)
    }
}

/// What runs in one task.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Tasks; each has one partition of every stream that the group reads, and one slice of the keys.
    pub parallelism: u32,
    /// Streams whose topics it reads.
    pub reads: Vec<usize>,
    /// Its operators.
    pub operators: Vec<usize>,
    /// Groups with the same number here send to each other, directly or around a circle; so does a group that sends to itself.
    pub circle: usize,
    /// Whether events come to it from other tasks.
    pub has_inbox: bool,
    /// Whether events of any key do, so that all of its tasks must be in one process.
    pub whole: bool,
}

impl Topology {
    /// Whether it writes what it reads again, so that a commit may bring something to read.
    pub fn feeds_itself(&self) -> bool {
        let falls = |from: usize, to: usize| self.streams.get(from).is_some_and(|stream| stream.fallback == Some(to));
        let leads = |node: &OperatorNode, to: usize| node.outputs.iter().flatten().any(|stream| *stream == to || falls(*stream, to));
        let written = |stream: usize| self.operators.iter().any(|node| leads(node, stream));
        let mut read = self.groups.iter().flat_map(|group| &group.reads);
        read.any(|s| written(*s) || self.streams.get(*s).is_some_and(|stream| stream.carries.is_some()))
    }

    /// Whether there is an operator of this name that keeps state per key.
    pub fn is_keyed(&self, operator: &str) -> bool {
        self.operators.iter().any(|node| *node.name == *operator && node.is_keyed())
    }

    /// What a stage of an operator is made from, over a store and by a clock.
    pub fn stage_spec(&self, operator: usize, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Option<StageSpec> {
        let node = self.operators.get(operator)?;
        Some(StageSpec {
            name: node.name.clone(),
            plugin: node.plugin.clone(),
            config: node.config.clone(),
            limits: node.limits.clone(),
            inputs: node.inputs.clone(),
            on_error: node.on_error,
            streams: self.stream_names.clone(),
            batch: node.batch.and_then(|batch| batch.count).unwrap_or(0).max(self.batch),
            metrics: node.metrics.clone(),
            ports: node.outputs.len(),
            store: store.clone(),
            clock: clock.clone(),
            captures: node.captures.clone(),
        })
    }

    /// The stream, read by every process, that brings an operator's input.
    pub fn followed(&self, operator: usize, input: usize) -> Option<usize> {
        let takes = |consumer: &Consumer| (consumer.operator, consumer.input) == (operator, input);
        self.streams.iter().position(|stream| stream.everywhere && stream.consumers.iter().any(takes))
    }

    /// Has topics that events pass through looked into for the same fields, at the same places, as the streams that they carry on.
    pub fn share_wants(streams: &mut [StreamNode]) {
        for s in 0..streams.len() {
            let wants = streams.get(s).and_then(|stream| streams.get(stream.carries?)).map(|carried| carried.wants.clone());
            if let (Some(wants), Some(stream)) = (wants, streams.get_mut(s)) {
                stream.wants = wants;
            }
        }
    }
}

impl Handover {
    /// Whether events go to other tasks in memory.
    pub fn is_in_memory(self) -> bool {
        matches!(self, Handover::ByKey | Handover::ToAll)
    }
}

impl Topology {
    /// The streams that carry events to the tasks that own their keys, each with its topic.
    pub fn passages(&self) -> impl Iterator<Item = (&StreamNode, &TopicRef)> {
        self.streams.iter().filter(|stream| stream.carries.is_some()).filter_map(|stream| Some((stream, stream.topic.as_ref()?)))
    }
}

impl StreamNode {
    /// Whether it brings what some operator keeps in all of its tasks, and is to be read to its end before keys are: a topic, as what comes
    /// in memory comes when the rest does.
    pub fn leads(&self) -> bool {
        self.topic.is_some() && self.consumers.iter().any(|consumer| consumer.to == Handover::ToAll)
    }
}
