//! Names of outputs: the same for the same output when the same work is done again, so that a receiver can tell a repeat.
//!
//! They are made of where the event comes from that has led to the output, not of when it was made.

use crate::events::{Events, Row};
use sha2::{Digest, Sha256};

/// Gives outputs their names, in the order in which they are written.
#[derive(Debug, Default)]
pub struct Names {
    last: String,
    count: usize,
}

impl Names {
    /// The name of an output `row` of an operator to the stream `to`. `from` is the stream that the event was read from.
    pub fn next(&mut self, (pipeline, operator, to): (&str, &str, &str), from: &str, events: &Events, row: &Row) -> String {
        let cause = match row.offset {
            // What no event has led to is known by its time and content.
            ..0 => {
                let mut content = Sha256::new();
                content.update(events.key(row).unwrap_or_default());
                content.update([0]);
                content.update(events.value(row).unwrap_or_default());
                format!("{pipeline}/{operator}/{to}/at/{}/{:.16x}", row.time, content.finalize())
            }
            offset => format!("{pipeline}/{operator}/{to}/{from}/{}/{offset}", row.partition),
        };
        // An event can lead to several outputs, one after the other.
        self.count = if cause == self.last { self.count + 1 } else { 0 };
        let name = format!("{cause}/{}", self.count);
        self.last = cause;
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Record;

    #[test]
    fn outputs_of_one_event_are_told_apart_and_a_repeat_has_the_same_names() {
        let mut events = Events::default();
        for offset in [7, 7, 8, -1, -1] {
            events.push(&Record { value: Some(b"v"), time: 5, partition: 2, offset, ..Record::default() });
        }
        let names = || {
            let mut names = Names::default();
            events.rows.iter().map(|row| names.next(("p", "op", "alerts"), "in", &events, row)).collect::<Vec<_>>()
        };
        let known = names();
        assert_eq!(known[..3], ["p/op/alerts/in/2/7/0", "p/op/alerts/in/2/7/1", "p/op/alerts/in/2/8/0"]);
        assert!(known[3].starts_with("p/op/alerts/at/5/") && known[3].ends_with("/0") && known[4].ends_with("/1"), "{known:?}");
        assert_eq!(names(), known);
    }
}
