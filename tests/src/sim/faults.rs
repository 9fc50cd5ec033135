//! What goes wrong in one life of a process, and when: at the so-many-th time that it comes to a labelled point.
//!
//! It also deals the input out in rounds: a worker reads as much as a round has, then the supervisor commits. So the points of a life come in
//! the same order each time that a seed is run.

use super::dice::Dice;
use super::process::Process;
use parking_lot::{Condvar, Mutex};
use sangam::pipeline::Control;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// A point at which something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// It joins the group.
    Join,
    /// It takes its producers over.
    Init,
    /// Workers start.
    Start,
    /// A partition is polled.
    Poll,
    /// A record is written.
    Produce,
    /// The open transaction is closed.
    Close,
    /// A record is added to a log.
    Append,
    /// Before the offsets are added to the transaction.
    Offsets,
    /// Between the offsets and the end of the transaction.
    End,
    /// After the end of the transaction, before anybody is told.
    Ended,
    /// A log is read back: before it, and after each run of records.
    Replay,
    /// The supervisor looks for partitions that come and go.
    Rebalance,
    /// Before a write into the store.
    StoreWrite,
    /// After a write into the store.
    StoreWritten,
    /// Within a write to the disk.
    DiskWrite,
    /// Before the disk is synced.
    DiskSync,
    /// The store is about to be copied for a savepoint.
    Copy,
    /// What is under way in a passage is read for a savepoint.
    UnderWay,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends, and everything of it but disk and cluster.
    Crash,
    /// It stands still for longer than any timeout, and another process does its work meanwhile.
    Stall,
    /// Another writer takes its id.
    Fence,
    /// The group throws it out.
    Expel,
    /// The broker does not answer; what it was asked for was not done, or at [`Point::Ended`] it was.
    NoAnswer,
    /// A partition is to go to another member.
    Lend,
    /// That member leaves again.
    TakeBack,
    /// A new build of the plugin is put in.
    Reload,
    /// A savepoint is asked for.
    Save,
    /// The member that a partition was lent to works, from its start to its end.
    Guest,
}

/// A fault and its place.
#[derive(Clone, Copy, Debug)]
pub struct Incident {
    /// The point.
    pub point: Point,
    /// At which time, from 1.
    pub time: u32,
    /// What happens.
    pub fault: Fault,
}

/// What a process meets at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happens.
    Go,
    /// Nothing is there to be read just now.
    Nothing,
    /// There is no answer.
    Fail,
}

/// Is asked at every point what happens there.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Point) -> Verdict + Send + Sync>);

/// Faults that are more than the cluster's or the process's own business.
pub trait Stage: Send + Sync {
    /// Time passes, and another process runs.
    fn another_runs(&self);
    /// A partition goes to another member.
    fn lend(&self);
    /// It comes back.
    fn take_back(&self);
    /// Somebody who was lent a partition works at it.
    fn guest_works(&self);
    /// Somebody asks for a savepoint.
    fn save(&self, control: &Control);
    /// The store is copied for a savepoint: nothing moves.
    fn copied(&self);
    /// A transaction was committed.
    fn committed(&self);
    /// A new build is offered; returns what says whether it is in.
    fn reload(&self) -> Option<Arc<dyn Fn() -> bool + Send + Sync>>;
}

/// Directs one life of a process.
pub struct Director {
    incidents: Vec<Incident>,
    times: Mutex<BTreeMap<Point, u32>>,
    happened: Mutex<Vec<Incident>>,
    process: OnceLock<Process>,
    stage: OnceLock<Arc<dyn Stage>>,
    /// To stop the run.
    pub control: Control,
    crashed: AtomicBool,
    stuck: AtomicBool,
    /// Held while the process stands still: all of its threads do.
    still: Mutex<()>,
    rounds: Rounds,
}

/// Deals the input out.
struct Rounds {
    round: Mutex<Round>,
    changed: Condvar,
    /// So many polls in vain mean that all that was read has been processed.
    enough: u32,
    /// The next round begins while the transaction of the last one ends.
    overlap: bool,
}

struct Round {
    dice: Dice,
    /// Polls left.
    left: u32,
    /// Polls in vain since.
    in_vain: u32,
    running: bool,
    begun_early: bool,
    reloading: Option<(Arc<dyn Fn() -> bool + Send + Sync>, u32)>,
}

/// The most polls of a round.
const ROUND_MAX: usize = 6;

/// How long a supervisor waits for a worker that should be at work; one that is not, since it has failed, will not come.
const ROUND_PATIENCE: Duration = Duration::from_millis(250);

/// So many looks at a new build that does not come.
const RELOAD_LOOKS: u32 = 200;

/// So many looks of a supervisor, about a minute's, and it has no end.
const LOOKS_MAX: u32 = 10_000;

// === impl Watch ===

impl Watch {
    /// What happens at a point.
    pub fn at(&self, point: Point) -> Verdict {
        (self.0)(point)
    }

    /// Nothing ever happens.
    pub fn calm() -> Watch {
        Watch(Arc::new(|_| Verdict::Go))
    }
}

// === impl Director ===

impl Director {
    /// A life in which `incidents` happen; `sources` is how many partitions there are to poll.
    pub fn new(incidents: Vec<Incident>, sources: u32, dice: &mut Dice) -> Arc<Director> {
        let overlap = dice.percent(50);
        let round = Round { dice: dice.fork(), left: 0, in_vain: 0, running: false, begun_early: false, reloading: None };
        let rounds = Rounds { round: Mutex::new(round), changed: Condvar::new(), enough: 2 * sources + 1, overlap };
        Arc::new(Director {
            incidents,
            times: Mutex::default(),
            happened: Mutex::default(),
            process: OnceLock::new(),
            stage: OnceLock::new(),
            control: Control::default(),
            crashed: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            still: Mutex::default(),
            rounds,
        })
    }

    /// Says whose life it is, and where it is played.
    pub fn cast(&self, process: &Process, stage: Arc<dyn Stage>) {
        let _ = self.process.set(process.clone());
        let _ = self.stage.set(stage);
    }

    /// What a process is to be watched by.
    pub fn watch(self: &Arc<Self>) -> Watch {
        // The process is known to its director: no circle.
        let director: Weak<Director> = Arc::downgrade(self);
        Watch(Arc::new(move |point| director.upgrade().map_or(Verdict::Fail, |director| director.at(point))))
    }

    /// Whether it has crashed.
    pub fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// Whether it was stopped since it came to no end.
    pub fn stuck(&self) -> bool {
        self.stuck.load(Ordering::SeqCst)
    }

    /// What has happened, in order.
    pub fn happened(&self) -> Vec<Incident> {
        self.happened.lock().clone()
    }

    /// What happens at a point, now.
    pub fn at(&self, point: Point) -> Verdict {
        drop(self.still.lock());
        let verdict = self.meet(point);
        // It may have come to a standstill while this waited for the end of a round.
        drop(self.still.lock());
        verdict
    }

    fn meet(&self, point: Point) -> Verdict {
        if self.crashed() {
            return Verdict::Fail;
        }
        let time = {
            let mut times = self.times.lock();
            let time = times.entry(point).or_default();
            *time += 1;
            *time
        };
        if point == Point::Rebalance && time > LOOKS_MAX {
            self.stuck.store(true, Ordering::SeqCst);
            self.control.stop();
        }
        if let Some(stage) = self.stage.get() {
            match point {
                Point::Copy => stage.copied(),
                Point::Ended => stage.committed(),
                _ => {}
            }
        }
        let mut verdict = Verdict::Go;
        for incident in self.incidents.iter().filter(|incident| (incident.point, incident.time) == (point, time)) {
            self.happened.lock().push(*incident);
            if self.strike(incident.fault) == Verdict::Fail {
                // A savepoint that fails holds nobody up.
                if self.crashed() || !matches!(point, Point::Copy | Point::UnderWay) {
                    self.rounds.stop();
                }
                verdict = Verdict::Fail;
            }
            if self.crashed() {
                break;
            }
        }
        if verdict == Verdict::Fail {
            return verdict;
        }
        match point {
            Point::Join | Point::Replay => self.rounds.stop(),
            Point::Start => self.rounds.start(),
            Point::Poll => return self.rounds.poll(),
            Point::Close => self.rounds.close(),
            Point::Rebalance => self.rounds.play(),
            _ => {}
        }
        Verdict::Go
    }

    fn strike(&self, fault: Fault) -> Verdict {
        let (Some(process), Some(stage)) = (self.process.get(), self.stage.get()) else { return Verdict::Go };
        match fault {
            Fault::Crash => {
                self.crashed.store(true, Ordering::SeqCst);
                process.kill();
                self.control.stop();
                return Verdict::Fail;
            }
            Fault::NoAnswer => return Verdict::Fail,
            Fault::Stall => {
                let _still = self.still.lock();
                process.fall_silent();
                stage.another_runs();
            }
            Fault::Fence => process.fence(),
            Fault::Expel => process.expel(),
            Fault::Lend => stage.lend(),
            Fault::TakeBack => stage.take_back(),
            Fault::Reload => self.rounds.hold_for(stage.reload()),
            Fault::Save => stage.save(&self.control),
            Fault::Guest => {
                let _still = self.still.lock();
                stage.guest_works();
            }
        }
        Verdict::Go
    }
}

// === impl Rounds ===

impl Rounds {
    /// Nobody reads just now.
    fn stop(&self) {
        self.round.lock().running = false;
        self.changed.notify_all();
    }

    fn start(&self) {
        let mut round = self.round.lock();
        (round.running, round.left, round.in_vain, round.begun_early) = (true, 0, 0, false);
    }

    fn poll(&self) -> Verdict {
        let mut round = self.round.lock();
        if round.left > 0 {
            round.left -= 1;
            return Verdict::Go;
        }
        round.in_vain += 1;
        if round.in_vain >= self.enough {
            self.changed.notify_all();
        }
        Verdict::Nothing
    }

    fn close(&self) {
        if self.overlap {
            let mut round = self.round.lock();
            round.begin();
            round.begun_early = true;
        }
    }

    /// Has a round read, and waits until it is processed.
    fn play(&self) {
        let mut round = self.round.lock();
        if !round.running || round.is_reloading() {
            return;
        }
        if !std::mem::take(&mut round.begun_early) {
            round.begin();
        }
        while round.running && (round.left > 0 || round.in_vain < self.enough) {
            if self.changed.wait_for(&mut round, ROUND_PATIENCE).timed_out() {
                break;
            }
        }
    }

    /// Deals nothing out until the new build is in.
    fn hold_for(&self, reload: Option<Arc<dyn Fn() -> bool + Send + Sync>>) {
        self.round.lock().reloading = reload.map(|is_in| (is_in, RELOAD_LOOKS));
    }
}

// === impl Round ===

impl Round {
    fn begin(&mut self) {
        self.left = 1 + self.dice.below(ROUND_MAX) as u32;
        self.in_vain = 0;
    }

    fn is_reloading(&mut self) -> bool {
        match &mut self.reloading {
            Some((is_in, looks)) if *looks > 0 && !is_in() => {
                *looks -= 1;
                true
            }
            _ => {
                self.reloading = None;
                false
            }
        }
    }
}
