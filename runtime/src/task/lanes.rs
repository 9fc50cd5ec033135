//! Lanes: how events get to the task that owns their key, inside the process.
//!
//! A lane never blocks: what the receiver has no room for waits here, and the task that owns the lanes reads no more until it is gone.

use crate::events::Events;
use crate::pressure;
use crate::time::Millis;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs that may wait at one task's inbox. With runs of up to a few thousand events this bounds what is under way to some megabytes.
const INBOX_RUNS: usize = 64;

/// A run of events on its way to the task that owns their keys.
#[derive(Debug)]
pub struct Parcel {
    /// The operator that it is for.
    pub operator: usize,
    /// Which of the operator's inputs.
    pub input: usize,
    /// The task that sends it: its partition.
    pub from: u32,
    /// The events, scanned.
    pub events: Events,
    /// The sender's watermark after them.
    pub watermark: Millis,
    /// Whether the sender wants to be waited for.
    pub pace: Pace,
}

/// Whether whoever sends events is to be waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// More may come at any time.
    #[default]
    Active,
    /// It has had nothing for a while.
    Idle,
    /// Nothing more will come.
    Finished,
}

/// The inboxes of all tasks, and how much is under way between them.
#[derive(Clone, Default)]
pub struct Switchboard {
    /// By group and partition; empty for a group without inboxes.
    inboxes: Arc<Vec<Vec<Inbox>>>,
    under_way: Arc<AtomicUsize>,
}

impl Switchboard {
    /// Makes the inboxes: for each group, as many as it has tasks, or none.
    pub fn new(tasks: &[usize]) -> (Switchboard, Vec<Vec<Receiver<Parcel>>>) {
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for tasks in tasks {
            let inbox = |(way_in, from)| (Inbox { way_in, full: AtomicBool::new(false) }, from);
            let (to, from) = (0..*tasks).map(|_| inbox(bounded(INBOX_RUNS))).unzip();
            senders.push(to);
            receivers.push(from);
        }
        (Switchboard { inboxes: Arc::new(senders), under_way: Arc::default() }, receivers)
    }

    /// Parcels that were sent and are not handled yet, anywhere.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Says that a parcel, and everything that it led to, has been handled or sent on.
    pub fn handled(&self) {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The way into one task.
struct Inbox {
    way_in: Sender<Parcel>,
    /// Nobody sends until the task has caught up.
    full: AtomicBool,
}

impl Inbox {
    /// Whether a run may be sent there; and whether this is the moment from which on none may.
    fn has_room(&self) -> (bool, bool) {
        let held = self.way_in.len();
        let was_full = self.full.load(Ordering::Relaxed);
        let full = if was_full { !pressure::is_low(held, INBOX_RUNS) } else { pressure::is_high(held, INBOX_RUNS) };
        if full != was_full {
            self.full.store(full, Ordering::Relaxed);
        }
        (!full, full && !was_full)
    }
}

/// What joins a task to others.
pub struct Links {
    /// Where others send it events; `None` where nobody does.
    pub inbox: Option<Receiver<Parcel>>,
    /// Where it sends events to others.
    pub lanes: Lanes,
}

/// The sending side of one task.
pub struct Lanes {
    board: Switchboard,
    waiting: VecDeque<(usize, usize, Parcel)>,
    stops: u64,
}

impl Lanes {
    /// Lanes to every inbox of the board.
    pub fn new(board: Switchboard) -> Lanes {
        Lanes { board, waiting: VecDeque::new(), stops: 0 }
    }

    /// Sends a parcel to task `partition` of `group`, after whatever still waits.
    pub fn send(&mut self, group: usize, partition: usize, parcel: Parcel) {
        self.board.under_way.fetch_add(1, Ordering::SeqCst);
        self.waiting.push_back((group, partition, parcel));
        self.flush();
    }

    /// Sends what waits, as far as there is room; true when nothing waits any more.
    pub fn flush(&mut self) -> bool {
        while let Some((group, partition, parcel)) = self.waiting.pop_front() {
            let Some(inbox) = self.board.inboxes.get(group).and_then(|inboxes| inboxes.get(partition)) else {
                self.board.handled();
                continue;
            };
            let (has_room, stops) = inbox.has_room();
            self.stops += u64::from(stops);
            if !has_room {
                self.waiting.push_front((group, partition, parcel));
                return false;
            }
            match inbox.way_in.try_send(parcel) {
                Ok(()) => {}
                Err(TrySendError::Full(parcel)) => {
                    self.waiting.push_front((group, partition, parcel));
                    return false;
                }
                // The receiver is gone: the pipeline is being taken down, and goes back to its last commit.
                Err(TrySendError::Disconnected(_)) => self.board.handled(),
            }
        }
        true
    }

    /// The group of the task that has no room, while something waits.
    pub fn waits_for(&self) -> Option<usize> {
        self.waiting.front().map(|(group, ..)| *group)
    }

    /// How often it has met an inbox that had just become full, since this was last asked.
    pub fn times_stopped(&mut self) -> u64 {
        std::mem::take(&mut self.stops)
    }

    /// The board that the lanes belong to.
    pub fn board(&self) -> &Switchboard {
        &self.board
    }
}
