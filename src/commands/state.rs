//! `state`: what is known of each API, and moving its checkpoint: by the fetcher that runs on the directory, else by this
//! process.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::run::take;
use super::{Exit, StateFolder, ask, print};
use crate::cli::StateCommand;
use crate::config;
use crate::record::date;
use crate::ship::count_kept;
use crate::state::{OpenState, StateOrder, StateReply, ask_running};

pub(super) fn state(path: &Path, command: Option<StateCommand>, now: DateTime<Utc>) -> Exit {
    // A slip in the path would leave files in a directory that isn't ours.
    if let Err(cause) = std::fs::metadata(path) {
        tracing::error!(config = %path.display(), %cause, "there is no config");
        return Exit::Config;
    }
    let (order, is_confirmed) = order_of(command.unwrap_or(StateCommand::Show { name: None }));
    if !is_confirmed && !confirm(&order) {
        print("Nothing was changed.");
        return Exit::Failed;
    }
    let directory = StateFolder::of(path).path;
    match ask_running(&directory, &order) {
        Ok(Some(reply)) => return tell(reply),
        Ok(None) => {}
        Err(cause) => {
            tracing::error!(%cause, "the fetcher that runs does not answer; `state show` says later what became of it");
            return Exit::Failed;
        }
    }
    let config = config::load(path).config;
    let (mut taken, found) = match take(&directory, config.as_ref()) {
        Ok(taken) => taken,
        Err(exit) => return exit,
    };
    if config.is_none() {
        tracing::warn!(
            "the config is invalid; `logzio-api-fetcher check` says why, and here is what is known without it"
        );
    }
    let plans = config.map(|config| config.apis).unwrap_or_default();
    let (checkpoints, store) = (&mut taken.checkpoints, taken.store.as_mut());
    let (reply, _) = OpenState { checkpoints, store, accounts: found.accounts, undelivered: count_kept(&directory) }
        .obey(&order, &plans, now);
    tell(reply)
}

/// What is asked, and whether that needs no confirmation.
fn order_of(command: StateCommand) -> (StateOrder, bool) {
    match command {
        StateCommand::Show { name } => (StateOrder::Show { name }, true),
        StateCommand::Rewind { name, date, yes } => (StateOrder::Rewind { name, date }, yes),
        StateCommand::Forget { name, yes } => (StateOrder::Forget { name }, yes),
        StateCommand::Undo { yes } => (StateOrder::Undo, yes),
    }
}

/// Asks somebody who sits at a terminal; a script means what it says.
fn confirm(order: &StateOrder) -> bool {
    let question = match order {
        StateOrder::Show { .. } | StateOrder::Status => return true,
        StateOrder::Rewind { name, date } => {
            format!("Move the checkpoint of {name} to {}, and ship everything since again?", date::format(*date))
        }
        StateOrder::Forget { name } => format!("Delete the checkpoint of {name}, and start over?"),
        StateOrder::Undo => "Undo the last change?".to_owned(),
    };
    ask(&question).unwrap_or(true)
}

fn tell(StateReply { code, text, error }: StateReply) -> Exit {
    if !text.is_empty() {
        print(&text);
    }
    if let Some(error) = error {
        tracing::error!("{error}");
    }
    match code {
        0 => Exit::Clean,
        2 => Exit::Config,
        _ => Exit::Failed,
    }
}
