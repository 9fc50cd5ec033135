//! The only door to wasmtime: loads a guest module, runs it within limits, and hands back its effects as bytes.
//!
//! It does not look into frames or effects (the protocol crate reads them) and applies nothing. Whatever a guest does ends as a
//! [`CallError`] on that instance; it never panics, aborts or stalls the host. Read on in this order:
//! [`Sandbox`] (one engine) → [`Plugin`] (one module, checked and compiled) → [`Instance`] (one memory, one caller at a time).

mod error;
mod limits;
mod text;

mod inspect;

mod cache;
mod engine;
mod ticker;

mod host;
mod imports;
mod wasi;

mod instance;
mod plugin;

#[cfg(test)]
mod tests;

pub use engine::{Allocation, Sandbox, SandboxOptions};
pub use error::{BadPointer, CallError, LoadError, SandboxError};
pub use host::{LogCollector, LogLevel, NoState, StateReads};
pub use inspect::{Export, Import, Inspection, inspect};
pub use instance::{DeclaredField, Instance};
pub use limits::Limits;
pub use plugin::Plugin;
pub use text::line as printable;
