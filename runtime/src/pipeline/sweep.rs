//! Deletes what has been read of passages: what is committed is behind everybody, and the topics would grow for ever.
//!
//! On a thread of its own, as the cluster may take its time; a sweep that fails or is skipped is made up for by the next.

use super::brokers::Brokers;
use crate::broker::{Broker, PartitionOffset};
use crate::task::{Topology, Work};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it sweeps; what Kafka Streams does by default.
const EVERY: Duration = Duration::from_secs(30);

/// Sweeps the passages of a run, now and then and once more at its end.
pub struct Sweeper {
    orders: Option<Sender<Vec<PartitionOffset>>>,
    thread: Option<JoinHandle<()>>,
    /// By topic and partition: how far it has been read, where that is news since the last sweep.
    read: BTreeMap<(String, i32), i64>,
    swept: Instant,
}

impl Sweeper {
    /// A sweeper for a topology's passages; `None` where there are none.
    pub fn start(topology: &Topology, brokers: &Brokers) -> Option<Sweeper> {
        let mut passages = topology.streams.iter().filter(|node| node.carries.is_some());
        let broker = brokers.all().get(passages.next()?.topic.as_ref()?.cluster)?.clone();
        // One sweep at a time: what it does not hear of now is in the next one.
        let (orders, received) = bounded(1);
        let thread = std::thread::Builder::new().name("sweeper".to_owned()).spawn(move || sweep(broker.as_ref(), &received)).ok()?;
        Some(Sweeper { orders: Some(orders), thread: Some(thread), read: BTreeMap::new(), swept: Instant::now() })
    }

    /// Takes note of what a commit says to have been read. It deletes nothing while somebody still `reads` what was there before.
    pub fn committed(&mut self, work: &Work, topology: &Topology, reads: bool) {
        for (stream, partition, offset) in &work.positions {
            let Some(node) = topology.streams.get(*stream).filter(|node| node.carries.is_some()) else { continue };
            let Some(topic) = &node.topic else { continue };
            self.read.insert((topic.topic.clone(), *partition), *offset);
        }
        if self.swept.elapsed() >= EVERY && !reads {
            self.order();
            self.swept = Instant::now();
        }
    }

    /// Sweeps once more, unless somebody `reads` what would be deleted, and waits for it.
    pub fn finish(mut self, reads: bool) {
        if !reads {
            self.order();
        }
        self.orders = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sweeper of passages has panicked");
        }
    }

    fn order(&mut self) {
        let offsets: Vec<PartitionOffset> =
            self.read.iter().map(|((topic, partition), offset)| (topic.clone(), *partition, *offset)).collect();
        if !offsets.is_empty() && self.orders.as_ref().is_some_and(|orders| orders.try_send(offsets).is_ok()) {
            self.read.clear();
        }
    }
}

fn sweep(broker: &dyn Broker, orders: &Receiver<Vec<PartitionOffset>>) {
    let mut told = false;
    for offsets in orders {
        if let Err(why) = broker.delete_before(&offsets)
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!("what has been read of repartition topics is not deleted, so that they grow: {why}");
        }
    }
}
