//! Says how many instances of a region the hour of the day needs. Hours and multipliers are the configuration.

use sangam_sdk::*;
use serde::Deserialize;

/// What a region has used in an hour.
#[event]
pub struct Usage<'a> {
    /// The region.
    pub region: &'a str,
    /// Its instances on a day like others.
    pub instances: u64,
}

/// How many it needs.
#[event]
pub struct Plan {
    /// The region.
    pub region: String,
    /// The local hour, 0 to 23.
    pub hour: u64,
    /// Its instances on a day like others.
    pub instances: u64,
    /// How many it needs in this hour.
    pub wanted: u64,
}

/// Hours of the day and their multiplier. The last hour counts; from 23 to 7 goes past midnight.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written")]
pub struct Hours {
    from: i64,
    to: i64,
    times: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: i64,
    to: i64,
    times: Number,
}

/// The configuration.
#[config]
pub struct ScalingPlan {
    /// What local time is ahead of universal time.
    pub utc_offset: Duration,
    /// The first that has the hour counts; an hour that is in none counts once.
    pub hours: Vec<Hours>,
    /// Never fewer.
    pub least: u64,
}

#[operator]
impl ScalingPlan {
    /// Plans the hour of a sample.
    pub fn on_event(&self, usage: Usage<'_>, ctx: &Context) -> Plan {
        let hour = (ctx.time() + self.utc_offset.0).div_euclid(hours(1)).rem_euclid(24);
        let times = self.hours.iter().find(|hours| hours.have(hour)).map_or(1.0, |hours| hours.times);
        // Half an instance is one more; what 1.1 times 10 is beyond 11 is none.
        let wanted = (usage.instances as f64 * times - 1e-9).ceil() as u64;
        Plan { region: usage.region.to_owned(), hour: hour as u64, instances: usage.instances, wanted: wanted.max(self.least) }
    }
}

impl Hours {
    fn have(&self, hour: i64) -> bool {
        if self.from <= self.to { (self.from..=self.to).contains(&hour) } else { hour >= self.from || hour <= self.to }
    }
}

impl TryFrom<Written> for Hours {
    type Error = String;

    fn try_from(Written { from, to, times }: Written) -> Result<Self, String> {
        match [from, to].iter().find(|hour| !(0..24).contains(*hour)) {
            Some(hour) => Err(format!("{hour} is no hour of the day: 0 to 23")),
            None if *times < 0.0 => Err(format!("{times} times is less than none")),
            None => Ok(Hours { from, to, times: *times }),
        }
    }
}
