//! What the scenarios share: small stand-ins for parts of the host, guests to run, and a real Kafka.

pub mod bench;
pub mod guest;
pub mod kafka;
pub mod play;
