//! Numbers in a configuration.
//!
//! A `f64` read from inside a list or a table says of a text only that it does not fit, and takes NaN for a number.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A finite number, `0.5` or `3`: a weight, a limit, a rate in a `#[config]`. Whatever is none is refused in words that say so.
///
/// ```
/// use std::collections::BTreeMap;
/// use sangam_sdk::*;
///
/// #[config] struct Score { weights: BTreeMap<String, Number> }
///
/// let score = Score::read(b"\x81\xa7weights\x81\xa1a\x05").unwrap();
/// assert_eq!(*score.weights["a"] + 1.0, 6.0);
/// assert_eq!(
///     Score::read(b"\x81\xa7weights\x81\xa1a\xa1x").unwrap_err(),
///     "config field `weights`: invalid type: string \"x\", expected a number"
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Number(f64);

impl Number {
    /// A number; none where it is infinite or NaN.
    pub const fn new(number: f64) -> Option<Number> {
        if number.is_finite() { Some(Number(number)) } else { None }
    }
}

impl Deref for Number {
    type Target = f64;
    fn deref(&self) -> &f64 {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit)
    }
}

struct Visit;

impl Visitor<'_> for Visit {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Number, E> {
        Number::new(value).ok_or_else(|| E::custom(format!("{value} is no number to reckon with")))
    }
}
