//! What is left of a run, and what must be the same whatever went wrong in it.

use super::PIPELINE;
use super::cluster::{Cluster, Kept};
use super::timeline::Timeline;
use super::workload::Workload;
use crate::state::rank_timers;
use sangam::store::{Changes, MemoryStore, Pair, Store};
use sangam::task::{Log, put_back};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Everything in a store: space and key, value.
pub type Dump = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// Topic, partition and key of records. Those without a key go by the field `key` or `text` of their value.
type Place = (String, i32, Option<Vec<u8>>);

/// Values with their times, in order.
type Run = Vec<(Option<Vec<u8>>, i64)>;

/// What is left of a run.
pub struct Left {
    /// What readers of committed records see.
    outputs: BTreeMap<Place, Run>,
    /// State, timers, cells, by space.
    state: BTreeMap<String, Vec<Pair>>,
    /// What a look at one run alone shows to be wrong.
    wrong: Vec<String>,
}

impl Left {
    /// What a run has left, whose last process had `store`.
    pub fn of(cluster: &Cluster, workload: &Workload, timeline: &Timeline, store: Dump) -> Left {
        // What the dead have left open holds readers up no longer than its timeout.
        cluster.time_out();
        let mut outputs: BTreeMap<Place, Run> = BTreeMap::new();
        for (topic, partitions) in &workload.topics[1..] {
            for partition in 0..*partitions as i32 {
                let counting = cluster.committed(topic, partition).into_iter();
                for (_, kept) in counting.filter(|(offset, _)| timeline.counts(topic, partition, *offset)) {
                    let key = kept.key.clone().or_else(|| key_of(&kept));
                    outputs.entry(((*topic).to_owned(), partition, key)).or_default().push((kept.value, kept.time));
                }
            }
        }
        let mut wrong = Vec::new();
        let mut events = 0;
        for (topic, partitions) in workload.topics.iter().filter(|(topic, _)| workload.reads.contains(topic)) {
            for partition in 0..*partitions as i32 {
                let (read, last) =
                    (cluster.offset(PIPELINE, topic, partition), cluster.committed(topic, partition).last().map(|(o, _)| *o));
                // A marker may follow the last record; a reader need not have passed it.
                if last.is_some_and(|last| read.is_none_or(|read| read <= last)) {
                    wrong.push(format!("{topic}/{partition} was read to {read:?}, its last record is {last:?}"));
                }
            }
        }
        let (input, partitions) = workload.topics[0];
        (0..partitions as i32).for_each(|partition| events += cluster.committed(input, partition).len());
        let ended =
            outputs.iter().filter(|((topic, ..), _)| workload.ends.contains(&topic.as_str())).map(|(_, run)| run.len()).sum::<usize>();
        if !workload.ends.is_empty() && ended != events {
            wrong.push(format!("{events} events came in, {ended} have ended"));
        }
        let logs = from_logs(cluster);
        for (at, value) in &logs {
            if store.get(at) != Some(value) {
                wrong.push(format!("{} {:?}: the logs say {value:?}, the store {:?}", at.0, String::from_utf8_lossy(&at.1), store.get(at)));
            }
        }
        let kept = |space: &str| ["state/", "cells/", "waiting/"].iter().any(|prefix| space.starts_with(prefix));
        // Without exactly-once there are no logs.
        for at in store.keys().filter(|at| !logs.is_empty() && kept(&at.0) && !logs.contains_key(at)) {
            wrong.push(format!("{} {:?}: in the store, but not in the logs", at.0, String::from_utf8_lossy(&at.1)));
        }
        let mut state: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
        for ((space, key), value) in store.into_iter().filter(|((space, _), _)| kept(space)) {
            state.entry(space).or_default().push((key, value));
        }
        for pairs in state.iter_mut().filter(|(space, _)| space.starts_with("state/")).map(|(_, pairs)| pairs) {
            match workload.keys_anew() {
                // Whose timers are set first depends on how what several tasks send is mixed.
                true => pairs.iter_mut().for_each(|pair| rank_timers(std::slice::from_mut(pair))),
                false => rank_timers(pairs),
            }
        }
        Left { outputs, state, wrong }
    }

    /// Whether it is what is wanted; otherwise what is not.
    pub fn compare(&self, wanted: &Left) -> Result<(), String> {
        let mut wrong: Vec<String> = wanted.wrong.iter().map(|why| format!("undisturbed: {why}")).chain(self.wrong.clone()).collect();
        for place in self.outputs.keys().chain(wanted.outputs.keys()) {
            let (got, wanted) = (self.outputs.get(place), wanted.outputs.get(place));
            if got != wanted {
                let (topic, partition, key) = place;
                let key = key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned());
                wrong.push(format!("{topic}/{partition} {key:?}:\n    got    {}\n    wanted {}", told(got), told(wanted)));
            }
        }
        for space in self.state.keys().chain(wanted.state.keys()) {
            let (got, wanted) = (self.state.get(space), wanted.state.get(space));
            if got != wanted {
                wrong.push(format!("{space}:\n    got    {got:?}\n    wanted {wanted:?}"));
            }
        }
        wrong.dedup();
        let more = wrong.len().saturating_sub(WRONG_MAX);
        wrong.truncate(WRONG_MAX);
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n    and {more} more", wrong.join("\n  "))) }
    }
}

fn key_of(kept: &Kept) -> Option<Vec<u8>> {
    let value: serde_json::Value = rmp_serde::from_slice(kept.value.as_ref()?).ok()?;
    Some(value.get("key").or_else(|| value.get("text"))?.as_str()?.as_bytes().to_vec())
}

/// So much of what is wrong is told.
const WRONG_MAX: usize = 6;

fn told(run: Option<&Run>) -> String {
    let value = |value: &Option<Vec<u8>>| match value {
        Some(value) => rmp_serde::from_slice::<serde_json::Value>(value).map_or_else(|_| format!("{value:?}"), |value| value.to_string()),
        None => "-".to_owned(),
    };
    run.map_or("nothing".to_owned(), |run| run.iter().map(|(v, time)| format!("{}@{time}", value(v))).collect::<Vec<_>>().join(" "))
}

/// All that is in a store.
pub fn dump(store: &dyn Store) -> Dump {
    let mut all = Dump::new();
    for space in store.spaces().unwrap() {
        let mut keep = |key: &[u8], value: &[u8]| {
            all.insert((space.clone(), key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(&space, &[], &mut keep).unwrap();
    }
    all
}

/// What the logs amount to.
fn from_logs(cluster: &Cluster) -> Dump {
    let store = MemoryStore::new();
    for (topic, partitions) in cluster.topics() {
        let operator = topic.strip_prefix(&format!("{PIPELINE}.")).and_then(|rest| rest.strip_suffix(".changelog"));
        let log = match operator {
            Some(operator) => Log::Operator(operator),
            None if topic == Log::Positions.topic(PIPELINE) => Log::Positions,
            None => continue,
        };
        for slice in 0..partitions {
            let mut changes = Changes::default();
            for (_, kept) in cluster.committed(&topic, slice) {
                put_back(log, slice as u32, &kept.key.unwrap_or_default(), kept.value.as_deref(), &mut changes).unwrap();
            }
            store.write(&changes).unwrap();
        }
    }
    dump(&store)
}
