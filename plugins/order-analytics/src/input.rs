//! What an event says: whether it is an order, of which group, and what it was worth. Here events are refused.

use std::borrow::Cow;
use std::cmp::Ordering;

use sangam_protocol::key;
use sangam_sdk::window::Untouched;
use sangam_sdk::*;
use serde::Deserialize;

use crate::group::{Group, Sold, hash};
use crate::money::{Cents, cents};
use crate::settings::{GROUP_BY_MAX, Settings};

/// An order.
pub struct Order<'a> {
    /// Of which group.
    pub name: Name<'a>,
    /// What it was worth.
    pub cents: Cents,
}

/// The values that tell a group from others.
pub struct Name<'a> {
    parts: [Cow<'a, str>; GROUP_BY_MAX],
    len: usize,
}

/// What another operator has added up for a group.
pub struct Part {
    /// The group, and all of it.
    pub group: Group,
    /// What it did not have when it was last told.
    pub added: Sold,
}

/// The values that a field may have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub struct Filter(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value, or a list of values: text, whole numbers or booleans")]
enum Written {
    One(Scalar),
    More(Vec<Scalar>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl From<Written> for Filter {
    fn from(written: Written) -> Filter {
        let text = |value: Scalar| match value {
            Scalar::Text(text) => text,
            Scalar::Int(int) => int.to_string(),
            Scalar::Bool(truth) => truth.to_string(),
        };
        Filter(match written {
            Written::One(value) => vec![text(value)],
            Written::More(values) => values.into_iter().map(text).collect(),
        })
    }
}

impl Filter {
    fn lets_through(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.0.iter().any(|known| known == value))
    }
}

impl Name<'_> {
    /// The order of a group and one of this name, by which groups are kept.
    #[inline]
    pub fn order(&self, hash: u32, group: &Group) -> Ordering {
        group.hash.cmp(&hash).then_with(|| group.name.iter().map(String::as_str).cmp(self.texts()))
    }

    /// The number by which the group is found.
    #[inline]
    pub fn hash(&self) -> u32 {
        hash(self.texts())
    }

    /// The name as a group keeps it.
    pub fn owned(&self) -> Vec<String> {
        self.parts().iter().map(|part| part.clone().into_owned()).collect()
    }

    /// Whether the key of the operator is this.
    pub fn is_key(&self, ctx: &Context) -> bool {
        match self.parts() {
            [one] => *one == ctx.key(),
            parts => parts.iter().enumerate().all(|(i, part)| ctx.key_part(i) == Some(part)) && ctx.key_part(parts.len()).is_none(),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts().iter().map(|part| &**part)
    }

    fn parts(&self) -> &[Cow<'_, str>] {
        self.parts.get(..self.len).unwrap_or_default()
    }
}

impl Settings {
    /// Reads an event.
    ///
    /// # Errors
    /// When it is no order, which is ignored, or when it is one that makes no sense.
    #[inline]
    pub fn order<'a>(&self, row: &Row<'a>) -> Result<Order<'a>, Untouched> {
        let groups = self.names.len();
        for (filter, place) in self.filters.iter().zip(groups + self.amounts..) {
            if !filter.lets_through(text(row, place)?.as_deref()) {
                return Err(ignore().into());
            }
        }
        let mut name = Name { parts: [const { Cow::Borrowed("") }; GROUP_BY_MAX], len: groups };
        for (i, part) in name.parts.iter_mut().take(groups).enumerate() {
            *part = text(row, i)?.ok_or_else(|| self.no_name(row, i))?;
        }
        let mut amount = 1.0;
        for i in groups..groups + self.amounts {
            amount *= self.number::<f64>(row, i)?;
        }
        let cents = cents(amount).ok_or_else(|| reject(format!("{amount} is no amount of money")))?;
        Ok(Order { name, cents })
    }

    /// The window of what another operator has added up.
    ///
    /// # Errors
    /// When it does not say.
    pub fn bounds(&self, row: &Row<'_>) -> Result<Window> {
        Ok(Window { start: self.number(row, 0)?, end: self.number(row, 1)? })
    }

    /// Reads what another operator has added up.
    ///
    /// # Errors
    /// When it is nothing of that sort.
    pub fn part(&self, row: &Row<'_>) -> Result<Part> {
        let names = 2..2 + self.names.len();
        let name = |i| text(row, i)?.map(Cow::into_owned).ok_or_else(|| self.no_name(row, i));
        let sold = |i| -> Result<Sold> {
            let revenue: f64 = self.number(row, i + 1)?;
            Ok(Sold { orders: self.number(row, i)?, cents: (revenue * 100.0).round() as Cents })
        };
        let group = Group { name: names.clone().map(name).collect::<Result<_>>()?, sold: sold(names.end)?, ..Group::default() };
        Ok(Part { group, added: sold(names.end + 2)? })
    }

    fn number<'a, T: Field<'a>>(&self, row: &Row<'a>, i: usize) -> Result<T> {
        row.get(i).map_err(|_| self.no_number(row, i))
    }

    #[cold]
    fn no_name(&self, row: &Row<'_>, i: usize) -> Error {
        let path = self.path(i);
        if row.is_nil(i) {
            return reject(format!("the field `{path}` is missing"));
        }
        reject(format!("the field `{path}` names no group: it is neither text, nor a whole number, nor a boolean"))
    }

    #[cold]
    fn no_number(&self, row: &Row<'_>, i: usize) -> Error {
        let path = self.path(i);
        reject(if row.is_nil(i) { format!("the field `{path}` is missing") } else { format!("the field `{path}` is not a number") })
    }

    fn path(&self, i: usize) -> &str {
        self.paths.get(i).map_or("", String::as_str)
    }
}

/// A value as the text that it would have as a key; none for one that could not be a key.
#[inline]
fn text<'a>(row: &Row<'a>, i: usize) -> Result<Option<Cow<'a, str>>> {
    if let Ok(text) = row.str(i) {
        return Ok(Some(Cow::Borrowed(text)));
    }
    let mut bytes = Vec::new();
    let known = key::append(row.value(i)?, &mut bytes).is_ok();
    Ok(String::from_utf8(bytes).ok().filter(|_| known).map(Cow::Owned))
}
