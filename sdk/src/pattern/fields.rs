//! Conditions as data: a field of the event against a value, or against a field of an event taken before.
//!
//! A missing field fits nothing but `exists = false`; values of different types are different and neither is above the other.

use std::cmp::Ordering;

use sangam_protocol::msgpack::Reader;

use super::data::{Data, Table};
use super::found::Matched;
use crate::Value;
use crate::shape;

/// What an event must be like.
#[derive(Clone, Debug)]
pub(super) enum Fits {
    All(Vec<Fits>),
    Any(Vec<Fits>),
    Not(Box<Fits>),
    Field(Place, Test),
}

/// A field of an event: by its number where events are rows, by its path where they are maps.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: String,
    column: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Exists(bool),
    Compare(Compare, Operand),
    In(Vec<Operand>),
    StartsWith(Operand),
    EndsWith(Operand),
    Contains(Operand),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Compare {
    Equals,
    NotEquals,
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// What a field is held against.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Given(Data),
    /// A field of the first or last event of a step, and for numbers what it is multiplied with and added.
    Earlier {
        step: String,
        first: bool,
        place: Place,
        times: f64,
        plus: f64,
    },
}

/// The fields that conditions name.
pub(super) struct Columns<'c> {
    /// What the operator takes; empty where events are maps.
    pub(super) known: &'c [String],
    pub(super) named: Vec<String>,
    /// The steps that conditions look back to.
    pub(super) steps: Vec<String>,
}

impl<'c> Columns<'c> {
    pub(super) fn of(known: &'c [String]) -> Self {
        Columns { known, named: Vec::new(), steps: Vec::new() }
    }

    fn place(&mut self, path: &str, at: &str) -> Result<Place, String> {
        if !self.named.iter().any(|named| named == path) {
            self.named.push(path.to_owned());
        }
        let column = self.known.iter().position(|known| known == path);
        if column.is_none() && !self.known.is_empty() {
            return Err(format!("{at}: the operator does not take the field `{path}`; it takes `{}`", self.known.join("`, `")));
        }
        Ok(Place { path: path.to_owned(), column: column.unwrap_or(0) })
    }
}

const TESTS: [&str; 11] =
    ["exists", "equals", "not_equals", "above", "at_least", "below", "at_most", "in", "starts_with", "ends_with", "contains"];

impl Fits {
    /// Reads a condition; everything that stands in one table must hold.
    pub(super) fn read(data: &Data, place: &str, columns: &mut Columns<'_>) -> Result<Fits, String> {
        let mut known = vec!["field", "all", "any", "not"];
        known.extend(TESTS);
        let table = Table::of(data, place, &known)?;
        let mut all = Vec::new();
        for (name, value) in table.iter() {
            let at = table.at(name);
            match name {
                "field" => {}
                "all" | "any" => {
                    let Data::List(items) = value else {
                        return Err(format!("{at}: expected a list of conditions, found {}", value.kind()));
                    };
                    let parts = items.iter().enumerate().map(|(i, item)| Fits::read(item, &format!("{at}[{i}]"), columns));
                    let parts = parts.collect::<Result<Vec<_>, _>>()?;
                    all.push(if name == "all" { Fits::All(parts) } else { Fits::Any(parts) });
                }
                "not" => all.push(Fits::Not(Box::new(Fits::read(value, &at, columns)?))),
                test => {
                    let Some(field) = table.text("field")? else {
                        return Err(format!("{place}: `{test}` is about a field: add `field = \"name\"`"));
                    };
                    let field = columns.place(field, place)?;
                    all.push(Fits::Field(field, Test::read(test, value, &at, columns)?));
                }
            }
        }
        if table.get("field").is_some() && !table.iter().any(|(name, _)| TESTS.contains(&name)) {
            return Err(format!("{place}: say what the field must be: `{}`", TESTS.join("`, `")));
        }
        Ok(Fits::All(all))
    }

    /// Whether an event fits.
    pub(super) fn holds(&self, event: &Value, earlier: &Matched<'_, Value>) -> bool {
        match self {
            Fits::All(parts) => parts.iter().all(|part| part.holds(event, earlier)),
            Fits::Any(parts) => parts.iter().any(|part| part.holds(event, earlier)),
            Fits::Not(part) => !part.holds(event, earlier),
            Fits::Field(place, test) => test.holds(place.scalar(event), earlier),
        }
    }
}

impl Test {
    fn read(name: &str, value: &Data, at: &str, columns: &mut Columns<'_>) -> Result<Test, String> {
        let compare = match name {
            "exists" => {
                let Data::Bool(exists) = value else { return Err(format!("{at}: expected true or false, found {}", value.kind())) };
                return Ok(Test::Exists(*exists));
            }
            "in" => {
                let Data::List(items) = value else { return Err(format!("{at}: expected a list of values, found {}", value.kind())) };
                let items = items.iter().enumerate().map(|(i, item)| Operand::read(item, &format!("{at}[{i}]"), columns));
                return Ok(Test::In(items.collect::<Result<_, _>>()?));
            }
            "starts_with" => return Ok(Test::StartsWith(Operand::read(value, at, columns)?)),
            "ends_with" => return Ok(Test::EndsWith(Operand::read(value, at, columns)?)),
            "contains" => return Ok(Test::Contains(Operand::read(value, at, columns)?)),
            "equals" => Compare::Equals,
            "not_equals" => Compare::NotEquals,
            "above" => Compare::Above,
            "at_least" => Compare::AtLeast,
            "below" => Compare::Below,
            _ => Compare::AtMost,
        };
        Ok(Test::Compare(compare, Operand::read(value, at, columns)?))
    }

    fn holds(&self, found: Scalar<'_>, earlier: &Matched<'_, Value>) -> bool {
        if let Test::Exists(exists) = self {
            return *exists != matches!(found, Scalar::Nil);
        }
        if matches!(found, Scalar::Nil) {
            return false;
        }
        let texts = |operand: &Operand, test: fn(&str, &str) -> bool| matches!((found, operand.scalar(earlier)), (Scalar::Text(text), Scalar::Text(part)) if test(text, part));
        match self {
            Test::Exists(_) => false,
            Test::In(operands) => operands.iter().any(|operand| found.compare(operand.scalar(earlier)) == Some(Ordering::Equal)),
            Test::StartsWith(operand) => texts(operand, |text, part| text.starts_with(part)),
            Test::EndsWith(operand) => texts(operand, |text, part| text.ends_with(part)),
            Test::Contains(operand) => texts(operand, |text, part| text.contains(part)),
            Test::Compare(compare, operand) => {
                let other = operand.scalar(earlier);
                if matches!(other, Scalar::Nil) {
                    return false;
                }
                let order = found.compare(other);
                match compare {
                    Compare::Equals => order == Some(Ordering::Equal),
                    Compare::NotEquals => order != Some(Ordering::Equal),
                    Compare::Above => order == Some(Ordering::Greater),
                    Compare::AtLeast => order.is_some_and(Ordering::is_ge),
                    Compare::Below => order == Some(Ordering::Less),
                    Compare::AtMost => order.is_some_and(Ordering::is_le),
                }
            }
        }
    }
}

impl Operand {
    fn read(data: &Data, at: &str, columns: &mut Columns<'_>) -> Result<Operand, String> {
        match data {
            Data::Table(_) => {}
            Data::List(_) | Data::Nil => return Err(format!("{at}: expected a text, a number or a boolean, found {}", data.kind())),
            given => return Ok(Operand::Given(given.clone())),
        }
        let table = Table::of(data, at, &["step", "field", "event", "times", "plus"])?;
        let (Some(step), Some(field)) = (table.text("step")?, table.text("field")?) else {
            return Err(format!("{at}: a field of an earlier event is {{ step = \"a\", field = \"amount\" }}"));
        };
        let first = match table.text("event")? {
            Some("first") => true,
            None | Some("last") => false,
            Some(other) => return Err(format!("{at}.event: the `first` or the `last` event of the step, not `{other}`")),
        };
        columns.steps.push(step.to_owned());
        Ok(Operand::Earlier {
            step: step.to_owned(),
            first,
            place: columns.place(field, at)?,
            times: table.number("times")?.unwrap_or(1.0),
            plus: table.number("plus")?.unwrap_or(0.0),
        })
    }

    fn scalar<'v>(&'v self, earlier: &Matched<'v, Value>) -> Scalar<'v> {
        match self {
            Operand::Given(Data::Bool(value)) => Scalar::Bool(*value),
            Operand::Given(Data::Int(value)) => Scalar::Int(*value),
            Operand::Given(Data::Float(value)) => Scalar::Float(*value),
            Operand::Given(Data::Text(value)) => Scalar::Text(value),
            Operand::Given(_) => Scalar::Nil,
            Operand::Earlier { step, first, place, times, plus } => {
                let event = if *first { earlier.first(step) } else { earlier.last(step) };
                let scalar = event.map_or(Scalar::Nil, |event| place.scalar(event));
                if (*times, *plus) == (1.0, 0.0) { scalar } else { scalar.scaled(*times, *plus) }
            }
        }
    }
}

impl Place {
    fn scalar<'v>(&self, event: &'v Value) -> Scalar<'v> {
        let mut reader = Reader::new(event.bytes());
        let is_row = matches!(reader.peek(), Ok(0x90..=0x9f | 0xdc | 0xdd));
        let found = if is_row { column(&mut reader, self.column) } else { shape::find(reader, &self.path) };
        found.and_then(Scalar::read).unwrap_or(Scalar::Nil)
    }
}

fn column<'v>(reader: &mut Reader<'v>, column: usize) -> Option<Reader<'v>> {
    if column >= reader.array().ok()? {
        return None;
    }
    for _ in 0..column {
        reader.skip().ok()?;
    }
    Some(*reader)
}

/// A value that can be compared.
#[derive(Clone, Copy, Debug)]
enum Scalar<'v> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'v str),
    /// A list or a map: there, and equal to nothing.
    Other,
}

impl<'v> Scalar<'v> {
    fn read(mut reader: Reader<'v>) -> Option<Scalar<'v>> {
        Some(match reader.peek().ok()? {
            0xc0 => Scalar::Nil,
            0xc2 | 0xc3 => Scalar::Bool(reader.bool().ok()?),
            0xca | 0xcb => Scalar::Float(reader.f64().ok()?),
            0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => {
                let int = reader.int().ok()?;
                i64::try_from(int).map_or(Scalar::Float(int as f64), Scalar::Int)
            }
            0xa0..=0xbf | 0xd9..=0xdb => Scalar::Text(reader.str().ok()?),
            _ => Scalar::Other,
        })
    }

    fn scaled(self, times: f64, plus: f64) -> Scalar<'v> {
        match self {
            Scalar::Int(value) => Scalar::Float(value as f64 * times + plus),
            Scalar::Float(value) => Scalar::Float(value * times + plus),
            _ => Scalar::Nil,
        }
    }

    fn compare(self, other: Scalar<'_>) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Bool(one), Scalar::Bool(other)) => Some(one.cmp(&other)),
            (Scalar::Text(one), Scalar::Text(other)) => Some(one.cmp(other)),
            (Scalar::Int(one), Scalar::Int(other)) => Some(one.cmp(&other)),
            (Scalar::Int(one), Scalar::Float(other)) => (one as f64).partial_cmp(&other),
            (Scalar::Float(one), Scalar::Int(other)) => one.partial_cmp(&(other as f64)),
            (Scalar::Float(one), Scalar::Float(other)) => one.partial_cmp(&other),
            _ => None,
        }
    }
}
