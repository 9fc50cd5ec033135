//! How long a new build holds the stream up: the file is replaced in the watched folder while the stream runs over 100 000 keys.

use crate::Place;
use anyhow::Context;
use sangam::pipeline::{Control, Plugins, Reloader};
use sangam_tests::bench::generate::generate;
use sangam_tests::bench::{Workload, engine};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of which the stream is made, over and over.
const EVENTS: usize = 500_000;

/// New builds that are swapped in.
const SWAPS: u8 = 5;

/// How long a new build may take from its file to the swap.
const PATIENCE: Duration = Duration::from_secs(60);

/// Swaps builds of W3 under load and prints how long each held the stream up.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wasm = std::fs::read(place.guests.join("w3.wasm"))?;
    let file = folder.path().join("w3.wasm");
    std::fs::write(&file, &wasm)?;
    let plugins = Arc::new(Plugins::new(place.plugins.sandbox().clone(), folder.path()));
    let frames = Arc::new(generate(Workload::W3.events(), EVENTS));
    let mut supervisor = engine::endless(Workload::W3, &frames, &plugins)?;
    let reloader = Reloader::start(plugins, &supervisor.pipeline, &supervisor.topology)?;
    let builds = reloader.builds();
    supervisor.reloader = Some(reloader);
    let control = Control::default();
    let stop = control.clone();
    let runner = std::thread::spawn(move || supervisor.run(&control));
    let swapped = || builds.lock().get("w3").and_then(|build| build.swapped);
    for swap in 1..=SWAPS {
        let before = swapped();
        replace(&file, &build(&wasm, swap))?;
        let start = Instant::now();
        while swapped() == before && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (_, pause) = swapped().filter(|_| swapped() != before).context("the new build was not taken")?;
        let (pause, whole) = (pause.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e3);
        println!("RESULT bench=swap swap={swap} pause_ms={pause:.1} file_to_swap_ms={whole:.0}");
    }
    stop.stop();
    runner.join().map_err(|_| anyhow::anyhow!("the pipeline panicked"))??;
    Ok(())
}

/// Another build of the same module: it differs in a custom section.
fn build(wasm: &[u8], number: u8) -> Vec<u8> {
    let section = [0, 7, 5, b'b', b'u', b'i', b'l', b'd', number];
    [wasm, &section].concat()
}

/// Puts a file in the place of another, whole.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::rename(new, file)
}
