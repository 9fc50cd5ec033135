//! What a minute has seen, and how the platform stands at its end.

use std::collections::BTreeMap;

use sangam_sdk::*;

use crate::output::Dashboard;
use crate::settings::Regions;
use crate::{Moved, Viewing};

/// A minute that has not ended.
#[state]
pub struct Minute {
    /// Viewers more, or less, by region.
    moved: BTreeMap<String, i64>,
    events: u64,
    errors: u64,
    /// Sum of the buffers in milliseconds: floats would add up otherwise in another order.
    buffer_ms: i64,
    qualities: BTreeMap<String, u64>,
    networks: BTreeMap<String, u64>,
}

impl Minute {
    /// Counts an event.
    pub fn take(&mut self, event: &Viewing<'_>, moved: Moved) {
        if let Some((region, by)) = moved {
            *self.moved.entry(region).or_default() += by;
        }
        self.events += 1;
        self.errors += u64::from(event.event_type == "error");
        self.buffer_ms = self.buffer_ms.saturating_add((event.buffer_health * 1_000.0).round() as i64);
        *self.qualities.entry(event.quality.to_owned()).or_default() += 1;
        *self.networks.entry(event.network_type.to_owned()).or_default() += 1;
    }

    /// Adds its viewers to those of the minutes before.
    pub fn settle(&self, told: &mut BTreeMap<String, i64>) {
        for (region, by) in &self.moved {
            let viewers = told.entry(region.clone()).or_default();
            *viewers += by;
            if *viewers == 0 {
                told.remove(region);
            }
        }
    }

    /// How the platform stands at its end.
    pub fn dashboard(self, begin: Millis, regions: &Regions, told: &BTreeMap<String, i64>) -> Dashboard {
        let regions: BTreeMap<_, _> = regions.keys().map(|name| (name.clone(), told.get(name).copied().unwrap_or(0))).collect();
        Dashboard {
            minute: begin,
            concurrent: regions.values().sum(),
            regions,
            events: self.events,
            mean_buffer: self.buffer_ms as f64 / self.events as f64 / 1_000.0,
            error_rate: self.errors as f64 / self.events as f64,
            qualities: self.qualities,
            networks: self.networks,
        }
    }
}
