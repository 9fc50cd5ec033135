//! What a person sees of a running pipeline: a table that stays on one screen, and a summary at the end.
//!
//! This file handles the terminal; what stands in the table is in `table`, what stands at the end in `summary`.

mod figures;
mod log;
mod summary;
mod table;

pub use log::LogLines;
pub use summary::summary;

use crate::admin::{Status, View};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use table::Snapshot;

/// How often the table is drawn.
const REFRESH: Duration = Duration::from_millis(250);

/// Rates are those of the last two seconds: calm enough to read, quick enough to follow.
const RATE_REFRESHES: usize = 8;

/// Log lines below the table.
const LOG_LINES: usize = 5;

/// A terminal that no one has asked for its size, or that does not tell.
const SIZE: (u16, u16) = (80, 24);

/// Whether the terminal shows the table now.
static LIVE: AtomicBool = AtomicBool::new(false);

/// Holds the terminal; dropped, it gives it back as it was.
struct Terminal;

/// Runs `work`, with the table on the screen when `live`.
pub fn around<T>(view: &View, live: bool, work: impl FnOnce() -> T) -> T {
    if !live {
        return work();
    }
    let Ok(_terminal) = Terminal::take() else { return work() };
    std::thread::scope(|scope| {
        // Dropped at the end of the work, also when it panics: that ends the thread.
        let (_working, over) = mpsc::channel();
        let drawing = std::thread::Builder::new().name("screen".to_owned()).spawn_scoped(scope, move || keep_drawing(view, &over));
        if let Err(why) = drawing {
            tracing::warn!("no live table: {why}");
        }
        work()
    })
}

/// Puts the terminal right, if the table is on it. For those who leave without a return.
pub fn restore() {
    if LIVE.swap(false, Ordering::SeqCst) {
        // Nothing else can be done when the terminal itself has gone.
        let _ = execute!(std::io::stdout(), EndSynchronizedUpdate, LeaveAlternateScreen, Show);
        log::release();
    }
}

/// Draws until nobody holds the other end of `over`.
fn keep_drawing(view: &View, over: &Receiver<()>) {
    let mut history: VecDeque<Status> = VecDeque::new();
    loop {
        let status = view.status();
        let snapshot = Snapshot::new(status.clone(), history.front());
        // A terminal that takes nothing any more is no reason to stop the pipeline.
        let _ = draw(&snapshot);
        history.push_back(status);
        if history.len() > RATE_REFRESHES {
            history.pop_front();
        }
        if over.recv_timeout(REFRESH) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn draw(snapshot: &Snapshot) -> std::io::Result<()> {
    let (width, height) = terminal::size().unwrap_or(SIZE);
    let lines = table::fit(&table::table(snapshot), &log::last(LOG_LINES), usize::from(width), usize::from(height));
    let mut frame = Vec::new();
    queue!(frame, BeginSynchronizedUpdate)?;
    for (row, line) in (0..).zip(lines) {
        queue!(frame, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
    }
    queue!(frame, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
    // In one piece, and not after the terminal has been given back.
    let mut out = std::io::stdout().lock();
    if LIVE.load(Ordering::SeqCst) {
        out.write_all(&frame)?;
        out.flush()?;
    }
    Ok(())
}

// === impl Terminal ===

impl Terminal {
    fn take() -> std::io::Result<Terminal> {
        execute!(std::io::stdout(), EnterAlternateScreen, Hide)?;
        LIVE.store(true, Ordering::SeqCst);
        // Log lines that go to a file do not disturb.
        if std::io::stderr().is_terminal() {
            log::hold();
        }
        Ok(Terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}
