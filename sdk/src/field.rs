//! How Rust values become MessagePack and back: what may stand in an event or a state.
//!
//! No serde: a decoder that knows its type costs a third of a generic one in a guest.

use std::collections::{BTreeMap, VecDeque};

use sangam_protocol::msgpack::{self, Reader, write};

use crate::Error;
use crate::shape;
use crate::wrong::Wrong;

/// A value that a field of an event or a state can be read from.
///
/// Implemented for booleans, integers, floats, text, bytes, [`Value`], `Option`, `Vec`, `VecDeque`, `BTreeMap`, pairs, and for every
/// `#[event]` and `#[state]` struct. `&str` and `&[u8]` borrow from the batch.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an event or a state",
    label = "not a field type",
    note = "field types: bool, integers, floats, String, &str, Vec<u8>, &[u8], Option<T>, Vec<T>, VecDeque<T>, BTreeMap<K, T>, Value, and structs marked #[event] or #[state]",
    note = "a HashMap has no stable order: use a BTreeMap, or sangam_sdk::Map for state too big to carry"
)]
pub trait Field<'a>: Sized {
    /// The type's name in the manifest.
    const KIND: &'static str;
    /// Name of a `Vec` of this type in the manifest.
    #[doc(hidden)]
    const VEC_KIND: &'static str = "array";
    /// Whether an event may lack the field.
    const OPTIONAL: bool = false;
    /// Whether cells of a large state hang on the value.
    #[doc(hidden)]
    const CELLS: Cells = Cells::None;

    /// Reads the value.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong>;

    /// The value of a field that is not there.
    #[doc(hidden)]
    #[inline]
    fn absent() -> Result<Self, Wrong> {
        Err(Wrong::missing())
    }

    #[doc(hidden)]
    #[inline]
    fn decode_vec(reader: &mut Reader<'a>) -> Result<Vec<Self>, Wrong> {
        items(reader)
    }

    /// Ties the value to the cells of a slot.
    #[doc(hidden)]
    #[inline]
    fn bind(&mut self, _slot: u32, _field: u8) {}

    /// Makes sure that the value's cells are those of its slot, after the author's code has run.
    #[doc(hidden)]
    #[inline]
    fn settle(&mut self, _slot: u32, _field: u8) -> Result<(), Error> {
        Ok(())
    }

    /// Takes the cells into the value itself, for a look from outside a batch.
    #[doc(hidden)]
    fn own(&mut self, _field: u8, _cells: &BTreeMap<Vec<u8>, Vec<u8>>) {}
}

/// Whether a type is, or holds, a handle to the cells of a large state.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    None,
    Handle,
    Inside,
}

impl Cells {
    /// What a type that contains this one has.
    #[doc(hidden)]
    pub const fn inside(self) -> Cells {
        match self {
            Cells::None => Cells::None,
            Cells::Handle | Cells::Inside => Cells::Inside,
        }
    }

    #[doc(hidden)]
    pub const fn any(self) -> bool {
        !matches!(self, Cells::None)
    }

    #[doc(hidden)]
    pub const fn or(self, other: Cells) -> Cells {
        if self.any() { self } else { other }
    }
}

/// A value that can be written as MessagePack.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to an event or a state",
    note = "field types: bool, integers, floats, String, &str, Vec<u8>, &[u8], Option<T>, Vec<T>, VecDeque<T>, BTreeMap<K, T>, Value, and structs marked #[event] or #[state]"
)]
pub trait Encode {
    /// Appends the value.
    fn encode(&self, out: &mut Vec<u8>);

    /// Appends the value as it is kept in a state: an `#[event]` by position and not as a map with names, which is smaller and faster,
    /// and which `Field` reads as well.
    #[doc(hidden)]
    #[inline]
    fn pack(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    #[doc(hidden)]
    #[inline]
    fn encode_slice(items: &[Self], out: &mut Vec<u8>)
    where
        Self: Sized,
    {
        write::array(out, items.len());
        for item in items {
            item.encode(out);
        }
    }
}

/// Any MessagePack value, not decoded: to be kept, passed on, or looked into later.
///
/// ```
/// use sangam_sdk::*;
///
/// let value = Value::from(&7u64);
/// assert_eq!(value.decode::<u64>().unwrap(), 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(Vec<u8>);

impl Value {
    /// The value's MessagePack bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the value as any field type.
    pub fn decode<'a, T: Field<'a>>(&'a self) -> crate::Result<T> {
        Ok(T::decode(&mut Reader::new(&self.0))?)
    }
}

impl Default for Value {
    /// Nil.
    fn default() -> Self {
        Value(vec![0xc0])
    }
}

impl<T: Encode> From<&T> for Value {
    fn from(value: &T) -> Self {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        Value(bytes)
    }
}

impl<'a> Field<'a> for Value {
    const KIND: &'static str = "any";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(Value(reader.value()?.to_vec()))
    }
}

impl Encode for Value {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

// === plain values ===

impl<'a> Field<'a> for bool {
    const KIND: &'static str = "bool";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(reader.bool()?)
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write::bool(out, *self);
    }
}

macro_rules! integers {
    ($($type:ident $read:ident $kind:literal $range:literal),*) => {$(
        impl<'a> Field<'a> for $type {
            const KIND: &'static str = $kind;
            #[inline]
            fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
                if let Some(int) = reader.plain_int() {
                    return $type::try_from(int).map_err(|_| msgpack::Error::Range($range).into());
                }
                $type::try_from(reader.$read()?).map_err(|_| msgpack::Error::Range($range).into())
            }
        }
        impl Encode for $type {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                write::$read(out, *self as $read);
            }
        }
    )*};
}

integers! {
    u16 u64 "u16" "16 bits without sign", u32 u64 "u32" "32 bits without sign", u64 u64 "u64" "64 bits without sign", usize u64 "u64" "a length",
    i8 i64 "i8" "8 bits with sign", i16 i64 "i16" "16 bits with sign", i32 i64 "i32" "32 bits with sign", i64 i64 "i64" "64 bits with sign"
}

impl<'a> Field<'a> for u8 {
    const KIND: &'static str = "u8";
    const VEC_KIND: &'static str = "bytes";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        u8::try_from(reader.u64()?).map_err(|_| msgpack::Error::Range("8 bits without sign").into())
    }

    /// Binary; JSON has none, so text and arrays of small numbers are taken too.
    fn decode_vec(reader: &mut Reader<'a>) -> Result<Vec<Self>, Wrong> {
        match reader.peek()? {
            0xa0..=0xbf | 0xd9..=0xdb => Ok(reader.str_bytes()?.to_vec()),
            0x90..=0x9f | 0xdc | 0xdd => items(reader),
            _ => Ok(reader.bin()?.to_vec()),
        }
    }
}

impl Encode for u8 {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write::u64(out, u64::from(*self));
    }

    #[inline]
    fn encode_slice(items: &[Self], out: &mut Vec<u8>) {
        write::bin(out, items);
    }
}

impl<'a> Field<'a> for f64 {
    const KIND: &'static str = "f64";
    #[inline(always)]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        match reader.double() {
            Some(float) => Ok(float),
            None => Ok(reader.f64()?),
        }
    }
}

impl Encode for f64 {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write::f64(out, *self);
    }
}

impl<'a> Field<'a> for f32 {
    const KIND: &'static str = "f32";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(reader.f64()? as f32)
    }
}

impl Encode for f32 {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xca);
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl<'a> Field<'a> for &'a str {
    const KIND: &'static str = "str";
    #[inline(always)]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        match reader.short_text() {
            Some(text) => Ok(text),
            None => Ok(reader.str()?),
        }
    }
}

impl<'a> Field<'a> for String {
    const KIND: &'static str = "str";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(reader.str()?.to_owned())
    }
}

impl Encode for str {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write::str(out, self);
    }
}

impl Encode for String {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        write::str(out, self);
    }
}

impl<'a> Field<'a> for &'a [u8] {
    const KIND: &'static str = "bytes";
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        match reader.peek()? {
            0xa0..=0xbf | 0xd9..=0xdb => Ok(reader.str_bytes()?),
            _ => Ok(reader.bin()?),
        }
    }
}

impl<T: Encode> Encode for [T] {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        T::encode_slice(self, out);
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

// === values of values ===

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const KIND: &'static str = T::KIND;
    const OPTIONAL: bool = true;
    const CELLS: Cells = T::CELLS.inside();
    #[inline(always)]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        if reader.nil()? { Ok(None) } else { T::decode(reader).map(Some) }
    }
    #[inline]
    fn absent() -> Result<Self, Wrong> {
        Ok(None)
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => write::nil(out),
        }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Box<T> {
    const KIND: &'static str = T::KIND;
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        T::decode(reader).map(Box::new)
    }
}

impl<T: Encode> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    const KIND: &'static str = T::VEC_KIND;
    const CELLS: Cells = T::CELLS.inside();
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        T::decode_vec(reader)
    }
}

impl<T: Encode> Encode for Vec<T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        T::encode_slice(self, out);
    }
}

impl<'a, T: Field<'a>> Field<'a> for VecDeque<T> {
    const KIND: &'static str = "array";
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        items(reader).map(VecDeque::from)
    }
}

impl<T: Encode> Encode for VecDeque<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.len());
        for item in self {
            item.encode(out);
        }
    }
}

impl<'a, K: Field<'a> + Ord, V: Field<'a>> Field<'a> for BTreeMap<K, V> {
    const KIND: &'static str = "object";
    const CELLS: Cells = V::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut map = BTreeMap::new();
        for _ in 0..reader.map()? {
            map.insert(K::decode(reader)?, V::decode(reader)?);
        }
        Ok(map)
    }
}

impl<K: Encode, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, self.len());
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }
}

impl<'a, A: Field<'a>, B: Field<'a>> Field<'a> for (A, B) {
    const KIND: &'static str = "array";
    const CELLS: Cells = A::CELLS.or(B::CELLS).inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        shape::pair(reader)?;
        Ok((A::decode(reader).map_err(|wrong| wrong.inside("0"))?, B::decode(reader).map_err(|wrong| wrong.inside("1"))?))
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, 2);
        self.0.encode(out);
        self.1.encode(out);
    }
}

/// The items of an array. Its length is a claim: memory is taken only for items that are there.
fn items<'a, T: Field<'a>>(reader: &mut Reader<'a>) -> Result<Vec<T>, Wrong> {
    let claimed = reader.array()?;
    let mut items = Vec::with_capacity(claimed.min(reader.rest().len()).min(1024));
    for i in 0..claimed {
        items.push(T::decode(reader).map_err(|wrong| wrong.inside(&i.to_string()))?);
    }
    Ok(items)
}
