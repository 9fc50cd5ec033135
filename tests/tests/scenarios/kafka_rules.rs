//! Rules that every task is to know reach the keys of all processes that share a pipeline: each task hears each rule once, wherever it is and
//! wherever it moves, and before the keys that come after.

use sangam::task::Topology;
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{bootstrap, broker, committed, compacted, produce, topic, unique};
use sangam_tests::world::{Running, World, eventually};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const TASKS: usize = 3;

/// Enough users for every task to have some.
const USERS: usize = 12;

struct Case {
    name: String,
    payments: String,
    limits: String,
    verdicts: String,
    /// Of every run so far.
    runs: Vec<Arc<Topology>>,
    rules: usize,
    paid: usize,
    /// What times count from. Outputs carry theirs, and Kafka deletes what is older than its retention: so a day ago.
    start: i64,
}

impl Case {
    fn new() -> Case {
        let (payments, limits, verdicts) = (topic("payments", 2), compacted("limits", 2), topic("verdicts", 1));
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 - 86_400_000;
        Case { name: unique("rules"), payments, limits, verdicts, runs: Vec::new(), rules: 0, paid: 0, start }
    }

    fn process(&self) -> World {
        let toml = format!(
            r#"
            [clusters.main]
            kind = "kafka"
            brokers = "{}"
            [streams.payments]
            cluster = "main"
            topic = "{}"
            format = "json"
            timestamp = "at"
            [streams.limits]
            cluster = "main"
            topic = "{}"
            format = "json"
            timestamp = "at"
            [streams.verdicts]
            cluster = "main"
            topic = "{}"
            [operators.limits]
            inputs = {{ in = "payments", broadcast = "limits" }}
            output = "verdicts"
            route = "repartition"
            parallelism = {TASKS}
            "#,
            bootstrap(),
            self.payments,
            self.limits,
            self.verdicts
        );
        World::on_disk(&toml).named(&self.name).plugin("limits", &wasm("limits")).broker("main", Arc::new(broker()))
    }

    fn start(&mut self, world: &World) -> Running {
        let running = world.start();
        self.runs.push(running.topology.clone());
        running
    }

    /// A limit from a time on. A name has one partition, as with a producer that goes by the key.
    fn limit(&mut self, name: &str, at: i64, max: i64) {
        let record = json!({"name": name, "max": max, "at": self.start + at}).to_string();
        produce(&self.limits, i32::from(name > "m"), &[(name, &record)]);
        self.rules += 1;
    }

    /// Every task has heard every rule once, and every payment has been judged once, in all runs together.
    fn until_heard(&self) {
        let expected = (self.rules * TASKS + self.paid) as u64;
        let heard = || self.runs.iter().map(|topology| topology.operators[0].metrics.ok.get()).sum::<u64>();
        eventually("every task knows the rules", || (heard() >= expected).then_some(()));
        assert_eq!(heard(), expected, "a task has heard a rule twice");
    }

    /// Has every user pay 100, whose payment has then broken these limits.
    fn pay(&mut self, at: i64, limits: &[&str]) {
        let records: Vec<String> =
            (0..USERS).map(|user| json!({"user": format!("u{user}"), "amount": 100, "at": self.start + at}).to_string()).collect();
        for (user, record) in records.iter().enumerate() {
            produce(&self.payments, (user % 2) as i32, &[("", record)]);
        }
        self.paid += USERS;
        let number = self.paid / USERS;
        let judged = |verdict: &Value| verdict["payments"] == number && !verdict["user"].as_str().unwrap().ends_with("later");
        let verdicts = eventually("every payment is judged", || {
            let verdicts = committed(&self.verdicts).into_iter().map(|seen| rmp_serde::from_slice::<Value>(&seen.value.unwrap()).unwrap());
            let verdicts: Vec<Value> = verdicts.filter(judged).collect();
            (verdicts.len() >= USERS).then_some(verdicts)
        });
        assert_eq!(verdicts.len(), USERS);
        verdicts.iter().for_each(|verdict| assert_eq!(verdict["limits"], json!(limits), "payment {number}: {verdict}"));
    }
}

#[test]
fn rules_reach_the_keys_of_every_process_also_after_they_have_moved() {
    let mut case = Case::new();
    let (first, second) = (case.process(), case.process());
    case.limit("low", 0, 10);
    let one = case.start(&first);
    case.until_heard();
    case.pay(100, &["low"]);
    // A second process takes a share of the keys, which know what the first one has read.
    let two = case.start(&second);
    eventually("the second has work", || (two.metrics.commits.get() > 0).then_some(()));
    case.limit("new", 150, 50);
    case.until_heard();
    case.pay(200, &["low", "new"]);
    // All of them go to the second, and a rule comes that only it has heard of.
    one.stop().unwrap();
    case.limit("odd", 250, 70);
    case.until_heard();
    case.pay(300, &["low", "new", "odd"]);
    // The first comes back with what it knew when it left.
    let one = case.start(&first);
    eventually("the first has work", || (one.metrics.commits.get() > 0).then_some(()));
    case.limit("zero", 350, 1);
    case.until_heard();
    case.pay(400, &["low", "new", "odd", "zero"]);
    one.stop().unwrap();
    two.stop().unwrap();
    case.until_heard();
}
