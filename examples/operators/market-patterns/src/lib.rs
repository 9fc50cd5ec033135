//! Looks for sequences of a symbol's trades, orders and news, and says how sure it is of each.
//!
//! Which sequences, where their alerts go and what makes news good or bad is data: from the configuration, or from a broadcast input while
//! the stream runs. The matching is the SDK's.

mod confidence;
mod event;
mod news;
mod ruling;
mod settings;

use sangam_sdk::pattern::{Found, Match, Several};
use sangam_sdk::*;

pub use event::{Alert, Kept, Market};
pub use ruling::{Change, Ruling};
pub use settings::MarketPatterns;
use settings::{Route, Rule};

/// What is remembered for a symbol.
#[state]
pub struct Open {
    /// Events that wait for the watermark, and open matches.
    pub matches: Several<Value>,
}

/// Where alerts leave.
#[outputs]
pub enum Out {
    /// To the regulator.
    Regulator(Output<Alert>),
    /// To market surveillance.
    Surveillance(Output<Alert>),
    /// To the trading desks.
    Desks(Output<Alert>),
    /// To risk management.
    Risk(Output<Alert>),
}

#[operator(key = "symbol")]
impl MarketPatterns {
    /// Takes in a change of patterns or words.
    pub fn on_broadcast(&self, change: Change, ruling: &mut Ruling, ctx: &Context) -> Result<()> {
        ruling.take(change, ctx)
    }

    /// Takes an event in; it waits until the watermark has reached its time.
    pub fn on_event(&self, event: Market<'_>, open: &mut Open, ruling: &Ruling, ctx: &mut Context) -> Result<()> {
        event.check()?;
        let sentiment = event.news_text.filter(|_| event.kind == "news").map(|text| {
            let (positive, negative) = ruling.words(&self.words, ctx.time());
            news::sign(text, positive, negative).to_owned()
        });
        open.matches.process(Value::from(&event.kept(sentiment, ctx.time())), ctx)
    }

    /// Emits what has been found.
    pub fn on_timer(&self, timer: Timer, open: &mut Open, ruling: &Ruling, ctx: &mut Context) -> Result<Vec<Out>> {
        let rules = ruling.rules(&self.patterns, timer.at());
        let patterns: Vec<_> = rules.iter().map(|(name, rule)| Ok((*name, rule.pattern()?))).collect::<Result<_>>()?;
        let found = open.matches.advance(patterns, timer, ctx)?;
        let matches = found.iter().filter_map(|(name, found)| match found {
            Found::Match(found) => Some((rules.get(name)?, *name, found)),
            Found::TimedOut(_) => None,
        });
        matches.map(|(rule, name, found)| self.alert(rule, name, found, ctx)).collect()
    }
}

impl MarketPatterns {
    fn alert(&self, rule: &Rule, name: &str, found: &Match<Value>, ctx: &Context) -> Result<Out> {
        let events = found.iter().map(|(.., event)| Ok(event.decode::<Kept>()?.event_id)).collect::<Result<Vec<_>>>()?;
        let confidence = self.confidence.of(events.len(), found.time() - found.started(), rule.bonus);
        let alert = Alert {
            pattern: name.to_owned(),
            symbol: ctx.key().to_owned(),
            events,
            started: found.started(),
            detected: found.time(),
            confidence,
        };
        let alert = Output::new(alert).at(found.time());
        Ok(match rule.route {
            Route::Regulator => Out::Regulator(alert),
            Route::Surveillance => Out::Surveillance(alert),
            Route::Desks => Out::Desks(alert),
            Route::Risk => Out::Risk(alert),
        })
    }
}
