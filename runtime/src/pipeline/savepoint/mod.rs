//! Savepoints: the whole state of a pipeline at one commit, under a name, to go back to or to go on from elsewhere.
//!
//! One holds what tasks remember (state, timers, watermarks, windows, patterns, events that wait), how far every partition was read, what was
//! under way in passages, the builds that ran and the text of the pipeline's file; it does not hold topics. Nothing in it depends on the kind
//! of store or cluster.

mod depot;
mod error;
mod live;
mod restore;
mod stopped;
mod swap;
mod take;
mod under_way;

pub use depot::{Depot, Listed};
pub use error::SavepointError;
pub use live::Requests;
pub use swap::Before;

use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a savepoint says of itself. Its manifest is written last: without one a savepoint counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Version of the format.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// The pipeline.
    pub pipeline: String,
    /// When it was taken, in milliseconds since the epoch.
    pub created_ms: Millis,
    /// Why it was taken.
    pub why: String,
    /// The version of Sangam that took it.
    pub sangam: String,
    /// The operators, in the order of the pipeline's file.
    pub operators: Vec<SavedOperator>,
    /// How far each partition of each stream had been read.
    pub positions: Vec<SavedPosition>,
    /// By stream: how many records were under way in passages; those of one that was empty are left out.
    #[serde(default)]
    pub under_way: BTreeMap<String, u64>,
    /// The swap that it was taken before, if it was.
    pub swap: Option<SavedSwap>,
    /// Entries of all parts.
    pub entries: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// The objects that hold the state.
    pub parts: Vec<SavedObject>,
    /// The other objects: the pipeline's file, the builds.
    pub files: Vec<SavedObject>,
}

/// An operator in a savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedOperator {
    /// Its name.
    pub name: String,
    /// The name of its plugin.
    pub plugin: String,
    /// SHA-256 of the build that ran.
    pub sha256: String,
    /// Version in the build's manifest.
    pub version: String,
    /// Into how many slices its keys are cut; `None` for one without keys.
    pub slices: Option<u32>,
    /// The version of its state's schema, where it has one.
    pub schema: Option<u32>,
}

/// How far a partition had been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPosition {
    /// The stream.
    pub stream: String,
    /// The partition.
    pub partition: u32,
    /// The offset of the next record.
    pub offset: i64,
    /// The watermark.
    pub watermark_ms: Millis,
}

/// A swap of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSwap {
    /// The plugin.
    pub plugin: String,
    /// The operators that run it.
    pub operators: Vec<String>,
    /// SHA-256 of the build before the swap, which the savepoint holds.
    pub from: String,
    /// SHA-256 of the build after it.
    pub to: String,
}

/// An object that belongs to a savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedObject {
    /// Its path in the savepoint's folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// The most characters of a savepoint's name.
const NAME_MAX: usize = 128;

/// Whether a savepoint may have that name: it becomes a folder.
///
/// # Errors
/// What a name must be like.
pub fn check_name(name: &str) -> Result<(), SavepointError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=NAME_MAX).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.');
    if good { Ok(()) } else { Err(SavepointError::Name(name.to_owned())) }
}
