//! A list that grows without moving what is in it: a million entries in one piece would be copied at once, and hold the stream up for that.

use std::ops::{Index, IndexMut};

/// A list in pieces.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// All that come before the last entry are full.
    chunks: Vec<Vec<T>>,
    len: usize,
}

/// Entries in a piece.
const CHUNK: usize = 1024;

/// Pieces that an emptied list keeps for what comes.
const KEPT_MAX: usize = 64;

impl<T> Chunks<T> {
    pub(super) const fn new() -> Self {
        Chunks { chunks: Vec::new(), len: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.chunks.truncate(KEPT_MAX);
        self.chunks.iter_mut().for_each(Vec::clear);
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, value: T) {
        match self.chunks.get_mut(self.len / CHUNK) {
            Some(chunk) => chunk.push(value),
            // Most tables are small.
            None if self.len == 0 => self.chunks.push(vec![value]),
            None => {
                let mut next = Vec::with_capacity(CHUNK);
                next.push(value);
                self.chunks.push(next);
            }
        }
        self.len += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, i: usize) -> &T {
        &self.chunks[i / CHUNK][i % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, i: usize) -> &mut T {
        &mut self.chunks[i / CHUNK][i % CHUNK]
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
        list.clear();
        assert_eq!((list.len(), list.iter().next()), (0, None));
        (0..=CHUNK).for_each(|i| list.push(i));
        assert!(list.iter().copied().eq(0..=CHUNK));
    }
}
