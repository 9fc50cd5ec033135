//! The facts in `tests/vectors/semantics.json`, and how what a run gave is held against what a fact expects.

use serde_json::Value;

/// One fact as it is written.
pub struct Fact(pub Value);

/// All of them.
pub fn facts() -> Vec<Fact> {
    let file: Value = serde_json::from_str(include_str!("../../../vectors/semantics.json")).unwrap();
    file["vectors"].as_array().unwrap().iter().cloned().map(Fact).collect()
}

impl Fact {
    pub fn id(&self) -> &str {
        self.text("id")
    }

    pub fn category(&self) -> &str {
        self.text("category")
    }

    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub fn config(&self) -> &Value {
        &self.0["config"]
    }

    /// A number of the configuration.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.config()[name].as_i64()
    }

    pub fn steps(&self) -> &[Value] {
        list(&self.0["steps"])
    }

    pub fn expect(&self) -> &Value {
        &self.0["expect"]
    }
}

pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}

/// A text, or what else it is, as text.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What was found is what is expected, in any order.
pub fn same(found: &[Value], expected: &[Value], what: &str) {
    let sorted = |rows: &[Value]| {
        let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(found), sorted(expected), "{what}");
}
