//! Older slices of a key, as they are written: one behind the other, and not decoded before a window that has them closes.
//!
//! Of windows that are cut into slices by the clock they stand in a cell of their own, because most batches have no need of them: all that
//! travels with the batch is when the oldest starts. What a slice has gathered is not known here.

use std::collections::BTreeMap;

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::cells::Home;
use crate::field::Encode;
use crate::wrong::Wrong;
use crate::{Error, Result};

/// The cell, as a field of the state would have it.
const CELL: u8 = 0;

/// The folded slices of a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Folded {
    #[default]
    None,
    /// They are in the cell, and the oldest that is still needed starts here.
    Away(Millis),
    Here(Box<Slices>),
}

/// Slices that can be walked over.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slices {
    /// The start of the oldest, then for each what it has gathered, as binary, and how much later the next one starts.
    bytes: Vec<u8>,
    /// Start of the oldest that is still needed. Those before it are cut off when the cell is written the next time.
    oldest: Millis,
    in_cell: bool,
}

/// Puts slices one behind the other.
#[derive(Default)]
pub(super) struct Folding {
    bytes: Vec<u8>,
    oldest: Option<Millis>,
    newest: Millis,
    scratch: Vec<u8>,
}

/// Walks over slices, oldest first.
pub(super) struct Walk<'a> {
    reader: Reader<'a>,
    start: Option<Millis>,
    oldest: Millis,
}

// === impl Folded ===

impl Folded {
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Folded::None)
    }

    /// Start of the oldest slice.
    #[inline]
    pub(super) fn oldest(&self) -> Option<Millis> {
        match self {
            Folded::None => None,
            Folded::Away(oldest) => Some(*oldest),
            Folded::Here(slices) => Some(slices.oldest),
        }
    }

    /// Reads the cell, where that has not been done.
    pub(super) fn load(&mut self, slot: u32) -> Result<()> {
        if let Folded::Away(oldest) = *self {
            let gone = || Error::Fault("the cell with the slices of open windows is not there".into());
            let bytes = home(slot).get(&[]).ok_or_else(gone)?;
            *self = Folded::Here(Box::new(Slices { bytes, oldest, in_cell: true }));
        }
        Ok(())
    }

    /// The same from the cells of a key, for a look from outside a batch.
    pub(super) fn look(&mut self, cells: &BTreeMap<Vec<u8>, Vec<u8>>) {
        if let (Folded::Away(oldest), Some(bytes)) = (&*self, cells.get([CELL].as_slice())) {
            *self = Folded::Here(Box::new(Slices { bytes: bytes.clone(), oldest: *oldest, in_cell: true }));
        }
    }

    /// The slices, once they are loaded.
    pub(super) fn walk(&self) -> Walk<'_> {
        match self {
            Folded::Here(slices) => Walk { reader: Reader::new(&slices.bytes), start: None, oldest: slices.oldest },
            _ => Walk { reader: Reader::new(&[]), start: None, oldest: 0 },
        }
    }

    /// Forgets all, in the cell too.
    pub(super) fn clear(&mut self, slot: u32) {
        let in_cell = match self {
            Folded::None => false,
            Folded::Away(_) => true,
            Folded::Here(slices) => slices.in_cell,
        };
        if in_cell {
            home(slot).set(&[], None);
        }
        *self = Folded::None;
    }

    /// Takes the slices out of the cell, which is about to be written by others.
    pub(super) fn bring_here(&mut self, slot: u32) -> Result<()> {
        self.load(slot)?;
        if let Folded::Here(slices) = self {
            slices.in_cell = false;
        }
        Ok(())
    }

    /// Takes slices in the place of those that were here, and writes the cell.
    pub(super) fn put(&mut self, folding: Folding, slot: u32) {
        let Some(oldest) = folding.oldest else { return self.clear(slot) };
        home(slot).set(&[], Some(folding.bytes.clone()));
        *self = Folded::Here(Box::new(Slices { bytes: folding.bytes, oldest, in_cell: true }));
    }

    /// Makes a later slice, one that has been walked to, the oldest.
    pub(super) fn start_from(&mut self, oldest: Millis) -> Result<(), Wrong> {
        if let Folded::Here(slices) = self {
            slices.oldest = oldest;
            // What travels with every batch is kept short; a cell can wait until it is written anyway.
            if !slices.in_cell {
                let mut kept = Folding::default();
                kept.take_over(self)?;
                if let Folded::Here(slices) = self {
                    slices.bytes = kept.bytes;
                }
            }
        }
        Ok(())
    }

    /// Appends what travels with the state: when the oldest slice starts, or the slices with `further` ones behind them, or nil.
    pub(super) fn encode<'p, A: Encode + 'p>(&self, further: impl Iterator<Item = (Millis, &'p A)>, out: &mut Vec<u8>) {
        match self {
            Folded::Away(oldest) => return write::i64(out, *oldest),
            Folded::Here(slices) if slices.in_cell => return write::i64(out, slices.oldest),
            _ => {}
        }
        let mut folding = Folding::default();
        // What has been walked over before can be walked over.
        let _ = folding.take_over(self);
        further.for_each(|(start, content)| folding.push(start, content));
        match folding.oldest {
            None => write::nil(out),
            Some(_) => write::bin(out, &folding.bytes),
        }
    }

    /// Reads what [`Folded::encode`] wrote.
    #[inline]
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Folded, Wrong> {
        match reader.peek()? {
            0xc0 => {
                reader.skip()?;
                Ok(Folded::None)
            }
            0xc4..=0xc6 => {
                let bytes = reader.bin()?.to_vec();
                let oldest = Reader::new(&bytes).i64()?;
                Ok(Folded::Here(Box::new(Slices { bytes, oldest, in_cell: false })))
            }
            _ => Ok(Folded::Away(reader.i64()?)),
        }
    }
}

/// The cell of a slot.
fn home(slot: u32) -> Home {
    Home::Slot(slot, CELL)
}

// === impl Folding ===

impl Folding {
    /// Adds a slice that is later than all others.
    pub(super) fn push(&mut self, start: Millis, content: &impl Encode) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        content.encode(&mut scratch);
        self.copy(start, &scratch);
        self.scratch = scratch;
    }

    /// Adds a slice as it is written.
    pub(super) fn copy(&mut self, start: Millis, content: &[u8]) {
        match self.oldest {
            None => {
                self.oldest = Some(start);
                write::i64(&mut self.bytes, start);
            }
            Some(_) => write::u64(&mut self.bytes, start.wrapping_sub(self.newest) as u64),
        }
        self.newest = start;
        write::bin(&mut self.bytes, content);
    }

    /// Adds all slices that are still needed.
    fn take_over(&mut self, folded: &Folded) -> Result<(), Wrong> {
        let mut walk = folded.walk();
        while let Some((start, content)) = walk.next()? {
            self.copy(start, content);
        }
        Ok(())
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Start of the next slice, and what it has gathered.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(Millis, &'a [u8])>, Wrong> {
        while !self.reader.is_empty() {
            let start = match self.start {
                None => self.reader.i64()?,
                Some(start) => start.wrapping_add(self.reader.u64()? as Millis),
            };
            self.start = Some(start);
            let content = self.reader.bin()?;
            if start >= self.oldest {
                return Ok(Some((start, content)));
            }
        }
        Ok(None)
    }
}
