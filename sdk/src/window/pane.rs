//! Panes: what is gathered for one window each, and the panes of a key in order.
//!
//! When a pane closes is not decided here.

use std::ops::{Deref, DerefMut};

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use super::Window;
use crate::field::{Encode, Field};
use crate::wrong::Wrong;

/// A window that is open, or a slice of several, or some events of a count window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pane<A> {
    /// Its first millisecond on the wall clock; the number of a part of a count window.
    pub(super) start: Millis,
    /// The millisecond after it; 0 where the definition tells it.
    pub(super) end: Millis,
    /// Events since it emitted last, where the trigger counts them.
    pub(super) count: u64,
    /// When it emits early next; the first event's time in a count window.
    pub(super) mark: Option<Millis>,
    /// Nothing has come since it emitted early.
    pub(super) told: bool,
    /// Nothing after it has been purged.
    pub(super) content: Option<A>,
}

/// The panes of a key, in order. Nearly every key has one, which then stands here and costs no trip to the allocator.
#[derive(Clone, Debug, Default)]
pub(super) enum Panes<A> {
    #[default]
    None,
    One(Pane<A>),
    Many(Vec<Pane<A>>),
}

// === impl Pane ===

impl<A> Pane<A> {
    pub(super) fn new(start: Millis, end: Millis, content: A) -> Pane<A> {
        Pane { end, content: Some(content), ..Pane::blank(start) }
    }

    pub(super) fn blank(start: Millis) -> Pane<A> {
        Pane { start, end: 0, count: 0, mark: None, told: false, content: None }
    }

    /// The window of a pane that knows its end.
    pub(super) fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }

    /// Whether there is nothing to know of it but its start and its content.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.end == 0 && self.count == 0 && self.mark.is_none()
    }
}

/// `[start, content]`, `[start, length, content]` or `[start, length, count, mark, content]`, the shortest that says it all; a sixth element
/// says that it has been told. The length leads from the start to the end; nil is none.
impl<'a, A: Field<'a>> Field<'a> for Pane<A> {
    const KIND: &'static str = "array";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let len = reader.array()?;
        let start = reader.i64()?;
        if len == 2 {
            return Ok(Pane { content: Option::decode(reader)?, ..Pane::blank(start) });
        }
        let end = if reader.nil()? { 0 } else { start.wrapping_add(reader.u64()? as Millis) };
        let (count, mark) = if len > 3 { (reader.u64()?, Option::decode(reader)?) } else { (0, None) };
        let told = len > 5 && reader.bool()?;
        Ok(Pane { start, end, count, mark, told, content: Option::decode(reader)? })
    }
}

impl<A: Encode> Encode for Pane<A> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        let long = self.count != 0 || self.mark.is_some();
        write::array(out, if long { 5 + usize::from(self.told) } else { 2 + usize::from(self.end != 0) });
        write::i64(out, self.start);
        if self.end != 0 {
            // What wraps around here wraps back there.
            write::u64(out, self.end.wrapping_sub(self.start) as u64);
        } else if long {
            write::nil(out);
        }
        if long {
            write::u64(out, self.count);
            self.mark.encode(out);
            if self.told {
                write::bool(out, true);
            }
        }
        self.content.encode(out);
    }
}

// === impl Panes ===

impl<A> Panes<A> {
    /// No panes, with room for so many.
    pub(super) fn with_room(count: usize) -> Panes<A> {
        if count > 1 { Panes::Many(Vec::with_capacity(count)) } else { Panes::None }
    }

    #[inline]
    pub(super) fn push(&mut self, pane: Pane<A>) {
        match self {
            Panes::None => *self = Panes::One(pane),
            _ => self.list().push(pane),
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, at: usize, pane: Pane<A>) {
        match self {
            Panes::None => *self = Panes::One(pane),
            _ => self.list().insert(at, pane),
        }
    }

    /// Takes a pane out; none where there is none.
    pub(super) fn remove(&mut self, at: usize) -> Option<Pane<A>> {
        if at >= self.len() {
            return None;
        }
        match self {
            Panes::Many(panes) => Some(panes.remove(at)),
            _ => match std::mem::take(self) {
                Panes::One(pane) => Some(pane),
                _ => None,
            },
        }
    }

    /// Them as a list, for all that a list can do.
    pub(super) fn list(&mut self) -> &mut Vec<Pane<A>> {
        if !matches!(self, Panes::Many(_)) {
            let mut panes = Vec::new();
            if let Panes::One(pane) = std::mem::take(self) {
                // One more is about to come, or several.
                panes.reserve(4);
                panes.push(pane);
            }
            *self = Panes::Many(panes);
        }
        match self {
            Panes::Many(panes) => panes,
            _ => unreachable!("it has just become a list"),
        }
    }
}

impl<'a, A: Field<'a>> Panes<A> {
    /// Reads so many short panes: `start, content, later, content, …`, each start as how much later it is than the one before.
    pub(super) fn decode_short(count: usize, reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut panes = Panes::with_room(count.min(reader.rest().len()));
        let mut start = None;
        for _ in 0..count {
            let this = match start {
                None => reader.i64()?,
                Some(start) => Millis::wrapping_add(start, reader.u64()? as Millis),
            };
            start = Some(this);
            panes.push(Pane { content: Option::decode(reader)?, ..Pane::blank(this) });
        }
        Ok(panes)
    }

    /// Reads so many panes.
    pub(super) fn decode_long(count: usize, reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut panes = Panes::with_room(count.min(reader.rest().len()));
        for _ in 0..count {
            panes.push(Pane::decode(reader)?);
        }
        Ok(panes)
    }
}

/// Writes what [`Panes::decode_short`] reads.
pub(super) fn encode_short<A: Encode>(panes: &[Pane<A>], out: &mut Vec<u8>) {
    let mut before = None;
    for pane in panes {
        match before.replace(pane.start) {
            None => write::i64(out, pane.start),
            Some(before) => write::u64(out, pane.start.wrapping_sub(before) as u64),
        }
        pane.content.encode(out);
    }
}

impl<A> Deref for Panes<A> {
    type Target = [Pane<A>];
    #[inline]
    fn deref(&self) -> &[Pane<A>] {
        match self {
            Panes::None => &[],
            Panes::One(pane) => std::slice::from_ref(pane),
            Panes::Many(panes) => panes,
        }
    }
}

impl<A> DerefMut for Panes<A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Pane<A>] {
        match self {
            Panes::None => &mut [],
            Panes::One(pane) => std::slice::from_mut(pane),
            Panes::Many(panes) => panes,
        }
    }
}

impl<A: PartialEq> PartialEq for Panes<A> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
