//! A run of events as they travel through the engine: one arena of bytes and a row per event, so that nothing is allocated per event.
//!
//! It knows nothing of formats or operators; `route` fills in what a scan of the value found.

use crate::time::{Millis, WATERMARK_MIN};

/// A stretch of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    at: u32,
    len: u32,
}

impl Span {
    /// Nothing: a missing key, a null value, an absent field.
    pub const NONE: Span = Span { at: 0, len: u32::MAX };

    /// A stretch of `len` bytes from `at`.
    #[inline]
    pub fn new(at: usize, len: usize) -> Span {
        Span { at: at as u32, len: len as u32 }
    }

    /// True for [`Span::NONE`].
    #[inline]
    pub fn is_none(self) -> bool {
        self.len == u32::MAX
    }

    /// Where it starts.
    #[inline]
    pub fn start(self) -> usize {
        self.at as usize
    }

    /// Its length; of [`Span::NONE`] more than anything has.
    #[inline]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// True for a stretch without bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Its bytes in `arena`; `None` for [`Span::NONE`].
    #[inline]
    pub fn of(self, arena: &[u8]) -> Option<&[u8]> {
        if self.is_none() { None } else { arena.get(self.at as usize..self.at as usize + self.len as usize) }
    }

    /// True when `inner` lies in this stretch.
    #[inline]
    pub fn contains(self, inner: Span) -> bool {
        !self.is_none() && !inner.is_none() && inner.at >= self.at && inner.at + inner.len <= self.at + self.len
    }

    /// The same stretch after what was at `from` has been copied to `to`.
    #[inline]
    pub fn moved_from(self, from: Span, to: Span) -> Span {
        Span { at: self.at - from.at + to.at, len: self.len }
    }

    /// The same stretch of an arena whose bytes moved up by `by`.
    #[inline]
    pub fn moved(self, by: usize) -> Span {
        if self.is_none() { self } else { Span { at: self.at + by as u32, len: self.len } }
    }
}

/// How a value is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// MessagePack maps or arrays.
    #[default]
    MsgPack,
    /// JSON objects.
    Json,
    /// Bytes that only the operator understands.
    Raw,
}

/// One event of a run.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Record key as it came from the topic, or as an operator set it.
    pub key: Span,
    /// Value; none is a tombstone.
    pub value: Span,
    /// Headers as a MessagePack map of text to binary; none where there are none.
    pub headers: Span,
    /// Event time, once it is known; until then the time that the broker keeps for the record.
    pub time: Millis,
    /// The watermark as it stood before this event.
    pub watermark: Millis,
    /// Which of the pipeline's streams it was read from.
    pub stream: u16,
    /// Partition that it was read from.
    pub partition: i32,
    /// Offset that it was read from.
    pub offset: i64,
    /// How the value is encoded: a forwarded event keeps the form in which it came.
    pub format: Format,
}

impl Row {
    /// A row without key, value or origin at time `time`.
    pub fn at(time: Millis) -> Row {
        Row {
            key: Span::NONE,
            value: Span::NONE,
            headers: Span::NONE,
            time,
            watermark: WATERMARK_MIN,
            stream: 0,
            partition: 0,
            offset: -1,
            format: Format::MsgPack,
        }
    }
}

/// A record as a source hands it over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers as a MessagePack map of text to binary; empty where there are none.
    pub headers: &'a [u8],
    /// The time that the broker keeps for it, in milliseconds since the epoch; [`WATERMARK_MIN`] where it keeps none.
    pub time: Millis,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// A run of events.
#[derive(Debug, Default)]
pub struct Events {
    /// All bytes. Bounded by [`ARENA_MAX`].
    pub arena: Vec<u8>,
    /// One row per event.
    pub rows: Vec<Row>,
    /// What a scan found, `width` spans per row; empty before the scan.
    pub fields: Vec<Span>,
    /// Spans per row in `fields`.
    pub width: usize,
    /// Rows that cannot be read, in order, and why: they keep their place, so that they are settled in order too.
    pub unreadable: Vec<(usize, String)>,
}

/// The most bytes that one run may hold; spans count in 32 bits.
pub const ARENA_MAX: usize = 1 << 30;

impl Events {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is no event.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.rows.clear();
        self.fields.clear();
        self.unreadable.clear();
    }

    /// Appends bytes to the arena.
    #[inline]
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(at, bytes.len())
    }

    /// Appends a record as it came from a topic.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) {
        let key = record.key.map_or(Span::NONE, |key| self.store(key));
        let value = record.value.map_or(Span::NONE, |value| self.store(value));
        let headers = if record.headers.is_empty() { Span::NONE } else { self.store(record.headers) };
        self.rows.push(Row { key, value, headers, partition: record.partition, offset: record.offset, ..Row::at(record.time) });
    }

    /// Appends row `i` of another run, with its fields.
    pub fn push_from(&mut self, other: &Events, i: usize) {
        let Some(row) = other.rows.get(i) else { return };
        let mut take = |span: Span| span.of(&other.arena).map_or(Span::NONE, |bytes| self.store(bytes));
        let (key, value, headers) = (take(row.key), take(row.value), take(row.headers));
        self.rows.push(Row { key, value, headers, ..*row });
        self.width = other.width;
        for field in other.fields_of(i) {
            let inside = row.value.contains(*field);
            let field = if inside {
                field.moved_from(row.value, value)
            } else {
                field.of(&other.arena).map_or(Span::NONE, |bytes| self.store(bytes))
            };
            self.fields.push(field);
        }
    }

    /// The event's key.
    #[inline]
    pub fn key(&self, row: &Row) -> Option<&[u8]> {
        row.key.of(&self.arena)
    }

    /// The event's value.
    #[inline]
    pub fn value(&self, row: &Row) -> Option<&[u8]> {
        row.value.of(&self.arena)
    }

    /// The event's headers, empty where there are none.
    #[inline]
    pub fn headers(&self, row: &Row) -> &[u8] {
        row.headers.of(&self.arena).unwrap_or(&[])
    }

    /// The spans that a scan found for row `i`.
    #[inline]
    pub fn fields_of(&self, i: usize) -> &[Span] {
        self.fields.get(i * self.width..(i + 1) * self.width).unwrap_or(&[])
    }
}
