//! An operator that is one pattern: what `#[operator(key = "..", pattern)]` runs.
//!
//! It holds the pattern that the author's configuration makes, compiled once per instance; the matching is that of [`Pattern`].

use std::fmt;

use super::builder::Pattern;
use super::found::{Found, Match};
use super::matches::Matches;
use crate::config::Config;
use crate::emit::Emitter;
use crate::field::{Encode, Field};
use crate::{Context, Result, Timer};

/// What looks for a pattern. `#[operator(pattern)]` implements it for a `#[config]` struct.
pub trait Detect: Config {
    /// What it takes, and keeps while a match is open.
    type Event: Clone + Encode + for<'a> Field<'a> + 'static;
    /// Whether it wants partial matches whose time is over.
    const TIMED_OUT: bool;

    /// The pattern, from the configuration.
    fn look_for(&self) -> Pattern<Self::Event>;
    /// Emits a match.
    fn matched(&self, event: Match<Self::Event>, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
    /// Emits a partial match whose time is over.
    fn timed_out(&self, event: Match<Self::Event>, ctx: &mut Context<'_>, out: &mut Emitter<'_>) -> Result<()>;
}

/// The author's configuration and the pattern made of it: the operator's configuration as the host sees it.
pub struct Detector<D: Detect> {
    author: D,
    pattern: Pattern<D::Event>,
}

impl<D: Detect> From<D> for Detector<D> {
    /// A malformed pattern becomes a fault of every event; [`Config::read`] refuses it before the first one.
    fn from(author: D) -> Self {
        Detector { pattern: author.look_for(), author }
    }
}

impl<D: Detect> Config for Detector<D> {
    const FIELDS: &'static str = D::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let detector = Detector::from(D::read(bytes)?);
        detector.pattern.check().map_err(|why| format!("the pattern cannot be matched: {why}"))?;
        Ok(detector)
    }
}

impl<D: Detect> fmt::Debug for Detector<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detector of {:?}", self.pattern)
    }
}

/// Takes an event in.
#[doc(hidden)]
#[inline]
pub fn on_event<D: Detect>(
    detector: &Detector<D>,
    event: D::Event,
    matches: &mut Matches<D::Event>,
    ctx: &mut Context<'_>,
    _out: &mut Emitter<'_>,
) -> Result<()> {
    detector.pattern.process(matches, event, ctx)
}

/// Emits what has been found.
#[doc(hidden)]
pub fn on_timer<D: Detect>(
    detector: &Detector<D>,
    timer: Timer<'_>,
    matches: &mut Matches<D::Event>,
    ctx: &mut Context<'_>,
    out: &mut Emitter<'_>,
) -> Result<()> {
    for found in detector.pattern.advance_for(matches, timer, ctx, D::TIMED_OUT)? {
        match found {
            Found::Match(found) => {
                let mut out = out.at(found.time());
                detector.author.matched(found, ctx, &mut out)?;
            }
            Found::TimedOut(found) => {
                let mut out = out.at(found.time());
                detector.author.timed_out(found, ctx, &mut out)?;
            }
        }
    }
    Ok(())
}
