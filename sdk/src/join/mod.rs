//! Joins: rows of two streams, or of a stream and a table, that belong together by key and time.
//!
//! A join is a field of an operator's state, with a method per side and one for its timer. It knows no stream: which event is left and
//! which is right, the operator says; what becomes of a pair, the operator says too.
//!
//! | | a row is matched by | emits | needs |
//! |---|---|---|---|
//! | [`IntervalJoin`] | rows of the other side that are near in time | at once, the unmatched when no match can come | [`Interval`] |
//! | [`WindowJoin`] | rows of the other side in the same window | when the window closes | [`Grid`] |
//! | [`AsOfJoin`] | the version of a table at the row's time | when the watermark has passed the row | [`AsOf`] |
//! | [`Table`] | the table as it stands | at once | |
//! | [`TableJoin`] | the other table as it stands | at every change | [`Kind`] |
//!
//! The rules, one by one, are in `docs/semantics.md`; pictures are in `docs/joins.md`. What a join keeps travels with every batch in
//! which its key occurs, so its cost grows with the rows that the interval or the window holds per key.

mod as_of;
mod interval;
mod table;
mod timeline;
mod window;

pub use as_of::{AsOf, AsOfJoin};
pub use interval::{Interval, IntervalJoin};
pub use table::{Table, TableChange, TableJoin};
pub use window::{Grid, WindowJoin};

use sangam_protocol::Millis;

use crate::emit::Output;
use crate::field::{Encode, Field};

/// Which rows without a match are emitted too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// None.
    #[default]
    Inner,
    /// Those of the left side.
    Left,
    /// Those of the right side.
    Right,
    /// Those of both sides.
    Full,
}

impl Kind {
    /// Reads `inner`, `left`, `right`, `full` or `outer`, as a configuration spells them.
    ///
    /// ```
    /// use sangam_sdk::join::Kind;
    ///
    /// assert_eq!(Kind::named("outer"), Some(Kind::Full));
    /// assert_eq!(Kind::named("cross"), None);
    /// ```
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "inner" => Some(Kind::Inner),
            "left" => Some(Kind::Left),
            "right" => Some(Kind::Right),
            "full" | "outer" => Some(Kind::Full),
            _ => None,
        }
    }

    pub(crate) const fn left(self) -> bool {
        matches!(self, Kind::Left | Kind::Full)
    }

    pub(crate) const fn right(self) -> bool {
        matches!(self, Kind::Right | Kind::Full)
    }
}

/// What a join can keep: a number, a text, a `#[state]` or `#[event]` struct that owns what it has. Implemented for all of them.
pub trait Row: Clone + Encode + for<'a> Field<'a> {}

impl<T: Clone + Encode + for<'a> Field<'a>> Row for T {}

/// What a join emits: a pair, or a row for which there is no match.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined<L, R> {
    /// The left row; `None` where a right row has no match.
    pub left: Option<L>,
    /// The right row; `None` where a left row has no match.
    pub right: Option<R>,
    /// The result's event time.
    pub time: Millis,
}

impl<L, R> Joined<L, R> {
    /// The pair; `None` for a row without a match. An inner join has nothing but pairs.
    pub fn pair(self) -> Option<(L, R)> {
        self.left.zip(self.right)
    }

    /// An output of this time. Without it what an operator emits has the time of the event or timer at hand.
    ///
    /// ```
    /// use sangam_sdk::join::Joined;
    ///
    /// let joined = Joined { left: Some(3), right: None::<i64>, time: 1_000 };
    /// let output = joined.output(|left, right| left.unwrap_or(0) + right.unwrap_or(0));
    /// assert_eq!(output.event(), Some(&3));
    /// ```
    pub fn output<E>(self, event: impl FnOnce(Option<L>, Option<R>) -> E) -> Output<E> {
        Output::new(event(self.left, self.right)).at(self.time)
    }
}

/// A state that is written as the array of its parts, read the same way.
macro_rules! stored {
    ($name:ident<$($type:ident),+> { $($field:ident),+ }) => {
        impl<$($type),+> Default for $name<$($type),+> {
            fn default() -> Self {
                $name { $($field: Default::default()),+ }
            }
        }

        impl<'a, $($type: crate::field::Field<'a>),+> crate::field::Field<'a> for $name<$($type),+> {
            const KIND: &'static str = "array";
            const CELLS: crate::field::Cells = crate::field::Cells::None$(.or($type::CELLS.inside()))+;
            fn decode(reader: &mut sangam_protocol::msgpack::Reader<'a>) -> Result<Self, crate::wrong::Wrong> {
                let mut left = reader.array()?;
                $(let $field = crate::shape::next_or_default(reader, &mut left, stringify!($field))?;)+
                crate::shape::rest(reader, left)?;
                Ok($name { $($field),+ })
            }
        }

        impl<$($type: crate::field::Encode),+> crate::field::Encode for $name<$($type),+> {
            fn encode(&self, out: &mut Vec<u8>) {
                sangam_protocol::msgpack::write::array(out, [$(stringify!($field)),+].len());
                $(crate::field::Encode::encode(&self.$field, out);)+
            }
        }
    };
}
pub(crate) use stored;
