//! THE loop of one partition: fetch, process, emit, commit.
//!
//! A task belongs to one thread at a time. It owns its partitions' readers, one stage per operator, and the lanes to other tasks. It
//! does not decide when to commit; `pipeline::supervise` does.

mod changelog;
mod commit;
mod heard;
mod intake;
mod lanes;
mod names;
mod outbox;
mod passage;
mod stamp;
mod standing;
mod step;
mod topology;
mod waiting;
mod writing;

pub use changelog::{Log, LogError, SCHEMAS, is_state, log_of, operator_of, put_back, record_key, spaces_of};
pub use commit::{Work, commit, tell};
pub use heard::unheard;
pub use intake::{Found, Intake, IntakeState, POSITIONS, moved_to, put_start, read_place, read_position};
pub use lanes::{Lanes, Links, Pace, Parcel, Switchboard};
pub use outbox::{Outbox, Refused};
pub use stamp::Stamp;
pub use standing::{ChannelStanding, OperatorStanding, SourceStanding};
pub use step::{Fetch, Step};
pub use topology::{Consumer, Group, Handover, OperatorNode, StreamNode, TopicRef, Topology};

use crate::broker::{BrokerError, Source};
use crate::config::{Batch, Priority};
use crate::events::Events;
use crate::route::{Scanner, partition_of};
use crate::stage::{Combined, Failure, FailureKind, OnError, Origin, Outputs, Stage, StageError, Subject};
use crate::store::Changes;
use crate::store::Store;
use crate::time::{Clock, Millis, WATERMARK_MAX, WATERMARK_MIN};
use crossbeam_channel::Receiver;
use heard::Heard;
use passage::Passage;
use std::sync::Arc;
use std::time::Duration;
use step::Progress;
use waiting::Waiting;

/// The most events that are fetched at once; a bound on how much one step holds in memory.
const FETCH_MAX: usize = 4096;

/// The most parcels that are taken from the inbox in one step, so that fetching is not starved.
const PARCELS_PER_STEP: usize = 8;

/// One partition of a group.
pub struct Task {
    topology: Arc<Topology>,
    /// The group.
    pub group: usize,
    /// The partition, and the slice of the keys.
    pub partition: u32,
    intakes: Vec<Intake>,
    inbox: Option<Receiver<Parcel>>,
    lanes: Lanes,
    /// By the stream that carries events on; `None` for all others.
    passages: Vec<Option<Passage>>,
    /// By operator; `None` for those of other groups.
    nodes: Vec<Option<Node>>,
    /// By stream: scanners of the streams that operators of this task write in memory.
    scanners: Vec<Option<Scanner>>,
    /// Buffers that have done their work and may do it again.
    spare: Vec<Events>,
    /// The watermarks of the rows at hand as their sender had them; kept for its memory only.
    own_watermarks: Vec<Millis>,
    clock: Arc<dyn Clock>,
    /// Something was emitted that nothing but a look at the clock has led to.
    emitted: bool,
    /// Somebody downstream had no room in this step.
    blocked: bool,
}

/// One operator in this task.
struct Node {
    stage: Stage,
    combined: Combined,
    outputs: Outputs,
    /// The stamp of the build that runs, where outputs bear one.
    stamp: Option<Stamp>,
    /// Events that wait for their batch, where the operator has a trigger.
    waiting: Option<Waiting>,
    /// What it knows of what every process reads.
    heard: Heard,
    /// For each channel: where its watermark stood when somebody looked, and since when.
    seen: Vec<(Millis, Millis)>,
}

/// Why a task cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Topics.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// An operator or the store.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl Task {
    /// A task over its sources and stages; `stages` has an entry for each operator of the group.
    pub fn new(
        topology: Arc<Topology>,
        group: usize,
        partition: u32,
        intakes: Vec<Intake>,
        stages: Vec<(usize, Stage)>,
        Links { inbox, lanes }: Links,
        clock: Arc<dyn Clock>,
    ) -> Task {
        let mut nodes: Vec<Option<Node>> = topology.operators.iter().map(|_| None).collect();
        for (operator, stage) in stages {
            let Some((node, place)) = topology.operators.get(operator).zip(nodes.get_mut(operator)) else { continue };
            let channels = node.channels.iter().map(|(first, count)| first + count).max().unwrap_or(0);
            let mut combined = Combined::new(channels);
            combined.start_at(stage.watermark());
            let outputs = Outputs::new(node.outputs.len());
            *place = Some(Node {
                stage,
                combined,
                outputs,
                stamp: None,
                waiting: None,
                heard: Heard::default(),
                seen: vec![(WATERMARK_MIN, clock.now()); channels],
            });
        }
        let scanners = topology.streams.iter().map(|stream| stream.topic.is_none().then(|| Scanner::new(&stream.wants, &[]))).collect();
        let (spare, own_watermarks) = (Vec::new(), Vec::new());
        let passages = Vec::new();
        Task {
            topology,
            group,
            partition,
            intakes,
            inbox,
            lanes,
            passages,
            nodes,
            scanners,
            spare,
            own_watermarks,
            clock,
            emitted: false,
            blocked: false,
        }
    }

    /// Brings back what was known of topics that every process reads, and the events that were waiting for their batch, at the last commit.
    pub fn restore_waiting(&mut self, store: &dyn Store) -> Result<(), StageError> {
        let topology = self.topology.clone();
        for (operator, (spec, node)) in topology.operators.iter().zip(&mut self.nodes).enumerate() {
            let Some(node) = node else { continue };
            node.heard = Heard::restore(&topology, operator, self.partition, store)?;
            let trigger = match spec.batch {
                Some(trigger) => trigger,
                // The pipeline has had a trigger before: what was left is handed over at once.
                None if Waiting::is_there(&spec.name, self.partition, store)? => {
                    Batch { count: Some(usize::MAX), interval: Some(Duration::ZERO) }
                }
                None => continue,
            };
            let waiting = Waiting::restore(trigger, topology.batch, &topology, operator, self.partition, store, self.clock.now())?;
            node.combined.start_at(waiting.last_watermark().unwrap_or(WATERMARK_MIN));
            node.waiting = Some(waiting);
        }
        Ok(())
    }

    /// Does a bounded piece of work. What it says of sources is about those that it may take from.
    pub fn step(&mut self, fetch: Fetch, outbox: &mut Outbox) -> Result<Step, TaskError> {
        let mut step = self.receive(outbox)?;
        if step.blocked || fetch == Fetch::Nothing {
            return Ok(step);
        }
        for i in 0..self.intakes.len() {
            if fetch == Fetch::Broadcasts && !self.leads(i) {
                continue;
            }
            let (mut fetched, _) = self.fetch(i, FETCH_MAX, outbox)?;
            if fetch == Fetch::Broadcasts {
                fetched.caught_up |= !fetched.busy && self.intakes.get(i).is_none_or(Intake::has_been_silent);
            }
            step = step.and(fetched);
        }
        Ok(step.and(self.look_at_the_clock(outbox)?))
    }

    /// The first part of a step: sends on what waits, and takes what other tasks have sent.
    pub fn receive(&mut self, outbox: &mut Outbox) -> Result<Step, TaskError> {
        let mut step = Step::NOTHING;
        self.emitted = false;
        let blocked = !self.lanes.flush();
        self.blocked = blocked;
        if blocked {
            (step.ended, step.caught_up, step.blocked) = (false, false, true);
            self.intakes.iter_mut().for_each(Intake::held_up);
        }
        // Someone downstream has no room: take nothing new, neither from the topic nor from other tasks. But tasks that wait for each
        // other, in one group or around a circle of groups, would wait for ever: those go on with what they were sent, which leads
        // further down and comes to an end.
        if blocked && !self.waits_for_its_circle() {
            return Ok(step);
        }
        for _ in 0..PARCELS_PER_STEP {
            let Some(parcel) = self.inbox.as_ref().and_then(|inbox| inbox.try_recv().ok()) else { break };
            step.busy = true;
            self.open(parcel, outbox)?;
        }
        Ok(step)
    }

    /// The second part of a step, once for each partition that the task reads: takes at most `max` events of it. With 0 it is another's turn,
    /// and the partition is not idle for that. Says how many there were, and whether there are more.
    pub fn read(&mut self, i: usize, max: usize, outbox: &mut Outbox) -> Result<(Step, usize, bool), TaskError> {
        if max > 0 && !self.blocked {
            let (step, found) = self.fetch(i, max.min(FETCH_MAX), outbox)?;
            return Ok((step, found.events, found.more));
        }
        if let Some(intake) = self.intakes.get_mut(i) {
            intake.held_up();
        }
        // What is blocked cannot be read, whoever waits for it.
        Ok((Step { ended: false, caught_up: false, ..Step::NOTHING }, 0, false))
    }

    /// The last part of a step: what is due by the clock.
    pub fn look_at_the_clock(&mut self, outbox: &mut Outbox) -> Result<Step, TaskError> {
        if self.blocked {
            return Ok(Step::NOTHING);
        }
        let caught_up = self.by_the_clock(outbox)?;
        Ok(Step { busy: self.emitted, caught_up, ..Step::NOTHING })
    }

    /// The priority of each partition that the task reads, in their order.
    pub fn priorities(&self) -> impl Iterator<Item = Priority> {
        self.intakes.iter().map(|intake| self.topology.streams.get(intake.stream).map_or_else(Priority::default, |node| node.priority))
    }

    /// How often, since it was last asked, somebody had to stop because of a full buffer: before the task, and behind it.
    pub fn held_up(&mut self) -> (u64, u64) {
        (self.intakes.iter_mut().map(Intake::times_stopped).sum(), self.lanes.times_stopped())
    }

    /// Records that topics have deleted unread since it was last asked.
    pub fn missed(&mut self) -> u64 {
        self.intakes.iter_mut().map(Intake::missed).sum()
    }

    /// Runs of events that are under way between tasks, all over the process.
    pub fn under_way(&self) -> usize {
        self.lanes.board().under_way()
    }

    /// What the clock alone brings about: batches whose time has come, timers in processing time. False while a batch has yet to come.
    fn by_the_clock(&mut self, outbox: &mut Outbox) -> Result<bool, TaskError> {
        let mut done = true;
        let now = self.clock.now();
        for operator in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(operator).and_then(Option::as_mut) else { continue };
            if let Some(runs) = node.waiting.as_mut().and_then(|waiting| waiting.take(now, false)) {
                self.hand_over(operator, &runs, outbox)?;
            }
            let Some(node) = self.nodes.get_mut(operator).and_then(Option::as_mut) else { continue };
            done &= node.waiting.as_ref().is_none_or(|waiting| !waiting.has_a_term());
            if node.stage.next_clock_timer().is_some_and(|at| at <= now) {
                node.outputs.clear();
                node.stage.fire_clock(&mut node.outputs)?;
                self.emitted = true;
                self.after_call(operator, outbox)?;
            }
        }
        Ok(done)
    }

    /// Tells the operators that nothing more will come from the sources: the watermark goes to the end of time.
    pub fn close(&mut self, outbox: &mut Outbox) -> Result<(), TaskError> {
        for i in 0..self.intakes.len() {
            // What comes through a passage ends when its senders say so.
            let Some(intake) = self.intakes.get_mut(i).filter(|intake| !intake.is_passage()) else { continue };
            intake.close();
            let stream = intake.stream;
            self.deliver(stream, &mut Events::default(), Progress { watermark: WATERMARK_MAX, pace: Pace::Active }, outbox)?;
        }
        Ok(())
    }

    /// Adds what changed since the last commit; returns the next offset of each topic partition, for the outside.
    pub fn prepare(&mut self, changes: &mut Changes) -> Vec<(usize, i32, i64)> {
        for (node, spec) in self.nodes.iter_mut().zip(&self.topology.operators) {
            let Some(node) = node else { continue };
            node.heard.changes(&self.topology, &spec.name, self.partition, changes);
            node.stage.changes(self.partition, changes);
            if let Some(waiting) = &mut node.waiting {
                waiting.changes(changes);
            }
        }
        let mut positions = Vec::new();
        for intake in &self.intakes {
            if let Some((partition, offset)) = self.topology.streams.get(intake.stream).and_then(|stream| intake.position(stream, changes))
            {
                positions.push((intake.stream, partition, offset));
            }
        }
        positions
    }

    /// What was prepared is part of a commit; what comes now belongs to the next one.
    pub fn committed(&mut self) {
        self.nodes.iter_mut().flatten().for_each(|node| node.stage.committed());
    }

    /// Everything committed is in the store.
    pub fn written(&mut self) {
        self.nodes.iter_mut().flatten().for_each(|node| node.stage.written());
    }

    /// Whether an operator runs here.
    pub fn runs(&self, operator: usize) -> bool {
        self.nodes.get(operator).is_some_and(Option::is_some)
    }

    /// The stage of an operator that runs here.
    pub fn stage(&mut self, operator: usize) -> Option<&mut Stage> {
        self.nodes.get_mut(operator)?.as_mut().map(|node| &mut node.stage)
    }

    /// Puts a changed topology in the place of the old one: the same streams, operators and groups, with an operator that wants other
    /// fields. Fields only ever get added, so that what other operators want stays in its place.
    pub fn rewire(&mut self, topology: Arc<Topology>) {
        for intake in &mut self.intakes {
            if let Some(stream) = topology.streams.get(intake.stream) {
                intake.rewire(stream);
            }
        }
        for (stream, scanner) in topology.streams.iter().zip(&mut self.scanners) {
            if scanner.is_some() {
                *scanner = Some(Scanner::new(&stream.wants, &[]));
            }
        }
        for waiting in self.nodes.iter_mut().flatten().filter_map(|node| node.waiting.as_mut()) {
            waiting.rescan(&topology);
        }
        self.topology = topology;
    }

    /// All stages of the task, with their operators.
    pub fn stages(&mut self) -> impl Iterator<Item = (usize, &mut Stage)> {
        self.nodes.iter_mut().enumerate().filter_map(|(operator, node)| Some((operator, &mut node.as_mut()?.stage)))
    }

    /// Records that wait in the task's partitions, where that is known.
    pub fn lag(&self) -> u64 {
        self.intakes.iter().filter_map(Intake::lag).sum()
    }

    /// Ends the task and gives its sources back.
    pub fn into_sources(self) -> Vec<(usize, i32, Box<dyn Source>)> {
        self.intakes.into_iter().map(Intake::into_source).collect()
    }

    fn waits_for_its_circle(&self) -> bool {
        let circle = |group: usize| self.topology.groups.get(group).map(|group| group.circle);
        self.lanes.waits_for().is_some_and(|other| circle(other) == circle(self.group))
    }

    fn fetch(&mut self, i: usize, max: usize, outbox: &mut Outbox) -> Result<(Step, Found), TaskError> {
        let topology = self.topology.clone();
        let nothing = (Step::NOTHING, Found::default());
        let Some(intake) = self.intakes.get_mut(i) else { return Ok(nothing) };
        let Some(stream) = topology.streams.get(intake.stream) else { return Ok(nothing) };
        let mut events = self.spare.pop().unwrap_or_default();
        let found = intake.take(stream, max, &mut events)?;
        if intake.is_passage() {
            self.come_through(i, stream, &mut events, outbox)?;
        } else {
            self.come_in(i, &mut events, &found, outbox)?;
        }
        events.clear();
        self.spare.push(events);
        Ok((Step { busy: !found.empty, ended: found.ended, caught_up: found.caught_up, ..Step::NOTHING }, found))
    }

    /// Hands on what was read of a partition.
    fn come_in(&mut self, i: usize, events: &mut Events, found: &Found, outbox: &mut Outbox) -> Result<(), TaskError> {
        let Some(intake) = self.intakes.get_mut(i) else { return Ok(()) };
        let (index, news) = (intake.stream, intake.news());
        match news.or((!found.empty).then(|| intake.progress())) {
            Some(progress) => self.deliver(index, events, progress, outbox),
            None => Ok(()),
        }
    }

    /// Whether the stream of an intake is read before others.
    fn leads(&self, intake: usize) -> bool {
        self.intakes.get(intake).and_then(|intake| self.topology.streams.get(intake.stream)).is_some_and(StreamNode::leads)
    }

    /// Takes a parcel from another task.
    fn open(&mut self, mut parcel: Parcel, outbox: &mut Outbox) -> Result<(), TaskError> {
        let progress = Progress { watermark: parcel.watermark, pace: parcel.pace };
        if let (Some(stream), Some(node)) =
            (self.topology.followed(parcel.operator, parcel.input), self.nodes.get_mut(parcel.operator).and_then(Option::as_mut))
        {
            node.heard.sift(stream, parcel.from, &mut parcel.events);
        }
        let done = self.consume(parcel.operator, parcel.input, parcel.from as usize, &mut parcel.events, progress, outbox);
        self.lanes.board().handled();
        done
    }

    /// Hands scanned events of a stream to everybody who reads it.
    fn deliver(&mut self, stream: usize, events: &mut Events, progress: Progress, outbox: &mut Outbox) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(node) = topology.streams.get(stream) else { return Ok(()) };
        for consumer in &node.consumers {
            match consumer.to {
                Handover::Here => self.consume(consumer.operator, consumer.input, 0, events, progress, outbox)?,
                Handover::ByKey | Handover::ToAll => self.exchange(*consumer, events, progress, outbox)?,
                Handover::Through(passage) => self.send_through(*consumer, passage, events, progress, outbox)?,
            }
        }
        Ok(())
    }

    /// Runs an operator over events that one of its channels brings, and passes on what it emits.
    fn consume(
        &mut self,
        operator: usize,
        input: usize,
        sender: usize,
        events: &mut Events,
        progress: Progress,
        outbox: &mut Outbox,
    ) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(spec) = topology.operators.get(operator) else { return Ok(()) };
        let Some(Node { combined, .. }) = self.nodes.get_mut(operator).and_then(Option::as_mut) else { return Ok(()) };
        let channel = spec.channels.get(input).and_then(|(first, count)| Some(first + sender.min(count.checked_sub(1)?)));
        let mut own = std::mem::take(&mut self.own_watermarks);
        own.clear();
        own.extend(events.rows.iter().map(|row| row.watermark));
        match channel {
            Some(channel) => {
                if !events.is_empty() || progress.pace == Pace::Active {
                    combined.active(channel);
                }
                for row in &mut events.rows {
                    row.watermark = combined.advance(channel, row.watermark);
                }
                combined.advance(channel, progress.watermark);
                keep_pace(combined, channel, progress.pace);
            }
            // A broadcast input has no say in the watermark.
            None => events.rows.iter_mut().for_each(|row| row.watermark = combined.watermark()),
        }
        let full = self.take_in(operator, input, events)?;
        for (row, watermark) in events.rows.iter_mut().zip(&own) {
            row.watermark = *watermark;
        }
        self.own_watermarks = own;
        self.see_to(operator, input, full, outbox)
    }

    /// Runs an operator over events whose watermarks are known; one that waits for its batch gets none, but gives back those that are full.
    fn take_in(&mut self, operator: usize, input: usize, events: &mut Events) -> Result<Vec<(usize, Events)>, TaskError> {
        let mut full = Vec::new();
        let Some(Node { stage, combined, outputs, waiting, .. }) = self.nodes.get_mut(operator).and_then(Option::as_mut) else {
            return Ok(full);
        };
        match waiting {
            None => {
                outputs.clear();
                stage.process(events, input, combined.watermark(), outputs)?;
            }
            Some(waiting) => {
                let now = self.clock.now();
                waiting.add(input, events, now);
                let end = combined.watermark() == WATERMARK_MAX;
                full.extend(std::iter::from_fn(|| waiting.take(now, end)).flatten());
            }
        }
        Ok(full)
    }

    /// Passes on what an operator has emitted, or runs it over the batches that are full.
    fn see_to(&mut self, operator: usize, input: usize, full: Vec<(usize, Events)>, outbox: &mut Outbox) -> Result<(), TaskError> {
        match self.nodes.get(operator).and_then(Option::as_ref).and_then(|node| node.waiting.as_ref()) {
            None => self.after_call(operator, outbox),
            Some(waiting) if full.is_empty() && !waiting.is_empty() => Ok(()),
            Some(_) if full.is_empty() => self.hand_over(operator, &[(input, Events::default())], outbox),
            Some(_) => self.hand_over(operator, &full, outbox),
        }
    }

    /// Runs an operator over batches that have waited, and moves its watermark as far as what still waits allows.
    fn hand_over(&mut self, operator: usize, runs: &[(usize, Events)], outbox: &mut Outbox) -> Result<(), TaskError> {
        let first_of = |run: &(usize, Events)| run.1.rows.first().map(|row| row.watermark);
        for ((input, events), next) in runs.iter().zip(runs.iter().skip(1).map(first_of).chain([None])) {
            let Some(Node { stage, combined, outputs, waiting, .. }) = self.nodes.get_mut(operator).and_then(Option::as_mut) else {
                return Ok(());
            };
            let held = next.or_else(|| waiting.as_ref().and_then(Waiting::watermark));
            outputs.clear();
            stage.process(events, *input, held.unwrap_or(combined.watermark()), outputs)?;
            self.emitted = true;
            self.after_call(operator, outbox)?;
        }
        Ok(())
    }

    /// Brings what an operator has emitted to where it goes, and says how far the operator is.
    fn after_call(&mut self, operator: usize, outbox: &mut Outbox) -> Result<(), TaskError> {
        let Some(Node { stage, combined, outputs, .. }) = self.nodes.get_mut(operator).and_then(Option::as_mut) else { return Ok(()) };
        let pace = if combined.all_idle() { Pace::Idle } else { Pace::Active };
        let progress = Progress { watermark: stage.watermark(), pace };
        stage.metrics().reached(self.partition, progress.watermark);
        self.emitted |= !outputs.order.is_empty();
        let mut outputs = std::mem::take(outputs);
        self.pass_on(operator, &mut outputs, progress, outbox)?;
        if let Some(node) = self.nodes.get_mut(operator).and_then(Option::as_mut) {
            node.outputs = outputs;
        }
        Ok(())
    }

    /// Brings an operator's outputs to the streams that its ports are bound to.
    fn pass_on(&mut self, operator: usize, outputs: &mut Outputs, progress: Progress, outbox: &mut Outbox) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(spec) = topology.operators.get(operator) else { return Ok(()) };
        self.write(spec, operator, outputs, outbox)?;
        let kept = |streams: &[usize]| -> Vec<usize> {
            let in_memory = |s: &&usize| topology.streams.get(**s).is_some_and(|node| node.topic.is_none() && !node.consumers.is_empty());
            streams.iter().filter(in_memory).copied().collect()
        };
        for (port, streams) in outputs.ports.iter_mut().zip(&spec.outputs) {
            for stream in kept(streams) {
                self.hand_on(stream, port, progress, outbox)?;
            }
        }
        for (events, stream) in
            [(&mut outputs.late, spec.late), (&mut outputs.dead_letters, spec.dead_letters), (&mut outputs.fallback, spec.fallback)]
        {
            for stream in kept(stream.as_slice()) {
                self.hand_on(stream, events, progress, outbox)?;
            }
        }
        Ok(())
    }

    /// Scans events that an operator of this task emitted, and hands them to those that read them in memory.
    fn hand_on(&mut self, stream: usize, events: &mut Events, progress: Progress, outbox: &mut Outbox) -> Result<(), TaskError> {
        let Some(scanner) = self.scanners.get_mut(stream).and_then(Option::as_mut) else { return Ok(()) };
        events.unreadable.clear();
        scanner.start(events);
        for i in 0..events.rows.len() {
            if let Err(reason) = scanner.scan(events, i) {
                events.unreadable.push((i, reason));
            }
        }
        self.deliver(stream, events, progress, outbox)
    }

    /// Hands each event to the task that owns its key, or to all of them; and the watermark to all.
    fn exchange(&mut self, to: Consumer, events: &Events, progress: Progress, outbox: &mut Outbox) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(spec) = topology.operators.get(to.operator) else { return Ok(()) };
        let Some((input, group)) = spec.inputs.get(to.input).zip(topology.groups.get(spec.group)) else { return Ok(()) };
        let mut parcels: Vec<Events> = (0..group.parallelism).map(|_| self.spare.pop().unwrap_or_default()).collect();
        let mut key = Vec::new();
        let mut unreadable = events.unreadable.iter().peekable();
        for (i, row) in events.rows.iter().enumerate() {
            let found = match unreadable.next_if(|(row, _)| *row == i) {
                Some((_, reason)) => Err(reason.clone()),
                None => input.key(events, i, row, &mut key),
            };
            match found {
                Ok(_) if to.to == Handover::ToAll => parcels.iter_mut().for_each(|parcel| parcel.push_from(events, i)),
                Ok(key) => {
                    if let Some(parcel) = parcels.get_mut(partition_of(key, group.parallelism) as usize) {
                        parcel.push_from(events, i);
                    }
                }
                // They know whether it is news, and one of them refuses it for all.
                Err(reason) if to.to == Handover::ToAll && topology.followed(to.operator, to.input).is_some() => {
                    for parcel in &mut parcels {
                        parcel.unreadable.push((parcel.len(), reason.clone()));
                        parcel.push_from(events, i);
                    }
                }
                // Only the operator's own tasks know the way to its fallback: they refuse it in turn.
                Err(reason) if matches!(spec.on_error, OnError::Fallback(_)) => {
                    if let Some(parcel) = parcels.get_mut(row.partition.rem_euclid(group.parallelism as i32) as usize) {
                        parcel.unreadable.push((parcel.len(), reason));
                        parcel.push_from(events, i);
                    }
                }
                Err(reason) => self.refuse_for(to, events, i, &Failure::new(FailureKind::Unreadable, reason), outbox)?,
            }
        }
        for (partition, events) in parcels.into_iter().enumerate() {
            let Progress { watermark, pace } = progress;
            let parcel = Parcel { operator: to.operator, input: to.input, from: self.partition, events, watermark, pace };
            self.lanes.send(spec.group, partition, parcel);
        }
        Ok(())
    }

    /// Settles an event that never gets as far as its operator.
    fn refuse_for(&mut self, to: Consumer, events: &Events, row: usize, failure: &Failure, outbox: &mut Outbox) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some((spec, row)) = topology.operators.get(to.operator).zip(events.rows.get(row)) else { return Ok(()) };
        let metrics = &spec.metrics;
        metrics.events_in.inc();
        match spec.on_error {
            OnError::Stop => return Err(StageError::Stop(spec.name.to_string(), failure.message.clone()).into()),
            OnError::Drop => {
                metrics.dropped.inc();
            }
            OnError::DeadLetter | OnError::Fallback(_) => {
                metrics.dead_letter(&failure.message);
                let mut letters = Events::default();
                let input = spec.inputs.get(to.input).map_or("", |input| &**input.stream());
                self.origin(to.operator).dead_letter(events, row, Subject::Event(input), failure, &mut letters);
                if let Some(stream) = spec.dead_letters {
                    self.keep_letter(stream, &letters, 0, outbox)?;
                }
            }
        }
        Ok(())
    }

    fn origin(&self, operator: usize) -> Origin {
        let spec = self.topology.operators.get(operator);
        let plugin = spec.map(|spec| spec.plugin.sha256().into());
        Origin {
            operator: spec.map_or_else(|| "".into(), |spec| spec.name.clone()),
            plugin: plugin.unwrap_or_else(|| "".into()),
            streams: self.topology.stream_names.clone(),
        }
    }
}

/// Has those that wait for a channel know whether it is to be waited for.
fn keep_pace(combined: &mut Combined, channel: usize, pace: Pace) {
    match pace {
        Pace::Idle => drop(combined.idle(channel)),
        // The last one is not let go of: whether this is the end of time, the run decides.
        Pace::Finished if !combined.is_last(channel) => drop(combined.finish(channel)),
        Pace::Active | Pace::Finished => {}
    }
}
