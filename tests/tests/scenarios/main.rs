//! The scenarios: each file is one promise of the program, kept under conditions that break others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod count_guest;
mod hostile_guest;
mod kafka_broker;
