//! Top-N: the best rows of a key, and what changes among them with every row that comes, goes or is replaced.
//!
//! It has no timer and no time: a ranking per window is this in the state of a window, and an endless one grows no further than
//! [`Top::keep`] says.

use std::borrow::Borrow;
use std::cmp::Ordering;

use crate::change::Change;
use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;
use sangam_protocol::msgpack::Reader;

/// How many rows are the best, by what order, and how many are kept behind them.
///
/// ```
/// use sangam_sdk::top::Top;
///
/// // The three largest; of equal ones the first that came.
/// let largest = Top::new(3, |a: &u64, b| b.cmp(a));
/// // The same, with all others kept so that one can move up when one of the three is retracted.
/// let with_retraction = Top::new(3, |a: &u64, b| b.cmp(a)).keep(usize::MAX);
/// # let _ = (largest, with_retraction);
/// ```
#[derive(Debug)]
pub struct Top<T> {
    n: usize,
    kept: usize,
    order: fn(&T, &T) -> Ordering,
}

impl<T> Clone for Top<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Top<T> {}

impl<T> Top<T> {
    /// The first `n` rows by `order`, and no others: enough where rows only ever come.
    pub const fn new(n: usize, order: fn(&T, &T) -> Ordering) -> Self {
        Top { n, kept: n, order }
    }

    /// The best of these rows, best first: for rows that are all at hand. Equal ones keep their order.
    ///
    /// ```
    /// use sangam_sdk::top::Top;
    ///
    /// assert_eq!(Top::new(2, |a: &i64, b| a.cmp(b)).best(&[3, 1, 2]), [&1, &2]);
    /// ```
    pub fn best<R: Borrow<T>>(&self, rows: impl IntoIterator<Item = R>) -> Vec<R> {
        let mut rows: Vec<R> = rows.into_iter().collect();
        rows.sort_by(|a, b| (self.order)(a.borrow(), b.borrow()));
        rows.truncate(self.n);
        rows
    }

    /// Keeps up to `rows` rows, so that one can move up when one before it goes. What is beyond is forgotten, and a ranking that loses more
    /// rows than were kept behind it gets shorter.
    #[must_use]
    pub const fn keep(self, rows: usize) -> Self {
        Top { kept: if rows < self.n { self.n } else { rows }, ..self }
    }
}

/// A row and its rank, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked<T> {
    /// The rank.
    pub rank: usize,
    /// The row.
    pub row: T,
}

/// The rows of a ranking, best first: a field of an operator's state.
///
/// Each change comes in two forms. Plain: which rows enter and leave the best, the one that leaves first. Ranked: which row each rank has now, every
/// rank below the change taken back and told anew. Equal rows keep the order in which they came.
///
/// ```
/// use sangam_sdk::top::{Top, TopN};
///
/// let two = Top::new(2, |a: &i64, b| a.cmp(b));
/// let mut ranking = TopN::default();
/// let mut told = |row| ranking.insert(&two, row).iter().map(|change| format!("{}{}", change.symbol(), change.row())).collect::<Vec<_>>();
/// assert_eq!(told(12), ["+I12"]);
/// assert_eq!(told(19), ["+I19"]);
/// assert_eq!(told(11), ["-D19", "+I11"]);
/// assert_eq!(told(30), [""; 0]);
///
/// let ranked: Vec<_> = ranking.insert_ranked(&two, 10).iter().map(|change| format!("{}{}#{}", change.symbol(), change.row().row, change.row().rank)).collect();
/// assert_eq!(ranked, ["-U11#1", "+U10#1", "-U12#2", "+U11#2"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TopN<T> {
    rows: Vec<T>,
}

impl<T: Clone + PartialEq> TopN<T> {
    /// Adds a row.
    pub fn insert(&mut self, top: &Top<T>, row: T) -> Vec<Change<T>> {
        let step = self.come(top, row);
        self.told(top, step, Step::plain)
    }

    /// Adds a row; tells ranks.
    pub fn insert_ranked(&mut self, top: &Top<T>, row: T) -> Vec<Change<Ranked<T>>> {
        let step = self.come(top, row);
        self.told(top, step, Step::ranked)
    }

    /// Takes a row back: the first that equals `row`. One that is not kept changes nothing.
    pub fn retract(&mut self, top: &Top<T>, row: &T) -> Vec<Change<T>> {
        let step = self.go(|kept| kept == row);
        self.told(top, step, Step::plain)
    }

    /// Takes a row back; tells ranks.
    pub fn retract_ranked(&mut self, top: &Top<T>, row: &T) -> Vec<Change<Ranked<T>>> {
        let step = self.go(|kept| kept == row);
        self.told(top, step, Step::ranked)
    }

    /// Puts a row in the place of the one that `same` recognises, say by its id; adds it where there is none. A row that is replaced
    /// stands behind rows that are equal to it from then on.
    pub fn update(&mut self, top: &Top<T>, row: T, same: impl Fn(&T) -> bool) -> Vec<Change<T>> {
        let step = self.replace(top, row, same);
        self.told(top, step, Step::plain)
    }

    /// Puts a row in the place of another; tells ranks.
    pub fn update_ranked(&mut self, top: &Top<T>, row: T, same: impl Fn(&T) -> bool) -> Vec<Change<Ranked<T>>> {
        let step = self.replace(top, row, same);
        self.told(top, step, Step::ranked)
    }

    fn told<C>(&mut self, top: &Top<T>, step: Step<T>, tell: fn(&Step<T>, &[T], usize) -> Vec<C>) -> Vec<C> {
        let changes = tell(&step, &self.rows, top.n);
        self.rows.truncate(top.kept);
        changes
    }

    fn come(&mut self, top: &Top<T>, row: T) -> Step<T> {
        let place = self.rows.partition_point(|kept| (top.order)(kept, &row).is_le());
        if place >= top.kept {
            return Step { gone: None, came: None };
        }
        self.rows.insert(place, row);
        Step { gone: None, came: Some(place) }
    }

    fn go(&mut self, same: impl Fn(&T) -> bool) -> Step<T> {
        let gone = self.rows.iter().position(same).map(|place| (place, self.rows.remove(place)));
        Step { gone, came: None }
    }

    fn replace(&mut self, top: &Top<T>, row: T, same: impl Fn(&T) -> bool) -> Step<T> {
        let Step { gone, .. } = self.go(same);
        let Step { came, .. } = self.come(top, row);
        Step { gone, came }
    }
}

impl<T> TopN<T> {
    /// The rows that are kept, best first: the best and those behind them.
    pub fn rows(&self) -> &[T] {
        &self.rows
    }

    /// Whether no row is kept.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets all rows without telling; returns them, best first.
    pub fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.rows)
    }
}

/// One change to the rows: the row that went and where it stood, then where another came in.
struct Step<T> {
    gone: Option<(usize, T)>,
    came: Option<usize>,
}

impl<T: Clone + PartialEq> Step<T> {
    /// The row at `i` before the step; `rows` is how they stand after it.
    fn before<'r>(&'r self, rows: &'r [T], i: usize) -> Option<&'r T> {
        let i = match &self.gone {
            Some((place, row)) if i == *place => return Some(row),
            Some((place, _)) if i > *place => i - 1,
            _ => i,
        };
        rows.get(if self.came.is_some_and(|place| i >= place) { i + 1 } else { i })
    }

    /// What entered and left the first `n`.
    fn plain(&self, rows: &[T], n: usize) -> Vec<Change<T>> {
        let gone = self.gone.as_ref().filter(|(place, _)| *place < n).map(|(_, row)| row);
        let came = self.came.filter(|place| *place < n).and_then(|place| rows.get(place));
        if let (Some(gone), Some(came)) = (gone, came) {
            let changed = gone != came;
            return if changed { vec![Change::UpdateBefore(gone.clone()), Change::UpdateAfter(came.clone())] } else { Vec::new() };
        }
        let last = n.checked_sub(1);
        let pushed_out = came.and(last).and_then(|last| self.before(rows, last));
        let moved_up = gone.and(last).and_then(|last| rows.get(last));
        let left = gone.or(pushed_out).cloned().map(Change::Delete);
        let entered = came.or(moved_up).cloned().map(Change::Insert);
        left.into_iter().chain(entered).collect()
    }

    /// What stands at each of the first `n` ranks now, where it is another row than before.
    fn ranked(&self, rows: &[T], n: usize) -> Vec<Change<Ranked<T>>> {
        let mut changes = Vec::new();
        let first = self.gone.as_ref().map(|(place, _)| *place).into_iter().chain(self.came).min();
        // Nothing moves behind the place where the row went or came, whichever is lower, unless only one of the two happened.
        let end = match (&self.gone, self.came) {
            (Some((gone, _)), Some(came)) => (*gone).max(came) + 1,
            _ => rows.len() + 1,
        };
        for i in first.unwrap_or(n)..end.min(n) {
            let ranked = |row: &T| Ranked { rank: i + 1, row: row.clone() };
            match (self.before(rows, i), rows.get(i)) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => {
                    changes.extend([Change::UpdateBefore(ranked(before)), Change::UpdateAfter(ranked(after))]);
                }
                (None, Some(after)) => changes.push(Change::Insert(ranked(after))),
                (Some(before), None) => changes.push(Change::Delete(ranked(before))),
                (None, None) => {}
            }
        }
        changes
    }
}

// === as a field of a state ===

impl<T> Default for TopN<T> {
    fn default() -> Self {
        TopN { rows: Vec::new() }
    }
}

impl<'a, T: Field<'a>> Field<'a> for TopN<T> {
    const KIND: &'static str = "array";
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Vec::decode(reader).map(|rows| TopN { rows })
    }
}

impl<T: Encode> Encode for TopN<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.rows.encode(out);
    }
}
