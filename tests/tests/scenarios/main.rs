//! Scenarios that run the whole program. One binary, so that they are linked once.

#![expect(clippy::unwrap_used, reason = "the first surprise ends a test")]

mod kafka_broker;
