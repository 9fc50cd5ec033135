//! How operators and streams hang together: names that lead nowhere, internal streams, dead letters, what can be guaranteed.

use std::collections::{BTreeMap, BTreeSet};

use super::{cycle, delivery, streams, webhook};
use crate::config::error::Kind;
use crate::config::meaning::{Binding, Carrier, Cluster, ClusterKind, DEAD_LETTERS, Fallback, Guarantee, OnError, Operator, Stream};
use crate::config::source::{At, Place, Source, did_you_mean, nearest};
use crate::config::written::{Written, WrittenOnError, WrittenUndelivered};

/// Operators with their dead letters bound, and every stream that there is.
pub(super) struct Wired {
    pub operators: Vec<Operator>,
    pub streams: Vec<Stream>,
}

impl Wired {
    fn written(&self) -> Vec<&Stream> {
        let by_operator = |name: &str| self.operators.iter().any(|o| o.writes().any(|wrote| wrote == name));
        let falls = |to: &Stream| self.streams.iter().any(|stream| stream.fallback.as_ref() == Some(&to.name) && by_operator(&stream.name));
        let is_written = |stream: &&Stream| by_operator(&stream.name) || falls(stream);
        self.streams.iter().filter(is_written).collect()
    }

    /// The Kafka cluster that the pipeline writes to, or else reads: the one that has its transactions.
    pub fn home<'s>(&'s self, clusters: &[Cluster]) -> Option<&'s str> {
        let is_read = |stream: &&Stream| self.operators.iter().any(|o| o.inputs.iter().any(|input| input.stream == stream.name));
        let home = self.written().into_iter().find_map(|stream| kafka_of(stream, clusters));
        home.or_else(|| self.streams.iter().filter(is_read).find_map(|stream| kafka_of(stream, clusters)))
    }
}

/// Finds or makes the stream behind every name.
pub(super) fn connect(
    written: &Written,
    name: &str,
    mut operators: Vec<Operator>,
    mut streams: Vec<Stream>,
    clusters: &[Cluster],
    source: &Source<'_>,
) -> Wired {
    bind_dead_letters(written, name, &mut operators, &mut streams, clusters, source);
    let fallbacks = bind_fallbacks(written, &mut operators, source);
    for (operator, at) in operators.iter().zip(&written.operators).filter(|(operator, at)| at.lacks_input && operator.inputs.is_empty()) {
        let message = format!("the operator `{}` has no input; write `input = \"STREAM\"`", operator.name);
        source.error(Kind::MissingKey, &at.name.place, message);
    }

    let letters = written.operators.iter().filter_map(|operator| operator.dead_letters.as_ref()).chain(&written.dead_letters);
    let letters = letters.map(|at| (at.value.as_str(), &at.place));
    let inputs = written.operators.iter().flat_map(|operator| &operator.inputs);
    let inputs = inputs.map(|input| (input.stream.value.as_str(), &input.stream.place));
    delivery::refuse(&written.streams, &streams, inputs.clone(), letters.clone(), source);
    webhook::refuse(&streams, inputs, letters, source);
    let declared: BTreeSet<String> = streams.iter().map(|stream| stream.name.clone()).collect();
    let read = reads(written);
    let wrote = writes(written, &operators);
    streams::refuse_twice(&written.streams, &streams, clusters, |name| read.contains_key(name), source);
    let known = || declared.iter().map(String::as_str).chain(wrote.keys().copied());

    for (name, places) in read.iter().filter(|(name, _)| !declared.contains(**name)) {
        if wrote.contains_key(name) {
            streams.push(Stream::internal(*name));
            continue;
        }
        let hint = match nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it as `[streams.{name}]`, or let an operator write it"),
        };
        for place in places {
            source.error(Kind::UnknownStream, place, format!("there is no stream `{name}`, and no operator writes it; {hint}"));
        }
    }
    for (name, places) in wrote.iter().filter(|(name, _)| !declared.contains(**name) && !read.contains_key(**name)) {
        let hint = match nearest(name, declared.iter().map(String::as_str).chain(read.keys().copied())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it as `[streams.{name}]`, or let an operator read it"),
        };
        for place in places {
            source.error(Kind::UnknownStream, place, format!("there is no stream `{name}`, and no operator reads it; {hint}"));
        }
    }
    for stream in &written.streams {
        let name = stream.name.value.as_str();
        if !read.contains_key(name) && !wrote.contains_key(name) {
            source.warn(Kind::UnusedStream, &stream.name.place, format!("no operator reads or writes the stream `{name}`"));
        }
        if stream.internal.as_ref().is_some_and(|internal| internal.value) && read.contains_key(name) != wrote.contains_key(name) {
            let missing = if read.contains_key(name) { "writes" } else { "reads" };
            let message =
                format!("no operator {missing} the internal stream `{name}`; let one, or leave out `internal` to give it a topic");
            source.error(Kind::UnknownStream, &stream.name.place, message);
        }
    }
    streams.extend(fallbacks);
    cycle::refuse(written, &operators, &streams, clusters, source);
    Wired { operators, streams }
}

/// What holds after a failure: what was asked for where that can be kept, else the best that can be.
pub(super) fn guarantee(asked: Option<&At<Guarantee>>, wired: &Wired, clusters: &[Cluster], source: &Source<'_>) -> Option<Guarantee> {
    let doubt = doubt(wired, clusters);
    let Some(asked) = asked else {
        return Some(if doubt.is_some() { Guarantee::AtLeastOnce } else { Guarantee::ExactlyOnce });
    };
    if let (Guarantee::ExactlyOnce, Some(doubt)) = (asked.value, doubt) {
        source.error(Kind::Conflict, &asked.place, format!("`exactly_once` cannot be kept: {doubt}, or write `at_least_once`"));
    }
    Some(asked.value)
}

/// Why exactly once cannot be kept, if so: everything that is written must be in one place, the store or a cluster with transactions.
fn doubt(wired: &Wired, clusters: &[Cluster]) -> Option<String> {
    let written = wired.written();
    if let Some(file) = written.iter().find(|stream| matches!(stream.carrier, Carrier::File { .. })) {
        return Some(format!("lines of a file cannot be taken back, and the stream `{}` is written to one: write to a topic", file.name));
    }
    let home = wired.home(clusters)?;
    // What is delivered on its own is in no transaction anyway.
    let elsewhere =
        |stream: &&&Stream| stream.delivery.is_none() && matches!(&stream.carrier, Carrier::Topic { cluster, .. } if cluster != home);
    let away = written.iter().find(elsewhere)?;
    let Carrier::Topic { cluster, .. } = &away.carrier else { return None };
    let may_be_away = if kafka_of(away, clusters).is_some() { ", or say by its `on_error` that it may be away" } else { "" };
    Some(format!(
        "a transaction is kept by one cluster, here `{home}`, and the stream `{}` is written to `{cluster}`: give it `cluster = \"{home}\"`{may_be_away}",
        away.name
    ))
}

/// The cluster of a stream that is at Kafka, and part of what is committed there.
fn kafka_of<'s>(stream: &'s Stream, clusters: &[Cluster]) -> Option<&'s str> {
    let Carrier::Topic { cluster: name, .. } = &stream.carrier else { return None };
    if stream.delivery.is_some() {
        return None;
    }
    let cluster = clusters.iter().find(|cluster| cluster.name == *name)?;
    cluster.kind.is_kafka().then_some(name.as_str())
}

/// Gives every operator that has dead letters a stream for them: its own, the pipeline's, or one made for the purpose.
fn bind_dead_letters(
    written: &Written,
    pipeline: &str,
    operators: &mut [Operator],
    streams: &mut Vec<Stream>,
    clusters: &[Cluster],
    source: &Source<'_>,
) {
    let default = written.dead_letters.as_ref().map_or(DEAD_LETTERS, |stream| &stream.value);
    let mut needed = false;
    for (operator, at) in operators.iter_mut().zip(&written.operators) {
        if matches!(operator.on_error, OnError::Drop | OnError::Stop) {
            continue;
        }
        operator.dead_letters_max = operator.dead_letters_max.or(written.dead_letters_max.as_ref().map(|limit| limit.value));
        if operator.dead_letters.is_some() {
            continue;
        }
        if operator.inputs.iter().any(|input| input.stream == default) {
            let name = &operator.name;
            let message = format!(
                "`{name}` reads `{default}`, where its own dead letters would go; give it another `dead_letters`, or `on_error = \"drop\"`"
            );
            source.error(Kind::Cycle, &at.name.place, message);
            continue;
        }
        operator.dead_letters = Some(default.to_owned());
        needed = true;
    }
    if needed && written.dead_letters.is_none() && streams.iter().all(|stream| stream.name != default) {
        let (read, wrote) = (reads(written), writes(written, operators));
        let used = |stream: &&Stream| read.contains_key(stream.name.as_str()) || wrote.contains_key(stream.name.as_str());
        let used: Vec<&Stream> = streams.iter().filter(used).collect();
        let own = own_dead_letters(pipeline, &used, clusters);
        streams.push(own);
    }
}

/// Gives every operator that others fall back to an input for each of them; returns the streams that lead there.
fn bind_fallbacks(written: &Written, operators: &mut [Operator], source: &Source<'_>) -> Vec<Stream> {
    let mut streams = Vec::new();
    for (from, at) in written.operators.iter().enumerate() {
        let Some(WrittenOnError::Fallback(named)) = at.on_error.as_ref().map(|at| &at.value) else { continue };
        let Some(Fallback { operator: to, input: port, stream, .. }) = operators.get(from).and_then(Operator::fallback).cloned() else {
            continue;
        };
        let known = || operators.iter().map(|operator| operator.name.as_str());
        if to == at.name.value {
            source.error(Kind::Cycle, &named.operator.place, format!("`{to}` cannot be its own fallback; name another operator"));
            continue;
        }
        let Some(target) = known().position(|name| name == to) else {
            let hint = did_you_mean(&to, known());
            let hint = if hint.is_empty() { format!("; add it as `[operators.{to}]`") } else { hint };
            source.error(Kind::UnknownOperator, &named.operator.place, format!("there is no operator `{to}` to fall back to{hint}"));
            continue;
        };
        if let Some(target) = operators.get_mut(target) {
            target.inputs.push(Binding { port, stream: stream.clone() });
        }
        streams.push(Stream::internal(stream));
    }
    streams
}

/// The stream for dead letters that nobody declared: embedded, but in memory where everything else is; and beside the first of the
/// streams that is at Kafka, so that they are part of its transactions. Other pipelines are there, too, so the topic has the name of this one.
fn own_dead_letters(pipeline: &str, used: &[&Stream], clusters: &[Cluster]) -> Stream {
    if let Some(cluster) = used.iter().find_map(|stream| kafka_of(stream, clusters)) {
        let topic = format!("{pipeline}.{DEAD_LETTERS}");
        return Stream::new(DEAD_LETTERS, Carrier::Topic { cluster: cluster.to_owned(), topic, partitions: 1, create: true });
    }
    let in_memory = |stream: &Stream| match &stream.carrier {
        Carrier::Topic { cluster, .. } => {
            clusters.iter().any(|candidate| candidate.name == *cluster && candidate.kind == ClusterKind::Memory).then_some(cluster.clone())
        }
        _ => None,
    };
    let homes: Option<Vec<String>> = used.iter().copied().filter(|stream| stream.carrier != Carrier::Internal).map(in_memory).collect();
    let cluster = homes.and_then(|homes| homes.into_iter().next()).unwrap_or_else(|| streams::embedded(clusters).to_owned());
    let topic = DEAD_LETTERS.to_owned();
    Stream::new(DEAD_LETTERS, Carrier::Topic { cluster, topic, partitions: 1, create: true })
}

/// Every name that operators read, with the places where it is written.
fn reads(written: &Written) -> BTreeMap<&str, Vec<&Place>> {
    let mut read: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
    for input in written.operators.iter().flat_map(|operator| &operator.inputs) {
        read.entry(&input.stream.value).or_default().push(&input.stream.place);
    }
    read
}

/// Every name that operators write, with the places where it is written; one place for the pipeline's own `dead_letters`.
fn writes<'w>(written: &'w Written, operators: &'w [Operator]) -> BTreeMap<&'w str, Vec<&'w Place>> {
    let mut wrote: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
    for operator in &written.operators {
        let ports = operator.outputs.iter().map(|output| &output.stream);
        for stream in ports.chain(&operator.late).chain(&operator.dead_letters) {
            wrote.entry(&stream.value).or_default().push(&stream.place);
        }
    }
    for stream in &written.streams {
        if let Some(WrittenUndelivered::Fallback(to)) = stream.delivery.on_error.as_ref().map(|at| &at.value) {
            // One that is declared nowhere has been reported.
            if written.streams.iter().any(|stream| stream.name.value == to.value) {
                wrote.entry(&to.value).or_default().push(&to.place);
            }
        }
    }
    if let Some(stream) = &written.dead_letters {
        wrote.entry(&stream.value).or_default().push(&stream.place);
    } else if operators.iter().any(|operator| operator.dead_letters.as_deref() == Some(DEAD_LETTERS)) {
        wrote.entry(DEAD_LETTERS).or_default();
    }
    wrote
}
