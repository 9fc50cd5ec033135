//! Journeys of passengers, from the station where they enter to the one where they leave, and what kind of journey it was.
//!
//! In the order of event time, whatever order the gates report in. Who enters twice has left unseen: the second entry counts.

use sangam_sdk::pattern::{AfterMatch, Match, Pattern};
use sangam_sdk::*;

/// A passenger at a gate.
#[event]
pub struct Tap {
    /// Who.
    pub passenger_id: String,
    /// Where.
    pub station: String,
    /// `entry` or `exit`.
    pub gate: String,
}

/// A journey.
#[event]
pub struct Journey {
    /// Who.
    pub passenger_id: String,
    /// Where it began.
    pub from: String,
    /// Where it ended.
    pub to: String,
    /// When it began.
    pub entered: Millis,
    /// When it ended.
    pub left: Millis,
    /// How long it took.
    pub minutes: f64,
    /// What kind: `home_to_work`, `work_to_home`, `local` or `long_distance`.
    pub pattern: String,
}

/// The configuration.
#[config]
pub struct RailwayJourneys {
    /// Stations near offices.
    pub business: Vec<String>,
    /// Stations near homes.
    pub residential: Vec<String>,
    /// A journey of another kind that takes less than this is local.
    #[config(default = Duration(minutes(20)))]
    pub local_below: Duration,
    /// After so long nobody is on the way any more.
    #[config(default = Duration(hours(12)))]
    pub forget_after: Duration,
}

#[operator(key = "passenger_id", pattern)]
impl RailwayJourneys {
    /// An entry, and the exit that comes next.
    pub fn pattern(&self) -> Pattern<Tap> {
        Pattern::begin("entry")
            .where_(|tap: &Tap, _| tap.gate == "entry")
            .next("exit")
            .where_(|tap, _| tap.gate == "exit")
            .within(self.forget_after.0)
            .after_match(AfterMatch::SkipPastLastEvent)
    }

    /// A journey.
    pub fn on_match(&self, found: Match<Tap>) -> Option<Journey> {
        let (entry, exit) = (found.first("entry")?, found.last("exit")?);
        let took = found.time() - found.started();
        Some(Journey {
            passenger_id: entry.passenger_id.clone(),
            from: entry.station.clone(),
            to: exit.station.clone(),
            entered: found.started(),
            left: found.time(),
            minutes: took as f64 / minutes(1) as f64,
            pattern: self.kind(&entry.station, &exit.station, took).to_owned(),
        })
    }
}

impl RailwayJourneys {
    fn kind(&self, from: &str, to: &str, took: Millis) -> &'static str {
        let is = |stations: &[String], station: &str| stations.iter().any(|known| known == station);
        if is(&self.residential, from) && is(&self.business, to) {
            "home_to_work"
        } else if is(&self.business, from) && is(&self.residential, to) {
            "work_to_home"
        } else if took < self.local_below.0 {
            "local"
        } else {
            "long_distance"
        }
    }
}
