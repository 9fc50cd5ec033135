//! One pipeline over several real clusters, one of which is stopped and started again: what is for it waits, or goes elsewhere; what is not
//! goes on; nothing is lost, and the order per key is kept.

use sangam::broker::{Broker, KafkaBroker, KafkaOptions};
use sangam::config::Guarantee;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{OwnBroker, bootstrap, broker, cluster, produce_at, stream, topic, unique};
use sangam_tests::program::{guest, run};
use sangam_tests::words::{counts, each_counted_once, tallies_at, tally, word};
use sangam_tests::world::{Ended, World, eventually};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A cluster of its own, whose address stays the same.
fn another() -> (OwnBroker, KafkaBroker) {
    let own = OwnBroker::start();
    let broker = KafkaBroker::connect(KafkaOptions::new(&own.address)).unwrap();
    (own, broker)
}

fn say(address: &str, topic: &str, words: &[&str]) {
    let values: Vec<String> = words.iter().map(|text| word(text).to_string()).collect();
    produce_at(address, topic, 0, &words.iter().zip(&values).map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>());
}

#[test]
fn while_a_second_cluster_is_away_its_events_go_to_the_fallback_and_the_first_one_stays_exactly_once() {
    let (mut far, far_broker) = another();
    let (words, home, kept) = (topic("words", 1), topic("tallies", 1), topic("kept", 1));
    let falls = "create = true\non_error = { fallback = \"kept\" }\nbreaker = { failures = 2, open_for = \"500ms\" }";
    let toml = [
        cluster("home", &bootstrap()),
        cluster("far", &far.address),
        stream("words", "home", &words, ""),
        stream("tallies", "home", &home, ""),
        stream("kept", "home", &kept, ""),
        stream("copies", "far", "copies", falls),
        "[operators.count]\ninput = \"words\"\noutput = [\"tallies\", \"copies\"]\n".to_owned(),
    ];
    let world = World::on_disk(&toml.concat()).plugin("count", &wasm("count"));
    let world = world.broker("home", Arc::new(broker())).broker("far", Arc::new(far_broker));
    assert_eq!(world.pipeline().guarantee, Guarantee::ExactlyOnce, "what may be away is in no transaction, and all else is in one");
    let running = world.start();
    say(&bootstrap(), &words, &["a", "b", "a"]);
    eventually("all is delivered", || (tallies_at(&far.address, "copies").len() == 3).then_some(()));
    far.kill();
    say(&bootstrap(), &words, &["a", "b", "a", "b"]);
    eventually("what is away falls back", || (tallies_at(&bootstrap(), &kept).len() == 4).then_some(()));
    assert_eq!((running.sum("sangam_sink_circuit_open", ""), running.sum("sangam_sink_records_total", "")), (1, 3));
    say(&bootstrap(), &words, &["a"]);
    eventually("at once, as its circuit is open", || (tallies_at(&bootstrap(), &kept).len() == 5).then_some(()));
    far.again();
    let mut said = 8;
    eventually("something is delivered again", || {
        say(&bootstrap(), &words, &["b"]);
        said += 1;
        (tallies_at(&far.address, "copies").len() > 3).then_some(())
    });
    eventually("the circuit is closed", || (running.sum("sangam_sink_circuit_open", "") == 0).then_some(()));
    eventually("all is committed", || (tallies_at(&bootstrap(), &home).len() == said).then_some(()));
    assert_eq!(running.metrics.run.restarts.get(), 0, "the pipeline has never stopped");
    running.stop().unwrap();
    let expected = counts(tallies_at(&bootstrap(), &home));
    each_counted_once(&expected);
    let (away, aside) = (counts(tallies_at(&far.address, "copies")), counts(tallies_at(&bootstrap(), &kept)));
    for (word, all) in &expected {
        let [away, aside] = [&away, &aside].map(|counts| counts.get(word).cloned().unwrap_or_default());
        assert!(away.is_sorted() && aside.is_sorted(), "the order of a key is kept in each: {away:?} {aside:?}");
        let mut both = [away, aside].concat();
        both.sort_unstable();
        both.dedup();
        assert_eq!(both, *all, "each is in one of the two");
    }
}

#[test]
fn a_second_cluster_that_is_waited_for_holds_the_pipeline_up_and_gets_everything_in_order() {
    let (mut far, far_broker) = another();
    let (words, home) = (topic("words", 1), topic("tallies", 1));
    let toml = [
        cluster("home", &bootstrap()),
        cluster("far", &far.address),
        stream("words", "home", &words, ""),
        stream("tallies", "home", &home, ""),
        stream("copies", "far", "copies", "create = true\non_error = \"wait\"\nbreaker = { failures = 1, open_for = \"200ms\" }"),
        "[operators.count]\ninput = \"words\"\noutput = [\"tallies\", \"copies\"]\n".to_owned(),
    ];
    let world = World::on_disk(&toml.concat()).plugin("count", &wasm("count"));
    let world = world.broker("home", Arc::new(broker())).broker("far", Arc::new(far_broker));
    let running = world.start();
    say(&bootstrap(), &words, &["a", "b"]);
    eventually("the first are delivered", || (tallies_at(&far.address, "copies").len() == 2).then_some(()));
    far.kill();
    say(&bootstrap(), &words, &["a", "b", "a"]);
    eventually("its circuit opens", || (running.sum("sangam_sink_circuits_opened", "") >= 2).then_some(()));
    assert_eq!(tallies_at(&bootstrap(), &home).len(), 2, "nothing is committed that it has not got");
    far.again();
    eventually("all is committed", || (tallies_at(&bootstrap(), &home).len() == 5).then_some(()));
    running.stop().unwrap();
    let expected = BTreeMap::from([("a".to_owned(), vec![1, 2, 3]), ("b".to_owned(), vec![1, 2])]);
    assert_eq!(counts(tallies_at(&bootstrap(), &home)), expected, "exactly once");
    let mut away = counts(tallies_at(&far.address, "copies"));
    // What was on its way when the cluster went may have arrived: then it comes twice, as an answer was never heard.
    away.values_mut().for_each(|seen| seen.dedup());
    assert_eq!(away, expected, "nothing is lost, and the order of a key is kept");
}

#[test]
fn an_output_for_a_cluster_that_is_away_is_a_dead_letter_where_the_stream_says_so() {
    let (far, far_broker) = another();
    let sets_aside = "create = true\non_error = \"dead_letter\"\nretry_for = \"500ms\"\nbreaker = { failures = 1, open_for = \"1h\" }";
    let toml = [
        cluster("far", &far.address),
        "[streams.words]\n[streams.tallies]\n".to_owned(),
        stream("copies", "far", "copies", sets_aside),
        "[operators.count]\ninput = \"words\"\noutput = [\"tallies\", \"copies\"]\n".to_owned(),
    ];
    let world = World::new(&toml.concat()).plugin("count", &wasm("count")).broker("far", Arc::new(far_broker));
    let running = world.start();
    far.kill();
    let word = |text: &str| (1_000, word(text));
    world.send("words", 0, &[word("a")]);
    eventually("it is set aside", || (world.read("dead-letters").len() == 1).then_some(()));
    world.send("words", 0, &[word("b"), word("a")]);
    eventually("and so are the next", || (world.read("dead-letters").len() == 3).then_some(()));
    running.stop().unwrap();
    let letters = world.read("dead-letters");
    assert!(letters.iter().all(|letter| letter.header("sangam.output") == "copies"), "{letters:?}");
    let why: Vec<String> = letters.iter().map(|letter| letter.header("sangam.error")).collect();
    assert!(why[0].contains(&far.address) && why[1].contains("circuit is open"), "{why:?}");
    assert_eq!(world.values("tallies").len(), 3, "other outputs do not wait");
    assert_eq!(letters[2].value(), json!({"text": "a", "seen": 2}), "as it was");
}

#[test]
fn while_one_of_two_clusters_that_are_read_is_away_the_other_is_read_and_it_is_taken_up_again() {
    let (mut far, far_broker) = another();
    far_broker.create("words", 1).unwrap();
    let words = topic("words", 1);
    let toml = [
        cluster("home", &bootstrap()),
        cluster("far", &far.address),
        stream("near", "home", &words, ""),
        stream("away", "far", "words", ""),
        "[streams.dead-letters]\n[streams.tallies]\n[streams.more]\n".to_owned(),
        "[operators.near]\nplugin = \"count\"\ninput = \"near\"\noutput = \"tallies\"\n".to_owned(),
        "[operators.away]\nplugin = \"count\"\ninput = \"away\"\noutput = \"more\"\n".to_owned(),
    ];
    let world = World::on_disk(&toml.concat()).plugin("count", &wasm("count"));
    let world = world.broker("home", Arc::new(broker())).broker("far", Arc::new(far_broker));
    let running = world.start();
    say(&bootstrap(), &words, &["a"]);
    say(&far.address, "words", &["a"]);
    eventually("both are read", || (world.read("tallies").len() + world.read("more").len() == 2).then_some(()));
    far.kill();
    say(&bootstrap(), &words, &["a", "a"]);
    eventually("the one is read on", || (world.read("tallies").len() == 3).then_some(()));
    far.again();
    say(&far.address, "words", &["a", "a"]);
    eventually("the other is taken up again", || (world.read("more").len() == 3).then_some(()));
    running.stop().unwrap();
    let expected = BTreeMap::from([("a".to_owned(), vec![1, 2, 3])]);
    let counted = ["tallies", "more"].map(|topic| counts(world.values(topic).iter().map(tally)));
    assert_eq!(counted, [expected.clone(), expected]);
}

#[test]
fn clusters_that_are_one_kafka_under_several_names_are_all_read_to_their_ends() {
    let place = tempfile::tempdir().unwrap();
    let plugins = Path::new(&guest("pass")).parent().unwrap().display().to_string();
    let mut toml = format!("name = \"{}\"\nplugins = \"{plugins}\"\ndata = \"data\"\n", unique("names"));
    for name in ["one", "two", "three"] {
        let words = topic("words", 1);
        say(&bootstrap(), &words, &["a", "b", "c"]);
        toml += &cluster(name, &bootstrap());
        toml += &stream(&format!("in-{name}"), name, &words, "bounded = true");
        toml += &format!("[streams.out-{name}]\nfile = \"{name}.jsonl\"\n");
        toml += &format!("[operators.{name}]\nplugin = \"pass\"\ninput = \"in-{name}\"\noutput = \"out-{name}\"\n");
    }
    std::fs::write(place.path().join("p.toml"), toml).unwrap();
    let ran = run(place.path(), &["run", "p.toml", "--no-screen"], "");
    assert!(ran.ok, "{}", ran.err);
    for name in ["one", "two", "three"] {
        let written = std::fs::read_to_string(place.path().join(format!("{name}.jsonl"))).unwrap();
        assert_eq!(written.lines().count(), 3, "{name}: {written}\n{}", ran.err);
    }
}

#[test]
fn records_that_a_second_cluster_refuses_for_good_are_dead_letters_and_not_for_the_fallback() {
    let (far, far_broker) = another();
    let falls = "create = true\non_error = { fallback = \"kept\" }";
    let toml = [
        cluster("far", &far.address),
        "[streams.words]\n[streams.kept]\n".to_owned(),
        stream("copies", "far", "copies", falls),
        "[operators.count]\ninput = \"words\"\noutput = \"copies\"\n".to_owned(),
    ];
    let world = World::new(&toml.concat()).plugin("count", &wasm("count")).broker("far", Arc::new(far_broker));
    let large = "x".repeat(1_100_000);
    world.send("words", 0, &[(1_000, word("a")), (1_000, word(&large)), (1_000, word("a"))]);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 3, ok: 3, ..Ended::default() });
    assert_eq!(counts(tallies_at(&far.address, "copies")), BTreeMap::from([("a".to_owned(), vec![1, 2])]));
    assert_eq!((world.read("dead-letters").len(), world.read("kept").len()), (1, 0));
}
