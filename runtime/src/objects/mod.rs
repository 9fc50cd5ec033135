//! The only door to object stores: whole objects under paths, in a folder or in the cloud.
//!
//! It does not know what is in them. Callers wait for each answer; none of this is on the path of events.

use crate::config::SavepointsAt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::error::Error as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// A place that holds objects.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// What comes before every path.
    prefix: Path,
    /// The place as people know it.
    at: String,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// Answers come on the thread that asks.
    runtime: Runtime,
}

/// An error of an object store, sorted by what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// No space is left. What was being written is not there; free space and try again.
    #[error("no space left for {0}; free some and try again")]
    Full(String),
    /// The place cannot be read or written. Check owner, mode, credentials, and that no disk is mounted read-only.
    #[error(
        "{0} cannot be read or written ({1}); check its owner and mode, or the credentials, and that the disk is not mounted read-only"
    )]
    Denied(String, String),
    /// Somebody has made the object before.
    #[error("{0} is there already")]
    Exists(String),
    /// This build of the program does not speak to that kind of store.
    #[error(
        "this `sangam` was built without `{0}`; build it with `cargo build --release -p sangam --features {0}`, or keep savepoints in a folder"
    )]
    Left(&'static str),
    /// Anything else.
    #[error("{0}: {1}")]
    Other(String, String),
}

/// What is in a folder: names of the folders and of the objects in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Folders.
    pub folders: Vec<String>,
    /// Objects.
    pub objects: Vec<String>,
}

// === impl Objects ===

impl Objects {
    /// Opens a place; a folder is made where it is not there.
    pub fn open(at: &SavepointsAt) -> Result<Objects, ObjectsError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| ObjectsError::Other(at.to_string(), why.to_string()))?;
        let (store, prefix): (Arc<dyn ObjectStore>, Path) = match at {
            SavepointsAt::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|why| from_io(&at.to_string(), &why))?;
                let files = LocalFileSystem::new_with_prefix(folder).map_err(|why| sort(&at.to_string(), &why))?;
                (Arc::new(files.with_fsync(true).with_automatic_cleanup(true)), Path::default())
            }
            SavepointsAt::Cloud(url) => in_the_cloud(url)?,
        };
        let folder = if let SavepointsAt::Folder(folder) = at { Some(folder.clone()) } else { None };
        Ok(Objects { store, prefix, at: at.to_string(), folder, runtime })
    }

    /// The place as people know it.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What a path is called outside.
    pub fn name_of(&self, path: &str) -> String {
        format!("{}/{path}", self.at.trim_end_matches('/'))
    }

    /// Writes an object that is not there yet, whole or not at all.
    pub fn create(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectsError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let place = self.path(path);
        let put = self.store.put_opts(&place, PutPayload::from(bytes), options);
        self.runtime.block_on(put).map(drop).map_err(|why| sort(&self.name_of(path), &why))
    }

    /// The bytes of an object; `None` where there is none.
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectsError> {
        let place = self.path(path);
        let read = async { self.store.get(&place).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(why) => Err(sort(&self.name_of(path), &why)),
        }
    }

    /// What is in a folder; nothing where it is not there.
    pub fn list(&self, folder: &str) -> Result<Listing, ObjectsError> {
        let place = self.path(folder);
        let found = self.runtime.block_on(self.store.list_with_delimiter(Some(&place)));
        let found = match found {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(Listing::default()),
            Err(why) => return Err(sort(&self.name_of(folder), &why)),
        };
        let last = |path: &Path| path.filename().map(str::to_owned);
        let mut listing = Listing {
            folders: found.common_prefixes.iter().filter_map(last).collect(),
            objects: found.objects.iter().filter_map(|object| last(&object.location)).collect(),
        };
        listing.folders.sort();
        listing.objects.sort();
        Ok(listing)
    }

    /// Deletes an object; deleting what is not there is fine.
    pub fn delete(&self, path: &str) -> Result<(), ObjectsError> {
        match self.runtime.block_on(self.store.delete(&self.path(path))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(why) => Err(sort(&self.name_of(path), &why)),
        }
    }

    /// Deletes all that is in a folder, and in the folders in it.
    pub fn clear(&self, folder: &str) -> Result<(), ObjectsError> {
        let Listing { folders, objects } = self.list(folder)?;
        for inner in folders {
            self.clear(&format!("{folder}/{inner}"))?;
        }
        for object in objects {
            self.delete(&format!("{folder}/{object}"))?;
        }
        match &self.folder {
            // What a crash has left half-written is no object.
            Some(root) => match std::fs::remove_dir_all(root.join(folder)) {
                Err(why) if why.kind() != ErrorKind::NotFound => Err(from_io(&self.name_of(folder), &why)),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn path(&self, path: &str) -> Path {
        Path::from_iter(self.prefix.parts().map(|part| part.as_ref().to_owned()).chain(path.split('/').map(str::to_owned)))
    }
}

/// A bucket; its credentials are the variables that its own tools read, such as `AWS_ACCESS_KEY_ID`.
fn in_the_cloud(url: &str) -> Result<(Arc<dyn ObjectStore>, Path), ObjectsError> {
    let feature = match url.split(':').next() {
        Some("gs") if !cfg!(feature = "gcs") => Some("gcs"),
        Some("az") if !cfg!(feature = "azure") => Some("azure"),
        Some("s3") if !cfg!(feature = "s3") => Some("s3"),
        _ => None,
    };
    if let Some(feature) = feature {
        return Err(ObjectsError::Left(feature));
    }
    let parsed = url::Url::parse(url).map_err(|why| ObjectsError::Other(url.to_owned(), why.to_string()))?;
    let options = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let (store, path) = object_store::parse_url_opts(&parsed, options).map_err(|why| sort(url, &why))?;
    Ok((Arc::from(store), path))
}

fn sort(place: &str, error: &Error) -> ObjectsError {
    match error {
        Error::AlreadyExists { .. } => return ObjectsError::Exists(place.to_owned()),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            return ObjectsError::Denied(place.to_owned(), error.to_string());
        }
        _ => {}
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return from_io(place, io);
        }
        cause = inner.source();
    }
    ObjectsError::Other(place.to_owned(), error.to_string())
}

fn from_io(place: &str, error: &std::io::Error) -> ObjectsError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ObjectsError::Full(place.to_owned()),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ObjectsError::Denied(place.to_owned(), error.to_string()),
        _ => ObjectsError::Other(place.to_owned(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &std::path::Path) -> Objects {
        Objects::open(&SavepointsAt::Folder(folder.to_owned())).unwrap()
    }

    #[test]
    fn objects_are_written_once_and_read_listed_and_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let objects = open(&folder.path().join("not/there"));
        assert_eq!(objects.list("a").unwrap(), Listing::default());
        for path in ["a/b/one", "a/b/deep/two", "a/c/three"] {
            objects.create(path, path.into()).unwrap();
        }
        let why = objects.create("a/b/one", vec![]).unwrap_err();
        assert!(matches!(&why, ObjectsError::Exists(name) if name.ends_with("not/there/a/b/one")), "{why}");
        assert_eq!(objects.get("a/b/one").unwrap(), Some(b"a/b/one".to_vec()));
        assert_eq!(objects.get("a/b/none").unwrap(), None);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(objects.list("a/b").unwrap(), Listing { folders: names(&["deep"]), objects: names(&["one"]) });
        assert_eq!(objects.list("a").unwrap().folders, ["b", "c"]);
        // What a crash has left of a write is no object, and goes with the folder.
        std::fs::write(folder.path().join("not/there/a/b/half#1"), "h").unwrap();
        objects.clear("a/b").unwrap();
        assert_eq!(objects.list("a").unwrap().folders, ["c"]);
        objects.delete("a/b/one").unwrap();
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn a_cloud_that_is_not_built_in_is_named_with_what_to_do() {
        let why = Objects::open(&SavepointsAt::Cloud("s3://bucket/a".to_owned())).err().unwrap().to_string();
        assert!(why.contains("--features s3"), "{why}");
    }
}
