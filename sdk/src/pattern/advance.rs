//! Lets events and time pass over the partial matches of a key: what `on_event` and `on_timer` call.
//!
//! An event waits until the watermark reaches its time, so matches do not depend on the order of arrival; among events of one time the
//! order of arrival counts. A key has one timer, for the next thing that can happen to it.

use sangam_protocol::{Millis, WATERMARK_MAX};

use super::automaton::{Action, Automaton, Kind, Known, Look, Step};
use super::buffer::{NONE, Paths, Sweep};
use super::builder::Pattern;
use super::found::{Found, Match, Matched};
use super::matches::{Matches, Run, Runs};
use super::skip::AfterMatch;
use crate::{Context, Error, Result, Timer, late, reject};

/// Name of the timer.
pub(super) const TIMER: &str = "pattern";

/// When the stream has ended, and open matches without a time limit are forgotten: just before the last watermark, so that the timer
/// still fires under it.
const END: Millis = WATERMARK_MAX - 1;

/// Memory that is used from event to event.
#[derive(Default)]
pub(super) struct Scratch {
    runs: Runs,
    next: Vec<Run>,
    finals: Vec<Run>,
    steps: Vec<Step>,
    stack: Vec<u32>,
    sweep: Sweep,
}

impl<E: Clone + 'static> Pattern<E> {
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
        if matches.waiting() >= automaton.waiting_max {
            return Err(reject(format!("{} events of this key wait for the watermark already", automaton.waiting_max)));
        }
        automaton.adopt(matches, ctx);
        if matches.wait(time, event) {
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
        if timer.name() != TIMER || timer.is_processing_time() {
            return Ok(Vec::new());
        }
        let found = self.pass(matches, timer.at(), ctx, timed_out)?;
        self.automaton().map_err(Error::Fault)?.wake(matches, ctx);
        Ok(found)
    }

    /// The same without a timer: when the next thing can happen says [`Pattern::due`].
    pub(super) fn pass(&self, matches: &mut Matches<E>, now: Millis, ctx: &mut Context<'_>, timed_out: bool) -> Result<Vec<Found<E>>> {
        let mut found = Vec::new();
        let automaton = self.automaton().map_err(Error::Fault)?;
        automaton.adopt(matches, ctx);
        let mut scratch = automaton.scratch.take();
        matches.lift(&mut scratch.runs);
        let mut pass = Pass { automaton, matches, ctx, found: &mut found, timed_out, lost: false };
        let passed = pass.run(now, &mut scratch);
        matches.settle(&scratch.runs);
        automaton.scratch.set(scratch);
        passed.map_err(Error::Fault)?;
        Ok(found)
    }

    /// When the next event passes, or the next partial match times out.
    pub(super) fn due(&self, matches: &Matches<E>) -> Result<Option<Millis>> {
        Ok(self.automaton().map_err(Error::Fault)?.due(matches))
    }
}

impl<E: 'static> Automaton<E> {
    /// Gives up the partial matches of another pattern: they mean nothing in this one.
    fn adopt(&self, matches: &mut Matches<E>, ctx: &mut Context<'_>) {
        if matches.fingerprint == self.fingerprint || matches.is_idle() {
            return;
        }
        ctx.count("pattern_partial_matches_of_old_pattern", matches.runs() as u64);
        matches.give_up();
    }

    /// When the next event passes, or the next partial match times out.
    fn due(&self, matches: &Matches<E>) -> Option<Millis> {
        let paths = matches.paths();
        let open = matches.open().map(|run| self.deadline(run, paths)).min();
        let done = matches.has_done().then_some(END);
        [matches.next(), open, done].into_iter().flatten().min()
    }

    /// Sets the timer for that.
    fn wake(&self, matches: &Matches<E>, ctx: &mut Context<'_>) {
        if let Some(at) = self.due(matches) {
            ctx.wake(TIMER, at);
        }
    }

    /// When a partial match times out; at the end of the stream where it has no time limit.
    fn deadline(&self, run: Run, paths: Paths<'_, E>) -> Millis {
        let whole = self.within.and_then(|within| Some(paths.time(run.start)?.saturating_add(within)));
        let gap = self.states.get(run.state as usize).and_then(|state| state.gap);
        let step = gap.and_then(|gap| Some(paths.last_time(run.node)?.saturating_add(gap)));
        [whole, step].into_iter().flatten().min().map_or(END, |at| at.min(END))
    }

    fn kind(&self, state: u32) -> Kind {
        self.states.get(state as usize).map_or(Kind::Stop, |state| state.kind)
    }
}

/// One turn of a key.
struct Pass<'p, 'c, E: 'static> {
    automaton: &'p Automaton<E>,
    matches: &'p mut Matches<E>,
    ctx: &'p mut Context<'c>,
    found: &'p mut Vec<Found<E>>,
    timed_out: bool,
    /// A partial match is gone, and what it held may be.
    lost: bool,
}

impl<E: Clone + 'static> Pass<'_, '_, E> {
    fn run(&mut self, now: Millis, scratch: &mut Scratch) -> Result<(), String> {
        let mut place = self.matches.held();
        let mut passed = Ok(());
        while passed.is_ok()
            && let Some((time, ..)) = self.matches.event(place)
            && time <= now
        {
            passed = self.expire(time, scratch).and_then(|()| self.event(place, scratch));
            place += 1;
        }
        let ended = passed.and_then(|()| self.expire(now, scratch));
        self.matches.forget(place);
        ended
    }

    /// Ends the partial matches whose time is over.
    fn expire(&mut self, now: Millis, scratch: &mut Scratch) -> Result<(), String> {
        let automaton = self.automaton;
        let paths = self.matches.paths();
        let Scratch { runs, next, finals, .. } = scratch;
        let ending = now >= END && !runs.done.is_empty();
        if !ending && !runs.open.iter().any(|run| automaton.deadline(*run, paths) <= now) {
            return Ok(());
        }
        next.clear();
        finals.clear();
        for run in runs.open.drain(..) {
            let at = automaton.deadline(run, paths);
            if at > now {
                next.push(run);
                continue;
            }
            self.lost = true;
            if automaton.waits_for_end(run.state) {
                finals.push(run);
            } else if self.timed_out && at < END {
                self.found.push(Found::TimedOut(Match::take(at, &automaton.names, paths, run.node)));
            }
        }
        std::mem::swap(&mut runs.open, next);
        self.resolve(now, scratch)
    }

    /// Lets the event at `place` pass over every partial match, and begin a new one.
    fn event(&mut self, place: usize, scratch: &mut Scratch) -> Result<(), String> {
        let automaton = self.automaton;
        let Scratch { runs, next, finals, steps, stack, .. } = scratch;
        next.clear();
        finals.clear();
        let Some((time, _, number)) = self.matches.event(place) else { return Ok(()) };
        let mut known = Known::default();
        let mut taken = false;
        let beginning = Run { state: automaton.start, node: NONE, start: number };
        for i in 0..=runs.open.len() {
            let run = runs.open.get(i).copied().unwrap_or(beginning);
            let (before, finals_before) = (next.len(), finals.len());
            let mut stopped = false;
            if let Some((_, event, _)) = self.matches.event(place) {
                let look = Look::new(automaton, event, known);
                look.steps(run.state, &Matched::new(&automaton.names, self.matches.paths(), run.node), stack, steps);
                known = look.known();
            }
            for step in &*steps {
                let kind = automaton.kind(step.target);
                match step.action {
                    Action::Take if kind == Kind::Stop => stopped = true,
                    Action::Take => {
                        taken = true;
                        let node = self.matches.push_node(step.step, run.node);
                        let run_on = Run { state: step.target, node, start: run.start };
                        if kind == Kind::Final {
                            finals.push(run_on);
                            continue;
                        }
                        next.push(run_on);
                        if let Some((_, event, _)) = self.matches.event(place) {
                            let look = Look::new(automaton, event, known);
                            let earlier = Matched::new(&automaton.names, self.matches.paths(), run.node);
                            if look.completes(step.target, &earlier, stack) {
                                finals.push(run_on);
                            }
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
            self.matches.hold(place);
        }
        std::mem::swap(&mut runs.open, next);
        self.limit(&mut runs.open);
        self.resolve(time, scratch)
    }

    /// Gives up the youngest partial matches beyond the limit.
    fn limit(&mut self, open: &mut Vec<Run>) {
        let beyond = open.len().saturating_sub(self.automaton.partial_max);
        if beyond > 0 {
            open.truncate(self.automaton.partial_max);
            self.ctx.count("pattern_partial_matches_dropped", beyond as u64);
            self.lost = true;
        }
    }

    /// Emits complete matches, gives up those that overlap, as the pattern says, and forgets what is not held any more.
    fn resolve(&mut self, now: Millis, scratch: &mut Scratch) -> Result<(), String> {
        let automaton = self.automaton;
        let Scratch { runs, finals, sweep, .. } = scratch;
        if automaton.after_match == AfterMatch::NoSkip {
            for run in finals.drain(..) {
                self.emit(now, run);
            }
        } else if !finals.is_empty() || !runs.done.is_empty() {
            runs.done.append(finals);
            runs.done.sort_by_key(|run| run.start);
            self.skip(now, runs)?;
        }
        if std::mem::take(&mut self.lost) {
            self.matches.sweep(runs, sweep);
        }
        self.matches.fingerprint = if runs.open.is_empty() && runs.done.is_empty() { 0 } else { automaton.fingerprint };
        Ok(())
    }

    /// Emits those that wait for no other any more, each of which may take others away.
    fn skip(&mut self, now: Millis, runs: &mut Runs) -> Result<(), String> {
        let automaton = self.automaton;
        while let Some(first) = runs.done.first().copied() {
            let held = runs.open.first().is_some_and(|open| open.start < first.start);
            // One that has to wait too long is emitted out of order rather than lost.
            if held && runs.done.len() <= automaton.partial_max {
                break;
            }
            runs.done.remove(0);
            let name = |step: u32| automaton.names.get(step as usize).map_or("", String::as_str);
            let mut path: Vec<_> = self.matches.paths().back(first.node).map(|(step, event, ..)| (name(step), event)).collect();
            path.reverse();
            let cut = automaton.after_match.cut(&path)?;
            self.emit(now, first);
            self.lost = true;
            if let Some(cut) = cut {
                runs.open.retain(|run| run.start >= cut);
                runs.done.retain(|run| run.start >= cut);
            }
        }
        Ok(())
    }

    fn emit(&mut self, now: Millis, run: Run) {
        self.found.push(Found::Match(Match::take(now, &self.automaton.names, self.matches.paths(), run.node)));
    }
}
