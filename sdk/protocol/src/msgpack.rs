//! A bare MessagePack codec over slices: what the hot path needs of the format, and no more.
//!
//! It does not map values to Rust types; `rmp-serde` does that where speed does not matter. Written here because `rmp` reads
//! through `std::io::Read`, which costs a guest both size and time.

pub mod write;

use std::fmt;

/// How deep values may nest before [`Reader::skip`] refuses them.
pub const MAX_DEPTH: u32 = 64;

/// Why bytes are not the MessagePack value that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The value goes on past the end of the bytes.
    Truncated,
    /// Another type stands here; holds the name of the expected one and the marker byte that was found.
    Type(&'static str, u8),
    /// A number that the asked-for type cannot hold.
    Range(&'static str),
    /// A string that is not UTF-8.
    Utf8,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated => f.write_str("the value is cut short"),
            Error::Type(expected, found) => write!(f, "expected {expected}, found {}", type_name(*found)),
            Error::Range(expected) => write!(f, "the number does not fit {expected}"),
            Error::Utf8 => f.write_str("the text is not UTF-8"),
            Error::Depth => write!(f, "nested deeper than {MAX_DEPTH}"),
        }
    }
}

impl std::error::Error for Error {}

/// A result of reading.
pub type Result<T> = std::result::Result<T, Error>;

/// The type that a marker byte announces, in words for an error message.
pub fn type_name(marker: u8) -> &'static str {
    match marker {
        0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => "an integer",
        0x80..=0x8f | 0xde | 0xdf => "a map",
        0x90..=0x9f | 0xdc | 0xdd => "an array",
        0xa0..=0xbf | 0xd9..=0xdb => "a string",
        0xc0 => "nil",
        0xc1 => "a reserved byte",
        0xc2 | 0xc3 => "a boolean",
        0xc4..=0xc6 => "binary",
        0xc7..=0xc9 | 0xd4..=0xd8 => "an extension",
        0xca | 0xcb => "a float",
    }
}

/// Reads values off the front of a slice. A failed read leaves the position anywhere; start again from the outside.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Bytes read so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// True when everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The marker byte of the next value, not consumed.
    #[inline]
    pub fn peek(&self) -> Result<u8> {
        self.bytes.get(self.at).copied().ok_or(Error::Truncated)
    }

    /// Consumes the next value when it is nil, and says whether it was.
    #[inline]
    pub fn nil(&mut self) -> Result<bool> {
        let nil = self.peek()? == 0xc0;
        self.at += usize::from(nil);
        Ok(nil)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// The next `len` bytes as they stand.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or(Error::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Error::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        let mut out = [0; N];
        out.copy_from_slice(taken);
        Ok(out)
    }

    #[inline]
    fn len8(&mut self) -> Result<usize> {
        Ok(usize::from(self.byte()?))
    }

    #[inline]
    fn len16(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.fixed()?)))
    }

    #[inline]
    fn len32(&mut self) -> Result<usize> {
        Ok(u32::from_be_bytes(self.fixed()?) as usize)
    }

    /// Length of the array that starts here. It is the writer's claim: do not allocate by it unchecked.
    #[inline]
    pub fn array(&mut self) -> Result<usize> {
        match self.byte()? {
            marker @ 0x90..=0x9f => Ok(usize::from(marker & 0x0f)),
            0xdc => self.len16(),
            0xdd => self.len32(),
            marker => Err(Error::Type("an array", marker)),
        }
    }

    /// Number of pairs of the map that starts here. It is the writer's claim: do not allocate by it unchecked.
    #[inline]
    pub fn map(&mut self) -> Result<usize> {
        match self.byte()? {
            marker @ 0x80..=0x8f => Ok(usize::from(marker & 0x0f)),
            0xde => self.len16(),
            0xdf => self.len32(),
            marker => Err(Error::Type("a map", marker)),
        }
    }

    /// A string's bytes, not checked to be UTF-8.
    #[inline]
    pub fn str_bytes(&mut self) -> Result<&'a [u8]> {
        let len = match self.byte()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.len8()?,
            0xda => self.len16()?,
            0xdb => self.len32()?,
            marker => return Err(Error::Type("a string", marker)),
        };
        self.take(len)
    }

    /// A string.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str> {
        match self.short_text() {
            Some(text) => Ok(text),
            None => self.any_text(),
        }
    }

    /// A string of less than 32 bytes of ASCII, as most are: few enough instructions to be part of whoever reads it. `None`, and nothing
    /// is consumed, where something else stands here.
    #[inline(always)]
    pub fn short_text(&mut self) -> Option<&'a str> {
        let (marker, rest) = self.bytes.get(self.at..)?.split_first()?;
        if !matches!(marker, 0xa0..=0xbf) {
            return None;
        }
        let bytes = rest.get(..usize::from(marker & 0x1f))?;
        let len = bytes.len();
        let word = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word));
        // Words that overlap rather than odd bytes at the end.
        let high = match len {
            0..8 => bytes.iter().fold(0, |high, byte| high | u64::from(*byte)),
            8..=16 => word(0) | word(len - 8),
            _ => word(0) | word(8) | word(len - 16) | word(len - 8),
        };
        if high & 0x8080_8080_8080_8080 != 0 {
            return None;
        }
        self.at += 1 + bytes.len();
        // SAFETY: ASCII is UTF-8.
        Some(unsafe { std::str::from_utf8_unchecked(bytes) })
    }

    #[inline(never)]
    fn any_text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.str_bytes()?).map_err(|_| Error::Utf8)
    }

    /// Binary.
    #[inline]
    pub fn bin(&mut self) -> Result<&'a [u8]> {
        let len = match self.byte()? {
            0xc4 => self.len8()?,
            0xc5 => self.len16()?,
            0xc6 => self.len32()?,
            marker => return Err(Error::Type("binary", marker)),
        };
        self.take(len)
    }

    /// A boolean.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        match self.byte()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            marker => Err(Error::Type("a boolean", marker)),
        }
    }

    /// An integer of any width and sign: the way out where a caller's own forms do not fit, so it stands once and not in each of them.
    #[cold]
    #[inline(never)]
    pub fn int(&mut self) -> Result<i128> {
        Ok(match self.byte()? {
            marker @ 0x00..=0x7f => i128::from(marker),
            marker @ 0xe0..=0xff => i128::from(marker as i8),
            0xcc => i128::from(self.byte()?),
            0xcd => i128::from(u16::from_be_bytes(self.fixed()?)),
            0xce => i128::from(u32::from_be_bytes(self.fixed()?)),
            0xcf => i128::from(u64::from_be_bytes(self.fixed()?)),
            0xd0 => i128::from(self.byte()? as i8),
            0xd1 => i128::from(i16::from_be_bytes(self.fixed()?)),
            0xd2 => i128::from(i32::from_be_bytes(self.fixed()?)),
            0xd3 => i128::from(i64::from_be_bytes(self.fixed()?)),
            marker => return Err(Error::Type("an integer", marker)),
        })
    }

    /// An unsigned integer, from any integer that fits.
    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        Ok(match self.byte()? {
            marker @ 0x00..=0x7f => u64::from(marker),
            0xcc => u64::from(self.byte()?),
            0xcd => u64::from(u16::from_be_bytes(self.fixed()?)),
            0xce => u64::from(u32::from_be_bytes(self.fixed()?)),
            0xcf => u64::from_be_bytes(self.fixed()?),
            0xd0..=0xd3 | 0xe0..=0xff => {
                self.at -= 1;
                return u64::try_from(self.int()?).map_err(|_| Error::Range("an unsigned integer"));
            }
            marker => return Err(Error::Type("an integer", marker)),
        })
    }

    /// An integer in its one-byte or its nine-byte form without sign, the forms that events are full of. `None`, and nothing is consumed,
    /// where something else stands here.
    #[inline(always)]
    pub fn plain_int(&mut self) -> Option<u64> {
        let (marker, rest) = self.bytes.get(self.at..)?.split_first()?;
        match (marker, rest.first_chunk()) {
            (0..=0x7f, _) => {
                self.at += 1;
                Some(u64::from(*marker))
            }
            (0xcf, Some(long)) => {
                self.at += 9;
                Some(u64::from_be_bytes(*long))
            }
            _ => None,
        }
    }

    /// A number in the nine-byte form of floats. `None`, and nothing is consumed, where something else stands here.
    #[inline(always)]
    pub fn double(&mut self) -> Option<f64> {
        let (marker, rest) = self.bytes.get(self.at..)?.split_first()?;
        let float = rest.first_chunk().filter(|_| *marker == 0xcb)?;
        self.at += 9;
        Some(f64::from_be_bytes(*float))
    }

    /// A signed integer, from any integer that fits.
    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        Ok(match self.byte()? {
            marker @ 0x00..=0x7f => i64::from(marker),
            marker @ 0xe0..=0xff => i64::from(marker as i8),
            0xd3 => i64::from_be_bytes(self.fixed()?),
            0xcf => i64::try_from(u64::from_be_bytes(self.fixed()?)).map_err(|_| Error::Range("a 64-bit signed integer"))?,
            _ => {
                self.at -= 1;
                i64::try_from(self.int()?).map_err(|_| Error::Range("a 64-bit signed integer"))?
            }
        })
    }

    /// A float; integers are taken too, as JSON and many producers write `5` for `5.0`.
    #[inline]
    pub fn f64(&mut self) -> Result<f64> {
        match self.peek()? {
            0xcb => {
                self.at += 1;
                Ok(f64::from_be_bytes(self.fixed()?))
            }
            0xca => {
                self.at += 1;
                Ok(f64::from(f32::from_be_bytes(self.fixed()?)))
            }
            marker => match self.int() {
                Ok(int) => Ok(int as f64),
                Err(Error::Type(..)) => Err(Error::Type("a number", marker)),
                Err(other) => Err(other),
            },
        }
    }

    /// The bytes of the next value, whatever it is.
    #[inline]
    pub fn value(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        self.skip()?;
        Ok(self.bytes.get(start..self.at).unwrap_or(&[]))
    }

    /// Steps over the next value without recursion.
    #[inline]
    pub fn skip(&mut self) -> Result<()> {
        match len_of(self.peek()?) {
            0 => self.skip_any(),
            len => self.take(len).map(drop),
        }
    }

    fn skip_any(&mut self) -> Result<()> {
        match self.skip_head()? {
            0 => Ok(()),
            children => self.skip_children(children),
        }
    }

    /// Steps over a head and its own bytes; returns how many values follow that belong to it.
    #[inline]
    fn skip_head(&mut self) -> Result<u64> {
        let marker = self.byte()?;
        let len = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => return Ok(0),
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xcf | 0xd3 | 0xcb => 8,
            0xd9 | 0xc4 => self.len8()?,
            0x80..=0x8f => return Ok(2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => return Ok(u64::from(marker & 0x0f)),
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xce | 0xd2 | 0xca => 4,
            0xda | 0xc5 => self.len16()?,
            0xdb | 0xc6 => self.len32()?,
            0xdc => return Ok(self.len16()? as u64),
            0xdd => return Ok(self.len32()? as u64),
            0xde => return Ok(2 * self.len16()? as u64),
            0xdf => return Ok(2 * self.len32()? as u64),
            0xd4..=0xd8 => 1 + (1 << (marker - 0xd4)),
            0xc7 => 1 + self.len8()?,
            0xc8 => 1 + self.len16()?,
            0xc9 => 1 + self.len32()?,
            0xc1 => return Err(Error::Type("a value", marker)),
        };
        self.take(len)?;
        Ok(0)
    }

    #[cold]
    fn skip_children(&mut self, children: u64) -> Result<()> {
        let mut open = [0u64; MAX_DEPTH as usize];
        let mut depth = 0;
        open[0] = children;
        loop {
            if open[depth] == 0 {
                if depth == 0 {
                    return Ok(());
                }
                depth -= 1;
                continue;
            }
            open[depth] -= 1;
            let children = self.skip_head()?;
            if children > 0 {
                depth += 1;
                *open.get_mut(depth).ok_or(Error::Depth)? = children;
            }
        }
    }
}

/// Bytes of the value that a marker byte begins, with the marker; 0 where the marker alone does not tell.
#[inline]
pub fn len_of(marker: u8) -> usize {
    usize::from(LENGTHS[usize::from(marker)])
}

/// [`len_of`] for every marker: one load instead of a chain of comparisons, for each field of each event.
static LENGTHS: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut marker = 0;
    while marker < 256 {
        lengths[marker] = match marker as u8 {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            text @ 0xa0..=0xbf => 1 + (text & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xce | 0xd2 | 0xca => 5,
            0xcf | 0xd3 | 0xcb => 9,
            extension @ 0xd4..=0xd8 => 2 + (1 << (extension - 0xd4)),
            // An empty array or map is nothing but its marker.
            0x80 | 0x90 => 1,
            _ => 0,
        };
        marker += 1;
    }
    lengths
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_nested_without_end_is_refused_and_not_followed() {
        assert_eq!(Reader::new(&[0x91; 10_000]).skip(), Err(Error::Depth));
        assert_eq!(Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]).skip(), Err(Error::Truncated));
    }

    #[test]
    fn an_error_names_what_was_expected_and_what_was_found() {
        assert_eq!(Reader::new(&[0xa1, b'x']).f64().unwrap_err().to_string(), "expected a number, found a string");
        assert_eq!(Reader::new(&[0xff]).u64().unwrap_err().to_string(), "the number does not fit an unsigned integer");
    }

    #[test]
    fn text_of_any_length_is_read_and_no_byte_of_it_may_be_wrong() {
        for len in 0..40 {
            let text: String = ('a'..='z').cycle().take(len).collect();
            let mut bytes = Vec::new();
            write::str(&mut bytes, &text);
            assert_eq!(Reader::new(&bytes).str(), Ok(text.as_str()));
            let mut after = Vec::new();
            write::bytes(&mut after, text.as_bytes());
            assert_eq!(after, text.as_bytes());
            let body = bytes.len() - len;
            for i in body..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[i] = 0xff;
                assert_eq!(Reader::new(&bytes).str(), Err(Error::Utf8), "{len} bytes, byte {}", i - body);
            }
            assert_eq!(Reader::new(bytes.get(..bytes.len() - 1).unwrap()).str(), Err(Error::Truncated));
        }
    }

    #[test]
    fn a_value_is_as_long_by_its_marker_as_by_a_walk_over_it() {
        for marker in 0..=255 {
            let bytes = [[marker].as_slice(), &[0; 300]].concat();
            let mut walked = Reader::new(&bytes);
            match (len_of(marker), walked.skip_any()) {
                (0, _) => {}
                (len, walk) => assert_eq!((walk, walked.position()), (Ok(()), len), "{marker:#04x}"),
            }
        }
    }

    proptest! {
        #[test]
        fn integers_read_back_as_rmp_wrote_them(value: i64) {
            let theirs = rmp_serde::to_vec(&value).unwrap();
            let mut ours = Vec::new();
            write::i64(&mut ours, value);
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(Reader::new(&ours).i64().unwrap(), value);
        }

        #[test]
        fn text_and_floats_read_back_as_rmp_wrote_them(text: String, number: f64) {
            let theirs = rmp_serde::to_vec(&(&text, number)).unwrap();
            let mut ours = Vec::new();
            write::array(&mut ours, 2);
            write::str(&mut ours, &text);
            write::f64(&mut ours, number);
            prop_assert_eq!(&ours, &theirs);
            let mut reader = Reader::new(&ours);
            prop_assert_eq!(reader.array().unwrap(), 2);
            prop_assert_eq!(reader.str().unwrap(), text);
            prop_assert_eq!(reader.f64().unwrap().to_bits(), number.to_bits());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() && reader.skip().is_ok() {}
        }
    }
}
