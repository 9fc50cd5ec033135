//! Puts a savepoint in the place of a pipeline's state: as one write into the store, or as one transaction into the logs at Kafka.
//!
//! What the pipeline has written to its topics since stays there.

use super::super::ledger::Ledger;
use super::super::supervise::SLICES;
use super::super::{Brokers, schema};
use super::under_way::{Resend, UNDER_WAY};
use super::{Depot, SavedPosition, Savepoint, SavepointError};
use crate::broker::{Closed, Member, PartitionOffset};
use crate::config::{Pipeline, Start};
use crate::store::{Changes, Run, Store, StoreError};
use crate::task::{Log, POSITIONS, SCHEMAS, Topology, is_state, log_of, moved_to, operator_of, put_start, read_place, record_key};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A savepoint, and the pipeline that it is to be restored into, of which it is known that they fit.
pub struct Restore<'a> {
    depot: &'a Depot,
    savepoint: &'a Savepoint,
    topology: &'a Topology,
    brokers: &'a Brokers,
    /// The streams that the pipeline reads.
    reads: BTreeSet<&'a str>,
    /// Where to start in partitions that the savepoint says nothing of.
    starts: Changes,
}

/// So many changes of a store are in memory at once.
const CHUNK: usize = 50_000;

impl<'a> Restore<'a> {
    /// Compares a savepoint with a pipeline. With `partly`, operators and streams that the pipeline has not are left out.
    ///
    /// # Errors
    /// Why it does not fit, and what to do.
    pub fn new(
        depot: &'a Depot,
        savepoint: &'a Savepoint,
        (pipeline, topology, brokers): (&Pipeline, &'a Topology, &'a Brokers),
        partly: bool,
    ) -> Result<Restore<'a>, SavepointError> {
        if savepoint.pipeline != topology.name {
            let (name, of, pipeline) = (savepoint.name.clone(), savepoint.pipeline.clone(), topology.name.clone());
            return Err(SavepointError::Foreign { name, of, pipeline });
        }
        let read = topology.groups.iter().flat_map(|group| &group.reads);
        let read: BTreeSet<usize> = read.copied().collect();
        let reads = read.iter().filter_map(|s| topology.streams.get(*s)).map(|stream| stream.name.as_str()).collect();
        let mut restore = Restore { depot, savepoint, topology, brokers, reads, starts: Changes::default() };
        if !partly {
            restore.check_all_has_a_place()?;
        }
        restore.check_operators()?;
        // How far a topic was read that every task reads whole, each task remembers for itself; passages are read from where they end.
        let placed = |s: &usize| topology.streams.get(*s).is_some_and(|stream| !stream.everywhere && stream.carries.is_none());
        for s in read.into_iter().filter(placed) {
            let Some(topic) = topology.streams.get(s).and_then(|stream| stream.topic.as_ref()) else { continue };
            let from_start = pipeline.streams.get(s).is_some_and(|stream| stream.start == Start::Earliest);
            restore.check_positions(s, &topic.topic, from_start)?;
        }
        Ok(restore)
    }

    fn check_all_has_a_place(&self) -> Result<(), SavepointError> {
        let operators = self.savepoint.operators.iter().map(|operator| operator.name.as_str()).filter(|name| !self.has(name));
        let mut left: Vec<String> = operators.map(|name| format!("the operator `{name}`")).collect();
        let read = self.savepoint.positions.iter().map(|position| position.stream.as_str());
        let streams: BTreeSet<&str> = read.chain(self.savepoint.under_way.keys().map(String::as_str)).collect();
        left.extend(streams.difference(&self.reads).map(|name| format!("the stream `{name}`")));
        if left.is_empty() { Ok(()) } else { Err(SavepointError::NotRestored(left.join(", "))) }
    }

    fn check_operators(&self) -> Result<(), SavepointError> {
        for node in &self.topology.operators {
            let Some(saved) = self.savepoint.operators.iter().find(|saved| saved.name == *node.name) else { continue };
            let operator = saved.name.clone();
            let now = self.topology.groups.get(node.group).map_or(1, |group| group.parallelism);
            if let Some(then) = saved.slices.filter(|then| *then != now) {
                return Err(SavepointError::Slices { operator, then, now });
            }
            let check = schema::check_version(&node.name, saved.schema, node.plugin.manifest());
            check.verdict().map_err(|why| SavepointError::Schema { operator, why })?;
        }
        Ok(())
    }

    fn check_positions(&mut self, s: usize, topic: &str, from_start: bool) -> Result<(), SavepointError> {
        let brokers = self.brokers;
        let (name, partitions) = (self.topology.streams.get(s).map_or("", |stream| &stream.name), brokers.partitions(s));
        let mut known = BTreeSet::new();
        for at in self.savepoint.positions.iter().filter(|at| at.stream == name) {
            known.insert(at.partition);
            let wrong = |there: String| {
                Err(SavepointError::Position { stream: name.to_owned(), partition: at.partition, offset: at.offset, there })
            };
            if at.partition >= partitions {
                return wrong(format!("are {partitions} partitions"));
            }
            let Some(broker) = brokers.all().get(brokers.of_stream(s)) else { continue };
            match broker.bounds(topic, at.partition as i32)? {
                Some((_, end)) if at.offset > end => return wrong(format!("is nothing from offset {end} on")),
                Some((first, _)) if at.offset < first => return wrong(format!("is nothing left before offset {first}")),
                _ => {}
            }
        }
        for partition in (0..partitions).filter(|partition| from_start && !known.contains(partition)) {
            put_start(name, partition, 0, &mut self.starts);
        }
        Ok(())
    }

    fn has(&self, operator: &str) -> bool {
        self.topology.operators.iter().any(|node| *node.name == *operator)
    }

    /// Whether an entry is of an operator or a stream that the pipeline has.
    fn takes(&self, space: &str, key: &[u8], value: &[u8]) -> bool {
        match operator_of(space) {
            Some(operator) => self.has(operator),
            None => read_place(key, value).is_some_and(|((stream, _), _)| self.reads.contains(stream)),
        }
    }

    /// An entry as it goes to where it is restored; `None` where the pipeline has no place for it.
    fn adapt<'v>(&self, resend: &Resend<'_>, space: &str, key: &[u8], value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        if space == UNDER_WAY || !self.takes(space, key, value) {
            return None;
        }
        let place = read_place(key, value).filter(|_| space == POSITIONS);
        match place.and_then(|((stream, partition), _)| resend.from(stream, partition)) {
            Some(from) => moved_to(value, from).map(Cow::Owned),
            None => Some(Cow::Borrowed(value)),
        }
    }

    /// The way back into the passages. Those of which the savepoint knows nothing are read from where they end, too.
    fn resend(&mut self, ledger: Option<&Ledger>) -> Result<Resend<'a>, SavepointError> {
        let resend = Resend::open(self.topology, self.brokers, ledger)?;
        for (stream, partition, from) in resend.places() {
            if !self.savepoint.positions.iter().any(|at| (at.stream.as_str(), at.partition) == (stream, partition)) {
                put_start(stream, partition, from, &mut self.starts);
            }
        }
        Ok(resend)
    }

    // --- into the store ---

    /// Replaces everything in the store, or nothing.
    pub fn into_store(mut self, store: &dyn Store) -> Result<(), SavepointError> {
        let mut resend = self.resend(None)?;
        let mut clearing = Clearing::new(store, |space| is_state(space) || space == SCHEMAS || space == SLICES)?;
        let (mut parts, mut failed) = (self.savepoint.parts.iter(), None);
        let mut step = |run: &mut Changes| -> Result<Run, SavepointError> {
            if clearing.next(store, run)? {
                return Ok(Run::More);
            }
            if let Some(part) = parts.next() {
                self.depot.entries(self.savepoint, part, &mut |space, key, value| -> Result<(), SavepointError> {
                    if space == UNDER_WAY {
                        resend.send(key, value)?;
                    } else if let Some(value) = self.adapt(&resend, space, key, value) {
                        run.put(space, key, &value);
                    }
                    Ok(())
                })?;
                return Ok(Run::More);
            }
            self.facts(|_| true, run);
            run.extend(&self.starts);
            // What is outside the store is there before the store says so: a crash in between repeats events, and loses none.
            resend.flush(run)?;
            Ok(Run::Last)
        };
        let written = store.write_runs(&mut |run| {
            step(run).unwrap_or_else(|why| {
                failed = Some(why);
                Run::GiveUp
            })
        })?;
        resend.settled(written);
        match failed {
            Some(why) if !written => Err(why),
            _ => Ok(()),
        }
    }

    /// What the store knows of operators besides what their tasks remember.
    fn facts(&self, of: impl Fn(&str) -> bool, into: &mut Changes) {
        for saved in self.savepoint.operators.iter().filter(|saved| self.has(&saved.name) && of(&saved.name)) {
            let mut put = |space, number: Option<u32>| {
                into.set(space, saved.name.as_bytes(), number.map(u32::to_le_bytes).as_ref().map(|bytes| &bytes[..]))
            };
            put(SCHEMAS, saved.schema);
            put(SLICES, saved.slices);
        }
    }

    // --- into the logs ---

    /// Replaces everything in the logs at Kafka, with the group's offsets, or nothing; the store, which is where the logs end, is brought along.
    pub fn into_logs(mut self, store: &dyn Store, ledger: &Ledger, member: Option<&Member>) -> Result<(), SavepointError> {
        let mut resend = self.resend(Some(ledger))?;
        self.send_again(&mut resend)?;
        let mut logs = Logs { topology: self.topology, closed: ledger.close()?, key: Vec::new() };
        let mine = |space: &str| is_state(space) && operator_of(space).is_none_or(|operator| self.has(operator));
        let mut clearing = Clearing::new(store, mine)?;
        let mut run = Changes::default();
        while clearing.next(store, &mut run)? {
            run.iter().try_for_each(|(space, key, value)| logs.append(space, key, value))?;
            run.clear();
        }
        for part in &self.savepoint.parts {
            self.depot.entries(self.savepoint, part, &mut |space, key, value| match self.adapt(&resend, space, key, value) {
                Some(value) => logs.append(space, key, Some(&value)),
                None => Ok(()),
            })?;
        }
        self.starts.iter().try_for_each(|(space, key, value)| logs.append(space, key, value))?;
        for node in self.topology.operators.iter().filter(|node| node.is_keyed()) {
            let saved = self.savepoint.operators.iter().find(|saved| saved.name == *node.name);
            logs.append_schema(&node.name, saved.and_then(|saved| saved.schema))?;
        }
        logs.closed.commit(&self.offsets(&resend, ledger.cluster()), member)?;
        resend.settled(true);
        let mut changes = Changes::default();
        self.facts(|operator| !self.topology.is_keyed(operator), &mut changes);
        store.write(&changes)?;
        let all = self.topology.groups.iter().flat_map(|group| &group.reads);
        let all = all.flat_map(|s| (0..self.partitions(*s)).map(|partition| (*s, partition)));
        Ok(ledger.catch_up(self.topology, &all.collect::<Vec<_>>(), store)?)
    }

    /// Sends what was under way again; what comes into the open transaction must be there before that is closed.
    fn send_again(&self, resend: &mut Resend<'_>) -> Result<(), SavepointError> {
        if self.savepoint.under_way.is_empty() {
            return Ok(());
        }
        for part in &self.savepoint.parts {
            self.depot.entries(self.savepoint, part, &mut |space, key, value| match space {
                UNDER_WAY => resend.send(key, value),
                _ => Ok(()),
            })?;
        }
        // No such sink is in the store.
        resend.flush(&mut Changes::default())
    }

    fn partitions(&self, stream: usize) -> u32 {
        self.topology.streams.get(stream).and_then(|stream| stream.topic.as_ref()).map_or(0, |topic| topic.partitions)
    }

    /// What the group is told of its topics at a cluster.
    fn offsets(&self, resend: &Resend<'_>, cluster: usize) -> Vec<PartitionOffset> {
        let topic_of = |name: &str| {
            let stream = self.topology.streams.iter().find(|stream| stream.name == name && self.reads.contains(name))?;
            stream.topic.as_ref().filter(|topic| topic.cluster == cluster).map(|topic| topic.topic.clone())
        };
        let saved = self.savepoint.positions.iter();
        let from = |at: &SavedPosition| resend.from(&at.stream, at.partition).unwrap_or(at.offset);
        let saved = saved.filter_map(|at| Some((topic_of(&at.stream)?, at.partition as i32, from(at))));
        let starts = self.starts.iter().filter_map(|(_, key, value)| {
            let ((stream, partition), (offset, _)) = read_place(key, value?)?;
            Some((topic_of(stream)?, partition as i32, offset))
        });
        saved.chain(starts).collect()
    }
}

/// A transaction's way into the logs.
struct Logs<'a> {
    topology: &'a Topology,
    closed: Box<dyn Closed>,
    key: Vec<u8>,
}

impl Logs<'_> {
    fn append(&mut self, space: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), SavepointError> {
        let Some((log, slice)) = log_of(space, |operator| self.topology.is_keyed(operator)) else { return Ok(()) };
        record_key(log, space, key, &mut self.key);
        Ok(self.closed.append(&log.topic(&self.topology.name), slice as i32, &self.key, value)?)
    }

    /// The version goes with every slice, as those may be in different places.
    fn append_schema(&mut self, operator: &str, schema: Option<u32>) -> Result<(), SavepointError> {
        let node = self.topology.operators.iter().find(|node| *node.name == *operator);
        let slices = node.and_then(|node| self.topology.groups.get(node.group)).map_or(0, |group| group.parallelism);
        let (log, version) = (Log::Operator(operator), schema.map(u32::to_le_bytes));
        record_key(log, SCHEMAS, operator.as_bytes(), &mut self.key);
        let topic = log.topic(&self.topology.name);
        (0..slices)
            .try_for_each(|slice| Ok(self.closed.append(&topic, slice as i32, &self.key, version.as_ref().map(|bytes| &bytes[..]))?))
    }
}

/// The deletion of everything in some spaces of a store, a run at a time.
struct Clearing {
    spaces: Vec<String>,
    /// Where to go on in the last of them.
    from: Vec<u8>,
}

impl Clearing {
    fn new(store: &dyn Store, of: impl Fn(&str) -> bool) -> Result<Clearing, StoreError> {
        Ok(Clearing { spaces: store.spaces()?.into_iter().filter(|space| of(space)).collect(), from: Vec::new() })
    }

    /// Adds the next deletions; false when there are no more.
    fn next(&mut self, store: &dyn Store, run: &mut Changes) -> Result<bool, StoreError> {
        let Some(space) = self.spaces.last() else { return Ok(false) };
        let mut rest = None;
        store.scan(space, &self.from, &mut |key, _| {
            if run.len() >= CHUNK {
                rest = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            run.delete(space, key);
            ControlFlow::Continue(())
        })?;
        self.from = rest.unwrap_or_else(|| {
            self.spaces.pop();
            Vec::new()
        });
        Ok(true)
    }
}
