//! Savepoints of a pipeline that does not run: taken of its store, or put in the place of what is there.
//!
//! Over Kafka the truth is in the logs, so this process becomes the only one of its group first, and brings the store to where they end.

use super::super::Supervisor;
use super::super::control::Control;
use super::super::ledger::Ledger;
use super::super::passages;
use super::super::supervise::{Holdings, TICK};
use super::restore::Restore;
use super::take::{Label, Take};
use super::{Depot, Savepoint, SavepointError, check_name};
use crate::broker::Subscription;
use crate::objects::Objects;
use std::time::{Duration, Instant};

/// The pipeline's work is this process's, as long as this is there.
struct Alone {
    ledger: Option<Ledger>,
    subscriptions: Vec<Option<Box<dyn Subscription>>>,
    /// Kept, as partitions belong to who reads them.
    _holdings: Holdings,
}

/// How long the group may take to give this process all partitions: longer than it takes to notice that one that was killed is gone.
const PATIENCE: Duration = Duration::from_secs(60);

impl Supervisor {
    /// The savepoints of the pipeline.
    ///
    /// # Errors
    /// When their place cannot be opened.
    pub fn savepoints(&self) -> Result<Depot, SavepointError> {
        Ok(Depot::new(Objects::open(&self.pipeline.savepoints_at())?, &self.pipeline.name))
    }

    /// Takes a savepoint, while nobody runs the pipeline.
    ///
    /// # Errors
    /// Why there is none.
    pub fn create_savepoint(&self, name: &str, why: &str) -> Result<Savepoint, SavepointError> {
        check_name(name)?;
        let depot = self.savepoints()?;
        self.check_parallelism().map_err(|why| SavepointError::Pipeline(Box::new(why)))?;
        let alone = self.be_alone()?;
        let label = Label { name: name.to_owned(), why: why.to_owned(), swap: None };
        let of = (self.topology.as_ref(), &self.brokers, alone.ledger.as_ref());
        Take::new(label, &self.pipeline.text.0, of, self.store.as_ref(), self.clock.now())?.write(&depot)
    }

    /// Puts a savepoint in the place of the pipeline's state, while nobody runs it. With `partly`, operators and streams that the pipeline
    /// no longer has are left out.
    ///
    /// # Errors
    /// Why everything is as it was.
    pub fn restore_savepoint(&self, name: &str, partly: bool) -> Result<Savepoint, SavepointError> {
        let depot = self.savepoints()?;
        let savepoint = depot.read(name)?;
        let restore = Restore::new(&depot, &savepoint, (&self.pipeline, &self.topology, &self.brokers), partly)?;
        let mut alone = self.be_alone()?;
        match &alone.ledger {
            None => restore.into_store(self.store.as_ref())?,
            Some(ledger) => {
                let subscription = alone.subscriptions.get_mut(ledger.cluster()).and_then(Option::as_mut);
                let member = subscription.map(|subscription| subscription.member()).transpose()?.flatten();
                restore.into_logs(self.store.as_ref(), ledger, member.as_ref())?;
            }
        }
        tracing::info!(pipeline = %self.pipeline.name, savepoint = name, entries = savepoint.entries, "state restored from a savepoint");
        Ok(savepoint)
    }

    fn be_alone(&self) -> Result<Alone, SavepointError> {
        let control = Control::default();
        let ledger = Ledger::open(&self.pipeline, &self.brokers, &self.topology, self.store.as_ref(), control.health())?;
        passages::make(&self.topology, &self.brokers)?;
        let (mut subscriptions, mut holdings) = (Vec::new(), Holdings::default());
        if let Some(ledger) = &ledger {
            subscriptions = self.subscribe()?;
            let expected = self.partitions_to_read();
            let until = Instant::now() + PATIENCE;
            while holdings.partitions().len() < expected && Instant::now() < until {
                if !self.look_for_changes(&mut subscriptions, &mut holdings)? {
                    std::thread::park_timeout(TICK);
                }
            }
            let gained = holdings.partitions();
            if gained.len() < expected {
                return Err(SavepointError::Shared { held: gained.len(), expected });
            }
            ledger.catch_up(&self.topology, &gained, self.store.as_ref())?;
        }
        Ok(Alone { ledger, subscriptions, _holdings: holdings })
    }
}
