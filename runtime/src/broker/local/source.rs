//! Reads a partition of the store, block by block, into memory that it keeps.
//!
//! Nothing wakes it: a poll looks whether there is more.

use super::block::{self, Cursor};
use super::topic::{Partition, Topic};
use super::{Start, damaged};
use crate::broker::{BrokerError, POLL_BYTES_MAX, Polled, Source};
use crate::events::{Events, Record};
use crate::store::{Pair, Store};
use sangam_protocol::msgpack::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

pub(super) struct LocalSource {
    store: Arc<dyn Store>,
    topic: Arc<Topic>,
    partition: i32,
    /// The offset of the next record; behind a gap it may be that of no record.
    next: i64,
    block: Vec<u8>,
    cursor: Cursor,
}

impl LocalSource {
    pub(super) fn new(
        store: Arc<dyn Store>,
        topic: Arc<Topic>,
        partition: i32,
        committed: Option<i64>,
        start: Start,
    ) -> Result<Self, BrokerError> {
        let end = topic.partition(partition)?.readable();
        let mut source = LocalSource { store, topic, partition, next: 0, block: Vec::new(), cursor: Cursor::default() };
        match (committed, start) {
            (Some(offset), _) => source.seek(offset)?,
            (None, Start::Latest) => source.next = end,
            (None, Start::Earliest) => {}
        }
        Ok(source)
    }

    fn of(&self) -> Result<&Partition, BrokerError> {
        self.topic.partition(self.partition)
    }

    /// Loads the block of the next record; false where there is none yet.
    fn load(&mut self) -> Result<bool, BrokerError> {
        let end = self.of()?.readable();
        if self.next >= end {
            return Ok(false);
        }
        // Mostly the next block starts right here. After a seek the record is somewhere in an earlier one.
        let mut base = self.block_from(self.next)?;
        if base != Some(self.next)
            && let Some((key, bytes)) = self.store.floor(self.of()?.space(), &block::key(self.next))?
            && block::base(&key) + self.read(block::count(&bytes))? as i64 > self.next
        {
            base = Some(block::base(&key));
            self.block = bytes;
        }
        let Some(base) = base.filter(|base| *base < end) else { return Ok(false) };
        self.cursor = self.read(Cursor::new(&self.block))?;
        for _ in base..self.next {
            let skipped = self.cursor.skip(&self.block);
            self.read(skipped)?;
        }
        self.next = self.next.max(base);
        Ok(true)
    }

    /// Reads the first block from `offset` on and returns its base.
    fn block_from(&mut self, offset: i64) -> Result<Option<i64>, BrokerError> {
        let (mut base, space) = (None, self.topic.partition(self.partition)?.space());
        self.store.scan(space, &block::key(offset), &mut |key, bytes| {
            base = Some(block::base(key));
            self.block.clear();
            self.block.extend_from_slice(bytes);
            ControlFlow::Break(())
        })?;
        Ok(base)
    }

    /// Whether a block stands at the next offset, around it or behind it. What cannot be looked up is for the next poll to tell.
    fn has_block(&self, partition: &Partition) -> bool {
        let (space, at) = (partition.space(), block::key(self.next));
        let mut behind = false;
        let looked = self.store.scan(space, &at, &mut |_, _| {
            behind = true;
            ControlFlow::Break(())
        });
        let end = |(key, bytes): Pair| block::count(&bytes).map_or(i64::MAX, |count| block::base(&key) + count as i64);
        behind || looked.is_err() || self.store.floor(space, &at).map_or(true, |around| around.map_or(i64::MIN, end) > self.next)
    }

    fn read<T>(&self, read: Result<T, Error>) -> Result<T, BrokerError> {
        read.map_err(|error| match self.of() {
            Ok(partition) => damaged(partition.space(), &format!("the block of offset {} cannot be read: {error}", self.next)),
            Err(error) => error,
        })
    }
}

impl Source for LocalSource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        let end = self.of()?.readable();
        if !(0..=end).contains(&offset) {
            let space = self.of()?.space();
            return Err(BrokerError::Fatal(format!("{space} ends at offset {end}: offset {offset} belongs to other data")));
        }
        self.next = offset;
        self.cursor = Cursor::default();
        Ok(())
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        let before = into.len();
        while into.len() - before < max && into.arena.len() < POLL_BYTES_MAX {
            if self.cursor.left() == 0 && !self.load()? {
                break;
            }
            let record = match self.cursor.next(&self.block) {
                Ok(record) => record,
                Err(error) => return self.read(Err(error)),
            };
            into.push(&Record { partition: self.partition, offset: self.next, ..record });
            self.next += 1;
        }
        Ok(if into.len() > before { Polled::Some(into.len() - before) } else { Polled::Empty })
    }

    fn lag(&self) -> Option<u64> {
        let partition = self.of().ok()?;
        let left = u64::try_from(partition.readable() - self.next).ok()?;
        // Behind what was read there may be offsets of a lost commit only: nothing will ever come there.
        let waits = left == 0 || self.cursor.left() > 0 || self.has_block(partition);
        Some(if waits { left } else { 0 })
    }
}
