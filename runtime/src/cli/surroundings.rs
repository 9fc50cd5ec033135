//! What a pipeline needs of the machine: the store, brokers, the sandbox. Shared by the commands that run or check one.

use crate::broker::{
    Broker, BrokerError, FileBroker, FileFormat, FileOptions, KafkaBroker, KafkaOptions, LocalBroker, MemoryBroker, WebhookBroker,
};
use crate::config::{self, Carrier, ClusterKind, Format, Guarantee, Pipeline};
use crate::metrics::Metrics;
use crate::pipeline::{Brokers, LoadFailed, PlanError, PlanErrors, Plugins, plan};
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::store::{DiskStore, MemoryStore, Store, StoreError};
use crate::task::Topology;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads and checks a pipeline file; the error lists everything that is wrong with it.
pub fn read_pipeline(path: &Path) -> Result<Pipeline> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    // By this name it also knows the folder that paths in it start at.
    let name = path.display().to_string();
    Ok(Pipeline::parse(&text, &name, &|name| std::env::var(name).ok())?)
}

/// Has complaints of plugins about their configuration point at its lines in the pipeline file.
pub fn at_its_line(why: anyhow::Error, path: &Path) -> anyhow::Error {
    let errors = match why.downcast::<PlanErrors>() {
        Ok(PlanErrors(errors)) => errors,
        Err(other) => return other,
    };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = errors.iter().map(|error| match error {
        PlanError::Load(operator, LoadFailed::Start(_, complaint)) => {
            let found = config::blame(&text, &path.display().to_string(), operator, &complaint.to_string());
            found.map_or_else(|| error.to_string(), |found| found.to_string())
        }
        _ => error.to_string(),
    });
    anyhow::Error::msg(lines.collect::<Vec<_>>().join("\n"))
}

/// A sandbox with its cache of compiled code in the user's cache folder.
pub fn sandbox() -> Result<Arc<Sandbox>> {
    Ok(Sandbox::new(SandboxOptions { cache_dir: cache_folder(), ..SandboxOptions::default() })?)
}

/// The folder of compiled code: `$SANGAM_CACHE`, or `sangam` in the user's cache folder.
fn cache_folder() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("SANGAM_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("sangam")))
        .or_else(|| named("HOME").map(|home| home.join(".cache/sangam")))?;
    Some(cache.join("code"))
}

/// What a run starts from, besides its connections.
pub struct Planned {
    /// The plugins.
    pub plugins: Arc<Plugins>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who runs where.
    pub topology: Arc<Topology>,
}

/// Makes the topics of a pipeline, loads its plugins, and plans its run.
pub fn planned(pipeline: &Pipeline, brokers: &mut Brokers) -> Result<Planned> {
    let (plugins, metrics) = (plugins(pipeline)?, Arc::new(Metrics::default()));
    brokers.topics(pipeline)?;
    let topology = plan(pipeline, &plugins, &metrics, &|s| brokers.partitions(s), &|s| brokers.of_stream(s))?;
    Ok(Planned { plugins, metrics, topology: Arc::new(topology) })
}

/// The plugins of a pipeline.
pub fn plugins(pipeline: &Pipeline) -> Result<Arc<Plugins>> {
    Ok(Arc::new(Plugins::new(sandbox()?, &pipeline.plugins)))
}

/// The store of a pipeline: on disk, unless everything that it reads and writes is in memory.
pub fn store(pipeline: &Pipeline) -> Result<Arc<dyn Store>> {
    let durable = pipeline.streams.iter().any(|stream| match &stream.carrier {
        Carrier::Topic { .. } => pipeline.kind_of(stream) != Some(&ClusterKind::Memory),
        Carrier::File { .. } => true,
        Carrier::Webhook(_) | Carrier::Internal => false,
    });
    if !durable {
        return Ok(Arc::new(MemoryStore::new()));
    }
    match DiskStore::open(&pipeline.data) {
        Err(StoreError::Damaged(path, why)) if is_in_logs(pipeline) => {
            let aside = path.with_extension("damaged");
            tracing::warn!("{} is damaged ({why}); it goes to {} and is made anew from the logs at Kafka", path.display(), aside.display());
            std::fs::rename(&path, &aside).with_context(|| format!("{} cannot be put aside", path.display()))?;
            Ok(Arc::new(DiskStore::open(&pipeline.data)?))
        }
        opened => Ok(Arc::new(opened?)),
    }
}

/// Whether the store holds nothing but a copy of what is in the logs at Kafka.
fn is_in_logs(pipeline: &Pipeline) -> bool {
    let mut kinds = pipeline.streams.iter().filter_map(|stream| pipeline.kind_of(stream)).peekable();
    pipeline.guarantee == Guarantee::ExactlyOnce && kinds.peek().is_some() && kinds.all(ClusterKind::is_kafka)
}

/// The first cluster of the pipeline that is the same Kafka under another name, or the one itself. One Kafka takes a process into a group once: members
/// that wait for each other in one thread would be thrown out.
fn first_alike<'p>(pipeline: &'p Pipeline, name: &'p str) -> &'p str {
    let Some(kind) = pipeline.cluster(name).map(|cluster| &cluster.kind).filter(|kind| kind.is_kafka()) else { return name };
    pipeline.clusters.iter().find(|other| other.kind == *kind).map_or(name, |first| &first.name)
}

/// The clusters of a pipeline.
pub struct Connected {
    /// Where state, positions and embedded topics are.
    pub store: Arc<dyn Store>,
    /// All brokers.
    pub brokers: Brokers,
    /// The one of the embedded topics; only its clones know of each other's offsets.
    pub local: LocalBroker,
}

/// Connects to the clusters of a pipeline. Topics embedded in the store share one broker.
pub fn connect(pipeline: &Pipeline, store: &Arc<dyn Store>) -> Result<Connected> {
    let local = LocalBroker::new(store.clone());
    let connect = &mut |carrier: &Carrier, format: Format| -> Result<(String, Arc<dyn Broker>), BrokerError> {
        Ok(match carrier {
            Carrier::File { path, follow } => {
                let format = match format {
                    Format::Json => FileFormat::JsonLines,
                    Format::MessagePack => FileFormat::Framed,
                    Format::Raw => FileFormat::Lines,
                };
                let options = FileOptions { format: Some(format), follow: *follow, ..FileOptions::default() };
                (format!("file {}", path.display()), Arc::new(FileBroker::new(options)))
            }
            Carrier::Topic { cluster, .. } => {
                let broker: Arc<dyn Broker> = match pipeline.cluster(cluster).map(|cluster| &cluster.kind) {
                    Some(ClusterKind::Kafka { brokers, options }) => {
                        let mut kafka = KafkaOptions::new(brokers);
                        for (name, value) in &options.0 {
                            kafka = kafka.with(name, value);
                        }
                        Arc::new(KafkaBroker::connect(kafka)?)
                    }
                    Some(ClusterKind::Memory) => Arc::new(MemoryBroker::new(Arc::new(MemoryStore::new()))),
                    _ => Arc::new(local.clone()),
                };
                (format!("cluster {}", first_alike(pipeline, cluster)), broker)
            }
            Carrier::Webhook(webhook) => (format!("webhook {}", webhook.stream), Arc::new(WebhookBroker::new(webhook, format))),
            Carrier::Internal => return Err(BrokerError::Fatal("a stream in memory has no broker".to_owned())),
        })
    };
    let brokers = Brokers::connect(pipeline, connect)?;
    Ok(Connected { store: store.clone(), brokers, local })
}
