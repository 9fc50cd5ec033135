//! Topics of a pipeline as commands read them: from where they begin to where they end now, without taking a partition from anybody.

use crate::broker::{Assignment, Broker, Polled, Source, Start, Subscribe, Subscription};
use crate::config::Pipeline;
use crate::events::Events;
use crate::store::{DiskStore, Store, StoreError};
use crate::time::{Clock, SystemClock};
use anyhow::{Result, bail};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records that are read at once.
const READ_MAX: usize = 256;

/// How long the next record of a topic may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether it has come.
const LOOK: Duration = Duration::from_millis(5);

/// Reads a topic up to where it ends now, one partition after the other.
pub(super) struct Reading {
    topic: String,
    /// Kept for its membership.
    subscription: Box<dyn Subscription>,
    /// Those to come, the next one last.
    sources: Vec<(i32, Box<dyn Source>)>,
    /// Past the last record to be read of the one at hand, once that is known.
    end: Option<i64>,
    events: Events,
}

impl Reading {
    /// Opens a topic of so many partitions; `who` is what the name of its group starts with.
    pub(super) fn start(broker: &dyn Broker, who: &str, topic: &str, partitions: u32) -> Result<Reading> {
        // A group of its own: it commits nothing, and takes no partition from anybody.
        let group = format!("{who}-{}-{}", std::process::id(), SystemClock.now());
        let mut subscription = broker.subscribe(&Subscribe::new(group, [topic], Start::Earliest))?;
        let (mut sources, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while sources.len() < partitions as usize {
            for change in subscription.changes()? {
                if let Assignment::Gained { partition, source, .. } = change {
                    sources.push((partition, source));
                }
            }
            if sources.len() < partitions as usize {
                pause(deadline, topic)?;
            }
        }
        sources.sort_by_key(|(partition, _)| std::cmp::Reverse(*partition));
        Ok(Reading { topic: topic.to_owned(), subscription, sources, end: None, events: Events::default() })
    }

    /// The next records; `None` when all have been read.
    pub(super) fn next(&mut self) -> Result<Option<&Events>> {
        let mut deadline = Instant::now() + PATIENCE;
        self.events.clear();
        while let Some((_, source)) = self.sources.last_mut() {
            self.subscription.changes()?;
            let polled = source.poll(READ_MAX, &mut self.events)?;
            let lag = source.lag();
            let next = self.events.rows.last().map(|row| row.offset + 1);
            if let (None, Some(lag), Some(next)) = (self.end, lag, next) {
                // What is added from now on is for another time: a topic may grow as fast as it is read.
                self.end = Some(next + lag as i64);
            }
            let past = |offset: Option<i64>| self.end.zip(offset).is_some_and(|(end, offset)| offset >= end);
            if lag == Some(0) || polled == Polled::End || past(next) {
                self.sources.pop();
                let end = self.end.take();
                self.events.rows.retain(|row| end.is_none_or(|end| row.offset < end));
                deadline = Instant::now() + PATIENCE;
            }
            if !self.events.is_empty() {
                return Ok(Some(&self.events));
            }
            if polled == Polled::Empty && !self.sources.is_empty() && lag != Some(0) {
                pause(deadline, &self.topic)?;
            }
        }
        Ok(None)
    }
}

/// The store of a pipeline that does not run; `instead` is what makes its topics readable while it does.
pub(super) fn open_store(pipeline: &Pipeline, instead: &str) -> Result<Arc<dyn Store>> {
    if !pipeline.data.join(DiskStore::FILE).is_file() {
        bail!("{} is not there: the pipeline has not run yet, or runs with another `data` folder", pipeline.data.display());
    }
    match DiskStore::open(&pipeline.data) {
        Ok(store) => Ok(Arc::new(store)),
        Err(StoreError::Locked(path)) => bail!(
            "{} is in use: the pipeline is running, and its embedded topics belong to it until it ends. Stop it (Ctrl-C, or SIGTERM; it \
             goes on where it stopped), or {instead}, where they can be read while it runs",
            path.display()
        ),
        Err(why) => Err(why.into()),
    }
}

fn pause(deadline: Instant, topic: &str) -> Result<()> {
    if Instant::now() >= deadline {
        bail!("the topic `{topic}` did not come within {PATIENCE:?}; is its cluster in trouble?");
    }
    // The other side is another process: there is nothing to be woken by.
    std::thread::park_timeout(LOOK);
    Ok(())
}
