//! Tries failed payments again, takes another path, or gives up, by what failed. A fallback of the operator that they failed at.
//!
//! Which errors are how severe, the pauses and the paths are the configuration. Pauses are of event time: a replay does the same again.

mod settings;

use sangam_sdk::*;

pub use settings::{RecoverPayments, Severity};

/// The timer of the next try.
const TIMER: &str = "retry";

/// A payment that has failed.
#[event]
pub struct Payment {
    /// Its number.
    pub payment_id: String,
    /// Whose it is.
    pub account: String,
    /// Rupees.
    pub amount: f64,
    /// What failed.
    pub fault: Fault,
}

/// What failed, and what will.
#[event]
pub struct Fault {
    /// What the error says.
    pub message: String,
    /// Where: `processor`, `database`, `external_api` …
    pub component: Option<String>,
    /// How many further tries fail.
    pub times: Option<u64>,
    /// The other path fails as well.
    pub everywhere: Option<bool>,
}

/// A payment that waits for its next try.
#[state]
pub struct Waiting {
    account: String,
    amount: f64,
    message: String,
    times: u64,
    /// Tries so far; 0 where nothing waits.
    tries: u32,
}

/// What became of a payment.
#[event]
pub struct Outcome {
    /// Its number.
    pub payment_id: String,
    /// `transient`, `persistent`, `catastrophic`.
    pub severity: String,
    /// `settled` or `dead`.
    pub outcome: String,
    /// Who settled it, or tried last.
    pub via: String,
    /// How often it was tried.
    pub tries: u64,
}

/// Somebody should look at it.
#[event]
pub struct Alert {
    /// The payment.
    pub payment_id: String,
    /// `transient`, `persistent`, `catastrophic`.
    pub severity: String,
    /// What the error says.
    pub message: String,
    /// When it was given up.
    pub at: Millis,
}

/// A payment that nobody could settle.
#[event]
pub struct Buried {
    /// Its number.
    pub payment_id: String,
    /// Whose it is.
    pub account: String,
    /// Rupees.
    pub amount: f64,
    /// Why.
    pub reason: String,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// What became of a payment.
    Outcomes(Outcome),
    /// Somebody should look at it.
    Alerts(Alert),
    /// A payment that nobody could settle.
    Buried(Buried),
}

#[operator(key = "payment_id")]
impl RecoverPayments {
    /// Takes in a payment that has failed.
    pub fn on_event(&self, payment: Payment, waiting: &mut Waiting, ctx: &mut Context) -> Vec<Out> {
        let Payment { account, amount, fault, .. } = payment;
        let severity = self.severity(&fault.message);
        let failed = Waiting { account, amount, message: fault.message, times: fault.times.unwrap_or(0), tries: 1 };
        match severity {
            Severity::Transient => {
                ctx.wake(TIMER, ctx.time() + self.pause(failed.tries));
                *waiting = failed;
                Vec::new()
            }
            Severity::Persistent => {
                let via = self.path(fault.component.as_deref());
                if fault.everywhere == Some(true) { failed.give_up(severity, via, 2, ctx) } else { vec![settled(severity, via, 2, ctx)] }
            }
            // The host has undone the call and run the batch again without the payment: from the last commit, had it been the process.
            Severity::Catastrophic => failed.give_up(severity, "processor", 1, ctx),
        }
    }

    /// Tries a payment again.
    pub fn on_timer(&self, _timer: Timer, waiting: &mut Waiting, ctx: &mut Context) -> Vec<Out> {
        let tries = waiting.tries + 1;
        if u64::from(waiting.tries) > waiting.times {
            *waiting = Waiting::default();
            return vec![settled(Severity::Transient, "processor", u64::from(tries), ctx)];
        }
        if waiting.tries >= self.retry.tries {
            return std::mem::take(waiting).give_up(Severity::Transient, "processor", u64::from(tries), ctx);
        }
        waiting.tries = tries;
        ctx.wake(TIMER, ctx.time() + self.pause(tries));
        Vec::new()
    }
}

impl Waiting {
    /// A dead letter and an alert.
    fn give_up(self, severity: Severity, via: &str, tries: u64, ctx: &Context) -> Vec<Out> {
        let payment_id = ctx.key().to_owned();
        let alert =
            Alert { payment_id: payment_id.clone(), severity: severity.name().to_owned(), message: self.message.clone(), at: ctx.time() };
        let reason = format!("{}: {} after {tries} tries", severity.name(), self.message);
        let buried = Buried { payment_id, account: self.account, amount: self.amount, reason };
        vec![outcome("dead", severity, via, tries, ctx), Out::Alerts(alert), Out::Buried(buried)]
    }
}

fn settled(severity: Severity, via: &str, tries: u64, ctx: &Context) -> Out {
    outcome("settled", severity, via, tries, ctx)
}

fn outcome(outcome: &str, severity: Severity, via: &str, tries: u64, ctx: &Context) -> Out {
    Out::Outcomes(Outcome {
        payment_id: ctx.key().to_owned(),
        severity: severity.name().to_owned(),
        outcome: outcome.to_owned(),
        via: via.to_owned(),
        tries,
    })
}
