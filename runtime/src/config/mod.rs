//! Turns a pipeline file into plain values: what was written, then what it means, and every error at once, each at its place.
//!
//! Nothing is opened or connected here. Whether the plugins and topics that the file names are there, others find out.

mod units;
mod values;

mod error;
mod source;

mod audit;
mod blame;
mod check;
mod delivery;
mod fields;
mod meaning;
mod samples;
mod savepoints;
mod webhook;
mod written;

#[cfg(test)]
mod tests;

pub use audit::Audit;
pub use blame::blame;
pub use delivery::Delivery;
pub use error::{ConfigErrors, Diagnostic, Kind, Severity};
pub use meaning::{
    Admin, Batch, Binding, BreakerSpec, Capture, Carrier, Cluster, ClusterKind, Config, DEAD_LETTERS, EMBEDDED, FALLBACK, Fallback, Format,
    Guarantee, Limits, OnError, OnRemove, Operator, Options, Pipeline, Priority, Rekeys, Route, STDIO, Secret, ShareLimit, Start, Stream,
    TimeUnit, Timestamp, Trips, Watermarks,
};
pub use samples::{SAMPLED, SAMPLES_TOPIC, Samples};
pub use savepoints::{OnBadBuild, Savepoints, SavepointsAt};
pub use units::{UnitError, parse_bytes, parse_duration};
pub use values::{SetError, set, to_msgpack};
pub use webhook::{Undelivered, Webhook};

use source::Source;

impl Pipeline {
    /// Reads a pipeline from the text of its file. `file` is the name that errors show; relative paths in the text start at its folder, and
    /// its stem is the pipeline's default name. `env` looks up the environment variables that the text asks for as `${NAME}`.
    pub fn parse(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Pipeline, ConfigErrors> {
        let source = Source::new(text, file, env);
        let pipeline = written::read(&source).map(|written| check::mean(written, &source));
        let (errors, warnings) = source.into_findings();
        match pipeline {
            Some(pipeline) if errors.is_empty() => Ok(Pipeline { warnings, text: Secret(text.to_owned()), ..pipeline }),
            // A slip in an operator leaves streams unused: warnings would only tell its consequences.
            _ => Err(ConfigErrors { errors }),
        }
    }
}
