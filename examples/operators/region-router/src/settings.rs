//! The configuration: regions, how far they are from each other, what is routed how, and when a region fails over.

use std::collections::BTreeMap;

use sangam_sdk::*;
use serde::Deserialize;

/// How a region is chosen.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The one that the event comes from, or the nearest to it.
    Proximity,
    /// The one with the least load for its capacity.
    LeastLoaded,
    /// What is urgent goes to one region, the rest to the least loaded.
    Priority,
    /// By the type of its content.
    Content,
}

/// When something is said of a region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Above this share of errors it fails over, per cent.
    pub error_rate_percent: Number,
    /// Above this latency there is a warning, ms.
    pub latency_ms: Number,
    /// Above this share of its capacity there is one, per cent.
    pub utilisation_percent: u64,
}

/// What is urgent, and where it goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Urgent {
    /// Up to this priority.
    pub up_to: u64,
    /// To this region.
    pub region: String,
}

/// The configuration as the pipeline writes it.
#[config]
struct Written {
    /// Events per hour that each region can take.
    capacity: BTreeMap<String, u64>,
    /// Latency between two regions, ms.
    latency_ms: Vec<(String, String, u64)>,
    /// How each topic is routed; others go to the default.
    strategies: BTreeMap<String, Strategy>,
    /// What is urgent.
    urgent: Urgent,
    /// The region of each type of content.
    content: BTreeMap<String, String>,
    /// The region of everything that nothing is said of.
    default: String,
    /// When something is said of a region.
    health: Health,
}

/// The configuration, read and checked.
#[derive(Clone, Debug)]
pub struct RegionRouter {
    /// Events per hour that each region can take.
    pub capacity: BTreeMap<String, u64>,
    /// How each topic is routed.
    pub strategies: BTreeMap<String, Strategy>,
    /// What is urgent.
    pub urgent: Urgent,
    /// The region of each type of content.
    pub content: BTreeMap<String, String>,
    /// The region of everything that nothing is said of.
    pub default: String,
    /// When something is said of a region.
    pub health: Health,
    /// For each region all of them, the nearest first: itself.
    nearest: BTreeMap<String, Vec<String>>,
}

impl Config for RegionRouter {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let Written { capacity, latency_ms, strategies, urgent, content, default, health } = Written::read(bytes)?;
        let names = capacity.keys().cloned().collect::<Vec<_>>().join(", ");
        let ends = latency_ms.iter().flat_map(|(one, other, _)| [one, other]);
        for name in ends.chain(content.values()).chain([&urgent.region, &default]) {
            if !capacity.contains_key(name) {
                return Err(format!("there is no region `{name}`; there are: {names}"));
            }
        }
        if let Some((name, _)) = capacity.iter().find(|(_, capacity)| **capacity == 0) {
            return Err(format!("config field `capacity.{name}`: at least 1"));
        }
        let nearest = capacity.keys().map(|from| nearest(from, &capacity, &latency_ms)).collect::<Result<_, _>>()?;
        Ok(RegionRouter { capacity, strategies, urgent, content, default, health, nearest })
    }
}

impl RegionRouter {
    /// All regions, the nearest to this one first: itself. None where there is no such region.
    pub fn nearest(&self, from: &str) -> &[String] {
        self.nearest.get(from).map_or(&[], Vec::as_slice)
    }
}

/// All regions in the order of their latency from one of them; of two that are as far, the one with the larger capacity.
fn nearest(from: &str, capacity: &BTreeMap<String, u64>, latency_ms: &[(String, String, u64)]) -> Result<(String, Vec<String>), String> {
    let mut all = Vec::new();
    for (to, capacity) in capacity {
        let between = |(one, other, _): &&(String, String, u64)| (one == from && other == to) || (one == to && other == from);
        let latency = if to == from { Some(0) } else { latency_ms.iter().find(between).map(|(_, _, latency)| *latency) };
        let latency = latency.ok_or_else(|| format!("config field `latency_ms`: nothing is said of `{from}` and `{to}`"))?;
        all.push((to != from, latency, u64::MAX - capacity, to.clone()));
    }
    all.sort();
    Ok((from.to_owned(), all.into_iter().map(|(_, _, _, name)| name).collect()))
}
