//! `sangam audit`: which build of which operator has run from where on, as the pipeline has written it down.

use super::columns;
use super::surroundings::{self, Connected};
use super::topics::{self, Reading};
use crate::admin::moment;
use crate::config::{ClusterKind, Pipeline};
use crate::digest::short;
use crate::sandbox::printable;
use crate::store::{MemoryStore, Store};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// List which builds a pipeline has run, from which records on, and which it has refused.
#[derive(Clone, Debug, Args)]
pub struct AuditCommand {
    /// The pipeline.
    pipeline: PathBuf,
    /// Only those of this operator.
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// JSON, one object per line, with all that is known.
    #[arg(long)]
    json: bool,
}

/// Columns of the table.
const HEADINGS: [&str; 8] = ["time", "operator", "by", "version", "sha256", "instead of", "first", "why"];

/// The most bytes of a reason in a table.
const CELL_BYTES_MAX: usize = 160;

/// Runs the command.
pub fn run(command: &AuditCommand, out: &mut dyn Write) -> Result<()> {
    let pipeline = surroundings::read_pipeline(&command.pipeline)?;
    let mut rows = Vec::new();
    each(&pipeline, &mut |text| {
        let event: Value = serde_json::from_slice(text).context("the topic of the audit holds something else")?;
        if command.operator.as_ref().is_some_and(|name| event.get("operator").and_then(Value::as_str) != Some(name)) {
            return Ok(());
        }
        match command.json {
            true => writeln!(out, "{event}")?,
            false => rows.push(row(&event)),
        }
        Ok(())
    })?;
    Ok(write!(out, "{}", columns::table(HEADINGS, &rows))?)
}

/// Hands the events of the audit to `each`, in order.
fn each(pipeline: &Pipeline, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let Some(audit) = &pipeline.audit else {
        bail!("this pipeline keeps no audit; add `[audit]` to its file, or leave `audit = false` out");
    };
    let is_embedded = pipeline.cluster(&audit.cluster).is_none_or(|cluster| cluster.kind == ClusterKind::Local);
    let store: Arc<dyn Store> = match is_embedded {
        true => topics::open_store(pipeline, "have its streams at Kafka")?,
        false => Arc::new(MemoryStore::new()),
    };
    let Connected { brokers, .. } = surroundings::connect(pipeline, &store)?;
    let broker = brokers.of_audit().context("the audit has no broker")?;
    let Some(partitions) = broker.partitions(&audit.topic)? else {
        bail!("there is no topic `{}` yet: the pipeline has not run since it keeps an audit", audit.topic);
    };
    let mut reading = Reading::start(broker.as_ref(), &format!("{}.audit", pipeline.name), &audit.topic, partitions)?;
    while let Some(events) = reading.next()? {
        events.rows.iter().filter_map(|row| events.value(row)).try_for_each(&mut *each)?;
    }
    Ok(())
}

fn row(event: &Value) -> [String; 8] {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let build = |name: &str| short(text(name)).to_owned();
    let instead = if text("refused").is_empty() { build("replaces") } else { build("refused") };
    [
        event.get("at").and_then(Value::as_i64).map_or_else(|| "-".to_owned(), moment),
        text("operator").to_owned(),
        text("by").to_owned(),
        printable(text("version").as_bytes(), CELL_BYTES_MAX),
        build("sha256"),
        if instead.is_empty() { "-".to_owned() } else { instead },
        first(event.get("first")),
        printable(if text("why").is_empty() { text("state") } else { text("why") }.as_bytes(), CELL_BYTES_MAX),
    ]
}

/// Offsets as `stream/partition@offset`.
fn first(offsets: Option<&Value>) -> String {
    let mut places = Vec::new();
    for (stream, partitions) in offsets.and_then(Value::as_object).into_iter().flatten() {
        for (partition, offset) in partitions.as_object().into_iter().flatten() {
            let offset = offset.as_i64().map_or_else(|| "start".to_owned(), |offset| offset.to_string());
            places.push(format!("{stream}/{partition}@{offset}"));
        }
    }
    if places.is_empty() { "-".to_owned() } else { places.join(" ") }
}
