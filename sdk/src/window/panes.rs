//! Windows that each gather for themselves: tumbling and global ones, and overlapping ones whose trigger needs a memory for each.
//!
//! Which windows an event belongs to is told by its time alone; sessions, where it is not, are beside this.

use sangam_protocol::Millis;

use super::pane::Pane;
use super::spec::{Kind, floor};
use super::store::Windows;
use super::{Aggregate, Call, FOREVER, Window, closed, due};
use crate::{Result, reject};

/// Takes an event in; true where something is due that was not.
#[inline(always)]
pub(super) fn on_event<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, event: A::Event<'_>, state: &mut Windows<A>) -> Result<bool> {
    let spec = call.spec;
    let local = spec.local(call.time);
    // Nearly every event is for the newest window, which is open and has nothing to tell.
    if let (Kind::Tumbling { size }, Some(pane)) = (spec.kind, state.panes.last_mut())
        && spec.is_simple()
        && local.checked_sub(pane.start).is_some_and(|into| (0..size).contains(&into))
        && call.watermark < pane.start.saturating_add(size).saturating_sub(1)
    {
        return call.gather(pane, event).map(|()| false);
    }
    // The end is noted where the definition does not tell it.
    let (start, end) = match spec.kind {
        Kind::Tumbling { size } => (floor(local, spec.offset, size), 0),
        Kind::Global => (Millis::MIN, 0),
        Kind::Given => bounds::<A>(call.config, &event)?,
        _ => return on_shared(call, event, state, local),
    };
    let window = window(call, start, end);
    if call.over(window) <= call.watermark {
        return Err(closed());
    }
    let place = state.panes.binary_search_by_key(&(start, end), |pane| (pane.start, pane.end));
    let index = place.unwrap_or_else(|index| {
        state.panes.insert(index, Pane::new(start, end, A::default()));
        index
    });
    let Some(pane) = state.panes.get_mut(index) else { return Ok(false) };
    if let Err(error) = call.gather(pane, event) {
        if place.is_err() {
            state.panes.remove(index);
        }
        return Err(error);
    }
    let marked = touched(call, pane, window)?;
    if is_blank(pane) {
        state.panes.remove(index);
    }
    Ok(marked || place.is_err())
}

/// Start and end of the window that an event names.
fn bounds<A: Aggregate>(config: &A::Config, event: &A::Event<'_>) -> Result<(Millis, Millis)> {
    let Window { start, end } = A::bounds(config, event)?;
    if start < end { Ok((start, end)) } else { Err(reject(format!("its window ends at {end}, before it has begun at {start}"))) }
}

/// Gathers the event once, then gives it to every window that it belongs to and that still takes events.
fn on_shared<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, event: A::Event<'_>, state: &mut Windows<A>, local: Millis) -> Result<bool> {
    let (spec, watermark) = (call.spec, call.watermark);
    let last = spec.last_end(spec.slice_of(local));
    if call.over(window(call, spec.start_of(last), last)) <= watermark {
        return Err(closed());
    }
    let mut one = A::default();
    one.gather(call.config, event, call.ctx, call.out)?;
    let mut news = false;
    for (start, end, window) in spec.spans_at(local) {
        if call.over(window) <= watermark {
            continue;
        }
        let place = state.panes.binary_search_by_key(&(start, end), |pane| (pane.start, pane.end));
        let index = place.unwrap_or_else(|index| {
            state.panes.insert(index, Pane { content: None, ..Pane::new(start, end, A::default()) });
            index
        });
        let Some(pane) = state.panes.get_mut(index) else { continue };
        match &mut pane.content {
            None => pane.content = Some(one.clone()),
            Some(content) => content.merge(call.config, one.clone()),
        }
        news |= touched(call, pane, window)? || place.is_err();
        if is_blank(pane) {
            state.panes.remove(index);
        }
    }
    Ok(news)
}

/// Lets the trigger of a window see an event that came into it; true where an early result is due that was not.
pub(super) fn touched<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, pane: &mut Pane<A>, window: Window) -> Result<bool> {
    let trigger = call.spec.trigger;
    let closed = call.watermark >= window.last();
    let mut fires = trigger.close && closed;
    if trigger.count > 0 {
        pane.count += 1;
        if pane.count >= trigger.count {
            (pane.count, fires) = (0, true);
        }
    }
    let marks = trigger.early > 0 && !closed && mark(pane, call, trigger.early);
    if fires {
        call.fire(pane, window)?;
    }
    Ok(marks)
}

/// Says when the window emits early, now that an event has come; true where that was not due before.
///
/// The first time is the first multiple after the event's time (Flink `ContinuousEventTimeTrigger`), then every multiple before which an
/// event has come: one that would only tell the same again is left out, also because a window without an end would never stop.
fn mark<A: Aggregate>(pane: &mut Pane<A>, call: &Call<'_, '_, '_, A>, every: Millis) -> bool {
    let from = match pane.mark {
        None => Some(call.time.max(call.watermark)),
        // What earlier windows tell at one time may come in parts: it is all there when the watermark has passed that time.
        Some(_) if pane.told && matches!(call.spec.kind, Kind::Given) => Some(call.time.max(call.watermark)),
        Some(mark) if mark <= call.watermark => Some(call.watermark),
        Some(_) => None,
    };
    if let Some(from) = from {
        pane.mark = Some(floor(from, 0, every).saturating_add(every));
    }
    std::mem::replace(&mut pane.told, false) || from.is_some()
}

/// Whether nothing would be lost without it.
fn is_blank<A>(pane: &Pane<A>) -> bool {
    pane.content.is_none() && pane.count == 0 && pane.mark.is_none()
}

/// Emits what is due, forgets what takes no more events. Sessions close by it too.
pub(super) fn on_timer<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, now: Millis, state: &mut Windows<A>) -> Result<()> {
    let trigger = call.spec.trigger;
    let mut index = 0;
    while let Some(pane) = state.panes.get_mut(index) {
        let window = window(call, pane.start, pane.end);
        if let Some(mark) = pane.mark.filter(|mark| *mark <= now && !pane.told) {
            // A mark without such a trigger is from an earlier configuration.
            pane.mark = (trigger.early > 0).then(|| mark.saturating_add(trigger.early));
            pane.told = pane.mark.is_some();
            if trigger.early > 0 && mark < window.last() {
                call.fire(pane, window)?;
            }
        }
        let closes = trigger.close && due(window.last()) == now;
        if due(call.over(window)) <= now {
            let pane = state.panes.remove(index);
            if let Some(content) = pane.and_then(|pane| pane.content).filter(|_| closes) {
                call.finish(content, window)?;
            }
            continue;
        }
        if closes {
            call.fire(pane, window)?;
        }
        // A session is kept for what it may join.
        if is_blank(pane) && !matches!(call.spec.kind, Kind::Session { .. }) {
            state.panes.remove(index);
            continue;
        }
        index += 1;
    }
    Ok(())
}

/// When the next thing happens to any window after `now`.
pub(super) fn next_due<A: Aggregate>(call: &Call<'_, '_, '_, A>, now: Millis, state: &Windows<A>) -> Option<Millis> {
    let next = |pane: &Pane<A>| {
        let window = window(call, pane.start, pane.end);
        let end = if call.spec.trigger.close && due(window.last()) > now { window.last() } else { call.over(window) };
        due(pane.mark.filter(|mark| !pane.told && *mark < window.last()).map_or(end, |mark| mark.min(end)))
    };
    state.panes.iter().map(next).min()
}

/// The window of a pane, which knows its end only where its start does not tell it.
#[inline]
fn window<A: Aggregate>(call: &Call<'_, '_, '_, A>, start: Millis, end: Millis) -> Window {
    match call.spec.kind {
        Kind::Tumbling { size } => call.spec.window(start, start.saturating_add(size)),
        Kind::Global => Window { start, end: FOREVER },
        Kind::Session { .. } | Kind::Given => Window { start, end },
        _ => call.spec.window(start, end),
    }
}
