//! What stands before a state's bytes in the store: a head, where there is more to know of them.
//!
//! The head is a MessagePack map, which no state begins with: `{0: version, 1: time of last use}`. A state of version 1 without a time to
//! live has none. When a state expires is decided by the guest.

use crate::Millis;
use crate::msgpack::{Error, Reader, write};

/// Key of the schema version in the head; it is 1 where there is none.
const VERSION: u64 = 0;

/// Key of the time of last use.
const USED: u64 = 1;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The version of the state's schema.
    pub version: u32,
    /// When it was used last, where it has a time to live.
    pub used: Option<Millis>,
}

impl Head {
    /// Takes the head off; behind it the state begins.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Head, Error> {
        let mut head = Head { version: 1, used: None };
        if !matches!(reader.peek(), Ok(0x80..=0x8f)) {
            return Ok(head);
        }
        for _ in 0..reader.map()? {
            match reader.u64()? {
                VERSION => head.version = u32::try_from(reader.u64()?).map_err(|_| Error::Range("a version"))?,
                USED => head.used = Some(reader.i64()?),
                // Of a later SDK.
                _ => reader.skip()?,
            }
        }
        Ok(head)
    }

    /// Appends the head, or nothing where it says nothing.
    #[inline]
    pub fn append(self, out: &mut Vec<u8>) {
        let entries = usize::from(self.version > 1) + usize::from(self.used.is_some());
        if entries == 0 {
            return;
        }
        write::map(out, entries);
        if self.version > 1 {
            write::u64(out, VERSION);
            write::u64(out, u64::from(self.version));
        }
        if let Some(used) = self.used {
            write::u64(out, USED);
            write::i64(out, used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written_and_is_not_there_when_it_says_nothing() {
        for (version, used) in [(1, None), (2, None), (1, Some(-5)), (70_000, Some(i64::MAX))] {
            let head = Head { version, used };
            let mut bytes = Vec::new();
            head.append(&mut bytes);
            assert_eq!(bytes.is_empty(), version == 1 && used.is_none());
            bytes.push(0x90);
            let mut reader = Reader::new(&bytes);
            assert_eq!(Head::read(&mut reader).ok(), Some(head));
            assert_eq!(reader.rest(), [0x90]);
        }
        // As it stands in stores.
        assert_eq!(Head::read(&mut Reader::new(&[0x82, 0, 3, 1, 100, 0x90])), Ok(Head { version: 3, used: Some(100) }));
    }
}
