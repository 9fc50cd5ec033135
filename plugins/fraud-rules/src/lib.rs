//! Scores payments by rules that are data: how much, how often, from which device, from where, to whom.
//!
//! It never asks anybody: what it knows of a payer is in the payer's state, everything else in its configuration and in the messages of
//! its broadcast input.

mod clock;
mod model;
mod preset;
mod rules;
mod setting;

mod history;
mod payer;
mod place;
mod track;

mod ask;
mod output;
mod ruling;
mod settings;
mod verdict;

use sangam_sdk::*;

use ask::{Answer, Facts};
pub use history::{Payment, Total};
pub use output::{Counted, Leaving, Out, Reason, Scored};
pub use payer::Payer;
pub use place::Places;
pub use rules::Rules;
use ruling::View;
pub use ruling::{Change, Ruling};
use settings::column;
pub use settings::{FraudRules, Mode, OnFailedRule};
pub use verdict::{Actions, Level, Levels};

/// The timer of a payer that forgets what is over.
const TIMER: &str = "idle";

#[operator(key = "sender_vpa")]
impl FraudRules {
    /// The fields that rules look at.
    pub fn fields(&self) -> Vec<FieldPath> {
        self.paths()
    }

    /// Takes in a change of rules or scores.
    pub fn on_broadcast(&self, change: Change, ruling: &mut Ruling, ctx: &Context) -> Result<()> {
        ruling.take(change, ctx)
    }

    /// Scores a payment; keyed by device, counts who pays with it.
    pub fn on_event(&self, row: Row<'_>, payer: &mut Payer, ruling: &Ruling, ctx: &mut Context) -> Result<Vec<Out>> {
        let id: &str = self.required(&row, column::ID)?;
        let amount: f64 = self.required(&row, column::AMOUNT)?;
        let money = Money::new(amount).ok_or_else(|| reject(format!("{amount} is no amount of money")))?;
        if self.mode == Mode::Devices {
            return self.count_users(id, amount, &row, payer, ctx);
        }
        let view = ruling.at(&self.rules, ctx.time());
        let rested = payer.has_no_payments();
        let payment = Payment { time: ctx.time(), amount: money };
        payer.pay(payment, ctx.watermark(), &view.needs, self.payments_kept);
        let facts = self.facts(&row, money, payer, ruling, &view, ctx);
        if self.on_failed_rule == OnFailedRule::Reject {
            facts.device.as_ref().map_err(reject)?;
            facts.trip.as_ref().map_err(reject)?;
        }
        let verdict = self.ask(&facts, &view)?;
        self.keep_awake(payer, rested, &view, ctx);
        Ok(self.outputs(id, amount, verdict, ctx))
    }

    /// Forgets the payments of a payer who has been quiet for the longest span, and in the end the payer.
    pub fn on_timer(&self, timer: Timer, payer: &mut Payer, ruling: &Ruling, ctx: &mut Context) {
        let quiet_since = payer.newest.unwrap_or(Millis::MIN);
        let span = longest(&ruling.at(&self.rules, timer.at())).unwrap_or(0);
        let (payments, all) = (quiet_since.saturating_add(span), quiet_since.saturating_add(self.remember.0));
        if timer.at() >= all {
            *payer = Payer::default();
        } else if timer.at() >= payments {
            payer.forget_payments();
            ctx.wake(TIMER, all);
        } else {
            ctx.wake(TIMER, payments.min(all));
        }
    }
}

/// What the rules say of a payment.
struct Verdict {
    score: f64,
    reasons: Vec<Reason>,
    failed: bool,
}

impl FraudRules {
    /// Lets the payer note the payment, and gathers what rules want to know.
    fn facts<'f>(
        &'f self,
        row: &'f Row<'f>,
        amount: Money,
        payer: &'f mut Payer,
        ruling: &'f Ruling,
        view: &View<'_>,
        ctx: &mut Context,
    ) -> Facts<'f> {
        let time = ctx.time();
        let device = self.optional::<&str>(row, column::DEVICE).map(|device| payer.see_device(device, self.devices));
        let trip = self.optional::<&str>(row, column::LOCATION).map(|location| {
            let location = location?;
            if self.places.find(location).is_none() {
                ctx.count("unknown_locations", 1);
            }
            payer.see_place(location, time, &self.places)
        });
        let merchant_since = if view.needs.merchants {
            let merchant = self.optional::<&str>(row, column::MERCHANT);
            merchant.map(|merchant| merchant.map(|merchant| payer.see_merchant(merchant, time, self.merchants_kept)))
        } else {
            Ok(None)
        };
        Facts { settings: self, ruling, row, time, amount, payer, device, trip, merchant_since }
    }

    /// Asks the rules, one after the other.
    fn ask(&self, facts: &Facts<'_>, view: &View<'_>) -> Result<Verdict> {
        let mut verdict = Verdict { score: 0.0, reasons: Vec::new(), failed: false };
        for rule in view.rules() {
            match rule.ask(facts, verdict.score) {
                Ok(None) => {}
                Ok(Some(Answer { points, why })) => {
                    verdict.score += points;
                    verdict.reasons.extend(why.map(|why| Reason { rule: rule.name.clone(), weight: points, why }));
                }
                Err(why) if self.on_failed_rule == OnFailedRule::Reject => return Err(reject(why)),
                Err(why) => {
                    verdict.failed = true;
                    verdict.reasons.push(Reason { rule: rule.name.clone(), weight: 0.0, why: format!("the rule failed: {why}") });
                }
            }
        }
        Ok(verdict)
    }

    /// A payer has one timer from the first payment on. It is not moved by every payment, only by the first one after a rest: when it
    /// fires it looks how long the payer has been quiet.
    fn keep_awake(&self, payer: &mut Payer, rested: bool, view: &View<'_>, ctx: &mut Context) {
        let newest = payer.newest.map_or(ctx.time(), |newest| newest.max(ctx.time()));
        let span = longest(view).filter(|span| *span < self.remember.0);
        match span {
            Some(span) if rested => ctx.wake(TIMER, newest.saturating_add(span)),
            None if payer.newest.is_none() => ctx.wake(TIMER, newest.saturating_add(self.remember.0)),
            _ => {}
        }
        payer.newest = Some(newest);
    }

    fn outputs(&self, id: &str, amount: f64, verdict: Verdict, ctx: &mut Context) -> Vec<Out> {
        // Without what a sum of floats leaves behind, as in 89.21000000000001.
        let score = (verdict.score.clamp(0.0, 100.0) * 1e6).round() / 1e6;
        let level = self.levels.of(score).max(if verdict.failed { Level::High } else { Level::Low });
        ctx.count(level.name(), 1);
        let scored = Scored {
            transaction_id: id.to_owned(),
            sender_vpa: ctx.key().to_owned(),
            amount,
            score,
            level: level.name().to_owned(),
            action: self.actions.at(level).to_owned(),
            reasons: verdict.reasons,
        };
        if level < self.alert_level {
            return vec![Out::Scored(Leaving::Scored(scored))];
        }
        vec![Out::Scored(Leaving::Scored(scored.clone())), Out::Alerts(scored)]
    }

    /// Passes a payment on with the number of those who pay with its device, which is the key.
    fn count_users(&self, id: &str, amount: f64, row: &Row<'_>, device: &mut Payer, ctx: &mut Context) -> Result<Vec<Out>> {
        // What is wrong with them is for the rules to say: they may have the payment reviewed all the same.
        let as_it_came = |column: usize| self.optional::<Value>(row, column).map_err(reject);
        let payer: &str = self.required(row, column::PAYER)?;
        let since = ctx.time().saturating_sub(self.remember.0);
        let users = device.see_user(payer, ctx.time(), since, self.users_kept);
        if device.newest.is_none() {
            ctx.wake(TIMER, ctx.time().saturating_add(self.remember.0));
        }
        device.newest = device.newest.max(Some(ctx.time()));
        let counted = Counted {
            transaction_id: id.to_owned(),
            sender_vpa: payer.to_owned(),
            amount,
            device_id: as_it_came(column::DEVICE)?,
            location: as_it_came(column::LOCATION)?,
            merchant_id: as_it_came(column::MERCHANT)?,
            merchant_category: as_it_came(column::CATEGORY)?,
            transaction_type: as_it_came(column::KIND)?,
            payment_method: as_it_came(column::METHOD)?,
            device_users: users as u64,
        };
        Ok(vec![Out::Scored(Leaving::Counted(counted))])
    }
}

/// The longest span that rules look back, if any does.
fn longest(view: &View<'_>) -> Option<Millis> {
    view.needs.spans.last().copied()
}
