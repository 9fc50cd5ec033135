//! Sliding windows, Kafka's: for every event the span before it, and the span after it if that has events.
//!
//! A window is `[start, start + size]` with both ends, here written `[start, start + size + 1)`. Events of one time share a slice.

use sangam_protocol::Millis;

use super::store::Windows;
use super::{Aggregate, Call, Window, closed, due};
use crate::Result;

/// Takes an event in; true where something is due that was not.
pub(super) fn on_event<A: Aggregate>(
    call: &mut Call<'_, '_, '_, A>,
    event: A::Event<'_>,
    state: &mut Windows<A>,
    size: Millis,
) -> Result<bool> {
    let (time, watermark, trigger) = (call.time, call.watermark, call.spec.trigger);
    // The last window that it can belong to starts with it.
    if call.over(ending(time.saturating_add(size), size)) <= watermark {
        return Err(closed());
    }
    let (index, new) = state.slice(time)?;
    let Some(pane) = state.panes.get_mut(index) else { return Ok(false) };
    if let Err(error) = call.gather(pane, event) {
        if new {
            state.panes.remove(index);
        }
        return Err(error);
    }
    if !trigger.close || time <= watermark {
        for last in changed(state, time, size, new)? {
            let window = ending(last, size);
            let emits = !trigger.close || last <= watermark;
            if emits
                && call.over(window) > watermark
                && let Some(all) = state.gathered(call.config, window.start, window.end)?
            {
                call.tell(all, window)?;
            }
        }
    }
    // Behind another event that is ahead of the watermark nothing is due earlier.
    let before = index.checked_sub(1).and_then(|index| state.panes.get(index));
    Ok(new && before.is_none_or(|before| before.start <= watermark))
}

/// The last millisecond of each window that an event changes or opens, in order.
fn changed<A: Aggregate>(state: &mut Windows<A>, time: Millis, size: Millis, new: bool) -> Result<Vec<Millis>> {
    let reach = time.saturating_add(size);
    let after = reach.saturating_add(1);
    let (mut lasts, mut follows, mut known) = (Vec::new(), false, false);
    state.find(|start| {
        if (time..=reach).contains(&start) {
            lasts.push(start);
        }
        // The window behind a neighbour has the event too.
        if start < time && start.saturating_add(size).saturating_add(1) >= time {
            lasts.push(start.saturating_add(size).saturating_add(1));
        }
        follows |= start > time && start <= after;
        known |= start == after;
        (start > after).then_some(())
    })?;
    // Its own window behind it opens with the event, if others are in there already.
    if new && follows && !known {
        lasts.push(after);
    }
    lasts.sort_unstable();
    lasts.dedup();
    Ok(lasts)
}

/// Emits the windows that close now, forgets the slices that no window needs any more.
pub(super) fn on_timer<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, now: Millis, state: &mut Windows<A>, size: Millis) -> Result<()> {
    if call.spec.trigger.close {
        let behind = now.saturating_sub(size).saturating_sub(1);
        let closes = state.find(|start| (start == now || start == behind).then_some(()))?;
        let window = ending(now, size);
        if closes.is_some()
            && let Some(all) = state.gathered(call.config, window.start, window.end)?
        {
            call.finish(all, window)?;
        }
    }
    let call = &*call;
    state.forget(|start| due(over(call, start, size)) <= now)
}

/// When the next thing happens to any window after `now`.
pub(super) fn next_due<A: Aggregate>(
    call: &Call<'_, '_, '_, A>,
    now: Millis,
    state: &mut Windows<A>,
    size: Millis,
) -> Result<Option<Millis>> {
    let mut next: Option<Millis> = None;
    state.find(|start| {
        let behind = start.saturating_add(size).saturating_add(1);
        let own = match () {
            () if !call.spec.trigger.close => over(call, start, size),
            () if start > now => start,
            () if behind > now => behind,
            () => over(call, start, size),
        };
        next = Some(next.map_or(own, |next| next.min(own)));
        // Later slices are due later still.
        (start > now || !call.spec.trigger.close).then_some(())
    })?;
    Ok(next.map(due))
}

/// When a slice is not needed any more: the window behind it, which it opens, takes no more events.
fn over<A: Aggregate>(call: &Call<'_, '_, '_, A>, start: Millis, size: Millis) -> Millis {
    call.over(ending(start.saturating_add(size).saturating_add(1), size))
}

fn ending(last: Millis, size: Millis) -> Window {
    Window { start: last.saturating_sub(size), end: last.saturating_add(1) }
}
