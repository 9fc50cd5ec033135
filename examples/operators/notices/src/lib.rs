//! Tells payers how their payments went. One that is under review has not gone anywhere yet: nothing is told.

use sangam_sdk::*;

/// A payment that has been decided on, refused, or that met an error.
#[event]
pub struct Outcome {
    /// Which payment.
    pub transaction_id: Option<Value>,
    /// Who pays.
    pub sender_vpa: Option<Value>,
    /// What was decided.
    pub action: String,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// What is told.
#[event]
pub struct Notice {
    /// Which payment.
    pub transaction_id: Option<Value>,
    /// Who is told.
    pub sender_vpa: Option<Value>,
    /// In a sentence.
    pub message: String,
}

/// Where notices leave.
#[outputs]
pub enum Out {
    /// The payment has been made.
    Success(Notice),
    /// It has not.
    Failure(Notice),
}

/// Sorts outcomes.
#[operator]
pub fn notices(outcome: Outcome) -> Option<Out> {
    let Outcome { transaction_id, sender_vpa, action, reason } = outcome;
    let notice = |message: String| Notice { transaction_id, sender_vpa, message };
    match action.as_str() {
        "approved" => Some(Out::Success(notice("Payment successful".to_owned()))),
        "blocked" => Some(Out::Failure(notice("Payment blocked".to_owned()))),
        "refused" => Some(Out::Failure(notice(format!("Payment failed: {}", reason.unwrap_or_default())))),
        "error" => Some(Out::Failure(notice("Payment failed: system error".to_owned()))),
        _ => None,
    }
}
