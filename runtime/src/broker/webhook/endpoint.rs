//! One request to an endpoint, and what its answer means.

use crate::config::{Format, Webhook};
use std::time::{Duration, SystemTime};
use ureq::Agent;
use ureq::http::HeaderMap;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// An endpoint and how it is called.
pub(super) struct Endpoint {
    agent: Agent,
    webhook: Webhook,
    content_type: &'static str,
}

/// What an endpoint has made of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// It will never take it as it is, and why.
    Refused(String),
    /// It may work later: why not now, and when it wants to be asked again, where it says so.
    Later(String, Option<Duration>),
}

/// What is kept of an answer that says why a request is refused, in bytes.
const REASON_BYTES_MAX: u64 = 512;

/// The longest wait that an endpoint can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(webhook: &Webhook, format: Format) -> Endpoint {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .timeout_global(Some(webhook.timeout))
            // Of a request that was redirected, nobody can say who has had it.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections_per_host(webhook.in_flight)
            .user_agent(concat!("sangam/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let content_type = match format {
            Format::Json => "application/json",
            Format::MessagePack => "application/msgpack",
            Format::Raw => "application/octet-stream",
        };
        Endpoint { agent: config.into(), webhook: webhook.clone(), content_type }
    }

    /// Where it is, as far as that may be printed.
    pub(super) fn place(&self) -> &str {
        self.webhook.place()
    }

    /// Sends a record under its name.
    pub(super) fn post(&self, body: &[u8], name: &str) -> Answer {
        let mut request = self.agent.post(&self.webhook.url.0);
        if !self.webhook.headers.0.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", self.content_type);
        }
        request = request.header("idempotency-key", name);
        for (name, value) in &self.webhook.headers.0 {
            request = request.header(name, value);
        }
        match request.send(body) {
            Ok(mut answer) => {
                let (status, after) = (answer.status().as_u16(), retry_after(answer.headers(), SystemTime::now()));
                // Read to its end, the connection serves again.
                let reason = answer.body_mut().with_config().limit(REASON_BYTES_MAX).lossy_utf8(true).read_to_string();
                self.judge(status, after, reason.unwrap_or_default().trim())
            }
            Err(ureq::Error::Http(why)) => Answer::Refused(format!("it cannot be sent to {}: {why}", self.place())),
            Err(why) => Answer::Later(format!("{} does not answer: {why}", self.place()), None),
        }
    }

    fn judge(&self, status: u16, after: Option<Duration>, reason: &str) -> Answer {
        // It goes to logs and terminals.
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let says = format!("{} answers {status}{reason}", self.place());
        match status {
            200..=299 => Answer::Taken,
            // Too slow, too early, too many: the request itself is fine.
            408 | 425 | 429 | 500..=599 => Answer::Later(says, after),
            _ => Answer::Refused(says),
        }
    }
}

/// How long an endpoint wants to be left alone: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_wait_is_given_in_seconds_or_as_a_date_and_has_a_bound() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            // Wed, 21 Oct 2015 07:28:00 GMT is 1445412480.
            retry_after(&headers, UNIX_EPOCH + Duration::from_secs(1_445_412_470)).map(|wait| wait.as_secs())
        };
        assert_eq!(asked("0"), Some(0));
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("86400"), Some(300));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(10));
        assert_eq!(asked("Tue, 20 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(asked("soon"), None);
    }
}
