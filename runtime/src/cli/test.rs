//! `sangam test`: a plugin's fixtures, `input.jsonl` to `expected.jsonl`, through its .wasm and the production engine.

use super::exec::{self, Encoding, Exec};
use crate::config;
use anyhow::{Context, Result, bail};
use clap::Args;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Run a plugin's fixtures through its .wasm.
#[derive(Clone, Debug, Args)]
pub struct Test {
    /// The plugin's folder, with `fixtures/` in it.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The .wasm file; without it, the plugin is built first.
    #[arg(long, value_name = "FILE.wasm")]
    pub plugin: Option<PathBuf>,
    /// Write what comes out to `expected.jsonl` instead of comparing.
    #[arg(long)]
    pub record: bool,
}

/// `fixtures/test.toml`: how the fixtures are run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// The key, where the plugin does not name one.
    key: Vec<String>,
    /// The field that holds the event time.
    timestamp: Option<String>,
    /// How far events may come out of order.
    out_of_orderness: Option<String>,
    /// The plugin's configuration.
    config: toml::Table,
}

/// How many differing lines are shown.
const DIFFERENCES_SHOWN: usize = 10;

/// Runs the command.
pub fn run(command: &Test, out: &mut dyn Write) -> Result<()> {
    let plugin = match &command.plugin {
        Some(plugin) => plugin.clone(),
        None => super::build::module(&command.dir)?,
    };
    let fixtures = command.dir.join("fixtures");
    if !fixtures.is_dir() {
        bail!("{} is not there; a plugin's fixtures are fixtures/input.jsonl and fixtures/expected.jsonl", fixtures.display());
    }
    let got = outputs(&plugin, &fixtures)?;
    let expected_path = fixtures.join("expected.jsonl");
    if command.record {
        std::fs::write(&expected_path, got.join("\n") + "\n").with_context(|| format!("{} cannot be written", expected_path.display()))?;
        writeln!(out, "{} outputs written to {}", got.len(), expected_path.display())?;
        return Ok(());
    }
    let expected = std::fs::read_to_string(&expected_path).with_context(|| format!("{} cannot be read", expected_path.display()))?;
    compare(&expected, &got, &expected_path, out)?;
    writeln!(out, "{}: {} outputs as expected", fixtures.display(), got.len())?;
    Ok(())
}

/// Runs the fixtures; one envelope per line.
fn outputs(plugin: &Path, fixtures: &Path) -> Result<Vec<String>> {
    let settings_path = fixtures.join("test.toml");
    let settings: Settings = match std::fs::read_to_string(&settings_path) {
        Ok(text) => toml::from_str(&text).with_context(|| settings_path.display().to_string())?,
        Err(_) => Settings::default(),
    };
    let out_of_orderness = settings.out_of_orderness.as_deref().map_or(Ok(std::time::Duration::ZERO), config::parse_duration)?;
    let exec = Exec {
        plugin: plugin.to_owned(),
        key: settings.key,
        timestamp: settings.timestamp,
        out_of_orderness,
        config: None,
        set: Vec::new(),
        input: fixtures.join("input.jsonl"),
        input_format: Encoding::Json,
        output: PathBuf::from(config::STDIO),
        output_format: None,
        envelope: true,
        stats: None,
        batch: 1024,
        no_drain: false,
    };
    let buffer = Shared::default();
    exec::exec(&exec, settings.config, Box::new(buffer.clone()))?;
    let bytes = buffer.0.lock();
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// Compares line by line, as JSON values. A line of `expected` that is not an envelope is compared with the value alone.
fn compare(expected: &str, got: &[String], path: &Path, out: &mut dyn Write) -> Result<()> {
    let expected: Vec<&str> = expected.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut differences = 0;
    for i in 0..expected.len().max(got.len()) {
        let wanted: Option<Value> = match expected.get(i) {
            Some(line) => Some(serde_json::from_str(line).with_context(|| format!("{}:{} is not JSON", path.display(), i + 1))?),
            None => None,
        };
        let found: Option<Value> = got.get(i).and_then(|line| serde_json::from_str(line).ok());
        let enveloped = wanted.as_ref().is_none_or(|wanted| wanted.get("port").is_some() && wanted.get("value").is_some());
        let compared = if enveloped { found.clone() } else { found.as_ref().and_then(|found| found.get("value").cloned()) };
        if compared != wanted {
            differences += 1;
            if differences <= DIFFERENCES_SHOWN {
                let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "(nothing)".to_owned(), Value::to_string);
                writeln!(out, "{}:{}\n  expected {}\n  got      {}", path.display(), i + 1, show(&wanted), show(&compared))?;
            }
        }
    }
    if differences > 0 {
        bail!("{differences} of {} outputs differ; look, and if they are right: sangam test --record", expected.len().max(got.len()));
    }
    Ok(())
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
