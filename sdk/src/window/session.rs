//! Sessions: windows that grow with their events, and merge where an event joins two of them.
//!
//! They close and are forgotten as other windows that gather for themselves.

use sangam_protocol::Millis;

use super::pane::Pane;
use super::panes::touched;
use super::store::Windows;
use super::{Aggregate, Call, Window, closed};
use crate::{Result, reject};

/// Takes an event in; true where something is due that was not.
///
/// Sessions that touch are one: an event exactly the gap after the last one still belongs to it (Flink `TimeWindow.intersects`).
pub(super) fn on_event<A: Aggregate>(
    call: &mut Call<'_, '_, '_, A>,
    event: A::Event<'_>,
    state: &mut Windows<A>,
    gap: Millis,
) -> Result<bool> {
    let time = call.time;
    let gap = A::gap(call.config, &event).unwrap_or(gap);
    if gap <= 0 {
        return Err(reject("the session's gap for it is not positive"));
    }
    let mut window = Window { start: time, end: time.saturating_add(gap) };
    // The sessions that it joins lie side by side: they are in order and do not touch each other.
    let from = state.panes.partition_point(|pane| pane.end < window.start);
    let joined = state.panes.iter().skip(from).take_while(|pane| pane.start <= window.end).count();
    let mut reopens = false;
    for pane in state.panes.iter().skip(from).take(joined) {
        reopens |= pane.window().last() <= call.watermark;
        // An event never makes a session shorter, whatever its own gap.
        window = Window { start: window.start.min(pane.start), end: window.end.max(pane.end) };
    }
    if call.over(window) <= call.watermark {
        return Err(closed());
    }
    let before = if A::FALLIBLE { Some(state.panes.clone()) } else { None };
    if joined == 0 {
        state.panes.insert(from, Pane { content: None, ..Pane::new(window.start, window.end, A::default()) });
    } else if joined > 1 {
        merge(call, state, from, joined);
    }
    let Some(pane) = state.panes.get_mut(from) else { return Ok(false) };
    (pane.start, pane.end) = (window.start, window.end);
    if let Err(error) = call.gather(pane, event) {
        // Sessions that were joined for it come apart again.
        if let Some(before) = before {
            state.panes = before;
        }
        return Err(error);
    }
    // An open session that only grew is due later than its timer, which then finds nothing and is set anew: cheaper than moving it.
    Ok(touched(call, pane, pane.window())? || joined == 0 || reopens)
}

/// Merges neighbours into the first of them, in order of time: what they gathered and what their triggers remember.
fn merge<A: Aggregate>(call: &Call<'_, '_, '_, A>, state: &mut Windows<A>, from: usize, count: usize) {
    let mut all = state.panes.list().drain(from..from + count);
    let Some(mut first) = all.next() else { return };
    for pane in all {
        match (&mut first.content, pane.content) {
            (Some(content), Some(more)) => content.merge(call.config, more),
            (None, more) => first.content = more,
            (Some(_), None) => {}
        }
        first.count += pane.count;
        // An early result that is due for one of them is due for all; else the schedule goes on.
        let due =
            [(first.mark, first.told), (pane.mark, pane.told)].into_iter().filter(|(_, told)| !told).filter_map(|(mark, _)| mark).min();
        first.mark = due.or(first.mark.into_iter().chain(pane.mark).min());
        first.told = due.is_none() && first.mark.is_some();
    }
    state.panes.insert(from, first);
}
