//! A dead letter: what an operator could not take, as it came, with everything that a person needs to see why in its headers.
//!
//! The headers are text, and are listed for users in `docs/dead-letters.md`. Where the letter goes is not known here.

use super::Failure;
use crate::events::{Events, Row, Span};
use crate::time::Millis;
use sangam_protocol::msgpack::{Error, Reader, write};
use std::sync::Arc;

/// Names of a dead letter's headers.
pub mod header {
    /// The operator that did not take it.
    pub const OPERATOR: &str = "sangam.operator";
    /// SHA-256 of that operator's code, in hexadecimal.
    pub const PLUGIN: &str = "sangam.plugin";
    /// The kind of failure, one of [`super::super::FailureKind`]'s names.
    pub const KIND: &str = "sangam.error.kind";
    /// What happened, as a sentence.
    pub const ERROR: &str = "sangam.error";
    /// Functions of the guest, one per line, innermost first.
    pub const BACKTRACE: &str = "sangam.backtrace";
    /// The stream that the operator had it from.
    pub const INPUT: &str = "sangam.input";
    /// The stream that was read when it came into the pipeline; the same as [`INPUT`] where no operator stands between.
    pub const STREAM: &str = "sangam.stream";
    /// Its partition there.
    pub const PARTITION: &str = "sangam.partition";
    /// Its offset there.
    pub const OFFSET: &str = "sangam.offset";
    /// Event time in milliseconds, which the topic's own time may not be able to say.
    pub const TIMESTAMP: &str = "sangam.timestamp";
    /// How often it has been tried: 1, and one more for each replay.
    pub const ATTEMPTS: &str = "sangam.attempts";
    /// The name of the timer, where it was none of the events that failed.
    pub const TIMER: &str = "sangam.timer";
    /// The stream that could not take it, where it is an output.
    pub const OUTPUT: &str = "sangam.output";
    /// The name of the file that the failed call is captured in.
    pub const CAPTURE: &str = "sangam.capture";
    /// Why the letter has neither key nor value: they were too large for the stream of dead letters. Where the event was read is still there.
    pub const OMITTED: &str = "sangam.omitted";
    /// On a replayed event: the dead letter that it was, as `stream/partition/offset`.
    pub const REPLAY_OF: &str = "sangam.replay.of";
    /// On a replayed event: which attempt this is.
    pub const REPLAY_ATTEMPT: &str = "sangam.replay.attempt";

    /// All of a dead letter's own, which an older letter's give way to; those of a replay are the event's and stay.
    pub(super) const OWN: [&str; 15] =
        [OPERATOR, PLUGIN, KIND, ERROR, BACKTRACE, INPUT, STREAM, PARTITION, OFFSET, TIMESTAMP, ATTEMPTS, TIMER, OUTPUT, CAPTURE, OMITTED];
}

/// What a dead letter is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An event, and the stream that the operator had it from.
    Event(&'a str),
    /// A timer of this name: the letter has its key and time.
    Timer(&'a str),
    /// An output that the stream of this name cannot take.
    Output(&'a str),
}

/// Where dead letters come from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The operator.
    pub operator: Arc<str>,
    /// SHA-256 of its code, in hexadecimal.
    pub plugin: Arc<str>,
    /// Names of the pipeline's streams.
    pub streams: Arc<[String]>,
}

impl Origin {
    /// A reason with the place of the event; one that an operator has emitted has none.
    pub(super) fn placed(&self, row: &Row, reason: &str) -> String {
        let stream = self.streams.get(usize::from(row.stream)).map_or("", String::as_str);
        if row.offset < 0 {
            reason.to_owned()
        } else {
            format!("{reason} (stream `{stream}`, partition {}, offset {})", row.partition, row.offset)
        }
    }

    /// Appends `row` to `out` as it came, with the reason and the place of origin in its headers.
    pub fn dead_letter(&self, events: &Events, row: &Row, subject: Subject<'_>, failure: &Failure, out: &mut Events) {
        let own = events.headers(row);
        let attempt = text_of(own, header::REPLAY_ATTEMPT).and_then(|text| text.parse::<u32>().ok());
        let attempts = attempt.unwrap_or(1).to_string();
        let (partition, offset, time) = (row.partition.to_string(), row.offset.to_string(), timestamp(row.time));
        let backtrace = failure.backtrace.join("\n");
        let mut fields = vec![
            (header::OPERATOR, &*self.operator),
            (header::PLUGIN, &*self.plugin),
            (header::KIND, failure.kind.as_str()),
            (header::ERROR, &*failure.message),
            (header::BACKTRACE, &*backtrace),
            (header::TIMESTAMP, &*time),
            (header::ATTEMPTS, &*attempts),
            (header::CAPTURE, failure.capture.as_deref().unwrap_or("")),
        ];
        fields.push(match subject {
            Subject::Event(input) => (header::INPUT, input),
            Subject::Timer(name) => (header::TIMER, name),
            Subject::Output(stream) => (header::OUTPUT, stream),
        });
        // What no event has led to, a timer and what it emits, has no place in a topic.
        if row.offset >= 0 {
            let stream = self.streams.get(usize::from(row.stream)).map_or("", String::as_str);
            fields.extend([(header::STREAM, stream), (header::PARTITION, &*partition), (header::OFFSET, &*offset)]);
        }
        fields.retain(|(_, value)| !value.is_empty());
        let headers = with_headers(own, &|name| header::OWN.contains(&name), &fields);
        let at = out.rows.len();
        super::refuse::copy(events, row, out);
        let span = out.store(&headers);
        if let Some(row) = out.rows.get_mut(at) {
            row.headers = span;
        }
    }
}

/// Appends a dead letter to `out` without its key and value, with which its stream does not take it. The value is empty then and not a tombstone:
/// a compacted topic would drop that.
pub fn without_content(letters: &Events, letter: &Row, reason: &str, out: &mut Events) {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let why = format!("key of {} and value of {} bytes: {reason}", len(letters.key(letter)), len(letters.value(letter)));
    let headers = with_headers(letters.headers(letter), &|name| name == header::OMITTED, &[(header::OMITTED, &why)]);
    let at = out.rows.len();
    super::refuse::copy(letters, &Row { key: Span::NONE, value: Span::new(0, 0), ..*letter }, out);
    let headers = out.store(&headers);
    if let Some(row) = out.rows.get_mut(at) {
        row.headers = headers;
    }
}

/// Event time as a header; empty where it is not known.
fn timestamp(time: Millis) -> String {
    if time == crate::time::WATERMARK_MIN { String::new() } else { time.to_string() }
}

/// The headers `own` (a MessagePack map, or nothing) without those that `drop` names, and with `fields` behind them.
pub fn with_headers(own: &[u8], drop: &dyn Fn(&str) -> bool, fields: &[(&str, &str)]) -> Vec<u8> {
    // Sources and the check of effects let nothing in that cannot be read.
    let kept: Vec<_> = pairs(own).unwrap_or_default().into_iter().filter(|(name, _)| !drop(name)).collect();
    let mut out = Vec::with_capacity(own.len() + fields.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>());
    write::map(&mut out, kept.len() + fields.len());
    for (name, value) in kept {
        write::str(&mut out, name);
        match value {
            Some(value) => write::bin(&mut out, value),
            None => write::nil(&mut out),
        }
    }
    for (name, value) in fields {
        write::str(&mut out, name);
        write::bin(&mut out, value.as_bytes());
    }
    out
}

/// A header: its name, and its value where it has one.
pub type Pair<'a> = (&'a str, Option<&'a [u8]>);

/// The headers of a record, in order.
pub fn pairs(headers: &[u8]) -> Result<Vec<Pair<'_>>, Error> {
    if headers.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(headers);
    let count = reader.map()?;
    (0..count).map(|_| Ok((reader.str()?, if reader.nil()? { None } else { Some(reader.bin()?) }))).collect()
}

/// A header's value, the last of that name.
pub fn text_of<'a>(headers: &'a [u8], name: &str) -> Option<&'a str> {
    if headers.is_empty() {
        return None;
    }
    let (_, value) = pairs(headers).ok()?.into_iter().rev().find(|(known, _)| *known == name)?;
    std::str::from_utf8(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Record;
    use crate::stage::FailureKind;

    fn letter(headers: &[(&str, &str)], offset: i64, subject: Subject<'_>) -> Vec<(String, String)> {
        let own = with_headers(&[], &|_| false, headers);
        let mut events = Events::default();
        events.push(&Record { value: Some(b"v"), headers: &own, time: 7, partition: 3, offset, ..Record::default() });
        let origin = Origin { operator: "op".into(), plugin: "5ha".into(), streams: ["in".to_owned()].into() };
        let mut out = Events::default();
        origin.dead_letter(&events, &events.rows[0], subject, &Failure::new(FailureKind::Fault, "boom".to_owned()), &mut out);
        let headers = pairs(out.headers(&out.rows[0])).unwrap().into_iter();
        headers.map(|(name, value)| (name.to_owned(), String::from_utf8(value.unwrap().to_vec()).unwrap())).collect()
    }

    fn value<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
        headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn the_headers_of_an_older_letter_give_way_and_all_others_stay() {
        let own = [("trace", "a"), ("sangam.error", "old"), ("sangam.backtrace", "old"), ("trace", "b"), ("sangam.replay.of", "dead/0/1")];
        let headers = letter(&own, 9, Subject::Event("in"));
        assert_eq!(value(&headers, "trace"), ["a", "b"]);
        assert_eq!(value(&headers, header::ERROR), ["boom"]);
        assert_eq!(value(&headers, header::BACKTRACE), [""; 0]);
        assert_eq!(value(&headers, header::REPLAY_OF), ["dead/0/1"]);
        assert_eq!((value(&headers, header::STREAM), value(&headers, header::PARTITION)), (vec!["in"], vec!["3"]));
        assert_eq!((value(&headers, header::OFFSET), value(&headers, header::TIMESTAMP)), (vec!["9"], vec!["7"]));
    }

    #[test]
    fn the_attempt_is_the_first_unless_the_event_says_which_one() {
        assert_eq!(value(&letter(&[], 0, Subject::Event("in")), header::ATTEMPTS), ["1"]);
        assert_eq!(value(&letter(&[("sangam.replay.attempt", "4")], 0, Subject::Event("in")), header::ATTEMPTS), ["4"]);
        assert_eq!(value(&letter(&[("sangam.replay.attempt", "nonsense")], 0, Subject::Event("in")), header::ATTEMPTS), ["1"]);
    }

    #[test]
    fn what_came_from_no_topic_names_none() {
        let headers = letter(&[], -1, Subject::Timer("idle"));
        assert_eq!(value(&headers, header::TIMER), ["idle"]);
        let places = [header::STREAM, header::PARTITION, header::OFFSET, header::INPUT];
        assert!(places.iter().all(|name| value(&headers, name).is_empty()), "{headers:?}");
    }

    #[test]
    fn headers_grow_past_what_a_short_map_holds_without_losing_any() {
        let mut headers = Vec::new();
        for i in 0..20 {
            headers = with_headers(&headers, &|_| false, &[(&format!("h{i}"), &i.to_string())]);
        }
        assert_eq!((pairs(&headers).unwrap().len(), text_of(&headers, "h19")), (20, Some("19")));
    }
}
