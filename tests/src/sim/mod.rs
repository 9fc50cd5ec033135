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
mod timeline;
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
use sangam::pipeline::savepoint::{Savepoint, SavepointError};
use sangam::pipeline::{Control, NewFile, Reloader, RunOptions, Supervisor};
use sangam::store::DiskStore;
use sangam::time::ManualClock;
use script::{Life, Script};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::WatchedStore;
use timeline::Timeline;
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
    timeline: Mutex<Timeline>,
    /// Savepoints that were asked for.
    asked: Mutex<u32>,
    /// The savepoint that somebody has begun to restore, and does not know to have restored.
    owed: Mutex<Option<String>>,
}

/// Where a life is played.
struct Scene {
    simulation: Arc<Simulation>,
    other: Mutex<Option<Life>>,
    guest: Mutex<Option<Life>>,
    reload: Mutex<Option<(Reloading, u32)>>,
    /// The savepoint that is being restored.
    restoring: Mutex<Option<String>>,
    /// The savepoint that the run was asked for.
    saving: Mutex<Option<(String, Answer)>>,
}

/// What becomes of a savepoint that a run was asked for.
type Answer = crossbeam_channel::Receiver<Result<Savepoint, SavepointError>>;

/// Who a process is to the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It works alone, and somebody looks after it.
    Main,
    /// It does the work while another one stands still.
    Other,
    /// It works at what another one has lent.
    Guest,
}

/// How long a guest waits for what it was lent: it is there, or it will not come.
const GUEST_PATIENCE: Duration = Duration::from_millis(50);

/// So many times somebody tries to restore a savepoint: more than there are faults in a life.
const RESTORES_MAX: u32 = 10;

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
        undisturbed.write(&life.input);
        life.guest.iter().for_each(|guest| undisturbed.write(&guest.input));
    }
    let wanted = undisturbed.live(&Life::undisturbed(), Role::Main)?.ok_or("the undisturbed run crashed")?;
    let wanted = Left::of(&undisturbed.cluster, &script.workload, &undisturbed.timeline.lock(), wanted);

    let disturbed = Simulation::new(script);
    let mut ended = None;
    for (i, life) in script.lives.iter().enumerate() {
        disturbed.write(&life.input);
        disturbed.say(format!("life {} on disk {}{}", i + 1, life.disk, if life.wiped { ", which is empty" } else { "" }));
        ended = disturbed.live(life, Role::Main).map_err(|why| disturbed.failed(&why))?;
    }
    let ended = ended.ok_or_else(|| disturbed.failed("the last life crashed"))?;
    let got = Left::of(&disturbed.cluster, &script.workload, &disturbed.timeline.lock(), ended);
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
        let timeline = Mutex::new(Timeline::new(&workload.topics[1..]));
        let (story, failure, asked, owed) = (Mutex::default(), Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Simulation { workload, guarantee, cluster, clock, disks, folder, story, failure, timeline, asked, owed })
    }

    fn say(&self, what: String) {
        self.story.lock().push(what);
    }

    fn failed(&self, why: &str) -> String {
        format!("{}: {why}\n  {}", self.workload.name, self.story.lock().join("\n  "))
    }

    /// Writes input: partition, time, value.
    fn write(&self, input: &[(i32, i64, serde_json::Value)]) {
        let values: Vec<Vec<u8>> = input.iter().map(|(.., value)| rmp_serde::to_vec_named(value).unwrap()).collect();
        let records = input.iter().zip(&values).map(|((partition, time, _), value)| OutRecord {
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
    fn live(self: &Arc<Self>, life: &Life, role: Role) -> Result<Option<oracle::Dump>, String> {
        let mut dice = life.dice.clone();
        let disk = self.disks[life.disk].clone();
        if life.wiped {
            disk.wipe();
        }
        let director = Director::new(life.incidents.clone(), self.workload.sources(), &mut dice);
        let process = Process::start(&self.cluster, director.watch());
        if role == Role::Guest {
            process.be_guest(PIPELINE);
        }
        let (other, guest) = (Mutex::new(life.other.as_deref().cloned()), Mutex::new(life.guest.as_deref().cloned()));
        let (reload, restoring, saving) = (Mutex::default(), Mutex::default(), Mutex::default());
        let scene = Arc::new(Scene { simulation: self.clone(), other, guest, reload, restoring, saving });
        director.cast(&process, scene.clone());
        let ran = self.run(&disk, &director, &process, &scene, life, role);
        for incident in director.happened() {
            self.say(format!("  {:?} at {:?} {}", incident.fault, incident.point, incident.time));
        }
        scene.note_savepoint();
        // A guest that has not come leaves its input to the others.
        scene.guest.lock().take().iter().for_each(|guest| self.write(&guest.input));
        if role != Role::Guest {
            scene.take_back();
        }
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

    fn run(
        &self,
        disk: &Disk,
        director: &Arc<Director>,
        process: &Process,
        scene: &Scene,
        life: &Life,
        role: Role,
    ) -> Result<oracle::Dump, String> {
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
        let patience = (role == Role::Guest).then_some(GUEST_PATIENCE);
        let options = RunOptions { drain: true, patience, ..RunOptions::default() };
        let mut supervisor = world.supervisor(options, life.reloads()).map_err(|why| format!("no start: {why:#}"))?;
        let open = |reloader: &Reloader| Reloading { offers: reloader.news(), builds: reloader.builds() };
        *scene.reload.lock() = supervisor.reloader.as_ref().map(|reloader| (open(reloader), life.build));
        if role == Role::Main {
            self.restore(&supervisor, scene, life, director)?;
            self.save(&supervisor, life, director);
        }
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

// === savepoints ===

impl Simulation {
    fn name_savepoint(&self) -> String {
        let mut asked = self.asked.lock();
        *asked += 1;
        format!("s{asked}")
    }

    /// Takes a savepoint while nothing runs. One that fails is none.
    fn save(&self, supervisor: &Supervisor, life: &Life, director: &Director) {
        if !life.saves || director.crashed() {
            return;
        }
        let name = self.name_savepoint();
        let saved = supervisor.create_savepoint(&name, "simulated");
        self.say(format!("  savepoint {name}: {}", saved.as_ref().map_or_else(|why| why.to_string(), |_| "taken".to_owned())));
        if saved.is_ok() {
            self.timeline.lock().save(&name);
        }
    }

    /// Restores the last savepoint, or the one that somebody was at when the process crashed, and does not give up.
    fn restore(&self, supervisor: &Supervisor, scene: &Scene, life: &Life, director: &Director) -> Result<(), String> {
        let latest = || self.timeline.lock().latest().filter(|_| life.restores);
        let Some(name) = self.owed.lock().clone().or_else(latest) else { return Ok(()) };
        *self.owed.lock() = Some(name.clone());
        for _ in 0..RESTORES_MAX {
            *scene.restoring.lock() = Some(name.clone());
            let restored = supervisor.restore_savepoint(&name, false);
            *scene.restoring.lock() = None;
            self.say(format!("  back to {name}: {}", restored.as_ref().map_or_else(|why| why.to_string(), |_| "restored".to_owned())));
            if restored.is_ok() {
                *self.owed.lock() = None;
                return Ok(());
            }
            if director.crashed() {
                return Err("crashed".to_owned());
            }
        }
        Err(format!("{name} could not be restored"))
    }
}

// === impl Scene ===

impl Scene {
    /// Whether the savepoint that the run was asked for is one.
    fn note_savepoint(&self) {
        let Some((name, answer)) = self.saving.lock().take() else { return };
        let said = answer.try_recv();
        self.simulation.say(format!("  savepoint {name} while it ran: {}", if matches!(said, Ok(Ok(_))) { "taken" } else { "not taken" }));
        if matches!(said, Ok(Ok(_))) {
            self.simulation.timeline.lock().save(&name);
        }
    }
}

impl Stage for Scene {
    fn guest_works(&self) {
        let Some(life) = self.guest.lock().take() else { return };
        self.simulation.say(format!("  a guest on disk {} works at what it was lent", life.disk));
        self.simulation.write(&life.input);
        if let Err(why) = self.simulation.live(&life, Role::Guest) {
            self.simulation.failure.lock().get_or_insert(format!("the guest: {why}"));
        }
    }

    fn save(&self, control: &Control) {
        let name = self.simulation.name_savepoint();
        if let Ok(answer) = control.savepoints().ask(&name, "simulated") {
            *self.saving.lock() = Some((name, answer));
        }
    }

    fn copied(&self) {
        self.simulation.timeline.lock().copy(&self.simulation.cluster);
    }

    fn committed(&self) {
        if let Some(name) = &*self.restoring.lock() {
            self.simulation.timeline.lock().restore(name, &self.simulation.cluster);
        }
    }

    fn another_runs(&self) {
        self.simulation.clock.advance(120_000);
        // Whatever was lent has been given back by then.
        self.take_back();
        let Some(life) = self.other.lock().take() else { return };
        self.simulation.say(format!("  meanwhile another process on disk {}", life.disk));
        if let Err(why) = self.simulation.live(&life, Role::Other) {
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
