//! The example systems that live on a pipeline's own metrics: alerts that go to webhooks and end again, and what a month of running costs.

use sangam_tests::guests::wasm;
use sangam_tests::http::Server;
use sangam_tests::program::folder;
use sangam_tests::world::{NOW, Running, Seen, World, eventually};
use serde_json::{Value, json};

const SAMPLE: i64 = 30_000;

/// The world of an example's `own.toml`; its clusters, folders and name are the world's.
fn example(name: &str, server: Option<&Server>, plugins: &[&str]) -> World {
    let text = std::fs::read_to_string(folder("examples").join(name).join("own.toml")).unwrap();
    let (_, tables) = text.split_once("dead_letters = \"refused\"\n").unwrap();
    let tables = server.map_or(tables.to_owned(), |server| tables.replace("127.0.0.1:9601", &server.address.to_string()));
    let world = World::new(&format!("dead_letters = \"refused\"\n{tables}"));
    plugins.iter().fold(world, |world, plugin| world.plugin(plugin, &wasm(plugin)))
}

fn events(world: &World, topic: &str) -> Vec<Value> {
    world.read(topic).iter().map(Seen::json).collect()
}

/// How many samples an operator has dealt with.
fn dealt_with(running: &Running, operator: &str) -> u64 {
    let node = running.topology.operators.iter().find(|node| &*node.name == operator).unwrap();
    node.metrics.ok.get() + node.metrics.dead_letters.get()
}

/// Lets orders come in, and then takes a sample.
fn interval(world: &World, running: &Running, good: usize, bad: usize) {
    let before = dealt_with(running, "customers");
    let order = |amount: Value| (1_000, json!({"customer_id": "c", "amount": amount}).to_string());
    let orders: Vec<_> = (0..good).map(|_| order(json!(10.0))).chain((0..bad).map(|_| order(json!("no number")))).collect();
    let record = |(time, value): &(i64, String)| (*time, value.clone().into_bytes());
    let orders: Vec<_> = orders.iter().map(record).collect();
    let records: Vec<_> = orders.iter().map(|(time, value)| sangam_tests::world::record("orders", 0, *time, value)).collect();
    world.write(&records);
    eventually("the orders are dealt with", || (dealt_with(running, "customers") == before + (good + bad) as u64).then_some(()));
    let taken = dealt_with(running, "metric-alerts");
    world.clock.advance(SAMPLE);
    eventually("the sample is looked at", || (dealt_with(running, "metric-alerts") >= taken + 4).then_some(()));
}

#[test]
fn a_pipelines_own_samples_raise_an_alert_at_its_webhooks_once_and_end_it_once() {
    let server = Server::willing();
    let world = example("monitoring", Some(&server), &["metric-alerts", "health-score", "order-stores"]);
    let running = world.start();
    let told = || -> Vec<(String, Value)> {
        let bodies =
            server.seen().into_iter().map(|(request, _)| (request.line.clone(), serde_json::from_str::<Value>(&request.body).unwrap()));
        let errors = bodies.filter(|(_, alert)| alert["metric"] == "error_rate_percent");
        let channel = |line: String| line.split(['/', ' ']).nth(2).unwrap().to_owned();
        let mut told: Vec<_> = errors.map(|(line, alert)| (channel(line), alert)).collect();
        told.sort_by_key(|(channel, alert)| (alert["at"].as_i64(), channel.clone()));
        told
    };
    interval(&world, &running, 80, 20);
    interval(&world, &running, 80, 20);
    assert_eq!(told(), [], "two samples say nothing");
    interval(&world, &running, 80, 20);
    let firing = eventually("the alert fires", || Some(told()).filter(|told| told.len() == 3));
    for ((channel, alert), expected) in firing.iter().zip(["pagerduty", "slack", "sms"]) {
        assert_eq!((channel.as_str(), &alert["state"], &alert["level"]), (expected, &json!("firing"), &json!("critical")), "{alert}");
        assert_eq!((&alert["region"], &alert["at"], &alert["samples"]), (&json!("mumbai"), &json!(NOW + 3 * SAMPLE), &json!(3)), "{alert}");
    }
    // Three of four in two minutes are less than 80 %.
    interval(&world, &running, 100, 0);
    let all = eventually("the alert ends", || Some(told()).filter(|told| told.len() == 6));
    assert!(all[3..].iter().all(|(_, alert)| alert["state"] == "recovered" && alert["at"] == NOW + 4 * SAMPLE), "{all:?}");
    for _ in 0..2 {
        interval(&world, &running, 100, 0);
    }
    assert_eq!(told().len(), 6, "it fires once and ends once");
    eventually("the health is told", || (!events(&world, "health").is_empty()).then_some(()));
    running.stop().unwrap();
    let health: Vec<Value> = events(&world, "health").iter().map(|health| health["high_alerts"].clone()).collect();
    assert!(health.contains(&json!(1)) && health.last() == Some(&json!(0)), "{health:?}");
}

#[test]
fn a_month_of_a_pipelines_own_samples_is_billed_by_the_hours_that_it_ran() {
    const HOUR: i64 = 3_600_000;
    const MONTH: i64 = 720 * HOUR;
    let world = example("cost-adviser", None, &["region-usage", "cost-adviser", "scaling-plan"]);
    let running = world.start();
    let sample = |by: i64| {
        let taken = dealt_with(&running, "region-usage");
        world.clock.advance(by);
        eventually("the sample is gathered", || (dealt_with(&running, "region-usage") >= taken + 3).then_some(()));
    };
    // The first look is when the run starts, a few samples within one month, then the next month, whose first hours close the one before.
    eventually("it is at work", || running.control.running().then_some(()));
    let start = NOW;
    let month = start.div_euclid(MONTH) * MONTH;
    for _ in 0..5 {
        sample(HOUR);
    }
    sample(month + MONTH + 2 * HOUR - start - 5 * HOUR);
    sample(2 * HOUR);
    let bill = eventually("the month is billed", || events(&world, "bills").into_iter().next());
    let total = events(&world, "totals").remove(0);
    running.stop().unwrap();
    assert_eq!((&bill["month"], &bill["region"]), (&json!(month), &json!("mumbai")));
    assert_eq!(bill["compute"], json!(5.0 * 8.0), "five hours of one process");
    assert_eq!(bill["partitions"], json!(50.0), "the samples' one partition");
    assert_eq!(total["month"], bill["month"]);
    let plan = events(&world, "plan");
    assert!(plan.iter().all(|plan| plan["instances"] == 1 && plan["wanted"].as_u64() >= Some(2)), "{plan:?}");
    assert_eq!(world.read("refused").len(), 0);
}
