//! What comes in, what is kept of it, and what goes out.

use sangam_sdk::*;

/// The types of events.
const TYPES: [&str; 5] = ["trade", "order", "news", "price_alert", "volume_spike"];

/// Something that happened on the market.
#[event]
pub struct Market<'a> {
    /// Its name in alerts.
    pub event_id: &'a str,
    /// One of `trade`, `order`, `news`, `price_alert`, `volume_spike`.
    #[event(rename = "type")]
    pub kind: &'a str,
    /// Of a trade.
    pub price: Option<f64>,
    /// Of a trade or a spike.
    pub volume: Option<f64>,
    /// Of news.
    pub news_text: Option<&'a str>,
    /// Of an order: `buy` or `sell`.
    pub order_type: Option<&'a str>,
    /// Of an order.
    pub order_size: Option<f64>,
}

/// The fields that patterns may name, in the order of [`Kept`].
pub const COLUMNS: [&str; 8] = ["event_id", "type", "time", "price", "volume", "sentiment", "order_type", "order_size"];

/// What is kept of an event while a match is open.
#[state]
pub struct Kept {
    /// Its name in alerts.
    pub event_id: String,
    /// Its type.
    pub kind: String,
    /// Its event time.
    pub time: Millis,
    /// Of a trade.
    pub price: Option<f64>,
    /// Of a trade or a spike.
    pub volume: Option<f64>,
    /// Of news: `positive`, `negative` or `neutral`.
    pub sentiment: Option<String>,
    /// Of an order.
    pub order_type: Option<String>,
    /// Of an order.
    pub order_size: Option<f64>,
}

/// A sequence that was found; its time is that of the event that completed it.
#[event]
pub struct Alert {
    /// The pattern's name.
    pub pattern: String,
    /// Of which symbol.
    pub symbol: String,
    /// The events in it, in order.
    pub events: Vec<String>,
    /// Time of the first of them.
    pub started: Millis,
    /// Time of the last of them.
    pub detected: Millis,
    /// Between 0 and 1.
    pub confidence: f64,
}

impl Market<'_> {
    /// Refuses what is no event of a market.
    ///
    /// # Errors
    /// When its type, or an order's side, is not known.
    pub fn check(&self) -> Result<()> {
        if !TYPES.contains(&self.kind) {
            return Err(reject(format!("unknown type `{}`; valid: {}", self.kind, TYPES.join(", "))));
        }
        match self.order_type {
            Some(side) if side != "buy" && side != "sell" => Err(reject(format!("unknown order_type `{side}`; valid: buy, sell"))),
            _ => Ok(()),
        }
    }

    /// What is kept of it.
    pub fn kept(&self, sentiment: Option<String>, time: Millis) -> Kept {
        Kept {
            event_id: self.event_id.to_owned(),
            kind: self.kind.to_owned(),
            time,
            price: self.price,
            volume: self.volume,
            sentiment,
            order_type: self.order_type.map(str::to_owned),
            order_size: self.order_size,
        }
    }
}
