//! JSON in and out: the scan of a JSON event, and whole values between JSON and MessagePack.
//!
//! serde does the parsing; JSON is a format for edges, not for the fastest path.

use crate::events::{Events, Span};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use std::ops::Range;

use super::scan::Node;

/// Writes a JSON value as MessagePack.
pub fn json_to_msgpack(json: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut from = serde_json::Deserializer::from_slice(json);
    serde_transcode::transcode(&mut from, &mut rmp_serde::Serializer::new(&mut *out))
        .map_err(|why| format!("the value is not JSON: {why}"))?;
    from.end().map_err(|why| format!("the value is not JSON: {why}"))
}

/// Writes a MessagePack value as JSON. Binary becomes an array of numbers, as serde has it.
pub fn msgpack_to_json(msgpack: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut from = rmp_serde::Deserializer::from_read_ref(msgpack);
    serde_transcode::transcode(&mut from, &mut serde_json::Serializer::new(out))
        .map_err(|why| format!("the value is not MessagePack: {why}"))
}

/// Finds the wanted fields of a JSON event and appends each, as MessagePack, to the arena.
pub(super) fn scan_json(tree: &Node, events: &mut Events, value: Span, place: Range<usize>) -> Result<(), String> {
    let Events { arena, fields, .. } = events;
    // The event's bytes lie in the arena that the fields are appended to: they go to a side buffer first.
    let mut found = Vec::new();
    {
        let json = value.of(arena).unwrap_or(&[]);
        let mut from = serde_json::Deserializer::from_slice(json);
        let wanted = fields.get_mut(place.clone()).unwrap_or_default();
        let done = Wanted { tree, out: &mut found, fields: wanted }.deserialize(&mut from).and_then(|()| from.end());
        done.map_err(|why| match why.classify() {
            serde_json::error::Category::Data => format!("the value is not a JSON object: {why}"),
            _ => format!("the value is not JSON: {why}"),
        })?;
    }
    let base = arena.len();
    arena.extend_from_slice(&found);
    fields.get_mut(place).unwrap_or_default().iter_mut().for_each(|field| *field = field.moved(base));
    Ok(())
}

/// Walks one JSON object along the tree of wanted fields.
struct Wanted<'a> {
    tree: &'a Node,
    out: &'a mut Vec<u8>,
    fields: &'a mut [Span],
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let Some((want, node)) = self.tree.child(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&serde_json::value::RawValue>()?;
            let text = raw.get();
            if text == "null" {
                continue;
            }
            if let Some(node) = node
                && text.starts_with('{')
            {
                let deeper = Wanted { tree: node, out: &mut *self.out, fields: &mut *self.fields };
                deeper.deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(A::Error::custom)?;
            }
            if let Some(want) = want {
                let at = self.out.len();
                json_to_msgpack(text.as_bytes(), self.out).map_err(A::Error::custom)?;
                if let Some(field) = self.fields.get_mut(want) {
                    *field = Span::new(at, self.out.len() - at);
                }
            }
        }
        Ok(())
    }
}
