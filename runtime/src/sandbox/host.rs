//! What the host keeps beside a guest's memory, and what its functions share: reads of state, the log, checked pointers.

use std::borrow::Cow;
use std::ptr::NonNull;
use std::sync::Arc;

use wasmtime::{Caller, Memory};

use super::error::BadPointer;
use super::limits::{Limiter, Limits};
use super::text;

/// State too big to travel in frames, read cell by cell while a call runs. Slots and cells come from the guest: any number and any
/// bytes must be taken, and what does not exist is simply not there. A failing store keeps its error, answers `None` or nothing, and
/// whoever made the call asks it afterwards.
pub trait StateReads {
    /// The value of one cell of the slot's key.
    fn get(&mut self, slot: u32, cell: &[u8]) -> Option<Cow<'_, [u8]>>;

    /// Hands cells that start with `prefix` and come after `after` (all, when it is empty) to `each`, in the order of their bytes,
    /// until it returns false.
    fn scan(&mut self, slot: u32, prefix: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool);
}

/// For operators without large state: there is never anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoState;

impl StateReads for NoState {
    fn get(&mut self, _slot: u32, _cell: &[u8]) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn scan(&mut self, _slot: u32, _prefix: &[u8], _after: &[u8], _each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {}
}

/// How much a log line matters, as the guest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// 1
    Error,
    /// 2
    Warn,
    /// 3, and every number that is no level.
    Info,
    /// 4
    Debug,
}

/// Receives a guest's log lines besides the host's own log: a test, the harness, a debugger.
pub type LogCollector = Box<dyn FnMut(LogLevel, &str) + Send>;

/// The data of one store.
pub(super) struct Host {
    pub limiter: Limiter,
    /// Looked up once: by name it costs seven times a call.
    pub memory: Option<Memory>,
    pub log: Log,
    /// Event time of the call, the guest's only clock.
    pub event_time: i64,
    /// State of the random numbers, the same at the beginning of each call.
    pub random: u64,
    pub reads: Reads,
    /// Reused for what must not borrow from guest memory while state is read.
    pub scratch: Vec<u8>,
}

impl Host {
    pub fn new(name: Arc<str>, limits: &Limits, memory_bytes: usize, collector: Option<LogCollector>) -> Self {
        Host {
            limiter: Limiter::new(memory_bytes),
            memory: None,
            log: Log {
                name,
                lines_max: limits.log_lines,
                line_bytes: limits.log_line_bytes,
                lines: 0,
                suppressed: 0,
                last_error: None,
                collector,
            },
            event_time: 0,
            random: 0,
            reads: Reads(None),
            scratch: Vec::new(),
        }
    }

    /// Begins a call: what is per call starts over.
    pub fn start_call(&mut self, event_time: i64) {
        self.event_time = event_time;
        self.random = 0;
        self.log.lines = 0;
        self.log.last_error = None;
        self.limiter.take_refused();
    }
}

// === reads ===

/// The reads lent to the call that is running. The pointer has lost its lifetime because a store's data cannot have one.
pub(super) struct Reads(Option<NonNull<dyn StateReads>>);

// SAFETY: the pointer is there only between `lend` and `take_back`, both in `Instance::process`, which borrows the reads and the store
// all the while; so it is never there when a store moves to another thread.
#[expect(unsafe_code, reason = "a raw pointer makes the whole store immovable otherwise")]
unsafe impl Send for Reads {}

impl Reads {
    /// Lends `reads` to the guest. `take_back` must follow before the borrow ends; if a panic comes between, the instance must not
    /// be called again.
    pub fn lend(&mut self, reads: &mut dyn StateReads) {
        // SAFETY: only the lifetime changes, and `get` is reachable only while the caller holds the borrow (see above).
        #[expect(unsafe_code, reason = "a store's data cannot borrow")]
        let lent = unsafe { std::mem::transmute::<NonNull<dyn StateReads + '_>, NonNull<dyn StateReads + 'static>>(NonNull::from(reads)) };
        self.0 = Some(lent);
    }

    pub fn take_back(&mut self) {
        self.0 = None;
    }

    /// The reads, during a call.
    pub fn get(&mut self) -> Option<&mut dyn StateReads> {
        // SAFETY: lent by `process`, which is on the stack below us and holds the only other borrow without using it.
        #[expect(unsafe_code, reason = "the pointer was made from a live mutable borrow")]
        self.0.map(|mut reads| unsafe { reads.as_mut() })
    }
}

// === log ===

/// A guest's log: bounded per call, made harmless per line.
pub(super) struct Log {
    name: Arc<str>,
    lines_max: u32,
    line_bytes: usize,
    lines: u32,
    suppressed: u64,
    /// The last line of the call that speaks of an error: most likely why it trapped.
    last_error: Option<String>,
    collector: Option<LogCollector>,
}

impl Log {
    /// Writes one line.
    pub fn line(&mut self, level: LogLevel, bytes: &[u8]) {
        if self.lines >= self.lines_max {
            self.suppressed += 1;
            return;
        }
        self.lines += 1;
        let line = text::line(bytes, self.line_bytes);
        self.write(level, &line);
        if level == LogLevel::Error {
            self.last_error = Some(line);
        }
    }

    /// What the call said of an error, last.
    pub fn take_last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Whether a line would still be written; spares the work of putting it together.
    pub fn is_full(&self) -> bool {
        self.lines >= self.lines_max
    }

    /// Says how many lines were left out.
    pub fn end_call(&mut self) {
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            self.write(LogLevel::Warn, &format!("{suppressed} more lines in this batch are not shown"));
        }
    }

    fn write(&mut self, level: LogLevel, line: &str) {
        let plugin = &*self.name;
        match level {
            LogLevel::Error => tracing::error!(target: "sangam::guest", plugin, "{line}"),
            LogLevel::Warn => tracing::warn!(target: "sangam::guest", plugin, "{line}"),
            LogLevel::Info => tracing::info!(target: "sangam::guest", plugin, "{line}"),
            LogLevel::Debug => tracing::debug!(target: "sangam::guest", plugin, "{line}"),
        }
        if let Some(collector) = &mut self.collector {
            collector(level, line);
        }
    }
}

// === pointers ===

/// The guest's memory and the host's data, as a host function sees them.
pub(super) fn guest<'a>(caller: &'a mut Caller<'_, Host>) -> Result<(&'a mut [u8], &'a mut Host), BadPointer> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        // Not cached yet: the start function is running.
        None => caller.get_export(sangam_protocol::exports::MEMORY).and_then(wasmtime::Extern::into_memory).ok_or(BadPointer {
            what: "memory",
            ptr: 0,
            len: 0,
            memory: 0,
        })?,
    };
    caller.data_mut().memory = Some(memory);
    Ok(memory.data_and_store_mut(caller))
}

/// `len` bytes at `ptr`.
pub(super) fn slice<'a>(memory: &'a [u8], what: &'static str, ptr: u32, len: u32) -> Result<&'a [u8], BadPointer> {
    let bad = BadPointer { what, ptr, len, memory: memory.len() };
    memory.get(ptr as usize..).and_then(|rest| rest.get(..len as usize)).ok_or(bad)
}

/// `len` bytes at `ptr`, to write to.
pub(super) fn slice_mut<'a>(memory: &'a mut [u8], what: &'static str, ptr: u32, len: u32) -> Result<&'a mut [u8], BadPointer> {
    let bad = BadPointer { what, ptr, len, memory: memory.len() };
    memory.get_mut(ptr as usize..).and_then(|rest| rest.get_mut(..len as usize)).ok_or(bad)
}
