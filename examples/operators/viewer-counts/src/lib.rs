//! How many watch a content or a region, in which quality, and when that is too much. The key says which of the two.

use std::collections::BTreeMap;

use sangam_sdk::*;

/// A viewer more or less, or one in another quality.
#[event]
pub struct Change {
    /// One more, one less, or 0.
    pub change: i64,
    /// The new quality, where that has changed.
    pub quality: Option<String>,
}

/// How many watch.
#[event]
pub struct Viewers {
    /// The content or the region.
    pub key: String,
    /// Viewers now.
    pub viewers: u64,
}

/// How often which quality was chosen.
#[event]
pub struct Qualities {
    /// The content or the region.
    pub key: String,
    /// By quality.
    pub counts: BTreeMap<String, u64>,
}

/// Too many.
#[event]
pub struct Alert {
    /// What it is called.
    pub alert: String,
    /// How bad it is.
    pub severity: String,
    /// What to do.
    pub action: String,
    /// The content or the region.
    pub key: String,
    /// Viewers now.
    pub viewers: u64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// After every change.
    Viewers(Viewers),
    /// After every change of a quality.
    Qualities(Qualities),
    /// A multiple of the milestone is reached for the first time.
    Milestones(Viewers),
    /// Above the limit, when it gets there.
    Alerts(Alert),
}

/// What is remembered of a content or a region.
#[state]
pub struct Audience {
    /// Viewers now.
    pub viewers: u64,
    /// Milestones that have been reached.
    pub milestones: u64,
    /// How often which quality.
    pub qualities: BTreeMap<String, u64>,
}

/// The configuration.
#[config]
pub struct ViewerCounts {
    /// How many viewers each stands for, so that a match of millions can be played with thousands.
    #[config(default = 1u64)]
    pub stands_for: u64,
    /// Each of so many viewers is told; 0: none is.
    #[config(default = 0u64)]
    pub milestone: u64,
    /// More viewers are too many.
    pub above: u64,
    /// What the alert is called.
    pub alert: String,
    /// How bad it is.
    pub severity: String,
    /// What to do.
    pub action: String,
}

#[operator(keyed)]
impl ViewerCounts {
    /// Counts.
    pub fn on_event(&self, change: Change, audience: &mut Audience, ctx: &Context) -> Vec<Out> {
        let key = || ctx.key().to_owned();
        if let Some(quality) = change.quality {
            *audience.qualities.entry(quality).or_default() += 1;
            return vec![Out::Qualities(Qualities { key: key(), counts: audience.qualities.clone() })];
        }
        let before = audience.viewers;
        let viewers = before.saturating_add_signed(change.change);
        audience.viewers = viewers;
        let mut out = vec![Out::Viewers(Viewers { key: key(), viewers })];
        let [before, now] = [before, viewers].map(|count| count.saturating_mul(self.stands_for));
        if self.milestone > 0 && now / self.milestone > audience.milestones {
            audience.milestones = now / self.milestone;
            out.push(Out::Milestones(Viewers { key: key(), viewers }));
        }
        if now > self.above && before <= self.above {
            let (alert, severity, action) = (self.alert.clone(), self.severity.clone(), self.action.clone());
            out.push(Out::Alerts(Alert { alert, severity, action, key: key(), viewers }));
        }
        out
    }
}
