//! The state of keys as of the last commit, for whoever asks while the pipeline runs.
//!
//! It reads the store and asks no worker, so that the data plane does not notice. What is not committed is not there.

use super::control::Control;
use super::reload::Builds;
use crate::route::{msgpack_to_json, partition_of};
use crate::store::keyed::{Record, cells};
use crate::store::{Store, StoreError};
use crate::task::{OperatorNode, Topology};
use crate::time::Millis;
use sangam_protocol::key::{BROADCAST, append_composite, display, parts};
use sangam_protocol::manifest::StateSchema;
use sangam_protocol::msgpack::{Reader, write};
use sangam_protocol::stored::Head;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The most keys of one answer.
pub const KEYS_MAX: usize = 1_000;

/// What every task of an operator with a broadcast input keeps for all keys is asked for by this word, unless there is such a key.
pub const SHARED: &str = "$broadcast";

/// The most cells of one answer, over all fields that are kept cell by cell.
pub const CELLS_MAX: usize = 1_000;

/// An answer stops where it has taken this many bytes out of the store: it is made in memory.
const BYTES_MAX: usize = 4 << 20;

/// The state of one key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyState {
    /// The key: text, the parts of a composite key as JSON, anything else in hexadecimal after `0x`.
    pub key: String,
    /// The slice of the operator's keys that it is in.
    pub slice: u32,
    /// What is remembered, by the names of the manifest where it is of the version that runs; `null` where there are timers only.
    pub state: Value,
    /// The version of its schema.
    pub version: u32,
    /// When it was used last, where it has a time to live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_ms: Option<Millis>,
    /// Its pending timers: name and time.
    pub timers: BTreeMap<String, Millis>,
}

/// Keys of an operator, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keys {
    /// The operator.
    pub operator: String,
    /// Slices of its keys that this process has.
    pub slices: Vec<u32>,
    /// All of them.
    pub of: u32,
    /// The keys; their large state, cell by cell, is left out.
    pub keys: Vec<KeyState>,
    /// Behind which key to go on, where there are more.
    pub next: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such operator.
    #[error("there is no operator `{operator}`; the pipeline has {known}")]
    NoOperator {
        /// As it was asked for.
        operator: String,
        /// Those that there are.
        known: String,
    },
    /// The operator remembers nothing.
    #[error("the operator `{0}` has no key and keeps no state")]
    Stateless(String),
    /// The key has neither state nor timers.
    #[error("the operator `{operator}` remembers nothing for the key `{key}`, as of the last commit")]
    NoKey {
        /// The operator.
        operator: String,
        /// As it was asked for.
        key: String,
    },
    /// Another process has it. Ask that one: every process of the pipeline answers for its own slices.
    #[error(
        "the key `{key}` is in slice {slice} of {of} of `{operator}`, which another process of the pipeline has; ask at the admin doors of the \
         others, here are the slices {here:?}"
    )]
    Elsewhere {
        /// The operator.
        operator: String,
        /// As it was asked for.
        key: String,
        /// Its slice.
        slice: u32,
        /// All slices.
        of: u32,
        /// Those of this process.
        here: Vec<u32>,
    },
    /// Which slices this process has is not known at this moment. Ask again.
    #[error("no task of `{0}` is at work yet; ask again in a moment")]
    NotYet(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is asked of an operator's state.
pub struct Query<'a> {
    node: &'a OperatorNode,
    store: &'a dyn Store,
    schema: Option<StateSchema>,
    slices: Vec<u32>,
    of: u32,
}

/// A key as it stands in the store, with its slice and its record.
type Found = (Vec<u8>, u32, Vec<u8>);

// === impl Query ===

impl<'a> Query<'a> {
    /// Asks for the state of an operator, of which these builds run.
    ///
    /// # Errors
    /// Where there is no such operator, or it keeps no state, or no task of it is at work.
    pub fn of(
        operator: &str,
        topology: &'a Topology,
        builds: &Builds,
        store: &'a dyn Store,
        control: &Control,
    ) -> Result<Query<'a>, QueryError> {
        let Some((index, node)) = topology.operators.iter().enumerate().find(|(_, node)| *node.name == *operator) else {
            let known = topology.operators.iter().map(|node| &*node.name).collect::<Vec<_>>().join(", ");
            return Err(QueryError::NoOperator { operator: operator.to_owned(), known });
        };
        if !node.is_keyed() {
            return Err(QueryError::Stateless(operator.to_owned()));
        }
        let slices: Vec<u32> = control.standings().operators.range((index, 0)..(index + 1, 0)).map(|((_, slice), _)| *slice).collect();
        if slices.is_empty() || !control.running() {
            return Err(QueryError::NotYet(operator.to_owned()));
        }
        let of = topology.groups.get(node.group).map_or(1, |group| group.parallelism);
        // The topology is that of the start; a build may have come since.
        let schema = builds.lock().get(&node.plugin_name).map(|build| build.state.clone());
        let schema = schema.unwrap_or_else(|| node.plugin.manifest().state.clone());
        Ok(Query { node, store, schema, slices, of })
    }

    /// The state of a key, its large state with it.
    ///
    /// # Errors
    /// Where it has none, or another process has it, or the store fails.
    pub fn key(&self, text: &str) -> Result<KeyState, QueryError> {
        let keys = readings(text);
        for key in &keys {
            let slice = partition_of(key, self.of);
            if let Some(record) = self.store.get(&self.space("state", slice), key)?.filter(|_| self.slices.contains(&slice)) {
                return self.shown(key, slice, &record, true);
            }
        }
        if text == SHARED
            && let Some(slice) = self.slices.first()
            && let Some(record) = self.store.get(&self.space("state", *slice), BROADCAST)?
        {
            return self.shown(BROADCAST, *slice, &record, false);
        }
        let slice = keys.first().map_or(0, |key| partition_of(key, self.of));
        if self.slices.contains(&slice) {
            return Err(QueryError::NoKey { operator: self.node.name.to_string(), key: text.to_owned() });
        }
        let (operator, key, here) = (self.node.name.to_string(), text.to_owned(), self.slices.clone());
        Err(QueryError::Elsewhere { operator, key, slice, of: self.of, here })
    }

    /// The keys of this process whose text begins so, behind `after`: at most `limit`, and fewer where their state is large.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Keys, QueryError> {
        let after = after.map(reading);
        let limit = limit.clamp(1, KEYS_MAX);
        let mut found: Vec<Found> = Vec::new();
        // Up to where every slice has been looked through.
        let mut sure: Option<Vec<u8>> = None;
        for slice in &self.slices {
            if let Some(last) = self.scan(*slice, prefix.as_bytes(), after.as_deref(), limit, &mut found)? {
                sure = Some(sure.map_or(last.clone(), |sure| sure.min(last)));
            }
        }
        found.sort();
        let there = found.len();
        found.retain(|(key, ..)| sure.as_ref().is_none_or(|sure| key <= sure));
        found.truncate(limit);
        let next = found.last().filter(|_| found.len() < there || sure.is_some()).map(|(key, ..)| key_text(key));
        let keys = found.iter().map(|(key, slice, record)| self.shown(key, *slice, record, false)).collect::<Result<_, _>>()?;
        Ok(Keys { operator: self.node.name.to_string(), slices: self.slices.clone(), of: self.of, keys, next })
    }

    /// Adds keys of a slice; returns the last one where there may be more behind it.
    fn scan(
        &self,
        slice: u32,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        found: &mut Vec<Found>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        // The smallest key behind another one is that and a zero byte.
        let from = after.map(|after| [after, &[0]].concat()).filter(|from| from.as_slice() > prefix).unwrap_or_else(|| prefix.to_vec());
        let (mut count, mut bytes, mut more) = (0, 0, false);
        self.store.scan(&self.space("state", slice), &from, &mut |key, record| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            // Every slice has it, and it is no key.
            if key == BROADCAST {
                return ControlFlow::Continue(());
            }
            if count > limit || bytes > BYTES_MAX / self.slices.len().max(1) {
                more = true;
                return ControlFlow::Break(());
            }
            (count, bytes) = (count + 1, bytes + key.len() + record.len());
            found.push((key.to_vec(), slice, record.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(found.last().filter(|_| more).map(|(key, ..)| key.clone()))
    }

    fn space(&self, kind: &str, slice: u32) -> String {
        format!("{kind}/{}/{slice}", self.node.name)
    }

    fn shown(&self, key: &[u8], slice: u32, record: &[u8], with_cells: bool) -> Result<KeyState, QueryError> {
        let unreadable = |why: &dyn std::fmt::Display| {
            let why = format!("the entry of key {} cannot be read: {why}", display(key));
            QueryError::Store(StoreError::Damaged(self.space("state", slice).into(), why))
        };
        let record = Record::read(record).map_err(|why| unreadable(&why))?;
        let mut stored = record.state.map(Reader::new);
        let head = stored.as_mut().map(Head::read).transpose().map_err(|why| unreadable(&why))?;
        let Head { version, used } = head.unwrap_or(Head { version: 1, used: None });
        let value = stored.map_or(Value::Null, |stored| readable(stored.rest()));
        let mut state = self.named(key, version, value);
        if with_cells {
            self.add_cells(key, slice, &mut state)?;
        }
        let timers = record.timers.iter().map(|(name, at, _)| ((*name).to_owned(), *at)).collect();
        Ok(KeyState { key: key_text(key), slice, state, version, used_ms: used, timers })
    }

    /// By name, where the names are those of what is stored.
    fn named(&self, key: &[u8], version: u32, state: Value) -> Value {
        let schema = self.schema.as_ref().filter(|schema| schema.version == version && key != BROADCAST);
        match (state, schema) {
            // A state whose build knew fewer fields is shorter; the others are as new.
            (Value::Array(values), Some(schema)) if !schema.fields.is_empty() && values.len() <= schema.fields.len() => {
                let named = schema.fields.iter().zip(values).map(|(field, value)| (field.name.clone(), value));
                Value::Object(named.collect())
            }
            (state, _) => state,
        }
    }

    /// Puts what is kept cell by cell into its fields.
    fn add_cells(&self, key: &[u8], slice: u32, state: &mut Value) -> Result<(), StoreError> {
        let (Some(schema), Value::Object(fields)) = (&self.schema, state) else { return Ok(()) };
        // A cell's name begins with its field's number.
        let base = cells::place(key, &[]);
        let (mut maps, mut lists) = (BTreeMap::<usize, Map<String, Value>>::new(), BTreeMap::<usize, Vec<Value>>::new());
        let (mut count, mut bytes) = (0, 0);
        let mut more = false;
        self.store.scan(&self.space("cells", slice), &base, &mut |at, value| {
            let Some((field, cell)) = at.strip_prefix(base.as_slice()).and_then(<[u8]>::split_first) else {
                return ControlFlow::Break(());
            };
            if count >= CELLS_MAX || bytes > BYTES_MAX {
                more = true;
                return ControlFlow::Break(());
            }
            (count, bytes) = (count + 1, bytes + at.len() + value.len());
            let field = usize::from(*field);
            match schema.fields.get(field).map(|field| field.kind.as_str()) {
                Some("list") => lists.entry(field).or_default().push(readable(value)),
                _ => drop(maps.entry(field).or_default().insert(key_text(cell), readable(value))),
            }
            ControlFlow::Continue(())
        })?;
        for (number, field) in schema.fields.iter().enumerate().filter(|(_, field)| ["map", "list"].contains(&field.kind.as_str())) {
            let content = match field.kind.as_str() {
                "list" => Value::Array(lists.remove(&number).unwrap_or_default()),
                _ => Value::Object(maps.remove(&number).unwrap_or_default()),
            };
            fields.insert(field.name.clone(), content);
        }
        if more {
            fields.insert("$more".to_owned(), json!(true));
        }
        Ok(())
    }
}

/// Stored bytes as JSON; in hexadecimal where they are something else, as an operator may keep what it likes.
fn readable(bytes: &[u8]) -> Value {
    let mut json = Vec::new();
    let converted = msgpack_to_json(bytes, &mut json).ok().and_then(|()| serde_json::from_slice(&json).ok());
    converted.unwrap_or_else(|| json!(hex(bytes)))
}

/// A key as text that leads back to it.
fn key_text(key: &[u8]) -> String {
    // Text that looks like one of the other two is not taken for it.
    let plain = |text: &&str| !text.contains(char::is_control) && !text.starts_with("0x") && !text.starts_with('[');
    let text = || std::str::from_utf8(key).ok().filter(plain).map(str::to_owned);
    if key == BROADCAST {
        return SHARED.to_owned();
    }
    parts(key).map(|parts| json!(parts).to_string()).or_else(text).unwrap_or_else(|| hex(key))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The keys that a text may stand for: the one that is shown as it, or else the text itself.
fn readings(text: &str) -> Vec<Vec<u8>> {
    let (shown, itself) = (reading(text), text.as_bytes().to_vec());
    if shown == itself { vec![itself] } else { vec![itself, shown] }
}

/// The key that [`key_text`] shows as this text.
fn reading(text: &str) -> Vec<u8> {
    if text.starts_with('[')
        && let Ok(Value::Array(parts)) = serde_json::from_str(text)
        && let Some(key) = composite(&parts)
    {
        return key;
    }
    let digits = text.strip_prefix("0x").filter(|digits| digits.len().is_multiple_of(2) && digits.is_ascii());
    let bytes = |digits: &str| (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    digits.and_then(bytes).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// A key of several fields; numbers and booleans among them are what they are as text.
fn composite(parts: &[Value]) -> Option<Vec<u8>> {
    let encoded: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| {
            let mut bytes = Vec::new();
            write::str(&mut bytes, part.as_str().unwrap_or(&part.to_string()));
            bytes
        })
        .collect();
    let mut key = Vec::new();
    append_composite(encoded.iter().map(Vec::as_slice), &mut key).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_shown_as_text_that_leads_back_to_it() {
        let parts = |parts: &[&str]| composite(&parts.iter().map(|part| json!(part)).collect::<Vec<_>>()).unwrap();
        for (key, text) in [
            (b"R13".to_vec(), "R13"),
            ("\u{915}".as_bytes().to_vec(), "\u{915}"),
            (parts(&["a", "1/2"]), r#"["a","1/2"]"#),
            (b"0xab".to_vec(), "0x30786162"),
            (b"[]".to_vec(), "0x5b5d"),
            (b"a\nb".to_vec(), "0x610a62"),
            (vec![0xff, 0x00], "0xff00"),
        ] {
            assert_eq!((key_text(&key).as_str(), reading(text)), (text, key));
        }
        // Whoever asks writes what they know: text as it is, numbers as numbers.
        assert_eq!(readings("0xab")[0], b"0xab");
        assert_eq!(reading(r#"["a",7]"#), parts(&["a", "7"]));
    }
}
