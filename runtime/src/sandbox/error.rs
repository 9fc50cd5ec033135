//! What can go wrong at the door, sorted by what the caller does next.

use std::time::Duration;

/// The engine could not be set up: nothing runs on this machine until that is mended.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime refused its configuration or could not reserve address space. Look at `ulimit -v` and the processor's features.
    #[error("the sandbox cannot start: {0}")]
    Engine(String),
    /// The thread that drives the time limits could not be started. Look at the limit on threads (`ulimit -u`, a cgroup's `pids.max`).
    #[error("the sandbox cannot start its clock thread: {0}")]
    Clock(std::io::Error),
}

/// Why a module is not loaded. Nothing has run; the operator that is running goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is not a WebAssembly module, is cut short, or uses a proposal that the sandbox leaves off (threads, 64-bit memory,
    /// several memories, relaxed SIMD, exceptions). Build again for `wasm32-unknown-unknown` with default target features.
    #[error("not a module that this host takes: {0}")]
    Invalid(String),
    /// The file is larger than the sandbox takes. Strip debug sections, or raise the limit.
    #[error(
        "the module has {bytes} bytes, at most {allowed} allowed; strip its debug sections (`strip = \"debuginfo\"`) or raise the limit"
    )]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The limit.
        allowed: usize,
    },
    /// The custom section `sangam.manifest` is missing, there twice, not JSON, or says what cannot be.
    #[error("the manifest is refused: {0}")]
    Manifest(String),
    /// A function that the ABI asks for is not exported.
    #[error("export `{name}` is missing; {remedy}")]
    MissingExport {
        /// The export's name.
        name: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// An export has the right name and another type.
    #[error("export `{name}` is {found}, but the ABI asks for {expected}; rebuild it with the SDK of this host's version")]
    ExportType {
        /// The export's name.
        name: &'static str,
        /// Its type.
        found: String,
        /// The type that the ABI asks for.
        expected: &'static str,
    },
    /// The module wants a function that the sandbox does not offer. It offers reads of state and a log, and nothing else.
    #[error("import `{import}` is not offered; {remedy}")]
    UnknownImport {
        /// `module.name` of the import.
        import: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// An import has the right name and another type.
    #[error("import `{import}` is {found}, but the host offers {expected}; rebuild it with the SDK of this host's version")]
    ImportType {
        /// `module.name` of the import.
        import: String,
        /// The type that the module declares.
        found: String,
        /// The type that the host offers.
        expected: &'static str,
    },
    /// The module is a command that runs once and ends.
    #[error("it is a command (it exports `_start`), not an operator; build a library (`crate-type = [\"cdylib\"]`), or a WASI reactor")]
    Command,
    /// The module asks for more memory or a larger table than any instance may have, before it has run an instruction.
    #[error("it declares {asked} {what} at least, at most {allowed} allowed")]
    DeclaredTooMuch {
        /// Of what.
        what: &'static str,
        /// What it asks for.
        asked: u64,
        /// The limit.
        allowed: u64,
    },
    /// The compiler gave up on a valid module. That is our fault or wasmtime's: keep the file and report it.
    #[error("the module does not compile: {0}")]
    Compile(String),
}

/// Why a call gave no effects. After any of these the instance is poisoned: throw it away and start another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped: a panic, an overflow of its stack, a division by zero. The backtrace names the functions, innermost first.
    /// Run the batch in halves to find the event; it can be run again offline.
    #[error("the guest trapped: {message}{}", lines(.backtrace))]
    Trap {
        /// What wasmtime says.
        message: String,
        /// One line per frame, innermost first.
        backtrace: Vec<String>,
    },
    /// The call did not come back in time and was interrupted. An endless loop, or a batch too large for the time limit.
    #[error("the guest did not come back within {limit:?}{}", lines(.backtrace))]
    Timeout {
        /// The limit.
        limit: Duration,
        /// Where it was.
        backtrace: Vec<String>,
    },
    /// The guest asked for more memory (or table entries) than the limit allows and then gave up. Raise the operator's memory limit, make
    /// batches smaller, or look for a guest that keeps what it should store as state.
    #[error("the guest ran out of {what}: it asked for {asked}, at most {allowed} allowed{}", lines(.backtrace))]
    OutOfMemory {
        /// `bytes of memory` or `table entries`.
        what: &'static str,
        /// What it asked for.
        asked: usize,
        /// The limit.
        allowed: usize,
        /// Where it gave up.
        backtrace: Vec<String>,
    },
    /// The guest handed over a pointer and length that are not in its memory. A bug in the guest's SDK, not in an event.
    #[error(transparent)]
    BadPointer(#[from] BadPointer),
    /// The guest read its configuration and will not run with it. The text is its own; mend the pipeline's `config` table.
    #[error("the operator refuses its configuration: {0}")]
    InitRefused(String),
    /// The guest's reply to `sangam_init` is none that the ABI knows. A bug in the guest's SDK.
    #[error("the reply to `sangam_init` is refused: {0}")]
    BadReply(String),
    /// The frame does not fit a guest's address space. Make batches smaller.
    #[error("the frame has {0} bytes, more than a guest can address; make batches smaller")]
    FrameTooLarge(usize),
    /// An earlier call on this instance failed. Start another instance.
    #[error("this instance failed before and is not used again")]
    Poisoned,
    /// All instances that the sandbox may hold are in use: no fault of the guest. Raise the number, or run fewer partitions here.
    #[error("all {0} instances are in use; raise the sandbox's number of instances or run fewer tasks in this process")]
    NoRoom(u32),
    /// The host could not set the instance up: no fault of the guest. Usually the system refused memory.
    #[error("the host could not start an instance: {0}")]
    Host(String),
}

impl CallError {
    /// True when the host is short of something and the same call may work later; false when the guest or its input is to blame.
    pub fn is_hosts_fault(&self) -> bool {
        matches!(self, CallError::NoRoom(_) | CallError::Host(_))
    }
}

/// A pointer and length from a guest that do not lie in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest's {what} is out of its memory: {len} bytes at {ptr:#x} of {memory}")]
pub struct BadPointer {
    /// What it points at.
    pub what: &'static str,
    /// The offset.
    pub ptr: u32,
    /// The length.
    pub len: u32,
    /// Size of the guest's memory.
    pub memory: usize,
}

fn lines(backtrace: &[String]) -> String {
    backtrace.iter().map(|line| format!("\n  {line}")).collect()
}
