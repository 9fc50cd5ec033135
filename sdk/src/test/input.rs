//! How one input of an operator under test is read, by the host's rules: the key, the type and the fields of an event.
//!
//! It keeps nothing of what it reads.

use sangam_protocol::key;
use sangam_protocol::manifest::{EventType, Kind, Manifest};
use sangam_protocol::msgpack::{Reader, write};

use crate::shape;

/// The key path that puts all events under one key, which is empty.
const ALL: &str = "$all";

/// One input.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) broadcast: bool,
    keyed: bool,
    key: Vec<String>,
    tag: Option<String>,
    types: Vec<EventType>,
    /// Number of its first type among the types of all inputs.
    first_type: usize,
}

/// What an operator gets of an event.
pub(super) struct Read {
    pub(super) key: Vec<u8>,
    pub(super) kind: u8,
    pub(super) fields: Vec<u8>,
}

impl Input {
    /// The inputs of a manifest; `declared` are the fields that the operator named itself, where they depend on its configuration.
    pub(super) fn all(manifest: &Manifest, declared: Option<&EventType>) -> Vec<Input> {
        let inputs = manifest.inputs.iter().enumerate().map(|(i, input)| Input {
            name: input.name.clone(),
            broadcast: input.broadcast,
            keyed: manifest.kind == Kind::Keyed,
            key: manifest.key_of(i).to_vec(),
            tag: input.tag.clone(),
            types: if input.dynamic { declared.into_iter().cloned().collect() } else { input.types.clone() },
            first_type: manifest.first_type(i),
        });
        inputs.collect()
    }

    /// Names the key as a pipeline would.
    pub(super) fn set_key(&mut self, paths: &str) {
        self.key = paths.split(',').map(|path| path.trim().to_owned()).collect();
    }

    /// Finds key, type and fields of an event; the error is the reason that a dead letter would have.
    pub(super) fn read(&self, value: &[u8]) -> Result<Read, String> {
        let root = Reader::new(value);
        let at = |path: &str| shape::find(root, path).and_then(|mut reader| reader.value().ok()).filter(|value| *value != [0xc0]);
        let key = if self.keyed { self.key(&at)? } else { Vec::new() };
        let mut fields = Vec::new();
        let mut kind = 0;
        if self.types.is_empty() {
            write::bin(&mut fields, value);
        } else {
            if let Some(tag) = &self.tag {
                let name = at(tag).and_then(|value| Reader::new(value).str().ok());
                let name = name.ok_or_else(|| format!("the field `{tag}`, which tells the event's type, is missing"))?;
                kind = self.types.iter().position(|event| event.name == name).ok_or_else(|| {
                    let known: Vec<&str> = self.types.iter().map(|event| event.name.as_str()).collect();
                    format!("the field `{tag}` is `{name}`; the operator knows {}", known.join(", "))
                })?;
            }
            let wanted = self.types.get(kind).map_or(&[][..], |event| &event.fields);
            write::array(&mut fields, wanted.len());
            for field in wanted {
                match shape::find(root, &field.path).and_then(|mut reader| reader.value().ok()) {
                    Some(value) => fields.extend_from_slice(value),
                    None if field.optional => write::nil(&mut fields),
                    None => return Err(format!("the field `{}` is missing", field.path)),
                }
            }
        }
        Ok(Read { key, kind: (self.first_type + kind) as u8, fields })
    }

    fn key<'v>(&self, at: &dyn Fn(&str) -> Option<&'v [u8]>) -> Result<Vec<u8>, String> {
        if self.broadcast {
            return Ok(key::BROADCAST.to_vec());
        }
        assert!(!self.key.is_empty(), "the operator's key is named by the pipeline: say Harness::new().key(\"field\")");
        let mut key = Vec::new();
        if self.key == [ALL] {
            return Ok(key);
        }
        let parts: Vec<&[u8]> = self.key.iter().map(|path| at(path).unwrap_or(&[])).collect();
        for (part, path) in parts.iter().zip(&self.key) {
            key::append(part, &mut Vec::new()).map_err(|why| format!("the key field `{path}` {why}"))?;
        }
        match parts.as_slice() {
            [one] => key::append(one, &mut key),
            several => key::append_composite(several.iter().copied(), &mut key),
        }
        .map_err(|why| why.to_string())?;
        Ok(key)
    }
}
