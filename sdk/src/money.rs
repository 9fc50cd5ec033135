//! Amounts of money: floats outside, whole hundredths inside, so that sums do not drift.
//!
//! It knows no currency: who adds two amounts knows that they are of the same one.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use sangam_protocol::msgpack::Reader;

use crate::field::{Encode, Field};
use crate::wrong::Wrong;

/// Beyond this a float no longer tells hundredths apart.
const AMOUNT_MAX: f64 = 1e13;

/// An amount of money in whole hundredths of its currency.
///
/// Sums stop at the highest and lowest number. In a state it is its hundredths, an integer; in an event take an `f64`, as amounts are
/// written, and make it one with [`Money::new`].
///
/// ```
/// use sangam_sdk::Money;
///
/// let price = Money::new(0.1).unwrap();
/// assert_eq!(price + price + price, Money::new(0.3).unwrap());
/// let mut sum = price;
/// sum += price;
/// assert_eq!(sum, Money::new(0.2).unwrap());
/// assert_eq!(Money::new(49_999.99).unwrap().to_string(), "49999.99");
/// assert_eq!(Money::new(-5.0), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// An amount as it is written, rounded to hundredths; none for a negative one, one above 10^13, and what is no number.
    pub fn new(amount: f64) -> Option<Money> {
        (0.0..=AMOUNT_MAX).contains(&amount).then(|| Money((amount * 100.0).round() as i64))
    }

    /// So many hundredths; a balance may be negative.
    pub const fn of_hundredths(hundredths: i64) -> Money {
        Money(hundredths)
    }

    /// How many hundredths.
    pub const fn hundredths(self) -> i64 {
        self.0
    }

    /// The amount as it is written.
    pub fn amount(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// Whether it is a multiple of another amount; nothing is one of nothing.
    ///
    /// ```
    /// use sangam_sdk::Money;
    ///
    /// let [thousand, pi] = [1_000.0, 3.14].map(|amount| Money::new(amount).unwrap());
    /// assert!(Money::new(12_000.0).unwrap().is_multiple_of(thousand));
    /// assert!(!pi.is_multiple_of(thousand) && !pi.is_multiple_of(Money::ZERO));
    /// ```
    pub const fn is_multiple_of(self, other: Money) -> bool {
        match self.0.checked_rem(other.0) {
            Some(rest) => rest == 0,
            None => false,
        }
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// With a point and both hundredths, `1234.50`, exact for any amount.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        write!(f, "{}{whole}.{rest:02}", if self.0 < 0 { "-" } else { "" })
    }
}

impl Encode for Money {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl<'a> Field<'a> for Money {
    const KIND: &'static str = "i64";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        i64::decode(reader).map(Money)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_to_hundredths() {
        let check = |given: f64, expected: Option<i64>| assert_eq!(Money::new(given).map(Money::hundredths), expected, "{given}");
        check(0.0, Some(0));
        check(0.29, Some(29));
        check(50_000.004, Some(5_000_000));
        check(50_000.006, Some(5_000_001));
        check(1e13, Some(1_000_000_000_000_000));
        check(1.1e13, None);
        check(-0.01, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        assert_eq!(Money::of_hundredths(5_000_001).amount(), 50_000.01);
    }

    #[test]
    fn an_amount_is_written_with_both_of_its_hundredths() {
        let check = |hundredths: i64, expected: &str| assert_eq!(Money::of_hundredths(hundredths).to_string(), expected);
        check(0, "0.00");
        check(5, "0.05");
        check(-5, "-0.05");
        check(123_450, "1234.50");
        check(i64::MIN, "-92233720368547758.08");
    }

    #[test]
    fn sums_stop_at_the_highest_amount() {
        let most = Money::of_hundredths(i64::MAX);
        assert_eq!([most, Money::of_hundredths(1)].into_iter().sum::<Money>(), most);
    }

    #[test]
    fn a_state_keeps_its_hundredths() {
        let mut bytes = Vec::new();
        Money::of_hundredths(-300).encode(&mut bytes);
        assert_eq!(i64::decode(&mut Reader::new(&bytes)).unwrap(), -300);
        assert_eq!(Money::decode(&mut Reader::new(&bytes)).unwrap(), Money::of_hundredths(-300));
    }
}
