//! What the sessions of viewers do: who begins and ends to watch, and how well it goes. A session that plays counts once, however often it says so.

use sangam_sdk::*;

/// Something that a session has done.
#[event]
pub struct Viewing<'a> {
    /// Which session.
    pub session_id: &'a str,
    /// What it shows.
    pub content_id: &'a str,
    /// `play`, `pause`, `stop` or `quality_change`.
    pub event_type: &'a str,
    /// In which quality.
    pub quality: &'a str,
    /// How full its buffer is, in percent.
    pub buffer_health: f64,
    /// Its region.
    pub location: &'a str,
}

/// A viewer more or less, or one in another quality.
#[event]
pub struct Change {
    /// Of which content.
    pub content_id: String,
    /// In which region.
    pub region: String,
    /// One more, one less, or 0.
    pub change: i64,
    /// The new quality, where that has changed.
    pub quality: Option<String>,
}

/// Something to be looked at.
#[event]
pub struct Alert {
    /// `POOR_QUALITY` or `CDN_INVESTIGATION`.
    pub alert: String,
    /// Where.
    pub region: String,
    /// What is shown.
    pub content_id: String,
    /// To whom.
    pub session_id: String,
    /// In which quality.
    pub quality: String,
    /// How full the buffer is.
    pub buffer_health: f64,
}

/// Something to be done.
#[event]
pub struct Command {
    /// `SCALE_OUT`.
    pub command: String,
    /// Where.
    pub region: String,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// Viewers and qualities.
    Changes(Change),
    /// To be looked at.
    Alerts(Alert),
    /// To be done.
    Commands(Command),
}

/// A session that plays; none that does not is remembered.
#[state]
pub struct Session {
    /// What it plays.
    pub content_id: String,
    /// Where it began to.
    pub region: String,
}

/// The configuration.
#[config]
pub struct ViewerSessions {
    /// Qualities that are poor.
    pub poor: Vec<String>,
    /// A buffer that is less full needs somebody to look.
    #[config(default = 20.0)]
    pub buffer_below: f64,
}

#[operator(key = "session_id")]
impl ViewerSessions {
    /// Takes in what a session does.
    pub fn on_event(&self, event: Viewing<'_>, session: &mut Session) -> Vec<Out> {
        let mut out = Vec::new();
        match event.event_type {
            "play" if session.content_id != event.content_id => {
                out.extend(session.end());
                *session = Session { content_id: event.content_id.to_owned(), region: event.location.to_owned() };
                out.push(session.change(1));
            }
            "pause" | "stop" => out.extend(session.end()),
            "quality_change" => {
                let (content_id, region) = (event.content_id.to_owned(), event.location.to_owned());
                out.push(Out::Changes(Change { content_id, region, change: 0, quality: Some(event.quality.to_owned()) }));
                if self.poor.iter().any(|poor| poor == event.quality) {
                    out.push(alert("POOR_QUALITY", &event));
                }
            }
            _ => {}
        }
        if event.buffer_health < self.buffer_below {
            out.push(alert("CDN_INVESTIGATION", &event));
            out.push(Out::Commands(Command { command: "SCALE_OUT".to_owned(), region: event.location.to_owned() }));
        }
        out
    }
}

impl Session {
    fn change(&self, change: i64) -> Out {
        let (content_id, region) = (self.content_id.clone(), self.region.clone());
        Out::Changes(Change { content_id, region, change, quality: None })
    }

    /// Ends what it plays, if it does; what was counted in a region is taken from there.
    fn end(&mut self) -> Option<Out> {
        if self.content_id.is_empty() {
            return None;
        }
        let ended = self.change(-1);
        *self = Session::default();
        Some(ended)
    }
}

fn alert(alert: &str, event: &Viewing<'_>) -> Out {
    Out::Alerts(Alert {
        alert: alert.to_owned(),
        region: event.location.to_owned(),
        content_id: event.content_id.to_owned(),
        session_id: event.session_id.to_owned(),
        quality: event.quality.to_owned(),
        buffer_health: event.buffer_health,
    })
}
