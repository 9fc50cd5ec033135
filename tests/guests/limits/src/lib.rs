//! Judges payments by limits that come by a broadcast input: every task knows all of them.

use sangam_sdk::*;

/// A payment.
#[event]
pub struct Payment {
    /// Who pays.
    pub user: String,
    /// How much.
    pub amount: i64,
}

/// A limit, from its time on; without a number there is none any more.
#[event]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// The most that may be paid.
    pub max: Option<i64>,
}

/// What is thought of a payment, or after it.
#[event]
pub struct Verdict {
    /// Who paid.
    pub user: String,
    /// Payments of this user so far.
    pub payments: u64,
    /// The limits that were broken; at a timer, those that there are.
    pub limits: Vec<String>,
}

/// What is remembered of a user.
#[state]
pub struct User {
    /// Payments so far.
    pub payments: u64,
}

/// The limits.
#[state]
pub struct Limits {
    /// By name.
    pub by_name: Broadcast<String, i64>,
}

/// The operator.
#[config]
pub struct Judge {}

#[operator(key = "user")]
impl Judge {
    /// A new limit.
    pub fn on_broadcast(&self, limit: Limit, limits: &mut Limits, ctx: &Context) -> Result<()> {
        match limit.max {
            Some(..0) => return Err(reject("a limit is not negative")),
            Some(max) => limits.by_name.put(limit.name, max, ctx),
            None => limits.by_name.remove(&limit.name, ctx),
        }
        Ok(())
    }

    /// A payment.
    pub fn on_event(&self, payment: Payment, user: &mut User, limits: &Limits, ctx: &mut Context) -> Verdict {
        user.payments += 1;
        ctx.wake("look", ctx.time() + 10);
        let broken = limits.by_name.iter(ctx.time()).filter(|(_, max)| payment.amount > **max);
        Verdict { user: payment.user, payments: user.payments, limits: broken.map(|(name, _)| name.clone()).collect() }
    }

    /// Ten milliseconds after the last payment.
    pub fn on_timer(&self, timer: Timer, user: &mut User, limits: &Limits, ctx: &Context) -> Verdict {
        let known = limits.by_name.iter(timer.at()).map(|(name, _)| name.clone()).collect();
        Verdict { user: format!("{} later", ctx.key()), payments: user.payments, limits: known }
    }
}
