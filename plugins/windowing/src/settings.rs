//! The configuration: which windows, when they emit, what they gather.
//!
//! What no windows can be is refused here, in a sentence, before the pipeline starts.

use sangam_sdk::window::{Trigger, WindowSpec};
use sangam_sdk::{Config, Duration, Millis, config};
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
    window: Windows,
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
        let Written { window: Windows(window), allowed_lateness, emit, aggregate } = Written::read(bytes)?;
        let window = window.lateness(allowed_lateness.0).trigger(emit.0);
        window.check().map_err(|why| format!("config field `window`: {why}"))?;
        Ok(Settings { window, aggregate })
    }
}

/// The kind of windows, with their sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "WindowTable")]
struct Windows(WindowSpec);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { type = \"tumbling\", size = \"1h\" }")]
struct WindowTable {
    r#type: String,
    size: Option<Length>,
    slide: Option<Length>,
    step: Option<Length>,
    gap: Option<Length>,
    offset: Option<String>,
    zone: Option<String>,
}

/// A span of time, or a number of events.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a duration such as \"1h\", or for count windows a number of events")]
enum Length {
    Events(u64),
    Time(String),
}

impl Length {
    fn time(self) -> Result<Millis, String> {
        match self {
            Length::Time(text) => text.parse::<Duration>().map(|duration| duration.0),
            Length::Events(number) => Err(format!("`{number}` is no duration: write its unit too, as in \"{number}s\"")),
        }
    }

    fn events(self) -> Result<u64, String> {
        match self {
            Length::Events(number) => Ok(number),
            Length::Time(text) => Err(format!("`{text}` is no number of events: write size = 100")),
        }
    }
}

/// Takes what a kind of windows needs.
fn need(length: &mut Option<Length>, example: &str) -> Result<Length, String> {
    length.take().ok_or_else(|| format!("a window has some length: write {example}"))
}

impl TryFrom<WindowTable> for Windows {
    type Error = String;

    fn try_from(mut table: WindowTable) -> Result<Self, String> {
        let table_ref = &mut table;
        let spec = match table_ref.r#type.as_str() {
            "tumbling" => WindowSpec::tumbling(need(&mut table_ref.size, "size = \"1h\"")?.time()?),
            "hopping" => {
                let size = need(&mut table_ref.size, "size = \"1h\"")?.time()?;
                WindowSpec::hopping(size, need(&mut table_ref.slide, "slide = \"5m\"")?.time()?)
            }
            "sliding" => WindowSpec::sliding(need(&mut table_ref.size, "size = \"10s\"")?.time()?),
            "session" => WindowSpec::session(need(&mut table_ref.gap, "gap = \"30m\"")?.time()?),
            "cumulate" => {
                let size = need(&mut table_ref.size, "size = \"1d\"")?.time()?;
                WindowSpec::cumulate(size, need(&mut table_ref.step, "step = \"1h\"")?.time()?)
            }
            "count" => {
                let size = need(&mut table_ref.size, "size = 100")?.events()?;
                WindowSpec::count(size, table_ref.slide.take().map_or(Ok(size), Length::events)?)
            }
            "global" => WindowSpec::global(),
            other => {
                return Err(format!(
                    "there are no windows of type `{other}`; there are tumbling, hopping, sliding, session, cumulate, count and global"
                ));
            }
        };
        let WindowTable { r#type: kind, size, slide, step, gap, offset, zone } = table;
        for (name, left) in [("size", size), ("slide", slide), ("step", step), ("gap", gap)] {
            if left.is_some() {
                return Err(format!("{kind} windows have no {name}: remove it"));
            }
        }
        let spec = spec.offset(offset.as_deref().map_or(Ok(0), signed)?);
        Ok(Windows(zone.map_or(Ok(spec.clone()), |zone| spec.zone(&zone))?))
    }
}

/// An offset goes both ways.
fn signed(text: &str) -> Result<Millis, String> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    Ok(sign * text.parse::<Duration>()?.0)
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
