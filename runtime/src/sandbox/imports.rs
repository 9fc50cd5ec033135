//! The host's functions: a log, and reads of large state. Nothing here changes anything outside the guest.

use sangam_protocol::msgpack::write;
use sangam_protocol::{IMPORT_MODULE, imports};
use wasmtime::{Caller, Linker};

use super::host::{Host, LogLevel, guest, slice, slice_mut};

/// What `state_get` returns where there is no such cell.
const NO_CELL: i64 = -1;

/// Offers the functions to a module.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(IMPORT_MODULE, imports::LOG, log)?.func_wrap(IMPORT_MODULE, imports::STATE_GET, state_get)?.func_wrap(
        IMPORT_MODULE,
        imports::STATE_SCAN,
        state_scan,
    )?;
    Ok(())
}

fn log(mut caller: Caller<'_, Host>, level: u32, ptr: u32, len: u32) -> wasmtime::Result<()> {
    let (memory, host) = guest(&mut caller)?;
    let line = slice(memory, "log line", ptr, len)?;
    let level = match level {
        1 => LogLevel::Error,
        2 => LogLevel::Warn,
        4 => LogLevel::Debug,
        _ => LogLevel::Info,
    };
    host.log.line(level, line);
    Ok(())
}

fn state_get(mut caller: Caller<'_, Host>, slot: u32, cell_ptr: u32, cell_len: u32, out_ptr: u32, out_cap: u32) -> wasmtime::Result<i64> {
    let (memory, host) = guest(&mut caller)?;
    slice(memory, "buffer for a cell", out_ptr, out_cap)?;
    let cell = slice(memory, "cell key", cell_ptr, cell_len)?;
    let Some(value) = host.reads.get().and_then(|reads| reads.get(slot, cell)) else {
        return Ok(NO_CELL);
    };
    if value.len() <= out_cap as usize {
        slice_mut(memory, "buffer for a cell", out_ptr, value.len() as u32)?.copy_from_slice(&value);
    }
    Ok(value.len() as i64)
}

#[expect(clippy::too_many_arguments, reason = "the ABI passes pointers and lengths one by one")]
fn state_scan(
    mut caller: Caller<'_, Host>,
    slot: u32,
    prefix_ptr: u32,
    prefix_len: u32,
    after_ptr: u32,
    after_len: u32,
    out_ptr: u32,
    out_cap: u32,
) -> wasmtime::Result<i64> {
    let (memory, host) = guest(&mut caller)?;
    slice(memory, "buffer for cells", out_ptr, out_cap)?;
    let prefix = slice(memory, "cell prefix", prefix_ptr, prefix_len)?;
    let after = slice(memory, "cell key", after_ptr, after_len)?;
    // The pairs are gathered beside, as the guest may name overlapping places for what it asks and what it gets.
    let found = &mut host.scratch;
    found.clear();
    let mut too_large = None;
    if let Some(reads) = host.reads.get() {
        reads.scan(slot, prefix, after, &mut |cell, value| {
            let start = found.len();
            write::bin(found, cell);
            write::bin(found, value);
            let fits = found.len() <= out_cap as usize;
            if !fits {
                if start == 0 {
                    too_large = Some(found.len());
                }
                found.truncate(start);
            }
            fits
        });
    }
    if let Some(needed) = too_large {
        return Ok(-(needed as i64));
    }
    slice_mut(memory, "buffer for cells", out_ptr, found.len() as u32)?.copy_from_slice(found);
    Ok(found.len() as i64)
}
