//! A closed world for modules that were built for WASI: the clock is event time, the random numbers are always the same, what is
//! printed goes to the log, and everything else says that it is not there.

use wasmtime::{Caller, FuncType, Linker, Val};

use super::host::{Host, LogLevel, guest, slice, slice_mut};

/// The module that WASI preview 1 is imported from.
pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// What a WASI library exports to be called once, before anything else.
pub(super) const INITIALIZE: &str = "_initialize";

const SUCCESS: i32 = 0;
/// No such file descriptor: there is none besides the three standard ones.
const BADF: i32 = 8;
/// No such function.
const NOSYS: i32 = 52;

/// The type of a function that this world has.
pub(super) fn expected_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "fd_write" => "(i32, i32, i32, i32) -> i32",
        "clock_time_get" => "(i32, i64, i32) -> i32",
        "random_get" | "args_get" | "environ_get" | "args_sizes_get" | "environ_sizes_get" => "(i32, i32) -> i32",
        "proc_exit" => "(i32) -> ()",
        _ => return None,
    })
}

/// The guest asked to end the process.
#[derive(Debug, thiserror::Error)]
#[error("the guest called exit({0}); an operator returns, or panics")]
struct Exit(i32);

/// Offers one function to a module that wants it; `kind` is the type that the module declares.
pub(super) fn link(linker: &mut Linker<Host>, name: &str, kind: FuncType) -> wasmtime::Result<()> {
    match name {
        "fd_write" => linker.func_wrap(MODULE, name, fd_write)?,
        "clock_time_get" => linker.func_wrap(MODULE, name, clock_time_get)?,
        "random_get" => linker.func_wrap(MODULE, name, random_get)?,
        "args_sizes_get" | "environ_sizes_get" => linker.func_wrap(MODULE, name, sizes_get)?,
        "args_get" | "environ_get" => linker.func_wrap(MODULE, name, |_: u32, _: u32| SUCCESS)?,
        "proc_exit" => linker.func_wrap(MODULE, name, |code: i32| -> wasmtime::Result<()> { Err(Exit(code).into()) })?,
        _ => {
            let errno = if name.starts_with("fd_") { BADF } else { NOSYS };
            linker.func_new(MODULE, name, kind, move |_caller, _params, results| {
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(errno);
                }
                Ok(())
            })?
        }
    };
    Ok(())
}

/// Standard output and error, a log line per line of text.
fn fd_write(mut caller: Caller<'_, Host>, fd: i32, pieces: u32, count: u32, written_ptr: u32) -> wasmtime::Result<i32> {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Warn,
        _ => return Ok(BADF),
    };
    let (memory, host) = guest(&mut caller)?;
    let table = slice(memory, "list of text pieces", pieces, count.saturating_mul(8))?;
    let text = &mut host.scratch;
    text.clear();
    let mut written = 0u32;
    for piece in table.chunks_exact(8) {
        let [p0, p1, p2, p3, l0, l1, l2, l3] = *piece else { continue };
        let (ptr, len) = (u32::from_le_bytes([p0, p1, p2, p3]), u32::from_le_bytes([l0, l1, l2, l3]));
        let piece = slice(memory, "text", ptr, len)?;
        written = written.saturating_add(len);
        // The pieces may overlap and so be more than the memory holds; what no one will see is not gathered.
        if !host.log.is_full() && text.len() < TEXT_BYTES_MAX {
            text.extend_from_slice(piece.get(..TEXT_BYTES_MAX).unwrap_or(piece));
        }
    }
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        host.log.line(level, line);
    }
    slice_mut(memory, "count of bytes written", written_ptr, 4)?.copy_from_slice(&written.to_le_bytes());
    Ok(SUCCESS)
}

/// The most bytes of one `fd_write` that are looked at.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Event time, whatever clock is asked for.
fn clock_time_get(mut caller: Caller<'_, Host>, _clock: i32, _precision: u64, out: u32) -> wasmtime::Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    let nanos = u64::try_from(host.event_time).unwrap_or(0).saturating_mul(1_000_000);
    slice_mut(memory, "clock's time", out, 8)?.copy_from_slice(&nanos.to_le_bytes());
    Ok(SUCCESS)
}

/// SplitMix64 from the same seed at the beginning of each call: enough to seed a hash map, useless for secrets, and replayable.
fn random_get(mut caller: Caller<'_, Host>, ptr: u32, len: u32) -> wasmtime::Result<i32> {
    let (memory, host) = guest(&mut caller)?;
    for chunk in slice_mut(memory, "buffer for random bytes", ptr, len)?.chunks_mut(8) {
        host.random = host.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = host.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (z ^ (z >> 31)).to_le_bytes();
        chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or(&bytes));
    }
    Ok(SUCCESS)
}

/// No arguments, no environment.
fn sizes_get(mut caller: Caller<'_, Host>, count: u32, bytes: u32) -> wasmtime::Result<i32> {
    let (memory, _) = guest(&mut caller)?;
    slice_mut(memory, "count", count, 4)?.fill(0);
    slice_mut(memory, "size", bytes, 4)?.fill(0);
    Ok(SUCCESS)
}
