//! From a plugin's file to code that is known to work with its operator's configuration.

use super::PlanError;
use crate::config::{Binding, Operator};
use crate::route::{Input, Wants};
use crate::sandbox::{CallError, Limits, LoadError, NoState, Plugin, Sandbox};
use crate::time::WATERMARK_MIN;
use sangam_protocol::effects::{Answering, Effects};
use sangam_protocol::frame::FrameWriter;
use sangam_protocol::key::BROADCAST;
use sangam_protocol::manifest::{EventType, Field, Manifest};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of plugins.
pub struct Plugins {
    sandbox: Arc<Sandbox>,
    folder: PathBuf,
}

/// Why a plugin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailed {
    /// The folder is not there.
    #[error("the plugin folder {} is not there; make it, or set `plugins` to the folder with your .wasm files", .0.display())]
    NoFolder(PathBuf),
    /// The file is not there.
    #[error("there is no {} (plugins there: {}); build it with `sangam build`, or mend `plugin`", .0.display(), .1)]
    NoFile(PathBuf, String),
    /// The file cannot be read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not a plugin.
    #[error("{}: {}", .0.display(), .1)]
    Load(PathBuf, LoadError),
    /// The plugin does not start with this configuration.
    #[error("{}: {}", .0.display(), .1)]
    Start(PathBuf, CallError),
}

/// A plugin that has been started once with its operator's configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The code.
    pub plugin: Arc<Plugin>,
    /// The fields that it wants, where that depends on its configuration.
    pub declared: Option<EventType>,
}

impl Plugins {
    /// Plugins of a folder, run by a sandbox.
    pub fn new(sandbox: Arc<Sandbox>, folder: &Path) -> Plugins {
        Plugins { sandbox, folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// The file of a plugin.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.wasm"))
    }

    /// Loads a plugin by name and tries it with a configuration.
    pub fn load(&self, name: &str, config: &[u8], limits: &Limits) -> Result<Loaded, LoadFailed> {
        let path = self.path(name);
        if !self.folder.is_dir() {
            return Err(LoadFailed::NoFolder(self.folder.clone()));
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Err(LoadFailed::NoFile(path, self.names())),
            Err(why) => return Err(LoadFailed::Unreadable(path, why)),
        };
        self.try_out(&path, &bytes, config, limits)
    }

    /// Compiles a module and tries it with a configuration; `path` is only for messages.
    pub fn try_out(&self, path: &Path, bytes: &[u8], config: &[u8], limits: &Limits) -> Result<Loaded, LoadFailed> {
        let plugin = self.sandbox.load(bytes).map_err(|why| LoadFailed::Load(path.to_owned(), why))?;
        let instance = plugin.start(config, limits).map_err(|why| LoadFailed::Start(path.to_owned(), why))?;
        let declared = instance.declared_fields().map(|fields| EventType {
            name: plugin.manifest().name.clone(),
            fields: fields
                .iter()
                .map(|field| Field { path: field.path.clone(), kind: "any".to_owned(), optional: field.optional })
                .collect(),
        });
        Ok(Loaded { plugin, declared })
    }

    fn names(&self) -> String {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned)).collect();
        names.sort();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl Loaded {
    /// Gives the plugin a batch of no events, no keys of events and no timers, as it could get any time; what it answers must hold.
    ///
    /// # Errors
    /// Why the plugin cannot take it.
    pub fn try_empty_batch(&self, config: &[u8], limits: &Limits) -> Result<(), String> {
        let failed = |why: &dyn std::fmt::Display| format!("it fails on an empty batch: {why}");
        let mut instance = self.plugin.start(config, limits).map_err(|why| failed(&why))?;
        let mut frame = FrameWriter::default();
        frame.start();
        let slots = usize::from(self.plugin.manifest().has_broadcast());
        if slots > 0 {
            // The broadcast state is in every batch.
            frame.key(BROADCAST, None);
        }
        if self.plugin.manifest().processing_time {
            frame.clock(0, 0);
        }
        let frame = frame.finish(WATERMARK_MIN, WATERMARK_MIN);
        let effects = instance.process(frame, WATERMARK_MIN, &mut NoState).map_err(|why| failed(&why))?;
        let answering = Answering { events: 0, slots, timers: 0, ports: self.plugin.manifest().outputs.len() };
        Effects::read(effects, answering, &limits.effects).map(drop).map_err(|why| failed(&why))
    }

    /// How the plugin reads a stream that the file binds to one of its inputs.
    pub fn input(&self, operator: &Operator, binding: &Binding, wants: &mut Wants) -> Result<Input, PlanError> {
        let index = input_of(operator, self.plugin.manifest(), binding)?;
        let input = Input::new(self.plugin.manifest(), index, &operator.key, self.declared.clone(), &binding.stream, wants);
        input.map_err(|why| PlanError::Input(operator.name.clone(), why))
    }
}

/// The input of a manifest that a stream is bound to.
pub fn input_of(operator: &Operator, manifest: &Manifest, binding: &Binding) -> Result<usize, PlanError> {
    let names = || manifest.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
    let keyed = manifest.inputs.iter().position(|input| !input.broadcast);
    match &binding.port {
        None if manifest.keyed_inputs().count() > 1 => {
            Err(PlanError::WhichInput { operator: operator.name.clone(), stream: binding.stream.clone(), inputs: names() })
        }
        // A broadcast input is bound by its name, or not at all.
        None => Ok(keyed.unwrap_or(0)),
        Some(name) => {
            manifest.input(name).ok_or_else(|| PlanError::NoInput { operator: operator.name.clone(), input: name.clone(), inputs: names() })
        }
    }
}
