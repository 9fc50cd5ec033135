//! The configuration: how severe errors are, pauses between tries, other paths.

use std::collections::BTreeMap;

use sangam_sdk::*;
use serde::Deserialize;

/// The configuration.
#[config]
pub struct RecoverPayments {
    /// Words of the messages of each severity.
    pub severity: Words,
    /// How transient failures are tried again.
    pub retry: Retry,
    /// The other path of a component.
    pub paths: BTreeMap<String, String>,
    /// The path of components that are not there.
    pub otherwise: String,
}

/// Words of messages; one that has none of them is transient.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    catastrophic: Vec<String>,
    persistent: Vec<String>,
}

/// How transient failures are tried again: the pause doubles from a second on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often, after the first time.
    pub tries: u32,
    /// The longest pause.
    pub pause_most: Duration,
}

/// How bad a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It passes by itself.
    Transient,
    /// It will fail again in the same way.
    Persistent,
    /// What was written may be wrong.
    Catastrophic,
}

impl Severity {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Transient => "transient",
            Severity::Persistent => "persistent",
            Severity::Catastrophic => "catastrophic",
        }
    }
}

impl RecoverPayments {
    /// How severe a message is: the worst that it has a word of.
    pub fn severity(&self, message: &str) -> Severity {
        let has = |words: &[String]| words.iter().any(|word| message.contains(word.as_str()));
        if has(&self.severity.catastrophic) {
            Severity::Catastrophic
        } else if has(&self.severity.persistent) {
            Severity::Persistent
        } else {
            Severity::Transient
        }
    }

    /// The pause after so many tries: 1 s, 2 s, 4 s …
    pub fn pause(&self, tries: u32) -> Millis {
        let seconds = 1_i64.checked_shl(tries.saturating_sub(1)).filter(|seconds| *seconds > 0).unwrap_or(Millis::MAX);
        seconds.saturating_mul(1_000).min(self.retry.pause_most.0)
    }

    /// The other path of a component.
    pub fn path(&self, component: Option<&str>) -> &str {
        component.and_then(|component| self.paths.get(component)).unwrap_or(&self.otherwise)
    }
}
