//! A record that only the broker finds too large becomes a dead letter, and nothing else is held up, lost or doubled by it.

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use sangam::broker::{Broker, BrokerError, OutRecord};
use sangam::store::Changes;
use sangam_tests::kafka::{Seen, bootstrap, broker, committed, produce, stream, topic, unique};
use sangam_tests::words::{self, process};
use sangam_tests::world::{Ended, Running, World, eventually};
use serde_json::Value;

/// What a batch holds beside its records; and the rest of a record without headers whose value has from 64 to 8191 bytes, and no key.
const BATCH: usize = 61;
const RECORD: usize = 2 + 3 + 1 + 2 + 1;

fn admin() -> AdminClient<DefaultClientContext> {
    rdkafka::ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap()
}

/// A topic that takes batches of so many bytes.
fn strict(max: usize) -> String {
    let (topic, max) = (unique("strict"), max.to_string());
    let wanted = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &max);
    drop(admin().create_topics([&wanted], &AdminOptions::new()));
    eventually("the new topic", || broker().partitions(&topic).unwrap());
    topic
}

fn allow(topic: &str, max: usize) {
    let max = max.to_string();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &max);
    // The request is on its way; what comes of it is seen in what the topic takes.
    drop(admin().alter_configs([&change], &AdminOptions::new()));
}

fn counting(guarantee: &str, words: &str, tallies: &str, letters: &str) -> World {
    let toml = words::counting(&bootstrap(), words, tallies, "") + &stream("dead-letters", "main", letters, "");
    process(&unique("counting"), &format!("guarantee = \"{guarantee}\"\n{toml}"))
}

fn word(text: &str) -> String {
    words::word(text).to_string()
}

/// The first letter of each word, and its count.
fn tallies(topic: &str) -> Vec<(char, u64)> {
    words::tallies(topic).into_iter().map(|(text, seen)| (text.chars().next().unwrap(), seen)).collect()
}

fn header(seen: &Seen, name: &str) -> String {
    let value = seen.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
    String::from_utf8(value.unwrap_or_default()).unwrap()
}

fn goes_on(running: &Running) {
    assert!(!running.ended(), "the pipeline has stopped");
}

#[test]
fn exactly_once_it_is_a_dead_letter_and_the_others_come_once_and_in_order() {
    let (words, out, letters) = (topic("words", 1), strict(2_000), topic("letters", 1));
    let world = counting("exactly_once", &words, &out, &letters);
    let large = word(&"L".repeat(5_000));
    let (a, b) = (word("a"), word("b"));
    produce(&words, 0, &[("", &a), ("", &b), ("", &large), ("", &a), ("", &b)]);
    let ended = world.drain().unwrap()["count"];
    assert_eq!(ended.ok, ended.events, "{ended:?}: the event is fine, its output is not");
    assert_eq!(tallies(&out), [('a', 1), ('b', 1), ('a', 2), ('b', 2)]);
    let letters = committed(&letters);
    assert_eq!(letters.len(), 1);
    assert!(header(&letters[0], "sangam.error").contains("max.message.bytes"), "{:?}", letters[0].headers);
    assert_eq!(header(&letters[0], "sangam.output"), "tallies");
    let value: Value = serde_json::from_slice(letters[0].value.as_ref().unwrap()).unwrap_or_default();
    let whole = value["text"] == "L".repeat(5_000) || letters[0].value.as_ref().unwrap().len() > 5_000;
    assert!(whole, "it is kept whole");
    // The large word counted as well: only its output had nowhere to go.
    produce(&words, 0, &[("", &a)]);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 1, ok: 1, ..Ended::default() });
}

#[test]
fn at_least_once_it_is_a_dead_letter_as_well() {
    let (words, out, letters) = (topic("words", 1), strict(2_000), topic("letters", 1));
    let world = counting("at_least_once", &words, &out, &letters);
    produce(&words, 0, &[("", &word("a")), ("", &word(&"L".repeat(5_000))), ("", &word("b"))]);
    world.drain().unwrap();
    let mut seen = tallies(&out);
    seen.dedup();
    assert!(seen.ends_with(&[('a', 1), ('b', 1)]), "{seen:?}");
    assert_eq!(committed(&letters).len(), 1);
}

#[test]
fn a_limit_that_changes_while_the_stream_runs_holds_from_then_on_either_way() {
    let (words, out, letters) = (topic("words", 1), strict(100_000), topic("letters", 1));
    let world = counting("exactly_once", &words, &out, &letters);
    let running = world.start();
    produce(&words, 0, &[("", &word(&"A".repeat(5_000)))]);
    eventually("a large word is taken", || (tallies(&out).len() == 1).then_some(()));
    allow(&out, 2_000);
    eventually("a large word is a dead letter", || {
        goes_on(&running);
        produce(&words, 0, &[("", &word(&"B".repeat(5_000)))]);
        (!committed(&letters).is_empty()).then_some(())
    });
    allow(&out, 100_000);
    let before = committed(&letters).len();
    eventually("a large word is taken again", || {
        goes_on(&running);
        produce(&words, 0, &[("", &word(&"C".repeat(5_000)))]);
        tallies(&out).iter().any(|(letter, _)| *letter == 'C').then_some(())
    });
    assert!(committed(&letters).len() >= before);
    running.stop().unwrap();
    // Every word that was read is in one of the two, and in one only.
    assert_eq!(tallies(&out).len() + committed(&letters).len(), committed(&words).len());
}

#[test]
fn many_small_records_that_are_too_large_as_a_batch_are_all_written() {
    let (words, out, letters) = (topic("words", 1), strict(1_000), topic("letters", 1));
    let world = counting("exactly_once", &words, &out, &letters);
    let texts: Vec<String> = (0..500).map(|n| word(&format!("{}{n:0200}", if n % 2 == 0 { 'a' } else { 'b' }))).collect();
    produce(&words, 0, &texts.iter().map(|text| ("", text.as_str())).collect::<Vec<_>>());
    world.drain().unwrap();
    assert_eq!((tallies(&out).len(), committed(&letters).len()), (500, 0));
}

#[test]
fn a_dead_letter_that_is_too_large_for_its_topic_goes_without_what_it_holds() {
    let (words, out, letters) = (topic("words", 1), strict(2_000), strict(2_000));
    let world = counting("exactly_once", &words, &out, &letters);
    produce(&words, 0, &[("", &word(&"L".repeat(5_000))), ("", &word("a"))]);
    world.drain().unwrap();
    assert_eq!(tallies(&out), [('a', 1)]);
    let letters = committed(&letters);
    assert_eq!((letters.len(), letters[0].value.as_deref()), (1, Some(&b""[..])));
    assert!(header(&letters[0], "sangam.omitted").contains("max.message.bytes"), "{:?}", letters[0].headers);
    assert_eq!((header(&letters[0], "sangam.partition"), header(&letters[0], "sangam.offset")), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn a_record_is_refused_from_the_very_byte_on_from_which_the_broker_refuses_it() {
    let (topic, broker) = (strict(BATCH + RECORD + 1_000), broker());
    let fits = vec![b'x'; 1_000];
    let too_large = vec![b'x'; 1_001];
    let write = |value: &[u8]| {
        let (mut sink, mut none) = (broker.sink().unwrap(), Changes::default());
        sink.write(&OutRecord { topic: &topic, partition: 0, key: None, value: Some(value), headers: &[], time: 1 }, &mut none)?;
        sink.flush(&mut none)
    };
    write(&fits).unwrap();
    // The broker says so first; from then on we know.
    assert!(matches!(write(&too_large), Err(BrokerError::Retry(_))));
    assert!(matches!(write(&too_large), Err(BrokerError::Refused(_))));
    write(&fits).unwrap();
    assert_eq!(committed(&topic).len(), 2);
}
