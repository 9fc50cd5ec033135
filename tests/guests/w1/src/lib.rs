//! Benchmark W1: keeps large payments and three of their fields.
//!
//! All fields are declared, so that all of them are decoded, as the workload asks.

use sangam_sdk::*;

/// A payment.
#[event]
pub struct Payment<'a> {
    /// Which.
    pub transaction_id: &'a str,
    /// Who pays.
    pub sender_vpa: &'a str,
    /// Who is paid.
    pub receiver_vpa: &'a str,
    /// How much.
    pub amount: f64,
    /// When, in milliseconds.
    pub timestamp: i64,
    /// With what.
    pub device_id: &'a str,
    /// Where.
    pub location: &'a str,
    /// For what.
    pub merchant_category: Option<&'a str>,
}

/// What is kept of a large payment.
#[event]
pub struct Large<'a> {
    /// Which.
    pub transaction_id: &'a str,
    /// Who pays.
    pub sender_vpa: &'a str,
    /// How much.
    pub amount: f64,
}

/// Keeps payments above 10 000.
#[operator]
pub fn w1<'a>(payment: Payment<'a>) -> Option<Large<'a>> {
    let Payment { transaction_id, sender_vpa, amount, .. } = payment;
    (amount > 10_000.0).then_some(Large { transaction_id, sender_vpa, amount })
}
