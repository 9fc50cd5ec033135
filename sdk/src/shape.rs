//! How the fields of a struct are found: by position in a frame and in a state, by name in a nested value.
//!
//! Generated code calls these; they know nothing of any one struct.

use sangam_protocol::msgpack::{self, Reader, write};

use crate::field::{Encode, Field};
use crate::wrong::Wrong;

/// Reads the head of an event's positional fields.
#[doc(hidden)]
#[inline]
pub fn positions(reader: &mut Reader<'_>, fields: usize) -> Result<(), Wrong> {
    match reader.array() {
        Ok(found) if found == fields => Ok(()),
        _ => Err(Wrong::frame()),
    }
}

/// Reads the head of a pair.
#[inline]
pub(crate) fn pair(reader: &mut Reader<'_>) -> Result<(), Wrong> {
    if reader.array()? == 2 { Ok(()) } else { Err(msgpack::Error::Range("a pair").into()) }
}

/// Reads the next field, whose name stands in errors.
#[doc(hidden)]
#[inline(always)]
pub fn next<'a, T: Field<'a>>(reader: &mut Reader<'a>, name: &str) -> Result<T, Wrong> {
    T::decode(reader).map_err(|wrong| wrong.inside(name))
}

/// Reads the next field of a state of which `left` are left; a state written by an earlier build may have fewer.
#[doc(hidden)]
#[inline(always)]
pub fn next_or_default<'a, T: Field<'a> + Default>(reader: &mut Reader<'a>, left: &mut usize, name: &str) -> Result<T, Wrong> {
    if *left == 0 {
        return Ok(T::default());
    }
    *left -= 1;
    next(reader, name)
}

/// Steps over the fields of a later build that this one does not know.
#[doc(hidden)]
#[inline]
pub fn rest(reader: &mut Reader<'_>, left: usize) -> Result<(), Wrong> {
    for _ in 0..left {
        reader.skip()?;
    }
    Ok(())
}

/// Finds the values at `paths` in the struct that comes next, a map or an array in declared order, and steps over it.
#[doc(hidden)]
pub fn locate<'a, const N: usize>(reader: &mut Reader<'a>, paths: &[&str; N]) -> Result<[Option<Reader<'a>>; N], Wrong> {
    let mut found = [None; N];
    if matches!(reader.peek()?, 0x90..=0x9f | 0xdc | 0xdd) {
        for i in 0..reader.array()? {
            if let Some(place) = found.get_mut(i) {
                *place = Some(*reader);
            }
            reader.skip()?;
        }
    } else {
        visit(reader, &mut |key, value| {
            for (path, place) in paths.iter().zip(&mut found) {
                match path.strip_prefix(key) {
                    Some("") => *place = Some(value),
                    Some(rest) => {
                        if let Some(rest) = rest.strip_prefix('.') {
                            *place = find(value, rest).or(*place);
                        }
                    }
                    None => {}
                }
            }
        })?;
    }
    Ok(found)
}

/// Decodes what [`locate`] found.
#[doc(hidden)]
pub fn located<'a, T: Field<'a>>(found: Option<Reader<'a>>, name: &str) -> Result<T, Wrong> {
    match found {
        Some(mut reader) => T::decode(&mut reader),
        None => T::absent(),
    }
    .map_err(|wrong| wrong.inside(name))
}

/// The value at a dotted path in a map; a key that holds the dots itself is found first.
#[doc(hidden)]
pub fn find<'a>(value: Reader<'a>, path: &str) -> Option<Reader<'a>> {
    let mut found = None;
    let mut reader = value;
    visit(&mut reader, &mut |key, value| match path.strip_prefix(key) {
        Some("") => found = Some(value),
        Some(rest) => {
            if let Some(rest) = rest.strip_prefix('.') {
                found = find(value, rest).or(found);
            }
        }
        None => {}
    })
    .ok()?;
    found
}

fn visit<'a>(reader: &mut Reader<'a>, pair: &mut dyn FnMut(&'a str, Reader<'a>)) -> Result<(), Wrong> {
    for _ in 0..reader.map()? {
        if matches!(reader.peek()?, 0xa0..=0xbf | 0xd9..=0xdb) {
            let key = reader.str()?;
            pair(key, *reader);
        } else {
            reader.skip()?;
        }
        reader.skip()?;
    }
    Ok(())
}

/// The error of an event type that the operator does not know.
#[doc(hidden)]
#[cold]
pub fn unknown_kind() -> Wrong {
    Wrong::frame()
}

/// The tag of an event of one of several types: a pair of tag and event as a state keeps it, or a map that has the tag in a field. The
/// reader then stands at the event.
#[doc(hidden)]
pub fn tag_of<'a>(reader: &mut Reader<'a>, tag: &str) -> Result<&'a str, Wrong> {
    if matches!(reader.peek()?, 0x90..=0x9f) {
        pair(reader)?;
        return Ok(reader.str()?);
    }
    located(find(*reader, tag), tag)
}

/// The error of a tag that stands for no type of event.
#[doc(hidden)]
#[cold]
pub fn unknown_tag(tag: &str) -> Wrong {
    Wrong::from(msgpack::Error::Range("a known type of event")).inside(tag)
}

/// Writes an event of one of several types: its map with the tag in front.
#[doc(hidden)]
pub fn tagged(tag: &str, name: &str, event: &impl Encode, out: &mut Vec<u8>) {
    let mut map = Vec::new();
    event.encode(&mut map);
    let mut reader = Reader::new(&map);
    // An #[event] struct is always written as a map.
    let pairs = reader.map().unwrap_or(0);
    write::map(out, pairs + 1);
    write::str(out, tag);
    write::str(out, name);
    out.extend_from_slice(reader.rest());
}
