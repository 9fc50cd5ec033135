//! `sangam run`: a pipeline, until it is told to stop or its input ends.

use super::{screen, surroundings};
use crate::metrics::Metrics;
use crate::pipeline::{Control, Reloader, RunOptions, Supervisor, plan};
use crate::time::SystemClock;
use anyhow::{Context, Result};
use clap::Args;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

/// Run a pipeline.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// The pipeline.
    pub pipeline: PathBuf,
    /// Process what is there now, then stop. Files end anyway; topics would not.
    #[arg(long)]
    pub drain: bool,
    /// No live table, even at a terminal.
    #[arg(long)]
    pub no_screen: bool,
}

/// Batches for which a new build is watched before it is trusted.
pub const WATCH_BATCHES: u32 = 100;

/// Runs the command.
pub fn run(command: &Run) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&command.pipeline)?;
    for warning in &pipeline.warnings {
        eprintln!("{warning}");
    }
    let plugins = surroundings::plugins(&pipeline)?;
    let store = surroundings::store(&pipeline)?;
    let mut brokers = surroundings::brokers(&pipeline, &store)?;
    brokers.topics(&pipeline)?;
    let metrics = Arc::new(Metrics::default());
    let topology = Arc::new(plan(&pipeline, &plugins, &metrics, &|s| brokers.partitions(s), &|s| brokers.of_stream(s))?);
    let reloader = Reloader::start(plugins.clone(), &pipeline, &topology)
        .with_context(|| format!("the plugin folder {} cannot be watched", plugins.folder().display()))?;
    let builds = reloader.builds();
    let control = Control::default();
    let admin = match &pipeline.admin {
        Some(admin) => Some(crate::admin::Admin::start(admin, &pipeline, metrics.clone(), topology.clone(), builds.clone())?),
        None => None,
    };
    crate::admin::on_signals(control.clone())?;
    let all_files = topology.groups.iter().flat_map(|group| &group.reads).all(|s| {
        pipeline.streams.get(*s).is_some_and(|stream| matches!(stream.carrier, crate::config::Carrier::File { follow: false, .. }))
    });
    let view = screen::View { pipeline: pipeline.name.clone(), topology: topology.clone(), builds, control: control.clone() };
    let options = RunOptions { drain: command.drain, close_at_end: all_files, watch_batches: WATCH_BATCHES };
    let mut supervisor = Supervisor {
        pipeline,
        topology,
        brokers,
        store,
        plugins,
        clock: Arc::new(SystemClock),
        metrics,
        options,
        reloader: Some(reloader),
    };
    let live = !command.no_screen && std::io::stdout().is_terminal();
    let outcome = screen::around(&view, live, || supervisor.run(&control));
    drop(admin);
    outcome?;
    println!("{}", screen::summary(&view));
    Ok(())
}
