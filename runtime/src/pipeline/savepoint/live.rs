//! Savepoints of a pipeline that runs: asked for from outside, taken at the next commit, written while the stream goes on.

use super::super::Supervisor;
use super::super::control::Control;
use super::super::ledger::Ledger;
use super::take::{Label, Take};
use super::{Depot, Savepoint, SavepointError, check_name};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What others want of a run's savepoints, and who writes them; clones are the same one.
#[derive(Clone, Default)]
pub struct Requests(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<Vec<Request>>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    ended: AtomicBool,
}

struct Request {
    label: Label,
    answer: Answer,
}

/// What became of a savepoint.
type Outcome = Result<Savepoint, SavepointError>;
type Answer = Sender<Outcome>;

/// The most savepoints that wait for the next commit.
const WAITING_MAX: usize = 16;

// === impl Requests ===

impl Requests {
    /// Asks for a savepoint. The answer comes when it is written, or not at all where the run ends before it is taken.
    ///
    /// # Errors
    /// When the name is none, or too many wait already.
    pub fn ask(&self, name: &str, why: &str) -> Result<Receiver<Outcome>, SavepointError> {
        check_name(name)?;
        let mut waiting = self.0.waiting.lock();
        if self.0.ended.load(Ordering::SeqCst) {
            return Err(SavepointError::Ended);
        }
        if waiting.len() >= WAITING_MAX {
            return Err(SavepointError::Again(format!("{WAITING_MAX} savepoints wait for the next commit")));
        }
        let (answer, answered) = bounded(1);
        waiting.push(Request { label: Label { name: name.to_owned(), why: why.to_owned(), swap: None }, answer });
        Ok(answered)
    }

    /// Whether any is asked for.
    pub fn any(&self) -> bool {
        !self.0.waiting.lock().is_empty()
    }

    /// Whether any is being written.
    pub fn are_written(&self) -> bool {
        self.0.writers.lock().iter().any(|writer| !writer.is_finished())
    }

    /// Writes a savepoint on a thread of its own; `done` follows it there.
    pub(super) fn write(&self, take: Take, depot: Depot, done: impl FnOnce(&Depot, Outcome) + Send + 'static) -> std::io::Result<()> {
        let write = move || {
            let outcome = take.write(&depot);
            done(&depot, outcome);
        };
        let writer = std::thread::Builder::new().name("savepoint".to_owned()).spawn(write)?;
        let mut writers = self.0.writers.lock();
        writers.retain(|writer| !writer.is_finished());
        writers.push(writer);
        Ok(())
    }

    /// The run is over: those that wait get no answer, those that are being written are finished.
    pub fn end(&self) {
        {
            let mut waiting = self.0.waiting.lock();
            self.0.ended.store(true, Ordering::SeqCst);
            waiting.clear();
        }
        for writer in self.0.writers.lock().drain(..) {
            // A panic has been printed by the thread itself, and nobody trusts what it has left.
            let _ = writer.join();
        }
    }
}

impl Supervisor {
    /// Takes the savepoints that were asked for; `held` partitions are this process's. Everything is committed, and nothing moves.
    pub(in super::super) fn take_savepoints(&self, held: usize, ledger: Option<&Ledger>, control: &Control) {
        let asked = std::mem::take(&mut *control.savepoints().0.waiting.lock());
        for Request { label, answer } in asked {
            let told = answer.clone();
            let started = self.take(label, held, ledger).and_then(|(take, depot)| {
                let done = move |_: &Depot, outcome| drop(told.send(outcome));
                control.savepoints().write(take, depot, done).map_err(|why| SavepointError::Again(why.to_string()))
            });
            if let Err(why) = started {
                let _ = answer.send(Err(why));
            }
        }
    }

    /// What is committed, to be written as a savepoint.
    pub(super) fn take(&self, label: Label, held: usize, ledger: Option<&Ledger>) -> Result<(Take, Depot), SavepointError> {
        let expected = self.partitions_to_read();
        if held < expected {
            return Err(SavepointError::Shared { held, expected });
        }
        let of = (self.topology.as_ref(), &self.brokers, ledger);
        let take = Take::new(label, &self.pipeline.text.0, of, self.store.as_ref(), self.clock.now())?;
        Ok((take, self.savepoints()?))
    }
}
