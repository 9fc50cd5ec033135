//! The watched folder: says when a plugin's file has new content, whatever way it got there.
//!
//! What the system says of changes is only a hint to look sooner: every look is a scan of the folder by content. That covers renames,
//! symlink swaps, network file systems, and a folder that was moved away and came back, all of which hints miss on one system or another.

use crate::digest::sha256;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use notify_debouncer_full::notify::RecursiveMode;
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// A file whose content is new and complete.
#[derive(Debug)]
pub struct NewFile {
    /// Its name without the ending.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Watches a folder until it is dropped.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _hints: Option<Debouncer<notify_debouncer_full::notify::RecommendedWatcher, RecommendedCache>>,
}

/// How long hints are gathered before a look.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How often the folder is looked at without any hint.
const RESCAN: Duration = Duration::from_secs(2);

/// A file must look the same in two looks this far apart before it is read: who writes it may be half-way.
const SETTLE: Duration = Duration::from_millis(150);

/// The most bytes of a plugin's file that are read.
const FILE_MAX: u64 = 256 << 20;

impl Watch {
    /// Watches `folder`; files whose SHA-256 is in `known` (by name) are not news.
    ///
    /// # Errors
    /// When no thread can be started. Without the system's hints the folder is still looked at every two seconds.
    pub fn start(folder: &Path, known: BTreeMap<String, String>, news: Sender<NewFile>) -> std::io::Result<Watch> {
        let (hint, hints) = bounded(1);
        let hinted = hint.clone();
        let debouncer = new_debouncer(DEBOUNCE, None, move |_: DebounceEventResult| {
            // One hint that waits is enough: the look that follows sees everything.
            let _ = hinted.try_send(());
        });
        let mut debouncer = debouncer.inspect_err(|why| tracing::warn!("no hints of changes in {}: {why}", folder.display())).ok();
        if let Some(debouncer) = &mut debouncer {
            // The parent too: a folder that is moved away and comes back says nothing itself.
            for path in [Some(folder), folder.parent().filter(|parent| !parent.as_os_str().is_empty())].into_iter().flatten() {
                if let Err(why) = debouncer.watch(path, RecursiveMode::NonRecursive) {
                    tracing::debug!("no hints of changes in {}: {why}", path.display());
                }
            }
        }
        let (stop, stopped) = unbounded();
        let mut look = Look { folder: folder.to_owned(), known, seen: BTreeMap::new(), news };
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            loop {
                let pause = if look.scan(Instant::now()) { SETTLE } else { RESCAN };
                if wait(&hints, &stopped, pause) {
                    return;
                }
            }
        })?;
        Ok(Watch { stop: Some(stop), thread: Some(thread), _hints: debouncer })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for a hint or until the pause is over; true when the watch has ended.
fn wait(hints: &Receiver<()>, stopped: &Receiver<()>, pause: Duration) -> bool {
    crossbeam_channel::select! {
        recv(stopped) -> _ => true,
        recv(hints) -> _ => stopped.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Disconnected),
        default(pause) => false,
    }
}

/// What a file looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outside {
    len: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// How a file looked last time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    outside: Outside,
    /// Since when it has looked so.
    since: Instant,
    /// Whether it has been read since then.
    read: bool,
}

/// One look after the other at a folder.
struct Look {
    folder: PathBuf,
    /// SHA-256 by name of what was last told.
    known: BTreeMap<String, String>,
    /// How files looked last time.
    seen: BTreeMap<String, Seen>,
    news: Sender<NewFile>,
}

impl Look {
    /// Looks once; true when a file is not settled yet and should be looked at again soon.
    fn scan(&mut self, now: Instant) -> bool {
        let mut unsettled = false;
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return false };
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(name) = plugin_name(&path) else { continue };
            let Some(outside) = outside(&path) else { continue };
            match self.seen.get_mut(&name) {
                Some(seen) if seen.outside == outside && seen.read => {}
                // Hints may come at any moment: it is the time between two looks that counts, not their number.
                Some(seen) if seen.outside == outside && now.saturating_duration_since(seen.since) >= SETTLE => {
                    seen.read = true;
                    self.read(name, path, outside);
                }
                Some(seen) if seen.outside == outside => unsettled = true,
                _ => {
                    self.seen.insert(name, Seen { outside, since: now, read: false });
                    unsettled = true;
                }
            }
        }
        unsettled
    }

    fn read(&mut self, name: String, path: PathBuf, before: Outside) {
        let Ok(bytes) = std::fs::read(&path) else { return };
        if outside(&path) != Some(before) {
            self.seen.remove(&name);
            return;
        }
        let sha256 = sha256(&bytes);
        if self.known.get(&name) != Some(&sha256) {
            self.known.insert(name.clone(), sha256);
            let _ = self.news.send(NewFile { name, path, bytes });
        }
    }
}

/// The plugin's name, for files that may be one: not hidden, not half-written by a tool that says so in the name.
fn plugin_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    (!file.starts_with('.')).then_some(())?;
    file.strip_suffix(".wasm").filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Follows symlinks: it is the target that counts.
fn outside(path: &Path) -> Option<Outside> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= FILE_MAX)?;
    Some(Outside { len: meta.len(), modified: meta.modified().ok(), inode: meta.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_stand_still_for_a_while_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (news, told) = unbounded();
        let mut look = Look { folder: folder.path().to_owned(), known: BTreeMap::new(), seen: BTreeMap::new(), news };
        let file = folder.path().join("p.wasm");
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        std::fs::write(&file, "half").unwrap();
        assert!(look.scan(at(0)));
        // A hint brings the next look soon: that it looks the same says nothing yet.
        assert!(look.scan(at(10)));
        std::fs::write(&file, "the whole").unwrap();
        assert!(look.scan(at(160)));
        assert!(look.scan(at(300)));
        assert!(told.is_empty());
        assert!(!look.scan(at(310)));
        assert_eq!(told.try_recv().map(|file| (file.name, file.bytes)), Ok(("p".to_owned(), b"the whole".to_vec())));
        assert!(!look.scan(at(1_000)));
        assert!(told.is_empty());
    }
}
