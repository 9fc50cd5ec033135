//! The engine behind the `sangam` program. Six floors; imports go down only, and a test reads the sources to say so.
//!
//! It promises nothing to other programs: what authors build on is `sangam-sdk`, what users see is the command line.

// Floor 0: words that everybody uses.
pub mod breaker;
pub mod config;
pub mod digest;
pub mod events;
pub mod metrics;
pub mod pressure;
pub mod share;
pub mod time;

// Floor 1: the doors to the world, one each.
pub mod broker;
pub mod objects;
pub mod sandbox;
pub mod store;

// Floor 2: one operator, one slice of keys.
pub mod route;
pub mod stage;

// Floor 3: the loop of one partition.
pub mod task;

// Floor 4: pipelines.
pub mod pipeline;

// Floor 5: what people touch.
pub mod admin;
pub mod cli;
