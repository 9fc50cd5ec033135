//! Watermarks: how one partition's is made from its events, and how several become one.
//!
//! Flink's rules: W(t) says that no more events with time ≤ t will come; it never goes back. Nothing here reads a clock: time is given.

mod alignment;
mod combined;
mod delays;
mod generator;
mod idleness;

#[cfg(test)]
mod tests;

pub use alignment::{Aligned, Alignment};
pub use combined::{Combined, Standing};
pub use delays::Quantile;
pub use generator::{Generator, Strategy};
pub use idleness::Idleness;
