//! Watermarks: how one partition's is made from its events, and how several become one.
//!
//! Flink's rules: W(t) says that no more events with time ≤ t will come; it never goes back.

use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN};

/// How a partition's watermark follows its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The highest time so far, less a bound on how far events come out of order, less 1 ms.
    Bounded {
        /// The bound, in milliseconds.
        out_of_orderness: Millis,
    },
    /// Times never fall: the highest time so far, less 1 ms.
    Monotonic,
    /// The time of arrival is the event's time, so nothing is ever out of order.
    ProcessingTime,
}

/// Makes one partition's watermark.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    bound: Millis,
    watermark: Millis,
}

impl Generator {
    /// Starts before any event.
    pub fn new(strategy: Strategy) -> Generator {
        let bound = match strategy {
            Strategy::Bounded { out_of_orderness } => out_of_orderness,
            Strategy::Monotonic | Strategy::ProcessingTime => 0,
        };
        Generator { bound, watermark: WATERMARK_MIN }
    }

    /// Takes the next event's time.
    #[inline]
    pub fn observe(&mut self, time: Millis) {
        self.advance(time.saturating_sub(self.bound).saturating_sub(1));
    }

    /// Moves the watermark to `to`, if that is ahead.
    #[inline]
    pub fn advance(&mut self, to: Millis) {
        self.watermark = self.watermark.max(to);
    }

    /// Where it stands.
    #[inline]
    pub fn watermark(&self) -> Millis {
        self.watermark
    }
}

/// How one of several inputs counts towards the common watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Active,
    /// Has had nothing to say for a while: the others do not wait for it.
    Idle,
    /// Has come back, but is still behind the common watermark: it counts again once it has caught up.
    Behind,
}

/// The least watermark over several inputs.
#[derive(Clone, Debug, Default)]
pub struct Combined {
    inputs: Vec<(Millis, Standing)>,
    watermark: Millis,
}

impl Combined {
    /// `inputs` inputs of which nothing is known yet.
    pub fn new(inputs: usize) -> Combined {
        Combined { inputs: vec![(WATERMARK_MIN, Standing::Active); inputs], watermark: WATERMARK_MIN }
    }

    /// Starts at a watermark that was reached before.
    pub fn start_at(&mut self, watermark: Millis) {
        self.watermark = self.watermark.max(watermark);
    }

    /// An input's watermark has moved to `to`; returns the common one.
    #[inline]
    pub fn advance(&mut self, input: usize, to: Millis) -> Millis {
        // One input that is heard is the rule, and every event comes by here.
        if let [(watermark, Standing::Active)] = self.inputs.as_mut_slice() {
            *watermark = to.max(*watermark);
            self.watermark = self.watermark.max(*watermark);
            return self.watermark;
        }
        let Some((watermark, standing)) = self.inputs.get_mut(input) else { return self.watermark };
        if to <= *watermark && *standing == Standing::Active {
            return self.watermark;
        }
        *watermark = to.max(*watermark);
        if *standing != Standing::Active {
            *standing = if *watermark >= self.watermark { Standing::Active } else { Standing::Behind };
        }
        self.settle()
    }

    /// An input has gone idle; returns the common watermark.
    pub fn idle(&mut self, input: usize) -> Millis {
        if let Some((_, standing)) = self.inputs.get_mut(input) {
            *standing = Standing::Idle;
        }
        self.settle()
    }

    /// The common watermark.
    #[inline]
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// True when no input is to be waited for.
    pub fn all_idle(&self) -> bool {
        self.inputs.iter().all(|(_, standing)| *standing == Standing::Idle)
    }

    /// The input that holds the common watermark back, and where it stands.
    pub fn holding_back(&self) -> Option<(usize, Millis)> {
        let active = self.inputs.iter().enumerate().filter(|(_, (_, standing))| *standing == Standing::Active);
        active
            .map(|(input, (watermark, _))| (input, *watermark))
            .min_by_key(|(_, watermark)| *watermark)
            .filter(|(_, w)| *w != WATERMARK_MAX)
    }

    fn settle(&mut self) -> Millis {
        let active = self.inputs.iter().filter(|(_, standing)| *standing == Standing::Active).map(|(watermark, _)| *watermark).min();
        // With nobody left to wait for, what the furthest has said holds.
        let common = active.or_else(|| self.inputs.iter().map(|(watermark, _)| *watermark).max());
        self.watermark = self.watermark.max(common.unwrap_or(WATERMARK_MIN));
        self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_trails_the_highest_time_by_the_bound_and_one() {
        let mut generator = Generator::new(Strategy::Bounded { out_of_orderness: 10 });
        assert_eq!(generator.watermark(), WATERMARK_MIN);
        for (time, expected) in [(100, 89), (90, 89), (101, 90), (i64::MIN, 90)] {
            generator.observe(time);
            assert_eq!(generator.watermark(), expected, "after {time}");
        }
        let mut monotonic = Generator::new(Strategy::Monotonic);
        monotonic.observe(7);
        monotonic.observe(3);
        assert_eq!(monotonic.watermark(), 6);
    }

    #[test]
    fn the_slowest_input_decides_and_an_idle_one_does_not() {
        let mut both = Combined::new(2);
        assert_eq!(both.advance(0, 50), WATERMARK_MIN);
        assert_eq!(both.advance(1, 20), 20);
        assert_eq!(both.holding_back(), Some((1, 20)));
        assert_eq!(both.idle(1), 50);
        // It comes back behind the others: they do not go back, nor do they wait before it has caught up.
        assert_eq!(both.advance(1, 30), 50);
        assert_eq!(both.advance(0, 60), 60);
        assert_eq!(both.advance(1, 70), 60);
        assert_eq!(both.advance(0, 80), 70);
    }

    #[test]
    fn when_all_inputs_are_idle_the_furthest_counts() {
        let mut both = Combined::new(2);
        both.advance(0, 50);
        both.idle(1);
        assert_eq!(both.idle(0), 50);
    }
}
