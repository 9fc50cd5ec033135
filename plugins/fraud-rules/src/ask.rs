//! Asking a rule about a payment: whether it fires, what it adds, and why.
//!
//! It changes nothing: what the payer's state has to say has been noted before.

use sangam_sdk::{Field, Millis, Money, Row, hours};

use crate::clock::{self, Local};
use crate::history::Total;
use crate::model::Features;
use crate::payer::{Device, Payer, Trip};
use crate::rules::{Rule, Test, show_span};
use crate::ruling::Ruling;
use crate::settings::{FraudRules, column};

/// What a rule says of a payment.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What it adds to the score.
    pub points: f64,
    /// Why; none where it adds in silence.
    pub why: Option<String>,
}

/// Something that could not be read from the payment, and why.
pub type Known<T> = Result<T, String>;

/// What is known of a payment when the rules are asked.
pub struct Facts<'f> {
    /// The configuration.
    pub settings: &'f FraudRules,
    /// What messages say.
    pub ruling: &'f Ruling,
    /// The payment's fields.
    pub row: &'f Row<'f>,
    /// Its event time.
    pub time: Millis,
    /// How much.
    pub amount: Money,
    /// The payer, who has noted the payment.
    pub payer: &'f Payer,
    /// Whether its device is new.
    pub device: Known<Device>,
    /// The way to its place.
    pub trip: Known<Option<Trip>>,
    /// When the payer first paid its merchant, where a rule asks for that.
    pub merchant_since: Known<Option<Millis>>,
}

impl Facts<'_> {
    fn text(&self, column: usize) -> Known<Option<&str>> {
        self.read(column)
    }

    fn read<'r, T: Field<'r>>(&'r self, column: usize) -> Known<Option<T>> {
        self.settings.optional(self.row, column)
    }

    fn local(&self) -> Local {
        self.settings.zone.local(self.time)
    }

    fn total(&self, within: Millis) -> Total {
        self.payer.total(within, self.time)
    }
}

impl Rule {
    /// What the rule says of a payment, after rules that gave it `score`; none where it has nothing to say.
    ///
    /// # Errors
    /// When the payment has something in a field that the rule cannot read.
    pub fn ask(&self, facts: &Facts<'_>, score: f64) -> Known<Option<Answer>> {
        if let Test::Model { factor_above, .. } = self.test {
            return self.ask_model(facts, score, factor_above).map(Some);
        }
        let why = match &self.test {
            Test::AmountAbove(_) | Test::AmountIn(_) | Test::AmountBetween { .. } | Test::RoundAmount { .. } | Test::OddHours { .. } => {
                self.test.ask_amount(facts)
            }
            Test::VelocityCount { .. } | Test::VelocitySum { .. } | Test::EqualAmounts { .. } => self.test.ask_velocity(facts),
            Test::NewDevice { .. } | Test::ShortDevice { .. } | Test::SharedDevice { .. } => self.test.ask_device(facts)?,
            Test::ImpossibleTravel { .. } | Test::RiskyPlace(_) => self.test.ask_place(facts)?,
            _ => self.test.ask_merchant(facts)?,
        };
        Ok(why.map(|why| Answer { points: self.weight, why: Some(why) }))
    }

    fn ask_model(&self, facts: &Facts<'_>, score: f64, factor_above: f64) -> Known<Answer> {
        let Test::Model { model, .. } = &self.test else { return Err("it is no model".to_owned()) };
        let (kind, method) = (facts.text(column::KIND)?, facts.text(column::METHOD)?);
        let p = model.probability(&Features { amount: facts.amount, local: facts.local(), score, kind, method });
        // To the hundredth, so that it does not matter whose logarithm it was.
        let points = (self.weight * p * 100.0).round() / 100.0;
        Ok(Answer { points, why: (points > factor_above).then(|| format!("the model says {:.0} %", p * 100.0)) })
    }
}

impl Test {
    fn ask_amount(&self, facts: &Facts<'_>) -> Option<String> {
        let amount = facts.amount;
        match self {
            Test::AmountAbove(limit) => (amount > *limit).then(|| format!("{amount} is above {limit}")),
            Test::AmountIn(amounts) => amounts.contains(&amount).then(|| format!("{amount} is one of the listed amounts")),
            Test::AmountBetween { from, to } => (*from <= amount && amount <= *to).then(|| format!("{amount} is from {from} to {to}")),
            Test::RoundAmount { multiple_of, at_least } => {
                let round = amount > Money::ZERO && amount >= *at_least && amount.is_multiple_of(*multiple_of);
                round.then(|| format!("{amount} is a multiple of {multiple_of}"))
            }
            Test::OddHours { from, to, above } if amount > *above => {
                let local = facts.local();
                local.is_between(*from, *to).then(|| format!("{amount} at {}", clock::show(local.time_of_day)))
            }
            _ => None,
        }
    }

    fn ask_velocity(&self, facts: &Facts<'_>) -> Option<String> {
        match self {
            Test::VelocityCount { above, within } => {
                let count = facts.total(*within).count;
                (count as f64 > *above).then(|| format!("{count} payments within {} are above {above}", show_span(*within)))
            }
            Test::VelocitySum { above, within } => {
                let sum = facts.total(*within).sum;
                (sum > *above).then(|| format!("{sum} within {} is above {above}", show_span(*within)))
            }
            Test::EqualAmounts { count, within } => {
                let payments = facts.payer.history.between(facts.time.saturating_sub(*within), facts.time);
                let last = payments.get(payments.len().checked_sub(*count)?..)?;
                last.iter()
                    .all(|payment| payment.amount == facts.amount)
                    .then(|| format!("the last {count} payments were of {}", facts.amount))
            }
            _ => None,
        }
    }

    fn ask_device(&self, facts: &Facts<'_>) -> Known<Option<String>> {
        Ok(match self {
            Test::NewDevice { above: Some(above), .. } if facts.amount <= *above => None,
            Test::NewDevice { first, above } => {
                let what = match facts.device.clone()? {
                    Device::First if *first => "the first device of the payer",
                    Device::New => "a device that the payer has not used",
                    Device::First | Device::Known | Device::None => return Ok(None),
                };
                Some(above.map_or(what.to_owned(), |above| format!("{what}, and {} is above {above}", facts.amount)))
            }
            Test::ShortDevice { below } => {
                let length = facts.text(column::DEVICE)?.map(|device| device.chars().count());
                length.filter(|length| length < below).map(|length| format!("a device id of {length} characters"))
            }
            Test::SharedDevice { above } => {
                let users = facts.read::<f64>(column::DEVICE_USERS)?;
                users.filter(|users| users > above).map(|users| format!("{users} users of the device are above {above}"))
            }
            _ => None,
        })
    }

    fn ask_place(&self, facts: &Facts<'_>) -> Known<Option<String>> {
        match self {
            Test::ImpossibleTravel { above_kmh, up_to_kmh, above_km, within } => {
                let Some(Trip { from, km, elapsed }) = facts.trip.as_ref().map_err(Clone::clone)? else { return Ok(None) };
                let reach = |kmh: f64| kmh * (*elapsed as f64 / hours(1) as f64);
                let too_fast = *km > reach(*above_kmh) && up_to_kmh.is_none_or(|kmh| *km <= reach(kmh));
                let found = *elapsed <= *within && *km > *above_km && too_fast;
                Ok(found.then(|| format!("{km:.0} km from {from} in {:.0} min", *elapsed as f64 / 60_000.0)))
            }
            Test::RiskyPlace(places) if !places.is_empty() => {
                let place = facts.text(column::LOCATION)?;
                Ok(place.filter(|place| places.contains(*place)).map(|place| format!("{place} is a risky place")))
            }
            _ => Ok(None),
        }
    }

    fn ask_merchant(&self, facts: &Facts<'_>) -> Known<Option<String>> {
        let scored = |name: &str, score: Option<f64>, above: f64, up_to: Option<f64>| {
            let score = score.filter(|score| *score > above && up_to.is_none_or(|up_to| *score <= up_to))?;
            Some(format!("{name} has a risk of {score}"))
        };
        match self {
            Test::MerchantScore { above, up_to } => {
                let Some(merchant) = facts.text(column::MERCHANT)? else { return Ok(None) };
                let score = facts.ruling.merchant(merchant, facts.time).or_else(|| facts.settings.merchants.get(merchant).copied());
                Ok(scored(merchant, score, *above, *up_to))
            }
            Test::CategoryScore { above, up_to } => {
                let Some(category) = facts.text(column::CATEGORY)? else { return Ok(None) };
                let score = facts.ruling.category(category, facts.time).or_else(|| facts.settings.categories.get(category).copied());
                Ok(scored(category, score, *above, *up_to))
            }
            Test::NewMerchant { contains, within } => {
                let Some(merchant) = facts.text(column::MERCHANT)? else { return Ok(None) };
                if contains.as_ref().is_some_and(|text| merchant.contains(text.as_str())) {
                    return Ok(Some(format!("{merchant} is called a new merchant")));
                }
                let since = facts.merchant_since.clone()?;
                let new = since.is_some_and(|since| facts.time.saturating_sub(since) < *within);
                Ok(new.then(|| format!("{merchant} has been paid for less than {}", show_span(*within))))
            }
            _ => Ok(None),
        }
    }
}
