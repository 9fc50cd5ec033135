//! Where in a pipeline file a plugin's complaint about its configuration belongs.
//!
//! A plugin knows its configuration and not the file; it names the setting in backticks (`weights.speed`, `rules[1].limit`), and that is looked up here.

use toml::de::{DeTable, DeValue};

use super::error::{Diagnostic, Kind};
use super::source::{Place, Source};

/// The place of the first setting of `operator` that a complaint names and the file has; the operator's configuration as a whole where the
/// file has none of them.
pub fn blame(text: &str, file: &str, operator: &str, complaint: &str) -> Option<Diagnostic> {
    let file_table = DeTable::parse(text).ok()?;
    let operators = file_table.get_ref().get("operators")?.get_ref().as_table()?;
    let (name, operator_table) = operators.get_key_value(operator)?;
    let place = match operator_table.get_ref().as_table()?.get_key_value("config") {
        Some((config, value)) => {
            let named = complaint.split('`').skip(1).step_by(2);
            named.filter_map(|path| find(value.get_ref(), path)).next().unwrap_or(config.span())
        }
        None => name.span(),
    };
    let source = Source::new(text, file, &|_| None);
    source.error(Kind::PluginConfig, &place, format!("operator `{operator}`: {complaint}"));
    source.into_findings().0.pop()
}

/// The place of the setting, or of the innermost part of its path that is there; the first part must be.
fn find(value: &DeValue<'_>, path: &str) -> Option<Place> {
    if let Some(rest) = path.strip_prefix('[') {
        let (index, rest) = rest.split_once(']')?;
        let inner = value.as_array()?.get(index.parse::<usize>().ok()?)?;
        return Some(find(inner.get_ref(), rest.trim_start_matches('.')).unwrap_or(inner.span()));
    }
    // A key may have dots of its own, so the longest that fits is taken.
    let follows = |key: &str| path.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let fits = value.as_table()?.iter().filter_map(|(key, inner)| Some((key, inner, follows(key.get_ref())?)));
    let (key, inner, rest) = fits.min_by_key(|(.., rest)| rest.len())?;
    if rest.is_empty() {
        return Some(if inner.get_ref().is_table() { key.span() } else { inner.span() });
    }
    Some(find(inner.get_ref(), rest.trim_start_matches('.')).unwrap_or(key.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[operators.score]
input = "payments"
config = { weights = { speed = "fast", "a.b" = 1 }, preset = "upi" }

[operators.plain]
input = "payments"

[[operators.listed.config.rules]]
kind = "velocity"

[[operators.listed.config.rules]]
kind = "velocty"
"#;

    fn at(operator: &str, complaint: &str) -> Option<(usize, usize, usize)> {
        let found = blame(TEXT, "p.toml", operator, complaint)?;
        assert_eq!(found.message, format!("operator `{operator}`: {complaint}"));
        Some((found.line, found.column, found.width))
    }

    #[test]
    fn a_complaint_points_at_the_setting_that_it_names() {
        assert_eq!(at("score", "config field `weights.speed`: expected a number"), Some((4, 32, 6)));
        assert_eq!(at("score", "config field `weights.a.b`: too small"), Some((4, 48, 1)));
        assert_eq!(at("score", "unknown config field `preset`"), Some((4, 62, 5)));
        assert_eq!(at("listed", "config field `rules[1].kind`: unknown kind `velocty`"), Some((13, 8, 9)));
    }

    #[test]
    fn what_is_missing_is_said_of_what_it_is_missing_in() {
        assert_eq!(at("score", "config field `weights.amount` is missing"), Some((4, 12, 7)));
        assert_eq!(at("listed", "config field `rules[1].limit` is missing").map(|at| at.0), Some(12));
        assert_eq!(at("score", "config field `limit` is missing"), Some((4, 1, 6)));
        assert_eq!(at("plain", "config field `limit` is missing"), Some((6, 12, 5)));
    }

    #[test]
    fn a_complaint_that_names_nothing_points_at_the_configuration() {
        assert_eq!(at("score", "no"), Some((4, 1, 6)));
        assert_eq!(at("score", "odd `"), Some((4, 1, 6)));
        assert_eq!(at("nobody", "config field `limit`"), None);
    }
}
