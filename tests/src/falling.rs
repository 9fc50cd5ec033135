//! A broker whose sources panic as often as a test says: a bug of the host's own, met on a worker thread.

#![expect(clippy::panic, reason = "it is what this is for")]

use sangam::broker::{
    Assignment, Broker, BrokerError, Buffered, Member, PartitionOffset, Polled, Replay, Replayed, Sink, Source, Subscribe, Subscription,
    Transactions,
};
use sangam::events::Events;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The broker.
pub struct Falling {
    inner: Arc<dyn Broker>,
    falls: Arc<AtomicU32>,
}

struct FallingSubscription {
    inner: Box<dyn Subscription>,
    falls: Arc<AtomicU32>,
}

struct FallingSource {
    inner: Box<dyn Source>,
    falls: Arc<AtomicU32>,
}

impl Falling {
    /// A broker over another one, and how often it will panic.
    pub fn over(inner: Arc<dyn Broker>) -> (Falling, Arc<AtomicU32>) {
        let falls = Arc::new(AtomicU32::new(0));
        (Falling { inner, falls: falls.clone() }, falls)
    }
}

impl Broker for Falling {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        self.inner.partitions(topic)
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.inner.create(topic, partitions)
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(FallingSubscription { inner: self.inner.subscribe(subscription)?, falls: self.falls.clone() }))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        self.inner.sink()
    }

    fn bounds(&self, topic: &str, partition: i32) -> Result<Option<(i64, i64)>, BrokerError> {
        self.inner.bounds(topic, partition)
    }

    fn has_transactions(&self) -> bool {
        self.inner.has_transactions()
    }

    fn transactions(&self, id: &str) -> Result<Option<Arc<dyn Transactions>>, BrokerError> {
        self.inner.transactions(id)
    }

    fn create_log(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.inner.create_log(topic, partitions)
    }

    fn create_lasting(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.inner.create_lasting(topic, partitions)
    }

    fn replay(&self, topic: &str, partition: i32, from: Option<i64>, each: Replayed<'_>) -> Result<Replay, BrokerError> {
        self.inner.replay(topic, partition, from, each)
    }
}

impl Subscription for FallingSubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        let falls = &self.falls;
        let falling = |change| match change {
            Assignment::Gained { topic, partition, committed, source } => {
                let source = Box::new(FallingSource { inner: source, falls: falls.clone() });
                Assignment::Gained { topic, partition, committed, source }
            }
            lost => lost,
        };
        Ok(self.inner.changes()?.into_iter().map(falling).collect())
    }

    fn commit(&mut self, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
        self.inner.commit(offsets)
    }

    fn look_again(&mut self) -> Result<(), BrokerError> {
        self.inner.look_again()
    }

    fn member(&mut self) -> Result<Option<Member>, BrokerError> {
        self.inner.member()
    }
}

impl Source for FallingSource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        self.inner.seek(offset)
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        let polled = self.inner.poll(max, into)?;
        // Once there is something to lose.
        let left = |falls: u32| falls.checked_sub(1);
        if matches!(polled, Polled::Some(_)) && self.falls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            panic!("the source fell over");
        }
        Ok(polled)
    }

    fn lag(&self) -> Option<u64> {
        self.inner.lag()
    }

    fn buffered(&self) -> Buffered {
        self.inner.buffered()
    }
}
