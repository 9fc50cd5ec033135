//! Cells: state too big to travel with the batch. They stay in the store, under an overlay of what is not committed yet.
//!
//! A cell is known by its key and its own name; their bytes are joined so that a key's cells stand together, in order of name.

use super::super::small::Small;
use super::super::table::Table;
use super::super::{Changes, Store, StoreError, Visit};
use std::collections::BTreeMap;
use std::mem;
use std::ops::ControlFlow;

#[derive(Debug)]
pub(super) struct Cells {
    space: String,
    /// What has changed since the last commit; nothing where a cell was deleted.
    overlay: Overlay,
    /// What that commit has changed, as long as it is on its way into the store.
    on_its_way: Overlay,
}

/// By key and name of the cell.
type Overlay = Table<Option<Small<22>>>;

impl Cells {
    pub(super) fn new(space: String) -> Self {
        Cells { space, overlay: Overlay::new(), on_its_way: Overlay::new() }
    }

    pub(super) fn get(&self, store: &dyn Store, key: &[u8], cell: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let at = place(key, cell);
        match self.overlay.get(&at).or_else(|| self.on_its_way.get(&at)) {
            Some(value) => Ok(value.as_ref().map(|value| value.as_slice().to_vec())),
            None => store.get(&self.space, &at),
        }
    }

    pub(super) fn set(&mut self, key: &[u8], cell: &[u8], value: Option<&[u8]>) {
        set(&mut self.overlay, &place(key, cell), value);
    }

    /// Visits cells whose name starts with `prefix`, in order, behind `after`.
    pub(super) fn scan(
        &mut self,
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
        let mut ours = BTreeMap::new();
        for newer in [&mut self.on_its_way, &mut self.overlay] {
            newer.put_in_order();
            ours.extend(newer.range(&from).into_iter().flatten().take_while(|(at, _)| at.starts_with(&within)));
        }
        let mut ours = ours.into_iter().peekable();
        let mut flow = ControlFlow::Continue(());
        store.scan(&self.space, &from, &mut |at, stored| {
            if !at.starts_with(&within) {
                return ControlFlow::Break(());
            }
            while let Some((before, value)) = ours.next_if(|(ours, _)| *ours < at) {
                if let Some(value) = value {
                    flow = each(&before[base..], value.as_slice());
                    flow?;
                }
            }
            let value = match ours.next_if(|(ours, _)| *ours == at) {
                Some((_, value)) => value.as_ref().map(Small::as_slice),
                None => Some(stored),
            };
            flow = value.map_or(ControlFlow::Continue(()), |value| each(&at[base..], value));
            flow
        })?;
        for (at, value) in ours {
            if let (ControlFlow::Continue(()), Some(value)) = (flow, value) {
                flow = each(&at[base..], value.as_slice());
            }
        }
        Ok(())
    }

    pub(super) fn changes(&self, into: &mut Changes) {
        for (at, value) in self.overlay.iter() {
            into.set(&self.space, at, value.as_ref().map(Small::as_slice));
        }
    }

    /// Forgets what has changed since the last commit.
    pub(super) fn clear(&mut self) {
        self.overlay.clear();
    }

    /// What has changed is part of a commit that is on its way into the store.
    pub(super) fn handed_over(&mut self) {
        if self.on_its_way.is_empty() {
            mem::swap(&mut self.on_its_way, &mut self.overlay);
        }
        for (at, value) in self.overlay.iter() {
            set(&mut self.on_its_way, at, value.as_ref().map(Small::as_slice));
        }
        self.overlay.clear();
    }

    /// Everything handed over is in the store.
    pub(super) fn written(&mut self) {
        self.on_its_way.clear();
    }

    /// Bytes that the overlay holds.
    pub(super) fn bytes(&self) -> usize {
        let of = |(at, value): (&[u8], &Option<Small<22>>)| at.len() + value.as_ref().map_or(0, |value| value.as_slice().len());
        self.overlay.iter().chain(self.on_its_way.iter()).map(of).sum()
    }
}

fn set(overlay: &mut Overlay, at: &[u8], value: Option<&[u8]>) {
    match (overlay.get_or_insert(at, overlay.find(at), || None), value) {
        (Some(known), Some(value)) => known.set(value),
        (known, value) => *known = value.map(Small::new),
    }
}

/// Where a cell of a key stands in the store. The key's length goes first: no key is then the beginning of another.
pub fn place(key: &[u8], cell: &[u8]) -> Vec<u8> {
    [&(key.len() as u32).to_be_bytes()[..], key, cell].concat()
}
