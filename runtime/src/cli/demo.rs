//! `sangam demo`: three operators over made-up payments and orders and recorded departures, in the embedded log; nothing to install.
//!
//! The pipeline is an ordinary file, and it runs as `sangam run` would run it. All that is added is a thread that feeds its topics.

mod feed;
mod generate;
mod kafka;

use super::run::Prepared;
use super::surroundings;
use crate::config::Pipeline;
use crate::store::DiskStore;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use feed::{Feed, Pace};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Run the demo: fraud rules, windows and order analytics over a lively stream, to look at and to change while it runs.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Stop after so many payments and orders. Without it: at a terminal never, elsewhere after 200,000.
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Feed at a steady rate, and stop after so many seconds.
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// Where `plugins` is, the folder that is watched for new builds; `data` next to it is made anew by every run.
    #[arg(long, default_value = "target/demo")]
    pub dir: PathBuf,
    /// The pipeline; its streams must be those of the demo.
    #[arg(long, value_name = "FILE", default_value = "examples/demo/pipeline.toml")]
    pub pipeline: PathBuf,
    /// The recorded departures, one JSON object per line.
    #[arg(long, value_name = "FILE", default_value = "examples/departures/departures.jsonl")]
    pub departures: PathBuf,
    /// Send the recorded departures through Kafka at this address instead, from topic to topic, and compare what comes out.
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
}

/// Payments and orders of a run that nobody watches: enough to see every operator at work, a few seconds in all.
const EVENTS: u64 = 200_000;

/// Payments and orders per second for people who watch: lively, and no machine is busy with it.
const RATE: u64 = 20_000;

/// Runs the command.
pub fn run(command: &Demo) -> Result<()> {
    if let Some(address) = &command.kafka {
        return kafka::run(command, address);
    }
    let departures = read(&command.departures)?;
    read(&command.pipeline)?;
    let mut pipeline = surroundings::read_pipeline(&command.pipeline)?;
    pipeline.plugins = command.dir.join("plugins");
    pipeline.data = command.dir.join("data");
    forget_last_run(&pipeline)?;
    let store = surroundings::store(&pipeline)?;
    let connected = surroundings::connect(&pipeline, &store)?;
    let local = connected.local.clone();
    let topics = feed::Topics::of(&pipeline)?;
    let mut prepared = Prepared::new(pipeline, connected, false)?;

    let live = prepared.may_draw();
    let pace = Pace {
        events: command.events.or((!live && command.seconds.is_none()).then_some(EVENTS)),
        time: command.seconds.map(Duration::from_secs),
        rate: (live || command.seconds.is_some()).then_some(RATE),
    };
    let feed = Feed::new(prepared.view.clone(), local, store, topics, departures);
    let control = prepared.view.control.clone();
    let feeding = std::thread::Builder::new().name("feed".to_owned()).spawn(move || feed.run(pace)).context("no thread for the feed")?;
    let ran = prepared.run(live);
    // Also when the run has failed: the feed is to end.
    control.stop();
    let fed = feeding.join().map_err(|_| anyhow!("the feed has panicked"))?;
    ran.and(fed)
}

fn read(path: &Path) -> Result<String> {
    let what = || format!("{} cannot be read; run scripts/demo in a copy of the repository, or name the files", path.display());
    std::fs::read_to_string(path).with_context(what)
}

/// A demo starts from nothing. Only the store's own file is deleted, and not while another demo has it open.
fn forget_last_run(pipeline: &Pipeline) -> Result<()> {
    drop(DiskStore::open(&pipeline.data).context("another demo may be running; give this one a `--dir` of its own")?);
    let file = pipeline.data.join(DiskStore::FILE);
    std::fs::remove_file(&file).with_context(|| format!("{} cannot be deleted", file.display()))
}
