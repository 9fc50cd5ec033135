//! Rules and scores that come by the broadcast input: what every task knows beside its configuration, each version from its time on.
//!
//! A message that cannot be read changes nothing.

use std::borrow::Cow;

use sangam_protocol::msgpack::{Error as Malformed, Reader, write};
use sangam_sdk::*;

use crate::preset::Preset;
use crate::rules::{Needs, Rule, Rules};
use crate::setting::{Misfit, Written};

/// The key of the rule set; there is one at a time.
const SET: &str = "";

/// The name that a message gives the rules of the configuration.
const CONFIG: &str = "config";

/// A message: one change, of one of four kinds.
#[event]
pub struct Change {
    /// A whole rule set.
    pub rules: Option<Value>,
    /// The preset that the rule set changes, or is; `config` goes back to the configuration.
    pub preset: Option<String>,
    /// The name of one rule.
    pub id: Option<String>,
    /// That rule; without it, what the rule set says holds again.
    pub rule: Option<Value>,
    /// Switches that rule off.
    pub off: Option<bool>,
    /// A merchant that gets a score.
    pub merchant: Option<String>,
    /// A category that gets a score.
    pub category: Option<String>,
    /// That score; without it, what the configuration says holds again.
    pub score: Option<f64>,
}

/// What messages have said.
#[state]
pub struct Ruling {
    /// Rule sets, under one key.
    pub sets: Broadcast<String, Version>,
    /// Single rules by name.
    pub rules: Broadcast<String, Version>,
    /// Scores of merchants.
    pub merchants: Broadcast<String, f64>,
    /// Scores of categories.
    pub categories: Broadcast<String, f64>,
}

/// Rules that a message has brought, as they were written and as they are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    kept: Kept,
    /// None for a rule that is off, and for a set that is the configuration's.
    rules: Option<Rules>,
}

/// What is stored of them.
#[state]
struct Kept {
    since: Millis,
    preset: Option<String>,
    rules: Option<Value>,
}

/// The rules that hold at a time.
pub struct View<'r> {
    base: &'r [Rule],
    changed: Vec<&'r Rule>,
    /// What they ask the state for.
    pub needs: Cow<'r, Needs>,
}

impl View<'_> {
    /// In the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.base.iter().chain(self.changed.iter().copied())
    }
}

impl Ruling {
    /// Takes a message in.
    ///
    /// # Errors
    /// When it is not one change, or its rules cannot be read.
    pub fn take(&mut self, change: Change, ctx: &Context) -> Result<()> {
        let Change { rules, preset, id, rule, off, merchant, category, score } = change;
        let kinds = [rules.is_some() || preset.is_some(), id.is_some(), merchant.is_some(), category.is_some()];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            return Err(reject(
                "a message is a rule set (`rules`, `preset`), a rule (`id`), or a score (`merchant` or `category`): one of them",
            ));
        }
        let put = |scores: &mut Broadcast<String, f64>, name: String| match score {
            Some(score) => scores.put(name, score, ctx),
            None => scores.remove(&name, ctx),
        };
        match (id, merchant, category) {
            (Some(id), ..) => return self.take_rule(id, rule, off == Some(true), ctx),
            (_, Some(merchant), _) => put(&mut self.merchants, merchant),
            (.., Some(category)) => put(&mut self.categories, category),
            _ => {
                let preset = preset.filter(|preset| preset != CONFIG || rules.is_some());
                let version = Version::read(Kept { since: ctx.time(), preset, rules }).map_err(reject)?;
                self.sets.put(SET.to_owned(), version, ctx);
            }
        }
        Ok(())
    }

    fn take_rule(&mut self, id: String, rule: Option<Value>, off: bool, ctx: &Context) -> Result<()> {
        let since = ctx.time();
        match rule {
            Some(_) if off => return Err(reject(format!("rule `{id}` is given and switched off in one message"))),
            Some(rule) => {
                let rules = Some(named(&rule, &id).map_err(reject)?);
                let version = Version::read(Kept { since, preset: None, rules }).map_err(reject)?;
                self.rules.put(id, version, ctx);
            }
            None if off => self.rules.put(id, Version { kept: Kept { since, preset: None, rules: None }, rules: None }, ctx),
            None => self.rules.remove(&id, ctx),
        }
        Ok(())
    }

    /// The rules that hold for a payment of a time: the newest set or else the configuration's, and over it single rules that came after it.
    pub fn at<'r>(&'r self, config: &'r Rules, time: Millis) -> View<'r> {
        let set = self.sets.get(SET, time);
        let base = set.and_then(|set| set.rules.as_ref()).unwrap_or(config);
        let since = set.map_or(Millis::MIN, |set| set.kept.since);
        let mut changes: Vec<(&str, &Version)> = Vec::new();
        changes.extend(self.rules.iter(time).filter(|(_, version)| version.kept.since >= since).map(|(name, one)| (name.as_str(), one)));
        if changes.is_empty() {
            return View { base: &base.list, changed: Vec::new(), needs: Cow::Borrowed(&base.needs) };
        }
        let mut changed: Vec<&Rule> = Vec::with_capacity(base.list.len() + changes.len());
        for rule in &base.list {
            match changes.iter().position(|(name, _)| *name == rule.name) {
                None => changed.push(rule),
                Some(at) => changed.extend(changes.remove(at).1.one()),
            }
        }
        changed.extend(changes.iter().filter_map(|(_, version)| version.one()));
        let needs = Cow::Owned(Needs::of(changed.iter().copied()));
        View { base: &[], changed, needs }
    }

    /// The score that messages give a merchant.
    pub fn merchant(&self, name: &str, time: Millis) -> Option<f64> {
        self.merchants.get(name, time).copied()
    }

    /// The score that messages give a category.
    pub fn category(&self, name: &str, time: Millis) -> Option<f64> {
        self.categories.get(name, time).copied()
    }
}

impl Version {
    /// Reads what is written.
    fn read(kept: Kept) -> Result<Version, String> {
        let rules = match (&kept.preset, &kept.rules) {
            (None, None) => None,
            (preset, rules) => Some(read(preset.as_deref(), rules.as_ref())?),
        };
        Ok(Version { kept, rules })
    }

    /// The rule of a version that is one rule; none where it is off.
    fn one(&self) -> Option<&Rule> {
        self.rules.as_ref()?.list.first()
    }
}

fn read(preset: Option<&str>, rules: Option<&Value>) -> Result<Rules, String> {
    let preset = preset.map(Preset::named).transpose()?;
    let written: Vec<Written> = match rules {
        None => Vec::new(),
        Some(rules) => Raw::new(rules.bytes()).decode().map_err(|_| "rules are a list of tables, each with settings by name".to_owned())?,
    };
    Rules::read(preset, written).map_err(|misfits| sentence(&misfits, |misfit| misfit.why.clone()))
}

/// All that is wrong with rules, in one sentence.
pub fn sentence(misfits: &[Misfit], say: impl Fn(&Misfit) -> String) -> String {
    misfits.iter().map(say).collect::<Vec<_>>().join("; ")
}

/// A list of one rule that has its name in it.
fn named(rule: &Value, id: &str) -> Result<Value, String> {
    let wrong = |_| format!("rule `{id}`: a rule is a table of settings by name");
    let mut reader = Reader::new(rule.bytes());
    let settings = reader.map().map_err(wrong)?;
    let mut bytes = Vec::new();
    write::array(&mut bytes, 1);
    write::map(&mut bytes, settings + 1);
    write::str(&mut bytes, "name");
    write::str(&mut bytes, id);
    for _ in 0..settings {
        let name = reader.value().map_err(wrong)?;
        if Reader::new(name).str() == Ok("name") {
            return Err(format!("rule `{id}` is named by its `id`: leave out its `name`"));
        }
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(reader.value().map_err(wrong)?);
    }
    <Value as Field>::decode(&mut Reader::new(&bytes)).map_err(|wrong| wrong.reason())
}

// === as a value of the broadcast state ===

impl Encode for Version {
    fn encode(&self, out: &mut Vec<u8>) {
        self.kept.encode(out);
    }
}

impl<'a> Field<'a> for Version {
    const KIND: &'static str = "array";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        // Written by a build that knew more: going on without a rule would be worse than to stop.
        Version::read(Kept::decode(reader)?).map_err(|_| Malformed::Range("rules that this build can read").into())
    }
}
