//! From a run to calls: how many timers and events go into one, and how a call that fails is cut down to the one to blame.
//!
//! It rests on batching being invisible: the halves of a batch do what the whole would have done.

use super::call::{CallFailed, Stretch};
use super::{Failure, FailureKind, Run, Stage, StageError};
use crate::breaker::Passage;
use crate::time::Millis;

/// The most due timers that go into one call; a window that closes for a million keys takes several.
const TIMERS_MAX: usize = 4096;

impl Stage {
    /// Handles admitted events `from..to` and then moves the watermark to `end`.
    pub(super) fn advance(&mut self, run: &mut Run<'_>, mut from: usize, to: usize, end: Millis) -> Result<(), StageError> {
        loop {
            // Without events there are only timers to fire, which nobody else could.
            let rest = match if from < to { self.passage() } else { Passage::Free } {
                Passage::Free => self.stride(run, from, to, end)?,
                Passage::Trial => {
                    let next = from + 1;
                    let until = if next < to { self.watermark_before(run, next) } else { end };
                    let mut rest = Some(from);
                    while let Some(at) = rest {
                        rest = self.stride(run, at, next, until)?;
                    }
                    (next < to).then_some(next)
                }
                Passage::Barred => {
                    self.pass_by(run, from)?;
                    Some(from + 1)
                }
            };
            match rest {
                Some(rest) => from = rest,
                None => return Ok(()),
            }
        }
    }

    /// A part of what [`Stage::advance`] has to do. Gives back where the rest starts; `None` when all is done and the watermark at `end`.
    fn stride(&mut self, run: &mut Run<'_>, from: usize, to: usize, end: Millis) -> Result<Option<usize>, StageError> {
        self.due.clear();
        let more = self.table.due(end, TIMERS_MAX, &mut self.due);
        if from == to && self.due.is_empty() {
            self.watermark = self.watermark.max(end);
            return Ok(None);
        }
        if !more {
            return self.attempt(run, from, to, end);
        }
        // Too many timers for one call: events before the first of them go alone, then the timers in portions.
        let first = self.due.first().map_or(end, |due| due.at);
        let cut = (from..to).find(|i| self.watermark_before(run, *i) >= first).unwrap_or(to);
        if cut > from {
            let watermark = self.watermark_before(run, cut - 1);
            self.due.clear();
            return Ok(Some(self.attempt(run, from, cut, watermark)?.unwrap_or(cut)));
        }
        let watermark = if from < to { self.watermark_before(run, from) } else { end };
        self.fire(run, watermark, TIMERS_MAX)?;
        Ok((from < to).then_some(from))
    }

    /// Settles an event for which the operator is not called; timers that are due before it fire.
    fn pass_by(&mut self, run: &mut Run<'_>, event: usize) -> Result<(), StageError> {
        let before = self.watermark_before(run, event);
        self.fire(run, before, TIMERS_MAX)?;
        let row = self.admitted.get(event).map_or(0, |admitted| admitted.row as usize);
        self.settle_unreadable(run, row)?;
        let why = "the operator was not called: it kept failing, and its circuit is open".to_owned();
        self.refuser.refuse(run, row, &Failure::new(FailureKind::CircuitOpen, why))
    }

    /// One call for all of it; where that fails, its first part. Gives back where the rest starts, if there is one: the caller's loop
    /// goes on from there, as with recursion a run of nothing but poison would need a stack as deep as it is long.
    fn attempt(&mut self, run: &mut Run<'_>, from: usize, to: usize, end: Millis) -> Result<Option<usize>, StageError> {
        let span = Stretch::events(from, to, end);
        let Some(failure) = self.try_call(run, span)? else {
            self.went_well(to - from);
            // Before any timers that are to fire behind these events.
            if to > from {
                self.settle_before(run, to - 1)?;
            }
            return Ok(None);
        };
        match to - from {
            0 => self.fire(run, end, (self.due.len() / 2).max(1)).map(|()| None),
            1 => self.one(run, from, end, failure).map(|()| None),
            events => {
                let mid = failure.event.map_or(events / 2, |event| (event as usize).clamp(1, events - 1)) + from;
                let watermark = self.watermark_before(run, mid);
                self.advance(run, from, mid, watermark)?;
                Ok(Some(mid))
            }
        }
    }

    /// One event whose call failed: the timers before it, it alone, the timers after it.
    fn one(&mut self, run: &mut Run<'_>, event: usize, end: Millis, failure: Failure) -> Result<(), StageError> {
        let before = self.watermark_before(run, event);
        let alone = self.due.is_empty() && before == end;
        let poison = if alone {
            Some(failure)
        } else {
            self.fire(run, before, 1)?;
            self.due.clear();
            self.try_call(run, Stretch::events(event, event + 1, before))?
        };
        self.settle_before(run, event)?;
        if let Some(poison) = poison {
            self.went_wrong(&poison);
            let poison = self.captured(poison);
            let row = self.admitted.get(event).map_or(0, |admitted| admitted.row as usize);
            self.refuser.refuse(run, row, &poison)?;
        } else {
            self.went_well(1);
        }
        self.fire(run, end, 1)
    }

    /// Fires all timers up to `watermark`, at most `portion` per call, and moves the watermark there.
    fn fire(&mut self, run: &mut Run<'_>, watermark: Millis, mut portion: usize) -> Result<(), StageError> {
        let none = self.admitted.len();
        loop {
            self.due.clear();
            let more = self.table.due(watermark, portion, &mut self.due);
            let Some(last) = self.due.last().copied() else { break };
            let until = if more { last.at } else { Millis::MAX };
            let span = Stretch { until, arrives: !more, ..Stretch::events(none, none, watermark) };
            let Some(failure) = self.try_call(run, span)? else { continue };
            if self.due.len() > 1 {
                portion = self.due.len() / 2;
                continue;
            }
            let failure = self.captured(failure);
            let name = self.table.timer_name(last.name).to_owned();
            let key = self.table.name(last.id).to_vec();
            self.refuser.refuse_timer(run, &key, &name, last.at, &failure)?;
            super::call::consume(&mut self.table, &[last]);
        }
        self.watermark = self.watermark.max(watermark);
        Ok(())
    }

    /// Fires all timers by the clock up to its last reading. Their frames have no events, and move no watermark.
    pub(super) fn fire_by_clock(&mut self, run: &mut Run<'_>) -> Result<(), StageError> {
        let none = self.admitted.len();
        let mut portion = TIMERS_MAX;
        self.due.clear();
        loop {
            self.clock_due.clear();
            let more = self.clock_table.due(self.now, portion, &mut self.clock_due);
            let Some(last) = self.clock_due.last().copied() else { return Ok(()) };
            let clock_until = if more { last.at } else { Millis::MAX };
            let span = Stretch { clock_until, arrives: false, ..Stretch::events(none, none, self.watermark) };
            let called = self.try_call(run, span);
            let timers = self.clock_due.len();
            self.clock_due.clear();
            let Some(failure) = called? else { continue };
            if timers > 1 {
                portion = timers / 2;
                continue;
            }
            let failure = self.captured(failure);
            let name = self.clock_table.timer_name(last.name).to_owned();
            let key = self.clock_table.name(last.id).to_vec();
            self.refuser.refuse_timer(run, &key, &name, last.at, &failure)?;
            super::call::consume(&mut self.clock_table, &[last]);
        }
    }

    /// Calls the guest; gives back the failure that it ended in, unless going back to an older build mended it.
    fn try_call(&mut self, run: &mut Run<'_>, span: Stretch) -> Result<Option<Failure>, StageError> {
        loop {
            match self.call(run, span) {
                Ok(()) => {
                    self.probation_passed_a_batch();
                    return Ok(None);
                }
                Err(CallFailed::Fatal(why)) => return Err(why),
                Err(CallFailed::Failure(failure)) => {
                    self.spec.metrics.faults.inc();
                    // What broke may be the guest's memory: never call it again.
                    self.instance = None;
                    if !self.on_probation() {
                        return Ok(Some(failure));
                    }
                    let failure = self.captured(failure);
                    run.out.taken_back = Some((run.out.order.len(), self.spec.plugin.clone()));
                    self.probation_failed(&failure);
                }
            }
        }
    }

    /// Keeps the last call, which has ended in `failure` for good, where failed calls are kept.
    fn captured(&mut self, failure: Failure) -> Failure {
        let kept = self.failed_call.take().zip(self.spec.captures.as_ref()).and_then(|(call, captures)| captures.keep(&call));
        Failure { capture: kept, ..failure }
    }
}
