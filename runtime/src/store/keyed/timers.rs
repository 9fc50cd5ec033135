//! Timers: the list that a key owns, the wheel that says which are due, and the names that timers share.
//!
//! The key's own list is the truth. The wheel holds stubs; one that its key's list does not confirm is stale, and is dropped when
//! it is met or when stale ones outnumber the rest.

use super::{Due, KeyId, TimerName};
use crate::time::Millis;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;

/// A timer in its key's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) at: Millis,
    /// Orders timers of one time; unique in the table.
    pub(super) seq: u64,
    pub(super) name: TimerName,
}

/// The timers of one key, in no order that matters. They are looked through one by one: a key has a handful, even under sliding windows.
#[derive(Clone, Debug, Default)]
pub(super) enum Timers {
    #[default]
    None,
    One(Timer),
    Many(Vec<Timer>),
}

/// What the wheel knows of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stub {
    pub(super) seq: u64,
    pub(super) id: KeyId,
    pub(super) name: TimerName,
}

/// Which timers are due, in order. Many keys share the end of a window, so a bucket per time is far smaller than an entry per timer.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// Each bucket is in order of `seq`.
    buckets: BTreeMap<Millis, VecDeque<Stub>>,
    stubs: usize,
    /// Emptied buckets, at most [`SPARE_MAX`], so that a steady flow of timers allocates nothing.
    spare: Vec<VecDeque<Stub>>,
}

/// Emptied buckets that are kept: a second's worth at one millisecond each.
const SPARE_MAX: usize = 1024;

/// Stale stubs that are not worth a sweep.
const STALE_MIN: usize = 1024;

/// The names of timers, each under a small number.
#[derive(Debug, Default)]
pub(super) struct Names {
    texts: Vec<Box<str>>,
    index: HashTable<TimerName>,
    hasher: RandomState,
    free: Vec<TimerName>,
    /// Number of names from which on it is worth to look for ones that nobody uses any more.
    sweep_at: usize,
}

/// Names that are kept without asking who uses them.
const NAMES_MIN: usize = 1024;

// === impl Timers ===

impl Timers {
    #[inline]
    pub(super) fn as_slice(&self) -> &[Timer] {
        match self {
            Timers::None => &[],
            Timers::One(timer) => std::slice::from_ref(timer),
            Timers::Many(timers) => timers,
        }
    }

    #[inline]
    pub(super) fn find(&self, name: TimerName) -> Option<Timer> {
        self.as_slice().iter().find(|timer| timer.name == name).copied()
    }

    /// Sets the timer of that name, which replaces one that is there.
    pub(super) fn set(&mut self, timer: Timer) {
        match self {
            Timers::None => *self = Timers::One(timer),
            Timers::One(one) if one.name == timer.name => *one = timer,
            Timers::One(one) => *self = Timers::Many(vec![*one, timer]),
            Timers::Many(many) => match many.iter_mut().find(|known| known.name == timer.name) {
                Some(known) => *known = timer,
                None => many.push(timer),
            },
        }
    }

    pub(super) fn remove(&mut self, name: TimerName) {
        match self {
            Timers::Many(many) => {
                many.retain(|timer| timer.name != name);
                if many.is_empty() {
                    *self = Timers::None;
                }
            }
            Timers::One(one) if one.name == name => *self = Timers::None,
            _ => {}
        }
    }
}

// === impl Wheel ===

impl Wheel {
    /// Number of stubs, stale ones too.
    pub(super) fn stubs(&self) -> usize {
        self.stubs
    }

    /// Adds a timer; `seq` is above that of every other, or [`Wheel::sort`] follows.
    pub(super) fn push(&mut self, at: Millis, stub: Stub) {
        let spare = &mut self.spare;
        self.buckets.entry(at).or_insert_with(|| spare.pop().unwrap_or_default()).push_back(stub);
        self.stubs += 1;
    }

    /// Puts every bucket into order.
    pub(super) fn sort(&mut self) {
        for bucket in self.buckets.values_mut() {
            bucket.make_contiguous().sort_unstable_by_key(|stub| stub.seq);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.stubs = 0;
    }

    /// Appends the first `max` timers up to `watermark` that `pending` confirms, and says whether there are more.
    pub(super) fn due(&mut self, watermark: Millis, max: usize, pending: impl Fn(Millis, &Stub) -> bool, into: &mut Vec<Due>) -> bool {
        self.drop_stale_front(&pending);
        let mut taken = 0;
        for (&at, bucket) in self.buckets.range(..=watermark) {
            for stub in bucket.iter().filter(|stub| pending(at, stub)) {
                if taken == max {
                    return true;
                }
                into.push(Due { id: stub.id, at, name: stub.name });
                taken += 1;
            }
        }
        false
    }

    /// The time of the first timer that `pending` confirms.
    pub(super) fn next(&mut self, pending: impl Fn(Millis, &Stub) -> bool) -> Option<Millis> {
        self.drop_stale_front(&pending);
        self.buckets.keys().next().copied()
    }

    /// Drops stale stubs everywhere once they outnumber the `live` timers, so that timers which are moved on again and again (a
    /// session's) cost a constant each.
    pub(super) fn sweep_if_stale(&mut self, live: usize, pending: impl Fn(Millis, &Stub) -> bool) {
        if self.stubs <= 2 * live + STALE_MIN {
            return;
        }
        let (spare, mut kept) = (&mut self.spare, 0);
        self.buckets.retain(|&at, bucket| {
            bucket.retain(|stub| pending(at, stub));
            kept += bucket.len();
            if bucket.is_empty() && spare.len() < SPARE_MAX {
                spare.push(std::mem::take(bucket));
            }
            !bucket.is_empty()
        });
        self.stubs = kept;
    }

    /// Afterwards the very first stub, if there is one, is pending.
    fn drop_stale_front(&mut self, pending: &impl Fn(Millis, &Stub) -> bool) {
        while let Some(mut first) = self.buckets.first_entry() {
            let at = *first.key();
            while let Some(stub) = first.get().front() {
                if pending(at, stub) {
                    return;
                }
                first.get_mut().pop_front();
                self.stubs -= 1;
            }
            let bucket = first.remove();
            if self.spare.len() < SPARE_MAX {
                self.spare.push(bucket);
            }
        }
    }
}

// === impl Names ===

impl Names {
    pub(super) fn text(&self, name: TimerName) -> &str {
        self.texts.get(name.0 as usize).map_or("", |text| text)
    }

    pub(super) fn find(&self, text: &str) -> Option<TimerName> {
        self.index.find(self.hasher.hash_one(text), |&name| self.text(name) == text).copied()
    }

    /// The number of a name; allocates only for one that is new.
    pub(super) fn intern(&mut self, text: &str) -> TimerName {
        if let Some(name) = self.find(text) {
            return name;
        }
        let name = match self.free.pop() {
            Some(name) => {
                self.texts[name.0 as usize] = text.into();
                name
            }
            None => {
                self.texts.push(text.into());
                TimerName(self.texts.len() as u32 - 1)
            }
        };
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.index.insert_unique(hasher.hash_one(text), name, |name| hasher.hash_one(&*texts[name.0 as usize]));
        name
    }

    /// Number of names.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// True when there are so many names that unused ones should be looked for: operators may put anything into a name.
    pub(super) fn wants_sweep(&self) -> bool {
        self.index.len() > self.sweep_at.max(NAMES_MIN)
    }

    /// Forgets the names that are not among `used`.
    pub(super) fn sweep(&mut self, used: impl Iterator<Item = TimerName>) {
        let mut keep = vec![false; self.texts.len()];
        used.for_each(|name| keep[name.0 as usize] = true);
        let (texts, free) = (&mut self.texts, &mut self.free);
        self.index.retain(|name| {
            let kept = keep[name.0 as usize];
            if !kept {
                texts[name.0 as usize] = "".into();
                free.push(*name);
            }
            kept
        });
        // The index has no order of its own; numbers are given out again from the lowest.
        free.sort_unstable_by(|a, b| b.cmp(a));
        self.sweep_at = 2 * self.index.len();
    }
}
