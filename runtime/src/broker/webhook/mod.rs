//! An HTTP endpoint as a place to write to: each record is a request, delivered and acknowledged before the commit that covers it.
//!
//! Nothing can be read from it, and what was delivered before a failure is delivered again after it, under the same `Idempotency-Key`. What an
//! event means, and where one goes that the endpoint refuses, is known elsewhere.

mod endpoint;
mod pool;
mod sink;

use super::{Broker, BrokerError, Sink, Subscribe, Subscription};
use crate::config::{Format, Webhook};
use crate::metrics::SinkMetrics;
use pool::Pool;
use std::sync::Arc;

/// An endpoint.
pub struct WebhookBroker {
    pool: Arc<Pool>,
}

impl WebhookBroker {
    /// An endpoint that takes events in a format. Nothing is sent yet.
    pub fn new(webhook: &Webhook, format: Format) -> WebhookBroker {
        WebhookBroker { pool: Arc::new(Pool::new(webhook, format)) }
    }
}

impl Broker for WebhookBroker {
    /// It has one of everything.
    fn partitions(&self, _: &str) -> Result<Option<u32>, BrokerError> {
        Ok(Some(1))
    }

    fn create(&self, _: &str, _: u32) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        Err(BrokerError::Fatal(format!(
            "`{}` has a `url`: it can be written and not read",
            subscription.names().collect::<Vec<_>>().join(", ")
        )))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(sink::WebhookSink::new(self.pool.clone())?))
    }

    fn count_in(&self, metrics: SinkMetrics) {
        self.pool.count_in(metrics);
    }
}
