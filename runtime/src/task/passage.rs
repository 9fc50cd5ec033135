//! Keying anew through a topic: events go to the task that owns their key by way of Kafka, so that it may be in another process.
//!
//! Each record says in a header of Sangam's own who sent it, how far that one was, and where the event came from; its reader takes the header
//! off again. A sender that has gone on without an event for a partition says so with a record that is no event, with the next commit.

use super::{Consumer, Intake, Node, Outbox, Pace, Progress, StreamNode, Task, TaskError, keep_pace};
use crate::events::{Events, Format, Row, Span};
use crate::route::{Scanner, partition_of};
use crate::stage::{Failure, FailureKind, OnError};
use crate::time::{Millis, WATERMARK_MIN};
use sangam_protocol::msgpack::{Reader, write};
use std::sync::Arc;

/// The header that says where a record comes from; the last one of its record.
const HEADER: &str = "sangam.from";

/// The most senders of one passage: more than a topic ever has partitions.
const SENDERS_MAX: u64 = 1 << 16;

/// What every sender is taken to be at before it has said anything.
const UNHEARD: Progress = Progress { watermark: WATERMARK_MIN, pace: Pace::Active };

/// The sending side: how far this task is, and what each partition of the topic has heard of it.
pub(super) struct Passage {
    now: Progress,
    told: Vec<Progress>,
}

/// The reading side of one partition: how far its senders are.
#[derive(Debug)]
pub(super) struct Senders {
    /// The pipeline's streams.
    names: Arc<[String]>,
    known: Vec<Progress>,
    /// What has come since it was last asked for, in order.
    arrivals: Vec<Arrival>,
}

/// What a record says of its sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// `None`: it has no say, as it did not come from Sangam.
    sender: Option<usize>,
    progress: Progress,
    /// It has an event, the next one of the run.
    event: bool,
}

/// What a record's header says.
struct Note<'a> {
    sender: u32,
    progress: Progress,
    /// The event, as the sender had it; `None`: there is none.
    event: Option<Origin<'a>>,
}

/// Where an event came from, and what its record cannot say itself.
struct Origin<'a> {
    stream: &'a str,
    partition: i32,
    offset: i64,
    time: Millis,
    format: Format,
    /// Why it cannot be read.
    unreadable: Option<&'a str>,
}

impl Task {
    /// Sends each event to the partition of the task that owns its key.
    pub(super) fn send_through(
        &mut self,
        to: Consumer,
        through: usize,
        events: &Events,
        progress: Progress,
        outbox: &mut Outbox,
    ) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(spec) = topology.operators.get(to.operator) else { return Ok(()) };
        let partitions = topology.streams.get(through).and_then(|node| node.topic.as_ref()).map_or(0, |topic| topic.partitions);
        let Some(input) = spec.inputs.get(to.input).filter(|_| partitions > 0) else { return Ok(()) };
        let (mut key, mut headers) = (Vec::new(), Vec::new());
        let mut unreadable = events.unreadable.iter().peekable();
        for (i, row) in events.rows.iter().enumerate() {
            let found = match unreadable.next_if(|(row, _)| *row == i) {
                Some((_, reason)) => Err(reason.clone()),
                None => input.key(events, i, row, &mut key).map(|key| partition_of(key, partitions)),
            };
            let (partition, reason) = match found {
                Ok(partition) => (partition, None),
                // Only the operator's own tasks know the way to its fallback: they refuse it in turn.
                Err(reason) if matches!(spec.on_error, OnError::Fallback(_)) => {
                    (row.partition.rem_euclid(partitions as i32) as u32, Some(reason))
                }
                Err(reason) => {
                    self.refuse_for(to, events, i, &Failure::new(FailureKind::Unreadable, reason), outbox)?;
                    continue;
                }
            };
            let told = Progress { watermark: row.watermark, pace: Pace::Active };
            let origin = Origin {
                stream: topology.stream_names.get(usize::from(row.stream)).map_or("", String::as_str),
                partition: row.partition,
                offset: row.offset,
                time: row.time,
                format: row.format,
                unreadable: reason.as_deref(),
            };
            with_note(events.headers(row), &Note { sender: self.partition, progress: told, event: Some(origin) }, &mut headers);
            if let Some(reason) = outbox.carry(through, partition, events.key(row), events.value(row), &headers)? {
                self.refuse_for(to, events, i, &Failure::new(FailureKind::Unreadable, reason), outbox)?;
            } else if let Some(heard) = self.passage(through, partitions).told.get_mut(partition as usize) {
                *heard = told;
            }
        }
        let passage = self.passage(through, partitions);
        passage.now = Progress { watermark: passage.now.watermark.max(progress.watermark), pace: progress.pace };
        let news = passage.told.iter().any(|told| *told != passage.now);
        self.emitted |= news;
        Ok(())
    }

    /// Says to partitions that have not heard it how far this task is: at most once in a commit.
    pub fn tell_passages(&mut self, outbox: &mut Outbox) -> Result<(), TaskError> {
        let mut headers = Vec::new();
        for (through, passage) in self.passages.iter_mut().enumerate() {
            let Some(Passage { now, told }) = passage else { continue };
            for (partition, told) in told.iter_mut().enumerate().filter(|(_, told)| **told != *now) {
                with_note(&[], &Note { sender: self.partition, progress: *now, event: None }, &mut headers);
                // Nothing but a size is refused for good, and this has next to none.
                outbox.carry(through, partition as u32, None, None, &headers)?;
                *told = *now;
            }
        }
        Ok(())
    }

    fn passage(&mut self, through: usize, partitions: u32) -> &mut Passage {
        if self.passages.len() <= through {
            self.passages.resize_with(through + 1, || None);
        }
        let new = || Passage { now: UNHEARD, told: vec![UNHEARD; partitions as usize] };
        #[expect(clippy::indexing_slicing, reason = "made longer just above")]
        self.passages[through].get_or_insert_with(new)
    }

    /// Hands what has come through a passage to the operator, in the order in which it came.
    pub(super) fn come_through(
        &mut self,
        i: usize,
        stream: &StreamNode,
        events: &mut Events,
        outbox: &mut Outbox,
    ) -> Result<(), TaskError> {
        let arrivals = self.intakes.get_mut(i).map(Intake::arrivals).unwrap_or_default();
        match stream.consumers.first().filter(|_| !arrivals.is_empty()) {
            Some(to) => self.arrive(*to, events, &arrivals, outbox),
            None => Ok(()),
        }
    }

    fn arrive(&mut self, to: Consumer, events: &mut Events, arrivals: &[Arrival], outbox: &mut Outbox) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let Some(&(first, count)) = topology.operators.get(to.operator).and_then(|spec| spec.channels.get(to.input)) else { return Ok(()) };
        let Some(Node { combined, .. }) = self.nodes.get_mut(to.operator).and_then(Option::as_mut) else { return Ok(()) };
        let mut rows = events.rows.iter_mut();
        for Arrival { sender, progress, event } in arrivals {
            if let Some(sender) = sender {
                let channel = first + (*sender).min(count.saturating_sub(1));
                if *event || progress.pace == Pace::Active {
                    combined.active(channel);
                }
                combined.advance(channel, progress.watermark);
                keep_pace(combined, channel, progress.pace);
            }
            if *event && let Some(row) = rows.next() {
                row.watermark = combined.watermark();
            }
        }
        let full = self.take_in(to.operator, to.input, events)?;
        self.see_to(to.operator, to.input, full, outbox)
    }
}

// === impl Senders ===

impl Senders {
    /// Those of a partition that was read up to some position before; `known` is what that position says of them.
    pub fn new(names: Arc<[String]>, known: Option<&[u8]>) -> Senders {
        let known = known.and_then(read_known).unwrap_or_default();
        let arrival = |(sender, progress): (usize, &Progress)| Arrival { sender: Some(sender), progress: *progress, event: false };
        let arrivals = known.iter().enumerate().filter(|(_, progress)| **progress != UNHEARD).map(arrival).collect();
        Senders { names, known, arrivals }
    }

    /// What has come since the last call.
    pub fn arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }

    /// How far they are, for a position.
    pub fn write(&self, into: &mut Vec<u8>) {
        write::array(into, self.known.len() * 2);
        for Progress { watermark, pace } in &self.known {
            write::i64(into, *watermark);
            write::u64(into, u64::from(number_of(*pace)));
        }
    }

    /// Makes events of records: each gets back what it was before it was sent. Records without one are taken note of, and go.
    pub fn unpack(&mut self, stream: usize, scanner: &mut Scanner, events: &mut Events) {
        let mut rows = std::mem::take(&mut events.rows);
        let mut unreadable = Vec::new();
        let mut kept = 0;
        rows.retain_mut(|row| {
            let unpacked = self.unpack_one(stream, row, &mut events.arena);
            if let Some(reason) = unpacked.as_ref().and_then(|event| event.as_ref().err()) {
                unreadable.push((kept, reason.clone()));
            }
            kept += usize::from(unpacked.is_some());
            unpacked.is_some()
        });
        events.rows = rows;
        let mut unreadable = unreadable.into_iter().peekable();
        scanner.start(events);
        for i in 0..events.rows.len() {
            let found = scanner.scan(events, i);
            let why = unreadable.next_if(|(row, _)| *row == i).map(|(_, why)| why).or(found.err());
            events.unreadable.extend(why.map(|why| (i, why)));
        }
    }

    /// `None`: it has no event. An error is why the event cannot be read.
    fn unpack_one(&mut self, stream: usize, row: &mut Row, arena: &mut Vec<u8>) -> Option<Result<(), String>> {
        let headers = row.headers.of(arena).unwrap_or(&[]);
        let Some((note, others)) = note_of(headers) else {
            self.arrivals.push(Arrival { sender: None, progress: UNHEARD, event: true });
            row.stream = stream as u16;
            return Some(Err("the record does not say where it comes from: it was not written by Sangam".to_owned()));
        };
        let sender = note.sender as usize;
        if self.known.len() <= sender {
            self.known.resize(sender + 1, UNHEARD);
        }
        if let Some(known) = self.known.get_mut(sender) {
            *known = note.progress;
        }
        self.arrivals.push(Arrival { sender: Some(sender), progress: note.progress, event: note.event.is_some() });
        let origin = note.event?;
        let known = self.names.iter().position(|name| name == origin.stream);
        row.stream = known.unwrap_or(stream) as u16;
        (row.partition, row.offset, row.time, row.format) = (origin.partition, origin.offset, origin.time, origin.format);
        let unreadable = origin.unreadable.map(str::to_owned);
        let others = others.map(|(count, bytes)| {
            let mut others = Vec::with_capacity(bytes.len() + 5);
            write::map(&mut others, count);
            others.extend_from_slice(bytes);
            others
        });
        row.headers = others.map_or(Span::NONE, |others| {
            arena.extend_from_slice(&others);
            Span::new(arena.len() - others.len(), others.len())
        });
        Some(unreadable.map_or(Ok(()), Err))
    }
}

fn read_known(bytes: &[u8]) -> Option<Vec<Progress>> {
    let mut reader = Reader::new(bytes);
    let elements = reader.array().ok()?;
    (0..elements / 2).map(|_| Some(Progress { watermark: reader.i64().ok()?, pace: pace_of(reader.u64().ok()?)? })).collect()
}

// === notes ===

/// The headers `own` with a note behind them.
fn with_note(own: &[u8], note: &Note<'_>, out: &mut Vec<u8>) {
    out.clear();
    let mut reader = Reader::new(own);
    let count = if own.is_empty() { 0 } else { reader.map().unwrap_or(0) };
    write::map(out, count + 1);
    if count > 0 {
        out.extend_from_slice(reader.rest());
    }
    write::str(out, HEADER);
    write::bin_with(out, |out| {
        write::array(out, if note.event.is_some() { 9 } else { 3 });
        write::u64(out, u64::from(note.sender));
        write::i64(out, note.progress.watermark);
        write::u64(out, u64::from(number_of(note.progress.pace)));
        let Some(origin) = &note.event else { return };
        write::str(out, origin.stream);
        write::i64(out, i64::from(origin.partition));
        write::i64(out, origin.offset);
        write::i64(out, origin.time);
        write::u64(
            out,
            match origin.format {
                Format::MsgPack => 0,
                Format::Json => 1,
                Format::Raw => 2,
            },
        );
        match origin.unreadable {
            Some(reason) => write::str(out, reason),
            None => write::nil(out),
        }
    });
}

/// Number and bytes of the headers before a note; `None`: there are none.
type Others<'a> = Option<(usize, &'a [u8])>;

/// The note of a record, and its other headers. `None`: there is no note that can be read.
fn note_of(headers: &[u8]) -> Option<(Note<'_>, Others<'_>)> {
    let mut reader = Reader::new(headers);
    let others = reader.map().ok()?.checked_sub(1)?;
    let from = reader.position();
    for _ in 0..others {
        reader.skip().ok()?;
        reader.skip().ok()?;
    }
    let to = reader.position();
    if reader.str().ok()? != HEADER {
        return None;
    }
    let note = read_note(reader.bin().ok()?)?;
    Some((note, headers.get(from..to).filter(|_| others > 0).map(|bytes| (others, bytes))))
}

fn read_note(bytes: &[u8]) -> Option<Note<'_>> {
    let mut reader = Reader::new(bytes);
    let elements = reader.array().ok()?;
    let sender = reader.u64().ok().filter(|sender| *sender < SENDERS_MAX)? as u32;
    let progress = Progress { watermark: reader.i64().ok()?, pace: pace_of(reader.u64().ok()?)? };
    if elements == 3 {
        return Some(Note { sender, progress, event: None });
    }
    let stream = reader.str().ok()?;
    let partition = i32::try_from(reader.i64().ok()?).ok()?;
    let (offset, time) = (reader.i64().ok()?, reader.i64().ok()?);
    let format = match reader.u64().ok()? {
        0 => Format::MsgPack,
        1 => Format::Json,
        2 => Format::Raw,
        _ => return None,
    };
    let unreadable = if reader.nil().ok()? { None } else { Some(reader.str().ok()?) };
    Some(Note { sender, progress, event: Some(Origin { stream, partition, offset, time, format, unreadable }) })
}

fn number_of(pace: Pace) -> u8 {
    match pace {
        Pace::Active => 0,
        Pace::Idle => 1,
        Pace::Finished => 2,
    }
}

fn pace_of(number: u64) -> Option<Pace> {
    [Pace::Active, Pace::Idle, Pace::Finished].get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Record;
    use crate::route::Wants;

    fn headers(names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        if !names.is_empty() {
            write::map(&mut out, names.len());
        }
        for name in names {
            write::str(&mut out, name);
            write::nil(&mut out);
        }
        out
    }

    fn note(sender: u32, watermark: Millis, unreadable: Option<&'static str>) -> Note<'static> {
        let event = Origin { stream: "in", partition: 3, offset: 77, time: -5, format: Format::Json, unreadable };
        Note { sender, progress: Progress { watermark, pace: Pace::Active }, event: Some(event) }
    }

    fn unpacked(records: &[Vec<u8>]) -> (Senders, Events) {
        let mut senders = Senders::new(["other".to_owned(), "in".to_owned()].into(), None);
        let mut events = Events::default();
        for (offset, headers) in records.iter().enumerate() {
            events.push(&Record { value: Some(b"{}"), headers, time: 9, partition: 0, offset: offset as i64, ..Record::default() });
        }
        senders.unpack(0, &mut Scanner::new(&Wants::default(), &[]), &mut events);
        (senders, events)
    }

    fn written(own: &[u8], note: &Note<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        with_note(own, note, &mut out);
        out
    }

    #[test]
    fn an_event_gets_back_what_it_was_whatever_headers_it_has() {
        for own in [headers(&[]), headers(&["a"]), headers(&["a", "sangam.from", "b"]), headers(&["h"; 15]), headers(&["h"; 16])] {
            let (_, events) = unpacked(&[written(&own, &note(1, 10, None))]);
            let row = &events.rows[0];
            assert_eq!((row.stream, row.partition, row.offset, row.time, row.format), (1, 3, 77, -5, Format::Json));
            assert_eq!(events.headers(row), own);
            assert!(events.unreadable.is_empty());
        }
    }

    #[test]
    fn what_senders_say_is_heard_in_order_and_remembered() {
        let silent = Note { sender: 2, progress: Progress { watermark: 5, pace: Pace::Idle }, event: None };
        let (mut senders, events) = unpacked(&[written(&[], &note(0, 10, None)), written(&[], &silent), written(&[], &note(0, 20, None))]);
        let heard = |senders: &mut Senders| -> Vec<_> {
            senders.arrivals().iter().map(|a| (a.sender.unwrap(), a.progress.watermark, a.progress.pace, a.event)).collect()
        };
        let active = Pace::Active;
        assert_eq!(heard(&mut senders), [(0, 10, active, true), (2, 5, Pace::Idle, false), (0, 20, active, true)]);
        assert_eq!(events.len(), 2);
        assert!(senders.arrivals().is_empty());
        let mut position = Vec::new();
        senders.write(&mut position);
        let mut again = Senders::new(["in".to_owned()].into(), Some(&position));
        assert_eq!(heard(&mut again), [(0, 20, active, false), (2, 5, Pace::Idle, false)]);
    }

    #[test]
    fn what_cannot_be_read_keeps_its_place_among_the_others() {
        let silent = Note { sender: 0, progress: UNHEARD, event: None };
        let records = [written(&[], &silent), headers(&["by somebody else"]), written(&[], &note(0, 1, Some("no time"))), Vec::new()];
        let (mut senders, events) = unpacked(&records);
        let reasons: Vec<_> =
            events.unreadable.iter().map(|(row, why)| (*row, why.contains("not written by Sangam"), why == "no time")).collect();
        assert_eq!(reasons, [(0, true, false), (1, false, true), (2, true, false)]);
        let arrivals = senders.arrivals();
        assert_eq!(
            arrivals.iter().map(|a| (a.sender.is_some(), a.event)).collect::<Vec<_>>(),
            [(true, false), (false, true), (true, true), (false, true)]
        );
    }

    #[test]
    fn a_sender_that_cannot_be_is_none() {
        let far = written(&[], &note(SENDERS_MAX as u32, 1, None));
        assert_eq!(unpacked(&[far]).1.unreadable.len(), 1);
        let last = written(&[], &note(SENDERS_MAX as u32 - 1, 1, None));
        assert_eq!(unpacked(&[last]).1.unreadable.len(), 0);
    }
}
