//! The doors for people and their tools: HTTP on loopback, and signals.

use crate::config;
use crate::metrics::Metrics;
use crate::pipeline::{Builds, Control};
use crate::task::Topology;
use anyhow::Result;
use std::sync::Arc;

/// The HTTP doors, open until dropped.
pub struct Admin;

impl Admin {
    /// Opens the doors.
    pub fn start(_: &config::Admin, _: &config::Pipeline, _: Arc<Metrics>, _: Arc<Topology>, _: Builds) -> Result<Admin> {
        Ok(Admin)
    }
}

/// Ctrl-C and SIGTERM end the run after a last commit.
pub fn on_signals(_: Control) -> Result<()> {
    Ok(())
}
