//! `sangam savepoint`: the whole state of a pipeline taken, listed, restored and removed.

use super::ask::{Question, ask, token};
use super::surroundings::{self, Connected, Planned};
use crate::admin::{Wanted, moment};
use crate::config::Pipeline;
use crate::objects::Objects;
use crate::pipeline::savepoint::{Depot, Savepoint};
use crate::pipeline::{RunOptions, Supervisor};
use crate::store::{Store, StoreError};
use crate::time::{Clock, SystemClock};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Save the whole state of a pipeline under a name, and go back to it.
#[derive(Clone, Debug, Args)]
pub struct SavepointCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Take a savepoint; of a pipeline that runs, through its admin doors.
    Create(Create),
    /// List savepoints, the oldest first.
    List(List),
    /// Put a savepoint in the place of the pipeline's state. The pipeline must not run.
    Restore(Restore),
    /// Remove savepoints, finished or not.
    Rm(Remove),
}

#[derive(Clone, Debug, Args)]
struct Create {
    /// The pipeline.
    pipeline: PathBuf,
    /// The savepoint's name [default: the time].
    name: Option<String>,
    /// Why it is taken, for those who list it.
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    why: String,
    /// Where the admin doors of the running pipeline are [default: `listen` under `[admin]` in its file].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The token of the admin doors [default: the one in the pipeline's file, or SANGAM_ADMIN_TOKEN].
    #[arg(long)]
    token: Option<String>,
    /// What it says of itself, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct List {
    /// The pipeline.
    pipeline: PathBuf,
    /// JSON, one object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct Restore {
    /// The pipeline.
    pipeline: PathBuf,
    /// The savepoint.
    name: String,
    /// Leave out operators and streams that the savepoint has and the pipeline has not.
    #[arg(long)]
    allow_non_restored_state: bool,
}

#[derive(Clone, Debug, Args)]
struct Remove {
    /// The pipeline.
    pipeline: PathBuf,
    /// The savepoints.
    #[arg(required = true)]
    names: Vec<String>,
}

/// How long a running pipeline may take to write a savepoint.
const PATIENCE: Duration = Duration::from_mins(60);

/// Runs the command.
pub fn run(command: &SavepointCommand, out: &mut dyn Write) -> Result<()> {
    match &command.verb {
        Verb::Create(create) => run_create(create, out),
        Verb::List(list) => run_list(list, out),
        Verb::Restore(restore) => run_restore(restore, out),
        Verb::Rm(remove) => run_remove(remove, out),
    }
}

fn run_create(create: &Create, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&create.pipeline)?;
    let name = create.name.clone().unwrap_or_else(|| moment(SystemClock.now()).replace(':', "-"));
    let savepoint = match store(&pipeline)? {
        Some(store) => stopped(pipeline, store)?.create_savepoint(&name, &create.why)?,
        None => of_running(create, &pipeline, &name)?,
    };
    match create.json {
        true => writeln!(out, "{}", serde_json::to_string(&savepoint)?)?,
        false => writeln!(out, "{}: {} entries, {}", savepoint.name, savepoint.entries, size(savepoint.bytes))?,
    }
    Ok(())
}

/// Asks the pipeline, which has its store.
fn of_running(create: &Create, pipeline: &Pipeline, name: &str) -> Result<Savepoint> {
    let listen = || pipeline.admin.as_ref().map(|admin| admin.listen.to_string());
    let address = create.admin.clone().or_else(listen).with_context(|| {
        format!(
            "{} is in use: the pipeline is running, and has no admin doors to ask for a savepoint; add `[admin]` with \
             `listen = \"127.0.0.1:9600\"` to its file, or stop it first (it goes on where it stopped)",
            pipeline.data.display()
        )
    })?;
    let token = token(create.token.as_deref()).or_else(|| pipeline.admin.as_ref()?.token.as_ref().map(|token| token.0.clone()));
    let wanted = Wanted { name: name.to_owned(), why: create.why.clone() };
    let path = "/api/v1/pipeline/savepoints";
    let body = Some(serde_json::to_string(&wanted)?);
    let answer = ask(&Question { address: &address, token: token.as_deref(), path, body, patience: PATIENCE })?;
    serde_json::from_str(&answer).context("the pipeline's answer is not what this version reads")
}

fn run_list(list: &List, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&list.pipeline)?;
    let mut rows = vec![["name", "taken", "entries", "size", "why"].map(str::to_owned)];
    for one in depot(&pipeline)?.list()? {
        match (&one.savepoint, list.json) {
            (Ok(savepoint), true) => writeln!(out, "{}", serde_json::to_string(savepoint)?)?,
            (Err(why), true) => writeln!(out, "{}", serde_json::json!({"name": one.name, "error": why.to_string()}))?,
            (Ok(savepoint), false) => rows.push([
                one.name,
                moment(savepoint.created_ms),
                savepoint.entries.to_string(),
                size(savepoint.bytes),
                savepoint.why.clone(),
            ]),
            (Err(why), false) => {
                let nothing = "-".to_owned();
                rows.push([one.name, nothing.clone(), nothing.clone(), nothing, format!("not to be used: {why}")]);
            }
        }
    }
    if !list.json {
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
    }
    Ok(())
}

fn run_restore(restore: &Restore, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&restore.pipeline)?;
    let savepoint = stop_first(pipeline)?.restore_savepoint(&restore.name, restore.allow_non_restored_state)?;
    say_restored(&savepoint, out)
}

fn run_remove(remove: &Remove, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&remove.pipeline)?;
    let depot = depot(&pipeline)?;
    for name in &remove.names {
        depot.remove(name)?;
        writeln!(out, "removed {name}")?;
    }
    Ok(())
}

/// Says to which state a pipeline is back.
pub(super) fn say_restored(savepoint: &Savepoint, out: &mut dyn Write) -> Result<()> {
    let Savepoint { name, entries, created_ms, .. } = savepoint;
    Ok(writeln!(out, "{}: back to {name}, {entries} entries as of {}", savepoint.pipeline, moment(*created_ms))?)
}

/// The savepoints of a pipeline.
pub(super) fn depot(pipeline: &Pipeline) -> Result<Depot> {
    Ok(Depot::new(Objects::open(&pipeline.savepoints_at())?, &pipeline.name))
}

/// A pipeline that does not run, with its store.
pub(super) fn stop_first(pipeline: Pipeline) -> Result<Supervisor> {
    let Some(store) = store(&pipeline)? else {
        bail!(
            "{} is in use: the pipeline is running; stop it first (Ctrl-C, or SIGTERM), and start it again afterwards",
            pipeline.data.display()
        )
    };
    stopped(pipeline, store)
}

/// The store, unless the pipeline runs and has it.
fn store(pipeline: &Pipeline) -> Result<Option<Arc<dyn Store>>> {
    match surroundings::store(pipeline) {
        Err(why) if matches!(why.downcast_ref(), Some(StoreError::Locked(_))) => Ok(None),
        store => store.map(Some),
    }
}

fn stopped(pipeline: Pipeline, store: Arc<dyn Store>) -> Result<Supervisor> {
    let Connected { store, mut brokers, .. } = surroundings::connect(&pipeline, &store)?;
    let Planned { plugins, metrics, topology } = surroundings::planned(&pipeline, &mut brokers)?;
    let (clock, options) = (Arc::new(SystemClock), RunOptions::default());
    Ok(Supervisor { pipeline, topology, brokers, store, plugins, clock, metrics, options, reloader: None })
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
