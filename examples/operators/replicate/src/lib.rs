//! Copies events of some topics from some regions for another. A copy says in a header where it is from, and is never copied again: regions
//! may copy to each other.

use sangam_sdk::*;

/// The header of a copy.
pub const HEADER: &str = "replicated_from";

/// An event in a region.
#[event]
pub struct Original<'a> {
    /// Whose it is: events of one user stay in order.
    pub user_id: &'a str,
    /// The region.
    pub region: &'a str,
    /// Its topic there.
    pub topic: &'a str,
    /// Its name.
    pub event_id: &'a str,
    /// When it happened.
    pub timestamp: Millis,
    /// Where it has been copied from, if it has.
    #[event(path = "$headers.replicated_from")]
    pub replicated_from: Option<&'a [u8]>,
}

/// The copy.
#[event]
pub struct Replica {
    /// Its name.
    pub event_id: String,
    /// Whose it is.
    pub user_id: String,
    /// The region that has the original.
    pub region: String,
    /// The topic that it goes to.
    pub topic: String,
    /// The region that it is from.
    pub replicated_from: String,
    /// When it happened.
    pub timestamp: Millis,
}

/// What is copied.
#[config]
pub struct Replicate {
    /// From these regions.
    from: Vec<String>,
    /// These topics; without any, all.
    topics: Option<Vec<String>>,
}

/// Copies an event, unless it is one.
#[operator]
pub fn replicate(event: Original<'_>, config: &Replicate) -> Option<Output<Replica>> {
    let wanted = config.topics.as_ref().is_none_or(|topics| topics.iter().any(|topic| topic == event.topic));
    if event.replicated_from.is_some() || !config.from.iter().any(|region| region == event.region) || !wanted {
        return None;
    }
    let replica = Replica {
        event_id: event.event_id.to_owned(),
        user_id: event.user_id.to_owned(),
        region: event.region.to_owned(),
        topic: format!("{}-replica", event.topic),
        replicated_from: event.region.to_owned(),
        timestamp: event.timestamp,
    };
    Some(Output::new(replica).at(event.timestamp).key(event.user_id).header(HEADER, event.region))
}
