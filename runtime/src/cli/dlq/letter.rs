//! A dead letter as it lies in its stream.

use crate::events::{Events, Row};
use crate::stage::letter::{Pair, header, pairs, text_of};
use crate::time::{Millis, WATERMARK_MIN};

/// A dead letter.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// The stream that it lies in.
    pub stream: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Event time; where the topic could not keep it, the header tells it.
    pub time: Millis,
    /// Key, as it came.
    pub key: Option<Vec<u8>>,
    /// Value, as it came.
    pub value: Option<Vec<u8>>,
    /// All headers: a MessagePack map of text to binary.
    pub headers: Vec<u8>,
}

/// A place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub stream: String,
    pub partition: i32,
    pub offset: i64,
}

impl Letter {
    /// A row of a stream.
    pub fn new(stream: &str, events: &Events, row: &Row) -> Letter {
        let headers = events.headers(row).to_vec();
        let time = text_of(&headers, header::TIMESTAMP).and_then(|text| text.parse().ok()).unwrap_or(row.time);
        Letter {
            stream: stream.to_owned(),
            partition: row.partition,
            offset: row.offset,
            time,
            key: events.key(row).map(<[u8]>::to_vec),
            value: events.value(row).map(<[u8]>::to_vec),
            headers,
        }
    }

    /// Its name: `stream/partition/offset`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.stream, self.partition, self.offset)
    }

    /// A header's text; empty where it has none.
    pub fn header(&self, name: &str) -> &str {
        text_of(&self.headers, name).unwrap_or("")
    }

    /// The event's own headers, as they came.
    pub fn own_headers(&self) -> Vec<Pair<'_>> {
        let all = pairs(&self.headers).unwrap_or_default();
        all.into_iter().filter(|(name, _)| !name.starts_with("sangam.")).collect()
    }

    /// Where the event was read when it came into the pipeline.
    pub fn origin(&self) -> Option<Place> {
        let (partition, offset) = (self.header(header::PARTITION).parse().ok()?, self.header(header::OFFSET).parse().ok()?);
        Some(Place { stream: self.header(header::STREAM).to_owned(), partition, offset })
    }

    /// How often it has been tried.
    pub fn attempts(&self) -> u32 {
        self.header(header::ATTEMPTS).parse().unwrap_or(1)
    }

    /// Event time, where it has one.
    pub fn known_time(&self) -> Option<Millis> {
        (self.time != WATERMARK_MIN).then_some(self.time)
    }

    /// The name under which a replay is noted down. It is the event's, so that one that two operators did not take, or that a crash has
    /// written twice, goes back once; of what came about on the way, several may have one origin, and each letter counts for itself.
    pub fn replay_name(&self) -> String {
        match self.origin() {
            Some(Place { stream, partition, offset }) if stream == self.header(header::INPUT) => {
                format!("event {stream}/{partition}/{offset}")
            }
            _ => format!("letter {}", self.id()),
        }
    }
}
