//! What can go wrong with a store, sorted by what to do next.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open. Stop it, or give this pipeline its own `data` folder.
    #[error("{} is in use by another process; stop it, or give this pipeline a data folder of its own", .0.display())]
    Locked(PathBuf),
    /// The disk is full. Nothing of the failed write is kept; free space and the pipeline goes on from its last commit.
    #[error("no space left for {}; free some, then start again: everything up to the last commit is safe", .0.display())]
    Full(PathBuf),
    /// The folder or file cannot be written. Check owner, mode and whether the disk is mounted read-only.
    #[error("{} cannot be written ({}); check its owner and mode, and that the disk is not mounted read-only", .0.display(), .1)]
    Denied(PathBuf, std::io::Error),
    /// The file is not a store of ours, or it is damaged. Move it away to start empty, or restore it from a backup.
    #[error("{} is damaged or not a Sangam store: {}; restore it from a backup, or move it away to start empty", .0.display(), .1)]
    Damaged(PathBuf, String),
    /// Anything else the disk says.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, String),
}

impl StoreError {
    /// What an error of the file system means for a store at `path`.
    pub(super) fn from_io(path: &Path, error: std::io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreError::Full(path),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Denied(path, error),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Damaged(path, error.to_string()),
            _ => StoreError::Io(path, error.to_string()),
        }
    }
}
