//! What one instance may use, and the limiter that holds it to it.
//!
//! Limits on what effects contain are checked by the protocol crate; they travel here so that an operator has one set of limits.

use std::time::Duration;

use sangam_protocol::effects::EffectLimits;
use wasmtime::ResourceLimiter;

/// The most entries of an instance's tables. Rust fills a table with the functions that are called through pointers: some thousands.
pub const TABLE_ENTRIES_MAX: usize = 20_000;

/// What one instance may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, what the module declares included; the sandbox's `memory_bytes_max` holds too.
    pub memory_bytes: usize,
    /// Wall-clock time of one batch.
    pub batch_time: Duration,
    /// Wall-clock time of starting: the start function, `_initialize` and `sangam_init` together.
    pub init_time: Duration,
    /// Log lines per call; what is more is counted and reported as one line.
    pub log_lines: u32,
    /// Bytes of one log line; what is more is cut off.
    pub log_line_bytes: usize,
    /// What the effects of one batch may contain.
    pub effects: EffectLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 64 << 20,
            batch_time: Duration::from_secs(1),
            init_time: Duration::from_secs(5),
            log_lines: 100,
            log_line_bytes: 4 << 10,
            effects: EffectLimits::default(),
        }
    }
}

/// A wish that was refused, to explain the trap that usually follows.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    pub what: &'static str,
    pub asked: usize,
    pub allowed: usize,
}

/// Says no to growth beyond the limits, and remembers that it did.
#[derive(Debug)]
pub struct Limiter {
    memory_bytes: usize,
    refused: Option<Refused>,
}

impl Limiter {
    pub fn new(memory_bytes: usize) -> Self {
        Limiter { memory_bytes, refused: None }
    }

    /// What was refused last, once.
    pub fn take_refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    fn allow(&mut self, what: &'static str, asked: usize, allowed: usize) -> bool {
        if asked > allowed {
            self.refused = Some(Refused { what, asked, allowed });
        }
        asked <= allowed
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.allow("bytes of memory", desired, self.memory_bytes))
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.allow("table entries", desired, TABLE_ENTRIES_MAX))
    }
}
