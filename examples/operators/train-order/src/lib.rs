//! Brings trains into the order of their schedule. The stream's time is that of arrival; a line's watermark stands so far behind the stream's
//! as the line waits, and a train comes out when the line's watermark has reached its scheduled time.
//!
//! The wait is fixed, or learned: a quantile of the delays so far, and a margin. The watermark never goes back.

use sangam_sdk::*;
use serde::Deserialize;

/// The timer of a line with trains that wait.
const TIMER: &str = "release";
/// Delays are counted in whole seconds, those beyond a day as a day: so many numbers a line remembers at most.
const DELAY_MAX: i64 = 24 * 60 * 60;

/// A train at a station.
#[event]
#[derive(Default)]
pub struct Train {
    /// Which train.
    pub train_id: String,
    /// Its line: the key.
    pub line: String,
    /// When it should have come.
    pub scheduled: Millis,
    /// When it came.
    pub arrived: Millis,
}

/// A train in the order of the schedule, or one that came too late for it.
#[event]
pub struct Shown {
    /// Which train.
    pub train_id: String,
    /// Its line.
    pub line: String,
    /// When it should have come.
    pub scheduled: Millis,
    /// When it came.
    pub arrived: Millis,
    /// How far off it was, in seconds; less than 0 for one that was early.
    pub delay: f64,
    /// `on_time`, `minor`, `delay` or `major`.
    pub status: String,
    /// How long the line waits now, in seconds.
    pub wait: f64,
}

/// Where trains leave.
#[outputs]
pub enum Out {
    /// In the order of the schedule.
    Released(Shown),
    /// Those that are behind the watermark.
    Alerts(Shown),
}

/// A line.
#[state]
pub struct Line {
    /// Trains that wait, by schedule; those of one time as they came.
    pub waiting: Vec<Train>,
    /// How many trains had which delay, in seconds; in order.
    pub delays: Vec<(i64, u64)>,
    /// What has been passed: no train of this time or before it is waited for.
    pub watermark: Option<Millis>,
}

/// How long a line waits.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a duration, or { quantile = 0.95, margin = \"60s\" }")]
pub enum Wait {
    /// Always as long.
    Fixed(Duration),
    /// As long as that part of the trains was late, and the margin.
    Learned {
        /// The part, from 0 to 1.
        quantile: f64,
        /// What is added.
        margin: Duration,
    },
}

/// The configuration.
#[config]
pub struct TrainOrder {
    /// How long a line waits.
    pub wait: Wait,
    /// Up to here a delay is minor.
    #[config(default = Duration(minutes(2)))]
    pub minor_up_to: Duration,
    /// Up to here it is a delay; beyond it a major one.
    #[config(default = Duration(minutes(5)))]
    pub delay_up_to: Duration,
}

#[operator(key = "line")]
impl TrainOrder {
    /// Takes a train in; one behind the watermark is late.
    pub fn on_event(&self, train: Train, line: &mut Line, ctx: &mut Context) -> Option<Out> {
        line.pass(ctx.watermark().saturating_sub(self.wait(line)));
        let late = train.scheduled <= line.passed();
        line.note(train.arrived - train.scheduled);
        let wait = self.wait(line);
        let out = if late {
            Some(Out::Alerts(self.show(train, wait)))
        } else {
            let place = line.waiting.partition_point(|known| known.scheduled <= train.scheduled);
            line.waiting.insert(place, train);
            None
        };
        line.wake(wait, ctx);
        out
    }

    /// Releases what the watermark has passed; at the end of the stream all.
    pub fn on_timer(&self, timer: Timer, line: &mut Line, ctx: &mut Context) -> Vec<Out> {
        let wait = self.wait(line);
        line.pass(timer.at() - wait);
        let passed = line.passed();
        let later = line.waiting.partition_point(|train| train.scheduled <= passed);
        let out = line.waiting.drain(..later).map(|train| Out::Released(self.show(train, wait))).collect();
        line.wake(wait, ctx);
        out
    }
}

impl TrainOrder {
    fn wait(&self, line: &Line) -> Millis {
        match &self.wait {
            Wait::Fixed(Duration(wait)) => *wait,
            Wait::Learned { quantile, margin } => line.quantile(*quantile).max(0) * 1_000 + margin.0,
        }
    }

    fn show(&self, train: Train, wait: Millis) -> Shown {
        let Train { train_id, line, scheduled, arrived } = train;
        let delay = arrived - scheduled;
        let status = match delay {
            ..=0 => "on_time",
            delay if delay <= self.minor_up_to.0 => "minor",
            delay if delay <= self.delay_up_to.0 => "delay",
            _ => "major",
        };
        let (delay, wait) = (delay as f64 / 1_000.0, wait as f64 / 1_000.0);
        Shown { train_id, line, scheduled, arrived, delay, status: status.to_owned(), wait }
    }
}

impl Line {
    /// Counts a delay, rounded up to a second.
    fn note(&mut self, delay: Millis) {
        let seconds = (delay + 999).div_euclid(1_000).clamp(-DELAY_MAX, DELAY_MAX);
        match self.delays.binary_search_by_key(&seconds, |(known, _)| *known) {
            Ok(place) => self.delays.get_mut(place).into_iter().for_each(|(_, trains)| *trains += 1),
            Err(place) => self.delays.insert(place, (seconds, 1)),
        }
    }

    /// The delay of rank ⌈q·n⌉, in seconds.
    fn quantile(&self, q: f64) -> i64 {
        let all: u64 = self.delays.iter().map(|(_, trains)| trains).sum();
        let mut left = ((q * all as f64).ceil() as u64).max(1);
        for (seconds, trains) in &self.delays {
            if left <= *trains {
                return *seconds;
            }
            left -= trains;
        }
        0
    }

    /// What has been passed.
    fn passed(&self) -> Millis {
        self.watermark.unwrap_or(Millis::MIN)
    }

    /// Moves the watermark forward.
    fn pass(&mut self, to: Millis) {
        self.watermark = Some(self.passed().max(to));
    }

    /// Sets the timer for the first train that waits: when something has arrived so much later than it was scheduled for.
    fn wake(&self, wait: Millis, ctx: &mut Context) {
        if let Some(first) = self.waiting.first() {
            ctx.wake(TIMER, first.scheduled + wait);
        }
    }
}
