//! Progress on a terminal, below the log; nothing elsewhere.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::meter::Totals;
use crate::status::Board;

/// How often the line is drawn: often enough to be seen moving.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// A line that tells how far things are, until it is finished.
pub(super) struct Progress {
    bar: ProgressBar,
    drawing: JoinHandle<()>,
}

impl Progress {
    pub(super) fn start(bars: &MultiProgress, board: &Arc<Board>, apis: usize) -> Self {
        let bar = bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        let (drawn, board, before) = (bar.clone(), Arc::clone(board), board.iterations());
        let drawing = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(DRAWN_EVERY);
            loop {
                ticks.tick().await;
                drawn.set_message(line(board.totals(), board.iterations() - before, apis));
                drawn.tick();
            }
        });
        Self { bar, drawing }
    }

    pub(super) async fn finish(self) {
        self.drawing.abort();
        let _ = self.drawing.await;
        self.bar.finish_and_clear();
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
