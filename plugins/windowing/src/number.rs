//! A number of an event: whole numbers stay whole, until they no longer fit.

use std::cmp::Ordering;

use sangam_protocol::msgpack::{Error, Reader, write};
use sangam_sdk::{Encode, Field, Wrong};

/// An integer or a float, never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other number, and whole ones beyond 64 bits.
    Float(f64),
}

impl Number {
    /// The number as a float.
    pub fn float(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }

    /// The sum: whole if both are and it fits.
    pub fn plus(self, other: Number) -> Number {
        if let (Number::Int(a), Number::Int(b)) = (self, other)
            && let Some(sum) = a.checked_add(b)
        {
            return Number::Int(sum);
        }
        Number::Float(self.float() + other.float())
    }

    /// Order by value, whatever the kinds.
    pub fn order(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a.cmp(&b),
            _ => self.float().total_cmp(&other.float()),
        }
    }
}

impl<'a> Field<'a> for Number {
    const KIND: &'static str = "number";

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let marker = reader.peek()?;
        if matches!(marker, 0xca | 0xcb) {
            let float = reader.f64()?;
            return if float.is_nan() { Err(Error::Range("a number").into()) } else { Ok(Number::Float(float)) };
        }
        let int = reader.int().map_err(|_| Error::Type("a number", marker))?;
        Ok(i64::try_from(int).map_or(Number::Float(int as f64), Number::Int))
    }
}

impl Encode for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Number::Int(int) => write::i64(out, *int),
            Number::Float(float) => write::f64(out, *float),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Number::{Float, Int};
    use super::*;

    #[test]
    fn whole_numbers_stay_whole_until_they_no_longer_fit() {
        let check = |a: Number, b: Number, sum: Number| assert_eq!(a.plus(b), sum);
        check(Int(2), Int(-5), Int(-3));
        check(Int(1), Float(0.5), Float(1.5));
        check(Float(1.0), Float(1.0), Float(2.0));
        check(Int(i64::MAX), Int(1), Float(9_223_372_036_854_775_808.0));
        check(Int(i64::MIN), Int(-1), Float(-9_223_372_036_854_775_808.0));
    }

    #[test]
    fn numbers_of_both_kinds_compare_by_value() {
        let check = |a: Number, b: Number, expected: Ordering| assert_eq!(a.order(b), expected);
        check(Int(1), Float(1.5), Ordering::Less);
        check(Float(2.0), Int(2), Ordering::Equal);
        check(Int(i64::MAX), Int(i64::MAX - 1), Ordering::Greater);
        check(Float(-1.0), Int(0), Ordering::Less);
    }

    #[test]
    fn only_a_number_is_read_as_one() {
        let check = |bytes: &[u8], expected: Option<Number>| assert_eq!(Number::decode(&mut Reader::new(bytes)).ok(), expected);
        check(b"\x05", Some(Int(5)));
        check(b"\xff", Some(Int(-1)));
        check(b"\xcb\x3f\xf0\0\0\0\0\0\0", Some(Float(1.0)));
        check(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Some(Float(u64::MAX as f64)));
        check(b"\xcb\x7f\xf8\0\0\0\0\0\0", None);
        check(b"\xa15", None);
        check(b"\xc3", None);
    }
}
