//! A pipeline that runs from step to step, for facts that are looked at while it does.

use super::case::{EPOCH, Way};
use sangam::pipeline::{Control, PipelineError};
use sangam::task::OperatorStanding;
use sangam::time::Clock;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::world::{Running, World, eventually};
use serde_json::Value;

/// A pipeline that runs from step to step, in one of the ways.
pub struct Live {
    way: Way,
    plugin: &'static str,
    /// The pipeline without what differs between the ways.
    toml: String,
    world: Option<World>,
    running: Option<Running>,
    builds: [Vec<u8>; 2],
    /// Records that this run has been given.
    given: usize,
    /// Events that the runs before have dropped.
    pub dropped: u64,
    /// Events that the runs before have emitted, those of commits that failed among them.
    pub emitted: u64,
}

impl Live {
    pub fn new(way: Way, plugin: &'static str, toml: &str) -> Live {
        Live::disturbed(way, plugin, toml, |_| {})
    }

    /// The same, after `prepare` has seen the world.
    pub fn disturbed(way: Way, plugin: &'static str, toml: &str, prepare: impl FnOnce(&mut World)) -> Live {
        let build = wasm(plugin);
        let mut world = World::new(&file(way, way.tasks().1, toml)).plugin(plugin, &build);
        world.clock.advance(EPOCH - world.clock.now());
        prepare(&mut world);
        let running = Some(world.start());
        Live {
            way,
            plugin,
            toml: toml.to_owned(),
            world: Some(world),
            running,
            builds: [rebuilt(&build, 1), build],
            given: 0,
            dropped: 0,
            emitted: 0,
        }
    }

    pub fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Sends an event of time 0.
    pub fn send(&mut self, stream: &str, partition: i32, value: Value) {
        self.send_at(EPOCH, stream, partition, value);
    }

    pub fn send_at(&mut self, time: i64, stream: &str, partition: i32, value: Value) {
        self.world().send(stream, partition, &[(time, value)]);
        self.given += 1;
    }

    /// Moves the clock to a time of the fact.
    pub fn clock(&self, at: i64) {
        let clock = &self.world().clock;
        clock.advance(EPOCH + at - clock.now());
    }

    /// Waits until everything that was sent is handled.
    pub fn settle(&self) {
        let it = &self.running().topology.operators[0].metrics;
        eventually("all is taken in", || {
            let ended: u64 = [&it.ok, &it.late, &it.dead_letters, &it.dropped].map(|counter| counter.get()).iter().sum();
            (ended >= self.given as u64).then_some(())
        });
    }

    /// Between the step with this number and the next one: what the way is about.
    pub fn between(&mut self, i: usize, steps: usize) {
        self.settle();
        match self.way {
            Way::Plain => {}
            Way::Restarted => self.again(self.way.tasks().1),
            Way::Moved if i + 1 == steps / 2 => self.again(3),
            Way::Moved => {}
            Way::Reloaded => {
                let before = self.running().metrics.reloads.get();
                self.running().offer(self.plugin, self.builds[0].clone());
                eventually("the other build runs", || (self.running().metrics.reloads.get() == before + 1).then_some(()));
                self.builds.swap(0, 1);
            }
        }
    }

    fn again(&mut self, workers: usize) {
        self.stop();
        let toml = file(self.way, workers, &self.toml);
        self.world = self.world.take().map(|world| world.with_pipeline(&toml));
        self.start();
    }

    /// Ends the run, and keeps what it has counted.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let it = running.topology.operators[0].metrics.clone();
        running.stop().unwrap();
        self.dropped += it.dropped.get();
        self.emitted += it.events_out.get();
    }

    /// Starts it again, after it has ended.
    pub fn start(&mut self) {
        self.running = Some(self.world().start());
        self.given = 0;
    }

    /// How a run that ends by itself has ended.
    pub fn outcome(&mut self) -> Result<(), PipelineError> {
        self.running.take().unwrap().outcome()
    }

    /// How far each slice of the operator is; none before all of them have said something.
    pub fn slices(&self) -> Option<Vec<OperatorStanding>> {
        let standings: Vec<_> = Control::standings(&self.running().control).operators.into_values().collect();
        (standings.len() == self.way.tasks().0).then_some(standings)
    }
}

fn file(way: Way, workers: usize, toml: &str) -> String {
    format!("workers = {workers}\n{toml}\nroute = \"exchange\"\nparallelism = {}", way.tasks().0)
}
