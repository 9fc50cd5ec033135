//! An operator's configuration: a map from the pipeline's `config` table, read once, with errors that name the field.

use sangam_protocol::msgpack::Reader;
use serde::de::DeserializeOwned;

/// What an operator is configured with. `#[config]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a configuration",
    label = "an operator takes its configuration by `&`, or as `self`",
    note = "mark the struct with #[config]"
)]
pub trait Config: Sized + 'static {
    /// The fields in the manifest, as a JSON array.
    const FIELDS: &'static str;
    /// Reads the configuration from a MessagePack map.
    fn read(bytes: &[u8]) -> Result<Self, String>;
}

impl Config for () {
    const FIELDS: &'static str = "[]";
    fn read(bytes: &[u8]) -> Result<Self, String> {
        Table::read(bytes, &[]).map(|_| ())
    }
}

/// The configuration's table: where each known field's value is.
#[doc(hidden)]
pub struct Table<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Table<'a> {
    /// Reads the table and refuses fields that are not known.
    pub fn read(bytes: &'a [u8], known: &[&str]) -> Result<Self, String> {
        let mut fields = Vec::new();
        let mut reader = Reader::new(bytes);
        let mut read = || -> sangam_protocol::msgpack::Result<()> {
            for _ in 0..reader.map()? {
                fields.push((reader.str()?, reader.value()?));
            }
            Ok(())
        };
        read().map_err(|error| format!("the configuration is not a map of named fields: {error}"))?;
        for (name, _) in &fields {
            if !known.contains(name) {
                return Err(unknown(name, known));
            }
        }
        Ok(Table(fields))
    }

    /// Reads one field; `None` where the table does not have it.
    pub fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let Some((_, value)) = self.0.iter().find(|(known, _)| *known == name) else { return Ok(None) };
        rmp_serde::from_slice(value).map(Some).map_err(|error| format!("config field `{name}`: {error}"))
    }

    /// Reads one field that must be there.
    pub fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        self.optional(name)?.ok_or_else(|| format!("config field `{name}` is missing"))
    }
}

#[cold]
fn unknown(name: &str, known: &[&str]) -> String {
    let mut text = format!("unknown config field `{name}`");
    let nearest = known.iter().map(|known| (distance(name, known), *known)).min();
    if let Some((distance, nearest)) = nearest
        && distance <= nearest.len().max(3) / 2
    {
        text.push_str(&format!(": did you mean `{nearest}`?"));
    } else {
        text.push(';');
    }
    if known.is_empty() {
        text.push_str(" this operator takes no configuration");
    } else {
        text.push_str(" valid: ");
        for (i, known) in known.iter().enumerate() {
            text.push_str(if i > 0 { ", `" } else { "`" });
            text.push_str(known);
            text.push('`');
        }
    }
    text
}

/// Edits between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (place, b) in row.iter_mut().skip(1).zip(&b) {
            let next = (diagonal + usize::from(a != *b)).min(left + 1).min(*place + 1);
            diagonal = *place;
            *place = next;
            left = next;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_field_is_refused_with_the_nearest_valid_name() {
        let check = |name: &str, expected: &str| assert_eq!(unknown(name, &["max", "window_ms"]), expected);
        check("maxx", "unknown config field `maxx`: did you mean `max`? valid: `max`, `window_ms`");
        check("windowms", "unknown config field `windowms`: did you mean `window_ms`? valid: `max`, `window_ms`");
        check("colour", "unknown config field `colour`; valid: `max`, `window_ms`");
        assert_eq!(unknown("max", &[]), "unknown config field `max`; this operator takes no configuration");
    }
}
