//! A new build proves itself: for its first batches the old one is kept at hand, and a fault brings it back.

use crate::sandbox::{Instance, Plugin};
use std::sync::Arc;

use super::{Failure, Stage};

/// The build that ran before, kept while the new one is watched.
pub(super) struct Probation {
    plugin: Arc<Plugin>,
    config: Arc<[u8]>,
    inputs: Vec<crate::route::Input>,
    batches_left: u32,
}

/// A new build was taken back.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// SHA-256 of the build that failed.
    pub refused: String,
    /// SHA-256 of the build that runs again.
    pub restored: String,
    /// What the new build did.
    pub why: String,
}

impl Stage {
    /// Puts a new build in the place of the running one; `instance` was started from it. State, timers and watermark stay. If the new
    /// build fails within its first `watch` batches, the old one comes back and runs the same batch.
    pub fn replace(&mut self, plugin: Arc<Plugin>, inputs: Vec<crate::route::Input>, instance: Instance, watch: u32) {
        let old = std::mem::replace(&mut self.spec.plugin, plugin);
        let old_inputs = std::mem::replace(&mut self.spec.inputs, inputs);
        self.probation =
            (watch > 0).then(|| Probation { plugin: old, config: self.spec.config.clone(), inputs: old_inputs, batches_left: watch });
        self.instance = Some(instance);
        self.refuser = super::Refuser::new(&self.spec, self.refuser.first);
        self.close_circuit();
    }

    /// Gives up the new build at once, if it is still on probation, because it failed elsewhere.
    pub fn roll_back(&mut self, why: &str) -> bool {
        let Some(old) = self.probation.take() else { return false };
        let refused = std::mem::replace(&mut self.spec.plugin, old.plugin);
        self.spec.config = old.config;
        self.spec.inputs = old.inputs;
        self.instance = None;
        self.refuser = super::Refuser::new(&self.spec, self.refuser.first);
        self.close_circuit();
        self.rolled_back =
            Some(RolledBack { refused: refused.sha256().to_owned(), restored: self.spec.plugin.sha256().to_owned(), why: why.to_owned() });
        true
    }

    /// The roll-back that happened since the last call, if any.
    pub fn take_rolled_back(&mut self) -> Option<RolledBack> {
        self.rolled_back.take()
    }

    /// A call went well.
    pub(super) fn probation_passed_a_batch(&mut self) {
        if let Some(probation) = &mut self.probation {
            probation.batches_left -= 1;
            if probation.batches_left == 0 {
                self.probation = None;
            }
        }
    }

    /// Whether a new build is being watched.
    pub(super) fn on_probation(&self) -> bool {
        self.probation.is_some()
    }

    /// A call failed while a new build was watched: the old one comes back.
    pub(super) fn probation_failed(&mut self, failure: &Failure) {
        match &failure.capture {
            Some(file) => self.roll_back(&format!("{} (captured in {file})", failure.message)),
            None => self.roll_back(&failure.message),
        };
    }
}
