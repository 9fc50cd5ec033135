//! Interval join: a left row meets the right rows whose time lies in an interval around its own.
//!
//! It keeps a row only as long as a match may come, and it does not wait with a pair: only what has *no* match waits for the watermark.

use sangam_protocol::Millis;

use super::timeline::Timeline;
use super::{Joined, Kind, Row, stored};
use crate::{Context, Result, Timer, late};

/// What matches, and how long to wait: a left row and a right row are a pair where
/// `left.time + lower <= right.time <= left.time + upper`.
///
/// Both bounds are inclusive unless said otherwise. Bounds that leave no time between them match nothing.
///
/// ```
/// use sangam_sdk::join::{Interval, Kind};
/// use sangam_sdk::{minutes, seconds};
///
/// // A payment up to ten minutes after its order; an order without one is emitted too.
/// const PAID: Interval = Interval::between(0, minutes(10)).kind(Kind::Left);
/// // Kafka Streams' JoinWindows.ofTimeDifferenceAndGrace(5 s, 1 s).
/// const NEAR: Interval = Interval::around(seconds(5)).grace(seconds(1)).late_pairs();
/// # let _ = (PAID, NEAR);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    lower: Millis,
    upper: Millis,
    kind: Kind,
    grace: Millis,
    late_pairs: bool,
    timer: &'static str,
}

impl Interval {
    /// Right rows from `lower` to `upper` milliseconds after the left row, both included; negative is before it.
    pub const fn between(lower: Millis, upper: Millis) -> Self {
        Interval { lower, upper, kind: Kind::Inner, grace: 0, late_pairs: false, timer: "interval" }
    }

    /// Right rows at most `difference` milliseconds from the left row.
    pub const fn around(difference: Millis) -> Self {
        Interval::between(difference.saturating_neg(), difference)
    }

    /// A right row exactly at the lower bound is no match.
    #[must_use]
    pub const fn lower_exclusive(self) -> Self {
        Interval { lower: self.lower.saturating_add(1), ..self }
    }

    /// A right row exactly at the upper bound is no match.
    #[must_use]
    pub const fn upper_exclusive(self) -> Self {
        Interval { upper: self.upper.saturating_sub(1), ..self }
    }

    /// Which rows are emitted although nothing matches them.
    #[must_use]
    pub const fn kind(self, kind: Kind) -> Self {
        Interval { kind, ..self }
    }

    /// Takes rows up to `grace` milliseconds behind the watermark, keeps all rows that much longer, and holds the unmatched ones back as
    /// long.
    #[must_use]
    pub const fn grace(self, grace: Millis) -> Self {
        Interval { grace, ..self }
    }

    /// Takes a row that is behind the watermark as long as anything is kept that it could match, as Kafka Streams does; each row is kept
    /// for the whole length of the interval. A late row may then still match one that has been emitted as unmatched.
    #[must_use]
    pub const fn late_pairs(self) -> Self {
        Interval { late_pairs: true, ..self }
    }

    /// The name of its timer, `interval` by default: for a second one in the same operator.
    #[must_use]
    pub const fn timer(self, timer: &'static str) -> Self {
        Interval { timer, ..self }
    }

    fn left(&self) -> Side {
        Side::new(self, self.lower, self.upper, self.kind.left())
    }

    fn right(&self) -> Side {
        Side::new(self, self.upper.saturating_neg(), self.lower.saturating_neg(), self.kind.right())
    }
}

/// The interval as one side sees it: its rows match those of the other side from `lower` to `upper` after their own time.
#[derive(Clone, Copy)]
struct Side {
    lower: Millis,
    upper: Millis,
    /// Whether an unmatched row is emitted.
    outer: bool,
    /// How long after its time a row is kept.
    kept: Millis,
    /// How long after its time a row without a match can have none any more.
    decided: Millis,
}

impl Side {
    fn new(interval: &Interval, lower: Millis, upper: Millis, outer: bool) -> Self {
        let length = if interval.late_pairs { upper.saturating_sub(lower) } else { 0 };
        let kept = upper.max(length).max(0).saturating_add(interval.grace);
        Side { lower, upper, outer, kept, decided: upper.saturating_add(interval.grace) }
    }

    /// When something happens next to a row of this side: it is emitted as unmatched, or it goes.
    fn next<T>(&self, rows: &Timeline<T>) -> Option<Millis> {
        let goes = rows.first()?.saturating_add(self.kept);
        if !self.outer || self.decided >= self.kept {
            return Some(goes);
        }
        Some(rows.first_unmarked().map_or(goes, |waits| goes.min(waits.saturating_add(self.decided))))
    }

    /// Hands out the rows of this side that are unmatched for good, and lets go of those that nothing can match any more.
    fn expire<T: Row>(&self, rows: &mut Timeline<T>, now: Millis, mut unmatched: impl FnMut(Millis, T)) {
        if self.outer {
            for i in 0..rows.count(|time| time.saturating_add(self.decided) <= now) {
                if rows.mark(i) {
                    unmatched(rows.time(i).unwrap_or(now), rows.row(i));
                }
            }
        }
        rows.forget(rows.count(|time| time.saturating_add(self.kept) <= now));
    }
}

/// The rows of both sides that may still find a match: a field of an operator's state.
///
/// One timer per key. Results have the later of both times; a row without a match has its own time, which by then is behind the
/// watermark: where a window follows, send it `at(timer.at())`.
///
/// ```
/// use sangam_sdk::join::{Interval, IntervalJoin, Kind};
/// use sangam_sdk::test::Harness;
/// use sangam_sdk::*;
///
/// #[event] struct Order { id: String, total: f64 }
/// #[event] struct Payment { id: String, amount: f64 }
/// #[event(tag = "kind")] enum In { Order(Order), Payment(Payment) }
/// #[event] struct Paid { total: f64, amount: Option<f64> }
///
/// #[state] struct Open { join: IntervalJoin<f64, f64> }
/// #[config] struct Match {}
/// const TEN_MINUTES: Interval = Interval::between(0, minutes(10)).kind(Kind::Left);
///
/// #[operator(key = "id")]
/// impl Match {
///     fn on_event(&self, event: In, open: &mut Open, ctx: &mut Context) -> Result<Vec<Output<Paid>>> {
///         let joined = match event {
///             In::Order(order) => open.join.left(&TEN_MINUTES, order.total, ctx)?,
///             In::Payment(payment) => open.join.right(&TEN_MINUTES, payment.amount, ctx)?,
///         };
///         Ok(joined.into_iter().map(|joined| joined.output(paid)).collect())
///     }
///     fn on_timer(&self, timer: Timer, open: &mut Open, ctx: &mut Context) -> Vec<Output<Paid>> {
///         let unpaid = open.join.on_timer(&TEN_MINUTES, timer, ctx);
///         unpaid.into_iter().map(|joined| joined.output(paid)).collect()
///     }
/// }
/// fn paid(total: Option<f64>, amount: Option<f64>) -> Paid {
///     Paid { total: total.unwrap_or_default(), amount }
/// }
///
/// let mut h = Harness::<Match>::new();
/// let order = |id: &str| In::Order(Order { id: id.into(), total: 9.0 });
/// h.send(0, order("a")).send(0, order("b"));
/// h.send(minutes(10), In::Payment(Payment { id: "a".into(), amount: 9.0 }));
/// h.end();
/// assert_eq!(h.take::<Paid>("out"), [Paid { total: 9.0, amount: Some(9.0) }, Paid { total: 9.0, amount: None }]);
/// assert_eq!(h.keys(), Vec::<String>::new());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalJoin<L, R> {
    // A row is marked when it has a match or has been emitted without one.
    left: Timeline<L>,
    right: Timeline<R>,
}

stored!(IntervalJoin<L, R> { left, right });

impl<L: Row, R: Row> IntervalJoin<L, R> {
    /// Takes a left row; returns its pairs, in order of the right rows' times.
    ///
    /// # Errors
    /// Late: the row is behind the watermark by more than the grace.
    pub fn left(&mut self, interval: &Interval, row: L, ctx: &mut Context<'_>) -> Result<Vec<Joined<L, R>>> {
        let pending = self.next(interval);
        let found = meet(interval, (interval.left(), interval.right()), &mut self.left, &mut self.right, &row, ctx)?;
        self.arm(interval, pending, ctx);
        Ok(found.into_iter().map(|(time, right)| Joined { left: Some(row.clone()), right, time }).collect())
    }

    /// Takes a right row; returns its pairs, in order of the left rows' times.
    ///
    /// # Errors
    /// Late: the row is behind the watermark by more than the grace.
    pub fn right(&mut self, interval: &Interval, row: R, ctx: &mut Context<'_>) -> Result<Vec<Joined<L, R>>> {
        let pending = self.next(interval);
        let found = meet(interval, (interval.right(), interval.left()), &mut self.right, &mut self.left, &row, ctx)?;
        self.arm(interval, pending, ctx);
        Ok(found.into_iter().map(|(time, left)| Joined { left, right: Some(row.clone()), time }).collect())
    }

    /// Lets go what nothing can match any more; returns the rows that have no match and are to be emitted without one. A timer of another
    /// name is none of its business.
    pub fn on_timer(&mut self, interval: &Interval, timer: Timer<'_>, ctx: &mut Context<'_>) -> Vec<Joined<L, R>> {
        let mut out = Vec::new();
        if timer.name() != interval.timer {
            return out;
        }
        let now = timer.at();
        interval.left().expire(&mut self.left, now, |time, row| out.push(Joined { left: Some(row), right: None, time }));
        interval.right().expire(&mut self.right, now, |time, row| out.push(Joined { left: None, right: Some(row), time }));
        // The timer has fired: nothing is pending.
        self.arm(interval, None, ctx);
        out
    }
}

impl<L, R> IntervalJoin<L, R> {
    /// Rows that are kept, left and right.
    pub fn len(&self) -> (usize, usize) {
        (self.left.len(), self.right.len())
    }

    /// Whether no row is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Times of the rows that are kept, left and right.
    pub fn times(&self) -> (Vec<Millis>, Vec<Millis>) {
        (self.left.times(), self.right.times())
    }

    fn next(&self, interval: &Interval) -> Option<Millis> {
        let (left, right) = (interval.left().next(&self.left), interval.right().next(&self.right));
        left.into_iter().chain(right).min()
    }

    fn arm(&self, interval: &Interval, pending: Option<Millis>, ctx: &mut Context<'_>) {
        let next = self.next(interval);
        if let Some(at) = next
            && next != pending
        {
            ctx.wake(interval.timer, at);
        }
    }
}

/// Takes a row of one side: what it matches on the other, `None` where it is sure to match nothing and that counts.
fn meet<M: Row, T: Row>(
    interval: &Interval,
    (side, other): (Side, Side),
    mine: &mut Timeline<M>,
    theirs: &mut Timeline<T>,
    row: &M,
    ctx: &Context<'_>,
) -> Result<Vec<(Millis, Option<T>)>> {
    let (time, watermark) = (ctx.time(), ctx.watermark());
    // With late pairs the oldest row that the other side may still keep must be too young as well.
    let too_late = time < watermark.saturating_sub(interval.grace)
        && (!interval.late_pairs || time.saturating_add(side.upper) <= watermark.saturating_sub(other.kept));
    if too_late {
        return Err(late("the watermark has passed it: what it could match may be gone"));
    }
    let mut found = Vec::new();
    for i in theirs.between(time.saturating_add(side.lower), time.saturating_add(side.upper)) {
        theirs.mark(i);
        found.push((theirs.time(i).unwrap_or(time).max(time), Some(theirs.row(i))));
    }
    let mut done = !found.is_empty();
    if !done && time.saturating_add(side.decided) <= watermark {
        done = true;
        if side.outer {
            found.push((time, None));
        }
    }
    if time.saturating_add(side.kept) > watermark {
        mine.insert(time, row, done);
    }
    Ok(found)
}
