//! Patterns and words that come by the broadcast input, each from the time of its message on.
//!
//! A message that cannot be read changes nothing.

use std::collections::BTreeMap;

use sangam_sdk::*;

use crate::settings::{Rule, Words};

/// A message: a pattern, or the words of one sign.
#[event]
pub struct Change {
    /// The name of a pattern.
    pub pattern: Option<String>,
    /// That pattern with its route; without it, what the configuration says holds again.
    pub rule: Option<Written<Rule>>,
    /// Switches that pattern off.
    pub off: Option<bool>,
    /// `positive` or `negative`.
    pub words: Option<String>,
    /// Those words; without them, what the configuration says holds again.
    pub list: Option<Vec<String>>,
}

/// What messages have said.
#[state]
pub struct Ruling {
    /// Patterns by name.
    pub patterns: Broadcast<String, Version>,
    /// Words by sign.
    pub words: Broadcast<String, Vec<String>>,
}

/// What a message has said of a pattern.
#[state]
pub struct Version {
    /// None where it is off.
    rule: Option<Written<Rule>>,
}

impl Ruling {
    /// Takes a message in.
    ///
    /// # Errors
    /// When it is not one change, or cannot be read.
    pub fn take(&mut self, change: Change, ctx: &Context) -> Result<()> {
        match change {
            Change { pattern: Some(name), rule, off, words: None, list: None } => self.take_pattern(name, rule, off == Some(true), ctx),
            Change { pattern: None, rule: None, off: None, words: Some(sign), list } => self.take_words(sign, list, ctx),
            _ => Err(reject("a message is a pattern (`pattern`, with `rule` or `off`) or words (`words`, with `list`), one of them")),
        }
    }

    fn take_pattern(&mut self, name: String, rule: Option<Written<Rule>>, off: bool, ctx: &Context) -> Result<()> {
        match rule {
            Some(_) if off => return Err(reject(format!("the pattern `{name}` is given and switched off in one message"))),
            Some(rule) => self.patterns.put(name, Version { rule: Some(rule) }, ctx),
            None if off => self.patterns.put(name, Version::default(), ctx),
            None => self.patterns.remove(&name, ctx),
        }
        Ok(())
    }

    fn take_words(&mut self, sign: String, list: Option<Vec<String>>, ctx: &Context) -> Result<()> {
        if sign != "positive" && sign != "negative" {
            return Err(reject(format!("unknown words `{sign}`; valid: positive, negative")));
        }
        match list {
            Some(list) => self.words.put(sign, list.iter().map(|word| word.to_lowercase()).collect(), ctx),
            None => self.words.remove(&sign, ctx),
        }
        Ok(())
    }

    /// The patterns that hold at a time: those of the configuration, and over them those of messages.
    pub fn rules<'r>(&'r self, config: &'r BTreeMap<String, Rule>, time: Millis) -> BTreeMap<&'r str, &'r Rule> {
        let mut rules: BTreeMap<_, _> = config.iter().map(|(name, rule)| (name.as_str(), rule)).collect();
        for (name, version) in self.patterns.iter(time) {
            match &version.rule {
                Some(rule) => rules.insert(name, rule),
                None => rules.remove(name.as_str()),
            };
        }
        rules
    }

    /// The good words and the bad ones at a time.
    pub fn words<'r>(&'r self, config: &'r Words, time: Millis) -> (&'r [String], &'r [String]) {
        let said = |sign| self.words.get(sign, time).map(Vec::as_slice);
        (said("positive").unwrap_or(&config.positive), said("negative").unwrap_or(&config.negative))
    }
}
