//! What an event costs, and what comes around it: `scripts/bench` builds what is needed and runs this.
//!
//! `perf [WHAT...] [--events N] [--rounds N] [--batch N] [--users N] [--commit MS]`, where WHAT is `w1` to `w4` (a workload on the engine and as a native loop),
//! `batch`, `start`, `swap`, `delivered`, `kafka`, `latency` or `restart` (the last three, and one half of `delivered`, on a real broker);
//! without WHAT it is all of them. `systems`, or `s1`, `s2`, `s5`, `s6`, `s7`, `s10`, `s12`, are the example systems, which are only run when
//! they are named. Each result is a line that starts with `RESULT`.

mod batches;
mod delivered;
mod kafka;
mod starting;
mod swap;
mod systems;
mod workloads;

use anyhow::{Context, bail};
use sangam::pipeline::Plugins;
use sangam_tests::bench::engine;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What to run, and how much of it.
struct Ask {
    what: Vec<String>,
    events: usize,
    rounds: usize,
    batch: Option<usize>,
    users: usize,
    /// How often the example systems commit, where it is not as their pipelines say.
    commit: Option<Duration>,
}

/// What all benchmarks need.
struct Place {
    guests: PathBuf,
    plugins: Arc<Plugins>,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let ask = Ask::read(std::env::args().skip(1))?;
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    let cache = tempfile::tempdir()?;
    let place = Place { plugins: engine::plugins(&guests, cache.path())?, guests };
    workloads::run(&ask, &place)?;
    systems::run(&ask, &place)?;
    if ask.wants("batch") {
        batches::run(&place)?;
    }
    if ask.wants("start") {
        starting::run(&place)?;
    }
    if ask.wants("swap") {
        swap::run(&place)?;
    }
    if ask.wants("delivered") {
        delivered::run(&ask)?;
    }
    if ask.wants("kafka") {
        kafka::run(&ask, &place)?;
    }
    if ask.wants("latency") {
        kafka::latencies(&ask, &place)?;
    }
    if ask.wants("restart") {
        kafka::restarts(&ask, &place)?;
    }
    Ok(())
}

impl Ask {
    fn read(mut args: impl Iterator<Item = String>) -> anyhow::Result<Ask> {
        let mut ask = Ask { what: Vec::new(), events: 1_000_000, rounds: 5, batch: None, users: 1_000_000, commit: None };
        while let Some(arg) = args.next() {
            let mut number = || args.next().context("a number is missing")?.parse::<usize>().context("not a number");
            match arg.as_str() {
                "--events" => ask.events = number()?,
                "--rounds" => ask.rounds = number()?,
                "--batch" => ask.batch = Some(number()?),
                "--users" => ask.users = number()?,
                "--commit" => ask.commit = Some(Duration::from_millis(number()? as u64)),
                // Cargo says this to every benchmark.
                "--bench" => {}
                option if option.starts_with('-') => bail!("there is no option `{option}`"),
                what => ask.what.push(what.to_owned()),
            }
        }
        Ok(ask)
    }

    fn wants(&self, what: &str) -> bool {
        self.what.is_empty() || self.what.iter().any(|asked| asked.eq_ignore_ascii_case(what))
    }
}

/// The middle one.
fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}
