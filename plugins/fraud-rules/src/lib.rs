//! Scores payments by rules that are data: how much, how often, from which device, from where.
//!
//! It never asks anybody: what it knows of a payer is in the payer's state, everything else in its configuration.

mod money;
mod payer;
mod place;
mod rules;
mod velocity;
mod verdict;

use sangam_sdk::*;

use money::{Cents, cents};
pub use payer::Payer;
pub use place::Places;
use rules::Facts;
pub use rules::Rules;
use velocity::{Total, Track};
pub use verdict::{Actions, Level, Levels};

/// The timer of a payer that forgets what is over.
const TIMER: &str = "idle";

/// The configuration. The defaults are for UPI payments.
#[config]
pub struct FraudRules {
    /// Where the fields of a payment are.
    #[config(default)]
    pub fields: Fields,
    /// What is looked for.
    #[config(default)]
    pub rules: Rules,
    /// From which score on each level holds.
    #[config(default)]
    pub levels: Levels,
    /// What is done at each level.
    #[config(default)]
    pub actions: Actions,
    /// The level from which on a payment is an alert.
    #[config(default = Level::High)]
    pub alert_level: Level,
    /// Where the places are that payments name.
    #[config(default)]
    pub places: Places,
    /// How many devices are remembered of a payer.
    #[config(default = 16usize)]
    pub devices: usize,
    /// How long after a payer's last payment everything is forgotten.
    #[config(default = Duration(hours(30 * 24)))]
    pub remember: Duration,
}

/// Paths of a payment's fields.
#[config]
pub struct Fields {
    /// What tells payments apart.
    #[config(default = "transaction_id")]
    pub transaction_id: String,
    /// How much.
    #[config(default = "amount")]
    pub amount: String,
    /// The device; may be missing.
    #[config(default = "device_id")]
    pub device_id: String,
    /// The place; may be missing.
    #[config(default = "location")]
    pub location: String,
}

impl Default for Fields {
    fn default() -> Self {
        Fields {
            transaction_id: "transaction_id".into(),
            amount: "amount".into(),
            device_id: "device_id".into(),
            location: "location".into(),
        }
    }
}

/// A payment with its score.
#[event]
pub struct Scored {
    /// The payment.
    pub transaction_id: String,
    /// The payer: the key.
    pub sender_vpa: String,
    /// How much.
    pub amount: f64,
    /// 0 to 100.
    pub score: f64,
    /// How bad it is.
    pub level: String,
    /// What to do about it.
    pub action: String,
    /// The rules that fired.
    pub reasons: Vec<Reason>,
}

/// A rule that fired.
#[event]
pub struct Reason {
    /// The rule's name.
    pub rule: String,
    /// What it added to the score.
    pub weight: f64,
    /// What it found.
    pub why: String,
}

/// Where payments leave.
#[outputs]
pub enum Out {
    /// Every payment.
    Scored(Scored),
    /// Those at or above the alert level.
    Alerts(Scored),
}

#[operator(key = "sender_vpa")]
impl FraudRules {
    /// The fields that rules look at, in the order in which [`FraudRules::on_event`] reads them.
    pub fn fields(&self) -> Vec<FieldPath> {
        let Fields { transaction_id, amount, device_id, location } = &self.fields;
        let [device_id, location] = [device_id, location].map(FieldPath::optional);
        vec![FieldPath::required(transaction_id), FieldPath::required(amount), device_id, location]
    }

    /// Scores a payment.
    pub fn on_event(&self, row: Row<'_>, payer: &mut Payer, ctx: &mut Context) -> Result<Vec<Out>> {
        let (id, amount) = (self.named(&row, 0)?, self.named(&row, 1)?);
        let (device, location): (Option<&str>, Option<&str>) = (self.named(&row, 2)?, self.named(&row, 3)?);
        let cents = cents(amount).ok_or_else(|| reject(format!("{amount} is no amount of money")))?;
        let totals = self.count(payer, cents, ctx);
        let device = payer.see_device(device, self.devices);
        let trip = location.and_then(|location| {
            if self.places.find(location).is_none() {
                ctx.count("unknown_locations", 1);
            }
            payer.see_place(location, ctx.time(), &self.places)
        });
        let reasons = self.reasons(&Facts { cents, device, trip, totals: &totals });
        self.keep_awake(payer, ctx);
        Ok(self.outputs(id, amount, ctx.key(), reasons))
    }

    /// Forgets the velocity of a payer who has been quiet for the longest span, and in the end the payer.
    pub fn on_timer(&self, timer: Timer, payer: &mut Payer, ctx: &mut Context) {
        let quiet_since = payer.newest.unwrap_or(Millis::MIN);
        let (tracks, all) = (quiet_since.saturating_add(self.longest_span()), quiet_since.saturating_add(self.remember.0));
        if timer.at() >= all {
            *payer = Payer::default();
        } else if timer.at() >= tracks {
            payer.tracks.clear();
            ctx.wake(TIMER, all);
        } else {
            ctx.wake(TIMER, tracks.min(all));
        }
    }
}

impl FraudRules {
    /// Reads field `i`; an error names it by its path.
    fn named<'r, T: Field<'r>>(&self, row: &Row<'r>, i: usize) -> Result<T> {
        row.get(i).map_err(|error| match (error, self.fields().get(i)) {
            (Error::Reject(why), Some(field)) => Error::Reject(why.replacen(&format!("#{i}"), &field.path, 1)),
            (error, _) => error,
        })
    }

    /// Adds the payment to a track for each span that a rule needs.
    fn count(&self, payer: &mut Payer, cents: Cents, ctx: &Context) -> Vec<(Millis, Total)> {
        let spans = &self.rules.spans;
        payer.tracks.retain(|track| spans.contains(&track.within));
        for within in spans {
            if !payer.tracks.iter().any(|track| track.within == *within) {
                payer.tracks.push(Track::new(*within));
            }
        }
        payer.tracks.iter_mut().map(|track| (track.within, track.add(ctx.time(), ctx.watermark(), cents))).collect()
    }

    fn longest_span(&self) -> Millis {
        self.rules.spans.last().copied().unwrap_or(0)
    }

    fn reasons(&self, facts: &Facts<'_>) -> Vec<Reason> {
        let fired = self.rules.list.iter().filter_map(|rule| rule.ask(facts).map(|why| (rule, why)));
        fired.map(|(rule, why)| Reason { rule: rule.name.clone(), weight: rule.weight, why }).collect()
    }

    /// A payer has one timer from the first payment on. It is not moved by every payment: when it fires it looks how long the payer
    /// has been quiet.
    fn keep_awake(&self, payer: &mut Payer, ctx: &mut Context) {
        match payer.newest {
            None => ctx.wake(TIMER, ctx.time().saturating_add(self.longest_span().min(self.remember.0))),
            Some(newest) if newest >= ctx.time() => return,
            Some(_) => {}
        }
        payer.newest = Some(ctx.time());
    }

    fn outputs(&self, id: &str, amount: f64, payer: &str, reasons: Vec<Reason>) -> Vec<Out> {
        let score = reasons.iter().map(|reason| reason.weight).sum::<f64>().clamp(0.0, 100.0);
        let level = self.levels.of(score);
        let scored = Scored {
            transaction_id: id.to_owned(),
            sender_vpa: payer.to_owned(),
            amount,
            score,
            level: level.name().to_owned(),
            action: self.actions.at(level).to_owned(),
            reasons,
        };
        if level >= self.alert_level { vec![Out::Scored(scored.clone()), Out::Alerts(scored)] } else { vec![Out::Scored(scored)] }
    }
}
