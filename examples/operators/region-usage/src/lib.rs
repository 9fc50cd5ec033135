//! Gathers samples that processes take of themselves (`sangam.metrics`) into what each region has used, hour by hour.

use std::collections::BTreeMap;

use sangam_sdk::*;

/// Processes of a region in an hour that are told apart.
const INSTANCES_MAX: usize = 10_000;

/// A sample of a metric.
#[event]
pub struct Sample<'a> {
    /// Where the process runs.
    pub region: &'a str,
    /// Which process.
    pub instance: &'a str,
    /// Of what.
    pub metric: &'a str,
    /// Its value.
    pub value: f64,
}

/// What an hour has seen.
#[state]
pub struct RegionUsage {
    region: String,
    /// By process.
    instances: BTreeMap<String, Held>,
    instance_hours: f64,
    network_gb: f64,
}

/// What a process holds, by its newest sample.
#[state]
pub struct Held {
    storage_gb: f64,
    partitions: f64,
}

/// What a region has used in an hour.
#[event]
pub struct Usage {
    /// The region.
    pub region: String,
    /// Start of the hour.
    pub timestamp: Millis,
    /// Processes that ran in it.
    pub instances: u64,
    /// Hours of all of them.
    pub instance_hours: f64,
    /// GB that they store.
    pub storage_gb: f64,
    /// GB that went over the network.
    pub network_gb: f64,
    /// Partitions that they read.
    pub partitions: f64,
}

#[operator(key = "region", window = "1h")]
impl RegionUsage {
    /// Takes a sample; those of other metrics say nothing here.
    pub fn add(&mut self, sample: Sample<'_>) -> Result<()> {
        self.region = sample.region.to_owned();
        if !self.instances.contains_key(sample.instance) && self.instances.len() >= INSTANCES_MAX {
            return Err(reject(format!("more than {INSTANCES_MAX} processes in `{}`", sample.region)));
        }
        let held = self.instances.entry(sample.instance.to_owned()).or_default();
        match sample.metric {
            "instance_hours" => self.instance_hours += sample.value,
            "network_gb" => self.network_gb += sample.value,
            "storage_gb" => held.storage_gb = sample.value,
            "partitions" => held.partitions = sample.value,
            _ => {}
        }
        Ok(())
    }

    /// What it adds up to.
    pub fn close(self, w: Window) -> Usage {
        let sum = |of: fn(&Held) -> f64| self.instances.values().map(of).sum();
        Usage {
            timestamp: w.start,
            instances: self.instances.len() as u64,
            instance_hours: self.instance_hours,
            storage_gb: sum(|held| held.storage_gb),
            network_gb: self.network_gb,
            partitions: sum(|held| held.partitions),
            region: self.region,
        }
    }
}
