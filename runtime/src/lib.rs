//! The engine behind the `sangam` program. Six floors; imports go down only, and a test reads the sources to say so.
//!
//! It promises nothing to other programs: what authors build on is `sangam-sdk`, what users see is the command line.

// Floor 0: words that everybody uses.
pub mod config;
pub mod events;
pub mod time;

// Floor 1: the doors to the world, one each.
pub mod broker;
pub mod store;

// Floor 2: one operator, one slice of keys.
pub mod route;

// Floor 5: what users see.
pub mod cli;
