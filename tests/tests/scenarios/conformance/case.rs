//! One case of a fact: an operator in a pipeline, what happens to it, and what came of it in each of the four ways.
//!
//! It knows no fact and judges no result.

use std::collections::BTreeMap;

use sangam::store::keyed::Record;
use sangam::store::{Changes, MemoryStore, Pair, Store};
use sangam::time::Clock;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{Running, Seen, World, eventually};
use serde_json::{Value, json};
use std::sync::Arc;

/// Time 0 of every fact, for events and for the clock: the host takes no times before 1970 and its clock stands for today. A multiple of a
/// day, and of every length up to 16 ms, so that windows start where they would start at 0.
pub const EPOCH: i64 = 20 * 1001 * 86_400_000;

/// What happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// An event of the stream `in`: its time, and what it says.
    Event(i64, Value),
    /// An event of the stream `rules`, which every task gets.
    Rule(i64, Value),
    /// The watermark moves.
    Watermark(i64),
    /// The host's clock moves.
    Clock(i64),
    /// The operator has this configuration from here on.
    Configure(Value),
    /// What is committed is put aside.
    Snapshot,
    /// Everything goes back to what was put aside.
    Restore,
    /// The input ends.
    End,
}

/// A way to run a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One task, one run.
    Plain,
    /// A snapshot and a restore after every step: a run of its own for each.
    Restarted,
    /// Three tasks on one worker, which from the middle on are on three.
    Moved,
    /// Another build after every step, in two tasks.
    Reloaded,
}

pub const WAYS: [Way; 4] = [Way::Plain, Way::Restarted, Way::Moved, Way::Reloaded];

impl Way {
    /// Tasks, and workers at the start.
    pub fn tasks(self) -> (usize, usize) {
        match self {
            Way::Plain | Way::Restarted => (1, 1),
            Way::Moved => (3, 1),
            Way::Reloaded => (2, 2),
        }
    }
}

/// What an operator made of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What it emitted, told by [`Case::tell`], in order.
    pub emitted: Vec<Value>,
    /// The same of its port for partial matches whose time was over.
    pub timed_out: Vec<Value>,
    /// Times of the events that came late.
    pub late: Vec<i64>,
    /// The state of each key before the input ended.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// An operator, its configuration, and what happens to it.
pub struct Case {
    /// The fact, and which case of it.
    pub id: String,
    /// The guest.
    pub plugin: &'static str,
    /// Guests of further operators.
    pub others: &'static [&'static str],
    /// Lines of the operator's table: inputs, outputs, key.
    pub wiring: &'static str,
    /// Further tables of the pipeline.
    pub tables: &'static str,
    /// The configuration.
    pub config: Value,
    /// What happens.
    pub steps: Vec<Step>,
    /// How an output is told: as a row with times of the fact.
    pub tell: fn(&Seen) -> Value,
    /// Whether state is left when the input has ended: tables and rules stay.
    pub stays: bool,
}

/// An event's or result's time in the fact's words. The end of time is no instant of any calendar.
pub fn told(time: i64) -> Value {
    if time == i64::MAX { "i64::MAX".into() } else { time.saturating_sub(EPOCH).into() }
}

/// JSON as a value of TOML.
pub fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

impl Case {
    /// A case of an operator with one input, one output and the key `key`, that leaves nothing behind.
    pub fn new(id: impl Into<String>, plugin: &'static str, config: Value, steps: Vec<Step>, tell: fn(&Seen) -> Value) -> Case {
        let wiring = "input = \"in\"\noutput = \"out\"\nkey = \"key\"";
        Case { id: id.into(), plugin, others: &[], wiring, tables: "", config, steps, tell, stays: false }
    }

    /// Runs it in all ways, and returns what all of them agree on, in the order of one task. Between several tasks only the order for each
    /// key is given.
    pub fn run(&self) -> Ran {
        let (plain, plain_by_key) = self.run_in(Way::Plain);
        for way in [Way::Restarted, Way::Moved, Way::Reloaded] {
            let (ran, by_key) = self.run_in(way);
            assert_eq!(by_key, plain_by_key, "{}: {way:?} (left), and Plain", self.id);
            assert!(way.tasks().0 > 1 || ran == plain, "{}: {way:?} in another order: {:?}, not {:?}", self.id, ran.emitted, plain.emitted);
        }
        plain
    }

    /// What came of it, as it came and with one key after the other.
    fn run_in(&self, way: Way) -> (Ran, Ran) {
        let mut drive = Drive::new(self, way);
        for (i, step) in self.steps.iter().enumerate() {
            if way == Way::Moved && i == self.steps.len() / 2 {
                drive.move_to(3);
            }
            drive.take_in(step);
            match way {
                Way::Plain | Way::Moved => drive.settle(),
                Way::Restarted => drive.drain(),
                Way::Reloaded => drive.reload(),
            }
        }
        drive.end()
    }

    /// The pipeline's file.
    pub fn pipeline(&self, config: &Value, way: Way, workers: usize, bounded: bool) -> String {
        let Case { plugin, wiring, tables, .. } = self;
        let (tasks, config) = (way.tasks().0, toml(config));
        format!(
            r#"
            workers = {workers}
            [streams.in]
            watermark = {{ punctuated = "watermark" }}
            bounded = {bounded}
            [streams.rules]
            bounded = {bounded}
            [streams.out]
            [streams.late]
            [streams.timed-out]
            [operators.it]
            plugin = "{plugin}"
            {wiring}
            route = "exchange"
            parallelism = {tasks}
            late = "late"
            config = {config}
            {tables}
            "#
        )
    }
}

/// A case on its way.
struct Drive<'a> {
    case: &'a Case,
    way: Way,
    /// None only while it is made anew.
    world: Option<World>,
    config: Value,
    workers: usize,
    /// The run, where it is one that goes on from step to step.
    running: Option<Running>,
    /// Events that this run has been given.
    given: usize,
    builds: [Vec<u8>; 2],
    kept: BTreeMap<String, Vec<Pair>>,
    ended: bool,
}

impl<'a> Drive<'a> {
    fn new(case: &'a Case, way: Way) -> Drive<'a> {
        let workers = way.tasks().1;
        let build = wasm(case.plugin);
        let mut world = World::new(&case.pipeline(&case.config, way, workers, false)).plugin(case.plugin, &build);
        for other in case.others {
            world = world.plugin(other, &wasm(other));
        }
        world.clock.advance(EPOCH - world.clock.now());
        let (world, config) = (Some(world), case.config.clone());
        let mut drive = Drive {
            case,
            way,
            world,
            config,
            workers,
            running: None,
            given: 0,
            builds: [rebuilt(&build, 1), build],
            kept: BTreeMap::new(),
            ended: false,
        };
        drive.go_on();
        drive
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    /// Whether one run goes on from step to step: where builds change, and where it matters what the clock shows at an event.
    fn goes_on(&self) -> bool {
        let by_the_clock = self.case.steps.iter().any(|step| matches!(step, Step::Clock(_)));
        self.way == Way::Reloaded || by_the_clock && self.way != Way::Restarted
    }

    fn go_on(&mut self) {
        if self.goes_on() {
            self.running = Some(self.world().start());
            self.given = 0;
        }
    }

    /// Ends the run, and does what it has left undone.
    fn drain(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().unwrap();
        }
        self.world().drain().unwrap();
    }

    /// The same world with the pipeline as it is meant now.
    fn again(&mut self, bounded: bool) {
        self.drain();
        let toml = self.case.pipeline(&self.config, self.way, self.workers, bounded);
        self.world = self.world.take().map(|world| world.with_pipeline(&toml));
    }

    /// The input ends.
    fn finish(&mut self) {
        self.again(true);
        self.world().finish().unwrap();
        self.ended = true;
    }

    fn move_to(&mut self, workers: usize) {
        self.workers = workers;
        self.again(false);
        self.go_on();
    }

    fn take_in(&mut self, step: &Step) {
        match step {
            Step::Event(time, event) => self.send("in", *time, event.clone(), 1),
            Step::Rule(time, rule) => self.send("rules", *time, rule.clone(), self.way.tasks().0),
            // It has no key, so that it never gets to the operator; what it says of time does.
            Step::Watermark(at) => self.send("in", 0, json!({"watermark": EPOCH + at}), 1),
            Step::Clock(at) => {
                let clock = &self.world().clock;
                clock.advance(EPOCH + at - clock.now());
            }
            Step::Configure(config) => {
                self.config = config.clone();
                self.again(false);
                self.go_on();
            }
            Step::Snapshot => {
                self.drain();
                self.kept = self.world().dump("");
                self.go_on();
            }
            Step::Restore => self.restore(),
            Step::End => self.finish(),
        }
    }

    fn send(&mut self, stream: &str, time: i64, event: Value, given: usize) {
        self.world().send(stream, 0, &[(EPOCH + time, event)]);
        self.given += given;
    }

    /// Another store, in which there is what was put aside.
    fn restore(&mut self) {
        self.drain();
        let mut changes = Changes::default();
        for (space, pairs) in &self.kept {
            pairs.iter().for_each(|(key, value)| changes.put(space, key, value));
        }
        let (store, folder) = (Arc::new(MemoryStore::new()), Arc::new(tempfile::tempdir().unwrap()));
        store.write(&changes).unwrap();
        let toml = self.case.pipeline(&self.config, self.way, self.workers, false);
        let mut world = World::over(&toml, store, folder).plugin(self.case.plugin, &self.builds[1]);
        world.clock = self.world().clock.clone();
        self.world = Some(world);
        self.go_on();
    }

    /// Waits until a run that goes on has handled what it was given.
    fn settle(&self) {
        let Some(running) = &self.running else { return };
        let it = running.topology.operators.iter().find(|node| &*node.name == "it").unwrap();
        eventually("the step is taken in", || {
            let m = &it.metrics;
            let ended: u64 = [&m.ok, &m.late, &m.dead_letters, &m.dropped].map(|counter| counter.get()).iter().sum();
            (ended >= self.given as u64).then_some(())
        });
    }

    /// Waits, and puts the other build in its place.
    fn reload(&mut self) {
        self.settle();
        let Some(running) = &self.running else { return };
        let before = running.metrics.reloads.get();
        running.offer(self.case.plugin, self.builds[0].clone());
        eventually("the other build runs", || (running.metrics.reloads.get() == before + 1).then_some(()));
        self.builds.swap(0, 1);
    }

    /// What came of it; then the input ends, and nothing may be left.
    fn end(mut self) -> (Ran, Ran) {
        // What the last step led to may still be on its way when a run is stopped.
        self.drain();
        let ran = (self.ran(false), self.ran(true));
        self.world().clock.advance(1_000_000);
        if !self.ended {
            self.finish();
        }
        if !self.case.stays {
            for space in ["state/", "cells/", "clock/"] {
                assert_eq!(self.world().dump(space), BTreeMap::new(), "{}: {:?}: left behind", self.case.id, self.way);
            }
        }
        ran
    }

    fn ran(&self, by_key: bool) -> Ran {
        let told_of = |topic: &str| -> Vec<Value> {
            let mut seen = self.world().read(topic);
            if by_key {
                seen.sort_by(|a, b| a.key.cmp(&b.key));
            }
            seen.iter().map(self.case.tell).collect()
        };
        let mut late: Vec<i64> = self.world().read("late").iter().map(|seen| seen.time - EPOCH).collect();
        late.sort_unstable();
        let refused = self.world().values("dead-letters").into_iter().filter(|letter| letter["watermark"].is_null());
        assert_eq!(refused.collect::<Vec<_>>(), [] as [Value; 0], "{}: {:?}: refused", self.case.id, self.way);
        Ran { emitted: told_of("out"), timed_out: told_of("timed-out"), late, state: self.state() }
    }

    /// The state of each key. What is broadcast has one key, and is the same in every task.
    fn state(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut states = BTreeMap::new();
        for (key, record) in self.world().dump("state/it/").into_values().flatten() {
            let Some(state) = Record::read(&record).unwrap().state.map(<[u8]>::to_vec) else { continue };
            let other = states.insert(key, state.clone());
            assert!(other.is_none_or(|other| other == state), "{}: {:?}: tasks differ", self.case.id, self.way);
        }
        states
    }
}
