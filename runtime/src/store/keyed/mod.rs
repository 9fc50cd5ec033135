//! The keyed state and the timers of one operator in one task: the hot path, in memory, over a space of the store.
//!
//! It does not write: `changes` says what a commit has to write, and `committed` or `rollback` how that went. It does not know
//! what state means, when timers fire or what a watermark is.

pub mod cells;
mod record;
mod timers;

#[cfg(test)]
mod tests;

pub use record::Record;

use super::chunks::Chunks;
use super::index::Index;
use super::small::{self, Small};
use super::{Changes, Store, StoreError, Visit};
use crate::time::Millis;
use cells::Cells;
use std::ops::ControlFlow;
use std::path::PathBuf;
use timers::{Names, Stub, Timer, Timers, Wheel};

/// A key of a table. Good until the next `committed` or `rollback`; of a key that then has state or timers, also afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

/// A timer's name, as a number that its table knows. Good as long as the timer is, and until the next `committed` or `rollback`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerName(u32);

/// A timer whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its key.
    pub id: KeyId,
    /// The time that it was set to.
    pub at: Millis,
    /// Its name.
    pub name: TimerName,
}

/// Keyed state and timers.
pub struct KeyedTable {
    space: String,
    entries: Chunks<Entry>,
    free: Vec<KeyId>,
    index: Index,
    names: Names,
    wheel: Wheel,
    cells: Cells,
    /// The place in the order of setting that the next timer gets, now and as of the last commit.
    seq: u64,
    seq_committed: u64,
    /// Keys that were made or changed since the last commit, in order of first touch.
    touched: Vec<KeyId>,
    /// What changed keys had at the last commit, as far as it changed.
    old_states: Vec<(KeyId, Option<State>)>,
    old_timers: Vec<(KeyId, Timers)>,
    size: Size,
    record: Vec<u8>,
}

/// Keys up to 30 bytes and states up to 38 stay in the entry: what most operators have.
type Key = Small<30>;
type State = Small<38>;

/// Keys that are fetched together: what they have stays near until it is used.
pub const NEAR: usize = 64;

/// Two cache lines.
#[derive(Debug)]
struct Entry {
    key: Key,
    state: Option<State>,
    timers: Timers,
    /// Batch that this key was last seen in, and its slot there.
    batch: u32,
    slot: u32,
    flags: u8,
}

/// It is in use, not in the free list.
const USED: u8 = 1;
/// It is in `touched`.
const TOUCHED: u8 = 2;
/// Its state is in `old_states`.
const STATE: u8 = 4;
/// Its timers are in `old_timers`.
const TIMERS: u8 = 8;
/// The store has it.
const STORED: u8 = 16;

/// What the entries add up to.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// Keys with state or timers.
    live: usize,
    timers: usize,
    /// Of keys and states.
    bytes: usize,
}

// === impl KeyedTable ===

impl KeyedTable {
    /// An empty table over a space of the store, `state/<operator>/<partition>` for one; its cells live in `cells/...`.
    pub fn new(space: String) -> Self {
        let cells = Cells::new(format!("cells/{}", space.strip_prefix("state/").unwrap_or(&space)));
        KeyedTable {
            space,
            entries: Chunks::new(),
            free: Vec::new(),
            index: Index::new(),
            names: Names::default(),
            wheel: Wheel::default(),
            cells,
            seq: 0,
            seq_committed: 0,
            touched: Vec::new(),
            old_states: Vec::new(),
            old_timers: Vec::new(),
            size: Size::default(),
            record: Vec::new(),
        }
    }

    /// Forgets everything and loads what the store has; returns the number of keys.
    pub fn restore(&mut self, store: &dyn Store) -> Result<usize, StoreError> {
        *self = KeyedTable::new(std::mem::take(&mut self.space));
        let space = self.space.clone();
        let mut damage = None;
        store.scan(&space, &[], &mut |key, value| match Record::read(value) {
            Ok(record) => {
                self.load(key, &record);
                ControlFlow::Continue(())
            }
            Err(error) => {
                damage = Some(format!("the entry of key {} cannot be read: {error}", sangam_protocol::key::display(key)));
                ControlFlow::Break(())
            }
        })?;
        if let Some(damage) = damage {
            return Err(StoreError::Damaged(PathBuf::from(space), damage));
        }
        self.seq_committed = self.seq;
        self.touched.clear();
        self.fill_wheel();
        Ok(self.size.live)
    }

    // --- keys ---

    /// Finds a key or makes it: one hash, and one probe for a known one. It does not count until it has state or timers.
    ///
    /// Find all keys of a batch first and then change them: the waits for memory overlap, which halves the cost of a large table.
    #[inline]
    pub fn key(&mut self, key: &[u8]) -> KeyId {
        let hash = self.index.hash(key);
        if let Some(known) = self.index.find(hash, |entry| small::same(self.name(KeyId(entry)), key)) {
            return KeyId(known);
        }
        let entry = Entry { key: Key::new(key), state: None, timers: Timers::None, batch: 0, slot: 0, flags: USED | TOUCHED };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.0 as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                KeyId(self.entries.len() as u32 - 1)
            }
        };
        self.index.insert(hash, id.0);
        self.touched.push(id);
        self.size.bytes += key.len();
        id
    }

    /// A key that is there already.
    pub fn find(&self, key: &[u8]) -> Option<KeyId> {
        self.index.find(self.index.hash(key), |entry| self.name(KeyId(entry)) == key).map(KeyId)
    }

    /// The bytes of a key.
    #[inline]
    pub fn name(&self, id: KeyId) -> &[u8] {
        self.entry(id).key.as_slice()
    }

    /// Fetches what the first [`NEAR`] of these keys have from memory. Of a large table each would be waited for by itself; here the waits overlap.
    #[inline]
    pub fn fetch(&self, ids: &[KeyId]) {
        let ids = || ids.iter().take(NEAR);
        let entries = ids().map(|id| self.entry(*id).flags).fold(0, u8::wrapping_add);
        let states = ids().filter_map(|id| self.state(*id)?.first()).fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        std::hint::black_box((entries, states));
    }

    /// The slot of a key in the batch numbered `batch` (from 1): the one it was given before, or else `next`, which it then keeps.
    #[inline]
    pub fn slot_mark(&mut self, id: KeyId, batch: u32, next: u32) -> u32 {
        let entry = &mut self.entries[id.0 as usize];
        if entry.batch != batch {
            entry.batch = batch;
            entry.slot = next;
        }
        entry.slot
    }

    // --- state ---

    /// The state of a key.
    #[inline]
    pub fn state(&self, id: KeyId) -> Option<&[u8]> {
        self.entry(id).state.as_ref().map(State::as_slice)
    }

    /// Sets or clears the state of a key; the same bytes again are no change.
    #[inline]
    pub fn set_state(&mut self, id: KeyId, state: Option<&[u8]>) {
        if self.state(id) == state {
            return;
        }
        let entry = &mut self.entries[id.0 as usize];
        let before = entry.size();
        if entry.flags & STATE == 0 {
            entry.flags |= STATE;
            self.old_states.push((id, entry.state.take()));
        }
        match (&mut entry.state, state) {
            (Some(known), Some(state)) => known.set(state),
            (known, state) => *known = state.map(State::new),
        }
        self.size.replace(before, entry.size());
        self.touch(id);
    }

    // --- timers ---

    /// Sets (`Some`) or clears the timer `name` of a key. The same time again changes nothing, its place in the order neither;
    /// another time replaces it. Allocates for a name only when it is new.
    pub fn set_timer(&mut self, id: KeyId, name: &str, at: Option<Millis>) {
        match at {
            Some(at) => {
                let name = self.names.intern(name);
                if self.entry(id).timers.find(name).is_none_or(|timer| timer.at != at) {
                    let seq = self.seq;
                    self.seq += 1;
                    self.change_timers(id, |timers| timers.set(Timer { at, seq, name }));
                    self.wheel.push(at, Stub { seq, id, name });
                    let entries = &self.entries;
                    self.wheel.sweep_if_stale(self.size.timers, |at, stub| is_pending(entries, at, stub));
                }
            }
            None => {
                if let Some(name) = self.names.find(name).filter(|&name| self.entry(id).timers.find(name).is_some()) {
                    self.change_timers(id, |timers| timers.remove(name));
                }
            }
        }
    }

    /// Appends the first `max` timers up to `watermark`, in order of time and then of setting, and says whether there are more.
    /// It only looks: the next call finds them again until they are consumed, cleared or moved.
    pub fn due(&mut self, watermark: Millis, max: usize, into: &mut Vec<Due>) -> bool {
        let entries = &self.entries;
        self.wheel.due(watermark, max, |at, stub| is_pending(entries, at, stub), into)
    }

    /// Forgets timers that have fired, each only if it still stands at that time.
    pub fn consume(&mut self, due: &[Due]) {
        for due in due {
            if self.entry(due.id).timers.find(due.name).is_some_and(|timer| timer.at == due.at) {
                self.change_timers(due.id, |timers| timers.remove(due.name));
            }
        }
    }

    /// The time of the next timer.
    pub fn next_timer(&mut self) -> Option<Millis> {
        let entries = &self.entries;
        self.wheel.next(|at, stub| is_pending(entries, at, stub))
    }

    /// The text of a timer's name.
    pub fn timer_name(&self, name: TimerName) -> &str {
        self.names.text(name)
    }

    // --- cells ---

    /// A cell of a key's large state, as of this transaction.
    pub fn cell(&self, store: &dyn Store, id: KeyId, cell: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.cells.get(store, self.name(id), cell)
    }

    /// Sets or deletes a cell.
    pub fn set_cell(&mut self, id: KeyId, cell: &[u8], value: Option<&[u8]>) {
        self.cells.set(self.entries[id.0 as usize].key.as_slice(), cell, value);
    }

    /// Visits a key's cells whose name starts with `prefix`, in order, behind `after`, until `each` breaks.
    pub fn scan_cells(
        &mut self,
        store: &dyn Store,
        id: KeyId,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.cells.scan(store, self.entries[id.0 as usize].key.as_slice(), prefix, after, each)
    }

    // --- transactions ---

    /// Adds everything that changed since the last commit: one entry per changed key, and its cells.
    pub fn changes(&mut self, into: &mut Changes) {
        for (i, &id) in self.touched.iter().enumerate() {
            if i % NEAR == 0 {
                self.fetch(self.touched.get(i..).unwrap_or(&[]));
            }
            let entry = &self.entries[id.0 as usize];
            if entry.flags & (STATE | TIMERS) == 0 {
                continue;
            }
            if entry.is_live() {
                let timers = entry.timers.as_slice().iter().map(|timer| (self.names.text(timer.name), timer.at, timer.seq));
                self.record.clear();
                record::append(entry.state.as_ref().map(State::as_slice), timers, &mut self.record);
                into.put(&self.space, entry.key.as_slice(), &self.record);
            } else if entry.flags & STORED != 0 {
                into.delete(&self.space, entry.key.as_slice());
            }
        }
        self.cells.changes(into);
    }

    /// The changes are part of a commit, and what comes now belongs to the next one. Frees keys without state and timers. From here on there
    /// is no way back to before: where the commit fails, the table is made anew.
    pub fn committed(&mut self) {
        self.seq_committed = self.seq;
        self.cells.handed_over();
        self.old_states.clear();
        self.old_timers.clear();
        self.settle(true);
        if self.names.wants_sweep() {
            let entries = self.entries.iter().filter(|entry| entry.flags & USED != 0);
            self.names.sweep(entries.flat_map(|entry| entry.timers.as_slice()).map(|timer| timer.name));
        }
    }

    /// Everything committed is in the store.
    pub fn written(&mut self) {
        self.cells.written();
    }

    /// The changes have been lost: the table is again exactly as at the last commit. Costs as much as there are timers.
    pub fn rollback(&mut self) {
        self.seq = self.seq_committed;
        self.cells.clear();
        let timers_changed = !self.old_timers.is_empty();
        for (id, state) in std::mem::take(&mut self.old_states) {
            self.change(id, |entry| entry.state = state);
        }
        for (id, timers) in std::mem::take(&mut self.old_timers) {
            self.change(id, |entry| entry.timers = timers);
        }
        self.settle(false);
        if timers_changed {
            self.fill_wheel();
        }
    }

    // --- tools ---

    /// Number of keys with state or timers.
    pub fn len(&self) -> usize {
        self.size.live
    }

    /// True when no key has state or timers.
    pub fn is_empty(&self) -> bool {
        self.size.live == 0
    }

    /// Number of timers.
    pub fn timers(&self) -> usize {
        self.size.timers
    }

    /// About how much memory this takes.
    pub fn bytes(&self) -> usize {
        let fixed = self.entries.len() * size_of::<Entry>() + self.index.bytes() + self.wheel.stubs() * size_of::<Stub>();
        fixed + self.size.bytes + self.cells.bytes()
    }

    /// The keys with state or timers.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.flags & USED != 0 && entry.is_live());
        entries.map(|(i, _)| KeyId(i as u32))
    }

    /// The timers of a key: name and time, in order of time and setting.
    pub fn timers_of(&self, id: KeyId) -> Vec<(&str, Millis)> {
        let mut timers = self.entry(id).timers.as_slice().to_vec();
        timers.sort_unstable_by_key(|timer| (timer.at, timer.seq));
        timers.into_iter().map(|timer| (self.names.text(timer.name), timer.at)).collect()
    }

    // --- helpers ---

    #[inline]
    fn entry(&self, id: KeyId) -> &Entry {
        &self.entries[id.0 as usize]
    }

    fn load(&mut self, key: &[u8], record: &Record<'_>) {
        let id = self.key(key);
        let timers = record.timers.iter().map(|&(name, at, seq)| Timer { at, seq, name: self.names.intern(name) }).collect::<Vec<_>>();
        self.seq = timers.iter().map(|timer| timer.seq + 1).fold(self.seq, u64::max);
        self.change(id, |entry| {
            entry.state = record.state.map(State::new);
            timers.into_iter().for_each(|timer| entry.timers.set(timer));
            entry.flags = USED | STORED;
        });
    }

    /// Changes an entry and keeps count.
    fn change(&mut self, id: KeyId, change: impl FnOnce(&mut Entry)) {
        let entry = &mut self.entries[id.0 as usize];
        let before = entry.size();
        change(entry);
        self.size.replace(before, entry.size());
    }

    fn change_timers(&mut self, id: KeyId, change: impl FnOnce(&mut Timers)) {
        let entry = &mut self.entries[id.0 as usize];
        if entry.flags & TIMERS == 0 {
            entry.flags |= TIMERS;
            self.old_timers.push((id, entry.timers.clone()));
        }
        self.change(id, |entry| change(&mut entry.timers));
        self.touch(id);
    }

    #[inline]
    fn touch(&mut self, id: KeyId) {
        let entry = &mut self.entries[id.0 as usize];
        if entry.flags & TOUCHED == 0 {
            entry.flags |= TOUCHED;
            self.touched.push(id);
        }
    }

    /// Ends a transaction: touched keys are clean again, and the dead among them are freed.
    fn settle(&mut self, written: bool) {
        for i in 0..self.touched.len() {
            let id = self.touched[i];
            let entry = &mut self.entries[id.0 as usize];
            let stored = if written { entry.is_live() } else { entry.flags & STORED != 0 };
            entry.flags = USED | if stored { STORED } else { 0 };
            if !entry.is_live() {
                self.release(id);
            }
        }
        self.touched.clear();
    }

    fn release(&mut self, id: KeyId) {
        let hash = self.index.hash(self.name(id));
        self.index.remove(hash, id.0);
        let entry = &mut self.entries[id.0 as usize];
        self.size.bytes -= entry.key.as_slice().len();
        entry.key = Key::new(&[]);
        entry.flags = 0;
        self.free.push(id);
    }

    fn fill_wheel(&mut self) {
        self.wheel.clear();
        for (i, entry) in self.entries.iter().enumerate() {
            for timer in entry.timers.as_slice() {
                self.wheel.push(timer.at, Stub { seq: timer.seq, id: KeyId(i as u32), name: timer.name });
            }
        }
        self.wheel.sort();
    }
}

// === impl Entry ===

impl Entry {
    #[inline]
    fn is_live(&self) -> bool {
        self.state.is_some() || !self.timers.as_slice().is_empty()
    }

    #[inline]
    fn size(&self) -> Size {
        Size {
            live: usize::from(self.is_live()),
            timers: self.timers.as_slice().len(),
            bytes: self.key.as_slice().len() + self.state.as_ref().map_or(0, |state| state.as_slice().len()),
        }
    }
}

// === impl Size ===

impl Size {
    #[inline]
    fn replace(&mut self, before: Size, after: Size) {
        self.live = self.live + after.live - before.live;
        self.timers = self.timers + after.timers - before.timers;
        self.bytes = self.bytes + after.bytes - before.bytes;
    }
}

/// True when the key's own list confirms the stub.
#[inline]
fn is_pending(entries: &Chunks<Entry>, at: Millis, stub: &Stub) -> bool {
    entries[stub.id.0 as usize].timers.find(stub.name).is_some_and(|timer| timer.at == at && timer.seq == stub.seq)
}
