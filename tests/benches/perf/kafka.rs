//! From Kafka to Kafka on a real broker, as fast as it goes; only where `SANGAM_TEST_KAFKA` names one.

mod latency;
mod restart;

use crate::{Ask, Place};
use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sangam::broker::{Broker, KafkaBroker, KafkaOptions, OutRecord};
use sangam::config::Guarantee;
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

/// How often everything is committed, in the engine and in the loop that it is compared with.
pub const COMMIT: Duration = Duration::from_millis(200);

/// W1 passes on one payment of five, and so does the plain loop.
const KEPT_OF: usize = 5;

const GUARANTEES: [(Guarantee, &str); 2] = [(Guarantee::AtLeastOnce, "at_least_once"), (Guarantee::ExactlyOnce, "exactly_once")];

/// Runs W1 and W2 from a topic to a topic under both guarantees and with one and two workers, beside a plain loop that passes as many of the
/// records of W1 on under the same guarantee. Counted is from the first event to the commit of the last one; joining the group is not.
pub fn run(ask: &Ask, place: &Place) -> anyhow::Result<()> {
    let Some(address) = address() else { return Ok(()) };
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::connect(KafkaOptions::new(&address))?);
    for (workload, workers) in [(Workload::W1, 1), (Workload::W1, 2), (Workload::W2, 1), (Workload::W2, 2)] {
        let input = format!("bench-in-{}-{workers}-{}", workload.name().to_lowercase(), std::process::id());
        broker.create(&input, workers)?;
        fill(broker.as_ref(), &input, &generate(workload.events(), ask.events), workers)?;
        for (guarantee, said) in GUARANTEES {
            let compared = (workload, workers) == (Workload::W1, 1);
            let plain = compared.then(|| plain(&address, &input, ask.events, guarantee)).transpose()?;
            let (eps, cpu_ns, outputs) = engine(&broker, &input, workload, guarantee, ask.events, workers, place)?;
            let ratio = plain.map(|plain| format!(" plain_eps={plain:.0} of_plain={:.2}", eps / plain)).unwrap_or_default();
            println!(
                "RESULT bench=kafka workload={} workers={workers} guarantee={said} events={} outputs={outputs} eps={eps:.0} cpu_ns={cpu_ns:.0}{ratio}",
                workload.name(),
                ask.events
            );
        }
    }
    Ok(())
}

/// Measures how long an event takes from topic to topic.
pub fn latencies(ask: &Ask, place: &Place) -> anyhow::Result<()> {
    address().map_or(Ok(()), |address| latency::run(&address, ask, place))
}

/// Measures how soon a run with much state is at work again.
pub fn restarts(ask: &Ask, place: &Place) -> anyhow::Result<()> {
    address().map_or(Ok(()), |address| restart::run(&address, ask, place))
}

/// Where the broker is, if there is one.
pub fn address() -> Option<String> {
    let address = std::env::var(BROKER).ok();
    if address.is_none() {
        println!("kafka: {BROKER} names no broker, so nothing is measured");
    }
    address
}

/// Runs a workload; returns events per second, processor time per event, and outputs.
fn engine(
    broker: &Arc<dyn Broker>,
    input: &str,
    workload: Workload,
    guarantee: Guarantee,
    events: usize,
    workers: u32,
    place: &Place,
) -> anyhow::Result<(f64, f64, u64)> {
    // A name of its own for each run: topics and consumer groups of the last one are still there.
    let name = format!("{input}-{guarantee:?}").to_lowercase();
    let output = format!("{name}-out");
    broker.create(&output, workers)?;
    let mut pipeline = engine::pipeline(workload, "bench", [input, &output]);
    (pipeline.name, pipeline.guarantee, pipeline.commit_interval) = (name, guarantee, COMMIT);
    pipeline.workers = workers as usize;
    let mut supervisor = engine::supervisor(pipeline, &place.plugins, broker, RunOptions::default())?;
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
    reached(events as u64);
    control.stop();
    run.join().map_err(|_| anyhow::anyhow!("the run has panicked"))??;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), (cpu_ns() - cpu) as f64);
    let came = metrics.events_in.get();
    anyhow::ensure!(came == events as u64, "{came} of {events} events came from the topic");
    Ok((came as f64 / wall, cpu / came as f64, metrics.events_out.get()))
}

/// What somebody would write without an engine: one record of five of a topic to another one, committed as often; returns events per second.
fn plain(address: &str, input: &str, events: usize, guarantee: Guarantee) -> anyhow::Result<f64> {
    let output = format!("{input}-plain-{guarantee:?}").to_lowercase();
    KafkaBroker::connect(KafkaOptions::new(address))?.create(&output, 1)?;
    let exactly = guarantee == Guarantee::ExactlyOnce;
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", address).set("enable.idempotence", "true").set("linger.ms", "2");
    if exactly {
        settings.set("transactional.id", &output);
    }
    let producer: BaseProducer = settings.create()?;
    if exactly {
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
    }
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", address).set("group.id", &output).set("auto.offset.reset", "earliest");
    settings.set("enable.auto.commit", "false").set("isolation.level", "read_committed").set("fetch.queue.backoff.ms", "10");
    let consumer: BaseConsumer = settings.create()?;
    consumer.subscribe(&[input])?;
    let (mut done, mut started, mut committed) = (0, None, Instant::now());
    while done < events {
        let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
        let message = message?;
        started.get_or_insert_with(Instant::now);
        if done % KEPT_OF == 0 {
            send(&producer, BaseRecord::to(&output).partition(0).payload(message.payload().unwrap_or_default()))?;
        }
        done += 1;
        if committed.elapsed() >= COMMIT || done == events {
            // Not the crate's flush, which sleeps in slices of 100 ms.
            while producer.in_flight_count() > 0 {
                producer.poll(LOOK);
            }
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset(input, 0, Offset::Offset(message.offset() + 1))?;
            if exactly {
                let member = consumer.group_metadata().context("no member of a group")?;
                producer.send_offsets_to_transaction(&offsets, &member, PATIENCE)?;
                producer.commit_transaction(PATIENCE)?;
                producer.begin_transaction()?;
            } else {
                consumer.commit(&offsets, CommitMode::Sync)?;
            }
            committed = Instant::now();
        }
    }
    Ok(events as f64 / started.map_or(1.0, |started| started.elapsed().as_secs_f64()))
}

/// Sends a record, and waits where there is no room for it.
fn send(producer: &BaseProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> anyhow::Result<()> {
    while let Err((why, back)) = producer.send(record) {
        anyhow::ensure!(why.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{why}");
        record = back;
        producer.poll(LOOK);
    }
    Ok(())
}

/// Writes all records to the partitions of a topic in turn.
fn fill(broker: &dyn Broker, topic: &str, frames: &Frames, partitions: u32) -> anyhow::Result<()> {
    let mut sink = broker.sink()?;
    let mut changes = Changes::default();
    for (i, record) in frames.iter().enumerate() {
        let partition = (i % partitions as usize) as i32;
        let record = OutRecord { topic, partition, key: None, value: Some(record), headers: &[], time: 0 };
        sink.write(&record, &mut changes)?;
    }
    sink.flush(&mut changes)?;
    sink.settled(true);
    Ok(())
}
