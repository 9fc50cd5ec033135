//! Makes one partition's watermark from the times of its events.
//!
//! It does not know partitions, nor when one is idle.

use super::delays::{Delays, Quantile};
use crate::time::{Millis, WATERMARK_MIN};

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
    /// Events say themselves how far it is: see [`Generator::mark`].
    Punctuated,
    /// The time of arrival is the event's time, so nothing is ever out of order.
    ProcessingTime,
    /// The highest time so far, less a quantile of the delays seen so far, less a margin, less 1 ms. An event's delay is how far its time
    /// is behind the highest so far.
    ObservedDelay {
        /// Which quantile.
        quantile: Quantile,
        /// What is added to it, in milliseconds.
        margin: Millis,
    },
}

/// Makes one partition's watermark.
#[derive(Clone, Debug)]
pub struct Generator {
    bound: Millis,
    watermark: Millis,
    /// Whether the times of events move it.
    follows: bool,
    observed: Option<Box<Observed>>,
}

/// What a generator that learns its bound has learned.
#[derive(Clone, Debug)]
struct Observed {
    delays: Delays,
    highest: Millis,
}

impl Generator {
    /// Starts before any event.
    pub fn new(strategy: Strategy) -> Generator {
        let (bound, follows) = match strategy {
            Strategy::Bounded { out_of_orderness } => (out_of_orderness, true),
            Strategy::Monotonic | Strategy::ProcessingTime => (0, true),
            Strategy::Punctuated => (0, false),
            Strategy::ObservedDelay { margin, .. } => (margin, true),
        };
        let observed = match strategy {
            Strategy::ObservedDelay { quantile, .. } => Some(Box::new(Observed { delays: Delays::new(quantile), highest: WATERMARK_MIN })),
            _ => None,
        };
        Generator { bound, watermark: WATERMARK_MIN, follows, observed }
    }

    /// Takes the next event's time.
    #[inline]
    pub fn observe(&mut self, time: Millis) {
        if let Some(observed) = &mut self.observed {
            return self.watermark = self.watermark.max(observed.learn(time).saturating_sub(self.bound).saturating_sub(1));
        }
        if self.follows {
            self.advance(time.saturating_sub(self.bound).saturating_sub(1));
        }
    }

    /// An event says that no more events with time ≤ `time` will come. Only a punctuated watermark listens.
    #[inline]
    pub fn mark(&mut self, time: Millis) {
        if !self.follows {
            self.advance(time);
        }
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

    /// Whether it is further than its group allows.
    #[inline]
    pub fn is_ahead_of(&self, allowed: Millis) -> bool {
        self.watermark > allowed
    }

    /// What it has learned, to be kept with the partition's position; nothing for most strategies.
    pub fn learned(&self) -> Option<(Millis, Vec<u8>)> {
        self.observed.as_ref().map(|observed| (observed.highest, observed.delays.to_bytes()))
    }

    /// Brings back what was learned. With another quantile in the pipeline file the same delays count.
    pub fn recall(&mut self, highest: Millis, delays: &[u8]) {
        if let Some(observed) = &mut self.observed {
            observed.highest = highest;
            observed.delays.read(delays);
        }
    }
}

impl Observed {
    /// Takes a time in; returns the highest so far less the quantile of the delays.
    fn learn(&mut self, time: Millis) -> Millis {
        self.highest = self.highest.max(time);
        self.delays.add(self.highest.saturating_sub(time) as u64);
        self.highest.saturating_sub(self.delays.quantile() as Millis)
    }
}
