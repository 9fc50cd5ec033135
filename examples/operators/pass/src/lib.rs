//! Passes events on as they are: what brings the examples' files to topics, and topics to files.

use sangam_sdk::*;

/// An event goes on as it came.
#[operator]
pub fn pass(_event: Raw<'_>) -> Forward {
    Forward
}
