//! The one scan of an event: finds, natively and once, every field that anybody needs, and leaves the rest alone.
//!
//! It does not decode values: a field is the bytes of its MessagePack form, in place where the event is MessagePack.

use crate::events::{Events, Format, Span};
use sangam_protocol::msgpack::{Reader, len_of, type_name};
use std::ops::Range;

use super::transcode;

/// What a path begins with that names a header of the record, and not a field of its value.
pub const HEADERS: &str = "$headers.";

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
    /// Headers that are wanted: name and place among the fields.
    headers: Vec<(String, usize)>,
}

/// A map on the way to a wanted field.
#[derive(Debug, Default)]
pub(super) struct Node {
    children: Vec<Child>,
    /// For the n-th pair of the map: the key as it was encoded last time, and what it led to; an empty key fits nothing.
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

#[derive(Debug)]
struct Expected {
    key: Vec<u8>,
    /// The first and the last 16 bytes of the key, and which bits of the first count: a key of up to 32 bytes is compared by two
    /// loads, where a call that compares just so many bytes takes several times as long.
    head: (u128, u128),
    tail: Option<u128>,
    /// What it led to.
    child: Option<usize>,
    /// Whether there is no more to that than a place among the fields, which is `want`.
    plain: bool,
    want: usize,
}

/// A place that no field has.
const NOT_WANTED: usize = usize::MAX;

/// Bytes of a key that are compared at once.
const WINDOW: usize = 16;

/// The most pairs of a map whose order is remembered.
const EXPECTED_MAX: usize = 64;

impl Scanner {
    /// A scanner for `wants`. `columns` names the elements of events that are arrays; it may be empty.
    pub fn new(wants: &Wants, columns: &[String]) -> Scanner {
        let (mut root, mut headers) = (Node::default(), Vec::new());
        for (want, path) in wants.paths.iter().enumerate() {
            match path.strip_prefix(HEADERS) {
                Some(name) => headers.push((name.to_owned(), want)),
                None => root.insert(path, want),
            }
        }
        for child in &mut root.children {
            child.index = columns.iter().position(|column| *column == child.name).or_else(|| child.name.parse().ok());
        }
        Scanner { width: wants.paths.len(), root, headers }
    }

    /// Fields per event.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Makes room for the fields of all rows, none of which has any so far.
    pub fn start(&self, events: &mut Events) {
        events.width = self.width;
        events.fields.clear();
        events.fields.resize(events.rows.len() * self.width, Span::NONE);
    }

    /// Scans the value of row `i` and fills in its fields, for which [`Scanner::start`] has made room. The error says why it cannot be
    /// read; the fields are then all absent.
    #[inline]
    pub fn scan(&mut self, events: &mut Events, i: usize) -> Result<(), String> {
        let place = i * self.width..(i + 1) * self.width;
        let Some(row) = events.rows.get(i) else { return Ok(()) };
        if row.value.is_none() {
            return Err("the value is null (a tombstone), which this operator cannot read".into());
        }
        let found = match row.format {
            Format::Raw => Ok(()),
            Format::MsgPack => {
                let base = row.value.start();
                let value = row.value.of(&events.arena).unwrap_or(&[]);
                events.fields.get_mut(place.clone()).map_or(Ok(()), |fields| self.msgpack(value, base, fields))
            }
            Format::Json => transcode::scan_json(&self.root, events, row.value, place.clone()),
        };
        if found.is_err() {
            events.fields.get_mut(place).unwrap_or_default().fill(Span::NONE);
        } else if !self.headers.is_empty() {
            self.find_headers(events, i);
        }
        found
    }

    /// Fills in the headers that are wanted, each as its bytes; the last of a name counts.
    fn find_headers(&self, events: &mut Events, i: usize) {
        let Some(headers) = events.rows.get(i).map(|row| row.headers).filter(|span| !span.is_none()) else { return };
        for (name, want) in &self.headers {
            let found = header(headers.of(&events.arena).unwrap_or(&[]), name);
            let field = events.fields.get_mut(i * self.width + want);
            if let (Some(value), Some(field)) = (found, field) {
                *field = Span::new(headers.start() + value.start, value.len());
            }
        }
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
        let mut pair = 0;
        while pair < pairs {
            let (familiar, len) = self.familiar(reader.rest(), pair..pairs, base + reader.position(), fields);
            reader.take(len)?;
            pair += familiar;
            if pair < pairs {
                let child = match self.expected.get(pair) {
                    Some(expected) if expected.starts(reader.rest()) => {
                        reader.take(expected.key.len())?;
                        expected.child
                    }
                    _ => self.look_up(reader, pair)?,
                };
                match child.and_then(|at| self.children.get_mut(at)) {
                    None => reader.skip()?,
                    Some(child) => child.take(reader, base, fields)?,
                }
                pair += 1;
            }
        }
        Ok(())
    }

    /// Takes pairs as long as their keys are what they were last time and their values plain; says how many, and how many bytes they
    /// have. Nearly every pair of nearly every event goes through here.
    #[inline]
    fn familiar(&self, bytes: &[u8], pairs: Range<usize>, base: usize, fields: &mut [Span]) -> (usize, usize) {
        let (mut count, mut at) = (0, 0);
        for expected in self.expected.get(pairs.start..pairs.end.min(self.expected.len())).unwrap_or(&[]) {
            let Some(rest) = bytes.get(at..).filter(|rest| expected.plain && expected.starts(rest)) else { break };
            let Some(marker) = rest.get(expected.key.len()) else { break };
            // Nil counts as absent.
            let (len, start) = (len_of(*marker), at + expected.key.len());
            if len == 0 || start + len > bytes.len() || *marker == 0xc0 {
                break;
            }
            if let Some(field) = fields.get_mut(expected.want) {
                *field = Span::new(base + start, len);
            }
            (count, at) = (count + 1, start + len);
        }
        (count, at)
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
                self.expected.resize_with(pair + 1, || Expected::new(&[]));
            }
            if let Some(expected) = self.expected.get_mut(pair) {
                let of = child.and_then(|child| self.children.get(child));
                let plain = of.is_none_or(|child| child.node.is_none());
                let want = of.and_then(|child| child.want).unwrap_or(NOT_WANTED);
                *expected = Expected { child, plain, want, ..Expected::new(key) };
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

impl Expected {
    fn new(key: &[u8]) -> Expected {
        let mut head = [0; WINDOW];
        let short = key.len().min(WINDOW);
        head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let mask = if short == WINDOW { u128::MAX } else { (1 << (8 * short)) - 1 };
        if key.is_empty() {
            // No window has this bit when none of its bits count.
            head = [1; WINDOW];
        }
        let tail = if (WINDOW..=2 * WINDOW).contains(&key.len()) { key.last_chunk::<WINDOW>().copied() } else { None };
        Expected {
            key: key.to_vec(),
            head: (u128::from_le_bytes(head), mask),
            tail: tail.map(u128::from_le_bytes),
            child: None,
            plain: true,
            want: NOT_WANTED,
        }
    }

    /// Whether `bytes` start with the key, and there is one.
    #[inline]
    fn starts(&self, bytes: &[u8]) -> bool {
        let (head, mask) = self.head;
        match bytes.first_chunk::<WINDOW>() {
            Some(window) if u128::from_le_bytes(*window) & mask != head => false,
            Some(_) if self.key.len() <= WINDOW => true,
            Some(_) => match (self.tail, bytes.get(self.key.len() - WINDOW..).and_then(|rest| rest.first_chunk::<WINDOW>())) {
                (Some(tail), Some(window)) => u128::from_le_bytes(*window) == tail,
                _ => bytes.starts_with(&self.key),
            },
            None => !self.key.is_empty() && bytes.starts_with(&self.key),
        }
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
        note(fields, self.want.unwrap_or(NOT_WANTED), marker, Span::new(base + at, reader.position() - at));
        Ok(())
    }
}

/// Where the value of a header lies among a record's headers, a MessagePack map; a source gives none that cannot be read.
fn header(headers: &[u8], name: &str) -> Option<Range<usize>> {
    let mut reader = Reader::new(headers);
    let mut found = None;
    for _ in 0..reader.map().ok()? {
        let is_it = reader.str().ok()? == name;
        let (start, marker) = (reader.position(), reader.peek().ok()?);
        reader.skip().ok()?;
        // Nil counts as absent.
        if is_it && marker != 0xc0 {
            found = Some(start..reader.position());
        }
    }
    found
}

/// Notes where a field is, if it is wanted. Nil counts as absent: producers write one or the other for the same thing.
#[inline]
fn note(fields: &mut [Span], want: usize, marker: u8, span: Span) {
    if let Some(field) = fields.get_mut(want)
        && marker != 0xc0
    {
        *field = span;
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
        let mut scanner = Scanner::new(wants, &[]);
        scanner.start(&mut events);
        scanner.scan(&mut events, 0)?;
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
        scanner.start(&mut events);
        let found: Vec<Vec<Option<u8>>> = (0..4)
            .map(|i| {
                scanner.scan(&mut events, i).unwrap();
                events.fields_of(i).iter().map(|span| span.of(&events.arena).map(|bytes| bytes[0])).collect()
            })
            .collect();
        assert_eq!(found, [vec![Some(1), Some(2)], vec![Some(4), Some(3)], vec![None, Some(5)], vec![Some(6), Some(7)]]);
    }

    #[test]
    fn names_and_values_of_any_length_are_found_again_in_the_next_event() {
        for len in [1, 2, 14, 15, 16, 17, 30, 31, 32, 33, 63, 70] {
            let name: String = ('a'..='z').cycle().take(len).collect();
            let mut near = name.clone();
            near.replace_range(len - 1.., "_");
            let wants = wants(&[&name]);
            let mut scanner = Scanner::new(&wants, &[]);
            let mut events = Events::default();
            for (name, value) in [(&name, "x".repeat(len)), (&name, "y".repeat(40)), (&name, String::new()), (&near, "z".repeat(len))] {
                let value = rmp_serde::to_vec_named(&json!({name.as_str(): value})).unwrap();
                events.push(&crate::events::Record { value: Some(&value), ..Default::default() });
            }
            scanner.start(&mut events);
            let found: Vec<Option<usize>> = (0..4)
                .map(|i| {
                    scanner.scan(&mut events, i).unwrap();
                    events.fields_of(i)[0].of(&events.arena).map(|bytes| Reader::new(bytes).str().unwrap().len())
                })
                .collect();
            assert_eq!(found, [Some(len), Some(40), Some(0), None], "a name of {len} bytes");
        }
    }

    #[test]
    fn a_header_is_found_by_its_name_beside_the_fields_whatever_the_format() {
        let headers = [0x83, 0xa1, b'a', 0xc4, 1, b'x', 0xa3, b'b', b'.', b'c', 0xc4, 2, b'y', b'z', 0xa1, b'a', 0xc0];
        for (format, value) in [(Format::MsgPack, &[0x81, 0xa1, b'a', 7][..]), (Format::Json, br#"{"a": 7}"#), (Format::Raw, b"?")] {
            let wants = wants(&["$headers.b.c", "a", "$headers.a", "$headers.none"]);
            let mut events = Events::default();
            events.push(&crate::events::Record { value: Some(value), headers: &headers, ..Default::default() });
            events.push(&crate::events::Record { value: Some(value), ..Default::default() });
            events.rows.iter_mut().for_each(|row| row.format = format);
            let mut scanner = Scanner::new(&wants, &[]);
            scanner.start(&mut events);
            let mut found = |i: usize| {
                scanner.scan(&mut events, i).unwrap();
                events.fields_of(i).iter().map(|span| span.of(&events.arena).map(<[u8]>::to_vec)).collect::<Vec<_>>()
            };
            let a = if format == Format::Raw { None } else { Some(vec![7]) };
            assert_eq!(found(0), [Some(vec![0xc4, 2, b'y', b'z']), a.clone(), Some(vec![0xc4, 1, b'x']), None], "{format:?}");
            assert_eq!(found(1), [None, a, None, None]);
        }
    }

    #[test]
    fn arrays_are_read_by_position_or_by_column_name() {
        let wants = wants(&["amount", "0"]);
        let mut events = Events::default();
        events.push(&crate::events::Record { value: Some(&[0x93, 1, 2, 3]), ..Default::default() });
        let mut scanner = Scanner::new(&wants, &["id".into(), "user".into(), "amount".into()]);
        scanner.start(&mut events);
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
