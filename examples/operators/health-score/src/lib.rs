//! One number for how well a system is: 100, less for every alert, less for every region that is not well.

use std::collections::{BTreeMap, BTreeSet};

use sangam_sdk::*;
use serde::Deserialize;

/// Something that the health depends on.
#[event]
pub struct Change {
    /// `alert` or `level`.
    pub change: String,
    /// Of what.
    pub metric: String,
    /// Where.
    pub region: String,
    /// Of an alert `firing` or `recovered`; of a level `ok`, `warning`, `critical`.
    pub state: String,
    /// Of an alert.
    pub impact: Option<String>,
}

/// What is not well.
#[state]
pub struct Ill {
    /// Alerts by region and metric, with their impact.
    alerts: BTreeMap<String, String>,
    /// By region the metrics that are critical.
    regions: BTreeMap<String, Vec<String>>,
    /// The score as it was told.
    told: Option<u64>,
}

/// How well it is.
#[event]
pub struct Health {
    /// 0 to 100.
    pub score: u64,
    /// `excellent`, `good`, `warning`, `critical`.
    pub status: String,
    /// Alerts of high impact.
    pub high_alerts: u64,
    /// The others.
    pub other_alerts: u64,
    /// Regions with a critical metric.
    pub unhealthy_regions: Vec<String>,
    /// Since when.
    pub at: Millis,
}

/// A status, from a score on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    name: String,
    from: u64,
}

/// The configuration.
#[config]
pub struct HealthScore {
    /// What an alert of high impact takes off.
    pub high_alert: u64,
    /// What another one takes off.
    pub other_alert: u64,
    /// What a region takes off.
    pub unhealthy_region: u64,
    /// Statuses, best first; the last one has what is left.
    pub statuses: Vec<Status>,
}

#[operator(key = "$all")]
impl HealthScore {
    /// Takes a change; says the score where it is another one.
    pub fn on_event(&self, change: Change, ill: &mut Ill, ctx: &mut Context) -> Option<Health> {
        ill.take(change);
        let high = ill.alerts.values().filter(|impact| *impact == "HIGH").count() as u64;
        let other = ill.alerts.len() as u64 - high;
        let regions: BTreeSet<_> = ill.regions.keys().cloned().collect();
        let off = high * self.high_alert + other * self.other_alert + regions.len() as u64 * self.unhealthy_region;
        let score = 100_u64.saturating_sub(off);
        if ill.told.unwrap_or(100) == score {
            return None;
        }
        ill.told = Some(score);
        let status = self.statuses.iter().find(|status| score >= status.from).or(self.statuses.last());
        Some(Health {
            score,
            status: status.map(|status| status.name.clone()).unwrap_or_default(),
            high_alerts: high,
            other_alerts: other,
            unhealthy_regions: regions.into_iter().collect(),
            at: ctx.time(),
        })
    }
}

impl Ill {
    fn take(&mut self, change: Change) {
        if change.change == "alert" {
            let alert = format!("{}/{}", change.region, change.metric);
            match change.impact.filter(|_| change.state == "firing") {
                Some(impact) => self.alerts.insert(alert, impact),
                None => self.alerts.remove(&alert),
            };
            return;
        }
        let critical = self.regions.entry(change.region.clone()).or_default();
        critical.retain(|metric| *metric != change.metric);
        if change.state == "critical" {
            critical.push(change.metric);
        }
        if critical.is_empty() {
            self.regions.remove(&change.region);
        }
    }
}
