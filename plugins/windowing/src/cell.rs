//! What one aggregate has gathered in one window: bounded, whatever comes, and the same in whatever order it is merged.
//!
//! Sums of floats are the exception to the last: they are rounded as they are added.

use sangam_protocol::msgpack::{Error, Reader, write};
use sangam_sdk::{Encode, Field, Millis, Value, Wrong};

use crate::aggregate::Function;
use crate::distinct::Distinct;
use crate::number::Number;
use crate::quantile::Quantile;

/// What has been gathered, in the form that the function needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Events counted.
    Count(u64),
    /// Values taken in; the sum, or the least or greatest, none before the first.
    Number(u64, Option<Number>),
    /// The earliest or latest value, and when that was.
    Timed(Option<(Millis, Value)>),
    /// The different values.
    Distinct(Distinct),
    /// The greatest values, the greatest first.
    Top(Vec<Number>),
    /// How the values are spread.
    Quantile(Quantile),
}

/// A value of an event, as its bytes.
#[derive(Clone, Copy)]
pub struct Scalar<'a>(pub &'a [u8]);

impl<'a> Field<'a> for Scalar<'a> {
    const KIND: &'static str = "any";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(Scalar(reader.value()?))
    }
}

impl Cell {
    /// Nothing gathered yet.
    pub fn new(function: Function) -> Cell {
        match function {
            Function::Count => Cell::Count(0),
            Function::Sum | Function::Min | Function::Max | Function::Avg => Cell::Number(0, None),
            Function::First | Function::Last => Cell::Timed(None),
            Function::Distinct => Cell::Distinct(Distinct::default()),
            Function::Top(_) => Cell::Top(Vec::new()),
            Function::Quantile(_) => Cell::Quantile(Quantile::default()),
        }
    }

    /// Counts an event.
    pub fn count(&mut self) {
        if let Cell::Count(count) = self {
            *count += 1;
        }
    }

    /// Takes one value in.
    ///
    /// # Errors
    /// When the function needs a number, and it is none.
    pub fn take(&mut self, function: Function, Scalar(bytes): Scalar<'_>, time: Millis) -> Result<(), Wrong> {
        let number = || Number::decode(&mut Reader::new(bytes));
        match self {
            Cell::Count(count) => *count += 1,
            Cell::Number(taken, known) => {
                *known = Some(combine(function, *known, number()?));
                *taken += 1;
            }
            Cell::Timed(kept) => keep(function, kept, time, || <Value as Field>::decode(&mut Reader::new(bytes)))?,
            Cell::Distinct(distinct) => distinct.take(bytes),
            Cell::Top(values) => insert(function, values, number()?),
            Cell::Quantile(quantile) => quantile.take(number()?),
        }
        Ok(())
    }

    /// Takes in what another one has gathered, from later events.
    pub fn merge(&mut self, function: Function, later: Cell) {
        match (self, later) {
            (Cell::Count(count), Cell::Count(more)) => *count += more,
            (Cell::Number(taken, number), Cell::Number(more, Some(other))) => {
                *taken += more;
                *number = Some(combine(function, *number, other));
            }
            (Cell::Timed(kept), Cell::Timed(Some((time, value)))) => {
                // A value that is there is always taken.
                let _ = keep(function, kept, time, || Ok(value));
            }
            (Cell::Distinct(distinct), Cell::Distinct(more)) => distinct.merge(&more),
            (Cell::Top(values), Cell::Top(more)) => more.into_iter().for_each(|value| insert(function, values, value)),
            (Cell::Quantile(quantile), Cell::Quantile(more)) => quantile.merge(more),
            // Nothing to take in; or another function stood here when the window was opened, and its values mean something else.
            _ => {}
        }
    }

    /// Writes what the window emits; nil where no event had the field.
    pub fn write(&self, function: Function, out: &mut Vec<u8>) {
        match (self, function) {
            (Cell::Count(count), _) => write::u64(out, *count),
            (Cell::Number(taken, Some(sum)), Function::Avg) => write::f64(out, sum.float() / *taken as f64),
            (Cell::Number(_, number), _) => number.encode(out),
            (Cell::Timed(kept), _) => kept.as_ref().map(|(_, value)| value).encode(out),
            (Cell::Distinct(distinct), _) => write::u64(out, distinct.estimate()),
            (Cell::Top(values), _) => values.encode(out),
            (Cell::Quantile(quantile), Function::Quantile(q)) => quantile.at(q).encode(out),
            (Cell::Quantile(_), _) => write::nil(out),
        }
    }
}

fn combine(function: Function, known: Option<Number>, value: Number) -> Number {
    let Some(known) = known else { return value };
    match function {
        Function::Min => {
            if value.order(known).is_lt() {
                value
            } else {
                known
            }
        }
        Function::Max => {
            if value.order(known).is_gt() {
                value
            } else {
                known
            }
        }
        _ => known.plus(value),
    }
}

/// Of events at the same time the one that came first is the first, and the one that came last is the last.
fn keep(
    function: Function,
    kept: &mut Option<(Millis, Value)>,
    time: Millis,
    value: impl FnOnce() -> Result<Value, Wrong>,
) -> Result<(), Wrong> {
    let takes = match kept {
        None => true,
        Some((known, _)) if function == Function::First => time < *known,
        Some((known, _)) => time >= *known,
    };
    if takes {
        *kept = Some((time, value()?));
    }
    Ok(())
}

fn insert(function: Function, values: &mut Vec<Number>, value: Number) {
    let most = if let Function::Top(k) = function { k } else { 0 };
    let place = values.partition_point(|known| known.order(value).is_ge());
    if place < most {
        values.insert(place, value);
        values.truncate(most);
    }
}

// === as a state: an array that starts with what it is; a count is a number ===

impl<'a> Field<'a> for Cell {
    const KIND: &'static str = "any";

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        if !matches!(reader.peek()?, 0x90..=0x9f) {
            return Ok(Cell::Count(reader.u64()?));
        }
        let len = reader.array()?;
        let kind = reader.u64()?;
        Ok(match (kind, len) {
            (1, 3) => Cell::Number(reader.u64()?, Option::decode(reader)?),
            (2, 1) => Cell::Timed(None),
            (2, 3) => Cell::Timed(Some((reader.i64()?, <Value as Field>::decode(reader)?))),
            (3, 2) => Cell::Distinct(Distinct::decode(reader)?),
            (4, 2) => Cell::Top(Vec::decode(reader)?),
            (5, 3) => Cell::Quantile(Quantile::decode(reader)?),
            _ => return Err(Error::Range("what a window has gathered").into()),
        })
    }
}

impl Encode for Cell {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut head = |len: usize, kind: u64| {
            write::array(out, len);
            write::u64(out, kind);
        };
        match self {
            Cell::Count(count) => write::u64(out, *count),
            Cell::Number(taken, number) => {
                head(3, 1);
                write::u64(out, *taken);
                number.encode(out);
            }
            Cell::Timed(None) => head(1, 2),
            Cell::Timed(Some((time, value))) => {
                head(3, 2);
                write::i64(out, *time);
                value.encode(out);
            }
            Cell::Distinct(distinct) => {
                head(2, 3);
                distinct.encode(out);
            }
            Cell::Top(values) => {
                head(2, 4);
                values.encode(out);
            }
            Cell::Quantile(quantile) => {
                head(3, 5);
                quantile.encode(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Number::{Float, Int};
    use super::*;

    fn result(function: Function, events: &[(Millis, Number)]) -> Value {
        let mut cell = Cell::new(function);
        for (time, number) in events {
            cell.take(function, Scalar(Value::from(number).bytes()), *time).unwrap();
        }
        let mut bytes = Vec::new();
        cell.encode(&mut bytes);
        assert_eq!(Cell::decode(&mut Reader::new(&bytes)).unwrap(), cell);
        let mut out = Vec::new();
        cell.write(function, &mut out);
        <Value as Field>::decode(&mut Reader::new(&out)).unwrap()
    }

    #[test]
    fn each_function_makes_one_value_of_many() {
        let check = |function: Function, values: &[Number], expected: Option<Number>| {
            let events: Vec<_> = values.iter().map(|value| (0, *value)).collect();
            assert_eq!(result(function, &events), Value::from(&expected), "{function:?} of {values:?}");
        };
        check(Function::Sum, &[Int(1), Int(2)], Some(Int(3)));
        check(Function::Sum, &[Int(1), Float(2.5)], Some(Float(3.5)));
        check(Function::Sum, &[], None);
        check(Function::Avg, &[Int(1), Int(2)], Some(Float(1.5)));
        check(Function::Avg, &[], None);
        check(Function::Min, &[Int(3), Int(-2), Float(7.0)], Some(Int(-2)));
        check(Function::Max, &[Int(3), Int(-2), Float(7.0)], Some(Float(7.0)));
        check(Function::Max, &[Int(7), Float(7.0)], Some(Int(7)));
        check(Function::Min, &[], None);
        check(Function::First, &[], None);
        check(Function::Distinct, &[Int(1), Float(1.0), Int(2)], Some(Int(2)));
        check(Function::Quantile(0.5), &[Int(3), Int(1), Int(2)], Some(Int(2)));
        check(Function::Quantile(1.0), &[Int(3), Int(1), Int(2)], Some(Int(3)));
        check(Function::Quantile(0.5), &[], None);
    }

    #[test]
    fn first_and_last_go_by_time_and_then_by_arrival() {
        let events = [(20, Int(1)), (10, Int(2)), (20, Int(3)), (10, Int(4))];
        assert_eq!(result(Function::First, &events), Value::from(&Int(2)));
        assert_eq!(result(Function::Last, &events), Value::from(&Int(3)));
    }

    #[test]
    fn the_top_keeps_the_greatest_values_and_equal_ones_too() {
        let events: Vec<_> = [3, 1, 4, 1, 5, 4].map(|value| (0, Int(value))).to_vec();
        assert_eq!(result(Function::Top(3), &events), Value::from(&vec![Int(5), Int(4), Int(4)]));
        assert_eq!(result(Function::Top(3), &[]), Value::from(&Vec::<Number>::new()));
    }

    #[test]
    fn merging_gives_what_one_window_would_have_gathered() {
        let functions = [
            Function::Count,
            Function::Sum,
            Function::Min,
            Function::Max,
            Function::Avg,
            Function::First,
            Function::Last,
            Function::Distinct,
            Function::Top(7),
            Function::Quantile(0.9),
        ];
        let value = |i: i64| Value::from(&Int(i * 7_919 % 10_007));
        for function in functions {
            for (total, cut) in [(10, 4), (900, 300), (3_000, 2_990), (3_000, 10)] {
                let mut whole = Cell::new(function);
                let mut parts = [Cell::new(function), Cell::new(function)];
                for i in 0..total {
                    whole.take(function, Scalar(value(i).bytes()), i).unwrap();
                    parts[usize::from(i >= cut)].take(function, Scalar(value(i).bytes()), i).unwrap();
                }
                let [mut first, second] = parts;
                first.merge(function, second);
                assert!(first == whole, "{function:?} of {total} in two parts");
                let mut bytes = Vec::new();
                first.encode(&mut bytes);
                assert!(Cell::decode(&mut Reader::new(&bytes)).unwrap() == whole);
                assert!(bytes.len() < 9_000, "{function:?}: {} bytes", bytes.len());
            }
        }
    }
}
