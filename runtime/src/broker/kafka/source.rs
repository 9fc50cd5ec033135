//! The reader of one partition, and the buffer through which the consumer's thread feeds it.
//!
//! It never talks to Kafka itself; a seek is done by the consumer's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use super::consumer::Command;
use super::gate::{Bounds, is_low};
use super::wake::Wake;
use crate::broker::{BrokerError, Buffered, Polled, Source};
use crate::events::{Events, Record};

/// What the consumer's thread and the reader of a partition share.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Topic.
    pub(super) topic: String,
    /// Partition.
    pub(super) partition: i32,
    /// How much may be held.
    pub(super) bounds: Bounds,
    /// What the reader has not fetched yet.
    pub(super) filled: Mutex<Events>,
    /// Records and bytes held, on both sides.
    pub(super) records: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    /// Nothing is added until the reader has caught up.
    pub(super) held_back: AtomicBool,
    /// How often that has come about.
    pub(super) stops: AtomicU64,
    /// Records that were gone before they could be fetched.
    pub(super) missed: AtomicU64,
    /// An offset before which all that there is to read has been added, markers of transactions counted, or [`UNKNOWN`].
    pub(super) end: AtomicI64,
    /// The lowest offset that may still be added.
    pub(super) floor: AtomicI64,
    /// The partition belongs to another member now.
    pub(super) lost: AtomicBool,
    /// The offset of the next record to hand out.
    pub(super) next: AtomicI64,
    /// The offset after the newest record in Kafka, or [`UNKNOWN`].
    pub(super) high: AtomicI64,
    /// The same as it was when it was last asked for, or [`UNKNOWN`]: what fetches tell may be older.
    pub(super) asked: AtomicI64,
    /// An error of this partition, to be told with the next poll.
    pub(super) error: Mutex<Option<BrokerError>>,
}

/// An offset that Kafka has not told yet.
pub(super) const UNKNOWN: i64 = -1;

/// Reads one partition.
pub(super) struct KafkaSource {
    buffer: Arc<Buffer>,
    /// What was fetched from the buffer; rows before `read` are gone.
    fetched: Events,
    read: usize,
    commands: Sender<Command>,
    wake: Arc<Wake>,
}

// === impl Buffer ===

impl Buffer {
    pub(super) fn new(topic: &str, partition: i32, bounds: Bounds, next: i64) -> Buffer {
        Buffer {
            topic: topic.to_owned(),
            partition,
            bounds,
            filled: Mutex::default(),
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            held_back: AtomicBool::new(false),
            stops: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            end: AtomicI64::new(UNKNOWN),
            floor: AtomicI64::new(next),
            lost: AtomicBool::new(false),
            next: AtomicI64::new(next),
            high: AtomicI64::new(UNKNOWN),
            asked: AtomicI64::new(UNKNOWN),
            error: Mutex::default(),
        }
    }

    /// Forgets what is held; reading goes on at `next`.
    pub(super) fn reset(&self, next: i64) {
        let mut filled = self.filled.lock();
        filled.clear();
        self.records.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.end.store(UNKNOWN, Ordering::SeqCst);
        self.floor.store(next, Ordering::Relaxed);
        self.next.store(next, Ordering::Relaxed);
    }
}

// === impl KafkaSource ===

impl KafkaSource {
    pub(super) fn new(buffer: Arc<Buffer>, commands: Sender<Command>, wake: Arc<Wake>) -> KafkaSource {
        KafkaSource { buffer, fetched: Events::default(), read: 0, commands, wake }
    }

    /// Changes places with the filled side once everything fetched has been read.
    fn fetch(&mut self) {
        if self.read == self.fetched.len() {
            self.fetched.clear();
            self.read = 0;
            std::mem::swap(&mut self.fetched, &mut *self.buffer.filled.lock());
        }
    }

    /// Gives room back, and has the thread go on filling where it had stopped.
    fn release(&self, records: usize, bytes: usize) {
        let buffer = &self.buffer;
        let records = buffer.records.fetch_sub(records, Ordering::SeqCst) - records;
        let bytes = buffer.bytes.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if buffer.held_back.load(Ordering::SeqCst) && is_low(buffer.bounds, records, bytes) {
            self.wake.call();
        }
    }
}

impl Source for KafkaSource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        if self.buffer.next.load(Ordering::Relaxed) == offset {
            return Ok(());
        }
        self.fetched.clear();
        self.read = 0;
        let (done, answer) = bounded(1);
        let closed = || BrokerError::Fenced("the subscription has ended; its partitions are read by others".to_owned());
        self.commands.send(Command::Seek { buffer: Arc::clone(&self.buffer), offset, done }).map_err(|_| closed())?;
        self.wake.call();
        // The thread bounds the time that it takes.
        answer.recv().map_err(|_| closed())?
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        if self.buffer.lost.load(Ordering::Acquire) {
            return Ok(Polled::Empty);
        }
        self.fetch();
        let rows = &self.fetched.rows[self.read..];
        let rows = &rows[..max.min(rows.len())];
        let Some(last) = rows.last() else {
            // Records first: an error stands behind what was read before it.
            return self.buffer.error.lock().take().map_or(Ok(Polled::Empty), Err);
        };
        let next = last.offset + 1;
        let mut bytes = 0;
        for row in rows {
            let (key, value, headers) = (self.fetched.key(row), self.fetched.value(row), self.fetched.headers(row));
            bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers.len();
            into.push(&Record { key, value, headers, time: row.time, partition: row.partition, offset: row.offset });
        }
        let count = rows.len();
        self.read += count;
        self.buffer.next.store(next, Ordering::Release);
        self.release(count, bytes);
        Ok(Polled::Some(count))
    }

    fn lag(&self) -> Option<u64> {
        // In this order: what is added after the first look lies behind the end that the second one finds.
        let end = self.buffer.end.load(Ordering::SeqCst);
        let all_read = self.buffer.records.load(Ordering::SeqCst) == 0;
        let (next, high) = (
            self.buffer.next.load(Ordering::Acquire),
            self.buffer.high.load(Ordering::Relaxed).max(self.buffer.asked.load(Ordering::Relaxed)),
        );
        let next = if all_read { next.max(end) } else { next };
        (high != UNKNOWN).then(|| high.saturating_sub(next).max(0) as u64)
    }

    fn buffered(&self) -> Buffered {
        let Buffer { records, bytes, stops, missed, .. } = &*self.buffer;
        Buffered {
            records: records.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
            stops: stops.load(Ordering::Relaxed),
            missed: missed.load(Ordering::Relaxed),
        }
    }
}
