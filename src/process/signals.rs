//! Signals: the first asks to stop, the second insists; SIGHUP asks to read the config again.
//!
//! Process 1 of a container gets no default action for a signal, so the handlers are installed before anything else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::Notify;

use crate::process::stop::StopTrigger;

/// The exit code of a process that a second signal ended.
const INSISTED_EXIT_CODE: i32 = 1;

/// How long that waits for its line to be written: somebody wants it gone.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);

/// Installs the handlers. From here on a signal is heard, also before [`forward`] runs.
///
/// # Errors
/// Where the system refuses to.
pub fn install() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

/// Turns signals into the stop, or into the wish that the config be read again, for as long as the process lives.
pub async fn forward(mut signals: Signals, trigger: StopTrigger, grace: Duration, hangup: Arc<Notify>) {
    let mut is_stopping = false;
    while let Some(signal) = signals.next().await {
        match signal {
            SIGHUP => hangup.notify_one(),
            _ if is_stopping => {
                tracing::warn!("second signal: exiting now");
                crate::process::logging::flush(FLUSH_WITHIN);
                std::process::exit(INSISTED_EXIT_CODE);
            }
            _ => {
                is_stopping = true;
                let (name, seconds) = (if signal == SIGINT { "SIGINT" } else { "SIGTERM" }, grace.as_secs_f64());
                tracing::info!("{name} received: running iterations have up to {seconds} s to end");
                trigger.stop(grace);
            }
        }
    }
}
