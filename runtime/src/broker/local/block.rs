//! A block of records as it stands in the store: a MessagePack array of `[time, key, value, headers]`, each of the last three binary
//! or nil. Its key is the offset of its first record, big endian; the others count on from there.

use crate::broker::OutRecord;
use crate::events::Record;
use sangam_protocol::msgpack::{Error, Reader, write};

/// A block that is being written.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    count: u32,
}

/// A block that is being read; the caller keeps its bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    at: usize,
    /// Records not read yet.
    left: usize,
}

impl Block {
    pub(super) fn push(&mut self, record: &OutRecord<'_>) {
        let out = &mut self.bytes;
        if out.is_empty() {
            write::array32(out, 0);
        }
        write::array(out, 4);
        write::i64(out, record.time);
        for part in [record.key, record.value, Some(record.headers).filter(|headers| !headers.is_empty())] {
            match part {
                Some(bytes) => write::bin(out, bytes),
                None => write::nil(out),
            }
        }
        self.count += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn finish(&mut self) -> &[u8] {
        write::patch32(&mut self.bytes, 0, self.count as usize);
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

impl Cursor {
    /// Starts with the first record of a block.
    pub(super) fn new(block: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(block);
        let left = reader.array()?;
        Ok(Cursor { at: reader.position(), left })
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The next record, without partition and offset.
    pub(super) fn next<'a>(&mut self, block: &'a [u8]) -> Result<Record<'a>, Error> {
        let mut reader = Reader::new(block.get(self.at..).unwrap_or(&[]));
        let marker = reader.peek()?;
        if reader.array()? != 4 {
            return Err(Error::Type("an array of four", marker));
        }
        let time = reader.i64()?;
        let (key, value, headers) = (part(&mut reader)?, part(&mut reader)?, part(&mut reader)?);
        self.at += reader.position();
        self.left -= 1;
        Ok(Record { key, value, headers: headers.unwrap_or(&[]), time, ..Record::default() })
    }

    /// Steps over the next record.
    pub(super) fn skip(&mut self, block: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(block.get(self.at..).unwrap_or(&[]));
        reader.skip()?;
        self.at += reader.position();
        self.left -= 1;
        Ok(())
    }
}

/// Number of records in a block.
pub(super) fn count(block: &[u8]) -> Result<usize, Error> {
    Reader::new(block).array()
}

/// The key of the block whose first record has the offset `base`.
pub(super) fn key(base: i64) -> [u8; 8] {
    (base as u64).to_be_bytes()
}

/// The offset of a block's first record.
pub(super) fn base(key: &[u8]) -> i64 {
    key.iter().fold(0, |base, byte| base << 8 | i64::from(*byte))
}

fn part<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Error> {
    if reader.nil()? { Ok(None) } else { reader.bin().map(Some) }
}
