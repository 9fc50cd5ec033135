//! Passes on the events that were routed to one region: what stands before that region's topic.

use sangam_sdk::*;

/// An event that has a region.
#[event]
pub struct Routed<'a> {
    /// The region.
    pub region: &'a str,
}

/// Which region.
#[config]
pub struct InRegion {
    /// Its name.
    region: String,
}

/// An event of the region goes on as it came.
#[operator]
pub fn in_region(routed: Routed<'_>, config: &InRegion) -> Option<Forward> {
    (routed.region == config.region).then_some(Forward)
}
