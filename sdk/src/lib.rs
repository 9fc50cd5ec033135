//! Write a stream operator as a Rust function; Sangam runs it as wasm.
//!
//! The signature is the declaration: by value = the event, `&mut T` = what I remember for this key, `&T` = what I was configured
//! with, [`Context`] = time and timers; what it returns is what it emits. The author's guide is `docs/sdk.md`.
//!
//! ```
//! use sangam_sdk::*;
//!
//! #[event] struct Word { text: String }
//! #[event] struct Tally { text: String, seen: u64 }
//! #[state] struct Seen { count: u64 }
//!
//! #[operator(key = "text")]
//! fn count(word: Word, seen: &mut Seen) -> Tally {
//!     seen.count += 1;
//!     Tally { text: word.text, seen: seen.count }
//! }
//!
//! // A plain function call…
//! let mut seen = Seen::default();
//! assert_eq!(count(Word { text: "hi".into() }, &mut seen).seen, 1);
//!
//! // …and with keys, timers and a watermark, through the bytes that the host would use.
//! let mut h = test::Harness::<count>::new();
//! h.send(0, Word { text: "hi".into() }).send(1, Word { text: "hi".into() });
//! assert_eq!(h.take::<Tally>("out").last().unwrap().seen, 2);
//! ```

// The macros name this crate; so its own tests and docs can use them.
extern crate self as sangam_sdk;

// What an author names.
mod context;
mod emit;
mod error;
mod event;
mod field;

// What the attributes implement.
mod config;
mod operator;
mod state;

// One batch.
mod batch;
mod cells;
mod timers;

// The outside.
#[doc(hidden)]
pub mod guest;
pub mod log;
#[doc(hidden)]
pub mod manifest;

pub use config::Config;
pub use context::{Context, Timer};
pub use emit::{Emit, Emitter, Forward, Leave, Output, Payload};
pub use error::{Error, Result, discard, late, reject};
pub use event::{Event, FieldPath, Raw, Row};
pub use field::{Encode, Field, Value, Wrong};
pub use operator::Operator;
pub use sangam_macros::{config, event, operator, outputs, state};
pub use sangam_protocol::Millis;
pub use state::State;

/// What generated code names; not for authors.
#[doc(hidden)]
pub mod private {
    pub use crate::config::Table;
    pub use crate::event::EventStruct;
    pub use crate::field::{Cells, locate, located, next, next_or_default, positions, rest, tagged, unknown_kind};
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
