//! When are offsets committed? After everything that they stand for is safe, in this order:
//!
//! 1. outputs to topics outside (Kafka, files) are flushed and acknowledged: the sinks have done that before this is called;
//! 2. one atomic write into the store: outputs to embedded topics, state, timers, watermarks, and how far each partition was read;
//! 3. the outside is told how far its partitions were read, for those who watch the lag there.
//!
//! With everything embedded, step 2 is the whole commit, and it is exactly-once. With Kafka and `at_least_once`, a crash between 1 and 2
//! repeats outputs, but state and offsets are never ahead of what was flushed. Exactly once over Kafka has another order, since there the
//! transaction is the commit and the store a copy: see `pipeline::ledger`.

use super::Topology;
use crate::broker::{BrokerError, Subscription};
use crate::store::{Changes, Store, StoreError};

/// What one round of work leaves to be committed.
#[derive(Debug, Default)]
pub struct Work {
    /// State, timers, watermarks, positions, embedded outputs.
    pub changes: Vec<Changes>,
    /// Next offset to read: stream, partition, offset.
    pub positions: Vec<(usize, i32, i64)>,
}

/// Commits a round of work: all of it or, on an error, nothing.
pub fn commit(work: &Work, store: &dyn Store) -> Result<(), StoreError> {
    if let [changes] = &work.changes[..] {
        return store.write(changes);
    }
    let mut all = Changes::default();
    work.changes.iter().for_each(|changes| all.extend(changes));
    store.write(&all)
}

/// Tells the outside how far a committed round of work has read. `subscriptions` are by cluster; `None` for a cluster that is not read.
/// One cluster may know already: its offsets were committed in the transaction. With `several` that are read, no answer is waited for, as one
/// of them may be away.
pub fn tell(
    work: &Work,
    topology: &Topology,
    subscriptions: &mut [Option<Box<dyn Subscription>>],
    knows: Option<usize>,
    several: bool,
) -> Result<(), BrokerError> {
    for (cluster, subscription) in subscriptions.iter_mut().enumerate() {
        let Some(subscription) = subscription.as_mut().filter(|_| knows != Some(cluster)) else { continue };
        let offsets: Vec<(String, i32, i64)> = work
            .positions
            .iter()
            .filter_map(|(stream, partition, offset)| {
                let topic = topology.streams.get(*stream)?.topic.as_ref().filter(|topic| topic.cluster == cluster)?;
                Some((topic.topic.clone(), *partition, *offset))
            })
            .collect();
        match offsets.is_empty() {
            true => {}
            false if several => subscription.commit_later(&offsets)?,
            false => subscription.commit(&offsets)?,
        }
    }
    Ok(())
}
