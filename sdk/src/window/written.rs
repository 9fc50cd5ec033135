//! Windows as a pipeline writes them: `"1h"`, or `{ type = "hopping", size = "1h", slide = "5m" }`.
//!
//! It reads the kind, its lengths, the offset and the zone. How late events may be and when a window emits are settings of their own.

use std::fmt;

use sangam_protocol::Millis;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::WindowSpec;
use crate::Duration;

impl<'de> Deserialize<'de> for WindowSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// Tells a length alone, which is that of tumbling windows, from a table; the errors inside a table stay its own.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = WindowSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length such as \"1h\", or a table such as { type = \"hopping\", size = \"1h\", slide = \"5m\" }")
    }

    fn visit_str<E: de::Error>(self, size: &str) -> Result<WindowSpec, E> {
        Length::Time(size.to_owned()).time().map(WindowSpec::tumbling).and_then(checked).map_err(E::custom)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<WindowSpec, M::Error> {
        Table::deserialize(MapAccessDeserializer::new(map))?.spec().and_then(checked).map_err(de::Error::custom)
    }
}

fn checked(spec: WindowSpec) -> Result<WindowSpec, String> {
    spec.check().map_err(str::to_owned).map(|()| spec)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    r#type: String,
    size: Option<Length>,
    slide: Option<Length>,
    step: Option<Length>,
    gap: Option<Length>,
    count: Option<u64>,
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

impl Table {
    fn spec(mut self) -> Result<WindowSpec, String> {
        let spec = match self.r#type.as_str() {
            "tumbling" => WindowSpec::tumbling(need(&mut self.size, "size = \"1h\"")?.time()?),
            "hopping" => {
                let size = need(&mut self.size, "size = \"1h\"")?.time()?;
                WindowSpec::hopping(size, need(&mut self.slide, "slide = \"5m\"")?.time()?)
            }
            "sliding" => WindowSpec::sliding(need(&mut self.size, "size = \"10s\"")?.time()?),
            "session" => WindowSpec::session(need(&mut self.gap, "gap = \"30m\"")?.time()?),
            "cumulate" => {
                let size = need(&mut self.size, "size = \"1d\"")?.time()?;
                WindowSpec::cumulate(size, need(&mut self.step, "step = \"1h\"")?.time()?)
            }
            "count" => {
                let size = need(&mut self.size, "size = 100")?.events()?;
                WindowSpec::count(size, self.slide.take().map_or(Ok(size), Length::events)?)
            }
            "batch" => {
                let span = need(&mut self.size, "size = \"3s\"")?.time()?;
                WindowSpec::batch(span, self.count.take().ok_or("a batch has some events at most: write count = 1000")?)
            }
            "global" => WindowSpec::global(),
            other => {
                return Err(format!(
                    "there are no windows of type `{other}`; there are tumbling, hopping, sliding, session, cumulate, count, batch and global"
                ));
            }
        };
        let Table { r#type: kind, size, slide, step, gap, count, offset, zone } = self;
        let left = [("size", size.is_some()), ("slide", slide.is_some()), ("step", step.is_some()), ("gap", gap.is_some())];
        for (name, left) in left.into_iter().chain([("count", count.is_some())]) {
            if left {
                return Err(format!("{kind} windows have no {name}: remove it"));
            }
        }
        let spec = spec.offset(offset.as_deref().map_or(Ok(0), signed)?);
        match zone {
            None => Ok(spec),
            Some(zone) => spec.zone(&zone),
        }
    }
}

/// An offset goes both ways.
fn signed(text: &str) -> Result<Millis, String> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    Ok(sign * text.parse::<Duration>()?.0)
}
