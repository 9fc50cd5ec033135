//! The scenarios: each file is one promise of the program, kept under conditions that break others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod architecture;
mod bad_input;
mod batches;
mod batching;
mod broadcast;
mod captures;
mod command_line;
mod conformance;
mod count_guest;
mod dead_letters;
mod errors;
mod exactly_once;
mod examples;
mod exchange;
mod hostile_guest;
mod hot_reload;
mod inputs;
mod kafka_broadcast;
mod kafka_broker;
mod kafka_pipeline;
mod kafka_savepoints;
mod migration;
mod operations;
mod poison_event;
mod processing_time;
mod recovery;
mod savepoints;
mod simulation;
mod torture;
mod watermarks;
mod why;
mod workloads;
