//! The guest's side of the boundary: the three functions that the host calls.
//!
//! The sandbox has one thread, so each guest is one static that these functions go through in turn.

use std::cell::RefCell;

use sangam_protocol::msgpack::write;

use crate::batch::Instance;
use crate::config::Config;
use crate::operator::Operator;

/// The input buffer is given back when it is larger than this and the next input needs less than an eighth of it.
const INPUT_KEPT: usize = 4 << 20;

/// An operator behind the three exports.
pub struct Guest<O: Operator>(RefCell<Inner<O>>);

struct Inner<O: Operator> {
    /// Where the host writes; of 64-bit words so that it is aligned.
    input: Vec<u64>,
    instance: Option<Instance<O>>,
    reply: Vec<u8>,
}

// SAFETY: wasm32-unknown-unknown without atomics has one thread. `RefCell` catches a call that re-enters.
#[cfg(target_arch = "wasm32")]
unsafe impl<O: Operator> Sync for Guest<O> {}

impl<O: Operator> Default for Guest<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Operator> Guest<O> {
    /// A guest that has not been given its configuration yet.
    pub const fn new() -> Self {
        Guest(RefCell::new(Inner { input: Vec::new(), instance: None, reply: Vec::new() }))
    }

    /// A buffer of at least `len` bytes, the same one from call to call as long as it is large enough.
    pub fn alloc(&self, len: usize) -> *mut u8 {
        let input = &mut self.0.borrow_mut().input;
        let words = len.div_ceil(8).max(1);
        let held = input.len();
        if words > held {
            // What it held is over, so it is not worth copying.
            *input = Vec::new();
            *input = vec![0; words.next_power_of_two()];
        } else if held * 8 > INPUT_KEPT && words < held / 8 {
            *input = vec![0; words.next_power_of_two()];
        }
        input.as_mut_ptr().cast()
    }

    /// Takes the configuration. The reply is empty when all is well; otherwise a MessagePack string says what is wrong, or an array
    /// of `[path, optional]` which fields the operator wants.
    pub fn init(&self, ptr: *const u8, len: usize) -> (*const u8, usize) {
        let inner = &mut *self.0.borrow_mut();
        inner.reply.clear();
        match inner.input(ptr, len).map(O::Config::read) {
            Some(Ok(config)) => {
                let instance = Instance::new(config);
                if O::DYNAMIC {
                    let fields = O::fields(instance.config());
                    write::array(&mut inner.reply, fields.len());
                    for field in &fields {
                        write::array(&mut inner.reply, 2);
                        write::str(&mut inner.reply, &field.path);
                        write::bool(&mut inner.reply, field.optional);
                    }
                }
                inner.instance = Some(instance);
            }
            Some(Err(why)) => write::str(&mut inner.reply, &why),
            None => write::str(&mut inner.reply, "the configuration is not where sangam_alloc said"),
        }
        (inner.reply.as_ptr(), inner.reply.len())
    }

    /// Takes a frame, returns its effects.
    pub fn process(&self, ptr: *const u8, len: usize) -> (*const u8, usize) {
        let inner = &mut *self.0.borrow_mut();
        let Inner { input, instance, .. } = inner;
        let effects = match (bytes(input, ptr, len), instance) {
            (Some(frame), Some(instance)) => instance.process(frame),
            (frame, _) => {
                let why = if frame.is_some() { "sangam_init has not been called" } else { "the frame is not where sangam_alloc said" };
                let mut writer = sangam_protocol::effects::EffectsWriter::default();
                inner.reply = writer.fault(None, why).to_vec();
                &inner.reply
            }
        };
        (effects.as_ptr(), effects.len())
    }
}

impl<O: Operator> Inner<O> {
    fn input(&self, ptr: *const u8, len: usize) -> Option<&[u8]> {
        bytes(&self.input, ptr, len)
    }
}

/// The first `len` bytes of the input buffer, if that is where `ptr` points.
fn bytes(input: &[u64], ptr: *const u8, len: usize) -> Option<&[u8]> {
    let start: *const u8 = input.as_ptr().cast();
    if start != ptr || len > input.len() * 8 {
        return None;
    }
    // SAFETY: `len` bytes lie within the buffer, checked above; words of zeroes and what the host wrote over them are valid bytes.
    Some(unsafe { std::slice::from_raw_parts(start, len) })
}

/// Gives the slots of the next batch their cells, and takes those of the last one back: the host's part, for a benchmark that is one.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub fn provide_cells(slots: Vec<std::collections::BTreeMap<Vec<u8>, Vec<u8>>>) -> Vec<std::collections::BTreeMap<Vec<u8>, Vec<u8>>> {
    crate::cells::host::provide(slots)
}

/// `ptr << 32 | len`, or 0 for an empty reply.
#[cfg(target_arch = "wasm32")]
pub fn pack((ptr, len): (*const u8, usize)) -> u64 {
    if len == 0 { 0 } else { (ptr as u64) << 32 | len as u64 }
}

/// Makes a panic say what happened in the host's log before it traps.
#[cfg(target_arch = "wasm32")]
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        match info.location() {
            Some(place) => {
                let line = format_args!("panicked at {}:{}: {message}", place.file(), place.line());
                crate::log::line(crate::log::Level::Error, line);
            }
            None => crate::log::line(crate::log::Level::Error, format_args!("panicked: {message}")),
        }
    }));
}

/// Exports an operator from a wasm module.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($operator:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const TEXT: &str = <$operator as $crate::Operator>::MANIFEST;
            #[used]
            #[unsafe(link_section = "sangam.manifest")]
            static MANIFEST: [u8; TEXT.len()] = $crate::manifest::bytes(TEXT);
            static GUEST: $crate::guest::Guest<$operator> = $crate::guest::Guest::new();

            #[unsafe(no_mangle)]
            extern "C" fn sangam_alloc(len: usize) -> *mut u8 {
                GUEST.alloc(len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn sangam_init(ptr: *const u8, len: usize) -> u64 {
                $crate::guest::log_panics();
                $crate::guest::pack(GUEST.init(ptr, len))
            }
            #[unsafe(no_mangle)]
            extern "C" fn sangam_process(ptr: *const u8, len: usize) -> u64 {
                $crate::guest::pack(GUEST.process(ptr, len))
            }
            #[unsafe(no_mangle)]
            extern "C" fn sangam_abi_v1() {}
        };
    };
}
