//! As-of join: each row of a stream meets the version of a table that was valid at the row's time.
//!
//! It waits until the watermark has passed the row, because a version of that time may still come; it forgets versions that no row can ask
//! for any more, but never the last one: that is the table.

use sangam_protocol::Millis;

use super::timeline::Timeline;
use super::{Joined, Kind, Row, stored};
use crate::{Context, Timer};

/// Whether a row without a version is emitted, how long to wait for versions, and how long to remember them.
///
/// ```
/// use sangam_sdk::join::{AsOf, Kind};
/// use sangam_sdk::seconds;
///
/// const RATE: AsOf = AsOf::new().kind(Kind::Left).grace(seconds(10));
/// # let _ = RATE;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AsOf {
    kind: Kind,
    grace: Millis,
    history: Millis,
    timer: &'static str,
}

impl Default for AsOf {
    fn default() -> Self {
        AsOf::new()
    }
}

impl AsOf {
    /// An inner join without grace.
    pub const fn new() -> Self {
        AsOf { kind: Kind::Inner, grace: 0, history: 0, timer: "as_of" }
    }

    /// `Kind::Left` or `Kind::Full` emits rows for which the table had no version. Versions without a row are never emitted.
    #[must_use]
    pub const fn kind(self, kind: Kind) -> Self {
        AsOf { kind, ..self }
    }

    /// Joins a row only when the watermark is `grace` milliseconds past it, so that versions may come that much late.
    #[must_use]
    pub const fn grace(self, grace: Millis) -> Self {
        AsOf { grace, ..self }
    }

    /// Keeps versions `history` milliseconds longer than rows that are not late need them, so that late rows find theirs too.
    #[must_use]
    pub const fn history(self, history: Millis) -> Self {
        AsOf { history, ..self }
    }

    /// The name of its timer, `as_of` by default: for a second one in the same operator.
    #[must_use]
    pub const fn timer(self, timer: &'static str) -> Self {
        AsOf { timer, ..self }
    }

    /// How long after its end a version is kept.
    fn kept(&self) -> Millis {
        self.grace.saturating_add(self.history)
    }
}

/// The versions of a table and the rows that wait for theirs: a field of an operator's state.
///
/// One timer per key. A result has the time of its row. No row is late: one that comes after its time joins at once, with the version of
/// its time as far as that is still known. A table's key goes when it is deleted; one that is never deleted stays.
///
/// ```
/// use sangam_sdk::join::{AsOf, AsOfJoin};
/// use sangam_sdk::test::Harness;
/// use sangam_sdk::*;
///
/// #[event] struct Rate { currency: String, rate: Option<f64> }
/// #[event] struct Order { currency: String, amount: f64 }
/// #[event(tag = "kind")] enum In { Rate(Rate), Order(Order) }
/// #[event] struct Priced { euros: f64 }
///
/// #[state] struct Rates { join: AsOfJoin<f64, f64> }
/// #[config] struct Convert {}
/// const RATE: AsOf = AsOf::new();
///
/// #[operator(key = "currency")]
/// impl Convert {
///     fn on_event(&self, event: In, rates: &mut Rates, ctx: &mut Context) -> Vec<Output<Priced>> {
///         match event {
///             In::Rate(rate) => { rates.join.right(&RATE, rate.rate, ctx); vec![] }
///             In::Order(order) => rates.join.left(&RATE, order.amount, ctx).into_iter().map(|joined| joined.output(priced)).collect(),
///         }
///     }
///     fn on_timer(&self, timer: Timer, rates: &mut Rates, ctx: &mut Context) -> Vec<Output<Priced>> {
///         rates.join.on_timer(&RATE, timer, ctx).into_iter().map(|joined| joined.output(priced)).collect()
///     }
/// }
/// fn priced(amount: Option<f64>, rate: Option<f64>) -> Priced {
///     Priced { euros: amount.unwrap_or(0.0) * rate.unwrap_or(1.0) }
/// }
///
/// let rate = |rate| In::Rate(Rate { currency: "USD".into(), rate });
/// let mut h = Harness::<Convert>::new();
/// h.send(1, rate(Some(0.5))).send(9, rate(Some(0.25)));
/// h.send(5, In::Order(Order { currency: "USD".into(), amount: 8.0 }));
/// assert_eq!(h.take::<Priced>("out"), []);
/// h.advance(5);
/// assert_eq!(h.take::<Priced>("out"), [Priced { euros: 4.0 }]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AsOfJoin<L, R> {
    waiting: Timeline<L>,
    versions: Timeline<Option<R>>,
}

stored!(AsOfJoin<L, R> { waiting, versions });

impl<L: Row, R: Row> AsOfJoin<L, R> {
    /// Takes a row of the stream; returns its result if its time has passed already.
    pub fn left(&mut self, as_of: &AsOf, row: L, ctx: &mut Context<'_>) -> Option<Joined<L, R>> {
        let time = ctx.time();
        if time.saturating_add(as_of.grace) <= ctx.watermark() {
            return self.join(as_of, time, row);
        }
        let pending = self.next(as_of);
        self.waiting.insert(time, &row, false);
        self.arm(as_of, pending, ctx);
        None
    }

    /// Takes a version of the table, valid from the event's time on; `None` says that the key is deleted from then on. A second version of
    /// the same time replaces the first; one that is older than all that may still be asked for is forgotten at once.
    pub fn right(&mut self, as_of: &AsOf, version: Option<R>, ctx: &mut Context<'_>) {
        let pending = self.next(as_of);
        self.versions.put(ctx.time(), &version);
        self.forget(ctx.watermark().saturating_sub(as_of.kept()));
        self.arm(as_of, pending, ctx);
    }

    /// Joins the rows whose time has come, in order of time, and forgets versions. A timer of another name is none of its business.
    pub fn on_timer(&mut self, as_of: &AsOf, timer: Timer<'_>, ctx: &mut Context<'_>) -> Vec<Joined<L, R>> {
        let mut out = Vec::new();
        if timer.name() != as_of.timer {
            return out;
        }
        let now = timer.at();
        let ready = self.waiting.count(|time| time.saturating_add(as_of.grace) <= now);
        for i in 0..ready {
            let time = self.waiting.time(i).unwrap_or(now);
            out.extend(self.join(as_of, time, self.waiting.row(i)));
        }
        self.waiting.forget(ready);
        self.forget(now.saturating_sub(as_of.kept()));
        // The timer has fired: nothing is pending.
        self.arm(as_of, None, ctx);
        out
    }

    /// The version of the table that is valid at `time`, as far as it is known.
    pub fn version(&self, time: Millis) -> Option<R> {
        self.versions.until(time).checked_sub(1).and_then(|i| self.versions.row(i))
    }

    fn join(&self, as_of: &AsOf, time: Millis, row: L) -> Option<Joined<L, R>> {
        let right = self.version(time);
        (right.is_some() || as_of.kind.left()).then_some(Joined { left: Some(row), right, time })
    }
}

impl<L, R> AsOfJoin<L, R> {
    /// Rows that wait, and versions that are kept.
    pub fn len(&self) -> (usize, usize) {
        (self.waiting.len(), self.versions.len())
    }

    /// Whether there is neither a row nor a version.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Forgets versions that are replaced at `passed` or before. A deletion that has nothing before it needs no memory.
    fn forget(&mut self, passed: Millis) {
        let replaced = self.versions.count(|time| time <= passed).saturating_sub(1);
        self.versions.forget(replaced);
        if self.deleted().is_some_and(|first| first <= passed) {
            self.versions.forget(1);
        }
    }

    /// Time of the first version, if that is a deletion.
    fn deleted(&self) -> Option<Millis> {
        self.versions.first().filter(|_| self.versions.is_nil(0))
    }

    /// When a row joins or a version may go.
    fn next(&self, as_of: &AsOf) -> Option<Millis> {
        let joins = self.waiting.first().map(|first| first.saturating_add(as_of.grace));
        let forgets = self.versions.time(1).into_iter().chain(self.deleted()).min().map(|end| end.saturating_add(as_of.kept()));
        joins.into_iter().chain(forgets).min()
    }

    fn arm(&self, as_of: &AsOf, pending: Option<Millis>, ctx: &mut Context<'_>) {
        match (self.next(as_of), pending) {
            (next, pending) if next == pending => {}
            (Some(at), _) => ctx.wake(as_of.timer, at),
            // A version that came late has made the only reason to wake up go away.
            (None, _) => ctx.cancel(as_of.timer),
        }
    }
}
