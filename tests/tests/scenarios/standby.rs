//! A process that keeps copies of what others know takes their work over by reading only the tail of it.

use sangam_tests::kafka::{bootstrap, committed, topic, unique};
use sangam_tests::words::{self, BY_TEXT, counts, process, until_counted, write_words};
use sangam_tests::world::eventually;

/// Counts words, with copies or without.
fn counting(words: &str, tallies: &str, standby: bool) -> String {
    format!("standby = {standby}\n{}", words::counting(&bootstrap(), words, tallies, BY_TEXT))
}

const WORDS: usize = 3_000;

/// Says each of many words once.
fn say(words: &str) {
    write_words(words, 0, (0..WORDS).map(|n| format!("w{n}")));
}

/// One process does all the work, another one waits for its turn; returns how many records the other one read back when its turn came.
fn read_back_at_a_take_over(standby: bool) -> u64 {
    let (words, tallies, name) = (topic("words", 1), topic("tallies", 1), unique("counting"));
    let toml = counting(&words, &tallies, standby);
    let (first, second) = (process(&name, &toml), process(&name, &toml));
    let working = first.start();
    say(&words);
    eventually("every word is counted", || (committed(&tallies).len() == WORDS).then_some(()));
    let waiting = second.start();
    eventually("the second one is ready, without work", || waiting.control.running().then_some(()));
    if standby {
        eventually("the copy is complete", || (second.dump("state/") == first.dump("state/")).then_some(()));
        assert!(waiting.control.health().standby().0 >= WORDS as u64);
    } else {
        assert!(second.dump("state/").is_empty());
    }
    let before = waiting.control.health().restored();
    working.stop().unwrap();
    say(&words);
    eventually("every word is counted again", || (committed(&tallies).len() == 2 * WORDS).then_some(()));
    let read = waiting.control.health().restored() - before;
    waiting.stop().unwrap();
    assert!(
        counts(words::tallies(&tallies)).values().all(|seen| *seen == [1, 2]),
        "each word is counted on from where the first process was"
    );
    read
}

#[test]
fn with_a_standby_copy_a_take_over_reads_only_the_tail() {
    let read = read_back_at_a_take_over(true);
    assert!(read < WORDS as u64 / 5, "{read} records of {WORDS} words were read back");
}

#[test]
fn without_a_standby_copy_a_take_over_reads_all_of_the_state() {
    let read = read_back_at_a_take_over(false);
    assert!(read >= WORDS as u64, "{read} records of {WORDS} words were read back");
}

#[test]
fn copies_follow_partitions_from_process_to_process() {
    const PARTITIONS: u32 = 3;
    let (words, tallies, name) = (topic("words", PARTITIONS), topic("tallies", 2), unique("counting"));
    let toml = counting(&words, &tallies, true);
    let (first, second) = (process(&name, &toml), process(&name, &toml));
    let mut rounds = 0;
    let mut round = || {
        for partition in 0..PARTITIONS {
            write_words(&words, partition as i32, (0..200).map(|n| format!("w{n}-{partition}")));
        }
        rounds += 1;
        until_counted(&tallies, rounds * 200 * PARTITIONS as usize);
    };
    // At each turn partitions move one way or the other, and copies of them become the state that is worked on, and back.
    let mut one = Some(first.start());
    round();
    let mut two = Some(second.start());
    round();
    eventually("both keep all of the state", || (second.dump("state/") == first.dump("state/")).then_some(()));
    for _ in 0..2 {
        one.take().unwrap().stop().unwrap();
        round();
        one = Some(first.start());
        round();
        two.take().unwrap().stop().unwrap();
        round();
        two = Some(second.start());
        round();
    }
    eventually("both keep all of the state", || (second.dump("state/") == first.dump("state/")).then_some(()));
    [one, two].into_iter().flatten().for_each(|running| running.stop().unwrap());
    let counts = counts(words::tallies(&tallies));
    assert_eq!(counts.len(), 200 * PARTITIONS as usize);
    for (word, seen) in counts {
        assert!(seen.iter().copied().eq(1..=rounds as u64), "{word}: {seen:?}");
    }
}
