//! A subscription to topics of the store: every partition, from the start.

use super::LocalBroker;
use crate::broker::{Assignment, BrokerError, Subscribe, Subscription};
use crate::store::Changes;

pub(super) struct LocalSubscription {
    broker: LocalBroker,
    group: String,
    /// What the next call tells.
    news: Vec<Assignment>,
}

impl LocalSubscription {
    pub(super) fn new(broker: LocalBroker, subscribe: &Subscribe) -> Result<Self, BrokerError> {
        let mut news = Vec::new();
        for (topic, start) in &subscribe.topics {
            for partition in 0..broker.topic(topic)?.len() as i32 {
                let committed = broker.committed(&subscribe.group, topic, partition)?;
                let source = Box::new(broker.source(topic, partition, committed, *start)?);
                news.push(Assignment::Gained { topic: topic.clone(), partition, committed, source });
            }
        }
        Ok(LocalSubscription { broker, group: subscribe.group.clone(), news })
    }
}

impl Subscription for LocalSubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        Ok(std::mem::take(&mut self.news))
    }

    fn commit(&mut self, offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        let mut changes = Changes::default();
        self.broker.put_offsets(&self.group, offsets, &mut changes);
        Ok(self.broker.store.write(&changes)?)
    }
}
