//! What is said about bad files, and what good ones mean.

mod capture;
mod delivery;
mod excluded;
mod ladder;
mod meant;
mod priorities;
mod refused;
mod repartition;
mod samples;
mod savepoints;
mod time;
mod webhook;

use super::*;

/// The variables that the tests' files may ask for.
fn env(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("hunter2".into()),
        "TOPIC" => Some("from-env".into()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("secret value".into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Pipeline, ConfigErrors> {
    Pipeline::parse(text, "p.toml", &env)
}

/// A stream and an operator, so that a case is about one thing only.
const BASE: &str = "[operators.o]\ninput = \"in\"\n[streams.in]\n";
