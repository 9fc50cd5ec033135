//! Starts a pipeline's tasks, commits at the interval, swaps builds at commits, and goes back to the last commit when something fails.
//!
//! It runs on the thread that calls [`Supervisor::run`]; workers run on their own.

use super::alignments::Alignments;
use super::audit::Audit;
use super::backoff::Backoff;
use super::board::Board;
use super::brokers::Brokers;
use super::control::Control;
use super::crew::{Crew, Failed};
use super::excess::Excess;
use super::health::Phase;
use super::ledger::{Ledger, slices_of};
use super::life::Deaths;
use super::reload::Reloader;
use super::standby::Standby;
use super::sweep::Sweeper;
use super::worker::{Command, Gauges, Report, Worker};
use super::{PipelineError, Plugins, life, passages, schema};
use crate::broker::{Assignment, BrokerError, Handback, Source, Subscribe, Subscription};
use crate::config::Pipeline;
use crate::metrics::Metrics;
use crate::stage::Stage;
use crate::store::{Changes, Store};
use crate::task::{Fetch, Group, Intake, Lanes, Links, Outbox, StreamNode, Switchboard, Task, Topology, Work, commit, tell, unheard};
use crate::time::Clock;
use crossbeam_channel::unbounded;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a run is to do besides running.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop once everything that is there has been processed.
    pub drain: bool,
    /// When all sources are bounded and have ended, fire everything that waits before stopping: the watermark goes to the end of time.
    pub close_at_end: bool,
    /// Batches for which a new build is watched; 0 trusts it at once.
    pub watch_batches: u32,
    /// How long it waits for its partitions before it starts with those that it has; `None`: for as long as suits what it is to do.
    pub patience: Option<Duration>,
}

/// How a crew's time ended.
enum Watched {
    /// The run is over.
    Done,
    /// Partitions were gained or lost: everything is committed, and tasks are made anew.
    Reassigned,
}

/// Partitions that this process reads.
#[derive(Default)]
pub(super) struct Holdings {
    held: Vec<Held>,
    lost: Vec<(usize, i32, Handback)>,
}

/// A partition that is read.
struct Held {
    stream: usize,
    partition: i32,
    source: Box<dyn Source>,
    /// Where to start: at what the outside has committed, if anything. `None`: where the source stands.
    start: Option<Option<i64>>,
}

impl Holdings {
    /// Those that are held: stream and number.
    pub(super) fn partitions(&self) -> Vec<(usize, u32)> {
        self.held.iter().map(|held| (held.stream, held.partition as u32)).collect()
    }
}

/// Everything that a pipeline needs of its surroundings.
pub struct Supervisor {
    /// What the file means.
    pub pipeline: Pipeline,
    /// Who runs where.
    pub topology: Arc<Topology>,
    /// Clusters.
    pub brokers: Brokers,
    /// State, positions, embedded topics.
    pub store: Arc<dyn Store>,
    /// Plugins.
    pub plugins: Arc<Plugins>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What to do besides running.
    pub options: RunOptions,
    /// New builds; `None` where nobody watches the folder.
    pub reloader: Option<Reloader>,
}

/// How often the supervisor looks around while the workers work.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// How long a run waits for its partitions before it starts with those that it has: one that goes on for ever, and one that is to end.
const ASSIGNMENT_PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(45));

impl Supervisor {
    /// Runs until the input ends (where it can), or the control says stop.
    ///
    /// # Errors
    /// When the pipeline cannot go on without a person. Everything up to the last commit is safe.
    pub fn run(&mut self, control: &Control) -> Result<(), PipelineError> {
        let ran = self.take_samples(control).and_then(|_until_it_ends| self.run_on(control));
        control.savepoints().end();
        self.over(control, &ran);
        ran
    }

    fn run_on(&mut self, control: &Control) -> Result<(), PipelineError> {
        self.enter(control, Phase::Starting);
        self.check_parallelism()?;
        schema::check_all(&self.topology, self.store.as_ref())?;
        self.brokers.count_in(&self.pipeline, &self.metrics);
        let mut backoff = Backoff::new();
        let mut excess = Excess::new(&self.pipeline, &self.topology);
        let (mut back_to, mut deaths): (Option<String>, _) = (None, Deaths::default());
        loop {
            let started = Instant::now();
            let restored = back_to.as_ref().map_or(Ok(()), |savepoint| self.go_back_to(savepoint, control));
            let attempted = restored.and_then(|()| {
                back_to = None;
                self.attempt(control, &mut excess)
            });
            let why = match attempted {
                Ok(()) => return Ok(()),
                Err(Failed::Fatal(why)) => return Err(why),
                Err(Failed::BackTo { savepoint, why }) => {
                    tracing::error!(pipeline = %self.pipeline.name, savepoint, "going back to the state of before the swap: {why}");
                    back_to = Some(savepoint);
                    continue;
                }
                Err(Failed::Untold(_)) if control.stopping() => return Ok(()),
                Err(Failed::Again(why) | Failed::Died(why)) if control.stopping() => return Err(PipelineError::Unfinished(why)),
                Err(Failed::Again(why) | Failed::Untold(why)) => why,
                Err(Failed::Died(why)) => {
                    self.died(control, &why, &mut deaths)?;
                    format!("a worker thread died: {why}")
                }
            };
            self.enter(control, Phase::Recovering);
            self.metrics.run.restarts.inc();
            let pause = backoff.after(started.elapsed());
            tracing::warn!(pipeline = %self.pipeline.name, "{why}; going back to the last commit, next try in {pause:?}");
            wait(pause, control);
        }
    }

    /// Subscribes, and runs crews until the run ends or something fails.
    fn attempt(&mut self, control: &Control, excess: &mut Excess) -> Result<(), Failed> {
        self.brokers.ready()?;
        let ledger = Ledger::open(&self.pipeline, &self.brokers, &self.topology, self.store.as_ref(), control.health())?;
        let ledger = ledger.as_ref();
        passages::make(&self.topology, &self.brokers)?;
        let mut sweeper = Sweeper::start(&self.topology, &self.brokers);
        let standby = ledger.filter(|_| self.pipeline.standby).map(|ledger| ledger.stand_by(&self.topology, &self.store)).transpose()?;
        let mut subscriptions = self.subscribe()?;
        let mut holdings = Holdings::default();
        let expected = self.partitions_to_read();
        // A run that is to stop when all is done must know what all is: it waits for every partition.
        // So does one that cannot share: partitions of a process that was killed come only when the group has given that one up.
        let alone = ledger.and_then(|_| self.must_be_alone());
        let all = self.options.drain || self.options.close_at_end || alone.is_some();
        let patience = self.options.patience.unwrap_or(if all { ASSIGNMENT_PATIENCE.1 } else { ASSIGNMENT_PATIENCE.0 });
        let until = Instant::now() + patience;
        while holdings.held.len() < expected && Instant::now() < until && !control.stopping() {
            self.look_for_changes(&mut subscriptions, &mut holdings)?;
            self.enter(control, Phase::Gathering { held: holdings.held.len(), expected });
            if holdings.held.len() < expected {
                wait(TICK, control);
            }
        }
        if let Some(operator) = alone.filter(|_| holdings.held.len() < expected && !control.stopping()) {
            return Err(Failed::Fatal(PipelineError::Shared { held: holdings.held.len(), expected, operator }));
        }
        loop {
            self.enter(control, Phase::Restoring);
            standby.iter().for_each(Standby::pause);
            if let Some(ledger) = ledger {
                let gained = holdings.held.iter().filter(|held| held.start.is_some());
                let gained: Vec<_> = gained.map(|held| (held.stream, held.partition as u32)).collect();
                ledger.catch_up(&self.topology, &gained, self.store.as_ref())?;
                schema::check_all(&self.topology, self.store.as_ref()).map_err(Failed::Fatal)?;
            }
            if let Some(audit) = self.brokers.audit() {
                let held: Vec<_> = holdings.held.iter().map(|held| (held.stream, held.partition, held.start.flatten())).collect();
                audit.started(self.clock.now(), &self.topology, &held, self.store.as_ref())?;
            }
            let held: Vec<_> = holdings.held.iter().map(|held| (held.stream, held.partition as u32)).collect();
            let crew = self.start(std::mem::take(&mut holdings.held), control.board(), ledger)?;
            standby.iter().for_each(|standby| standby.resume(slices_of(&self.topology, &held)));
            self.at_work(control, &crew.gauges);
            let watched = self.watch_over(&crew, ledger, &mut subscriptions, &mut holdings, (excess, &mut sweeper), control);
            self.enter(control, next_phase(&watched));
            let sources = crew.stop();
            control.health().at_rest();
            match watched? {
                Watched::Done => {
                    sweeper.into_iter().for_each(|sweeper| sweeper.finish(control.savepoints().are_written()));
                    return Ok(());
                }
                Watched::Reassigned => {
                    // All is committed: what is kept goes on where it stands.
                    let lost = std::mem::take(&mut holdings.lost);
                    let gained: Vec<(usize, i32)> = holdings.held.iter().map(|held| (held.stream, held.partition)).collect();
                    // One that was lost and has come back brings a source of its own.
                    let gone = |at: &(usize, i32)| lost.iter().any(|(s, p, _)| (*s, *p) == *at) || gained.contains(at);
                    let kept = sources.into_iter().filter(|(stream, partition, _)| !gone(&(*stream, *partition)));
                    holdings.held.extend(kept.map(|(stream, partition, source)| Held { stream, partition, source, start: None }));
                }
            }
        }
    }

    /// An operator all of whose tasks must be in one process: it gets events from other tasks in memory, or its keys from topics of several
    /// clusters, whose groups know nothing of each other.
    fn must_be_alone(&self) -> Option<String> {
        let shared = self.topology.streams.iter().filter(|stream| !stream.everywhere);
        let mut consumers = shared.flat_map(|stream| &stream.consumers);
        let handed = consumers.find(|consumer| consumer.to.is_in_memory()).map(|consumer| consumer.operator);
        let clusters = |group: &Group| -> BTreeSet<usize> {
            let read = group.reads.iter().filter_map(|s| self.topology.streams.get(*s)).filter(|stream| !stream.everywhere);
            read.filter_map(|stream| Some(stream.topic.as_ref()?.cluster)).collect()
        };
        let apart = self.topology.groups.iter().filter(|group| clusters(group).len() > 1).flat_map(|group| &group.operators);
        let keyed = |o: &&usize| self.topology.operators.get(**o).is_some_and(|node| node.is_keyed());
        let operator = self.topology.operators.get(handed.or_else(|| apart.copied().find(|o| keyed(&o)))?)?;
        Some(operator.name.to_string())
    }

    /// How many partitions all processes of the pipeline read together.
    pub(super) fn partitions_to_read(&self) -> usize {
        let partitions = |s: &usize| Some(self.topology.streams.get(*s)?.topic.as_ref()?.partitions as usize);
        self.topology.groups.iter().flat_map(|group| &group.reads).filter_map(partitions).sum()
    }

    pub(super) fn subscribe(&self) -> Result<Vec<Option<Box<dyn Subscription>>>, Failed> {
        let mut subscriptions = Vec::new();
        for (cluster, broker) in self.brokers.all().iter().enumerate() {
            let reads = self.topology.groups.iter().flat_map(|group| &group.reads);
            let mut topics = Vec::new();
            for stream in reads {
                let (Some(node), Some(file)) = (self.topology.streams.get(*stream), self.pipeline.streams.get(*stream)) else { continue };
                if let Some(topic) = node.topic.as_ref().filter(|topic| topic.cluster == cluster && !node.everywhere) {
                    topics.push((topic.topic.clone(), file.start));
                }
            }
            let subscribe = Subscribe { group: self.pipeline.name.clone(), topics };
            subscriptions.push(if subscribe.topics.is_empty() { None } else { Some(broker.subscribe(&subscribe)?) });
        }
        // Behind those of the group, in the same order: what every process reads by itself.
        for (cluster, broker) in self.brokers.all().iter().enumerate() {
            let followed = self.topology.streams.iter().filter(|node| node.everywhere).filter_map(|node| node.topic.as_ref());
            let topics: Vec<String> = followed.filter(|topic| topic.cluster == cluster).map(|topic| topic.topic.clone()).collect();
            subscriptions.push(if topics.is_empty() { None } else { Some(broker.follow(&topics)?) });
        }
        Ok(subscriptions)
    }

    /// Whether more than one cluster is read, so that one that is away must not hold up the others.
    fn reads_several(&self, subscriptions: &[Option<Box<dyn Subscription>>]) -> bool {
        let clusters = self.brokers.all().len();
        let is_read = |cluster: &usize| subscriptions.iter().skip(*cluster).step_by(clusters).any(Option::is_some);
        (0..clusters).filter(is_read).count() > 1
    }

    /// Takes note of partitions gained and lost; true when there were any.
    pub(super) fn look_for_changes(
        &self,
        subscriptions: &mut [Option<Box<dyn Subscription>>],
        holdings: &mut Holdings,
    ) -> Result<bool, Failed> {
        let mut any = false;
        let several = self.reads_several(subscriptions);
        for (cluster, subscription) in subscriptions.iter_mut().enumerate() {
            let Some(subscription) = subscription else { continue };
            let cluster = cluster % self.brokers.all().len();
            let changes = match subscription.changes() {
                // Its client goes on by itself once it is back; what is read elsewhere need not wait for that.
                Err(BrokerError::Retry(why)) if several => {
                    tracing::warn!(pipeline = %self.pipeline.name, "{why}; other clusters are read on");
                    continue;
                }
                changes => changes?,
            };
            let stream_of = |topic: &str| {
                self.topology.streams.iter().position(|stream| {
                    !stream.consumers.is_empty() && stream.topic.as_ref().is_some_and(|at| at.cluster == cluster && at.topic == topic)
                })
            };
            for change in changes {
                any = true;
                match change {
                    Assignment::Gained { topic, partition, committed, source } => {
                        if let Some(stream) = stream_of(&topic) {
                            holdings.lost.retain(|(s, p, _)| (*s, *p) != (stream, partition));
                            holdings.held.push(Held { stream, partition, source, start: Some(committed) });
                        }
                    }
                    Assignment::Lost { topic, partition, handback } => {
                        if let Some(stream) = stream_of(&topic) {
                            holdings.held.retain(|held| (held.stream, held.partition) != (stream, partition));
                            holdings.lost.push((stream, partition, handback));
                        }
                    }
                }
            }
        }
        Ok(any)
    }

    /// From where a topic that every process reads is to be read here: `slices` are the groups and partitions whose tasks are here.
    fn unheard(&self, stream: usize, partition: i32, slices: &[(usize, u32)]) -> Result<i64, Failed> {
        let topology = &self.topology;
        let here = |operator: usize| {
            let group = topology.operators.get(operator).map_or(0, |node| node.group);
            let whole = topology.groups.get(group).filter(|group| group.whole).map_or(0, |group| group.parallelism);
            let held = slices.iter().filter(move |(of, _)| *of == group).map(|(_, slice)| *slice);
            held.chain(0..whole).map(move |slice| (operator, slice))
        };
        let consumers = topology.streams.get(stream).map_or(&[][..], |node| &node.consumers);
        let tasks = consumers.iter().flat_map(|consumer| here(consumer.operator));
        Ok(unheard(topology, stream, partition as u32, tasks, self.store.as_ref())?)
    }

    /// Makes the tasks, from the store, and puts them on worker threads.
    fn start(&self, held: Vec<Held>, standings: &Board, ledger: Option<&Ledger>) -> Result<Crew, Failed> {
        standings.clear();
        let (topology, partitions) = (&self.topology, held.len());
        let inboxes: Vec<usize> =
            topology.groups.iter().map(|group| if group.has_inbox { group.parallelism as usize } else { 0 }).collect();
        let (board, mut receivers) = Switchboard::new(&inboxes);
        let mut intakes: Vec<Vec<Vec<Intake>>> =
            topology.groups.iter().map(|group| (0..group.parallelism).map(|_| Vec::new()).collect()).collect();
        let mut alignments = Alignments::new(topology, held.iter().map(|held| held.stream));
        let slices: Vec<(usize, u32)> =
            held.iter().filter_map(|held| Some((topology.streams.get(held.stream)?.producer?, held.partition as u32))).collect();
        for held in held {
            let Some(node) = topology.streams.get(held.stream) else { continue };
            let place = node.producer.and_then(|group| intakes.get_mut(group)).and_then(|group| group.get_mut(held.partition as usize));
            let start = if node.everywhere { Some(Some(self.unheard(held.stream, held.partition, &slices)?)) } else { held.start };
            let intake = Intake::new(held.stream, node, held.partition, held.source, start, self.store.as_ref(), self.clock.clone())?;
            let passage = node.carries.is_some();
            let intake = if passage { intake.of_passage(node, topology.stream_names.clone(), self.store.as_ref())? } else { intake };
            if let Some(place) = place {
                place.push(intake.in_step(alignments.place(node)));
            }
        }
        topology.operators.iter().for_each(|operator| operator.metrics.handed_over());
        let mut tasks = Vec::new();
        for (g, (group, intakes)) in topology.groups.iter().zip(intakes).enumerate() {
            for (partition, intakes) in intakes.into_iter().enumerate() {
                let inbox = receivers.get_mut(g).filter(|inboxes| !inboxes.is_empty()).map(|inboxes| inboxes.remove(0));
                if intakes.is_empty() && !group.whole {
                    continue;
                }
                let mut stages = Vec::new();
                for operator in &group.operators {
                    let Some(spec) = topology.stage_spec(*operator, &self.store, &self.clock) else { continue };
                    stages.push((*operator, Stage::new(spec, partition as u32)?));
                }
                let links = Links { inbox, lanes: Lanes::new(board.clone()) };
                let mut task = Task::new(topology.clone(), g, partition as u32, intakes, stages, links, self.clock.clone());
                task.restore_waiting(self.store.as_ref())?;
                tasks.push(task);
            }
        }
        self.put_to_work(tasks, board, standings, ledger).map(|crew| Crew { partitions, ..crew })
    }

    fn put_to_work(&self, tasks: Vec<Task>, board: Switchboard, standings: &Board, ledger: Option<&Ledger>) -> Result<Crew, Failed> {
        let workers = self.pipeline.workers.clamp(1, tasks.len().max(1));
        let mut shares: Vec<Vec<Task>> = (0..workers).map(|_| Vec::new()).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(i % workers) {
                share.push(task);
            }
        }
        let (reports_in, reports) = unbounded();
        let mut crew = Crew {
            commands: Vec::new(),
            threads: Vec::new(),
            reports,
            gauges: Vec::new(),
            board,
            instances: Vec::new(),
            partitions: 0,
            aside: RefCell::default(),
            spare: RefCell::default(),
        };
        crew.instances = (0..self.topology.operators.len())
            .map(|operator| {
                let group = self.topology.operators.get(operator).map(|node| node.group);
                shares.iter().map(|share| share.iter().filter(|task| Some(task.group) == group).count()).collect()
            })
            .collect();
        for (i, tasks) in shares.into_iter().enumerate() {
            let sinks = self.brokers.all().iter().enumerate();
            let sinks = sinks.map(|(cluster, broker)| ledger.and_then(|ledger| ledger.sink(cluster)).map_or_else(|| broker.sink(), Ok));
            let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
            let (commands, orders) = unbounded();
            let gauges = Arc::new(Gauges::default());
            let outbox = Outbox::new(self.topology.clone(), sinks);
            let first = if self.topology.streams.iter().any(StreamNode::leads) { Fetch::Broadcasts } else { Fetch::All };
            let (reports, gauges_in, standings, clock) = (reports_in.clone(), gauges.clone(), standings.clone(), self.clock.clone());
            let worker = Worker {
                tasks,
                outbox,
                commands: orders,
                reports,
                gauges: gauges_in,
                standings,
                clock,
                first,
                priority_floor: self.pipeline.priority_floor,
                metrics: self.metrics.run.worker(i as u32),
            };
            let name = format!("worker-{i}");
            let thread = life::put_on_thread(name, worker, reports_in.clone());
            crew.threads.push(thread.map_err(|why| Failed::Fatal(PipelineError::Thread(why)))?);
            crew.commands.push(commands);
            crew.gauges.push(gauges);
        }
        Ok(crew)
    }

    /// The supervisor's loop: commits at the interval, swaps builds, and notices when the run is over.
    fn watch_over(
        &mut self,
        crew: &Crew,
        ledger: Option<&Ledger>,
        subscriptions: &mut [Option<Box<dyn Subscription>>],
        holdings: &mut Holdings,
        (excess, sweeper): (&mut Excess, &mut Option<Sweeper>),
        control: &Control,
    ) -> Result<Watched, Failed> {
        let feeds_itself = self.topology.feeds_itself();
        // Whether the ends of partitions that are known are from after the last commit.
        let mut looked = false;
        let mut early = false;
        if self.topology.streams.iter().any(StreamNode::leads) {
            early = crew.read_ahead(control, || self.look_for_changes(subscriptions, holdings))?;
            self.enter(control, Phase::Running);
        }
        let mut last_commit = Instant::now();
        let mut taken_back: Vec<(usize, String)> = Vec::new();
        let mut closed = false;
        loop {
            let mut reports = crew.aside.take();
            while let Some(report) = crew.next_report(TICK)? {
                reports.push(report);
            }
            for report in reports {
                match report {
                    Report::RolledBack(operator, rolled_back) => {
                        self.note_roll_back(operator, &rolled_back);
                        if let Some(savepoint) = self.way_back(operator) {
                            return Err(Failed::BackTo { savepoint, why: rolled_back.why });
                        }
                        taken_back.push((operator, rolled_back.why));
                    }
                    Report::Failed(why) => return Err(why.into()),
                    _ => {}
                }
            }
            control.lags(crew.gauges.iter().map(|gauges| gauges.lag.load(Ordering::Relaxed)).sum());
            let reassigned = self.look_for_changes(subscriptions, holdings)? | std::mem::take(&mut early);
            let all = |gauge: fn(&Gauges) -> &AtomicBool| crew.gauges.iter().all(|gauges| gauge(gauges).load(Ordering::SeqCst));
            let quiet = crew.board.under_way() == 0;
            let ended = quiet && all(|gauges| &gauges.ended);
            let drained = quiet && self.options.drain && all(|gauges| &gauges.caught_up);
            let finished = ended || drained;
            let reload = self.reloader.as_mut().is_some_and(Reloader::waiting);
            self.refuse_builds();
            let mut dirty = crew.gauges.iter().any(|gauges| gauges.dirty.load(Ordering::SeqCst));
            if finished && feeds_itself && !std::mem::replace(&mut looked, true) {
                subscriptions.iter_mut().flatten().try_for_each(|subscription| subscription.look_again())?;
                crew.ask_all(|_| Command::FetchAll)?;
                // Who waits for a partition is not to wait for the next change.
                early = reassigned;
                continue;
            }
            let waiting = self.brokers.audit().is_some_and(Audit::is_waiting);
            let due = (dirty || waiting) && last_commit.elapsed() >= self.pipeline.commit_interval;
            let asked = control.savepoints().any();
            if !(due || asked || finished || reassigned || reload || !taken_back.is_empty() || control.stopping()) {
                continue;
            }

            if control.stopping() {
                self.enter(control, Phase::Draining);
            }
            let hold = Instant::now();
            crew.quiesce()?;
            if finished && self.options.close_at_end && !closed {
                crew.ask_all(|_| Command::Close)?;
                crew.let_settle()?;
                closed = true;
                dirty = true;
            }
            excess.check(self.clock.now()).map_err(Failed::Fatal)?;
            let mut work = crew.prepare()?;
            if let Some(audit) = self.brokers.audit() {
                audit.add(&mut work, ledger, &self.topology)?;
            }
            if holdings.lost.iter().any(|(.., handback)| handback.is_too_late()) {
                return Err(Failed::Again("partitions were taken away before what was read of them was committed".to_owned()));
            }
            last_commit = Instant::now();
            looked &= !dirty;
            let goes_on = !(asked || finished || reassigned || reload || !taken_back.is_empty() || control.stopping());
            self.commit(ledger, crew, &work, subscriptions, goes_on)?;
            self.brokers.audit().into_iter().for_each(Audit::committed);
            self.tell(&work, subscriptions, ledger)?;
            let reads = control.savepoints().are_written();
            sweeper.iter_mut().for_each(|sweeper| sweeper.committed(&work, &self.topology, reads));
            control.health().committed(&work.positions);
            self.metrics.commits.inc();
            self.metrics.commit_seconds.observe(hold.elapsed().as_secs_f64());
            if goes_on {
                crew.keep_for_next(work);
                continue;
            }
            self.take_savepoints(crew.partitions, ledger, control);
            // What this commit made visible may be what another operator reads: such a run ends with a commit of nothing, and so does a drain.
            if control.stopping() || (ended && !(feeds_itself && dirty)) || (drained && !dirty) {
                return Ok(Watched::Done);
            }
            if reassigned {
                return Ok(Watched::Reassigned);
            }
            for (operator, why) in taken_back.drain(..) {
                crew.ask_all(|_| Command::RollBack { operator, why: why.clone() })?;
            }
            if let Some(reload) = self.reloader.as_mut().and_then(Reloader::take) {
                self.savepoint_before(&reload, crew.partitions, ledger, control);
                self.swap(crew, ledger, reload, &work, hold)?;
            }
            crew.tell_all(|_| Command::Resume);
        }
    }

    /// Commits a round of work. Where nothing else is to be done between two rounds, the stream goes on while that is under way.
    fn commit(
        &self,
        ledger: Option<&Ledger>,
        crew: &Crew,
        work: &Work,
        subscriptions: &mut [Option<Box<dyn Subscription>>],
        goes_on: bool,
    ) -> Result<(), Failed> {
        let transaction = ledger.map(|ledger| Ok::<_, Failed>((ledger, ledger.close()?))).transpose()?;
        if goes_on {
            crew.tell_all(|_| Command::GoOn);
        }
        match transaction {
            None => commit(work, self.store.as_ref()).map_err(|why| Failed::Fatal(why.into()))?,
            Some((ledger, closed)) => {
                // Without a task there is nothing that another process could have done, too; and who waits for its first partitions is no member yet.
                let subscription = subscriptions.get_mut(ledger.cluster()).and_then(Option::as_mut).filter(|_| crew.has_tasks());
                let member = subscription.map(|subscription| subscription.member()).transpose()?.flatten();
                ledger.commit(closed, work, &self.topology, member.as_ref(), self.store.as_ref())?;
            }
        }
        if goes_on {
            crew.tell_all(|_| Command::Written);
            return Ok(());
        }
        // Sinks must hear that their records are written before anything else can fail: they would give the offsets out again.
        crew.ask_all(|_| Command::Committed)
    }

    fn tell(&self, work: &Work, subscriptions: &mut [Option<Box<dyn Subscription>>], ledger: Option<&Ledger>) -> Result<(), Failed> {
        let several = self.reads_several(subscriptions);
        match tell(work, &self.topology, subscriptions, ledger.map(Ledger::cluster), several) {
            // All is safe in the store, which is what counts: the outside is told with the next commit, if there is one.
            Err(BrokerError::Retry(why)) => {
                tracing::warn!(pipeline = %self.pipeline.name, "offsets could not be told to the broker: {why}");
                Ok(())
            }
            Err(BrokerError::Fenced(why)) => Err(Failed::Untold(why)),
            told => Ok(told?),
        }
    }

    /// Refuses to run over state that was made with another number of slices, and remembers this number.
    pub(super) fn check_parallelism(&self) -> Result<(), PipelineError> {
        let mut changes = Changes::default();
        for node in self.topology.operators.iter().filter(|node| node.is_keyed()) {
            let now = self.topology.groups.get(node.group).map_or(1, |group| group.parallelism);
            let then = self.store.get(SLICES, node.name.as_bytes())?.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            match then {
                Some(then) if then != now => return Err(PipelineError::Repartitioned { operator: node.name.to_string(), then, now }),
                Some(_) => {}
                None => changes.put(SLICES, node.name.as_bytes(), &now.to_le_bytes()),
            }
        }
        if !changes.is_empty() {
            self.store.write(&changes)?;
        }
        Ok(())
    }
}

/// The space of the store that holds into how many slices each operator's keys are cut.
pub(super) const SLICES: &str = "slices";

/// What a run does once a crew's time has ended.
fn next_phase(watched: &Result<Watched, Failed>) -> Phase {
    match watched {
        Ok(Watched::Done) => Phase::Draining,
        Ok(Watched::Reassigned) => Phase::Rebalancing,
        Err(_) => Phase::Recovering,
    }
}

/// Waits, but not after the control says stop.
fn wait(time: Duration, control: &Control) {
    let until = Instant::now() + time;
    while !control.stopping() && Instant::now() < until {
        std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
    }
}
