//! Rules as data: reading them, and asking one about a payment.

use std::collections::{BTreeMap, BTreeSet};

use sangam_sdk::{Duration, Millis, hours};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::money::{Cents, amount, cents};
use crate::payer::{Device, Trip};
use crate::velocity::Total;

/// One rule: what it looks for, and what it adds to the score when it finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name in reasons.
    pub name: String,
    /// What it adds.
    pub weight: f64,
    /// What it looks for.
    pub test: Test,
}

/// What a rule looks for. "Above" is strict everywhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// A large payment.
    AmountAbove(Cents),
    /// Many payments, this one included.
    VelocityCount { above: f64, within: Millis },
    /// Much money, this payment included.
    VelocitySum { above: Cents, within: Millis },
    /// A device that the payer has not used; the very first one too if `first`.
    NewDevice { first: bool },
    /// A payment of whole thousands, say.
    RoundAmount { multiple_of: Cents, at_least: Cents },
    /// Two places too far apart for the time between.
    ImpossibleTravel { above_kmh: f64, above_km: f64, within: Millis },
}

/// What is known of a payment when the rules are asked.
#[derive(Debug)]
pub struct Facts<'f> {
    /// Its amount.
    pub cents: Cents,
    /// Its device.
    pub device: Device,
    /// The way to its place.
    pub trip: Option<Trip>,
    /// What each span holds, the payment included.
    pub totals: &'f [(Millis, Total)],
}

impl Facts<'_> {
    fn total(&self, within: Millis) -> Total {
        self.totals.iter().find(|(span, _)| *span == within).map_or(Total::default(), |(_, total)| *total)
    }
}

impl Rule {
    /// Says why the rule fires, if it does.
    pub fn ask(&self, facts: &Facts<'_>) -> Option<String> {
        match self.test {
            Test::AmountAbove(limit) => (facts.cents > limit).then(|| format!("{:.2} is above {:.2}", amount(facts.cents), amount(limit))),
            Test::VelocityCount { above, within } => {
                let count = facts.total(within).count;
                (count as f64 > above).then(|| format!("{count} payments within {} are above {above}", span(within)))
            }
            Test::VelocitySum { above, within } => {
                let sum = facts.total(within).cents;
                (sum > above).then(|| format!("{:.2} within {} is above {:.2}", amount(sum), span(within), amount(above)))
            }
            Test::NewDevice { first } => match facts.device {
                Device::First if first => Some("the first device of the payer".to_owned()),
                Device::New => Some("a device that the payer has not used".to_owned()),
                Device::First | Device::Known | Device::None => None,
            },
            Test::RoundAmount { multiple_of, at_least } => {
                let round = facts.cents > 0 && facts.cents >= at_least && facts.cents % multiple_of == 0;
                round.then(|| format!("{:.2} is a multiple of {:.2}", amount(facts.cents), amount(multiple_of)))
            }
            Test::ImpossibleTravel { above_kmh, above_km, within } => {
                let Trip { from, km, elapsed } = facts.trip.as_ref()?;
                let possible = above_kmh * (*elapsed as f64 / hours(1) as f64);
                (*elapsed <= within && *km > above_km && *km > possible)
                    .then(|| format!("{km:.0} km from {from} in {:.0} min", *elapsed as f64 / 60_000.0))
            }
        }
    }

    /// The span that it needs payments summed over.
    fn span(&self) -> Option<Millis> {
        match self.test {
            Test::VelocityCount { within, .. } | Test::VelocitySum { within, .. } => Some(within),
            _ => None,
        }
    }
}

/// A span for people, in the largest unit that fits.
fn span(millis: Millis) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(size, _)| millis % size == 0);
    unit.map_or_else(|| format!("{millis}ms"), |(size, name)| format!("{}{name}", millis / size))
}

/// The rules of an operator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Vec<BTreeMap<String, Setting>>")]
pub struct Rules {
    /// In the order of the reasons.
    pub list: Vec<Rule>,
    /// The spans that payments are summed over, the shortest first.
    pub spans: Vec<Millis>,
}

impl Rules {
    fn new(list: Vec<Rule>) -> Rules {
        let spans: BTreeSet<Millis> = list.iter().filter_map(Rule::span).collect();
        Rules { list, spans: spans.into_iter().collect() }
    }
}

/// A value in a rule, before it is known what the rule wants there.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Setting {
    Flag(bool),
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

impl Setting {
    fn describe(&self) -> String {
        match self {
            Setting::Flag(flag) => format!("`{flag}`"),
            Setting::Number(number) => format!("the number {number}"),
            Setting::Text(text) => format!("the text `{text}`"),
            Setting::Other(_) => "a list or a table".to_owned(),
        }
    }
}

impl TryFrom<Vec<BTreeMap<String, Setting>>> for Rules {
    type Error = String;

    fn try_from(written: Vec<BTreeMap<String, Setting>>) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        let rules = written.into_iter().enumerate().map(|(i, settings)| read(i, settings)).collect::<Result<Vec<_>, _>>()?;
        match rules.iter().find(|rule| !names.insert(rule.name.clone())) {
            Some(twice) => Err(format!("two rules are called `{0}`; name them, name = \"…\"", twice.name)),
            None => Ok(Rules::new(rules)),
        }
    }
}

/// Reads one rule; every setting but `type` has a default.
fn read(index: usize, settings: BTreeMap<String, Setting>) -> Result<Rule, String> {
    let mut written = Written { label: format!("rule {}", index + 1), settings, known: Vec::new() };
    let name = written.text("name")?;
    if let Some(name) = &name {
        written.label = format!("rule `{name}`");
    }
    let kind = written.text("type")?.ok_or_else(|| format!("{} has no type; there are {TYPES}", written.label))?;
    if name.is_none() {
        written.label = format!("{} (`{kind}`)", written.label);
    }
    let (test, weight) = match kind.as_str() {
        "amount_above" => (Test::AmountAbove(written.money("amount", 100_000.0)?), 40.0),
        "velocity_count" => {
            (Test::VelocityCount { above: written.number("above", 14.0)?, within: written.span("within", hours(1))? }, 30.0)
        }
        "velocity_sum" => (Test::VelocitySum { above: written.money("above", 50_000.0)?, within: written.span("within", hours(1))? }, 25.0),
        "new_device" => (Test::NewDevice { first: written.flag("first", true)? }, 20.0),
        "round_amount" => {
            let multiple_of = written.money("multiple_of", 1_000.0)?;
            if multiple_of == 0 {
                return Err(format!("{}: multiple_of must be more than nothing", written.label));
            }
            (Test::RoundAmount { multiple_of, at_least: written.money("at_least", 10_000.0)? }, 15.0)
        }
        "impossible_travel" => (
            Test::ImpossibleTravel {
                above_kmh: written.number("above_kmh", 500.0)?,
                above_km: written.number("above_km", 50.0)?,
                within: written.span("within", hours(48))?,
            },
            50.0,
        ),
        _ => return Err(format!("{} is of the unknown type `{kind}`; there are {TYPES}", written.label)),
    };
    let weight = written.number("weight", weight)?;
    written.finish()?;
    Ok(Rule { name: name.unwrap_or(kind), weight, test })
}

const TYPES: &str = "amount_above, velocity_count, velocity_sum, new_device, round_amount and impossible_travel";

/// A rule as the pipeline writes it; settings are taken out as they are read.
struct Written {
    /// What the rule is called in errors.
    label: String,
    settings: BTreeMap<String, Setting>,
    known: Vec<&'static str>,
}

impl Written {
    fn take(&mut self, name: &'static str) -> Option<Setting> {
        self.known.push(name);
        self.settings.remove(name)
    }

    fn misfit(&self, name: &str, wanted: &str, found: &Setting) -> String {
        format!("{}: {name} must be {wanted}, not {}", self.label, found.describe())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Setting::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.misfit(name, "text", &other)),
        }
    }

    fn number(&mut self, name: &'static str, default: f64) -> Result<f64, String> {
        match self.take(name) {
            None => Ok(default),
            Some(Setting::Number(number)) if number.is_finite() => Ok(number),
            Some(other) => Err(self.misfit(name, "a number", &other)),
        }
    }

    fn money(&mut self, name: &'static str, default: f64) -> Result<Cents, String> {
        let number = self.number(name, default)?;
        cents(number).ok_or_else(|| self.misfit(name, "an amount of money", &Setting::Number(number)))
    }

    fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        match self.take(name) {
            None => Ok(default),
            Some(Setting::Flag(flag)) => Ok(flag),
            Some(other) => Err(self.misfit(name, "true or false", &other)),
        }
    }

    fn span(&mut self, name: &'static str, default: Millis) -> Result<Millis, String> {
        match self.take(name) {
            None => Ok(default),
            Some(Setting::Text(text)) => match Duration::try_from(text) {
                Ok(Duration(0)) => Err(format!("{}: {name} must be longer than nothing", self.label)),
                Ok(Duration(millis)) => Ok(millis),
                Err(why) => Err(format!("{}: {name}: {why}", self.label)),
            },
            Some(other) => Err(self.misfit(name, "a duration such as \"1h\"", &other)),
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.settings.keys().next() {
            Some(unknown) => Err(format!("{} has no setting `{unknown}`; it has {}", self.label, self.known.join(", "))),
            None => Ok(()),
        }
    }
}

/// The rules of an operator that is given none: each type with its defaults.
impl Default for Rules {
    fn default() -> Self {
        let each = |(test, weight, name): (Test, f64, &str)| Rule { name: name.to_owned(), weight, test };
        let (hour, days) = (hours(1), hours(48));
        Rules::new(
            [
                (Test::AmountAbove(10_000_000), 40.0, "amount_above"),
                (Test::VelocityCount { above: 14.0, within: hour }, 30.0, "velocity_count"),
                (Test::VelocitySum { above: 5_000_000, within: hour }, 25.0, "velocity_sum"),
                (Test::NewDevice { first: true }, 20.0, "new_device"),
                (Test::RoundAmount { multiple_of: 100_000, at_least: 1_000_000 }, 15.0, "round_amount"),
                (Test::ImpossibleTravel { above_kmh: 500.0, above_km: 50.0, within: days }, 50.0, "impossible_travel"),
            ]
            .map(each)
            .into(),
        )
    }
}
