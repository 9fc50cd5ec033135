//! A rule as it is written, in a pipeline file or in a message: settings by name, taken out one by one as they are read.
//!
//! It knows kinds of values, and no rule.

use std::collections::{BTreeMap, BTreeSet};

use sangam_sdk::{Duration, Millis, Money};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::clock;

/// The most that a number may be, either way: what rules make of them stays a number.
const NUMBER_MAX: f64 = 1e15;

/// A rule as it is written.
pub type Written = BTreeMap<String, Setting>;

/// A value in a rule, before it is known what the rule wants there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Setting>),
    /// A table.
    Table(BTreeMap<String, Setting>),
    /// Anything else.
    Other(IgnoredAny),
}

impl Setting {
    fn describe(&self) -> String {
        match self {
            Setting::Flag(flag) => format!("`{flag}`"),
            Setting::Number(number) => format!("the number {number}"),
            Setting::Text(text) => format!("the text `{text}`"),
            Setting::List(_) => "a list".to_owned(),
            Setting::Table(_) => "a table".to_owned(),
            Setting::Other(_) => "a value of another kind".to_owned(),
        }
    }
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its number in the list as it is written, from 0.
    pub rule: usize,
    /// The setting; none where it is about the rule as a whole.
    pub setting: Option<String>,
    /// A sentence that names the rule.
    pub why: String,
}

impl Misfit {
    /// The sentence behind the path of the setting in the configuration.
    pub fn in_config(&self) -> String {
        let setting = self.setting.iter().map(|setting| format!(".{setting}")).collect::<String>();
        format!("config field `rules[{}]{setting}`: {}", self.rule, self.why)
    }
}

/// Settings of one rule that have not been read yet.
pub struct Settings {
    rule: usize,
    label: String,
    settings: Written,
    known: Vec<&'static str>,
}

impl Settings {
    /// The settings of rule number `rule`.
    pub fn new(rule: usize, settings: Written) -> Settings {
        let label = match settings.get("name") {
            Some(Setting::Text(name)) => format!("rule `{name}`"),
            _ => format!("rule {}", rule + 1),
        };
        Settings { rule, label, settings, known: Vec::new() }
    }

    /// What the rule is called in errors.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Calls a rule that has no name after its type.
    pub fn label_by(&mut self, kind: &str) {
        if !self.label.contains('`') {
            self.label = format!("{} (`{kind}`)", self.label);
        }
    }

    /// An error about a setting.
    pub fn wrong(&self, setting: &str, why: String) -> Misfit {
        Misfit { rule: self.rule, setting: Some(setting.to_owned()), why }
    }

    /// An error about the rule as a whole.
    pub fn wrong_as_a_whole(&self, why: String) -> Misfit {
        Misfit { rule: self.rule, setting: None, why }
    }

    fn take(&mut self, name: &'static str) -> Option<Setting> {
        self.known.push(name);
        self.settings.remove(name)
    }

    fn misfit(&self, name: &str, wanted: &str, found: &Setting) -> Misfit {
        self.wrong(name, format!("{}: {name} must be {wanted}, not {}", self.label, found.describe()))
    }

    /// A text, if it is there.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Misfit> {
        match self.take(name) {
            None => Ok(None),
            Some(Setting::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.misfit(name, "text", &other)),
        }
    }

    /// A number, if it is there.
    pub fn optional_number(&mut self, name: &'static str) -> Result<Option<f64>, Misfit> {
        match self.take(name) {
            None => Ok(None),
            Some(Setting::Number(number)) if number.abs() <= NUMBER_MAX => Ok(Some(number)),
            Some(number @ Setting::Number(_)) => Err(self.misfit(name, "a number up to 10^15", &number)),
            Some(other) => Err(self.misfit(name, "a number", &other)),
        }
    }

    /// A number.
    pub fn number(&mut self, name: &'static str, default: f64) -> Result<f64, Misfit> {
        Ok(self.optional_number(name)?.unwrap_or(default))
    }

    /// A whole number of at least 1.
    pub fn count(&mut self, name: &'static str, default: usize) -> Result<usize, Misfit> {
        match self.optional_number(name)? {
            None => Ok(default),
            Some(number) if number.fract() == 0.0 && (1.0..=1e6).contains(&number) => Ok(number as usize),
            Some(number) => Err(self.misfit(name, "a whole number from 1 on", &Setting::Number(number))),
        }
    }

    /// An amount of money.
    pub fn money(&mut self, name: &'static str, default: f64) -> Result<Money, Misfit> {
        let number = self.number(name, default)?;
        Money::new(number).ok_or_else(|| self.misfit(name, "an amount of money", &Setting::Number(number)))
    }

    /// Several amounts of money.
    pub fn amounts(&mut self, name: &'static str, default: &[f64]) -> Result<BTreeSet<Money>, Misfit> {
        let items = match self.take(name) {
            None => default.iter().map(|amount| Setting::Number(*amount)).collect(),
            Some(Setting::List(items)) => items,
            Some(other) => return Err(self.misfit(name, "a list of amounts", &other)),
        };
        let amount = |item: &Setting| match item {
            Setting::Number(number) => Money::new(*number),
            _ => None,
        };
        items.iter().map(|item| amount(item).ok_or_else(|| self.misfit(name, "a list of amounts of money, and in it", item))).collect()
    }

    /// Several texts; none where they are not given.
    pub fn texts(&mut self, name: &'static str) -> Result<BTreeSet<String>, Misfit> {
        let items = match self.take(name) {
            None => Vec::new(),
            Some(Setting::List(items)) => items,
            Some(other) => return Err(self.misfit(name, "a list of texts", &other)),
        };
        let texts = items.into_iter().map(|item| match item {
            Setting::Text(text) => Ok(text),
            other => Err(self.misfit(name, "a list of texts, and in it", &other)),
        });
        texts.collect()
    }

    /// Numbers by name; none where they are not given.
    pub fn numbers(&mut self, name: &'static str) -> Result<BTreeMap<String, f64>, Misfit> {
        let items = match self.take(name) {
            None => BTreeMap::new(),
            Some(Setting::Table(items)) => items,
            Some(other) => return Err(self.misfit(name, "a table of numbers", &other)),
        };
        let numbers = items.into_iter().map(|(key, item)| match item {
            Setting::Number(number) if number.abs() <= NUMBER_MAX => Ok((key, number)),
            other => {
                let why = format!("{}: {name}.{key} must be a number, not {}", self.label, other.describe());
                Err(self.wrong(&format!("{name}.{key}"), why))
            }
        });
        numbers.collect()
    }

    /// True or false.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, Misfit> {
        match self.take(name) {
            None => Ok(default),
            Some(Setting::Flag(flag)) => Ok(flag),
            Some(other) => Err(self.misfit(name, "true or false", &other)),
        }
    }

    /// A span of time, longer than nothing.
    pub fn span(&mut self, name: &'static str, default: Millis) -> Result<Millis, Misfit> {
        match self.take(name) {
            None => Ok(default),
            Some(Setting::Text(text)) => match Duration::try_from(text) {
                Ok(Duration(0)) => Err(self.wrong(name, format!("{}: {name} must be longer than nothing", self.label))),
                Ok(Duration(millis)) => Ok(millis),
                Err(why) => Err(self.wrong(name, format!("{}: {name}: {why}", self.label))),
            },
            Some(other) => Err(self.misfit(name, "a duration such as \"1h\"", &other)),
        }
    }

    /// A time of day, `"06:00"`, in milliseconds since midnight.
    pub fn time_of_day(&mut self, name: &'static str, default: Millis) -> Result<Millis, Misfit> {
        match self.take(name) {
            None => Ok(default),
            Some(Setting::Text(text)) => match clock::time_of_day(&text) {
                Some(time) => Ok(time),
                None => Err(self.misfit(name, "a time of day such as \"06:00\"", &Setting::Text(text))),
            },
            Some(other) => Err(self.misfit(name, "a time of day such as \"06:00\"", &other)),
        }
    }

    /// Refuses settings that nobody has asked for.
    pub fn finish(self) -> Result<(), Misfit> {
        match self.settings.keys().next() {
            Some(unknown) => {
                Err(self.wrong(unknown, format!("{} has no setting `{unknown}`; it has {}", self.label, self.known.join(", "))))
            }
            None => Ok(()),
        }
    }
}
