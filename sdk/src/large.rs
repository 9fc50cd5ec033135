//! `Map` and `List`: fields of a state that may outgrow what a batch carries along.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use sangam_protocol::msgpack::{Reader, write};

use crate::cells::{Home, Scan};
use crate::field::{Cells, Encode, Field};
use crate::shape;
use crate::wrong::Wrong;
use crate::{Error, Result};

/// A key of a [`Map`]: cells are kept in order of these bytes.
pub trait CellKey {
    /// Appends the key's bytes, which sort as the keys do.
    fn append(&self, out: &mut Vec<u8>);
}

/// A key of a [`Map`] that can be read back from its bytes.
pub trait OwnedCellKey: CellKey + Sized {
    /// Reads the key.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl CellKey for str {
    fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl CellKey for String {
    fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl OwnedCellKey for String {
    fn read(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

macro_rules! integer_keys {
    ($($type:ident $flip:expr),*) => {$(
        impl CellKey for $type {
            fn append(&self, out: &mut Vec<u8>) {
                // Big-endian sorts as numbers do, once the sign is flipped.
                out.extend_from_slice(&(*self ^ $flip).to_be_bytes());
            }
        }
        impl OwnedCellKey for $type {
            fn read(bytes: &[u8]) -> Option<Self> {
                Some($type::from_be_bytes(bytes.try_into().ok()?) ^ $flip)
            }
        }
    )*};
}

integer_keys!(u8 0, u16 0, u32 0, u64 0, i8 i8::MIN, i16 i16::MIN, i32 i32::MIN, i64 i64::MIN);

/// A map in the state of one key, read and written cell by cell: for state too big to travel with every batch.
///
/// It stands directly in an operator's `#[state]` struct. Its length is kept with the state, so [`Map::len`] costs nothing; every other
/// call reads a cell from the host. In the test of a plain function it is an ordinary map in memory.
///
/// ```
/// use sangam_sdk::*;
///
/// #[state] struct Basket { items: Map<String, u64> }
///
/// let mut basket = Basket::default();
/// basket.items.insert("pear".into(), 2);
/// assert_eq!(basket.items.get("pear"), Some(2));
/// assert_eq!(basket.items.len(), 1);
/// ```
pub struct Map<K, V> {
    len: u64,
    home: Home,
    types: PhantomData<(K, V)>,
}

impl<K: OwnedCellKey, V: Encode + for<'a> Field<'a>> Map<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get<Q: CellKey + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.home.get(&cell_key(key)).map(|bytes| value(&bytes))
    }

    /// Whether the key has a value.
    pub fn contains_key<Q: CellKey + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.home.get(&cell_key(key)).is_some()
    }

    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, new: V) -> Option<V> {
        let key = cell_key(&key);
        let before = self.home.get(&key);
        self.len += u64::from(before.is_none());
        let mut bytes = Vec::new();
        new.encode(&mut bytes);
        self.home.set(&key, Some(bytes));
        before.map(|bytes| value(&bytes))
    }

    /// Removes a key; returns its value.
    pub fn remove<Q: CellKey + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let key = cell_key(key);
        let before = self.home.get(&key)?;
        self.len -= 1;
        self.home.set(&key, None);
        Some(value(&before))
    }

    /// All entries, in order of their keys; read from the host in pieces as the loop goes on.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.home.scan().map(|(key, bytes)| (K::read(&key).unwrap_or_else(|| corrupt()), value(&bytes)))
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.home.clear();
        self.len = 0;
    }
}

fn cell_key<Q: CellKey + ?Sized>(key: &Q) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.append(&mut bytes);
    bytes
}

fn value<V: for<'a> Field<'a>>(bytes: &[u8]) -> V {
    V::decode(&mut Reader::new(bytes)).unwrap_or_else(|_| corrupt())
}

/// A trap: the batch leaves no trace, and the operator's author learns of it.
#[cold]
fn corrupt<T>() -> T {
    panic!("a cell of a Map or List does not hold what this version of the operator put into it")
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map { len: 0, home: Home::default(), types: PhantomData }
    }
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Map { len: self.len, home: self.home.clone(), types: PhantomData }
    }
}

impl<K, V> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.home == other.home
    }
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map of {}", self.len)
    }
}

impl<K, V> Encode for Map<K, V> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::u64(out, self.len);
    }
}

impl<'a, K, V> Field<'a> for Map<K, V> {
    const KIND: &'static str = "map";
    const CELLS: Cells = Cells::Handle;
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(Map { len: reader.u64()?, ..Map::default() })
    }
    fn bind(&mut self, slot: u32, field: u8) {
        self.home.bind(slot, field);
    }
    fn settle(&mut self, slot: u32, field: u8) -> Result<(), Error> {
        self.home.settle(slot, field)
    }
    fn own(&mut self, field: u8, cells: &BTreeMap<Vec<u8>, Vec<u8>>) {
        self.home.own(field, cells);
    }
}

/// A list in the state of one key, read and written cell by cell: for state too big to travel with every batch.
///
/// It grows at the end and shrinks at both. It stands directly in an operator's `#[state]` struct.
///
/// ```
/// use sangam_sdk::*;
///
/// #[state] struct History { last: List<f64> }
///
/// let mut history = History::default();
/// history.last.push(1.5);
/// history.last.push(2.5);
/// assert_eq!(history.last.pop_front(), Some(1.5));
/// assert_eq!(history.last.iter().collect::<Vec<_>>(), [2.5]);
/// ```
pub struct List<T> {
    /// Number of the first item's cell.
    head: u64,
    len: u64,
    home: Home,
    types: PhantomData<T>,
}

impl<T: Encode + for<'a> Field<'a>> List<T> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Item `i`.
    pub fn get(&self, i: usize) -> Option<T> {
        self.home.get(&cell_key(&self.number(i)?)).map(|bytes| value(&bytes))
    }

    /// Replaces item `i`; false where there is none.
    pub fn set(&mut self, i: usize, item: T) -> bool {
        let Some(number) = self.number(i) else { return false };
        self.put(number, &item);
        true
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.put(self.head + self.len, &item);
        self.len += 1;
    }

    /// Takes the last item.
    pub fn pop(&mut self) -> Option<T> {
        let number = self.number(self.len().checked_sub(1)?)?;
        self.take(number)
    }

    /// Takes the first item.
    pub fn pop_front(&mut self) -> Option<T> {
        let number = self.number(0)?;
        self.head += 1;
        self.take(number)
    }

    /// All items in order; read from the host in pieces as the loop goes on.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        let cells: Scan<'_> = self.home.scan();
        cells.map(|(_, bytes)| value(&bytes))
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        self.home.clear();
        (self.head, self.len) = (0, 0);
    }

    fn number(&self, i: usize) -> Option<u64> {
        (i < self.len()).then(|| self.head + i as u64)
    }

    fn put(&mut self, number: u64, item: &T) {
        let mut bytes = Vec::new();
        item.encode(&mut bytes);
        self.home.set(&cell_key(&number), Some(bytes));
    }

    fn take(&mut self, number: u64) -> Option<T> {
        let key = cell_key(&number);
        let item = self.home.get(&key).map(|bytes| value(&bytes));
        self.home.set(&key, None);
        self.len -= 1;
        if self.len == 0 {
            // An empty list is the default one, so that the state can be deleted.
            self.head = 0;
        }
        item
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { head: 0, len: 0, home: Home::default(), types: PhantomData }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        List { head: self.head, len: self.len, home: self.home.clone(), types: PhantomData }
    }
}

impl<T> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.head, self.len) == (other.head, other.len) && self.home == other.home
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List of {}", self.len)
    }
}

impl<T> Encode for List<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, 2);
        write::u64(out, self.head);
        write::u64(out, self.len);
    }
}

impl<'a, T> Field<'a> for List<T> {
    const KIND: &'static str = "list";
    const CELLS: Cells = Cells::Handle;
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        shape::pair(reader)?;
        Ok(List { head: reader.u64()?, len: reader.u64()?, ..List::default() })
    }
    fn bind(&mut self, slot: u32, field: u8) {
        self.home.bind(slot, field);
    }
    fn settle(&mut self, slot: u32, field: u8) -> Result<(), Error> {
        self.home.settle(slot, field)
    }
    fn own(&mut self, field: u8, cells: &BTreeMap<Vec<u8>, Vec<u8>>) {
        self.home.own(field, cells);
    }
}
