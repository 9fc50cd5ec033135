//! How busy an hour of a station was, and in which part of the day it lay. It reads what `windowing` has added up for the hour.

use std::collections::BTreeMap;

use sangam_sdk::window::Zone;
use sangam_sdk::*;

/// An hour of a station.
#[event]
pub struct Sum<'a> {
    /// The station.
    pub key: &'a str,
    /// When the hour begins.
    pub window_start: Millis,
    /// When it ends.
    pub window_end: Millis,
    /// How many passengers came; none where no event said.
    pub passengers: Option<i64>,
}

/// The same, classed.
#[event]
pub struct Hour {
    /// The station.
    pub station: String,
    /// When it begins.
    pub window_start: Millis,
    /// When it ends.
    pub window_end: Millis,
    /// How many passengers came.
    pub passengers: i64,
    /// How busy that is.
    pub class: String,
    /// The part of the day, `other` between them.
    pub period: String,
}

/// The configuration.
#[config]
pub struct RailwayHours {
    /// Classes, each for more passengers than its limit.
    pub above: BTreeMap<String, i64>,
    /// The class of the other hours.
    pub otherwise: String,
    /// Parts of the day: from which hour on, and before which other; past midnight where the first is the later one.
    pub periods: BTreeMap<String, (u32, u32)>,
    /// Where the clock hangs.
    pub zone: Zone,
}

/// Classes an hour.
#[operator]
impl RailwayHours {
    /// Classes an hour.
    pub fn on_event(&self, sum: Sum<'_>) -> Hour {
        let passengers = sum.passengers.unwrap_or(0);
        // Of those that it exceeds, the class with the highest limit.
        let exceeded = self.above.iter().filter(|(_, limit)| passengers > **limit);
        let class = exceeded.max_by_key(|(_, limit)| **limit).map_or(&self.otherwise, |(class, _)| class);
        let hour = self.zone.local(sum.window_start).div_euclid(hours(1)).rem_euclid(24) as u32;
        let holds = |from: u32, to: u32| if from <= to { from <= hour && hour < to } else { from <= hour || hour < to };
        let period = self.periods.iter().find(|(_, (from, to))| holds(*from, *to)).map_or("other", |(period, _)| period);
        Hour {
            station: sum.key.to_owned(),
            window_start: sum.window_start,
            window_end: sum.window_end,
            passengers,
            class: class.clone(),
            period: period.to_owned(),
        }
    }
}
