//! Why a pipeline ends without having been asked to: what a person must see to.
//!
//! What passes by itself is no such error; `crew` sorts the two.

use super::{PlanErrors, TopicError};
use crate::broker::BrokerError;
use crate::config::ShareLimit;
use crate::stage::StageError;
use crate::store::StoreError;

/// Why a pipeline does not run, or no longer does.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The plugins do not fit the pipeline.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// A topic cannot be used.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A broker failed for good.
    #[error(transparent)]
    Broker(BrokerError),
    /// An operator failed for good.
    #[error(transparent)]
    Stage(StageError),
    /// An operator has set aside more events than it may. Mend the plugin or what it reads, and start again: it goes on with the first event that is
    /// not committed. Reasons of earlier ones are in the dead letters.
    #[error(
        "the operator `{operator}` could not take {dead} of its last {events} events ({:.2} %), more than {} % within {} s: nothing of \
         this commit is kept, and the pipeline goes on there once it is started again; the last reason was: {last}; mend the plugin or \
         what it reads, or raise `dead_letters_max`",
        *dead as f64 * 100.0 / (*events).max(1) as f64, f64::from(limit.millionths) / 1e4, limit.window.as_secs_f64()
    )]
    TooManyDeadLetters {
        /// The operator.
        operator: String,
        /// Dead letters in the window.
        dead: u64,
        /// Events in the window.
        events: u64,
        /// What is allowed.
        limit: ShareLimit,
        /// Why the last one was refused.
        last: String,
    },
    /// The number of partitions under keyed state has changed.
    #[error(
        "the operator `{operator}` would run in {now} slices, but its state was made in {then}: keys would not be found again; \
         go back to {then} partitions (or `parallelism`), or start afresh, without that state: with another `name`, by which the pipeline's group, its \
         topics and its data folder go (and another `data`, where the file sets one)"
    )]
    Repartitioned {
        /// The operator.
        operator: String,
        /// Then.
        then: u32,
        /// Now.
        now: u32,
    },
    /// Another process has a part of the work, and this pipeline hands events on between tasks in memory.
    #[error(
        "this process was given {held} of {expected} partitions, another one has the rest; but the operator `{operator}` gets its events from other \
         tasks in memory, which reaches no further than one process: set `route = \"repartition\"` at `{operator}`, have it read a topic that is \
         partitioned by its key (and say so with `key` at that stream), or run one process"
    )]
    Shared {
        /// Partitions that this process has.
        held: usize,
        /// Partitions that there are.
        expected: usize,
        /// An operator that gets events from other tasks.
        operator: String,
    },
    /// The build cannot read the state that is stored.
    #[error("the operator `{operator}` cannot go on from its state: {why}")]
    Schema {
        /// The operator.
        operator: String,
        /// Why, and what to do.
        why: String,
    },
    /// A new build has failed, and the state of before it cannot be had back. Restore the savepoint when what is in the way is mended.
    #[error(
        "the new build failed, and the savepoint `{savepoint}` of before it cannot be restored: {why}; nothing runs on the state that the \
         build has left: put the old build into the folder of plugins, run `sangam savepoint restore`, and start again"
    )]
    NotRolledBack {
        /// The savepoint.
        savepoint: String,
        /// Why.
        why: String,
    },
    /// The host cannot start a thread.
    #[error("a worker thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// It was told to stop, and then something failed before all that was read was committed.
    #[error(
        "stopped, but the last commit failed: {0}; nothing is lost: what came after the commit before will be processed again at the next start"
    )]
    Unfinished(String),
    /// Workers have died one after the other, which is a bug. What they were at is not committed and comes again at the next start.
    #[error("{times} worker threads died one after the other before a commit went further, which is a bug; please report this: {why}")]
    Vanished {
        /// How many.
        times: u32,
        /// What the last one said.
        why: String,
    },
}
