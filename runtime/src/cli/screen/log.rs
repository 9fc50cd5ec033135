//! Log lines go to standard error, but not while the table is on the terminal: then they are held, and the last ones stand below it.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, Write};

/// Where log lines are written to.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLines;

/// Lines that are held; older ones are gone. Enough to see afterwards what has happened, and no leak when something logs for days.
const HELD_MAX: usize = 200;

/// The lines, while they are held.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

/// Holds lines from now on.
pub(super) fn hold() {
    HELD.lock().get_or_insert_default();
}

/// The last lines, oldest first.
pub(super) fn last(count: usize) -> Vec<String> {
    let held = HELD.lock();
    let Some(lines) = held.as_ref() else { return Vec::new() };
    lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
}

/// Writes what was held to standard error, and holds no more.
pub(super) fn release() {
    let lines = HELD.lock().take().unwrap_or_default();
    let mut out = io::stderr().lock();
    for line in lines {
        // There is nowhere to complain to.
        let _ = writeln!(out, "{line}");
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = HELD.lock();
        let Some(lines) = held.as_mut() else { return io::stderr().write(bytes) };
        for line in String::from_utf8_lossy(bytes).lines() {
            if lines.len() == HELD_MAX {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
