//! One guest with its own memory: a frame in, effects out, within the limits. After an error it is used no more.

use std::sync::Arc;
use std::time::Duration;

use sangam_protocol::exports;
use sangam_protocol::manifest::FIELDS_MAX;
use sangam_protocol::msgpack::Reader;
use wasmtime::{Memory, PoolConcurrencyLimitError, Store, Trap, TypedFunc, WasmBacktrace};

use super::engine::Place;
use super::error::{BadPointer, CallError};
use super::host::{Host, LogCollector, StateReads, slice_mut};
use super::limits::Limits;
use super::plugin::Plugin;
use super::{text, ticker, wasi};

/// A field that the guest named in its reply to `sangam_init`, because it depends on the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredField {
    /// Where it is in the event: names joined by dots.
    pub path: String,
    /// Whether an event may lack it.
    pub optional: bool,
}

/// A running guest.
pub struct Instance {
    store: Store<Host>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    process: TypedFunc<(u32, u32), u64>,
    declared: Option<Vec<DeclaredField>>,
    batch_time: Duration,
    /// `batch_time` in ticks of the engine's epoch.
    batch_ticks: u64,
    poisoned: bool,
    plugin: Arc<Plugin>,
    /// Given back last, when the memory is free again.
    _place: Place,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("plugin", &self.plugin).field("poisoned", &self.poisoned).finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn start(
        plugin: &Arc<Plugin>,
        config: &[u8],
        limits: &Limits,
        collector: Option<LogCollector>,
    ) -> Result<Instance, CallError> {
        let sandbox = plugin.sandbox();
        let options = sandbox.options();
        let place = sandbox.take_place().ok_or(CallError::NoRoom(options.instances_max))?;
        let memory_bytes = limits.memory_bytes.min(options.memory_bytes_max);
        let mut store = Store::new(sandbox.engine(), Host::new(plugin.name().clone(), limits, memory_bytes, collector));
        store.limiter(|host| &mut host.limiter);
        store.set_epoch_deadline(ticker::ticks(limits.init_time));
        let failed = |store: &mut Store<Host>, e| explain(store, e, limits.init_time);

        let instance = plugin.pre().instantiate(&mut store).map_err(|e| failed(&mut store, e))?;
        // `inspect` has seen these exports with these types; their absence would be our fault.
        let host = |e: wasmtime::Error| CallError::Host(e.to_string());
        let memory =
            instance.get_memory(&mut store, exports::MEMORY).ok_or_else(|| CallError::Host("the module has no memory after all".into()))?;
        store.data_mut().memory = Some(memory);
        let alloc = instance.get_typed_func(&mut store, exports::ALLOC).map_err(host)?;
        let process = instance.get_typed_func(&mut store, exports::PROCESS).map_err(host)?;
        let init = instance.get_typed_func(&mut store, exports::INIT).map_err(host)?;
        let initialize = match plugin.inspection().has_export(wasi::INITIALIZE) {
            true => Some(instance.get_typed_func::<(), ()>(&mut store, wasi::INITIALIZE).map_err(host)?),
            false => None,
        };
        let mut instance = Instance {
            store,
            memory,
            alloc,
            process,
            declared: None,
            batch_time: limits.batch_time,
            batch_ticks: ticker::ticks(limits.batch_time),
            poisoned: false,
            plugin: plugin.clone(),
            _place: place,
        };
        if let Some(initialize) = initialize {
            initialize.call(&mut instance.store, ()).map_err(|e| failed(&mut instance.store, e))?;
        }
        let reply = instance.call(&init, [config, &[]], limits.init_time)?;
        let reply = instance.reply(reply, "reply to `sangam_init`")?;
        let declared = read_reply(reply, plugin.manifest().inputs.iter().any(|input| input.dynamic))?;
        instance.declared = declared;
        instance.store.data_mut().log.end_call();
        Ok(instance)
    }

    /// Runs one batch: lays the two pieces of a frame end to end into the guest, and returns the effects as they lie in its memory.
    /// `event_time` is what a WASI clock shows. Effects are bytes from a stranger: check them with `Effects::read`.
    pub fn process(&mut self, frame: [&[u8]; 2], event_time: i64, reads: &mut dyn StateReads) -> Result<&[u8], CallError> {
        // Until the call has come back well; so a panic on the way leaves no instance behind that still holds `reads`.
        if std::mem::replace(&mut self.poisoned, true) {
            return Err(CallError::Poisoned);
        }
        self.store.set_epoch_deadline(self.batch_ticks);
        self.store.data_mut().start_call(event_time);
        self.store.data_mut().reads.lend(reads);
        let process = self.process.clone();
        let reply = self.call(&process, frame, self.batch_time);
        self.store.data_mut().reads.take_back();
        self.store.data_mut().log.end_call();
        let reply = reply?;
        self.reply(reply, "effects")?;
        self.poisoned = false;
        self.reply(reply, "effects")
    }

    /// The fields that the guest named in its reply to `sangam_init`; `None` where the manifest says it all.
    pub fn declared_fields(&self) -> Option<&[DeclaredField]> {
        self.declared.as_deref()
    }

    /// Size of the guest's memory.
    pub fn memory_bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    /// Whether a call has failed, so that the instance is of no more use.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// What it is an instance of.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Copies `pieces` into the guest and calls `function` with them. Returns pointer and length of the reply, not checked yet.
    fn call(&mut self, function: &TypedFunc<(u32, u32), u64>, pieces: [&[u8]; 2], limit: Duration) -> Result<u64, CallError> {
        let [head, tail] = pieces;
        let total = head.len().saturating_add(tail.len());
        let len = u32::try_from(total).map_err(|_| CallError::FrameTooLarge(total))?;
        let ptr = self.alloc.call(&mut self.store, len).map_err(|e| explain(&mut self.store, e, limit))?;
        let buffer = slice_mut(self.memory.data_mut(&mut self.store), "buffer from `sangam_alloc`", ptr, len)?;
        let (first, second) = buffer.split_at_mut(head.len());
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
        function.call(&mut self.store, (ptr, len)).map_err(|e| explain(&mut self.store, e, limit))
    }

    /// The bytes that a reply points at.
    fn reply(&self, reply: u64, what: &'static str) -> Result<&[u8], CallError> {
        let (ptr, len) = ((reply >> 32) as u32, reply as u32);
        Ok(super::host::slice(self.memory.data(&self.store), what, ptr, len)?)
    }
}

// === errors ===

/// The most bytes of one line of a backtrace: function names are the guest's to choose.
const FRAME_BYTES_MAX: usize = 300;

/// Sorts an error of wasmtime by what the caller does next.
fn explain(store: &mut Store<Host>, error: wasmtime::Error, limit: Duration) -> CallError {
    store.data_mut().log.end_call();
    let refused = store.data_mut().limiter.take_refused();
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(backtrace).unwrap_or_default();
    let trap = error.downcast_ref::<Trap>().copied();
    if trap == Some(Trap::Interrupt) {
        return CallError::Timeout { limit, backtrace };
    }
    // Growth that was refused is not a trap by itself; what the guest made of it is.
    if let Some(refused) = refused {
        return CallError::OutOfMemory { what: refused.what, asked: refused.asked, allowed: refused.allowed, backtrace };
    }
    if let Some(bad) = error.downcast_ref::<BadPointer>() {
        return CallError::BadPointer(*bad);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Host(error.to_string());
    }
    let message = match (trap, store.data_mut().log.take_last_error()) {
        // A panic is logged and then traps: the line says what happened, the trap only that something did.
        (Some(Trap::UnreachableCodeReached), Some(said)) => format!("{said} ({})", Trap::UnreachableCodeReached),
        (Some(trap), _) => trap.to_string(),
        (None, _) => text::line(error.root_cause().to_string().as_bytes(), 4 << 10),
    };
    // Without a frame of the guest it never got to run.
    if trap.is_none() && backtrace.is_empty() { CallError::Host(message) } else { CallError::Trap { message, backtrace } }
}

fn backtrace(backtrace: &WasmBacktrace) -> Vec<String> {
    // wasmtime's own words, as they demangle names and find lines; the first line is a heading.
    backtrace.to_string().lines().skip(1).map(|line| text::line(line.trim().as_bytes(), FRAME_BYTES_MAX)).collect()
}

// === the reply to `sangam_init` ===

/// The most bytes of a guest's reason to refuse its configuration that are kept.
const REASON_BYTES_MAX: usize = 4 << 10;

fn read_reply(reply: &[u8], dynamic: bool) -> Result<Option<Vec<DeclaredField>>, CallError> {
    let bad = |why: String| CallError::BadReply(why);
    let mut reader = Reader::new(reply);
    match reader.peek() {
        Ok(0x90..=0x9f | 0xdc | 0xdd) if dynamic => read_fields(&mut reader).map(Some),
        Ok(0x90..=0x9f | 0xdc | 0xdd) => Err(bad("it names fields, but no input of the manifest is `dynamic`".into())),
        Ok(0xa0..=0xbf | 0xd9..=0xdb) => {
            let reason = reader.str_bytes().map_err(|e| bad(e.to_string()))?;
            Err(CallError::InitRefused(text::line(reason, REASON_BYTES_MAX)))
        }
        Ok(_) => match reader.u64() {
            Ok(0) => Ok(None),
            Ok(other) => Err(bad(format!("it is {other}, which means nothing"))),
            Err(e) => Err(bad(e.to_string())),
        },
        // No reply at all, the number 0, is the shortest way to accept.
        Err(_) => Ok(None),
    }
}

fn read_fields(reader: &mut Reader<'_>) -> Result<Vec<DeclaredField>, CallError> {
    let bad = |e: sangam_protocol::msgpack::Error| CallError::BadReply(format!("the list of fields: {e}"));
    let count = reader.array().map_err(bad)?;
    if count > FIELDS_MAX {
        return Err(CallError::BadReply(format!("it names {count} fields, at most {FIELDS_MAX} allowed")));
    }
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        if reader.array().map_err(bad)? != 2 {
            return Err(CallError::BadReply("a field is not a pair of path and optional".into()));
        }
        let path = reader.str().map_err(bad)?.to_owned();
        if path.is_empty() {
            return Err(CallError::BadReply("a field has no path".into()));
        }
        fields.push(DeclaredField { path, optional: reader.bool().map_err(bad)? });
    }
    Ok(fields)
}
