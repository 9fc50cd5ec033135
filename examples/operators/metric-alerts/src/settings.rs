//! The configuration: thresholds of metrics, and the rules on some of them.

use std::collections::BTreeMap;

use sangam_sdk::*;
use serde::Deserialize;

/// The configuration as the pipeline writes it.
#[config]
struct Written {
    /// Thresholds by metric.
    thresholds: BTreeMap<String, Threshold>,
    /// Rules by metric.
    rules: BTreeMap<String, Rule>,
}

/// The configuration, read and checked.
#[derive(Clone, Debug)]
pub struct MetricAlerts {
    /// Thresholds by metric.
    pub thresholds: BTreeMap<String, Threshold>,
    /// Rules by metric.
    pub rules: BTreeMap<String, Rule>,
}

/// When a metric is bad, and when very bad: beyond the number, not at it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    warning: Number,
    critical: Number,
    /// Less is worse.
    #[serde(default)]
    below: bool,
}

/// When somebody is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How far it looks back; a sample that is exactly as old counts no longer.
    within: Duration,
    /// Fewer samples say nothing.
    pub samples_least: usize,
    /// So many of them are beyond the warning.
    pub breaching_percent: usize,
    /// Who is told.
    pub channels: Vec<Channel>,
    /// How bad it is.
    pub impact: String,
    /// What to do.
    pub runbook: String,
}

/// Who is told.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Those on call.
    Pagerduty,
    /// The channel.
    Slack,
    /// Telephones.
    Sms,
    /// Mail.
    Email,
}

impl Threshold {
    /// Names of the levels.
    pub const NAMES: [&'static str; 3] = ["ok", "warning", "critical"];

    /// The level of a value: 0, 1 or 2.
    pub fn level(&self, value: f64) -> u8 {
        let beyond = |limit: f64| if self.below { value < limit } else { value > limit };
        if beyond(*self.critical) { 2 } else { u8::from(beyond(*self.warning)) }
    }
}

impl Rule {
    /// How far it looks back.
    pub fn duration(&self) -> Millis {
        self.within.0
    }
}

impl Config for MetricAlerts {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let Written { thresholds, rules } = Written::read(bytes)?;
        for (metric, rule) in &rules {
            if !thresholds.contains_key(metric) {
                let known = thresholds.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(format!("config field `rules`: `{metric}` has no threshold; there are: {known}"));
            }
            if !(1..=100).contains(&rule.breaching_percent) {
                return Err(format!("config field `rules`: `{metric}`: 1 to 100 per cent, not {}", rule.breaching_percent));
            }
        }
        Ok(MetricAlerts { thresholds, rules })
    }
}
