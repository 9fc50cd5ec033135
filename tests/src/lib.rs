//! What the scenarios share: a world for a pipeline, guests to run, small stand-ins for parts of the host, and a real Kafka.

pub mod bench;
pub mod doors;
pub mod falling;
pub mod guest;
pub mod guests;
pub mod http;
pub mod kafka;
pub mod orders;
pub mod place;
pub mod play;
pub mod program;
pub mod rekeyed;
pub mod sim;
pub mod spy;
pub mod state;
pub mod words;
pub mod world;
