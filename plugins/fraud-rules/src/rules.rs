//! Rules as data: what there is to look for, and reading it from settings.
//!
//! What a rule finds in a payment is in [`crate::ask`].

use std::collections::{BTreeMap, BTreeSet};

use sangam_sdk::{Millis, Money, hours, minutes};

use crate::model::Model;
use crate::preset::Preset;
use crate::setting::{Misfit, Setting, Settings, Written};

/// One rule: what it looks for, and what it adds to the score when it finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name in reasons.
    pub name: String,
    /// What it adds; of a model, what it adds at most.
    pub weight: f64,
    /// What it looks for.
    pub test: Test,
}

/// What a rule looks for. "Above" is strict everywhere, "up to" is not.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// A large payment.
    AmountAbove(Money),
    /// One of these amounts.
    AmountIn(BTreeSet<Money>),
    /// An amount between these, both included.
    AmountBetween { from: Money, to: Money },
    /// A payment of whole thousands, say.
    RoundAmount { multiple_of: Money, at_least: Money },
    /// A payment at a time of day, in milliseconds since local midnight, above an amount.
    OddHours { from: Millis, to: Millis, above: Money },
    /// Many payments, this one included.
    VelocityCount { above: f64, within: Millis },
    /// Much money, this payment included.
    VelocitySum { above: Money, within: Millis },
    /// The last `count` payments, this one included, are of one amount.
    EqualAmounts { count: usize, within: Millis },
    /// A device that the payer has not used; the very first one too if `first`; with a payment above an amount.
    NewDevice { first: bool, above: Option<Money> },
    /// A device whose id has fewer characters.
    ShortDevice { below: usize },
    /// A device that many pay with.
    SharedDevice { above: f64 },
    /// Two places too far apart for the time between.
    ImpossibleTravel { above_kmh: f64, up_to_kmh: Option<f64>, above_km: f64, within: Millis },
    /// One of these places.
    RiskyPlace(BTreeSet<String>),
    /// A merchant with such a score in the table.
    MerchantScore { above: f64, up_to: Option<f64> },
    /// A merchant whose id contains a text, or that the payer first paid so lately.
    NewMerchant { contains: Option<String>, within: Millis },
    /// A category of merchants with such a score in the table.
    CategoryScore { above: f64, up_to: Option<f64> },
    /// What a model thinks; a factor only above so many points.
    Model { model: Box<Model>, factor_above: f64 },
}

/// What rules ask the state of a payer for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// The spans that payments are summed over, the shortest first.
    pub spans: Vec<Millis>,
    /// The longest row of payments that is looked at one by one.
    pub row: usize,
    /// Whether merchants are remembered.
    pub merchants: bool,
}

impl Needs {
    /// What these rules need together.
    pub fn of<'r>(rules: impl Iterator<Item = &'r Rule>) -> Needs {
        let mut needs = Needs { spans: Vec::new(), row: 1, merchants: false };
        for rule in rules {
            match rule.test {
                Test::VelocityCount { within, .. } | Test::VelocitySum { within, .. } => needs.spans.push(within),
                Test::EqualAmounts { count, within } => {
                    needs.spans.push(within);
                    needs.row = needs.row.max(count);
                }
                Test::NewMerchant { .. } => needs.merchants = true,
                _ => {}
            }
        }
        needs.spans.sort_unstable();
        needs.spans.dedup();
        needs
    }
}

/// The rules of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// In the order of the reasons.
    pub list: Vec<Rule>,
    /// What they ask the state for.
    pub needs: Needs,
}

impl Rules {
    fn new(list: Vec<Rule>) -> Rules {
        Rules { needs: Needs::of(list.iter()), list }
    }

    /// Reads rules. With a preset they change its rules of the same name, setting by setting, and the others come after them; without one
    /// they are all there are.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(preset: Option<&Preset>, written: Vec<Written>) -> Result<Rules, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let mut drafts: Vec<Draft> = preset.map(|preset| preset.rules().map(Draft::given).collect()).unwrap_or_default();
        let given = drafts.len();
        for (i, settings) in written.into_iter().enumerate() {
            let draft = Draft { rule: i, settings };
            let same = drafts.iter_mut().take(given).find(|base| base.name().is_some() && base.name() == draft.name());
            match same {
                Some(base) => base.change(draft),
                None => drafts.push(draft),
            }
        }
        let mut list: Vec<Rule> = Vec::new();
        for draft in drafts {
            let rule = draft.rule;
            match draft.read(preset) {
                Ok(Some(read)) if list.iter().any(|known| known.name == read.name) => {
                    let why = format!("two rules are called `{}`; name them, name = \"…\"", read.name);
                    misfits.push(Misfit { rule, setting: None, why });
                }
                Ok(read) => list.extend(read),
                Err(misfit) => misfits.push(misfit),
            }
        }
        if misfits.is_empty() { Ok(Rules::new(list)) } else { Err(misfits) }
    }
}

/// The rules of an operator that is given none: each of the first types with its defaults.
impl Default for Rules {
    fn default() -> Self {
        Rules::read(Some(&Preset::NONE), Vec::new()).unwrap_or_else(|_| Rules::new(Vec::new()))
    }
}

/// A rule that is being put together.
struct Draft {
    /// Its number as it is written.
    rule: usize,
    settings: Written,
}

impl Draft {
    fn given(settings: Written) -> Draft {
        Draft { rule: 0, settings }
    }

    /// What the rule is called: its name, or else its type.
    fn name(&self) -> Option<&str> {
        match self.settings.get("name").or_else(|| self.settings.get("type")) {
            Some(Setting::Text(name)) => Some(name),
            _ => None,
        }
    }

    /// Takes over the settings of another one; all of them, where that one is of another type.
    fn change(&mut self, by: Draft) {
        self.rule = by.rule;
        match (self.settings.get("type"), by.settings.get("type")) {
            (Some(old), Some(new)) if old != new => self.settings = by.settings,
            _ => self.settings.extend(by.settings),
        }
    }

    /// The rule; none where it is switched off.
    fn read(self, preset: Option<&Preset>) -> Result<Option<Rule>, Misfit> {
        let mut settings = Settings::new(self.rule, self.settings);
        let off = settings.flag("off", false)?;
        let name = settings.text("name")?;
        let Some(kind) = settings.text("type")? else {
            let of_preset = preset.filter(|preset| !preset.name.is_empty()).map(|preset| {
                let names: Vec<_> = preset.rules().filter_map(|rule| Draft::given(rule).name().map(str::to_owned)).collect();
                format!("no type, and `{}` has no rule of that name, only {}", preset.name, names.join(", "))
            });
            let what = of_preset.unwrap_or_else(|| format!("no type; there are {}", TYPES.join(", ")));
            return Err(settings.wrong_as_a_whole(format!("{} has {what}", settings.label())));
        };
        if name.is_none() {
            settings.label_by(&kind);
        }
        let (test, weight) = test(&kind, &mut settings)?;
        let weight = settings.number("weight", weight)?;
        settings.finish()?;
        Ok((!off).then(|| Rule { name: name.unwrap_or(kind), weight, test }))
    }
}

/// All types of rules, for errors.
const TYPES: [&str; 17] = [
    "amount_above",
    "amount_in",
    "amount_between",
    "round_amount",
    "odd_hours",
    "velocity_count",
    "velocity_sum",
    "equal_amounts",
    "new_device",
    "short_device",
    "shared_device",
    "impossible_travel",
    "risky_place",
    "merchant_score",
    "new_merchant",
    "category_score",
    "model",
];

/// Reads what a rule of a type looks for, and its default weight; every setting has a default.
fn test(kind: &str, settings: &mut Settings) -> Result<(Test, f64), Misfit> {
    let s = settings;
    Ok(match kind {
        "amount_above" => (Test::AmountAbove(s.money("amount", 100_000.0)?), 40.0),
        "amount_in" => (Test::AmountIn(s.amounts("amounts", &[10_000.0, 25_000.0, 50_000.0, 100_000.0])?), 20.0),
        "amount_between" => (Test::AmountBetween { from: s.money("from", 9_000.0)?, to: s.money("to", 9_999.0)? }, 25.0),
        "round_amount" => (round_amount(s)?, 15.0),
        "odd_hours" => {
            let (from, to) = (s.time_of_day("from", 0)?, s.time_of_day("to", hours(6))?);
            (Test::OddHours { from, to, above: s.money("above", 10_000.0)? }, 15.0)
        }
        "velocity_count" => (Test::VelocityCount { above: s.number("above", 14.0)?, within: s.span("within", hours(1))? }, 30.0),
        "velocity_sum" => (Test::VelocitySum { above: s.money("above", 50_000.0)?, within: s.span("within", hours(1))? }, 25.0),
        "equal_amounts" => (Test::EqualAmounts { count: s.count("count", 5)?, within: s.span("within", hours(1))? }, 25.0),
        "new_device" => (new_device(s)?, 20.0),
        "short_device" => (Test::ShortDevice { below: s.count("below", 10)? }, 35.0),
        "shared_device" => (Test::SharedDevice { above: s.number("above", 3.0)? }, 30.0),
        "impossible_travel" => (impossible_travel(s)?, 50.0),
        "risky_place" => (Test::RiskyPlace(s.texts("places")?), 15.0),
        "merchant_score" => (Test::MerchantScore { above: s.number("above", 70.0)?, up_to: s.optional_number("up_to")? }, 30.0),
        "new_merchant" => {
            let contains = s.text("contains")?.filter(|text| !text.is_empty());
            (Test::NewMerchant { contains, within: s.span("within", hours(30 * 24))? }, 10.0)
        }
        "category_score" => (Test::CategoryScore { above: s.number("above", 0.0)?, up_to: s.optional_number("up_to")? }, 5.0),
        "model" => (Test::Model { factor_above: s.number("factor_above", 0.0)?, model: Box::new(model(s)?) }, 30.0),
        _ => {
            let why = format!("{} is of the unknown type `{kind}`; there are {}", s.label(), TYPES.join(", "));
            return Err(s.wrong("type", why));
        }
    })
}

fn round_amount(s: &mut Settings) -> Result<Test, Misfit> {
    let multiple_of = s.money("multiple_of", 1_000.0)?;
    if multiple_of == Money::ZERO {
        return Err(s.wrong("multiple_of", format!("{}: multiple_of must be more than nothing", s.label())));
    }
    Ok(Test::RoundAmount { multiple_of, at_least: s.money("at_least", 10_000.0)? })
}

fn new_device(s: &mut Settings) -> Result<Test, Misfit> {
    let above = s.money("above", 0.0)?;
    Ok(Test::NewDevice { first: s.flag("first", true)?, above: (above > Money::ZERO).then_some(above) })
}

fn impossible_travel(s: &mut Settings) -> Result<Test, Misfit> {
    Ok(Test::ImpossibleTravel {
        above_kmh: s.number("above_kmh", 500.0)?,
        up_to_kmh: s.optional_number("up_to_kmh")?,
        above_km: s.number("above_km", 50.0)?,
        within: s.span("within", hours(48))?,
    })
}

fn model(s: &mut Settings) -> Result<Model, Misfit> {
    Ok(Model {
        bias: s.number("bias", 0.0)?,
        log_amount: s.number("log_amount", 0.0)?,
        weekend: s.number("weekend", 0.0)?,
        hour_sin: s.number("hour_sin", 0.0)?,
        hour_cos: s.number("hour_cos", 0.0)?,
        score: s.number("score", 0.0)?,
        types: s.numbers("types")?,
        methods: s.numbers("methods")?,
    })
}

/// A span for people, in the largest unit that fits.
pub fn show_span(millis: Millis) -> String {
    let units = [(hours(24), "d"), (hours(1), "h"), (minutes(1), "m"), (1_000, "s")];
    let unit = units.iter().find(|(size, _)| millis % size == 0);
    unit.map_or_else(|| format!("{millis}ms"), |(size, name)| format!("{}{name}", millis / size))
}

/// A table of scores by name.
pub type Scores = BTreeMap<String, f64>;
