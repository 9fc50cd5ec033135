//! The configuration: patterns with their routes, words, and what confidence is made of.

use std::collections::BTreeMap;

use sangam_sdk::pattern::{Pattern, Spec};
use sangam_sdk::*;
use serde::Deserialize;

use crate::confidence::Confidence;
use crate::event::COLUMNS;

/// The configuration.
#[config]
pub struct MarketPatterns {
    /// Patterns by name.
    pub patterns: BTreeMap<String, Rule>,
    /// What makes news good or bad.
    pub words: Words,
    /// What confidence is made of.
    pub confidence: Confidence,
}

/// Words in small letters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Of good news.
    pub positive: Vec<String>,
    /// Of bad news.
    pub negative: Vec<String>,
}

/// To whom alerts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// To the regulator.
    Regulator,
    /// To market surveillance.
    Surveillance,
    /// To the trading desks.
    Desks,
    /// To risk management.
    Risk,
}

/// A pattern and what becomes of its matches.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written")]
pub struct Rule {
    /// To whom alerts go.
    pub route: Route,
    /// What the pattern itself adds to the confidence.
    pub bonus: f64,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    route: Route,
    #[serde(default)]
    bonus: Number,
    pattern: Spec,
}

impl Rule {
    /// The pattern, over [`crate::Kept`].
    ///
    /// # Errors
    /// A fault, when it names a field that is not kept; that is found when it is read.
    pub fn pattern(&self) -> Result<&Pattern<Value>> {
        self.spec.over_columns(&COLUMNS.map(str::to_owned))
    }
}

impl TryFrom<Written> for Rule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let rule = Rule { route: written.route, bonus: *written.bonus, spec: written.pattern };
        match rule.pattern() {
            Err(Error::Fault(why)) => Err(why),
            Err(other) => Err(format!("{other:?}")),
            Ok(_) => Ok(rule),
        }
    }
}
