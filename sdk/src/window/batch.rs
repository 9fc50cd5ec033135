//! Batches: so many events, or what has come in a span of time since the first of them, whichever is first (Flink's count-or-time trigger).
//!
//! A batch takes events in the order in which they come and knows nothing of the calls in which the engine brings them.

use sangam_protocol::Millis;

use super::pane::Pane;
use super::store::Windows;
use super::{Aggregate, Call, Kind, Window, due};
use crate::Result;

/// Takes an event in; true where something is due that was not.
///
/// What the watermark has passed comes at the first moment after it: an event behind it is not late, and would else open a batch that is over.
pub(super) fn on_event<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, event: A::Event<'_>, state: &mut Windows<A>) -> Result<bool> {
    let (span, count) = definition(call);
    let time = call.time.max(call.watermark.saturating_add(1));
    if let Some(pane) = state.panes.last_mut().filter(|pane| time < pane.start.saturating_add(span)) {
        call.gather(pane, event)?;
        pane.count += 1;
        pane.end = pane.end.max(time.saturating_add(1));
        if pane.count >= count {
            close(call, state, None)?;
        }
        return Ok(false);
    }
    // What `add` refuses begins no batch, and ends none.
    let mut pane = Pane { content: None, count: 1, ..Pane::new(time, time.saturating_add(1), A::default()) };
    call.gather(&mut pane, event)?;
    close(call, state, Some(span))?;
    state.panes.push(pane);
    if count <= 1 {
        close(call, state, None)?;
        return Ok(false);
    }
    Ok(true)
}

/// Closes the batch whose time is over.
pub(super) fn on_timer<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, now: Millis, state: &mut Windows<A>) -> Result<()> {
    let (span, _) = definition(call);
    if last(state, span).is_some_and(|last| due(last) <= now) { close(call, state, Some(span)) } else { Ok(()) }
}

/// When the time of the open batch is over.
pub(super) fn next_due<A: Aggregate>(call: &Call<'_, '_, '_, A>, state: &Windows<A>) -> Option<Millis> {
    last(state, definition(call).0).map(due)
}

/// The last millisecond of the open batch.
fn last<A>(state: &Windows<A>, span: Millis) -> Option<Millis> {
    state.panes.first().map(|pane| window(pane, Some(span)).last())
}

/// Emits the open batch, if there is one: with a span its time is over, without one it is full and ends with its latest event.
fn close<A: Aggregate>(call: &mut Call<'_, '_, '_, A>, state: &mut Windows<A>, span: Option<Millis>) -> Result<()> {
    let Some(mut pane) = state.panes.remove(0) else { return Ok(()) };
    let window = window(&pane, span);
    pane.content.take().map_or(Ok(()), |content| call.finish(content, window))
}

fn window<A>(pane: &Pane<A>, span: Option<Millis>) -> Window {
    Window { start: pane.start, end: span.map_or(pane.end, |span| pane.start.saturating_add(span)) }
}

/// The span and the count of the definition at hand, which may be an earlier one.
fn definition<A: Aggregate>(call: &Call<'_, '_, '_, A>) -> (Millis, u64) {
    match call.spec.kind {
        Kind::Batch { span, count } => (span, count),
        _ => (0, 0),
    }
}
