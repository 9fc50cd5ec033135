//! The `sangam` program, run as a user runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: the first surprise ends the test")]

use parking_lot::Mutex;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::world::eventually;

/// The program, built in the profile of this test.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_else(|why| panic!("where does this test lie? {why}"));
    // target/<profile>/deps/<test>
    let program = test.ancestors().nth(2).map(|folder| folder.join("sangam")).unwrap_or_default();
    assert!(program.is_file(), "{} is not there; build it with:  cargo build --workspace", program.display());
    program
}

/// What it has printed as lines of JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Whether it ended well.
    pub ok: bool,
}

/// Runs the program with arguments in a folder; `input` goes to its standard input.
pub fn run(folder: &Path, args: &[&str], input: &str) -> Ran {
    let mut command = Command::new(path());
    command.current_dir(folder).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|why| panic!("sangam does not start: {why}"));
    if let Some(mut pipe) = child.stdin.take() {
        // A program that reads no input closes the pipe early, which is its right.
        let _ = pipe.write_all(input.as_bytes());
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap_or_else(|why| panic!("sangam is lost: {why}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { out: text(stdout), err: text(stderr), ok: status.success() }
}

/// The program while it runs; it is killed when this goes.
pub struct Started {
    child: Child,
    out: Option<ChildStdout>,
    err: Arc<Mutex<String>>,
    listens: Option<JoinHandle<()>>,
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` when a signal has ended it.
    pub code: Option<i32>,
    /// Standard error.
    pub err: String,
}

impl Started {
    /// Starts the program in a folder. Nobody reads its standard output before [`Started::read`].
    pub fn start(folder: &Path, args: &[&str]) -> Started {
        let mut command = Command::new(path());
        command.current_dir(folder).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|why| panic!("sangam does not start: {why}"));
        let (out, said) = (child.stdout.take(), child.stderr.take().unwrap());
        let err = Arc::new(Mutex::new(String::new()));
        let heard = err.clone();
        let listens = std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let mut heard = heard.lock();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Started { child, out, err, listens: Some(listens) }
    }

    /// Where its admin doors are.
    pub fn doors(&self) -> SocketAddr {
        let address = || self.err.lock().split_once("admin: http://")?.1.split_once('/')?.0.parse().ok();
        eventually("the doors are open", address)
    }

    /// Reads standard output to its end, on a thread of its own.
    pub fn read(&mut self) -> JoinHandle<String> {
        let mut out = self.out.take().unwrap();
        std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        })
    }

    /// Asks it to end, as an orchestrator does.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let status = eventually("the program ends", || self.child.try_wait().unwrap());
        self.listens.take().unwrap().join().unwrap();
        Ended { code: status.code(), err: self.err.lock().clone() }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A guest as `scripts/guests` leaves it, for the command line.
pub fn guest(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests").join(format!("{name}.wasm")).display().to_string()
}

/// A folder of the project.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}
