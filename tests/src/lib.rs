//! What the scenarios share: a real Kafka, and patience with a limit.

pub mod kafka;
