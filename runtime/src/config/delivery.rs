//! How the events of a stream at Kafka are delivered that are not part of the commit: those for another cluster than the one that commits.

use super::meaning::BreakerSpec;
use super::webhook::Undelivered;

/// How events are delivered on their own, each before the commit that covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What becomes of an event that cannot be delivered for now.
    pub on_error: Undelivered,
    /// When the cluster is left alone for a while.
    pub breaker: BreakerSpec,
}
