//! What a member says of itself, what it tells the daemon, and what the daemon asks of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::cluster::engine::EngineError;
use crate::cluster::forms::{EntryForms, OtherForms};
use crate::cluster::reach::Reach;
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
    /// Whether it reaches the outputs, where somebody had reason to ask.
    pub reach: Reach,
    /// Slots that it leaves to others: an API in each ran last in a form of its entry that they have, and it has not.
    pub declined: BTreeSet<Slot>,
    /// Some of these APIs.
    pub waiting: Vec<String>,
}

/// What a member has of a config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberEntries {
    /// Which config it is: equal ones have equal digests.
    pub digest: String,
    /// The slots of its APIs, which are taken first.
    pub slots: BTreeSet<Slot>,
    /// The forms of its entries.
    pub forms: EntryForms,
}

/// What becomes of a slot, or of a lane in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// It is ours: its APIs are read and begin.
    Taken(Slot),
    /// It is to be somebody else's: its APIs end after their iterations, or are cut between two batches, and then it is
    /// given back by [`MemberHandle::release`].
    HandOver(Slot),
    /// The same, but that its APIs are cut at once between two batches, as this process can't ship anything.
    Cede(Slot),
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
    Describe(MemberEntries),
    Decline(BTreeSet<Slot>, Vec<String>),
    Reach(Reach),
    Leave,
}

/// The way to the member's task.
#[derive(Clone, Debug)]
pub struct MemberHandle {
    pub(super) commands: mpsc::UnboundedSender<MemberCommand>,
    pub(super) view: watch::Receiver<ClusterSummary>,
    pub(super) others: watch::Receiver<OtherForms>,
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
    /// Whether a member, be it this one, doesn't reach an output.
    pub is_anybody_cut: bool,
}

impl MemberHandle {
    /// Gives a slot back whose APIs have ended.
    pub fn release(&self, slot: Slot) {
        drop(self.commands.send(MemberCommand::Release(slot)));
    }

    /// Says what this process has now of the config.
    pub fn describe(&self, entries: MemberEntries) {
        drop(self.commands.send(MemberCommand::Describe(entries)));
    }

    /// Leaves slots to others from now on, and no other ones; `waiting` are names of APIs in them.
    pub fn decline(&self, slots: BTreeSet<Slot>, waiting: Vec<String>) {
        drop(self.commands.send(MemberCommand::Decline(slots, waiting)));
    }

    /// Says whether this process reaches the outputs.
    pub fn reach(&self, reach: Reach) {
        drop(self.commands.send(MemberCommand::Reach(reach)));
    }

    /// The forms of the others' entries, and when they change.
    #[must_use]
    pub fn others(&self) -> watch::Receiver<OtherForms> {
        self.others.clone()
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
