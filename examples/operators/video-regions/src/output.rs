//! What goes out.

use std::collections::BTreeMap;

use sangam_sdk::*;

/// Where a session has been placed.
#[event]
pub struct Assigned {
    /// The session.
    pub session_id: String,
    /// The region of its city.
    pub home: String,
    /// The region that serves it.
    pub region: String,
    /// It is not its home.
    pub spilled: bool,
}

/// A region fails, is tried, or works again.
#[event]
pub struct Circuits {
    /// The region.
    pub region: String,
    /// `open`, `half_open`, `closed`.
    pub state: String,
    /// Since when.
    pub at: Millis,
}

/// No region has room for a session, or one has again.
#[event]
pub struct Full {
    /// Whether there is none.
    pub full: bool,
    /// The home of the session.
    pub home: String,
    /// Since when.
    pub at: Millis,
}

/// How the platform stands at the end of a minute.
#[event]
pub struct Dashboard {
    /// Start of the minute.
    pub minute: Millis,
    /// Sessions that play at its end.
    pub concurrent: i64,
    /// The same by region.
    pub regions: BTreeMap<String, i64>,
    /// Events of the minute.
    pub events: u64,
    /// The same by quality.
    pub qualities: BTreeMap<String, u64>,
    /// The same by network.
    pub networks: BTreeMap<String, u64>,
    /// Mean of their buffers, seconds.
    pub mean_buffer: f64,
    /// Share of them that are errors.
    pub error_rate: f64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// Where a session has been placed.
    Assigned(Assigned),
    /// A region fails, is tried, or works again.
    Circuits(Circuits),
    /// No region has room, or one has again.
    Full(Full),
    /// How the platform stands.
    Dashboard(Output<Dashboard>),
}
