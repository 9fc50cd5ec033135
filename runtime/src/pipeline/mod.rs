//! A running pipeline: from what its file means to tasks on threads, with commits, reloads and recovery.
//!
//! It does not parse, print or serve; `config`, `cli` and `admin` do.

mod alignments;
mod audit;
mod backoff;
mod board;
mod brokers;
mod builds;
mod control;
mod crew;
mod error;
mod excess;
mod health;
mod ledger;
mod life;
mod load;
mod passages;
mod plan;
pub mod query;
mod reload;
mod samples;
pub mod savepoint;
mod schema;
mod standby;
mod supervise;
mod sweep;
mod turns;
mod watch;
mod worker;

pub use board::{Board, Standings};
pub use brokers::{Brokers, TopicError};
pub use control::Control;
pub use error::PipelineError;
pub use health::{Health, Phase};
pub use load::{LoadFailed, Loaded, Plugins};
pub use plan::{PlanError, PlanErrors, plan};
pub use reload::{BuildStatus, Builds, Reload, Reloader, compatible};
pub use supervise::{RunOptions, Supervisor};
pub use watch::{NewFile, Watch};
