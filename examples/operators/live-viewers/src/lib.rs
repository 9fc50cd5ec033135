//! Counts who watches, by content or by region, and says when it is too many or goes badly.
//!
//! The pipeline names the key; what is looked for, and from which number on, is the configuration. Whatever it leaves out is not looked for.

mod settings;

use std::collections::BTreeMap;

use sangam_sdk::*;

pub use settings::LiveViewers;

/// Something that a player says.
#[event]
pub struct Viewing<'a> {
    /// The session.
    pub session_id: &'a str,
    /// `play`, `pause`, `stop`, `quality_change`.
    pub event_type: &'a str,
    /// The quality that is shown.
    pub quality: &'a str,
    /// How full the buffer is, per cent.
    pub buffer_health: f64,
}

/// What is remembered of a content, or of a region.
#[state]
pub struct Audience {
    /// Sessions that play: a set.
    pub sessions: Map<String, bool>,
    /// The highest milestone so far, in steps of the configuration.
    pub milestone: u64,
    /// There were too many after the last event.
    pub too_many: bool,
    /// How often sessions changed to each quality.
    pub qualities: BTreeMap<String, u64>,
}

/// So many viewers for the first time.
#[event]
pub struct Milestone {
    /// The content or region.
    pub name: String,
    /// The number that is reached.
    pub milestone: u64,
    /// When.
    pub at: Millis,
}

/// Something that somebody should look at.
#[event]
pub struct Alert {
    /// Its name.
    pub alert: String,
    /// How bad it is.
    pub severity: String,
    /// What to do.
    pub action: String,
    /// The content or region.
    pub name: String,
    /// Who watches.
    pub viewers: u64,
    /// When.
    pub at: Millis,
}

/// Something to be done at once.
#[event]
pub struct Command {
    /// What.
    pub command: String,
    /// The content or region.
    pub name: String,
    /// The session that gave the reason.
    pub session_id: String,
    /// Its buffer, per cent.
    pub buffer_health: f64,
    /// When.
    pub at: Millis,
}

/// How often sessions changed to each quality so far.
#[event]
pub struct Qualities {
    /// The content or region.
    pub name: String,
    /// How often, by quality.
    pub qualities: BTreeMap<String, u64>,
    /// When.
    pub at: Millis,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// So many viewers for the first time.
    Milestones(Milestone),
    /// Something that somebody should look at.
    Alerts(Alert),
    /// Something to be done at once.
    Commands(Command),
    /// How often sessions changed to each quality.
    Qualities(Qualities),
}

#[operator(keyed)]
impl LiveViewers {
    /// Takes an event in.
    pub fn on_event(&self, event: Viewing<'_>, audience: &mut Audience, ctx: &mut Context) -> Result<Vec<Out>> {
        let mut out = Vec::new();
        match event.event_type {
            // A session that plays already is told again, not counted again.
            "play" => drop(audience.sessions.insert(event.session_id.to_owned(), true)),
            "pause" | "stop" => drop(audience.sessions.remove(event.session_id)),
            "quality_change" => out.extend(self.quality(&event, audience, ctx)),
            other => return Err(reject(format!("unknown event_type `{other}`; valid: play, pause, stop, quality_change"))),
        }
        out.extend(self.milestone(audience, ctx));
        out.extend(self.overload(audience, ctx));
        out.extend(self.buffer(&event, ctx));
        Ok(out)
    }
}

impl LiveViewers {
    /// Those who watch.
    fn viewers(&self, audience: &Audience) -> u64 {
        (audience.sessions.len() as u64).saturating_mul(self.viewers_per_session)
    }

    fn quality(&self, event: &Viewing<'_>, audience: &mut Audience, ctx: &Context) -> Vec<Out> {
        *audience.qualities.entry(event.quality.to_owned()).or_default() += 1;
        let told = Qualities { name: ctx.key().to_owned(), qualities: audience.qualities.clone(), at: ctx.time() };
        let poor = self.poor.as_ref().filter(|poor| poor.qualities.iter().any(|quality| quality == event.quality));
        let alert = poor.map(|poor| Out::Alerts(self.alert(&poor.say, audience, ctx)));
        [Out::Qualities(told)].into_iter().chain(alert).collect()
    }

    fn milestone(&self, audience: &mut Audience, ctx: &Context) -> Option<Out> {
        let every = self.milestone_every.filter(|every| *every > 0)?;
        let reached = self.viewers(audience) / every;
        if reached <= audience.milestone {
            return None;
        }
        audience.milestone = reached;
        Some(Out::Milestones(Milestone { name: ctx.key().to_owned(), milestone: reached * every, at: ctx.time() }))
    }

    /// Told when there are too many, and again only after there were not.
    fn overload(&self, audience: &mut Audience, ctx: &Context) -> Option<Out> {
        let overload = self.overload.as_ref()?;
        let too_many = self.viewers(audience) > overload.above;
        let begins = too_many && !audience.too_many;
        audience.too_many = too_many;
        begins.then(|| Out::Alerts(self.alert(&overload.say, audience, ctx)))
    }

    fn buffer(&self, event: &Viewing<'_>, ctx: &Context) -> Vec<Out> {
        let low = self.buffer.iter().filter(|buffer| event.buffer_health < *buffer.below);
        let commands = low.flat_map(|buffer| &buffer.commands).map(|command| {
            Out::Commands(Command {
                command: command.clone(),
                name: ctx.key().to_owned(),
                session_id: event.session_id.to_owned(),
                buffer_health: event.buffer_health,
                at: ctx.time(),
            })
        });
        commands.collect()
    }

    fn alert(&self, say: &settings::Say, audience: &Audience, ctx: &Context) -> Alert {
        Alert {
            alert: say.alert.clone(),
            severity: say.severity.clone(),
            action: say.action.clone(),
            name: ctx.key().to_owned(),
            viewers: self.viewers(audience),
            at: ctx.time(),
        }
    }
}
