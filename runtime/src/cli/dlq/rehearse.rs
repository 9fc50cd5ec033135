//! Runs the event of a dead letter through another build, offline, to see whether that takes it.
//!
//! It is the real scan, the real stage and the real sandbox over the state of the last commit; nothing of what comes of it is kept.

use super::Letter;
use super::desk::{Desk, topic};
use crate::broker::{BrokerError, Polled, Source};
use crate::config::to_msgpack;
use crate::events::{Events, Record};
use crate::metrics::Metrics;
use crate::pipeline::{compatible, plan};
use crate::route::partition_of;
use crate::stage::letter::{header, text_of};
use crate::stage::{OnError, Outputs, Stage, StageSpec};
use crate::store::{MemoryStore, Store};
use crate::task::{Handover, Intake, OperatorNode, Topology};
use crate::time::{Clock, SystemClock};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// A build that takes the place of one plugin's, for trying.
pub(super) struct Rehearsal<'a> {
    desk: &'a Desk,
    topology: Topology,
    /// By operator: whether the build is for it.
    is_for: Vec<bool>,
    /// The operators whose plugin in the folder is another build than this one.
    differ: Vec<String>,
    /// The state of the last commit, or nothing.
    store: Arc<dyn Store>,
    /// By operator and slice of its keys.
    stages: BTreeMap<(usize, u32), Stage>,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The build takes it.
    Passes,
    /// Its windows have closed.
    Late,
    /// The build does not take it either.
    Fails { kind: String, error: String },
    /// The letter is of an operator that runs another plugin.
    NotItsPlugin,
}

impl Rehearsal<'_> {
    /// Loads the build, and checks for each operator that it is for that it could take over: for `only` that one, or for all of the plugin
    /// that it is a build of.
    pub fn new<'a>(desk: &'a Desk, wasm: &Path, only: Option<&str>) -> Result<Rehearsal<'a>> {
        let bytes = std::fs::read(wasm).with_context(|| format!("{} cannot be read", wasm.display()))?;
        let plugins = super::super::surroundings::plugins(&desk.pipeline)?;
        let partitions = |s: usize| partitions(desk, s);
        let mut topology = plan(&desk.pipeline, &plugins, &Metrics::default(), &partitions, &|s| desk.brokers.of_stream(s))?;
        let manifest = crate::sandbox::inspect(&bytes).with_context(|| wasm.display().to_string())?.manifest;
        let mut is_for = vec![false; topology.operators.len()];
        let mut differ = Vec::new();
        for o in meant(desk, &topology, wasm, &manifest.name, only)? {
            let (Some(node), Some(operator)) = (topology.operators.get(o), desk.pipeline.operators.get(o)) else { continue };
            let config = to_msgpack(&operator.config.0);
            let loaded = plugins.try_out(wasm, &bytes, &config, &node.limits)?;
            let fits = compatible(node.plugin.manifest(), loaded.plugin.manifest());
            let fits = fits.and_then(|()| loaded.try_empty_batch(&config, &node.limits));
            fits.map_err(|why| anyhow!("{} cannot take over from the build of `{}`: {why}", wasm.display(), operator.name))?;
            if loaded.plugin.sha256() != node.plugin.sha256() {
                differ.push(operator.name.clone());
            }
            topology = loaded.rewired(&topology, &desk.pipeline, o)?;
            if let Some(is_for) = is_for.get_mut(o) {
                *is_for = true;
            }
        }
        let store = desk.store.clone().unwrap_or_else(|| Arc::new(MemoryStore::new()));
        Ok(Rehearsal { desk, topology, is_for, differ, store, stages: BTreeMap::new() })
    }

    /// Runs a letter's event through the build.
    pub fn play(&mut self, letter: &Letter) -> Result<Verdict> {
        let name = letter.header(header::OPERATOR);
        let Some(o) = self.topology.operators.iter().position(|node| &*node.name == name) else { return Ok(Verdict::NotItsPlugin) };
        if self.is_for.get(o) != Some(&true) {
            return Ok(Verdict::NotItsPlugin);
        }
        let place = letter.header(header::INPUT);
        let (Some(node), Some(s)) = (self.topology.operators.get(o), self.topology.streams.iter().position(|stream| stream.name == place))
        else {
            return Ok(Verdict::NotItsPlugin);
        };
        let (Some(stream), Some(input)) = (self.topology.streams.get(s), node.inputs.iter().position(|input| &**input.stream() == place))
        else {
            bail!("{}: the operator `{name}` does not read `{place}` any more", letter.id());
        };
        let source = Box::new(One(Some(letter.clone())));
        // Without what was learned of the stream: its watermark is the stage's here.
        let nothing = MemoryStore::new();
        let mut intake = Intake::new(s, stream, 0, source, None, &nothing, Arc::new(SystemClock))?;
        let mut events = Events::default();
        intake.take(stream, 1, &mut events)?;
        let slice = self.slice(o, input, s, &events, letter);
        let stage = self.stage(o, slice)?;
        let mut out = Outputs::new(stage.plugin().manifest().outputs.len());
        let end = stage.watermark();
        stage.process(&events, input, end, &mut out)?;
        if let Some(row) = out.dead_letters.rows.first() {
            let said = |name| text_of(out.dead_letters.headers(row), name).unwrap_or_default().to_owned();
            return Ok(Verdict::Fails { kind: said(header::KIND), error: said(header::ERROR) });
        }
        Ok(if out.late.is_empty() { Verdict::Passes } else { Verdict::Late })
    }

    /// What a user should know about what has been tried.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.desk.store.is_none() {
            warnings.push("the pipeline's store is not at hand, so the build was tried without the state of the keys".to_owned());
        }
        if !self.differ.is_empty() {
            let folder = self.desk.pipeline.plugins.display();
            warnings.push(format!(
                "{folder} still holds another build for {}: put the new one there, or these events will fail again",
                self.differ.join(", ")
            ));
        }
        warnings
    }

    /// The slice of the operator's keys that the event belongs to.
    fn slice(&self, operator: usize, input: usize, stream: usize, events: &Events, letter: &Letter) -> u32 {
        let node = self.topology.operators.get(operator);
        let parallelism = node.and_then(|node| self.topology.groups.get(node.group)).map_or(1, |group| group.parallelism);
        let consumers = self.topology.streams.get(stream).map_or(&[][..], |stream| &stream.consumers);
        let to = consumers.iter().find(|consumer| (consumer.operator, consumer.input) == (operator, input)).map(|consumer| consumer.to);
        let mut scratch = Vec::new();
        let key = node.and_then(|node| node.inputs.get(input)).zip(events.rows.first());
        match (to, key) {
            (Some(Handover::ByKey | Handover::Through(_)), Some((input, row))) => {
                input.key(events, 0, row, &mut scratch).map_or(0, |key| partition_of(key, parallelism))
            }
            (Some(Handover::Here), _) => {
                letter.origin().and_then(|at| u32::try_from(at.partition).ok()).filter(|at| *at < parallelism).unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn stage(&mut self, operator: usize, slice: u32) -> Result<&mut Stage> {
        match self.stages.entry((operator, slice)) {
            std::collections::btree_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                let spec = self.topology.stage_spec(operator, &self.store, &clock).context("the operator is gone")?;
                // To be told, whatever the pipeline would do.
                let spec = StageSpec { on_error: OnError::DeadLetter, batch: 1, captures: None, ..spec };
                Ok(place.insert(Stage::new(spec, slice)?))
            }
        }
    }
}

/// The operators that a build is for: the one that is named, or those of the plugin that has its name, or all where there is one plugin.
fn meant(desk: &Desk, topology: &Topology, wasm: &Path, name: &str, only: Option<&str>) -> Result<Vec<usize>> {
    let nodes = || topology.operators.iter().enumerate();
    if let Some(only) = only {
        return Ok(nodes().filter(|(_, node)| &*node.name == only).map(|(o, _)| o).collect());
    }
    let stem = wasm.file_stem().and_then(|stem| stem.to_str());
    let is_its = |node: &OperatorNode| node.plugin.manifest().name == name || Some(node.plugin_name.as_str()) == stem;
    let named: Vec<usize> = nodes().filter(|(_, node)| is_its(node)).map(|(o, _)| o).collect();
    let plugins: BTreeSet<&str> = desk.pipeline.operators.iter().map(|operator| operator.plugin.as_str()).collect();
    match (named.is_empty(), plugins.len()) {
        (false, _) => Ok(named),
        (true, 1) => Ok(nodes().map(|(o, _)| o).collect()),
        _ => bail!("{} may be a build of any plugin; say whose dead letters it is for: `--operator NAME`", wasm.display()),
    }
}

/// Partitions of a stream's topic; where it has none yet, those that it would be made with.
fn partitions(desk: &Desk, stream: usize) -> u32 {
    let Some(meant) = desk.pipeline.streams.get(stream) else { return 0 };
    let there = topic(meant).and_then(|topic| desk.broker(stream).ok()?.partitions(topic).ok().flatten());
    let asked = if let crate::config::Carrier::Topic { partitions, .. } = &meant.carrier { *partitions } else { 1 };
    there.unwrap_or(asked)
}

/// One letter as a source.
struct One(Option<Letter>);

impl Source for One {
    fn seek(&mut self, _: i64) -> Result<(), BrokerError> {
        Ok(())
    }

    fn poll(&mut self, _: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        let Some(letter) = self.0.take() else { return Ok(Polled::End) };
        let origin = letter.origin();
        let (partition, offset) = origin.map_or((0, 0), |at| (at.partition, at.offset));
        into.push(&Record {
            key: letter.key.as_deref(),
            value: letter.value.as_deref(),
            headers: &letter.headers,
            time: letter.time,
            partition,
            offset,
        });
        Ok(Polled::Some(1))
    }

    fn lag(&self) -> Option<u64> {
        Some(u64::from(self.0.is_some()))
    }
}
