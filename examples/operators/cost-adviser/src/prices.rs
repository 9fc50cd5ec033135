//! What is used, and what it costs.

use sangam_sdk::*;
use serde::Deserialize;

use crate::Usage;

/// The prices of a region, rupees.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// For an hour of an instance.
    pub compute_hour: Number,
    /// For a GB that is stored for a month.
    pub storage_gb_month: Number,
    /// For a GB over the network.
    pub network_gb: Number,
    /// For a partition, for a month.
    pub partition_month: Number,
}

/// What a region has used in a month. Stored and partitions are means of the samples, so that a month costs what it held on average.
#[state]
pub struct Used {
    samples: u64,
    instance_hours: f64,
    storage_gb: f64,
    network_gb: f64,
    partitions: f64,
}

impl Used {
    /// Counts a sample.
    pub fn take(&mut self, usage: &Usage<'_>) {
        self.samples += 1;
        self.instance_hours += usage.instance_hours;
        self.storage_gb += usage.storage_gb;
        self.network_gb += usage.network_gb;
        self.partitions += usage.partitions;
    }

    /// Takes in what came later.
    pub fn merge(&mut self, later: Used) {
        self.samples += later.samples;
        self.instance_hours += later.instance_hours;
        self.storage_gb += later.storage_gb;
        self.network_gb += later.network_gb;
        self.partitions += later.partitions;
    }
}

/// What that costs, rupees.
pub struct Costs {
    /// All instance hours.
    pub compute: f64,
    /// Stored.
    pub storage: f64,
    /// Over the network.
    pub network: f64,
    /// Partitions.
    pub partitions: f64,
}

impl Costs {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.compute + self.storage + self.network + self.partitions
    }
}

impl Prices {
    /// What something costs by these prices.
    pub fn of(&self, used: &Used) -> Costs {
        let mean = |sum: f64| sum / used.samples.max(1) as f64;
        Costs {
            compute: used.instance_hours * *self.compute_hour,
            storage: mean(used.storage_gb) * *self.storage_gb_month,
            network: used.network_gb * *self.network_gb,
            partitions: mean(used.partitions) * *self.partition_month,
        }
    }
}

/// Without what a sum of floats leaves behind, as in 8310.000000000001.
pub fn rupees(amount: f64) -> f64 {
    (amount * 1e8).round() / 1e8
}
