//! Writes records to topics, each on its own.
//!
//! Kafka lies outside the store, so nothing is ever added to a store's changes: a record is on its way at once, and safe after a flush.

use super::options::KafkaOptions;
use super::sizes::RecordSizes;
use super::writer::{UNTRACKED, Writer};
use crate::broker::{BrokerError, OutRecord, Sink};
use crate::store::Changes;
use std::sync::Arc;

/// A writer.
pub(super) struct KafkaSink {
    writer: Writer,
}

impl KafkaSink {
    pub(super) fn new(options: &KafkaOptions, sizes: &Arc<RecordSizes>) -> Result<KafkaSink, BrokerError> {
        let writer = Writer::new(options.producer(), &options.bootstrap, options.message_timeout(), sizes)?;
        Ok(KafkaSink { writer })
    }
}

impl Sink for KafkaSink {
    fn write(&mut self, record: &OutRecord<'_>, _: &mut Changes) -> Result<(), BrokerError> {
        self.writer.write(record, UNTRACKED)
    }

    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        self.writer.flush()
    }

    fn settled(&mut self, _: bool) {}
}
