//! Benchmark W3: what each sender has paid in the last hour, with every payment.

use sangam_sdk::*;
use std::collections::VecDeque;

/// A payment, as far as it matters here.
#[event]
pub struct Payment<'a> {
    /// Which.
    pub transaction_id: &'a str,
    /// Who pays.
    pub sender_vpa: &'a str,
    /// How much.
    pub amount: f64,
}

/// How fast a sender spends, as of one payment.
#[event]
pub struct Velocity<'a> {
    /// Which payment.
    pub transaction_id: &'a str,
    /// Who pays.
    pub sender_vpa: &'a str,
    /// Payments in the hour.
    pub count_1h: u32,
    /// Their sum.
    pub sum_1h: f64,
    /// From 0 to 1.
    pub score: f64,
}

/// The payments of one minute.
#[state]
pub struct Bucket {
    /// Minutes since the epoch.
    pub minute: u32,
    /// Payments.
    pub count: u32,
    /// Their sum, in hundredths.
    pub cents: i64,
}

/// The last hour of one sender.
#[state]
pub struct Hour {
    /// Minutes in which there was a payment, in order of time.
    pub buckets: VecDeque<Bucket>,
    /// Payments in all of them.
    pub count: u32,
    /// Their sum, in hundredths.
    pub cents: i64,
}

/// Minutes in an hour.
const HOUR: u32 = 60;

impl Hour {
    /// Adds a payment, unless it is older than the hour, and drops the minutes that are.
    fn add(&mut self, minute: u32, cents: i64) {
        let newest = self.buckets.back().map_or(minute, |bucket| bucket.minute.max(minute));
        if minute + HOUR > newest {
            let place = self.buckets.iter().rposition(|bucket| bucket.minute <= minute);
            match place.and_then(|place| self.buckets.get_mut(place)).filter(|bucket| bucket.minute == minute) {
                Some(bucket) => {
                    bucket.count += 1;
                    bucket.cents += cents;
                }
                None => self.buckets.insert(place.map_or(0, |place| place + 1), Bucket { minute, count: 1, cents }),
            }
            self.count += 1;
            self.cents += cents;
        }
        while let Some(old) = self.buckets.pop_front_if(|bucket| bucket.minute + HOUR <= newest) {
            self.count -= old.count;
            self.cents -= old.cents;
        }
    }
}

/// Adds the payment to its sender's hour and says what that comes to.
#[operator(key = "sender_vpa")]
pub fn w3<'a>(payment: Payment<'a>, hour: &mut Hour, ctx: &Context) -> Velocity<'a> {
    hour.add((ctx.time() / minutes(1)) as u32, (payment.amount * 100.0).round() as i64);
    let sum_1h = hour.cents as f64 / 100.0;
    let score = 0.5 * (f64::from(hour.count) / 50.0).min(1.0) + 0.5 * (sum_1h / 500_000.0).min(1.0);
    Velocity { transaction_id: payment.transaction_id, sender_vpa: payment.sender_vpa, count_1h: hour.count, sum_1h, score }
}
