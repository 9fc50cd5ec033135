//! The thread that feeds the demo's topics: a bounded number of events, or a steady rate of them until somebody says stop.

use super::generate::Generator;
use crate::admin::View;
use crate::broker::{Broker, LocalBroker, OutRecord, Sink, settle};
use crate::config::{Carrier, EMBEDDED, Pipeline};
use crate::route::partition_of;
use crate::store::{Changes, Store};
use crate::time::WATERMARK_MIN;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much, for how long, how fast; without any of them: everything at once, for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Payments and orders in all.
    pub(super) events: Option<u64>,
    /// When to end.
    pub(super) time: Option<Duration>,
    /// Payments and orders per second.
    pub(super) rate: Option<u64>,
}

/// The topics of a pipeline.
pub(super) struct Topics {
    /// The pipeline's name: the group whose offsets say what has been read.
    group: String,
    payments: Topic,
    orders: Topic,
    departures: Topic,
    /// Those that operators write.
    outputs: Vec<Topic>,
}

struct Topic {
    stream: String,
    name: String,
    partitions: u32,
}

/// Feeds the topics of a running pipeline.
pub(super) struct Feed {
    view: Arc<View>,
    local: LocalBroker,
    store: Arc<dyn Store>,
    topics: Topics,
    departures: String,
}

/// How much has been fed.
#[derive(Clone, Copy, Debug, Default)]
struct Fed {
    payments: u64,
    orders: u64,
    departures: u64,
}

/// Records that are appended together.
struct Batch<'f> {
    feed: &'f Feed,
    sink: Box<dyn Sink>,
    changes: Changes,
    key: String,
    value: Vec<u8>,
}

/// The most payments and orders that are appended at once.
const CHUNK: u64 = 2_000;

/// All 20,000 departures come with the first 200,000 payments and orders.
const EVENTS_PER_DEPARTURE: u64 = 10;

/// The feed is at most so many events of a stream ahead of those who read it: disks have an end.
const AHEAD_MAX: u64 = 200_000;

/// Records that are kept of a partition, apart from those that are yet to be read. A demo may run for days.
const KEPT: i64 = 200_000;

/// How often older ones are deleted.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// How long the feed sleeps when there is nothing to do.
const NAP: Duration = Duration::from_millis(20);

// === impl Topics ===

impl Topics {
    /// Finds the demo's streams in a pipeline.
    pub(super) fn of(pipeline: &Pipeline) -> Result<Topics> {
        let topic = |name: &str| match pipeline.stream(name).map(|stream| &stream.carrier) {
            Some(Carrier::Topic { cluster, topic, partitions, .. }) if cluster == EMBEDDED => {
                Some(Topic { stream: name.to_owned(), name: topic.clone(), partitions: *partitions })
            }
            _ => None,
        };
        let input = |name| topic(name).with_context(|| format!("the demo's pipeline needs a stream `{name}` in the embedded log"));
        Ok(Topics {
            group: pipeline.name.clone(),
            payments: input("payments")?,
            orders: input("orders")?,
            departures: input("departures")?,
            outputs: pipeline.operators.iter().flat_map(|operator| operator.writes()).filter_map(topic).collect(),
        })
    }
}

// === impl Feed ===

impl Feed {
    pub(super) fn new(view: Arc<View>, local: LocalBroker, store: Arc<dyn Store>, topics: Topics, departures: String) -> Self {
        Feed { view, local, store, topics, departures }
    }

    /// Feeds, waits until everything has been taken in, and stops the run. Ends early when the run is stopped by another.
    pub(super) fn run(self, pace: Pace) -> Result<()> {
        let fed = self.feed(pace).inspect_err(|_| self.view.control.stop())?;
        while !self.view.control.stopping() && self.behind(fed) > 0 {
            std::thread::sleep(NAP);
        }
        self.view.control.stop();
        Ok(())
    }

    fn feed(&self, pace: Pace) -> Result<Fed> {
        let started = Instant::now();
        let mut recorded = self.departures.lines().filter(|line| !line.is_empty());
        let (mut generator, mut batch) = (Generator::new(), Batch::new(self)?);
        let (mut fed, mut trimmed) = (Fed::default(), started);
        loop {
            let made = fed.payments + fed.orders;
            let left = pace.events.map_or(u64::MAX, |events| events.saturating_sub(made));
            if left == 0 || pace.time.is_some_and(|time| started.elapsed() >= time) || self.view.control.stopping() {
                break;
            }
            let due = pace.rate.map_or(u64::MAX, |rate| (started.elapsed().as_secs_f64() * rate as f64) as u64);
            let count = due.saturating_sub(made).min(left).min(CHUNK);
            if count == 0 || self.behind(fed) > AHEAD_MAX {
                std::thread::sleep(NAP);
                continue;
            }
            for i in made..made + count {
                // They take turns.
                if i % 2 == 0 { batch.payment(&mut generator, &mut fed)? } else { batch.order(&mut generator, &mut fed)? }
            }
            let due = (made + count) / EVENTS_PER_DEPARTURE - fed.departures;
            recorded.by_ref().take(due as usize).try_for_each(|line| batch.departure(line, &mut fed))?;
            batch.append()?;
            if trimmed.elapsed() > TRIM_INTERVAL {
                self.trim()?;
                trimmed = Instant::now();
            }
        }
        if pace.events.is_some() && !self.view.control.stopping() {
            recorded.try_for_each(|line| batch.departure(line, &mut fed))?;
            batch.append()?;
        }
        Ok(fed)
    }

    /// How far the operator that is furthest behind is behind, in events.
    fn behind(&self, fed: Fed) -> u64 {
        let Topics { payments, orders, departures, .. } = &self.topics;
        let behind = [(payments, fed.payments), (orders, fed.orders), (departures, fed.departures)].map(|(topic, fed)| {
            let streams = self.view.topology.streams.iter().filter(|stream| stream.name == topic.stream);
            let readers =
                streams.flat_map(|stream| &stream.consumers).filter_map(|reader| self.view.topology.operators.get(reader.operator));
            readers.map(|reader| fed.saturating_sub(reader.metrics.events_in.get())).max().unwrap_or(0)
        });
        behind.into_iter().max().unwrap_or(0)
    }

    /// Deletes what has been read and is old.
    fn trim(&self) -> Result<()> {
        let Topics { group, payments, orders, departures, outputs } = &self.topics;
        let mut changes = Changes::default();
        for (topic, is_read) in
            [payments, orders, departures].map(|input| (input, true)).into_iter().chain(outputs.iter().map(|output| (output, false)))
        {
            for partition in 0..topic.partitions as i32 {
                let mut before = self.local.end(&topic.name, partition)? - KEPT;
                if is_read {
                    before = before.min(self.local.committed(group, &topic.name, partition)?.unwrap_or(0));
                }
                self.local.trim(&topic.name, partition, before, &mut changes)?;
            }
        }
        if changes.is_empty() { Ok(()) } else { Ok(self.store.write(&changes)?) }
    }
}

// === impl Batch ===

impl<'f> Batch<'f> {
    fn new(feed: &'f Feed) -> Result<Self> {
        Ok(Batch { feed, sink: feed.local.sink()?, changes: Changes::default(), key: String::new(), value: Vec::new() })
    }

    fn payment(&mut self, generator: &mut Generator, fed: &mut Fed) -> Result<()> {
        generator.payment(&mut self.key, &mut self.value);
        fed.payments += 1;
        write(self.sink.as_mut(), &self.feed.topics.payments, Some(&self.key), &self.value, &mut self.changes)
    }

    fn order(&mut self, generator: &mut Generator, fed: &mut Fed) -> Result<()> {
        generator.order(&mut self.key, &mut self.value);
        fed.orders += 1;
        write(self.sink.as_mut(), &self.feed.topics.orders, Some(&self.key), &self.value, &mut self.changes)
    }

    fn departure(&mut self, line: &str, fed: &mut Fed) -> Result<()> {
        fed.departures += 1;
        write(self.sink.as_mut(), &self.feed.topics.departures, None, line.as_bytes(), &mut self.changes)
    }

    /// Appends all of it at once.
    fn append(&mut self) -> Result<()> {
        let appended = settle(&mut *self.sink, &mut self.changes, &*self.feed.store);
        self.changes.clear();
        Ok(appended?)
    }
}

fn write(sink: &mut dyn Sink, topic: &Topic, key: Option<&str>, value: &[u8], changes: &mut Changes) -> Result<()> {
    let key = key.map(str::as_bytes);
    let partition = key.map_or(0, |key| partition_of(key, topic.partitions)) as i32;
    let record = OutRecord { topic: &topic.name, partition, key, value: Some(value), headers: &[], time: WATERMARK_MIN };
    Ok(sink.write(&record, changes)?)
}
