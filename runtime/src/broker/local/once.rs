//! Records with names in the store: the record, and that its name has been written, are one atomic write.

use super::{LocalBroker, damaged};
use crate::broker::{Broker, BrokerError, Named, OnceSink, Written, settle};
use crate::store::{Changes, Store};
use crate::time::Millis;
use sangam_protocol::msgpack::{Reader, write};
use std::ops::ControlFlow;

pub(super) struct LocalOnce {
    broker: LocalBroker,
    space: String,
}

impl LocalOnce {
    pub(super) fn new(broker: LocalBroker, ledger: &str) -> LocalOnce {
        LocalOnce { broker, space: space(ledger) }
    }
}

impl OnceSink for LocalOnce {
    fn written(&mut self) -> Result<Written, BrokerError> {
        read(&*self.broker.store, &self.space)
    }

    fn write(&mut self, records: &[Named<'_>], now: Millis) -> Result<(), BrokerError> {
        let (mut sink, mut changes, mut at) = (self.broker.sink()?, Changes::default(), Vec::new());
        write::i64(&mut at, now);
        for named in records {
            if let Some(record) = &named.record {
                sink.write(record, &mut changes)?;
            }
            changes.put(&self.space, named.name.as_bytes(), &at);
        }
        settle(&mut *sink, &mut changes, &*self.broker.store)
    }
}

/// The names of a ledger and when they were written.
pub(super) fn written(broker: &LocalBroker, ledger: &str) -> Result<Written, BrokerError> {
    read(&*broker.store, &space(ledger))
}

fn space(ledger: &str) -> String {
    format!("once/{ledger}")
}

fn read(store: &dyn Store, space: &str) -> Result<Written, BrokerError> {
    let (mut written, mut bad) = (Written::new(), None);
    store.scan(space, &[], &mut |name, at| match Reader::new(at).i64() {
        Ok(at) => {
            written.insert(String::from_utf8_lossy(name).into_owned(), at);
            ControlFlow::Continue(())
        }
        Err(why) => {
            bad = Some(why);
            ControlFlow::Break(())
        }
    })?;
    bad.map_or(Ok(written), |why| Err(damaged(space, &why)))
}
