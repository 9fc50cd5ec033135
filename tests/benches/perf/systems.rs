//! The example systems on the engine: what an event costs, how long it takes, and what a key weighs, with the pipeline and the operators of the example.
//!
//! Included are the source in memory, the scan, every operator in the sandbox, state, timers, commits as often as the pipeline says into a store in memory,
//! and encoding what comes out. Files, brokers, compiling plugins, start-up and making the events are not. Events are MessagePack; one worker runs.

mod events;
mod tape;

use crate::{Ask, Place};
use anyhow::Context;
use events::Prepared;
use sangam::broker::Broker;
use sangam::config::{Carrier, Format, Pipeline};
use sangam::pipeline::{Control, RunOptions};
use sangam_tests::bench::engine;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tape::{Deck, Pace, Tape};

/// A system, and how its events are made.
pub struct System {
    /// Its number in the list of systems.
    pub name: &'static str,
    /// Its folder in `examples/`.
    pub example: &'static str,
    /// Whose generators make its events; of several, each event is all of theirs in one.
    pub generators: &'static [&'static str],
    /// The stream that is measured. All others are read before it.
    pub stream: &'static str,
    /// Whose state there is a million of, if there is.
    pub who: Option<Who>,
    /// Which outputs answer an event.
    pub answers: Answers,
}

/// Those whose state is there before the clock starts.
#[derive(Clone, Copy)]
pub struct Who {
    /// What names one of them, from its number.
    pub names: &'static [Named],
    /// What stays the same of one of them.
    pub keeps: &'static [&'static str],
    /// What the first event of each is.
    pub first: Option<(&'static str, &'static str)>,
    /// A table with a row for each of them: its stream, and the row.
    pub table: Option<(&'static str, Row)>,
}

/// A row of a table, for somebody's number.
pub type Row = fn(usize) -> serde_json::Value;

/// A field that names somebody.
#[derive(Clone, Copy)]
pub struct Named {
    /// The field.
    pub field: &'static str,
    /// What stands before the number.
    pub before: &'static str,
    /// What stands behind it.
    pub after: &'static str,
    /// Whether values that begin otherwise are shared: by [`SHARED_BY`] users each.
    pub may_be_shared: bool,
}

/// How many users share what is shared, as in the generators; of few shared things all users would share each.
pub const SHARED_BY: usize = 8;

/// How it is told which events an output answers.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    /// The output of this stream has its event's time, which no other event has.
    ByTime(&'static str),
    /// The output of this stream is for so many events more as its field `orders` says.
    ByCount(&'static str),
}

const fn named(field: &'static str, before: &'static str, after: &'static str) -> Named {
    Named { field, before, after, may_be_shared: false }
}

const fn own(field: &'static str, before: &'static str) -> Named {
    Named { field, before, after: "", may_be_shared: true }
}

const VIEWER: Who = Who {
    names: &[named("session_id", "S", ""), named("user_id", "U", ""), own("device_id", "D")],
    keeps: &["location", "device_type", "content_id"],
    first: Some(("event_type", "play")),
    table: None,
};

const SYSTEMS: [System; 7] = [
    System {
        name: "s1",
        example: "upi-payments",
        generators: &["upi-payments"],
        stream: "payments",
        who: Some(Who {
            names: &[named("sender_vpa", "user", "@bank"), own("device_id", "phone-of-")],
            keeps: &["location"],
            first: None,
            table: Some((
                "balances",
                |who| serde_json::json!({"vpa": format!("user{who}@bank"), "balance": 1_000_000, "timestamp": 1_699_983_000_000_i64}),
            )),
        }),
        answers: Answers::ByTime("decided"),
    },
    System {
        name: "s2",
        example: "live-viewers",
        generators: &["live-viewers"],
        stream: "viewing",
        who: Some(VIEWER),
        answers: Answers::ByTime("region-qualities"),
    },
    System {
        name: "s5",
        example: "orders-continuous",
        generators: &["orders-continuous", "orders-micro-batch"],
        stream: "orders",
        who: None,
        answers: Answers::ByTime("customers"),
    },
    System {
        name: "s6",
        example: "orders-micro-batch",
        generators: &["orders-continuous", "orders-micro-batch"],
        stream: "orders",
        who: None,
        answers: Answers::ByCount("batches"),
    },
    System {
        name: "s7",
        example: "paytm-fraud",
        generators: &["paytm-fraud"],
        stream: "payments",
        who: Some(Who {
            names: &[named("sender_phone", "+9198", ""), own("device_fingerprint", "device-of-")],
            keeps: &["location"],
            first: None,
            table: None,
        }),
        answers: Answers::ByTime("scored"),
    },
    System {
        name: "s10",
        example: "market-patterns",
        generators: &["market-patterns"],
        stream: "market",
        who: None,
        answers: Answers::ByTime("desks"),
    },
    System {
        name: "s12",
        example: "live-video",
        generators: &["live-video"],
        stream: "viewing",
        who: Some(VIEWER),
        answers: Answers::ByTime("quality"),
    },
];

/// The most seconds of a run with events at a pace.
const PACED_SECONDS: f64 = 10.0;

/// Runs the systems that are asked for: all of them for `systems`, else those named.
pub fn run(ask: &Ask, place: &Place) -> anyhow::Result<()> {
    let named = |name: &str| ask.what.iter().any(|asked| asked.eq_ignore_ascii_case(name));
    for system in SYSTEMS.iter().filter(|system| named("systems") || named(system.name)) {
        let prepared = Arc::new(Prepared::make(system, &root(), ask.events, ask.users)?);
        let full = Tape::new(system, &prepared, None);
        play(system, &prepared, &full, place, ask.commit)?;
        let without = Tape::new(system, &prepared, None);
        play(system, &prepared, &without, place, Some(Duration::MAX))?;
        let without = without.measured().with_context(|| format!("{}: not all events were read", system.name))?;
        let full = full.measured().with_context(|| format!("{}: not all events were read", system.name))?;
        let users = prepared.users();
        println!(
            "RESULT bench=system system={} example={} events={} users={users} cpu_ns={:.0} without_commits_ns={:.0} per_core={:.0} wall_eps={:.0} out={} user_bytes={:.0} event_bytes={:.0} \
             out_bytes={:.0}",
            system.name.to_uppercase(),
            system.example,
            full.events,
            full.cpu_ns,
            without.cpu_ns,
            1e9 / full.cpu_ns,
            full.wall_eps,
            full.outputs,
            full.user_bytes,
            prepared.event_bytes(system.stream),
            full.out_bytes,
        );
        // Where batches wait for time to pass, events come when they say; else at half of what can be had.
        let pace = match system.generators.len() {
            1 => Pace::PerSecond(full.wall_eps / 2.0),
            _ => Pace::AsTheySay,
        };
        let paced = Tape::new(system, &prepared, Some((pace, PACED_SECONDS)));
        play(system, &prepared, &paced, place, ask.commit)?;
        let latencies = paced.latencies();
        anyhow::ensure!(!latencies.is_empty(), "{}: no output answers an event", system.name);
        println!(
            "RESULT bench=system-latency system={} example={} users={users} eps={:.0} answers={} p50_ms={:.2} p99_ms={:.2} max_ms={:.2}",
            system.name.to_uppercase(),
            system.example,
            paced.rate(),
            latencies.len(),
            percentile(&latencies, 0.5),
            percentile(&latencies, 0.99),
            percentile(&latencies, 1.0),
        );
    }
    Ok(())
}

/// Runs the example's pipeline over a tape to its end; commits as often as it says, or as `commit` does.
fn play(system: &System, prepared: &Prepared, tape: &Arc<Tape>, place: &Place, commit: Option<Duration>) -> anyhow::Result<()> {
    // What making the events took is not to be taken by users who then would seem to weigh nothing.
    // SAFETY: the call only gives unused memory back.
    unsafe { libmimalloc_sys::mi_collect(true) };
    let broker: Arc<dyn Broker> = Arc::new(Deck(tape.clone()));
    let options = RunOptions { close_at_end: true, ..RunOptions::default() };
    let mut pipeline = pipeline(system, prepared)?;
    pipeline.commit_interval = commit.unwrap_or(pipeline.commit_interval);
    let mut supervisor = engine::supervisor(pipeline, &place.plugins, &broker, options)?;
    supervisor.run(&Control::default())?;
    for operator in &supervisor.topology.operators {
        let metrics = &operator.metrics;
        let (came, went, faults) = (metrics.events_in.get(), metrics.ok.get(), metrics.faults.get());
        // An event that is refused costs less than one that is not: few may be.
        let fine = faults == 0 && (came - went) * 100 <= came;
        anyhow::ensure!(fine, "{}: `{}` took {went} of {came} events, and failed {faults} times", system.name, operator.name);
    }
    Ok(())
}

/// The pipeline of the example, with a topic in memory wherever it has a file.
fn pipeline(system: &System, prepared: &Prepared) -> anyhow::Result<Pipeline> {
    let path = root().join("examples").join(system.example).join("pipeline.toml");
    let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if prepared.users() > 0 {
        // There the few sessions of an example stand for many.
        let one = |line: &str| if line.starts_with("viewers_per_session") { "viewers_per_session = 1".to_owned() } else { line.to_owned() };
        text = text.lines().map(one).collect::<Vec<_>>().join("\n");
    }
    let mut pipeline = Pipeline::parse(&text, &path.to_string_lossy(), &|_| None)?;
    pipeline.workers = 1;
    for stream in pipeline.streams.iter_mut().filter(|stream| matches!(stream.carrier, Carrier::File { .. })) {
        stream.carrier = Carrier::Topic { cluster: "bench".into(), topic: stream.name.clone(), partitions: 1, create: false };
        stream.format = Format::default();
    }
    Ok(pipeline)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}
