//! Whatever crashes, stalls or is fenced off, and whenever: what is committed is what an undisturbed run commits.

use sangam::broker::suite::{self, CASES, World, record, values};
use sangam::broker::{Broker, BrokerError, Replay, Start};
use sangam::store::{Changes, MemoryStore};
use sangam_tests::sim::cluster::Cluster;
use sangam_tests::sim::faults::Watch;
use sangam_tests::sim::process::Process;
use sangam_tests::sim::script::Script;
use sangam_tests::sim::{simulate, simulate_script};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seeds of a run that is not told how many.
const SEEDS: u64 = 200;

/// A simulation waits more than it works.
const AT_ONCE: usize = 12;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{value}`")))
}

fn run(seed: u64) -> Result<Vec<String>, String> {
    catch_unwind(AssertUnwindSafe(|| simulate(seed))).unwrap_or_else(|why| {
        let text = why.downcast_ref::<String>().cloned().or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

#[test]
fn what_is_committed_is_what_an_undisturbed_run_commits() {
    if let Some(seed) = number("SANGAM_SEED") {
        match run(seed) {
            Ok(story) => println!("seed {seed} holds:\n  {}", story.join("\n  ")),
            Err(why) => panic!("seed {seed}: {why}"),
        }
        return;
    }
    let (first, seeds) = (number("SANGAM_FIRST_SEED").unwrap_or(0), number("SANGAM_SEEDS").unwrap_or(SEEDS));
    let (next, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds {
                        return;
                    }
                    if let Err(why) = run(seed) {
                        println!("seed {seed}: {why}\n{}", replay(seed));
                        failures.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let mut failed = failures.into_inner().unwrap();
    failed.sort_unstable();
    assert!(failed.is_empty(), "{} of {seeds} seeds fail: {failed:?}; the first again:\n{}", failed.len(), replay(failed[0]));
}

fn replay(seed: u64) -> String {
    format!("SANGAM_SEED={seed} cargo test -p sangam-tests --test scenarios simulation -- --nocapture")
}

/// What the simulation would say if the engine had no exactly-once: that it is able to see the difference.
#[test]
fn a_pipeline_that_guarantees_less_is_found_out() {
    let found = (0..20).find_map(|seed| simulate_script(&Script { guarantee: "at_least_once", ..Script::of(seed) }).err());
    assert!(found.is_some_and(|why| why.contains("wanted")), "no seed repeats an output");
}

#[test]
fn a_seed_says_the_same_each_time() {
    for seed in [1, 6, 34] {
        assert_eq!(format!("{:?}", Script::of(seed)), format!("{:?}", Script::of(seed)));
    }
}

// === the cluster ===

fn world<'a>(broker: &'a Process, store: &'a MemoryStore, name: &'a str) -> World<'a> {
    World { broker, store, name, patience: Duration::ZERO }
}

/// A process in a cluster with the topics `in` and `out`, of one partition each.
fn process(cluster: &Cluster) -> Process {
    ["in", "out"].iter().for_each(|topic| cluster.create(topic, 1));
    Process::start(cluster, Watch::calm())
}

/// What readers of committed records see of `out`.
fn seen(process: &Process) -> Vec<String> {
    let mut all = Vec::new();
    let read = process.replay("out", 0, None, &mut |run| {
        all.extend(values(run));
        Ok(())
    });
    match read {
        Ok(Replay::To(_)) | Err(BrokerError::Retry(_)) => all,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_simulated_cluster_does_what_every_broker_does() {
    let (process, store) = (Process::start(&Cluster::default(), Watch::calm()), MemoryStore::new());
    for (name, case) in CASES {
        println!("{name}");
        case(&world(&process, &store, name));
    }
}

#[test]
fn a_transaction_is_seen_when_it_is_committed_and_never_when_its_writer_was_fenced() {
    let cluster = Cluster::default();
    let (first, reader) = (process(&cluster), process(&cluster));
    let writer = first.transactions("id").unwrap().unwrap();
    let (mut sink, mut changes) = (writer.sink(), Changes::default());
    sink.write(&record("out", 0, b"a"), &mut changes).unwrap();
    let closed = writer.close().unwrap();
    sink.write(&record("out", 0, b"lost"), &mut changes).unwrap();
    assert!(seen(&reader).is_empty(), "it is still open");
    assert!(closed.commit(&[], None).unwrap().is_empty());
    let closed = writer.close().unwrap();

    let second = first.transactions("id").unwrap().unwrap();
    assert!(matches!(closed.commit(&[], None), Err(BrokerError::Fenced(_))));
    assert!(matches!(sink.write(&record("out", 0, b"late"), &mut changes), Err(BrokerError::Fenced(_))));
    second.sink().write(&record("out", 0, b"b"), &mut changes).unwrap();
    second.close().unwrap().commit(&[], None).unwrap();
    assert_eq!(seen(&reader), ["a", "b"]);
}

#[test]
fn offsets_move_with_their_transaction_and_only_for_a_member_of_the_group() {
    let (cluster, store) = (Cluster::default(), MemoryStore::new());
    let process = process(&cluster);
    let world = world(&process, &store, "case");
    let writer = process.transactions("id").unwrap().unwrap();
    let mut reader = suite::subscribe(&world, "g", "in", Start::Earliest, 1);
    let offsets = [("in".to_owned(), 0, 1)];
    let commit = |member| writer.close().unwrap().commit(&offsets, Some(&member));

    let member = reader.subscription.member().unwrap().unwrap();
    commit(member).unwrap();
    assert_eq!(cluster.offset("case-g", "in", 0), Some(1));

    let stale = reader.subscription.member().unwrap().unwrap();
    process.expel();
    assert!(matches!(commit(stale), Err(BrokerError::Fenced(_))));
    assert!(matches!(reader.subscription.member(), Err(BrokerError::Fenced(_))));
}

#[test]
fn what_the_dead_have_left_open_holds_readers_up_until_its_timeout_only() {
    let cluster = Cluster::default();
    let (dead, alive) = (process(&cluster), process(&cluster));
    let (one, two) = (dead.transactions("one").unwrap().unwrap(), alive.transactions("two").unwrap().unwrap());
    one.sink().write(&record("out", 0, b"a"), &mut Changes::default()).unwrap();
    two.sink().write(&record("out", 0, b"b"), &mut Changes::default()).unwrap();
    two.close().unwrap().commit(&[], None).unwrap();
    assert!(seen(&alive).is_empty());
    dead.kill();
    assert!(matches!(one.sink().write(&record("out", 0, b"c"), &mut Changes::default()), Err(BrokerError::Retry(_))));
    assert_eq!(seen(&alive), ["b"]);
}
