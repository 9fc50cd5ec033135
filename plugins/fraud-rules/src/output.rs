//! What leaves: payments with their scores, and what made them.

use sangam_sdk::*;

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

/// A rule that fired, or failed.
#[event]
pub struct Reason {
    /// The rule's name.
    pub rule: String,
    /// What it added to the score.
    pub weight: f64,
    /// What it found.
    pub why: String,
}

/// A payment with the number of those who pay with its device. Its fields have the names that an operator that scores
/// looks for; those that this one does not read are as they came, whatever is in them.
#[event]
pub struct Counted {
    /// The payment.
    pub transaction_id: String,
    /// The payer.
    pub sender_vpa: String,
    /// How much.
    pub amount: f64,
    /// The device.
    pub device_id: Option<Value>,
    /// The place.
    pub location: Option<Value>,
    /// The merchant.
    pub merchant_id: Option<Value>,
    /// Its category.
    pub merchant_category: Option<Value>,
    /// Type of the transaction.
    pub transaction_type: Option<Value>,
    /// Method of payment.
    pub payment_method: Option<Value>,
    /// How many pay with the device, this payer included.
    pub device_users: u64,
}

/// What leaves by the first port: scored payments, or counted ones in an operator that counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaving {
    /// From an operator that scores.
    Scored(Scored),
    /// From an operator that counts the users of devices.
    Counted(Counted),
}

impl Payload for Leaving {
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        match self {
            Leaving::Scored(scored) => scored.leave_by(port, out),
            Leaving::Counted(counted) => counted.leave_by(port, out),
        }
    }
}

/// Where payments leave.
#[outputs]
pub enum Out {
    /// Every payment.
    Scored(Leaving),
    /// Those at or above the alert level.
    Alerts(Scored),
}
