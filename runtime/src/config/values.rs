//! An operator's own settings: to MessagePack for the guest, and changed from the command line.

use sangam_protocol::msgpack::write;
use toml::{Table, Value};

/// Why `--set` could not set something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no `=`, or nothing before it.
    #[error("`{0}` sets nothing; write `name=value` or `table.name=value`")]
    NotAnAssignment(String),
    /// A name on the way is there already and is not a table.
    #[error("`{0}` is {1}, nothing can be set inside it")]
    NotATable(String, String),
}

/// The name of a TOML type with its article.
pub(super) fn with_article(kind: &str) -> String {
    let article = if matches!(kind, "integer" | "array") { "an" } else { "a" };
    format!("{article} {kind}")
}

/// Encodes a table as a MessagePack map. Dates and times become strings as TOML writes them.
pub fn to_msgpack(table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    encode_table(table, &mut out);
    out
}

/// Sets one value: `limit=5`, `rules.max="12"`, `shops=["a","b"]`. What is not a TOML value is taken as a string.
pub fn set(table: &mut Table, assignment: &str) -> Result<(), SetError> {
    let wrong = || SetError::NotAnAssignment(assignment.to_owned());
    let (path, text) = assignment.split_once('=').ok_or_else(wrong)?;
    let names: Vec<&str> = path.split('.').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(wrong());
    }
    let (last, tables) = names.split_last().ok_or_else(wrong)?;
    let mut inner = table;
    for (depth, name) in tables.iter().enumerate() {
        inner = match inner.entry(*name).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(table) => table,
            other => return Err(SetError::NotATable(names[..=depth].join("."), with_article(other.type_str()))),
        };
    }
    inner.insert((*last).to_owned(), text.trim().parse().unwrap_or_else(|_| Value::String(text.to_owned())));
    Ok(())
}

fn encode_table(table: &Table, out: &mut Vec<u8>) {
    write::map(out, table.len());
    for (name, value) in table {
        write::str(out, name);
        encode(value, out);
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => write::str(out, text),
        Value::Integer(number) => write::i64(out, *number),
        Value::Float(number) => write::f64(out, *number),
        Value::Boolean(yes) => write::bool(out, *yes),
        Value::Datetime(time) => write::str(out, &time.to_string()),
        Value::Array(values) => {
            write::array(out, values.len());
            values.iter().for_each(|value| encode(value, out));
        }
        Value::Table(table) => encode_table(table, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_json(table: &Table) -> String {
        rmp_serde::from_slice::<serde_json::Value>(&to_msgpack(table)).unwrap().to_string()
    }

    #[test]
    fn a_guest_gets_the_settings_as_they_were_written() {
        let table: Table = r#"
            max = 5
            low = -3
            rate = 0.5
            on = true
            name = "x"
            from = 2024-05-01T10:00:00Z
            shops = ["a", "b"]
            [nested.deep]
            x = 1
        "#
        .parse()
        .unwrap();
        let expected = r#"{"from":"2024-05-01T10:00:00Z","low":-3,"max":5,"name":"x","nested":{"deep":{"x":1}},"on":true,"rate":0.5,"shops":["a","b"]}"#;
        assert_eq!(as_json(&table), expected);
    }

    #[track_caller]
    fn check(assignments: &[&str], expected: &str) {
        let mut table = Table::new();
        let outcome = assignments.iter().try_for_each(|assignment| set(&mut table, assignment));
        assert_eq!(outcome.map_or_else(|error| error.to_string(), |()| as_json(&table)), expected);
    }

    #[test]
    fn a_setting_can_be_given_on_the_command_line() {
        check(&["max=5"], r#"{"max":5}"#);
        check(&["max = 5"], r#"{"max":5}"#);
        check(&["max=5", "max=6"], r#"{"max":6}"#);
        check(&["a.b.c=1", "a.b.d=2"], r#"{"a":{"b":{"c":1,"d":2}}}"#);
        check(&["on=true"], r#"{"on":true}"#);
        check(&["rate=0.5"], r#"{"rate":0.5}"#);
        check(&["shop=north"], r#"{"shop":"north"}"#);
        check(&["shop=\"5\""], r#"{"shop":"5"}"#);
        check(&["url=http://x/?a=b"], r#"{"url":"http://x/?a=b"}"#);
        check(&["text=two words"], r#"{"text":"two words"}"#);
        check(&["none="], r#"{"none":""}"#);
        check(&["shops=[\"a\", \"b\"]"], r#"{"shops":["a","b"]}"#);
        check(&["limit={ max = 5 }"], r#"{"limit":{"max":5}}"#);
    }

    #[test]
    fn what_sets_nothing_is_refused() {
        check(&["max"], "`max` sets nothing; write `name=value` or `table.name=value`");
        check(&["=5"], "`=5` sets nothing; write `name=value` or `table.name=value`");
        check(&["a..b=5"], "`a..b=5` sets nothing; write `name=value` or `table.name=value`");
        check(&["a.b=5", "a.b.c=6"], "`a.b` is an integer, nothing can be set inside it");
    }
}
