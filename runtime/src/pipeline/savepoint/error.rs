//! Why a savepoint cannot be taken, read or restored, each with what to do.

use super::super::PipelineError;
use super::super::crew::Failed;
use crate::objects::ObjectsError;
use crate::store::StoreError;

/// An error of savepoints. Unless it says otherwise, everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SavepointError {
    /// A savepoint's name becomes a folder.
    #[error("`{0}` is no name for a savepoint; write letters, digits, `.`, `_` and `-`, 128 at most, and no `.` in front")]
    Name(String),
    /// There is one of that name.
    #[error("there is a savepoint `{name}` in {at} already; take another name, or remove it with `sangam savepoint rm`")]
    Exists {
        /// The name.
        name: String,
        /// Where.
        at: String,
    },
    /// There is none of that name.
    #[error("there is no savepoint `{name}` in {at}; `sangam savepoint list` names those that there are")]
    Missing {
        /// The name.
        name: String,
        /// Where.
        at: String,
    },
    /// It was never finished: a crash, or no space. It counts for nothing.
    #[error("the savepoint `{name}` has no {file}: it was never finished; remove it with `sangam savepoint rm`, and restore another one")]
    Incomplete {
        /// The name.
        name: String,
        /// The manifest that is not there.
        file: String,
    },
    /// A part is missing or is not what was written. It is not to be trusted.
    #[error("the savepoint is damaged: {file} {why}; bring the file back from a copy, or restore another savepoint")]
    Damaged {
        /// The object.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// Another version of Sangam wrote it.
    #[error("{file} is in format {format}, this version of Sangam ({}) reads format {}; use the version that wrote it: {sangam}", env!("CARGO_PKG_VERSION"), super::FORMAT)]
    Format {
        /// The manifest.
        file: String,
        /// Its format.
        format: u32,
        /// Who wrote it.
        sangam: String,
    },
    /// It is another pipeline's.
    #[error(
        "the savepoint `{name}` is of the pipeline `{of}`, this one is `{pipeline}`; give the pipeline that name, or restore one of its own"
    )]
    Foreign {
        /// The name.
        name: String,
        /// The pipeline that it is of.
        of: String,
        /// The pipeline that it is to be restored into.
        pipeline: String,
    },
    /// It holds what the pipeline has no place for.
    #[error(
        "the savepoint holds what this pipeline has not: {0}; put it back into the pipeline's file, or leave its state behind with `--allow-non-restored-state`"
    )]
    NotRestored(String),
    /// Events under way in a repartition topic are gone, or nobody can say which they are.
    #[error("the events under way in {topic}/{partition} cannot be saved: {why}")]
    UnderWay {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Keys would not be found again.
    #[error(
        "the operator `{operator}` would run in {now} slices, but its state in the savepoint is cut into {then}: keys would not be found again; go back to {then} partitions (or `parallelism`)"
    )]
    Slices {
        /// The operator.
        operator: String,
        /// In the savepoint.
        then: u32,
        /// Now.
        now: u32,
    },
    /// The topic is another one, or has lost records.
    #[error(
        "the savepoint has read `{stream}`/{partition} up to offset {offset}, but there {there}: events would be left out or read twice; bring the topic's records back, or restore another savepoint"
    )]
    Position {
        /// The stream.
        stream: String,
        /// The partition.
        partition: u32,
        /// The offset in the savepoint.
        offset: i64,
        /// What there is.
        there: String,
    },
    /// A build cannot read the state.
    #[error("the operator `{operator}` cannot go on from the savepoint: {why}")]
    Schema {
        /// The operator.
        operator: String,
        /// Why.
        why: String,
    },
    /// Other processes of the pipeline are at work, and each knows its share only.
    #[error(
        "this process was given {held} of {expected} partitions: other processes of the pipeline are at work, and each knows its share only; stop them all, then try again"
    )]
    Shared {
        /// Partitions that this process has.
        held: usize,
        /// Partitions that there are.
        expected: usize,
    },
    /// Something that passes by itself was in the way.
    #[error("{0}; try again")]
    Again(String),
    /// The pipeline ended before it was taken.
    #[error("the pipeline ended, or failed, before the savepoint was taken; try again")]
    Ended,
    /// The place of the savepoints failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pipeline is not one that could run.
    #[error(transparent)]
    Pipeline(Box<PipelineError>),
}

impl From<Failed> for SavepointError {
    fn from(why: Failed) -> Self {
        match why {
            Failed::Again(why) | Failed::Untold(why) | Failed::Died(why) | Failed::BackTo { why, .. } => SavepointError::Again(why),
            Failed::Fatal(PipelineError::Store(why)) => SavepointError::Store(why),
            Failed::Fatal(why) => SavepointError::Pipeline(Box::new(why)),
        }
    }
}

impl From<crate::broker::BrokerError> for SavepointError {
    fn from(why: crate::broker::BrokerError) -> Self {
        Failed::from(why).into()
    }
}
