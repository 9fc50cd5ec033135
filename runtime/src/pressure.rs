//! When a bounded buffer is full enough to stop its writers, and empty enough to let them go on.
//!
//! It only judges numbers; who stops, and how, is up to the owner of the buffer.

/// Writers stop at this share of the bound: what is on its way still has room.
const STOP_PERCENT: usize = 80;

/// They go on below this one, so that they do not stop and go with every event that is taken (hysteresis, as network stacks and Flink's buffer
/// debloating have it; the two numbers are those that the requirements of this engine name).
const GO_PERCENT: usize = 60;

/// Whether writers are to stop.
pub fn is_high(held: usize, bound: usize) -> bool {
    held * 100 >= bound * STOP_PERCENT
}

/// Whether writers that have stopped may go on.
pub fn is_low(held: usize, bound: usize) -> bool {
    held * 100 < bound * GO_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_stop_at_four_fifths_and_go_on_below_three() {
        assert_eq!((is_high(79, 100), is_high(80, 100)), (false, true));
        assert_eq!((is_low(60, 100), is_low(59, 100)), (false, true));
        assert_eq!((is_high(51, 64), is_high(52, 64)), (false, true), "an inbox of 64 runs");
        assert_eq!((is_low(39, 64), is_low(38, 64)), (false, true));
    }
}
