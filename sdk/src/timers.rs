//! The timers of one batch: those that came due with the frame and those that the operator sets meanwhile.
//!
//! A timer set for later than the batch reaches never enters the queue; it only goes back to the host.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sangam_protocol::Millis;
use sangam_protocol::effects::EffectsWriter;
use sangam_protocol::frame::{DueTimers, Frame};
use sangam_protocol::msgpack::Error as Malformed;

/// No further entry in a slot's chain.
const END: u32 = u32::MAX;

/// Timers by slot and name, kept from batch to batch for their memory only.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: Vec<Entry>,
    /// Names of the entries, end to end.
    names: String,
    /// First entry of each slot; a slot has few names, so a chain is shorter than a hash. Empty until a timer shows up.
    heads: Vec<u32>,
    /// What came due with the frame, in the order in which it fires, and how much of it has been looked at.
    line: Vec<Turn>,
    looked: usize,
    /// What was set in this batch and may still fire in it. Entries that moved on leave stale turns behind, here and in the line.
    queue: BinaryHeap<Reverse<Turn>>,
    /// The entries to write, by the order of setting.
    order: Vec<u32>,
    slots: usize,
    settings: u32,
    /// Where the watermark stands after the batch.
    reach: Millis,
    until: Millis,
}

/// When an entry fires: its time, order of setting, the entry.
type Turn = (Millis, u32, u32);

#[derive(Debug)]
struct Entry {
    slot: u32,
    name: (usize, usize),
    next: u32,
    /// The pending time.
    at: Option<Millis>,
    /// When it was set last, counted over the batch.
    set: u32,
    /// It came with the frame: the host forgets its pending time when it applies the batch.
    due: bool,
    touched: bool,
    /// It stood elsewhere in between, so it has lost its place, even if the host sees it where it was.
    moved: bool,
}

/// A timer that fires now.
pub(crate) struct Fired {
    pub(crate) slot: u32,
    pub(crate) at: Millis,
    entry: u32,
}

impl Timers {
    /// Forgets the last batch and takes in the due event-time timers of this one.
    pub(crate) fn start(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        self.fill(frame.slots(), frame.watermark, frame.until, frame.timers())
    }

    /// Forgets the last batch and takes in the due processing-time timers of this one.
    pub(crate) fn start_clock(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        self.fill(frame.slots(), frame.now.unwrap_or(Millis::MIN), frame.clock_until, frame.clock_timers())
    }

    fn fill(&mut self, slots: usize, reach: Millis, until: Millis, due: DueTimers<'_>) -> Result<(), Malformed> {
        self.entries.clear();
        self.names.clear();
        self.heads.clear();
        self.line.clear();
        self.queue.clear();
        (self.looked, self.slots, self.settings, self.reach, self.until) = (0, slots, 0, reach, until);
        for timer in due {
            let timer = timer?;
            if timer.slot as usize >= self.slots {
                return Err(Malformed::Range("a slot"));
            }
            let entry = self.entry(timer.slot, timer.name);
            let set = self.settings;
            self.settings += 1;
            if let Some(entry) = self.entries.get_mut(entry as usize) {
                (entry.at, entry.set, entry.due) = (Some(timer.at), set, true);
            }
            let turn = (timer.at, set, entry);
            if self.line.last().is_none_or(|last| *last < turn) { self.line.push(turn) } else { self.queue.push(Reverse(turn)) }
        }
        Ok(())
    }

    /// Takes the next timer that fires when the watermark stands at `watermark`.
    #[inline]
    pub(crate) fn fire(&mut self, watermark: Millis) -> Option<Fired> {
        // Nearly every event finds nothing due.
        while self.next().is_some_and(|(at, ..)| at <= watermark) {
            if let Some(fired) = self.take() {
                return Some(fired);
            }
        }
        None
    }

    #[inline]
    fn next(&self) -> Option<Turn> {
        let lined = self.line.get(self.looked).copied();
        match self.queue.peek() {
            Some(Reverse(queued)) => Some(lined.map_or(*queued, |lined| lined.min(*queued))),
            None => lined,
        }
    }

    /// Takes the next turn; nothing where its entry has moved on.
    #[inline(never)]
    fn take(&mut self) -> Option<Fired> {
        let turn = self.next()?;
        if self.line.get(self.looked) == Some(&turn) {
            self.looked += 1;
        } else {
            self.queue.pop();
        }
        let (at, set, index) = turn;
        let entry = self.entries.get_mut(index as usize)?;
        if entry.at != Some(at) || entry.set != set {
            return None;
        }
        entry.at = None;
        Some(Fired { slot: entry.slot, at, entry: index })
    }

    /// Name of a timer that fired.
    pub(crate) fn name(&self, fired: &Fired) -> &str {
        self.entries.get(fired.entry as usize).and_then(|entry| self.names.get(entry.name.0..entry.name.1)).unwrap_or("")
    }

    /// Sets or clears a timer.
    pub(crate) fn change(&mut self, slot: u32, name: &str, at: Option<Millis>) {
        let index = self.entry(slot, name);
        let set = self.settings;
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let first = !std::mem::replace(&mut entry.touched, true);
        if entry.at == at && at.is_some() {
            return;
        }
        entry.moved |= !first;
        (entry.at, entry.set) = (at, set);
        self.settings += 1;
        if let Some(at) = at
            && at <= self.reach
            && at < self.until
        {
            self.queue.push(Reverse((at, set, index)));
        }
    }

    /// Writes what the host does not know: in the order of the last setting, so that it can keep that order among equal times.
    pub(crate) fn write(&mut self, clock: bool, out: &mut EffectsWriter) {
        if self.entries.is_empty() {
            return;
        }
        // Each entry has a number of its own, so that they need not be compared with each other.
        let Timers { entries, names, order, settings, .. } = self;
        order.clear();
        order.resize(*settings as usize, END);
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.is_news()) {
            if let Some(place) = order.get_mut(entry.set as usize) {
                *place = index as u32;
            }
        }
        for entry in order.iter().filter_map(|index| entries.get(*index as usize)) {
            entry.write(names, clock, out);
        }
    }

    fn entry(&mut self, slot: u32, name: &str) -> u32 {
        if self.heads.is_empty() {
            self.heads.resize(self.slots, END);
        }
        let mut index = self.heads.get(slot as usize).copied().unwrap_or(END);
        while let Some(entry) = self.entries.get(index as usize) {
            if self.names.get(entry.name.0..entry.name.1) == Some(name) {
                return index;
            }
            index = entry.next;
        }
        let index = self.entries.len() as u32;
        let start = self.names.len();
        self.names.push_str(name);
        let next = self.heads.get_mut(slot as usize).map_or(END, |head| std::mem::replace(head, index));
        self.entries.push(Entry {
            slot,
            name: (start, self.names.len()),
            next,
            at: None,
            set: 0,
            due: false,
            touched: false,
            moved: false,
        });
        index
    }
}

impl Entry {
    /// Whether the host does not know it as it stands now.
    fn is_news(&self) -> bool {
        // A due timer that did not fire is gone from the host as well, so it must be set again.
        if self.at.is_some() { self.touched || self.due } else { self.touched && !self.due }
    }

    fn write(&self, names: &str, clock: bool, out: &mut EffectsWriter) {
        let name = names.get(self.name.0..self.name.1).unwrap_or("");
        // To the host the same time again would change nothing; cleared first, it goes behind its equals.
        let cleared = self.moved && !self.due && self.at.is_some();
        for at in cleared.then_some(None).into_iter().chain([self.at]) {
            if clock { out.clock_timer(self.slot, name, at) } else { out.timer(self.slot, name, at) }
        }
    }
}
