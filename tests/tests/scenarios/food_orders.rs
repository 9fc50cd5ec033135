//! The food orders of examples/ while they come: stores are read by key over HTTP, commits keep their interval, and SIGTERM ends it in time.

use sangam::broker::Broker;
use sangam_tests::doors::get;
use sangam_tests::kafka::{self, bootstrap, produce, unique};
use sangam_tests::program::{Ended, Started, folder, guest};
use sangam_tests::world::eventually;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// The example's pipeline, in which each of its files is what `carrier` says of the way (`IN`, `OUT`) and the stream.
fn pipeline(name: &str, carrier: impl Fn(&str, &str) -> String) -> String {
    let text = std::fs::read_to_string(folder("examples/food-orders/pipeline.toml")).unwrap();
    let guests = Path::new(&guest("pass")).parent().unwrap().display().to_string();
    let mut out = String::new();
    for line in text.lines() {
        let line = match line {
            _ if line.starts_with("name =") => format!("name = \"{name}\""),
            _ if line.starts_with("plugins =") => format!("plugins = \"{guests}\""),
            _ if line.starts_with("data =") => "data = \"data\"".to_owned(),
            _ => match line.strip_prefix("file = \"${SANGAM_").and_then(|rest| rest.split_once([':', '}'])) {
                Some((way, rest)) => carrier(way, rest.rsplit('/').next().unwrap().trim_end_matches(".jsonl\"")),
                None => line.to_owned(),
            },
        };
        writeln!(out, "{line}").unwrap();
    }
    out + "\n[admin]\nlisten = \"127.0.0.1:0\"\n"
}

fn order(id: u32, customer: &str, restaurant: &str, amount: f64) -> String {
    let at = 1_700_000_000_000_i64 + i64::from(id) * 1_000;
    json!({
        "order_id": format!("O{id}"), "customer_id": customer, "restaurant_id": restaurant, "items": ["dosa"], "total_amount": amount,
        "delivery_area": "area-1", "timestamp": at
    })
    .to_string()
}

/// Waits until a store has so many orders of a key, and gives what it holds.
fn store(doors: SocketAddr, operator: &str, key: &str, orders: u64) -> Value {
    let path = format!("/api/v1/pipeline/state/{operator}?key={key}");
    eventually("the orders are in the store", || {
        let (status, body) = get(doors, &path);
        let state: Value = (status == 200).then(|| serde_json::from_str(&body).ok())??;
        (state["state"]["orders"] == orders).then(|| state["state"].clone())
    })
}

fn mean(store: &Value) -> f64 {
    store["revenue"].as_f64().unwrap() / 100.0 / store["orders"].as_f64().unwrap()
}

fn number(doors: SocketAddr, metric: &str) -> f64 {
    let text = get(doors, "/metrics").1;
    let line = text.lines().find_map(|line| line.strip_prefix(metric)).unwrap_or_else(|| panic!("no {metric} in\n{text}"));
    line.trim().parse().unwrap()
}

/// Reads the stores while orders come, and ends the program.
fn check(place: &Path, send: impl Fn(&[String])) {
    send(&[order(1, "C1", "R1", 100.0), order(2, "C1", "R2", 50.0), order(3, "C2", "R1", 200.5)]);
    let program = Started::start(place, &["run", "pipeline.toml", "--no-screen"]);
    let doors = program.doors();
    assert_eq!(mean(&store(doors, "restaurants", "R1", 2)), 150.25);
    let profile = store(doors, "customers", "C1", 2);
    assert_eq!((&profile["counts"]["restaurants"], mean(&profile)), (&json!({"R1": 1, "R2": 1}), 75.0));
    // Each order waits for the commit of the one before; commits are at least their interval apart.
    let (began, commits) = (Instant::now(), number(doors, "sangam_commits_total"));
    for id in 4..24 {
        send(&[order(id, "C1", "R1", 10.0)]);
        store(doors, "restaurants", "R1", u64::from(id) - 1);
    }
    eventually("each has had a commit", || (number(doors, "sangam_commits_total") >= commits + 20.0).then_some(()));
    assert!(began.elapsed() >= Duration::from_millis(1_800), "20 commits in {:?}", began.elapsed());
    let restaurant = store(doors, "restaurants", "R1", 22);
    assert_eq!((&restaurant["revenue"], mean(&restaurant)), (&json!(50_050), 500.5 / 22.0));
    store(doors, "customers", "C1", 22);
    let listed = eventually("both restaurants are listed", || {
        let (_, body) = get(doors, "/api/v1/pipeline/state/restaurants?prefix=R&limit=10");
        let keys: Value = serde_json::from_str(&body).ok()?;
        Some(keys["keys"].as_array()?.iter().map(|key| key["key"].clone()).collect::<Vec<_>>()).filter(|keys| keys.len() == 2)
    });
    assert_eq!(listed, [json!("R1"), json!("R2")]);
    let asked = Instant::now();
    program.terminate();
    let Ended { code, err } = program.ended();
    assert_eq!(code, Some(0), "{err}");
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    for state in ["running", "draining", "stopped"] {
        assert!(err.contains(&format!("state=\"{state}\"")), "the log says nothing of {state}:\n{err}");
    }
}

#[test]
fn stores_of_the_food_orders_are_read_by_key_while_orders_come_from_files() {
    let place = tempfile::tempdir().unwrap();
    let file = |way: &str, stream: &str| {
        let follow = if way == "IN" { "\nfollow = true" } else { "" };
        format!("file = \"{stream}.jsonl\"{follow}")
    };
    std::fs::write(place.path().join("pipeline.toml"), pipeline("food", file)).unwrap();
    for stream in ["raw-orders", "restaurant-updates", "supplies"] {
        std::fs::write(place.path().join(format!("{stream}.jsonl")), "").unwrap();
    }
    let send = |orders: &[String]| {
        let path = place.path().join("raw-orders.jsonl");
        let before = std::fs::read_to_string(&path).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert!(before.is_empty() || before.ends_with('\n'));
        std::io::Write::write_all(&mut file, (orders.join("\n") + "\n").as_bytes()).unwrap();
    };
    check(place.path(), send);
}

#[test]
fn stores_of_the_food_orders_are_read_by_key_while_orders_come_from_a_kafka() {
    let place = tempfile::tempdir().unwrap();
    let run = unique("food");
    let topic = |_: &str, stream: &str| format!("cluster = \"main\"\ntopic = \"{run}.{stream}\"\ncreate = true\nformat = \"json\"");
    let text = pipeline(&run, topic) + &format!("[clusters.main]\nkind = \"kafka\"\nbrokers = \"{}\"\n", bootstrap());
    std::fs::write(place.path().join("pipeline.toml"), text).unwrap();
    let raw = format!("{run}.raw-orders");
    kafka::broker().create(&raw, 1).unwrap();
    check(place.path(), |orders| produce(&raw, 0, &orders.iter().map(|order| ("", order.as_str())).collect::<Vec<_>>()));
    let outputs = kafka::committed(&format!("{run}.restaurant-analytics"));
    assert_eq!(outputs.len(), 23, "each order once");
}
