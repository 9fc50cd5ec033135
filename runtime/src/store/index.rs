//! Finds entries of a list by the hash of their keys; the keys are in the list.
//!
//! It grows in pieces, each at a moment of its own: a million keys in one piece would be moved at once, and hold the stream up for that.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Numbers of entries, by the hashes of their keys.
#[derive(Debug)]
pub(super) struct Index {
    /// Never iterated, so that the random seed of the hashes (keys may come from an adversary) shows in no result.
    pieces: Box<[HashTable<Slot>; PIECES]>,
    hasher: RandomState,
}

/// Of a million keys a piece has what is moved in a fifth of a millisecond.
const PIECES: usize = 64;

/// With the hash beside the number, other keys' entries stay untouched when the index is searched and grows.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: Hash,
    entry: u32,
}

/// Half of a key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Index {
    pub(super) fn new() -> Self {
        Index { pieces: Box::new([const { HashTable::new() }; PIECES]), hasher: RandomState::default() }
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        Hash(self.hasher.hash_one(key) as u32)
    }

    /// The entry of this hash that `same` confirms.
    #[inline]
    pub(super) fn find(&self, hash: Hash, same: impl Fn(u32) -> bool) -> Option<u32> {
        let piece = &self.pieces[hash.piece()];
        piece.find(hash.spread(), |slot| slot.hash == hash && same(slot.entry)).map(|slot| slot.entry)
    }

    /// Adds an entry that is not in it.
    #[inline]
    pub(super) fn insert(&mut self, hash: Hash, entry: u32) {
        self.pieces[hash.piece()].insert_unique(hash.spread(), Slot { hash, entry }, |slot| slot.hash.spread());
    }

    pub(super) fn remove(&mut self, hash: Hash, entry: u32) {
        if let Ok(known) = self.pieces[hash.piece()].find_entry(hash.spread(), |slot| slot.entry == entry) {
            known.remove();
        }
    }

    pub(super) fn clear(&mut self) {
        self.pieces.iter_mut().for_each(HashTable::clear);
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(HashTable::len).sum()
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(HashTable::allocation_size).sum()
    }
}

impl Hash {
    /// A table looks at the lowest and the highest bits.
    #[inline]
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[inline]
    fn piece(self) -> usize {
        (self.spread() >> 40) as usize % PIECES
    }
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn the_pieces_of_an_index_are_about_as_large() {
        let mut index = Index::new();
        for key in 0..64_000_u32 {
            index.insert(index.hash(&key.to_be_bytes()), key);
        }
        assert_eq!(index.len(), 64_000);
        let (least, most) = (index.pieces.iter().map(|piece| piece.len()).min(), index.pieces.iter().map(|piece| piece.len()).max());
        assert!(least > Some(800) && most < Some(1_200), "{least:?} to {most:?}");
    }
}
