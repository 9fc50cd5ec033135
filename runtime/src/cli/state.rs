//! `sangam state`: what an operator of a running pipeline remembers, asked at its admin doors.

use super::ask::Doors;
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::time::Duration;

/// Show what an operator of a running pipeline remembers for a key, or for which keys it remembers anything; as JSON.
#[derive(Clone, Debug, Args)]
pub struct StateCommand {
    /// The operator.
    pub operator: String,
    /// The key; a composite one as a JSON array of its parts. Without it, keys are listed.
    pub key: Option<String>,
    /// Only keys that begin so.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Only keys behind this one: `next` of the list before.
    #[arg(long)]
    pub after: Option<String>,
    /// The most keys.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// Where it is asked.
    #[command(flatten)]
    pub doors: Doors,
}

/// How long the pipeline may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn run(command: &StateCommand, out: &mut impl Write) -> Result<()> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(key) = &command.key {
        query.append_pair("key", key);
    } else {
        query.append_pair("prefix", &command.prefix).append_pair("limit", &command.limit.to_string());
        query.extend_pairs(command.after.iter().map(|after| ("after", after)));
    }
    let path = format!("/api/v1/pipeline/state/{}?{}", command.operator, query.finish());
    let answer: serde_json::Value = serde_json::from_str(&command.doors.ask(&path, PATIENCE)?)?;
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?)
}
