//! `sangam debug`: a captured call, run again in the sandbox, and what came of it.
//!
//! The same module, configuration, limits, frame and reads give the same bytes; time limits are the one thing that a machine has a say in.

mod print;

use super::surroundings;
use crate::pipeline::compatible;
use crate::sandbox::{CallError, DeclaredField, Instance, LogLevel, Plugin};
use crate::stage::{Captured, Failure, Recorded, read_effects};
use anyhow::{Context, Result, bail};
use clap::Args;
use parking_lot::Mutex;
use sangam_protocol::effects::Answering;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Run a captured call again, bit for bit, or through another build.
#[derive(Clone, Debug, Args)]
pub struct Debug {
    /// A file that a pipeline with `capture = "FOLDER"` has written.
    pub file: PathBuf,
    /// Give the call to this build instead.
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}

/// What came of a call that was run again.
struct Outcome {
    /// What it answered, where it did.
    effects: Option<Vec<u8>>,
    /// How it failed, if it did.
    failure: Option<Failure>,
    /// Lines of its log.
    log: Vec<String>,
    /// Reads that the capture cannot answer.
    unknown: usize,
    /// What the effects were checked against.
    answering: Answering,
}

/// Runs the command.
pub fn run(command: &Debug, out: &mut dyn Write) -> Result<()> {
    let file = command.file.display();
    let bytes = std::fs::read(&command.file).with_context(|| format!("{file} cannot be read"))?;
    let captured = Captured::read(&bytes).with_context(|| file.to_string())?;
    let sandbox = surroundings::sandbox()?;
    let recorded = sandbox.load(&captured.module).with_context(|| format!("{file}: its module"))?;
    let plugin = match &command.plugin {
        None => recorded.clone(),
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let plugin = sandbox.load(&bytes).with_context(|| path.display().to_string())?;
            fits(&recorded, &plugin, &captured).with_context(|| format!("{} cannot be given what was captured", path.display()))?;
            plugin
        }
    };
    let outcome = play(&captured, &plugin)?;
    let view = print::View { captured: &captured, plugin: &plugin, outcome: &outcome };
    if command.json {
        writeln!(out, "{}", view.json())?;
    } else {
        write!(out, "{}", view.page())?;
    }
    match &outcome.failure {
        None => Ok(()),
        Some(failure) => bail!("the call fails: {}: {}", failure.kind.as_str(), failure.message),
    }
}

/// Runs the call on a new instance.
fn play(captured: &Captured, plugin: &Arc<Plugin>) -> Result<Outcome> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = log.clone();
    let collector = Box::new(move |level, line: &str| told.lock().push(format!("{}: {line}", name_of(level))));
    let mut instance = plugin.start_logging(&captured.config, &captured.limits, collector)?;
    let mut reads = Recorded::new(&captured.reads);
    let answering = Answering { ports: plugin.manifest().outputs.len(), ..captured.answering };
    let (effects, failure) = match instance.process([&captured.frame, &[]], captured.time, &mut reads) {
        Ok(effects) => {
            let checked = read_effects(effects, answering, &captured.limits.effects, plugin.manifest());
            (Some(effects.to_vec()), checked.err())
        }
        Err(why) if why.is_hosts_fault() => return Err(why.into()),
        Err(why) => (None, Some(Failure::from(why))),
    };
    let log = std::mem::take(&mut *log.lock());
    Ok(Outcome { effects, failure, log, unknown: reads.unknown, answering })
}

fn name_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

/// Whether another build can read the frame: it must take the same fields of the same types of events.
fn fits(recorded: &Arc<Plugin>, other: &Arc<Plugin>, captured: &Captured) -> Result<()> {
    compatible(recorded.manifest(), other.manifest()).map_err(anyhow::Error::msg)?;
    let declared = |plugin: &Arc<Plugin>| -> Result<Option<Vec<DeclaredField>>, CallError> {
        let instance: Instance = plugin.start(&captured.config, &captured.limits)?;
        Ok(instance.declared_fields().map(<[DeclaredField]>::to_vec))
    };
    if recorded.manifest().inputs != other.manifest().inputs || declared(recorded)? != declared(other)? {
        bail!("it takes other fields of its events, and the frame holds those of the build that failed; replay the dead letter instead");
    }
    if recorded.manifest().processing_time != other.manifest().processing_time {
        bail!("only one of the two builds asks for processing time, and so for a clock in the frame; replay the dead letter instead");
    }
    Ok(())
}
