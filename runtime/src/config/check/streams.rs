//! Streams: where their events are, and what that allows to say about them.

use super::{delivery, webhook};
use std::path::Path;
use std::time::Duration;

use crate::config::error::Kind;
use crate::config::meaning::{Carrier, Cluster, ClusterKind, EMBEDDED, Format, STDIO, Stream, Timestamp, Watermarks};
use crate::config::source::{At, Source, did_you_mean};
use crate::config::written::{WrittenFormat, WrittenStream, WrittenWatermark};

/// What the declared streams mean.
pub(super) fn mean(written: &[WrittenStream], clusters: &[Cluster], folder: &Path, source: &Source<'_>) -> Vec<Stream> {
    written.iter().map(|stream| mean_one(stream, clusters, folder, source)).collect()
}

fn mean_one(written: &WrittenStream, clusters: &[Cluster], folder: &Path, source: &Source<'_>) -> Stream {
    let carrier = carrier(written, clusters, folder, source);
    let format = format(written, &carrier, source);
    // Values of an internal stream are not looked at again, and all its time keys have been refused.
    if carrier == Carrier::Internal {
        return Stream::internal(&written.name.value);
    }
    let says_delivery = written.keys.iter().any(|key| delivery::KEYS.contains(&key.value));
    let delivered = says_delivery && is_at_kafka(&carrier, clusters);
    let base = Stream::new(&written.name.value, carrier);
    Stream {
        delivery: delivered.then(|| delivery::at_kafka(written, source)),
        fallback: delivery::fallback(written),
        format,
        timestamp: timestamp(written, format, source),
        watermarks: watermarks(written, source),
        idle: written.idle.as_ref().map_or(base.idle, |idle| idle.value),
        max_drift: max_drift(written, source),
        align: written.align.as_ref().map_or(base.align, |align| align.value.clone()),
        key: written.key.iter().flatten().map(|path| path.value.clone()).collect(),
        start: written.start.as_ref().map_or(base.start, |start| start.value),
        bounded: written.bounded.as_ref().is_some_and(|bounded| bounded.value),
        max_event: written.max_event.as_ref().map_or(base.max_event, |max| max.value),
        priority: written.priority.as_ref().map_or(base.priority, |priority| priority.value),
        ..base
    }
}

/// The cluster of streams that name none.
pub(super) fn embedded(clusters: &[Cluster]) -> &str {
    clusters.iter().find(|cluster| cluster.kind == ClusterKind::Local).map_or(EMBEDDED, |cluster| &cluster.name)
}

fn carrier(written: &WrittenStream, clusters: &[Cluster], folder: &Path, source: &Source<'_>) -> Carrier {
    let name = &written.name.value;
    if written.internal.as_ref().is_some_and(|internal| internal.value) {
        refuse_on_internal(written, source);
        return Carrier::Internal;
    }
    if written.keys.iter().any(|key| key.value == "file") {
        refuse(written, &["cluster", "topic", "create"], "a stream in a file has no topic; leave it out, or leave out `file`", source);
        refuse(written, &delivery::KEYS, "lines of a file are written with the commit; leave it out", source);
        refuse(written, &["bounded"], "a file ends where it ends, unless it is followed; leave it out", source);
        if let Some(partitions) = written.partitions.as_ref().filter(|partitions| partitions.value > 1) {
            let message = format!("a file has one partition, found {}; leave `partitions` out", partitions.value);
            source.error(Kind::Conflict, &partitions.place, message);
        }
        let path = written.file.as_ref().map_or("", |file| file.value.as_str());
        let path = if path == STDIO { path.into() } else { folder.join(path) };
        return Carrier::File { path, follow: written.follow.as_ref().is_some_and(|follow| follow.value) };
    }
    if written.keys.iter().any(|key| key.value == "url") {
        let why = "a stream with a `url` is written to that endpoint and never read; leave it out, or leave out `url`";
        refuse(written, &["cluster", "topic", "partitions", "create", "bounded", "follow", "key", "start", "max_event"], why, source);
        refuse(written, &TIME_KEYS, why, source);
        return Carrier::Webhook(webhook::mean(written, &written.webhook, source));
    }
    refuse(written, &WEBHOOK_KEYS, "it is for a stream with a `url`; leave it out, or add one", source);
    refuse(written, &["follow"], "only a file is followed, a topic always is; leave it out, or name a `file`", source);
    let cluster = written.cluster.as_ref().map_or_else(|| embedded(clusters), |cluster| &cluster.value);
    let known = clusters.iter().find(|candidate| candidate.name == cluster);
    if let (None, Some(at)) = (known, &written.cluster) {
        let hint = did_you_mean(cluster, clusters.iter().map(|cluster| cluster.name.as_str()));
        let hint = if hint.is_empty() { format!("; define it as `[clusters.{cluster}]`") } else { hint };
        source.error(Kind::UnknownCluster, &at.place, format!("there is no cluster `{cluster}`{hint}"));
    }
    let is_kafka = known.is_some_and(|cluster| cluster.kind.is_kafka());
    if !is_kafka {
        refuse(written, &delivery::KEYS, "it is for outputs to Kafka or to a `url`, which may be away; leave it out", source);
    }
    Carrier::Topic {
        cluster: cluster.to_owned(),
        topic: written.topic.as_ref().map_or_else(|| name.clone(), |topic| check_topic(topic, source)),
        partitions: written.partitions.as_ref().map_or(1, |partitions| partitions.value as u32),
        create: written.create.as_ref().map_or(!is_kafka, |create| create.value),
    }
}

/// Two streams that are read cannot be in one place: each event there would come to one of them only. `read` says which are read.
pub(super) fn refuse_twice(
    written: &[WrittenStream],
    streams: &[Stream],
    clusters: &[Cluster],
    read: impl Fn(&str) -> bool,
    source: &Source<'_>,
) {
    let streams: Vec<_> = written.iter().zip(streams).filter(|(_, stream)| read(&stream.name)).collect();
    for (i, (written, stream)) in streams.iter().enumerate() {
        let mut before = streams.iter().take(i).map(|(_, stream)| stream);
        if let Some(before) = before.find(|before| is_same_place(&before.carrier, &stream.carrier, clusters)) {
            let (name, before) = (&stream.name, &before.name);
            let message = format!("`{name}` is read from where `{before}` is; let its operators read `{before}`, too");
            source.error(Kind::Conflict, &written.name.place, message);
        }
    }
}

/// Whether two streams are one file or topic. Names of one Kafka are one place.
pub(super) fn is_same_place(a: &Carrier, b: &Carrier, clusters: &[Cluster]) -> bool {
    let kafka = |name: &str| clusters.iter().find(|cluster| cluster.name == name && cluster.kind.is_kafka()).map(|cluster| &cluster.kind);
    match (a, b) {
        (Carrier::File { path: a, .. }, Carrier::File { path: b, .. }) => a == b,
        (Carrier::Topic { cluster: a, topic, .. }, Carrier::Topic { cluster: b, topic: other, .. }) => {
            topic == other && (a == b || (kafka(a).is_some() && kafka(a) == kafka(b)))
        }
        _ => false,
    }
}

fn is_at_kafka(carrier: &Carrier, clusters: &[Cluster]) -> bool {
    let Carrier::Topic { cluster, .. } = carrier else { return false };
    clusters.iter().any(|known| known.name == *cluster && known.kind.is_kafka())
}

/// A topic's name may hold an environment variable, so that it is checked after that and quoted as it was written.
pub(super) fn check_topic(topic: &At<String>, source: &Source<'_>) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let value = topic.value.as_str();
    if matches!(value, "." | "..") || value.len() > 249 || !value.chars().all(allowed) {
        let quote = source.quote(&topic.place);
        let message = format!("`{quote}` is not the name of a topic; those have up to 249 letters, digits, `.`, `_` and `-`");
        source.error(Kind::BadName, &topic.place, message);
    }
    value.to_owned()
}

const WEBHOOK_KEYS: [&str; 3] = ["headers", "timeout", "in_flight"];

const TIME_KEYS: [&str; 7] = ["timestamp", "timestamp_unit", "watermark", "out_of_orderness", "idle", "max_drift", "align"];

fn refuse_on_internal(written: &WrittenStream, source: &Source<'_>) {
    for key in &written.keys {
        let why = match key.value {
            "internal" => continue,
            key if TIME_KEYS.contains(&key) => "its events keep the time that their operator gave them",
            "format" | "max_event" => "its events are handed on as they are",
            "key" => "its events are keyed by the operator that reads it",
            "priority" => "its events come when those do that lead to them",
            _ => "it has no topic and no file",
        };
        let (name, key_name) = (&written.name.value, key.value);
        source.error(
            Kind::Conflict,
            &key.place,
            format!("`{key_name}` says nothing about the internal stream `{name}`: {why}; leave it out"),
        );
    }
}

fn refuse(written: &WrittenStream, keys: &[&str], why: &str, source: &Source<'_>) {
    for key in written.keys.iter().filter(|key| keys.contains(&key.value)) {
        source.error(Kind::Conflict, &key.place, format!("`{}` does not go with the stream `{}`: {why}", key.value, written.name.value));
    }
}

fn format(written: &WrittenStream, carrier: &Carrier, source: &Source<'_>) -> Format {
    let is_file = matches!(carrier, Carrier::File { .. });
    let is_webhook = matches!(carrier, Carrier::Webhook(_));
    let Some(at) = &written.format else { return if is_file || is_webhook { Format::Json } else { Format::MessagePack } };
    match at.value {
        WrittenFormat::Plain(Format::MessagePack) if is_file => {
            let message = "in a file, MessagePack needs to know where an event ends; write `framed-msgpack`";
            source.error(Kind::Conflict, &at.place, message);
            Format::MessagePack
        }
        WrittenFormat::Framed if is_webhook => {
            source.error(Kind::Conflict, &at.place, "a request is one event and knows where it ends; write `msgpack`");
            Format::MessagePack
        }
        WrittenFormat::Framed if matches!(carrier, Carrier::Topic { .. }) => {
            source.error(Kind::Conflict, &at.place, "a topic knows where an event ends; write `msgpack`");
            Format::MessagePack
        }
        WrittenFormat::Framed => Format::MessagePack,
        WrittenFormat::Plain(format) => format,
    }
}

fn timestamp(written: &WrittenStream, format: Format, source: &Source<'_>) -> Timestamp {
    if format == Format::Raw {
        refuse(written, &["timestamp", "key"], "`raw` bytes have no fields; choose another `format`, or leave it out", source);
    }
    let punctuated = matches!(written.watermark.as_ref().map(|at| &at.value), Some(WrittenWatermark::Punctuated(_)));
    if let (Some(unit), false) = (&written.timestamp_unit, punctuated || written.keys.iter().any(|key| key.value == "timestamp")) {
        source.error(Kind::Conflict, &unit.place, "`timestamp_unit` is the unit of a field; name that field as `timestamp`");
    }
    match &written.timestamp {
        Some(path) => {
            let unit = written.timestamp_unit.as_ref().map_or_else(Default::default, |unit| unit.value);
            Timestamp::Field { path: path.value.clone(), unit }
        }
        None => Timestamp::Record,
    }
}

fn max_drift(written: &WrittenStream, source: &Source<'_>) -> Option<Duration> {
    let says = |key: &str| written.keys.iter().find(|at| at.value == key);
    if let (Some(align), None) = (says("align"), says("max_drift")) {
        let message = "`align` names who waits for whom; say how far ahead a partition may be, as in `max_drift = \"1m\"`";
        source.error(Kind::MissingKey, &align.place, message);
    }
    let drift = written.max_drift.as_ref()?;
    if written.idle.as_ref().is_none_or(|idle| idle.value.is_none()) {
        let message = "with `max_drift` a partition without events would hold up the others for ever; add `idle = \"30s\"`";
        source.error(Kind::MissingKey, &drift.place, message);
    }
    Some(drift.value)
}

fn watermarks(written: &WrittenStream, source: &Source<'_>) -> Watermarks {
    let kind = written.watermark.as_ref().map_or(&WrittenWatermark::Bounded, |kind| &kind.value);
    match kind {
        WrittenWatermark::Bounded => Watermarks::Bounded(written.out_of_orderness.as_ref().map_or(Duration::ZERO, |at| at.value)),
        WrittenWatermark::Monotonic => {
            let why = "`monotonic` says that times never go back; write `watermark = \"bounded\"`, or leave it out";
            refuse(written, &["out_of_orderness"], why, source);
            Watermarks::Bounded(Duration::ZERO)
        }
        WrittenWatermark::ProcessingTime => {
            let why = "with `processing_time` the clock alone counts; leave it out, or choose another `watermark`";
            refuse(written, &["out_of_orderness", "timestamp"], why, source);
            Watermarks::ProcessingTime
        }
        WrittenWatermark::Punctuated(field) => {
            let why = "with `punctuated` the events say how far it is; leave it out, or choose another `watermark`";
            refuse(written, &["out_of_orderness"], why, source);
            if written.format.as_ref().is_some_and(|format| format.value == WrittenFormat::Plain(Format::Raw)) {
                let message = "`raw` bytes have no fields, so that no event can say how far it is; choose another `watermark`";
                written.watermark.iter().for_each(|at| source.error(Kind::Conflict, &at.place, message));
            }
            let unit = written.timestamp_unit.as_ref().map_or_else(Default::default, |unit| unit.value);
            Watermarks::Punctuated { field: field.clone(), unit }
        }
        WrittenWatermark::ObservedDelay(millionths, margin) => {
            let why = "with `observed_delay` the bound is learned from the events; write `margin` in that table, or leave it out";
            refuse(written, &["out_of_orderness"], why, source);
            Watermarks::ObservedDelay { millionths: *millionths, margin: *margin }
        }
    }
}
