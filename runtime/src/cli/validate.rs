//! `sangam validate`: everything that can be known to be wrong with a pipeline before it runs.

use super::surroundings;
use crate::metrics::Metrics;
use crate::pipeline::plan;
use crate::store::{MemoryStore, Store};
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Check a pipeline file and its plugins, without running it.
#[derive(Clone, Debug, Args)]
pub struct Validate {
    /// The pipeline.
    pub pipeline: PathBuf,
    /// Check the file alone: neither plugins nor clusters.
    #[arg(long)]
    pub no_environment: bool,
}

/// Runs the command.
pub fn run(command: &Validate, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&command.pipeline)?;
    for warning in &pipeline.warnings {
        eprintln!("{warning}");
    }
    if !command.no_environment {
        let plugins = surroundings::plugins(&pipeline)?;
        // Partitions of topics that exist decide who runs where, but not whether the plan holds together: the file's numbers do here.
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let brokers = surroundings::connect(&pipeline, &store)?.brokers;
        let partitions = |s: usize| match pipeline.streams.get(s).map(|stream| &stream.carrier) {
            Some(crate::config::Carrier::Topic { partitions, .. }) => *partitions,
            _ => 1,
        };
        let planned = plan(&pipeline, &plugins, &Metrics::default(), &partitions, &|s| brokers.of_stream(s));
        planned.map_err(|why| surroundings::at_its_line(why.into(), &command.pipeline))?;
    }
    writeln!(out, "{} is fine: {} operators, {} streams", command.pipeline.display(), pipeline.operators.len(), pipeline.streams.len())?;
    Ok(())
}
