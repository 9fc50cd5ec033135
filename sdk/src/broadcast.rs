//! Broadcast state: what every task of an operator knows, whatever the key; rules, limits, patterns.
//!
//! It changes by the events of broadcast inputs only, and everybody else reads it. How each task comes to have the same is the host's
//! business.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::Context;
use crate::field::{Encode, Field};
use crate::shape;
use crate::wrong::Wrong;

/// How long a removal is remembered: as long as Kafka keeps a tombstone in a compacted topic (`delete.retention.ms`).
const REMOVALS_KEPT: Millis = 24 * 3_600_000;

/// Values by key, each from an event time on: a field of a broadcast state.
///
/// A value never applies to events before it: [`Broadcast::get`] asks for the value at the time of an event. The latest value of a key at a
/// time counts, in whatever order they came; of two from the same time, the one that came last. What no event can ask for any more, because
/// a later value has replaced it before the watermark, is forgotten.
///
/// ```
/// use sangam_sdk::*;
///
/// #[state] struct Rules { limits: Broadcast<String, f64> }
///
/// let mut rules = Rules::default();
/// rules.limits.put("card".into(), 500.0, &Context::at(1_000));
/// rules.limits.put("card".into(), 900.0, &Context::at(2_000));
/// rules.limits.remove("card", &Context::at(3_000));
/// assert_eq!(rules.limits.get("card", 999), None);
/// assert_eq!(rules.limits.get("card", 1_000), Some(&500.0));
/// assert_eq!(rules.limits.get("card", 2_999), Some(&900.0));
/// assert_eq!(rules.limits.get("card", 3_000), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Broadcast<K, V> {
    /// Versions of each key in order of time; `None` is a removal.
    keys: BTreeMap<K, Vec<(Millis, Option<V>)>>,
}

impl<K: Ord, V> Broadcast<K, V> {
    /// Sets the value of a key from the time of the event at hand on.
    pub fn put(&mut self, key: K, value: V, ctx: &Context<'_>) {
        self.put_from(key, ctx.time(), Some(value));
        self.prune(ctx.watermark());
    }

    /// Removes a key from the time of the event at hand on.
    pub fn remove<Q: Ord + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, ctx: &Context<'_>)
    where
        K: Borrow<Q>,
    {
        self.put_from(key.to_owned(), ctx.time(), None);
        self.prune(ctx.watermark());
    }

    /// Sets the value of a key from a time on, or with `None` removes it.
    pub fn put_from(&mut self, key: K, from: Millis, value: Option<V>) {
        let versions = self.keys.entry(key).or_default();
        let place = versions.partition_point(|(known, _)| *known < from);
        match versions.get_mut(place) {
            Some((known, version)) if *known == from => *version = value,
            _ => versions.insert(place, (from, value)),
        }
    }

    /// The value of a key for an event of time `at`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q, at: Millis) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        latest(self.keys.get(key)?, at)
    }

    /// All keys with a value for an event of time `at`, in order of the keys.
    pub fn iter(&self, at: Millis) -> impl Iterator<Item = (&K, &V)> {
        self.keys.iter().filter_map(move |(key, versions)| Some((key, latest(versions, at)?)))
    }

    /// Number of keys that anything is known of, at any time.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Forgets what no event after `watermark` can ask for: of each key, all but the last of the values from that time or before it. A
    /// removal is kept for a day longer, so that an older value that comes late does not bring the key back.
    /// [`Broadcast::put`] and [`Broadcast::remove`] do it by themselves.
    pub fn prune(&mut self, watermark: Millis) {
        self.keys.retain(|_, versions| {
            let past = versions.partition_point(|(from, _)| *from <= watermark);
            versions.drain(..past.saturating_sub(1));
            if versions.first().is_some_and(|(from, value)| value.is_none() && from.saturating_add(REMOVALS_KEPT) <= watermark) {
                versions.remove(0);
            }
            !versions.is_empty()
        });
    }
}

/// The latest version that is not after `at`.
fn latest<V>(versions: &[(Millis, Option<V>)], at: Millis) -> Option<&V> {
    let past = versions.partition_point(|(from, _)| *from <= at);
    versions.get(past.checked_sub(1)?)?.1.as_ref()
}

// === as a field of a state ===

impl<K, V> Default for Broadcast<K, V> {
    fn default() -> Self {
        Broadcast { keys: BTreeMap::new() }
    }
}

impl<K: Encode, V: Encode> Encode for Broadcast<K, V> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.keys.len());
        for (key, versions) in &self.keys {
            write::array(out, 2);
            key.encode(out);
            write::array(out, versions.len());
            for (from, value) in versions {
                write::array(out, 2);
                write::i64(out, *from);
                value.encode(out);
            }
        }
    }
}

impl<'a, K: Field<'a> + Ord, V: Field<'a>> Field<'a> for Broadcast<K, V> {
    const KIND: &'static str = "array";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut keys = BTreeMap::new();
        for _ in 0..reader.array()? {
            shape::pair(reader)?;
            let key = K::decode(reader)?;
            let mut versions = Vec::new();
            for _ in 0..reader.array()? {
                shape::pair(reader)?;
                versions.push((reader.i64()?, Option::decode(reader)?));
            }
            keys.insert(key, versions);
        }
        Ok(Broadcast { keys })
    }
}
