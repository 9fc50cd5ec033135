//! Back-pressure of one partition: says when to stop taking records from the client library and when to go on.
//!
//! It only counts. Who stops simply does not take: pausing would throw away what has been fetched already.

use crate::pressure;

/// How much of one partition may lie ready for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records.
    pub records: usize,
    /// Bytes of keys, values and headers. One record always fits, however large it is.
    pub bytes: usize,
}

impl Default for Bounds {
    /// A few batches of ordinary events, or a handful of the largest that a broker takes by default.
    fn default() -> Self {
        Bounds { records: 16_384, bytes: 8 << 20 }
    }
}

/// The gate of one partition: it closes and opens at the marks that all buffers have.
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Bounds,
    closed: bool,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Gate {
        Gate { bounds, closed: false }
    }

    /// How many records may be added to what is held, judging the size of the next ones by `record_len`; none while it is closed.
    pub(super) fn room(&mut self, records: usize, bytes: usize, record_len: usize) -> usize {
        self.closed = if self.closed { !is_low(self.bounds, records, bytes) } else { is_high(self.bounds, records, bytes) };
        if self.closed {
            return 0;
        }
        let by_bytes = self.bounds.bytes.saturating_sub(bytes) / record_len.max(1);
        self.bounds.records.saturating_sub(records).min(by_bytes).max(1)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// True where a closed gate opens again.
pub(super) fn is_low(bounds: Bounds, records: usize, bytes: usize) -> bool {
    pressure::is_low(records, bounds.records) && pressure::is_low(bytes, bounds.bytes)
}

fn is_high(bounds: Bounds, records: usize, bytes: usize) -> bool {
    pressure::is_high(records, bounds.records) || pressure::is_high(bytes, bounds.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { records: 100, bytes: 1000 };

    #[test]
    fn it_closes_at_four_fifths_and_opens_below_three() {
        let mut gate = Gate::new(BOUNDS);
        // (records, bytes, open after that)
        let steps = [
            (0, 0, true),
            (79, 0, true),
            (80, 0, false),
            (79, 0, false),
            (60, 0, false),
            (59, 0, true),
            (79, 0, true),
            (10, 800, false),
            (10, 600, false),
            (59, 599, true),
        ];
        for (records, bytes, open) in steps {
            assert_eq!(gate.room(records, bytes, 1) > 0, open, "{records} records, {bytes} bytes");
            assert_eq!(gate.is_closed(), !open);
        }
    }

    #[test]
    fn the_room_ends_at_the_bound_of_records_or_of_bytes_whichever_is_nearer() {
        let room = |records, bytes, record_len| Gate::new(BOUNDS).room(records, bytes, record_len);
        assert_eq!(room(0, 0, 1), 100);
        assert_eq!(room(30, 0, 1), 70);
        assert_eq!(room(0, 500, 100), 5);
    }

    #[test]
    fn a_record_larger_than_the_bound_still_passes() {
        assert_eq!(Gate::new(BOUNDS).room(0, 0, 5000), 1);
    }
}
