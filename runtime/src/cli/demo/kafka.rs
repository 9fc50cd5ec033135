//! The departures through a real Kafka: written to a topic, windowed by the plugin from the watched folder, read back from another topic.
//!
//! Every run has topics and a consumer group of its own, and leaves them behind.

use super::Demo;
use crate::broker::{Assignment, Broker, OutRecord, Polled, Source, Start, Subscribe};
use crate::cli::run::Prepared;
use crate::cli::surroundings;
use crate::config::{Carrier, ClusterKind, Pipeline};
use crate::events::Events;
use crate::store::{Changes, MemoryStore};
use crate::time::WATERMARK_MIN;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the windows hold in all.
#[derive(Debug, Default, PartialEq, serde::Deserialize)]
struct Totals {
    windows: u64,
    count: u64,
    sum_delay_min: i64,
    late: u64,
}

/// Longest wait for a record that is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most records that are looked at together.
const POLL_MAX: usize = 1_000;

/// Runs `kafka.toml` beside the recorded departures, and compares what comes out of Kafka with what a separate script has computed.
pub(super) fn run(command: &Demo, address: &str) -> Result<()> {
    let folder = command.departures.parent().unwrap_or(Path::new("."));
    let departures = super::read(&command.departures)?;
    let file = folder.join("kafka.toml");
    let mut pipeline = surroundings::read_pipeline(&file)?;
    make_its_own(&mut pipeline, address)?;
    pipeline.plugins = command.dir.join("plugins");

    // Nothing of it is to last: positions are Kafka's as well, and the topics are new.
    let connected = surroundings::connect(&pipeline, &(Arc::new(MemoryStore::new()) as _))?;
    let topic = |name: &str| match pipeline.stream(name).map(|stream| &stream.carrier) {
        Some(Carrier::Topic { topic, .. }) => Ok(topic.clone()),
        _ => bail!("{} needs a stream `{name}` in a topic", file.display()),
    };
    let [input, output, late] = [topic("departures")?, topic("delays")?, topic("too-late")?];
    let mut prepared = Prepared::new(pipeline, connected, false)?;
    let stream = prepared.supervisor.pipeline.streams.iter().position(|stream| stream.name == "departures").unwrap_or_default();
    let cluster = prepared.supervisor.brokers.of_stream(stream);
    let broker = prepared.supervisor.brokers.all().get(cluster).context("no cluster")?.clone();

    let written = write(broker.as_ref(), &input, &departures)?;
    println!("{written} departures are in the topic {input} at {address}");
    prepared.run(false)?;
    let found = Totals::of(&read_back(broker.as_ref(), &output)?, read_back(broker.as_ref(), &late)?.len())?;
    println!(
        "{output} holds {} windows of {} departures and {} minutes of delay; {late} holds {}",
        found.windows, found.count, found.sum_delay_min, found.late
    );
    let expected: Totals = serde_json::from_str(&super::read(&folder.join("expected/totals.json"))?)?;
    ensure!(found == expected, "the script that knows no streams has computed {expected:?}");
    println!("The script that knows no streams has computed the same.");
    Ok(())
}

/// Gives the pipeline's cluster an address, and the run names that no other run has.
fn make_its_own(pipeline: &mut Pipeline, address: &str) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    pipeline.name = format!("{}-{now}", pipeline.name);
    for cluster in &mut pipeline.clusters {
        if let ClusterKind::Kafka { brokers, .. } = &mut cluster.kind {
            address.clone_into(brokers);
        }
    }
    for stream in &mut pipeline.streams {
        if let Carrier::Topic { topic, .. } = &mut stream.carrier {
            *topic = format!("{topic}-{now}");
        }
    }
    Ok(())
}

/// Writes each line as a record; returns how many there were.
fn write(broker: &dyn Broker, topic: &str, lines: &str) -> Result<usize> {
    let (mut sink, mut changes, mut count) = (broker.sink()?, Changes::default(), 0);
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let value = Some(line.as_bytes());
        sink.write(&OutRecord { topic, partition: 0, key: None, value, headers: &[], time: WATERMARK_MIN }, &mut changes)?;
        count += 1;
    }
    sink.flush(&mut changes)?;
    sink.settled(true);
    Ok(count)
}

/// All values of a topic of one partition.
fn read_back(broker: &dyn Broker, topic: &str) -> Result<Vec<Value>> {
    let subscribe = Subscribe::new(format!("{topic}-reader"), [topic.to_owned()], Start::Earliest);
    let mut subscription = broker.subscribe(&subscribe)?;
    let (mut source, mut values, mut events): (Option<Box<dyn Source>>, Vec<Value>, Events) = Default::default();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        for change in subscription.changes()? {
            if let Assignment::Gained { source: gained, .. } = change {
                source = Some(gained);
            }
        }
        let Some(source) = &mut source else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        match source.poll(POLL_MAX, &mut events)? {
            Polled::Some(_) => {
                for row in &events.rows {
                    values.push(serde_json::from_slice(events.value(row).unwrap_or_default())?);
                }
                events.clear();
            }
            _ if source.lag() == Some(0) => return Ok(values),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    bail!("the end of {topic} was not reached within {PATIENCE:?}")
}

// === impl Totals ===

impl Totals {
    fn of(windows: &[Value], late: usize) -> Result<Totals> {
        let mut totals = Totals { windows: windows.len() as u64, late: late as u64, ..Totals::default() };
        for window in windows {
            totals.count += window.get("count").and_then(Value::as_u64).context("a window without `count`")?;
            totals.sum_delay_min += window.get("sum_delay_min").and_then(Value::as_i64).context("a window without `sum_delay_min`")?;
        }
        Ok(totals)
    }
}
