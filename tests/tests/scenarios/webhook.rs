//! A stream that is an HTTP endpoint: every output is delivered before its commit, what cannot be is tried again or kept, and an endpoint that
//! keeps failing is left alone.

use sangam::broker::OutRecord;
use sangam_tests::guests::wasm;
use sangam_tests::http::Server;
use sangam_tests::kafka::{bootstrap, committed, stream, topic, unique};
use sangam_tests::words::{self, process, tally, write_words};
use sangam_tests::world::{Ended, World, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Counts words, and tells an endpoint; `more` is further settings of the endpoint.
fn telling(server: &Server, more: &str) -> World {
    let toml = format!(
        "[streams.words]\n[streams.tallies]\nurl = \"http://{}/hook?token=hidden\"\n{more}\n[operators.count]\ninput = \"words\"\noutput = \"tallies\"\n",
        server.address
    );
    World::new(&toml).plugin("count", &wasm("count"))
}

fn say(world: &World, words: &[&str]) {
    let events: Vec<(i64, Value)> = words.iter().map(|word| (1_000, json!({ "text": word }))).collect();
    world.send("words", 0, &events);
}

/// What was delivered, as word and count.
fn told(server: &Server) -> Vec<(String, u64)> {
    server.taken().iter().map(|body| tally(&serde_json::from_str(body).unwrap())).collect()
}

#[test]
fn each_output_is_a_request_in_json_with_the_headers_of_the_file_and_a_name_of_its_own() {
    let server = Server::willing();
    let world = telling(&server, "headers = { Authorization = \"Bearer s3cret\" }");
    say(&world, &["a", "b", "a"]);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 3, ok: 3, ..Ended::default() });
    let told: BTreeSet<_> = told(&server).into_iter().collect();
    assert_eq!(told, [("a".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 1)].into());
    let seen = server.seen();
    for (request, _) in &seen {
        assert_eq!(request.line, "POST /hook?token=hidden HTTP/1.1");
        assert_eq!(
            (request.headers["authorization"].as_str(), request.headers["content-type"].as_str()),
            ("Bearer s3cret", "application/json")
        );
    }
    let names: BTreeSet<&str> = seen.iter().map(|(request, _)| request.headers["idempotency-key"].as_str()).collect();
    assert_eq!(names, ["test/count/tallies/words/0/0/0", "test/count/tallies/words/0/1/0", "test/count/tallies/words/0/2/0"].into());
    assert!(!format!("{:?}", world.pipeline()).contains("s3cret"), "values of headers are never printed");
    assert!(!format!("{:?}", world.pipeline()).contains("hidden"), "nor is what follows the host");
}

#[test]
fn outputs_of_a_key_come_in_order_however_many_requests_are_under_way() {
    let server = Server::start(|n, _| if n % 7 == 3 { (503, "retry-after: 0\r\n") } else { (200, "") });
    let world = telling(&server, "in_flight = 4\nformat = \"json\"");
    let words: Vec<String> = (0..200).map(|n| format!("w{}", n % 5)).collect();
    let key = |word: &String| word.clone().into_bytes();
    let values: Vec<_> = words.iter().map(|word| (key(word), rmp_serde::to_vec_named(&json!({ "text": word })).unwrap())).collect();
    let record = |(key, value): &'_ (Vec<u8>, Vec<u8>)| (key.clone(), value.clone());
    for (key, value) in values.iter().map(record) {
        world.write(&[OutRecord { topic: "words", partition: 0, key: Some(&key), value: Some(&value), headers: &[], time: 0 }]);
    }
    world.drain().unwrap();
    let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    told(&server).into_iter().for_each(|(word, seen)| counts.entry(word).or_default().push(seen));
    assert_eq!(counts.len(), 5);
    assert!(counts.values().all(|seen| seen.iter().copied().eq(1..=40)), "{counts:?}");
}

#[test]
fn what_the_endpoint_refuses_is_a_dead_letter_with_its_answer_and_the_others_are_delivered() {
    let server = Server::start(|_, request| if request.body.contains("bad") { (422, "") } else { (200, "") });
    let world = telling(&server, "");
    say(&world, &["a", "bad", "b"]);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 3, ok: 3, ..Ended::default() });
    assert_eq!(told(&server).len(), 2);
    assert_eq!(server.seen().len(), 3, "it is asked once");
    let letters = world.read("dead-letters");
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].header("sangam.output"), letters[0].header("sangam.offset")), ("tallies".to_owned(), "1".to_owned()));
    let why = letters[0].header("sangam.error");
    assert!(why.contains("answers 422: why") && !why.contains("hidden"), "{why}");
    assert_eq!(letters[0].value(), json!({"text": "bad", "seen": 1}));
}

#[test]
fn an_endpoint_that_fails_for_a_while_is_tried_again_and_nothing_is_lost_or_taken_twice() {
    for status in [500, 503, 429, 408] {
        let server = Server::start(move |n, _| if n < 3 { (status, "") } else { (200, "") });
        let world = telling(&server, "in_flight = 1");
        say(&world, &["a", "b"]);
        world.drain().unwrap();
        assert_eq!(told(&server), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        let names: Vec<String> = server.seen()[..4].iter().map(|(request, _)| request.headers["idempotency-key"].clone()).collect();
        assert!(names.iter().all(|name| *name == names[0]), "the same request each time: {names:?}");
        assert!(world.read("dead-letters").is_empty());
    }
}

#[test]
fn an_endpoint_that_says_when_to_come_back_is_left_alone_till_then() {
    let server = Server::start(|n, _| if n == 0 { (429, "retry-after: 1\r\n") } else { (200, "") });
    let world = telling(&server, "in_flight = 4");
    say(&world, &["a"]);
    world.drain().unwrap();
    let seen = server.seen();
    assert!(seen.len() == 2 && seen[1].0.at - seen[0].0.at >= Duration::from_secs(1), "{seen:?}");
    // Longer than an event is tried: it is set aside at once, and so are others, without another request.
    let server = Server::start(|_, _| (503, "retry-after: 100\r\n"));
    let world = telling(&server, "on_error = \"dead_letter\"\nretry_for = \"10s\"\nin_flight = 1");
    say(&world, &["a", "b"]);
    world.drain().unwrap();
    assert_eq!((server.seen().len(), world.read("dead-letters").len()), (1, 2));
}

#[test]
fn work_that_is_done_again_after_a_failed_commit_tells_the_endpoint_under_the_same_names() {
    let server = Server::willing();
    let mut world = telling(&server, "");
    let controls = world.controls("local");
    controls.fail_flushes(1);
    say(&world, &["a", "b"]);
    world.drain().unwrap();
    let names: BTreeSet<String> = server.seen().into_iter().map(|(request, _)| request.headers["idempotency-key"].clone()).collect();
    assert_eq!(names.len(), 2, "repeats can be told: {:?}", server.seen());
    assert_eq!(told(&server).into_iter().collect::<BTreeSet<_>>(), [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
}

#[test]
fn while_the_circuit_is_open_outputs_are_dead_letters_and_one_trial_closes_it() {
    let server = Server::start(|_, _| (500, ""));
    let breaker = "on_error = \"dead_letter\"\nretry_for = \"1ms\"\nbreaker = { failures = 2, open_for = \"300ms\" }\nin_flight = 1";
    let world = telling(&server, breaker);
    let running = world.start();
    say(&world, &["a", "b", "c", "d", "e"]);
    eventually("all are dead letters", || (world.read("dead-letters").len() == 5).then_some(()));
    assert_eq!(server.seen().len(), 2, "after two failures it is left alone");
    assert_eq!((running.sum("sangam_sink_circuits_opened", ""), running.sum("sangam_sink_failures", "")), (1, 2));
    let reasons: Vec<String> = world.read("dead-letters").iter().map(|letter| letter.header("sangam.error")).collect();
    assert!(reasons[1].contains("answers 500") && reasons[4].contains("circuit is open"), "{reasons:?}");
    server.answers(|_, _| (200, ""));
    let mut said = 0;
    eventually("an output is delivered again", || {
        say(&world, &["f"]);
        said += 1;
        (!told(&server).is_empty()).then_some(())
    });
    eventually("the circuit is closed", || (running.sum("sangam_sink_circuit_open", "") == 0).then_some(()));
    eventually("all are read", || (running.sum("sangam_operator_events_in_total", "") == 5 + said).then_some(()));
    running.stop().unwrap();
    assert_eq!(told(&server).len() + world.read("dead-letters").len(), 5 + said as usize, "each is in one of the two");
}

/// The same with a topic for what cannot be delivered.
fn falling_back(server: &Server, more: &str) -> World {
    telling(server, &format!("on_error = {{ fallback = \"held\" }}\nin_flight = 1\n{more}\n[streams.held]"))
}

/// What the fallback has got, as word and count.
fn held(world: &World) -> Vec<(String, u64)> {
    world.values("held").iter().map(tally).collect()
}

#[test]
fn what_cannot_be_delivered_goes_to_the_fallback_in_order_until_one_trial_gets_through_again() {
    let server = Server::start(|_, _| (503, ""));
    let world = falling_back(&server, "retry_for = \"1ms\"\nbreaker = { failures = 2, open_for = \"300ms\" }");
    let running = world.start();
    say(&world, &["a", "b", "a", "b", "a"]);
    eventually("all are held", || (held(&world).len() == 5).then_some(()));
    let as_they_were = [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)].map(|(word, seen)| (word.to_owned(), seen));
    assert_eq!((held(&world), server.seen().len()), (as_they_were.to_vec(), 2), "after two failures it is left alone");
    assert_eq!(running.sum("sangam_sink_circuit_open", ""), 1);
    server.answers(|_, _| (200, ""));
    let mut said = 5;
    eventually("an output is delivered again", || {
        say(&world, &["a"]);
        said += 1;
        (!told(&server).is_empty()).then_some(())
    });
    let outputs = || held(&world).len() + told(&server).len();
    eventually("each has gone somewhere", || (outputs() == said).then_some(()));
    assert_eq!(running.sum("sangam_sink_circuit_open", ""), 0);
    assert_eq!(running.metrics.run.restarts.get(), 0, "nobody has waited for it");
    running.stop().unwrap();
    assert_eq!(outputs(), said, "each is in one of the two");
    // The order of a key is kept: what was held comes before what is delivered.
    let all = held(&world).into_iter().chain(told(&server)).filter(|(word, _)| word == "a").map(|(_, seen)| seen);
    assert!(all.eq(1..=said as u64 - 2));
    assert!(world.read("dead-letters").is_empty());
}

#[test]
fn what_an_endpoint_refuses_for_good_is_a_dead_letter_and_not_for_the_fallback() {
    let server = Server::start(|_, request| if request.body.contains("bad") { (422, "") } else { (200, "") });
    let world = falling_back(&server, "");
    say(&world, &["a", "bad", "a"]);
    assert_eq!(world.drain().unwrap()["count"], Ended { events: 3, ok: 3, ..Ended::default() });
    assert_eq!(told(&server), [("a".to_owned(), 1), ("a".to_owned(), 2)]);
    assert_eq!((world.read("dead-letters").len(), held(&world)), (1, Vec::new()));
}

#[test]
fn an_endpoint_that_is_waited_for_holds_the_pipeline_up_and_loses_nothing() {
    let server = Server::start(|_, _| (503, ""));
    let world = telling(&server, "breaker = { failures = 3, open_for = \"100ms\" }\nin_flight = 2");
    say(&world, &["a", "b", "a"]);
    let running = world.start();
    eventually("the circuit opens again and again", || (running.sum("sangam_sink_circuits_opened", "") >= 3).then_some(()));
    assert!(world.read("dead-letters").is_empty() && !running.ended());
    server.answers(|_, _| (200, ""));
    eventually("all is delivered", || (told(&server).len() >= 3).then_some(()));
    running.stop().unwrap();
    assert_eq!(told(&server).into_iter().collect::<BTreeSet<_>>(), [("a".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 1)].into());
    assert!(world.read("dead-letters").is_empty());
}

#[test]
fn an_endpoint_may_stand_beside_topics_at_kafka_which_stay_exactly_once() {
    let server = Server::start(|_, request| if request.body.contains("bad") { (400, "") } else { (200, "") });
    let (words, tallies, letters) = (topic("words", 1), topic("tallies", 1), topic("letters", 1));
    let toml = words::counting(&bootstrap(), &words, &tallies, "").replace("\"tallies\"\n", "[\"tallies\", \"hook\"]\n");
    let letters_and_hook = format!("{}[streams.hook]\nurl = \"http://{}\"\n", stream("dead-letters", "main", &letters, ""), server.address);
    let world = process(&unique("hooked"), &format!("guarantee = \"exactly_once\"\n{toml}{letters_and_hook}"));
    write_words(&words, 0, ["a", "bad", "a"]);
    world.drain().unwrap();
    assert_eq!(words::tallies(&tallies), [("a".to_owned(), 1), ("bad".to_owned(), 1), ("a".to_owned(), 2)]);
    assert_eq!(told(&server).into_iter().collect::<BTreeSet<_>>(), [("a".to_owned(), 1), ("a".to_owned(), 2)].into());
    assert_eq!(committed(&letters).len(), 1, "in the transaction, for the endpoint only");
}
