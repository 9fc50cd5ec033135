//! Keys and values that are found by hash, and in order for whoever asks for that.
//!
//! The order is made when somebody asks, and kept up from then on. Looking one key up and setting its value anew never needs it.

use super::chunks::Chunks;
use super::index::{Hash, Index};
use super::small::{self, Small};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys and values.
#[derive(Debug)]
pub(super) struct Table<V> {
    entries: Chunks<Option<(Key, V)>>,
    free: Vec<u32>,
    index: Index,
    order: Option<Order>,
    /// Changes since somebody asked for the order.
    unasked: AtomicUsize,
}

/// Where a key is, or would be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    hash: Hash,
    entry: Option<u32>,
}

/// Most keys stay in their entries: finding one then waits for memory twice, in the index and there.
type Key = Small<30>;

/// Keys in order, with the numbers of their entries.
pub(super) type Order = BTreeMap<Key, u32>;

/// Changes that do not make an order that nobody asks for a burden.
const UNASKED_MIN: usize = 4096;

impl<V> Table<V> {
    pub(super) fn new() -> Self {
        Table { entries: Chunks::new(), free: Vec::new(), index: Index::new(), order: None, unasked: AtomicUsize::new(0) }
    }

    /// Looks a key up. That is most of the work on a large table: what follows with what was found is quick.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Found {
        let hash = self.index.hash(key);
        Found { hash, entry: self.index.find(hash, |entry| self.is_at(entry, key)) }
    }

    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.entry(self.find(key).entry?).map(|(_, value)| value)
    }

    /// The value of a key, which is made by `new` where there is none. `found` may be from before other keys were set or removed.
    #[inline]
    pub(super) fn get_or_insert(&mut self, key: &[u8], found: Found, new: impl FnOnce() -> V) -> &mut V {
        *self.unasked.get_mut() += 1;
        let entry = self.known(key, found).unwrap_or_else(|| self.add(found.hash, key));
        &mut self.entries[entry as usize].get_or_insert_with(|| (Key::new(key), new())).1
    }

    pub(super) fn remove(&mut self, key: &[u8], found: Found) -> Option<V> {
        let known = self.known(key, found)?;
        *self.unasked.get_mut() += 1;
        self.index.remove(found.hash, known);
        self.free.push(known);
        if let Some(order) = &mut self.order {
            order.remove(key);
        }
        self.entries[known as usize].take().map(|(_, value)| value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.entries.len()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.free.clear();
        self.index.clear();
        self.order = None;
        *self.unasked.get_mut() = 0;
    }

    /// Everything, in no order that means anything, but the same one after the same history.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.entries.iter().flatten().map(|(key, value)| (key.as_slice(), value))
    }

    /// Everything from a key on, in order; none where [`Table::keep`] has not been given the order.
    pub(super) fn range<'t>(&'t self, from: &'t [u8]) -> Option<impl Iterator<Item = (&'t [u8], &'t V)>> {
        let range = self.asked()?.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        Some(range.filter_map(|(_, entry)| self.entry(*entry)))
    }

    /// The last key that is not above `key`; outside, none where [`Table::keep`] has not been given the order.
    pub(super) fn floor(&self, key: &[u8]) -> Option<Option<(&[u8], &V)>> {
        let last = self.asked()?.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        Some(last.and_then(|(_, entry)| self.entry(*entry)))
    }

    pub(super) fn is_in_order(&self) -> bool {
        self.order.is_some()
    }

    /// The order of what is there.
    pub(super) fn order(&self) -> Order {
        let mut entries: Vec<_> =
            self.entries.iter().zip(0..).filter_map(|(entry, i)| entry.as_ref().map(|(key, _)| (key.clone(), i))).collect();
        entries.sort_unstable();
        entries.into_iter().collect()
    }

    /// Keeps an order up from now on, which is that of what is there.
    pub(super) fn keep(&mut self, order: Order) {
        self.order = Some(order);
    }

    /// Makes the order where there is none.
    pub(super) fn put_in_order(&mut self) {
        if self.order.is_none() {
            self.order = Some(self.order());
        }
    }

    /// The order, where nobody has asked for it for so long that it is no longer worth keeping up.
    pub(super) fn take_unasked(&mut self) -> Option<Order> {
        if *self.unasked.get_mut() <= 4 * self.index.len() + UNASKED_MIN {
            return None;
        }
        self.order.take()
    }

    fn asked(&self) -> Option<&Order> {
        self.unasked.store(0, Ordering::Relaxed);
        self.order.as_ref()
    }

    #[inline]
    fn entry(&self, entry: u32) -> Option<(&[u8], &V)> {
        self.entries[entry as usize].as_ref().map(|(key, value)| (key.as_slice(), value))
    }

    #[inline]
    fn is_at(&self, entry: u32, key: &[u8]) -> bool {
        self.entry(entry).is_some_and(|(known, _)| small::same(known, key))
    }

    /// The entry of a key, which may have come and gone since it was looked up.
    #[inline]
    fn known(&self, key: &[u8], found: Found) -> Option<u32> {
        found.entry.filter(|&entry| self.is_at(entry, key)).or_else(|| self.index.find(found.hash, |entry| self.is_at(entry, key)))
    }

    /// Adds an entry without a value.
    fn add(&mut self, hash: Hash, key: &[u8]) -> u32 {
        let entry = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        self.index.insert(hash, entry);
        if let Some(order) = &mut self.order {
            order.insert(Key::new(key), entry);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Op {
        Set(Vec<u8>, u32),
        Remove(Vec<u8>),
        Clear,
        /// Asks for the order.
        Ask(Vec<u8>),
        Forget,
    }

    fn op() -> impl Strategy<Value = Op> {
        let key = || prop::collection::vec(0..3_u8, 0..4).prop_map(|key| if key.len() == 3 { [&key[..], &[7; 40]].concat() } else { key });
        prop_oneof![
            8 => (key(), 0..9_u32).prop_map(|(key, value)| Op::Set(key, value)),
            5 => key().prop_map(Op::Remove),
            1 => Just(Op::Clear),
            3 => key().prop_map(Op::Ask),
            1 => Just(Op::Forget),
        ]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_tree_would_hold_whoever_asks_for_the_order_and_when(ops in prop::collection::vec(op(), 0..80)) {
            let (mut table, mut model) = (Table::new(), BTreeMap::new());
            for op in ops {
                match op {
                    Op::Set(key, value) => {
                        set(&mut table, &key, value);
                        model.insert(key, value);
                    }
                    Op::Remove(key) => prop_assert_eq!(table.remove(&key, table.find(&key)), model.remove(&key)),
                    Op::Clear => {
                        table.clear();
                        model.clear();
                    }
                    Op::Ask(from) => {
                        table.put_in_order();
                        let found = table.range(&from).into_iter().flatten().map(|(key, value)| (key.to_vec(), *value));
                        prop_assert!(found.eq(model.range(from.clone()..).map(|(key, value)| (key.clone(), *value))));
                        let last = table.floor(&from).flatten().map(|(key, value)| (key.to_vec(), *value));
                        prop_assert_eq!(last, model.range(..=from).next_back().map(|(key, value)| (key.clone(), *value)));
                    }
                    Op::Forget => table.order = None,
                }
                prop_assert_eq!(table.is_empty(), model.is_empty());
                prop_assert_eq!(table.iter().count(), model.len());
                model.iter().try_for_each(|(key, value)| {
                    prop_assert_eq!(table.get(key), Some(value));
                    Ok(())
                })?;
            }
        }
    }

    fn set(table: &mut Table<u32>, key: &[u8], value: u32) {
        *table.get_or_insert(key, table.find(key), || 0) = value;
    }

    #[test]
    fn what_was_found_before_other_keys_came_and_went_is_not_believed() {
        let mut table = Table::new();
        set(&mut table, b"a", 1);
        let (a, b) = (table.find(b"a"), table.find(b"b"));
        assert_eq!(table.remove(b"a", a), Some(1));
        set(&mut table, b"b", 2);
        assert_eq!(table.remove(b"a", a), None);
        *table.get_or_insert(b"a", a, || 3) += 1;
        *table.get_or_insert(b"b", b, || 9) += 1;
        assert_eq!((table.get(b"a"), table.get(b"b")), (Some(&4), Some(&3)));
    }

    #[test]
    fn an_order_that_nobody_asks_for_is_given_up_after_a_while_and_made_again_for_who_does() {
        let mut table = Table::new();
        table.put_in_order();
        let mut given_up = 0;
        for round in 0..50_000_u32 {
            set(&mut table, &(round % 100).to_be_bytes(), round);
            given_up += usize::from(table.take_unasked().is_some());
        }
        assert_eq!(given_up, 1);
        assert!(table.range(&[]).is_none());
        table.put_in_order();
        assert_eq!(table.range(&99_u32.to_be_bytes()).unwrap().map(|(_, value)| *value).collect::<Vec<_>>(), [49_999]);
        for round in 0..50_000_u32 {
            set(&mut table, &(round % 100).to_be_bytes(), round);
            assert!(table.floor(&[]).is_some());
            assert!(table.take_unasked().is_none());
        }
    }
}
