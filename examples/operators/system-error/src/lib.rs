//! What is said of a payment that an operator could not take: the fallback of the operators before.

use sangam_sdk::*;

/// Whatever could not be taken; it may lack everything, and have anything in its fields.
#[event]
pub struct Failed {
    /// Which payment.
    pub transaction_id: Option<Value>,
    /// Who pays.
    pub sender_vpa: Option<Value>,
}

/// What is said of it.
#[event]
pub struct SystemError {
    /// Which payment.
    pub transaction_id: Option<Value>,
    /// Who pays.
    pub sender_vpa: Option<Value>,
    /// Always `error`.
    pub action: String,
    /// Always `system_error`.
    pub error: String,
}

/// Says that something went wrong on our side.
#[operator]
pub fn system_error(failed: Failed) -> SystemError {
    let Failed { transaction_id, sender_vpa } = failed;
    SystemError { transaction_id, sender_vpa, action: "error".to_owned(), error: "system_error".to_owned() }
}
