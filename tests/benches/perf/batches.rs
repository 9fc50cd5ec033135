//! What a batch costs by its size: one stage, its guest, the same events again and again.

use crate::{Place, median};
use anyhow::Context;
use sangam::events::{Events, Record};
use sangam::route::Scanner;
use sangam::stage::{Outputs, Stage, StageSpec};
use sangam::store::{MemoryStore, Store};
use sangam_tests::bench::{Workload, cpu_ns, engine, generate};
use std::sync::Arc;

/// Events that are processed for each size.
const EVENTS: usize = 200_000;

/// Measures W1, which keeps nothing, and W3, which takes the state of each key to the guest and back.
pub fn run(place: &Place) -> anyhow::Result<()> {
    for workload in [Workload::W1, Workload::W3] {
        for size in [1, 16, 256, 4096] {
            let mut stage = stage(place, workload)?;
            let events = scanned(place, workload, size)?;
            let mut outputs = Outputs::new(1);
            let rounds = (EVENTS / size).max(20);
            let mut times = Vec::new();
            for _ in 0..5 {
                let start = cpu_ns();
                for _ in 0..rounds {
                    outputs.clear();
                    stage.process(&events, 0, sangam::time::WATERMARK_MIN, &mut outputs)?;
                }
                times.push((cpu_ns() - start) as f64 / rounds as f64);
            }
            let batch = median(times);
            println!("RESULT bench=batch operator={} size={size} batch_ns={batch:.0} event_ns={:.0}", workload.name(), batch / size as f64);
        }
    }
    Ok(())
}

/// The workload's operator as the engine would run it.
fn stage(place: &Place, workload: Workload) -> anyhow::Result<Stage> {
    let supervisor = engine::idle(workload, &place.plugins)?;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let spec = supervisor.topology.stage_spec(0, &store, &supervisor.clock).context("no operator")?;
    let spec = StageSpec { batch: 4096, captures: None, ..spec };
    Ok(Stage::new(spec, 0)?)
}

/// Events as they come to a stage, all with the time of the first.
fn scanned(place: &Place, workload: Workload, count: usize) -> anyhow::Result<Events> {
    let supervisor = engine::idle(workload, &place.plugins)?;
    let stream = supervisor.topology.streams.first().context("no stream")?;
    let mut events = Events::default();
    for record in generate::generate(workload.events(), count).iter() {
        events.push(&Record { value: Some(record), ..Record::default() });
    }
    let mut scanner = Scanner::new(&stream.wants, &[]);
    scanner.start(&mut events);
    for i in 0..count {
        scanner.scan(&mut events, i).map_err(anyhow::Error::msg)?;
    }
    Ok(events)
}
