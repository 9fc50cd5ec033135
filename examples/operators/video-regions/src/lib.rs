//! Places the sessions of a video platform on its regions, and tells each minute how it stands.
//!
//! A session goes to the region of its city; where that is full or failing, to the nearest that is not. All of it is the state of one key, because
//! where a session goes depends on all regions; the sessions themselves are cells that do not travel with a batch.

mod circuit;
mod minute;
mod output;
mod region;
mod settings;

use std::collections::BTreeMap;

use sangam_sdk::*;

use circuit::Circuit;
use minute::Minute;
pub use output::{Assigned, Circuits, Dashboard, Full, Out};
use region::Region;
pub use settings::VideoRegions;

/// The length of a minute.
const MINUTE: Millis = 60_000;

/// The timer that ends a minute.
const TIMER: &str = "minute";

/// Something that a player says.
#[event]
pub struct Viewing<'a> {
    /// The session.
    pub session_id: &'a str,
    /// `play`, `pause`, `stop`, `quality_change`, `error`.
    pub event_type: &'a str,
    /// The viewer's city.
    pub location: &'a str,
    /// The quality that is shown.
    pub quality: &'a str,
    /// Seconds that are loaded ahead.
    pub buffer_health: f64,
    /// How the viewer is connected.
    pub network_type: &'a str,
}

/// What is remembered of the whole platform.
#[state]
pub struct Platform {
    /// The region of every session that plays.
    pub sessions: Map<String, String>,
    /// Regions that have, or had, something.
    pub regions: BTreeMap<String, Region>,
    /// There was no room for the last session that wanted to play.
    pub full: bool,
    /// Minutes that have not ended, by their start.
    pub minutes: BTreeMap<Millis, Minute>,
    /// Viewers of each region at the end of the last minute that has ended.
    pub told: BTreeMap<String, i64>,
}

#[operator(key = "$all")]
impl VideoRegions {
    /// Takes an event in.
    pub fn on_event(&self, event: Viewing<'_>, platform: &mut Platform, ctx: &mut Context) -> Result<Vec<Out>> {
        let mut out = Vec::new();
        let moved = match event.event_type {
            "play" => self.play(&event, platform, ctx, &mut out),
            "pause" | "stop" => leave(&event, platform, ctx, &mut out),
            "quality_change" => answered(&event, platform, ctx, &mut out),
            "error" => self.fail(&event, platform, ctx, &mut out),
            other => {
                return Err(reject(format!("unknown event_type `{other}`; valid: play, pause, stop, quality_change, error")));
            }
        };
        let begin = self.minute(ctx);
        if platform.minutes.is_empty() || platform.minutes.first_key_value().is_some_and(|(first, _)| begin < *first) {
            ctx.wake(TIMER, begin + MINUTE - 1);
        }
        platform.minutes.entry(begin).or_default().take(&event, moved);
        Ok(out)
    }

    /// Ends minutes.
    pub fn on_timer(&self, timer: Timer, platform: &mut Platform, ctx: &mut Context) -> Vec<Out> {
        let mut out = Vec::new();
        while let Some(minute) = platform.minutes.first_entry().filter(|minute| *minute.key() + MINUTE - 1 <= timer.at()) {
            let begin = *minute.key();
            minute.get().settle(&mut platform.told);
            let dashboard = minute.remove().dashboard(begin, &self.regions, &platform.told);
            out.push(Out::Dashboard(Output::new(dashboard).at(begin + MINUTE - 1)));
        }
        if let Some((next, _)) = platform.minutes.first_key_value() {
            ctx.wake(TIMER, next + MINUTE - 1);
        }
        out
    }
}

/// A viewer more, or less, in a region.
type Moved = Option<(String, i64)>;

impl VideoRegions {
    /// The minute that an event counts in: its own, or where that has ended the first that has not.
    fn minute(&self, ctx: &Context) -> Millis {
        let open = ctx.watermark().saturating_add(1).max(ctx.time());
        open - open.rem_euclid(MINUTE)
    }

    /// A session begins; one that plays already counts once.
    fn play(&self, event: &Viewing<'_>, platform: &mut Platform, ctx: &Context, out: &mut Vec<Out>) -> Moved {
        if platform.sessions.contains_key(event.session_id) {
            return answered(event, platform, ctx, out);
        }
        let home = self.home(event.location);
        let found = self.place(home, platform, ctx.time());
        if found.is_none() != platform.full {
            platform.full = found.is_none();
            out.push(Out::Full(Full { full: platform.full, home: home.to_owned(), at: ctx.time() }));
        }
        let region = found.unwrap_or(home);
        let standing = platform.regions.entry(region.to_owned()).or_default();
        standing.viewers += 1;
        if let Some(state) = standing.circuit.place(event.session_id, ctx.time(), &self.breaker) {
            out.push(Out::Circuits(Circuits { region: region.to_owned(), state: state.to_owned(), at: ctx.time() }));
        }
        platform.sessions.insert(event.session_id.to_owned(), region.to_owned());
        out.push(Out::Assigned(Assigned {
            session_id: event.session_id.to_owned(),
            home: home.to_owned(),
            region: region.to_owned(),
            spilled: region != home,
        }));
        Some((region.to_owned(), 1))
    }

    /// The region for one more session: its home, or the nearest that has room and does not fail.
    fn place(&self, home: &str, platform: &Platform, time: Millis) -> Option<&str> {
        self.nearest(home).iter().map(String::as_str).find(|name| {
            let standing = platform.regions.get(*name);
            let viewers = standing.map_or(0, |region| region.viewers) + 1;
            self.has_room(name, viewers) && standing.is_none_or(|region| region.circuit.lets_in(time))
        })
    }

    fn fail(&self, event: &Viewing<'_>, platform: &mut Platform, ctx: &Context, out: &mut Vec<Out>) -> Moved {
        let name = platform.sessions.get(event.session_id)?;
        let circuit = &mut platform.regions.entry(name.clone()).or_default().circuit;
        if circuit.fail(event.session_id, ctx.time(), &self.breaker) {
            out.push(Out::Circuits(Circuits { region: name, state: Circuit::OPEN.to_owned(), at: ctx.time() }));
        }
        None
    }
}

/// A session ends, which is also an answer.
fn leave(event: &Viewing<'_>, platform: &mut Platform, ctx: &Context, out: &mut Vec<Out>) -> Moved {
    answered(event, platform, ctx, out);
    let region = platform.sessions.remove(event.session_id)?;
    platform.regions.entry(region.clone()).or_default().viewers -= 1;
    Some((region, -1))
}

/// A session's region has done its work.
fn answered(event: &Viewing<'_>, platform: &mut Platform, ctx: &Context, out: &mut Vec<Out>) -> Moved {
    let name = platform.sessions.get(event.session_id)?;
    let circuit = &mut platform.regions.entry(name.clone()).or_default().circuit;
    if circuit.succeed(event.session_id) {
        out.push(Out::Circuits(Circuits { region: name, state: Circuit::CLOSED.to_owned(), at: ctx.time() }));
    }
    None
}
