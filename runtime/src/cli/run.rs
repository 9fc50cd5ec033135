//! `sangam run`: a pipeline, until it is told to stop or its input ends.

use super::{screen, surroundings};
use crate::admin::{Admin, View, on_signals};
use crate::config::{Carrier, Pipeline, STDIO};
use crate::pipeline::{Control, PipelineError, Reloader, RunOptions, Supervisor};
use crate::time::SystemClock;
use anyhow::{Context, Result};
use clap::Args;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use surroundings::{Connected, Planned};

/// Run a pipeline.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// The pipeline.
    pub pipeline: PathBuf,
    /// Process what is there now, then stop. Files and bounded streams end anyway; other topics would not.
    #[arg(long)]
    pub drain: bool,
    /// No live table, even at a terminal.
    #[arg(long)]
    pub no_screen: bool,
}

/// Batches for which a new build is watched before it is trusted.
pub const WATCH_BATCHES: u32 = 100;

/// A pipeline with everything around it, ready to run.
pub(super) struct Prepared {
    pub(super) supervisor: Supervisor,
    pub(super) view: Arc<View>,
    /// Open as long as this is there.
    _admin: Option<Admin>,
    to_stdout: bool,
}

/// Runs the command.
pub fn run(command: &Run) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&command.pipeline)?;
    for warning in &pipeline.warnings {
        eprintln!("{warning}");
    }
    let store = surroundings::store(&pipeline)?;
    let connected = surroundings::connect(&pipeline, &store)?;
    let prepared = Prepared::new(pipeline, connected, command.drain);
    let mut prepared = prepared.map_err(|why| surroundings::at_its_line(why, &command.pipeline))?;
    let live = !command.no_screen && prepared.may_draw();
    prepared.run(live)
}

// === impl Prepared ===

impl Prepared {
    /// Makes the topics, loads the plugins, and starts what watches: the folder of plugins, the admin doors, signals.
    pub(super) fn new(pipeline: Pipeline, connected: Connected, drain: bool) -> Result<Prepared> {
        let Connected { store, mut brokers, .. } = connected;
        let Planned { plugins, metrics, topology } = surroundings::planned(&pipeline, &mut brokers)?;
        let reloader = Reloader::start(plugins.clone(), &pipeline, &topology)
            .with_context(|| format!("the plugin folder {} cannot be watched", plugins.folder().display()))?;
        let view = Arc::new(View {
            topology: topology.clone(),
            builds: reloader.builds(),
            control: Control::default(),
            metrics: metrics.clone(),
            store: store.clone(),
            started: Instant::now(),
        });
        let admin = pipeline.admin.as_ref().map(|admin| Admin::start(admin, view.clone())).transpose()?;
        on_signals(view.clone(), pipeline.drain_timeout, screen::restore)?;
        let mut reads = topology.groups.iter().flat_map(|group| &group.reads).filter_map(|s| pipeline.streams.get(*s));
        // What is keyed anew through a topic ends when what comes to it does.
        let all_end =
            reads.all(|stream| stream.rekeys.is_some() || stream.bounded || matches!(stream.carrier, Carrier::File { follow: false, .. }));
        let to_stdout = pipeline
            .operators
            .iter()
            .flat_map(|operator| operator.writes())
            .filter_map(|name| pipeline.stream(name))
            .any(|stream| matches!(&stream.carrier, Carrier::File { path, .. } if path == Path::new(STDIO)));
        let supervisor = Supervisor {
            pipeline,
            topology,
            brokers,
            store,
            plugins,
            clock: Arc::new(SystemClock),
            metrics,
            options: RunOptions { drain, close_at_end: all_end, watch_batches: WATCH_BATCHES, ..RunOptions::default() },
            reloader: Some(reloader),
        };
        Ok(Prepared { supervisor, view, _admin: admin, to_stdout })
    }

    /// Whether there is a terminal, and nothing else that writes to it.
    pub(super) fn may_draw(&self) -> bool {
        std::io::stdout().is_terminal() && !self.to_stdout
    }

    /// Runs to the end, and says how it was.
    pub(super) fn run(&mut self, live: bool) -> Result<()> {
        let control = self.view.control.clone();
        let ran = screen::around(&self.view, live, || self.supervisor.run(&control));
        if matches!(ran, Err(PipelineError::Unfinished(_))) {
            tracing::error!("read, but not known to be committed: {}", self.view.uncommitted().join(", "));
        }
        ran?;
        let summary = screen::summary(&self.view.status());
        // Standard output may be somebody's data.
        if self.to_stdout {
            eprint!("{summary}")
        } else {
            print!("{summary}")
        }
        Ok(())
    }
}
