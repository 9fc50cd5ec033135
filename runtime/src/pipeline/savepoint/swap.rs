//! Savepoints before swaps, and the way back to one when the new build fails.

use super::super::control::Control;
use super::super::crew::Failed;
use super::super::health::Phase;
use super::super::ledger::Ledger;
use super::super::reload::Reload;
use super::super::{PipelineError, Supervisor};
use super::take::Label;
use super::{Depot, SavedSwap, Savepoint, SavepointError};
use crate::config::OnBadBuild;
use crate::digest::short;
use crossbeam_channel::{Receiver, bounded};

/// A savepoint from before a swap, which may still be being written.
pub struct Before {
    /// The operators that were swapped.
    pub operators: Vec<usize>,
    /// Its name, once it is written; nothing where it could not be.
    written: Receiver<String>,
}

impl Supervisor {
    /// Takes a savepoint before a swap, where the pipeline's file wants one; `held` partitions are this process's. It is written while the
    /// new build is at work already. What cannot be saved is swapped all the same, and a person is told.
    pub(in super::super) fn savepoint_before(&mut self, reload: &Reload, held: usize, ledger: Option<&Ledger>, control: &Control) {
        if !self.pipeline.savepoints.before_swap {
            return;
        }
        let Some(label) = self.label(reload) else { return };
        let (name, (told, written)) = (label.name.clone(), bounded(1));
        let (pipeline, keep) = (self.pipeline.name.clone(), self.pipeline.savepoints.keep);
        let done = move |depot: &Depot, outcome: Result<Savepoint, SavepointError>| match outcome {
            Ok(savepoint) => {
                let _ = told.send(savepoint.name);
                if let Err(why) = depot.keep_before_swaps(keep) {
                    tracing::warn!(pipeline, "old savepoints could not be removed: {why}");
                }
            }
            Err(why) => tracing::error!(pipeline, savepoint = name, "there is no savepoint of before the swap: {why}"),
        };
        let taken = self.take(label, held, ledger).and_then(|(mut take, depot)| {
            take.find_a_name(&depot)?;
            control.savepoints().write(take, depot, done).map_err(|why| SavepointError::Again(why.to_string()))
        });
        match (taken, &mut self.reloader) {
            (Ok(()), Some(reloader)) => {
                let operators = reload.builds.iter().map(|(operator, _)| *operator).collect();
                reloader.saved(Before { operators, written });
            }
            (Ok(()), None) => {}
            (Err(why), _) => tracing::error!(pipeline = %self.pipeline.name, "no savepoint is taken before the swap: {why}"),
        }
    }

    /// Goes back to a savepoint between two attempts to run.
    ///
    /// # Errors
    /// What may pass by itself is to be tried again; anything else is for a person, as the state is what the failed build has left.
    pub(in super::super) fn go_back_to(&self, savepoint: &str, control: &Control) -> Result<(), Failed> {
        self.enter(control, Phase::Restoring);
        match self.restore_savepoint(savepoint, false) {
            Ok(_) => {
                self.metrics.run.restarts.inc();
                Ok(())
            }
            Err(SavepointError::Again(why)) => Err(Failed::Again(why)),
            Err(why) => Err(Failed::Fatal(PipelineError::NotRolledBack { savepoint: savepoint.to_owned(), why: why.to_string() })),
        }
    }

    fn label(&self, reload: &Reload) -> Option<Label> {
        let (_, build) = reload.builds.first()?;
        let nodes: Vec<_> = reload.builds.iter().filter_map(|(operator, _)| self.topology.operators.get(*operator)).collect();
        let (from, to) = (nodes.first()?.plugin.sha256().to_owned(), build.plugin.sha256().to_owned());
        let name = format!("before-{}-{}", nodes.first()?.name, short(&to));
        let swap =
            SavedSwap { plugin: reload.plugin_name.clone(), operators: nodes.iter().map(|node| node.name.to_string()).collect(), from, to };
        Some(Label { name, why: format!("before {} was swapped in", build.plugin.sha256()), swap: Some(swap) })
    }

    /// The savepoint to go back to, now that the build of an operator has failed; `None` where only the code is to go back, or can. The
    /// other operators that were swapped with it have their old build again, too.
    pub(in super::super) fn way_back(&mut self, operator: usize) -> Option<String> {
        let before = self.reloader.as_mut()?.before_swap_of(operator)?;
        if self.pipeline.savepoints.on_bad_build != OnBadBuild::RollBackState {
            return None;
        }
        let Ok(name) = before.written.recv() else {
            tracing::error!(pipeline = %self.pipeline.name, "there is no savepoint of before the swap: the state stays as the failed build has left it");
            return None;
        };
        before.operators.iter().filter(|other| **other != operator).for_each(|other| self.put_old_build_back(*other));
        Some(name)
    }
}

impl Depot {
    /// Removes the oldest savepoints from before swaps, beyond so many.
    fn keep_before_swaps(&self, keep: usize) -> Result<(), SavepointError> {
        let listed = self.list()?;
        let swaps: Vec<&Savepoint> =
            listed.iter().filter_map(|one| one.savepoint.as_ref().ok()).filter(|savepoint| savepoint.swap.is_some()).collect();
        let old = swaps.len().saturating_sub(keep);
        swaps.iter().take(old).try_for_each(|savepoint| self.remove(&savepoint.name))
    }
}
