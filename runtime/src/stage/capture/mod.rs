//! A failed call as one file: what the guest was given, what it read meanwhile, how it failed, and its code; so that it can be run again
//! anywhere, bit for bit.
//!
//! Files hold events, state and configuration as they are: they are for their owner's eyes only.

mod file;
mod reads;

pub use file::CaptureError;
pub use reads::{Read, Recorded};

pub(super) use reads::Recorder;

use super::{Failure, StageSpec};
use crate::config;
use crate::sandbox::Limits;
use crate::time::Millis;
use parking_lot::Mutex;
use sangam_protocol::effects::Answering;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A failed call, and all that it depends on.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The version of the engine.
    pub engine: String,
    /// The pipeline.
    pub pipeline: String,
    /// The operator.
    pub operator: String,
    /// The module's name, as its manifest says.
    pub plugin: String,
    /// SHA-256 of the module, in hexadecimal.
    pub sha256: String,
    /// The module.
    pub module: Vec<u8>,
    /// The operator's configuration, a MessagePack map.
    pub config: Vec<u8>,
    /// What the call might use.
    pub limits: Limits,
    /// The frame.
    pub frame: Vec<u8>,
    /// What a WASI clock showed.
    pub time: Millis,
    /// What the frame holds.
    pub answering: Answering,
    /// What the guest asked of the host, in order, and what it was told.
    pub reads: Vec<Read>,
    /// How it failed.
    pub failure: Failure,
    /// What it answered, where it did.
    pub effects: Option<Vec<u8>>,
}

/// A folder of captured calls.
#[derive(Debug)]
pub struct Captures {
    pipeline: String,
    bounds: config::Capture,
    /// Whether it has been said that nothing more is kept.
    told: AtomicBool,
}

/// What captured calls' files are called at the end.
const ENDING: &str = "capture";

/// Held over a look at a folder and the write that follows from it.
static WRITING: Mutex<()> = Mutex::new(());

/// Digits of a file's name: as good as none are the same.
const DIGITS: usize = 16;

// === impl Captures ===

impl Captures {
    /// The folder that a pipeline's file names. It is made with the first file.
    pub fn new(pipeline: &str, bounds: &config::Capture) -> Captures {
        Captures { pipeline: pipeline.to_owned(), bounds: bounds.clone(), told: AtomicBool::new(false) }
    }

    /// Keeps a call; returns its file's name. `None` where there is no room, or the disk fails, which is logged: that is no reason to stop.
    /// The same call has the same name, and is kept once.
    pub(super) fn keep(&self, captured: &Captured) -> Option<String> {
        let folder = &self.bounds.folder;
        let (bytes, digest) = file::encode(captured);
        let name = format!("{}-{}.{ENDING}", captured.operator, digest.get(..DIGITS)?);
        let path = folder.join(&name);
        // Bounds hold for the folder, whoever writes to it.
        let _one_at_a_time = WRITING.lock();
        if path.exists() {
            return Some(name);
        }
        let (files, used) = self.used();
        if files >= self.bounds.files || used.saturating_add(bytes.len() as u64) > self.bounds.bytes {
            if !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    operator = %captured.operator,
                    "{} holds {files} captured calls of {used} bytes: nothing more is captured until some are removed", folder.display()
                );
            }
            return None;
        }
        match write(folder, &path, &bytes) {
            Ok(()) => {
                tracing::warn!(operator = %captured.operator, "a failed call is captured; run it again with `sangam debug {}`", path.display());
                self.told.store(false, Ordering::Relaxed);
                Some(name)
            }
            Err(why) => {
                tracing::warn!(operator = %captured.operator, "{} cannot be written, so a failed call is not captured: {why}", path.display());
                None
            }
        }
    }

    /// The files that are there, and their bytes together.
    fn used(&self) -> (usize, u64) {
        let entries = std::fs::read_dir(&self.bounds.folder).into_iter().flatten().flatten();
        let captured = entries.filter(|entry| Path::new(&entry.file_name()).extension().is_some_and(|ending| ending == ENDING));
        captured.filter_map(|entry| entry.metadata().ok()).fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.len()))
    }
}

/// Writes a file whole or not at all.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = path.with_extension("new");
    let written = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        std::fs::rename(&beside, path)
    };
    written().inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

// === impl Captured ===

impl Captured {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are none of ours, of another version, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Captured, CaptureError> {
        file::decode(bytes)
    }

    /// A call of an operator that has failed.
    pub(super) fn new(spec: &StageSpec, call: Call<'_>, failure: Failure, effects: Option<&[u8]>) -> Captured {
        Captured {
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: spec.captures.as_ref().map_or_else(String::new, |captures| captures.pipeline.clone()),
            operator: spec.name.to_string(),
            plugin: spec.plugin.manifest().name.clone(),
            sha256: spec.plugin.sha256().to_owned(),
            module: spec.plugin.bytes().to_vec(),
            config: spec.config.to_vec(),
            limits: spec.limits.clone(),
            frame: call.frame.concat(),
            time: call.time,
            answering: call.answering,
            reads: call.reads,
            failure,
            effects: effects.map(<[u8]>::to_vec),
        }
    }
}

/// A call as the stage made it.
pub(super) struct Call<'a> {
    pub frame: [&'a [u8]; 2],
    pub time: Millis,
    pub answering: Answering,
    pub reads: Vec<Read>,
}
