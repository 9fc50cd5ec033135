//! A pattern as states and edges, and which edges an event may take from a state.
//!
//! The states are those of Flink's CEP (take, ignore and proceed edges). It holds no events and remembers nothing.

use std::cell::Cell;
use std::rc::Rc;

use sangam_protocol::Millis;

use super::advance::Scratch;
use super::builder::Condition;
use super::found::Matched;
use super::skip::AfterMatch;

/// What [`super::compile`] makes of a pattern.
pub(super) struct Automaton<E> {
    pub(super) states: Vec<State>,
    /// Where a match begins.
    pub(super) start: u32,
    pub(super) conditions: Vec<Condition<E>>,
    /// Names of the steps, in the order in which they were said.
    pub(super) names: Rc<[String]>,
    pub(super) within: Option<Millis>,
    pub(super) after_match: AfterMatch,
    pub(super) partial_max: usize,
    pub(super) waiting_max: usize,
    /// Tells a partial match of this pattern from one of another.
    pub(super) fingerprint: u32,
    pub(super) scratch: Cell<Scratch>,
}

impl<E> Automaton<E> {
    /// Whether a partial match that stands here is complete when its time is over: nothing more must come.
    pub(super) fn waits_for_end(&self, state: u32) -> bool {
        let Some(here) = self.states.get(state as usize) else { return false };
        let kind = |edge: &Edge| self.states.get(edge.target as usize).map(|target| target.kind);
        let on = |edge: &Edge| edge.action == Action::Proceed && matches!(edge.guard, Guard::Always) && kind(edge) == Some(Kind::Pending);
        here.kind == Kind::Pending || here.edges.iter().any(on)
    }
}

/// A place in a pattern.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) kind: Kind,
    /// The step that an event taken from here belongs to.
    pub(super) step: u16,
    /// The longest time since the event taken before.
    pub(super) gap: Option<Millis>,
    pub(super) edges: Vec<Edge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// The match is complete.
    Final,
    /// The partial match is over.
    Stop,
    /// Complete when its time is over.
    Pending,
}

/// A way from one state to another.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) action: Action,
    pub(super) target: u32,
    pub(super) guard: Guard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The event becomes part of the match.
    Take,
    /// The event is passed over.
    Ignore,
    /// The event is looked at from the target instead.
    Proceed,
}

/// When an edge may be taken: conditions by their number, put together.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    Always,
    Is(u32),
    Not(Box<Guard>),
    Both(Box<Guard>, Box<Guard>),
}

impl Guard {
    pub(super) fn not(self) -> Guard {
        match self {
            Guard::Not(inner) => *inner,
            other => Guard::Not(Box::new(other)),
        }
    }

    pub(super) fn and(self, other: Guard) -> Guard {
        match (self, other) {
            (Guard::Always, guard) | (guard, Guard::Always) => guard,
            (first, second) => Guard::Both(Box::new(first), Box::new(second)),
        }
    }
}

/// An edge that an event takes: what it does, where it leads, and the step it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) target: u32,
    pub(super) step: u16,
}

/// One event that is looked at from several states: conditions that do not look at earlier events are asked once.
pub(super) struct Look<'e, E> {
    automaton: &'e Automaton<E>,
    event: &'e E,
    known: Cell<Known>,
}

/// What is known of each condition for one event, for the first 64: asked, and the answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Known(u64, u64);

impl<'e, E> Look<'e, E> {
    /// A look at an event of which something is known already.
    pub(super) fn new(automaton: &'e Automaton<E>, event: &'e E, known: Known) -> Self {
        Look { automaton, event, known: Cell::new(known) }
    }

    pub(super) fn known(&self) -> Known {
        self.known.get()
    }

    /// The edges that the event takes from a state, those reached by proceeding too.
    pub(super) fn steps(&self, from: u32, earlier: &Matched<'_, E>, stack: &mut Vec<u32>, out: &mut Vec<Step>) {
        out.clear();
        self.walk(from, earlier, stack, |state, edge| {
            if edge.action != Action::Proceed {
                out.push(Step { action: edge.action, target: edge.target, step: state.step });
            }
            false
        });
    }

    /// Whether the match is complete once it stands at `from`: the rest of the pattern is optional.
    pub(super) fn completes(&self, from: u32, earlier: &Matched<'_, E>, stack: &mut Vec<u32>) -> bool {
        let states = &self.automaton.states;
        let is_final = |edge: &Edge| states.get(edge.target as usize).is_some_and(|target| target.kind == Kind::Final);
        self.walk(from, earlier, stack, |_, edge| edge.action == Action::Proceed && is_final(edge))
    }

    /// Visits every open edge of `from` and of the states that it proceeds to, until `visit` says true. A state is visited once: a
    /// group of optional steps may proceed in a circle.
    fn walk(&self, from: u32, earlier: &Matched<'_, E>, stack: &mut Vec<u32>, mut visit: impl FnMut(&State, &Edge) -> bool) -> bool {
        stack.clear();
        stack.push(from);
        let mut next = 0;
        // What is done stays in front, what is left to do is a stack behind it.
        while stack.len() > next {
            let Some(number) = stack.pop() else { break };
            stack.insert(next, number);
            next += 1;
            let Some(state) = self.automaton.states.get(number as usize) else { continue };
            for edge in &state.edges {
                if !self.holds(&edge.guard, earlier) {
                    continue;
                }
                if visit(state, edge) {
                    return true;
                }
                if edge.action == Action::Proceed && !stack.contains(&edge.target) {
                    stack.push(edge.target);
                }
            }
        }
        false
    }

    fn holds(&self, guard: &Guard, earlier: &Matched<'_, E>) -> bool {
        match guard {
            Guard::Always => true,
            Guard::Is(number) => self.is(*number, earlier),
            Guard::Not(inner) => !self.holds(inner, earlier),
            Guard::Both(first, second) => self.holds(first, earlier) && self.holds(second, earlier),
        }
    }

    fn is(&self, number: u32, earlier: &Matched<'_, E>) -> bool {
        let bit = 1u64.checked_shl(number).unwrap_or(0);
        let Known(asked, answers) = self.known.get();
        if asked & bit != 0 {
            return answers & bit != 0;
        }
        let Some(condition) = self.automaton.conditions.get(number as usize) else { return false };
        earlier.asked.set(false);
        let answer = condition(self.event, earlier);
        if !earlier.asked.get() {
            self.known.set(Known(asked | bit, if answer { answers | bit } else { answers }));
        }
        answer
    }
}
