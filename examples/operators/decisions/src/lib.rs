//! How many payments of a window were approved, reviewed and blocked, and the rate of those that were not approved.

use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;

/// A payment that has been decided on.
#[event]
pub struct Decided<'a> {
    /// What is done about it.
    pub action: &'a str,
}

/// The configuration.
#[config]
pub struct Settings {
    /// Which windows.
    pub window: WindowSpec,
    /// The actions by which a payment is approved.
    pub approved: Vec<String>,
    /// The actions by which it is blocked. Every other one sends it to a review.
    pub blocked: Vec<String>,
}

/// What a window has counted.
#[state]
pub struct Decisions {
    /// Payments that went on.
    pub approved: u64,
    /// Those that somebody, or the payer, has to look at.
    pub review: u64,
    /// Those that were stopped.
    pub blocked: u64,
}

/// What a window says.
#[event]
pub struct Totals {
    /// Where it begins.
    pub window_start: Millis,
    /// Where it ends.
    pub window_end: Millis,
    /// Payments that went on.
    pub approved: u64,
    /// Those under review.
    pub review: u64,
    /// Those that were stopped.
    pub blocked: u64,
    /// The part of all payments that was not approved, from 0 to 1.
    pub rate: f64,
}

#[operator(keyed, window = configured)]
impl Decisions {
    /// Which windows.
    pub fn window(settings: &Settings) -> &WindowSpec {
        &settings.window
    }

    /// Counts a payment.
    pub fn add(&mut self, payment: Decided<'_>, settings: &Settings) {
        let is = |actions: &[String]| actions.iter().any(|action| action == payment.action);
        let count = match (is(&settings.blocked), is(&settings.approved)) {
            (true, _) => &mut self.blocked,
            (false, true) => &mut self.approved,
            (false, false) => &mut self.review,
        };
        *count += 1;
    }

    /// Adds what another part of the window has counted.
    pub fn merge(&mut self, later: Self) {
        self.approved += later.approved;
        self.review += later.review;
        self.blocked += later.blocked;
    }

    /// What the window says; one without payments is never asked.
    pub fn close(&self, w: Window) -> Totals {
        let Decisions { approved, review, blocked } = *self;
        let rate = (blocked + review) as f64 / (approved + review + blocked) as f64;
        Totals { window_start: w.start, window_end: w.end, approved, review, blocked, rate }
    }
}
