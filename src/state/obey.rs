//! What the user's edits of the text file come to, at the start.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::account::ApiState;
use super::checkpoint_text::{Checkpoint, Checkpoints};
use super::configured::Configured;
use super::edit::Edit;
use super::lane_key::{api_of, output_of, shown_lane};
use super::store::{Change, FILE_NAME as STORE_FILE_NAME, StoreFile};
use super::{CHECKPOINTS_FILE_NAME, edit, shown};

/// Makes the accounts agree with the text file, which is the user's. Where the config has a use for
/// some states of an API, its line is about them alone: those of outputs that are no longer there have no part in it.
pub(super) fn obey(
    written: &Checkpoints,
    accounts: &mut BTreeMap<String, ApiState>,
    store: Option<&StoreFile>,
    configured: &Configured,
    now: DateTime<Utc>,
) {
    let by_name = written.by_name();
    let mut changes = Vec::new();
    for (api, mut lanes) in lanes_of(accounts) {
        if lanes.iter().any(|key| configured.has(key)) {
            lanes.retain(|key| configured.has(key));
        }
        let written = match by_name.get(&api) {
            // A slip in the date is told of, and is no wish to begin anew.
            None if written.unreadable().any(|line| line.strip_prefix(api.as_str()).is_some_and(is_slip)) => continue,
            found => found.cloned().unwrap_or_default(),
        };
        let changed = match lanes.as_slice() {
            [only] => accounts.get_mut(only).and_then(|account| obey_one(store, only, account, &written, now)),
            _ => obey_all(accounts, &lanes, &written, now),
        };
        changes.extend(changed);
    }
    // Without it the next start finds the same edit, and obeys it again.
    if let Some(Err(cause)) = store.filter(|_| !changes.is_empty()).map(|store| store.change(&changes)) {
        tracing::warn!(%cause, "{STORE_FILE_NAME} can't be written");
    }
    let known = lanes_of(accounts);
    for (name, checkpoint) in by_name {
        if known.contains_key(&name) {
            continue;
        }
        accounts.entry(name).or_insert_with(|| {
            let mut account = ApiState { checkpoint: checkpoint.date, ..ApiState::blank() };
            account.keep(checkpoint.values.clone(), now);
            account.take_over(&checkpoint);
            account
        });
    }
}

/// The keys of the states of each API.
fn lanes_of(accounts: &BTreeMap<String, ApiState>) -> BTreeMap<String, Vec<String>> {
    let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in accounts.keys() {
        lanes.entry(api_of(key).to_owned()).or_default().push(key.clone());
    }
    lanes
}

/// What became of an API with one output. Gives the change, where the line was edited.
fn obey_one(
    store: Option<&StoreFile>,
    key: &str,
    account: &mut ApiState,
    written: &Checkpoint,
    now: DateTime<Utc>,
) -> Option<(Change, BTreeMap<String, ApiState>)> {
    let api = api_of(key);
    let Some(edit) = account.edit(written) else {
        account.take_over(written);
        return None;
    };
    if let Some(before) = put_back(store, api, account, written) {
        *account = before;
        return None;
    }
    let before = account.clone();
    *account = before.edited(edit, written, now);
    tell_edit(api, edit, &before, account);
    let befores = BTreeMap::from([(key.to_owned(), before)]);
    Some((Change::of(now, edit_in_words(edit, written), api, befores)?, after(key, account)))
}

fn after(key: &str, account: &ApiState) -> BTreeMap<String, ApiState> {
    BTreeMap::from([(key.to_owned(), account.clone())])
}

/// The same for an API with several outputs, whose line is the earliest of their checkpoints.
fn obey_all(
    accounts: &mut BTreeMap<String, ApiState>,
    keys: &[String],
    written: &Checkpoint,
    now: DateTime<Utc>,
) -> Option<(Change, BTreeMap<String, ApiState>)> {
    let states = keys.iter().filter_map(|key| Some((key.clone(), accounts.get(key)?.clone())));
    let befores: BTreeMap<String, ApiState> = states.collect();
    let edits = edit::of_lanes(&befores, written);
    if edits.is_empty() {
        for key in keys {
            accounts.get_mut(key).into_iter().for_each(|account| account.take_over_where_announced(written));
        }
        return None;
    }
    let mut afters = BTreeMap::new();
    for (key, edit) in &edits {
        let (Some(before), Some(account)) = (befores.get(key), accounts.get_mut(key)) else { continue };
        *account = before.edited(*edit, written, now);
        tell_edit(&shown_lane(api_of(key), &output_of(key)), *edit, before, account);
        afters.insert(key.clone(), account.clone());
    }
    let edit = edits.values().next().copied()?;
    let befores = befores.into_iter().filter(|(key, _)| edits.contains_key(key)).collect();
    let api = keys.first().map(|key| api_of(key))?;
    Some((Change::of(now, edit_in_words(edit, written), api, befores)?, afters))
}

fn edit_in_words(edit: Edit, written: &Checkpoint) -> String {
    match edit {
        Edit::Back | Edit::On => format!("the file was edited, to {}", shown(written.date)),
        Edit::Cursor => "the file was edited, to another cursor".to_owned(),
        Edit::NoCursor => "the cursor was deleted in the file".to_owned(),
    }
}

/// Whether what follows a name in an unreadable line looks like a date that went wrong.
fn is_slip(rest: &str) -> bool {
    rest.trim_start().starts_with(':')
}

/// Where a checkpoint is put back to what it was before the last change, and nothing was fetched since, the account is as
/// it was then.
fn put_back(store: Option<&StoreFile>, api: &str, account: &ApiState, written: &Checkpoint) -> Option<ApiState> {
    let store = store?;
    let last = store.changes().ok()?.pop()?;
    let was_used = account.past.back().is_some_and(|past| past.at > last.at);
    let is_put_back = last.name == api && last.before.line() == *written && !was_used;
    let undone = if is_put_back { store.undo(written).ok()? } else { None };
    undone.map(|change| ApiState { written_values: change.before.captured.clone(), ..change.before })
}

fn tell_edit(api: &str, edit: Edit, before: &ApiState, after: &ApiState) {
    let (from, to) = (shown(before.checkpoint), shown(after.checkpoint));
    if !before.captured.is_empty() && after.captured.is_empty() && edit != Edit::NoCursor {
        tracing::info!(
            api,
            "the cursor belongs to the checkpoint of before, and is dropped; the window begins at the date"
        );
    }
    match edit {
        Edit::Back => {
            tracing::info!(api, from, to, "{CHECKPOINTS_FILE_NAME} was edited; what was shipped since is shipped again")
        }
        Edit::On => tracing::info!(
            api,
            from,
            to,
            "{CHECKPOINTS_FILE_NAME} has a later checkpoint than the store and counts; if it was edited, what lies between is \
             left out"
        ),
        Edit::Cursor => tracing::info!(
            api,
            "{CHECKPOINTS_FILE_NAME} has another cursor, and the next iteration begins with it; what comes from there on is \
             shipped, whether it was before or not"
        ),
        Edit::NoCursor => tracing::info!(
            api,
            from = to,
            "the cursor was deleted in {CHECKPOINTS_FILE_NAME}; the next iteration begins at the date, and what was \
             delivered is left out"
        ),
    }
}
