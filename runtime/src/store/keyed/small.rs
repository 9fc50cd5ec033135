//! Bytes that live in place while they are few and on the heap when they are many; keys and most states are few.
//!
//! It has no capacity to reserve and does not grow: bytes are set whole.

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

    /// Takes other bytes and keeps the heap that it has.
    #[inline]
    pub(super) fn set(&mut self, from: &[u8]) {
        match self {
            Small::Heap(bytes) if from.len() > N => {
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

#[cfg(test)]
mod tests {
    use super::Small;

    #[test]
    fn bytes_of_any_length_come_back_whichever_way_they_are_set() {
        let mut kept = Small::<30>::new(&[]);
        for len in [0, 1, 30, 31, 300, 29, 31, 32, 0] {
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
