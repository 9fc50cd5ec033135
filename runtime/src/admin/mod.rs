//! The doors for people and their tools: HTTP, signals, and the figures that they (and the screen) show.
//!
//! It looks, asks for savepoints, and asks the run to stop; it changes nothing in it.

mod doors;
mod exposition;
mod savepoints;
mod signals;
mod state;
mod status;
mod why;

pub use doors::Admin;
pub use savepoints::Wanted;
pub use signals::on_signals;
pub use status::{Build, OperatorStatus, Refused, Status, Swap, View};
pub use why::{Channel, Why, length, moment};
