//! Joins with a table as it stands: a stream with a table, and a table with a table.
//!
//! They go by the order of arrival and not by time, as Kafka Streams' tables do; for the table as it was at a time there is
//! [`AsOfJoin`](super::AsOfJoin).

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use super::{Joined, Kind, stored};
use crate::Context;
use crate::emit::Output;
use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;

/// The row of a table for one key: a field of an operator's state. Only the stream's rows emit.
///
/// ```
/// use sangam_sdk::join::{Kind, Table};
/// use sangam_sdk::Context;
///
/// let mut names = Table::default();
/// let ctx = Context::at(5);
/// assert_eq!(names.join(Kind::Inner, 7, &ctx), None);
/// names.set(Some("ann".to_owned()));
/// assert_eq!(names.join(Kind::Inner, 7, &ctx).and_then(|joined| joined.pair()), Some((7, "ann".to_owned())));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table<R> {
    row: Option<R>,
}

stored!(Table<R> { row });

impl<R> Table<R> {
    /// Sets the row; `None`, a tombstone, deletes it.
    pub fn set(&mut self, row: Option<R>) {
        self.row = row;
    }

    /// The row.
    pub fn get(&self) -> Option<&R> {
        self.row.as_ref()
    }

    /// Joins a row of the stream with the row of the table; `Kind::Left` and `Kind::Full` let a row pass for which the table has none.
    /// The result has the time of the stream's row.
    pub fn join<L>(&self, kind: Kind, left: L, ctx: &Context<'_>) -> Option<Joined<L, R>>
    where
        R: Clone,
    {
        (self.row.is_some() || kind.left()).then(|| Joined { left: Some(left), right: self.row.clone(), time: ctx.time() })
    }
}

/// A row and its time.
#[derive(Clone, Debug, PartialEq)]
struct Row<T> {
    time: Millis,
    row: T,
}

impl<'a, T: Field<'a>> Field<'a> for Row<T> {
    const KIND: &'static str = "array";
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        crate::shape::pair(reader)?;
        Ok(Row { time: reader.i64()?, row: T::decode(reader)? })
    }
}

impl<T: Encode> Encode for Row<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, 2);
        write::i64(out, self.time);
        self.row.encode(out);
    }
}

/// What a change of one of two joined tables does to the table that their join is.
#[derive(Clone, Debug, PartialEq)]
pub enum TableChange<L, R> {
    /// The joined row is there, new or changed.
    Set(Joined<L, R>),
    /// The joined row was there and is gone, as of this time.
    Delete(Millis),
}

impl<L, R> TableChange<L, R> {
    /// The change as an output for a compacted topic: the row, or a tombstone for the key at hand.
    pub fn output<E>(self, event: impl FnOnce(Option<L>, Option<R>) -> E) -> Output<E> {
        match self {
            TableChange::Set(joined) => joined.output(event),
            TableChange::Delete(time) => Output::tombstone().at(time),
        }
    }
}

/// The rows of two tables for one key: a field of an operator's state. A change of either side emits.
///
/// A result has the later time of the change and of the other side's row. A tombstone is emitted once, and only for a row that was there.
///
/// ```
/// use sangam_sdk::join::{Kind, TableChange, TableJoin};
/// use sangam_sdk::Context;
///
/// let mut tables = TableJoin::default();
/// assert_eq!(tables.left(Kind::Inner, Some(1), &Context::at(3)), None);
/// assert!(matches!(tables.right(Kind::Inner, Some("a".to_owned()), &Context::at(2)), Some(TableChange::Set(joined)) if joined.time == 3));
/// assert_eq!(tables.left(Kind::Inner, None, &Context::at(7)), Some(TableChange::Delete(7)));
/// assert_eq!(tables.left(Kind::Inner, None, &Context::at(8)), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TableJoin<L, R> {
    left: Option<Row<L>>,
    right: Option<Row<R>>,
}

stored!(TableJoin<L, R> { left, right });

impl<L: Clone, R: Clone> TableJoin<L, R> {
    /// Sets the left row; `None`, a tombstone, deletes it.
    pub fn left(&mut self, kind: Kind, row: Option<L>, ctx: &Context<'_>) -> Option<TableChange<L, R>> {
        let was = self.stands(kind);
        self.left = row.map(|row| Row { time: ctx.time(), row });
        let time = self.right.as_ref().map_or(ctx.time(), |right| right.time.max(ctx.time()));
        self.change(kind, was, time)
    }

    /// Sets the right row; `None`, a tombstone, deletes it.
    pub fn right(&mut self, kind: Kind, row: Option<R>, ctx: &Context<'_>) -> Option<TableChange<L, R>> {
        let was = self.stands(kind);
        self.right = row.map(|row| Row { time: ctx.time(), row });
        let time = self.left.as_ref().map_or(ctx.time(), |left| left.time.max(ctx.time()));
        self.change(kind, was, time)
    }

    fn change(&self, kind: Kind, was: bool, time: Millis) -> Option<TableChange<L, R>> {
        if self.stands(kind) {
            let (left, right) = (self.left.as_ref(), self.right.as_ref());
            return Some(TableChange::Set(Joined {
                left: left.map(|left| left.row.clone()),
                right: right.map(|right| right.row.clone()),
                time,
            }));
        }
        was.then_some(TableChange::Delete(time))
    }
}

impl<L, R> TableJoin<L, R> {
    /// Whether neither table has a row.
    pub fn is_empty(&self) -> bool {
        self.left.is_none() && self.right.is_none()
    }

    /// Whether the joined table has a row.
    fn stands(&self, kind: Kind) -> bool {
        match (&self.left, &self.right) {
            (Some(_), Some(_)) => true,
            (Some(_), None) => kind.left(),
            (None, Some(_)) => kind.right(),
            (None, None) => false,
        }
    }
}
