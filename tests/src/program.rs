//! The `sangam` program, run as a user runs it.

#![expect(clippy::panic, reason = "helpers of tests: the first surprise ends the test")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, built in the profile of this test.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_else(|why| panic!("where does this test lie? {why}"));
    // target/<profile>/deps/<test>
    let program = test.ancestors().nth(2).map(|folder| folder.join("sangam")).unwrap_or_default();
    assert!(program.is_file(), "{} is not there; build it with:  cargo build --workspace", program.display());
    program
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

/// A guest as `scripts/guests` leaves it, for the command line.
pub fn guest(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests").join(format!("{name}.wasm")).display().to_string()
}

/// A folder of the project.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}
