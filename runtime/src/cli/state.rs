//! `sangam state`: what an operator of a running pipeline remembers, asked at its admin doors.

use super::ask::{Question, ask};
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
    /// Where the pipeline's admin doors are: `listen` under `[admin]` in its file.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9600")]
    pub admin: String,
    /// The token of the admin doors [default: the environment variable SANGAM_ADMIN_TOKEN].
    #[arg(long)]
    pub token: Option<String>,
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
    let token = command.token.clone().or_else(|| std::env::var("SANGAM_ADMIN_TOKEN").ok());
    let question = Question { address: &command.admin, token: token.as_deref(), path: &path, body: None, patience: PATIENCE };
    let answer: serde_json::Value = serde_json::from_str(&ask(&question)?)?;
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?)
}
