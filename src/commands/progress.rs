//! Progress on a terminal, below the log; nothing elsewhere.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::meter::{Meter, Totals};

/// How often the line is drawn: often enough to be seen moving.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// A line that tells how far things are, until it is finished.
pub(super) struct Progress {
    bar: ProgressBar,
    drawing: JoinHandle<()>,
}

impl Progress {
    pub(super) fn start(bars: &MultiProgress, meter: &Arc<Meter>, apis: usize) -> Self {
        let bar = bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        let (drawn, meter, before) = (bar.clone(), Arc::clone(meter), meter.totals());
        let drawing = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(DRAWN_EVERY);
            loop {
                ticks.tick().await;
                drawn.set_message(line(meter.totals(), before.iterations, apis));
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

fn line(totals: Totals, iterations_before: u64, apis: usize) -> String {
    format!(
        "{} of {apis} APIs done, {} pages read, {} records shipped ({})",
        totals.iterations.saturating_sub(iterations_before),
        HumanCount(totals.pages),
        HumanCount(totals.records),
        HumanBytes(totals.bytes)
    )
}
