//! A circuit breaker: what keeps failing is left alone for a while, then tried once, and used again when that works.
//!
//! It calls nothing and has no clock; its owner asks before each call, and tells how the call went.

use crate::config::{BreakerSpec, Trips};
use crate::share::{Counted, Share};
use crate::time::Millis;

/// A circuit breaker. One caller owns it.
#[derive(Clone, Debug)]
pub struct Breaker {
    spec: BreakerSpec,
    state: State,
    /// Failures since the last success.
    in_a_row: u64,
    /// What happened lately, where a share of it opens the circuit.
    share: Option<Share>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    OpenUntil(Millis),
    HalfOpen,
}

/// Whether to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Closed: call as ever.
    Free,
    /// Half-open: make one call, and tell how it went before anything else is asked.
    Trial,
    /// Open: do not call.
    Barred,
}

impl Breaker {
    /// A closed one.
    pub fn new(spec: BreakerSpec) -> Breaker {
        let share = if let Trips::Share(limit) = &spec.trips { Some(Share::new(limit.window)) } else { None };
        Breaker { spec, state: State::Closed, in_a_row: 0, share }
    }

    /// Whether all is well, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether to call, at the time `now`. While a trial is under way, nothing else passes.
    pub fn passage(&mut self, now: Millis) -> Passage {
        match self.state {
            State::Closed => Passage::Free,
            State::OpenUntil(until) if now >= until => {
                self.state = State::HalfOpen;
                Passage::Trial
            }
            State::OpenUntil(_) | State::HalfOpen => Passage::Barred,
        }
    }

    /// So many calls went well. One is enough to close the circuit; what was before is then forgotten.
    pub fn succeeded(&mut self, now: Millis, calls: u64) {
        if self.state == State::HalfOpen {
            *self = Breaker::new(self.spec);
        }
        self.in_a_row = 0;
        if let Some(share) = &mut self.share {
            share.count(now, Counted { all: calls, bad: 0 });
        }
    }

    /// A call failed; true when that has opened the circuit. A failed trial always does.
    pub fn failed(&mut self, now: Millis) -> bool {
        self.in_a_row += 1;
        if let Some(share) = &mut self.share {
            share.count(now, Counted { all: 1, bad: 1 });
        }
        let enough = match (&self.spec.trips, &mut self.share) {
            (Trips::Share(limit), Some(share)) => limit.is_exceeded(share.look(now)),
            (Trips::Failures(failures), _) => self.in_a_row >= *failures,
            (Trips::Share(_), None) => false,
        };
        let opens = self.state == State::HalfOpen || (self.state == State::Closed && enough);
        if opens {
            self.state = State::OpenUntil(now.saturating_add(self.spec.open_for.as_millis() as Millis));
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ShareLimit;
    use std::time::Duration;

    fn after_three() -> Breaker {
        Breaker::new(BreakerSpec { trips: Trips::Failures(3), open_for: Duration::from_secs(30) })
    }

    fn opened_at(now: Millis) -> Breaker {
        let mut breaker = after_three();
        assert_eq!([(); 3].map(|()| breaker.failed(now)), [false, false, true]);
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_starts_the_count_again() {
        let mut breaker = after_three();
        for _ in 0..10 {
            assert!(!breaker.failed(0) && !breaker.failed(0));
            breaker.succeeded(0, 1);
            assert_eq!((breaker.passage(0), breaker.is_closed()), (Passage::Free, true));
        }
        assert_eq!([(); 3].map(|()| breaker.failed(0)), [false, false, true]);
        assert_eq!((breaker.passage(0), breaker.is_closed()), (Passage::Barred, false));
    }

    #[test]
    fn it_bars_everything_for_its_time_and_then_lets_one_call_try() {
        let mut breaker = opened_at(1_000);
        assert_eq!(breaker.passage(1_000), Passage::Barred);
        assert_eq!(breaker.passage(30_999), Passage::Barred);
        assert_eq!(breaker.passage(31_000), Passage::Trial);
        assert_eq!(breaker.passage(31_000), Passage::Barred, "one trial at a time");
    }

    #[test]
    fn a_trial_that_works_closes_it_and_it_takes_as_many_failures_as_ever_to_open_again() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.passage(30_000), Passage::Trial);
        breaker.succeeded(30_000, 1);
        assert_eq!(breaker.passage(30_000), Passage::Free);
        assert_eq!([(); 3].map(|()| breaker.failed(30_000)), [false, false, true]);
    }

    #[test]
    fn a_trial_that_fails_opens_it_for_as_long_again() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.passage(40_000), Passage::Trial);
        assert!(breaker.failed(40_000));
        assert_eq!(breaker.passage(69_999), Passage::Barred);
        assert_eq!(breaker.passage(70_000), Passage::Trial);
    }

    #[test]
    fn a_share_of_failures_in_a_window_opens_it_and_those_before_do_not_count() {
        let limit = ShareLimit { millionths: 500_000, window: Duration::from_secs(60), at_least: 4 };
        let mut breaker = Breaker::new(BreakerSpec { trips: Trips::Share(limit), open_for: Duration::from_secs(1) });
        assert!([(); 3].map(|()| breaker.failed(0)).iter().all(|opened| !opened), "too few to say");
        breaker.succeeded(60_000, 2);
        assert!(!breaker.failed(60_000) && !breaker.failed(60_000), "two of four are not more than half");
        assert!(breaker.failed(60_000), "three of five are");
        assert_eq!(breaker.passage(61_000), Passage::Trial);
        breaker.succeeded(61_000, 1);
        assert!([(); 2].map(|()| breaker.failed(61_000)).iter().all(|opened| !opened), "it starts anew");
        assert!(breaker.failed(61_000), "three of four");
    }
}
