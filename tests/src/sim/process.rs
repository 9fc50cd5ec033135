//! A process's way to a [`Cluster`]: the broker that the engine is given. At every step it asks a [`Watch`] what is to go wrong there.

use super::cluster::{Cluster, Seat};
use super::group::News;
use crate::sim::faults::{Point, Verdict, Watch};
use parking_lot::Mutex;
use sangam::broker::{
    Appended, Assignment, Broker, BrokerError, Closed, Handback, Member, OutRecord, PartitionOffset, Polled, Replay, Replayed, Sink,
    Source, Start, Subscribe, Subscription, Transactions,
};
use sangam::events::Events;
use sangam::store::Changes;
use sangam::time::WATERMARK_MIN;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One process; its clones are the same one.
#[derive(Clone)]
pub struct Process {
    cluster: Cluster,
    id: u64,
    alive: Arc<AtomicBool>,
    watch: Watch,
    /// The id under which it writes.
    writes_as: Arc<Mutex<Option<String>>>,
}

struct ProcessSubscription {
    process: Process,
    group: String,
    topics: Vec<String>,
    subscribe: Subscribe,
    member: u64,
    held: Vec<(String, i32)>,
    sources: Vec<Arc<AtomicBool>>,
    /// It has been given a partition: before that, as far as a client knows, it is no member yet.
    joined: bool,
    /// It was thrown out of the group once and is in it again: nothing that is read since may be committed.
    forfeited: bool,
}

struct ProcessSource {
    process: Process,
    topic: String,
    partition: i32,
    next: i64,
    lost: Arc<AtomicBool>,
}

struct PlainSink(Process);

struct ProcessTransactions(Arc<Turns>);

/// Two producers, one of which is written to.
struct Turns {
    process: Process,
    seats: [Seat; 2],
    current: AtomicUsize,
}

struct TransactionSink(Arc<Turns>);

struct Closing {
    turns: Arc<Turns>,
    seat: Seat,
    logs: Vec<Appended>,
}

/// Who a subscription is in its group.
struct Who {
    group: String,
    member: u64,
}

// === impl Process ===

impl Process {
    /// A process that starts now.
    pub fn start(cluster: &Cluster, watch: Watch) -> Process {
        let mut state = cluster.0.lock();
        state.processes += 1;
        let (id, alive) = (state.processes, Arc::new(AtomicBool::new(true)));
        Process { cluster: cluster.clone(), id, alive, watch, writes_as: Arc::default() }
    }

    /// It is gone from one moment to the next: nothing that it still tries has an effect, and nobody is told.
    pub fn kill(&self) {
        self.alive.store(false, Ordering::SeqCst);
        self.fall_silent();
    }

    /// Nobody has heard of it for longer than any timeout. It does not know.
    pub fn fall_silent(&self) {
        let mut state = self.cluster.0.lock();
        state.groups.values_mut().for_each(|group| group.expel(self.id));
        state.silent.insert(self.id);
    }

    /// It is the one that partitions are lent to.
    pub fn be_guest(&self, group: &str) {
        self.cluster.0.lock().groups.entry(group.to_owned()).or_default().be_guest(self.id);
    }

    /// The group has thrown it out; its transactions are not concerned.
    pub fn expel(&self) {
        self.cluster.0.lock().groups.values_mut().for_each(|group| group.expel(self.id));
    }

    /// Somebody else begins to write under its id, as a copy of it would.
    pub fn fence(&self) {
        if let Some(id) = self.writes_as.lock().clone() {
            let mut state = self.cluster.0.lock();
            (0..2).for_each(|turn| drop(state.init(&format!("{id}-{turn}"), 0)));
        }
    }

    fn at(&self, point: Point) -> Result<bool, BrokerError> {
        let verdict = if self.is_alive() { self.watch.at(point) } else { Verdict::Fail };
        match verdict {
            _ if !self.is_alive() => Err(BrokerError::Retry(format!("{point:?}: this process has crashed"))),
            Verdict::Go => Ok(true),
            Verdict::Nothing => Ok(false),
            Verdict::Fail => Err(BrokerError::Retry(format!("{point:?}: no answer"))),
        }
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }
}

impl Broker for Process {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        Ok(self.cluster.0.lock().topics.get(topic).map(|partitions| partitions.len() as u32))
    }

    fn bounds(&self, topic: &str, partition: i32) -> Result<Option<(i64, i64)>, BrokerError> {
        if !self.is_alive() {
            return Err(BrokerError::Retry("this process has crashed".to_owned()));
        }
        Ok(Some((0, self.cluster.0.lock().partition(topic, partition)?.len() as i64)))
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.cluster.create(topic, partitions);
        Ok(())
    }

    fn subscribe(&self, subscribe: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        self.at(Point::Join)?;
        let mut state = self.cluster.0.lock();
        if let Some(missing) = subscribe.names().find(|topic| !state.topics.contains_key(*topic)) {
            return Err(BrokerError::NoTopic(missing.to_owned()));
        }
        let topics: Vec<String> = subscribe.names().map(str::to_owned).collect();
        let member = state.groups.entry(subscribe.group.clone()).or_default().join(self.id, &topics);
        let (held, sources) = (Vec::new(), Vec::new());
        Ok(Box::new(ProcessSubscription {
            process: self.clone(),
            group: subscribe.group.clone(),
            subscribe: subscribe.clone(),
            member,
            held,
            sources,
            topics,
            joined: false,
            forfeited: false,
        }))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        self.at(Point::Start)?;
        Ok(Box::new(PlainSink(self.clone())))
    }

    fn has_transactions(&self) -> bool {
        true
    }

    fn transactions(&self, id: &str) -> Result<Option<Arc<dyn Transactions>>, BrokerError> {
        self.at(Point::Init)?;
        *self.writes_as.lock() = Some(id.to_owned());
        let mut state = self.cluster.0.lock();
        let seats = [0, 1].map(|turn| state.init(&format!("{id}-{turn}"), self.id));
        let turns = Turns { process: self.clone(), seats, current: AtomicUsize::new(0) };
        Ok(Some(Arc::new(ProcessTransactions(Arc::new(turns)))))
    }

    fn replay(&self, topic: &str, partition: i32, from: Option<i64>, each: Replayed<'_>) -> Result<Replay, BrokerError> {
        // Logs are read before the work begins, passages while it goes on.
        let point = if topic.ends_with(".repartition") { Point::UnderWay } else { Point::Replay };
        let (read, runs) = self.cluster.0.lock().replay(topic, partition, from)?;
        // A look at what there is since, where nothing is, is no reading back.
        if from.is_none() || !runs.is_empty() || !self.is_alive() {
            self.at(point)?;
        }
        for run in &runs {
            each(run)?;
            self.at(point)?;
        }
        Ok(read)
    }
}

// === impl ProcessSubscription ===

impl Subscription for ProcessSubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        self.process.at(Point::Rebalance)?;
        let cluster = self.process.cluster.clone();
        let mut state = cluster.0.lock();
        if !state.groups.get(&self.group).is_some_and(|group| group.is_member(self.member)) {
            // As a client does, it hears of that and joins again.
            self.forfeited = true;
            self.member = state.groups.entry(self.group.clone()).or_default().join(self.process.id, &self.topics);
            self.sources.drain(..).for_each(|lost| lost.store(true, Ordering::SeqCst));
            let lost = self.held.drain(..);
            return Ok(lost.map(|(topic, partition)| Assignment::Lost { topic, partition, handback: Handback::too_late() }).collect());
        }
        let news = state.news(&self.group, self.member);
        let mut told = Vec::new();
        for news in news {
            told.push(match news {
                News::Gained((topic, partition)) => {
                    let committed = state.groups.get(&self.group).and_then(|g| g.offsets.get(&(topic.clone(), partition)).copied());
                    let lost = Arc::new(AtomicBool::new(false));
                    self.joined = true;
                    self.held.push((topic.clone(), partition));
                    self.sources.push(lost.clone());
                    let end = state.partition(&topic, partition)?.len() as i64;
                    let next = committed.unwrap_or(if self.subscribe.start_of(&topic) == Start::Latest { end } else { 0 });
                    let source = Box::new(ProcessSource { process: self.process.clone(), topic: topic.clone(), partition, next, lost });
                    Assignment::Gained { topic, partition, committed, source }
                }
                News::Lost((topic, partition), handback) => {
                    if let Some(at) = self.held.iter().position(|held| *held == (topic.clone(), partition)) {
                        self.held.remove(at);
                        self.sources.remove(at).store(true, Ordering::SeqCst);
                    }
                    Assignment::Lost { topic, partition, handback }
                }
            });
        }
        Ok(told)
    }

    fn commit(&mut self, offsets: &[PartitionOffset]) -> Result<(), BrokerError> {
        let mut state = self.process.cluster.0.lock();
        match state.groups.get_mut(&self.group) {
            Some(group) if group.is_member(self.member) => {
                group.offsets.extend(offsets.iter().map(|(topic, partition, offset)| ((topic.clone(), *partition), *offset)));
                Ok(())
            }
            _ => Err(BrokerError::Fenced("not a member of the group any more".to_owned())),
        }
    }

    fn member(&mut self) -> Result<Option<Member>, BrokerError> {
        let who = Who { group: self.group.clone(), member: self.member };
        let state = self.process.cluster.0.lock();
        match state.groups.get(&self.group) {
            Some(group) if group.is_member(self.member) && self.joined && !self.forfeited => Ok(Some(Member::new(who))),
            _ => Err(BrokerError::Fenced("not a member of the group any more".to_owned())),
        }
    }
}

impl Drop for ProcessSubscription {
    fn drop(&mut self) {
        if self.process.is_alive()
            && let Some(group) = self.process.cluster.0.lock().groups.get_mut(&self.group)
        {
            group.leave(self.member);
        }
    }
}

// === impl ProcessSource ===

impl Source for ProcessSource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        self.next = offset;
        Ok(())
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        if !self.process.at(Point::Poll)? || self.lost.load(Ordering::SeqCst) {
            return Ok(Polled::Empty);
        }
        let read = self.process.cluster.0.lock().read(&self.topic, self.partition, &mut self.next, max, into)?;
        Ok(if read > 0 { Polled::Some(read) } else { Polled::Empty })
    }

    fn lag(&self) -> Option<u64> {
        let mut state = self.process.cluster.0.lock();
        let end = state.partition(&self.topic, self.partition).ok()?.len() as i64;
        u64::try_from(end - self.next).ok()
    }
}

// === sinks ===

impl Sink for PlainSink {
    fn write(&mut self, record: &OutRecord<'_>, _: &mut Changes) -> Result<(), BrokerError> {
        self.0.at(Point::Produce)?;
        self.0.cluster.write(&[*record]);
        Ok(())
    }

    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        Ok(())
    }

    fn settled(&mut self, _: bool) {}
}

impl Sink for TransactionSink {
    fn write(&mut self, record: &OutRecord<'_>, _: &mut Changes) -> Result<(), BrokerError> {
        self.0.process.at(Point::Produce)?;
        self.0.process.cluster.0.lock().append(self.0.seat(), record).map(drop)
    }

    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        Ok(())
    }

    fn settled(&mut self, _: bool) {}
}

// === transactions ===

impl Turns {
    fn seat(&self) -> &Seat {
        &self.seats[self.current.load(Ordering::SeqCst) & 1]
    }
}

impl Drop for Turns {
    /// A writer that goes in peace leaves no transaction open.
    fn drop(&mut self) {
        if self.process.is_alive() {
            let mut state = self.process.cluster.0.lock();
            for seat in &self.seats {
                // One that is another's by now is that one's business.
                let _ = state.finish(seat, false);
            }
        }
    }
}

impl Transactions for ProcessTransactions {
    fn sink(&self) -> Box<dyn Sink> {
        // Workers are about to start; nothing can go wrong here.
        let _ = self.0.process.at(Point::Start);
        Box::new(TransactionSink(self.0.clone()))
    }

    fn close(&self) -> Result<Box<dyn Closed>, BrokerError> {
        self.0.process.at(Point::Close)?;
        let seat = self.0.seat().clone();
        self.0.process.cluster.0.lock().owned(&seat)?;
        self.0.current.fetch_xor(1, Ordering::SeqCst);
        Ok(Box::new(Closing { turns: self.0.clone(), seat, logs: Vec::new() }))
    }
}

impl Closed for Closing {
    fn append(&mut self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), BrokerError> {
        let process = &self.turns.process;
        process.at(Point::Append)?;
        let record = OutRecord { topic, partition, key: Some(key), value, headers: &[], time: WATERMARK_MIN };
        let offset = process.cluster.0.lock().append(&self.seat, &record)?;
        match self.logs.iter_mut().find(|log| log.partition == partition && log.topic == topic) {
            Some(log) => log.end = offset + 1,
            None => self.logs.push(Appended { topic: topic.to_owned(), partition, first: offset, end: offset + 1 }),
        }
        Ok(())
    }

    fn commit(self: Box<Self>, offsets: &[PartitionOffset], member: Option<&Member>) -> Result<Vec<Appended>, BrokerError> {
        let process = &self.turns.process;
        process.at(Point::Offsets)?;
        if let Some(who) = member.and_then(Member::get::<Who>).filter(|_| !offsets.is_empty()) {
            let mut state = process.cluster.0.lock();
            if !state.groups.get(&who.group).is_some_and(|group| group.is_member(who.member)) {
                return Err(BrokerError::Fenced("not a member of the group any more".to_owned()));
            }
            state.add_offsets(&self.seat, &who.group, offsets)?;
        }
        process.at(Point::End)?;
        process.cluster.0.lock().finish(&self.seat, true)?;
        process.at(Point::Ended)?;
        Ok(self.logs)
    }
}
