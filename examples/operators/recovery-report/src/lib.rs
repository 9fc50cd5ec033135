//! Says of each window how many payments failed, how often they were tried again, how many came through, and which rates are too high.

use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;
use serde::Deserialize;

/// What became of a payment.
#[event]
pub struct Outcome<'a> {
    /// `none`, `transient`, `persistent`, `catastrophic`.
    pub severity: &'a str,
    /// `settled` or `dead`.
    pub outcome: &'a str,
    /// How often it was tried.
    pub tries: u64,
}

/// The highest shares of payments that may fail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerated {
    transient: Number,
    persistent: Number,
    catastrophic: Number,
}

/// The configuration.
#[config]
pub struct Settings {
    /// Which windows.
    pub window: WindowSpec,
    /// The highest shares of payments that may fail, 0 to 1.
    pub tolerated: Tolerated,
}

/// What a window has counted.
#[state]
pub struct RecoveryReport {
    payments: u64,
    replays: u64,
    successes: u64,
    in_dlq: u64,
    /// Transient, persistent, catastrophic.
    failed: Vec<u64>,
}

/// What a window says.
#[event]
pub struct Report {
    /// Where it begins.
    pub window_start: Millis,
    /// Payments that have come to an end.
    pub payments: u64,
    /// Tries after the first one.
    pub replays: u64,
    /// Those of them that succeeded.
    pub successes: u64,
    /// Those that did not.
    pub failures: u64,
    /// Payments that became dead letters.
    pub in_dlq: u64,
    /// Shares of payments that failed.
    pub transient_rate: f64,
    /// The same of persistent failures.
    pub persistent_rate: f64,
    /// The same of catastrophic failures.
    pub catastrophic_rate: f64,
    /// Severities whose rate is higher than tolerated.
    pub exceeded: Vec<String>,
}

const SEVERITIES: [&str; 3] = ["transient", "persistent", "catastrophic"];

#[operator(key = "$all", window = configured)]
impl RecoveryReport {
    /// Which windows.
    pub fn window(settings: &Settings) -> &WindowSpec {
        &settings.window
    }

    /// Counts a payment.
    pub fn add(&mut self, outcome: Outcome<'_>) {
        self.failed.resize(SEVERITIES.len(), 0);
        self.payments += 1;
        self.replays += outcome.tries.saturating_sub(1);
        self.in_dlq += u64::from(outcome.outcome == "dead");
        let severity = SEVERITIES.iter().position(|severity| *severity == outcome.severity);
        if let Some(failed) = severity.and_then(|severity| self.failed.get_mut(severity)) {
            *failed += 1;
            self.successes += u64::from(outcome.outcome == "settled");
        }
    }

    /// Takes in what came later.
    pub fn merge(&mut self, later: Self) {
        self.failed.resize(SEVERITIES.len(), 0);
        self.payments += later.payments;
        self.replays += later.replays;
        self.successes += later.successes;
        self.in_dlq += later.in_dlq;
        self.failed.iter_mut().zip(later.failed).for_each(|(failed, more)| *failed += more);
    }

    /// What it says at its end.
    pub fn close(self, w: Window, settings: &Settings) -> Report {
        let rate = |severity: usize| self.failed.get(severity).copied().unwrap_or(0) as f64 / self.payments as f64;
        let Tolerated { transient, persistent, catastrophic } = &settings.tolerated;
        let limits = [transient, persistent, catastrophic].into_iter().enumerate();
        let exceeded = limits.filter(|(severity, most)| rate(*severity) > ***most).filter_map(|(severity, _)| SEVERITIES.get(severity));
        Report {
            window_start: w.start,
            payments: self.payments,
            replays: self.replays,
            successes: self.successes,
            failures: self.replays - self.successes,
            in_dlq: self.in_dlq,
            transient_rate: rate(0),
            persistent_rate: rate(1),
            catastrophic_rate: rate(2),
            exceeded: exceeded.map(|severity| (*severity).to_owned()).collect(),
        }
    }
}
