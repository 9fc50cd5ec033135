//! Deduplication: of all rows with the same key the first or the last by event time, and what is taken back when that one changes.
//!
//! It emits at once and does not wait for the watermark: a row that came too early is taken back when the right one comes.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::change::Change;
use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;
use crate::{Context, Result, Timer, late, shape};

/// Which row of a key is kept, and for how long.
///
/// ```
/// use sangam_sdk::dedup::Keep;
/// use sangam_sdk::hours;
///
/// const ONCE_A_DAY: Keep = Keep::first().ttl(hours(24));
/// # let _ = ONCE_A_DAY;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    last: bool,
    ttl: Ttl,
    timer: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Ttl {
    None,
    Event(Millis),
    Processing(Millis),
}

impl Keep {
    /// The row with the smallest time; of several, the one that came first.
    pub const fn first() -> Self {
        Keep { last: false, ttl: Ttl::None, timer: "dedup" }
    }

    /// The row with the largest time; of several, the one that came last.
    pub const fn last() -> Self {
        Keep { last: true, ..Keep::first() }
    }

    /// Forgets a key when the watermark is `ttl` milliseconds past the time of its kept row: after that the key counts as new. Without
    /// it a key is remembered for ever.
    #[must_use]
    pub const fn ttl(self, ttl: Millis) -> Self {
        Keep { ttl: Ttl::Event(ttl), ..self }
    }

    /// Forgets a key when `ttl` milliseconds of processing time have passed since its kept row came. For operators that ask for
    /// processing time: `#[operator(.., processing_time)]`.
    #[must_use]
    pub const fn ttl_processing_time(self, ttl: Millis) -> Self {
        Keep { ttl: Ttl::Processing(ttl), ..self }
    }

    /// The name of its timer, `dedup` by default: for a second one in the same operator.
    #[must_use]
    pub const fn timer(self, timer: &'static str) -> Self {
        Keep { timer, ..self }
    }
}

/// The row that is kept of a key: a field of an operator's state. With a time to live it has one timer per key.
///
/// ```
/// use sangam_sdk::dedup::{Dedup, Keep};
/// use sangam_sdk::change::Change;
/// use sangam_sdk::test::Harness;
/// use sangam_sdk::*;
///
/// #[event] struct Click { id: String, page: u64 }
/// #[event] struct Row { kind: String, page: u64 }
/// #[state] struct Seen { dedup: Dedup<u64> }
/// #[config] struct First {}
/// const KEEP: Keep = Keep::first().ttl(minutes(10));
///
/// #[operator(key = "id")]
/// impl First {
///     fn on_event(&self, click: Click, seen: &mut Seen, ctx: &mut Context) -> Result<Vec<Row>> {
///         let changes = seen.dedup.update(&KEEP, click.page, ctx)?;
///         Ok(changes.iter().map(|change| Row { kind: change.symbol().into(), page: *change.row() }).collect())
///     }
///     fn on_timer(&self, timer: Timer, seen: &mut Seen, _ctx: &mut Context) {
///         seen.dedup.on_timer(&KEEP, timer);
///     }
/// }
///
/// let mut h = Harness::<First>::new();
/// for (time, page) in [(100, 1), (200, 2), (50, 3)] {
///     h.send(time, Click { id: "a".into(), page });
/// }
/// let told: Vec<_> = h.take::<Row>("out").into_iter().map(|row| (row.kind, row.page)).collect();
/// assert_eq!(told, [("+I".to_owned(), 1), ("-U".to_owned(), 1), ("+U".to_owned(), 3)]);
/// h.advance(50 + minutes(10));
/// assert_eq!(h.keys(), Vec::<String>::new());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dedup<T> {
    kept: Option<(Millis, T)>,
}

impl<T: Clone> Dedup<T> {
    /// Takes a row: nothing where it is a duplicate, one insertion where it is the first of its key, and the old row back and the new one
    /// out where it takes the place of another.
    ///
    /// # Errors
    /// Late: the row is so old that its key may have been forgotten, so that nobody knows whether it is a duplicate.
    pub fn update(&mut self, keep: &Keep, row: T, ctx: &mut Context<'_>) -> Result<Vec<Change<T>>> {
        let time = ctx.time();
        if let Ttl::Event(ttl) = keep.ttl
            && time.saturating_add(ttl) <= ctx.watermark()
        {
            return Err(late("its key may have been forgotten"));
        }
        let changes = match self.kept.take() {
            None => vec![Change::Insert(row.clone())],
            Some((kept, old)) if if keep.last { time < kept } else { time >= kept } => {
                self.kept = Some((kept, old));
                return Ok(Vec::new());
            }
            Some((_, old)) => vec![Change::UpdateBefore(old), Change::UpdateAfter(row.clone())],
        };
        self.kept = Some((time, row));
        match keep.ttl {
            Ttl::None => {}
            Ttl::Event(ttl) => ctx.wake(keep.timer, time.saturating_add(ttl)),
            Ttl::Processing(ttl) => ctx.wake_after(keep.timer, ttl),
        }
        Ok(changes)
    }
}

impl<T> Dedup<T> {
    /// The row that is kept, and its time.
    pub fn kept(&self) -> Option<(Millis, &T)> {
        self.kept.as_ref().map(|(time, row)| (*time, row))
    }

    /// Forgets the key when its time to live is over. A timer of another name is none of its business.
    pub fn on_timer(&mut self, keep: &Keep, timer: Timer<'_>) {
        if timer.name() == keep.timer {
            self.kept = None;
        }
    }
}

// === as a field of a state ===

impl<T> Default for Dedup<T> {
    fn default() -> Self {
        Dedup { kept: None }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Dedup<T> {
    const KIND: &'static str = "array";
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        if reader.nil()? {
            return Ok(Dedup { kept: None });
        }
        shape::pair(reader)?;
        Ok(Dedup { kept: Some((reader.i64()?, T::decode(reader)?)) })
    }
}

impl<T: Encode> Encode for Dedup<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.kept {
            None => write::nil(out),
            Some((time, row)) => {
                write::array(out, 2);
                write::i64(out, *time);
                row.encode(out);
            }
        }
    }
}
