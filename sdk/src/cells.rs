//! Cells of state too big to carry: read through the host, changed in an overlay until the batch is done.
//!
//! The overlay is one per thread, because handles live inside the author's state and know nothing but their slot.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use sangam_protocol::effects::EffectsWriter;
use sangam_protocol::msgpack::Reader;

use crate::{Error, Result};

/// A slot and a cell's key in it: the field's number, then the key's bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    slot: u32,
    /// How the cell begins, as a number: most comparisons end here.
    head: u64,
    cell: Vec<u8>,
}

/// A cell's value; `None` where it is deleted.
type Content = Option<Vec<u8>>;

/// Bytes that a scan asks the host for at a time.
const CHUNK: usize = 16 << 10;

#[derive(Default)]
struct Overlay {
    changed: BTreeMap<Place, Content>,
    /// What the call at hand replaced in `changed`, to go back to when its event is refused.
    journal: Vec<(Place, Option<Content>)>,
}

thread_local! {
    /// Whether the call at hand has changed a cell: most do not, and need not look further.
    static CHANGED: Cell<bool> = const { Cell::new(false) };
    static OVERLAY: RefCell<Overlay> = const { RefCell::new(Overlay { changed: BTreeMap::new(), journal: Vec::new() }) };
}

/// Forgets the last batch.
pub(crate) fn start() {
    CHANGED.set(false);
    OVERLAY.set(Overlay::default());
}

/// Lets the call's changes stand; true when there were any.
#[inline]
pub(crate) fn keep() -> bool {
    let changed = CHANGED.replace(false);
    if changed {
        OVERLAY.with_borrow_mut(|overlay| overlay.journal.clear());
    }
    changed
}

/// Takes the call's changes back.
pub(crate) fn undo() {
    CHANGED.set(false);
    OVERLAY.with_borrow_mut(|overlay| {
        while let Some((place, before)) = overlay.journal.pop() {
            match before {
                Some(before) => overlay.changed.insert(place, before),
                None => overlay.changed.remove(&place),
            };
        }
    });
}

/// Writes every changed cell.
pub(crate) fn write(out: &mut EffectsWriter) {
    OVERLAY.with_borrow(|overlay| {
        for (place, value) in &overlay.changed {
            out.cell(place.slot, &place.cell, value.as_deref());
        }
    });
}

/// Where the cells of a handle are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Home {
    /// In the handle: outside of a batch, say in a test of a plain function.
    Own(BTreeMap<Vec<u8>, Vec<u8>>),
    /// With the host: slot and field.
    Slot(u32, u8),
}

impl Default for Home {
    fn default() -> Self {
        Home::Own(BTreeMap::new())
    }
}

impl Home {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self {
            Home::Own(cells) => cells.get(key).cloned(),
            Home::Slot(slot, field) => {
                let place = Place::new(*slot, cell(*field, key));
                let changed = OVERLAY.with_borrow(|overlay| overlay.changed.get(&place).cloned());
                changed.unwrap_or_else(|| host::get(*slot, &place.cell))
            }
        }
    }

    pub(crate) fn set(&mut self, key: &[u8], value: Content) {
        match (self, value) {
            (Home::Own(cells), Some(value)) => {
                cells.insert(key.to_vec(), value);
            }
            (Home::Own(cells), None) => {
                cells.remove(key);
            }
            (Home::Slot(slot, field), value) => OVERLAY.with_borrow_mut(|overlay| {
                CHANGED.set(true);
                let place = Place::new(*slot, cell(*field, key));
                let before = overlay.changed.insert(place.clone(), value);
                overlay.journal.push((place, before));
            }),
        }
    }

    /// All cells, in order of their keys.
    pub(crate) fn scan(&self) -> Scan<'_> {
        match self {
            Home::Own(cells) => Scan::Own(cells.iter()),
            Home::Slot(slot, field) => {
                Scan::Slot(Cursor { slot: *slot, field: *field, last: Vec::new(), chunk: Vec::new(), at: 0, end: false })
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Home::Own(cells) => cells.clear(),
            Home::Slot(..) => {
                let keys: Vec<_> = self.scan().map(|(key, _)| key).collect();
                for key in keys {
                    self.set(&key, None);
                }
            }
        }
    }

    pub(crate) fn bind(&mut self, slot: u32, field: u8) {
        *self = Home::Slot(slot, field);
    }

    /// After the author's code: a handle that replaced the one of the slot brings its cells along.
    pub(crate) fn settle(&mut self, slot: u32, field: u8) -> Result<()> {
        match self {
            Home::Slot(own_slot, own_field) if (*own_slot, *own_field) == (slot, field) => Ok(()),
            Home::Slot(..) => Err(Error::Fault(
                "a Map or List was moved to another field of the state; its cells stay where they are, so copy them one by one".into(),
            )),
            Home::Own(cells) => {
                let cells = std::mem::take(cells);
                self.bind(slot, field);
                self.clear();
                for (key, value) in cells {
                    self.set(&key, Some(value));
                }
                Ok(())
            }
        }
    }

    /// Takes those of `cells` that belong to `field`.
    pub(crate) fn own(&mut self, field: u8, cells: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let own = cells.iter().filter_map(|(cell, value)| match cell.split_first() {
            Some((first, key)) if *first == field => Some((key.to_vec(), value.clone())),
            _ => None,
        });
        *self = Home::Own(own.collect());
    }
}

impl Place {
    fn new(slot: u32, cell: Vec<u8>) -> Place {
        let mut head = [0; 8];
        let known = cell.len().min(head.len());
        head[..known].copy_from_slice(&cell[..known]);
        Place { slot, head: u64::from_be_bytes(head), cell }
    }
}

fn cell(field: u8, key: &[u8]) -> Vec<u8> {
    let mut cell = Vec::with_capacity(1 + key.len());
    cell.push(field);
    cell.extend_from_slice(key);
    cell
}

/// Walks cells in order of their keys.
pub(crate) enum Scan<'m> {
    Own(std::collections::btree_map::Iter<'m, Vec<u8>, Vec<u8>>),
    Slot(Cursor),
}

/// Walks the host's cells and the overlay side by side; where both have a cell, the overlay counts.
pub(crate) struct Cursor {
    slot: u32,
    field: u8,
    /// The last cell seen; empty before the first.
    last: Vec<u8>,
    /// What the host has written, and how much of it is read.
    chunk: Vec<u8>,
    at: usize,
    end: bool,
}

impl Iterator for Scan<'_> {
    /// Key without the field's number, and value.
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Scan::Own(cells) => cells.next().map(|(key, value)| (key.clone(), value.clone())),
            Scan::Slot(cursor) => cursor.next(),
        }
    }
}

impl Cursor {
    fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            let theirs = self.peek();
            let ours = self.changed();
            let (cell, value) = match (theirs, ours) {
                (None, None) => return None,
                (Some((cell, value, after)), ours) if ours.as_ref().is_none_or(|(ours, _)| cell < *ours) => {
                    self.at = after;
                    (cell, Some(value))
                }
                (theirs, Some((cell, value))) => {
                    if let Some((same, _, after)) = theirs
                        && same == cell
                    {
                        self.at = after;
                    }
                    (cell, value)
                }
                // The guard above took every case without a cell of ours.
                (Some(_), None) => return None,
            };
            let key = cell.get(1..).unwrap_or(&[]).to_vec();
            self.last = cell;
            if let Some(value) = value {
                return Some((key, value));
            }
        }
    }

    /// The host's next cell, its value, and where the chunk goes on after it.
    fn peek(&mut self) -> Option<(Vec<u8>, Vec<u8>, usize)> {
        if self.at >= self.chunk.len() && !self.end {
            let after = self.host_last();
            self.chunk.clear();
            self.at = 0;
            host::scan(self.slot, self.field, &after, &mut self.chunk);
            self.end = self.chunk.is_empty();
        }
        let mut reader = Reader::new(self.chunk.get(self.at..)?);
        let cell = reader.bin().ok()?.to_vec();
        let value = reader.bin().ok()?.to_vec();
        Some((cell, value, self.at + reader.position()))
    }

    /// The last cell of the chunk that is read through: where the host goes on. The overlay may be ahead of it or behind.
    fn host_last(&self) -> Vec<u8> {
        let mut reader = Reader::new(&self.chunk);
        let mut last = Vec::new();
        while let (Ok(cell), Ok(_)) = (reader.bin(), reader.bin()) {
            last = cell.to_vec();
        }
        last
    }

    fn changed(&self) -> Option<(Vec<u8>, Content)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = match self.last.is_empty() {
            true => Included(Place::new(self.slot, vec![self.field])),
            false => Excluded(Place::new(self.slot, self.last.clone())),
        };
        OVERLAY.with_borrow(|overlay| {
            let (place, value) = overlay.changed.range((start, Unbounded)).next()?;
            (place.slot == self.slot && place.cell.first() == Some(&self.field)).then(|| (place.cell.clone(), value.clone()))
        })
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::CHUNK;
    use std::mem::MaybeUninit;

    /// Bytes of a value that are read at once.
    const ROOM: usize = 256;

    #[link(wasm_import_module = "sangam")]
    unsafe extern "C" {
        fn state_get(slot: u32, cell: *const u8, cell_len: usize, out: *mut u8, out_cap: usize) -> i64;
        fn state_scan(
            slot: u32,
            prefix: *const u8,
            prefix_len: usize,
            after: *const u8,
            after_len: usize,
            out: *mut u8,
            out_cap: usize,
        ) -> i64;
    }

    pub fn get(slot: u32, cell: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        // Most values fit into a little room that costs nothing to have.
        let mut room = [const { MaybeUninit::<u8>::uninit() }; ROOM];
        // SAFETY: the host reads the cell's key and writes at most that many bytes, and keeps neither.
        let len = unsafe { state_get(slot, cell.as_ptr(), cell.len(), room.as_mut_ptr().cast(), ROOM) };
        let mut len = usize::try_from(len).ok()?;
        if len <= ROOM {
            // SAFETY: a value that fits has been written, all `len` bytes of it.
            out.extend_from_slice(unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), len) });
            return Some(out);
        }
        loop {
            out.reserve(len);
            // SAFETY: as above, with the capacity for the number of bytes.
            len = usize::try_from(unsafe { state_get(slot, cell.as_ptr(), cell.len(), out.as_mut_ptr(), out.capacity()) }).ok()?;
            if len <= out.capacity() {
                // SAFETY: as above.
                unsafe { out.set_len(len) };
                return Some(out);
            }
        }
    }

    pub fn scan(slot: u32, field: u8, after: &[u8], out: &mut Vec<u8>) {
        out.reserve(CHUNK);
        loop {
            // SAFETY: the host reads prefix and start and writes at most the capacity, and keeps nothing.
            let written = unsafe { state_scan(slot, &field, 1, after.as_ptr(), after.len(), out.as_mut_ptr(), out.capacity()) };
            if written >= 0 {
                // SAFETY: the host has written that many bytes, which is at most the capacity.
                unsafe { out.set_len((written as usize).min(out.capacity())) };
                return;
            }
            out.reserve(written.unsigned_abs() as usize);
        }
    }
}

/// The host of a test: cells per slot.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod host {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use sangam_protocol::msgpack::write;

    use super::CHUNK;

    thread_local! {
        static SLOTS: RefCell<Vec<BTreeMap<Vec<u8>, Vec<u8>>>> = const { RefCell::new(Vec::new()) };
    }

    /// Gives the slots of the next batch their cells, and takes those of the last one back.
    pub fn provide(slots: Vec<BTreeMap<Vec<u8>, Vec<u8>>>) -> Vec<BTreeMap<Vec<u8>, Vec<u8>>> {
        SLOTS.replace(slots)
    }

    pub fn get(slot: u32, cell: &[u8]) -> Option<Vec<u8>> {
        SLOTS.with_borrow(|slots| slots.get(slot as usize)?.get(cell).cloned())
    }

    pub fn scan(slot: u32, field: u8, after: &[u8], out: &mut Vec<u8>) {
        SLOTS.with_borrow(|slots| {
            let Some(cells) = slots.get(slot as usize) else { return };
            let pairs = cells.iter().filter(|(cell, _)| cell.first() == Some(&field) && cell.as_slice() > after);
            for (cell, value) in pairs {
                if !out.is_empty() && out.len() + cell.len() + value.len() + 10 > CHUNK {
                    return;
                }
                write::bin(out, cell);
                write::bin(out, value);
            }
        });
    }
}
