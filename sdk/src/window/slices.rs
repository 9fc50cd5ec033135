//! Hopping and cumulating windows: an event is gathered once, into a slice that all windows which have it share.
//!
//! So an event costs the same however many windows it is in; a window that closes merges its slices.

use sangam_protocol::Millis;

use super::spec::{Kind, floor};
use super::store::Windows;
use super::{Aggregate, Call, closed, due};
use crate::Result;

/// Takes an event in; true where something is due that was not.
#[inline]
pub(super) fn on_event<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, event: A::Event<'_>, state: &mut Windows<A>) -> Result<bool> {
    let (spec, time, watermark) = (call.spec, call.time, call.watermark);
    let local = spec.local(time);
    let slice = match state.panes.last() {
        Some(pane) if local.checked_sub(pane.start).is_some_and(|into| (0..spec.slice()).contains(&into)) => pane.start,
        _ => spec.slice_of(local),
    };
    // An event ahead of the watermark is in no window that has closed.
    let behind = time <= watermark;
    if behind && over(call, slice) <= watermark {
        return Err(closed());
    }
    let (index, new) = state.slice(slice)?;
    let Some(pane) = state.panes.get_mut(index) else { return Ok(false) };
    if let Err(error) = call.gather(pane, event) {
        if new {
            state.panes.remove(index);
        }
        return Err(error);
    }
    let trigger = call.spec.trigger;
    if behind || !trigger.close {
        for (start, end, window) in spec.spans_at(local) {
            let emits = !trigger.close || window.last() <= watermark;
            if emits
                && call.over(window) > watermark
                && let Some(all) = state.gathered(call.config, start, end)?
            {
                call.tell(all, window)?;
            }
        }
    }
    if new {
        state.fold(call.config)?;
    }
    Ok(new)
}

/// Emits the windows that close now, forgets the slices that no window needs any more.
pub(super) fn on_timer<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, now: Millis, state: &mut Windows<A>) -> Result<()> {
    let spec = call.spec;
    if spec.trigger.close {
        let mut end = end_after(call, now.saturating_sub(1));
        let mut before = None;
        loop {
            let window = spec.window(spec.start_of(end), end);
            if due(window.last()) != now {
                break;
            }
            // Where the clock skips an end, two of them are the same window.
            if before.replace(window) != Some(window)
                && let Some(all) = state.gathered(call.config, spec.start_of(end), end)?
            {
                call.finish(all, window)?;
            }
            let Some(next) = end.checked_add(spec.pitch()) else { break };
            end = next;
        }
    }
    let call = &*call;
    state.forget(|slice| due(over(call, slice)) <= now)
}

/// When the next thing happens to any window after `now`.
pub(super) fn next_due<A: Aggregate>(call: &Call<'_, '_, '_, A>, now: Millis, state: &mut Windows<A>) -> Result<Option<Millis>> {
    let Some(oldest) = state.oldest() else { return Ok(None) };
    let forgotten = due(over(call, oldest));
    if !call.spec.trigger.close {
        return Ok(Some(forgotten));
    }
    let after = end_after(call, now);
    // Windows end in the order of their slices, so the first slice that has a window to come tells the next.
    let closes = state.find(|slice| {
        let end = call.spec.first_end(slice).max(after);
        (end <= call.spec.last_end(slice)).then_some(end)
    })?;
    let closes = closes.map(|end| due(call.spec.window(call.spec.start_of(end), end).last()));
    Ok(Some(closes.map_or(forgotten, |closes| closes.min(forgotten))))
}

/// When the last window that has the slice takes no more events.
fn over<A: Aggregate>(call: &Call<'_, '_, '_, A>, slice: Millis) -> Millis {
    let end = call.spec.last_end(slice);
    call.over(call.spec.window(call.spec.start_of(end), end))
}

/// End of the first window that closes after `now`.
fn end_after<A: Aggregate>(call: &Call<'_, '_, '_, A>, now: Millis) -> Millis {
    let (spec, pitch) = (call.spec, call.spec.pitch());
    let shift = match spec.kind {
        Kind::Hopping { size, slide } => spec.offset.saturating_add(size % slide),
        _ => spec.offset,
    };
    let mut end = floor(spec.local(now).saturating_add(1), shift, pitch).saturating_add(pitch);
    if spec.zone.is_some() {
        // What the clock shows does not tell the instant while it is being changed.
        let last = |end| spec.window(end, end).last();
        while last(end) <= now && end < Millis::MAX {
            end = end.saturating_add(pitch);
        }
        while last(end.saturating_sub(pitch)) > now && end > Millis::MIN {
            end = end.saturating_sub(pitch);
        }
    }
    end
}
