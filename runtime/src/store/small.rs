//! Bytes that live in place while they are few and on the heap when they are many; keys and most states are few.
//!
//! It has no capacity to reserve and does not grow: bytes are set whole.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// Bytes of which up to `N` live in place. `N` is 2 less than a multiple of 8, so that nothing is lost to padding.
#[derive(Clone, Debug)]
pub(super) enum Small<const N: usize> {
    /// The first `len` of `bytes`.
    Inline { len: u8, bytes: [u8; N] },
    /// More than `N` bytes.
    Heap(Vec<u8>),
}

impl<const N: usize> Small<N> {
    #[inline]
    pub(super) fn new(from: &[u8]) -> Self {
        if from.len() > N {
            return Small::Heap(from.to_vec());
        }
        let mut bytes = [0; N];
        bytes[..from.len()].copy_from_slice(from);
        Small::Inline { len: from.len() as u8, bytes }
    }

    /// Takes other bytes and keeps the heap that it has, unless most of that would lie idle.
    #[inline]
    pub(super) fn set(&mut self, from: &[u8]) {
        match self {
            Small::Heap(bytes) if from.len() > N.max(bytes.capacity() / 2) => {
                bytes.clear();
                bytes.extend_from_slice(from);
            }
            _ => *self = Small::new(from),
        }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Small::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Small::Heap(bytes) => bytes,
        }
    }
}

impl<const N: usize> Borrow<[u8]> for Small<N> {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<const N: usize> PartialEq for Small<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for Small<N> {}

impl<const N: usize> PartialOrd for Small<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Small<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

/// Whether two keys are the same. Most have 8 to 32 bytes, and two loads from each end compare those faster than a call does.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    #[inline]
    fn ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
        a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
    }
    a.len() == b.len()
        && match a.len() {
            8..=16 => ends::<8>(a, b),
            17..=32 => ends::<16>(a, b),
            _ => a == b,
        }
}

#[cfg(test)]
mod tests {
    use super::{Small, same};

    #[test]
    fn keys_are_the_same_only_if_every_byte_is() {
        for len in 0..40 {
            let key: Vec<u8> = (0..len).collect();
            assert!(same(&key, &key.clone()));
            assert!(!same(&key, &[&key[..], &[0]].concat()));
            for i in 0..key.len() {
                let mut other = key.clone();
                other[i] ^= 0x80;
                assert!(!same(&key, &other), "{len} bytes, byte {i}");
            }
        }
    }

    #[test]
    fn bytes_of_any_length_come_back_whichever_way_they_are_set() {
        let mut kept = Small::<30>::new(&[]);
        for len in [0, 1, 30, 31, 300, 200, 100, 29, 31, 32, 0] {
            let bytes = vec![7; len];
            assert_eq!(Small::<30>::new(&bytes).as_slice(), bytes);
            kept.set(&bytes);
            assert_eq!(kept.as_slice(), bytes);
        }
    }

    #[test]
    fn nothing_is_lost_to_padding() {
        assert_eq!((size_of::<Small<30>>(), size_of::<Option<Small<38>>>()), (32, 40));
    }
}
