//! The configuration: which windows, when they emit, what they gather.
//!
//! What no windows can be is refused here, in a sentence, before the pipeline starts.

use sangam_sdk::window::{Trigger, WindowSpec};
use sangam_sdk::{Config, Duration, config};
use serde::Deserialize;

use crate::aggregate::Aggregates;

/// The configuration, read and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    window: WindowSpec,
    aggregate: Aggregates,
}

/// The configuration as the pipeline writes it.
#[config]
struct Written {
    /// Which windows.
    window: WindowSpec,
    /// How long after its end a window still takes events; each of them emits it again.
    #[config(default = Duration(0))]
    allowed_lateness: Duration,
    /// When a window emits.
    #[config(default = EmitMode(Trigger::on_close()))]
    emit: EmitMode,
    /// What it emits.
    aggregate: Aggregates,
}

impl Settings {
    /// Which windows, and when they emit.
    pub fn window(&self) -> &WindowSpec {
        &self.window
    }

    /// What a window emits.
    pub fn aggregate(&self) -> &Aggregates {
        &self.aggregate
    }
}

impl Config for Settings {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let Written { window, allowed_lateness, emit, aggregate } = Written::read(bytes)?;
        let window = window.lateness(allowed_lateness.0).trigger(emit.0);
        window.check().map_err(|why| format!("config field `window`: {why}"))?;
        Ok(Settings { window, aggregate })
    }
}

/// When a window emits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "EmitWritten")]
struct EmitMode(Trigger);

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"on_close\", \"on_update\", or a table such as { early = \"10s\" }")]
enum EmitWritten {
    Name(String),
    Table(EmitTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitTable {
    /// Every so often too, while the window is open.
    early: Option<Duration>,
    /// For every so many events, and then not at the close unless something says so.
    count: Option<u64>,
    /// Forgets what has been emitted.
    #[serde(default)]
    purge: bool,
}

impl TryFrom<EmitWritten> for EmitMode {
    type Error = String;

    fn try_from(written: EmitWritten) -> Result<Self, String> {
        let table = match written {
            EmitWritten::Name(name) => match name.as_str() {
                "on_close" => return Ok(EmitMode(Trigger::on_close())),
                "on_update" => return Ok(EmitMode(Trigger::on_update())),
                other => return Err(format!("there is no mode `{other}`; there are on_close, on_update and {{ early = \"10s\" }}")),
            },
            EmitWritten::Table(table) => table,
        };
        let trigger = match table.count {
            Some(0) => return Err("a count is at least 1".into()),
            Some(count) => Trigger::on_count(count),
            None => Trigger::on_close(),
        };
        let trigger = match table.early {
            Some(Duration(0)) => return Err("early results come every so often: write early = \"10s\"".into()),
            Some(early) => trigger.early(early.0),
            None => trigger,
        };
        Ok(EmitMode(if table.purge { trigger.purging() } else { trigger }))
    }
}
