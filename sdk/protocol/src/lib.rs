//! What crosses the boundary between Sangam and a guest: the manifest, the frame that goes in, the effects that come out.
//!
//! No I/O, no engine, no allocation that the caller did not ask for. `docs/abi.md` is the same contract in prose.

pub mod msgpack;

pub mod duration;
pub mod effects;
pub mod frame;
pub mod key;
pub mod manifest;
pub mod stored;

/// The ABI version that this crate speaks; a guest states the same number in its manifest.
pub const ABI_VERSION: u32 = 1;

/// Name of the custom section that carries the manifest, as JSON text.
pub const MANIFEST_SECTION: &str = "sangam.manifest";

/// Name of the module that the host's functions are imported from.
pub const IMPORT_MODULE: &str = "sangam";

/// Milliseconds since the Unix epoch, of event time unless a name says otherwise.
pub type Millis = i64;

/// The watermark before any event: nothing is known yet.
pub const WATERMARK_MIN: Millis = i64::MIN;

/// The watermark after the last event of a bounded stream: nothing more will come.
pub const WATERMARK_MAX: Millis = i64::MAX;

/// Names of the functions that a guest exports.
pub mod exports {
    /// The guest's linear memory.
    pub const MEMORY: &str = "memory";
    /// `(len: i32) -> i32`: a buffer of at least `len` bytes, the same one reused from call to call.
    pub const ALLOC: &str = "sangam_alloc";
    /// `(ptr: i32, len: i32) -> i64`: takes the configuration; see `docs/abi.md` for the reply.
    pub const INIT: &str = "sangam_init";
    /// `(ptr: i32, len: i32) -> i64`: takes a frame, returns `ptr << 32 | len` of its effects.
    pub const PROCESS: &str = "sangam_process";
    /// A function that is never called: its presence says which ABI the module was built for.
    pub const ABI_MARKER: &str = "sangam_abi_v1";
}

/// Names of the functions that a guest may import from [`IMPORT_MODULE`].
pub mod imports {
    /// `(level: i32, ptr: i32, len: i32)`: one line of UTF-8 text to the host's log; level 1 error, 2 warn, 3 info, 4 debug.
    pub const LOG: &str = "log";
    /// `(slot: i32, cell_ptr: i32, cell_len: i32, out_ptr: i32, out_cap: i32) -> i64`: the cell's length, or -1 where there is none.
    /// The bytes are written only when they fit into `out_cap`.
    pub const STATE_GET: &str = "state_get";
    /// `(slot: i32, prefix_ptr: i32, prefix_len: i32, after_ptr: i32, after_len: i32, out_ptr: i32, out_cap: i32) -> i64`:
    /// cells with the prefix, in key order, that come after `after` (all of them when `after_len` is 0), as a run of MessagePack pairs
    /// `bin cell, bin value`, as many as fit. Returns the bytes written, 0 at the end, or `-n` when the next pair needs `n` bytes.
    pub const STATE_SCAN: &str = "state_scan";
}
