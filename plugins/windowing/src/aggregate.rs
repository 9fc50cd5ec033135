//! What the configuration asks to be gathered.
//!
//! What is gathered is in `cell`.

use serde::Deserialize;

/// A way to make one value of many.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// The value of the earliest event.
    First,
    /// The value of the latest event.
    Last,
    /// How many different values.
    Distinct,
    /// The so many greatest values, the greatest first.
    Top(usize),
    /// The value that this part of all values does not exceed.
    Quantile(f64),
}

/// One value that a window emits.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// How it is made.
    pub function: Function,
    /// Which of [`Aggregates::fields`] it is made of; a count has none.
    pub field: Option<usize>,
    /// Its name in the output.
    pub name: String,
}

/// Everything that a window emits, and the fields that takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    k: Option<usize>,
    q: Option<f64>,
}

/// How many values a `top` may have: they are kept for every open window.
const TOP_MAX: usize = 1_000;

/// Names that every output has.
pub const RESERVED: [&str; 3] = ["key", "window_start", "window_end"];

impl TryFrom<Vec<Written>> for Aggregates {
    type Error = String;

    fn try_from(written: Vec<Written>) -> Result<Self, String> {
        if written.is_empty() {
            return Err("it is empty: name at least one, for example { fn = \"count\" }".into());
        }
        let mut aggregates = Aggregates { list: Vec::new(), fields: Vec::new() };
        for Written { r#fn: function, field, r#as: name, k, q } in written {
            for (given, name, owner) in [(k.is_some(), "k", "top"), (q.is_some(), "q", "quantile")] {
                if given && function != owner {
                    return Err(format!("{name} belongs to {owner}: remove it from {function}"));
                }
            }
            let (function, field) = match (function.as_str(), field) {
                ("count", Some(field)) => return Err(format!("count counts events and takes no field; remove `field = \"{field}\"`")),
                ("count", None) => (Function::Count, None),
                ("sum", field) => (Function::Sum, field),
                ("min", field) => (Function::Min, field),
                ("max", field) => (Function::Max, field),
                ("avg", field) => (Function::Avg, field),
                ("first", field) => (Function::First, field),
                ("last", field) => (Function::Last, field),
                ("distinct", field) => (Function::Distinct, field),
                ("top", field) => match k {
                    Some(k @ 1..=TOP_MAX) => (Function::Top(k), field),
                    _ => {
                        return Err(format!(
                            "top says how many values it has, from 1 to {TOP_MAX}: {{ fn = \"top\", field = \"amount\", k = 3 }}"
                        ));
                    }
                },
                ("quantile", field) => match q {
                    Some(q) if (0.0..=1.0).contains(&q) => (Function::Quantile(q), field),
                    _ => return Err("quantile says which, from 0 to 1: { fn = \"quantile\", field = \"amount\", q = 0.95 }".into()),
                },
                (other, _) => {
                    return Err(format!(
                        "the function `{other}` is not supported; there are count, sum, min, max, avg, first, last, distinct, top and quantile"
                    ));
                }
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
            Function::First => "first",
            Function::Last => "last",
            Function::Distinct => "distinct",
            Function::Top(_) => "top",
            Function::Quantile(_) => "quantile",
        }
    }
}
