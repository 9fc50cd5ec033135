//! From the clusters of a pipeline file to brokers, and which topics they must hold.

use super::audit::Audit;
use super::samples;
use crate::broker::{Broker, BrokerError};
use crate::config::{Carrier, Format, Pipeline, Stream};
use crate::metrics::Metrics;
use std::sync::Arc;

/// A pipeline's brokers, and which stream is on which.
pub struct Brokers {
    brokers: Vec<Arc<dyn Broker>>,
    /// By stream; an internal stream has none.
    of_stream: Vec<Option<usize>>,
    partitions: Vec<u32>,
    audit: Option<Audit>,
    samples: Option<Arc<dyn Broker>>,
}

/// A broker, and the name by which streams that share it are known.
pub type Connection = (String, Arc<dyn Broker>);

/// Why a pipeline's topics cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("stream `{stream}`: {why}")]
pub struct TopicError {
    /// The stream.
    pub stream: String,
    /// Why. Not its source, as it is part of what this says.
    pub why: BrokerError,
}

impl Brokers {
    /// Asks `connect` for the broker of each stream: the same name gives the same broker.
    pub fn connect(
        pipeline: &Pipeline,
        connect: &mut dyn FnMut(&Carrier, Format) -> Result<Connection, BrokerError>,
    ) -> Result<Brokers, TopicError> {
        let mut names: Vec<String> = Vec::new();
        let mut brokers: Vec<Arc<dyn Broker>> = Vec::new();
        let mut of_stream = Vec::new();
        for stream in &pipeline.streams {
            if stream.carrier == Carrier::Internal {
                of_stream.push(None);
                continue;
            }
            let failed = |why| TopicError { stream: stream.name.clone(), why };
            let (name, broker) = connect(&stream.carrier, stream.format).map_err(failed)?;
            let own = match (&stream.delivery, &stream.carrier) {
                (Some(delivery), Carrier::Topic { topic, .. }) => broker.delivering(&stream.name, topic, delivery).map_err(failed)?,
                _ => None,
            };
            let (name, broker) = match own {
                Some(own) => (format!("{name}, stream {}", stream.name), own),
                None => (name, broker),
            };
            of_stream.push(Some(place(&mut names, &mut brokers, name, broker)));
        }
        let mut audit = None;
        if let Some(file) = &pipeline.audit {
            let connected = connect(&file.carrier(), Format::Json);
            let (name, broker) = connected.map_err(|why| TopicError { stream: file.topic.clone(), why })?;
            let at = place(&mut names, &mut brokers, name, broker);
            audit = brokers.get(at).map(|broker| Audit::new(file, &pipeline.name, at, broker.clone()));
        }
        let mut samples = None;
        if let Some(file) = &pipeline.samples {
            let connected = connect(&file.carrier(), Format::Json);
            let (name, broker) = connected.map_err(|why| TopicError { stream: file.topic.clone(), why })?;
            // One that streams have, too, is the same; one of its own is nobody else's business.
            let known = names.iter().position(|known| *known == name).and_then(|at| brokers.get(at));
            samples = Some(known.cloned().unwrap_or(broker));
        }
        let partitions = vec![0; pipeline.streams.len()];
        Ok(Brokers { brokers, of_stream, partitions, audit, samples })
    }

    /// Looks up how many partitions each topic has, and makes those that the pipeline is to make.
    pub fn topics(&mut self, pipeline: &Pipeline) -> Result<(), TopicError> {
        self.make_topic_of_samples(pipeline);
        for (i, stream) in pipeline.streams.iter().enumerate() {
            let Some(broker) = self.of_stream.get(i).copied().flatten().and_then(|at| self.brokers.get(at)) else { continue };
            let (topic, asked, create) = match &stream.carrier {
                Carrier::Topic { topic, partitions, create, .. } => (topic.clone(), *partitions, *create),
                Carrier::File { path, .. } => (path.display().to_string(), 1, true),
                // It has no partitions: an event goes where there is an endpoint.
                Carrier::Webhook(_) => (stream.name.clone(), 1, true),
                Carrier::Internal => continue,
            };
            let failed = |why| TopicError { stream: stream.name.clone(), why };
            let partitions = match broker.partitions(&topic).map_err(failed)? {
                Some(partitions) => partitions,
                // How many partitions it gets, the plan says.
                None if stream.rekeys.is_some() => 0,
                None if create => {
                    broker.create(&topic, asked).map_err(failed)?;
                    asked
                }
                None => return Err(failed(BrokerError::NoTopic(topic))),
            };
            if let Some(place) = self.partitions.get_mut(i) {
                *place = partitions;
            }
        }
        if let (Some(audit), Some(file)) = (&self.audit, &pipeline.audit)
            && !audit.make_topic().map_err(|why| TopicError { stream: file.topic.clone(), why })?
        {
            self.audit = None;
        }
        Ok(())
    }

    /// Makes the topic of samples before any stream that reads it is looked for. Where it cannot be made now, the sampler tries again.
    fn make_topic_of_samples(&self, pipeline: &Pipeline) {
        if let (Some(broker), Some(file)) = (&self.samples, &pipeline.samples)
            && let Err(why) = samples::make_topic(broker.as_ref(), &file.topic)
        {
            tracing::warn!(pipeline = %pipeline.name, topic = %file.topic, "no samples of metrics yet: {why}");
        }
    }

    /// The broker that has the topic of samples, where the pipeline takes any.
    pub(super) fn of_samples(&self) -> Option<&Arc<dyn Broker>> {
        self.samples.as_ref()
    }

    /// The brokers.
    pub fn all(&self) -> &[Arc<dyn Broker>] {
        &self.brokers
    }

    /// Has the brokers that call somebody count what they send.
    pub(super) fn count_in(&self, pipeline: &Pipeline, metrics: &Metrics) {
        let calls = |stream: &Stream| matches!(stream.carrier, Carrier::Webhook(_)) || stream.delivery.is_some();
        for (s, stream) in pipeline.streams.iter().enumerate().filter(|(_, stream)| calls(stream)) {
            if let Some(broker) = self.brokers.get(self.of_stream(s)) {
                broker.count_in(metrics.sink(&pipeline.name, &stream.name));
            }
        }
    }

    /// An error while one is known to be away that the pipeline waits for.
    pub(super) fn ready(&self) -> Result<(), BrokerError> {
        self.brokers.iter().try_for_each(|broker| broker.ready())
    }

    /// Where it is written down which builds have run.
    pub(super) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// The broker that has the audit's topic, where there is an audit.
    pub fn of_audit(&self) -> Option<&Arc<dyn Broker>> {
        self.audit.as_ref().map(Audit::broker)
    }

    /// The broker of a stream, by index.
    pub fn of_stream(&self, stream: usize) -> usize {
        self.of_stream.get(stream).copied().flatten().unwrap_or(0)
    }

    /// Partitions of a stream's topic; 0 for one between an operator and what it reads that is still to be made.
    pub fn partitions(&self, stream: usize) -> u32 {
        self.partitions.get(stream).copied().unwrap_or(0)
    }
}

/// The index of the broker of that name, which may be a new one.
fn place(names: &mut Vec<String>, brokers: &mut Vec<Arc<dyn Broker>>, name: String, broker: Arc<dyn Broker>) -> usize {
    names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        brokers.push(broker);
        brokers.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_topic_cannot_be_used_is_said_once() {
        let why = TopicError { stream: "orders".to_owned(), why: BrokerError::Fatal("nobody answers".to_owned()) };
        assert_eq!(format!("{:#}", anyhow::Error::from(why)), "stream `orders`: nobody answers");
    }
}
