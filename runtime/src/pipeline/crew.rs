//! The workers of one stretch of a run, as one: told together, answered together, stopped together.
//!
//! It carries orders and answers; what to order is the supervisor's business.

use super::PipelineError;
use super::control::Control;
use super::supervise::TICK;
use super::worker::{Command, Gauges, Report};
use crate::broker::{BrokerError, Source};
use crate::stage::StageError;
use crate::store::{Changes, StoreError};
use crate::task::{Switchboard, TaskError, Work};
use crossbeam_channel::{Receiver, Sender};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// Changes that take more memory than this are not kept for the next commit.
const SPARE_BYTES_MAX: usize = 64 << 20;

/// A run between its start and the next time that all tasks are made anew.
pub struct Crew {
    pub commands: Vec<Sender<Command>>,
    pub threads: Vec<JoinHandle<()>>,
    pub reports: Receiver<Report>,
    pub gauges: Vec<Arc<Gauges>>,
    pub board: Switchboard,
    /// By operator: how many of its tasks each worker has.
    pub instances: Vec<Vec<usize>>,
    /// How many partitions its tasks read.
    pub partitions: usize,
    /// Reports that came while another was waited for.
    pub aside: RefCell<Vec<Report>>,
    /// Empty changes of commits before, for the memory that they have: fresh memory is cleared by the system first.
    pub spare: RefCell<Vec<Changes>>,
}

/// Why one attempt to run failed, sorted by what to do next.
#[derive(Debug)]
pub enum Failed {
    /// It may work next time: go back to the last commit and try again.
    Again(String),
    /// All is committed, but who keeps the offsets takes them from somebody else now: start anew, or be done.
    Untold(String),
    /// A new build has failed: go back to the state of before it.
    BackTo {
        /// The savepoint.
        savepoint: String,
        /// What the build did.
        why: String,
    },
    /// A worker has panicked, with these words: its tasks go on from the last commit, on another thread.
    Died(String),
    /// A person must see to it.
    Fatal(PipelineError),
}

impl Crew {
    /// Whether there is any work: a process has no task as long as its group has not given it a partition.
    pub fn has_tasks(&self) -> bool {
        self.instances.iter().flatten().any(|tasks| *tasks > 0)
    }

    pub fn tell_all(&self, mut command: impl FnMut(usize) -> Command) {
        for (worker, commands) in self.commands.iter().enumerate() {
            // A worker that is gone is noticed when its report does not come.
            let _ = commands.send(command(worker));
        }
    }

    /// Sends a command to every worker and waits until all have done it.
    pub fn ask_all(&self, command: impl FnMut(usize) -> Command) -> Result<(), Failed> {
        self.tell_all(command);
        self.expect(|report| matches!(report, Report::Done)).map(drop)
    }

    /// Waits for one answer of the wanted kind from every worker.
    pub fn expect(&self, wanted: impl Fn(&Report) -> bool) -> Result<Vec<Report>, Failed> {
        let mut answers = Vec::new();
        while answers.len() < self.commands.len() {
            match self.next_report(TICK)? {
                Some(Report::Failed(why)) => return Err(why.into()),
                Some(report) if wanted(&report) => answers.push(report),
                Some(report) => self.aside.borrow_mut().push(report),
                None => {}
            }
        }
        Ok(answers)
    }

    /// The next report, or `None` after a while without one.
    pub fn next_report(&self, patience: Duration) -> Result<Option<Report>, Failed> {
        match self.reports.recv_timeout(patience) {
            Ok(Report::Died(why)) => Err(Failed::Died(why)),
            Ok(report) => Ok(Some(report)),
            Err(_) if self.threads.iter().any(JoinHandle::is_finished) && self.reports.is_empty() => {
                Err(Failed::Died("it ended without a word".to_owned()))
            }
            Err(_) => Ok(None),
        }
    }

    /// Stops fetching and waits until nothing is under way between tasks.
    pub fn quiesce(&self) -> Result<(), Failed> {
        self.tell_all(|_| Command::Quiesce);
        self.expect(|report| matches!(report, Report::Quiet))?;
        self.let_settle()
    }

    pub fn let_settle(&self) -> Result<(), Failed> {
        while self.board.under_way() > 0 {
            match self.next_report(Duration::from_micros(100))? {
                Some(Report::Failed(why)) => return Err(why.into()),
                Some(report) => self.aside.borrow_mut().push(report),
                None => {}
            }
        }
        Ok(())
    }

    /// Waits until what operators keep in all of their tasks has been read, as far as it was there, and then has everything read: no key is
    /// handled before. `look` says whether partitions have come or gone; so does this, and then it waits no longer.
    pub fn read_ahead(&self, control: &Control, mut look: impl FnMut() -> Result<bool, Failed>) -> Result<bool, Failed> {
        let mut reassigned = false;
        loop {
            reassigned |= look()?;
            // In this order: what was read may still be under way between tasks, but nothing that is read later counts.
            let read = self.gauges.iter().all(|gauges| gauges.caught_up.load(Ordering::SeqCst) || gauges.ended.load(Ordering::SeqCst));
            if (read && self.board.under_way() == 0) || reassigned || control.stopping() {
                break;
            }
            match self.next_report(TICK)? {
                Some(Report::Failed(why)) => return Err(why.into()),
                Some(report) => self.aside.borrow_mut().push(report),
                None => {}
            }
        }
        self.ask_all(|_| Command::FetchAll)?;
        Ok(reassigned)
    }

    pub fn prepare(&self) -> Result<Work, Failed> {
        self.tell_all(|_| Command::Prepare { spare: self.spare.borrow_mut().pop().unwrap_or_default() });
        let mut work = Work::default();
        for report in self.expect(|report| matches!(report, Report::Prepared(_)))? {
            if let Report::Prepared(part) = report {
                work.changes.extend(part.changes);
                work.positions.extend(part.positions);
            }
        }
        Ok(work)
    }

    /// Takes the changes of a commit that is over.
    pub fn keep_for_next(&self, work: Work) {
        let mut spare = self.spare.borrow_mut();
        let room = self.commands.len().saturating_sub(spare.len());
        spare.extend(work.changes.into_iter().filter(|changes| changes.room() <= SPARE_BYTES_MAX).take(room).map(Changes::emptied));
    }

    /// Ends all workers and gives their sources back.
    pub fn stop(self) -> Vec<(usize, i32, Box<dyn Source>)> {
        self.tell_all(|_| Command::Stop);
        for thread in self.threads {
            // A panic has been printed by the thread itself, and reported.
            let _ = thread.join();
        }
        self.reports
            .try_iter()
            .filter_map(|report| if let Report::Stopped(sources) = report { Some(sources) } else { None })
            .flatten()
            .collect()
    }
}

// === impl Failed ===

impl From<BrokerError> for Failed {
    fn from(why: BrokerError) -> Self {
        match why {
            BrokerError::Retry(why) | BrokerError::Fenced(why) => Failed::Again(why),
            BrokerError::Store(why) => Failed::Fatal(why.into()),
            why => Failed::Fatal(PipelineError::Broker(why)),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(why: StoreError) -> Self {
        Failed::Fatal(why.into())
    }
}

impl From<StageError> for Failed {
    fn from(why: StageError) -> Self {
        match why {
            StageError::Store(why) => Failed::Fatal(why.into()),
            why => Failed::Fatal(PipelineError::Stage(why)),
        }
    }
}

impl From<TaskError> for Failed {
    fn from(why: TaskError) -> Self {
        match why {
            TaskError::Broker(why) => why.into(),
            TaskError::Stage(why) => why.into(),
        }
    }
}
