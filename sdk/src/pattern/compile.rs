//! Makes states and edges of a pattern's steps, from the last step to the first.
//!
//! The shape of the states is that of Flink's `NFACompiler`, so that every corner case falls as it does there. It matches nothing.

use std::collections::BTreeMap;

use super::automaton::{Action, Automaton, Edge, Guard, Kind, State};
use super::builder::{Condition, Count, Link, Pattern, Step};

/// More states than this are a mistake in the quantifiers.
const STATES_MAX: usize = 10_000;

/// Checks a pattern as a whole and compiles it.
pub(super) fn compile<E>(pattern: &Pattern<E>) -> Result<Automaton<E>, String> {
    let mut names = Vec::new();
    gather_names(&pattern.steps, &mut names)?;
    if names.len() > usize::from(u16::MAX) {
        return Err("a pattern has at most 65535 steps".into());
    }
    if let Some(to) = pattern.after_match.target()
        && !names.contains(&to.step)
    {
        return Err(format!("after a match it skips to `{}`, which is no step of the pattern", to.step));
    }
    let last = pattern.steps.last();
    let windowed = pattern.within.is_some() || last.is_some_and(|last| last.gap.is_some());
    if last.is_some_and(|last| last.link == Link::NotFollowedBy) && !windowed {
        return Err("the last step is not_followed_by: say for how long, with `within`".into());
    }
    let gaps = pattern.steps.len().saturating_sub(1);
    check_gaps(&pattern.steps, gaps)?;
    let mut compiler =
        Compiler { states: Vec::new(), conditions: Vec::new(), names, stops: BTreeMap::new(), originals: BTreeMap::new(), windowed };
    let end = compiler.state(Kind::Final, 0, None);
    let top = Scope { steps: &pattern.steps, group: None, following: None };
    let start = compiler.chain(&top, end);
    if compiler.is_full() {
        return Err(format!("the pattern has more than {STATES_MAX} states: use smaller quantifiers"));
    }
    Ok(Automaton {
        fingerprint: fingerprint(pattern),
        states: compiler.states,
        start,
        conditions: compiler.conditions,
        names: compiler.names.into(),
        within: pattern.within,
        after_match: pattern.after_match.clone(),
        partial_max: pattern.partial_max,
        waiting_max: pattern.waiting_max,
        scratch: Default::default(),
    })
}

/// All names in order; each once. A group has none.
fn gather_names<E>(steps: &[Step<E>], names: &mut Vec<String>) -> Result<(), String> {
    for (i, step) in steps.iter().enumerate() {
        if let Some(group) = &step.group {
            gather_names(group, names)?;
            if group.last().is_some_and(|last| last.link.is_not()) {
                return Err("a group ends with a step that is taken, not with one that must not follow".into());
            }
            continue;
        }
        if step.name.is_empty() || names.contains(&step.name) {
            return Err(format!("every step has a name of its own; `{}` is there twice or empty", step.name));
        }
        if i == 0 && step.link.is_not() {
            return Err(format!("`{}` must not follow, but nothing is before it", step.name));
        }
        names.push(step.name.clone());
    }
    Ok(())
}

/// A time since the event before needs a step that is there, once or a fixed number of times. A step that must not follow has a time
/// only at the end, `last`.
fn check_gaps<E>(steps: &[Step<E>], last: usize) -> Result<(), String> {
    for (i, step) in steps.iter().enumerate() {
        check_gaps(step.group.as_deref().unwrap_or(&[]), usize::MAX)?;
        let fixed = match step.count {
            Count::Once => !step.link.is_not() || i == last,
            Count::Times(from, to) => from == to,
            Count::AtLeast(_) => false,
        };
        if step.gap.is_some() && (step.optional || !fixed) {
            return Err(format!("step `{}`: within_previous is for a step that comes once, or a fixed number of times", step.name));
        }
    }
    Ok(())
}

/// Steps of one level, and the group that they are in.
struct Scope<'p, E> {
    steps: &'p [Step<E>],
    group: Option<Group<'p, E>>,
    /// The step after the last one.
    following: Option<&'p Step<E>>,
}

struct Group<'p, E> {
    step: &'p Step<E>,
    /// Whether this copy of the group is the first of its repetitions.
    first: bool,
}

impl<E> Clone for Group<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Group<'_, E> {}

impl<'p, E> Scope<'p, E> {
    fn heads_group(&self, i: usize) -> Option<Group<'p, E>> {
        self.group.filter(|_| i == 0)
    }

    fn following(&self, i: usize) -> Option<&'p Step<E>> {
        self.steps.get(i + 1).or(self.following)
    }
}

struct Compiler<E> {
    states: Vec<State>,
    conditions: Vec<Condition<E>>,
    names: Vec<String>,
    /// The stop state of each step that must not follow.
    stops: BTreeMap<u16, u32>,
    /// What a state was before a greedy step before it closed its edges; taken once `until` has ended that step.
    originals: BTreeMap<u32, u32>,
    windowed: bool,
}

impl<E> Compiler<E> {
    /// A pattern of too many states is refused when it is done; until then it must not eat time and memory.
    fn is_full(&self) -> bool {
        self.states.len() > STATES_MAX
    }

    fn state(&mut self, kind: Kind, step: u16, gap: Option<i64>) -> u32 {
        if !self.is_full() {
            self.states.push(State { kind, step, gap, edges: Vec::new() });
        }
        (self.states.len() - 1) as u32
    }

    fn state_of(&mut self, step: &Step<E>) -> u32 {
        let number = self.number(step);
        self.state(Kind::Normal, number, step.gap)
    }

    /// The number of a step; that of a group is the one of its first step.
    fn number(&self, step: &Step<E>) -> u16 {
        match step.group.as_ref().and_then(|group| group.first()) {
            Some(first) => self.number(first),
            None => self.names.iter().position(|name| *name == step.name).unwrap_or(0) as u16,
        }
    }

    fn kind(&self, state: u32) -> Kind {
        self.states.get(state as usize).map_or(Kind::Normal, |state| state.kind)
    }

    fn edge(&mut self, from: u32, action: Action, target: u32, guard: Guard) {
        if let Some(state) = self.states.get_mut(from as usize) {
            state.edges.push(Edge { action, target, guard });
        }
    }

    // === guards ===

    fn guard(&mut self, condition: Option<&Condition<E>>) -> Guard {
        let Some(condition) = condition else { return Guard::Always };
        let known = self.conditions.iter().position(|known| std::rc::Rc::ptr_eq(known, condition));
        let number = known.unwrap_or_else(|| {
            self.conditions.push(condition.clone());
            self.conditions.len() - 1
        });
        Guard::Is(number as u32)
    }

    /// `guard`, as long as `until` does not hold.
    fn unless(&mut self, guard: Guard, until: Option<&Condition<E>>) -> Guard {
        match until {
            Some(_) => {
                let until = self.guard(until);
                until.not().and(guard)
            }
            None => guard,
        }
    }

    fn group_until(&mut self, scope: &Scope<'_, E>, guard: Guard) -> Guard {
        self.unless(guard, scope.group.and_then(|group| group.step.until.as_ref()))
    }

    fn take_guard(&mut self, scope: &Scope<'_, E>, step: &Step<E>) -> Guard {
        let guard = self.guard(step.condition.as_ref());
        self.group_until(scope, guard)
    }

    /// When an event may be passed over, by the contiguity; never in a strict one.
    fn ignore_guard(&mut self, scope: &Scope<'_, E>, step: &Step<E>, link: Link) -> Option<Guard> {
        let guard = match link {
            Link::Next | Link::NotNext => return None,
            Link::FollowedByAny => Guard::Always,
            Link::FollowedBy | Link::NotFollowedBy => self.guard(step.condition.as_ref()).not(),
        };
        Some(self.group_until(scope, guard))
    }

    /// How step `i` follows the one before; the first of a group follows as the group does.
    fn link(scope: &Scope<'_, E>, i: usize, step: &Step<E>) -> Link {
        match scope.heads_group(i) {
            Some(group) if group.first => group.step.link,
            Some(group) => group.step.inner,
            None => step.link,
        }
    }

    fn inner_link(scope: &Scope<'_, E>, i: usize, step: &Step<E>) -> Link {
        scope.heads_group(i).map_or(step.inner, |group| group.step.inner)
    }

    // === steps ===

    /// Makes the states of all steps of a level, which lead to `sink`; returns the first.
    fn chain(&mut self, scope: &Scope<'_, E>, sink: u32) -> u32 {
        let mut sink = sink;
        for (i, step) in scope.steps.iter().enumerate().rev() {
            if self.is_full() {
                break;
            }
            sink = match step.link {
                Link::NotFollowedBy if i > 0 => self.not_followed_by(scope, step, sink),
                Link::NotNext if i > 0 => self.not_next(scope, step, sink),
                _ => self.convert(scope, i, step, sink),
            };
        }
        sink
    }

    /// Between two steps it is an edge of those; at the end it is a state that waits for the time to be over.
    fn not_followed_by(&mut self, scope: &Scope<'_, E>, step: &Step<E>, sink: u32) -> u32 {
        if self.kind(sink) != Kind::Final || !self.windowed {
            return sink;
        }
        let number = self.number(step);
        let pending = self.state(Kind::Pending, number, step.gap);
        let not = self.take_guard(scope, step);
        let stop = self.stop(step, not.clone());
        self.edge(pending, Action::Proceed, stop, not.clone());
        self.edge(pending, Action::Ignore, pending, not.not());
        pending
    }

    fn not_next(&mut self, scope: &Scope<'_, E>, step: &Step<E>, sink: u32) -> u32 {
        let state = self.state_of(step);
        let not = self.take_guard(scope, step);
        let stop = self.stop(step, not.clone());
        // At the end of a pattern the next event must have come, so the match may not be complete before it.
        let action = if self.kind(sink) == Kind::Final { Action::Ignore } else { Action::Proceed };
        self.edge(state, action, sink, not.clone().not());
        self.edge(state, Action::Proceed, stop, not);
        state
    }

    fn stop(&mut self, step: &Step<E>, not: Guard) -> u32 {
        let number = self.number(step);
        if let Some(stop) = self.stops.get(&number) {
            return *stop;
        }
        let stop = self.state(Kind::Stop, number, None);
        self.edge(stop, Action::Take, stop, not);
        self.stops.insert(number, stop);
        stop
    }

    fn convert(&mut self, scope: &Scope<'_, E>, i: usize, step: &Step<E>, sink: u32) -> u32 {
        let first = match step.count {
            Count::AtLeast(from) => {
                let after = self.without_nots(scope, i, step, sink);
                let looping = self.looping(scope, i, step, after);
                self.times(scope, i, step, looping, sink, (from, from))
            }
            Count::Times(from, to) => self.times(scope, i, step, sink, sink, (from, to)),
            Count::Once => {
                let optional = scope.heads_group(i).map_or(step.optional, |group| group.first && group.step.optional);
                let take = self.take_guard(scope, step);
                let ignore = self.ignore_guard(scope, step, Self::link(scope, i, step));
                self.single(scope, i, step, &Single { sink, proceed: sink, take, ignore, optional, first: true })
            }
        };
        self.add_stops(scope, i, first);
        first
    }

    /// One state per repetition: those beyond `from` may be left out, the first follows as the step does.
    fn times(&mut self, scope: &Scope<'_, E>, i: usize, step: &Step<E>, sink: u32, proceed: u32, (from, to): (u32, u32)) -> u32 {
        let until = step.until.as_ref();
        let take = self.take_guard(scope, step);
        let take = self.unless(take, until);
        let inner = self.ignore_guard(scope, step, Self::inner_link(scope, i, step)).map(|guard| self.unless(guard, until));
        if step.greedy && from != to {
            self.close_for_greedy(proceed, &take, until.is_some());
        }
        let mut last = sink;
        for n in (1..to).rev() {
            if self.is_full() {
                break;
            }
            let optional = n >= from;
            let one = Single { sink: last, proceed, take: take.clone(), ignore: inner.clone(), optional, first: false };
            last = self.single(scope, i, step, &one);
            self.add_stop_of_following(scope, i, last);
        }
        let ignore = self.ignore_guard(scope, step, Self::link(scope, i, step));
        self.single(scope, i, step, &Single { sink: last, proceed, take, ignore, optional: step.optional, first: true })
    }

    fn single(&mut self, scope: &Scope<'_, E>, i: usize, step: &Step<E>, one: &Single) -> u32 {
        if step.group.is_some() {
            let inner = Self::inside(scope, i, step, one.first);
            let first = self.chain(&inner, one.sink);
            if one.optional {
                let guard = self.group_until(scope, Guard::Always);
                self.edge(first, Action::Proceed, one.proceed, guard);
            }
            return first;
        }
        let state = self.state_of(step);
        let sink = self.without_nots(scope, i, step, one.sink);
        self.edge(state, Action::Take, sink, one.take.clone());
        // The first step of an optional group gets its way around the whole group once that is made.
        if one.optional && scope.heads_group(i).is_none() {
            self.proceed_from_greedy(scope, step, state, one.proceed);
        }
        if let Some(ignore) = &one.ignore {
            if one.optional {
                // Once an event has been passed over in wait for this step, the step is no longer left out: that branch goes its own way.
                let waiting = self.state_of(step);
                self.edge(waiting, Action::Take, sink, one.take.clone());
                self.edge(waiting, Action::Ignore, waiting, ignore.clone());
                // Here Flink mixes the two up: what must not come before a repeated step, and what must not follow it.
                if one.first {
                    self.add_stops(scope, i, waiting);
                } else {
                    self.add_stop_of_following(scope, i, waiting);
                }
                self.edge(state, Action::Ignore, waiting, ignore.clone());
            } else {
                self.edge(state, Action::Ignore, state, ignore.clone());
            }
        }
        state
    }

    /// A state that takes again and again, and may always go on to `sink`.
    fn looping(&mut self, scope: &Scope<'_, E>, i: usize, step: &Step<E>, sink: u32) -> u32 {
        if step.group.is_some() {
            let again = self.state_of(step);
            let inner = Self::inside(scope, i, step, false);
            let first = self.chain(&inner, again);
            let guard = self.group_until(scope, Guard::Always);
            self.edge(first, Action::Proceed, sink, guard.clone());
            self.edge(again, Action::Proceed, first, guard);
            return first;
        }
        let until = step.until.as_ref();
        let ignore = self.ignore_guard(scope, step, Self::inner_link(scope, i, step)).map(|guard| self.unless(guard, until));
        let plain = self.take_guard(scope, step);
        let take = self.unless(plain.clone(), until);
        let state = self.state_of(step);
        if step.greedy {
            self.close_for_greedy(sink, &plain, until.is_some());
        }
        self.proceed_from_greedy(scope, step, state, sink);
        self.edge(state, Action::Take, state, take.clone());
        self.add_stop_of_following(scope, i, state);
        if let Some(ignore) = ignore {
            let waiting = self.state_of(step);
            self.edge(waiting, Action::Take, state, take);
            self.edge(waiting, Action::Ignore, waiting, ignore.clone());
            self.edge(state, Action::Ignore, waiting, ignore);
            self.add_stop_of_following(scope, i, waiting);
        }
        state
    }

    /// The scope of a group's steps.
    fn inside<'p>(scope: &Scope<'p, E>, i: usize, step: &'p Step<E>, first: bool) -> Scope<'p, E> {
        let steps = step.group.as_deref().unwrap_or(&[]);
        Scope { steps, group: Some(Group { step, first }), following: scope.following(i) }
    }

    // === greedy ===

    /// After a greedy step nothing goes on with an event that the greedy step takes.
    fn close_for_greedy(&mut self, sink: u32, take: &Guard, until: bool) {
        if until {
            let original = self.copy(sink);
            self.originals.insert(sink, original);
        }
        if let Some(state) = self.states.get_mut(sink as usize) {
            for edge in &mut state.edges {
                edge.guard = edge.guard.clone().and(take.clone().not());
            }
        }
    }

    /// The way on from a repeated or optional step. Where `until` has ended a greedy step, what it would take is no longer in the way.
    fn proceed_from_greedy(&mut self, scope: &Scope<'_, E>, step: &Step<E>, from: u32, to: u32) {
        let mut guard = self.group_until(scope, Guard::Always);
        if step.greedy
            && step.until.is_some()
            && let Some(original) = self.originals.get(&to).copied()
        {
            let until = self.guard(step.until.as_ref());
            self.edge(from, Action::Proceed, original, guard.clone().and(until.clone()));
            guard = guard.and(until.not());
        }
        self.edge(from, Action::Proceed, to, guard);
    }

    fn copy(&mut self, state: u32) -> u32 {
        let Some(known) = self.states.get(state as usize).cloned() else { return state };
        let copy = self.state(known.kind, known.step, known.gap);
        for edge in known.edges {
            let target = if edge.target == state { copy } else { edge.target };
            self.edge(copy, edge.action, target, edge.guard);
        }
        copy
    }

    // === what must not follow ===

    /// The steps that must not follow and still count at step `i`: those right before it, and before optional ones.
    fn nots<'p>(scope: &Scope<'p, E>, i: usize) -> impl Iterator<Item = &'p Step<E>> + use<'p, E> {
        let before = scope.steps.get(..i).unwrap_or(&[]).iter().rev();
        before.take_while(|step| step.optional || step.link == Link::NotFollowedBy).filter(|step| step.link == Link::NotFollowedBy)
    }

    fn add_stops(&mut self, scope: &Scope<'_, E>, i: usize, state: u32) {
        for not in Self::nots(scope, i) {
            self.add_stop(scope, not, state);
        }
    }

    /// A repeated step ends too when what must not follow it comes.
    fn add_stop_of_following(&mut self, scope: &Scope<'_, E>, i: usize, state: u32) {
        if let Some(following) = scope.following(i).filter(|step| step.link == Link::NotFollowedBy) {
            self.add_stop(scope, following, state);
        }
    }

    fn add_stop(&mut self, scope: &Scope<'_, E>, not: &Step<E>, state: u32) {
        let guard = self.take_guard(scope, not);
        let stop = self.stop(not, guard.clone());
        self.edge(state, Action::Proceed, stop, guard);
    }

    /// Where an optional step is taken, what must not follow before it no longer counts: `a, not b, c?, d` matches `a c b d`.
    fn without_nots(&mut self, scope: &Scope<'_, E>, i: usize, step: &Step<E>, sink: u32) -> u32 {
        if !step.optional {
            return sink;
        }
        let nots: Vec<u32> = Self::nots(scope, i).filter_map(|not| self.stops.get(&self.number(not)).copied()).collect();
        if nots.is_empty() { sink } else { self.copy_without(sink, &nots, &mut BTreeMap::new()) }
    }

    fn copy_without(&mut self, state: u32, stops: &[u32], done: &mut BTreeMap<u32, u32>) -> u32 {
        if let Some(copy) = done.get(&state) {
            return *copy;
        }
        let Some(known) = self.states.get(state as usize).cloned() else { return state };
        let copy = self.state(known.kind, known.step, known.gap);
        done.insert(state, copy);
        for edge in known.edges {
            if stops.contains(&edge.target) {
                continue;
            }
            let target = match edge.action {
                Action::Take if edge.target == state => copy,
                Action::Take => edge.target,
                // Flink forgets the ignore edges, and so lets those count again once an event has been passed over.
                Action::Proceed | Action::Ignore => match self.kind(edge.target) {
                    Kind::Stop => edge.target,
                    _ => self.copy_without(edge.target, stops, done),
                },
            };
            self.edge(copy, edge.action, target, edge.guard);
        }
        copy
    }
}

/// One copy of a step.
struct Single {
    /// Where taking it leads.
    sink: u32,
    /// Where leaving it out leads.
    proceed: u32,
    take: Guard,
    ignore: Option<Guard>,
    optional: bool,
    /// Whether it is the first of its repetitions.
    first: bool,
}

/// A number that changes when steps, times or the author's version do (FNV-1a). Conditions are code and leave no trace in it.
fn fingerprint<E>(pattern: &Pattern<E>) -> u32 {
    fn text<E>(steps: &[Step<E>], out: &mut String) {
        for step in steps {
            out.push_str(&format!(
                "{:?} {:?} {:?} {:?} {} {} {:?} {}[",
                step.name,
                step.link,
                step.count,
                step.inner,
                step.optional,
                step.greedy,
                step.gap,
                step.until.is_some()
            ));
            text(step.group.as_deref().unwrap_or(&[]), out);
            out.push(']');
        }
    }
    let mut all = format!("{:?} {:?} {} ", pattern.within, pattern.after_match, pattern.version);
    text(&pattern.steps, &mut all);
    all.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
