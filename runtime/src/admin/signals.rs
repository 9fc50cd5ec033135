//! Ctrl-C and SIGTERM, as the wish to end after a last commit.

use crate::pipeline::Control;
use anyhow::{Context, Result, anyhow};
use std::sync::mpsc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell shows for a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Ctrl-C and SIGTERM end the run after a last commit. A second Ctrl-C ends the process at once, after `leave` has put the terminal right.
///
/// # Errors
/// When the system gives no thread or no handler.
pub fn on_signals(control: Control, leave: fn()) -> Result<()> {
    let (ready, is_ready) = mpsc::channel();
    let listen = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(why) => return drop(ready.send(Err(why))),
        };
        runtime.block_on(async {
            let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
                (Err(why), _) | (_, Err(why)) => return drop(ready.send(Err(why))),
            };
            let _ = ready.send(Ok(()));
            let interrupted = first_of(&mut interrupt, &mut terminate).await;
            tracing::info!(
                "{}",
                if interrupted { "stopping after a last commit; Ctrl-C again ends at once" } else { "stopping after a last commit" }
            );
            control.stop();
            interrupt.recv().await;
            leave();
            std::process::exit(INTERRUPTED);
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("the thread for signals cannot be started")?;
    let heard = is_ready.recv().map_err(|_| anyhow!("the thread for signals has ended"))?;
    heard.context("signals cannot be listened to")
}

/// Waits for either; true for Ctrl-C.
async fn first_of(interrupt: &mut Signal, terminate: &mut Signal) -> bool {
    tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => false,
    }
}
