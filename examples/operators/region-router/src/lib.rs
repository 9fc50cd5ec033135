//! Chooses the region that an event goes to: by proximity, load, priority or content, among those that work; and says when a region fails
//! over, and when it is slow or full.

mod settings;

use std::collections::BTreeMap;

use sangam_sdk::*;

pub use settings::RegionRouter;
use settings::Strategy;

/// An hour, in which load is counted.
const HOUR: Millis = 3_600_000;

/// What comes in: events, and every 30 s how each region is.
#[event(tag = "kind")]
pub enum Traffic<'a> {
    /// Something to be routed.
    Event(Incoming<'a>),
    /// How a region is.
    Health(Report<'a>),
}

/// Something to be routed.
#[event]
pub struct Incoming<'a> {
    /// Its name.
    pub event_id: &'a str,
    /// Whose it is: events of one user that go to the same region stay in order.
    pub user_id: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// 1 is the most urgent.
    pub priority: u64,
    /// The region that it comes from.
    pub origin: &'a str,
    /// The type of its content.
    pub content_type: &'a str,
}

/// How a region is.
#[event]
pub struct Report<'a> {
    /// The region.
    pub region: &'a str,
    /// Whether it answers.
    pub reachable: bool,
    /// Share of errors, per cent.
    pub error_rate: f64,
    /// How long it takes to answer, ms.
    pub latency_ms: f64,
    /// Events per hour that it gets.
    pub load: u64,
}

/// An event with its region.
#[event]
pub struct Routed {
    /// Its name.
    pub event_id: String,
    /// Whose it is.
    pub user_id: String,
    /// Its topic.
    pub topic: String,
    /// Where it goes.
    pub region: String,
    /// When it happened.
    pub timestamp: Millis,
}

/// Something has changed in a region.
#[event]
pub struct Notice {
    /// The region.
    pub region: String,
    /// `failed_over`, `recovered`, `warning`, `cleared`.
    pub state: String,
    /// `unreachable`, `error_rate`, `latency`, `utilisation`; of a recovery none.
    pub reason: Option<String>,
    /// Where its events go now, when it has failed over.
    pub to: Option<String>,
    /// Since when.
    pub at: Millis,
}

/// How a region stands.
#[state]
pub struct Standing {
    /// Events that went there in this hour.
    load: u64,
    /// It has failed over.
    down: bool,
    /// It takes long to answer.
    slow: bool,
    /// It is nearly full.
    full: bool,
}

/// What is remembered of all regions.
#[state]
pub struct Regions {
    /// The hour that is counted, by its start.
    hour: Millis,
    /// Regions that have, or had, something.
    standings: BTreeMap<String, Standing>,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// Events with their regions.
    Routed(Output<Routed>),
    /// What has changed in a region.
    Health(Notice),
}

#[operator(key = "$all")]
impl RegionRouter {
    /// Routes an event, or takes note of how a region is.
    pub fn on_event(&self, traffic: Traffic<'_>, regions: &mut Regions, ctx: &Context) -> Result<Vec<Out>> {
        match traffic {
            Traffic::Event(event) => Ok(vec![self.route(&event, regions, ctx.time())]),
            Traffic::Health(report) => self.hear(&report, regions, ctx.time()),
        }
    }
}

impl RegionRouter {
    fn route(&self, event: &Incoming<'_>, regions: &mut Regions, time: Millis) -> Out {
        let hour = time - time.rem_euclid(HOUR);
        if hour > regions.hour {
            regions.hour = hour;
            regions.standings.values_mut().for_each(|standing| standing.load = 0);
        }
        let region = self.choose(event, regions).to_owned();
        regions.standings.entry(region.clone()).or_default().load += 1;
        let routed = Routed {
            event_id: event.event_id.to_owned(),
            user_id: event.user_id.to_owned(),
            topic: event.topic.to_owned(),
            region,
            timestamp: time,
        };
        Out::Routed(Output::new(routed).key(event.user_id))
    }

    fn choose(&self, event: &Incoming<'_>, regions: &Regions) -> &str {
        match self.strategies.get(event.topic) {
            Some(Strategy::Proximity) if self.capacity.contains_key(event.origin) => self.near(event.origin, regions),
            Some(Strategy::LeastLoaded) => self.least_loaded(regions),
            Some(Strategy::Priority) if event.priority <= self.urgent.up_to && regions.works(&self.urgent.region) => &self.urgent.region,
            Some(Strategy::Priority) => self.least_loaded(regions),
            Some(Strategy::Content) => self.near(self.content.get(event.content_type).unwrap_or(&self.default), regions),
            Some(Strategy::Proximity) | None => self.near(&self.default, regions),
        }
    }

    /// A region, or the nearest to it that works; where none does, the default.
    fn near(&self, region: &str, regions: &Regions) -> &str {
        self.nearest(region).iter().find(|name| regions.works(name)).unwrap_or(&self.default)
    }

    /// The region that works and has the least load for its capacity; of several the one with the larger capacity.
    fn least_loaded(&self, regions: &Regions) -> &str {
        let working = self.capacity.iter().filter(|(name, _)| regions.works(name));
        let load = |name: &str| u128::from(regions.standings.get(name).map_or(0, |standing| standing.load));
        // Shares are compared crosswise, so that nothing is rounded.
        let best = working.min_by(|(one, of_one), (other, of_other)| {
            let share = (load(one) * u128::from(**of_other)).cmp(&(load(other) * u128::from(**of_one)));
            share.then_with(|| of_other.cmp(of_one))
        });
        best.map_or(&self.default, |(name, _)| name)
    }

    fn hear(&self, report: &Report<'_>, regions: &mut Regions, at: Millis) -> Result<Vec<Out>> {
        let Some(capacity) = self.capacity.get(report.region) else {
            let known = self.capacity.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(reject(format!("there is no region `{}`; there are: {known}", report.region)));
        };
        let mut standing = regions.standings.get(report.region).cloned().unwrap_or_default();
        let (was_down, was_slow, was_full) = (standing.down, standing.slow, standing.full);
        let reason = match report {
            Report { reachable: false, .. } => Some("unreachable"),
            Report { error_rate, .. } if *error_rate > *self.health.error_rate_percent => Some("error_rate"),
            _ => None,
        };
        standing.down = reason.is_some();
        standing.slow = report.latency_ms > *self.health.latency_ms;
        standing.full = u128::from(report.load) * 100 > u128::from(*capacity) * u128::from(self.health.utilisation_percent);
        let (down, slow, full) = (standing.down, standing.slow, standing.full);
        regions.standings.insert(report.region.to_owned(), standing);
        let notice = |state: &str, reason: Option<&str>, to: Option<&str>| {
            let (region, state) = (report.region.to_owned(), state.to_owned());
            Out::Health(Notice { region, state, reason: reason.map(str::to_owned), to: to.map(str::to_owned), at })
        };
        let mut out = Vec::new();
        match (was_down, down) {
            (false, true) => out.push(notice("failed_over", reason, Some(self.near(report.region, regions)))),
            (true, false) => out.push(notice("recovered", None, None)),
            _ => {}
        }
        for (was, is, reason) in [(was_slow, slow, "latency"), (was_full, full, "utilisation")] {
            if was != is {
                out.push(notice(if is { "warning" } else { "cleared" }, Some(reason), None));
            }
        }
        Ok(out)
    }
}

impl Regions {
    /// Whether a region has not failed over.
    fn works(&self, region: &str) -> bool {
        self.standings.get(region).is_none_or(|standing| !standing.down)
    }
}
