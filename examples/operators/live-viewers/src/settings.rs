//! The configuration: what is looked for, and what is said of it.

use sangam_sdk::*;
use serde::Deserialize;

/// The configuration.
#[config]
pub struct LiveViewers {
    /// How many viewers a session stands for.
    #[config(default = 1u64)]
    pub viewers_per_session: u64,
    /// A milestone each so many viewers.
    pub milestone_every: Option<u64>,
    /// Too many.
    pub overload: Option<Overload>,
    /// Qualities that are poor.
    pub poor: Option<Poor>,
    /// A buffer that is too low.
    pub buffer: Option<Low>,
}

/// What an alert says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// Its name.
    pub alert: String,
    /// How bad it is.
    pub severity: String,
    /// What to do.
    pub action: String,
}

/// Too many viewers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overload {
    /// More than this.
    pub above: u64,
    /// What is said.
    pub say: Say,
}

/// Qualities that are poor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poor {
    /// Their names.
    pub qualities: Vec<String>,
    /// What is said when a session changes to one.
    pub say: Say,
}

/// A buffer that is too low.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Low {
    /// Less than this, per cent.
    pub below: Number,
    /// What is to be done.
    pub commands: Vec<String>,
}
