//! How records stand in a file: where one ends, and how one is appended.
//!
//! It does not look into values: that a line is JSON is found out by who reads it.

use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

/// How records stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One JSON value per line; blank lines count for nothing.
    JsonLines,
    /// A length of four bytes, little endian, then so many bytes of MessagePack.
    Framed,
    /// Lines as they are, without their ends.
    Lines,
}

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// A record, and the number of bytes that it takes with what is around it.
    Record { value: Range<usize>, taken: usize },
    /// Nothing that counts, in so many bytes.
    Blank { taken: usize },
    /// The beginning of a record, of which so many bytes need not be looked at again; `needed` where the length is known.
    Part { seen: usize, needed: Option<usize> },
}

/// What some editors put before text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl FileFormat {
    /// The format that a file's name suggests.
    pub fn of_name(name: &str) -> Self {
        match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("msgpack" | "mpk" | "mp") => FileFormat::Framed,
            Some("txt" | "log" | "csv" | "tsv") => FileFormat::Lines,
            _ => FileFormat::JsonLines,
        }
    }

    /// Looks at the front of `bytes`, of which the first `seen` hold no end. With `last`, nothing follows them.
    pub(super) fn front(self, bytes: &[u8], seen: usize, last: bool) -> Front {
        if self == FileFormat::Framed {
            let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Front::Part { seen: 0, needed: None } };
            let len = u32::from_le_bytes(*head) as usize;
            return if rest.len() >= len {
                Front::Record { value: 4..4 + len, taken: 4 + len }
            } else {
                Front::Part { seen: 0, needed: Some(4 + len) }
            };
        }
        // Reading from memory cannot fail.
        let line = seen + (&bytes[seen..]).skip_until(b'\n').unwrap_or(0);
        let ended = line > 0 && bytes[line - 1] == b'\n';
        let whole = ended || (last && line > 0);
        if !whole {
            return Front::Part { seen: line, needed: None };
        }
        let value = self.value_in(bytes, 0..line - usize::from(ended));
        if value.is_empty() && self == FileFormat::JsonLines {
            return Front::Blank { taken: line };
        }
        Front::Record { value, taken: line }
    }

    /// The value within a line whose end is off.
    fn value_in(self, bytes: &[u8], line: Range<usize>) -> Range<usize> {
        let text = &bytes[line.clone()];
        if self == FileFormat::Lines {
            return line.start..line.end - usize::from(text.ends_with(b"\r"));
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii_start();
        let start = line.end - text.len();
        start..start + text.trim_ascii_end().len()
    }

    /// Appends a record, or says why it cannot stand in such a file.
    pub(super) fn append(self, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match (self, value) {
            (FileFormat::Framed, value) => {
                let value = value.unwrap_or(&[0xc0]);
                let len = u32::try_from(value.len()).map_err(|_| "the value is longer than 4 GiB")?;
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(value);
            }
            (FileFormat::Lines, None) => return Err("a file of lines has no way to write a tombstone"),
            (_, Some(value)) if value.contains(&b'\n') => return Err("the value holds a line end, which would make two records of it"),
            (_, value) => {
                out.extend_from_slice(value.unwrap_or(b"null"));
                out.push(b'\n');
            }
        }
        Ok(())
    }

    /// True when records are lines.
    pub(super) fn has_lines(self) -> bool {
        self != FileFormat::Framed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of `bytes`, and how many bytes are left over.
    fn check(format: FileFormat, bytes: &[u8], last: bool, records: &[&[u8]], left: usize) {
        let (mut rest, mut found) = (bytes, Vec::new());
        while !rest.is_empty() {
            match format.front(rest, 0, last) {
                Front::Record { value, taken } => {
                    found.push(&rest[value]);
                    rest = &rest[taken..];
                }
                Front::Blank { taken } => rest = &rest[taken..],
                Front::Part { .. } => break,
            }
        }
        assert_eq!((found.as_slice(), rest.len()), (records, left), "{format:?} of {bytes:?}");
    }

    #[test]
    fn records_are_told_apart() {
        use FileFormat::{Framed, JsonLines, Lines};
        check(JsonLines, b"{}\n[1]\n", false, &[b"{}", b"[1]"], 0);
        check(JsonLines, b"\n {} \r\n\t\n\r\n[]\n  ", true, &[b"{}", b"[]"], 0);
        check(JsonLines, b"{}\n{\"cut", false, &[b"{}"], 5);
        check(JsonLines, b"{}\n{\"cut", true, &[b"{}", b"{\"cut"], 0);
        check(JsonLines, b"\xef\xbb\xbf{}\n", false, &[b"{}"], 0);
        check(JsonLines, b"\xef\xbb\xbf \n{}\n", false, &[b"{}"], 0);
        check(Lines, b" a \r\n\nb\r\r\nc", true, &[b" a ", b"", b"b\r", b"c"], 0);
        check(Lines, b"a\nb", false, &[b"a"], 1);
        check(Framed, &[1, 0, 0, 0, 7, 0, 0, 0, 0, 2, 0, 0, 0, 1], true, &[&[7], &[]], 5);
        check(Framed, &[1, 0, 0], true, &[], 3);
    }

    #[test]
    fn what_was_appended_is_told_apart_again() {
        for format in [FileFormat::JsonLines, FileFormat::Framed, FileFormat::Lines] {
            let mut bytes = Vec::new();
            format.append(Some(b"1"), &mut bytes).unwrap();
            format.append(Some(b"[2]"), &mut bytes).unwrap();
            check(format, &bytes, false, &[b"1", b"[2]"], 0);
        }
    }

    #[test]
    fn what_cannot_stand_in_a_file_is_refused() {
        let refused = |format: FileFormat, value: Option<&[u8]>| format.append(value, &mut Vec::new()).is_err();
        assert!(refused(FileFormat::JsonLines, Some(b"{\n}")) && refused(FileFormat::Lines, Some(b"a\nb")));
        assert!(refused(FileFormat::Lines, None));
        assert!(!refused(FileFormat::JsonLines, None) && !refused(FileFormat::Framed, None) && !refused(FileFormat::Framed, Some(b"\n")));
    }

    #[test]
    fn a_name_suggests_a_format() {
        let format = |name| FileFormat::of_name(name);
        assert_eq!([format("a.jsonl"), format("-"), format("d.x/b")], [FileFormat::JsonLines; 3]);
        assert_eq!([format("a.msgpack"), format("a.log")], [FileFormat::Framed, FileFormat::Lines]);
    }
}
