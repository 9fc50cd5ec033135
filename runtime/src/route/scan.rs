//! The one scan of an event: finds, natively and once, every field that anybody needs, and leaves the rest alone.
//!
//! It does not decode values: a field is the bytes of its MessagePack form, in place where the event is MessagePack.

use crate::events::{Events, Format, Span};
use sangam_protocol::msgpack::{Reader, type_name};

use super::transcode;

/// The fields that are wanted of a stream's events, each once.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    paths: Vec<String>,
}

impl Wants {
    /// Adds a path (names joined by dots) and returns its place among the fields.
    pub fn add(&mut self, path: &str) -> usize {
        self.paths.iter().position(|known| known == path).unwrap_or_else(|| {
            self.paths.push(path.to_owned());
            self.paths.len() - 1
        })
    }

    /// The paths in order of their places.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}

/// Finds fields. It learns the order in which a producer writes its fields and tries that order first.
#[derive(Debug)]
pub struct Scanner {
    width: usize,
    root: Node,
}

/// A map on the way to a wanted field.
#[derive(Debug, Default)]
pub(super) struct Node {
    children: Vec<Child>,
    /// For the n-th pair of the map: the key as it was encoded last time, and what it led to.
    expected: Vec<Expected>,
}

#[derive(Debug)]
struct Child {
    name: String,
    /// Position in events that are arrays.
    index: Option<usize>,
    /// Place among the fields, when this field itself is wanted.
    want: Option<usize>,
    /// Deeper fields that are wanted.
    node: Option<Node>,
}

#[derive(Debug, Default)]
struct Expected {
    key: Vec<u8>,
    child: Option<usize>,
}

/// The most pairs of a map whose order is remembered.
const EXPECTED_MAX: usize = 64;

impl Scanner {
    /// A scanner for `wants`. `columns` names the elements of events that are arrays; it may be empty.
    pub fn new(wants: &Wants, columns: &[String]) -> Scanner {
        let mut root = Node::default();
        for (want, path) in wants.paths.iter().enumerate() {
            root.insert(path, want);
        }
        for child in &mut root.children {
            child.index = columns.iter().position(|column| *column == child.name).or_else(|| child.name.parse().ok());
        }
        Scanner { width: wants.paths.len(), root }
    }

    /// Fields per event.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Scans the value of row `i`, which must be the next row to scan, and appends its fields. The error says why it cannot be read;
    /// the fields are then all absent.
    #[inline]
    pub fn scan(&mut self, events: &mut Events, i: usize) -> Result<(), String> {
        let first = events.fields.len();
        events.width = self.width;
        events.fields.resize(first + self.width, Span::NONE);
        let Some(row) = events.rows.get(i) else { return Ok(()) };
        if row.value.is_none() {
            return Err("the value is null (a tombstone), which this operator cannot read".into());
        }
        let found = match row.format {
            Format::Raw => return Ok(()),
            Format::MsgPack => {
                let base = row.value.start();
                let value = row.value.of(&events.arena).unwrap_or(&[]);
                events.fields.get_mut(first..).map_or(Ok(()), |fields| self.msgpack(value, base, fields))
            }
            Format::Json => transcode::scan_json(&self.root, events, row.value, first),
        };
        if found.is_err() {
            events.fields.truncate(first);
            events.fields.resize(first + self.width, Span::NONE);
        }
        found
    }

    #[inline]
    fn msgpack(&mut self, value: &[u8], base: usize, fields: &mut [Span]) -> Result<(), String> {
        let mut reader = Reader::new(value);
        let broken = |why| format!("the value is not MessagePack: {why}");
        match reader.peek().map_err(broken)? {
            0x80..=0x8f | 0xde | 0xdf => self.root.map(&mut reader, base, fields).map_err(broken)?,
            0x90..=0x9f | 0xdc | 0xdd => self.root.array(&mut reader, base, fields).map_err(broken)?,
            marker if fields.is_empty() => {
                reader.skip().map_err(|_| format!("the value is not MessagePack, it starts with {marker:#04x}"))?
            }
            marker => return Err(format!("the value is {}, not a MessagePack map or array", type_name(marker))),
        }
        if reader.is_empty() { Ok(()) } else { Err(format!("the value is not MessagePack: {} bytes follow its end", reader.rest().len())) }
    }
}

impl Node {
    fn insert(&mut self, path: &str, want: usize) {
        let (name, deeper) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let at = self.children.iter().position(|child| child.name == name).unwrap_or_else(|| {
            self.children.push(Child { name: name.to_owned(), index: None, want: None, node: None });
            self.children.len() - 1
        });
        if let Some(child) = self.children.get_mut(at) {
            match deeper {
                None => child.want = Some(want),
                Some(rest) => child.node.get_or_insert_default().insert(rest, want),
            }
        }
    }

    #[inline]
    fn map(&mut self, reader: &mut Reader<'_>, base: usize, fields: &mut [Span]) -> Result<(), sangam_protocol::msgpack::Error> {
        let pairs = reader.map()?;
        for pair in 0..pairs {
            let child = match self.expected.get(pair) {
                Some(expected) if !expected.key.is_empty() && reader.rest().starts_with(&expected.key) => {
                    reader.take(expected.key.len())?;
                    expected.child
                }
                _ => self.look_up(reader, pair)?,
            };
            match child.and_then(|at| self.children.get_mut(at)) {
                None => reader.skip()?,
                Some(child) => child.take(reader, base, fields)?,
            }
        }
        Ok(())
    }

    #[cold]
    fn look_up(&mut self, reader: &mut Reader<'_>, pair: usize) -> Result<Option<usize>, sangam_protocol::msgpack::Error> {
        let encoded = reader.rest();
        let start = reader.position();
        let name =
            if matches!(reader.peek()?, 0xa0..=0xbf | 0xd9..=0xdb) { Some(reader.str_bytes()?) } else { reader.skip().map(|()| None)? };
        let child = name.and_then(|name| self.children.iter().position(|child| child.name.as_bytes() == name));
        let key = encoded.get(..reader.position() - start).unwrap_or(&[]);
        if pair < EXPECTED_MAX && key.len() <= 64 {
            if self.expected.len() <= pair {
                self.expected.resize_with(pair + 1, Expected::default);
            }
            if let Some(expected) = self.expected.get_mut(pair) {
                expected.key.clear();
                expected.key.extend_from_slice(key);
                expected.child = child;
            }
        }
        Ok(child)
    }

    fn array(&mut self, reader: &mut Reader<'_>, base: usize, fields: &mut [Span]) -> Result<(), sangam_protocol::msgpack::Error> {
        for element in 0..reader.array()? {
            match self.children.iter_mut().find(|child| child.index == Some(element)) {
                None => reader.skip()?,
                Some(child) => child.take(reader, base, fields)?,
            }
        }
        Ok(())
    }

    /// Where a name of this map leads: the place among the fields, and deeper fields.
    pub(super) fn child(&self, name: &str) -> Option<(Option<usize>, Option<&Node>)> {
        self.children.iter().find(|child| child.name == name).map(|child| (child.want, child.node.as_ref()))
    }
}

impl Child {
    #[inline]
    fn take(&mut self, reader: &mut Reader<'_>, base: usize, fields: &mut [Span]) -> Result<(), sangam_protocol::msgpack::Error> {
        let at = reader.position();
        let marker = reader.peek()?;
        match &mut self.node {
            Some(node) if matches!(marker, 0x80..=0x8f | 0xde | 0xdf) => node.map(reader, base, fields)?,
            _ => reader.skip()?,
        }
        // Nil counts as absent: producers write one or the other for the same thing.
        if let Some(want) = self.want
            && marker != 0xc0
            && let Some(field) = fields.get_mut(want)
        {
            *field = Span::new(base + at, reader.position() - at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn fields(format: Format, wants: &Wants, value: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut events = Events::default();
        events.push(&crate::events::Record { value: Some(value), ..Default::default() });
        events.rows[0].format = format;
        Scanner::new(wants, &[]).scan(&mut events, 0)?;
        let spans = events.fields_of(0).iter().zip(wants.paths());
        Ok(spans.filter_map(|(span, path)| Some((path.clone(), span.of(&events.arena)?.to_vec()))).collect())
    }

    fn wants(paths: &[&str]) -> Wants {
        let mut wants = Wants::default();
        paths.iter().for_each(|path| {
            wants.add(path);
        });
        wants
    }

    /// Both formats must find the same fields.
    fn check(event: Value, paths: &[&str], expected: Value) {
        let wants = wants(paths);
        let as_json = serde_json::to_vec(&event).unwrap();
        let as_msgpack = rmp_serde::to_vec_named(&event).unwrap();
        for (format, bytes) in [(Format::Json, as_json), (Format::MsgPack, as_msgpack)] {
            let found = fields(format, &wants, &bytes).unwrap();
            let found: serde_json::Map<String, Value> =
                found.into_iter().map(|(path, bytes)| (path, rmp_serde::from_slice(&bytes).unwrap())).collect();
            assert_eq!(Value::Object(found), expected, "{format:?}");
        }
    }

    #[test]
    fn a_field_is_found_wherever_it_stands() {
        check(json!({"a": 1, "b": "x", "c": null}), &["b", "c", "d"], json!({"b": "x"}));
        check(json!({"user": {"id": 7, "tags": ["t"]}, "n": -1.5}), &["user.id", "n"], json!({"user.id": 7, "n": -1.5}));
        check(json!({"user": {"id": 7}, "z": true}), &["user", "user.id"], json!({"user": {"id": 7}, "user.id": 7}));
        check(json!({"user": "ann"}), &["user.id", "user"], json!({"user": "ann"}));
        check(
            json!({"big": 18446744073709551615u64, "deep": [[{"a": []}]]}),
            &["big", "deep"],
            json!({"big": 18446744073709551615u64, "deep": [[{"a": []}]]}),
        );
    }

    #[test]
    fn events_that_change_their_field_order_are_still_read_right() {
        let wants = wants(&["a", "b"]);
        let mut scanner = Scanner::new(&wants, &[]);
        let mut events = Events::default();
        for event in [json!({"a": 1, "b": 2}), json!({"b": 3, "a": 4}), json!({"x": 0, "b": 5}), json!({"a": 6, "b": 7})] {
            // serde_json sorts keys; write the pairs in the order meant here.
            let mut value = Vec::new();
            let pairs = event.as_object().unwrap();
            rmp::encode::write_map_len(&mut value, pairs.len() as u32).unwrap();
            for (key, number) in
                if pairs.get("b") == Some(&json!(3)) { pairs.iter().rev().collect::<Vec<_>>() } else { pairs.iter().collect() }
            {
                rmp::encode::write_str(&mut value, key).unwrap();
                rmp::encode::write_uint(&mut value, number.as_u64().unwrap()).unwrap();
            }
            events.push(&crate::events::Record { value: Some(&value), ..Default::default() });
        }
        let found: Vec<Vec<Option<u8>>> = (0..4)
            .map(|i| {
                scanner.scan(&mut events, i).unwrap();
                events.fields_of(i).iter().map(|span| span.of(&events.arena).map(|bytes| bytes[0])).collect()
            })
            .collect();
        assert_eq!(found, [vec![Some(1), Some(2)], vec![Some(4), Some(3)], vec![None, Some(5)], vec![Some(6), Some(7)]]);
    }

    #[test]
    fn arrays_are_read_by_position_or_by_column_name() {
        let wants = wants(&["amount", "0"]);
        let mut events = Events::default();
        events.push(&crate::events::Record { value: Some(&[0x93, 1, 2, 3]), ..Default::default() });
        let mut scanner = Scanner::new(&wants, &["id".into(), "user".into(), "amount".into()]);
        scanner.scan(&mut events, 0).unwrap();
        let found: Vec<_> = events.fields_of(0).iter().map(|span| span.of(&events.arena).unwrap()).collect();
        assert_eq!(found, [&[3u8][..], &[1]]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        let refuse = |format, bytes: &[u8]| fields(format, &wants(&["a"]), bytes).unwrap_err();
        assert_eq!(refuse(Format::MsgPack, &[0x81, 0xa1]), "the value is not MessagePack: the value is cut short");
        assert_eq!(refuse(Format::MsgPack, &[0x80, 0x01]), "the value is not MessagePack: 1 bytes follow its end");
        assert_eq!(refuse(Format::MsgPack, b"\xa5hello"), "the value is a string, not a MessagePack map or array");
        assert!(refuse(Format::Json, b"{\"a\": ").starts_with("the value is not JSON: "), "{}", refuse(Format::Json, b"{\"a\": "));
        assert_eq!(
            refuse(Format::Json, b"[1]"),
            "the value is not a JSON object: invalid type: sequence, expected a JSON object at line 1 column 0"
        );
    }
}
