//! How a region stands.

use sangam_sdk::*;

use crate::circuit::Circuit;

/// A region.
#[state]
pub struct Region {
    /// Sessions that play.
    pub viewers: i64,
    /// Whether it works.
    pub circuit: Circuit,
}
