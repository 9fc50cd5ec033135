//! The system of several regions over two real clusters, one of which is stopped and started again; and clusters that copy to each other.

use sangam::broker::{Broker, KafkaBroker, KafkaOptions};
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{OwnBroker, Seen, bootstrap, broker, cluster, committed_at, produce_at, stream, topic, unique};
use sangam_tests::program::folder;
use sangam_tests::world::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

fn connect(address: &str) -> KafkaBroker {
    KafkaBroker::connect(KafkaOptions::new(address)).unwrap()
}

fn send(address: &str, topic: &str, events: &[Value]) {
    let values: Vec<String> = events.iter().map(Value::to_string).collect();
    let keys = events.iter().map(|event| event["user_id"].as_str().unwrap());
    produce_at(address, topic, 0, &keys.zip(values.iter().map(String::as_str)).collect::<Vec<_>>());
}

fn events(address: &str, topic: &str) -> Vec<Value> {
    committed_at(address, topic).iter().map(Seen::json).collect()
}

/// The events of each user, by their numbers, in the order in which they stand.
fn by_user<'v>(events: impl IntoIterator<Item = &'v Value>) -> BTreeMap<String, Vec<u64>> {
    let mut users: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in events {
        let number = event["event_id"].as_str().unwrap().parse().unwrap();
        users.entry(event["user_id"].as_str().unwrap().to_owned()).or_default().push(number);
    }
    users
}

/// The pipeline of the example as the tool writes it for Kafka, for topics whose names begin with `run`.
fn pipeline(run: &str) -> String {
    let tool = folder("scripts/lib/example.py");
    let printed =
        Command::new("python3").arg(tool).args(["pipeline", "multi-region", "--kafka", &bootstrap(), "--run", run]).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let text = String::from_utf8(printed.stdout).unwrap().replace("${SANGAM_RUN}", run).replace("bounded = true", "");
    // What a world of a test has of its own.
    let ours = |line: &&str| !["name = ", "plugins = ", "data = "].iter().any(|key| line.starts_with(key));
    text.lines()
        .filter(ours)
        .collect::<Vec<_>>()
        .join("\n")
        .replace("retry_for = \"8s\"", "breaker = { failures = 5, open_for = \"500ms\" }")
}

#[test]
fn while_the_cluster_of_other_regions_is_away_the_first_one_goes_on_and_keeps_what_is_for_them() {
    let mut others = OwnBroker::start();
    let run = unique("regions");
    broker().create(&format!("{run}.traffic"), 1).unwrap();
    let mut world = World::on_disk(&pipeline(&run)).broker("main", Arc::new(broker()));
    for name in ["delhi", "bangalore", "hyderabad"] {
        world = world.broker(name, Arc::new(connect(&others.address)));
    }
    for plugin in ["region-router", "in-region", "replicate"] {
        world = world.plugin(plugin, &wasm(plugin));
    }
    let at = |name: &str| format!("{run}.{name}");
    let mut number = 0;
    let mut say = |count: u64| {
        let sent = (number..number + count).map(|n| {
            let origin = if n % 2 == 0 { "mumbai" } else { "delhi" };
            json!({"kind": "event", "event_id": n.to_string(), "user_id": format!("u{}", n % 10), "topic": "user_events", "priority": 5,
                   "origin": origin, "content_type": "other", "timestamp": 1_700_000_000_000u64 + n})
        });
        send(&bootstrap(), &at("traffic"), &sent.collect::<Vec<_>>());
        number += count;
        number
    };
    let running = world.start();
    say(100);
    eventually("Delhi has its half", || (events(&others.address, &at("delhi")).len() == 50).then_some(()));
    eventually("and the copies of the other", || (events(&others.address, &at("user_events-replica")).len() == 50).then_some(()));
    others.kill();
    say(100);
    eventually("what is for Delhi is kept", || (events(&bootstrap(), &at("held")).len() == 100).then_some(()));
    eventually("Mumbai goes on", || (events(&bootstrap(), &at("mumbai")).len() == 100).then_some(()));
    others.again();
    let mut all = 200;
    eventually("Delhi gets its events again", || {
        all = say(10);
        let delivered = |name: &str| events(&others.address, &at(name)).len() > 50;
        (delivered("delhi") && delivered("user_events-replica")).then_some(())
    });
    eventually("all is routed", || (events(&bootstrap(), &at("mumbai")).len() as u64 == all / 2).then_some(()));
    assert_eq!(running.metrics.run.restarts.get(), 0);
    running.stop().unwrap();
    let held = events(&bootstrap(), &at("held"));
    let (copies, routed): (Vec<&Value>, Vec<&Value>) = held.iter().partition(|event| event["replicated_from"] == "mumbai");
    let (delhi, replica) = (events(&others.address, &at("delhi")), events(&others.address, &at("user_events-replica")));
    for (arrived, kept, first) in [(delhi, routed, 1), (replica, copies, 0)] {
        let (arrived, kept) = (by_user(&arrived), by_user(kept));
        assert!(arrived.values().chain(kept.values()).all(|numbers| numbers.is_sorted()), "the order of a user is kept in each");
        let mut union: Vec<u64> = arrived.into_values().chain(kept.into_values()).flatten().collect();
        union.sort_unstable();
        union.dedup();
        assert!(union.into_iter().eq((first..all).step_by(2)), "each is in one of the two");
    }
    let mumbai = by_user(&events(&bootstrap(), &at("mumbai")));
    assert!(
        mumbai.values().flatten().count() as u64 == all / 2 && mumbai.values().all(|numbers| numbers.is_sorted()),
        "exactly once, in order"
    );
    let backup = by_user(&events(&bootstrap(), &at("backup")));
    assert_eq!(backup.values().flatten().count() as u64, all / 2, "the backup has all that was routed to Delhi, once");
}

#[test]
fn clusters_that_copy_to_each_other_get_each_event_once_and_no_copy_of_a_copy() {
    let far = OwnBroker::start();
    let near = topic("events", 1);
    connect(&far.address).create("events", 1).unwrap();
    let copying = |from: (&str, &str), to: (&str, &str)| {
        let operator = "[operators.replicate]\ninput = \"from\"\noutput = \"to\"\nconfig = { from = [\"here\"] }\n";
        let at = |name: &str, (address, topic): (&str, &str)| cluster(name, address) + &stream(name, name, topic, "");
        let world = World::on_disk(&format!("{}{}{operator}", at("from", from), at("to", to))).plugin("replicate", &wasm("replicate"));
        world.broker("from", Arc::new(connect(from.0))).broker("to", Arc::new(connect(to.0)))
    };
    let (here, there) = ((bootstrap(), near.as_str()), (far.address.clone(), "events"));
    let forth = copying((&here.0, here.1), (&there.0, there.1));
    let back = copying((&there.0, there.1), (&here.0, here.1));
    let (forth, back) = (forth.start(), back.start());
    let event = |id: &str| json!({"event_id": id, "user_id": "u", "region": "here", "topic": "t", "timestamp": 5});
    send(&here.0, here.1, &[event("1"), event("2"), event("3")]);
    eventually("they are copied", || (events(&there.0, there.1).len() == 3).then_some(()));
    // Behind the copies, so that when it has come back those have been looked at.
    send(&there.0, there.1, &[event("4")]);
    eventually("the other way, too", || (events(&here.0, here.1).len() == 4).then_some(()));
    send(&here.0, here.1, &[event("5")]);
    eventually("and all is read", || (events(&there.0, there.1).len() == 5).then_some(()));
    forth.stop().unwrap();
    back.stop().unwrap();
    let ids = |address: &str, topic: &str| {
        events(address, topic).iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&here.0, here.1), ["1", "2", "3", "4", "5"]);
    assert_eq!(ids(&there.0, there.1), ["1", "2", "3", "4", "5"]);
    let headers = committed_at(&there.0, there.1).into_iter().map(|seen| seen.headers);
    let copied: Vec<bool> = headers.map(|headers| headers == [("replicated_from".to_owned(), Some(b"here".to_vec()))]).collect();
    assert_eq!(copied, [true, true, true, false, true], "a copy says where it is from");
}
