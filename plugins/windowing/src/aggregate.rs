//! What the configuration asks to be gathered, and what is gathered so far.

use sangam_sdk::*;
use serde::Deserialize;

use crate::number::Number;

/// A way to make one number of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// How many events.
    Count,
    /// The sum of a field.
    Sum,
    /// The least value of a field.
    Min,
    /// The greatest value of a field.
    Max,
    /// The mean of a field, over the events that have it.
    Avg,
}

/// One number that a window emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// How it is made.
    pub function: Function,
    /// Which of [`Aggregates::fields`] it is made of; a count has none.
    pub field: Option<usize>,
    /// Its name in the output.
    pub name: String,
}

/// Everything that a window emits, and the fields that takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Written>")]
pub struct Aggregates {
    /// In the order of the output.
    pub list: Vec<Aggregate>,
    /// Paths into the event, each once.
    pub fields: Vec<String>,
}

/// An aggregate as the pipeline writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { fn = \"sum\", field = \"amount\" }")]
struct Written {
    r#fn: String,
    field: Option<String>,
    r#as: Option<String>,
}

/// Names that every output has.
pub const RESERVED: [&str; 3] = ["key", "window_start", "window_end"];

impl TryFrom<Vec<Written>> for Aggregates {
    type Error = String;

    fn try_from(written: Vec<Written>) -> Result<Self, String> {
        if written.is_empty() {
            return Err("it is empty: name at least one, for example { fn = \"count\" }".into());
        }
        let mut aggregates = Aggregates { list: Vec::new(), fields: Vec::new() };
        for Written { r#fn: function, field, r#as: name } in written {
            let (function, field) = match (function.as_str(), field) {
                ("count", Some(field)) => return Err(format!("count counts events and takes no field; remove `field = \"{field}\"`")),
                ("count", None) => (Function::Count, None),
                ("sum", field) => (Function::Sum, field),
                ("min", field) => (Function::Min, field),
                ("max", field) => (Function::Max, field),
                ("avg", field) => (Function::Avg, field),
                (other, _) => return Err(format!("the function `{other}` is not supported; there are count, sum, min, max and avg")),
            };
            aggregates.add(function, field, name)?;
        }
        Ok(aggregates)
    }
}

impl Aggregates {
    fn add(&mut self, function: Function, path: Option<String>, name: Option<String>) -> Result<(), String> {
        let verb = function.verb();
        let name = match (name, &path) {
            (Some(name), _) => name,
            (None, Some(path)) => format!("{verb}_{path}"),
            (None, None) => verb.to_owned(),
        };
        let field = match path {
            None if function == Function::Count => None,
            Some(path) if !path.is_empty() => Some(self.place(path)),
            _ => return Err(format!("{verb} needs the field it is made of: {{ fn = \"{verb}\", field = \"amount\" }}")),
        };
        if RESERVED.contains(&name.as_str()) || self.list.iter().any(|known| known.name == name) {
            return Err(format!("the output would have `{name}` twice; give one another name, as = \"…\""));
        }
        self.list.push(Aggregate { function, field, name });
        Ok(())
    }

    fn place(&mut self, path: String) -> usize {
        self.fields.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.fields.push(path);
            self.fields.len() - 1
        })
    }
}

impl Function {
    fn verb(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Min => "min",
            Function::Max => "max",
            Function::Avg => "avg",
        }
    }
}

/// What one aggregate has gathered in one window.
#[state]
pub struct Gathered {
    /// Events counted, or values taken in.
    pub taken: u64,
    /// The sum so far, or the least or greatest value; none before the first value.
    pub number: Option<Number>,
}

impl Gathered {
    /// Takes one value in.
    pub fn take(&mut self, function: Function, value: Number) {
        self.taken += 1;
        let Some(known) = self.number else {
            self.number = Some(value);
            return;
        };
        self.number = Some(match function {
            Function::Count | Function::Sum | Function::Avg => known.plus(value),
            Function::Min if value.order(known).is_lt() => value,
            Function::Max if value.order(known).is_gt() => value,
            Function::Min | Function::Max => known,
        });
    }

    /// What the window emits; none where no event had the field.
    pub fn result(&self, function: Function) -> Option<Number> {
        match function {
            Function::Count => Some(Number::Int(i64::try_from(self.taken).unwrap_or(i64::MAX))),
            Function::Avg => self.number.map(|sum| Number::Float(sum.float() / self.taken as f64)),
            Function::Sum | Function::Min | Function::Max => self.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Number::{Float, Int};
    use super::*;

    #[test]
    fn each_function_makes_one_number_of_many() {
        let check = |function: Function, values: &[Number], expected: Option<Number>| {
            let mut gathered = Gathered::default();
            values.iter().for_each(|value| gathered.take(function, *value));
            assert_eq!(gathered.result(function), expected, "{function:?} of {values:?}");
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
        check(Function::Count, &[], Some(Int(0)));
    }
}
