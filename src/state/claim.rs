//! Where state is kept, and the right to write that of one API. The kinds of stores are told apart here, and nowhere else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::lane_key::lane_key;
use super::line::SharedLine;
use super::shared::ReplicatedState;
use super::writer::Commit;
use super::{ApiState, Changed, Configured, Durable, LedgerId, StateDir, StateOrder, StateReply};
use crate::cluster::{RoomTurn, SendLeave};
use crate::plan::{OutputName, Plan};
use crate::record::RecordKey;

/// What a replica says to `state`.
const OF_A_CLUSTER: &str = "the state is the cluster's; ask with the config that has `cluster`";

/// What outlives the process.
#[derive(Clone, Debug)]
pub enum Store {
    /// The config's own directory, which this process has locked.
    Local(Arc<StateDir>),
    /// What several replicas share, and the directory of this one.
    Shared(Arc<ReplicatedState>, Arc<StateDir>),
}

/// The right to write the state of one API and one of its outputs. The lock of the directory stands behind it, so it holds
/// as long as the process.
#[derive(Debug)]
pub struct Claim {
    key: Box<str>,
    store: Store,
    /// The API's line in the text file, where other outputs have a part in it.
    line: Option<Arc<SharedLine>>,
}

impl Store {
    /// Claims an API for one of its outputs.
    #[must_use]
    pub fn claim(&self, api: &str, output: &OutputName) -> Claim {
        match self {
            Self::Local(_) | Self::Shared(..) => {
                Claim { key: lane_key(api, output).into(), store: self.clone(), line: None }
            }
        }
    }

    /// Waits until an iteration of an API may begin: what several replicas share has a bound for what all APIs remember.
    /// `is_open` where the API is in the middle of a window.
    pub async fn turn(&self, is_open: bool) -> RoomTurn {
        match self {
            Self::Local(_) => RoomTurn::default(),
            Self::Shared(shared, _) => shared.turn(is_open).await,
        }
    }

    /// Forgets the accounts of APIs that have not been in the config for long. Their lines in the text file stay.
    pub async fn forget_unused(&self, configured: Configured, now: DateTime<Utc>) {
        match self {
            Self::Local(directory) => directory.forget_unused(configured, now).await,
            Self::Shared(shared, _) => shared.forget_unused(configured, now).await,
        }
    }

    /// Obeys an order about the state of APIs that have no iteration under way. Gives the account that it changed, too.
    ///
    /// # Errors
    /// Where the disk hangs.
    pub async fn obey(&self, order: StateOrder, plans: Vec<Arc<Plan>>) -> io::Result<(StateReply, Option<Changed>)> {
        match self {
            Self::Local(directory) => directory.obey(order, plans).await,
            Self::Shared(..) => Ok((StateReply::failed(2, OF_A_CLUSTER.to_owned()), None)),
        }
    }

    /// The API of the last change that can be taken back.
    pub async fn last_changed(&self) -> Option<String> {
        match self {
            Self::Local(directory) => directory.last_changed().await,
            Self::Shared(..) => None,
        }
    }

    /// Closes it; what comes later is not kept.
    pub async fn close(&self) {
        match self {
            Self::Local(directory) => directory.close().await,
            Self::Shared(shared, directory) => {
                shared.close().await;
                directory.close().await;
            }
        }
    }
}

impl Claim {
    /// The name under which the state is kept.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Shares the API's line in the text file with its other outputs, or no longer does.
    pub fn share(&mut self, line: Option<Arc<SharedLine>>) {
        self.line = line;
    }

    /// Whether batches of the API may be sent.
    #[must_use]
    pub fn leave(&self) -> SendLeave {
        match &self.store {
            Store::Local(_) => SendLeave::always(),
            Store::Shared(shared, _) => shared.leave(&self.key),
        }
    }

    /// The directory beside the config, for what is kept there as a file of its own.
    #[must_use]
    pub fn directory(&self) -> &Path {
        match &self.store {
            Store::Local(directory) | Store::Shared(_, directory) => directory.path(),
        }
    }

    /// How often each record of an account was delivered.
    ///
    /// # Errors
    /// Where whoever knows is gone. A store that can't be read is no error: what it knew may be shipped again.
    pub async fn counts(&self, ledger: LedgerId, identities: Vec<RecordKey>) -> io::Result<Vec<u32>> {
        match &self.store {
            Store::Local(_) if identities.is_empty() => Ok(Vec::new()),
            Store::Local(directory) => directory.writer.counts(ledger, identities).await,
            Store::Shared(shared, _) => shared.counts(&self.key, ledger, identities).await,
        }
    }

    /// How many different records of an account are remembered.
    pub async fn remembered(&self, ledger: LedgerId) -> u64 {
        match &self.store {
            Store::Local(directory) => directory.writer.remembered(ledger).await,
            Store::Shared(shared, _) => shared.remembered(ledger).await,
        }
    }

    /// Begins to remember that records were delivered; on the disk, where it can be written. Whatever is asked from now on
    /// knows of it.
    pub async fn remember(&self, ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>) -> Durable {
        match &self.store {
            Store::Local(directory) => directory.writer.remember(ledger, iteration, identities).await,
            Store::Shared(shared, _) => shared.remember(&self.key, (ledger, iteration), identities, None).await,
        }
    }

    /// The same, with an account that is saved at the same time.
    pub async fn remember_with(&self, account: ApiState, identities: Vec<RecordKey>) -> Durable {
        match &self.store {
            Store::Local(directory) => directory.writer.remember_with(&self.key, account, identities).await,
            Store::Shared(shared, _) => {
                let of = (account.ledger, account.iteration);
                shared.remember(&self.key, of, identities, Some(account)).await
            }
        }
    }

    /// Notes that records without a date came again, so that they stay remembered.
    pub async fn see_again(&self, ledger: LedgerId, iteration: u32, identities: Vec<RecordKey>) {
        match &self.store {
            Store::Local(directory) => directory.writer.see_again(ledger, iteration, identities).await,
            Store::Shared(shared, _) => shared.see_again(&self.key, ledger, iteration, identities).await,
        }
    }

    /// Saves an account whose checkpoint doesn't move.
    pub async fn save(&self, account: ApiState) {
        match &self.store {
            Store::Local(directory) => directory.writer.save(&self.key, account).await,
            // Not to have it costs duplicates and figures.
            Store::Shared(shared, _) => drop(shared.save_soon(&self.key, &account).await.end().await),
        }
    }

    /// Begins to save an account whose checkpoint doesn't move.
    pub async fn save_soon(&self, account: ApiState) -> Durable {
        match &self.store {
            Store::Local(directory) => directory.writer.save_soon(&self.key, account).await,
            Store::Shared(shared, _) => shared.save_soon(&self.key, &account).await,
        }
    }

    /// Moves the checkpoint, where there is one to move to, and forgets what lies before a date, as it can't come again.
    /// `account` has the checkpoint that it had before. Gives the account as it is then.
    ///
    /// # Errors
    /// Where the text file can't be written; the checkpoint stays, and nothing is forgotten.
    pub async fn commit(
        &self,
        account: ApiState,
        checkpoint: Option<DateTime<Utc>>,
        remembered_since: DateTime<Utc>,
    ) -> io::Result<ApiState> {
        let (name, line) = (self.key.to_string(), self.line.clone());
        let commit = Commit { name, account, checkpoint, remembered_since, line };
        match &self.store {
            Store::Local(directory) => directory.writer.commit(commit).await,
            Store::Shared(shared, _) => shared.commit(commit).await,
        }
    }
}
