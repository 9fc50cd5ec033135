//! The configuration: read, checked, and turned into what the operator works with.
//!
//! What makes no sense is refused here, in a sentence, before the pipeline starts.

use std::collections::BTreeMap;

use sangam_sdk::top::Top;
use sangam_sdk::window::{Kind, Trigger, WindowSpec};
use sangam_sdk::{Config, Duration, FieldPath, Millis, config};
use serde::Deserialize;

use crate::alert::Rule;
use crate::group::{Group, by_orders, by_revenue};
use crate::input::Filter;

/// How many fields may tell groups apart.
pub const GROUP_BY_MAX: usize = 8;
/// How many groups a top may have: they are kept for every open window.
const TOP_MAX: usize = 1_000;
/// How many rules for alerts there may be: which of them a group has broken is a number of so many bits.
const ALERTS_MAX: usize = 64;
/// Names that outputs have besides those of the configuration.
const RESERVED: [&str; 10] =
    ["window_start", "window_end", "closed", "orders", "revenue", "average", "orders_added", "revenue_added", "groups", "alert"];

/// What the operator does: all of it, or one of two steps so that only the second sees all groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Groups orders and ranks the groups.
    Both,
    /// Adds up one group: the operator's key is the group.
    Groups,
    /// Ranks the groups that others have added up.
    Top,
}

/// What groups are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Revenue,
    Orders,
}

/// A text, or a list of texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a field, or a list of fields")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// The configuration as the pipeline writes it.
#[config]
struct Written {
    /// What the operator does.
    #[config(default = Role::Both)]
    role: Role,
    /// Which windows.
    window: Option<WindowSpec>,
    /// Fields that tell groups apart.
    #[config(default = vec!["city".to_owned(), "category".to_owned()])]
    group_by: Vec<String>,
    /// What an order is worth: a field, or fields to be multiplied.
    amount: Option<OneOrMore>,
    /// Which events are orders: fields, and the values that they must have.
    only: Option<BTreeMap<String, Filter>>,
    /// How many groups the top has.
    top: Option<usize>,
    /// What groups are ranked by.
    by: Option<By>,
    /// How often an open window tells its news; zero for never.
    update: Option<Duration>,
    /// Limits whose crossing is told.
    #[config(default)]
    alerts: Vec<Rule>,
    /// Fields that a group has besides: so much for each order.
    estimates: Option<BTreeMap<String, f64>>,
}

/// The configuration, read and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the operator does.
    pub role: Role,
    /// Which windows, and how often they tell their news.
    pub window: WindowSpec,
    /// What the fields of a group's name are called in outputs.
    pub names: Vec<String>,
    /// Paths of the fields that are looked at: those of the group, of the amount, of the filters; with the role `top` those of a group's result.
    pub paths: Vec<String>,
    /// How many of them make the amount.
    pub amounts: usize,
    /// What the last of them must hold.
    pub filters: Vec<Filter>,
    /// How many groups are the best, and by what.
    pub top: Top<Group>,
    /// Limits whose crossing is told.
    pub rules: Vec<Rule>,
    /// Fields that a group has besides.
    pub estimates: Vec<(String, f64)>,
}

impl Config for Settings {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let written = Written::read(bytes)?;
        check_role(&written)?;
        let window = window(&written)?;
        let names = names(&written)?;
        check_alerts(&written)?;
        let most = written.top.unwrap_or(10);
        if !(1..=TOP_MAX).contains(&most) {
            return Err(format!("config field `top`: a top has 1 to {TOP_MAX} groups, not {most}"));
        }
        let amounts = match written.amount.unwrap_or_else(|| OneOrMore::One("amount".into())) {
            OneOrMore::One(field) => vec![field],
            OneOrMore::More(fields) if fields.is_empty() => return Err("config field `amount`: name at least one field".into()),
            OneOrMore::More(fields) => fields,
        };
        let rank = if written.by == Some(By::Orders) { by_orders } else { by_revenue };
        let (tested, filters): (Vec<String>, Vec<Filter>) = written.only.unwrap_or_default().into_iter().unzip();
        let estimates = written.estimates.unwrap_or_default().into_iter().collect();
        Ok(Settings {
            role: written.role,
            window,
            amounts: amounts.len(),
            paths: match written.role {
                Role::Top => result_paths(&names),
                _ => written.group_by.into_iter().chain(amounts).chain(tested).collect(),
            },
            names,
            filters,
            top: Top::new(most, rank),
            rules: written.alerts,
            estimates,
        })
    }
}

impl Settings {
    /// The fields that an event's row has.
    pub fn fields(&self) -> Vec<FieldPath> {
        // Optional, because an event that is no order may lack them.
        self.paths.iter().map(FieldPath::optional).collect()
    }
}

/// Where a group's result has what is ranked.
fn result_paths(names: &[String]) -> Vec<String> {
    let before = ["window_start", "window_end"].into_iter();
    let after = ["orders", "revenue", "orders_added", "revenue_added"].into_iter();
    before.map(str::to_owned).chain(names.iter().cloned()).chain(after.map(str::to_owned)).collect()
}

/// A setting that would have no effect is a misunderstanding.
fn check_role(written: &Written) -> Result<(), String> {
    let orders = [
        ("window", written.window.is_some()),
        ("amount", written.amount.is_some()),
        ("only", written.only.is_some()),
        ("estimates", written.estimates.is_some()),
    ];
    let ranking = [("top", written.top.is_some()), ("by", written.by.is_some())];
    let (useless, role, other) = match written.role {
        Role::Both => return Ok(()),
        Role::Groups => (&ranking[..], "groups", "ranks the groups"),
        Role::Top => (&orders[..], "top", "adds up the groups"),
    };
    match useless.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(format!("config field `{name}`: it belongs to the operator that {other}, not to the one with role = \"{role}\""))
        }
        None => Ok(()),
    }
}

fn window(written: &Written) -> Result<WindowSpec, String> {
    /// As soon as there is news and the watermark has passed it.
    const AT_ONCE: Millis = 1;
    let (window, update) = match written.role {
        Role::Both => (WindowSpec::tumbling(60_000), 10_000),
        Role::Groups => (WindowSpec::tumbling(60_000), 0),
        Role::Top => (WindowSpec::given(), AT_ONCE),
    };
    let window = written.window.clone().unwrap_or(window);
    if matches!(window.kind(), Kind::Sliding { .. } | Kind::Count { .. } | Kind::Batch { .. }) {
        return Err("config field `window`: orders are added up in tumbling, hopping, cumulate, session or global windows".into());
    }
    let update = written.update.map_or(update, |update| update.0);
    let window = window.trigger(Trigger::on_close().early(update));
    window.check().map_err(|why| format!("config field `window`: {why}"))?;
    Ok(window)
}

/// What fields are called in outputs: the last part of their path.
fn names(written: &Written) -> Result<Vec<String>, String> {
    if written.group_by.len() > GROUP_BY_MAX {
        return Err(format!("config field `group_by`: at most {GROUP_BY_MAX} fields tell groups apart, not {}", written.group_by.len()));
    }
    let last = |path: &String| path.rsplit('.').next().unwrap_or_default().to_owned();
    let names: Vec<String> = written.group_by.iter().map(last).collect();
    let mut known: Vec<&str> = RESERVED.to_vec();
    for (field, name) in names
        .iter()
        .map(|name| ("group_by", name))
        .chain(written.estimates.iter().flatten().map(|(name, _)| name).map(|name| ("estimates", name)))
    {
        if name.is_empty() {
            return Err(format!("config field `{field}`: it has a field without a name"));
        }
        if known.contains(&name.as_str()) {
            return Err(format!("config field `{field}`: outputs would have `{name}` twice"));
        }
        known.push(name);
    }
    Ok(names)
}

fn check_alerts(written: &Written) -> Result<(), String> {
    let wrong = |why: String| Err(format!("config field `alerts`: {why}"));
    if written.alerts.len() > ALERTS_MAX {
        return wrong(format!("there are at most {ALERTS_MAX}, not {}", written.alerts.len()));
    }
    for rule in &written.alerts {
        if let Err(why) = rule.check(written.role) {
            return wrong(why);
        }
    }
    Ok(())
}
