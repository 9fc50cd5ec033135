//! The open windows of one key, as they are remembered between events: in order of time, with the definition that they were opened by.
//!
//! What to do with them is not decided here. They are written so that a batch decodes only what it is likely to touch.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{self, Reader, write};

use super::pane::{Pane, Panes};
use super::spec::{Kind, WindowSpec};
use super::zone::Zone;
use super::Aggregate;
use crate::field::{Cells, Encode, Field};
use crate::state::State;
use crate::wrong::Wrong;
use crate::{Error, Result};

/// The open windows of one key.
///
/// A window closes by the definition that it was opened with. Where a new build or configuration has another one, the windows of the old
/// one stand behind those of the new one until they have closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows<A> {
    pub(super) def: Def,
    /// In order of their starts, younger than all that is folded.
    pub(super) panes: Panes<A>,
    /// Older panes as they are written, in order: only of definitions that share slices.
    pub(super) folded: Vec<u8>,
    /// Windows of an earlier definition.
    pub(super) old: Option<Box<Windows<A>>>,
}

/// What open windows depend on, of a definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Def {
    code: u64,
    a: Millis,
    b: Millis,
    offset: Millis,
    /// Which time zone; 0 is none.
    zone: u64,
}

/// The code of tumbling windows.
const TUMBLING: u64 = 1;

/// What is added to the code of windows that go by the clock.
const BY_CLOCK: u64 = 32;

impl Def {
    #[inline(always)]
    pub(super) fn of(spec: &WindowSpec) -> Def {
        let shared = spec.shares();
        let (code, a, b) = match spec.kind {
            Kind::Tumbling { size } => (TUMBLING, size, 0),
            Kind::Hopping { size, slide } => (if shared { 2 } else { 3 }, size, slide),
            Kind::Cumulate { size, step } => (if shared { 4 } else { 5 }, size, step),
            Kind::Sliding { size } => (6, size, 0),
            // Another gap changes nothing for a session that is open: it has its end.
            Kind::Session { .. } => (7, 0, 0),
            Kind::Count { size, slide } => (8, size as Millis, slide as Millis),
            Kind::Global => (9, 0, 0),
        };
        let code = if spec.by_clock { BY_CLOCK + code } else { code };
        Def { code, a, b, offset: spec.offset, zone: spec.zone.as_ref().map_or(0, Zone::mark) }
    }

    /// Whether the windows are tumbling ones with nothing to say of them but their size.
    #[inline]
    fn is_plain(&self) -> bool {
        self.code == TUMBLING && self.offset == 0 && self.zone == 0
    }

    /// Whether the windows share slices, so that there may be many of them.
    fn folds(&self) -> bool {
        matches!(self.code % BY_CLOCK, 2 | 4 | 6)
    }

    /// The definition by which windows of this one close, which have the rest in common with `spec`.
    fn spec(&self, spec: &WindowSpec) -> Option<WindowSpec> {
        if self.zone != 0 && Some(self.zone) != spec.zone.as_ref().map(Zone::mark) {
            return None;
        }
        if (self.code >= BY_CLOCK) != spec.by_clock {
            return None;
        }
        let kind = match self.code % BY_CLOCK {
            TUMBLING => Kind::Tumbling { size: self.a },
            2 | 3 => Kind::Hopping { size: self.a, slide: self.b },
            4 | 5 => Kind::Cumulate { size: self.a, step: self.b },
            6 => Kind::Sliding { size: self.a },
            7 => Kind::Session { gap: 1 },
            8 => Kind::Count { size: self.a as u64, slide: self.b as u64 },
            9 => Kind::Global,
            _ => return None,
        };
        let mut own = WindowSpec { kind, offset: self.offset, ..spec.clone() };
        if self.zone == 0 {
            own.zone = None;
        }
        // A trigger that came with the new definition may need windows that are not shared, which these are.
        if self.folds() && !own.shares() {
            own.trigger = super::Trigger::on_close();
        }
        own.check().is_ok().then_some(own)
    }
}

impl<A> Windows<A> {
    /// Start and content of each open window of the current definition; of hopping and other windows that share slices, of each slice
    /// that is not folded.
    pub fn iter(&self) -> impl Iterator<Item = (Millis, &A)> {
        self.panes.iter().filter_map(|pane| Some((pane.start, pane.content.as_ref()?)))
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.panes.is_empty() && self.folded.is_empty() && self.old.is_none()
    }
}

impl<A: Aggregate> Windows<A> {
    /// Makes `spec` the current definition; what another one left open stands back.
    #[inline(always)]
    pub(super) fn adopt(&mut self, spec: &WindowSpec) -> Result<()> {
        let def = Def::of(spec);
        if self.def == def {
            return Ok(());
        }
        self.change(def, spec)
    }

    #[cold]
    fn change(&mut self, def: Def, spec: &WindowSpec) -> Result<()> {
        if !self.is_empty() {
            // A build carries the code of the one kind that it declares; one that is configured has them all.
            let same = self.def.code == def.code || A::ANY_KIND;
            if !same || self.def.spec(spec).is_none() {
                return Err(Error::Fault(
                    "windows of another kind, clock or time zone are open: let them close first, or give the operator another name".into(),
                ));
            }
            let before = std::mem::take(self);
            self.old = Some(Box::new(before));
        }
        self.def = def;
        Ok(())
    }

    /// The windows of an earlier definition, and that definition.
    pub(super) fn older(&mut self, spec: &WindowSpec) -> Option<(WindowSpec, &mut Windows<A>)> {
        let old = self.old.as_deref_mut()?;
        Some((old.def.spec(spec)?, old))
    }

    /// Forgets the windows of an earlier definition once all have closed.
    pub(super) fn close_older(&mut self) {
        if let Some(old) = &mut self.old {
            old.close_older();
            if old.is_empty() {
                self.old = None;
            }
        }
    }

    /// Takes all panes out of the folded bytes.
    pub(super) fn unfold(&mut self) -> Result<()> {
        if !self.folded.is_empty() {
            let mut panes = Vec::new();
            let mut folded = Folded::of(&self.folded);
            while let Some(start) = folded.start()? {
                panes.push(Pane { content: Some(A::decode(&mut folded.reader)?), ..Pane::blank(start) });
            }
            panes.append(self.panes.list());
            self.panes = Panes::Many(panes);
            self.folded.clear();
        }
        Ok(())
    }

    /// What all panes have gathered that start from `from` up to but not including `to`, in order.
    pub(super) fn gathered(&self, config: &A::Config, from: Millis, to: Millis) -> Result<Option<A>> {
        let mut all: Option<A> = None;
        let mut add = |content: A| match &mut all {
            None => all = Some(content),
            Some(all) => all.merge(config, content),
        };
        let mut folded = Folded::of(&self.folded);
        while let Some(start) = folded.start()?.filter(|start| *start < to) {
            if start < from {
                folded.skip()?;
            } else {
                add(A::decode(&mut folded.reader)?);
            }
        }
        let panes = self.panes.iter().skip_while(|pane| pane.start < from).take_while(|pane| pane.start < to);
        panes.filter_map(|pane| pane.content.clone()).for_each(add);
        Ok(all)
    }

    /// The first start, in order, for which `found` finds something.
    pub(super) fn find<T>(&self, mut found: impl FnMut(Millis) -> Option<T>) -> Result<Option<T>> {
        let mut folded = Folded::of(&self.folded);
        while let Some(start) = folded.start()? {
            if let Some(found) = found(start) {
                return Ok(Some(found));
            }
            folded.skip()?;
        }
        Ok(self.panes.iter().find_map(|pane| found(pane.start)))
    }

    /// Removes panes from the oldest on, as long as `over` says so of their start.
    pub(super) fn forget(&mut self, mut over: impl FnMut(Millis) -> bool) -> Result<()> {
        let mut folded = Folded::of(&self.folded);
        while let Some(start) = folded.start()? {
            if over(start) {
                folded.skip()?;
                continue;
            }
            let mut kept = Vec::with_capacity(folded.reader.rest().len() + 9);
            write::i64(&mut kept, start);
            kept.extend_from_slice(folded.reader.rest());
            self.folded = kept;
            return Ok(());
        }
        self.folded.clear();
        let gone = self.panes.iter().take_while(|pane| over(pane.start)).count();
        if gone > 0 {
            self.panes.list().drain(..gone);
        }
        Ok(())
    }

    /// The pane of a slice, and whether it is new.
    #[inline]
    pub(super) fn slice(&mut self, start: Millis) -> Result<(usize, bool)> {
        match self.panes.last() {
            Some(pane) if pane.start == start => return Ok((self.panes.len() - 1, false)),
            Some(pane) if pane.start < start => {}
            None if self.folded.is_empty() => {}
            _ => {
                if self.panes.first().is_none_or(|first| start < first.start) {
                    self.unfold()?;
                }
                let place = self.panes.binary_search_by_key(&start, |pane| pane.start);
                return Ok(match place {
                    Ok(index) => (index, false),
                    Err(index) => {
                        self.panes.insert(index, Pane::new(start, 0, A::default()));
                        (index, true)
                    }
                });
            }
        }
        self.panes.push(Pane::new(start, 0, A::default()));
        Ok((self.panes.len() - 1, true))
    }

    /// Start of the oldest pane.
    pub(super) fn oldest(&self) -> Option<Millis> {
        match Folded::of(&self.folded).start() {
            Ok(Some(start)) => Some(start),
            _ => self.panes.first().map(|pane| pane.start),
        }
    }
}

/// Reads folded panes one after the other: the start of the first, then for each its content and how much later the next one starts.
struct Folded<'a> {
    reader: Reader<'a>,
    start: Option<Millis>,
}

impl<'a> Folded<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Folded { reader: Reader::new(bytes), start: None }
    }

    /// Start of the next pane, whose content comes next.
    #[inline]
    fn start(&mut self) -> Result<Option<Millis>, Wrong> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let next = self.reader.i64()?;
        self.start = Some(self.start.map_or(next, |start| start.saturating_add(next)));
        Ok(self.start)
    }

    /// Steps over the content.
    fn skip(&mut self) -> Result<(), Wrong> {
        Ok(self.reader.skip()?)
    }

    /// Start of the last pane.
    fn last(mut self) -> Option<Millis> {
        while let Ok(Some(_)) = self.start() {
            self.skip().ok()?;
        }
        self.start
    }
}

// === as a state ===

impl<A> Default for Windows<A> {
    fn default() -> Self {
        Windows { def: Def::default(), panes: Panes::None, folded: Vec::new(), old: None }
    }
}

impl<A: Aggregate> State for Windows<A> {
    const SCHEMA: &'static str = "null";
}

/// `[]` where nothing is open. Plain tumbling windows: `[size, start, content, later, content, …]`, each start as how much later it is than
/// the one before. All others: `[definition, folded or nil, older or nil, pane…]`.
impl<'a, A: Field<'a>> Field<'a> for Windows<A> {
    const KIND: &'static str = "array";
    const CELLS: Cells = A::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let len = reader.array()?;
        let mut windows = Windows::default();
        if len == 0 {
            return Ok(windows);
        }
        if !len.is_multiple_of(2) && !matches!(reader.peek()?, 0x90..=0x9f) {
            windows.def = Def { code: TUMBLING, a: reader.u64()? as Millis, ..Def::default() };
            windows.panes = Panes::with_room((len / 2).min(reader.rest().len()));
            let mut start = reader.i64()?;
            for left in (0..len / 2).rev() {
                windows.panes.push(Pane { content: Option::decode(reader)?, ..Pane::blank(start) });
                if left > 0 {
                    start = start.wrapping_add(reader.u64()? as Millis);
                }
            }
            return Ok(windows);
        }
        let Some(count) = len.checked_sub(3) else { return Err(msgpack::Error::Range("open windows").into()) };
        windows.def = Def::decode(reader)?;
        windows.folded = if reader.nil()? { Vec::new() } else { reader.bin()?.to_vec() };
        windows.old = if reader.nil()? { None } else { Some(Box::new(Windows::decode(reader)?)) };
        windows.panes = Panes::with_room(count.min(reader.rest().len()));
        for _ in 0..count {
            windows.panes.push(Pane::decode(reader)?);
        }
        Ok(windows)
    }
}

impl<A: Encode> Encode for Windows<A> {
    fn encode(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return write::array(out, 0);
        }
        if self.def.is_plain() && self.old.is_none() && self.panes.iter().all(Pane::is_short) {
            write::array(out, 1 + 2 * self.panes.len());
            write::u64(out, self.def.a as u64);
            let mut before = None;
            for pane in &*self.panes {
                match before.replace(pane.start) {
                    None => write::i64(out, pane.start),
                    Some(before) => write::u64(out, pane.start.wrapping_sub(before) as u64),
                }
                pane.content.encode(out);
            }
            return;
        }
        let (folding, plain) = match self.panes.split_last() {
            Some((_, older)) if self.def.folds() => self.panes.split_at(older.len()),
            _ => (&[][..], &self.panes[..]),
        };
        write::array(out, 3 + plain.len());
        self.def.encode(out);
        match folding {
            [] if self.folded.is_empty() => write::nil(out),
            // Always with the longest head, so that equal content is equal bytes.
            _ => write::bin_with(out, |out| {
                out.extend_from_slice(&self.folded);
                let mut before = if folding.is_empty() { None } else { Folded::of(&self.folded).last() };
                for pane in folding {
                    write::i64(out, pane.start.saturating_sub(before.unwrap_or(0)));
                    before = Some(pane.start);
                    // Slices are never purged.
                    pane.content.encode(out);
                }
            }),
        }
        match &self.old {
            None => write::nil(out),
            Some(old) => old.encode(out),
        }
        plain.iter().for_each(|pane| pane.encode(out));
    }
}

/// `[code, a, b, offset, zone]` without the zeros at its end.
impl<'a> Field<'a> for Def {
    const KIND: &'static str = "array";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut left = reader.array()?;
        let mut next = || {
            let some = left > 0;
            left = left.saturating_sub(1);
            if some { reader.i64() } else { Ok(0) }
        };
        let def = Def { code: next()? as u64, a: next()?, b: next()?, offset: next()?, zone: next()? as u64 };
        if left > 0 { Err(msgpack::Error::Range("a definition of windows").into()) } else { Ok(def) }
    }
}

impl Encode for Def {
    fn encode(&self, out: &mut Vec<u8>) {
        let numbers = [self.code as i64, self.a, self.b, self.offset, self.zone as i64];
        let len = numbers.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
        write::array(out, len);
        numbers.iter().take(len).for_each(|number| write::i64(out, *number));
    }
}
