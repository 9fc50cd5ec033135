//! Bytes for people and for JSON: text where they are text, JSON where they are MessagePack, else digits.

use crate::config::Format;
use crate::route::msgpack_to_json;
use crate::sandbox::printable;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sangam_protocol::msgpack::Reader;

/// The most bytes of anything that is shown whole.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// A value of a stream in that format; where that is not known or not true, the bytes.
pub fn value_shown(value: &[u8], format: Option<Format>) -> String {
    match as_json(value).filter(|_| format == Some(Format::MessagePack)) {
        Some(json) => format!("{json} ({} bytes of MessagePack)", value.len()),
        None => shown(value),
    }
}

/// A MessagePack value as JSON; what is none, as bytes.
pub fn msgpack_shown(value: &[u8]) -> String {
    as_json(value).unwrap_or_else(|| shown(value))
}

fn as_json(value: &[u8]) -> Option<String> {
    let (mut reader, mut json) = (Reader::new(value), Vec::new());
    reader.skip().ok().filter(|()| reader.is_empty())?;
    msgpack_to_json(value, &mut json).ok()?;
    Some(printable(&json, TEXT_BYTES_MAX))
}

/// Bytes as text where they are text, else in hexadecimal.
pub fn shown(bytes: &[u8]) -> String {
    if std::str::from_utf8(bytes).is_ok() {
        return printable(bytes, TEXT_BYTES_MAX);
    }
    let hex: String = bytes.iter().take(TEXT_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
    format!("{hex} ({} bytes)", bytes.len())
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_rfc_4648_says() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn what_is_no_text_is_shown_in_digits_and_nothing_drives_the_terminal() {
        assert_eq!(
            (shown(b"text"), shown(&[0xff, 0]), shown(b"\x1b[2J")),
            ("text".to_owned(), "ff00 (2 bytes)".to_owned(), "\\u{1b}[2J".to_owned())
        );
        assert_eq!(value_shown(&[0x81, 0xa1, b'a', 1], Some(Format::MessagePack)), "{\"a\":1} (4 bytes of MessagePack)");
        assert_eq!(value_shown(&[0xc1], Some(Format::MessagePack)), "c1 (1 bytes)");
        assert_eq!(value_shown(b"1 is text", Some(Format::MessagePack)), "1 is text", "a number, and more behind it");
    }
}
