//! Ctrl-C and SIGTERM, as the wish to end after a last commit.

use super::View;
use anyhow::{Context, Result, anyhow};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell shows for a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// What the process ends with when it has not come to rest in time.
const NOT_DRAINED: i32 = 1;

/// Ctrl-C and SIGTERM end the run after a last commit. A second Ctrl-C, or a commit that is not made within `limit`, ends the process at
/// once, after `leave` has put the terminal right: a broker that does not answer may hold every other thread.
///
/// # Errors
/// When the system gives no thread or no handler.
pub fn on_signals(view: Arc<View>, limit: Duration, leave: fn()) -> Result<()> {
    let (ready, is_ready) = mpsc::channel();
    let listen = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
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
            view.control.stop();
            let in_time = tokio::time::timeout(limit, interrupt.recv()).await;
            leave();
            if in_time.is_ok() {
                std::process::exit(INTERRUPTED);
            }
            tracing::error!("{}", not_drained(limit, &view.uncommitted()));
            std::process::exit(NOT_DRAINED);
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("the thread for signals cannot be started")?;
    let heard = is_ready.recv().map_err(|_| anyhow!("the thread for signals has ended"))?;
    heard.context("signals cannot be listened to")
}

fn not_drained(limit: Duration, uncommitted: &[String]) -> String {
    let ended = format!("the pipeline has not come to rest within `drain_timeout` ({limit:?}) and is ended");
    if uncommitted.is_empty() {
        return format!("{ended}; all that was read is committed");
    }
    format!(
        "{ended}; read, but not known to be committed: {}; nothing is lost: it will be processed again at the next start",
        uncommitted.join(", ")
    )
}

/// Waits for either; true for Ctrl-C.
async fn first_of(interrupt: &mut Signal, terminate: &mut Signal) -> bool {
    tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => false,
    }
}
