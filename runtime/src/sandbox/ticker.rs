//! The clock behind the time limits: one thread that moves the engine's epoch on, and ends with the sandbox.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// How often the epoch moves. A time limit is kept to within two ticks; a tick costs a few microseconds.
pub const TICK: Duration = Duration::from_millis(5);

/// Moves the epoch until it is dropped.
#[derive(Debug)]
pub struct Ticker {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.clone();
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("sangam-epoch".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and there would be no one to tell.
            let _ = thread.join();
        }
    }
}

/// Ticks after which a call has had at least `time`.
pub fn ticks(time: Duration) -> u64 {
    // One more, as the current tick has begun already.
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2).saturating_add(1)
}
