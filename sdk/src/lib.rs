//! Write a stream operator as a Rust function; Sangam runs it as wasm.
//!
//! The signature is the declaration: by value = the event, `&mut T` = what I remember for this key, `&T` = what I was configured
//! with, [`Context`] = time and timers; what it returns is what it emits. The author's guide is `docs/sdk.md`.
//!
#![doc = include_str!("../README.md")]

// The macros name this crate; so its own tests and docs can use them.
extern crate self as sangam_sdk;

// What an author names.
mod context;
mod emit;
mod error;
mod event;
mod field;
mod written;
mod wrong;

// What the attributes implement.
mod config;
mod duration;
mod number;
mod operator;
mod shape;
mod state;
mod stored;
mod ttl;

// Libraries over state and timers.
mod broadcast;
pub mod change;
mod deadline;
pub mod dedup;
pub mod join;
mod large;
mod money;
pub mod pattern;
mod reducing;
pub mod suppress;
pub mod top;
pub mod window;

// One batch.
mod batch;
mod cells;
mod shared;
mod timers;

// The outside.
#[doc(hidden)]
pub mod guest;
pub mod log;
#[doc(hidden)]
pub mod manifest;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;

pub use broadcast::Broadcast;
pub use config::Config;
pub use context::{Context, Timer};
pub use duration::Duration;
pub use emit::{Emit, Emitter, Forward, Leave, Output, Payload};
pub use error::{Error, Result, discard, ignore, late, reject};
pub use event::{Event, FieldPath, Raw, Row};
pub use field::{Encode, Field, Value};
pub use large::{CellKey, List, Map, OwnedCellKey};
pub use money::Money;
pub use number::Number;
pub use operator::Operator;
pub use reducing::{Aggregating, Average, First, Gather, Last, Max, Min, Reduce, Reducing, Sum};
pub use sangam_macros::{config, event, inputs, operator, outputs, state};
pub use sangam_protocol::Millis;
pub use state::State;
pub use ttl::{Ttl, TtlClock, TtlFrom};
pub use window::Window;
pub use written::Written;
pub use wrong::Wrong;

/// What generated code names; not for authors.
#[doc(hidden)]
pub mod private {
    pub use crate::config::Table;
    pub use crate::event::EventStruct;
    pub use crate::field::Cells;
    pub use crate::shape::{locate, located, next, next_or_default, positions, rest, tag_of, tagged, unknown_kind, unknown_tag};
    pub use sangam_protocol::msgpack::{Reader, write};
    pub use serde;
}

/// Seconds in milliseconds.
///
/// ```
/// assert_eq!(sangam_sdk::seconds(2), 2_000);
/// ```
pub const fn seconds(n: i64) -> Millis {
    n * 1_000
}

/// Minutes in milliseconds.
///
/// ```
/// assert_eq!(sangam_sdk::minutes(2), 120_000);
/// ```
pub const fn minutes(n: i64) -> Millis {
    n * 60_000
}

/// Hours in milliseconds.
///
/// ```
/// assert_eq!(sangam_sdk::hours(1), 3_600_000);
/// ```
pub const fn hours(n: i64) -> Millis {
    n * 3_600_000
}
