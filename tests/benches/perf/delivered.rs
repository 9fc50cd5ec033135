//! How many events a second a delivered stream takes: each is acknowledged before the commit that covers it, by an endpoint or by a cluster.

use crate::Ask;
use crate::kafka::{COMMIT, address};
use anyhow::Context;
use sangam::broker::{Broker, KafkaBroker, KafkaOptions, OutRecord};
use sangam::pipeline::{Control, RunOptions};
use sangam_protocol::msgpack::write;
use sangam_tests::guests::wasm;
use sangam_tests::http::Server;
use sangam_tests::kafka::unique;
use sangam_tests::world::World;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests at a time: one, so that all go in order; the default; as many as a slow endpoint may want.
const IN_FLIGHT: [usize; 3] = [1, 8, 32];

/// Which part of `--events` goes to an endpoint, for each of which there is a request.
const REQUESTS_OF: usize = 50;

/// Different words: so many keys, each in order.
const WORDS: usize = 1_000;

/// Every event is counted, and each count goes to an endpoint on loopback, which answers at once; then to a topic of a real broker as a delivered
/// stream, and beside it as one that is part of the commit. Measured is from the start of the run to the end of the last commit.
pub fn run(ask: &Ask) -> anyhow::Result<()> {
    for in_flight in IN_FLIGHT {
        let server = Server::willing();
        let events = ask.events / REQUESTS_OF;
        let took = counted(events, &format!("url = \"http://{}\"\nin_flight = {in_flight}", server.address), None)?;
        anyhow::ensure!(server.taken().len() == events, "the endpoint has got {} of {events}", server.taken().len());
        println!("RESULT bench=delivered to=webhook in_flight={in_flight} events={events} eps={:.0}", events as f64 / took.as_secs_f64());
    }
    let Some(address) = address() else { return Ok(()) };
    for (how, more) in [("delivered", "on_error = \"wait\""), ("in_the_commit", "")] {
        let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::connect(KafkaOptions::new(&address))?);
        let topic = unique("bench-delivered");
        broker.create(&topic, 1)?;
        let stream = format!("cluster = \"far\"\ntopic = \"{topic}\"\n{more}\n[clusters.far]\nkind = \"kafka\"\nbrokers = \"{address}\"");
        let took = counted(ask.events, &stream, Some(broker))?;
        println!("RESULT bench=delivered to=kafka how={how} events={} eps={:.0}", ask.events, ask.events as f64 / took.as_secs_f64());
    }
    Ok(())
}

/// Counts so many words into `stream`; returns how long it took.
fn counted(events: usize, stream: &str, broker: Option<Arc<dyn Broker>>) -> anyhow::Result<Duration> {
    let toml = format!(
        "guarantee = \"at_least_once\"\nworkers = 1\n[operators.count]\ninput = \"words\"\noutput = \"tallies\"\n[streams.words]\n[streams.tallies]\n{stream}\n"
    );
    let world = World::new(&toml).plugin("count", &wasm("count"));
    let world = match broker {
        Some(broker) => world.broker("far", broker),
        None => world,
    };
    say(&world, events);
    let mut supervisor = world.supervisor(RunOptions { drain: true, ..RunOptions::default() }, false)?;
    supervisor.pipeline.commit_interval = COMMIT;
    let started = Instant::now();
    supervisor.run(&Control::default())?;
    let took = started.elapsed();
    let count = supervisor.topology.operators.first().context("no operator")?;
    anyhow::ensure!(count.metrics.ok.get() == events as u64, "only {} of {events} events were counted", count.metrics.ok.get());
    Ok(took)
}

/// Writes the words, in runs that fit into memory twice.
fn say(world: &World, events: usize) {
    const RUN: usize = 10_000;
    for from in (0..events).step_by(RUN) {
        let values: Vec<Vec<u8>> = (from..events.min(from + RUN)).map(word).collect();
        let record = |value| OutRecord { topic: "words", partition: 0, key: None, value: Some(value), headers: &[], time: 0 };
        world.write(&values.iter().map(|value| record(value.as_slice())).collect::<Vec<_>>());
    }
}

fn word(i: usize) -> Vec<u8> {
    let mut value = Vec::new();
    write::map(&mut value, 1);
    write::str(&mut value, "text");
    write::str(&mut value, &format!("word-{}", i % WORDS));
    value
}
