//! ProgressLine on a terminal, below the log; nothing elsewhere.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::counters::Totals;
use crate::status::StatusRegistry;

/// How often the line is drawn: often enough to be seen moving.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// How long its end waits for the terminal, which may be stopped (Ctrl-S).
const CLEARED_WITHIN: Duration = Duration::from_millis(500);

/// A line that tells how far things are, until it is finished. A thread of its own draws it, as a terminal may take nothing.
pub(super) struct ProgressLine(Option<(Sender<()>, oneshot::Receiver<()>)>);

impl ProgressLine {
    pub(super) fn start(progress: &MultiProgress, registry: &Arc<StatusRegistry>, apis: usize) -> Self {
        if progress.is_hidden() {
            return Self(None);
        }
        let bar = progress.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        let (registry, before) = (Arc::clone(registry), registry.iterations());
        let (end, ended) = channel();
        let (cleared, is_cleared) = oneshot::channel();
        let draw = move || {
            while ended.recv_timeout(DRAWN_EVERY) == Err(RecvTimeoutError::Timeout) {
                bar.set_message(line(registry.totals(), registry.iterations() - before, apis));
                bar.tick();
            }
            bar.finish_and_clear();
            let _ = cleared.send(());
        };
        let drawing = std::thread::Builder::new().name("progress".to_owned()).spawn(draw);
        Self(drawing.is_ok().then_some((end, is_cleared)))
    }

    pub(super) async fn finish(self) {
        let Some((end, is_cleared)) = self.0 else { return };
        drop(end);
        let _ = timeout(CLEARED_WITHIN, is_cleared).await;
    }
}

fn line(totals: Totals, iterations: u64, apis: usize) -> String {
    format!(
        "{} of {apis} APIs done, {} pages read, {} records shipped ({})",
        iterations,
        HumanCount(totals.pages),
        HumanCount(totals.records),
        HumanBytes(totals.bytes)
    )
}
