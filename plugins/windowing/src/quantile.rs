//! Quantiles: exact up to 256 values, then from counts in intervals that are 1/64 wide of what they start with, so within 0.8 % of the value.
//!
//! What it holds depends on the values alone, not on their order or on how they were merged. It uses no logarithm: the interval of a
//! number is the front of its bits, which is the same on every machine.

use std::collections::BTreeMap;

use sangam_protocol::msgpack::{Reader, write};
use sangam_sdk::{Encode, Field, Wrong};

use crate::number::Number;

/// Values that are kept as they came.
const EXACT: usize = 256;

/// Intervals that are kept apart: 512 cover eight powers of two. Values that are spread wider make the intervals twice as wide, again and
/// again.
const INTERVALS: usize = 512;

/// Bits of a float that are left out: sign, exponent and six bits of the fraction remain.
const SHIFT: u32 = 46;

/// How values are spread.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantile {
    /// The values, in order.
    Exact(Vec<Number>),
    /// How many values there are in each interval, and how many times the intervals were made twice as wide.
    Counts(u32, BTreeMap<i64, u64>),
}

impl Default for Quantile {
    fn default() -> Self {
        Quantile::Exact(Vec::new())
    }
}

impl Quantile {
    /// Takes one value in.
    pub fn take(&mut self, value: Number) {
        match self {
            Quantile::Exact(values) => {
                values.insert(values.partition_point(|known| known.order(value).is_le()), value);
                if values.len() > EXACT {
                    let mut counts = BTreeMap::new();
                    values.iter().for_each(|value| *counts.entry(interval(*value)).or_insert(0) += 1);
                    *self = Quantile::Counts(0, counts);
                    self.narrow();
                }
            }
            Quantile::Counts(coarse, counts) => {
                *counts.entry(interval(value) >> *coarse).or_insert(0) += 1;
                self.narrow();
            }
        }
    }

    /// Takes in others.
    pub fn merge(&mut self, other: Quantile) {
        match (&mut *self, other) {
            (_, Quantile::Exact(values)) => values.into_iter().for_each(|value| self.take(value)),
            (Quantile::Exact(values), mut counted @ Quantile::Counts(..)) => {
                values.drain(..).for_each(|value| counted.take(value));
                *self = counted;
            }
            (Quantile::Counts(coarse, counts), Quantile::Counts(other, more)) => {
                let coarser = other.max(*coarse);
                widen(counts, coarser - *coarse);
                *coarse = coarser;
                more.into_iter().for_each(|(interval, count)| *counts.entry(interval >> (coarser - other)).or_insert(0) += count);
                self.narrow();
            }
        }
    }

    /// Makes the intervals wider until there are few enough.
    fn narrow(&mut self) {
        if let Quantile::Counts(coarse, counts) = self {
            while counts.len() > INTERVALS {
                widen(counts, 1);
                *coarse += 1;
            }
        }
    }

    /// The value that at least this part of all values does not exceed: the one of rank ⌈q·n⌉. None where there is no value.
    pub fn at(&self, q: f64) -> Option<Number> {
        let rank = |total: u64| ((q * total as f64).ceil() as u64).clamp(1, total.max(1));
        match self {
            Quantile::Exact(values) => values.get(rank(values.len() as u64) as usize - 1).copied(),
            Quantile::Counts(coarse, counts) => {
                let mut left = rank(counts.values().sum());
                let found = counts.iter().find(|(_, count)| {
                    left = left.saturating_sub(**count);
                    left == 0
                });
                found.map(|(interval, _)| middle(*interval, *coarse))
            }
        }
    }
}

fn widen(counts: &mut BTreeMap<i64, u64>, times: u32) {
    if times > 0 {
        let narrow = std::mem::take(counts);
        narrow.into_iter().for_each(|(interval, count)| *counts.entry(interval >> times).or_insert(0) += count);
    }
}

/// The interval of a number, in order of numbers: the front of its bits, those of negative ones turned round.
fn interval(number: Number) -> i64 {
    let bits = (number.float() + 0.0).to_bits() as i64;
    (bits ^ (((bits >> 63) as u64) >> 1) as i64) >> SHIFT
}

/// The middle of an interval.
fn middle(interval: i64, coarse: u32) -> Number {
    let edge = |interval: i64| {
        let bits = interval.saturating_mul(1 << (SHIFT + coarse).min(62));
        f64::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
    };
    let (low, high) = (edge(interval), edge(interval + 1));
    if low == 0.0 && coarse == 0 {
        return Number::Float(0.0);
    }
    Number::Float(if high.is_finite() { low + (high - low) / 2.0 } else { low })
}

impl<'a> Field<'a> for Quantile {
    const KIND: &'static str = "any";

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        if reader.nil()? {
            return Ok(Quantile::Exact(Vec::decode(reader)?));
        }
        Ok(Quantile::Counts(u32::decode(reader)?, BTreeMap::decode(reader)?))
    }
}

/// Two values: nil and the values, or how wide the intervals are and their counts.
impl Encode for Quantile {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Quantile::Exact(values) => {
                write::nil(out);
                values.encode(out);
            }
            Quantile::Counts(coarse, counts) => {
                coarse.encode(out);
                counts.encode(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = f64>) -> Quantile {
        let mut quantile = Quantile::default();
        values.for_each(|value| quantile.take(Number::Float(value)));
        quantile
    }

    #[test]
    fn many_values_give_quantiles_within_a_hundredth() {
        let check = |values: Vec<f64>| {
            let found = of(values.iter().copied());
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            for q in [0.01, 0.25, 0.5, 0.9, 0.99, 1.0] {
                let exact = sorted[((q * sorted.len() as f64).ceil() as usize).max(1) - 1];
                let found = found.at(q).unwrap().float();
                assert!((found - exact).abs() <= 0.008 * exact.abs() + 1e-9, "{q}: {found} for {exact}");
            }
        };
        check((1..=5_000).map(f64::from).filter(|value| *value >= 40.0).collect());
        check((1..=5_000).map(|i| f64::from(i * 7_919 % 5_003) / 100.0 + 20.0).collect());
        check((1..=900).map(|i| -100.0 - f64::from(i)).collect());
        check((1..=600).map(|i| if i % 3 == 0 { 0.0 } else { f64::from(100 + i) }).collect());
    }

    #[test]
    fn values_of_any_spread_take_no_more_room() {
        let spread =
            of((-300..300)
                .flat_map(|exponent| (1..5).map(move |i| f64::from(i) * 10f64.powi(exponent) * if i % 2 == 0 { 1.0 } else { -1.0 })));
        let Quantile::Counts(coarse, counts) = &spread else { panic!() };
        assert!(counts.len() <= INTERVALS && *coarse > 0);
        assert_eq!(counts.values().sum::<u64>(), 2_400);
        assert!(spread.at(0.0).unwrap().float() < -1e200 && spread.at(1.0).unwrap().float() > 1e200);
    }
}
