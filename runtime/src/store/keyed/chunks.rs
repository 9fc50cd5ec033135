//! A list that grows without moving what is in it: a million entries in one piece would be copied at once, and hold the stream up for that.

use std::ops::{Index, IndexMut};

/// A list in pieces.
#[derive(Debug)]
pub(super) struct Chunks<T>(Vec<Vec<T>>);

/// Entries in a piece; all but the last are full.
const CHUNK: usize = 1024;

impl<T> Chunks<T> {
    pub(super) const fn new() -> Self {
        Chunks(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn push(&mut self, value: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            Some(_) => {
                let mut next = Vec::with_capacity(CHUNK);
                next.push(value);
                self.0.push(next);
            }
            // Most tables are small.
            None => self.0.push(vec![value]),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, i: usize) -> &T {
        &self.0[i / CHUNK][i % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, i: usize) -> &mut T {
        &mut self.0[i / CHUNK][i % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Chunks};

    #[test]
    fn entries_stay_where_they_are_while_more_come() {
        let mut list = Chunks::new();
        for i in 0..=CHUNK * 2 {
            list.push(i);
        }
        let place = &raw const list[CHUNK];
        (CHUNK * 2 + 1..CHUNK * 9).for_each(|i| list.push(i));
        assert_eq!(place, &raw const list[CHUNK]);
        assert_eq!(list.len(), CHUNK * 9);
        list[CHUNK] = 7;
        let expected = (0..CHUNK * 9).map(|i| if i == CHUNK { 7 } else { i });
        assert!(list.iter().copied().eq(expected));
    }
}
