//! What a commit changes in the store, as records of logs, and back: which log, which partition, under which key.
//!
//! A log is a compacted topic, so the newest record of each key is the state. A keyed operator has a log of its own, with a partition for
//! each slice of its keys; how far partitions have been read, and the little that other operators remember, is in one more.
//!
//! A record's key is the space of the store, a zero byte, and the key in that space; its value is the value there, and a tombstone deletes
//! it. A keyed operator's log has the slice for its partition, so there the space goes without.

use super::intake::POSITIONS;
use crate::store::Changes;

/// A log of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log<'a> {
    /// The state, timers and watermarks of a keyed operator.
    Operator(&'a str),
    /// How far everything has been read, and what operators without keys remember.
    Positions,
}

/// A record of a log that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a record without a valid key: it was not written by Sangam")]
pub struct LogError;

/// The spaces that are cut into slices, `<kind>/<operator>/<slice>`.
const SLICED: [&str; 6] = ["cells", "clock", "heard", "stage", "state", "waiting"];

/// The space that tells of which version an operator's state is; every slice's log has a copy.
pub const SCHEMAS: &str = "schemas";

impl Log<'_> {
    /// The log's topic.
    pub fn topic(&self, pipeline: &str) -> String {
        match self {
            Log::Operator(operator) => format!("{pipeline}.{operator}.changelog"),
            Log::Positions => format!("{pipeline}.positions"),
        }
    }
}

/// The log that a space of the store goes to, and its partition; `None` where it concerns this process only.
pub fn log_of(space: &str, keyed: impl Fn(&str) -> bool) -> Option<(Log<'_>, u32)> {
    match sliced(space) {
        Some((_, operator, slice)) if keyed(operator) => Some((Log::Operator(operator), slice)),
        Some(_) => Some((Log::Positions, 0)),
        None => (space == POSITIONS).then_some((Log::Positions, 0)),
    }
}

/// The key of a change's record in a log.
pub fn record_key(log: Log<'_>, space: &str, key: &[u8], into: &mut Vec<u8>) {
    into.clear();
    let named = match (log, sliced(space).and_then(|_| space.rsplit_once('/'))) {
        (Log::Operator(_), Some((named, _))) => named,
        _ => space,
    };
    into.extend_from_slice(named.as_bytes());
    into.push(0);
    into.extend_from_slice(key);
}

/// Adds what a record of a log's partition says to changes of the store.
pub fn put_back(log: Log<'_>, slice: u32, record_key: &[u8], value: Option<&[u8]>, into: &mut Changes) -> Result<(), LogError> {
    let end = record_key.iter().position(|byte| *byte == 0).ok_or(LogError)?;
    let (named, key) = (record_key.get(..end), record_key.get(end + 1..));
    let (Some(named), Some(key)) = (named.and_then(|named| std::str::from_utf8(named).ok()), key) else { return Err(LogError) };
    let space = match (log, named.split_once('/')) {
        (Log::Operator(_), Some((kind, _))) if SLICED.contains(&kind) => format!("{named}/{slice}"),
        (Log::Operator(_), None) if named == SCHEMAS => named.to_owned(),
        (Log::Positions, _) if named == POSITIONS || sliced(named).is_some() => named.to_owned(),
        _ => return Err(LogError),
    };
    into.set(&space, key, value);
    Ok(())
}

/// The spaces of the store that a partition of an operator's log fills.
pub fn spaces_of(operator: &str, slice: u32) -> impl Iterator<Item = String> {
    SLICED.iter().map(move |kind| format!("{kind}/{operator}/{slice}"))
}

/// Whether a space holds what tasks remember, of whatever operator, or how far they have read.
pub fn is_state(space: &str) -> bool {
    space == POSITIONS || sliced(space).is_some()
}

/// The operator whose tasks remember what is in a space.
pub fn operator_of(space: &str) -> Option<&str> {
    sliced(space).map(|(_, operator, _)| operator)
}

/// Kind, operator and slice of a space.
fn sliced(space: &str) -> Option<(&str, &str, u32)> {
    let (kind, rest) = space.split_once('/')?;
    let (operator, slice) = rest.rsplit_once('/')?;
    Some((kind, operator, slice.parse().ok()?)).filter(|_| SLICED.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(space: &str, key: &[u8], value: Option<&[u8]>) -> Option<(String, u32)> {
        let (log, slice) = log_of(space, |operator| operator == "count")?;
        let (mut at, mut back) = (Vec::new(), Changes::default());
        record_key(log, space, key, &mut at);
        put_back(log, slice, &at, value, &mut back).unwrap();
        assert_eq!(back.iter().collect::<Vec<_>>(), [(space, key, value)]);
        Some((log.topic("orders"), slice))
    }

    #[test]
    fn what_a_task_remembers_goes_to_its_slice_of_its_operators_log_and_back() {
        for kind in SLICED {
            let space = format!("{kind}/count/7");
            assert_eq!(there_and_back(&space, b"a\0/b", Some(b"v")), Some(("orders.count.changelog".to_owned(), 7)));
            assert_eq!(there_and_back(&space, b"", None), Some(("orders.count.changelog".to_owned(), 7)));
        }
    }

    #[test]
    fn positions_and_what_operators_without_keys_remember_share_a_log() {
        assert_eq!(there_and_back(POSITIONS, b"words/12", Some(b"v")), Some(("orders.positions".to_owned(), 0)));
        assert_eq!(there_and_back("stage/parse/3", b"watermark", Some(b"v")), Some(("orders.positions".to_owned(), 0)));
    }

    #[test]
    fn what_concerns_this_process_only_is_in_no_log() {
        for space in ["topics", "topic/dead-letters/0", "offsets", "slices", "changelogs"] {
            assert_eq!(there_and_back(space, b"k", Some(b"v")), None);
        }
    }

    #[test]
    fn a_record_that_somebody_else_wrote_is_refused() {
        for key in [&b"no zero"[..], b"topics\0a", b"\xff\0", b"other/count\0k", b""] {
            for log in [Log::Positions, Log::Operator("count")] {
                assert!(put_back(log, 0, key, None, &mut Changes::default()).is_err(), "{key:?}");
            }
        }
    }
}
