//! What a task takes in a step, and how far it has come with it.

use super::Pace;
use crate::time::Millis;

/// How far the sources of a task have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Something was done.
    pub busy: bool,
    /// Every source is bounded and has been read to its end.
    pub ended: bool,
    /// Every source has been read to where it ends for now.
    pub caught_up: bool,
    /// Somebody downstream has no room.
    pub blocked: bool,
}

/// What a task takes from its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Nothing: only what is under way between tasks is finished.
    Nothing,
    /// What operators keep in all of their tasks; keys wait until it is there.
    Broadcasts,
    /// All that there is.
    All,
}

/// What goes with events: which watermark follows them, and whether whoever sent them wants to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub watermark: Millis,
    pub pace: Pace,
}

impl Step {
    /// Of no sources at all.
    pub const NOTHING: Step = Step { busy: false, ended: true, caught_up: true, blocked: false };

    /// Both, one after the other.
    pub fn and(self, other: Step) -> Step {
        Step {
            busy: self.busy | other.busy,
            ended: self.ended & other.ended,
            caught_up: self.caught_up & other.caught_up,
            blocked: self.blocked | other.blocked,
        }
    }
}
