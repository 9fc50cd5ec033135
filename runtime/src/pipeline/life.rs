//! What a pipeline is doing, told to all who want to know: the log, the metrics, the probes, and the audit where the file asks for one.
//!
//! It tells; what to do next is decided in `supervise`.

use super::PipelineError;
use super::control::Control;
use super::health::Phase;
use super::supervise::Supervisor;
use super::worker::{Gauges, Report, Worker};
use crate::task::StreamNode;
use crossbeam_channel::Sender;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Workers that may die one after the other before a commit goes further. Whatever kills them then comes again and again, and a person must see to
/// it.
const DEATHS_MAX: u32 = 5;

/// How often workers have died in a row.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    in_a_row: u32,
    /// Commits that had gone further when the last one died.
    advances: u64,
}

impl Supervisor {
    /// The pipeline is in this phase from now on: says so where that is news.
    pub(super) fn enter(&self, control: &Control, phase: Phase) {
        let now = self.clock.now();
        if control.health().enter(now, phase) {
            let state = phase.state();
            tracing::info!(pipeline = %self.pipeline.name, state, "{phase}");
            self.metrics.run.enter(state);
            self.brokers.audit().into_iter().for_each(|audit| audit.note_state(now, state));
        }
    }

    /// Workers have taken up their work; where there are rules to be read first, with those.
    pub(super) fn at_work(&self, control: &Control, workers: &[Arc<Gauges>]) {
        control.health().at_work(workers);
        let leads = self.topology.streams.iter().any(StreamNode::leads);
        self.enter(control, if leads { Phase::Restoring } else { Phase::Running });
    }

    /// The run has ended: says how, also in the audit, which has no commit to wait for any more.
    pub(super) fn over(&self, control: &Control, ran: &Result<(), PipelineError>) {
        let phase = if ran.is_ok() { Phase::Stopped } else { Phase::Failed };
        self.enter(control, phase);
        if let Some(audit) = self.brokers.audit() {
            audit.close(&self.store);
        }
    }

    /// A worker has died, and is replaced by going back to the last commit.
    ///
    /// # Errors
    /// When that helps no more.
    pub(super) fn died(&self, control: &Control, why: &str, deaths: &mut Deaths) -> Result<(), PipelineError> {
        self.metrics.run.worker_deaths.inc();
        tracing::error!(pipeline = %self.pipeline.name, "a worker thread died, which is a bug of Sangam's, please report it: {why}");
        if let Some(audit) = self.brokers.audit() {
            audit.note_death(self.clock.now(), why);
        }
        let advances = control.health().advances();
        deaths.in_a_row = if advances > deaths.advances { 1 } else { deaths.in_a_row + 1 };
        deaths.advances = advances;
        if deaths.in_a_row < DEATHS_MAX { Ok(()) } else { Err(PipelineError::Vanished { times: DEATHS_MAX, why: why.to_owned() }) }
    }
}

/// Puts a worker on a thread. One that panics says so, and takes nothing else with it.
pub(super) fn put_on_thread(name: String, worker: Worker, reports: Sender<Report>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        // What it owned goes with it, and what it shares with others is either behind locks that do not mind, or made anew with its tasks.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
            // A supervisor that no longer listens is on its way to stop this worker.
            let _ = reports.send(Report::Died(words(panic.as_ref())));
        }
    })
}

/// What a thread said when it panicked.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it said nothing".to_owned())
}
