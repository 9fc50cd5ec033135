//! Cells: state too big to travel with the batch. They stay in the store, under an overlay of what is not committed yet.
//!
//! A cell is known by its key and its own name; their bytes are joined so that a key's cells stand together, in order of name.

use super::super::small::Small;
use super::super::{Changes, Store, StoreError, Visit};
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

#[derive(Debug)]
pub(super) struct Cells {
    space: String,
    /// What has changed since the last commit; `None` is a deletion.
    overlay: Overlay,
    /// What that commit has changed, as long as it is on its way into the store.
    on_its_way: Overlay,
}

type Overlay = BTreeMap<Place, Option<Vec<u8>>>;

/// Key and name of a cell; most stay in the tree's nodes.
type Place = Small<30>;

impl Cells {
    pub(super) fn new(space: String) -> Self {
        Cells { space, overlay: Overlay::new(), on_its_way: Overlay::new() }
    }

    pub(super) fn get(&self, store: &dyn Store, key: &[u8], cell: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let at = place(key, cell);
        match self.overlay.get(&at[..]).or_else(|| self.on_its_way.get(&at[..])) {
            Some(value) => Ok(value.clone()),
            None => store.get(&self.space, &at),
        }
    }

    pub(super) fn set(&mut self, key: &[u8], cell: &[u8], value: Option<&[u8]>) {
        self.overlay.insert(Place::new(&place(key, cell)), value.map(<[u8]>::to_vec));
    }

    /// Visits cells whose name starts with `prefix`, in order, behind `after`.
    pub(super) fn scan(
        &self,
        store: &dyn Store,
        key: &[u8],
        prefix: &[u8],
        after: Option<&[u8]>,
        each: Visit<'_>,
    ) -> Result<(), StoreError> {
        let (base, within) = (place(key, &[]).len(), place(key, prefix));
        // The smallest name behind `after` is `after` and a zero byte.
        let from =
            after.map(|after| [&place(key, after)[..], &[0]].concat()).filter(|from| *from > within).unwrap_or_else(|| within.clone());
        let range = (Bound::Included(&from[..]), Bound::Unbounded);
        let newest_last = self.on_its_way.range::<[u8], _>(range).take_while(|(at, _)| at.as_slice().starts_with(&within));
        let newest_last = newest_last.chain(self.overlay.range::<[u8], _>(range).take_while(|(at, _)| at.as_slice().starts_with(&within)));
        let mut ours = newest_last.collect::<BTreeMap<_, _>>().into_iter().peekable();
        let mut flow = ControlFlow::Continue(());
        store.scan(&self.space, &from, &mut |at, stored| {
            if !at.starts_with(&within) {
                return ControlFlow::Break(());
            }
            while let Some((before, value)) = ours.next_if(|(ours, _)| ours.as_slice() < at) {
                if let Some(value) = value {
                    flow = each(&before.as_slice()[base..], value);
                    flow?;
                }
            }
            let value = match ours.next_if(|(ours, _)| ours.as_slice() == at) {
                Some((_, value)) => value.as_deref(),
                None => Some(stored),
            };
            flow = value.map_or(ControlFlow::Continue(()), |value| each(&at[base..], value));
            flow
        })?;
        for (at, value) in ours {
            if let (ControlFlow::Continue(()), Some(value)) = (flow, value) {
                flow = each(&at.as_slice()[base..], value);
            }
        }
        Ok(())
    }

    pub(super) fn changes(&self, into: &mut Changes) {
        for (at, value) in &self.overlay {
            into.set(&self.space, at.as_slice(), value.as_deref());
        }
    }

    /// Forgets what has changed since the last commit.
    pub(super) fn clear(&mut self) {
        self.overlay.clear();
    }

    /// What has changed is part of a commit that is on its way into the store.
    pub(super) fn handed_over(&mut self) {
        self.on_its_way.append(&mut self.overlay);
    }

    /// Everything handed over is in the store.
    pub(super) fn written(&mut self) {
        self.on_its_way.clear();
    }

    /// Bytes that the overlay holds.
    pub(super) fn bytes(&self) -> usize {
        self.overlay.iter().chain(&self.on_its_way).map(|(at, value)| at.as_slice().len() + value.as_ref().map_or(0, Vec::len)).sum()
    }
}

/// Where a cell of a key stands in the store. The key's length goes first: no key is then the beginning of another.
pub fn place(key: &[u8], cell: &[u8]) -> Vec<u8> {
    [&(key.len() as u32).to_be_bytes()[..], key, cell].concat()
}
