//! How far a task has heard what every task of an operator is to know: each process reads it all, so a task that has moved here may know more
//! than the reader has come to, or less.
//!
//! The reader starts where the task that knows least left off; every other task skips what it knows.

use super::{Topology, read_position};
use crate::events::Events;
use crate::store::{Changes, Store, StoreError};
use std::collections::BTreeMap;

/// How far one operator's slice has heard each partition of the streams that every process reads.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// By stream and partition: the offset of the first event that it does not know.
    next: BTreeMap<(usize, u32), i64>,
    changed: bool,
}

/// The first offset of a followed stream's partition that some slice does not know; `slices` are operators and slices.
pub fn unheard(
    topology: &Topology,
    stream: usize,
    partition: u32,
    slices: impl Iterator<Item = (usize, u32)>,
    store: &dyn Store,
) -> Result<i64, StoreError> {
    let mut least: Option<i64> = None;
    for (operator, slice) in slices {
        let next = place(topology, operator, slice, stream, partition, store)?;
        least = Some(least.map_or(next, |least| least.min(next)));
    }
    Ok(least.unwrap_or(0))
}

fn space(operator: &str, slice: u32) -> String {
    format!("heard/{operator}/{slice}")
}

fn key(stream: &str, partition: u32) -> String {
    format!("{stream}/{partition}")
}

fn place(topology: &Topology, operator: usize, slice: u32, stream: usize, partition: u32, store: &dyn Store) -> Result<i64, StoreError> {
    let (Some(node), Some(stream)) = (topology.operators.get(operator), topology.streams.get(stream)) else { return Ok(0) };
    let known = store.get(&space(&node.name, slice), key(&stream.name, partition).as_bytes())?;
    if let Some(known) = known.and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes) {
        return Ok(known);
    }
    // A store from before tasks kept their own places has one for all of them.
    Ok(read_position(store, &stream.name, partition as i32)?.map_or(0, |(next, _)| next.max(0)))
}

impl Heard {
    /// What an operator's slice knew at the last commit.
    pub fn restore(topology: &Topology, operator: usize, slice: u32, store: &dyn Store) -> Result<Heard, StoreError> {
        let mut next = BTreeMap::new();
        for (s, stream) in topology.streams.iter().enumerate() {
            if !stream.everywhere || stream.consumers.iter().all(|consumer| consumer.operator != operator) {
                continue;
            }
            for partition in 0..stream.topic.as_ref().map_or(0, |topic| topic.partitions) {
                next.insert((s, partition), place(topology, operator, slice, s, partition, store)?);
            }
        }
        Ok(Heard { next, changed: false })
    }

    /// Takes events out that are known, and takes note of the others.
    pub fn sift(&mut self, stream: usize, partition: u32, events: &mut Events) {
        let Some(last) = events.rows.last().map(|row| row.offset) else { return };
        let next = self.next.entry((stream, partition)).or_default();
        let known = events.rows.iter().take_while(|row| row.offset < *next).count();
        if known > 0 {
            let mut news = Events::default();
            (known..events.len()).for_each(|i| news.push_from(events, i));
            let unreadable = events.unreadable.drain(..).filter(|(row, _)| *row >= known);
            news.unreadable = unreadable.map(|(row, why)| (row - known, why)).collect();
            *events = news;
        }
        if last >= *next {
            *next = last + 1;
            self.changed = true;
        }
    }

    /// Adds what has changed to a commit.
    pub fn changes(&mut self, topology: &Topology, operator: &str, slice: u32, into: &mut Changes) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let space = space(operator, slice);
        for ((stream, partition), next) in &self.next {
            let Some(stream) = topology.streams.get(*stream) else { continue };
            into.put(&space, key(&stream.name, *partition).as_bytes(), &next.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Record;

    fn run(offsets: std::ops::Range<i64>) -> Events {
        let mut events = Events::default();
        offsets.for_each(|offset| events.push(&Record { value: Some(b"v"), offset, ..Record::default() }));
        events
    }

    fn offsets(events: &Events) -> Vec<i64> {
        events.rows.iter().map(|row| row.offset).collect()
    }

    #[test]
    fn what_is_known_is_taken_out_and_reasons_stay_with_their_events() {
        let mut heard = Heard::default();
        let mut events = run(0..5);
        heard.sift(1, 0, &mut events);
        assert_eq!(offsets(&events), [0, 1, 2, 3, 4]);
        let mut events = run(3..8);
        events.unreadable = vec![(1, "known".to_owned()), (3, "new".to_owned())];
        heard.sift(1, 0, &mut events);
        assert_eq!((offsets(&events), &events.unreadable), (vec![5, 6, 7], &vec![(1, "new".to_owned())]));
        let mut events = run(0..8);
        heard.sift(1, 0, &mut events);
        assert!(events.is_empty());
        // Another partition is another story, and so is another stream.
        let mut events = run(0..2);
        heard.sift(1, 1, &mut events);
        assert_eq!(offsets(&events), [0, 1]);
    }
}
