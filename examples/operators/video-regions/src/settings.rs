//! The configuration: regions, which city belongs to which, and when a region takes no more.

use std::collections::BTreeMap;

use sangam_sdk::*;
use serde::Deserialize;

use crate::circuit::Breaker;

/// Regions by name.
pub type Regions = BTreeMap<String, Site>;

/// A region as the pipeline writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Viewers that it can serve.
    capacity: u64,
    /// Degrees north and east.
    at: (Number, Number),
}

/// The configuration as the pipeline writes it.
#[config]
struct Written {
    /// Regions by name.
    regions: BTreeMap<String, Site>,
    /// The region of a city, in small letters. A city that is not here and is called as a region belongs to that.
    cities: BTreeMap<String, String>,
    /// The region of cities that are not known.
    unknown: String,
    /// Above this share of its capacity a region takes no more, per cent.
    spill_above_percent: u64,
    /// How many viewers a session stands for.
    #[config(default = 1u64)]
    viewers_per_session: u64,
    /// When a region that fails takes no more.
    breaker: Breaker,
}

/// The configuration, read and checked.
#[derive(Clone, Debug)]
pub struct VideoRegions {
    /// Regions by name.
    pub regions: Regions,
    /// When a region that fails takes no more.
    pub breaker: Breaker,
    cities: BTreeMap<String, String>,
    unknown: String,
    spill_above_percent: u64,
    viewers_per_session: u64,
    /// For each region all of them, the nearest first.
    order: BTreeMap<String, Vec<String>>,
}

impl Config for VideoRegions {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let Written { regions, cities, unknown, spill_above_percent, viewers_per_session, breaker } = Written::read(bytes)?;
        let names = regions.keys().cloned().collect::<Vec<_>>().join(", ");
        for name in cities.values().chain([&unknown]) {
            if !regions.contains_key(name) {
                return Err(format!("there is no region `{name}`; there are: {names}"));
            }
        }
        if !(1..=100).contains(&spill_above_percent) {
            return Err(format!("config field `spill_above_percent`: 1 to 100, not {spill_above_percent}"));
        }
        if viewers_per_session == 0 || breaker.failures == 0 {
            return Err("config fields `viewers_per_session` and `breaker.failures`: at least 1".into());
        }
        let order = regions.keys().map(|home| (home.clone(), order(home, &regions))).collect();
        Ok(VideoRegions { regions, breaker, cities, unknown, spill_above_percent, viewers_per_session, order })
    }
}

impl VideoRegions {
    /// The region of a city: that of the table, or the one of its name.
    pub fn home(&self, location: &str) -> &str {
        let city = location.to_lowercase();
        let region = || self.regions.get_key_value(&city).map(|(name, _)| name);
        self.cities.get(&city).or_else(region).unwrap_or(&self.unknown)
    }

    /// All regions, the nearest to `home` first: itself.
    pub fn nearest(&self, home: &str) -> &[String] {
        self.order.get(home).map_or(&[], Vec::as_slice)
    }

    /// Whether a region may have so many sessions. In whole numbers: a share of them is exact.
    pub fn has_room(&self, region: &str, sessions: i64) -> bool {
        let viewers = u128::from(sessions.max(0) as u64) * u128::from(self.viewers_per_session);
        self.regions.get(region).is_some_and(|site| viewers * 100 <= u128::from(site.capacity) * u128::from(self.spill_above_percent))
    }
}

fn order(home: &str, regions: &Regions) -> Vec<String> {
    let Some(from) = regions.get(home) else { return Vec::new() };
    let mut others: Vec<_> = regions.iter().map(|(name, site)| (kilometres(from, site), name)).collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    others.into_iter().map(|(_, name)| name.clone()).collect()
}

/// Along the surface of the earth, by the haversine formula.
fn kilometres(one: &Site, other: &Site) -> f64 {
    const EARTH_KM: f64 = 6_371.0;
    let [(lat1, lon1), (lat2, lon2)] = [one.at, other.at].map(|(lat, lon)| (lat.to_radians(), lon.to_radians()));
    let half = |a: f64, b: f64| ((b - a) / 2.0).sin().powi(2);
    let chord = half(lat1, lat2) + lat1.cos() * lat2.cos() * half(lon1, lon2);
    2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
}
