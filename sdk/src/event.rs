//! What an operator takes: declared fields, chosen fields, or bytes.

use sangam_protocol::msgpack::{Reader, write};

use crate::emit::{Emitter, Payload};
use crate::field::{Encode, Field};
use crate::shape;
use crate::wrong::Wrong;
use crate::{Error, Result};

/// An event as it comes out of a frame. `#[event]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "an operator takes an event by value",
    note = "mark the struct with #[event], or take Raw<'_> for the bytes or Row<'_> for fields that depend on the configuration"
)]
pub trait Event<'a>: Sized {
    /// The input in the manifest, as JSON; of an `#[inputs]` enum all of them, with commas between.
    const INPUT: &'static str;
    /// How many types of event it tells apart.
    #[doc(hidden)]
    const KINDS: u8 = 1;
    /// The same inputs as `INPUT`, as broadcast ones; empty where they have no names of their own.
    #[doc(hidden)]
    const BROADCAST: &'static str = "";
    /// Reads the event of type `kind` from its positional fields, or from its bytes.
    fn read(kind: u8, reader: &mut Reader<'a>) -> Result<Self, Wrong>;
}

/// An `#[event]` struct: one type with named fields.
#[doc(hidden)]
pub trait EventStruct {
    /// The type's name.
    const NAME: &'static str;
    /// The fields in the manifest, as a JSON array.
    const FIELDS: &'static str;
}

/// An event's bytes as they came, for an operator that looks into them itself or not at all.
///
/// ```
/// use sangam_sdk::*;
///
/// #[operator]
/// fn short(event: Raw<'_>) -> Option<Forward> {
///     (event.bytes().len() < 1_000).then_some(Forward)
/// }
/// assert_eq!(short(Raw::new(b"tiny")), Some(Forward));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// An event of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Raw(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Reads the bytes as a MessagePack value: one field of a map by its path, say `user.id`.
    ///
    /// ```
    /// let event = sangam_sdk::Raw::new(b"\x81\xa1n\x05");
    /// assert_eq!(event.field::<u64>("n").unwrap(), 5);
    /// assert!(event.field::<u64>("m").is_err());
    /// ```
    pub fn field<T: Field<'a>>(&self, path: &str) -> Result<T> {
        Ok(shape::located(shape::find(Reader::new(self.0), path), path)?)
    }

    /// Reads the bytes as a MessagePack value by serde: slow and general.
    pub fn decode<T: serde::Deserialize<'a>>(&self) -> Result<T> {
        rmp_serde::from_slice(self.0).map_err(|error| Error::Reject(error.to_string()))
    }
}

impl<'a> Event<'a> for Raw<'a> {
    const INPUT: &'static str = "{\"name\":\"in\",\"types\":[]}";
    #[inline]
    fn read(_kind: u8, reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        reader.bin().map(Raw).map_err(|_| Wrong::frame())
    }
}

/// No event.
impl<'a> Event<'a> for () {
    const INPUT: &'static str = "";
    const KINDS: u8 = 0;
    fn read(_kind: u8, _reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Err(Wrong::frame())
    }
}

impl Encode for Raw<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

impl Payload for Raw<'_> {
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        out.value(port, |buffer| buffer.extend_from_slice(self.0));
        Ok(())
    }
}

/// Fields of a [`Row`] whose places are remembered; those further on are found from the last of these.
const PLACES: usize = 16;

/// The fields that an operator asked for when it saw its configuration, by position.
///
/// The operator is an `impl` with a method `fn fields(&self) -> Vec<FieldPath>`.
///
/// ```
/// use sangam_sdk::*;
///
/// #[config] struct Above { field: String, limit: f64 }
///
/// #[operator]
/// impl Above {
///     fn fields(&self) -> Vec<FieldPath> { vec![FieldPath::required(&self.field)] }
///     fn on_event(&self, row: Row<'_>) -> Result<Option<Forward>> {
///         Ok((row.f64(0)? > self.limit).then_some(Forward))
///     }
/// }
/// # let mut h = test::Harness::<Above>::with(Above { field: "a.b".into(), limit: 1.0 });
/// # h.send_raw(0, b"\x81\xa1a\x81\xa1b\x02");
/// # assert_eq!(h.outputs().len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    bytes: &'a [u8],
    len: usize,
    places: [u32; PLACES],
}

impl<'a> Row<'a> {
    /// Number of fields.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a row has the fields that were asked for, never none by surprise")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes of field `i` as MessagePack.
    pub fn value(&self, i: usize) -> Result<&'a [u8]> {
        Ok(self.reader(i)?.value().map_err(Wrong::from)?)
    }

    /// Field `i` as any field type.
    #[inline]
    pub fn get<T: Field<'a>>(&self, i: usize) -> Result<T> {
        T::decode(&mut self.reader(i)?).map_err(|wrong| wrong.inside(&format!("#{i}")).into())
    }

    /// Field `i` as a number.
    #[inline]
    pub fn f64(&self, i: usize) -> Result<f64> {
        self.get(i)
    }

    /// Field `i` as a whole number.
    #[inline]
    pub fn i64(&self, i: usize) -> Result<i64> {
        self.get(i)
    }

    /// Field `i` as text.
    #[inline]
    pub fn str(&self, i: usize) -> Result<&'a str> {
        self.get(i)
    }

    /// Field `i` as a boolean.
    #[inline]
    pub fn bool(&self, i: usize) -> Result<bool> {
        self.get(i)
    }

    /// Whether field `i` is nil or missing.
    #[inline]
    pub fn is_nil(&self, i: usize) -> bool {
        self.reader(i).and_then(|mut reader| Ok(reader.nil()?)).unwrap_or(true)
    }

    #[inline]
    fn reader(&self, i: usize) -> Result<Reader<'a>> {
        if i >= self.len {
            return Err(Error::Fault(format!("field #{i} was not asked for: `fields` names {}", self.len)));
        }
        let near = i.min(PLACES - 1);
        let start = self.places.get(near).map_or(0, |place| *place as usize);
        let mut reader = Reader::new(self.bytes.get(start..).unwrap_or(&[]));
        for _ in near..i {
            reader.skip()?;
        }
        Ok(reader)
    }
}

impl<'a> Event<'a> for Row<'a> {
    const INPUT: &'static str = "{\"name\":\"in\",\"types\":[],\"dynamic\":true}";
    #[inline]
    fn read(_kind: u8, reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let len = reader.array().map_err(|_| Wrong::frame())?;
        let (bytes, start) = (reader.rest(), reader.position());
        let mut places = [0; PLACES];
        for i in 0..len {
            if let Some(place) = places.get_mut(i) {
                *place = (reader.position() - start) as u32;
            }
            reader.skip().map_err(|_| Wrong::frame())?;
        }
        Ok(Row { bytes: bytes.get(..reader.position() - start).unwrap_or(&[]), len, places })
    }
}

impl Encode for Row<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.len);
        out.extend_from_slice(self.bytes);
    }
}

impl Payload for Row<'_> {
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        out.value(port, |buffer| self.encode(buffer));
        Ok(())
    }
}

/// A field that an operator asks for when it has seen its configuration.
///
/// ```
/// use sangam_sdk::FieldPath;
///
/// assert_eq!(FieldPath::optional("user.id"), FieldPath { path: "user.id".into(), optional: true });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// Where it is in the event: names joined by dots.
    pub path: String,
    /// Whether an event may lack it.
    pub optional: bool,
}

impl FieldPath {
    /// A field without which an event is refused.
    pub fn required(path: impl Into<String>) -> Self {
        FieldPath { path: path.into(), optional: false }
    }

    /// A field that an event may lack; the row then holds nil.
    pub fn optional(path: impl Into<String>) -> Self {
        FieldPath { path: path.into(), optional: true }
    }
}
