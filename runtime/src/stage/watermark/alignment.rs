//! Partitions that wait for each other: none runs further ahead of the slowest than it may, so that what the fast ones would fill the
//! state with stays in the topic.
//!
//! One process's partitions only: those of other processes go at their own pace.

use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The watermarks of a group of partitions, shared between threads.
#[derive(Debug, Default)]
pub struct Alignment {
    members: Vec<AtomicI64>,
}

/// One partition's place in its group.
#[derive(Clone, Debug)]
pub struct Aligned {
    group: Arc<Alignment>,
    member: usize,
    max_drift: Millis,
}

impl Alignment {
    /// A group of `members` partitions, of which nothing is known yet.
    pub fn new(members: usize) -> Arc<Alignment> {
        Arc::new(Alignment { members: (0..members).map(|_| AtomicI64::new(WATERMARK_MIN)).collect() })
    }

    /// The place of member `member`, which may be up to `max_drift` milliseconds ahead of the slowest.
    pub fn place(self: &Arc<Self>, member: usize, max_drift: Millis) -> Aligned {
        Aligned { group: self.clone(), member, max_drift }
    }
}

impl Aligned {
    /// The partition's watermark stands at `watermark`.
    pub fn report(&self, watermark: Millis) {
        if let Some(member) = self.group.members.get(self.member) {
            member.store(watermark, Ordering::Relaxed);
        }
    }

    /// The partition is idle, has ended or is gone: the others do not wait for it.
    pub fn rest(&self) {
        self.report(WATERMARK_MAX);
    }

    /// How far the partition may go: further than this it is to be held back.
    pub fn allowed(&self) -> Millis {
        let least = self.group.members.iter().map(|member| member.load(Ordering::Relaxed)).min();
        least.unwrap_or(WATERMARK_MAX).saturating_add(self.max_drift)
    }
}
