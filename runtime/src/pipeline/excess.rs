//! Stops a pipeline whose operators set too much aside: a share of dead letters that nobody would have accepted event by event.
//!
//! It reads what operators count, before each commit; nothing on the way of an event knows of it. What the pipeline stops at is not
//! committed, so that a mended pipeline takes those events up again, in order.

use super::PipelineError;
use crate::config::{Pipeline, ShareLimit};
use crate::metrics::OperatorMetrics;
use crate::share::{Counted, Share};
use crate::task::Topology;
use crate::time::Millis;

/// An eye on the dead letters of a pipeline.
pub struct Excess(Vec<Watched>);

struct Watched {
    operator: String,
    metrics: OperatorMetrics,
    limit: ShareLimit,
    share: Share,
    /// What the operator had counted at the last look.
    seen: Counted,
}

impl Excess {
    /// An eye on every operator that has a limit, from now on.
    pub fn new(pipeline: &Pipeline, topology: &Topology) -> Excess {
        let watched = pipeline.operators.iter().zip(&topology.operators).filter_map(|(operator, node)| {
            let limit = operator.dead_letters_max?;
            let (metrics, share) = (node.metrics.clone(), Share::new(limit.window));
            Some(Watched { operator: operator.name.clone(), seen: counted(&metrics), metrics, limit, share })
        });
        Excess(watched.collect())
    }

    /// Takes note of what has been counted since the last look.
    ///
    /// # Errors
    /// When an operator's dead letters exceed their share of its events.
    pub fn check(&mut self, now: Millis) -> Result<(), PipelineError> {
        for watched in &mut self.0 {
            let counts = counted(&watched.metrics);
            let seen = std::mem::replace(&mut watched.seen, counts);
            watched.share.count(now, Counted { all: counts.all - seen.all, bad: counts.bad - seen.bad });
            let counted = watched.share.look(now);
            if watched.limit.is_exceeded(counted) {
                return Err(PipelineError::TooManyDeadLetters {
                    operator: watched.operator.clone(),
                    dead: counted.bad,
                    events: counted.all,
                    limit: watched.limit,
                    last: watched.metrics.last_dead_letter(),
                });
            }
        }
        Ok(())
    }
}

fn counted(metrics: &OperatorMetrics) -> Counted {
    // In this order: dead letters are among the events.
    let bad = metrics.dead_letters.get();
    Counted { all: metrics.events_in.get(), bad }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::time::Duration;

    /// An operator that has counted something before anybody looked: five dead letters in a hundred are allowed per minute.
    fn watched() -> (OperatorMetrics, Excess) {
        let metrics = Metrics::default().operator("p", "op");
        metrics.events_in.inc_by(1_000);
        metrics.dead_letters.inc_by(1_000);
        let limit = ShareLimit { millionths: 50_000, window: Duration::from_secs(60), at_least: 100 };
        let (share, seen) = (Share::new(limit.window), counted(&metrics));
        (metrics.clone(), Excess(vec![Watched { operator: "op".to_owned(), metrics, limit, share, seen }]))
    }

    fn come(metrics: &OperatorMetrics, events: u64, dead: u64) {
        metrics.events_in.inc_by(events);
        (0..dead).for_each(|_| metrics.dead_letter("no such account"));
    }

    #[test]
    fn dead_letters_may_reach_their_share_and_not_pass_it() {
        let (metrics, mut excess) = watched();
        come(&metrics, 100, 5);
        assert!(excess.check(0).is_ok(), "what was before does not count, and 5 of 100 are 5 %");
        come(&metrics, 0, 1);
        let why = excess.check(1).unwrap_err().to_string();
        let said = ["`op`", "6 of its last 100 events (6.00 %)", "more than 5 %", "60 s", "no such account", "dead_letters_max"];
        assert!(said.iter().all(|said| why.contains(said)), "{why}");
    }

    #[test]
    fn too_few_events_say_nothing_and_what_is_longer_ago_than_the_window_neither() {
        let (metrics, mut excess) = watched();
        come(&metrics, 99, 99);
        assert!(excess.check(0).is_ok());
        come(&metrics, 99, 0);
        assert!(excess.check(60_000).is_ok(), "those of a minute ago are forgotten");
        come(&metrics, 1, 6);
        assert!(excess.check(60_001).is_err());
    }
}
