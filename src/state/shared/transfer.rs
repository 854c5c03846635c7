//! From the directory of a single fetcher into a cluster, and back.
//!
//! An API is put into the cluster only where the cluster knows nothing of it, so that a second import, or a second person,
//! harms nothing. Its chunks go first: what is cut in between has no head, and is put again.

use std::collections::BTreeMap;

use super::chunk::{RECORDS_MAX, SharedChunk};
use super::credentials::{export_tokens, import_tokens};
use super::orders::read_chunks;
use super::{LoadError, damaged, deflate, forgotten_undated, inflate};
use crate::cluster::{ABSENT, ClusterKeys, Compare, Engine, LaneHead, LaneKeys, Operation, Slot, Transaction};
use crate::state::account::{ApiState, LedgerId};
use crate::state::credentials::CredentialFile;
use crate::state::lane_key::api_of;
use crate::state::store::{StoreFile, Write};
use crate::state::{LockedStateDir, take_states};

/// What an import or an export came to, by the keys of the states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// What was put there.
    pub moved: Vec<String>,
    /// What was there already, and stays.
    pub known: Vec<String>,
    /// Of which of these the cluster has an older checkpoint than the directory.
    pub behind: Vec<String>,
}

/// Puts what a directory knows into a cluster.
///
/// # Errors
/// [`LoadError`]; what was put before stays, and another import goes on.
pub async fn import_into_cluster(
    engine: &Engine,
    keys: &ClusterKeys,
    accounts: &BTreeMap<String, ApiState>,
    directory: &LockedStateDir,
) -> Result<Transferred, LoadError> {
    let mut transferred = Transferred::default();
    let store = directory.store.as_ref();
    import_tokens(engine, keys, &CredentialFile::of(directory.path())).await?;
    for (lane, account) in accounts {
        let of_lane = keys.lane(Slot::of(api_of(lane)), lane);
        let chunks = store.map(|store| chunks_of(store, account.ledger)).transpose();
        let chunks = chunks.map_err(|cause| damaged(lane, &cause))?.unwrap_or_default();
        if !is_known(engine, &of_lane).await? {
            put_chunks(engine, &of_lane, account.ledger, &chunks).await?;
        }
        let is_put = put_account(engine, &of_lane, (lane, account), chunks.len() as u64).await?;
        if is_put {
            transferred.moved.push(lane.clone());
            continue;
        }
        transferred.known.push(lane.clone());
        if known_account(engine, &of_lane, lane).await?.is_some_and(|known| known.checkpoint < account.checkpoint) {
            transferred.behind.push(lane.clone());
        }
    }
    Ok(transferred)
}

async fn known_account(engine: &Engine, keys: &LaneKeys, lane: &str) -> Result<Option<ApiState>, LoadError> {
    let look = Transaction { then: vec![Operation::Get { key: keys.account() }], ..Transaction::default() };
    let found = engine.commit(&look).await?.read.into_iter().flatten().next();
    found.map(|entry| inflate(lane, &entry.value)).transpose()
}

async fn is_known(engine: &Engine, keys: &LaneKeys) -> Result<bool, LoadError> {
    let look = Transaction { then: vec![Operation::Get { key: keys.head() }], ..Transaction::default() };
    Ok(engine.commit(&look).await?.read.iter().any(Option::is_some))
}

async fn put_chunks(
    engine: &Engine,
    keys: &LaneKeys,
    ledger: LedgerId,
    chunks: &[SharedChunk],
) -> Result<(), LoadError> {
    for (seq, chunk) in (1..).zip(chunks) {
        let put = Operation::Put { key: keys.chunk(ledger, seq), value: chunk.encode(), lease: None };
        // Whoever puts the same finds it, and whoever was faster has put the same.
        let compare = vec![Compare::WrittenAt { key: keys.head(), revision: ABSENT }];
        engine.commit(&Transaction { compare, then: vec![put], otherwise: Vec::new() }).await?;
    }
    Ok(())
}

/// Puts an account where the cluster has none of it. Gives whether it did.
async fn put_account(
    engine: &Engine,
    keys: &LaneKeys,
    (lane, account): (&str, &ApiState),
    seq: u64,
) -> Result<bool, LoadError> {
    let head = LaneHead { ledger: account.ledger, seq, token: LaneHead::OF_AN_EDIT };
    let account = ApiState { prepared_checkpoint: None, ..account.clone() };
    let put = |key, value| Operation::Put { key, value, lease: None };
    let account = deflate(&account).map_err(|cause| damaged(lane, &cause))?;
    let transaction = Transaction {
        compare: vec![Compare::WrittenAt { key: keys.head(), revision: ABSENT }],
        then: vec![put(keys.head(), head.to_string().into_bytes()), put(keys.account(), account)],
        otherwise: Vec::new(),
    };
    Ok(engine.commit(&transaction).await?.held)
}

/// What a store remembers of a ledger, as chunks.
fn chunks_of(store: &StoreFile, ledger: LedgerId) -> Result<Vec<SharedChunk>, redb::Error> {
    let mut by_iteration: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    store.each_delivered(ledger, |key, times, iteration| {
        let records = by_iteration.entry(iteration).or_default();
        records.extend(std::iter::repeat_n(key, times.min(TIMES_MAX) as usize));
    })?;
    let of_iteration = |(iteration, records): (u32, Vec<_>)| {
        let chunk = move |records: &[_]| SharedChunk { iteration, is_again: false, records: records.to_vec() };
        records.chunks(RECORDS_MAX).map(chunk).collect::<Vec<_>>()
    };
    Ok(by_iteration.into_iter().flat_map(of_iteration).collect())
}

/// Of a record that was delivered more often this is what is known of it. Nobody has so many equal ones.
const TIMES_MAX: u32 = 10_000;

/// Writes what a cluster knows into a directory that this process has taken, in the place of what stands there of the same
/// APIs.
///
/// # Errors
/// [`LoadError`], also where the directory can't be written.
pub async fn export_from_cluster(
    engine: &Engine,
    keys: &ClusterKeys,
    directory: &mut LockedStateDir,
) -> Result<Transferred, LoadError> {
    let mut accounts = BTreeMap::new();
    for entry in engine.read(&keys.accounts()).await?.0 {
        let Some((_, lane)) = keys.lane_in(&entry.key) else { continue };
        let account = inflate(&lane, &entry.value)?;
        accounts.insert(lane, account);
    }
    export_tokens(engine, keys, &CredentialFile::of(directory.path())).await?;
    let mut transferred = Transferred::default();
    while let Some(first) = accounts.keys().next().map(|lane| api_of(lane).to_owned()) {
        let lanes = take_states(&mut accounts, &first);
        for (lane, account) in &lanes {
            export_lane(engine, keys, directory, (lane, account)).await?;
        }
        // The line is the earliest of those of all outputs.
        let earliest = lanes.values().min_by_key(|account| (account.checkpoint.is_none(), account.checkpoint));
        if let Some(account) = earliest {
            directory.checkpoints.set(&first, &account.line()).map_err(|cause| damaged(&first, &cause))?;
        }
        transferred.moved.extend(lanes.into_keys());
    }
    Ok(transferred)
}

async fn export_lane(
    engine: &Engine,
    keys: &ClusterKeys,
    directory: &mut LockedStateDir,
    (lane, account): (&str, &ApiState),
) -> Result<(), LoadError> {
    let store = directory.store.as_mut().ok_or_else(|| damaged(lane, &"the directory's store can't be used"))?;
    store.forget_ledger(account.ledger).map_err(|cause| damaged(lane, &cause))?;
    read_chunks(engine, keys, lane, account.ledger, store).await?;
    let written = ApiState { written_values: account.captured.clone(), ..account.clone() };
    let save = Write::Save { name: lane.to_owned(), account: Box::new(written) };
    let writes = forgotten_undated(account).into_iter().chain([save]).collect::<Vec<_>>();
    store.write(fastrand::u64(..), writes.iter()).map_err(|cause| damaged(lane, &cause))
}
