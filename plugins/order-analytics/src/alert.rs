//! Limits: an alert tells once that a group, or all of a window, has gone beyond one.

use serde::Deserialize;

use crate::group::Sold;
use crate::money::{Cents, cents};
use crate::settings::Role;

/// A limit, as the pipeline writes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { name = \"peak\", orders_above = 10000 }")]
pub struct Rule {
    /// What the alert is called.
    pub name: String,
    /// What is watched.
    #[serde(default)]
    pub of: Of,
    /// More orders than this.
    pub orders_above: Option<u64>,
    /// More revenue than this. Where both are given, both are to be exceeded.
    pub revenue_above: Option<Limit>,
}

/// What a limit is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Each group of a window.
    #[default]
    Group,
    /// All groups of a window.
    Window,
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Limit(Cents);

impl TryFrom<f64> for Limit {
    type Error = String;

    fn try_from(amount: f64) -> Result<Self, String> {
        cents(amount).map(Limit).ok_or_else(|| format!("{amount} is no amount of money"))
    }
}

impl Rule {
    /// Says what is wrong with it.
    pub fn check(&self, role: Role) -> Result<(), String> {
        let name = &self.name;
        if name.is_empty() {
            return Err("an alert has a name".into());
        }
        if self.orders_above.is_none() && self.revenue_above.is_none() {
            return Err(format!("`{name}` has no limit: add orders_above or revenue_above"));
        }
        match (role, self.of) {
            (Role::Groups, Of::Window) => Err(format!(
                "`{name}` is of the whole window, which an operator with role = \"groups\" does not see: move it to the one with role = \"top\""
            )),
            (Role::Top, Of::Group) => {
                Err(format!("`{name}` is of a group: move it to the operator with role = \"groups\", or say of = \"window\""))
            }
            _ => Ok(()),
        }
    }

    /// Whether this is beyond the limit; exactly the limit is not.
    pub fn is_broken(&self, sold: &Sold) -> bool {
        self.orders_above.is_none_or(|limit| sold.orders > limit) && self.revenue_above.is_none_or(|Limit(limit)| sold.cents > limit)
    }
}

/// The rules for `of` that have been broken since this was last asked; `alerted` remembers them.
pub fn broken<'r>(rules: &'r [Rule], of: Of, sold: &Sold, alerted: &mut u64) -> Vec<&'r Rule> {
    let mut broken = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        let bit = 1 << i;
        if rule.of == of && *alerted & bit == 0 && rule.is_broken(sold) {
            *alerted |= bit;
            broken.push(rule);
        }
    }
    broken
}
