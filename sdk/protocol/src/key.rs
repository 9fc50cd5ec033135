//! How an event's key field becomes the bytes that the key is compared, hashed and stored by.
//!
//! Text keys are their UTF-8 bytes, so that a Kafka record key and a field with the same text meet.

use crate::msgpack::{Reader, type_name, write};

/// The key under which an operator with a broadcast input keeps its broadcast state, once in every task. It begins with a byte that is
/// neither UTF-8 nor MessagePack, so that only binary could be the same; the host refuses such an event.
pub const BROADCAST: &[u8] = b"\xc1broadcast";

/// Why a field cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The field is nil or not there.
    Missing,
    /// The field holds something that does not compare reliably: a float, a map, an array.
    Type(&'static str),
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyError::Missing => f.write_str("is missing"),
            KeyError::Type(found) => write!(f, "is {found}, which cannot be a key; use text, an integer, a boolean or binary"),
        }
    }
}

/// Appends the key bytes of one MessagePack value: text and binary as they are, integers in decimal, booleans as `true` or `false`.
#[inline]
pub fn append(value: &[u8], out: &mut Vec<u8>) -> Result<(), KeyError> {
    let mut reader = Reader::new(value);
    let marker = reader.peek().map_err(|_| KeyError::Missing)?;
    let bad = |_| KeyError::Type(type_name(marker));
    match marker {
        0xa0..=0xbf | 0xd9..=0xdb => out.extend_from_slice(reader.str_bytes().map_err(bad)?),
        0xc4..=0xc6 => out.extend_from_slice(reader.bin().map_err(bad)?),
        0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => out.extend_from_slice(reader.int().map_err(bad)?.to_string().as_bytes()),
        0xc2 => out.extend_from_slice(b"false"),
        0xc3 => out.extend_from_slice(b"true"),
        0xc0 => return Err(KeyError::Missing),
        _ => return Err(KeyError::Type(type_name(marker))),
    }
    Ok(())
}

/// Appends a key of several fields: a MessagePack array of their key bytes as strings, so that no two keys run together.
#[inline]
pub fn append_composite<'a>(values: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Result<(), KeyError> {
    write::array(out, values.len());
    for value in values {
        // Short text is by far the commonest part, and has one form only: it is copied whole.
        if matches!(value.first(), Some(0xa0..=0xbf)) {
            out.extend_from_slice(value);
            continue;
        }
        let mut part = Vec::new();
        append(value, &mut part)?;
        write::str_head(out, part.len());
        out.extend_from_slice(&part);
    }
    Ok(())
}

/// The parts of a key of several fields; `None` where it is none.
pub fn parts(key: &[u8]) -> Option<Vec<&str>> {
    let mut reader = Reader::new(key);
    let parts = reader.array().and_then(|count| (0..count).map(|_| reader.str()).collect()).ok()?;
    reader.is_empty().then_some(parts)
}

/// A key in words for people: text as it is, composite parts joined by `/`, anything else in hexadecimal.
pub fn display(key: &[u8]) -> String {
    if let Some(parts) = parts(key) {
        return parts.join("/");
    }
    match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
