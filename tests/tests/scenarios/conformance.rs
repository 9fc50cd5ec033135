//! The facts in `tests/vectors/semantics.json` on the real engine, each in four ways: plain, restarted after every step, in several tasks
//! that are put on other workers midway, and with another build after every step. All four agree, and nothing is left in the store.
//!
//! Here are windows and patterns that a plugin can be configured to; the SDK's tests run every case of these kinds and the others.

use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{Seen, World, eventually};
use serde_json::{Value, json};

/// The facts speak of times around 0, which the host refuses as times of events: all of them are moved by this much, a multiple of every
/// length in them.
const EPOCH: i64 = 30_000_000;

enum Step {
    Event(i64, Value),
    Watermark(i64),
}

/// What an operator made of the steps: what it emitted and what came late, in an order of their own.
#[derive(Debug, PartialEq)]
struct Ran {
    emitted: Vec<String>,
    late: Vec<i64>,
}

/// An operator, its configuration as TOML, and what happens to it.
struct Case {
    id: String,
    plugin: &'static str,
    outputs: &'static str,
    config: String,
    steps: Vec<Step>,
    tell: fn(&Seen) -> String,
}

impl Case {
    fn pipeline(&self, tasks: usize, workers: usize) -> String {
        let Case { plugin, outputs, config, .. } = self;
        format!(
            r#"
            workers = {workers}
            [streams.in]
            watermark = {{ punctuated = "watermark" }}
            [streams.out]
            [streams.late]
            [streams.timed-out]
            [operators.it]
            plugin = "{plugin}"
            input = "in"
            {outputs}
            key = "key"
            route = "exchange"
            parallelism = {tasks}
            late = "late"
            config = {config}
            "#
        )
    }

    fn world(&self, tasks: usize, workers: usize) -> World {
        World::new(&self.pipeline(tasks, workers)).plugin(self.plugin, &wasm(self.plugin))
    }

    fn send(&self, world: &World, step: &Step) {
        match step {
            Step::Event(time, event) => world.send("in", 0, &[(EPOCH + time, event.clone())]),
            // It has no key, so that it never gets to the operator; what it says of time does.
            Step::Watermark(at) => world.send("in", 0, &[(EPOCH, json!({"watermark": EPOCH + at}))]),
        }
    }

    fn ran(&self, world: &World) -> Ran {
        let mut emitted: Vec<String> = world.read("out").iter().map(self.tell).collect();
        emitted.sort();
        let mut late: Vec<i64> = world.read("late").iter().map(|seen| seen.time - EPOCH).collect();
        late.sort_unstable();
        Ran { emitted, late }
    }

    fn plain(&self) -> Ran {
        let world = self.world(1, 1);
        self.steps.iter().for_each(|step| self.send(&world, step));
        world.drain().unwrap();
        self.ran(&world)
    }

    fn restarted_after_every_step(&self) -> Ran {
        let world = self.world(1, 1);
        for step in &self.steps {
            self.send(&world, step);
            world.drain().unwrap();
        }
        self.ran(&world)
    }

    fn moved_midway(&self) -> Ran {
        let mut world = self.world(3, 1);
        for (i, step) in self.steps.iter().enumerate() {
            if i == self.steps.len() / 2 {
                world.drain().unwrap();
                world = world.with_pipeline(&self.pipeline(3, 3));
            }
            self.send(&world, step);
        }
        world.drain().unwrap();
        self.ran(&world)
    }

    fn reloaded_after_every_step(&self) -> Ran {
        let build = wasm(self.plugin);
        let builds = [rebuilt(&build, 1), build];
        let world = self.world(2, 2);
        let running = world.start();
        for (i, step) in self.steps.iter().enumerate() {
            self.send(&world, step);
            eventually("the step is taken in", || {
                let text = running.metrics.render();
                let ended = text.lines().filter(|line| line.contains("operator_events_total{"));
                let ended: usize = ended.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
                (ended > i).then_some(())
            });
            running.offer(self.plugin, builds[i % 2].clone());
            eventually("the other build runs", || (running.metrics.reloads.get() == i as u64 + 1).then_some(()));
        }
        running.stop().unwrap();
        // What the last step led to may still be on its way when the run is stopped.
        world.drain().unwrap();
        self.ran(&world)
    }

    /// Runs it in all ways, and returns what all of them agree on.
    fn run(&self) -> Ran {
        let plain = self.plain();
        assert_eq!(self.restarted_after_every_step(), plain, "{}: restarted after every step", self.id);
        assert_eq!(self.moved_midway(), plain, "{}: in several tasks, moved midway", self.id);
        assert_eq!(self.reloaded_after_every_step(), plain, "{}: another build after every step", self.id);
        plain
    }
}

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../../vectors/semantics.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// JSON as a value of TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

// === windows ===

fn window_case(vector: &Value) -> Case {
    let config = &vector["config"];
    let number = |name: &str| config[name].as_i64();
    let millis = |name: &str| format!("{}ms", number(name).unwrap());
    let window = match config["type"].as_str().unwrap() {
        "tumbling" => json!({"type": "tumbling", "size": millis("size")}),
        "session" => json!({"type": "session", "gap": millis("gap")}),
        "global" => json!({"type": "global"}),
        other => panic!("{}: {other}", vector["id"]),
    };
    let emit = match config["trigger"].as_str() {
        Some("purging(event_time)") => json!({"purge": true}),
        Some("purging(count 4)") => json!({"count": 4, "purge": true}),
        _ => json!("on_close"),
    };
    let settings = json!({
        "window": window,
        "emit": emit,
        "allowed_lateness": format!("{}ms", number("lateness").unwrap_or(0)),
        "aggregate": [{"fn": "sum", "field": "value", "as": "sum"}],
    });
    let steps = vector["steps"].as_array().unwrap().iter().filter_map(|step| match step[0].as_str().unwrap() {
        "event" => Some(Step::Event(step[3].as_i64().unwrap(), json!({"key": step[1], "value": step[2]}))),
        "watermark" => Some(Step::Watermark(step[1].as_i64().unwrap())),
        _ => None,
    });
    let tell = |seen: &Seen| {
        let value = seen.value();
        // A window without an end has no time but the last one there is.
        let time = if seen.time == i64::MAX { seen.time } else { seen.time - EPOCH };
        format!("{} {} {time}", value["key"].as_str().unwrap(), value["sum"])
    };
    let id = vector["id"].as_str().unwrap().to_owned();
    Case { id, plugin: "windowing", outputs: "output = \"out\"", config: toml(&settings), steps: steps.collect(), tell }
}

#[test]
fn windows_do_on_the_engine_what_the_facts_say_in_all_four_ways() {
    let categories = ["tumbling", "session", "session_trigger", "global_count", "late", "late_side_output", "late_session"];
    let mut run = 0;
    for vector in vectors().iter().filter(|vector| vector["engine"] == "flink") {
        if !categories.contains(&vector["category"].as_str().unwrap()) {
            continue;
        }
        let ran = window_case(vector).run();
        let time = |ts: &Value| if ts == "i64::MAX" { i64::MAX } else { ts.as_i64().unwrap() };
        let rows = vector["expect"].as_array().unwrap().iter();
        let mut expected: Vec<String> =
            rows.map(|row| format!("{} {} {}", row["key"].as_str().unwrap(), row["value"], time(&row["ts"]))).collect();
        expected.sort();
        assert_eq!(ran.emitted, expected, "{}: {}", vector["id"], vector["why"]);
        if let Some(late) = vector["expect_late"].as_array() {
            assert_eq!(ran.late, late.iter().map(|event| event[2].as_i64().unwrap()).collect::<Vec<_>>(), "{}: late", vector["id"]);
        }
        run += 1;
    }
    assert!(run >= 8, "only {run} facts");
}

// === patterns ===

fn pattern_case(id: &str, pattern: &Value, events: &Value) -> Case {
    let events = events.as_array().unwrap().iter().map(|event| event.as_str().unwrap());
    let mut steps: Vec<Step> = Vec::new();
    for (i, name) in (0..).zip(events) {
        // Where the fact gives times they stand behind an `@`.
        let time = name.split_once('@').map_or(i, |(_, time)| time.parse().unwrap());
        steps.push(Step::Event(time, json!({"key": "k", "name": name})));
    }
    steps.push(Step::Watermark(1_000));
    let tell = |seen: &Seen| {
        let events = seen.value()["events"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>();
        events.join(" ")
    };
    let config = toml(&json!({"pattern": pattern, "name": "name"}));
    Case {
        id: id.to_owned(),
        plugin: "patterns",
        outputs: "outputs = { matched = \"out\", timed_out = \"timed-out\" }",
        config,
        steps,
        tell,
    }
}

fn step(name: &str, more: Value) -> Value {
    let mut step = json!({"name": name, "where": {"field": "name", "starts_with": name}});
    more.as_object().unwrap().iter().for_each(|(field, value)| step[field] = value.clone());
    step
}

#[test]
fn patterns_do_on_the_engine_what_the_facts_say_in_all_four_ways() {
    let followed = |name: &str, contiguity: &str| step(name, json!({"contiguity": contiguity}));
    let first = |name: &str| step(name, json!({}));
    let loop_of = |name: &str, contiguity: &str, times: &str, inner: &str| {
        let mut step = step(name, json!({"contiguity": contiguity, "times": times}));
        if !inner.is_empty() {
            step[inner] = json!(true);
        }
        step
    };
    let ab = |contiguity: &str| json!({"steps": [first("a"), followed("b", contiguity)]});
    let c05 = |inner: &str| json!({"steps": [first("c"), loop_of("a", "followed_by", "1..", inner), followed("b", "followed_by")]});
    let c16 = |after: &str| json!({"steps": [step("a", json!({"times": 3}))], "after_match": after});
    let start_end = json!({"steps": [first("start"), followed("middle", "followed_by"), followed("end", "followed_by")], "within": 10});
    let cases: [(&str, Option<&str>, Value); 9] = [
        ("C01", Some("strict"), ab("next")),
        ("C01", Some("relaxed"), ab("followed_by")),
        ("C01", Some("nondeterministic"), ab("followed_by_any")),
        ("C05", Some("consecutive"), c05("consecutive")),
        ("C05", Some("default_relaxed"), c05("")),
        ("C05", Some("allowCombinations"), c05("allow_combinations")),
        ("C16", Some("noSkip"), c16("no_skip")),
        ("C16", Some("skipPastLastEvent"), c16("skip_past_last_event")),
        ("C11", None, start_end),
    ];
    for (id, expect, pattern) in cases {
        let vector = vectors().into_iter().find(|vector| vector["id"] == id).unwrap();
        let ran = pattern_case(id, &pattern, &vector["steps"]).run();
        let expected = expect.map_or(&vector["expect"], |expect| &vector["expect"][expect]);
        // Times are told only where the fact tells them.
        let plain = |name: &str| if id == "C11" && !name.contains('@') { format!("{name}@") } else { name.to_owned() };
        let mut expected: Vec<String> = expected
            .as_array()
            .unwrap()
            .iter()
            .map(|events| events.as_array().unwrap().iter().map(|name| plain(name.as_str().unwrap())).collect::<Vec<_>>().join(" "))
            .collect();
        expected.sort();
        let alike = ran.emitted.len() == expected.len() && ran.emitted.iter().zip(&expected).all(|(ran, expected)| same(ran, expected));
        assert!(alike, "{id} {expect:?}: {:?}, but it should be {expected:?}", ran.emitted);
    }
}

/// Whether two matches are alike; an expected name that ends with `@` leaves the time open.
fn same(ran: &str, expected: &str) -> bool {
    let (ran, expected): (Vec<&str>, Vec<&str>) = (ran.split(' ').collect(), expected.split(' ').collect());
    let alike = |(ran, expected): (&&str, &&str)| ran == expected || expected.ends_with('@') && ran.starts_with(*expected);
    ran.len() == expected.len() && ran.iter().zip(&expected).all(alike)
}

// === joins ===

fn join_case(id: &str, settings: &Value, steps: Vec<Step>) -> Case {
    let tell = |seen: &Seen| {
        let value = seen.value();
        let side = |name: &str| value[name].as_str().unwrap_or("null").to_owned();
        format!("{}-{} {}", side("left"), side("right"), seen.time - EPOCH)
    };
    Case { id: id.to_owned(), plugin: "joins", outputs: "output = \"out\"", config: toml(settings), steps, tell }
}

fn row(side: &str, value: &Value, time: i64) -> Step {
    Step::Event(time, json!({"side": side, "key": "k", "value": value}))
}

#[test]
fn joins_do_on_the_engine_what_the_facts_say_in_all_four_ways() {
    let find = |id: &str| vectors().into_iter().find(|vector| vector["id"] == id).unwrap();
    let numbers = |values: &Value| values.as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect::<Vec<_>>();
    let interval = |id: &str, case: (i64, i64, bool, bool), pairs: &Value| {
        let vector = find(id);
        let (lower, upper, lower_in, upper_in) = case;
        let settings =
            json!({"what": "interval", "lower": lower, "upper": upper, "lower_exclusive": !lower_in, "upper_exclusive": !upper_in});
        let mut steps = Vec::new();
        for (left, right) in numbers(&vector["steps"]["left"]).into_iter().zip(numbers(&vector["steps"]["right"])) {
            steps.push(row("left", &json!(left.to_string()), left));
            steps.push(row("right", &json!(right.to_string()), right));
        }
        steps.push(Step::Watermark(1_000));
        let pair = |pair: &Value| {
            let pair = numbers(pair);
            format!("{}-{} {}", pair[0], pair[1], pair[0].max(pair[1]))
        };
        let mut expected: Vec<String> = pairs.as_array().unwrap().iter().map(pair).collect();
        expected.sort();
        assert_eq!(join_case(id, &settings, steps).run().emitted, expected, "{id} {case:?}");
    };
    let vector = find("J01");
    let config = &vector["config"];
    let bounds = |config: [&Value; 4]| {
        (config[0].as_i64().unwrap(), config[1].as_i64().unwrap(), config[2].as_bool().unwrap(), config[3].as_bool().unwrap())
    };
    interval("J01", bounds(["lower", "upper", "lower_incl", "upper_incl"].map(|name| &config[name])), &vector["expect"]);
    let vector = find("J03");
    for (case, expected) in vector["config"]["cases"].as_array().unwrap().iter().zip(vector["expect"].as_array().unwrap()) {
        interval("J03", bounds([0, 1, 2, 3].map(|i| &case[i])), expected);
    }

    let vector = find("J10");
    let side = |side: &Value| if side == "L" { "left" } else { "right" };
    let steps = vector["steps"].as_array().unwrap().iter().map(|step| row(side(&step[0]), &step[1], step[2].as_i64().unwrap()));
    let mut expected: Vec<String> =
        vector["expect"].as_array().unwrap().iter().map(|row| format!("{} {}", row[0].as_str().unwrap(), row[1])).collect();
    expected.sort();
    assert_eq!(join_case("J10", &json!({"what": "stream_table"}), steps.collect()).run().emitted, expected);
}
