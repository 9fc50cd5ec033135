//! The configuration: what was written, over the preset that it names, is what the operator works with.
//!
//! Everything that is wrong with the rules is said at once, each with the path of its setting.

use std::collections::BTreeMap;

use sangam_sdk::*;
use serde::Deserialize;

use crate::clock::Clock;
use crate::place::Places;
use crate::preset::Preset;
use crate::rules::{Rules, Scores};
use crate::ruling::sentence;
use crate::setting::Written as Rule;
use crate::verdict::{Actions, Level, Levels, WrittenActions};

/// The configuration as the pipeline writes it.
#[config]
struct Written {
    preset: Option<String>,
    mode: Option<Mode>,
    #[config(default)]
    fields: BTreeMap<String, String>,
    rules: Option<Vec<BTreeMap<String, crate::setting::Setting>>>,
    #[config(default)]
    levels: Levels,
    actions: Option<WrittenActions>,
    #[config(default = Level::High)]
    alert_level: Level,
    on_failed_rule: Option<OnFailedRule>,
    zone: Option<Clock>,
    #[config(default)]
    places: Places,
    #[config(default)]
    merchants: Scores,
    categories: Option<Scores>,
    #[config(default = 1_000usize)]
    payments_kept: usize,
    #[config(default = 16usize)]
    devices: usize,
    #[config(default = 32usize)]
    merchants_kept: usize,
    #[config(default = 64usize)]
    users_kept: usize,
    #[config(default = Duration(hours(30 * 24)))]
    remember: Duration,
}

/// The configuration, read and checked.
#[derive(Clone, Debug)]
pub struct FraudRules {
    /// What the operator does.
    pub mode: Mode,
    /// Where the fields of a payment are.
    pub fields: Fields,
    /// What is looked for.
    pub rules: Rules,
    /// From which score on each level holds.
    pub levels: Levels,
    /// What is done at each level.
    pub actions: Actions,
    /// The level from which on a payment is an alert.
    pub alert_level: Level,
    /// What becomes of a payment that a rule cannot read.
    pub on_failed_rule: OnFailedRule,
    /// The clock on the wall.
    pub zone: Clock,
    /// Where the places are that payments name.
    pub places: Places,
    /// Risk by merchant.
    pub merchants: Scores,
    /// Risk by category of merchants.
    pub categories: Scores,
    /// How many payments of a payer are kept one by one.
    pub payments_kept: usize,
    /// How many devices are remembered of a payer.
    pub devices: usize,
    /// How many merchants are remembered of a payer.
    pub merchants_kept: usize,
    /// How many users are remembered of a device.
    pub users_kept: usize,
    /// How long after a payer's last payment everything is forgotten.
    pub remember: Duration,
}

/// What the operator does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Scores payments; keyed by the payer.
    #[default]
    Score,
    /// Counts who pays with a device and passes payments on with that number; keyed by the device.
    Devices,
}

/// What becomes of a payment that has something in a field that a rule cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailedRule {
    /// It is refused: a dead letter.
    Reject,
    /// It is scored by the other rules, the failure is a factor, and its level is at least high.
    Review,
}

/// Places of the fields in a row.
pub mod column {
    /// What tells payments apart.
    pub const ID: usize = 0;
    /// How much.
    pub const AMOUNT: usize = 1;
    /// The device.
    pub const DEVICE: usize = 2;
    /// The place.
    pub const LOCATION: usize = 3;
    /// The merchant.
    pub const MERCHANT: usize = 4;
    /// Its category.
    pub const CATEGORY: usize = 5;
    /// Type of the transaction.
    pub const KIND: usize = 6;
    /// Method of payment.
    pub const METHOD: usize = 7;
    /// How many pay with the device.
    pub const DEVICE_USERS: usize = 8;
    /// The payer, where it is not the key.
    pub const PAYER: usize = 9;
}

/// Paths of a payment's fields, by column.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields([String; COLUMNS.len()]);

/// Names of the fields, by column: also their paths, where nothing else is written.
const COLUMNS: [&str; 10] = [
    "transaction_id",
    "amount",
    "device_id",
    "location",
    "merchant_id",
    "merchant_category",
    "transaction_type",
    "payment_method",
    "device_users",
    "payer",
];

impl Fields {
    /// What is written, and what the preset says for the rest.
    fn over(preset: &Preset, written: BTreeMap<String, String>) -> std::result::Result<Fields, String> {
        let mut paths = COLUMNS.map(str::to_owned);
        paths[column::DEVICE] = preset.device_id.to_owned();
        paths[column::PAYER] = preset.payer.to_owned();
        for (name, path) in written {
            let column = COLUMNS.iter().position(|known| *known == name);
            let column =
                column.ok_or_else(|| format!("config field `fields.{name}`: there is no such field; there are {}", COLUMNS.join(", ")))?;
            if path.is_empty() {
                return Err(format!("config field `fields.{name}`: a path is a name, or several joined by dots"));
            }
            paths[column] = path;
        }
        Ok(Fields(paths))
    }
}

impl FraudRules {
    /// The fields that are asked for, by column.
    pub fn paths(&self) -> Vec<FieldPath> {
        let Fields(paths) = &self.fields;
        let mut fields: Vec<FieldPath> = paths.iter().map(FieldPath::optional).collect();
        let needed: &[usize] = match self.mode {
            Mode::Score => {
                fields.truncate(column::PAYER);
                &[column::ID, column::AMOUNT]
            }
            Mode::Devices => &[column::ID, column::AMOUNT, column::PAYER],
        };
        needed.iter().for_each(|column| fields[*column].optional = false);
        fields
    }

    /// Reads a field of a payment; none where it is missing.
    ///
    /// # Errors
    /// When it holds something else; the sentence names the field.
    pub fn optional<'r, T: Field<'r>>(&self, row: &Row<'r>, column: usize) -> std::result::Result<Option<T>, String> {
        row.get(column).map_err(|error| self.misread(column, &error))
    }

    /// Reads a field that must be there.
    ///
    /// # Errors
    /// A refusal of the payment.
    pub fn required<'r, T: Field<'r>>(&self, row: &Row<'r>, column: usize) -> Result<T> {
        row.get(column).map_err(|error| reject(self.misread(column, &error)))
    }

    /// Says where an error was by the field's path.
    #[cold]
    fn misread(&self, column: usize, error: &Error) -> String {
        let Fields(paths) = &self.fields;
        match (error, paths.get(column)) {
            (Error::Reject(why), Some(path)) => why.replacen(&format!("#{column}"), path, 1),
            (error, _) => error.to_string(),
        }
    }
}

impl Config for FraudRules {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> std::result::Result<Self, String> {
        let written = Written::read(bytes)?;
        let preset = match &written.preset {
            Some(name) => Preset::named(name).map_err(|why| format!("config field `preset`: {why}"))?,
            None => &Preset::NONE,
        };
        for (name, number) in [("payments_kept", written.payments_kept), ("devices", written.devices)] {
            if number == 0 {
                return Err(format!("config field `{name}`: at least one must be kept"));
            }
        }
        let failures = if preset.review_failures { OnFailedRule::Review } else { OnFailedRule::Reject };
        let zone = written.zone.map_or_else(|| Clock::try_from(preset.zone.to_owned()), Ok)?;
        Ok(FraudRules {
            mode: written.mode.unwrap_or_default(),
            fields: Fields::over(preset, written.fields)?,
            rules: rules(written.preset.is_some().then_some(preset), written.rules)?,
            levels: written.levels,
            actions: written.actions.unwrap_or_default().over(preset.actions),
            alert_level: written.alert_level,
            on_failed_rule: written.on_failed_rule.unwrap_or(failures),
            zone,
            places: written.places,
            merchants: written.merchants,
            categories: written.categories.unwrap_or_else(|| preset.category_scores()),
            payments_kept: written.payments_kept,
            devices: written.devices,
            merchants_kept: written.merchants_kept,
            users_kept: written.users_kept,
            remember: written.remember,
        })
    }
}

/// The rules of the preset changed by those that are written, or those alone; the default ones where there are neither.
fn rules(preset: Option<&Preset>, written: Option<Vec<Rule>>) -> std::result::Result<Rules, String> {
    if preset.is_none() && written.is_none() {
        return Ok(Rules::default());
    }
    Rules::read(preset, written.unwrap_or_default()).map_err(|misfits| sentence(&misfits, crate::setting::Misfit::in_config))
}
