//! A stream that is an HTTP endpoint: each of its events is a request.

use super::meaning::{BreakerSpec, Options, Secret};
use std::time::Duration;

/// An endpoint and how it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The stream's name.
    pub stream: String,
    /// Where to; never printed as a whole, as many services put a token into it.
    pub url: Secret,
    /// Headers of each request, beside those that Sangam sets.
    pub headers: Options,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests that are under way at a time.
    pub in_flight: usize,
    /// What becomes of an event that cannot be delivered for now.
    pub on_error: Undelivered,
    /// When the endpoint is left alone for a while.
    pub breaker: BreakerSpec,
}

/// What becomes of an event that cannot be delivered for now: nobody answers, or with an error that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// It is tried until it works, and the pipeline waits.
    Wait,
    /// It is tried for so long, and not at all while the circuit is open; then it is a dead letter, or goes to the stream's fallback.
    SetAside(Duration),
}

impl Undelivered {
    /// For how long an event is tried; `None`: until it works.
    pub fn retry_for(self) -> Option<Duration> {
        if let Undelivered::SetAside(retry_for) = self { Some(retry_for) } else { None }
    }
}

impl Webhook {
    /// For how long an event is tried before it is a dead letter, where the file does not say.
    pub const RETRY_FOR: Duration = Duration::from_secs(5);

    /// An endpoint with the defaults of everything else.
    pub fn new(stream: &str, url: &str) -> Webhook {
        Webhook {
            stream: stream.to_owned(),
            url: Secret(url.to_owned()),
            headers: Options::default(),
            timeout: Duration::from_secs(5),
            in_flight: 8,
            on_error: Undelivered::Wait,
            breaker: BreakerSpec::OF_SINKS,
        }
    }

    /// The part of the URL that may be printed: scheme, host and port.
    pub fn place(&self) -> &str {
        let url = self.url.0.as_str();
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url.get(start..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |at| start + at);
        let host = url.get(start..end).unwrap_or_default();
        // What stands before an `@` is a password.
        match host.rsplit_once('@') {
            Some((_, host)) => host,
            None => url.get(..end).unwrap_or_default(),
        }
    }
}
