//! Compiled code on disk, so that a module is compiled once per version of the engine and not once per start.
//!
//! An entry is native code that will be run: the folder must belong to this user and be closed to all others, and each entry
//! carries a checksum. Any doubt about an entry, and the module is compiled again. A plugin folder is never read from here.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

/// First bytes of an entry; the digit is the version of this file's layout.
const MAGIC: &[u8; 8] = b"sangamc1";

/// The most entries that are kept; the oldest go first. Each has about the size of a few copies of its module.
const ENTRIES_MAX: usize = 128;

/// A folder of compiled modules.
#[derive(Debug)]
pub struct CodeCache {
    folder: PathBuf,
    /// Which engine the code is for: version, settings, processor.
    engine: u64,
}

impl CodeCache {
    /// Opens the folder, making it if need be. Fails where others could write native code into it.
    pub fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        check_private(folder)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(CodeCache { folder: folder.to_owned(), engine: hasher.finish() })
    }

    /// The compiled module, where there is a sound entry.
    pub fn get(&self, engine: &Engine, sha256: &str) -> Option<Module> {
        let path = self.path(sha256);
        let entry = fs::read(&path).ok()?;
        let Some(code) = checked(&entry) else {
            tracing::warn!(path = %path.display(), "a cache entry is damaged; compiling again");
            return None;
        };
        // SAFETY: `deserialize` must only see what `Module::serialize` of a like engine returned. This folder is ours alone
        // (`check_private`: owned by this user, closed to others), only `put` writes to it, and the checksum just held, so these are
        // the bytes that `put` wrote. wasmtime compares version and settings itself.
        #[expect(unsafe_code, reason = "there is no safe way to load compiled code")]
        let module = unsafe { Module::deserialize(engine, code) };
        module.inspect_err(|e| tracing::debug!(path = %path.display(), error = %e, "a cache entry is for another engine")).ok()
    }

    /// Keeps a compiled module. A cache that cannot be written costs time and nothing else, so failing is only logged.
    pub fn put(&self, sha256: &str, module: &Module) {
        let written = module.serialize().map_err(io::Error::other).and_then(|code| self.write(&self.path(sha256), &code));
        match written {
            Ok(()) => self.prune(),
            Err(e) => tracing::warn!(folder = %self.folder.display(), error = %e, "compiled code is not cached"),
        }
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}-{:016x}.code", self.engine))
    }

    /// Written under another name first: a reader sees a whole entry or none.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let draft = path.with_extension(format!("{}.draft", std::process::id()));
        let mut file = fs::File::create(&draft)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&draft, path).inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut entries: Vec<(SystemTime, PathBuf)> =
            entries.flatten().filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
        if entries.len() <= ENTRIES_MAX {
            return;
        }
        entries.sort_by(|a, b| b.cmp(a));
        for (_, path) in entries.into_iter().skip(ENTRIES_MAX) {
            // Another process may have been faster.
            let _ = fs::remove_file(path);
        }
    }
}

/// The code of an entry whose head and checksum hold.
fn checked(entry: &[u8]) -> Option<&[u8]> {
    let (checksum, code) = entry.strip_prefix(MAGIC)?.split_at_checked(32)?;
    (Sha256::digest(code).as_slice() == checksum).then_some(code)
}

/// Fails unless the folder is this user's and no one else may write to it.
#[cfg(unix)]
fn check_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(folder)?;
    let fail = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if metadata.mode() & 0o022 != 0 {
        return fail("others may write to the folder, and what is in it is run; `chmod 700` it");
    }
    // A file that this process makes has the owner that this process has.
    let probe = folder.join(format!("{}.probe", std::process::id()));
    let owner = fs::File::create(&probe)?.metadata()?.uid();
    fs::remove_file(&probe)?;
    if owner != metadata.uid() {
        return fail("the folder belongs to another user, and what is in it is run");
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_folder: &Path) -> io::Result<()> {
    Ok(())
}
