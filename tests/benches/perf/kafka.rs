//! From Kafka to Kafka on a real broker, as fast as it goes; only where `SANGAM_TEST_KAFKA` names one.

use crate::{Ask, Place};
use anyhow::Context;
use sangam::broker::{Broker, KafkaBroker, KafkaOptions, OutRecord};
use sangam::pipeline::{Control, RunOptions};
use sangam::store::Changes;
use sangam_tests::bench::frames::Frames;
use sangam_tests::bench::generate::generate;
use sangam_tests::bench::{Workload, cpu_ns, engine};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The variable that names the broker, `host:port`.
const BROKER: &str = "SANGAM_TEST_KAFKA";

/// Longest wait for the topic to be read.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often the clock looks how far the run is.
const LOOK: Duration = Duration::from_millis(1);

/// Runs W1 and W2 from a topic to a topic, with commits at the default interval, from the first event to the last one; joining the group is not counted.
pub fn run(ask: &Ask, place: &Place) -> anyhow::Result<()> {
    let Ok(address) = std::env::var(BROKER) else {
        println!("kafka: {BROKER} names no broker, so nothing is measured");
        return Ok(());
    };
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::connect(KafkaOptions::new(address))?);
    for workload in [Workload::W1, Workload::W2] {
        // A name of its own for each run: topics and consumer groups of the last one are still there.
        let name = format!("{}-{}", workload.name().to_lowercase(), std::process::id());
        let [input, output] = [format!("bench-in-{name}"), format!("bench-out-{name}")];
        broker.create(&input, 1)?;
        broker.create(&output, 1)?;
        fill(broker.as_ref(), &input, &generate(workload.events(), ask.events))?;
        let mut pipeline = engine::pipeline(workload, "bench", [&input, &output]);
        pipeline.name = format!("bench-{name}");
        let mut supervisor = engine::supervisor(pipeline, &place.plugins, &broker, RunOptions::default())?;
        let metrics = supervisor.topology.operators.first().context("no operator")?.metrics.clone();
        let control = Control::default();
        let told = control.clone();
        let run = std::thread::spawn(move || supervisor.run(&told));
        let until = Instant::now() + PATIENCE;
        let reached = |events: u64| {
            while metrics.events_in.get() < events && !run.is_finished() && Instant::now() < until {
                std::thread::sleep(LOOK);
            }
        };
        reached(1);
        let (wall, cpu) = (Instant::now(), cpu_ns());
        reached(ask.events as u64);
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), (cpu_ns() - cpu) as f64);
        control.stop();
        run.join().map_err(|_| anyhow::anyhow!("the run has panicked"))??;
        let (events, outputs) = (metrics.events_in.get(), metrics.events_out.get());
        anyhow::ensure!(events == ask.events as u64, "{events} of {} events came from the topic", ask.events);
        let (eps, cpu_ns) = (events as f64 / wall, cpu / events as f64);
        println!("RESULT bench=kafka workload={} events={events} outputs={outputs} eps={eps:.0} cpu_ns={cpu_ns:.0}", workload.name());
    }
    Ok(())
}

/// Writes all records to a topic.
fn fill(broker: &dyn Broker, topic: &str, frames: &Frames) -> anyhow::Result<()> {
    let mut sink = broker.sink()?;
    let mut changes = Changes::default();
    for record in frames.iter() {
        let record = OutRecord { topic, partition: 0, key: None, value: Some(record), headers: &[], time: 0 };
        sink.write(&record, &mut changes)?;
    }
    sink.flush(&mut changes)?;
    sink.settled(true);
    Ok(())
}
