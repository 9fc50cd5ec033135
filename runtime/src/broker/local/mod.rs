//! Topics embedded in the store: durable, without a server, and written in the same atomic write as state and offsets.
//!
//! A partition is the space `topic/<name>/<partition>`: one block of records per commit, under the offset of its first record. There
//! is no group protocol: whoever subscribes has every partition.

mod block;
mod once;
mod sink;
mod source;
mod subscription;
mod topic;

use super::{Broker, BrokerError, OnceSink, Polled, Replay, Replayed, Sink, Source, Start, Subscribe, Subscription, Written};
use crate::events::Events;
use crate::store::{Changes, Store, StoreError};
use once::LocalOnce;
use parking_lot::Mutex;
use sangam_protocol::msgpack::{Reader, write};
use sink::LocalSink;
use source::LocalSource;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use subscription::LocalSubscription;
use topic::Topic;

/// The embedded broker. One per store: its clones know of each other's offsets, a second one would not.
#[derive(Clone)]
pub struct LocalBroker {
    store: Arc<dyn Store>,
    /// Topics that have been used, and which of their offsets are taken.
    topics: Arc<Mutex<BTreeMap<String, Arc<Topic>>>>,
}

/// Space of the number of partitions by topic.
const TOPICS: &str = "topics";

/// Space of the next offset by group, topic and partition.
const OFFSETS: &str = "offsets";

/// More partitions than anybody wants in one process, and few enough to look at each.
const PARTITIONS_MAX: u32 = 4096;

/// So many records are handed over at once when a partition is read back.
const REPLAY_RUN: usize = 1024;

// === impl LocalBroker ===

impl LocalBroker {
    /// The topics of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        LocalBroker { store, topics: Arc::default() }
    }

    /// The names of the topics, in order.
    pub fn topics(&self) -> Result<Vec<String>, BrokerError> {
        let mut names = Vec::new();
        self.store.scan(TOPICS, &[], &mut |name, _| {
            names.push(String::from_utf8_lossy(name).into_owned());
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    /// The next offset to read of a group, where one is kept.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Result<Option<i64>, BrokerError> {
        let Some(bytes) = self.store.get(OFFSETS, &offset_key(group, topic, partition))? else { return Ok(None) };
        Reader::new(&bytes).i64().map(Some).map_err(|error| damaged(OFFSETS, &error))
    }

    /// Adds the offsets of a group to changes, for who wants them in the same write as everything else.
    pub fn put_offsets(&self, group: &str, offsets: &[(String, i32, i64)], changes: &mut Changes) {
        let mut value = Vec::new();
        for (topic, partition, offset) in offsets {
            value.clear();
            write::i64(&mut value, *offset);
            changes.put(OFFSETS, &offset_key(group, topic, *partition), &value);
        }
    }

    /// The offset behind the last record that may be read.
    pub fn end(&self, topic: &str, partition: i32) -> Result<i64, BrokerError> {
        Ok(self.topic(topic)?.partition(partition)?.readable())
    }

    /// Adds the deletion of every block that ends at or before the offset `before`. The last block stays: it says where the
    /// partition goes on.
    pub fn trim(&self, topic: &str, partition: i32, before: i64, changes: &mut Changes) -> Result<(), BrokerError> {
        let topic = self.topic(topic)?;
        let space = topic.partition(partition)?.space();
        let mut last: Option<Vec<u8>> = None;
        self.store.scan(space, &[], &mut |base, _| {
            // A block ends at the latest where the next one starts.
            if let Some(earlier) = last.replace(base.to_vec()).filter(|_| block::base(base) <= before) {
                changes.delete(space, &earlier);
            }
            if block::base(base) < before { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(())
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, BrokerError> {
        let mut topics = self.topics.lock();
        if let Some(topic) = topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        let count = self.count(name)?.ok_or_else(|| BrokerError::NoTopic(name.to_owned()))?;
        let topic = Arc::new(Topic::load(&*self.store, name, count)?);
        topics.insert(name.to_owned(), Arc::clone(&topic));
        Ok(topic)
    }

    fn count(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        let Some(bytes) = self.store.get(TOPICS, topic.as_bytes())? else { return Ok(None) };
        let count = Reader::new(&bytes).u64().map_err(|error| damaged(TOPICS, &error))?;
        Ok(Some(count as u32))
    }

    fn source(&self, topic: &str, partition: i32, committed: Option<i64>, start: Start) -> Result<LocalSource, BrokerError> {
        LocalSource::new(Arc::clone(&self.store), self.topic(topic)?, partition, committed, start)
    }
}

impl Broker for LocalBroker {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        self.count(topic)
    }

    fn bounds(&self, topic: &str, partition: i32) -> Result<Option<(i64, i64)>, BrokerError> {
        // What was trimmed is stepped over by readers.
        Ok(Some((0, self.end(topic, partition)?)))
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(BrokerError::Fatal(format!(
                "the topic `{topic}` cannot have {partitions} partitions; 1 to {PARTITIONS_MAX} are possible"
            )));
        }
        // Held so that of two who make the same topic one is first.
        let _topics = self.topics.lock();
        if self.count(topic)?.is_none() {
            let (mut changes, mut value) = (Changes::default(), Vec::new());
            write::u64(&mut value, u64::from(partitions));
            changes.put(TOPICS, topic.as_bytes(), &value);
            self.store.write(&changes)?;
        }
        Ok(())
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(LocalSubscription::new(self.clone(), subscription)?))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(LocalSink::new(self.clone())))
    }

    fn once(&self, ledger: &str) -> Result<Box<dyn OnceSink>, BrokerError> {
        Ok(Box::new(LocalOnce::new(self.clone(), ledger)))
    }

    fn written(&self, ledger: &str) -> Result<Written, BrokerError> {
        once::written(self, ledger)
    }

    fn replay(&self, topic: &str, partition: i32, from: Option<i64>, each: Replayed<'_>) -> Result<Replay, BrokerError> {
        let (from, end) = (from.unwrap_or(0), self.end(topic, partition)?);
        if from > end {
            return Ok(Replay::Short);
        }
        let mut source = self.source(topic, partition, Some(from), Start::Earliest)?;
        let mut run = Events::default();
        while let Polled::Some(_) = source.poll(REPLAY_RUN, &mut run)? {
            each(&run)?;
            run.clear();
        }
        Ok(Replay::To(end))
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = Vec::new();
    write::array(&mut key, 3);
    write::str(&mut key, group);
    write::str(&mut key, topic);
    write::i64(&mut key, i64::from(partition));
    key
}

fn damaged(space: &str, what: &dyn std::fmt::Display) -> BrokerError {
    BrokerError::Store(StoreError::Damaged(PathBuf::from(space), what.to_string()))
}

#[cfg(test)]
mod tests;
