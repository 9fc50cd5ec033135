//! A module that was checked and compiled: makes instances.

use std::collections::BTreeSet;
use std::sync::Arc;

use sangam_protocol::manifest::Manifest;
use wasmtime::{InstancePre, Linker, Module};

use super::engine::Sandbox;
use super::error::{CallError, LoadError};
use super::host::{Host, LogCollector};
use super::inspect::{Export, Import, Inspection};
use super::instance::Instance;
use super::limits::Limits;
use super::{imports, text, wasi};

/// One operator's module, ready to be started any number of times.
pub struct Plugin {
    sandbox: Arc<Sandbox>,
    inspection: Inspection,
    wasm: Box<[u8]>,
    name: Arc<str>,
    pre: InstancePre<Host>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).field("sha256", &self.inspection.sha256).finish_non_exhaustive()
    }
}

impl Plugin {
    pub(super) fn new(sandbox: Arc<Sandbox>, inspection: Inspection, wasm: &[u8], module: &Module) -> Result<Self, LoadError> {
        let linked = || -> wasmtime::Result<InstancePre<Host>> {
            let mut linker = Linker::new(sandbox.engine());
            imports::link(&mut linker)?;
            let mut seen = BTreeSet::new();
            for import in module.imports().filter(|import| import.module() == wasi::MODULE) {
                if let Some(kind) = import.ty().func()
                    && seen.insert(import.name().to_owned())
                {
                    wasi::link(&mut linker, import.name(), kind.clone())?;
                }
            }
            linker.instantiate_pre(module)
        };
        // `inspect` has checked the imports by name and type, so this is a disagreement between it and us.
        let pre = linked().map_err(|e| LoadError::Compile(text::line(format!("{e:#}").as_bytes(), 4 << 10)))?;
        let name = inspection.manifest.name.as_str().into();
        Ok(Plugin { sandbox, inspection, wasm: wasm.into(), name, pre })
    }

    /// Starts an instance: instantiates the module, runs its start function, `_initialize` and `sangam_init` with `config`, a MessagePack
    /// map, all within the limits.
    pub fn start(self: &Arc<Self>, config: &[u8], limits: &Limits) -> Result<Instance, CallError> {
        Instance::start(self, config, limits, None)
    }

    /// The same, and hands every log line to `collector` too.
    pub fn start_logging(self: &Arc<Self>, config: &[u8], limits: &Limits, collector: LogCollector) -> Result<Instance, CallError> {
        Instance::start(self, config, limits, Some(collector))
    }

    /// What the operator says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }

    /// SHA-256 of the module's file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.inspection.sha256
    }

    /// The module's file.
    pub fn bytes(&self) -> &[u8] {
        &self.wasm
    }

    /// What the module imports.
    pub fn imports(&self) -> &[Import] {
        &self.inspection.imports
    }

    /// What the module exports.
    pub fn exports(&self) -> &[Export] {
        &self.inspection.exports
    }

    /// Whether the module was built for WASI.
    pub fn is_wasi(&self) -> bool {
        self.inspection.is_wasi()
    }

    /// Everything that was read off the module.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The sandbox that it was loaded into.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn pre(&self) -> &InstancePre<Host> {
        &self.pre
    }
}
