//! A folder with a pipeline, as a user has one: the real program runs it, and in between its store is opened to look inside.

#![expect(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

use crate::guests::wasm;
use crate::program::{self, Ran};
use crate::world::World;
use sangam::store::DiskStore;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A folder with a pipeline that the real program runs, and whose store is opened in between.
pub struct Place {
    /// The folder.
    pub folder: Arc<tempfile::TempDir>,
    toml: String,
}

impl Place {
    /// A pipeline file `p.toml` of the pipeline `test`, and plugins by name, each one of our guests.
    pub fn new(toml: &str, plugins: &[(&str, &str)]) -> Place {
        let place = Place { folder: Arc::new(tempfile::tempdir().unwrap()), toml: toml.to_owned() };
        std::fs::create_dir(place.folder.path().join("plugins")).unwrap();
        plugins.iter().for_each(|(name, guest)| place.plugin(name, guest));
        std::fs::write(place.folder.path().join("p.toml"), format!("name = \"test\"\n{toml}")).unwrap();
        place
    }

    /// Puts a guest into the folder of plugins.
    pub fn plugin(&self, name: &str, guest: &str) {
        std::fs::write(self.folder.path().join(format!("plugins/{name}.wasm")), wasm(guest)).unwrap();
    }

    /// Its store, open as long as the world is there.
    pub fn world(&self) -> World {
        let store = DiskStore::open(&self.folder.path().join("data")).unwrap();
        World::over(&self.toml, Arc::new(store), self.folder.clone())
    }

    /// Runs the program.
    pub fn sangam(&self, args: &[&str]) -> Ran {
        program::run(self.folder.path(), args, "")
    }

    /// Runs the program, which must end well, and gives back what it printed.
    pub fn said(&self, args: &[&str]) -> String {
        let ran = self.sangam(args);
        assert!(ran.ok, "{args:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs the pipeline over what is there.
    pub fn drain(&self) {
        self.said(&["run", "--drain", "p.toml"]);
    }

    /// The program, running until it is killed.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(program::path());
        command.current_dir(self.folder.path()).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    }
}
