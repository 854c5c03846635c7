//! What a member says of itself, what it tells the daemon, and what the daemon asks of it.

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::cluster::engine::EngineError;
use crate::cluster::restless::Standing;
use crate::cluster::slot::{MemberId, Slot};

/// What a member says of itself in its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutMember {
    /// What it says about slots.
    pub standing: Standing,
    /// The machine.
    pub host: String,
    /// The fetcher's version.
    pub version: String,
    /// Which config it has: equal ones have equal digests.
    pub config: String,
    /// When the process began, in seconds since 1970.
    pub since: i64,
}

/// What becomes of a slot, or of a lane in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// It is ours: its APIs are read and begin.
    Taken(Slot),
    /// It is to be somebody else's: its APIs end after their iterations, or are cut between two batches, and then it is
    /// given back by [`MemberHandle::release`].
    HandOver(Slot),
    /// It is somebody else's: its APIs end at once.
    Lost(Slot),
    /// Somebody has edited the state of this lane.
    Edited(String),
}

/// Why a process can't be a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The engine doesn't answer as it should.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Others share the same name in another way.
    #[error(
        "the cluster has the layout `{found}`, and this version knows `{own}`; give this one another `cluster.name`, or use the others' version"
    )]
    Layout {
        /// What the engine says.
        found: String,
        /// What we know.
        own: String,
    },
}

/// What the daemon asks of the member.
#[derive(Debug)]
pub(super) enum MemberCommand {
    Release(Slot),
    Describe(String),
    Leave,
}

/// The way to the member's task.
#[derive(Clone, Debug)]
pub struct MemberHandle {
    pub(super) commands: mpsc::UnboundedSender<MemberCommand>,
    pub(super) view: watch::Receiver<ClusterSummary>,
}

/// What is known of the cluster, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSummary {
    /// The members that live.
    pub members: Vec<MemberId>,
    /// How many slots this process owns.
    pub held: usize,
    /// How many slots are owned by nobody that lives.
    pub orphaned: usize,
}

impl MemberHandle {
    /// Gives a slot back whose APIs have ended.
    pub fn release(&self, slot: Slot) {
        drop(self.commands.send(MemberCommand::Release(slot)));
    }

    /// Says which config this process has now, by its digest.
    pub fn describe(&self, config: String) {
        drop(self.commands.send(MemberCommand::Describe(config)));
    }

    /// Begins to leave: every slot is handed over. When all are given back, the lease is ended, and the events with it.
    pub fn leave(&self) {
        drop(self.commands.send(MemberCommand::Leave));
    }

    /// Returns when it has left.
    pub async fn has_left(&self) {
        self.commands.closed().await;
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn summary(&self) -> ClusterSummary {
        self.view.borrow().clone()
    }
}
