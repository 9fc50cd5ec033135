//! Lines for the host's log. Outside of a sandbox they go to stderr, or to the harness that runs the operator.

use std::fmt::Arguments;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something may be wrong.
    Warn = 2,
    /// Something happened.
    Info = 3,
    /// For the one who writes the operator.
    Debug = 4,
}

/// Writes one line; the macros [`crate::info!`] and its siblings call it.
pub fn line(level: Level, text: Arguments<'_>) {
    match text.as_str() {
        Some(text) => write(level, text),
        None => write(level, &text.to_string()),
    }
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, text: &str) {
    #[link(wasm_import_module = "sangam")]
    unsafe extern "C" {
        fn log(level: u32, ptr: *const u8, len: usize);
    }
    // SAFETY: the host reads `len` bytes at `ptr` before it returns, and keeps nothing.
    unsafe { log(level as u32, text.as_ptr(), text.len()) }
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, text: &str) {
    let kept = LINES.with_borrow_mut(|lines| lines.as_mut().map(|lines| lines.push((level, text.to_owned()))).is_some());
    if !kept {
        eprintln!("{level:?}: {text}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    /// Where a harness gathers the lines of the operator that it runs; `None` when none runs.
    static LINES: std::cell::RefCell<Option<Vec<(Level, String)>>> = const { std::cell::RefCell::new(None) };
}

/// Runs `body` and returns the lines that it logged.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn gather<T>(body: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
    LINES.set(Some(Vec::new()));
    let result = body();
    (result, LINES.take().unwrap_or_default())
}

/// Logs an error; takes what `format!` takes.
///
/// ```
/// sangam_sdk::error!("no route for {}", "x");
/// ```
#[macro_export]
macro_rules! error { ($($text:tt)*) => { $crate::log::line($crate::log::Level::Error, ::std::format_args!($($text)*)) } }

/// Logs a warning; takes what `format!` takes.
///
/// ```
/// sangam_sdk::warn!("{} retries", 3);
/// ```
#[macro_export]
macro_rules! warn { ($($text:tt)*) => { $crate::log::line($crate::log::Level::Warn, ::std::format_args!($($text)*)) } }

/// Logs what happened; takes what `format!` takes.
///
/// ```
/// sangam_sdk::info!("started");
/// ```
#[macro_export]
macro_rules! info { ($($text:tt)*) => { $crate::log::line($crate::log::Level::Info, ::std::format_args!($($text)*)) } }

/// Logs for the one who writes the operator; takes what `format!` takes.
///
/// ```
/// sangam_sdk::debug!("{:?}", [1, 2]);
/// ```
#[macro_export]
macro_rules! debug { ($($text:tt)*) => { $crate::log::line($crate::log::Level::Debug, ::std::format_args!($($text)*)) } }
