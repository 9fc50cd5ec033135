//! The two ends of a system in memory: sources that hand out prepared events, at full speed or when each is due, and a sink that looks at the clock when an
//! answer comes.

use super::events::Prepared;
use super::{Answers, System};
use sangam::broker::{Assignment, Broker, BrokerError, OutRecord, Polled, Sink, Source, Subscribe, Subscription};
use sangam::events::{Events, Record};
use sangam::store::Changes;
use sangam::time::WATERMARK_MIN;
use sangam_tests::bench::{cpu_ns, resident_bytes};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// When events come.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many per second, evenly.
    PerSecond(f64),
    /// As their own times are apart.
    AsTheySay,
}

/// Prepared events on their way through a pipeline.
pub struct Tape {
    prepared: Arc<Prepared>,
    stream: &'static str,
    answers: Answers,
    pace: Option<Pace>,
    /// The event behind the last one that is handed out.
    end: usize,
    /// Streams that are not read up yet, and must be before the one that is measured.
    others: Mutex<BTreeSet<String>>,
    /// Who reads the stream that is measured: operators that share no task each do. All begin together, and the last one ends it.
    readers: AtomicUsize,
    at_begin: AtomicUsize,
    at_end: AtomicUsize,
    outputs: AtomicU64,
    output_bytes: AtomicU64,
    began: OnceLock<Mark>,
    ended: OnceLock<Mark>,
    heard: Mutex<Heard>,
    /// Memory of the process before the first event.
    memory_at_start: OnceLock<u64>,
}

/// A moment.
#[derive(Clone, Copy, Debug)]
struct Mark {
    cpu_ns: u64,
    at: Instant,
    outputs: u64,
    output_bytes: u64,
    heap: u64,
}

/// What has been answered.
#[derive(Default)]
struct Heard {
    latencies: Vec<Duration>,
    /// Events that are answered, where answers say for how many they are.
    answered: usize,
}

/// How a run went.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Events measured.
    pub events: usize,
    /// Processor time of an event, all threads.
    pub cpu_ns: f64,
    /// Events per second by the clock on the wall.
    pub wall_eps: f64,
    /// Events that came out meanwhile.
    pub outputs: u64,
    /// Bytes that came out for an event.
    pub out_bytes: f64,
    /// Memory that each user took.
    pub user_bytes: f64,
}

// === impl Tape ===

impl Tape {
    /// A tape of all events at full speed, or of the first seconds at a pace.
    pub fn new(system: &System, prepared: &Arc<Prepared>, paced: Option<(Pace, f64)>) -> Arc<Tape> {
        let (times, before) = (&prepared.times, prepared.before);
        let end = match paced {
            None => times.len(),
            Some((Pace::PerSecond(rate), seconds)) => times.len().min(before + (rate * seconds) as usize),
            Some((Pace::AsTheySay, seconds)) => {
                let last = times.get(before).map_or(0, |first| first + (seconds * 1e3) as i64);
                times.partition_point(|time| *time < last)
            }
        };
        Arc::new(Tape {
            prepared: prepared.clone(),
            stream: system.stream,
            answers: system.answers,
            pace: paced.map(|(pace, _)| pace),
            end,
            others: Mutex::new(prepared.streams.keys().filter(|name| *name != system.stream).cloned().collect()),
            readers: AtomicUsize::new(0),
            at_begin: AtomicUsize::new(0),
            at_end: AtomicUsize::new(0),
            outputs: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            began: OnceLock::new(),
            ended: OnceLock::new(),
            heard: Mutex::default(),
            memory_at_start: OnceLock::new(),
        })
    }

    /// How it went at full speed; `None` where the events were not read up.
    pub fn measured(&self) -> Option<Measured> {
        let (began, ended) = (self.began.get()?, self.ended.get()?);
        let (users, events) = (self.prepared.before, self.end - self.prepared.before);
        let grown = began.heap.saturating_sub(*self.memory_at_start.get()?);
        Some(Measured {
            events,
            cpu_ns: (ended.cpu_ns - began.cpu_ns) as f64 / events as f64,
            wall_eps: events as f64 / (ended.at - began.at).as_secs_f64(),
            outputs: ended.outputs - began.outputs,
            out_bytes: (ended.output_bytes - began.output_bytes) as f64 / events as f64,
            user_bytes: if users > 0 { grown as f64 / users as f64 } else { 0.0 },
        })
    }

    /// How long answers took, in order.
    pub fn latencies(&self) -> Vec<Duration> {
        let mut latencies = self.heard().latencies.clone();
        latencies.sort_unstable();
        latencies
    }

    /// Events per second that came.
    pub fn rate(&self) -> f64 {
        self.measured().map_or(f64::NAN, |measured| measured.wall_eps)
    }

    fn mark(&self) -> Mark {
        let (outputs, output_bytes) = (self.outputs.load(Ordering::Relaxed), self.output_bytes.load(Ordering::Relaxed));
        Mark { cpu_ns: cpu_ns(), at: Instant::now(), outputs, output_bytes, heap: resident_bytes() }
    }

    /// When an event is to come.
    fn due(&self, event: usize) -> Option<Instant> {
        let began = self.began.get()?.at;
        let before = self.prepared.before;
        let after = match self.pace? {
            Pace::PerSecond(rate) => Duration::from_secs_f64(event.checked_sub(before)? as f64 / rate),
            Pace::AsTheySay => {
                let (first, own) = (self.prepared.times.get(before)?, self.prepared.times.get(event)?);
                Duration::from_millis((own - first) as u64)
            }
        };
        Some(began + after)
    }

    /// The event behind the last one that may be handed out now.
    fn ready(&self, next: usize) -> usize {
        if next < self.prepared.before {
            return self.prepared.before;
        }
        if self.pace.is_none() {
            return self.end;
        }
        let now = Instant::now();
        (next..self.end).find(|event| self.due(*event).is_none_or(|due| due > now)).unwrap_or(self.end)
    }

    fn hear(&self, record: &OutRecord<'_>) {
        self.outputs.fetch_add(1, Ordering::Relaxed);
        self.output_bytes.fetch_add(record.value.map_or(0, <[u8]>::len) as u64, Ordering::Relaxed);
        if self.pace.is_none() {
            return;
        }
        let now = Instant::now();
        let mut heard = self.heard();
        match self.answers {
            Answers::ByTime(stream) if stream == record.topic => {
                let event = self.prepared.times.binary_search(&record.time).ok();
                heard.latencies.extend(event.and_then(|event| self.due(event)).map(|due| now.saturating_duration_since(due)));
            }
            Answers::ByCount(stream) if stream == record.topic => {
                let row: serde_json::Value = rmp_serde::from_slice(record.value.unwrap_or_default()).unwrap_or_default();
                let count = row.get("orders").and_then(serde_json::Value::as_u64).unwrap_or_default() as usize;
                let first = self.prepared.before + heard.answered;
                let due = (first..first + count).filter_map(|event| self.due(event));
                heard.latencies.extend(due.map(|due| now.saturating_duration_since(due)));
                heard.answered += count;
            }
            _ => {}
        }
    }

    fn others(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A broker whose topics are a tape's streams.
pub struct Deck(pub Arc<Tape>);

/// A stream of a tape.
struct TapeSource {
    tape: Arc<Tape>,
    stream: String,
    next: usize,
    /// Whether it has said that all before the measured events, and all, is read.
    begun: bool,
    ended: bool,
}

struct TapeSubscription(Vec<Assignment>);

struct TapeSink(Arc<Tape>);

impl Broker for Deck {
    fn partitions(&self, _topic: &str) -> Result<Option<u32>, BrokerError> {
        Ok(Some(1))
    }

    fn create(&self, _topic: &str, _partitions: u32) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        let gained = subscription.names().map(|topic| {
            if topic == self.0.stream {
                self.0.readers.fetch_add(1, Ordering::SeqCst);
            }
            let source = Box::new(TapeSource { tape: self.0.clone(), stream: topic.to_owned(), next: 0, begun: false, ended: false });
            Assignment::Gained { topic: topic.into(), partition: 0, committed: None, source }
        });
        Ok(Box::new(TapeSubscription(gained.collect())))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(TapeSink(self.0.clone())))
    }
}

impl Subscription for TapeSubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        Ok(std::mem::take(&mut self.0))
    }

    fn commit(&mut self, _offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl TapeSource {
    fn is_measured(&self) -> bool {
        self.stream == self.tape.stream
    }

    /// The event behind the last one that may be handed out now, of the stream that is measured.
    fn ready(&mut self) -> usize {
        let tape = &self.tape;
        if !tape.others().is_empty() {
            return self.next;
        }
        if self.next == tape.prepared.before {
            if !std::mem::replace(&mut self.begun, true) {
                tape.at_begin.fetch_add(1, Ordering::SeqCst);
            }
            if tape.at_begin.load(Ordering::SeqCst) < tape.readers.load(Ordering::SeqCst) {
                return self.next;
            }
            tape.began.get_or_init(|| tape.mark());
        }
        tape.ready(self.next)
    }

    /// Notes that all of the stream is read.
    fn say_ended(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let tape = &self.tape;
        if !self.is_measured() {
            tape.others().remove(&self.stream);
        } else if tape.at_end.fetch_add(1, Ordering::SeqCst) + 1 == tape.readers.load(Ordering::SeqCst) {
            tape.ended.get_or_init(|| tape.mark());
        }
    }

    /// Where its events end.
    fn end(&self) -> usize {
        if self.is_measured() { self.tape.end } else { self.tape.prepared.streams.get(&self.stream).map_or(0, |frames| frames.len()) }
    }
}

impl Source for TapeSource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        self.next = offset as usize;
        Ok(())
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        let (tape, end) = (self.tape.clone(), self.end());
        tape.memory_at_start.get_or_init(resident_bytes);
        let Some(frames) = tape.prepared.streams.get(&self.stream) else { return Ok(Polled::End) };
        if self.next >= end {
            self.say_ended();
            return Ok(Polled::End);
        }
        let ready = if self.is_measured() { self.ready() } else { end };
        let to = ready.min(self.next + max);
        for i in self.next..to {
            into.push(&Record { value: Some(frames.get(i)), time: WATERMARK_MIN, offset: i as i64, ..Record::default() });
        }
        let polled = to - std::mem::replace(&mut self.next, to);
        Ok(if polled == 0 { Polled::Empty } else { Polled::Some(polled) })
    }

    fn lag(&self) -> Option<u64> {
        Some(self.end().saturating_sub(self.next) as u64)
    }
}

impl Sink for TapeSink {
    fn write(&mut self, record: &OutRecord<'_>, _changes: &mut Changes) -> Result<(), BrokerError> {
        self.0.hear(record);
        Ok(())
    }

    fn flush(&mut self, _changes: &mut Changes) -> Result<(), BrokerError> {
        Ok(())
    }

    fn settled(&mut self, _written: bool) {}
}
