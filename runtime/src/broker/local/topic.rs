//! Which offsets of a topic are taken, which are promised, and up to where it may be read.
//!
//! It is the only state of the broker outside the store, and is read from there when a topic is first used.

use super::{block, damaged};
use crate::broker::BrokerError;
use crate::store::Store;
use parking_lot::Mutex;

/// A topic.
pub(super) struct Topic {
    name: String,
    partitions: Vec<Partition>,
}

/// A partition.
pub(super) struct Partition {
    space: String,
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    /// The offset that the next record gets.
    next: i64,
    /// Offsets that were handed out, first and behind the last, and of which it is not known yet whether they are written.
    promised: Vec<(i64, i64)>,
}

impl Topic {
    pub(super) fn load(store: &dyn Store, name: &str, count: u32) -> Result<Self, BrokerError> {
        let partitions = (0..count).map(|partition| Partition::load(store, format!("topic/{name}/{partition}")));
        Ok(Topic { name: name.to_owned(), partitions: partitions.collect::<Result<_, _>>()? })
    }

    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn partition(&self, partition: i32) -> Result<&Partition, BrokerError> {
        let found = usize::try_from(partition).ok().and_then(|partition| self.partitions.get(partition));
        found.ok_or_else(|| {
            BrokerError::Fatal(format!("the topic `{}` has {} partitions, there is no partition {partition}", self.name, self.len()))
        })
    }
}

impl Partition {
    fn load(store: &dyn Store, space: String) -> Result<Self, BrokerError> {
        let next = match store.floor(&space, &[0xff; 9])? {
            Some((base, bytes)) => block::base(&base) + block::count(&bytes).map_err(|error| damaged(&space, &error))? as i64,
            None => 0,
        };
        Ok(Partition { space, ends: Mutex::new(Ends { next, promised: Vec::new() }) })
    }

    /// Its space in the store.
    pub(super) fn space(&self) -> &str {
        &self.space
    }

    /// Takes `count` offsets and returns the first.
    pub(super) fn promise(&self, count: u32) -> i64 {
        let mut ends = self.ends.lock();
        let base = ends.next;
        ends.next += i64::from(count);
        let next = ends.next;
        ends.promised.push((base, next));
        base
    }

    /// The records of a promise are in the store, or will never be. Offsets that are given back while later ones are taken stay
    /// unused: readers step over the gap.
    pub(super) fn settle(&self, base: i64, written: bool) {
        let mut ends = self.ends.lock();
        let Some(i) = ends.promised.iter().position(|promise| promise.0 == base) else { return };
        let (_, end) = ends.promised.swap_remove(i);
        if !written && ends.next == end {
            ends.next = base;
        }
    }

    /// Up to where it may be read: a promised offset may still be written, and a reader who is past it would miss it.
    pub(super) fn readable(&self) -> i64 {
        let ends = self.ends.lock();
        ends.promised.iter().map(|promise| promise.0).fold(ends.next, i64::min)
    }
}
