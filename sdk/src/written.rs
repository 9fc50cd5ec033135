//! A value that serde reads, kept as it was written: rules that come as events and stay in a state.

use std::fmt;
use std::ops::Deref;

use sangam_protocol::msgpack::Reader;
use serde::de::DeserializeOwned;

use crate::Value;
use crate::field::{Encode, Field};
use crate::wrong::Wrong;

/// A field of an `#[event]` or `#[state]` that is read by serde: the type of a configuration's table, where it also comes as an event. It is
/// stored as it was written, whole; two of them are the same when their bytes are. Slow and general: for rules, not for what every event has.
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::test::Harness;
///
/// #[derive(Clone, Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Rule { above: f64 }
///
/// #[event] struct Change { name: String, rule: Written<Rule> }
///
/// #[operator]
/// fn limit(change: Change) -> Result<()> { if change.rule.above < 0.0 { Err(reject("a negative limit")) } else { Ok(()) } }
///
/// let mut h = Harness::<limit>::new();
/// h.send_raw(0, b"\x82\xa4name\xa1a\xa4rule\x81\xa5above\x05");
/// h.send_raw(0, b"\x82\xa4name\xa1a\xa4rule\x81\xa5abvoe\x05");
/// assert_eq!(h.rejects().len(), 1);
/// assert_eq!(h.rejects()[0].why, "field `rule`: unknown field `abvoe`, expected `above`");
/// ```
pub struct Written<T> {
    value: Value,
    read: T,
}

impl<T> Deref for Written<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.read
    }
}

impl<T: Clone> Clone for Written<T> {
    fn clone(&self) -> Self {
        Written { value: self.value.clone(), read: self.read.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read.fmt(f)
    }
}

impl<T> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<'a, T: DeserializeOwned> Field<'a> for Written<T> {
    const KIND: &'static str = "any";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let value = <Value as Field>::decode(reader)?;
        let read = rmp_serde::from_slice(value.bytes()).map_err(|error| Wrong::said(&error.to_string()))?;
        Ok(Written { value, read })
    }
}

impl<T> Encode for Written<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.value.encode(out);
    }
}
