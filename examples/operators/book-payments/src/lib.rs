//! Books payments on accounts, and fails as they say: a stand-in for what fails by itself elsewhere.
//!
//! It fails after it has changed its state, so that a total which is right proves that a failed call leaves nothing behind.

use sangam_sdk::*;

/// A payment.
#[event]
pub struct Payment {
    /// Its number.
    pub payment_id: String,
    /// Whose it is.
    pub account: String,
    /// Rupees.
    pub amount: f64,
    /// What happens to it.
    pub fault: Option<Fault>,
}

/// A fault that is injected.
#[event]
pub struct Fault {
    /// What the error says.
    pub message: String,
    /// The operator breaks down, rather than to refuse the payment.
    pub breaks: Option<bool>,
}

/// What has been booked on an account.
#[state]
pub struct Account {
    /// The sum.
    pub total: Money,
}

/// A payment that is booked.
#[event]
pub struct Booked {
    /// Its number.
    pub payment_id: String,
    /// Whose it is.
    pub account: String,
    /// What has been booked so far, rupees.
    pub total: f64,
}

/// What became of a payment.
#[event]
pub struct Outcome {
    /// Its number.
    pub payment_id: String,
    /// `none`: nothing failed.
    pub severity: String,
    /// `settled`.
    pub outcome: String,
    /// Who settled it.
    pub via: String,
    /// How often it was tried.
    pub tries: u64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// The account after the payment.
    Booked(Booked),
    /// What became of the payment.
    Outcomes(Outcome),
}

/// Books a payment.
#[operator(key = "account")]
pub fn book(payment: Payment, account: &mut Account) -> Result<Vec<Out>> {
    let amount = Money::new(payment.amount).ok_or_else(|| reject(format!("{} is no amount of money", payment.amount)))?;
    account.total += amount;
    if let Some(fault) = payment.fault {
        if fault.breaks == Some(true) {
            panic!("{}", fault.message);
        }
        return Err(reject(fault.message));
    }
    let booked = Booked { payment_id: payment.payment_id.clone(), account: payment.account, total: account.total.amount() };
    let outcome = Outcome {
        payment_id: payment.payment_id,
        severity: "none".to_owned(),
        outcome: "settled".to_owned(),
        via: "processor".to_owned(),
        tries: 1,
    };
    Ok(vec![Out::Booked(booked), Out::Outcomes(outcome)])
}
