//! What operators remember can be asked for by key while the pipeline runs: as of the last commit, by name, and within bounds.

use sangam::admin::Admin;
use sangam::cli::ask::Doors;
use sangam::cli::state::{self, StateCommand};
use sangam_tests::doors::{get, open};
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, broker, cluster, produce, stream, topic};
use sangam_tests::world::{Running, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const STORES: &str = r#"
    [streams.orders]
    partitions = 4
    [streams.standings]
    [streams.passed]
    [operators.customers]
    plugin = "order-stores"
    input = "orders"
    key = "customer"
    outputs = { standings = "standings" }
    discard = ["alerts"]
    config = { amount = ["amount"], tallies = { cities = "city" } }
    [operators.pass]
    input = "orders"
    output = "passed"
"#;

fn stores() -> World {
    World::new(STORES).plugin("order-stores", &wasm("order-stores")).plugin("pass", &wasm("pass"))
}

fn doors(running: &Running) -> Admin {
    open(running, Duration::from_secs(60))
}

fn order(world: &World, customer: &str, amount: f64, city: &str) {
    world.send("orders", 0, &[(1_000, json!({"customer": customer, "amount": amount, "city": city}))]);
}

/// Asks for the state of an operator; what is not 200 is an error.
fn ask(doors: &Admin, path: &str) -> Result<Value, (u16, String)> {
    let (status, body) = get(doors.address(), &format!("/api/v1/pipeline/state/{path}"));
    if status == 200 { Ok(serde_json::from_str(&body).unwrap()) } else { Err((status, body)) }
}

/// Waits until the state of a key has so many orders.
fn with_orders(doors: &Admin, key: &str, orders: u64) -> Value {
    let path = format!("customers?key={key}");
    eventually("the orders are committed", || ask(doors, &path).ok().filter(|state| state["state"]["orders"] == orders))
}

#[test]
fn the_state_of_a_key_is_there_by_the_names_of_the_manifest_as_of_the_last_commit() {
    let world = stores();
    let running = world.start();
    let doors = doors(&running);
    order(&world, "C 1", 200.0, "Pune");
    order(&world, "C 1", 100.5, "Delhi");
    let state = with_orders(&doors, "C+1", 2);
    assert_eq!(state["key"], "C 1");
    assert_eq!(
        state["state"],
        json!({"orders": 2, "revenue": 30_050, "last_order": 1_000, "counts": {"cities": {"Delhi": 1, "Pune": 1}}, "told": []})
    );
    assert_eq!((&state["version"], &state["timers"]), (&json!(1), &json!({})));
    order(&world, "C 1", 1.0, "Delhi");
    with_orders(&doors, "C%201", 3);
    running.stop().unwrap();
}

#[test]
fn keys_are_listed_by_prefix_in_order_and_page_by_page_whatever_slice_they_are_in() {
    let world = stores();
    let running = world.start();
    let doors = doors(&running);
    let names: Vec<String> = (0..25).map(|n| format!("a{n:02}")).chain(["b".to_owned(), "c".to_owned()]).collect();
    names.iter().for_each(|name| order(&world, name, 1.0, "Pune"));
    names.iter().for_each(|name| drop(with_orders(&doors, name, 1)));
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = ask(&doors, &format!("customers?prefix=a&limit=10{after}")).unwrap();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 10 && page["of"] == 4 && page["slices"] == json!([0, 1, 2, 3]), "{page}");
        seen.extend(keys.iter().map(|key| key["key"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, names[..25]);
    let all = ask(&doors, "customers").unwrap();
    assert_eq!(all["keys"].as_array().unwrap().len(), 27);
    assert_eq!(all["keys"].as_array().unwrap().iter().map(|key| key["slice"].as_u64().unwrap()).collect::<BTreeSet<_>>().len(), 4);
    running.stop().unwrap();
}

#[test]
fn a_list_of_large_states_comes_in_pages_of_bounded_size_and_leaves_none_out() {
    let world = stores();
    let running = world.start();
    let doors = doors(&running);
    let city = "x".repeat(60_000);
    let names: Vec<String> = (0..120).map(|n| format!("k{n:03}")).collect();
    names.iter().for_each(|name| order(&world, name, 1.0, &city));
    with_orders(&doors, &names[119], 1);
    let (mut seen, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let (_, body) = get(doors.address(), &format!("/api/v1/pipeline/state/customers?limit=1000{after}"));
        assert!(body.len() < 8 << 20, "{} bytes", body.len());
        let page: Value = serde_json::from_str(&body).unwrap();
        seen.extend(page["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, names);
    assert!(pages > 1, "seven megabytes are not one answer");
    running.stop().unwrap();
}

#[test]
fn what_cannot_be_answered_says_why_and_what_there_is() {
    let world = stores();
    let running = world.start();
    let doors = doors(&running);
    order(&world, "a", 1.0, "Pune");
    with_orders(&doors, "a", 1);
    for (path, status, part) in [
        ("nobody?key=a", 404, "there is no operator `nobody`; the pipeline has customers, pass"),
        ("customers?key=b", 404, "remembers nothing for the key `b`"),
        ("pass?key=a", 404, "keeps no state"),
        ("customers?limit=0", 400, "`limit` is from 1 to 1000"),
        ("customers?limit=1001", 400, "`limit` is from 1 to 1000"),
        ("customers?kee=a", 400, "`kee` is not understood"),
    ] {
        let (found, said) = ask(&doors, path).unwrap_err();
        assert!(found == status && said.contains(part), "{path}: {found} {said}");
    }
    running.control.stop();
    eventually("the run ends", || running.ended().then_some(()));
    assert_eq!(ask(&doors, "customers?key=a").unwrap_err().0, 503, "a run that has ended does not say which slices are its own");
}

#[test]
fn large_state_comes_cell_by_cell_and_timers_with_their_times() {
    let toml = r#"
        [streams.orders]
        [streams.done]
        [operators.sink]
        plugin = "kitchen-sink"
        input = "orders"
        outputs = { done = "done", passed = "done", placed = "done" }
        [streams.views]
        [streams.told]
        [operators.viewers]
        plugin = "live-viewers"
        input = "views"
        key = "content"
        outputs = { milestones = "told", alerts = "told", commands = "told", qualities = "told" }
        config = {}
    "#;
    let world = World::new(toml).plugin("kitchen-sink", &wasm("kitchen-sink")).plugin("live-viewers", &wasm("live-viewers"));
    let running = world.start();
    let doors = doors(&running);
    world.send("orders", 0, &[(0, json!({"key": "k", "act": "wake", "with": {"number": 500, "text": "alarm"}}))]);
    let timers = eventually("the timer is committed", || Some(ask(&doors, "sink?key=k").ok()?["timers"].clone()));
    assert_eq!(timers, json!({"alarm": 500}));
    let view = |session: &str, act: &str| json!({"content": "match", "session_id": session, "event_type": act, "quality": "hd", "buffer_health": 90.0});
    world.send("views", 0, &[(1, view("s1", "play")), (2, view("s2", "play")), (3, view("s1", "stop")), (4, view("s3", "play"))]);
    let state = eventually("four events are committed", || {
        ask(&doors, "viewers?key=match").ok().filter(|state| !state["state"]["sessions"]["s3"].is_null())
    });
    assert_eq!(state["state"]["sessions"], json!({"s2": true, "s3": true}), "{state}");
    assert_eq!(state["state"].get("$more"), None);
    // More cells than one answer has.
    let many: Vec<_> = (0..1_100).map(|n| (10 + n, view(&format!("t{n:04}"), "play"))).collect();
    world.send("views", 0, &many);
    let state =
        eventually("they are committed", || ask(&doors, "viewers?key=match").ok().filter(|state| !state["state"]["$more"].is_null()));
    assert!(state["state"]["sessions"].as_object().unwrap().len() <= 1_000, "{state}");
    running.stop().unwrap();
}

#[test]
fn sangam_state_asks_the_doors_and_prints_what_they_say() {
    let world = stores();
    let running = world.start();
    let doors = doors(&running);
    order(&world, "a&b", 7.0, "Pune");
    with_orders(&doors, "a%26b", 1);
    let said = |operator: &str, key: Option<&str>| {
        let (operator, key, admin) = (operator.to_owned(), key.map(str::to_owned), doors.address().to_string());
        let command = StateCommand { operator, key, prefix: String::new(), after: None, limit: 100, doors: Doors { admin, token: None } };
        let mut out = Vec::new();
        state::run(&command, &mut out).map_err(|why| why.to_string())?;
        Ok::<Value, String>(serde_json::from_slice(&out).unwrap())
    };
    assert_eq!(said("customers", Some("a&b")).unwrap()["state"]["revenue"], 700);
    assert_eq!(said("customers", None).unwrap()["keys"][0]["key"], "a&b");
    assert!(said("nobody", None).unwrap_err().contains("the pipeline has customers, pass"));
    running.stop().unwrap();
}

#[test]
fn over_kafka_a_key_of_another_process_is_answered_with_where_to_ask() {
    let (orders, standings) = (topic("orders", 4), topic("standings", 1));
    let toml = format!(
        "{}options = {{ \"session.timeout.ms\" = \"6000\" }}\n{}{}[operators.customers]\nplugin = \"order-stores\"\ninput = \"orders\"\n\
         key = \"customer\"\noutputs = {{ standings = \"standings\" }}\ndiscard = [\"alerts\"]\nconfig = {{ amount = [\"amount\"] }}\n",
        cluster("main", &bootstrap()),
        stream("orders", "main", &orders, "key = \"customer\""),
        stream("standings", "main", &standings, "")
    );
    let kafka = Arc::new(broker());
    let one = World::on_disk(&toml).plugin("order-stores", &wasm("order-stores")).broker("main", kafka.clone());
    let name = one.pipeline().name;
    let other = World::on_disk(&toml).named(&name).plugin("order-stores", &wasm("order-stores")).broker("main", kafka);
    let keys: Vec<String> = (0..12).map(|n| format!("C{n}")).collect();
    for key in &keys {
        let partition = sangam::route::partition_of(key.as_bytes(), 4) as i32;
        produce(&orders, partition, &[(key, &json!({"customer": key, "amount": 5.0}).to_string())]);
    }
    let running = [one.start(), other.start()];
    let doors = running.each_ref().map(doors);
    let asked = |key: &str| doors.each_ref().map(|doors| ask(doors, &format!("customers?key={key}")));
    eventually("every key is with exactly one of the two, and both have some", || {
        let answers: Vec<_> = keys.iter().map(|key| asked(key)).collect();
        let told = answers.iter().all(|answers| {
            let there = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|state| state["state"]["orders"] == 1)).count();
            let elsewhere = answers.iter().filter(|answer| answer.as_ref().is_err_and(|(status, _)| *status == 409)).count();
            (there, elsewhere) == (1, 1)
        });
        let both = (0..2).all(|at| answers.iter().any(|answers| answers[at].is_ok()));
        (told && both).then_some(())
    });
    let elsewhere = keys.iter().find_map(|key| asked(key)[0].clone().err()).unwrap();
    assert!(elsewhere.1.contains("which another process of the pipeline has; ask at the admin doors of the others"), "{}", elsewhere.1);
    // Not asked how they end: who stops while the group shares anew leaves its last commit to the other.
    drop(running);
}

#[test]
fn after_a_swap_state_has_the_names_of_the_new_build_and_what_is_not_migrated_yet_its_old_version() {
    let toml = "[streams.words]\n[streams.tallies]\n[operators.count]\ninput = \"words\"\noutput = \"tallies\"\n";
    let world = World::new(toml).plugin("count", &wasm("count"));
    let running = world.start();
    let doors = doors(&running);
    let say = |text: &str| world.send("words", 0, &[(0, json!({ "text": text }))]);
    say("a");
    say("b");
    let committed = |key: &str, expected: Value| {
        let path = format!("count?key={key}");
        eventually("it is committed", || {
            ask(&doors, &path).ok().filter(|state| [&state["version"], &state["state"]] == [&expected[0], &expected[1]])
        });
    };
    committed("b", json!([1, {"count": 1}]));
    running.offer("count", wasm("count-next"));
    eventually("the new build runs", || (running.metrics.reloads.get() == 1).then_some(()));
    say("a");
    committed("a", json!([2, {"since": 1, "count": 2}]));
    committed("b", json!([1, [1]]));
    running.stop().unwrap();
}

#[test]
fn what_every_task_knows_is_asked_for_by_a_word_and_is_no_key_of_the_list() {
    let toml = r#"
        [streams.payments]
        [streams.limits]
        [streams.verdicts]
        [operators.limits]
        inputs = { in = "payments", broadcast = "limits" }
        output = "verdicts"
    "#;
    let world = World::new(toml).plugin("limits", &wasm("limits"));
    world.send("limits", 0, &[(0, json!({"name": "small", "max": 50}))]);
    world.send("payments", 0, &[(1, json!({"user": "u", "amount": 100}))]);
    let running = world.start();
    let doors = doors(&running);
    let shared = eventually("it is committed", || ask(&doors, "limits?key=$broadcast").ok());
    assert!(shared["key"] == "$broadcast" && shared["state"].to_string().contains("small"), "{shared}");
    let listed = eventually("the payer is committed", || ask(&doors, "limits").ok().filter(|page| !page["keys"][0].is_null()));
    assert_eq!(listed["keys"].as_array().unwrap().iter().map(|key| key["key"].clone()).collect::<Vec<_>>(), [json!("u")]);
    running.stop().unwrap();
}
