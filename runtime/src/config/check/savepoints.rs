//! What is meant by `[savepoints]`.

use super::super::error::Kind;
use super::super::savepoints::{OnBadBuild, Savepoints, SavepointsAt};
use super::super::source::{At, Source};
use super::super::written::WrittenSavepoints;
use std::path::Path;

/// The stores in the cloud that an address may begin with.
const CLOUDS: [&str; 3] = ["s3", "gs", "az"];

pub(super) fn mean(written: Option<WrittenSavepoints>, folder: &Path, source: &Source<'_>) -> Savepoints {
    let base = Savepoints::default();
    let Some(written) = written else { return base };
    let on_bad_build = written.on_bad_build.as_ref().map_or(base.on_bad_build, |at| at.value);
    let needed = on_bad_build == OnBadBuild::RollBackState;
    if let Some(off) = written.before_swap.as_ref().filter(|at| needed && !at.value) {
        let message =
            "`on_bad_build = \"roll_back_state\"` goes back to the savepoint before the swap; leave `before_swap` out, or say `true`";
        source.error(Kind::Conflict, &off.place, message);
    }
    Savepoints {
        at: written.url.and_then(|url| place(&url, folder, source)),
        before_swap: needed || written.before_swap.map_or(base.before_swap, |at| at.value),
        keep: written.keep.map_or(base.keep, |at| at.value as usize),
        on_bad_build,
    }
}

fn place(url: &At<String>, folder: &Path, source: &Source<'_>) -> Option<SavepointsAt> {
    match url.value.split_once("://") {
        None => Some(SavepointsAt::Folder(folder.join(&url.value))),
        Some(("file", path)) if path.starts_with('/') => Some(SavepointsAt::Folder(path.into())),
        Some((scheme, rest)) if CLOUDS.contains(&scheme) && !rest.is_empty() => Some(SavepointsAt::Cloud(url.value.clone())),
        Some(_) => {
            let quote = source.quote(&url.place);
            let message =
                format!("`url`: `{quote}` is no place for savepoints; write a folder, or `s3://BUCKET/PATH`, `gs://...`, `az://...`");
            source.error(Kind::BadAddress, &url.place, message);
            None
        }
    }
}
