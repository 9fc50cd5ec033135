//! How sure a match is: a base, more for every event, more when it went fast, more for the pattern itself.

use sangam_sdk::{Millis, Number};
use serde::Deserialize;

/// What it is made of; the shipped pipeline writes all of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// What every match has.
    base: Number,
    /// What every event adds.
    per_event: Number,
    /// The most that events add.
    events_most: Number,
    /// What a match adds that took no time.
    recency: Number,
    /// In how many seconds that goes down by 1.
    recency_seconds: Positive,
}

/// More than 0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Number")]
struct Positive(f64);

impl Confidence {
    /// The confidence in a match of so many events that took so long, 0 to 1, to six decimals.
    pub fn of(&self, events: usize, took: Millis, bonus: f64) -> f64 {
        let events = (*self.per_event * events as f64).min(*self.events_most);
        let recency = (*self.recency - took as f64 / 1_000.0 / self.recency_seconds.0).max(0.0);
        ((*self.base + events + recency + bonus).clamp(0.0, 1.0) * 1e6).round() / 1e6
    }
}

impl TryFrom<Number> for Positive {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        if *number > 0.0 { Ok(Positive(*number)) } else { Err(format!("`recency_seconds` is more than 0, not {number}")) }
    }
}
