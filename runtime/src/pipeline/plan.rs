//! From what the file means to who runs where: which operators share a task, where events change hands, what a port is bound to.

use super::load::input_of;
use super::{LoadFailed, Loaded, Plugins, passages};
use crate::config::{
    self, Carrier, Format as FileFormat, OnError as FileOnError, Operator, Pipeline, Route, Start, TimeUnit as FileUnit, Timestamp,
    Watermarks,
};
use crate::events::Format;
use crate::metrics::Metrics;
use crate::route::{InputError, TimeUnit, Wants};
use crate::sandbox::Limits;
use crate::stage::{Captures, OnError};
use crate::task::{Consumer, Group, Handover, OperatorNode, StreamNode, TopicRef, Topology};
use sangam_protocol::effects::EffectLimits;
use sangam_protocol::manifest::{Kind, Manifest};
use std::sync::Arc;

/// Everything that keeps a pipeline from being planned.
#[derive(Debug)]
pub struct PlanErrors(pub Vec<PlanError>);

/// One thing that keeps a pipeline from being planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A plugin cannot be used.
    #[error("operator `{0}`: {1}")]
    Load(String, LoadFailed),
    /// A plugin cannot read its input.
    #[error("operator `{0}`: {1}")]
    Input(String, InputError),
    /// An input that the plugin does not have.
    #[error("operator `{operator}`: the plugin has no input `{input}`; its inputs are {inputs}")]
    NoInput {
        /// The operator.
        operator: String,
        /// The input that the file names.
        input: String,
        /// The inputs that there are.
        inputs: String,
    },
    /// The file does not say which of several inputs a stream is for.
    #[error(
        "operator `{operator}`: the plugin has the inputs {inputs}; say which one takes the stream `{stream}`: `inputs = {{ INPUT = \"{stream}\" }}`"
    )]
    WhichInput {
        /// The operator.
        operator: String,
        /// The stream.
        stream: String,
        /// The inputs that there are.
        inputs: String,
    },
    /// An input that the file says nothing about.
    #[error("operator `{operator}`: its input `{input}` is bound to nothing; add `inputs = {{ {input} = \"STREAM\" }}`")]
    NoStream {
        /// The operator.
        operator: String,
        /// The input.
        input: String,
    },
    /// A port that the plugin does not have.
    #[error("operator `{operator}`: the plugin has no port `{port}`; its ports are {ports}")]
    NoPort {
        /// The operator.
        operator: String,
        /// The port that the file names.
        port: String,
        /// The ports that there are.
        ports: String,
    },
    /// A port that the file says nothing about.
    #[error(
        "operator `{operator}`: its port `{port}` is bound to nothing; add `outputs = {{ {port} = \"STREAM\" }}` (or, if nobody needs it, `discard = [\"{port}\"]`)"
    )]
    Unbound {
        /// The operator.
        operator: String,
        /// The port.
        port: String,
    },
    /// Anything else, as a sentence.
    #[error("operator `{0}`: {1}")]
    Operator(String, String),
}

impl std::fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for PlanErrors {}

/// Plans a pipeline. `partitions` tells how many partitions each stream's topic has; plugins are loaded and tried.
///
/// # Errors
/// Everything that is wrong, all at once.
pub fn plan(
    pipeline: &Pipeline,
    plugins: &Plugins,
    metrics: &Metrics,
    partitions: &dyn Fn(usize) -> u32,
    clusters: &dyn Fn(usize) -> usize,
) -> Result<Topology, PlanErrors> {
    let mut errors = Vec::new();
    let loaded: Vec<Option<Loaded>> = pipeline
        .operators
        .iter()
        .map(|operator| {
            let loaded = plugins.load(&operator.plugin, &config::to_msgpack(&operator.config.0), &limits(operator));
            loaded.map_err(|why| errors.push(PlanError::Load(operator.name.clone(), why))).ok()
        })
        .collect();
    if !errors.is_empty() {
        return Err(PlanErrors(errors));
    }
    let loaded: Vec<Loaded> = loaded.into_iter().flatten().collect();
    let mut planner = Planner { pipeline, loaded, streams: Vec::new(), errors };
    planner.streams(partitions, clusters);
    planner.consumers();
    planner.followed();
    let outputs = planner.outputs();
    let groups = planner.groups(&outputs);
    passages::end(pipeline, &mut planner.streams, &groups.groups);
    let operators = planner.operators(outputs, &groups, metrics);
    Topology::share_wants(&mut planner.streams);
    if !planner.errors.is_empty() {
        return Err(PlanErrors(planner.errors));
    }
    Ok(Topology {
        name: pipeline.name.clone(),
        batch: pipeline.batch,
        stream_names: pipeline.streams.iter().map(|stream| stream.name.clone()).collect(),
        clusters: (0..pipeline.streams.len()).map(clusters).max().map_or(0, |last| last + 1),
        streams: planner.streams,
        operators,
        groups: groups.groups,
    })
}

fn no_port(operator: &Operator, port: &str, manifest: &Manifest) -> PlanError {
    let ports = if manifest.outputs.is_empty() { "none".to_owned() } else { manifest.outputs.join(", ") };
    PlanError::NoPort { operator: operator.name.clone(), port: port.to_owned(), ports }
}

/// An operator's limits as the sandbox takes them.
pub fn limits(operator: &Operator) -> Limits {
    let limits = &operator.limits;
    let effects = EffectLimits {
        output_bytes: limits.output as usize,
        outputs_per_event: limits.outputs_per_event as usize,
        state_bytes: limits.state as usize,
        ..EffectLimits::default()
    };
    Limits {
        memory_bytes: limits.memory as usize,
        batch_time: limits.batch_time,
        log_lines: limits.log_lines as u32,
        effects,
        ..Limits::default()
    }
}

struct Planner<'a> {
    pipeline: &'a Pipeline,
    loaded: Vec<Loaded>,
    streams: Vec<StreamNode>,
    errors: Vec<PlanError>,
}

/// Streams and operators of each group, and the group of each.
struct Groups {
    groups: Vec<Group>,
    of_stream: Vec<Option<usize>>,
    of_operator: Vec<usize>,
}

/// The streams that an operator writes.
struct Outputs {
    /// By port.
    ports: Vec<Vec<usize>>,
    late: Option<usize>,
    dead_letters: Option<usize>,
    fallback: Option<usize>,
}

impl Outputs {
    fn all(&self) -> impl Iterator<Item = &usize> {
        self.ports.iter().flatten().chain(&self.late).chain(&self.dead_letters).chain(&self.fallback)
    }
}

impl Planner<'_> {
    fn index(&self, stream: &str) -> Option<usize> {
        self.pipeline.streams.iter().position(|known| known.name == stream)
    }

    fn streams(&mut self, partitions: &dyn Fn(usize) -> u32, clusters: &dyn Fn(usize) -> usize) {
        for (i, stream) in self.pipeline.streams.iter().enumerate() {
            let topic = match &stream.carrier {
                Carrier::Topic { topic, .. } => Some(topic.clone()),
                Carrier::File { path, .. } => Some(path.display().to_string()),
                Carrier::Webhook(_) => Some(stream.name.clone()),
                Carrier::Internal => None,
            };
            let is_file = matches!(stream.carrier, Carrier::File { .. });
            let mut wants = Wants::default();
            let (time_field, time_unit) = match &stream.timestamp {
                Timestamp::Record => (None, TimeUnit::Millis),
                Timestamp::Field { path, unit } => (Some(wants.add(path)), time_unit_of(*unit)),
            };
            let watermark_field = match &stream.watermarks {
                Watermarks::Punctuated { field, unit } => Some((wants.add(field), time_unit_of(*unit))),
                _ => None,
            };
            self.streams.push(StreamNode {
                name: stream.name.clone(),
                topic: topic.map(|topic| TopicRef { cluster: clusters(i), topic, partitions: partitions(i), is_file }),
                format: match stream.format {
                    FileFormat::MessagePack => Format::MsgPack,
                    FileFormat::Json => Format::Json,
                    FileFormat::Raw => Format::Raw,
                },
                time_field,
                time_unit,
                watermarks: stream.watermarks.clone(),
                watermark_field,
                idle: stream.idle,
                bounded: stream.bounded,
                max_drift: stream.max_drift,
                align: stream.align.clone(),
                event_bytes_max: stream.max_event as usize,
                priority: stream.priority,
                wants,
                consumers: Vec::new(),
                everywhere: false,
                carries: None,
                fallback: stream.fallback.as_ref().and_then(|name| self.index(name)),
                producer: None,
            });
        }
    }

    /// Who reads which stream, and whether events change hands on the way.
    fn consumers(&mut self) {
        for (o, operator) in self.pipeline.operators.iter().enumerate() {
            let Some(loaded) = self.loaded.get(o) else { continue };
            let manifest = loaded.plugin.manifest();
            for (i, binding) in operator.inputs.iter().enumerate() {
                // What is wrong with it is reported where the inputs are made.
                let Ok(input) = input_of(operator, manifest, binding) else { continue };
                let broadcast = manifest.inputs.get(input).is_some_and(|input| input.broadcast);
                let key = if operator.key.is_empty() { manifest.key_of(input) } else { &operator.key };
                let Some(s) = self.pipeline.streams.iter().position(|known| known.name == binding.stream) else { continue };
                if operator.route == Route::Repartition && !broadcast {
                    match passages::of(self.pipeline, &operator.name, i).filter(|_| manifest.kind == Kind::Keyed) {
                        Some(through) => {
                            passages::wire(&mut self.streams, s, through, Consumer { operator: o, input: i, to: Handover::Here })
                        }
                        None => self.errors.push(PlanError::Operator(operator.name.clone(), passages::NO_KEY.to_owned())),
                    }
                    continue;
                }
                let (Some(stream), Some(node)) = (self.pipeline.streams.get(s), self.streams.get_mut(s)) else { continue };
                let single = node.topic.as_ref().is_some_and(|topic| topic.partitions == 1) && operator.parallelism.unwrap_or(1) == 1;
                let exchange = match operator.route {
                    Route::Forward | Route::Repartition => false,
                    Route::Exchange => manifest.kind == Kind::Keyed,
                    Route::Auto => manifest.kind == Kind::Keyed && !single && (stream.key.is_empty() || stream.key != key),
                };
                let to = match exchange {
                    _ if broadcast => Handover::ToAll,
                    true => Handover::ByKey,
                    false => Handover::Here,
                };
                node.consumers.push(Consumer { operator: o, input: i, to });
            }
        }
    }

    /// Which topics every process reads by itself: from their start, and for nobody who would take a share of them.
    fn followed(&mut self) {
        for (node, file) in self.streams.iter_mut().zip(&self.pipeline.streams) {
            let from_start = matches!(file.carrier, Carrier::Topic { .. }) && file.start == Start::Earliest;
            node.everywhere = from_start && node.leads() && node.consumers.iter().all(|consumer| consumer.to == Handover::ToAll);
        }
    }

    fn outputs(&mut self) -> Vec<Outputs> {
        let mut all = Vec::new();
        for (operator, loaded) in self.pipeline.operators.iter().zip(&self.loaded) {
            let manifest = loaded.plugin.manifest();
            let mut ports = vec![Vec::new(); manifest.outputs.len()];
            for binding in &operator.outputs {
                let port = match &binding.port {
                    Some(name) => manifest.port(name),
                    None if manifest.outputs.len() == 1 => Some(0),
                    None => None,
                };
                match (port.and_then(|port| ports.get_mut(port)), self.index(&binding.stream)) {
                    (Some(streams), Some(stream)) => streams.push(stream),
                    _ => self.errors.push(no_port(operator, binding.port.as_deref().unwrap_or("(the only one)"), manifest)),
                }
            }
            for port in operator.discard.iter().filter(|port| manifest.port(port).is_none()) {
                self.errors.push(no_port(operator, port, manifest));
            }
            for (name, streams) in manifest.outputs.iter().zip(&ports) {
                if streams.is_empty() && !operator.discard.contains(name) {
                    self.errors.push(PlanError::Unbound { operator: operator.name.clone(), port: name.clone() });
                }
            }
            let late = operator.late.as_ref().and_then(|name| self.index(name));
            let dead_letters = operator.dead_letters.as_ref().and_then(|name| self.index(name));
            let fallback = operator.fallback().and_then(|fallback| self.index(&fallback.stream));
            all.push(Outputs { ports, late, dead_letters, fallback });
        }
        all
    }

    /// Joins what need not be apart: a stream with the operators that take its events where they are, and so on along the pipeline.
    fn groups(&mut self, outputs: &[Outputs]) -> Groups {
        let streams = self.streams.len();
        let mut set = Sets::new(streams + self.loaded.len());
        for (s, stream) in self.streams.iter().enumerate() {
            for consumer in stream.consumers.iter().filter(|consumer| consumer.to == Handover::Here) {
                set.join(s, streams + consumer.operator);
            }
        }
        let mut writers = vec![0; streams];
        for (o, outputs) in outputs.iter().enumerate() {
            for s in outputs.all() {
                if let Some(stream) = self.streams.get(*s)
                    && stream.topic.is_none()
                {
                    set.join(*s, streams + o);
                    if let Some(writers) = writers.get_mut(*s) {
                        *writers += 1;
                        if *writers > 1 && !stream.consumers.is_empty() {
                            let operator = self.pipeline.operators.get(o).map(|operator| operator.name.clone()).unwrap_or_default();
                            let why = format!(
                                "the stream `{}` is written by two operators in memory; declare it under [streams] to give it a topic",
                                stream.name
                            );
                            self.errors.push(PlanError::Operator(operator, why));
                        }
                    }
                }
            }
        }
        // Only what runs makes a group: operators, and topics that somebody reads.
        let mut groups: Vec<(usize, Group)> = Vec::new();
        let mut group_of = |root: usize| {
            groups.iter().position(|(known, _)| *known == root).unwrap_or_else(|| {
                groups.push((root, Group::default()));
                groups.len() - 1
            })
        };
        let of_operator: Vec<usize> = (0..self.loaded.len()).map(|o| group_of(set.root(streams + o))).collect();
        let of_stream: Vec<Option<usize>> = (0..streams)
            .map(|s| {
                let stream = self.streams.get(s)?;
                (!stream.consumers.is_empty()).then(|| group_of(set.root(s)))
            })
            .collect();
        let mut groups: Vec<Group> = groups.into_iter().map(|(_, group)| group).collect();
        for (s, group) in of_stream.iter().enumerate() {
            if let (Some(stream), Some(group)) = (self.streams.get_mut(s), group) {
                stream.producer = Some(*group);
                if stream.topic.is_some()
                    && let Some(group) = groups.get_mut(*group)
                {
                    group.reads.push(s);
                }
            }
        }
        for (o, group) in of_operator.iter().enumerate() {
            if let Some(group) = groups.get_mut(*group) {
                group.operators.push(o);
            }
        }
        let mut groups = Groups { groups, of_stream, of_operator };
        passages::size(self.pipeline, &mut self.streams, &groups.groups, &groups.of_operator);
        self.parallelism(&mut groups);
        self.circles(&mut groups);
        groups
    }

    /// Finds the groups that send to each other: each is reached from the other.
    fn circles(&self, groups: &mut Groups) {
        let count = groups.groups.len();
        let mut reaches = vec![vec![false; count]; count];
        for stream in &self.streams {
            for consumer in stream.consumers.iter().filter(|consumer| consumer.to.is_in_memory()) {
                if let (Some(from), Some(to)) = (stream.producer, groups.of_operator.get(consumer.operator)) {
                    reaches[from][*to] = true;
                }
            }
        }
        for via in 0..count {
            let onward = reaches[via].clone();
            for from in reaches.iter_mut().filter(|from| from[via]) {
                from.iter_mut().zip(&onward).for_each(|(reached, onward)| *reached |= onward);
            }
        }
        for (at, group) in groups.groups.iter_mut().enumerate() {
            let first = (0..count).find(|other| reaches[at][*other] && reaches[*other][at]);
            group.circle = first.unwrap_or(at);
        }
    }

    fn parallelism(&mut self, groups: &mut Groups) {
        let partitions =
            |streams: &[StreamNode], s: usize| streams.get(s).and_then(|stream| stream.topic.as_ref()).map(|topic| topic.partitions);
        for group in &mut groups.groups {
            let of_topics: Vec<u32> = group.reads.iter().filter_map(|s| partitions(&self.streams, *s)).collect();
            let asked = group.operators.iter().filter_map(|o| self.pipeline.operators.get(*o)?.parallelism).max();
            if let Some(most) = of_topics.iter().max() {
                group.parallelism = *most;
                if of_topics.iter().any(|other| other != most) {
                    let name = self.first_name(group);
                    let why =
                        "it takes several topics as they are, but they differ in number of partitions; set `route = \"exchange\"`, or \
                               `route = \"repartition\"` and, where those topics are there already, the `parallelism` that they have"
                            .to_owned();
                    self.errors.push(PlanError::Operator(name, why));
                }
                if asked.is_some_and(|asked| asked as u32 != *most) {
                    let name = self.first_name(group);
                    let why = format!(
                        "`parallelism` can differ from the {most} partitions of its input only with `route = \"exchange\"`; a topic that \
                         `route = \"repartition\"` has made keeps the partitions that it was made with"
                    );
                    self.errors.push(PlanError::Operator(name, why));
                }
            } else {
                group.parallelism = asked.unwrap_or(0) as u32;
            }
        }
        // A group that is fed by exchange has as many tasks as the widest of those that feed it, unless the file says otherwise.
        // Feeders come first along the pipeline, so as many rounds as there are groups settle all of them.
        for _ in 0..groups.groups.len() {
            for stream in &self.streams {
                let from = stream.producer.and_then(|group| groups.groups.get(group)).map_or(0, |group| group.parallelism);
                for consumer in stream.consumers.iter().filter(|consumer| consumer.to.is_in_memory()) {
                    let Some(group) = groups.of_operator.get(consumer.operator).and_then(|group| groups.groups.get_mut(*group)) else {
                        continue;
                    };
                    group.has_inbox = true;
                    group.whole |= !stream.everywhere;
                    let asked = group
                        .operators
                        .iter()
                        .any(|o| self.pipeline.operators.get(*o).is_some_and(|operator| operator.parallelism.is_some()));
                    if consumer.to == Handover::ByKey && group.reads.is_empty() && !asked {
                        group.parallelism = group.parallelism.max(from);
                    }
                }
            }
        }
        for group in &mut groups.groups {
            group.parallelism = group.parallelism.max(1);
        }
        let _ = &groups.of_stream;
    }

    fn first_name(&self, group: &Group) -> String {
        let first = group.operators.first().and_then(|o| self.pipeline.operators.get(*o));
        first.map(|operator| operator.name.clone()).unwrap_or_default()
    }

    fn operators(&mut self, outputs: Vec<Outputs>, groups: &Groups, metrics: &Metrics) -> Vec<OperatorNode> {
        let mut nodes = Vec::new();
        for (o, Outputs { ports, late, dead_letters, fallback }) in outputs.into_iter().enumerate() {
            let (Some(operator), Some(loaded)) = (self.pipeline.operators.get(o), self.loaded.get(o)) else { continue };
            let mut inputs = Vec::new();
            let mut channels = Vec::new();
            let mut next_channel = 0;
            for (i, binding) in operator.inputs.iter().enumerate() {
                let Some(s) = self.pipeline.streams.iter().position(|known| known.name == binding.stream) else { continue };
                let Some(stream) = self.streams.get_mut(s) else { continue };
                match loaded.input(operator, binding, &mut stream.wants) {
                    Ok(input) => inputs.push(input),
                    Err(why) => self.errors.push(why),
                }
                let consumer = stream.consumers.iter().find(|consumer| consumer.operator == o && consumer.input == i);
                let count = match consumer.map(|consumer| consumer.to) {
                    Some(Handover::ToAll) => 0,
                    Some(Handover::ByKey | Handover::Through(_)) => {
                        stream.producer.and_then(|group| groups.groups.get(group)).map_or(1, |group| group.parallelism as usize)
                    }
                    _ => 1,
                };
                channels.push((next_channel, count));
                next_channel += count;
            }
            let manifest = loaded.plugin.manifest();
            for (i, input) in manifest.inputs.iter().enumerate().filter(|(_, input)| !input.broadcast) {
                if !operator.inputs.iter().any(|binding| input_of(operator, manifest, binding).is_ok_and(|bound| bound == i)) {
                    self.errors.push(PlanError::NoStream { operator: operator.name.clone(), input: input.name.clone() });
                }
            }
            nodes.push(OperatorNode {
                name: operator.name.as_str().into(),
                plugin_name: operator.plugin.clone(),
                plugin: loaded.plugin.clone(),
                config: config::to_msgpack(&operator.config.0).into(),
                inputs,
                channels,
                outputs: ports,
                late,
                dead_letters,
                fallback,
                limits: limits(operator),
                on_error: match &operator.on_error {
                    FileOnError::DeadLetter => OnError::DeadLetter,
                    FileOnError::Drop => OnError::Drop,
                    FileOnError::Stop => OnError::Stop,
                    FileOnError::Fallback(fallback) => OnError::Fallback(fallback.breaker),
                },
                captures: operator.capture.as_ref().map(|bounds| Arc::new(Captures::new(&self.pipeline.name, bounds))),
                batch: operator.batch,
                stamp: operator.stamp,
                metrics: metrics.operator(&self.pipeline.name, &operator.name),
                group: groups.of_operator.get(o).copied().unwrap_or(0),
            });
        }
        nodes
    }
}

fn time_unit_of(unit: FileUnit) -> TimeUnit {
    if unit == FileUnit::Seconds { TimeUnit::Seconds } else { TimeUnit::Millis }
}

/// Disjoint sets by path halving.
struct Sets(Vec<usize>);

impl Sets {
    fn new(len: usize) -> Sets {
        Sets((0..len).collect())
    }

    fn root(&mut self, mut of: usize) -> usize {
        while let Some(parent) = self.0.get(of).copied().filter(|parent| *parent != of) {
            let above = self.0.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.0.get_mut(of) {
                *slot = above;
            }
            of = parent;
        }
        of
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.0.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}
