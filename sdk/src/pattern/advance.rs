//! Lets events and time pass over the partial matches of a key: what `on_event` and `on_timer` call.
//!
//! An event waits until the watermark reaches its time, so matches do not depend on the order of arrival; among events of one time the
//! order of arrival counts. A key has one timer, for the next thing that can happen to it.

use sangam_protocol::{Millis, WATERMARK_MAX};

use super::automaton::{Action, Automaton, Kind, Look, Step};
use super::buffer::NONE;
use super::builder::Pattern;
use super::found::{Found, Match, Matched};
use super::matches::{Matches, Run};
use super::skip::AfterMatch;
use crate::{Context, Error, Result, Timer, late, reject};

/// Name of the timer.
const TIMER: &str = "pattern";

/// When the stream has ended, and open matches without a time limit are forgotten: just before the last watermark, so that the timer
/// still fires under it.
const END: Millis = WATERMARK_MAX - 1;

/// Memory that is used from event to event.
#[derive(Default)]
pub(super) struct Scratch {
    next: Vec<Run>,
    finals: Vec<Run>,
    steps: Vec<Step>,
    stack: Vec<u32>,
}

impl<E: Clone> Pattern<E> {
    /// Takes an event in. It waits until the watermark has reached its time; [`Pattern::advance`] then lets it pass.
    ///
    /// # Errors
    /// Late, when the watermark has reached the event's time already. Refused, when [`Pattern::max_waiting`] events of the key wait.
    /// A fault, when the pattern is malformed. In all three cases the state is as it was.
    pub fn process(&self, matches: &mut Matches<E>, event: E, ctx: &mut Context<'_>) -> Result<()> {
        let automaton = self.automaton().map_err(Error::Fault)?;
        let time = ctx.time();
        if time <= ctx.watermark() {
            return Err(late("the watermark has passed its time"));
        }
        if matches.waiting.len() >= automaton.waiting_max {
            return Err(reject(format!("{} events of this key wait for the watermark already", automaton.waiting_max)));
        }
        automaton.adopt(matches, ctx);
        let place = matches.waiting.partition_point(|(known, _)| *known <= time);
        matches.waiting.insert(place, (time, event));
        if place == 0 {
            automaton.wake(matches, ctx);
        }
        Ok(())
    }

    /// Lets the events pass that the watermark has reached, and time with them; returns what was found, in order of time.
    ///
    /// # Errors
    /// A fault, when the pattern is malformed, or when a match has nothing to skip to and the pattern says `or_fail`.
    pub fn advance(&self, matches: &mut Matches<E>, timer: Timer<'_>, ctx: &mut Context<'_>) -> Result<Vec<Found<E>>> {
        self.advance_for(matches, timer, ctx, true)
    }

    /// The same; partial matches whose time is over only where somebody asks for them.
    pub(super) fn advance_for(
        &self,
        matches: &mut Matches<E>,
        timer: Timer<'_>,
        ctx: &mut Context<'_>,
        timed_out: bool,
    ) -> Result<Vec<Found<E>>> {
        let mut found = Vec::new();
        if timer.name() != TIMER {
            return Ok(found);
        }
        let automaton = self.automaton().map_err(Error::Fault)?;
        automaton.adopt(matches, ctx);
        let mut pass = Pass { automaton, matches, ctx, found: &mut found, timed_out, lost: false };
        let mut scratch = automaton.scratch.take();
        let passed = pass.run(timer.at(), &mut scratch);
        automaton.scratch.set(scratch);
        passed.map_err(Error::Fault)?;
        automaton.wake(matches, ctx);
        Ok(found)
    }
}

impl<E> Automaton<E> {
    /// Gives up the partial matches of another pattern: they mean nothing in this one.
    fn adopt(&self, matches: &mut Matches<E>, ctx: &mut Context<'_>) {
        if matches.fingerprint == self.fingerprint || matches.is_idle() {
            return;
        }
        ctx.count("pattern_partial_matches_of_old_pattern", (matches.open.len() + matches.done.len()) as u64);
        matches.open.clear();
        matches.done.clear();
        matches.sweep();
    }

    /// Sets the timer for the next event to pass, or the next partial match to time out.
    fn wake(&self, matches: &Matches<E>, ctx: &mut Context<'_>) {
        let waiting = matches.waiting.first().map(|(time, _)| *time);
        let open = matches.open.iter().map(|run| self.deadline(run, matches)).min();
        let done = (!matches.done.is_empty()).then_some(END);
        if let Some(at) = [waiting, open, done].into_iter().flatten().min() {
            ctx.wake(TIMER, at);
        }
    }

    /// When a partial match times out; at the end of the stream where it has no time limit.
    fn deadline(&self, run: &Run, matches: &Matches<E>) -> Millis {
        let whole = self.within.and_then(|within| Some(matches.buffer.time(run.start)?.saturating_add(within)));
        let gap = self.states.get(run.state as usize).and_then(|state| state.gap);
        let step = gap.and_then(|gap| Some(matches.buffer.last_time(run.node)?.saturating_add(gap)));
        [whole, step].into_iter().flatten().min().map_or(END, |at| at.min(END))
    }

    fn kind(&self, state: u32) -> Kind {
        self.states.get(state as usize).map_or(Kind::Stop, |state| state.kind)
    }
}

/// One turn of a key.
struct Pass<'p, 'c, E> {
    automaton: &'p Automaton<E>,
    matches: &'p mut Matches<E>,
    ctx: &'p mut Context<'c>,
    found: &'p mut Vec<Found<E>>,
    timed_out: bool,
    /// A partial match is gone, and what it held may be.
    lost: bool,
}

impl<E: Clone> Pass<'_, '_, E> {
    fn run(&mut self, now: Millis, scratch: &mut Scratch) -> Result<(), String> {
        let due = self.matches.waiting.partition_point(|(time, _)| *time <= now);
        let later = self.matches.waiting.split_off(due);
        let events = std::mem::replace(&mut self.matches.waiting, later);
        for (time, event) in events {
            self.expire(time, scratch)?;
            self.event(time, event, scratch)?;
        }
        self.expire(now, scratch)
    }

    /// Ends the partial matches whose time is over.
    fn expire(&mut self, now: Millis, scratch: &mut Scratch) -> Result<(), String> {
        let automaton = self.automaton;
        let over = |run: &Run, matches: &Matches<E>| automaton.deadline(run, matches) <= now;
        let ending = now >= END && !self.matches.done.is_empty();
        if !ending && !self.matches.open.iter().any(|run| over(run, self.matches)) {
            return Ok(());
        }
        scratch.next.clear();
        scratch.finals.clear();
        for run in std::mem::take(&mut self.matches.open) {
            if !over(&run, self.matches) {
                scratch.next.push(run);
                continue;
            }
            self.lost = true;
            let at = automaton.deadline(&run, self.matches);
            if automaton.waits_for_end(run.state) {
                scratch.finals.push(run);
            } else if self.timed_out && at < END {
                let partial = Match::take(at, &automaton.names, &self.matches.buffer, run.node);
                self.found.push(Found::TimedOut(partial));
            }
        }
        std::mem::swap(&mut self.matches.open, &mut scratch.next);
        self.resolve(now, &mut scratch.finals)?;
        self.tidy();
        Ok(())
    }

    /// Lets one event pass over every partial match, and begin a new one.
    fn event(&mut self, time: Millis, event: E, scratch: &mut Scratch) -> Result<(), String> {
        let automaton = self.automaton;
        let Scratch { next, finals, steps, stack } = scratch;
        next.clear();
        finals.clear();
        let number = self.matches.buffer.next_event();
        let mut taken = false;
        let look = Look::new(automaton, &event);
        let beginning = Run { state: automaton.start, node: NONE, start: number };
        for i in 0..=self.matches.open.len() {
            let run = self.matches.open.get(i).copied().unwrap_or(beginning);
            let (before, finals_before) = (next.len(), finals.len());
            let mut stopped = false;
            look.steps(run.state, &Matched::new(&automaton.names, &self.matches.buffer, run.node), stack, steps);
            for step in &*steps {
                let kind = automaton.kind(step.target);
                match step.action {
                    Action::Take if kind == Kind::Stop => stopped = true,
                    Action::Take => {
                        taken = true;
                        let node = self.matches.buffer.push_node(step.step, number, run.node);
                        let run_on = Run { state: step.target, node, start: run.start };
                        let earlier = Matched::new(&automaton.names, &self.matches.buffer, run.node);
                        if kind == Kind::Final {
                            finals.push(run_on);
                            continue;
                        }
                        next.push(run_on);
                        if look.completes(step.target, &earlier, stack) {
                            finals.push(run_on);
                        }
                    }
                    // What has not begun has nothing to pass over.
                    Action::Ignore if run.node == NONE => {}
                    Action::Ignore if kind == Kind::Final => finals.push(run),
                    Action::Ignore => next.push(Run { state: step.target, ..run }),
                    Action::Proceed => {}
                }
            }
            if stopped {
                self.lost |= next.len() > before;
                next.truncate(before);
            }
            self.lost |= finals.len() > finals_before || (run.node != NONE && next.len() == before);
        }
        if taken {
            self.matches.buffer.push_event(time, event);
        }
        std::mem::swap(&mut self.matches.open, next);
        self.limit();
        self.resolve(time, finals)?;
        self.tidy();
        Ok(())
    }

    /// Gives up the youngest partial matches beyond the limit.
    fn limit(&mut self) {
        let beyond = self.matches.open.len().saturating_sub(self.automaton.partial_max);
        if beyond > 0 {
            self.matches.open.truncate(self.automaton.partial_max);
            self.ctx.count("pattern_partial_matches_dropped", beyond as u64);
            self.lost = true;
        }
    }

    /// Emits complete matches, and gives up those that overlap, as the pattern says.
    fn resolve(&mut self, now: Millis, finals: &mut Vec<Run>) -> Result<(), String> {
        let automaton = self.automaton;
        if automaton.after_match == AfterMatch::NoSkip {
            for run in finals.drain(..) {
                self.emit(now, run);
            }
            return Ok(());
        }
        self.matches.done.append(finals);
        self.matches.done.sort_by_key(|run| run.start);
        while let Some(first) = self.matches.done.first().copied() {
            let held = self.matches.open.first().is_some_and(|open| open.start < first.start);
            // One that has to wait too long is emitted out of order rather than lost.
            if held && self.matches.done.len() <= automaton.partial_max {
                break;
            }
            self.matches.done.remove(0);
            let buffer = &self.matches.buffer;
            let name = |step: u16| automaton.names.get(usize::from(step)).map_or("", String::as_str);
            let mut path: Vec<_> = buffer.back(first.node).map(|(step, event, ..)| (name(step), event)).collect();
            path.reverse();
            let cut = automaton.after_match.cut(&path)?;
            self.emit(now, first);
            self.lost = true;
            if let Some(cut) = cut {
                self.matches.open.retain(|run| run.start >= cut);
                self.matches.done.retain(|run| run.start >= cut);
            }
        }
        Ok(())
    }

    fn emit(&mut self, now: Millis, run: Run) {
        self.found.push(Found::Match(Match::take(now, &self.automaton.names, &self.matches.buffer, run.node)));
    }

    fn tidy(&mut self) {
        if std::mem::take(&mut self.lost) {
            self.matches.sweep();
        }
        if !self.matches.is_idle() {
            self.matches.fingerprint = self.automaton.fingerprint;
        }
    }
}
