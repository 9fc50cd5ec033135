//! The rows of one side of a join, in order of their time; rows of the same time in the order in which they came.
//!
//! They stay encoded, end to end, until somebody asks for one: so that reading, copying and writing the state of a key costs no allocation
//! per row. It knows nothing of watermarks: what may go, its owner says.

use std::marker::PhantomData;
use std::ops::Range;

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;

/// MessagePack's nil.
const NIL: [u8; 1] = [0xc0];

/// Rows in order of time, each with a mark that its owner may set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timeline<T> {
    places: Vec<Place>,
    bytes: Vec<u8>,
    types: PhantomData<T>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    time: Millis,
    /// Where the row's bytes start; they go on to where those of the next one do.
    start: usize,
    marked: bool,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Timeline { places: Vec::new(), bytes: Vec::new(), types: PhantomData }
    }
}

impl<T> Timeline<T> {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Time of the earliest row.
    pub(crate) fn first(&self) -> Option<Millis> {
        self.time(0)
    }

    /// Time of row number `i`.
    pub(crate) fn time(&self, i: usize) -> Option<Millis> {
        self.places.get(i).map(|place| place.time)
    }

    pub(crate) fn times(&self) -> Vec<Millis> {
        self.places.iter().map(|place| place.time).collect()
    }

    /// Time of the earliest row without a mark.
    pub(crate) fn first_unmarked(&self) -> Option<Millis> {
        self.places.iter().find(|place| !place.marked).map(|place| place.time)
    }

    /// Sets the mark of row `i`; false where it was set already.
    pub(crate) fn mark(&mut self, i: usize) -> bool {
        self.places.get_mut(i).is_some_and(|place| !std::mem::replace(&mut place.marked, true))
    }

    /// Number of rows whose time fits, which those before them must as well.
    pub(crate) fn count(&self, fits: impl Fn(Millis) -> bool) -> usize {
        self.places.partition_point(|place| fits(place.time))
    }

    /// Number of rows up to `time`. Rows come nearly in order, so that it is nearly always all of them.
    pub(crate) fn until(&self, time: Millis) -> usize {
        match self.places.last() {
            Some(last) if last.time > time => self.count(|before| before <= time),
            _ => self.len(),
        }
    }

    /// The rows from `first` to `last`, both included.
    pub(crate) fn between(&self, first: Millis, last: Millis) -> Range<usize> {
        self.count(|time| time < first)..self.until(last)
    }

    /// Lets go of the first `rows` rows.
    pub(crate) fn forget(&mut self, rows: usize) {
        if rows == 0 {
            return;
        }
        let cut = self.start(rows);
        self.bytes.drain(..cut);
        self.places.drain(..rows.min(self.places.len()));
        for place in &mut self.places {
            place.start -= cut;
        }
    }

    /// Whether row `i` is nil.
    pub(crate) fn is_nil(&self, i: usize) -> bool {
        self.encoded(i) == NIL
    }

    fn start(&self, i: usize) -> usize {
        self.places.get(i).map_or(self.bytes.len(), |place| place.start)
    }

    fn encoded(&self, i: usize) -> &[u8] {
        self.bytes.get(self.start(i)..self.start(i + 1)).unwrap_or(&[])
    }
}

impl<T: for<'a> Field<'a>> Timeline<T> {
    /// Row number `i`.
    pub(crate) fn row(&self, i: usize) -> T {
        T::decode(&mut Reader::new(self.encoded(i))).unwrap_or_else(|_| corrupt())
    }

    /// The rows of a range.
    pub(crate) fn rows(&self, range: Range<usize>) -> Vec<T> {
        range.map(|i| self.row(i)).collect()
    }
}

impl<T: Encode> Timeline<T> {
    /// Adds a row behind those of the same time.
    pub(crate) fn insert(&mut self, time: Millis, row: &T, marked: bool) {
        let i = self.until(time);
        let (start, before) = (self.start(i), self.bytes.len());
        row.encode(&mut self.bytes);
        let len = self.bytes.len() - before;
        if let Some(behind) = self.bytes.get_mut(start..) {
            behind.rotate_right(len);
        }
        self.places.iter_mut().skip(i).for_each(|place| place.start += len);
        self.places.insert(i, Place { time, start, marked });
    }

    /// Adds a row in the place of the one of the same time, if there is one.
    pub(crate) fn put(&mut self, time: Millis, row: &T) {
        let i = self.until(time);
        if let Some(same) = i.checked_sub(1)
            && self.time(same) == Some(time)
        {
            let (start, len) = (self.start(same), self.encoded(same).len());
            self.bytes.drain(start..start + len);
            self.places.remove(same);
            self.places.iter_mut().skip(same).for_each(|place| place.start -= len);
        }
        self.insert(time, row, false);
    }
}

/// A trap: the batch leaves no trace, and the operator's author learns of it.
#[cold]
fn corrupt<T>() -> T {
    panic!("a row that a join has kept is not what this version of the operator keeps: give the state another version")
}

impl<'a, T: Field<'a>> Field<'a> for Timeline<T> {
    const KIND: &'static str = "array";
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let rows = reader.array()? / 3;
        let mut all = Timeline::default();
        let mut time: Millis = 0;
        for _ in 0..rows {
            time = time.wrapping_add(reader.i64()?);
            all.places.push(Place { time, start: all.bytes.len(), marked: reader.bool()? });
            all.bytes.extend_from_slice(reader.value()?);
        }
        Ok(all)
    }
}

impl<T: Encode> Encode for Timeline<T> {
    /// Times are written as distances, which take one or three bytes where a time takes nine.
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.len() * 3);
        let mut before: Millis = 0;
        for (i, place) in self.places.iter().enumerate() {
            write::i64(out, place.time.wrapping_sub(before));
            before = place.time;
            write::bool(out, place.marked);
            out.extend_from_slice(self.encoded(i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(rows: &Timeline<String>) -> Vec<(Millis, String)> {
        (0..rows.len()).map(|i| (rows.time(i).unwrap(), rows.row(i))).collect()
    }

    fn row(time: Millis, text: &str) -> (Millis, String) {
        (time, text.to_owned())
    }

    #[test]
    fn rows_are_kept_in_order_of_time_and_then_of_arrival_and_survive_their_bytes() {
        let mut rows = Timeline::default();
        for (time, text) in [(5, "a"), (3, "bb"), (5, "c"), (i64::MIN, "dddd"), (i64::MAX, "e"), (3, "ff")] {
            rows.insert(time, &text.to_owned(), false);
        }
        let expected = [row(i64::MIN, "dddd"), row(3, "bb"), row(3, "ff"), row(5, "a"), row(5, "c"), row(i64::MAX, "e")];
        assert_eq!(all(&rows), expected);
        assert!(rows.mark(1) && !rows.mark(1) && !rows.mark(6));
        let mut bytes = Vec::new();
        rows.encode(&mut bytes);
        assert_eq!(Timeline::decode(&mut Reader::new(&bytes)).unwrap(), rows);
        assert_eq!((rows.between(3, 5), rows.between(4, 4), rows.until(4)), (1..5, 3..3, 3));
        assert_eq!(rows.first_unmarked(), Some(i64::MIN));
        rows.put(3, &"gggggg".to_owned());
        rows.forget(2);
        assert_eq!(all(&rows), [row(3, "gggggg"), row(5, "a"), row(5, "c"), row(i64::MAX, "e")]);
        rows.forget(9);
        assert_eq!(rows, Timeline::default());
    }
}
