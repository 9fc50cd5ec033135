//! A worker: one OS thread that owns tasks and runs them in turn, until it is told to hold still.
//!
//! It decides nothing: when to commit, swap or stop is the supervisor's business.

use super::board::{self, Board};
use super::health::Pulse;
use super::turns::{Taken, Turns};
use crate::broker::Source;
use crate::config::Priority;
use crate::metrics::{Seconds, WorkerMetrics};
use crate::sandbox::{Instance, Plugin};
use crate::stage::RolledBack;
use crate::store::Changes;
use crate::task::{Fetch, Outbox, Step, Task, TaskError, Topology, Work};
use crate::time::Clock;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the supervisor asks of a worker.
pub enum Command {
    /// Fetch nothing more; finish what is under way between tasks.
    Quiesce,
    /// Flush outputs and hand over what is to be committed.
    Prepare {
        /// Empty, for what comes afterwards.
        spare: Changes,
    },
    /// What was prepared has been committed, and is in the store.
    Committed,
    /// What was prepared is on its way to its end: go on, with what belongs to the next commit.
    GoOn,
    /// What was prepared before the last `GoOn` is committed, and in the store.
    Written,
    /// Go on fetching.
    Resume,
    /// Fetch from all sources, where it was only from those that come first.
    FetchAll,
    /// The sources have ended for good: fire everything that still waits.
    Close,
    /// Put a new build in.
    Swap(Box<Swap>),
    /// Take a new build back, wherever it still runs on probation.
    RollBack {
        /// The operator.
        operator: usize,
        /// Why.
        why: String,
    },
    /// End, and give the sources back.
    Stop,
}

/// A new build for one operator.
pub struct Swap {
    /// The operator.
    pub operator: usize,
    /// The topology with the new build in it.
    pub topology: Arc<Topology>,
    /// The code.
    pub plugin: Arc<Plugin>,
    /// One started instance for each task of this worker that runs the operator.
    pub instances: Vec<Instance>,
    /// Batches for which it is watched.
    pub watch: u32,
}

/// What a worker answers.
pub enum Report {
    /// Nothing is fetched any more.
    Quiet,
    /// What is to be committed.
    Prepared(Work),
    /// The command is done.
    Done,
    /// A new build failed and was taken back here.
    RolledBack(usize, RolledBack),
    /// A task cannot go on; the worker holds still until it is stopped.
    Failed(TaskError),
    /// The worker has panicked: its tasks and sources are gone.
    Died(String),
    /// The worker has ended.
    Stopped(Vec<(usize, i32, Box<dyn Source>)>),
}

/// What a worker lets others see while it runs.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Something was done since the last commit.
    pub dirty: AtomicBool,
    /// Every source had nothing more at the last look.
    pub caught_up: AtomicBool,
    /// Every source is bounded and has ended.
    pub ended: AtomicBool,
    /// Records that wait to be read, where that is known.
    pub lag: AtomicU64,
    /// Whether it moves.
    pub pulse: Pulse,
}

/// One worker thread's belongings.
pub struct Worker {
    /// Its tasks.
    pub tasks: Vec<Task>,
    /// Where outputs go.
    pub outbox: Outbox,
    /// What it is told.
    pub commands: Receiver<Command>,
    /// What it answers.
    pub reports: Sender<Report>,
    /// What others see.
    pub gauges: Arc<Gauges>,
    /// What it fetches until it is told to go on.
    pub first: Fetch,
    /// The share of events, in millionths, that each priority gets though higher ones have events.
    pub priority_floor: u32,
    /// Where it says how far its operators are.
    pub standings: Board,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where it says what its time goes to.
    pub metrics: WorkerMetrics,
}

/// How a round over all tasks went.
struct Round {
    /// Any had something to do.
    busy: bool,
    /// Any could not go on, as somebody downstream has no room.
    blocked: bool,
}

/// Splits a worker's time.
struct Meter {
    since: Instant,
}

/// How long a worker without work waits before it looks again.
const IDLE: Duration = Duration::from_millis(2);

impl Worker {
    /// Runs until it is stopped.
    pub fn run(mut self) {
        let (mut fetch, mut broken, mut busy, mut blocked) = (self.first, false, true, false);
        let mut meter = Meter::default();
        let mut said: Option<Instant> = None;
        let mut turns = Turns::new(self.priority_floor, self.places().into_iter());
        loop {
            let command = if busy {
                self.commands.try_recv().ok()
            } else {
                let command = self.wait();
                meter.took(self.resting(fetch, blocked), &self.gauges);
                command
            };
            match command {
                None => {}
                Some(Command::Stop) => return self.stop(),
                // What has been written stays written, whatever happened since: its offsets are not to be given out again.
                Some(command) if broken && !matches!(command, Command::Written) => {}
                Some(command) => {
                    busy = true;
                    if let Err(why) = self.obey(command, &mut fetch) {
                        broken = true;
                        self.say(Report::Failed(why));
                    }
                    meter.took(&self.metrics.committing, &self.gauges);
                    continue;
                }
            }
            busy = false;
            if !broken {
                match self.round(fetch, turns.as_mut()) {
                    Ok(round) => {
                        (busy, blocked) = (round.busy, round.blocked);
                        let at = if busy { &self.metrics.busy } else { self.resting(fetch, blocked) };
                        meter.took(at, &self.gauges);
                        if said.is_none_or(|said| said.elapsed() >= board::EVERY) {
                            self.say_how_far();
                            said = Some(Instant::now());
                        }
                    }
                    Err(why) => {
                        broken = true;
                        self.say(Report::Failed(why));
                    }
                }
            }
        }
    }

    /// What the time of a worker that does nothing goes to.
    fn resting(&self, fetch: Fetch, blocked: bool) -> &Seconds {
        match (fetch, blocked) {
            (Fetch::Nothing, _) => &self.metrics.committing,
            (_, true) => &self.metrics.back_pressured,
            (_, false) => &self.metrics.idle,
        }
    }

    /// All partitions that its tasks read, with their priorities.
    fn places(&self) -> Vec<(Priority, (usize, usize))> {
        let of_task = |(t, task): (usize, &Task)| task.priorities().enumerate().map(|(i, priority)| (priority, (t, i))).collect::<Vec<_>>();
        self.tasks.iter().enumerate().flat_map(of_task).collect()
    }

    fn say_how_far(&mut self) {
        let now = self.clock.now();
        for task in &mut self.tasks {
            let standings = task.standings(now);
            self.standings.pin(now, task.partition, standings, task.sources());
            let (before, behind) = task.held_up();
            self.metrics.source_stops.inc_by(before);
            self.metrics.exchange_stops.inc_by(behind);
            self.metrics.missed.inc_by(task.missed());
        }
        if let Some(task) = self.tasks.first() {
            self.metrics.under_way.set(task.under_way() as i64);
        }
    }

    fn wait(&self) -> Option<Command> {
        match self.commands.recv_timeout(IDLE) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            // The supervisor is gone: nothing that was not committed may stay.
            Err(RecvTimeoutError::Disconnected) => Some(Command::Stop),
        }
    }

    /// One step of every task.
    fn round(&mut self, fetch: Fetch, turns: Option<&mut Turns>) -> Result<Round, TaskError> {
        // Without a task there is nothing that could have ended: partitions may come yet.
        let start = Step { ended: !self.tasks.is_empty(), ..Step::NOTHING };
        let step = match turns.filter(|_| fetch == Fetch::All) {
            Some(turns) => start.and(self.by_turns(turns)?),
            None => {
                self.tasks.iter_mut().try_fold(start, |step, task| Ok::<_, TaskError>(step.and(task.step(fetch, &mut self.outbox)?)))?
            }
        };
        let Step { busy, blocked, caught_up, ended } = step;
        let mut lag = 0;
        for task in &mut self.tasks {
            for (operator, stage) in task.stages() {
                if let Some(rolled_back) = stage.take_rolled_back() {
                    let _ = self.reports.send(Report::RolledBack(operator, rolled_back));
                }
            }
            lag += task.lag();
        }
        if busy {
            self.gauges.dirty.store(true, Ordering::SeqCst);
        }
        if fetch != Fetch::Nothing {
            self.gauges.caught_up.store(caught_up && !busy, Ordering::SeqCst);
            self.gauges.ended.store(ended && !busy, Ordering::SeqCst);
            self.gauges.lag.store(lag, Ordering::Relaxed);
        }
        Ok(Round { busy, blocked })
    }

    /// One step of every task, in which partitions are read by their priority, whichever task they belong to.
    fn by_turns(&mut self, turns: &mut Turns) -> Result<Step, TaskError> {
        let (tasks, outbox) = (&mut self.tasks, &mut self.outbox);
        let mut step = Step::NOTHING;
        for task in tasks.iter_mut() {
            step = step.and(task.receive(outbox)?);
        }
        turns.round(|(task, i), max| {
            let Some(task) = tasks.get_mut(task) else { return Ok(Taken { events: 0, more: false }) };
            let (read, events, more) = task.read(i, max, outbox)?;
            step = step.and(read);
            Ok::<_, TaskError>(Taken { events, more })
        })?;
        for task in tasks.iter_mut() {
            step = step.and(task.look_at_the_clock(outbox)?);
        }
        Ok(step)
    }

    fn obey(&mut self, command: Command, fetch: &mut Fetch) -> Result<(), TaskError> {
        match command {
            Command::Quiesce => {
                *fetch = Fetch::Nothing;
                self.say(Report::Quiet);
            }
            Command::Prepare { spare } => {
                let work = self.prepare(spare)?;
                self.say(Report::Prepared(work));
            }
            Command::Committed => {
                self.committed();
                self.written();
                self.say(Report::Done);
            }
            Command::GoOn => {
                self.committed();
                *fetch = Fetch::All;
            }
            Command::Written => {
                self.written();
                // There may be more to read now: only a look tells.
                self.gauges.caught_up.store(false, Ordering::SeqCst);
            }
            Command::Resume => *fetch = Fetch::All,
            Command::FetchAll => {
                *fetch = Fetch::All;
                // What they said was about fewer sources.
                self.gauges.caught_up.store(false, Ordering::SeqCst);
                self.gauges.ended.store(false, Ordering::SeqCst);
                self.say(Report::Done);
            }
            Command::Close => {
                for task in &mut self.tasks {
                    task.close(&mut self.outbox)?;
                }
                self.gauges.dirty.store(true, Ordering::SeqCst);
                self.say(Report::Done);
            }
            Command::Swap(mut swap) => {
                for task in &mut self.tasks {
                    task.rewire(swap.topology.clone());
                    let inputs = swap.topology.operators.get(swap.operator).map(|operator| operator.inputs.clone());
                    if let (Some(stage), Some(inputs)) = (task.stage(swap.operator), inputs)
                        && let Some(instance) = swap.instances.pop()
                    {
                        stage.replace(swap.plugin.clone(), inputs, instance, swap.watch);
                    }
                }
                self.say(Report::Done);
            }
            Command::RollBack { operator, why } => {
                for task in &mut self.tasks {
                    if let Some(stage) = task.stage(operator) {
                        stage.roll_back(&why);
                        stage.take_rolled_back();
                    }
                }
                self.say(Report::Done);
            }
            Command::Stop => {}
        }
        Ok(())
    }

    fn written(&mut self) {
        self.outbox.settled(true);
        self.tasks.iter_mut().for_each(Task::written);
    }

    fn committed(&mut self) {
        self.tasks.iter_mut().for_each(Task::committed);
        self.gauges.dirty.store(false, Ordering::SeqCst);
        // There may be more to read now: only a look tells.
        self.gauges.caught_up.store(false, Ordering::SeqCst);
        self.gauges.ended.store(false, Ordering::SeqCst);
    }

    fn prepare(&mut self, spare: Changes) -> Result<Work, TaskError> {
        for task in &mut self.tasks {
            task.tell_passages(&mut self.outbox)?;
        }
        // What one cannot take may be for another that may refuse it, too; a fallback has none of its own, so this ends.
        loop {
            let refused = self.outbox.deliver()?;
            for refused in &refused {
                let mut tasks = self.tasks.iter_mut();
                if let Some(task) = tasks.find(|task| task.partition == refused.partition && task.runs(refused.operator)) {
                    task.keep_refused(refused, &mut self.outbox)?;
                }
            }
            if refused.is_empty() {
                break;
            }
        }
        self.outbox.flush()?;
        let mut changes = std::mem::replace(&mut self.outbox.changes, spare);
        let mut positions = Vec::new();
        for task in &mut self.tasks {
            positions.extend(task.prepare(&mut changes));
        }
        Ok(Work { changes: vec![changes], positions })
    }

    fn stop(mut self) {
        self.gauges.pulse.end();
        self.outbox.settled(false);
        self.outbox.changes = Changes::default();
        let sources = self.tasks.drain(..).flat_map(Task::into_sources).collect();
        self.say(Report::Stopped(sources));
    }

    fn say(&self, report: Report) {
        // A supervisor that no longer listens is on its way to stop this worker.
        let _ = self.reports.send(report);
    }
}

// === impl Meter ===

impl Meter {
    /// The time since the last call went to this; and the worker moves.
    fn took(&mut self, at: &Seconds, gauges: &Gauges) {
        let now = Instant::now();
        at.inc_by((now - self.since).as_secs_f64());
        self.since = now;
        gauges.pulse.beat(now);
    }
}

impl Default for Meter {
    fn default() -> Self {
        Meter { since: Instant::now() }
    }
}
