//! Benchmark W2: count and sum per sender and minute.

use sangam_sdk::*;

/// A payment, as far as it matters here.
#[event]
pub struct Payment<'a> {
    /// Who pays.
    pub sender_vpa: &'a str,
    /// How much.
    pub amount: f64,
}

/// What a sender has paid in one minute.
#[event]
pub struct Minute<'a> {
    /// Who paid.
    pub sender_vpa: &'a str,
    /// The minute's start, in milliseconds.
    pub window_start: i64,
    /// Payments.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// What is gathered in a minute.
#[state]
pub struct Paid {
    /// Payments.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

#[operator(key = "sender_vpa", window = "1m")]
impl Paid {
    fn add(&mut self, payment: Payment<'_>) {
        self.count += 1;
        self.sum += payment.amount;
    }

    fn close<'a>(self, w: Window, ctx: &Context<'a>) -> Minute<'a> {
        Minute { sender_vpa: ctx.key(), window_start: w.start, count: self.count, sum: self.sum }
    }
}
