//! `sangam rollback`: back to the build and the state of just before the last swap.

use super::savepoint::{depot, say_restored, stop_first};
use super::surroundings;
use crate::digest::short;
use crate::pipeline::savepoint::{Depot, SavedSwap, Savepoint};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Go back to the build, and to the state, of just before the last swap. The pipeline must not run.
#[derive(Clone, Debug, Args)]
pub struct Rollback {
    /// The pipeline.
    pub pipeline: PathBuf,
    /// The operator whose last swap is meant [default: the last swap of any].
    pub operator: Option<String>,
}

/// Runs the command.
pub fn run(command: &Rollback, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&command.pipeline)?;
    let depot = depot(&pipeline)?;
    let (savepoint, swap) = last_swap(&depot, command.operator.as_deref())?;
    let build = depot.build(&savepoint, &swap.from)?;
    let put_back = PutBack::new(&pipeline.plugins, &swap, &build)?;
    let restored = stop_first(pipeline).and_then(|stopped| Ok(stopped.restore_savepoint(&savepoint.name, false)?));
    match restored {
        Ok(savepoint) => {
            writeln!(out, "{}: {} runs {} again; {}", savepoint.pipeline, swap.operators.join(", "), short(&swap.from), put_back.aside())?;
            say_restored(&savepoint, out)
        }
        Err(why) => {
            put_back.undo()?;
            Err(why)
        }
    }
}

/// The savepoint of before the last swap, of any operator or that one.
fn last_swap(depot: &Depot, operator: Option<&str>) -> Result<(Savepoint, SavedSwap)> {
    let of = |swap: &SavedSwap| operator.is_none_or(|operator| swap.operators.iter().any(|name| name == operator));
    let listed = depot.list()?.into_iter().rev().filter_map(|one| one.savepoint.ok());
    let mut swaps = listed.filter_map(|savepoint| savepoint.swap.clone().map(|swap| (savepoint, swap)));
    swaps.find(|(_, swap)| of(swap)).with_context(|| {
        let of = operator.map_or_else(String::new, |operator| format!(" of `{operator}`"));
        format!(
            "there is no savepoint of before a swap{of}; they are taken where the pipeline's file says `[savepoints]`, `before_swap = true`"
        )
    })
}

/// A build that is in the place of another one.
struct PutBack {
    file: PathBuf,
    /// Where the other one is now; `None`: there was none, or it was this one.
    aside: Option<PathBuf>,
}

impl PutBack {
    fn new(folder: &Path, swap: &SavedSwap, build: &[u8]) -> Result<PutBack> {
        let file = folder.join(format!("{}.wasm", swap.plugin));
        let failed = |path: &Path| format!("{} cannot be written", path.display());
        let aside = match std::fs::read(&file) {
            Ok(there) if there == build => return Ok(PutBack { file, aside: None }),
            Ok(_) => Some(folder.join(format!("{}.wasm.{}", swap.plugin, short(&swap.to)))),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
            Err(why) => bail!("{}: {why}", file.display()),
        };
        if let Some(aside) = &aside {
            std::fs::rename(&file, aside).with_context(|| failed(aside))?;
        }
        // A name that is no plugin's until it is whole.
        let new = folder.join(format!(".{}.wasm.new", swap.plugin));
        std::fs::write(&new, build).and_then(|()| std::fs::rename(&new, &file)).with_context(|| failed(&file))?;
        Ok(PutBack { file, aside })
    }

    /// Where the other build is.
    fn aside(&self) -> String {
        self.aside.as_ref().map_or_else(|| "it was there already".to_owned(), |aside| format!("the other build is {} now", aside.display()))
    }

    fn undo(&self) -> Result<()> {
        if let Some(aside) = &self.aside {
            std::fs::rename(aside, &self.file).with_context(|| format!("{} cannot be put back", self.file.display()))?;
        }
        Ok(())
    }
}
