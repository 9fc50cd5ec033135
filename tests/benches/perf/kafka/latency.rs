//! How long an event takes from topic to topic, seen from outside: from when it was due to be written to when a reader of committed records has
//! what came of it.

use super::{COMMIT, GUARANTEES, PATIENCE, engine as at_full_speed, fill, send};
use crate::{Ask, Place};
use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sangam::broker::{Broker, KafkaBroker, KafkaOptions};
use sangam::config::Guarantee;
use sangam::pipeline::{Control, RunOptions};
use sangam_protocol::msgpack::Reader;
use sangam_tests::bench::frames::Frames;
use sangam_tests::bench::generate::generate;
use sangam_tests::bench::{Workload, engine};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// For how long events are written at half the load that can be sustained.
const SECONDS: f64 = 10.0;

/// The first part of it warms everything up and is not counted.
const WARM_UP: f64 = 2.0;

/// Runs W1 under both guarantees, with one and two workers.
///
/// A record that is written late, because the writer was held up, counts from when it was due.
pub fn run(address: &str, ask: &Ask, place: &Place) -> anyhow::Result<()> {
    let frames = Arc::new(generate(Workload::W1.events(), ask.events));
    for workers in [1, 2] {
        for (guarantee, said) in GUARANTEES {
            let full = sustainable(address, &frames, guarantee, workers, place)?;
            let latencies = paced(address, &frames, guarantee, workers, full / 2.0, place)?;
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| percentile(&latencies, share));
            println!(
                "RESULT bench=latency workload=W1 workers={workers} guarantee={said} sustainable_eps={full:.0} eps={:.0} outputs={} \
                 p50_ms={p50:.1} p99_ms={p99:.1} p999_ms={p999:.1}",
                full / 2.0,
                latencies.len()
            );
        }
    }
    Ok(())
}

/// What can be sustained while the writer and the reader of this benchmark run on the same cores: a third of the events per second that the
/// engine processes when everything was written ahead.
fn sustainable(address: &str, frames: &Arc<Frames>, guarantee: Guarantee, workers: u32, place: &Place) -> anyhow::Result<f64> {
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::connect(KafkaOptions::new(address))?);
    let input = format!("bench-ahead-{workers}-{guarantee:?}-{}", std::process::id()).to_lowercase();
    broker.create(&input, workers)?;
    fill(broker.as_ref(), &input, frames, workers)?;
    let (eps, ..) = at_full_speed(&broker, &input, Workload::W1, guarantee, frames.len(), workers, place)?;
    Ok(eps / 3.0)
}

/// Writes events at a rate while the engine runs; returns the latencies of what came out, in milliseconds, in order of size.
fn paced(address: &str, frames: &Arc<Frames>, guarantee: Guarantee, workers: u32, rate: f64, place: &Place) -> anyhow::Result<Vec<f64>> {
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::connect(KafkaOptions::new(address))?);
    let name = format!("bench-paced-{workers}-{guarantee:?}-{}", std::process::id()).to_lowercase();
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    broker.create(&input, workers)?;
    broker.create(&output, workers)?;
    let mut pipeline = engine::pipeline(Workload::W1, "bench", [&input, &output]);
    (pipeline.name, pipeline.guarantee, pipeline.commit_interval) = (name, guarantee, COMMIT);
    pipeline.workers = workers as usize;
    let mut supervisor = engine::supervisor(pipeline, &place.plugins, &broker, RunOptions::default())?;
    let metrics = supervisor.topology.operators.first().context("no operator")?.metrics.clone();
    let control = Control::default();
    let told = control.clone();
    let run = std::thread::spawn(move || supervisor.run(&told));
    let until = Instant::now() + PATIENCE;
    while !control.running() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    let events = frames.len().min((rate * SECONDS) as usize);
    let start = Instant::now() + Duration::from_millis(100);
    let due = move |i: usize| start + Duration::from_secs_f64(i as f64 / rate);
    let written = Arc::new(AtomicBool::new(false));
    let reader = {
        let (address, written) = (address.to_owned(), written.clone());
        std::thread::spawn(move || read(&address, &output, workers, &written))
    };
    write(address, &input, frames, events, workers, due)?;
    while metrics.events_in.get() < events as u64 && !run.is_finished() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    written.store(true, Ordering::SeqCst);
    let seen = reader.join().map_err(|_| anyhow::anyhow!("the reader has panicked"))??;
    control.stop();
    run.join().map_err(|_| anyhow::anyhow!("the run has panicked"))??;
    anyhow::ensure!(seen.len() as u64 == metrics.events_out.get(), "{} of {} outputs were read", seen.len(), metrics.events_out.get());
    let counted = seen.iter().filter(|(i, _)| *i as f64 >= rate * WARM_UP);
    let mut latencies: Vec<f64> = counted.map(|(i, at)| at.saturating_duration_since(due(*i)).as_secs_f64() * 1e3).collect();
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

/// Writes each event when it is due, or as soon after as it can.
fn write(
    address: &str,
    topic: &str,
    frames: &Frames,
    events: usize,
    partitions: u32,
    due: impl Fn(usize) -> Instant,
) -> anyhow::Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", address).set("linger.ms", "1").create()?;
    for i in 0..events {
        let wait = due(i).saturating_duration_since(Instant::now());
        if wait > Duration::from_millis(1) {
            producer.poll(Duration::ZERO);
            std::thread::sleep(wait);
        }
        let partition = (i % partitions as usize) as i32;
        send(&producer, BaseRecord::to(topic).partition(partition).payload(frames.get(i)))?;
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

/// Reads what comes out until nothing more has come for a while after the last event was processed: which event it came of, and when.
fn read(address: &str, topic: &str, partitions: u32, written: &AtomicBool) -> anyhow::Result<Vec<(usize, Instant)>> {
    /// Many commits; what has not come by then does not come.
    const SILENCE: Duration = Duration::from_secs(3);
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", address).set("group.id", topic).set("isolation.level", "read_committed");
    settings.set("fetch.queue.backoff.ms", "10");
    let consumer: BaseConsumer = settings.create()?;
    let mut from = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        from.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    let (mut seen, mut last) = (Vec::new(), Instant::now());
    while !written.load(Ordering::SeqCst) || last.elapsed() < SILENCE {
        let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
        last = Instant::now();
        seen.push((event_of(message?.payload().unwrap_or_default()).context("an output that is none of W1")?, last));
    }
    Ok(seen)
}

/// The number in the id of a payment, by which it can be found again.
fn event_of(output: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(output);
    for _ in 0..reader.map().ok()? {
        if reader.str().ok()? == "transaction_id" {
            return reader.str().ok()?.strip_prefix("txn-")?.parse().ok();
        }
        reader.skip().ok()?;
    }
    None
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()).copied().unwrap_or(f64::NAN)
}
