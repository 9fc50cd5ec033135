//! Streams whose events are delivered one by one, past the commit: to an endpoint, or to a Kafka cluster that may be away.

use crate::config::delivery::Delivery;
use crate::config::error::Kind;
use crate::config::meaning::{BreakerSpec, Carrier, Stream};
use crate::config::source::{Place, Source, did_you_mean};
use crate::config::webhook::{Undelivered, Webhook};
use crate::config::written::{WrittenStream, WrittenUndelivered};
use std::time::Duration;

/// The longest time that a record is tried while a transaction is open, which ends by itself after 15 s.
const RETRY_FOR_MAX: Duration = Duration::from_secs(8);

/// The keys that say it.
pub(super) const KEYS: [&str; 3] = ["on_error", "retry_for", "breaker"];

/// How events are delivered that are.
pub(super) fn mean(stream: &WrittenStream, source: &Source<'_>) -> Delivery {
    let written = &stream.delivery;
    let waits =
        !matches!(written.on_error.as_ref().map(|at| &at.value), Some(WrittenUndelivered::DeadLetter | WrittenUndelivered::Fallback(_)));
    if let (Some(at), true) = (&written.retry_for, waits) {
        let name = &stream.name.value;
        let message = format!("`{name}` is tried until it works; leave `retry_for` out, or write `on_error = \"dead_letter\"`");
        source.error(Kind::Conflict, &at.place, message);
    }
    let retry_for = written.retry_for.as_ref().map_or(Webhook::RETRY_FOR, |at| at.value);
    Delivery {
        on_error: if waits { Undelivered::Wait } else { Undelivered::SetAside(retry_for) },
        breaker: written.breaker.unwrap_or(BreakerSpec::OF_SINKS),
    }
}

/// The same for a stream at Kafka, where the commit, and with it a transaction, is open while records are tried.
pub(super) fn at_kafka(stream: &WrittenStream, source: &Source<'_>) -> Delivery {
    if let Some(at) = stream.delivery.retry_for.as_ref().filter(|at| at.value > RETRY_FOR_MAX) {
        let quote = source.quote(&at.place);
        let message = format!(
            "`retry_for` is at most 8s at Kafka, as the commit waits meanwhile, found `{quote}`; write `8s`, or `on_error = \"wait\"`"
        );
        source.error(Kind::OutOfRange, &at.place, message);
    }
    mean(stream, source)
}

/// The stream that gets what a stream cannot take for now.
pub(super) fn fallback(stream: &WrittenStream) -> Option<String> {
    let WrittenUndelivered::Fallback(to) = &stream.delivery.on_error.as_ref()?.value else { return None };
    Some(to.value.clone())
}

/// Refuses fallbacks that nothing can be written to, and streams delivered so where they are read (`read`: name and places) or take dead
/// letters.
pub(super) fn refuse<'p>(
    written: &[WrittenStream],
    streams: &[Stream],
    read: impl Iterator<Item = (&'p str, &'p Place)>,
    letters: impl Iterator<Item = (&'p str, &'p Place)>,
    source: &Source<'_>,
) {
    let is_delivered = |name: &str| streams.iter().any(|stream| stream.name == name && stream.delivery.is_some());
    for (name, place) in read.filter(|(name, _)| is_delivered(name)) {
        let message = format!(
            "`{name}` has `on_error`, `retry_for` or `breaker`, which are for a stream that is written and not read here; leave them out"
        );
        source.error(Kind::Conflict, place, message);
    }
    for (name, place) in letters.filter(|(name, _)| is_delivered(name)) {
        let message = format!(
            "`{name}` may be away, and dead letters must be kept with the commit; name a stream without `on_error`, `retry_for` and `breaker`"
        );
        source.error(Kind::Conflict, place, message);
    }
    for stream in written {
        let Some(WrittenUndelivered::Fallback(to)) = stream.delivery.on_error.as_ref().map(|at| &at.value) else { continue };
        let Some(target) = streams.iter().find(|known| known.name == to.value) else {
            let hint = did_you_mean(&to.value, streams.iter().map(|stream| stream.name.as_str()));
            let hint = if hint.is_empty() { format!("; declare it as `[streams.{}]`", to.value) } else { hint };
            source.error(Kind::UnknownStream, &to.place, format!("there is no stream `{}` to fall back to{hint}", to.value));
            continue;
        };
        if to.value == stream.name.value || target.fallback.is_some() {
            let message = format!("`{}` cannot be the fallback, as it is itself or has one; name a stream that has none", to.value);
            source.error(Kind::Cycle, &to.place, message);
        } else if !matches!(target.carrier, Carrier::Topic { .. }) {
            source.error(Kind::Conflict, &to.place, format!("a fallback is a topic, and `{}` is none; name another stream", to.value));
        }
    }
}
