//! One of our partitions on its way from librdkafka's queue to its reader's buffer.
//!
//! The consumer's thread owns it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use rdkafka::bindings as native;

use super::error;
use super::gate::Gate;
use super::queue::{self, BATCH_RECORDS_MAX, Batch, PartitionQueue, Taken};
use super::source::Buffer;
use crate::events::Events;

/// A partition that is ours.
pub(super) struct Lane {
    pub(super) buffer: Arc<Buffer>,
    queue: PartitionQueue,
    gate: Gate,
    /// The largest record of the last batch, by which the next batch is sized; 0 before the first.
    record_len: usize,
    /// Offsets from which nothing has come, up to the one that has: of markers, of what compaction has taken, or of records that are gone.
    pub(super) gap: Option<Range<i64>>,
}

/// Nothing is known of the records' size before the first batch; were they huge, more would burst the bound.
const FIRST_BATCH_RECORDS: usize = 16;

// === impl Lane ===

impl Lane {
    pub(super) fn new(buffer: Arc<Buffer>, queue: PartitionQueue) -> Lane {
        let gate = Gate::new(buffer.bounds);
        Lane { buffer, queue, gate, record_len: 0, gap: None }
    }

    pub(super) fn is(&self, topic: &str, partition: i32) -> bool {
        self.buffer.partition == partition && self.buffer.topic == topic
    }

    /// Nothing is taken from the queue until the reader has caught up.
    pub(super) fn is_held_back(&self) -> bool {
        self.gate.is_closed()
    }

    /// Moves what has been fetched into the buffer as far as there is room; says whether there was anything.
    pub(super) fn fill(&mut self, batch: &mut Batch, cluster: &str) -> bool {
        let max = match self.room() {
            0 => return false,
            room if self.record_len == 0 => room.min(FIRST_BATCH_RECORDS),
            room => room.min(BATCH_RECORDS_MAX),
        };
        let buffer = Arc::clone(&self.buffer);
        let mut filled = buffer.filled.lock();
        let taken = self.queue.take(max, batch, buffer.floor.load(Ordering::Relaxed), &mut filled);
        self.settle(filled, &taken, cluster);
        taken.records > 0
    }

    /// Adds a message that came another way.
    ///
    /// # Safety
    /// `message` points to a live message.
    pub(super) unsafe fn add(&mut self, message: *mut native::rd_kafka_message_t, cluster: &str) {
        let buffer = Arc::clone(&self.buffer);
        let (mut filled, mut taken) = (buffer.filled.lock(), Taken::from(buffer.floor.load(Ordering::Relaxed)));
        // SAFETY: the caller's word.
        unsafe { queue::copy(message, &mut Vec::new(), &mut filled, &mut taken) };
        self.settle(filled, &taken, cluster);
    }

    fn room(&mut self) -> usize {
        let buffer = &self.buffer;
        let was_open = !self.gate.is_closed();
        let mut room = || self.gate.room(buffer.records.load(Ordering::SeqCst), buffer.bytes.load(Ordering::SeqCst), self.record_len);
        let mut found = room();
        if found == 0 {
            // The reader calls only where it sees this; what it read just before is seen by the second look.
            buffer.held_back.store(true, Ordering::SeqCst);
            found = room();
        }
        if found > 0 {
            buffer.held_back.store(false, Ordering::SeqCst);
        } else if was_open {
            buffer.stops.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Counts what was added before the reader can see it.
    fn settle(&mut self, filled: MutexGuard<'_, Events>, taken: &Taken, cluster: &str) {
        self.buffer.records.fetch_add(taken.records, Ordering::SeqCst);
        self.buffer.bytes.fetch_add(taken.bytes, Ordering::SeqCst);
        drop(filled);
        if taken.records > 0 {
            self.record_len = taken.record_len_max.max(1);
        }
        let wanted = self.buffer.floor.swap(taken.floor, Ordering::Relaxed);
        self.gap = taken.first.filter(|first| *first > wanted).map(|first| wanted..first);
        if let Some(code) = taken.error {
            let place = format!("read {}/{}", self.buffer.topic, self.buffer.partition);
            *self.buffer.error.lock() = Some(error::sort_code(code, &place, cluster));
        }
    }
}
