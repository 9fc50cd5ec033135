//! Writes topics of the store: collects records, and adds them as blocks to the changes of the commit.
//!
//! It writes nothing itself. Offsets are promised at the flush and given back when the commit fails.

use super::LocalBroker;
use super::block::{self, Block};
use super::topic::Topic;
use crate::broker::{BrokerError, OutRecord, Sink};
use crate::store::Changes;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct LocalSink {
    broker: LocalBroker,
    outputs: BTreeMap<String, Output>,
    /// What the changes of the last flushes hold: topic, partition, first offset.
    promised: Vec<(Arc<Topic>, i32, i64)>,
}

struct Output {
    topic: Arc<Topic>,
    /// By partition: the blocks of this commit, of which all but the last are full.
    blocks: Vec<Vec<Block>>,
}

/// A block is closed beyond this size: large enough to make its entry's cost vanish, small enough to be read as one.
const BLOCK_BYTES: usize = 1 << 20;

/// The largest record. Blocks are read whole, and a record is never split.
const RECORD_BYTES_MAX: usize = 256 << 20;

impl LocalSink {
    pub(super) fn new(broker: LocalBroker) -> Self {
        LocalSink { broker, outputs: BTreeMap::new(), promised: Vec::new() }
    }
}

impl Sink for LocalSink {
    fn write(&mut self, record: &OutRecord<'_>, _changes: &mut Changes) -> Result<(), BrokerError> {
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + record.headers.len();
        if size > RECORD_BYTES_MAX {
            return Err(BrokerError::Refused(format!("the record has {size} bytes; an embedded topic takes {RECORD_BYTES_MAX}")));
        }
        if !self.outputs.contains_key(record.topic) {
            let topic = self.broker.topic(record.topic)?;
            let blocks = (0..topic.len()).map(|_| Vec::new()).collect();
            self.outputs.insert(record.topic.to_owned(), Output { topic, blocks });
        }
        let Some(output) = self.outputs.get_mut(record.topic) else { return Err(BrokerError::NoTopic(record.topic.to_owned())) };
        output.topic.partition(record.partition)?;
        let blocks = &mut output.blocks[record.partition as usize];
        match blocks.last_mut() {
            Some(block) if block.len() < BLOCK_BYTES => block.push(record),
            _ => {
                let mut block = Block::default();
                block.push(record);
                blocks.push(block);
            }
        }
        Ok(())
    }

    fn flush(&mut self, changes: &mut Changes) -> Result<(), BrokerError> {
        for output in self.outputs.values_mut() {
            for (partition, blocks) in output.blocks.iter_mut().enumerate() {
                let to = output.topic.partition(partition as i32)?;
                for block in blocks.iter_mut().filter(|block| block.count() > 0) {
                    let base = to.promise(block.count());
                    self.promised.push((Arc::clone(&output.topic), partition as i32, base));
                    changes.put(to.space(), &block::key(base), block.finish());
                    block.clear();
                }
                // The first keeps its memory for the next commit.
                blocks.truncate(1);
            }
        }
        Ok(())
    }

    /// A lost commit takes with it what was collected after its flush: that follows from what is lost.
    fn settled(&mut self, written: bool) {
        // In reverse, so that what is given back closes up to the end.
        for (topic, partition, base) in self.promised.drain(..).rev() {
            if let Ok(partition) = topic.partition(partition) {
                partition.settle(base, written);
            }
        }
        if !written {
            self.outputs.values_mut().flat_map(|output| &mut output.blocks).for_each(Vec::clear);
        }
    }
}

/// A sink that goes without a word has failed with its task. Its last commit may be written, or about to be: what it was promised is given to
/// nobody else, and if it was not written, readers step over it.
impl Drop for LocalSink {
    fn drop(&mut self) {
        self.settled(true);
    }
}
