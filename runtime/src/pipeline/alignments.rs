//! Which partitions keep pace with each other.

use crate::stage::{Aligned, Alignment};
use crate::task::{StreamNode, Topology};
use crate::time::Millis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The partitions that keep pace with each other, by the name of their group.
pub struct Alignments(BTreeMap<String, (Arc<Alignment>, usize)>);

impl Alignments {
    /// The groups of the partitions that are read, each given by its stream.
    pub fn new(topology: &Topology, held: impl Iterator<Item = usize>) -> Alignments {
        let mut members: BTreeMap<String, usize> = BTreeMap::new();
        for node in held.filter_map(|stream| topology.streams.get(stream)).filter(|node| node.max_drift.is_some()) {
            *members.entry(node.align.clone()).or_default() += 1;
        }
        Alignments(members.into_iter().map(|(name, members)| (name, (Alignment::new(members), 0))).collect())
    }

    /// The place of a stream's next partition, where that stream is aligned.
    pub fn place(&mut self, node: &StreamNode) -> Option<Aligned> {
        let drift = node.max_drift?.as_millis() as Millis;
        let (group, taken) = self.0.get_mut(&node.align)?;
        *taken += 1;
        Some(group.place(*taken - 1, drift))
    }
}
