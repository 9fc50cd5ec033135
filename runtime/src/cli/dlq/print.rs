//! Dead letters for people, and as JSON.
//!
//! What a guest or an event says is made harmless before it reaches a terminal; JSON keeps every byte.

use super::super::bytes::{TEXT_BYTES_MAX, base64, shown, value_shown};
use super::super::columns;
use super::Letter;
use crate::admin::moment;
use crate::config::Format;
use crate::sandbox::printable;
use crate::stage::letter::header;
use crate::time::Millis;
use sangam_protocol::key;
use serde_json::{Map, Value, json};

/// Columns of the table.
pub(super) type Row = [String; 7];

const HEADINGS: [&str; 7] = ["letter", "time", "operator", "kind", "attempt", "replayed", "error"];

/// The most bytes of an error in a table.
const CELL_BYTES_MAX: usize = 120;

/// A letter in a table.
pub(super) fn row(letter: &Letter, replayed: Option<Millis>) -> Row {
    let cell = |text: &str| printable(text.as_bytes(), CELL_BYTES_MAX);
    [
        letter.id(),
        letter.known_time().map_or_else(|| "-".to_owned(), moment),
        cell(letter.header(header::OPERATOR)),
        cell(letter.header(header::KIND)),
        letter.attempts().to_string(),
        if replayed.is_some() { "yes" } else { "no" }.to_owned(),
        cell(letter.header(header::ERROR)),
    ]
}

/// Letters under their headings; nothing where there are none.
pub(super) fn table(rows: &[Row]) -> String {
    columns::table(HEADINGS, rows)
}

/// What is known of a letter, without what it holds.
pub(super) fn summary(letter: &Letter, replayed: Option<Millis>) -> Value {
    let text = |name: &str| Some(letter.header(name)).filter(|text| !text.is_empty()).map_or(Value::Null, |text| json!(text));
    let backtrace: Vec<&str> = letter.header(header::BACKTRACE).lines().collect();
    let origin = letter.origin().map(|at| json!({"stream": at.stream, "partition": at.partition, "offset": at.offset}));
    json!({
        "letter": letter.id(),
        "time_ms": letter.known_time(),
        "operator": text(header::OPERATOR),
        "plugin": text(header::PLUGIN),
        "kind": text(header::KIND),
        "error": text(header::ERROR),
        "backtrace": backtrace,
        "input": text(header::INPUT),
        "origin": origin,
        "attempts": letter.attempts(),
        "timer": text(header::TIMER),
        "output": text(header::OUTPUT),
        "capture": text(header::CAPTURE),
        "replay_of": text(header::REPLAY_OF),
        "replayed_ms": replayed,
    })
}

/// All of a letter: bytes that are text as text, others in base64.
pub(super) fn export(letter: &Letter, replayed: Option<Millis>) -> Value {
    let mut all = summary(letter, replayed);
    let headers: Vec<Value> = letter
        .own_headers()
        .into_iter()
        .map(|(name, value)| {
            let mut header = match bytes(value) {
                Value::Object(fields) => fields,
                _ => Map::from_iter([("text".to_owned(), Value::Null)]),
            };
            header.insert("name".to_owned(), json!(name));
            Value::Object(header)
        })
        .collect();
    if let Value::Object(fields) = &mut all {
        fields.insert("key".to_owned(), bytes(letter.key.as_deref()));
        fields.insert("value".to_owned(), bytes(letter.value.as_deref()));
        fields.insert("headers".to_owned(), Value::Array(headers));
    }
    all
}

/// All of a letter for people.
pub(super) fn page(letter: &Letter, format: Option<Format>, replayed: Option<Millis>) -> String {
    let text = |name: &str| printable(letter.header(name).as_bytes(), TEXT_BYTES_MAX);
    let mut page = format!("dead letter {}\n", letter.id());
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            page.push_str(&format!("  {name:<10} {value}\n"));
        }
    };
    line("operator", text(header::OPERATOR));
    line("plugin", text(header::PLUGIN));
    line("failed", format!("{}, attempt {}", text(header::KIND), letter.attempts()));
    line("error", text(header::ERROR));
    for (i, frame) in letter.header(header::BACKTRACE).lines().enumerate() {
        line(if i == 0 { "backtrace" } else { "" }, printable(frame.as_bytes(), TEXT_BYTES_MAX));
    }
    line("capture", text(header::CAPTURE));
    line("input", text(header::INPUT));
    line("origin", letter.origin().map_or_else(String::new, |at| format!("{}/{} at offset {}", at.stream, at.partition, at.offset)));
    line("timer", text(header::TIMER));
    line("output", text(header::OUTPUT));
    line("replay of", text(header::REPLAY_OF));
    line("replayed", replayed.map_or_else(|| "no".to_owned(), moment));
    line("time", letter.known_time().map_or_else(String::new, moment));
    line("key", letter.key.as_ref().map_or_else(String::new, |key| printable(key::display(key).as_bytes(), TEXT_BYTES_MAX)));
    for (name, value) in letter.own_headers() {
        let value = value.map_or_else(|| "(none)".to_owned(), shown);
        line("header", format!("{} = {value}", printable(name.as_bytes(), TEXT_BYTES_MAX)));
    }
    line("value", letter.value.as_ref().map_or_else(|| "none (a tombstone)".to_owned(), |value| value_shown(value, format)));
    page
}

/// Bytes in JSON: `null`, `{"text": …}` or `{"base64": …}`.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => Value::Null,
        Some(Ok(text)) => json!({ "text": text }),
        Some(Err(bytes)) => json!({ "base64": base64(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_text_are_written_as_text() {
        assert_eq!(bytes(Some(&[0xfb, 0xff, 0xfe])), json!({"base64": "+//+"}));
        assert_eq!((bytes(Some(b"text")), bytes(Some(b"")), bytes(None)), (json!({"text": "text"}), json!({"text": ""}), Value::Null));
    }
}
