//! Benchmark W3: what each sender has paid in the last hour, with every payment.

use sangam_sdk::*;

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

/// The last hour of one sender.
#[state]
pub struct Hour {
    /// Payments in all buckets.
    pub count: u32,
    /// Their sum, in hundredths.
    pub cents: i64,
    /// Minutes in which there was a payment, in order of time, each a [`Bucket`]. They stay bytes: there are dozens, of which an event
    /// looks at the first and the last, and to read them all with each batch would cost more than everything else.
    pub buckets: Vec<u8>,
}

/// The payments of one minute.
struct Bucket {
    /// Minutes since the epoch.
    minute: u32,
    /// Payments.
    count: u32,
    /// Their sum, in hundredths.
    cents: i64,
}

/// Bytes of a bucket.
const BUCKET: usize = 16;

/// Minutes in an hour.
const HOUR: u32 = 60;

impl Bucket {
    fn read(bytes: &[u8; BUCKET]) -> Bucket {
        let all = u128::from_le_bytes(*bytes);
        Bucket { minute: all as u32, count: (all >> 32) as u32, cents: (all >> 64) as i64 }
    }

    fn bytes(&self) -> [u8; BUCKET] {
        (u128::from(self.minute) | u128::from(self.count) << 32 | u128::from(self.cents as u64) << 64).to_le_bytes()
    }
}

impl Hour {
    /// Adds a payment, unless it is older than the hour, and drops the minutes that are.
    fn add(&mut self, minute: u32, cents: i64) {
        let (buckets, _) = self.buckets.as_chunks_mut::<BUCKET>();
        let newest = buckets.last().map_or(minute, |last| Bucket::read(last).minute.max(minute));
        if minute + HOUR > newest {
            let place = buckets.iter().rposition(|bucket| Bucket::read(bucket).minute <= minute);
            let known = place.and_then(|place| buckets.get_mut(place)).filter(|bucket| Bucket::read(bucket).minute == minute);
            if let Some(bucket) = known {
                let Bucket { count, cents: sum, .. } = Bucket::read(bucket);
                *bucket = Bucket { minute, count: count + 1, cents: sum + cents }.bytes();
            } else {
                let at = place.map_or(0, |place| (place + 1) * BUCKET);
                self.buckets.splice(at..at, Bucket { minute, count: 1, cents }.bytes());
            }
            self.count += 1;
            self.cents += cents;
        }
        let mut old = 0;
        for bucket in self.buckets.as_chunks::<BUCKET>().0.iter().map(Bucket::read).take_while(|bucket| bucket.minute + HOUR <= newest) {
            self.count -= bucket.count;
            self.cents -= bucket.cents;
            old += BUCKET;
        }
        if old > 0 {
            self.buckets.drain(..old);
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
