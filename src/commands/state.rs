//! `state`: what is known of each API, and moving its checkpoint, while no fetcher runs on the folder.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::run::take;
use super::{Exit, folder_of, print};
use crate::cli::StateCommand;
use crate::config;
use crate::plan::{Overlap, Plan};
use crate::record::date;
use crate::state::{
    Account, CHANGES_MAX, CHECKPOINTS_FILE_NAME, Change, Found, STORE_FILE_NAME, StoreWrite, TakenFolder, shown,
};
use crate::window::MEASURES_MIN;
use crate::words::{ago, counted, second, span};

pub(super) fn state(path: &Path, command: Option<StateCommand>, now: DateTime<Utc>) -> Exit {
    // A slip in the path would leave files in a folder that isn't ours.
    if let Err(cause) = std::fs::metadata(path) {
        tracing::error!(config = %path.display(), %cause, "there is no config");
        return Exit::Config;
    }
    let (mut taken, found) = match take(&folder_of(path)) {
        Ok(taken) => taken,
        Err(exit) => return exit,
    };
    let config = config::load(path).config;
    if config.is_none() {
        tracing::warn!(
            "the config can't be used; `logzio-api-fetcher check` says why, and here is what is known without it"
        );
    }
    let plans = config.map(|config| config.apis).unwrap_or_default();
    match command.unwrap_or(StateCommand::Show) {
        StateCommand::Show => show(&taken, &found, &plans, now),
        StateCommand::Rewind { name, date } => {
            if date > now {
                tracing::error!(date = date::format(date), "that date lies in the future");
                return Exit::Config;
            }
            restart(&mut taken, &found, &plans, &name, Some(date), now)
        }
        StateCommand::Forget { name } => restart(&mut taken, &found, &plans, &name, None, now),
        StateCommand::Undo => undo(&mut taken, &found),
    }
}

/// Moves an API's checkpoint, or takes it away, and forgets what was delivered.
fn restart(
    taken: &mut TakenFolder,
    found: &Found,
    plans: &[Arc<Plan>],
    name: &str,
    checkpoint: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Exit {
    // As the config's reader does.
    let name = name.trim();
    let names: BTreeSet<&str> =
        found.accounts.keys().map(String::as_str).chain(plans.iter().map(|plan| plan.name.as_str())).collect();
    if !names.contains(name) {
        let there_are = names.into_iter().collect::<Vec<_>>().join(", ");
        tracing::error!(there_are, "there is no API `{name}`");
        return Exit::Config;
    }
    let Some(store) = &taken.store else { return no_store() };
    let before = found.accounts.get(name).cloned().unwrap_or_else(Account::blank);
    // The file first: if this is cut short, the next start finds an edit and does the same.
    if let Err(cause) = taken.checkpoints.set(name, checkpoint) {
        tracing::error!(%cause, "{CHECKPOINTS_FILE_NAME} can't be written; nothing has changed");
        return Exit::Failed;
    }
    let (from, to) = (shown(before.checkpoint), shown(checkpoint));
    let what = if checkpoint.is_some() { format!("rewind to {to}") } else { "forget".to_owned() };
    let (after, is_later) = (before.restarted(checkpoint), checkpoint > before.checkpoint);
    let change = Change { at: now, what, name: name.to_owned(), before };
    if let Err(cause) = store.change(&[(change, after)]) {
        tracing::error!(%cause, "{STORE_FILE_NAME} can't be written; the next start finds the new checkpoint in the file");
        return Exit::Failed;
    }
    print(&format!("{name}: checkpoint {from} → {to}"));
    print(match checkpoint {
        None => {
            "The next iteration begins like the first one, and ships everything, whether it was shipped before or not."
        }
        Some(_) if is_later => {
            "The next iteration begins there. What lies before it and isn't shipped yet is left out."
        }
        Some(_) => "The next iteration begins there. Everything from then on is shipped, whether it was before or not.",
    });
    print("`logzio-api-fetcher state undo` takes this back.");
    Exit::Clean
}

fn undo(taken: &mut TakenFolder, found: &Found) -> Exit {
    let Some(store) = taken.store.as_mut() else { return no_store() };
    let unwritable = |cause: redb::Error| {
        tracing::error!(%cause, "{STORE_FILE_NAME} can't be written; `state` shows where the checkpoint stands now");
        Exit::Failed
    };
    let written = |name: &str| found.accounts.get(name).and_then(|account| account.checkpoint);
    let last = store.changes().map(|mut changes| changes.pop());
    let change = match last.and_then(|last| store.undo(last.and_then(|change| written(&change.name)))) {
        Ok(Some(change)) => change,
        Ok(None) => {
            print(&format!("There is nothing to undo. The last {CHANGES_MAX} changes can be undone."));
            return Exit::Clean;
        }
        Err(cause) => return unwritable(cause),
    };
    let (name, checkpoint) = (change.name.clone(), change.before.checkpoint);
    if let Err(cause) = taken.checkpoints.set(&name, checkpoint) {
        tracing::error!(%cause, "{CHECKPOINTS_FILE_NAME} can't be written; the checkpoint stays as it is");
        return Exit::Failed;
    }
    let save = StoreWrite::Save { name, account: Box::new(change.before) };
    if let Err(cause) = store.write(fastrand::u64(..), std::iter::once(&save)) {
        return unwritable(cause);
    }
    print(&format!("{}: taken back: {} ({})", change.name, change.what, second(change.at)));
    print(&format!(
        "The checkpoint is {} again. Records from after it that were shipped in the meantime may be shipped again.",
        shown(checkpoint)
    ));
    Exit::Clean
}

fn no_store() -> Exit {
    tracing::error!("without {STORE_FILE_NAME} nothing can be changed; see the line above");
    Exit::Failed
}

fn show(taken: &TakenFolder, found: &Found, plans: &[Arc<Plan>], now: DateTime<Utc>) -> Exit {
    let named = plans.iter().map(|plan| plan.name.as_str());
    let others = found.accounts.keys().map(String::as_str).filter(|name| !plans.iter().any(|plan| plan.name == *name));
    let unknown = Account::blank();
    for name in named.chain(others) {
        let plan = plans.iter().find(|plan| plan.name == name).map(Arc::as_ref);
        let account = found.accounts.get(name).unwrap_or(&unknown);
        let remembered = taken.store.as_ref().and_then(|store| store.remembered(account.number).ok());
        print(&account_in_words(name, account, plan, remembered.unwrap_or_default(), now));
    }
    let changes = taken.store.as_ref().and_then(|store| store.changes().ok()).unwrap_or_default();
    if !changes.is_empty() {
        print("Changes that `state undo` takes back, the last one first");
    }
    for change in changes.iter().rev() {
        print(&format!("  {}  {}: {}", second(change.at), change.name, change.what));
    }
    Exit::Clean
}

fn account_in_words(name: &str, account: &Account, plan: Option<&Plan>, remembered: u64, now: DateTime<Utc>) -> String {
    let mut text = format!("{name}\n");
    let mut line = |label: &str, what: String| text.push_str(&format!("  {label:<11} {what}\n"));
    if plan.is_none() {
        line("", "not in the config".to_owned());
    }
    let ago = account.checkpoint.map(|date| format!(", {}", ago(date, now))).unwrap_or_default();
    line("checkpoint", format!("{}{ago}", shown(account.checkpoint)));
    if let Some(plan) = plan {
        let overlap = span(plan.start.overlap.span(&account.lateness));
        let how = match plan.start.overlap {
            Overlap::Fixed(_) => String::new(),
            Overlap::Unit => ", as records have no json_paths.id".to_owned(),
            Overlap::Measured { .. } if account.lateness.measures() < MEASURES_MIN => {
                ", until more is measured".to_owned()
            }
            Overlap::Measured { .. } => ", as late as 99 % of the records".to_owned(),
        };
        line("overlap", format!("{overlap}{how}"));
    }
    let lateness = &account.lateness;
    if let (Some(half), Some(most)) = (lateness.within(0.5), lateness.within(0.99)) {
        let (half, nearly_all, longest) = (span(half), span(most), span(lateness.most()));
        let measures = lateness.measures();
        line("lateness", format!("p50 {half}, p99 {nearly_all}, most {longest}, of {measures} records"));
    } else {
        line("lateness", "not measured yet".to_owned());
    }
    let since = account.remembered_since.map(|since| format!(" since {}", date::format(since))).unwrap_or_default();
    line("remembered", format!("{}{since}", counted(remembered, "delivered record")));
    if let Some(until) = account.swept.until() {
        let has_failed = account.past.back().is_some_and(|past| past.error.is_some());
        let open = if has_failed { "; what came since is still to be swept" } else { "" };
        line("swept", format!("until {}{open}", second(until)));
    }
    for gap in account.swept.gaps() {
        line("gap", format!("{} to {}: {}", second(gap.from), second(gap.until), gap.cause.words()));
    }
    for (oddity, noticed) in &account.oddities {
        let (first, last) = (second(noticed.first), second(noticed.last));
        line("odd", format!("{} (first {first}, last {last})", oddity.advice()));
    }
    for (at, past) in account.past.iter().rev().enumerate() {
        let label = if at == 0 { "iterations" } else { "" };
        let (begun, seconds) = (second(past.at), past.seconds);
        let counts = format!("{}, {}", counted(past.records, "record"), counted(past.pages, "page"));
        let error = past.error.as_ref().map(|error| format!("; failed: {error}")).unwrap_or_default();
        line(label, format!("{begun}  {seconds} s  {counts}{error}"));
    }
    text
}
