//! What it costs until an operator runs, and what one that waits takes up.

use crate::{Place, median};
use anyhow::Context;
use sangam::sandbox::{Limits, Sandbox, SandboxOptions};
use std::time::Instant;

/// Instances that are kept at a time to see what one takes up.
const INSTANCES: usize = 900;

/// An empty configuration.
const NO_CONFIG: &[u8] = &[0x80];

/// Measures a compilation, a load from the cache, a start, and the memory of instances that wait.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let wasm = std::fs::read(place.guests.join("w2.wasm"))?;
    let cache = tempfile::tempdir()?;
    let options = SandboxOptions { cache_dir: Some(cache.path().to_owned()), ..SandboxOptions::default() };
    let millis = |start: Instant| start.elapsed().as_secs_f64() * 1e3;

    let sandbox = Sandbox::new(options.clone())?;
    let start = Instant::now();
    sandbox.load(&wasm)?;
    println!("RESULT bench=compile wasm_bytes={} wall_ms={:.1}", wasm.len(), millis(start));

    let mut times = Vec::new();
    for _ in 0..9 {
        let sandbox = Sandbox::new(options.clone())?;
        let start = Instant::now();
        sandbox.load(&wasm)?;
        times.push(millis(start));
    }
    println!("RESULT bench=cached_load wall_ms={:.2}", median(times));

    let plugin = sandbox.load(&wasm)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        drop(plugin.start(NO_CONFIG, &Limits::default())?);
        times.push(millis(start) * 1e3);
    }
    println!("RESULT bench=start wall_us={:.0}", median(times));

    let before = resident_kib()?;
    let instances: Result<Vec<_>, _> = (0..INSTANCES).map(|_| plugin.start(NO_CONFIG, &Limits::default())).collect();
    let instances = instances?;
    let each = (resident_kib()? - before) as f64 / instances.len() as f64;
    println!("RESULT bench=idle_instance instances={} resident_kib={each:.0}", instances.len());
    Ok(())
}

/// Memory of this process that is in RAM.
fn resident_kib() -> anyhow::Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
