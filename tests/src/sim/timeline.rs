//! Which outputs count. A restore goes back to a savepoint, and what was written since stays in its topics, but is given up: it comes again.

use super::cluster::Cluster;
use std::collections::BTreeMap;
use std::ops::Range;

/// By topic and partition: the offsets that count.
type Ranges = BTreeMap<(String, i32), Vec<Range<i64>>>;

/// The outputs that count now, and those that counted at each savepoint.
pub struct Timeline {
    now: Ranges,
    /// As of the last time that a store was copied for a savepoint.
    copied: Ranges,
    saved: BTreeMap<String, Ranges>,
}

impl Timeline {
    /// All outputs count.
    pub fn new(outputs: &[(&str, u32)]) -> Timeline {
        let places =
            outputs.iter().flat_map(|(topic, partitions)| (0..*partitions as i32).map(|partition| ((*topic).to_owned(), partition)));
        let from_start: Range<i64> = 0..i64::MAX;
        let now: Ranges = places.map(|place| (place, vec![from_start.clone()])).collect();
        Timeline { copied: now.clone(), now, saved: BTreeMap::new() }
    }

    /// A store is copied for a savepoint: what has been written so far goes with it.
    pub fn copy(&mut self, cluster: &Cluster) {
        self.copied = self.now.clone();
        for ((topic, partition), ranges) in &mut self.copied {
            if let Some(last) = ranges.last_mut() {
                last.end = cluster.end(topic, *partition);
            }
        }
    }

    /// The savepoint of the last copy is finished.
    pub fn save(&mut self, name: &str) {
        self.saved.insert(name.to_owned(), self.copied.clone());
    }

    /// The savepoint that was finished last.
    pub fn latest(&self) -> Option<String> {
        let number = |name: &&String| name.trim_start_matches('s').parse::<u32>().ok();
        self.saved.keys().max_by_key(number).cloned()
    }

    /// A savepoint is in the place of the state: from here on, outputs follow those that it had.
    pub fn restore(&mut self, name: &str, cluster: &Cluster) {
        let Some(saved) = self.saved.get(name) else { return };
        self.now = saved.clone();
        for ((topic, partition), ranges) in &mut self.now {
            ranges.push(cluster.end(topic, *partition)..i64::MAX);
        }
    }

    /// Whether the record at an offset counts.
    pub fn counts(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.now.get(&(topic.to_owned(), partition)).is_none_or(|ranges| ranges.iter().any(|range| range.contains(&offset)))
    }
}
