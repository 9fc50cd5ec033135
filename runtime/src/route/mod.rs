//! How events reach an operator: what is read out of them, what their key is, which partition or task they belong to.
//!
//! It calls no operator and keeps no state.

mod input;
mod partition;
mod scan;
mod time;
mod transcode;

pub use input::{ALL_KEY, Input, InputError, RECORD_KEY, Refusal};
pub use partition::{murmur2, partition_of};
pub use scan::{Scanner, Wants};
pub use time::{TIME_MAX, TimeUnit, check as check_time, event_time};
pub use transcode::{json_to_msgpack, msgpack_to_json};
