//! Tells the player of a session which quality and how much buffer it should have, from one event of it: no state.
//!
//! Qualities and limits are the configuration.

use sangam_sdk::*;
use serde::Deserialize;

/// What a player says of itself.
#[event]
pub struct Playing<'a> {
    /// Whom the command is for.
    pub session_id: &'a str,
    /// `play`, `pause`, `quality_change`, `stop` …
    pub event_type: &'a str,
    /// A name of the table of qualities.
    pub quality: &'a str,
    /// Seconds that are loaded ahead.
    pub buffer_health: f64,
    /// kbit/s.
    pub bitrate: f64,
}

/// A command to show another quality.
#[event]
pub struct Quality {
    /// Whom it is for.
    pub session_id: String,
    /// The quality that is shown.
    pub from: String,
    /// The one to show.
    pub to: String,
    /// `buffer_health`, `bandwidth_insufficient`, or `headroom`.
    pub reason: String,
    /// Seconds that the new quality wants to have loaded ahead.
    pub buffer: f64,
}

/// A command to load more ahead, or less.
#[event]
pub struct Buffer {
    /// Whom it is for.
    pub session_id: String,
    /// `emergency`, `preventive`, or `optimise`.
    pub action: String,
    /// `high`, `medium`, or `low`.
    pub priority: String,
}

/// Where commands leave.
#[outputs]
pub enum Out {
    /// To show another quality.
    Quality(Output<Quality>),
    /// To load more ahead, or less.
    Buffer(Output<Buffer>),
}

/// A row of the table of qualities.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    name: String,
    /// The least bitrate, kbit/s.
    bitrate: Number,
    /// The least buffer, seconds.
    buffer: Number,
}

/// When a quality is changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// One step down with less buffer than this, seconds.
    down_below: Number,
    /// One step up with more buffer than this, seconds.
    up_above: Number,
    /// And with more than so many times the least bitrate of the quality.
    headroom: Number,
}

/// Which buffer is too little, or more than needed, in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Less than this is an emergency.
    emergency_below: Number,
    /// Less than this should be prevented.
    preventive_below: Number,
    /// More than this is more than needed.
    optimise_above: Number,
}

/// The configuration.
#[config]
pub struct StreamQuality {
    /// Qualities, best first.
    pub qualities: Vec<Step>,
    /// When a quality is changed.
    pub change: Change,
    /// Which buffer is too little, or more than needed.
    pub buffer: Limits,
}

#[operator]
impl StreamQuality {
    /// Looks at one event. A session that has stopped gets no commands.
    pub fn on_event(&self, event: Playing<'_>) -> Result<Vec<Out>> {
        let Some(place) = self.qualities.iter().position(|step| step.name == event.quality) else {
            let names: Vec<_> = self.qualities.iter().map(|step| step.name.as_str()).collect();
            return Err(reject(format!("unknown quality `{}`; valid: {}", event.quality, names.join(", "))));
        };
        if event.event_type == "stop" {
            return Ok(Vec::new());
        }
        Ok(self.quality(&event, place).into_iter().chain(self.buffer(&event)).collect())
    }
}

impl StreamQuality {
    /// One step, where there is one.
    fn quality(&self, event: &Playing<'_>, place: usize) -> Option<Out> {
        let least = *self.qualities.get(place)?.bitrate;
        let (to, reason) = if event.buffer_health < *self.change.down_below {
            (place.checked_add(1), "buffer_health")
        } else if event.bitrate < least {
            (place.checked_add(1), "bandwidth_insufficient")
        } else if event.buffer_health > *self.change.up_above && event.bitrate > *self.change.headroom * least {
            (place.checked_sub(1), "headroom")
        } else {
            return None;
        };
        let to = self.qualities.get(to?)?;
        let command = Quality {
            session_id: event.session_id.to_owned(),
            from: event.quality.to_owned(),
            to: to.name.clone(),
            reason: reason.to_owned(),
            buffer: *to.buffer,
        };
        Some(Out::Quality(Output::new(command).key(event.session_id)))
    }

    fn buffer(&self, event: &Playing<'_>) -> Option<Out> {
        let limits = &self.buffer;
        let (action, priority) = if event.buffer_health < *limits.emergency_below {
            ("emergency", "high")
        } else if event.buffer_health < *limits.preventive_below {
            ("preventive", "medium")
        } else if event.buffer_health > *limits.optimise_above {
            ("optimise", "low")
        } else {
            return None;
        };
        let command = Buffer { session_id: event.session_id.to_owned(), action: action.to_owned(), priority: priority.to_owned() };
        Some(Out::Buffer(Output::new(command).key(event.session_id)))
    }
}
