//! Looks for a pattern that comes wholly from its configuration: no build per pattern.
//!
//! A match is emitted as the names of its events, by the port `matched`; a partial match whose time is over by the port `timed_out`.

use std::collections::BTreeMap;

use sangam_sdk::pattern::{Found, Match, Matches, Spec};
use sangam_sdk::*;

/// The configuration.
#[config]
pub struct Patterns {
    /// The pattern.
    pub pattern: Spec,
    /// The field whose text names an event in a match.
    #[config(default = "name")]
    pub name: String,
}

/// What is remembered for a key.
#[state]
pub struct Open {
    /// Open matches.
    pub matches: Matches<Value>,
}

/// A match, or a partial one.
#[event]
pub struct Named {
    /// Names of its events, in order.
    pub events: Vec<String>,
    /// The same by step.
    pub steps: BTreeMap<String, Vec<String>>,
    /// Time of its first event.
    pub started: Millis,
    /// When it was found, or timed out.
    pub time: Millis,
}

/// Where they leave.
#[outputs]
pub enum Out {
    /// A match.
    Matched(Output<Named>),
    /// A partial match whose time is over.
    TimedOut(Output<Named>),
}

#[operator(keyed)]
impl Patterns {
    /// What the conditions name, and the name.
    pub fn fields(&self) -> Vec<FieldPath> {
        self.pattern.columns(&[&self.name])
    }

    /// Takes an event in.
    pub fn on_event(&self, row: Row<'_>, open: &mut Open, ctx: &mut Context) -> Result<()> {
        self.pattern.over_rows(&[&self.name])?.process(&mut open.matches, Value::from(&row), ctx)
    }

    /// Emits what was found.
    pub fn on_timer(&self, timer: Timer, open: &mut Open, ctx: &mut Context) -> Result<Vec<Out>> {
        let found = self.pattern.over_rows(&[&self.name])?.advance(&mut open.matches, timer, ctx)?;
        found
            .into_iter()
            .map(|found| {
                Ok(match found {
                    Found::Match(found) => Out::Matched(self.named(&found)?),
                    Found::TimedOut(found) => Out::TimedOut(self.named(&found)?),
                })
            })
            .collect()
    }
}

impl Patterns {
    fn named(&self, found: &Match<Value>) -> Result<Output<Named>> {
        let column = self.fields().iter().position(|field| field.path == self.name).unwrap_or(0);
        let mut named = Named { events: Vec::new(), steps: BTreeMap::new(), started: found.started(), time: found.time() };
        for (step, _, event) in found.iter() {
            let row: Vec<Value> = event.decode()?;
            let name = row.get(column).and_then(|name| name.decode::<String>().ok()).unwrap_or_default();
            named.steps.entry(step.to_owned()).or_default().push(name.clone());
            named.events.push(name);
        }
        Ok(Output::new(named).at(found.time()))
    }
}
