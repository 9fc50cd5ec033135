//! Reads of large state: written down as a guest makes them, and answered again from what was written down.

use crate::sandbox::StateReads;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A cell and what it holds.
pub type Cell = (Vec<u8>, Vec<u8>);

/// One read of large state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// One cell.
    Get {
        /// The key's slot.
        slot: u32,
        /// The cell.
        cell: Vec<u8>,
        /// What it holds; `None` where it is not there.
        value: Option<Vec<u8>>,
    },
    /// Several cells in order.
    Scan {
        /// The key's slot.
        slot: u32,
        /// What they start with.
        prefix: Vec<u8>,
        /// What they come after.
        after: Vec<u8>,
        /// The cells that were handed over, with what they hold.
        found: Vec<Cell>,
        /// Whether that were all there are.
        whole: bool,
    },
}

/// Bytes of reads that are written down: more than a guest's memory takes is not worth a file.
const BYTES_MAX: usize = 256 << 20;

/// Hands reads on and writes them down.
pub(in crate::stage) struct Recorder<'a> {
    inner: &'a mut dyn StateReads,
    reads: Vec<Read>,
    bytes: usize,
}

impl<'a> Recorder<'a> {
    pub fn new(inner: &'a mut dyn StateReads) -> Recorder<'a> {
        Recorder { inner, reads: Vec::new(), bytes: 0 }
    }

    /// What was read; `None` where it was too much to be written down.
    pub fn into_reads(self) -> Option<Vec<Read>> {
        (self.bytes <= BYTES_MAX).then_some(self.reads)
    }

    fn push(&mut self, bytes: usize, read: Read) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= BYTES_MAX {
            self.reads.push(read);
        } else {
            self.reads = Vec::new();
        }
    }
}

impl StateReads for Recorder<'_> {
    fn get(&mut self, slot: u32, cell: &[u8]) -> Option<Cow<'_, [u8]>> {
        let value = self.inner.get(slot, cell).map(Cow::into_owned);
        let bytes = cell.len() + value.as_ref().map_or(0, Vec::len);
        self.push(bytes, Read::Get { slot, cell: cell.to_vec(), value: value.clone() });
        value.map(Cow::Owned)
    }

    fn scan(&mut self, slot: u32, prefix: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let (mut found, mut whole, mut bytes) = (Vec::new(), true, prefix.len() + after.len());
        self.inner.scan(slot, prefix, after, &mut |cell, value| {
            found.push((cell.to_vec(), value.to_vec()));
            bytes += cell.len() + value.len();
            whole = each(cell, value);
            whole
        });
        self.push(bytes, Read::Scan { slot, prefix: prefix.to_vec(), after: after.to_vec(), found, whole });
    }
}

/// Answers reads from what was written down. Reads change nothing, so each gets the same answer however often and in whatever order it is
/// asked.
#[derive(Debug)]
pub struct Recorded<'a> {
    cells: BTreeMap<(u32, &'a [u8]), Option<&'a [u8]>>,
    /// By slot, prefix and what they come after.
    scans: BTreeMap<(u32, &'a [u8], &'a [u8]), Scanned<'a>>,
    /// Reads that nothing was written down for: what the guest made of the answer is not to be trusted.
    pub unknown: usize,
}

/// The longest list of cells that a scan has given, and whether that were all.
type Scanned<'a> = (&'a [Cell], bool);

impl<'a> Recorded<'a> {
    /// Answers from `reads`.
    pub fn new(reads: &'a [Read]) -> Recorded<'a> {
        let (mut cells, mut scans) = (BTreeMap::new(), BTreeMap::new());
        for read in reads {
            match read {
                Read::Get { slot, cell, value } => {
                    cells.insert((*slot, cell.as_slice()), value.as_deref());
                }
                Read::Scan { slot, prefix, after, found, whole } => {
                    cells.extend(found.iter().map(|(cell, value)| ((*slot, cell.as_slice()), Some(value.as_slice()))));
                    let known = scans.entry((*slot, prefix.as_slice(), after.as_slice())).or_insert((&found[..0], false));
                    if *whole || found.len() > known.0.len() {
                        *known = (found.as_slice(), *whole);
                    }
                }
            }
        }
        Recorded { cells, scans, unknown: 0 }
    }
}

impl StateReads for Recorded<'_> {
    fn get(&mut self, slot: u32, cell: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self.cells.get(&(slot, cell)) {
            Some(value) => value.map(Cow::Borrowed),
            None => {
                self.unknown += 1;
                None
            }
        }
    }

    fn scan(&mut self, slot: u32, prefix: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let Some((found, whole)) = self.scans.get(&(slot, prefix, after)) else {
            self.unknown += 1;
            return;
        };
        let all_taken = found.iter().all(|(cell, value)| each(cell, value));
        // It would go on where the list breaks off.
        if all_taken && !whole {
            self.unknown += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells `a0` to `a9` and `b` of slot 0.
    struct Cells;

    impl StateReads for Cells {
        fn get(&mut self, slot: u32, cell: &[u8]) -> Option<Cow<'_, [u8]>> {
            (slot == 0 && cell == b"b").then_some(Cow::Borrowed(&b"value"[..]))
        }

        fn scan(&mut self, _: u32, _: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
            let cells = (0..10u8).map(|i| [b'a', b'0' + i]).filter(|cell| &cell[..] > after);
            let _ = cells.into_iter().all(|cell| each(&cell, &cell[1..]));
        }
    }

    fn cell(reads: &mut dyn StateReads, slot: u32, cell: &[u8]) -> Option<String> {
        reads.get(slot, cell).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// A few of the cells after one.
    fn some(reads: &mut dyn StateReads, after: &[u8], count: usize) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        reads.scan(0, b"a", after, &mut |cell, _| {
            seen.push(cell.to_vec());
            seen.len() < count
        });
        seen
    }

    #[test]
    fn what_was_read_is_read_again_and_what_was_not_is_counted() {
        let mut cells = Cells;
        let mut recorder = Recorder::new(&mut cells);
        assert_eq!((cell(&mut recorder, 0, b"b"), cell(&mut recorder, 1, b"b")), (Some("value".to_owned()), None));
        let (three, five, rest) = (some(&mut recorder, b"", 3), some(&mut recorder, b"", 5), some(&mut recorder, b"a4", 99));
        let reads = recorder.into_reads().unwrap();
        let mut recorded = Recorded::new(&reads);
        assert_eq!((cell(&mut recorded, 0, b"b"), cell(&mut recorded, 1, b"b")), (Some("value".to_owned()), None));
        for _ in 0..2 {
            assert_eq!((some(&mut recorded, b"", 3), some(&mut recorded, b"a4", 99)), (three.clone(), rest.clone()));
        }
        assert_eq!(some(&mut recorded, b"", 5), five);
        assert_eq!(cell(&mut recorded, 0, b"a9").as_deref(), Some("9"), "a scan has told of it");
        assert_eq!(recorded.unknown, 0);
        assert_eq!((cell(&mut recorded, 0, b"c"), some(&mut recorded, b"a2", 1).len(), some(&mut recorded, b"", 6).len()), (None, 0, 5));
        assert_eq!(recorded.unknown, 3);
    }
}
