//! Streams that are HTTP endpoints: how they are called, and that nobody reads them or leaves dead letters there.

use super::delivery;
use crate::config::error::Kind;
use crate::config::meaning::{Carrier, Options, Secret, Stream};
use crate::config::source::{At, Place, Source};
use crate::config::webhook::Webhook;
use crate::config::written::{WrittenStream, WrittenWebhook};

/// Headers that Sangam sets itself.
const OURS: [&str; 4] = ["idempotency-key", "content-length", "host", "transfer-encoding"];

/// How the endpoint is called.
pub(super) fn mean(stream: &WrittenStream, written: &WrittenWebhook, source: &Source<'_>) -> Webhook {
    let url = written.url.as_ref().map_or(String::new(), |url| check_url(url, source));
    let base = Webhook::new(&stream.name.value, &url);
    let delivery = delivery::mean(stream, source);
    written.headers.iter().for_each(|(name, value)| check_header(name, value, source));
    Webhook {
        stream: base.stream,
        url: Secret(url),
        headers: Options(written.headers.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect()),
        timeout: written.timeout.as_ref().map_or(base.timeout, |at| at.value),
        in_flight: written.in_flight.as_ref().map_or(base.in_flight, |at| at.value as usize),
        on_error: delivery.on_error,
        breaker: delivery.breaker,
    }
}

/// Refuses endpoints where an operator is to read (`read`: name and places), or to leave its dead letters.
pub(super) fn refuse<'p>(
    streams: &[Stream],
    read: impl Iterator<Item = (&'p str, &'p Place)>,
    letters: impl Iterator<Item = (&'p str, &'p Place)>,
    source: &Source<'_>,
) {
    let is_webhook = |name: &str| streams.iter().any(|stream| stream.name == name && matches!(stream.carrier, Carrier::Webhook(_)));
    for (name, place) in read.filter(|(name, _)| is_webhook(name)) {
        source.error(Kind::Conflict, place, format!("`{name}` has a `url`: it can be written and not read; read another stream"));
    }
    for (name, place) in letters.filter(|(name, _)| is_webhook(name)) {
        let message = format!("`{name}` has a `url`, which keeps nothing: dead letters need a topic; name another stream");
        source.error(Kind::Conflict, place, message);
    }
}

/// An address may hold a token from the environment, so that it is quoted as it was written.
fn check_url(url: &At<String>, source: &Source<'_>) -> String {
    let rest = url.value.strip_prefix("http://").or_else(|| url.value.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let fits = host.is_some_and(|host| !host.is_empty()) && url.value.chars().all(|c| c.is_ascii_graphic());
    if !fits {
        let quote = source.quote(&url.place);
        let message = format!("`url`: `{quote}` is no address of an endpoint; write `https://HOST/PATH`");
        source.error(Kind::BadAddress, &url.place, message);
    }
    url.value.clone()
}

fn check_header(name: &At<String>, value: &str, source: &Source<'_>) {
    let header = name.value.to_ascii_lowercase();
    let is_name = !header.is_empty() && header.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
    if OURS.contains(&header.as_str()) {
        source.error(Kind::Conflict, &name.place, format!("the header `{}` is set by Sangam; leave it out", name.value));
    } else if !is_name || value.chars().any(|c| c.is_control()) {
        source.error(Kind::BadName, &name.place, format!("`{}` and its value cannot be a header of a request", name.value));
    }
}
