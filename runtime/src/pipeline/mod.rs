//! A running pipeline: from what its file means to tasks on threads, with commits, reloads and recovery.
//!
//! It does not parse, print or serve; `config`, `cli` and `admin` do.

mod load;
mod plan;

pub use load::{LoadFailed, Loaded, Plugins};
pub use plan::{PlanError, PlanErrors, plan};
