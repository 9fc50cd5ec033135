//! What one operator takes from a scanned event: its key, its type, its fields in declared order.

use crate::events::{Events, Row, Span};
use sangam_protocol::frame::FrameWriter;
use sangam_protocol::key::{self, KeyError};
use sangam_protocol::manifest::{EventType, Kind, Manifest};
use sangam_protocol::msgpack::{Reader, write};

use super::Wants;
use std::sync::Arc;

/// How an operator reads the events of one stream.
#[derive(Clone, Debug)]
pub struct Input {
    /// The stream's name.
    stream: Arc<str>,
    key: Key,
    tag: Option<Named>,
    types: Vec<Type>,
    /// Index of the first type of this input among the types of all inputs.
    first_kind: u8,
    /// Whether the operator has several types at all, and so wants to be told.
    tell_kind: bool,
}

/// Where an event's key comes from.
#[derive(Clone, Debug)]
enum Key {
    /// Nowhere: the operator is stateless.
    Stateless,
    /// The record's own key.
    Record,
    /// Every event has the same, empty key.
    All,
    /// Every task gets every event: they belong to its broadcast state.
    Broadcast,
    /// These fields.
    Fields(Vec<Named>),
}

#[derive(Clone, Debug)]
struct Named {
    path: String,
    place: usize,
}

#[derive(Clone, Debug)]
struct Type {
    name: String,
    fields: Vec<(Named, bool)>,
}

/// Why an operator cannot read a stream at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A keyed operator needs a key: name one in the plugin or in the pipeline.
    #[error("it keeps state per key, but neither its manifest nor the pipeline names the key; set `key` for the operator")]
    NoKey,
    /// A stateless operator has no use for a key.
    #[error("it is stateless and takes no key; remove `key`")]
    UnwantedKey,
}

/// Why one event cannot be given to an operator: a sentence for the dead letter.
pub type Refusal = String;

/// As a key: the record's own key.
pub const RECORD_KEY: &str = "$key";

/// As a key: the same for every event, so that one slice of state sees them all.
pub const ALL_KEY: &str = "$all";

impl Input {
    /// Reads the manifest's input `index` together with what the pipeline says, and adds the fields it needs to `wants`, those of the
    /// stream called `stream`.
    ///
    /// `key` overrides the manifest's key when it is not empty. `declared` are the fields that the operator named itself when it was
    /// configured, for an input that is dynamic.
    pub fn new(
        manifest: &Manifest,
        index: usize,
        key: &[String],
        declared: Option<EventType>,
        stream: &str,
        wants: &mut Wants,
    ) -> Result<Input, InputError> {
        let input = manifest.inputs.get(index).cloned().unwrap_or_default();
        let keyed = manifest.kind == Kind::Keyed;
        let paths = if key.is_empty() { manifest.key_of(index) } else { key };
        if keyed && paths.is_empty() && !input.broadcast {
            return Err(InputError::NoKey);
        }
        if !keyed && !key.is_empty() {
            return Err(InputError::UnwantedKey);
        }
        let mut named = |path: &String| Named { path: path.clone(), place: wants.add(path) };
        let types = if input.dynamic { declared.into_iter().collect() } else { input.types };
        let types = types
            .iter()
            .map(|event| Type {
                name: event.name.clone(),
                fields: event.fields.iter().map(|field| (named(&field.path), field.optional)).collect(),
            })
            .collect();
        let key = match paths {
            _ if input.broadcast => Key::Broadcast,
            _ if !keyed => Key::Stateless,
            [one] if one == RECORD_KEY => Key::Record,
            [one] if one == ALL_KEY => Key::All,
            several => Key::Fields(several.iter().map(&mut named).collect()),
        };
        Ok(Input {
            stream: stream.into(),
            key,
            tag: input.tag.as_ref().map(&mut named),
            types,
            first_kind: manifest.first_type(index) as u8,
            tell_kind: manifest.first_type(manifest.inputs.len()) > 1,
        })
    }

    /// The name of the stream that it reads.
    pub fn stream(&self) -> &Arc<str> {
        &self.stream
    }

    /// Whether the operator keeps state per key.
    pub fn keyed(&self) -> bool {
        !matches!(self.key, Key::Stateless)
    }

    /// Whether every task gets every event.
    pub fn broadcast(&self) -> bool {
        matches!(self.key, Key::Broadcast)
    }

    /// The key of row `i`, where it lies or put together in `scratch`.
    #[inline]
    pub fn key<'a>(&self, events: &'a Events, i: usize, row: &Row, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Refusal> {
        let fields = events.fields_of(i);
        scratch.clear();
        match &self.key {
            Key::Stateless | Key::All => {}
            Key::Broadcast => return Ok(key::BROADCAST),
            Key::Record => match events.key(row) {
                Some(key) => return Ok(key),
                None => return Err("the record has no key, and the operator takes the record's key".into()),
            },
            Key::Fields(named) => match named.as_slice() {
                [one] => match bytes(events, fields, one) {
                    // Short text: the rule.
                    [0xa0..=0xbf, text @ ..] => return Ok(text),
                    other => key::append(other, scratch).map_err(|why| refuse(one, &why))?,
                },
                several => {
                    let out = &mut *scratch;
                    key::append_composite(several.iter().map(|named| bytes(events, fields, named)), out).map_err(|why| {
                        let culprit = several.iter().find(|named| key::append(bytes(events, fields, named), &mut Vec::new()).is_err());
                        culprit.map_or_else(|| why.to_string(), |named| refuse(named, &why))
                    })?;
                }
            },
        }
        Ok(scratch)
    }

    /// Checks that row `i` has what the operator needs; returns which of its types it is.
    #[inline]
    pub fn admit(&self, events: &Events, i: usize) -> Result<u8, Refusal> {
        let fields = events.fields_of(i);
        let kind = match &self.tag {
            Some(tag) if self.types.len() > 1 => self.kind_of(bytes(events, fields, tag), tag)?,
            _ => 0,
        };
        if let Some(event) = self.types.get(kind) {
            let missing =
                event.fields.iter().find(|(named, optional)| !optional && fields.get(named.place).is_none_or(|span| span.is_none()));
            if let Some((named, _)) = missing {
                return Err(format!("the field `{}` is missing", named.path));
            }
        }
        Ok(self.first_kind + kind as u8)
    }

    /// Adds row `i`, which was admitted as `kind`, to a frame.
    #[inline]
    pub fn write(&self, events: &Events, i: usize, row: &Row, kind: u8, frame: &mut FrameWriter) {
        let out = frame.event(row.time, row.watermark);
        match self.types.get(usize::from(kind - self.first_kind)) {
            None => write::bin(out, events.value(row).unwrap_or(&[])),
            Some(event) => {
                let fields = events.fields_of(i);
                write::array(out, event.fields.len());
                let fields = event.fields.iter().map(|(named, _)| fields.get(named.place).copied().unwrap_or(Span::NONE));
                append(out, &events.arena, fields);
            }
        }
        if self.tell_kind {
            frame.kind(kind);
        }
    }

    fn kind_of(&self, value: &[u8], tag: &Named) -> Result<usize, Refusal> {
        if value.is_empty() {
            return Err(format!("the field `{}`, which tells the event's type, is missing", tag.path));
        }
        let name = Reader::new(value).str().map_err(|why| format!("the field `{}`, which tells the event's type: {why}", tag.path))?;
        self.types.iter().position(|event| event.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.types.iter().map(|event| event.name.as_str()).collect();
            format!("the field `{}` is `{name}`; the operator knows {}", tag.path, known.join(", "))
        })
    }
}

/// Appends fields, or nil where there is none. Most are short: to copy a fixed number of bytes into room that is there already, and go on
/// behind those that count, takes a fraction of a call that copies just so many.
#[inline]
fn append(out: &mut Vec<u8>, arena: &[u8], fields: impl ExactSizeIterator<Item = Span>) {
    const WINDOW: usize = 32;
    let mut at = out.len();
    let mut left = fields.len();
    out.resize(at + left * WINDOW, 0);
    for field in fields {
        let from = arena.get(field.start()..).and_then(|rest| rest.first_chunk::<WINDOW>()).filter(|_| field.len() <= WINDOW);
        let to = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<WINDOW>());
        left -= 1;
        match (from, to) {
            (Some(from), Some(to)) => {
                *to = *from;
                at += field.len();
            }
            _ => {
                out.truncate(at);
                match field.of(arena) {
                    Some(bytes) => out.extend_from_slice(bytes),
                    None => write::nil(out),
                }
                at = out.len();
                out.resize(at + left * WINDOW, 0);
            }
        }
    }
    out.truncate(at);
}

#[inline]
fn bytes<'a>(events: &'a Events, fields: &[Span], named: &Named) -> &'a [u8] {
    fields.get(named.place).and_then(|span| span.of(&events.arena)).unwrap_or(&[])
}

fn refuse(named: &Named, why: &KeyError) -> Refusal {
    format!("the key field `{}` {why}", named.path)
}
