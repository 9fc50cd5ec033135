//! The open windows of one key, as they are remembered between events: in order of time, with the definition that they were opened by.
//!
//! What to do with them is not decided here. They are written so that a batch decodes only what it is likely to touch.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{self, Reader, write};

use std::collections::BTreeMap;

use super::Aggregate;
use super::folded::{Folded, Folding};
use super::pane::{Pane, Panes, encode_short};
use super::spec::{Kind, WindowSpec};
use super::zone::Zone;
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
    /// Older panes as they are written: only of definitions that share slices.
    folded: Folded,
    /// Windows of an earlier definition.
    pub(super) old: Option<Box<Windows<A>>>,
    /// The key's slot in the batch.
    slot: u32,
}

/// So many slices travel with the state before all but the newest are folded into the cell: several at a time, as it is written whole. An
/// event for a slice that has been folded opens it anew, and both parts are put together when they are needed.
const OPEN_MAX: usize = 3;

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
            Kind::Given => (10, 0, 0),
            Kind::Batch { span, count } => (11, span, count as Millis),
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

    /// Whether older slices stand in a cell. Those of sliding windows are not cut by the clock: too many of them come and go.
    fn has_cell(&self) -> bool {
        matches!(self.code % BY_CLOCK, 2 | 4)
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
            10 => Kind::Given,
            11 => Kind::Batch { span: self.a, count: self.b as u64 },
            _ => return None,
        };
        let mut own = WindowSpec { kind, offset: self.offset, ..spec.clone() };
        if self.zone == 0 {
            own.zone = None;
        }
        // Lateness and triggers of the new definition are not for batches.
        if matches!(kind, Kind::Batch { .. }) {
            (own.lateness, own.trigger) = (0, super::Trigger::on_close());
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
        self.panes.is_empty() && self.folded.is_none() && self.old.is_none()
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
            let slot = self.slot;
            let before = std::mem::replace(self, Windows { slot, ..Windows::default() });
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

    /// Reads the folded panes, where they are in the cell.
    fn load(&mut self) -> Result<()> {
        self.folded.load(self.slot)
    }

    /// Takes all panes out of the folded bytes, which are with the state.
    fn unfold(&mut self) -> Result<()> {
        let folded = std::mem::take(&mut self.folded);
        let mut panes = Vec::new();
        let mut walk = folded.walk();
        while let Some((start, content)) = walk.next()? {
            panes.push(Pane { content: Some(A::decode(&mut Reader::new(content))?), ..Pane::blank(start) });
        }
        panes.append(self.panes.list());
        self.panes = Panes::Many(panes);
        Ok(())
    }

    /// Folds all slices but the newest into the cell, where there are many.
    #[inline]
    pub(super) fn fold(&mut self, config: &A::Config) -> Result<()> {
        if self.panes.len() > OPEN_MAX && self.def.has_cell() { self.fold_into_cell(config) } else { Ok(()) }
    }

    fn fold_into_cell(&mut self, config: &A::Config) -> Result<()> {
        self.load()?;
        // Those of an earlier definition make room.
        let mut older = self.old.as_deref_mut();
        while let Some(old) = older {
            old.folded.bring_here(self.slot)?;
            older = old.old.as_deref_mut();
        }
        let mut panes = std::mem::take(self.panes.list());
        if let Some(newest) = panes.pop() {
            self.panes = Panes::One(newest);
        }
        let mut panes = panes.into_iter().peekable();
        let (mut walk, mut folding) = (self.folded.walk(), Folding::default());
        while let Some((start, content)) = walk.next()? {
            while let Some(pane) = panes.next_if(|pane| pane.start < start) {
                folding.push(pane.start, &pane.content);
            }
            match panes.next_if(|pane| pane.start == start).and_then(|pane| pane.content) {
                None => folding.copy(start, content),
                Some(later) => {
                    let mut all = A::decode(&mut Reader::new(content))?;
                    all.merge(config, later);
                    folding.push(start, &all);
                }
            }
        }
        panes.for_each(|pane| folding.push(pane.start, &pane.content));
        self.folded.put(folding, self.slot);
        Ok(())
    }

    /// What all panes have gathered that start from `from` up to but not including `to`, in order.
    pub(super) fn gathered(&mut self, config: &A::Config, from: Millis, to: Millis) -> Result<Option<A>> {
        self.load()?;
        let mut all: Option<A> = None;
        let mut add = |content: A| match &mut all {
            None => all = Some(content),
            Some(all) => all.merge(config, content),
        };
        let mut panes = self.panes.iter().filter(|pane| (from..to).contains(&pane.start)).peekable();
        let mut walk = self.folded.walk();
        while let Some((start, content)) = walk.next()?.filter(|(start, _)| *start < to) {
            if start < from {
                continue;
            }
            // What came for a slice after it was folded comes behind that.
            while let Some(pane) = panes.next_if(|pane| pane.start < start) {
                pane.content.iter().cloned().for_each(&mut add);
            }
            add(A::decode(&mut Reader::new(content))?);
        }
        panes.filter_map(|pane| pane.content.clone()).for_each(add);
        Ok(all)
    }

    /// The least of what `found` finds, of what is folded and of what is not the first that it finds for a start.
    pub(super) fn find<T: Ord>(&mut self, mut found: impl FnMut(Millis) -> Option<T>) -> Result<Option<T>> {
        let open = self.panes.iter().find_map(|pane| found(pane.start));
        // The oldest is known without a look into the cell.
        let mut folded = self.folded.oldest().and_then(&mut found);
        if folded.is_none() && !self.folded.is_none() {
            self.load()?;
            let mut walk = self.folded.walk();
            while let (None, Some((start, _))) = (&folded, walk.next()?) {
                folded = found(start);
            }
        }
        Ok(folded.into_iter().chain(open).min())
    }

    /// Removes panes from the oldest on, as long as `over` says so of their start.
    pub(super) fn forget(&mut self, mut over: impl FnMut(Millis) -> bool) -> Result<()> {
        if self.folded.oldest().is_some_and(&mut over) {
            self.load()?;
            let mut kept = None;
            let mut walk = self.folded.walk();
            while let (None, Some((start, _))) = (kept, walk.next()?) {
                kept = Some(start).filter(|start| !over(*start));
            }
            match kept {
                Some(oldest) => self.folded.start_from(oldest)?,
                None => self.folded.clear(self.slot),
            }
        }
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
            None if self.folded.is_none() => {}
            _ => {
                if self.is_folded(start) {
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

    /// Whether a slice stands, or would stand, among the folded ones.
    pub(super) fn is_folded(&self, start: Millis) -> bool {
        !self.folded.is_none() && !self.def.has_cell() && self.panes.first().is_none_or(|first| start < first.start)
    }

    /// Start of the oldest pane.
    pub(super) fn oldest(&self) -> Option<Millis> {
        self.folded.oldest().into_iter().chain(self.panes.first().map(|pane| pane.start)).min()
    }

    /// Whether any window is open.
    pub(super) fn has_panes(&self) -> bool {
        !self.panes.is_empty() || !self.folded.is_none()
    }
}

// === as a state ===

impl<A> Default for Windows<A> {
    fn default() -> Self {
        Windows { def: Def::default(), panes: Panes::None, folded: Folded::None, old: None, slot: 0 }
    }
}

impl<A: Aggregate> State for Windows<A> {
    const SCHEMA: &'static str = "null";
    const HANDLES: bool = A::SLICES;

    fn bind_all(&mut self, slot: u32) {
        self.slot = slot;
        if let Some(old) = &mut self.old {
            old.bind_all(slot);
        }
    }

    fn own_all(&mut self, cells: &BTreeMap<Vec<u8>, Vec<u8>>) {
        self.folded.look(cells);
        if let Some(old) = &mut self.old {
            old.own_all(cells);
        }
    }
}

/// `[]` where nothing is open. Plain tumbling windows: `[size, start, content, later, content, …]`, each start as how much later it is than
/// the one before. All others: `[definition, folded or nil, older or nil, start, content, later, content, …]`, or `[.., pane, ..]` where there is more
/// to say of a pane.
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
            windows.panes = Panes::decode_short(len / 2, reader)?;
            return Ok(windows);
        }
        let Some(count) = len.checked_sub(3) else { return Err(msgpack::Error::Range("open windows").into()) };
        windows.def = Def::decode(reader)?;
        windows.folded = Folded::decode(reader)?;
        windows.old = if reader.nil()? { None } else { Some(Box::new(Windows::decode(reader)?)) };
        windows.panes = match reader.peek() {
            Ok(0x90..=0x9f) => Panes::decode_long(count, reader)?,
            _ => Panes::decode_short(count / 2, reader)?,
        };
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
            return encode_short(&self.panes, out);
        }
        // What has no cell is folded here, all but the newest.
        let folding = if self.def.folds() && !self.def.has_cell() { self.panes.len().saturating_sub(1) } else { 0 };
        let (folding, plain) = self.panes.split_at(folding);
        let short = plain.iter().all(Pane::is_short);
        write::array(out, 3 + if short { 2 * plain.len() } else { plain.len() });
        self.def.encode(out);
        // Slices are never purged.
        let further = folding.iter().map(|pane| (pane.start, &pane.content));
        self.folded.encode(further, out);
        match &self.old {
            None => write::nil(out),
            Some(old) => old.encode(out),
        }
        if short { encode_short(plain, out) } else { plain.iter().for_each(|pane| pane.encode(out)) }
    }
}

/// `[code, a, b, offset, zone]` without the zeros at its end.
impl<'a> Field<'a> for Def {
    const KIND: &'static str = "array";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut left = reader.array()?;
        let mut next = || {
            let Some(fewer) = left.checked_sub(1) else { return Ok(0) };
            left = fewer;
            // Most of them have no sign.
            if matches!(reader.peek()?, 0xd0..=0xd3 | 0xe0..=0xff) { reader.i64() } else { reader.u64().map(|number| number as i64) }
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
