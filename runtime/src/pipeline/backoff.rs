//! How long to wait before the next try after a failure: twice as long each time up to a bound, and never as long as everybody else.
//!
//! It does not wait.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The bounds of the first pause, and of the longest. A pause lies in the upper half below its bound ("equal jitter"): what is broken gets time
/// to recover, and pipelines that lost the same broker do not all come back at the same moment.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A run that has lasted longer than this was a good one: the failure after it is the first again.
const GOOD_RUN: Duration = Duration::from_secs(20);

/// The pauses between tries.
#[derive(Debug)]
pub struct Backoff {
    /// What the next pause is at most.
    bound: Duration,
    /// The state of a SplitMix64 generator.
    random: u64,
}

impl Backoff {
    /// Pauses that no other process has.
    pub fn new() -> Backoff {
        Backoff::seeded(RandomState::new().hash_one(0))
    }

    /// The pauses that belong to a seed.
    pub fn seeded(seed: u64) -> Backoff {
        Backoff { bound: BOUNDS.0, random: seed }
    }

    /// How long to wait, now that a try has failed which had run for so long.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran > GOOD_RUN {
            self.bound = BOUNDS.0;
        }
        let half = self.bound / 2;
        self.bound = (self.bound * 2).min(BOUNDS.1);
        half + half.mul_f64(self.fraction())
    }

    /// A number from 0 up to, but not including, 1.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits are as many as a double holds exactly.
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const MILLIS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn pauses_double_up_to_ten_seconds_and_keep_at_least_half_of_their_bound() {
        for seed in 0..1_000 {
            let mut backoff = Backoff::seeded(seed);
            for bound in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
                let pause = backoff.after(MILLIS(0));
                assert!((MILLIS(bound) / 2..MILLIS(bound)).contains(&pause), "seed {seed}: {pause:?} of {bound} ms");
            }
        }
    }

    #[test]
    fn pipelines_that_fail_together_come_back_one_by_one() {
        let mut crowd: Vec<Backoff> = (0..100).map(Backoff::seeded).collect();
        let pauses: BTreeSet<Duration> = crowd.iter_mut().map(|backoff| backoff.after(MILLIS(0))).collect();
        assert_eq!(pauses.len(), 100);
        // They are spread over the whole stretch, not bunched: each tenth of it has some.
        let tenths: BTreeSet<u128> = pauses.iter().map(|pause| (pause.as_micros() - 50_000) / 5_000).collect();
        assert_eq!(tenths.len(), 10, "{tenths:?}");
        let again = |seed| Backoff::seeded(seed).after(MILLIS(0));
        assert_eq!(again(7), again(7), "a seed tells the pause");
    }

    #[test]
    fn after_a_good_run_the_pauses_are_short_again() {
        let mut backoff = Backoff::seeded(1);
        (0..9).for_each(|_| assert!(backoff.after(MILLIS(0)) > MILLIS(0)));
        assert!(backoff.after(GOOD_RUN) >= MILLIS(5_000), "as long as it takes, and no longer, is no good run");
        assert!(backoff.after(GOOD_RUN + MILLIS(1)) < MILLIS(100));
        assert!(backoff.after(MILLIS(0)) >= MILLIS(100), "and grow again");
    }
}
