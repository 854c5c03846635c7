//! What `state` does: it shows what is known of each API, and moves its checkpoint; by a command that has the directory, or
//! by the fetcher that runs on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::lane_key::{api_of, output_of, shown_lane};
use super::store::{CHANGES_MAX, Change, FILE_NAME as STORE_FILE_NAME, StoreFile, Write};
use super::words::{KeptCounts, account_in_words, table};
use super::{ApiState, CHECKPOINTS_FILE_NAME, Checkpoint, CheckpointFile, shown};
use crate::plan::Plan;
use crate::record::date;
use crate::template::Position;
use crate::text::humanize::second;

/// What is asked of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateOrder {
    /// What is known of every API, or all that is known of one.
    Show {
        /// Only this one.
        name: Option<String>,
    },
    /// A checkpoint back, or on, to a date.
    Rewind {
        /// The API.
        name: String,
        /// The checkpoint from then on.
        date: DateTime<Utc>,
    },
    /// No checkpoint any more.
    Forget {
        /// The API.
        name: String,
    },
    /// The last change taken back.
    Undo,
    /// The status of every API, as `/status.json` has it: for `top`. Only a fetcher that runs knows it.
    Status,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReply {
    /// The exit code: 0 done, 1 it could not be written, 2 what was asked can't be.
    pub code: u8,
    /// For stdout.
    pub text: String,
    /// For the log.
    pub error: Option<String>,
}

/// The accounts that were changed, by their keys.
pub type Changed = BTreeMap<String, ApiState>;

/// The state, in the hands of whoever may change it.
#[derive(Debug)]
pub struct OpenState<'s> {
    /// The text file.
    pub checkpoints: &'s mut CheckpointFile,
    /// The store, where it can be used.
    pub store: Option<&'s mut StoreFile>,
    /// The account of each API and output that has one, by its key.
    pub accounts: BTreeMap<String, ApiState>,
    /// How many records of each API are undelivered.
    pub undelivered: BTreeMap<String, u64>,
}

impl StateOrder {
    /// Whose iteration has to end before it is obeyed. `last` is the API of the last change.
    #[must_use]
    pub fn api<'o>(&'o self, last: Option<&'o str>) -> Option<&'o str> {
        match self {
            Self::Show { .. } | Self::Status => None,
            // As the config's reader does.
            Self::Rewind { name, .. } | Self::Forget { name } => Some(name.trim()),
            Self::Undo => last,
        }
    }
}

impl StateReply {
    fn done(text: String) -> Self {
        Self { code: 0, text, error: None }
    }

    /// Not done, and why.
    #[must_use]
    pub fn failed(code: u8, error: String) -> Self {
        Self { code, text: String::new(), error: Some(error) }
    }
}

impl OpenState<'_> {
    /// Obeys. Gives the account that it changed, too.
    pub fn obey(
        &mut self,
        order: &StateOrder,
        plans: &[Arc<Plan>],
        now: DateTime<Utc>,
    ) -> (StateReply, Option<Changed>) {
        let done = match order {
            StateOrder::Show { name } => Ok((self.show(name.as_deref(), plans, now), None)),
            StateOrder::Rewind { date, .. } if *date > now => {
                Err(StateReply::failed(2, format!("{} lies in the future", date::format(*date))))
            }
            StateOrder::Rewind { name, date } => self.restart(name.trim(), Some(*date), plans, now),
            StateOrder::Forget { name } => self.restart(name.trim(), None, plans, now),
            StateOrder::Undo => self.undo(),
            StateOrder::Status => Err(StateReply::failed(1, "no fetcher runs on the directory".to_owned())),
        };
        done.unwrap_or_else(|failed| (failed, None))
    }

    fn names<'n>(&'n self, plans: &'n [Arc<Plan>]) -> Vec<&'n str> {
        let named = plans.iter().map(|plan| plan.name.as_str());
        let others: BTreeSet<&str> = self.accounts.keys().map(|key| api_of(key)).collect();
        named.chain(others.into_iter().filter(|name| !plans.iter().any(|plan| plan.name == *name))).collect()
    }

    /// The accounts of an API, by their keys, each with the name by which it is shown; one where nothing is known of it.
    fn lanes_of<'s>(&'s self, name: &str) -> Vec<(String, Option<&'s ApiState>)> {
        let of_api: Vec<(&String, &ApiState)> = self.accounts.iter().filter(|(key, _)| api_of(key) == name).collect();
        match of_api.as_slice() {
            [] => vec![(name.to_owned(), None)],
            [(_, only)] => vec![(name.to_owned(), Some(*only))],
            several => several.iter().map(|(key, of)| (shown_lane(name, &output_of(key)), Some(*of))).collect(),
        }
    }

    fn show(&self, only: Option<&str>, plans: &[Arc<Plan>], now: DateTime<Utc>) -> StateReply {
        let names = self.names(plans);
        if let Some(only) = only.map(str::trim).filter(|only| !names.contains(only)) {
            return unknown(only, &names);
        }
        let unknown = ApiState::blank();
        let undelivered = |name: &str| self.undelivered.get(name).copied().unwrap_or_default();
        let in_full = |name: &str| {
            let plan = plans.iter().find(|plan| plan.name == name).map(Arc::as_ref);
            let store = self.store.as_deref();
            let lanes = self.lanes_of(name).into_iter().map(|(shown, account)| {
                let account = account.unwrap_or(&unknown);
                let remembered = store.and_then(|store| store.remembered(account.ledger).ok());
                let kept = KeptCounts { remembered: remembered.unwrap_or_default(), undelivered: undelivered(name) };
                account_in_words(&shown, account, plan, kept, now)
            });
            lanes.collect::<Vec<_>>().join("\n\n")
        };
        let mut text = match (only.map(str::trim), names.as_slice()) {
            (Some(only), _) => in_full(only),
            (None, [one]) => in_full(one),
            (None, names) => {
                let lanes = |name: &&str| {
                    let count = undelivered(name);
                    let lanes = self.lanes_of(name).into_iter();
                    lanes.map(move |(shown, account)| (shown, account, count)).collect::<Vec<_>>()
                };
                let rows: Vec<_> = names.iter().flat_map(lanes).collect();
                let rows = rows.iter().map(|(shown, of, count)| (shown.as_str(), of.unwrap_or(&unknown), *count));
                table(rows, now)
            }
        };
        let changes = self.store.as_deref().and_then(|store| store.changes().ok()).unwrap_or_default();
        if !changes.is_empty() {
            text.push_str("\nChanges that `state undo` takes back, the last one first");
        }
        for change in changes.iter().rev() {
            text.push_str(&format!("\n  {}  {}: {}", second(change.at), change.name, change.what));
        }
        StateReply::done(text)
    }

    /// Moves an API's checkpoint, or takes it away, and forgets what was delivered.
    fn restart(
        &mut self,
        name: &str,
        checkpoint: Option<DateTime<Utc>>,
        plans: &[Arc<Plan>],
        now: DateTime<Utc>,
    ) -> Result<(StateReply, Option<Changed>), StateReply> {
        let names = self.names(plans);
        if !names.contains(&name) {
            return Err(unknown(name, &names));
        }
        let plan = plans.iter().find(|plan| plan.name == name);
        if checkpoint.is_some() && plan.is_some_and(|plan| !can_begin_at_date(plan, self.accounts.get(name))) {
            let what = "names no date in its request, so there is none to go back to";
            let hint = format!("`state forget {name}` lets it begin anew");
            return Err(StateReply::failed(2, format!("`{name}` {what}; {hint}")));
        }
        let store = self.store.as_deref().ok_or_else(no_store)?;
        let of_api = self.accounts.iter().filter(|(key, _)| api_of(key) == name);
        let mut befores: BTreeMap<String, ApiState> = of_api.map(|(key, of)| (key.clone(), of.clone())).collect();
        if befores.is_empty() {
            befores.insert(name.to_owned(), ApiState::blank());
        }
        let reached = befores.values().filter_map(|before| before.checkpoint);
        let (earliest, latest) = (reached.clone().min(), reached.max());
        let has_cursor = befores.values().any(|before| !before.captured.is_empty());
        // The file first: if this is cut short, the next start finds an edit and does the same.
        self.checkpoints.set(name, &Checkpoint::new(checkpoint, None)).map_err(|cause| {
            StateReply::failed(1, format!("{CHECKPOINTS_FILE_NAME} can't be written, nothing has changed: {cause}"))
        })?;
        let (from, to) = (shown(earliest), shown(checkpoint));
        let what = if checkpoint.is_some() { format!("rewind to {to}") } else { "forget".to_owned() };
        let afters: Changed = befores.iter().map(|(key, of)| (key.clone(), of.restarted(checkpoint))).collect();
        let is_later = checkpoint > latest;
        let cursor = if has_cursor { "The cursor is dropped.\n" } else { "" };
        let change = Change::of(now, what, name, befores);
        let changes: Vec<_> = change.into_iter().map(|change| (change, afters.clone())).collect();
        store.change(&changes).map_err(|cause| {
            let what = "can't be written; the next start finds the new checkpoint in the text file";
            StateReply::failed(1, format!("{STORE_FILE_NAME} {what}: {cause}"))
        })?;
        let then = match checkpoint {
            None => {
                "The next iteration begins like the first one, and ships everything, whether it was shipped before or not."
            }
            Some(_) if is_later => {
                "The next iteration begins there. What lies before it and isn't shipped yet is left out."
            }
            Some(_) => {
                "The next iteration begins there. Everything from then on is shipped, whether it was before or not."
            }
        };
        let text = format!(
            "{name}: checkpoint {from} → {to}\n{cursor}{then}\n`logzio-api-fetcher state undo` takes this back."
        );
        Ok((StateReply::done(text), Some(afters)))
    }

    fn undo(&mut self) -> Result<(StateReply, Option<Changed>), StateReply> {
        let checkpoints = &*self.checkpoints;
        let store = self.store.as_deref_mut().ok_or_else(no_store)?;
        let unwritable = |cause: redb::Error| {
            let what = "can't be written; `state` shows where the checkpoint stands now";
            StateReply::failed(1, format!("{STORE_FILE_NAME} {what}: {cause}"))
        };
        let written = |change: Change| checkpoints.said(&change.name).cloned();
        let last = store.changes().map(|mut changes| changes.pop());
        let undone = last.and_then(|last| store.undo(&last.and_then(written).unwrap_or_default()));
        let Some(change) = undone.map_err(unwritable)? else {
            let text = format!("There is nothing to undo. The last {CHANGES_MAX} changes can be undone.");
            return Ok((StateReply::done(text), None));
        };
        let (name, checkpoint) = (change.name.clone(), change.before.checkpoint);
        self.checkpoints.set(&name, &change.before.line()).map_err(|cause| {
            StateReply::failed(1, format!("{CHECKPOINTS_FILE_NAME} can't be written, the checkpoint stays: {cause}"))
        })?;
        let written_values = change.before.captured.clone();
        let account = |of: &ApiState| ApiState { written_values: written_values.clone(), ..of.clone() };
        let changed: Changed = change.befores().map(|(key, of)| (key.to_owned(), account(of))).collect();
        let save = |(key, of): (&String, &ApiState)| Write::Save { name: key.clone(), account: Box::new(of.clone()) };
        let saves: Vec<Write> = changed.iter().map(save).collect();
        store.write(fastrand::u64(..), saves.iter()).map_err(unwritable)?;
        let text = format!(
            "{name}: taken back: {} ({})\nThe checkpoint is {} again. Records from after it that were shipped in the \
             meantime may be shipped again.",
            change.what,
            second(change.at),
            shown(checkpoint)
        );
        Ok((StateReply::done(text), Some(changed)))
    }
}

/// Whether an API can be told to begin at a date.
fn can_begin_at_date(plan: &Plan, account: Option<&ApiState>) -> bool {
    let by_values = plan.next_iteration.is_some() && !plan.names_start(&Position::default());
    let kind = account.and_then(|account| account.value_kind);
    plan.can_begin_at_date() && !(by_values && kind.is_some_and(|kind| !kind.is_date()))
}

fn unknown(name: &str, names: &[&str]) -> StateReply {
    let there_are = names.iter().collect::<BTreeSet<_>>().into_iter().copied().collect::<Vec<_>>().join(", ");
    StateReply::failed(2, format!("unknown API `{name}`; there are: {there_are}"))
}

fn no_store() -> StateReply {
    StateReply::failed(
        1,
        format!("without {STORE_FILE_NAME} nothing can be changed; the log says what is wrong with it"),
    )
}
