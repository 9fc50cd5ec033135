//! The configuration: prices, and when a saving is worth telling.

use std::collections::BTreeMap;

use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;
use serde::Deserialize;

use crate::Advice;
use crate::prices::{Costs, Prices, Used, rupees};

/// The configuration.
#[config]
pub struct Settings {
    /// A month.
    pub window: WindowSpec,
    /// Prices by region.
    pub prices: BTreeMap<String, Prices>,
    /// The published figure bills so many hours of compute a region.
    pub published_hours: Number,
    /// What is stored at a lower price.
    pub tiering: Tiering,
    /// Which savings are told.
    pub savings_above: Levels,
}

/// What is stored at a lower price.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiering {
    /// The part that stays where it is.
    hot: Number,
    /// The price of the rest, as a part of the price.
    rest_price: Number,
}

/// From above which saving on it has which priority, rupees a month; what is not above the lowest is not told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    high: Number,
    medium: Number,
    low: Number,
}

impl Settings {
    /// What would cost less.
    pub fn advice(&self, month: Millis, region: &str, used: &Used, costs: &Costs) -> Vec<Advice> {
        let elsewhere = self.prices.iter().map(|(name, prices)| (prices.of(used).total(), name));
        // Of equal ones the first by name.
        let cheapest = elsewhere.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(_, name)| *name != region);
        let moving = cheapest.map(|(total, name)| ("cheapest_region", Some(name.clone()), costs.total() - total));
        let cold = (1.0 - *self.tiering.hot) * (1.0 - *self.tiering.rest_price);
        let tiering = Some(("storage_tiering", None, costs.storage * cold));
        let advice = [moving, tiering].into_iter().flatten().filter_map(|(advice, to, saving)| {
            let saving = rupees(saving);
            let priority = self.savings_above.priority(saving)?.to_owned();
            Some(Advice { month, region: region.to_owned(), advice: advice.to_owned(), to, saving, priority })
        });
        advice.collect()
    }
}

impl Levels {
    fn priority(&self, saving: f64) -> Option<&'static str> {
        let levels = [("high", self.high), ("medium", self.medium), ("low", self.low)];
        levels.into_iter().find(|(_, above)| saving > **above).map(|(name, _)| name)
    }
}
