//! What the scenarios share: small stand-ins for parts of the host, and guests to run.

pub mod guest;
pub mod play;
