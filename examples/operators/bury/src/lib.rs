//! Refuses what it gets, with the reason that it carries, so that it becomes a dead letter: it can be listed, and replayed once mended.

use sangam_sdk::*;

/// Something that nobody could handle.
#[event]
pub struct Buried {
    /// Why.
    pub reason: String,
}

/// Refuses it.
#[operator]
pub fn bury(buried: Buried) -> Result<()> {
    Err(reject(buried.reason))
}
