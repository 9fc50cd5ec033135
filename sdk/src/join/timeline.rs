//! The rows of one side of a join, in order of their time; rows of the same time in the order in which they came.
//!
//! It knows nothing of watermarks: what may go, its owner says.

use std::collections::VecDeque;

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;

/// Rows in order of time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timeline<T> {
    rows: VecDeque<(Millis, T)>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Timeline { rows: VecDeque::new() }
    }
}

impl<T> Timeline<T> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Time of the earliest row.
    pub(crate) fn first(&self) -> Option<Millis> {
        self.rows.front().map(|(time, _)| *time)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Millis, &T)> {
        self.rows.iter().map(|(time, row)| (*time, row))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Millis, &mut T)> {
        self.rows.iter_mut().map(|(time, row)| (*time, row))
    }

    /// Adds a row behind those of the same time. Rows come nearly in order, so that this is nearly always a push.
    pub(crate) fn insert(&mut self, time: Millis, row: T) {
        let place = self.until(time);
        self.rows.insert(place, (time, row));
    }

    /// Adds a row in the place of the one of the same time, if there is one.
    pub(crate) fn put(&mut self, time: Millis, row: T) {
        let place = self.until(time);
        match place.checked_sub(1).and_then(|before| self.rows.get_mut(before)) {
            Some((same, old)) if *same == time => *old = row,
            _ => self.rows.insert(place, (time, row)),
        }
    }

    /// The rows from `first` to `last`, both included.
    pub(crate) fn between(&self, first: Millis, last: Millis) -> impl Iterator<Item = (Millis, &T)> {
        let start = self.rows.partition_point(|(time, _)| *time < first);
        self.rows.iter().skip(start).take_while(move |(time, _)| *time <= last).map(|(time, row)| (*time, row))
    }

    /// The rows from `first` to `last`, both included, to change them.
    pub(crate) fn between_mut(&mut self, first: Millis, last: Millis) -> impl Iterator<Item = (Millis, &mut T)> {
        let start = self.rows.partition_point(|(time, _)| *time < first);
        self.rows.iter_mut().skip(start).take_while(move |(time, _)| *time <= last).map(|(time, row)| (*time, row))
    }

    /// The last row that is not after `time`.
    pub(crate) fn at(&self, time: Millis) -> Option<(Millis, &T)> {
        self.until(time).checked_sub(1).and_then(|place| self.rows.get(place)).map(|(time, row)| (*time, row))
    }

    /// The row number `i` in order of time.
    pub(crate) fn get(&self, i: usize) -> Option<(Millis, &T)> {
        self.rows.get(i).map(|(time, row)| (*time, row))
    }

    /// Takes the earliest row if it is not after `time`.
    pub(crate) fn pop(&mut self, time: Millis) -> Option<(Millis, T)> {
        self.rows.pop_front_if(|(first, _)| *first <= time)
    }

    /// Number of rows up to `time`.
    fn until(&self, time: Millis) -> usize {
        match self.rows.back() {
            Some((last, _)) if *last > time => self.rows.partition_point(|(before, _)| *before <= time),
            _ => self.rows.len(),
        }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Timeline<T> {
    const KIND: &'static str = "array";
    const CELLS: Cells = T::CELLS.inside();
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let pairs = reader.array()? / 2;
        let mut rows = VecDeque::new();
        let mut time: Millis = 0;
        for _ in 0..pairs {
            time = time.wrapping_add(reader.i64()?);
            rows.push_back((time, T::decode(reader)?));
        }
        Ok(Timeline { rows })
    }
}

impl<T: Encode> Encode for Timeline<T> {
    /// Times are written as distances, which take one or three bytes where a time takes nine.
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.rows.len() * 2);
        let mut before: Millis = 0;
        for (time, row) in &self.rows {
            write::i64(out, time.wrapping_sub(before));
            before = *time;
            row.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_in_order_of_time_and_then_of_arrival_and_survive_their_bytes() {
        let mut rows = Timeline::default();
        for (time, row) in [(5, 1u64), (3, 2), (5, 3), (i64::MIN, 4), (i64::MAX, 5), (3, 6)] {
            rows.insert(time, row);
        }
        let all: Vec<_> = rows.iter().map(|(time, row)| (time, *row)).collect();
        assert_eq!(all, [(i64::MIN, 4), (3, 2), (3, 6), (5, 1), (5, 3), (i64::MAX, 5)]);
        let mut bytes = Vec::new();
        rows.encode(&mut bytes);
        assert_eq!(Timeline::decode(&mut Reader::new(&bytes)).unwrap(), rows);
        assert_eq!(rows.between(3, 5).map(|(_, row)| *row).collect::<Vec<_>>(), [2, 6, 1, 3]);
        assert_eq!((rows.at(4), rows.at(5), rows.at(i64::MIN)), (Some((3, &6)), Some((5, &3)), Some((i64::MIN, &4))));
        rows.put(3, 7);
        assert_eq!((rows.pop(2), rows.pop(2), rows.pop(3), rows.pop(3)), (Some((i64::MIN, 4)), None, Some((3, 2)), Some((3, 7))));
    }
}
