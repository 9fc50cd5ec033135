//! Stored state as two runs of the same can be compared by it.

#![expect(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

use sangam::store::Pair;
use sangam::store::keyed::Record;

/// A key's record is its state and its timers, each `[name, time, number]`. The numbers say which of two that are due at the same time was
/// set first; how many were set and cleared in between they need not say.
pub fn rank_timers(pairs: &mut [Pair]) {
    let timers = |value: &[u8]| -> Vec<(i64, u64, String)> {
        // Large state is beside, in cells; it is no record, and compared as it is.
        let timers = Record::read(value).map(|record| record.timers).unwrap_or_default();
        timers.into_iter().map(|(name, at, number)| (at, number, name.to_owned())).collect()
    };
    let mut order: Vec<(i64, u64)> = pairs.iter().flat_map(|(_, value)| timers(value)).map(|(at, number, _)| (at, number)).collect();
    order.sort_unstable();
    for (_, value) in pairs {
        let mut ranked = timers(value);
        if ranked.is_empty() {
            continue;
        }
        ranked.iter_mut().for_each(|(at, number, _)| *number = order.binary_search(&(*at, *number)).unwrap() as u64);
        ranked.sort();
        let state = Record::read(value).unwrap().state.map(<[u8]>::to_vec);
        *value = rmp_serde::to_vec(&(state, ranked)).unwrap();
    }
}
