//! What can go wrong in a stage: with one event, or with the stage itself.

use crate::sandbox::CallError;
use crate::store::StoreError;
use sangam_protocol::effects::EffectsError;

/// Why an operator could not process an event or fire a timer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which kind of failure.
    pub kind: FailureKind,
    /// What happened, as a sentence.
    pub message: String,
    /// Functions of the guest, innermost first, where it trapped.
    pub backtrace: Vec<String>,
    /// The event of the frame that it happened at, where the guest says so.
    pub event: Option<u32>,
    /// The file that the failed call is captured in.
    pub capture: Option<String>,
}

/// Kinds of failure; the text is what stands in a dead letter's `sangam.error.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The operator refused the event.
    Reject,
    /// The event came after its windows had closed.
    Late,
    /// The event cannot be read: not the format, a field or the key missing, a time that nobody means.
    Unreadable,
    /// The guest trapped.
    Trap,
    /// The guest did not come back in time.
    Timeout,
    /// The guest used more than its limits allow.
    Limit,
    /// The guest's effects are not what the ABI allows.
    Effects,
    /// The operator returned an error that is not a refusal.
    Fault,
    /// The operator was not called, as it kept failing: its circuit is open.
    CircuitOpen,
}

impl FailureKind {
    /// Its name in headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Reject => "reject",
            FailureKind::Late => "late",
            FailureKind::Unreadable => "unreadable",
            FailureKind::Trap => "trap",
            FailureKind::Timeout => "timeout",
            FailureKind::Limit => "limit",
            FailureKind::Effects => "effects",
            FailureKind::Fault => "fault",
            FailureKind::CircuitOpen => "circuit_open",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<FailureKind> {
        use FailureKind::{Effects, Fault, Late, Limit, Reject, Timeout, Trap, Unreadable};
        [Reject, Late, Unreadable, Trap, Timeout, Limit, Effects, Fault].into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Failure {
    /// A failure without a backtrace.
    pub fn new(kind: FailureKind, message: String) -> Failure {
        Failure { kind, message, backtrace: Vec::new(), event: None, capture: None }
    }
}

impl From<EffectsError> for Failure {
    fn from(why: EffectsError) -> Self {
        let kind = match &why {
            EffectsError::Limit(..) => FailureKind::Limit,
            EffectsError::Fault { .. } => FailureKind::Fault,
            _ => FailureKind::Effects,
        };
        let event = if let EffectsError::Fault { event, .. } = &why { *event } else { None };
        Failure { event, ..Failure::new(kind, why.to_string()) }
    }
}

impl From<CallError> for Failure {
    fn from(why: CallError) -> Self {
        let (kind, backtrace) = match &why {
            CallError::Trap { backtrace, .. } => (FailureKind::Trap, backtrace.clone()),
            CallError::Timeout { backtrace, .. } => (FailureKind::Timeout, backtrace.clone()),
            CallError::OutOfMemory { backtrace, .. } => (FailureKind::Limit, backtrace.clone()),
            CallError::FrameTooLarge(_) => (FailureKind::Limit, Vec::new()),
            _ => (FailureKind::Effects, Vec::new()),
        };
        // The backtrace has a header of its own.
        let message = why.to_string().lines().next().unwrap_or_default().to_owned();
        Failure { backtrace, ..Failure::new(kind, message) }
    }
}

/// Why a stage cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The plugin does not start. Its configuration or its code must change.
    #[error("the operator `{0}` does not start: {1}")]
    Start(String, CallError),
    /// The host is short of something. Free it and start again.
    #[error("the operator `{0}` cannot be called: {1}")]
    Host(String, CallError),
    /// The operator failed and its errors are to stop the pipeline (`on_error = "stop"`).
    #[error("the operator `{0}` failed, and `on_error = \"stop\"`: {1}")]
    Stop(String, String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}
