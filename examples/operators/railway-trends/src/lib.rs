//! Whether more and more passengers come, over three hours. It reads what `windowing` has added up of the hours; a window that lacks an hour,
//! as the first ones do, says nothing.

use sangam_sdk::*;

/// Three hours of a station.
#[event]
pub struct Sum<'a> {
    /// The station.
    pub key: &'a str,
    /// When the first begins.
    pub window_start: Millis,
    /// When the last ends.
    pub window_end: Millis,
    /// How many hours there are.
    pub hours: u64,
    /// Passengers of all.
    pub total: i64,
    /// Passengers of the first.
    pub first: i64,
    /// Passengers of the last.
    pub last: i64,
}

/// The same with its trend.
#[event]
pub struct Trend {
    /// The station.
    pub station: String,
    /// When the first begins.
    pub window_start: Millis,
    /// When the last ends.
    pub window_end: Millis,
    /// Passengers of all.
    pub total: i64,
    /// Passengers of an hour.
    pub mean: f64,
    /// Which way it goes.
    pub trend: String,
}

/// The configuration.
#[config]
pub struct RailwayTrends {
    /// How many hours a full window has.
    #[config(default = 3u64)]
    pub hours: u64,
    /// The last hour against the first, in percent, above which the trend is rising.
    #[config(default = 120i64)]
    pub rising_above: i64,
    /// The same, below which it is falling.
    #[config(default = 80i64)]
    pub falling_below: i64,
}

/// Says the trend of a full window.
#[operator]
impl RailwayTrends {
    /// Says the trend of a full window.
    pub fn on_event(&self, sum: Sum<'_>) -> Option<Trend> {
        // In whole numbers: 1.2 is none of the fractions of two that a float knows.
        let last = sum.last * 100;
        let trend = if last > sum.first * self.rising_above {
            "RISING"
        } else if last < sum.first * self.falling_below {
            "FALLING"
        } else {
            "STABLE"
        };
        (sum.hours >= self.hours).then(|| Trend {
            station: sum.key.to_owned(),
            window_start: sum.window_start,
            window_end: sum.window_end,
            total: sum.total,
            mean: sum.total as f64 / sum.hours as f64,
            trend: trend.to_owned(),
        })
    }
}
