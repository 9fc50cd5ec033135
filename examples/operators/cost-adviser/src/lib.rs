//! Says what a month has cost in each region, and where it would cost less. Prices and rules are the configuration.

mod prices;
mod settings;

use std::collections::BTreeMap;

use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;

use prices::{Costs, Used, rupees};
pub use settings::{Settings, Tiering};

/// What a region has used in an hour.
#[event]
pub struct Usage<'a> {
    /// The region.
    pub region: &'a str,
    /// Hours of all its instances.
    pub instance_hours: f64,
    /// GB that are stored.
    pub storage_gb: f64,
    /// GB that went over the network.
    pub network_gb: f64,
    /// Partitions of its topics.
    pub partitions: f64,
}

/// What a month has seen.
#[state]
pub struct CostAdviser {
    regions: BTreeMap<String, Used>,
}

/// What a region has cost.
#[event]
pub struct Bill {
    /// Start of the month.
    pub month: Millis,
    /// The region.
    pub region: String,
    /// All instance hours, rupees.
    pub compute: f64,
    /// Stored, rupees.
    pub storage: f64,
    /// Over the network, rupees.
    pub network: f64,
    /// Partitions, rupees.
    pub partitions: f64,
    /// All of it.
    pub total: f64,
    /// The published figure, which bills one instance: `published_hours` of it.
    pub published_total: f64,
}

/// What all regions have cost.
#[event]
pub struct Total {
    /// Start of the month.
    pub month: Millis,
    /// All instance hours and the rest, rupees.
    pub total: f64,
    /// The published figure.
    pub published_total: f64,
}

/// Something that would cost less.
#[event]
pub struct Advice {
    /// Start of the month.
    pub month: Millis,
    /// Whose workload.
    pub region: String,
    /// `cheapest_region` or `storage_tiering`.
    pub advice: String,
    /// The region to move to.
    pub to: Option<String>,
    /// Rupees a month.
    pub saving: f64,
    /// `high`, `medium`, `low`.
    pub priority: String,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// What a region has cost.
    Bills(Bill),
    /// What all have cost.
    Totals(Total),
    /// What would cost less.
    Advice(Advice),
}

#[operator(key = "$all", window = configured)]
impl CostAdviser {
    /// Which windows.
    pub fn window(settings: &Settings) -> &WindowSpec {
        &settings.window
    }

    /// Counts an hour of a region.
    pub fn add(&mut self, usage: Usage<'_>, settings: &Settings) -> Result<()> {
        if !settings.prices.contains_key(usage.region) {
            let known = settings.prices.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(reject(format!("there are no prices for the region `{}`; there are: {known}", usage.region)));
        }
        self.regions.entry(usage.region.to_owned()).or_default().take(&usage);
        Ok(())
    }

    /// Takes in what came later.
    pub fn merge(&mut self, later: Self) {
        for (region, used) in later.regions {
            self.regions.entry(region).or_default().merge(used);
        }
    }

    /// Bills and advice.
    pub fn close(self, w: Window, settings: &Settings) -> Vec<Out> {
        let mut out = Vec::new();
        let (mut total, mut published) = (0.0, 0.0);
        for (region, used) in &self.regions {
            let Some(prices) = settings.prices.get(region) else { continue };
            let costs = prices.of(used);
            let compute_published = *prices.compute_hour * *settings.published_hours;
            let published_total = costs.total() - costs.compute + compute_published;
            total += costs.total();
            published += published_total;
            out.push(Out::Bills(bill(w.start, region, &costs, published_total)));
            out.extend(settings.advice(w.start, region, used, &costs).into_iter().map(Out::Advice));
        }
        out.push(Out::Totals(Total { month: w.start, total: rupees(total), published_total: rupees(published) }));
        out
    }
}

fn bill(month: Millis, region: &str, costs: &Costs, published_total: f64) -> Bill {
    Bill {
        month,
        region: region.to_owned(),
        compute: rupees(costs.compute),
        storage: rupees(costs.storage),
        network: rupees(costs.network),
        partitions: rupees(costs.partitions),
        total: rupees(costs.total()),
        published_total: rupees(published_total),
    }
}
