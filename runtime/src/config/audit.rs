//! Where a pipeline writes down which builds have run: a topic of its own.

use super::meaning::Carrier;

/// The audit of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The cluster's name.
    pub cluster: String,
    /// The topic's name there.
    pub topic: String,
    /// The file asks for it: without its topic the pipeline does not start.
    pub asked: bool,
}

impl Audit {
    /// The topic's name where the file gives none.
    pub fn topic_of(pipeline: &str) -> String {
        format!("{pipeline}.audit")
    }

    /// Its topic, as a stream's would be.
    pub fn carrier(&self) -> Carrier {
        Carrier::Topic { cluster: self.cluster.clone(), topic: self.topic.clone(), partitions: 1, create: true }
    }
}
