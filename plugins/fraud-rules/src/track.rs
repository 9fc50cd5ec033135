//! What a payer has paid beyond the payments that are kept one by one: sums by sixtieths of a span, so that a surge costs no more memory
//! than a trickle.

use sangam_sdk::*;

use crate::history::{Payment, Total};

/// A span is cut into so many buckets: an hour into minutes.
const BUCKETS: Millis = 60;

/// Older payments of one payer, of the last `within` milliseconds of event time.
#[state]
pub struct Track {
    /// The span.
    pub within: Millis,
    /// Buckets with payments, in order of time.
    pub buckets: Vec<Bucket>,
}

/// The payments of a sixtieth of the span.
#[state]
pub struct Bucket {
    /// Its number since 1970.
    pub number: i64,
    /// Payments in it.
    pub count: u64,
    /// Their sum.
    pub sum: Money,
}

impl Track {
    /// An empty track.
    pub fn new(within: Millis) -> Track {
        Track { within, buckets: Vec::new() }
    }

    fn width(&self) -> Millis {
        (self.within / BUCKETS).max(1)
    }

    /// Adds a payment that is not kept by itself any longer.
    pub fn add(&mut self, payment: Payment) {
        let number = payment.time.div_euclid(self.width());
        let place = self.buckets.binary_search_by_key(&number, |bucket| bucket.number).unwrap_or_else(|place| {
            self.buckets.insert(place, Bucket { number, count: 0, sum: Money::ZERO });
            place
        });
        if let Some(bucket) = self.buckets.get_mut(place) {
            bucket.count += 1;
            bucket.sum += payment.amount;
        }
    }

    /// What the span before `until` holds: the buckets that lie wholly in it, and the one around `until`. So it is short of the truth by
    /// less than a bucket at the far end, and past it only where a payment comes out of order, by what follows it in its own bucket.
    pub fn total(&self, until: Millis) -> Total {
        let (first, last) = (until.saturating_sub(self.within).div_euclid(self.width()), until.div_euclid(self.width()));
        let reached = self.buckets.iter().filter(|bucket| bucket.number > first && bucket.number <= last);
        reached.fold(Total::default(), |total, bucket| total.and(Total { count: bucket.count, sum: bucket.sum }))
    }

    /// Forgets what no payment after the watermark can reach. However far the watermark is behind the newest payment, one more span is
    /// enough: this is what bounds it.
    pub fn forget(&mut self, newest: Millis, watermark: Millis) {
        let from = watermark.clamp(newest.saturating_sub(self.within), newest).saturating_sub(self.within);
        let first = from.div_euclid(self.width());
        self.buckets.retain(|bucket| bucket.number > first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn track(within: Millis, times: &[Millis]) -> Track {
        let mut track = Track::new(within);
        times.iter().for_each(|time| track.add(Payment { time: *time, amount: Money::of_hundredths(100) }));
        track
    }

    #[test]
    fn a_span_is_short_by_less_than_a_bucket_and_never_long() {
        let check = |times: &[Millis], until: Millis, expected: u64| {
            let total = track(hours(1), times).total(until);
            assert_eq!((total.count, total.sum), (expected, Money::of_hundredths(expected as i64 * 100)), "{times:?} until {until}");
        };
        check(&[0], 0, 1);
        check(&[0], 59 * MINUTE + 59_999, 1);
        check(&[0], 60 * MINUTE, 0);
        check(&[59_999], 60 * MINUTE, 0);
        check(&[MINUTE, 60 * MINUTE], 60 * MINUTE, 2);
        check(&[-1], 59 * MINUTE - 1, 1);
        check(&[-1], 59 * MINUTE, 0);
        check(&[10 * MINUTE, 10 * MINUTE, 5 * MINUTE], 5 * MINUTE, 1);
    }

    #[test]
    fn what_no_payment_can_reach_is_forgotten() {
        let check = |watermark: Millis, expected: usize| {
            let mut track = Track::new(hours(1));
            for minute in 0..1_000 {
                track.add(Payment { time: minute * MINUTE, amount: Money::ZERO });
                track.forget(minute * MINUTE, watermark.min(minute * MINUTE));
            }
            assert_eq!(track.buckets.len(), expected, "watermark {watermark}");
        };
        check(i64::MAX, 60);
        check(i64::MIN, 120);
        check(995 * MINUTE, 64);
    }

    #[test]
    fn spans_of_any_length_have_at_most_twice_sixty_buckets_behind_the_watermark() {
        for within in [1, 59, 60, 61, 100, 119, 1_000, 90_061, hours(24)] {
            let mut track = Track::new(within);
            for i in 0..2_000 {
                let time = i * (within / 120).max(1);
                track.add(Payment { time, amount: Money::ZERO });
                track.forget(time, i64::MAX);
            }
            assert!(track.buckets.len() <= 120, "{within}: {}", track.buckets.len());
        }
    }
}
