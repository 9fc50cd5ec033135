//! Count windows: the last so many events, every so many events, whatever their times.
//!
//! Events are gathered in parts that overlapping windows share. What has not filled a window is forgotten when the input ends.

use super::pane::Pane;
use super::store::Windows;
use super::{Aggregate, Call, Window};
use crate::Result;

/// Takes an event in; true where something is due that was not.
pub(super) fn on_event<A: Aggregate>(
    call: &mut Call<'_, '_, '_, A>,
    event: A::Event<'_>,
    state: &mut Windows<A>,
    size: u64,
    slide: u64,
) -> Result<bool> {
    let time = call.time;
    let part = gcd(size, slide);
    let number = match state.panes.last() {
        Some(pane) if pane.count < part => pane.start,
        last => {
            let number = last.map_or(0, |pane| pane.start + 1);
            let end = time.saturating_add(1);
            state.panes.push(Pane { mark: Some(time), ..Pane::new(number, end, A::default()) });
            number
        }
    };
    let index = state.panes.len().saturating_sub(1);
    let Some(pane) = state.panes.last_mut() else { return Ok(false) };
    if let Err(error) = call.gather(pane, event) {
        if pane.count == 0 {
            state.panes.remove(index);
        }
        return Err(error);
    }
    pane.count += 1;
    pane.end = pane.end.max(time.saturating_add(1));
    pane.mark = pane.mark.map(|earliest| earliest.min(time));
    let opens = index == 0 && pane.count == 1;
    let full = pane.count == part && (number as u64 + 1).is_multiple_of(slide / part);
    if full {
        let earliest = state.panes.iter().filter_map(|pane| pane.mark).min();
        let end = state.panes.iter().map(|pane| pane.end).max();
        // What the next window does not have is taken out for good, the rest is copied.
        let kept = number + (slide / part) as i64 - (size / part) as i64;
        let gone = state.panes.iter().take_while(|pane| pane.start <= kept).count();
        let rest: Vec<A> = state.panes.iter().skip(gone).filter_map(|pane| pane.content.clone()).collect();
        let parts = state.panes.list().drain(..gone).filter_map(|pane| pane.content).chain(rest);
        let all = parts.reduce(|mut all, more| {
            all.merge(call.config, more);
            all
        });
        if let (Some(all), Some(start), Some(end)) = (all, earliest, end) {
            call.finish(all, Window { start, end })?;
        }
    }
    Ok(opens)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
