//! The commands: each wires the parts together and ends with an exit code.

mod about;
mod catalog;
mod check;
mod cluster;
mod completions;
mod convert;
mod demo;
mod first_start;
mod folder;
mod health;
mod probe;
mod progress;
mod record;
mod replay;
mod run;
mod span;
mod state;
mod top;
mod undelivered;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use indicatif::MultiProgress;
use tokio::sync::Notify;

use crate::cli::{Cli, ClusterCommand, Command, CompletionsOf};
use crate::process::logging;
use crate::process::privileges::{Dropped, drop_to_owner_of};
use crate::process::stop::{self, Stop, StopTrigger};

use folder::StateFolder;

pub use folder::folder_of;

/// Why a command that is no member of the cluster doesn't log in.
const TOKEN_OF_CLUSTER: &str = "its refresh token is that of the cluster's members, which may take each once only; ask with a \
     config without `cluster`, and a refresh token of its own";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All well.
    Clean,
    /// Something failed while running.
    Failed,
    /// The config or its directory can't be used.
    Config,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Clean => 0,
            Self::Failed => 1,
            Self::Config => 2,
        }
    }
}

/// Does what the command line says. Gives how much of the grace window is left, too, where a signal ended it.
pub async fn dispatch(cli: Cli, progress: MultiProgress) -> (Exit, Option<Duration>) {
    let (trigger, stop) = stop::channel();
    let exit = obey(cli, progress, trigger, stop.clone()).await;
    (exit, stop.left())
}

async fn obey(cli: Cli, progress: MultiProgress, trigger: StopTrigger, stop: Stop) -> Exit {
    let config = cli.options.config_path();
    match cli.command {
        Some(Command::Check) => return check::check(&config),
        Some(Command::Convert { file }) => return convert::convert(&file.unwrap_or(config)),
        Some(Command::Health { json }) => return health::health(&config, json),
        Some(Command::Catalog { command }) => return catalog::catalog(command),
        Some(Command::Schema) => return about::schema(),
        Some(Command::Completions { shell }) => return completions::completions(shell, &config),
        Some(Command::Man) => return about::man(),
        Some(Command::State { command }) => return state::state(&config, command, Utc::now()).await,
        Some(Command::Cluster { command: ClusterCommand::Status }) => return cluster::status_of(&config).await,
        _ => {}
    }
    // Before anything that may block: process 1 gets no default action.
    let signals = match crate::process::signals::install() {
        Ok(signals) => signals,
        Err(cause) => {
            tracing::error!(%cause, "signals can't be handled");
            return Exit::Failed;
        }
    };
    if let Some(Command::Probe(arguments)) = cli.command {
        return probe::probe(config, arguments, signals).await;
    }
    let hangup = Arc::new(Notify::new());
    tokio::spawn(crate::process::signals::forward(signals, trigger, cli.options.grace, Arc::clone(&hangup)));
    match cli.command {
        Some(Command::Demo { serve: true }) => demo::serve(stop).await,
        Some(Command::Demo { serve: false }) => demo::demo(stop).await,
        Some(Command::Record(arguments)) => record::record(config, arguments, stop).await,
        Some(Command::Replay { file, fill }) => replay::replay(file, fill, stop).await,
        Some(Command::Top { url }) => top::top(&config, url, stop).await,
        Some(Command::Undelivered { command }) => undelivered::undelivered(config, command, stop).await,
        Some(Command::Once { api, from, until, output }) => match from {
            Some(from) => span::span(config, (api, output), span::DateSpan { from, until }, stop, &progress).await,
            None => run::once(config, api, stop, &progress).await,
        },
        _ => run::run(config, stop, hangup).await,
    }
}

/// What became of root, and of which directory.
pub struct GivenUp(Option<(Dropped, PathBuf)>);

impl GivenUp {
    /// Logs it.
    pub fn tell(&self) {
        match &self.0 {
            None | Some((Dropped::NotNeeded, _)) => {}
            Some((Dropped::To(owner), directory)) => {
                tracing::debug!(%owner, "root is given up for the owner of {}", directory.display());
            }
            Some((Dropped::Refused(owner, cause), directory)) => tracing::warn!(
                %cause,
                "root can't be given up for {owner}, who owns {}; start as --user {owner}, or with the capabilities SETUID \
                 and SETGID",
                directory.display()
            ),
        }
    }
}

/// Becomes the owner of the config's directory, where this process is root: for the commands that read the config.
#[must_use]
pub fn give_up_root(cli: &Cli) -> GivenUp {
    if matches!(
        cli.command,
        Some(
            Command::Demo { .. }
                | Command::Replay { .. }
                | Command::Catalog { .. }
                | Command::Schema
                | Command::Completions { shell: CompletionsOf::Shell(_) }
                | Command::Man
        )
    ) {
        return GivenUp(None);
    }
    let directory = match &cli.command {
        Some(Command::Convert { file: Some(file) }) => folder_of(file),
        _ => folder_of(&cli.options.config_path()),
    };
    GivenUp(Some((drop_to_owner_of(&directory), directory)))
}

/// Whether to write colors: on a terminal, unless `NO_COLOR` is set.
fn is_colored(is_terminal: bool) -> bool {
    is_terminal && !logging::is_color_unwanted()
}

/// Asks somebody who sits at a terminal; nothing where nobody does.
fn ask(question: &str) -> Option<bool> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() {
        return None;
    }
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let is_read = stdin.read_line(&mut answer).is_ok();
    Some(is_read && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Prints to stdout. A reader that has gone away doesn't matter; where the text can't be written otherwise, as the disk is
/// full, the process ends: half of a config or of a report is worse than none.
fn print(text: &str) {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            tracing::error!(%cause, "stdout can't be written");
            logging::flush(logging::FLUSH_WITHIN);
            std::process::exit(Exit::Failed.code());
        }
        _ => {}
    }
}
