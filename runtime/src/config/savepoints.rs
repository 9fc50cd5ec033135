//! What `[savepoints]` means: where savepoints are kept, and when they are taken by themselves.

use super::meaning::Pipeline;
use std::fmt;
use std::path::PathBuf;

/// Savepoints of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Savepoints {
    /// Where they are kept; `None`: in the folder `savepoints` beside that of the store.
    pub at: Option<SavepointsAt>,
    /// Whether one is taken before each swap of a build.
    pub before_swap: bool,
    /// How many of those before swaps are kept; older ones are removed.
    pub keep: usize,
    /// What happens when a new build fails while it is watched.
    pub on_bad_build: OnBadBuild,
}

/// A place for savepoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavepointsAt {
    /// A folder.
    Folder(PathBuf),
    /// A bucket: `s3://...`, `gs://...`, `az://...`.
    Cloud(String),
}

/// What happens when a new build fails while it is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadBuild {
    /// The build before it comes back and goes on with the state as it is.
    #[default]
    RollBackCode,
    /// The build before it comes back, and with it the state and the positions of just before the swap.
    RollBackState,
}

impl Default for Savepoints {
    fn default() -> Self {
        Savepoints { at: None, before_swap: false, keep: 5, on_bad_build: OnBadBuild::default() }
    }
}

impl fmt::Display for SavepointsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SavepointsAt::Folder(folder) => folder.display().fmt(f),
            SavepointsAt::Cloud(url) => f.write_str(url),
        }
    }
}

impl Pipeline {
    /// Where its savepoints are.
    pub fn savepoints_at(&self) -> SavepointsAt {
        let beside = || SavepointsAt::Folder(self.data.with_file_name("savepoints"));
        self.savepoints.at.clone().unwrap_or_else(beside)
    }
}
