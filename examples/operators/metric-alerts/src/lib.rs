//! Holds samples of metrics against thresholds: says when a metric changes its level, and once when a rule is broken and when no longer.
//!
//! Thresholds, rules and channels are the configuration; keyed by region and metric.

mod settings;

use sangam_sdk::*;

pub use settings::MetricAlerts;
use settings::{Channel, Rule, Threshold};

/// A sample of a metric.
#[event]
pub struct Sample<'a> {
    /// Where it was taken.
    pub region: &'a str,
    /// Of what.
    pub metric: &'a str,
    /// Its value.
    pub value: f64,
}

/// The samples of a metric in a region.
#[state]
pub struct Watched {
    /// Those that its rule looks back to, in order of time: their level.
    samples: Vec<(Millis, u8)>,
    /// The level of the newest one.
    level: u8,
    /// The rule is broken.
    firing: bool,
}

/// A rule is broken, or no longer. One goes to each channel.
#[event]
pub struct Alert {
    /// `firing` or `recovered`.
    pub state: String,
    /// Of what.
    pub metric: String,
    /// Where.
    pub region: String,
    /// `warning`, or `critical` where as many samples are that.
    pub level: String,
    /// `HIGH`, `MEDIUM`, `LOW`.
    pub impact: String,
    /// The newest value.
    pub value: f64,
    /// Samples that the rule looked at.
    pub samples: u64,
    /// Those that are beyond the threshold.
    pub breaching: u64,
    /// Time of the newest sample.
    pub at: Millis,
    /// What to do.
    pub runbook: String,
}

/// Something that the health of the whole depends on.
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
    /// Time of the sample.
    pub at: Millis,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// To those on call.
    Pagerduty(Alert),
    /// To the channel.
    Slack(Alert),
    /// To telephones.
    Sms(Alert),
    /// By mail.
    Email(Alert),
    /// What the health of the whole depends on.
    Changes(Change),
}

#[operator(key = "region, metric")]
impl MetricAlerts {
    /// Takes a sample.
    pub fn on_event(&self, sample: Sample<'_>, watched: &mut Watched, ctx: &mut Context) -> Result<Vec<Out>> {
        let Some(threshold) = self.thresholds.get(sample.metric) else {
            let known = self.thresholds.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(reject(format!("there is no threshold for `{}`; there are: {known}", sample.metric)));
        };
        let level = threshold.level(sample.value);
        let mut out = Vec::new();
        if level != watched.level {
            watched.level = level;
            out.push(change("level", &sample, Threshold::NAMES[usize::from(level)], None, ctx));
        }
        if let Some(rule) = self.rules.get(sample.metric) {
            out.extend(watched.hold_against(rule, level, &sample, ctx));
        }
        Ok(out)
    }
}

impl Watched {
    /// Whether a rule is broken now, and was not before, or the other way round.
    fn hold_against(&mut self, rule: &Rule, level: u8, sample: &Sample<'_>, ctx: &Context) -> Vec<Out> {
        let place = self.samples.partition_point(|(time, _)| *time <= ctx.time());
        self.samples.insert(place, (ctx.time(), level));
        let newest = self.samples.last().map_or(ctx.time(), |(time, _)| *time);
        self.samples.retain(|(time, _)| newest - time < rule.duration());
        let share = |least: u8| self.samples.iter().filter(|(_, level)| *level >= least).count();
        let (all, breaching) = (self.samples.len(), share(1));
        if all < rule.samples_least {
            return Vec::new();
        }
        let enough = |count: usize| count * 100 >= all * rule.breaching_percent;
        if enough(breaching) == self.firing {
            return Vec::new();
        }
        self.firing = enough(breaching);
        let state = if self.firing { "firing" } else { "recovered" };
        let alert = Alert {
            state: state.to_owned(),
            metric: sample.metric.to_owned(),
            region: sample.region.to_owned(),
            level: Threshold::NAMES[if enough(share(2)) { 2 } else { 1 }].to_owned(),
            impact: rule.impact.clone(),
            value: sample.value,
            samples: all as u64,
            breaching: breaching as u64,
            at: ctx.time(),
            runbook: rule.runbook.clone(),
        };
        let told = rule.channels.iter().map(|channel| {
            let alert = alert.clone();
            match channel {
                Channel::Pagerduty => Out::Pagerduty(alert),
                Channel::Slack => Out::Slack(alert),
                Channel::Sms => Out::Sms(alert),
                Channel::Email => Out::Email(alert),
            }
        });
        told.chain([change("alert", sample, state, Some(&rule.impact), ctx)]).collect()
    }
}

fn change(change: &str, sample: &Sample<'_>, state: &str, impact: Option<&str>, ctx: &Context) -> Out {
    Out::Changes(Change {
        change: change.to_owned(),
        metric: sample.metric.to_owned(),
        region: sample.region.to_owned(),
        state: state.to_owned(),
        impact: impact.map(str::to_owned),
        at: ctx.time(),
    })
}
