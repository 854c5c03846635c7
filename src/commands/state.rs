//! `state`: what is known of each API, and moving its checkpoint: by the fetcher that runs on the directory, else by this
//! process.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::cluster;
use super::run::take;
use super::{Exit, StateFolder, ask, print};
use crate::cli::StateCommand;
use crate::config;
use crate::record::date;
use crate::ship::count_kept;
use crate::state::{OpenState, StateOrder, StateReply, ask_running};

pub(super) async fn state(path: &Path, command: Option<StateCommand>, now: DateTime<Utc>) -> Exit {
    // A slip in the path would leave files in a directory that isn't ours.
    if let Err(cause) = std::fs::metadata(path) {
        tracing::error!(config = %path.display(), %cause, "there is no config");
        return Exit::Config;
    }
    let config = config::load(path).config;
    let plan = config.as_ref().and_then(|config| Some((config, config.cluster.as_ref()?)));
    let directory = StateFolder::of(path).path;
    let command = command.unwrap_or(StateCommand::Show { name: None });
    let Some((order, is_confirmed)) = order_of(&command) else {
        let Some((config, plan)) = plan else {
            tracing::error!("the config has no valid `cluster` to import into or to export from");
            return Exit::Config;
        };
        return match take(&directory, Some(config)) {
            Ok((mut taken, _)) if matches!(command, StateCommand::Export) => cluster::export(plan, &mut taken).await,
            Ok((taken, found)) => cluster::import(plan, &taken, &found).await,
            Err(exit) => exit,
        };
    };
    if !is_confirmed && !confirm(&order) {
        print("Nothing was changed.");
        return Exit::Failed;
    }
    if let Some((config, plan)) = plan {
        return tell(cluster::state(plan, config, &order, now).await);
    }
    match ask_running(&directory, &order) {
        Ok(Some(reply)) => return tell(reply),
        Ok(None) => {}
        Err(cause) => {
            tracing::error!(%cause, "the fetcher that runs does not answer; `state show` says later what became of it");
            return Exit::Failed;
        }
    }
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

/// What is asked of whoever has the state, and whether that needs no confirmation.
fn order_of(command: &StateCommand) -> Option<(StateOrder, bool)> {
    Some(match command {
        StateCommand::Show { name } => (StateOrder::Show { name: name.clone() }, true),
        StateCommand::Rewind { name, date, yes } => (StateOrder::Rewind { name: name.clone(), date: *date }, *yes),
        StateCommand::Forget { name, yes } => (StateOrder::Forget { name: name.clone() }, *yes),
        StateCommand::Undo { yes } => (StateOrder::Undo, *yes),
        StateCommand::Import | StateCommand::Export => return None,
    })
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
