//! A new build of a plugin, from a file in the watched folder to something that may be swapped in at the next commit.
//!
//! Compiling and trying out happen on a thread of their own; the running build stays whatever goes wrong here.

use super::load::Loaded;
use super::plan::limits;
use super::savepoint::Before;
use super::watch::{NewFile, Watch};
use super::{PlanError, Plugins};
use crate::config::{self, Pipeline};
use crate::digest::sha256;
use crate::sandbox::Plugin;
use crate::task::{OperatorNode, Topology};
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use sangam_protocol::manifest::{Input, Manifest, StateSchema};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// A build that has been compiled and tried out.
pub struct Reload {
    /// The plugin's name.
    pub plugin_name: String,
    /// The operators that use it, each with the build as its configuration made it.
    pub builds: Vec<(usize, Loaded)>,
}

/// What is known of a plugin's builds, for people.
#[derive(Clone, Debug)]
pub struct BuildStatus {
    /// Version in the manifest of what runs.
    pub version: String,
    /// SHA-256 of what runs.
    pub sha256: String,
    /// The schema of the state that it keeps.
    pub state: Option<StateSchema>,
    /// The last swap: when, and for how long it held the stream up.
    pub swapped: Option<(SystemTime, Duration)>,
    /// The last build that was not taken, or was taken back: when, and why.
    pub refused: Option<(SystemTime, String)>,
}

/// The builds of all plugins, by name, for whoever wants to look.
pub type Builds = Arc<Mutex<BTreeMap<String, BuildStatus>>>;

/// Watches a folder and offers new builds.
pub struct Reloader {
    ready: Receiver<Offer>,
    news: Sender<NewFile>,
    builds: Builds,
    /// A build that waits for the next commit.
    next: Option<Reload>,
    /// Builds that were refused, for the audit; taken at every look.
    refusals: Vec<Refusal>,
    /// What operators ran before their last swap.
    before: BTreeMap<usize, OperatorNode>,
    /// The savepoints from before the last swaps.
    saved: Vec<Before>,
    _watch: Watch,
    _thread: JoinHandle<()>,
}

enum Offer {
    Ready(Box<Reload>),
    Refused(Refusal),
}

/// A build that was refused before it came to a swap.
pub(super) struct Refusal {
    /// The plugin's name.
    pub plugin: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Why.
    pub why: String,
}

/// What the trying-out thread needs to know of an operator.
struct Wanted {
    operator: usize,
    plugin_name: String,
    config: Vec<u8>,
    limits: crate::sandbox::Limits,
    runs: Manifest,
}

impl Reloader {
    /// Starts to watch the folder of plugins for new builds of those that the pipeline uses.
    ///
    /// # Errors
    /// When the system gives no watch or no thread.
    pub fn start(plugins: Arc<Plugins>, pipeline: &Pipeline, topology: &Topology) -> std::io::Result<Reloader> {
        let wanted: Vec<Wanted> = pipeline
            .operators
            .iter()
            .zip(&topology.operators)
            .enumerate()
            .map(|(operator, (file, node))| Wanted {
                operator,
                plugin_name: file.plugin.clone(),
                config: config::to_msgpack(&file.config.0),
                limits: limits(file),
                runs: node.plugin.manifest().clone(),
            })
            .collect();
        let known =
            pipeline.operators.iter().zip(&topology.operators).map(|(file, node)| (file.plugin.clone(), node.plugin.sha256().to_owned()));
        let known: BTreeMap<String, String> = known.collect();
        let builds: BTreeMap<String, BuildStatus> = topology
            .operators
            .iter()
            .map(|node| {
                let (manifest, sha256) = (node.plugin.manifest(), node.plugin.sha256().to_owned());
                let (version, state) = (manifest.version.clone(), manifest.state.clone());
                (node.plugin_name.clone(), BuildStatus { version, sha256, state, swapped: None, refused: None })
            })
            .collect();
        let (changed_in, changed) = unbounded();
        let watch = Watch::start(plugins.folder(), known, changed_in.clone())?;
        let (offers, ready) = unbounded();
        let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            for file in changed {
                try_out(&plugins, &wanted, &file.name, &file.path, &file.bytes, &offers);
            }
        })?;
        Ok(Reloader {
            ready,
            news: changed_in,
            builds: Arc::new(Mutex::new(builds)),
            next: None,
            refusals: Vec::new(),
            before: BTreeMap::new(),
            saved: Vec::new(),
            _watch: watch,
            _thread: thread,
        })
    }

    /// The builds, for whoever wants to look.
    pub fn builds(&self) -> Builds {
        self.builds.clone()
    }

    /// The way that the watch's news take, for whoever has a build from elsewhere.
    pub fn news(&self) -> Sender<NewFile> {
        self.news.clone()
    }

    /// Whether a build may be swapped in. It waits until it is taken: a commit that fails in between costs it nothing.
    pub fn waiting(&mut self) -> bool {
        while self.next.is_none() {
            match self.ready.try_recv() {
                Ok(Offer::Ready(reload)) => self.next = Some(*reload),
                Ok(Offer::Refused(refusal)) => self.refusals.push(refusal),
                Err(_) => break,
            }
        }
        self.next.is_some()
    }

    /// Builds that were refused since the last time this was asked.
    pub(super) fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// The build that waits.
    pub fn take(&mut self) -> Option<Reload> {
        self.next.take()
    }

    /// A build runs now in the place of what `old` names.
    pub fn running(&mut self, operator: usize, old: OperatorNode, build: &Plugin, pause: Duration) {
        self.tell(&old.plugin_name, build, Some(pause));
        self.before.insert(operator, old);
    }

    /// An operator has taken its last build back: gives what it runs instead.
    pub fn taken_back(&mut self, operator: usize) -> Option<OperatorNode> {
        let old = self.before.remove(&operator)?;
        self.tell(&old.plugin_name, &old.plugin, None);
        Some(old)
    }

    /// There is a savepoint of before a swap; the one of before the last swap of the same operators is not needed here any more.
    pub fn saved(&mut self, before: Before) {
        self.saved.retain(|known| known.operators != before.operators);
        self.saved.push(before);
    }

    /// The savepoint of before the last swap of an operator.
    pub fn before_swap_of(&mut self, operator: usize) -> Option<Before> {
        let at = self.saved.iter().position(|before| before.operators.contains(&operator))?;
        Some(self.saved.swap_remove(at))
    }

    fn tell(&self, plugin: &str, build: &Plugin, pause: Option<Duration>) {
        if let Some(status) = self.builds.lock().get_mut(plugin) {
            status.version = build.manifest().version.clone();
            status.sha256 = build.sha256().to_owned();
            status.state = build.manifest().state.clone();
            status.swapped = pause.map(|pause| (SystemTime::now(), pause)).or(status.swapped);
        }
    }

    /// A build was not taken, or was taken back.
    pub fn refused(&mut self, plugin: &str, why: &str) {
        if let Some(status) = self.builds.lock().get_mut(plugin) {
            status.refused = Some((SystemTime::now(), why.to_owned()));
        }
    }
}

fn try_out(plugins: &Plugins, wanted: &[Wanted], name: &str, path: &Path, bytes: &[u8], offers: &Sender<Offer>) {
    let users: Vec<&Wanted> = wanted.iter().filter(|wanted| wanted.plugin_name == name).collect();
    let mut builds = Vec::new();
    for user in &users {
        let tried = plugins.try_out(path, bytes, &user.config, &user.limits).map_err(|why| why.to_string());
        let fits = |tried: Loaded| {
            compatible(&user.runs, tried.plugin.manifest())?;
            tried.try_empty_batch(&user.config, &user.limits).map(|()| tried)
        };
        match tried.and_then(fits) {
            Ok(tried) => builds.push((user.operator, tried)),
            Err(why) => {
                let sha256 = sha256(bytes);
                let _ = offers.send(Offer::Refused(Refusal { plugin: name.to_owned(), sha256, why }));
                return;
            }
        }
    }
    if !builds.is_empty() {
        let _ = offers.send(Offer::Ready(Box::new(Reload { plugin_name: name.to_owned(), builds })));
    }
}

/// Whether a new build can take over from the one that runs, with its state; if not, why.
pub fn compatible(runs: &Manifest, new: &Manifest) -> Result<(), String> {
    if new.kind != runs.kind {
        return Err(format!("it is {:?}, the running build is {:?}; give it another name and another operator", new.kind, runs.kind));
    }
    if let Some(input) = (0..new.inputs.len()).find(|i| new.key_of(*i) != runs.key_of(*i)) {
        let (new, runs) = (new.key_of(input), runs.key_of(input));
        return Err(format!("its key is {}, that of the running build is {}; state belongs to the key", list(new), list(runs)));
    }
    if new.outputs != runs.outputs {
        return Err(format!(
            "its output ports are {}, those of the running build are {}; change the pipeline and start it again",
            list(&new.outputs),
            list(&runs.outputs)
        ));
    }
    let name = |input: &Input| if input.broadcast { format!("{} (broadcast)", input.name) } else { input.name.clone() };
    let names = |manifest: &Manifest| manifest.inputs.iter().map(name).collect::<Vec<_>>();
    if runs.inputs.len().max(new.inputs.len()) > 1 && names(new) != names(runs) {
        return Err(format!(
            "its inputs are {}, those of the running build are {}; change the pipeline and start it again",
            list(&names(new)),
            list(&names(runs))
        ));
    }
    // Whether its state fits what is stored by then is seen when it is swapped in.
    Ok(())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Loaded {
    /// The topology with this build in the place of an operator's. Fields that it wants are added behind those that are there.
    pub fn rewired(&self, topology: &Topology, pipeline: &Pipeline, operator: usize) -> Result<Topology, PlanError> {
        let mut topology = topology.clone();
        let Some(file) = pipeline.operators.get(operator) else { return Ok(topology) };
        let mut inputs = Vec::new();
        for binding in &file.inputs {
            let Some(stream) = topology.streams.iter_mut().find(|stream| stream.name == binding.stream) else { continue };
            inputs.push(self.input(file, binding, &mut stream.wants)?);
        }
        Topology::share_wants(&mut topology.streams);
        if let Some(node) = topology.operators.get_mut(operator) {
            node.inputs = inputs;
            node.plugin = self.plugin.clone();
        }
        Ok(topology)
    }
}
