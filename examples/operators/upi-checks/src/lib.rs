//! What a UPI payment must be before it is scored: an amount within the limit, addresses that are some, and a balance that covers it.
//!
//! A refusal is an output with its reason. The balance is the one that was valid at the payment's time: a payment waits until the watermark
//! has passed it, because the table may still say something about that time.

use sangam_sdk::*;

/// The timer of an account with payments that wait.
const TIMER: &str = "decide";

/// A payment: what is checked here, and what rules look at afterwards.
#[event]
#[derive(Default)]
pub struct Payment {
    /// Which payment.
    pub transaction_id: String,
    /// Who pays.
    pub sender_vpa: String,
    /// Who is paid.
    pub receiver_vpa: String,
    /// How much, in rupees.
    pub amount: f64,
    /// With which device; as it came, like what follows.
    pub device_id: Option<Value>,
    /// Where.
    pub location: Option<Value>,
    /// For what.
    pub merchant_category: Option<Value>,
}

/// A row of the table of balances, valid from its own time on.
#[event]
pub struct Balance {
    /// What the account has, in rupees.
    pub balance: f64,
}

/// What comes in.
#[inputs]
pub enum In {
    /// Input `payments`.
    Payments(Payment),
    /// Input `balances`.
    Balances(Balance),
}

/// A payment that was refused.
#[event]
pub struct Refusal {
    /// Which payment.
    pub transaction_id: String,
    /// Who wanted to pay.
    pub sender_vpa: String,
    /// How much.
    pub amount: f64,
    /// Always `refused`.
    pub action: String,
    /// Why.
    pub reason: String,
}

/// Where payments leave.
#[outputs]
pub enum Out {
    /// Those to be scored.
    Valid(Output<Payment>),
    /// With the reason.
    Refused(Output<Refusal>),
}

/// An account.
#[state]
pub struct Account {
    /// Its balances, the oldest first: the one that is valid at the watermark, and newer ones.
    pub balances: Vec<Version>,
    /// Payments that wait for the watermark, the oldest first.
    pub waiting: Vec<Waiting>,
}

/// A balance.
#[state]
pub struct Version {
    /// From when on.
    pub since: Millis,
    /// How much.
    pub balance: f64,
}

/// A payment that waits.
#[state]
pub struct Waiting {
    /// Its event time.
    pub time: Millis,
    /// The payment.
    pub payment: Payment,
}

/// The configuration.
#[config]
pub struct Checks {
    /// The most that one payment may be.
    #[config(default = 200_000.0)]
    pub limit: f64,
    /// The balance of an account that the table does not have.
    #[config(default = 0.0)]
    pub default_balance: f64,
}

#[operator(key(payments = "sender_vpa", balances = "vpa"))]
impl Checks {
    /// Checks a payment by itself; one that holds waits for its balance.
    pub fn on_event(&self, event: In, account: &mut Account, ctx: &mut Context) -> Option<Out> {
        let time = ctx.time();
        match event {
            In::Balances(Balance { balance }) => {
                let place = account.balances.partition_point(|known| known.since <= time);
                account.balances.insert(place, Version { since: time, balance });
                account.forget(ctx.watermark());
                None
            }
            In::Payments(payment) => {
                if let Some(reason) = self.reason(&payment) {
                    return Some(refused(payment, reason, time));
                }
                let waiting = Waiting { time, payment };
                if time <= ctx.watermark() {
                    return Some(self.decide(account, waiting));
                }
                let place = account.waiting.partition_point(|known| known.time <= time);
                account.waiting.insert(place, waiting);
                account.wake(ctx);
                None
            }
        }
    }

    /// Decides on the payments whose time the watermark has passed.
    pub fn on_timer(&self, timer: Timer, account: &mut Account, ctx: &mut Context) -> Vec<Out> {
        let later = account.waiting.partition_point(|waiting| waiting.time <= timer.at());
        let due: Vec<Waiting> = account.waiting.drain(..later).collect();
        let out = due.into_iter().map(|waiting| self.decide(account, waiting)).collect();
        account.forget(ctx.watermark());
        account.wake(ctx);
        out
    }
}

impl Checks {
    /// What is wrong with a payment, whatever its payer has.
    fn reason(&self, payment: &Payment) -> Option<&'static str> {
        if payment.amount.is_nan() || payment.amount <= 0.0 {
            Some("Invalid amount")
        } else if payment.amount > self.limit {
            Some("Amount exceeds UPI limit")
        } else if !payment.sender_vpa.contains('@') || !payment.receiver_vpa.contains('@') {
            Some("Invalid VPA format")
        } else {
            None
        }
    }

    fn decide(&self, account: &Account, Waiting { time, payment }: Waiting) -> Out {
        let valid = account.balances.iter().rev().find(|version| version.since <= time);
        if valid.map_or(self.default_balance, |version| version.balance) < payment.amount {
            return refused(payment, "Insufficient balance", time);
        }
        Out::Valid(Output::new(payment).at(time))
    }
}

impl Account {
    /// Forgets balances that no payment can meet any more.
    fn forget(&mut self, watermark: Millis) {
        let passed = self.balances.partition_point(|version| version.since <= watermark);
        self.balances.drain(..passed.saturating_sub(1));
    }

    fn wake(&self, ctx: &mut Context) {
        if let Some(first) = self.waiting.first() {
            ctx.wake(TIMER, first.time);
        }
    }
}

fn refused(payment: Payment, reason: &str, time: Millis) -> Out {
    let Payment { transaction_id, sender_vpa, amount, .. } = payment;
    let refusal = Refusal { transaction_id, sender_vpa, amount, action: "refused".to_owned(), reason: reason.to_owned() };
    Out::Refused(Output::new(refusal).at(time))
}
