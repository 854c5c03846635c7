//! Logs: one event a line, to stderr, as text or JSON.
//!
//! Only this crate's own events are shown. Those of the HTTP libraries hold URLs, and URLs hold tokens.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Level {
    /// Failures only.
    Error,
    /// And what is odd.
    Warn,
    /// And each iteration.
    Info,
    /// And each step.
    Debug,
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to log. Progress bars that are added to what it gives are drawn below the log, on a terminal only.
pub fn init(level: Level, format: Format) -> MultiProgress {
    let is_terminal = io::stderr().is_terminal();
    let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bars = MultiProgress::with_draw_target(target);
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let layer = fmt::layer().with_writer(Stderr(bars.clone())).log_internal_errors(false).with_target(false);
    let layer = match format {
        Format::Text => layer.with_ansi(is_terminal).boxed(),
        Format::Json => layer.json().flatten_event(true).with_ansi(false).boxed(),
    };
    // Fails only where a logger is there already, which then does the work.
    let _ = tracing_subscriber::registry().with(layer.with_filter(own)).try_init();
    std::panic::set_hook(Box::new(|panic| {
        // The message may hold data, the place can't.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a bug: the code panicked");
    }));
    bars
}

/// Writes log lines past the progress bars. A stderr that is gone is no reason to stop.
struct Stderr(MultiProgress);

impl MakeWriter<'_> for Stderr {
    type Writer = Stderr;

    fn make_writer(&self) -> Self::Writer {
        Self(self.0.clone())
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| {
            let _ = io::stderr().lock().write_all(line);
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
