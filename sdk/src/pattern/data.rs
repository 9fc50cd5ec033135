//! A configuration's values as a small tree, from serde or from MessagePack, so that a pattern is read in one way wherever it comes from.
//!
//! It knows what a table and a list are, and nothing of patterns.

use std::fmt;

use sangam_protocol::msgpack::{Error as Malformed, Reader, write};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Tables may nest this deep.
const DEPTH_MAX: u32 = 32;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Data>),
    Table(Vec<(String, Data)>),
}

impl Data {
    /// What it is, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Data::Nil => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a float",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, depth: u32) -> Result<Data, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed::Depth);
        }
        Ok(match reader.peek()? {
            0xc0 => {
                reader.skip()?;
                Data::Nil
            }
            0xc2 | 0xc3 => Data::Bool(reader.bool()?),
            0xca | 0xcb => Data::Float(reader.f64()?),
            0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => {
                let int = reader.int()?;
                i64::try_from(int).map_or(Data::Float(int as f64), Data::Int)
            }
            0x80..=0x8f | 0xde | 0xdf => {
                let mut table = Vec::new();
                for _ in 0..reader.map()? {
                    table.push((reader.str()?.to_owned(), Data::read(reader, depth + 1)?));
                }
                Data::Table(table)
            }
            0x90..=0x9f | 0xdc | 0xdd => {
                let mut list = Vec::new();
                for _ in 0..reader.array()? {
                    list.push(Data::read(reader, depth + 1)?);
                }
                Data::List(list)
            }
            _ => Data::Text(reader.str()?.to_owned()),
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Data::Nil => write::nil(out),
            Data::Bool(value) => write::bool(out, *value),
            Data::Int(value) => write::i64(out, *value),
            Data::Float(value) => write::f64(out, *value),
            Data::Text(value) => write::str(out, value),
            Data::List(items) => {
                write::array(out, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Data::Table(fields) => {
                write::map(out, fields.len());
                for (name, value) in fields {
                    write::str(out, name);
                    value.write(out);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit)
    }
}

struct Visit;

impl<'de> Visitor<'de> for Visit {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, a list, a text, a number or a boolean")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(i64::try_from(value).map_or(Data::Float(value as f64), Data::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut table: Vec<(String, Data)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Data>()? {
            if table.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            table.push((name, value));
        }
        Ok(Data::Table(table))
    }
}

/// A table that is read field by field, with the place that errors name.
pub(super) struct Table<'d> {
    pub(super) place: String,
    fields: &'d [(String, Data)],
}

impl<'d> Table<'d> {
    /// Takes a value as a table that may have these fields.
    pub(super) fn of(data: &'d Data, place: &str, known: &[&str]) -> Result<Self, String> {
        let Data::Table(fields) = data else {
            return Err(format!("{place}: expected a table, found {}", data.kind()));
        };
        match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("{place}: unknown field `{name}`; valid: `{}`", known.join("`, `"))),
            None => Ok(Table { place: place.to_owned(), fields }),
        }
    }

    /// The place of a field, for errors.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'d Data> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value).filter(|value| **value != Data::Nil)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'d str, &'d Data)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'d str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{}: expected a text, found {}", self.at(name), other.kind())),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(false),
            Some(Data::Bool(value)) => Ok(*value),
            Some(other) => Err(format!("{}: expected true or false, found {}", self.at(name), other.kind())),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&'d [Data]>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Data::List(items)) => Ok(Some(items)),
            Some(other) => Err(format!("{}: expected a list, found {}", self.at(name), other.kind())),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Data::Int(value)) => Ok(Some(*value as f64)),
            Some(Data::Float(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("{}: expected a number, found {}", self.at(name), other.kind())),
        }
    }

    /// A whole number from 1.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Data::Int(value)) if *value > 0 => Ok(usize::try_from(*value).ok()),
            Some(_) => Err(format!("{}: expected a whole number from 1", self.at(name))),
        }
    }

    /// A time in milliseconds: a number of them, or a number and a unit.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, String> {
        let wrong = || format!("{}: a duration is a number and a unit: \"500ms\", \"10s\", \"5m\", \"1h\", \"1d\"", self.at(name));
        match self.get(name) {
            None => Ok(None),
            Some(Data::Int(value)) => Ok(Some(*value)),
            Some(Data::Text(text)) => {
                let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let unit = match unit.trim() {
                    "ms" => 1,
                    "s" => 1_000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    "d" => 86_400_000,
                    _ => return Err(wrong()),
                };
                let number: i64 = number.parse().map_err(|_| wrong())?;
                number.checked_mul(unit).map(Some).ok_or_else(wrong)
            }
            Some(_) => Err(wrong()),
        }
    }
}
