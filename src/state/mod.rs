//! What outlives the process, in the config's own directory.
//!
//! [`LockedStateDir::open`] takes the directory for this process alone (a lock that the kernel drops with the process, however it
//! ends) and reads the checkpoints and the store. The file of checkpoints is the user's: an edit is obeyed at the next
//! start. The store is ours: it remembers what was delivered and is not covered by a checkpoint, and losing it costs
//! duplicates. [`StateDir`] keeps both while iterations run.
//!
//! # A store, and a claim of each API
//!
//! The daemon takes a [`Claim`] of each API that it runs from the [`Store`], and an iteration gets at state through its claim
//! alone. A store is one of a closed list of kinds: the directory, a claim of which holds as long as the process has the
//! directory's lock; and what several replicas share in a cluster ([`ReplicatedState`]), where a claim holds until somebody
//! else takes the API's slot.
//!
//! A further engine of a cluster is a variant of [`crate::cluster::Engine`]. A further kind of store is a variant of [`Store`],
//! with what each `match` in `claim` asks of it in a module beside that. What any kind must hold:
//!
//! - An API has one claim at a time, whose writes alone get through. A claim that somebody else has taken over ends the
//!   iteration with an error of [`Claim::counts`], [`Durable::end`] or [`Claim::commit`].
//! - What [`Durable`] says is there outlives the process, in the order in which it was asked for.
//! - A commit moves the checkpoint and forgets what it covers, or does neither, whenever the process ends.
//! - What is not remembered costs duplicates; the checkpoint never passes what isn't delivered.

mod account;
mod checkpoint_text;
mod checkpoints;
mod claim;
mod configured;
mod credentials;
mod delivered;
mod edit;
mod in_place;
mod lane_key;
mod line;
mod lock;
mod obey;
mod order;
mod pending_write;
mod position;
mod pulse;
mod refresh_tokens;
mod shared;
mod socket;
mod steps;
mod store;
mod unsaved;
mod words;
mod writer;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

pub use account::{Anomaly, AnomalySpan, ApiState, CompleteIteration, IterationSummary, LedgerId};
pub use checkpoint_text::{Checkpoint, Checkpoints};
pub use checkpoints::{CheckpointFile, FILE_NAME as CHECKPOINTS_FILE_NAME};
pub use claim::{Claim, Store};
pub use configured::Configured;
pub use credentials::{CredentialError, CredentialFile, FILE_NAME as CREDENTIALS_FILE_NAME};
pub use edit::Edit;
pub use lane_key::{api_of, lane_key, output_of, shown_lane, take_states};
pub use line::SharedLine;
pub use lock::{Health, LOCK_FILE_NAME, Whereabouts, health_of};
pub use order::{Changed, OpenState, StateOrder, StateReply};

pub use pulse::{HANGS_AFTER, Pulse};
pub use refresh_tokens::{RefreshTokens, TokenTurn};
pub use shared::{
    ClusterTurn, LoadError, ReplicatedState, SharedCredentials, Transferred, export_from_cluster, import_into_cluster,
    obey_in_cluster, unknown_logins,
};
pub use socket::{ORDERS_MAX, OrderRequest, SOCKET_FILE_NAME, ask_running, serve_orders};
pub use steps::{StartedJob, StepsState};
pub use store::{
    CHANGES_MAX, Change, DAMAGED_FILE_NAME, FILE_NAME as STORE_FILE_NAME, OpenError, REMEMBERED_MAX, StoreFile,
    StoreKind, Write as StoreWrite, had_arrived_since,
};
pub use writer::Durable;

use crate::plan::Plan;
use crate::process::privileges;
use crate::record::date;
use crate::ship::{UNDELIVERED_FILE_NAME, count_kept};
use lock::Lock;
use obey::obey;
use writer::{StateWriter, open_or_set_aside};

/// Where earlier versions kept what didn't fit into the file of undelivered records.
const OLD_UNDELIVERED_FILE_NAME: &str = "undelivered.ndjson.1";

/// Where no file is.
const NOWHERE: &str = "/nonexistent";

/// Why the directory can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another fetcher has it.
    #[error("another fetcher{holder} runs on {directory}; stop it first, or give this one a directory of its own", directory = .directory.display())]
    Taken {
        /// The directory.
        directory: PathBuf,
        /// ` (process 123)`, where it can be told.
        holder: String,
    },
    /// A file in it can't be used.
    #[error(
        "{file} can't be {verb}: {cause}; the fetcher must be able to write in this directory, as user {own}{owner}",
        file = .file.display(), own = privileges::Identity::own()
    )]
    File {
        /// ` (it belongs to 1000:1000)`, where it belongs to somebody else.
        owner: String,
        /// Which.
        file: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// The system's word.
        cause: io::Error,
    },
}

impl StateError {
    fn file(directory: &Path, file: PathBuf, verb: &'static str, cause: io::Error) -> Self {
        let owner = privileges::Identity::owner_of(directory).filter(|owner| *owner != privileges::Identity::own());
        let owner = owner.map(|owner| format!(" (it belongs to {owner})")).unwrap_or_default();
        Self::File { file, verb, cause, owner }
    }
}

/// The directory with the state, taken by this process.
#[derive(Debug)]
pub struct LockedStateDir {
    path: PathBuf,
    /// The text file.
    pub checkpoints: CheckpointFile,
    /// The store, where it can be used.
    pub store: Option<StoreFile>,
    /// What it knew, where it can only be read.
    copy: Option<StoreFile>,
    /// Held until the process ends.
    lock: Lock,
}

/// The directory with the state, in the hands of the thread that keeps it.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    writer: StateWriter,
    /// None where the state is in memory.
    lock: Mutex<Option<Lock>>,
    whereabouts: Whereabouts,
}

/// The directory, taken for something that needs none of its files but one.
#[derive(Debug)]
pub struct DirectoryHold {
    /// Held until this goes.
    _lock: Lock,
}

impl DirectoryHold {
    /// Takes a directory as a fetcher does, so that none runs on it meanwhile.
    ///
    /// # Errors
    /// Where another fetcher has it, or its lock can't be written.
    pub fn take(directory: &Path) -> Result<Self, StateError> {
        Ok(Self { _lock: Lock::take(directory)? })
    }
}

/// What was found in the directory.
#[derive(Debug, Default)]
pub struct StateContents {
    /// The account of each API and output that has one, by [`lane_key`].
    pub accounts: BTreeMap<String, ApiState>,
    /// Lines that were not understood, and stay.
    pub unreadable: Vec<String>,
}

impl LockedStateDir {
    /// Takes the directory and reads what is in it. Where the text file differs from what the fetcher wrote, it counts: for the
    /// states of an API that the config has a use for, or for all of them where it has none for any.
    ///
    /// # Errors
    /// Where another fetcher has it, or its files can't be read and written. A store that can't be used is warned of, and
    /// the fetcher goes on without.
    pub fn open(path: &Path, configured: &Configured, now: DateTime<Utc>) -> Result<(Self, StateContents), StateError> {
        let lock = Lock::take(path)?;
        let file = path.join(CHECKPOINTS_FILE_NAME);
        let (checkpoints, written) =
            CheckpointFile::open(path).map_err(|cause| StateError::file(path, file, "read and written", cause))?;
        let store = open_or_set_aside(&path.join(STORE_FILE_NAME), StoreKind::Lasting);
        if matches!(store, Err(OpenError::Taken)) {
            // Who took the directory before has lost its lock file, or its file system has no locks.
            return Err(StateError::Taken { directory: path.to_owned(), holder: String::new() });
        }
        close_to_others(path);
        sync_names(path);
        if let Err(cause) = &store {
            tracing::warn!(
                %cause,
                "{STORE_FILE_NAME} can't be used; what is delivered is remembered in memory until it can, and a restart \
                 would ship it again"
            );
        }
        let store = store.ok();
        let copy = if store.is_none() {
            StoreFile::open_copy(&path.join(STORE_FILE_NAME), StoreKind::Lasting).ok()
        } else {
            None
        };
        let readable = store.as_ref().or(copy.as_ref());
        let mut accounts = readable.and_then(|store| store.accounts().ok()).unwrap_or_default();
        obey(&written, &mut accounts, store.as_ref(), configured, now);
        let unreadable = written.unreadable().map(str::to_owned).collect();
        Ok((Self { path: path.to_owned(), checkpoints, store, copy, lock }, StateContents { accounts, unreadable }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands the files over to a thread that keeps them.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn keep(self) -> io::Result<StateDir> {
        let writer = StateWriter::start(&self.path, self.store, self.copy, self.checkpoints)?;
        let whereabouts = Whereabouts::of(&self.path)?;
        Ok(StateDir { path: self.path, writer, lock: Mutex::new(Some(self.lock)), whereabouts })
    }
}

/// A checkpoint in words.
#[must_use]
pub fn shown(checkpoint: Option<DateTime<Utc>>) -> String {
    checkpoint.map_or_else(|| "none".to_owned(), date::format)
}

impl StateDir {
    /// A state in memory, which goes with the process: no file is opened.
    ///
    /// # Errors
    /// Where there is no thread to be had, or no store.
    pub fn in_memory() -> io::Result<Self> {
        let path = PathBuf::from(NOWHERE);
        let store = StoreFile::in_memory().map_err(io::Error::other)?;
        let writer = StateWriter::start(&path, Some(store), None, CheckpointFile::in_memory())?;
        let whereabouts = Whereabouts::nowhere(&path);
        Ok(Self { path, writer, lock: Mutex::new(None), whereabouts })
    }

    /// Writes into the lock file where the daemon can be asked how it is, unless that stands there. A file that is gone is
    /// made and locked anew. It waits for the disk.
    ///
    /// # Errors
    /// Where it can't be written, or another process has locked a file of that name since.
    pub fn publish(&self, health: SocketAddr) -> io::Result<()> {
        match self.lock.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(lock) => lock.publish(&self.path, health),
            None => Ok(()),
        }
    }

    /// Which directory it is.
    #[must_use]
    pub fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// Whether the thread that keeps the files gets on.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        self.writer.pulse()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets the accounts in the store of APIs that have not been in the config for long. Their lines in the text file
    /// stay.
    async fn forget_unused(&self, configured: Configured, now: DateTime<Utc>) {
        let forgotten = self.writer.forget_unused(configured, now).await;
        if !forgotten.is_empty() {
            tracing::info!(
                apis = forgotten.len(),
                "what was delivered for APIs that have long not been in the config is forgotten; their lines in \
                 {CHECKPOINTS_FILE_NAME} stay"
            );
        }
    }

    /// Obeys an order about the state of APIs that have no iteration under way. Gives the account that it changed, too.
    ///
    /// # Errors
    /// Where the disk hangs.
    async fn obey(&self, order: StateOrder, plans: Vec<Arc<Plan>>) -> io::Result<(StateReply, Option<Changed>)> {
        let undelivered = match &order {
            StateOrder::Show { .. } => {
                // Beside the thread, which has more to do: the file may be large.
                let directory = self.path.clone();
                tokio::task::spawn_blocking(move || count_kept(&directory)).await.unwrap_or_default()
            }
            _ => BTreeMap::new(),
        };
        self.writer
            .work(move |checkpoints, store| {
                let accounts = store.as_ref().and_then(|store| store.accounts().ok()).unwrap_or_default();
                OpenState { checkpoints, store, accounts, undelivered }.obey(&order, &plans, Utc::now())
            })
            .await
    }

    /// The API of the last change that can be taken back.
    async fn last_changed(&self) -> Option<String> {
        let last = self.writer.work(|_, store| store?.changes().ok()?.pop().map(|change| change.name));
        last.await.ok().flatten()
    }

    /// Closes the store; what comes later is not kept.
    async fn close(&self) {
        self.writer.close().await;
    }
}

/// Makes sure that files that were made, renamed or removed in a directory are so on the disk, where its file system knows how.
fn sync_names(directory: &Path) {
    if let Err(cause) = std::fs::File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::debug!(%cause, "the directory can't be synced");
    }
}

/// Takes everybody else's rights from the files that hold records or state, as earlier versions left them. The text file
/// of checkpoints is the user's, and stays as it is.
fn close_to_others(directory: &Path) {
    let own = [LOCK_FILE_NAME, STORE_FILE_NAME, DAMAGED_FILE_NAME, UNDELIVERED_FILE_NAME, OLD_UNDELIVERED_FILE_NAME];
    for name in own.into_iter().chain([CREDENTIALS_FILE_NAME]) {
        let path = directory.join(name);
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        if about.is_file() && about.permissions().mode() & OTHERS != 0 {
            let closed = std::fs::set_permissions(&path, Permissions::from_mode(OWNER_ONLY));
            if let Err(cause) = closed {
                tracing::warn!(%cause, "{name} can be read by others, and its rights can't be changed");
            }
        }
    }
}

/// The rights of a group and of everybody else.
const OTHERS: u32 = 0o077;
/// To read and write, for the owner.
const OWNER_ONLY: u32 = 0o600;
