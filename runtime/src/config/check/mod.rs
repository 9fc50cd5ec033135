//! From what was written to what it means: fills in defaults, and compares the parts of the file with each other.
//!
//! After an error it goes on with whatever is most plausible, so that one run finds them all; the result counts only without errors.

mod audit;
mod clusters;
mod cycle;
mod delivery;
mod operators;
mod repartition;
mod samples;
mod savepoints;
mod streams;
mod webhook;
mod wiring;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::error::Kind;
use super::meaning::{Admin, Cluster, Guarantee, Pipeline, Secret};
use super::source::{At, Source};
use super::written::{Written, WrittenAdmin};

/// Longer than a broker or a batch that has to be taken apart may hold a worker up: those come to an end by themselves.
const STUCK_AFTER: Duration = Duration::from_mins(3);

/// What a file means. Reports what does not fit together.
pub(super) fn mean(written: Written, source: &Source<'_>) -> Pipeline {
    let folder = Path::new(source.file).parent().unwrap_or(Path::new(""));
    let name = written.name.as_ref().map_or_else(|| stem(source.file), |name| name.value.clone());
    let base = Pipeline::new(&name);

    let clusters = clusters::mean(&written.clusters, source);
    let declared = streams::mean(&written.streams, &clusters, folder, source);
    let operators = operators::mean(&written.operators, written.capture.as_ref(), written.stamp.as_ref(), folder, source);
    let mut wired = wiring::connect(&written, &name, operators, declared, &clusters, source);
    repartition::add_streams(&written, &name, &mut wired, &clusters, source);
    let guarantee = wiring::guarantee(written.guarantee.as_ref(), &wired, &clusters, source);

    let standby = standby(written.standby.as_ref(), guarantee, &clusters, source);

    let place = |path: Option<At<String>>, default| folder.join(path.map_or(default, |path| path.value.into()));
    Pipeline {
        data: place(written.data, base.data),
        plugins: place(written.plugins, base.plugins),
        commit_interval: written.commit_interval.map_or(base.commit_interval, |at| at.value),
        drain_timeout: written.drain_timeout.map_or(base.drain_timeout, |at| at.value),
        workers: written.workers.map_or(base.workers, |at| at.value as usize),
        batch: written.batch.map_or(base.batch, |at| at.value as usize),
        on_remove: written.on_remove.map_or(base.on_remove, |at| at.value),
        guarantee: guarantee.unwrap_or(Guarantee::AtLeastOnce),
        priority_floor: written.priority_floor.map_or(base.priority_floor, |at| priority_floor(&at, source)),
        standby,
        audit: audit::mean(written.audit.as_ref(), &name, &wired.operators, &wired.streams, &clusters),
        samples: samples::mean(written.metrics, &wired.operators, &wired.streams, &clusters, source),
        admin: written.admin.and_then(|admin| open_doors(admin, source)),
        savepoints: savepoints::mean(written.savepoints, folder, source),
        text: base.text,
        clusters,
        streams: wired.streams,
        operators: wired.operators,
        name,
        warnings: Vec::new(),
    }
}

/// Copies are made of the logs at Kafka, which only exactly-once has.
fn standby(written: Option<&At<bool>>, guarantee: Option<Guarantee>, clusters: &[Cluster], source: &Source<'_>) -> bool {
    let Some(asked) = written.filter(|standby| standby.value) else { return false };
    if guarantee != Some(Guarantee::ExactlyOnce) || !clusters.iter().any(|cluster| cluster.kind.is_kafka()) {
        let message = "standby copies are read from the logs that `exactly_once` keeps at Kafka, and there are none; leave it out";
        source.error(Kind::Conflict, &asked.place, message);
    }
    true
}

/// With more than a third for each of two lower priorities, the highest would get the least.
fn priority_floor(written: &At<u32>, source: &Source<'_>) -> u32 {
    const PRIORITY_FLOOR_MAX: u32 = 333_333;
    if written.value > PRIORITY_FLOOR_MAX {
        let quote = source.quote(&written.place);
        let message = format!("`priority_floor` is at most a third, as there are three priorities, found `{quote}`; write `5%`");
        source.error(Kind::OutOfRange, &written.place, message);
    }
    written.value
}

/// The file's name without its ending, as a name.
fn stem(file: &str) -> String {
    let stem = Path::new(file).file_stem().map_or_else(|| "pipeline".into(), |stem| stem.to_string_lossy());
    stem.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }).collect()
}

fn open_doors(admin: WrittenAdmin, source: &Source<'_>) -> Option<Admin> {
    let listen = admin.listen?;
    // The one name that needs no resolver; anything else would ask the network.
    let address = listen.value.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let Ok(address) = address.as_ref().unwrap_or(&listen.value).parse::<SocketAddr>() else {
        let quote = source.quote(&listen.place);
        let message = format!("`listen`: `{quote}` is not an address; write an IP address and a port, such as `127.0.0.1:9600`");
        source.error(Kind::BadAddress, &listen.place, message);
        return None;
    };
    if !address.ip().is_loopback() && !admin.has_token {
        let quote = source.quote(&listen.place);
        let message =
            format!("`{quote}` can be reached from the network; add `token = \"${{NAME}}\"`, or listen on `127.0.0.1:{}`", address.port());
        source.error(Kind::Insecure, &listen.place, message);
    }
    let token = admin.token.map(|token| Secret(token.value));
    Some(Admin { listen: address, token, stuck_after: admin.stuck_after.map_or(STUCK_AFTER, |at| at.value) })
}
