//! How soon a run with a million keys is at work again: with the store of the last run, and with none, from the changelog.

use super::{COMMIT, PATIENCE};
use crate::{Ask, Place};
use sangam::broker::{Broker, KafkaBroker, KafkaOptions, OutRecord, Replay};
use sangam::config::{Carrier, Format, Guarantee, Operator, Pipeline, Stream};
use sangam::pipeline::{Control, Phase, RunOptions};
use sangam::store::{Changes, DiskStore, Store};
use sangam_protocol::msgpack::write;
use sangam_tests::bench::engine;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a key, and which part of `--events` there are of that: entries as small as counters are, and large ones.
const KEYS: [(usize, usize); 2] = [(17, 1), (1000, 10)];

/// Counts each of `--events` keys once and stops; then starts again, twice. The same for a tenth as many keys of a kilobyte.
///
/// `at_work_ms` is from when the partitions were there to the first worker at work; joining the group, which takes as long as the broker
/// likes, is not in it. `read` is how fast the same log can be read without doing anything with it.
pub fn run(address: &str, ask: &Ask, place: &Place) -> anyhow::Result<()> {
    KEYS.iter().try_for_each(|(width, part)| restart(address, ask.events / part, *width, place))
}

fn restart(address: &str, keys: usize, width: usize, place: &Place) -> anyhow::Result<()> {
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::connect(KafkaOptions::new(address))?);
    let name = format!("bench-restart-{}-{width}", std::process::id());
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    [&input, &output].into_iter().try_for_each(|topic| broker.create(topic, 1))?;
    words(broker.as_ref(), &input, keys, width)?;
    let folder = tempfile::tempdir()?;
    let again = |store: &Path, drain: bool| -> anyhow::Result<(Duration, u64)> {
        let mut pipeline = Pipeline::new(name.clone());
        (pipeline.guarantee, pipeline.commit_interval, pipeline.workers) = (Guarantee::ExactlyOnce, COMMIT, 1);
        let stream = |name: &str, topic: &str| {
            Stream::new(name, Carrier::Topic { cluster: "bench".into(), topic: topic.into(), partitions: 1, create: false })
        };
        pipeline.streams =
            vec![Stream { format: Format::MessagePack, key: vec!["text".into()], ..stream("in", &input) }, stream("out", &output)];
        pipeline.operators = vec![Operator::new("count").input("in").output("out")];
        let options = RunOptions { drain, ..RunOptions::default() };
        let mut supervisor = engine::supervisor(pipeline, &place.plugins, &broker, options)?;
        supervisor.store = Arc::new(DiskStore::open(store)?) as Arc<dyn Store>;
        let control = Control::default();
        let told = control.clone();
        let run = std::thread::spawn(move || supervisor.run(&told));
        let until = Instant::now() + PATIENCE;
        let reached = |phases: &[Phase]| {
            while !phases.contains(&control.health().phase()) && !run.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_micros(200));
            }
            Instant::now()
        };
        let here = reached(&[Phase::Restoring, Phase::Running]);
        let took = reached(&[Phase::Running]).duration_since(here);
        if !drain {
            control.stop();
        }
        run.join().map_err(|_| anyhow::anyhow!("the run has panicked"))??;
        Ok((took, control.health().restored()))
    };
    again(&folder.path().join("warm"), true)?;
    let log = format!("{name}.count.changelog");
    let (mut bytes, mut records, started) = (0, 0, Instant::now());
    let read = broker.replay(&log, 0, None, &mut |events| {
        records += events.rows.len();
        bytes +=
            events.rows.iter().map(|row| events.key(row).map_or(0, <[u8]>::len) + events.value(row).map_or(0, <[u8]>::len)).sum::<usize>();
        Ok(())
    })?;
    anyhow::ensure!(matches!(read, Replay::To(_)), "the changelog cannot be read");
    let plain = started.elapsed();
    for (store, said) in [("warm", "warm"), ("cold", "none")] {
        let (took, restored) = again(&folder.path().join(store), false)?;
        let rate = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
        let restore = if said == "none" { format!(" restore_mb_s={:.0} read_mb_s={:.0}", rate(took), rate(plain)) } else { String::new() };
        println!(
            "RESULT bench=restart keys={keys} key_bytes={width} store={said} at_work_ms={:.0} records={restored} log_records={records} log_mb={:.0}{restore}",
            took.as_secs_f64() * 1e3,
            bytes as f64 / 1e6
        );
    }
    Ok(())
}

/// Writes so many words of `width` bytes, each another one.
fn words(broker: &dyn Broker, topic: &str, count: usize, width: usize) -> anyhow::Result<()> {
    let (mut sink, mut changes, mut value) = (broker.sink()?, Changes::default(), Vec::new());
    for i in 0..count {
        value.clear();
        write::map(&mut value, 1);
        write::str(&mut value, "text");
        write::str(&mut value, &format!("{i:0width$}"));
        sink.write(&OutRecord { topic, partition: 0, key: None, value: Some(&value), headers: &[], time: 0 }, &mut changes)?;
    }
    sink.flush(&mut changes)?;
    sink.settled(true);
    Ok(())
}
