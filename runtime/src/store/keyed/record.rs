//! How a key's state and timers stand in the store: MessagePack `[state, [[name, at, seq], ..]]`, where the state is binary or nil.
//!
//! The key itself is the entry's key in the store, byte for byte.

use crate::time::Millis;
use sangam_protocol::msgpack::{self, Reader, write};

/// A record as it was read; also for tools that look at a store without a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The state; none where the key has timers only.
    pub state: Option<&'a [u8]>,
    /// The timers: name, time, place in the order of setting.
    pub timers: Vec<(&'a str, Millis, u64)>,
}

impl<'a> Record<'a> {
    /// Reads a record.
    pub fn read(bytes: &'a [u8]) -> Result<Self, msgpack::Error> {
        let mut reader = Reader::new(bytes);
        expect_array(&mut reader, 2)?;
        let state = if reader.nil()? { None } else { Some(reader.bin()?) };
        let mut timers = Vec::new();
        for _ in 0..reader.array()? {
            expect_array(&mut reader, 3)?;
            timers.push((reader.str()?, reader.i64()?, reader.u64()?));
        }
        Ok(Record { state, timers })
    }
}

/// Appends a record.
pub(super) fn append<'a>(state: Option<&[u8]>, timers: impl ExactSizeIterator<Item = (&'a str, Millis, u64)>, out: &mut Vec<u8>) {
    write::array(out, 2);
    match state {
        Some(state) => write::bin(out, state),
        None => write::nil(out),
    }
    write::array(out, timers.len());
    for (name, at, seq) in timers {
        write::array(out, 3);
        write::str(out, name);
        write::i64(out, at);
        write::u64(out, seq);
    }
}

fn expect_array(reader: &mut Reader<'_>, len: usize) -> Result<(), msgpack::Error> {
    let marker = reader.peek()?;
    if reader.array()? == len { Ok(()) } else { Err(msgpack::Error::Type("an array of another length", marker)) }
}
