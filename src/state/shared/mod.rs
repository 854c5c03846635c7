//! State that several replicas share: in a cluster's engine, with a store beside the config as a cache.
//!
//! The engine is the truth. What an API delivered is in the cache at once, so that whoever asks knows of it, and counts as
//! remembered when the engine has it. A checkpoint moves in the engine first. What an owner that was replaced still writes is
//! refused there, and its iteration ends.

mod chunk;
mod chunk_index;
mod chunks;
mod credentials;
mod desk;
mod folding;
mod orders;
mod transfer;
mod unused;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::account::{ApiState, LedgerId};
use super::checkpoints::CheckpointFile;
use super::configured::Configured;
use super::credentials::CredentialError;
use super::lane_key::api_of;
use super::store::{StoreFile, Write as StoreWrite};
use super::writer::{Commit, Durable, StateWriter};
use crate::cluster::{
    ClusterCounters, ClusterKeys, Engine, EngineEntry, EngineError, EngineOperation, LaneKeys, LeaseClock, Ownership,
    RangePages, RoomTurn, RoomTurns, SendLeave, Slot, UnwrittenError,
};
use crate::record::RecordKey;
use chunk::{ChunkSpan, EncodedChunk, Forgetting, RECORDS_MAX, SharedChunk};
use desk::{Desk, LaneContents, LaneWrite};

pub use credentials::{ClusterTurn, SharedCredentials, unknown_logins};
pub use orders::obey_in_cluster;
pub use transfer::{Transferred, export_from_cluster, import_into_cluster};

/// Where the cache is, below the config's directory.
const CACHE_DIRECTORY_NAME: &str = ".logzio-api-fetcher.cluster";
/// The largest account that is read, as JSON.
const PACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why lanes can't be read out of the engine.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine doesn't give them.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A refresh token can't be read or written.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// An account makes no sense.
    #[error(
        "what the cluster's engine holds of `{api}` can't be understood ({cause}); a newer version wrote it, or something else"
    )]
    Damaged {
        /// Of which API.
        api: String,
        /// Why not.
        cause: String,
    },
    /// What was read can't be kept at hand.
    #[error("this member's cache of what was delivered can't be used ({0}); look at the disk of its directory")]
    Cache(#[source] io::Error),
}

/// The state of a cluster, as a replica has it.
pub struct ReplicatedState {
    engine: Engine,
    keys: ClusterKeys,
    ownership: Ownership,
    clock: watch::Receiver<LeaseClock>,
    desk: Desk,
    cache: StateWriter,
    /// How often the cache had been emptied when each API was read.
    read_at: Mutex<BTreeMap<String, u64>>,
    outdated: mpsc::UnboundedSender<String>,
    counters: ClusterCounters,
    turns: RoomTurns,
}

impl fmt::Debug for ReplicatedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicatedState").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl ReplicatedState {
    /// Begins with an empty cache below a directory. `outdated` gets the lanes whose state somebody has edited.
    ///
    /// # Errors
    /// Where the cache can't be made.
    pub fn start(
        (engine, keys): (Engine, ClusterKeys),
        (ownership, clock): (Ownership, watch::Receiver<LeaseClock>),
        counters: ClusterCounters,
        directory: &Path,
        outdated: mpsc::UnboundedSender<String>,
    ) -> io::Result<Self> {
        let path = directory.join(CACHE_DIRECTORY_NAME);
        if let Err(cause) = std::fs::remove_dir_all(&path)
            && cause.kind() != io::ErrorKind::NotFound
        {
            return Err(cause);
        }
        std::fs::create_dir_all(&path)?;
        let file = StoreFile::open_cache(&path.join(super::store::FILE_NAME)).map_err(io::Error::other)?;
        let cache = StateWriter::start(&path, Some(file), None, CheckpointFile::in_memory())?;
        let desk = Desk::start(engine.clone(), keys.clone(), ownership.clone(), counters.clone(), outdated.clone());
        let (turns, read_at) = (RoomTurns::default(), Mutex::default());
        Ok(Self { engine, keys, ownership, clock, desk, cache, read_at, outdated, counters, turns })
    }

    /// Which slots this process owns.
    #[must_use]
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Waits until there is room for what an iteration delivers; `is_open` where its API is in the middle of a window.
    pub(super) async fn turn(&self, is_open: bool) -> RoomTurn {
        self.turns.take(is_open, || (self.counters.remembered_bytes(), self.ownership.count())).await
    }

    /// Whether batches of a lane may be sent.
    pub(super) fn leave(&self, lane: &str) -> SendLeave {
        SendLeave::of_lane(self.clock.clone(), self.ownership.clone(), (api_of(lane), lane))
    }

    /// Which of these states the engine knows nothing of, by their keys.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn unknown<'n>(
        engine: &Engine,
        keys: &ClusterKeys,
        lanes: impl Iterator<Item = &'n str>,
    ) -> Result<Vec<&'n str>, EngineError> {
        let (accounts, _) = engine.read(&keys.accounts()).await?;
        let known: BTreeSet<String> = accounts.iter().filter_map(|entry| Some(keys.lane_in(&entry.key)?.1)).collect();
        Ok(lanes.filter(|lane| !known.contains(*lane)).collect())
    }

    /// The accounts of all lanes that can be understood, whoever runs them.
    ///
    /// # Errors
    /// Where the engine doesn't answer.
    pub async fn accounts(engine: &Engine, keys: &ClusterKeys) -> Result<BTreeMap<String, ApiState>, EngineError> {
        let (entries, _) = engine.read(&keys.accounts()).await?;
        let account = |entry: EngineEntry| {
            let (_, lane) = keys.lane_in(&entry.key)?;
            let account = inflate(&lane, &entry.value).ok()?;
            Some((lane, account))
        };
        Ok(entries.into_iter().filter_map(account).collect())
    }

    /// Waits until what was asked of an API's slot before is done. Reading it waits for that, too.
    pub async fn finish_writes(&self, api: &str) {
        self.desk.finish(Slot::of(api)).await;
    }

    /// Reads the lanes of one API in a slot that was taken, and begins with them. Gives their accounts, by the keys of their
    /// states; none where the slot isn't ours any more.
    ///
    /// # Errors
    /// [`LoadError`]
    pub async fn load(&self, api: &str) -> Result<BTreeMap<String, ApiState>, LoadError> {
        let slot = Slot::of(api);
        loop {
            // What is read must not be older than what is about to be written.
            self.desk.finish(slot).await;
            // Should the slot be lost and taken again before the end, another owner may have written meanwhile.
            let Some(token) = self.ownership.token(slot) else { return Ok(BTreeMap::new()) };
            let mut accounts = BTreeMap::new();
            self.read_at().insert(api.to_owned(), self.cache.pulse().emptied());
            let (heads, _) = self.read(self.engine.read(&self.keys.heads_of(slot))).await?;
            let (stored, _) = self.read(self.engine.read(&self.keys.accounts_of(slot))).await?;
            let heads = heads.into_iter().filter_map(|entry| Some((self.keys.lane_in(&entry.key)?.1, entry)));
            let heads = heads.filter(|(lane, _)| api_of(lane) == api);
            let mut contents = Vec::new();
            let mut stored: BTreeMap<String, EngineEntry> =
                stored.into_iter().filter_map(|entry| Some((self.keys.lane_in(&entry.key)?.1, entry))).collect();
            for (lane, head) in heads {
                let account = stored.remove(&lane).map(|entry| inflate(&lane, &entry.value)).transpose()?;
                let chunks = match &account {
                    Some(account) => self.load_chunks(&self.keys.lane(slot, &lane), &lane, account).await?,
                    None => Vec::new(),
                };
                accounts.extend(account.map(|account| (lane.clone(), account)));
                let ledger = accounts.get(&lane).map_or_else(LedgerId::default, |account| account.ledger);
                contents.push(LaneContents { lane, head: Some(head), ledger, chunks });
            }
            if self.desk.open(api, token, contents).await.is_empty() {
                return Ok(accounts);
            }
            // A write of ours was under way, or the slot is ours by another token: they are read again.
        }
    }

    /// What the engine gives, and how long that takes is counted.
    async fn read<T>(&self, asked: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let begun = Instant::now();
        let read = asked.await?;
        self.counters.answered(EngineOperation::Read, begun.elapsed());
        Ok(read)
    }

    /// Puts what a lane delivered into the cache. Gives its chunks.
    async fn load_chunks(
        &self,
        keys: &LaneKeys,
        lane: &str,
        account: &ApiState,
    ) -> Result<Vec<(u64, ChunkSpan)>, LoadError> {
        let ledger = account.ledger;
        let mut chunks = Vec::new();
        // What an earlier reading put there.
        let forget = move |store: &mut StoreFile| store.forget_ledger(ledger);
        self.in_cache(forget).await?;
        // A window may be larger than what many APIs together may have in memory.
        let mut pages = Some(RangePages::of(keys.chunks_of(ledger)));
        while let Some(rest) = pages {
            let (entries, left) = self.read(self.engine.read_page(rest)).await?;
            for entry in entries {
                let Some((_, seq)) = keys.chunk_in(&entry.key) else { continue };
                let read = SharedChunk::decode(&entry.value).map_err(|error| damaged(lane, &error))?;
                chunks.extend(SharedChunk::span_of_all(&read, entry.value.len()).map(|span| (seq, span)));
                for chunk in read {
                    self.put_into_cache(ledger, chunk).await?;
                }
            }
            pages = left;
        }
        if let Some(forget) = forgotten_undated(account) {
            let forget = move |store: &mut StoreFile| store.write(fastrand::u64(..), std::iter::once(&forget));
            self.in_cache(forget).await?;
        }
        Ok(chunks)
    }

    /// Has something done with the cache. What isn't known to be done may still be, and would undo what comes after.
    async fn in_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut StoreFile) -> T + Send + 'static,
    ) -> Result<(), LoadError> {
        let done = self.cache.work(move |_, store| store.map(work)).await;
        done.map(drop).map_err(LoadError::Cache)
    }

    async fn put_into_cache(&self, ledger: LedgerId, chunk: SharedChunk) -> Result<(), LoadError> {
        let SharedChunk { iteration, is_again, records: mut delivered } = chunk;
        if is_again {
            let counts = self.cache.counts(ledger, delivered.clone()).await.map_err(LoadError::Cache)?;
            let (known, unknown) = known_and_unknown(delivered, &counts);
            self.cache.see_again(ledger, iteration, known).await;
            delivered = unknown;
        }
        drop(self.cache.remember(ledger, iteration, delivered).await);
        Ok(())
    }

    /// Ends with the lanes of a slot, which is about to be somebody else's; whatever was asked before is known then.
    pub async fn unload(&self, slot: Slot) {
        self.desk.end(Some(slot)).await;
        self.desk.close(slot).await;
        self.read_at().retain(|api, _| Slot::of(api) != slot);
    }

    pub(super) async fn counts(
        &self,
        lane: &str,
        ledger: LedgerId,
        identities: Vec<RecordKey>,
    ) -> io::Result<Vec<u32>> {
        require(&self.ownership, lane)?;
        let counts = self.cache.counts(ledger, identities).await?;
        // A cache that was emptied since the API was read knows nothing of what came before.
        let (api, emptied) = (api_of(lane), self.cache.pulse().emptied());
        if self.read_at().get(api).is_some_and(|read_at| *read_at != emptied) {
            self.ownership.outdate(Slot::of(api), api, lane);
            drop(self.outdated.send(lane.to_owned()));
        }
        require(&self.ownership, lane)?;
        Ok(counts)
    }

    fn read_at(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn remembered(&self, ledger: LedgerId) -> u64 {
        self.cache.remembered(ledger).await
    }

    pub(super) async fn remember(
        &self,
        lane: &str,
        (ledger, iteration): (LedgerId, u32),
        identities: Vec<RecordKey>,
        account: Option<ApiState>,
    ) -> Durable {
        drop(self.cache.remember(ledger, iteration, identities.clone()).await);
        let mut account = match account.map(|account| deflate(&account)).transpose() {
            Ok(account) => account,
            Err(cause) => return Durable::failed(cause),
        };
        let mut written = Vec::new();
        for records in identities.chunks(RECORDS_MAX) {
            let chunk = SharedChunk { iteration, is_again: false, records: records.to_vec() };
            let chunk = Some(EncodedChunk::of(&chunk));
            let write = LaneWrite { ledger, account: account.take(), chunk, forgetting: None };
            written.push(self.desk.write(lane, write).await);
        }
        if let Some(account) = account {
            written.push(
                self.desk.write(lane, LaneWrite { ledger, account: Some(account), ..LaneWrite::default() }).await,
            );
        }
        Durable::shared(written)
    }

    pub(super) async fn see_again(&self, lane: &str, ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>) {
        self.cache.see_again(ledger, iteration, identities.clone()).await;
        for records in identities.chunks(RECORDS_MAX) {
            let chunk = SharedChunk { iteration, is_again: true, records: records.to_vec() };
            // Not to know of it costs duplicates.
            let chunk = Some(EncodedChunk::of(&chunk));
            drop(self.desk.write(lane, LaneWrite { ledger, chunk, ..LaneWrite::default() }).await);
        }
    }

    pub(super) async fn save_soon(&self, lane: &str, account: &ApiState) -> Durable {
        match deflate(account) {
            Ok(deflated) => {
                let write = LaneWrite { ledger: account.ledger, account: Some(deflated), ..LaneWrite::default() };
                Durable::shared(vec![self.desk.write(lane, write).await])
            }
            Err(cause) => Durable::failed(cause),
        }
    }

    /// Moves the checkpoint, in the engine first.
    pub(super) async fn commit(&self, commit: Commit) -> io::Result<ApiState> {
        let done = commit.done();
        let write = LaneWrite {
            ledger: done.ledger,
            account: Some(deflate(&done)?),
            chunk: None,
            forgetting: Some(Forgetting::of(&done, commit.remembered_since)),
        };
        self.desk.write(&commit.name, write).await.end().await?;
        // It has moved, whatever becomes of the cache.
        Ok(self.cache.commit(commit).await.unwrap_or(done))
    }

    /// Forgets the accounts of APIs that have not been in the members' config for long.
    pub(super) async fn forget_unused(&self, configured: Configured, now: DateTime<Utc>) {
        match unused::forget_unused(&self.engine, &self.keys, &configured, now).await {
            Ok(forgotten) if forgotten.is_empty() => {}
            Ok(forgotten) => tracing::info!(
                apis = forgotten.len(),
                "what the cluster knew of APIs that have long not been in the config is forgotten"
            ),
            Err(cause) => tracing::debug!(%cause, "what nobody uses stays in the cluster's engine"),
        }
    }

    /// Waits until everything that was asked is known, and closes the cache.
    pub(super) async fn close(&self) {
        self.desk.end(None).await;
        self.cache.close().await;
    }
}

/// Whether a lane may be worked on: it is this process' own, and known as the engine has it.
fn require(ownership: &Ownership, lane: &str) -> Result<(), UnwrittenError> {
    let (slot, api) = (Slot::of(api_of(lane)), api_of(lane));
    match ownership.token(slot) {
        Some(_) if ownership.may_work(slot, api, lane) => Ok(()),
        Some(_) => Err(UnwrittenError::Edited),
        None => Err(UnwrittenError::Lost),
    }
}

/// Parts records that came again into those of which it is known that they were delivered, and those of which the chunk with
/// that is gone: these were delivered all the same.
fn known_and_unknown(records: Vec<RecordKey>, counts: &[u32]) -> (Vec<RecordKey>, Vec<RecordKey>) {
    let (known, unknown): (Vec<_>, Vec<_>) = records.into_iter().zip(counts).partition(|(_, count)| **count > 0);
    let keys = |of: Vec<(RecordKey, &u32)>| of.into_iter().map(|(key, _)| key).collect();
    (keys(known), keys(unknown))
}

/// Has a store remember what a chunk holds.
fn put_into_store(store: &mut StoreFile, ledger: LedgerId, chunk: SharedChunk) -> Result<(), redb::Error> {
    let SharedChunk { iteration, is_again, records: mut identities } = chunk;
    let mut writes = Vec::new();
    if is_again {
        let counts = store.counts(ledger, &identities)?;
        let (known, unknown) = known_and_unknown(identities, &counts);
        writes.push(StoreWrite::SeeAgain { ledger, iteration, identities: known });
        identities = unknown;
    }
    writes.push(StoreWrite::Remember { ledger, iteration, identities });
    store.write(fastrand::u64(..), writes.iter())
}

/// What has a store forget the records without a date that no longer came when the last iteration ended: their chunks may hold
/// others that are still remembered. One that comes again after that is another one.
fn forgotten_undated(account: &ApiState) -> Option<StoreWrite> {
    let (ledger, iteration) = (account.ledger, account.undated_since);
    (!account.is_by_arrival).then_some(StoreWrite::Forget { ledger, before: DateTime::<Utc>::MIN_UTC, iteration })
}

fn damaged(lane: &str, cause: &impl ToString) -> LoadError {
    LoadError::Damaged { api: api_of(lane).to_owned(), cause: cause.to_string() }
}

/// What is in the engine as deflated JSON.
fn pack(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&serde_json::to_vec(value)?)?;
    encoder.finish()
}

fn unpack<T: for<'d> Deserialize<'d>>(bytes: &[u8]) -> io::Result<T> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes).take(PACKED_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// An account as it is in the engine.
fn deflate(account: &ApiState) -> io::Result<Vec<u8>> {
    pack(account)
}

fn inflate(lane: &str, bytes: &[u8]) -> Result<ApiState, LoadError> {
    unpack(bytes).map_err(|cause| damaged(lane, &cause))
}

#[cfg(test)]
mod tests;
