//! Scenarios that run the whole program. One binary, so that they are linked once.

mod kafka_broker;
