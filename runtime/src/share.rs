//! How much of what happened lately was bad: counts over a window of time that slides.
//!
//! It does not know what is counted, nor what is too much; [`ShareLimit`] says that.

use crate::config::ShareLimit;
use crate::time::Millis;
use std::collections::VecDeque;
use std::time::Duration;

/// Into how many slices a window is cut: what is counted leaves it by the slice. A bound on the memory of a window of any length.
const SLICES: i64 = 60;

/// Counts over a window.
#[derive(Clone, Debug)]
pub struct Share {
    /// Length of a slice in milliseconds.
    slice: Millis,
    /// Slices in the window.
    slices: i64,
    /// The number of each slice that has something in it, in order, and what.
    counted: VecDeque<(i64, Counted)>,
}

/// What has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// All of it.
    pub all: u64,
    /// The bad part of it.
    pub bad: u64,
}

impl Share {
    /// Nothing counted yet. A thing counts for as long as the window, less at most a sixtieth of it (and less than a millisecond, if that is
    /// longer).
    pub fn new(window: Duration) -> Share {
        let window = (window.as_millis() as i64).max(1);
        let slice = (window + SLICES - 1) / SLICES;
        Share { slice, slices: (window + slice - 1) / slice, counted: VecDeque::new() }
    }

    /// Counts `more` at the time `now`; a clock that goes back counts in the last slice.
    pub fn count(&mut self, now: Millis, more: Counted) {
        let number = now.div_euclid(self.slice);
        match self.counted.back_mut() {
            Some((last, counted)) if *last >= number => counted.add(more),
            _ => self.counted.push_back((number, more)),
        }
    }

    /// What is in the window at the time `now`.
    pub fn look(&mut self, now: Millis) -> Counted {
        let first = now.div_euclid(self.slice) - self.slices + 1;
        while self.counted.pop_front_if(|(number, _)| *number < first).is_some() {}
        let mut sum = Counted::default();
        self.counted.iter().for_each(|(_, counted)| sum.add(*counted));
        sum
    }
}

impl Counted {
    fn add(&mut self, more: Counted) {
        self.all += more.all;
        self.bad += more.bad;
    }
}

impl ShareLimit {
    /// Whether the bad part is a larger share than this allows; never while too little has been counted to say.
    pub fn is_exceeded(&self, counted: Counted) -> bool {
        counted.all >= self.at_least && u128::from(counted.bad) * 1_000_000 > u128::from(counted.all) * u128::from(self.millionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_older_than_the_window_no_longer_counts() {
        let mut share = Share::new(MINUTE);
        share.count(0, Counted { all: 10, bad: 1 });
        share.count(999, Counted { all: 1, bad: 1 });
        share.count(1_000, Counted { all: 5, bad: 0 });
        assert_eq!(share.look(1_000), Counted { all: 16, bad: 2 });
        assert_eq!(share.look(59_999), Counted { all: 16, bad: 2 });
        assert_eq!(share.look(60_000), Counted { all: 5, bad: 0 }, "the first second is out as a whole");
        assert_eq!(share.look(60_999), Counted { all: 5, bad: 0 });
        assert_eq!(share.look(61_000), Counted::default());
    }

    #[test]
    fn a_window_of_any_length_holds_a_bounded_number_of_slices() {
        for window in [1, 7, 60, 61, 100, 3_600_000] {
            let mut share = Share::new(Duration::from_millis(window));
            for now in 0..10_000 {
                share.count(now, Counted { all: 1, bad: 0 });
                let counted = share.look(now).all;
                let (window, slice) = (window as i64, share.slice);
                assert!((window.min(now + 1) - slice..=window + slice - 1).contains(&(counted as i64)), "{window} at {now}: {counted}");
            }
            assert!(share.counted.len() <= SLICES as usize);
        }
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut share = Share::new(MINUTE);
        share.count(100_000, Counted { all: 1, bad: 0 });
        share.count(5_000, Counted { all: 1, bad: 1 });
        assert_eq!(share.look(100_000), Counted { all: 2, bad: 1 });
    }

    #[test]
    fn a_share_is_too_large_only_above_its_limit_and_once_there_is_enough_to_say() {
        let limit = ShareLimit { millionths: 50_000, window: MINUTE, at_least: 100 };
        let exceeded = |all, bad| limit.is_exceeded(Counted { all, bad });
        assert_eq!(
            [exceeded(99, 99), exceeded(100, 5), exceeded(100, 6), exceeded(120, 6), exceeded(119, 6)],
            [false, false, true, false, true]
        );
        assert!(!limit.is_exceeded(Counted::default()));
    }
}
