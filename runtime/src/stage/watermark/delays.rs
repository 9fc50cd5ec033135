//! The delays of a partition's events, as a histogram of fixed size that gives one quantile at once.
//!
//! It is a sketch: up to 63 ms it is exact, above that a delay counts as the upper end of its bucket, at most 1/32 more. The same events
//! give the same buckets in any order of restarts, and nothing in it is random.

use sangam_protocol::msgpack::{Reader, write};

/// Buckets per doubling of the delay; delays below twice as many have a bucket each.
const STEPS: u64 = 32;

/// A share of all delays, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile(u32);

impl Quantile {
    /// The quantile `share`, above 0 and at most 1.
    pub fn new(share: f64) -> Option<Quantile> {
        let millionths = (share * 1e6).round();
        (share.is_finite() && (1.0..=1e6).contains(&millionths)).then_some(Quantile(millionths as u32))
    }

    /// The quantile of so many millionths; what is out of range is taken to its end.
    pub fn from_millionths(millionths: u32) -> Quantile {
        Quantile(millionths.clamp(1, 1_000_000))
    }

    /// How many of `total` delays lie at or below it: the nearest rank.
    fn rank(self, total: u64) -> u64 {
        (u128::from(total) * u128::from(self.0)).div_ceil(1_000_000) as u64
    }
}

/// Counts of delays by size, and where the quantile lies among them.
#[derive(Clone, Debug)]
pub(super) struct Delays {
    quantile: Quantile,
    counts: Vec<u64>,
    total: u64,
    /// The bucket of the quantile, and how many delays lie in those before it. It moves by a step or two per event, so that nothing is
    /// ever summed up over all buckets.
    at: usize,
    before: u64,
}

impl Delays {
    pub(super) fn new(quantile: Quantile) -> Delays {
        Delays { quantile, counts: Vec::new(), total: 0, at: 0, before: 0 }
    }

    pub(super) fn add(&mut self, delay: u64) {
        let bucket = bucket(delay);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.put(bucket, 1);
    }

    /// The quantile's delay, in milliseconds; 0 before the first.
    pub(super) fn quantile(&self) -> u64 {
        upper(self.at)
    }

    fn put(&mut self, bucket: usize, count: u64) {
        let Some(here) = self.counts.get_mut(bucket) else { return };
        *here += count;
        self.total += count;
        if bucket < self.at {
            self.before += count;
        }
        let rank = self.quantile.rank(self.total).max(1);
        while self.before >= rank && self.at > 0 {
            self.at -= 1;
            self.before -= self.count(self.at);
        }
        while self.before + self.count(self.at) < rank && self.at + 1 < self.counts.len() {
            self.before += self.count(self.at);
            self.at += 1;
        }
    }

    fn count(&self, bucket: usize) -> u64 {
        self.counts.get(bucket).copied().unwrap_or(0)
    }

    /// Buckets that hold anything, with their counts: MessagePack `[bucket, count, bucket, count, ..]`.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let filled = || self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let mut out = Vec::new();
        write::array(&mut out, 2 * filled().count());
        for (bucket, count) in filled() {
            write::u64(&mut out, bucket as u64);
            write::u64(&mut out, *count);
        }
        out
    }

    /// Takes the place of what is here; what cannot be read is left out.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        *self = Delays::new(self.quantile);
        let mut reader = Reader::new(bytes);
        for _ in 0..reader.array().unwrap_or(0) / 2 {
            let (Ok(at), Ok(count)) = (reader.u64(), reader.u64()) else { return };
            if at > bucket(u64::MAX) as u64 {
                return;
            }
            if at as usize >= self.counts.len() {
                self.counts.resize(at as usize + 1, 0);
            }
            self.put(at as usize, count);
        }
    }
}

/// The bucket of a delay: the first 64 are a millisecond wide, from there on each doubling is cut into 32.
fn bucket(delay: u64) -> usize {
    if delay < 2 * STEPS {
        return delay as usize;
    }
    let shift = u64::from(delay.ilog2()) - u64::from(STEPS.ilog2());
    (shift * STEPS + (delay >> shift)) as usize
}

/// The largest delay of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    (((bucket - shift * STEPS + 1) as u128) << shift).saturating_sub(1).min(i64::MAX as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut delay = 0;
        for expected in 0..1_000 {
            assert_eq!(bucket(delay), expected, "the first of a bucket, {delay}");
            assert_eq!(bucket(upper(expected)), expected, "the last of a bucket, {}", upper(expected));
            delay = upper(expected) + 1;
        }
    }

    proptest! {
        #[test]
        fn the_quantile_is_that_of_the_sorted_delays_and_at_most_a_thirty_second_more(
            delays in prop::collection::vec(prop_oneof![0u64..100, 0u64..5_000_000], 1..200), share in 0.01f64..=1.0,
        ) {
            let quantile = Quantile::new(share).unwrap();
            let mut sketch = Delays::new(quantile);
            let mut seen = Vec::new();
            for delay in delays {
                sketch.add(delay);
                seen.push(delay);
                seen.sort_unstable();
                let exact = seen[quantile.rank(seen.len() as u64) as usize - 1];
                prop_assert_eq!(sketch.quantile(), upper(bucket(exact)));
                prop_assert!(sketch.quantile() - exact <= exact / 32);
            }
            let mut again = Delays::new(quantile);
            again.read(&sketch.to_bytes());
            prop_assert_eq!((again.quantile(), again.at, again.before), (sketch.quantile(), sketch.at, sketch.before));
        }
    }
}
