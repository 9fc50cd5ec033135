//! A circuit breaker: too many failures in a row, and nobody new is let in for a while; then one session, which decides.
//!
//! Time is that of the events, so that the same events always open and close it alike.

use sangam_sdk::*;
use serde::Deserialize;

/// When it opens, and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// So many errors of a region in a row open it.
    pub failures: u32,
    /// After so long one session is let in again.
    pub open_for: Duration,
}

/// Whether a region works.
#[state]
pub struct Circuit {
    /// Errors in a row.
    failures: u32,
    /// Open, and until when nobody is let in.
    open_until: Option<Millis>,
    /// The session that was let in to try. One that says nothing for as long as the circuit was open is followed by another.
    trial: Option<String>,
}

impl Circuit {
    /// Its name when nobody is let in.
    pub const OPEN: &'static str = "open";
    /// Its name when all are.
    pub const CLOSED: &'static str = "closed";
    /// Its name while one session tries.
    const HALF_OPEN: &'static str = "half_open";

    /// Whether it lets one more session in.
    pub fn lets_in(&self, time: Millis) -> bool {
        self.open_until.is_none_or(|until| time >= until)
    }

    /// A session has been placed; the new state where it has changed: the first one after a while decides.
    pub fn place(&mut self, session: &str, time: Millis, breaker: &Breaker) -> Option<&'static str> {
        if self.open_until.is_none_or(|until| time < until) {
            return None;
        }
        self.open_until = Some(time.saturating_add(breaker.open_for.0));
        self.trial.replace(session.to_owned()).is_none().then_some(Circuit::HALF_OPEN)
    }

    /// Something has worked; whether that has closed it.
    pub fn succeed(&mut self, session: &str) -> bool {
        if self.open_until.is_none() {
            self.failures = 0;
            return false;
        }
        let closes = self.trial.as_deref() == Some(session);
        if closes {
            *self = Circuit::default();
        }
        closes
    }

    /// An error; whether that has opened it.
    pub fn fail(&mut self, session: &str, time: Millis, breaker: &Breaker) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = if self.open_until.is_some() { self.trial.as_deref() == Some(session) } else { self.failures >= breaker.failures };
        if opens {
            self.open_until = Some(time.saturating_add(breaker.open_for.0));
            self.trial = None;
        }
        opens
    }
}
