//! What becomes of new builds: swapped in, refused, or taken back, and noted for the audit.

use super::audit::{Cause, first_of};
use super::crew::{Crew, Failed};
use super::ledger::Ledger;
use super::reload::{Refusal, Reload, Reloader};
use super::schema;
use super::supervise::Supervisor;
use super::worker::{Command, Swap};
use crate::digest::short;
use crate::stage::RolledBack;
use crate::store::Changes;
use crate::task::{Topology, Work};
use std::sync::Arc;
use std::time::Instant;

impl Supervisor {
    /// Puts a new build in, in all tasks, between two commits.
    pub(super) fn swap(&mut self, crew: &Crew, ledger: Option<&Ledger>, reload: Reload, work: &Work, hold: Instant) -> Result<(), Failed> {
        for (operator, loaded) in reload.builds {
            let swapped = Instant::now();
            let Some(node) = self.topology.operators.get(operator) else { continue };
            let topology = match loaded.rewired(&self.topology, &self.pipeline, operator) {
                Ok(topology) => Arc::new(topology),
                Err(why) => {
                    self.refuse_build(&reload.plugin_name, loaded.plugin.sha256(), &why.to_string());
                    continue;
                }
            };
            let started: Result<Vec<Vec<_>>, _> = crew
                .instances
                .get(operator)
                .map_or(&[][..], Vec::as_slice)
                .iter()
                .map(|count| (0..*count).map(|_| loaded.plugin.start(&node.config, &node.limits)).collect())
                .collect();
            let mut started = match started {
                Ok(started) => started,
                Err(why) => {
                    self.refuse_build(&reload.plugin_name, loaded.plugin.sha256(), &why.to_string());
                    continue;
                }
            };
            let name = node.name.clone();
            let old = node.clone();
            let check = schema::check(&name, loaded.plugin.manifest(), self.store.as_ref()).map_err(|why| Failed::Fatal(why.into()))?;
            if let Err(why) = check.verdict() {
                self.refuse_build(&reload.plugin_name, loaded.plugin.sha256(), &why);
                continue;
            }
            // The old build could not read what such a build has written: it is not watched, and stays.
            let watch = if check.raises() { 0 } else { self.options.watch_batches };
            let mut changes = Changes::default();
            check.remember(&mut changes);
            if !changes.is_empty() {
                self.store.write(&changes).map_err(|why| Failed::Fatal(why.into()))?;
                ledger.into_iter().for_each(|ledger| ledger.owe_all(&name, &changes));
            }
            crew.ask_all(|worker| {
                let instances = started.get_mut(worker).map(std::mem::take).unwrap_or_default();
                let plugin = loaded.plugin.clone();
                Command::Swap(Box::new(Swap { operator, topology: topology.clone(), plugin, instances, watch }))
            })?;
            self.topology = topology;
            self.note(operator, Cause::File(old.plugin.sha256(), &first_of(&work.positions)));
            self.metrics.reloads.inc();
            self.metrics.reload_pause_seconds.observe(hold.elapsed().as_secs_f64());
            let first: Vec<String> = work
                .positions
                .iter()
                .map(|(stream, partition, offset)| {
                    let stream = self.topology.streams.get(*stream).map_or("?", |stream| stream.name.as_str());
                    format!("{stream}/{partition}@{offset}")
                })
                .collect();
            tracing::info!(
                pipeline = %self.pipeline.name, operator = %name, version = %loaded.plugin.manifest().version,
                sha256 = %loaded.plugin.sha256(), replaces = %old.plugin.sha256(), first = %first.join(" "),
                pause_us = hold.elapsed().as_micros() as u64, swap_us = swapped.elapsed().as_micros() as u64,
                "new build"
            );
            if let Some(reloader) = &mut self.reloader {
                reloader.running(operator, old, &loaded.plugin, hold.elapsed());
            }
        }
        Ok(())
    }

    fn refuse_build(&mut self, plugin: &str, sha256: &str, why: &str) {
        let users = self.topology.operators.iter().enumerate().filter(|(_, node)| node.plugin_name == plugin);
        users.for_each(|(operator, _)| self.note(operator, Cause::Refused(sha256, why)));
        tracing::warn!(pipeline = %self.pipeline.name, plugin, "the new build is refused, the old one stays: {why}");
        self.metrics.reloads_refused.inc();
        if let Some(reloader) = &mut self.reloader {
            reloader.refused(plugin, why);
        }
    }

    /// Notes for the audit why an operator's build runs.
    fn note(&self, operator: usize, cause: Cause<'_>) {
        if let (Some(audit), Some(node)) = (self.brokers.audit(), self.topology.operators.get(operator)) {
            audit.note(self.clock.now(), &self.topology, node, cause);
        }
    }

    /// Refuses builds that failed before it came to a swap.
    pub(super) fn refuse_builds(&mut self) {
        let refusals = self.reloader.as_mut().map(Reloader::take_refusals).unwrap_or_default();
        refusals.iter().for_each(|Refusal { plugin, sha256, why }| self.refuse_build(plugin, sha256, why));
    }

    /// A task has taken a new build back: tasks that are made from now on get the old one, too.
    pub(super) fn note_roll_back(&mut self, operator: usize, rolled_back: &RolledBack) {
        let Some(node) = self.topology.operators.get(operator) else { return };
        let (name, plugin) = (node.name.clone(), node.plugin_name.clone());
        let why =
            format!("{} was taken back, {} runs again: {}", short(&rolled_back.refused), short(&rolled_back.restored), rolled_back.why);
        tracing::error!(pipeline = %self.pipeline.name, operator = %name, "the new build failed: {why}");
        self.metrics.reloads_refused.inc();
        if let Some(reloader) = &mut self.reloader {
            reloader.refused(&plugin, &why);
        }
        self.put_old_build_back(operator);
        self.note(operator, Cause::RollBack(&rolled_back.refused, &rolled_back.why));
    }

    /// Tasks of an operator that are made from now on get the build from before its last swap.
    pub(super) fn put_old_build_back(&mut self, operator: usize) {
        if let Some(old) = self.reloader.as_mut().and_then(|reloader| reloader.taken_back(operator)) {
            let mut topology = Topology::clone(&self.topology);
            if let Some(node) = topology.operators.get_mut(operator) {
                *node = old;
            }
            self.topology = Arc::new(topology);
        }
    }
}
