//! `state` in a cluster: what is known of each API, and moving its checkpoint, while replicas run.
//!
//! What the engine holds is put into a store in memory, the order is obeyed there as everywhere, and what it changed is
//! written, if no owner has written anything of it meanwhile; else it begins anew. An owner finds that its lane was edited
//! by the bell, or by its next write, ends what it does, and reads the lane again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::chunk::SharedChunk;
use super::{LoadError, damaged, deflate, inflate, pack, put_into_store, unpack};
use crate::cluster::{
    ABSENT, ClusterKeys, Compare, Engine, EngineEntry, LaneHead, LaneKeys, Operation, RangePages, Slot, Transaction,
    TransactionOutcome,
};
use crate::plan::Plan;
use crate::state::account::{ApiState, LedgerId};
use crate::state::checkpoints::CheckpointFile;
use crate::state::lane_key::api_of;
use crate::state::order::{Changed, OpenState, StateOrder, StateReply};
use crate::state::store::{Change, StoreFile, Write};

/// How often it begins anew where owners write meanwhile.
const TRIES_MAX: u32 = 100;

/// What the engine holds of every API.
pub(super) struct ClusterContents {
    pub(super) accounts: BTreeMap<String, ApiState>,
    /// The heads that were read before the accounts.
    pub(super) heads: BTreeMap<String, EngineEntry>,
    changes: Vec<Change>,
    changes_at: i64,
}

/// Obeys an order about the state of the cluster's APIs.
///
/// # Errors
/// [`LoadError`]
pub async fn obey_in_cluster(
    engine: &Engine,
    keys: &ClusterKeys,
    order: &StateOrder,
    plans: &[Arc<Plan>],
    now: DateTime<Utc>,
) -> Result<StateReply, LoadError> {
    for _ in 0..TRIES_MAX {
        let contents = read(engine, keys).await?;
        let mut store = store_of(&contents).map_err(|cause| damaged("", &cause))?;
        if let StateOrder::Show { name: Some(name) } = order {
            for (lane, account) in contents.accounts.iter().filter(|(lane, _)| api_of(lane) == name.trim()) {
                read_chunks(engine, keys, lane, account.ledger, &mut store).await?;
            }
        }
        let (reply, changed) = obey(&contents, &mut store, order, plans, now);
        let Some(changed) = changed else { return Ok(reply) };
        let changes = store.changes().map_err(|cause| damaged("", &cause))?;
        let transaction = transaction(keys, &contents, &changed, &changes)?;
        let outcome = engine.commit(&transaction).await?;
        if outcome.held || was_done_before(&transaction, &outcome, contents.changes_at) {
            return Ok(reply);
        }
    }
    let what = "the API's owner writes all the time, so that nothing could be changed; try again".to_owned();
    Ok(StateReply::failed(1, what))
}

pub(super) async fn read(engine: &Engine, keys: &ClusterKeys) -> Result<ClusterContents, LoadError> {
    let by_lane = |entries: Vec<EngineEntry>| -> BTreeMap<String, EngineEntry> {
        entries.into_iter().filter_map(|entry| Some((keys.lane_in(&entry.key)?.1, entry))).collect()
    };
    // Heads first: what is written in between shows when something is to be written.
    let heads = by_lane(engine.read(&keys.heads()).await?.0);
    let accounts = by_lane(engine.read(&keys.accounts()).await?.0);
    let read = |(lane, entry): (String, EngineEntry)| inflate(&lane, &entry.value).map(|account| (lane, account));
    let accounts = accounts.into_iter().map(read).collect::<Result<_, _>>()?;
    let told = engine.read(&keys.changes_range()).await?.0.into_iter().next();
    let changes_at = told.as_ref().map_or(ABSENT, |entry| entry.written_at);
    let changes =
        told.map(|entry| unpack(&entry.value).map_err(|cause| damaged("", &cause))).transpose()?.unwrap_or_default();
    Ok(ClusterContents { accounts, heads, changes, changes_at })
}

/// Has a store remember what a lane delivered.
pub(super) async fn read_chunks(
    engine: &Engine,
    keys: &ClusterKeys,
    lane: &str,
    ledger: LedgerId,
    store: &mut StoreFile,
) -> Result<(), LoadError> {
    let of_lane = keys.lane(Slot::of(api_of(lane)), lane);
    let mut pages = Some(RangePages::of(of_lane.chunks_of(ledger)));
    while let Some(rest) = pages {
        let (entries, left) = engine.read_page(rest).await?;
        for entry in entries {
            for chunk in SharedChunk::decode(&entry.value).map_err(|error| damaged(lane, &error))? {
                put_into_store(store, ledger, chunk).map_err(|cause| damaged(lane, &cause))?;
            }
        }
        pages = left;
    }
    Ok(())
}

/// A store in memory that knows the accounts and the changes.
fn store_of(contents: &ClusterContents) -> Result<StoreFile, String> {
    let mut store = StoreFile::in_memory().map_err(|error| error.to_string())?;
    let changes: Vec<_> = contents.changes.iter().map(|change| (change.clone(), BTreeMap::new())).collect();
    store.change(&changes).map_err(|error| error.to_string())?;
    let save = |(name, of): (&String, &ApiState)| Write::Save { name: name.clone(), account: Box::new(of.clone()) };
    let saves: Vec<Write> = contents.accounts.iter().map(save).collect();
    store.write(fastrand::u64(..), saves.iter()).map_err(|error| error.to_string())?;
    Ok(store)
}

fn obey(
    contents: &ClusterContents,
    store: &mut StoreFile,
    order: &StateOrder,
    plans: &[Arc<Plan>],
    now: DateTime<Utc>,
) -> (StateReply, Option<Changed>) {
    let mut checkpoints = CheckpointFile::in_memory();
    let accounts = contents.accounts.clone();
    OpenState { checkpoints: &mut checkpoints, store: Some(store), accounts, undelivered: BTreeMap::new() }
        .obey(order, plans, now)
}

/// What an edit writes, where nobody has written any of it since it was read.
fn transaction(
    keys: &ClusterKeys,
    contents: &ClusterContents,
    changed: &Changed,
    changes: &[Change],
) -> Result<Transaction, LoadError> {
    let put = |key, value| Operation::Put { key, value, lease: None };
    let packed = pack(&changes).map_err(|cause| damaged("", &cause))?;
    let mut edit = Transaction {
        compare: vec![Compare::WrittenAt { key: keys.changes(), revision: contents.changes_at }],
        then: vec![put(keys.changes(), packed)],
        otherwise: vec![Operation::Get { key: keys.changes() }],
    };
    for (lane, account) in changed {
        let of_lane = keys.lane(Slot::of(api_of(lane)), lane);
        let head = contents.heads.get(lane);
        let revision = head.map_or(ABSENT, |head| head.written_at);
        edit.compare.push(Compare::WrittenAt { key: of_lane.head(), revision });
        let seq = head.and_then(|head| LaneHead::read(&head.value)).map_or(1, |head| head.seq.saturating_add(1));
        let head = LaneHead { ledger: account.ledger, seq, token: LaneHead::OF_AN_EDIT };
        edit.then.push(put(of_lane.head(), head.to_string().into_bytes()));
        edit.then.push(put(of_lane.account(), deflate(account).map_err(|cause| damaged(lane, &cause))?));
        edit.then.push(put(of_lane.bell(), seq.to_string().into_bytes()));
        edit.then.extend(unused(lane, account, &of_lane, contents, changes));
    }
    Ok(edit)
}

/// Whether an edit that was refused is there already: an earlier try got through, and its answer was lost. To begin anew would
/// do it twice, and take back a change that nobody meant. What it writes first are the changes as they are after it.
fn was_done_before(edit: &Transaction, outcome: &TransactionOutcome, changes_at: i64) -> bool {
    let found = outcome.read.first().and_then(Option::as_ref).filter(|found| found.written_at != changes_at);
    found.is_some_and(|found| {
        matches!(edit.then.first(), Some(Operation::Put { key, value, .. }) if found.key == *key && found.value == *value)
    })
}

/// Forgets the ledgers of a lane that nothing can bring back any more.
fn unused(
    lane: &str,
    account: &ApiState,
    keys: &LaneKeys,
    contents: &ClusterContents,
    changes: &[Change],
) -> Vec<Operation> {
    let of = |changes: &[Change]| -> BTreeSet<LedgerId> {
        let befores = changes.iter().flat_map(|change| change.befores().map(|(key, of)| (key.to_owned(), of.ledger)));
        befores.filter(|(key, _)| key == lane).map(|(_, ledger)| ledger).collect()
    };
    let mut gone = of(&contents.changes);
    gone.extend(contents.accounts.get(lane).map(|account| account.ledger));
    let kept = of(changes);
    let is_gone = |ledger: &LedgerId| *ledger != account.ledger && !kept.contains(ledger);
    gone.into_iter().filter(is_gone).map(|ledger| Operation::DeleteRange(keys.chunks_of(ledger))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MemoryStore;

    #[test]
    fn an_edit_whose_answer_was_lost_is_known_to_be_done_and_another_ones_is_not() {
        let keys = ClusterKeys::of("default");
        let edit = |value: &[u8], revision| Transaction {
            compare: vec![Compare::WrittenAt { key: keys.changes(), revision }],
            then: vec![Operation::Put { key: keys.changes(), value: value.to_vec(), lease: None }],
            otherwise: vec![Operation::Get { key: keys.changes() }],
        };
        let mut store = MemoryStore::default();
        let own = edit(b"own", ABSENT);
        assert!(store.commit(&own).held);
        let again = store.commit(&own);
        assert!(!again.held && was_done_before(&own, &again, ABSENT), "its first try got through");
        let others = edit(b"another's", ABSENT);
        assert!(!was_done_before(&others, &store.commit(&others), ABSENT), "somebody else was faster");
        let at = again.revision;
        let refused = Transaction {
            compare: vec![Compare::WrittenAt { key: "head".to_owned(), revision: 9 }],
            ..edit(b"own", at)
        };
        assert!(
            !was_done_before(&refused, &store.commit(&refused), at),
            "an owner wrote meanwhile, and nothing is done"
        );
    }
}
