//! Window join: a left row meets every right row of the same window, when the window closes.
//!
//! A row is kept once, however many windows it is in. It does not fire early and never again: what comes after the close is late.

use sangam_protocol::Millis;

use super::timeline::Timeline;
use super::{Joined, Kind, Row, stored};
use crate::{Context, Result, Timer, Window, late};

/// Which windows there are, which rows are emitted without a match, and how long a window waits.
///
/// ```
/// use sangam_sdk::join::{Grid, Kind};
/// use sangam_sdk::{hours, minutes};
///
/// const HOURLY: Grid = Grid::tumbling(hours(1)).kind(Kind::Full);
/// // Windows of an hour, a new one every ten minutes.
/// const OFTEN: Grid = Grid::hopping(hours(1), minutes(10));
/// # let _ = (HOURLY, OFTEN);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    size: Millis,
    slide: Millis,
    offset: Millis,
    kind: Kind,
    grace: Millis,
    timer: &'static str,
}

impl Grid {
    /// Windows of `size` milliseconds, one after the other, from multiples of their size.
    pub const fn tumbling(size: Millis) -> Self {
        Grid::hopping(size, size)
    }

    /// Windows of `size` milliseconds, one starting every `slide` milliseconds. With a slide longer than the size a row may be in none.
    pub const fn hopping(size: Millis, slide: Millis) -> Self {
        let (size, slide) = (if size < 1 { 1 } else { size }, if slide < 1 { 1 } else { slide });
        Grid { size, slide, offset: 0, kind: Kind::Inner, grace: 0, timer: "window_join" }
    }

    /// Moves the start of the windows.
    #[must_use]
    pub const fn offset(self, offset: Millis) -> Self {
        Grid { offset, ..self }
    }

    /// Which rows are emitted although their window has nothing on the other side.
    #[must_use]
    pub const fn kind(self, kind: Kind) -> Self {
        Grid { kind, ..self }
    }

    /// Closes each window `grace` milliseconds after its end. The time of its results stays the same.
    #[must_use]
    pub const fn grace(self, grace: Millis) -> Self {
        Grid { grace, ..self }
    }

    /// The name of its timer, `window_join` by default: for a second one in the same operator.
    #[must_use]
    pub const fn timer(self, timer: &'static str) -> Self {
        Grid { timer, ..self }
    }

    /// The last window that starts at or before `time`; with a slide longer than the size, `time` may be behind its end.
    fn last(&self, time: Millis) -> Window {
        let start = time.saturating_sub(time.wrapping_sub(self.offset).rem_euclid(self.slide));
        Window { start, end: start.saturating_add(self.size) }
    }

    /// When the watermark closes a window.
    fn close(&self, window: Window) -> Millis {
        window.last().saturating_add(self.grace)
    }

    /// When the first window with `time` in it closes that is still open at `now`.
    fn next_close(&self, time: Millis, now: Millis) -> Millis {
        let last = self.last(time);
        let before = last.end.saturating_sub(1).saturating_sub(time) / self.slide;
        let first = self.close(last).saturating_sub(before.saturating_mul(self.slide));
        if first > now {
            return first;
        }
        let over = now.saturating_sub(first) / self.slide + 1;
        first.saturating_add(over.saturating_mul(self.slide))
    }

    /// The window that closes at `now`, if there is one.
    fn closing(&self, now: Millis) -> Option<Window> {
        let start = now.saturating_sub(self.grace).saturating_sub(self.size - 1);
        let window = Window { start, end: start.saturating_add(self.size) };
        (start.wrapping_sub(self.offset).rem_euclid(self.slide) == 0).then_some(window)
    }
}

/// The rows of the open windows: a field of an operator's state.
///
/// One timer per key. Results have the time of the window's last millisecond.
///
/// ```
/// use sangam_sdk::join::{Grid, WindowJoin};
/// use sangam_sdk::test::Harness;
/// use sangam_sdk::*;
///
/// #[event] struct Bid { item: String, price: i64 }
/// #[event] struct Ask { item: String, price: i64 }
/// #[event(tag = "side")] enum In { Bid(Bid), Ask(Ask) }
/// #[event] struct Both { bid: i64, ask: i64 }
///
/// #[state] struct Book { join: WindowJoin<i64, i64> }
/// #[config] struct Match {}
/// const MINUTE: Grid = Grid::tumbling(minutes(1));
///
/// #[operator(key = "item")]
/// impl Match {
///     fn on_event(&self, event: In, book: &mut Book, ctx: &mut Context) -> Result<()> {
///         match event {
///             In::Bid(bid) => book.join.left(&MINUTE, bid.price, ctx),
///             In::Ask(ask) => book.join.right(&MINUTE, ask.price, ctx),
///         }
///     }
///     fn on_timer(&self, timer: Timer, book: &mut Book, ctx: &mut Context) -> Vec<Output<Both>> {
///         let pairs = book.join.on_timer(&MINUTE, timer, ctx);
///         pairs.into_iter().map(|joined| joined.output(|bid, ask| Both { bid: bid.unwrap_or(0), ask: ask.unwrap_or(0) })).collect()
///     }
/// }
///
/// let mut h = Harness::<Match>::new();
/// h.send(1, In::Bid(Bid { item: "a".into(), price: 3 })).send(59_999, In::Ask(Ask { item: "a".into(), price: 4 }));
/// h.advance(59_999);
/// assert_eq!(h.outputs()[0].time, 59_999);
/// assert_eq!(h.take::<Both>("out"), [Both { bid: 3, ask: 4 }]);
/// assert_eq!(h.keys(), Vec::<String>::new());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WindowJoin<L, R> {
    left: Timeline<L>,
    right: Timeline<R>,
}

stored!(WindowJoin<L, R> { left, right });

impl<L: Row, R: Row> WindowJoin<L, R> {
    /// Takes a left row.
    ///
    /// # Errors
    /// Late: all its windows have closed.
    pub fn left(&mut self, grid: &Grid, row: L, ctx: &mut Context<'_>) -> Result<()> {
        let pending = self.next(grid, ctx.watermark());
        if admit(grid, ctx)? {
            self.left.insert(ctx.time(), &row, false);
            self.arm(grid, pending, ctx.watermark(), ctx);
        }
        Ok(())
    }

    /// Takes a right row.
    ///
    /// # Errors
    /// Late: all its windows have closed.
    pub fn right(&mut self, grid: &Grid, row: R, ctx: &mut Context<'_>) -> Result<()> {
        let pending = self.next(grid, ctx.watermark());
        if admit(grid, ctx)? {
            self.right.insert(ctx.time(), &row, false);
            self.arm(grid, pending, ctx.watermark(), ctx);
        }
        Ok(())
    }

    /// Closes the window that is due; returns its pairs, left rows in order, each with the right rows in order. A timer of another name is
    /// none of its business.
    pub fn on_timer(&mut self, grid: &Grid, timer: Timer<'_>, ctx: &mut Context<'_>) -> Vec<Joined<L, R>> {
        if timer.name() != grid.timer {
            return Vec::new();
        }
        let now = timer.at();
        let out = grid.closing(now).map_or_else(Vec::new, |window| self.close(grid, window));
        let over = |time| grid.close(grid.last(time)) <= now;
        self.left.forget(self.left.count(over));
        self.right.forget(self.right.count(over));
        // The timer has fired: nothing is pending.
        self.arm(grid, None, now, ctx);
        out
    }

    fn close(&self, grid: &Grid, window: Window) -> Vec<Joined<L, R>> {
        let time = window.last();
        let lefts = self.left.rows(self.left.between(window.start, time));
        let rights = self.right.rows(self.right.between(window.start, time));
        let mut out = Vec::new();
        for left in &lefts {
            out.extend(rights.iter().map(|right| Joined { left: Some(left.clone()), right: Some(right.clone()), time }));
        }
        if rights.is_empty() && grid.kind.left() {
            out.extend(lefts.into_iter().map(|left| Joined { left: Some(left), right: None, time }));
        } else if lefts.is_empty() && grid.kind.right() {
            out.extend(rights.into_iter().map(|right| Joined { left: None, right: Some(right), time }));
        }
        out
    }
}

impl<L, R> WindowJoin<L, R> {
    /// Rows that are kept, left and right.
    pub fn len(&self) -> (usize, usize) {
        (self.left.len(), self.right.len())
    }

    /// Whether no row is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    fn next(&self, grid: &Grid, now: Millis) -> Option<Millis> {
        let earliest = self.left.first().into_iter().chain(self.right.first()).min()?;
        Some(grid.next_close(earliest, now))
    }

    fn arm(&self, grid: &Grid, pending: Option<Millis>, now: Millis, ctx: &mut Context<'_>) {
        let next = self.next(grid, now);
        if let Some(at) = next
            && next != pending
        {
            ctx.wake(grid.timer, at);
        }
    }
}

/// Whether the event at hand is in a window that is still open; one in no window at all is not late, it just has nothing to do.
fn admit(grid: &Grid, ctx: &Context<'_>) -> Result<bool> {
    let last = grid.last(ctx.time());
    if ctx.time() >= last.end {
        return Ok(false);
    }
    if grid.close(last) <= ctx.watermark() {
        return Err(late("all its windows have closed"));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_window_to_close_is_the_first_open_one_around_a_time() {
        let check = |grid: Grid, time, now, expected| assert_eq!(grid.next_close(time, now), expected, "{grid:?} {time} {now}");
        check(Grid::tumbling(10), 3, i64::MIN, 9);
        check(Grid::tumbling(10).offset(5), 3, -20, 4);
        check(Grid::tumbling(10).grace(2), -1, -20, 1);
        // [-6, 4) [-3, 7) [0, 10) [3, 13)
        check(Grid::hopping(10, 3), 3, -20, 3);
        check(Grid::hopping(10, 3), 3, 3, 6);
        check(Grid::hopping(10, 3), 3, 11, 12);
        check(Grid::hopping(2, 5), 6, -20, 6);
    }
}
