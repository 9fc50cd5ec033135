//! Over a real Kafka every result is there once, whatever ends a run and wherever the next one is: outputs, offsets and state are one
//! transaction.

use sangam::broker::{KafkaBroker, KafkaOptions};
use sangam::pipeline::PipelineError;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, broker, committed, delete, produce, stream, topic, unique};
use sangam_tests::program;
use sangam_tests::spy::{Fault, SpyStore};
use sangam_tests::words::{self, BY_TEXT, all_counted_once, process, until_counted, write_words};
use sangam_tests::world::{Running, World, eventually};
use std::sync::Arc;

const PARTITIONS: u32 = 3;

/// Counts words, each of which is in one partition.
fn counting(words: &str, tallies: &str) -> String {
    words::counting(&bootstrap(), words, tallies, BY_TEXT)
}

/// Writes words over all partitions, each word to one of them; returns how many.
fn say(words: &str, round: usize) -> usize {
    for partition in 0..PARTITIONS {
        write_words(words, partition as i32, (0..200).map(|n| format!("w{}-{partition}", (n + round) % 4)));
    }
    200 * PARTITIONS as usize
}

/// Repeats a round of work until both processes have had a part of it.
fn until_both_work(running: [&Running; 2], mut round: impl FnMut()) {
    let events = |running: &Running| running.topology.operators.iter().map(|node| node.metrics.events_in.get()).sum::<u64>();
    eventually("both are at work", || {
        let before = running.map(events);
        round();
        running.map(events).iter().zip(before).all(|(now, before)| *now > before).then_some(())
    });
}

#[test]
fn a_run_that_ends_with_an_error_leaves_nothing_open_for_which_readers_would_wait() {
    let (words, tallies, name) = (topic("words", 1), topic("tallies", 1), unique("counting"));
    // The tallies of the good words are on their way when the bad one ends the run.
    write_words(&words, 0, std::iter::repeat_n("a", 3_000).chain(["b!"]));
    let world = process(&name, &format!("{}on_error = \"stop\"\n", counting(&words, &tallies)));
    world.plugin("count", &wasm("count-broken")).drain().unwrap_err();
    produce(&tallies, 0, &[("", "somebody else's")]);
    let last = committed(&tallies).pop().and_then(|seen| seen.value);
    assert_eq!(last.as_deref(), Some(&b"somebody else's"[..]), "it is to be seen at once, not after the timeout of a transaction");
}

#[test]
fn a_run_with_an_empty_disk_goes_on_from_what_is_in_kafka() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let toml = counting(&words, &tallies);
    let mut events = 0;
    for round in 0..3 {
        events += say(&words, round);
        process(&name, &toml).drain().unwrap();
        all_counted_once(&tallies, events);
    }
}

#[test]
fn a_run_goes_on_from_its_own_disk_and_reads_only_what_came_since() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let mut world = process(&name, &counting(&words, &tallies));
    let mut events = 0;
    for round in 0..3 {
        events += say(&words, round);
        world.drain().unwrap();
        all_counted_once(&tallies, events);
        world = world.reopened();
    }
    // Somebody else, with a disk of their own, does a part of the work; the first one learns of it from Kafka.
    events += say(&words, 3);
    process(&name, &counting(&words, &tallies)).drain().unwrap();
    events += say(&words, 4);
    world.drain().unwrap();
    all_counted_once(&tallies, events);
}

#[test]
fn two_processes_share_the_work_and_hand_it_over_with_the_state() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let toml = counting(&words, &tallies);
    let (first, second) = (process(&name, &toml), process(&name, &toml));
    let running = |world: &World| -> Running { world.start() };
    let mut events = say(&words, 0);
    let one = running(&first);
    until_counted(&tallies, events);
    // The second joins, work goes on in both, the first leaves: at each turn partitions move with their state.
    let two = running(&second);
    until_both_work([&one, &two], || {
        events += say(&words, events);
        until_counted(&tallies, events);
    });
    one.stop().unwrap();
    events += say(&words, 4);
    until_counted(&tallies, events);
    two.stop().unwrap();
    all_counted_once(&tallies, events);
}

/// Counts words from two topics with the same partitions, which must come together: a word's count is over both.
fn counting_both(words: [&str; 2], tallies: &str) -> String {
    let toml = counting(words[0], tallies).replace("input = \"words\"", "input = [\"words\", \"more\"]");
    toml + &stream("more", "main", words[1], BY_TEXT)
}

fn two_processes_keep_partitions_together(options: &KafkaOptions) {
    let (words, more) = (topic("words", PARTITIONS), topic("more", PARTITIONS));
    let (tallies, name) = (topic("tallies", 2), unique("counting"));
    let toml = counting_both([&words, &more], &tallies);
    let process = || {
        let broker = KafkaBroker::connect(options.clone()).unwrap();
        World::on_disk(&toml).named(&name).plugin("count", &wasm("count")).broker("main", Arc::new(broker))
    };
    let (first, second) = (process(), process());
    let mut events = say(&words, 0) + say(&more, 0);
    let one = first.start();
    until_counted(&tallies, events);
    let two = second.start();
    until_both_work([&one, &two], || {
        events += say(&words, events) + say(&more, events);
        until_counted(&tallies, events);
    });
    events += say(&words, 3) + say(&more, 3);
    until_counted(&tallies, events);
    one.stop().unwrap();
    events += say(&words, 4) + say(&more, 4);
    until_counted(&tallies, events);
    two.stop().unwrap();
    all_counted_once(&tallies, events);
}

#[test]
fn partitions_of_topics_that_are_read_together_go_to_the_same_process() {
    two_processes_keep_partitions_together(&KafkaOptions::new(bootstrap()));
}

#[test]
fn with_the_brokers_own_group_protocol_partitions_go_together_too() {
    two_processes_keep_partitions_together(&KafkaOptions::new(bootstrap()).with("group.protocol", "consumer"));
}

#[test]
fn a_process_without_partitions_waits_for_its_turn() {
    let (words, tallies, name) = (topic("words", 1), topic("tallies", 1), unique("counting"));
    let toml = counting(&words, &tallies);
    let worlds = [process(&name, &toml), process(&name, &toml)];
    let running: Vec<Running> = worlds.iter().map(World::start).collect();
    write_words(&words, 0, ["a"]);
    until_counted(&tallies, 1);
    eventually("both are at work", || running.iter().all(|running| running.control.running()).then_some(()));
    // Whoever has the partition leaves; the other one is still there to take it.
    let (has, waits): (Vec<_>, Vec<_>) = running.into_iter().partition(|running| running.metrics.commits.get() > 0);
    assert_eq!((has.len(), waits.len()), (1, 1));
    has.into_iter().for_each(|running| running.stop().unwrap());
    write_words(&words, 0, ["a"]);
    until_counted(&tallies, 2);
    waits.into_iter().for_each(|running| running.stop().unwrap());
    all_counted_once(&tallies, 2);
}

#[test]
fn a_second_process_is_refused_where_events_change_tasks_in_memory_and_the_first_goes_on() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    // Nothing says by what the topic is partitioned, so that events change tasks.
    let toml = words::counting(&bootstrap(), &words, &tallies, "");
    let (first, second) = (process(&name, &toml), process(&name, &toml));
    let mut events = say(&words, 0);
    let running = first.start();
    until_counted(&tallies, events);
    let why = second.start().outcome().unwrap_err();
    assert!(matches!(why, PipelineError::Shared { expected: 3, .. }), "{why}");
    assert!(why.to_string().contains("set `route = \"repartition\"` at `count`"), "{why}");
    events += say(&words, 1);
    until_counted(&tallies, events);
    running.stop().unwrap();
    all_counted_once(&tallies, events);
}

#[test]
fn another_number_of_partitions_under_keyed_state_is_refused_also_without_a_disk() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    say(&words, 0);
    process(&name, &counting(&words, &tallies)).drain().unwrap();
    let more = topic("words", PARTITIONS + 1);
    let why = process(&name, &counting(&more, &tallies)).drain().unwrap_err();
    assert!(matches!(why, PipelineError::Repartitioned { then: 3, now: 4, .. }), "{why}");
    // What it says to do helps, each.
    assert!(
        why.to_string().contains("go back to 3 partitions")
            && why.to_string().contains("start afresh, without that state: with another `name`")
    );
    let events = say(&words, 1);
    process(&name, &counting(&words, &tallies)).drain().unwrap();
    all_counted_once(&tallies, 2 * events);
    let (fresh, events) = (topic("tallies", 2), say(&more, 0));
    process(&unique("counting"), &counting(&more, &fresh)).drain().unwrap();
    all_counted_once(&fresh, events);
}

#[test]
fn a_disk_that_takes_no_more_stops_the_pipeline_and_what_was_committed_counts() {
    for (fault, expected) in
        [(Fault::Full, "no space left"), (Fault::ReadOnly, "not mounted read-only"), (Fault::Denied, "permission denied")]
    {
        disk_that_takes_no_more(fault, expected);
    }
}

fn disk_that_takes_no_more(fault: Fault, expected: &str) {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let store = Arc::new(SpyStore::default());
    let world = World::over(&counting(&words, &tallies), store.clone(), Arc::new(tempfile::tempdir().unwrap())).named(&name);
    let world = world.plugin("count", &wasm("count")).broker("main", Arc::new(broker()));
    let mut events = say(&words, 0);
    let running = world.start();
    until_counted(&tallies, events);
    // The transaction is committed before the copy on the disk is written.
    store.fail(Some(fault));
    events += say(&words, 1);
    let why = running.outcome().unwrap_err().to_string();
    assert!(why.contains(expected), "{fault:?}: {why}");
    store.fail(None);
    world.drain().unwrap();
    all_counted_once(&tallies, events);
}

#[test]
fn a_copy_that_is_ahead_of_its_log_is_thrown_away() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let world = process(&name, &counting(&words, &tallies));
    let events = say(&words, 0);
    world.drain().unwrap();
    // Somebody deletes the logs: what they held is gone, and the copy of it must not be taken for the truth.
    for log in [format!("{name}.count.changelog"), format!("{name}.positions")] {
        delete(&log);
    }
    world.drain().unwrap();
    assert!(world.dump("state/").is_empty(), "state without a log");
    all_counted_once(&tallies, events);
}

#[test]
fn a_damaged_disk_is_put_aside_and_made_anew() {
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/count.wasm"), wasm("count")).unwrap();
    std::fs::write(folder.path().join("p.toml"), format!("name = \"{name}\"\ndata = \"data\"\n{}", counting(&words, &tallies))).unwrap();
    let mut events = 0;
    for round in 0..2 {
        events += say(&words, round);
        let ran = program::run(folder.path(), &["run", "--drain", "--no-screen", "p.toml"], "");
        assert!(ran.ok, "{}", ran.err);
        assert_eq!(ran.err.contains("is made anew from the logs at Kafka"), round > 0, "{}", ran.err);
        all_counted_once(&tallies, events);
        std::fs::write(folder.path().join("data/sangam.redb"), vec![7; 100_000]).unwrap();
    }
}
