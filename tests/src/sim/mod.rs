//! The real engine in a world that falls apart on purpose: a cluster and a disk in memory, a clock that is moved, and one seed that says what
//! goes wrong where. See `docs/simulation.md`.
//!
//! What comes out is compared with an undisturbed run over the same input.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: the first surprise ends the test")]

pub mod cluster;
pub mod dice;
pub mod disk;
pub mod faults;
mod group;
pub mod oracle;
pub mod process;
pub mod script;
mod store;
pub mod workload;

use crate::guests::{rebuilt, wasm};
use crate::world::{NOW, World};
use cluster::Cluster;
use disk::{Access, Disk, Fate};
use faults::{Director, Point, Stage, Verdict};
use oracle::Left;
use parking_lot::Mutex;
use process::Process;
use sangam::broker::OutRecord;
use sangam::pipeline::{NewFile, Reloader, RunOptions};
use sangam::store::DiskStore;
use sangam::time::ManualClock;
use script::{Life, Script};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::WatchedStore;
use workload::Workload;

/// The name of the pipeline, and so of its group.
pub const PIPELINE: &str = "sim";

/// A simulation under way.
struct Simulation {
    workload: Workload,
    guarantee: &'static str,
    cluster: Cluster,
    clock: ManualClock,
    disks: Vec<Disk>,
    folder: Arc<tempfile::TempDir>,
    story: Mutex<Vec<String>>,
    /// What another process could not do while the first one stood still.
    failure: Mutex<Option<String>>,
}

/// Where a life is played.
struct Scene {
    simulation: Arc<Simulation>,
    other: Mutex<Option<Life>>,
    reload: Mutex<Option<(Reloading, u32)>>,
}

/// The running engine's door for new builds.
struct Reloading {
    offers: crossbeam_channel::Sender<NewFile>,
    builds: sangam::pipeline::Builds,
}

/// Runs what a seed says, and the same undisturbed. The error tells what is wrong, and the story so far.
///
/// # Errors
/// When the two differ, or the engine gives up, or comes to no end.
pub fn simulate(seed: u64) -> Result<Vec<String>, String> {
    simulate_script(&Script::of(seed))
}

/// The same with a script that may be changed.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_script(script: &Script) -> Result<Vec<String>, String> {
    let undisturbed = Simulation::new(script);
    for life in &script.lives {
        undisturbed.write(life);
    }
    let wanted = undisturbed.live(&Life::undisturbed())?.ok_or("the undisturbed run crashed")?;
    let wanted = Left::of(&undisturbed.cluster, &script.workload, wanted);

    let disturbed = Simulation::new(script);
    let mut ended = None;
    for (i, life) in script.lives.iter().enumerate() {
        disturbed.write(life);
        disturbed.say(format!("life {} on disk {}{}", i + 1, life.disk, if life.wiped { ", which is empty" } else { "" }));
        ended = disturbed.live(life).map_err(|why| disturbed.failed(&why))?;
    }
    let ended = ended.ok_or_else(|| disturbed.failed("the last life crashed"))?;
    let got = Left::of(&disturbed.cluster, &script.workload, ended);
    got.compare(&wanted).map_err(|why| disturbed.failed(&why))?;
    let story = disturbed.story.lock().clone();
    Ok(story)
}

// === impl Simulation ===

impl Simulation {
    fn new(script: &Script) -> Arc<Simulation> {
        let (workload, guarantee) = (script.workload, script.guarantee);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
        for plugin in workload.plugins {
            std::fs::write(folder.path().join("plugins").join(format!("{plugin}.wasm")), wasm(plugin)).unwrap();
        }
        let cluster = Cluster::default();
        workload.topics.iter().for_each(|(topic, partitions)| cluster.create(topic, *partitions));
        let (clock, disks) = (ManualClock::at(NOW), vec![Disk::default(), Disk::default()]);
        Arc::new(Simulation { workload, guarantee, cluster, clock, disks, folder, story: Mutex::default(), failure: Mutex::default() })
    }

    fn say(&self, what: String) {
        self.story.lock().push(what);
    }

    fn failed(&self, why: &str) -> String {
        format!("{}: {why}\n  {}", self.workload.name, self.story.lock().join("\n  "))
    }

    /// Writes the input that is there when a life begins.
    fn write(&self, life: &Life) {
        let values: Vec<Vec<u8>> = life.input.iter().map(|(.., value)| rmp_serde::to_vec_named(value).unwrap()).collect();
        let records = life.input.iter().zip(&values).map(|((partition, time, _), value)| OutRecord {
            topic: self.workload.topics[0].0,
            partition: *partition,
            key: None,
            value: Some(value),
            headers: &[],
            time: *time,
        });
        self.cluster.write(&records.collect::<Vec<_>>());
    }

    /// Runs one process until all is done or it crashes; what was in its store at the end, or `None` after a crash.
    fn live(self: &Arc<Self>, life: &Life) -> Result<Option<oracle::Dump>, String> {
        let mut dice = life.dice.clone();
        let disk = self.disks[life.disk].clone();
        if life.wiped {
            disk.wipe();
        }
        let director = Director::new(life.incidents.clone(), self.workload.sources(), &mut dice);
        let process = Process::start(&self.cluster, director.watch());
        let scene =
            Arc::new(Scene { simulation: self.clone(), other: Mutex::new(life.other.as_deref().cloned()), reload: Mutex::default() });
        director.cast(&process, scene.clone());
        let ran = self.run(&disk, &director, &process, &scene, life);
        for incident in director.happened() {
            self.say(format!("  {:?} at {:?} {}", incident.fault, incident.point, incident.time));
        }
        scene.take_back();
        if director.crashed() {
            disk.crash(&mut dice);
            return Ok(None);
        }
        process.kill();
        if let Some(why) = self.failure.lock().take() {
            return Err(why);
        }
        if director.stuck() {
            return Err(format!("a run comes to no end{}", ran.err().map(|why| format!(": {why}")).unwrap_or_default()));
        }
        ran.map(Some)
    }

    fn run(&self, disk: &Disk, director: &Arc<Director>, process: &Process, scene: &Scene, life: &Life) -> Result<oracle::Dump, String> {
        let accessed = director.clone();
        let session = disk.open(move |access| {
            let point = if access == Access::Write { Point::DiskWrite } else { Point::DiskSync };
            if accessed.crashed() {
                Fate::IsDead
            } else if accessed.at(point) == Verdict::Fail {
                Fate::Crashes
            } else {
                Fate::Lives
            }
        });
        let store = DiskStore::over(Path::new("simulated"), session).map_err(|why| format!("the store cannot be opened: {why}"))?;
        let store = Arc::new(WatchedStore::new(store, director.watch()));
        let toml = self.workload.pipeline(self.guarantee);
        let mut world = World::over(&toml, store.clone(), self.folder.clone()).named(PIPELINE).broker("main", Arc::new(process.clone()));
        world.clock = self.clock.clone();
        let options = RunOptions { drain: true, ..RunOptions::default() };
        let mut supervisor = world.supervisor(options, life.reloads()).map_err(|why| format!("no start: {why:#}"))?;
        let open = |reloader: &Reloader| Reloading { offers: reloader.news(), builds: reloader.builds() };
        *scene.reload.lock() = supervisor.reloader.as_ref().map(|reloader| (open(reloader), life.build));
        let ran = supervisor.run(&director.control).map_err(|why| why.to_string());
        *scene.reload.lock() = None;
        if life.is_undisturbed() {
            let nodes = supervisor.topology.operators.iter().map(|node| (&node.name, &node.metrics));
            for (name, m) in nodes {
                let (events, ended) = (m.events_in.get(), [&m.ok, &m.late, &m.dead_letters, &m.dropped].map(|c| c.get()));
                assert_eq!(events, ended.iter().sum::<u64>(), "{name}: ok, late, dead letters, dropped: {ended:?}");
            }
        }
        ran.and_then(|()| if director.crashed() { Err("crashed".to_owned()) } else { Ok(oracle::dump(store.as_ref())) })
    }
}

// === impl Scene ===

impl Stage for Scene {
    fn another_runs(&self) {
        self.simulation.clock.advance(120_000);
        // Whatever was lent has been given back by then.
        self.take_back();
        let Some(life) = self.other.lock().take() else { return };
        self.simulation.say(format!("  meanwhile another process on disk {}", life.disk));
        if let Err(why) = self.simulation.live(&life) {
            self.simulation.failure.lock().get_or_insert(format!("the other process: {why}"));
        }
    }

    fn lend(&self) {
        let place = (self.simulation.workload.topics[0].0.to_owned(), 0);
        self.simulation.cluster.lend(PIPELINE, place);
    }

    fn take_back(&self) {
        self.simulation.cluster.take_back(PIPELINE);
    }

    fn reload(&self) -> Option<Arc<dyn Fn() -> bool + Send + Sync>> {
        let (reloading, number) = self.reload.lock().take()?;
        let name = self.simulation.workload.reloads;
        let before = reloading.builds.lock().get(name)?.sha256.clone();
        let file = NewFile { name: name.to_owned(), path: PathBuf::from(format!("{name}.wasm")), bytes: rebuilt(&wasm(name), number) };
        reloading.offers.send(file).ok()?;
        let name = name.to_owned();
        Some(Arc::new(move || reloading.builds.lock().get(&name).is_none_or(|build| build.sha256 != before || build.refused.is_some())))
    }
}
