//! How many payments and how much in the time before one: counted in buckets, so that a surge costs no more memory than a trickle.

use sangam_sdk::*;

use crate::money::Cents;

/// A span is cut into so many buckets: an hour into minutes.
const BUCKETS: Millis = 60;

/// The payments of one payer in the last `within` milliseconds of event time.
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
    pub cents: Cents,
}

/// Payments and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Payments.
    pub count: u64,
    /// Their sum.
    pub cents: Cents,
}

impl Track {
    /// An empty track.
    pub fn new(within: Millis) -> Track {
        Track { within, buckets: Vec::new() }
    }

    /// Adds a payment; returns what its span holds with it. The span ends with the payment's own bucket, so it is at most a bucket
    /// shorter than `within`, and never longer.
    ///
    /// What no payment after the watermark can reach any more is forgotten; a payment that is itself older than that counts alone.
    pub fn add(&mut self, time: Millis, watermark: Millis, cents: Cents) -> Total {
        let width = (self.within / BUCKETS).max(1);
        let span = self.within / width;
        let number = time.div_euclid(width);
        let newest = self.buckets.last().map_or(number, |last| last.number.max(number));
        // However far the watermark is behind, one more span is enough.
        let oldest = watermark.div_euclid(width).clamp(newest - span, newest) - span;
        self.buckets.retain(|bucket| bucket.number > oldest);
        if number <= oldest {
            return Total { count: 1, cents };
        }
        let place = self.buckets.binary_search_by_key(&number, |bucket| bucket.number).unwrap_or_else(|place| {
            self.buckets.insert(place, Bucket { number, count: 0, cents: 0 });
            place
        });
        if let Some(bucket) = self.buckets.get_mut(place) {
            bucket.count += 1;
            bucket.cents = bucket.cents.saturating_add(cents);
        }
        let reached = self.buckets.iter().filter(|bucket| bucket.number > number - span && bucket.number <= number);
        reached.fold(Total::default(), |total, bucket| Total {
            count: total.count + bucket.count,
            cents: total.cents.saturating_add(bucket.cents),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;
    const NEVER: Millis = i64::MIN;

    /// Adds payments of 1.00 at these times; returns the count that the last one finds.
    fn last_count(within: Millis, watermark: Millis, times: &[Millis]) -> u64 {
        let mut track = Track::new(within);
        times.iter().map(|time| track.add(*time, watermark, 100)).last().unwrap().count
    }

    #[test]
    fn a_span_is_its_last_sixty_buckets() {
        let check = |times: &[Millis], expected: u64| assert_eq!(last_count(hours(1), NEVER, times), expected, "{times:?}");
        check(&[0], 1);
        check(&[0, 59 * MINUTE + 59_999], 2);
        check(&[0, 60 * MINUTE], 1);
        check(&[59_999, 60 * MINUTE], 1);
        check(&[MINUTE, 60 * MINUTE], 2);
        check(&[-1, 59 * MINUTE - 1], 2);
        check(&[-1, 59 * MINUTE], 1);
    }

    #[test]
    fn a_payment_that_comes_out_of_order_counts_what_was_before_it_and_not_what_was_after() {
        let check = |times: &[Millis], expected: u64| assert_eq!(last_count(hours(1), NEVER, times), expected, "{times:?}");
        check(&[0, 10 * MINUTE, 5 * MINUTE], 2);
        check(&[0, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE], 4);
        check(&[0, 70 * MINUTE, 30 * MINUTE], 2);
        check(&[30 * MINUTE, 200 * MINUTE, 30 * MINUTE], 1);
    }

    #[test]
    fn what_no_payment_can_reach_is_forgotten() {
        let check = |watermark: Millis, expected: usize| {
            let mut track = Track::new(hours(1));
            for minute in 0..1_000 {
                track.add(minute * MINUTE, (minute * MINUTE).min(watermark), 1);
            }
            assert_eq!(track.buckets.len(), expected, "watermark {watermark}");
        };
        check(i64::MAX, 60);
        check(NEVER, 120);
        check(995 * MINUTE, 64);
    }

    #[test]
    fn spans_of_any_length_have_at_most_twice_sixty_buckets_behind_the_watermark() {
        for within in [1, 59, 60, 61, 100, 119, 1_000, 90_061, days(1)] {
            let mut track = Track::new(within);
            for i in 0..2_000 {
                track.add(i * (within / 120).max(1), i64::MAX, 1);
            }
            assert!(track.buckets.len() < 120, "{within}: {}", track.buckets.len());
        }
    }

    fn days(n: i64) -> Millis {
        hours(24 * n)
    }
}
