//! Logs: one event a line, to stderr, as text or JSON.
//!
//! Only this crate's own events are shown. Those of the HTTP libraries hold URLs, and URLs hold tokens. Lines are written by
//! a thread of their own: a stderr that nobody reads stops nothing.

mod queue;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use queue::Queue;

/// How long the process's end waits for what is logged to be written.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Level {
    /// Failures only.
    Error,
    /// Also warnings.
    Warn,
    /// Also one line per iteration.
    Info,
    /// Also every step.
    Debug,
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to log. Progress bars that are added to what it gives are drawn below the log, on a terminal only.
pub fn init(level: Level, format: LogFormat) -> MultiProgress {
    let is_terminal = io::stderr().is_terminal();
    let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let progress = MultiProgress::with_draw_target(target);
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let stderr = Stderr(progress.clone());
    let queue = Queue::start(move |line| stderr.write(line), move |dropped| told(format, dropped)).ok();
    let lines = LogOutput { queue, stderr: Stderr(progress.clone()) };
    let layer = fmt::layer().with_writer(lines.clone()).log_internal_errors(false).with_target(false);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(is_terminal && !is_color_unwanted()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_ansi(false).boxed(),
    };
    // Fails only where a logger is there already, which then does the work.
    let _ = tracing_subscriber::registry().with(layer.with_filter(own)).with(lines).try_init();
    std::panic::set_hook(Box::new(|panic| {
        // The message may hold data, the place can't.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a bug: the code panicked");
    }));
    progress
}

/// Whether the environment asks for no colors, by the variable `NO_COLOR`.
#[must_use]
pub fn is_color_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
}

/// Waits until what was logged is written; at most so long, and only while somebody reads it.
pub fn flush(within: Duration) {
    tracing::dispatcher::get_default(|logger| {
        if let Some(queue) = logger.downcast_ref::<LogOutput>().and_then(|lines| lines.queue.as_ref()) {
            queue.flush(within);
        }
    });
}

/// The line that stands for those that were dropped.
fn told(format: LogFormat, dropped: u64) -> String {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let what = format!("{dropped} log lines were dropped: nobody read stderr");
    match format {
        LogFormat::Text => format!("{now}  WARN {what}\n"),
        LogFormat::Json => {
            format!("{}\n", serde_json::json!({"timestamp": now, "level": "WARN", "message": what, "dropped": dropped}))
        }
    }
}

/// Where log lines go.
#[derive(Clone)]
struct LogOutput {
    /// Absent where there is no thread to be had.
    queue: Option<Queue>,
    stderr: Stderr,
}

/// So that [`flush`] finds it; it looks at nothing.
impl<S: tracing::Subscriber> Layer<S> for LogOutput {}

impl MakeWriter<'_> for LogOutput {
    type Writer = LogOutput;

    fn make_writer(&self) -> Self::Writer {
        self.clone()
    }
}

impl Write for LogOutput {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.queue {
            Some(queue) => queue.push(line),
            None => self.stderr.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes past the progress bars. A stderr that is gone is no reason to stop.
#[derive(Clone)]
struct Stderr(MultiProgress);

impl Stderr {
    fn write(&self, line: &[u8]) {
        self.0.suspend(|| {
            let _ = io::stderr().lock().write_all(line);
        });
    }
}
