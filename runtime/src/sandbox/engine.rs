//! The sandbox: one wasmtime engine with our settings, the clock behind its time limits, and the cache of compiled code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{
    Config, Engine, Inlining, InstanceAllocationStrategy, Module, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails, WasmFeatures,
};

use super::cache::CodeCache;
use super::error::{LoadError, SandboxError};
use super::inspect::inspect;
use super::limits::TABLE_ENTRIES_MAX;
use super::plugin::Plugin;
use super::text;
use super::ticker::Ticker;

/// Bytes of stack that a guest may use. Host functions run on what is left of the thread's stack, so a thread that calls guests
/// needs at least twice as much; Rust's threads have 2 MiB.
const STACK_BYTES: usize = 512 << 10;

/// The most tables of a module. Compilers make one.
const TABLES_MAX: u32 = 2;

/// How the sandbox is set up; one sandbox serves all operators of a process.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Where compiled code is kept; `None` compiles anew at each start.
    pub cache_dir: Option<PathBuf>,
    /// The most instances at a time: one per operator and partition, twice that while a reload swaps them.
    pub instances_max: u32,
    /// The most linear memory that any instance may be allowed, whatever its own limit says.
    pub memory_bytes_max: usize,
    /// The most bytes of a module's file.
    pub module_bytes_max: usize,
    /// Where instances get their memory from.
    pub allocation: Allocation,
}

/// Where instances get their memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Slots of address space reserved once: an instance starts in 5 µs. Falls back to `OnDemand` where the system refuses that much
    /// address space (4 GiB a slot, none of it memory until it is touched).
    Pooled,
    /// Each instance maps its own memory, as much as it uses.
    OnDemand,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        SandboxOptions {
            cache_dir: None,
            instances_max: 1_000,
            memory_bytes_max: 1 << 30,
            module_bytes_max: 64 << 20,
            allocation: Allocation::Pooled,
        }
    }
}

/// One engine. Plugins and instances keep it alive; its clock thread ends with the last of them.
#[derive(Debug)]
pub struct Sandbox {
    engine: Engine,
    options: SandboxOptions,
    cache: Option<CodeCache>,
    instances: AtomicUsize,
    /// Only to be dropped with the sandbox.
    _ticker: Ticker,
}

impl Sandbox {
    /// Sets the engine up. A cache folder that cannot be used is logged and done without.
    pub fn new(mut options: SandboxOptions) -> Result<Arc<Sandbox>, SandboxError> {
        let engine = match Engine::new(&config(&options)) {
            Err(e) if options.allocation == Allocation::Pooled => {
                tracing::warn!(error = %e, "the system refuses the pool's address space; instances get their memory on demand");
                options.allocation = Allocation::OnDemand;
                Engine::new(&config(&options))
            }
            made => made,
        };
        let engine = engine.map_err(|e| SandboxError::Engine(e.to_string()))?;
        let ticker = Ticker::start(&engine).map_err(SandboxError::Clock)?;
        let cache = options.cache_dir.as_ref().and_then(|folder| {
            CodeCache::open(folder, &engine)
                .inspect_err(|e| tracing::warn!(folder = %folder.display(), error = %e, "compiled code is not cached"))
                .ok()
        });
        Ok(Arc::new(Sandbox { engine, options, cache, instances: AtomicUsize::new(0), _ticker: ticker }))
    }

    /// Checks a module and compiles it, or takes its code from the cache. Compiling takes a second per megabyte or so: not on a hot path.
    pub fn load(self: &Arc<Self>, wasm: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        let allowed = self.options.module_bytes_max;
        if wasm.len() > allowed {
            return Err(LoadError::TooLarge { bytes: wasm.len(), allowed });
        }
        let inspection = inspect(wasm)?;
        if inspection.memory_bytes_min > self.options.memory_bytes_max as u64 {
            return Err(LoadError::DeclaredTooMuch {
                what: "bytes of memory",
                asked: inspection.memory_bytes_min,
                allowed: self.options.memory_bytes_max as u64,
            });
        }
        let cached = self.cache.as_ref().and_then(|cache| cache.get(&self.engine, &inspection.sha256));
        let module = match cached {
            Some(module) => module,
            None => {
                let module = compile(&self.engine, wasm)?;
                if let Some(cache) = &self.cache {
                    cache.put(&inspection.sha256, &module);
                }
                module
            }
        };
        Plugin::new(self.clone(), inspection, wasm, &module).map(Arc::new)
    }

    /// Instances that are alive.
    pub fn instances(&self) -> usize {
        self.instances.load(Ordering::Relaxed)
    }

    /// How it was set up, and where instances really get their memory from.
    pub fn options(&self) -> &SandboxOptions {
        &self.options
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes the place of one instance, unless all are taken.
    pub(super) fn take_place(self: &Arc<Self>) -> Option<Place> {
        let max = self.options.instances_max as usize;
        self.instances.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < max).then_some(taken + 1)).ok()?;
        Some(Place(self.clone()))
    }
}

/// The place of one instance, given back on drop.
#[derive(Debug)]
pub(super) struct Place(Arc<Sandbox>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

fn config(options: &SandboxOptions) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .compiler_inlining(Inlining::Yes)
        // The same input gives the same bytes on every machine.
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_features(left_off(), false);
    if std::env::var_os("SANGAM_PERFMAP").is_some() {
        config.profiler(wasmtime::ProfilingStrategy::PerfMap);
    }
    match options.allocation {
        Allocation::Pooled => {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_core_instances(options.instances_max)
                .total_memories(options.instances_max)
                .total_tables(options.instances_max.saturating_mul(TABLES_MAX))
                .max_tables_per_module(TABLES_MAX)
                .table_elements(TABLE_ENTRIES_MAX)
                .max_memory_size(options.memory_bytes_max);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        Allocation::OnDemand => {
            // The default of 4 GiB of address space per instance is what a system that refuses the pool will refuse, too.
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand).memory_reservation(0).memory_reservation_for_growth(1 << 20);
        }
    }
    config
}

/// Proposals that are off: nondeterministic, beyond one memory of 32 bits, or in need of a garbage collector. `inspect` refuses them
/// first and with better words; this is the second lock on the door.
fn left_off() -> WasmFeatures {
    WasmFeatures::THREADS
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::MEMORY64
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::GC
        | WasmFeatures::STACK_SWITCHING
        | WasmFeatures::WIDE_ARITHMETIC
}

/// A panic of the compiler on an odd module is the module's misfortune and not the host's.
fn compile(engine: &Engine, wasm: &[u8]) -> Result<Module, LoadError> {
    match catch_unwind(AssertUnwindSafe(|| Module::from_binary(engine, wasm))) {
        Ok(compiled) => compiled.map_err(|e| LoadError::Compile(text::line(format!("{e:#}").as_bytes(), 4 << 10))),
        Err(_) => Err(LoadError::Compile("the compiler panicked; keep the file and report it".into())),
    }
}
