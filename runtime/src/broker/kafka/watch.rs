//! What a client of librdkafka says by the way: its log lines go to ours, and its last error is kept for whoever has to explain a silence.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::error::is_refusal;

/// The ear of one client.
#[derive(Debug, Default)]
pub(super) struct Watch {
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// The last error's words.
    reason: Option<String>,
    /// The words of the error with which the broker refused us: credentials, certificates.
    refusal: Option<String>,
}

// === impl Watch ===

impl Watch {
    /// The last thing that went wrong.
    pub(super) fn reason(&self) -> Option<String> {
        self.heard.lock().reason.clone()
    }

    /// Why the broker does not let us in, if it said so since the last call.
    pub(super) fn take_refusal(&self) -> Option<String> {
        self.heard.lock().refusal.take()
    }

    pub(super) fn hear_log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            // Errors come a second time, as events, and are told there.
            _ if facility == "FAIL" || facility == "ERROR" => tracing::debug!(facility, "{text}"),
            // One set of properties serves readers and writers; each warns of the other's.
            _ if facility == "CONFWARN" => tracing::debug!(facility, "{text}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(facility, "{text}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "{text}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, "{text}"),
        }
    }

    pub(super) fn hear_error(&self, error: &KafkaError, text: &str) {
        // What follows counts milliseconds and repetitions, and would make every line a new one.
        let text = text.split(" (after ").next().unwrap_or(text);
        let mut heard = self.heard.lock();
        if heard.reason.as_deref() == Some(text) {
            return;
        }
        tracing::warn!("Kafka: {text}");
        if error.rdkafka_error_code().is_some_and(is_refusal) {
            heard.refusal = Some(text.to_owned());
        }
        heard.reason = Some(text.to_owned());
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.hear_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.hear_error(&error, text);
    }
}

impl ConsumerContext for Watch {}
