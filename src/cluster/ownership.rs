//! Which slots this process owns, as far as it knows, for whoever has to know at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::slot::Slot;

/// Shared by the keeper of the membership, the writes, and the iterations.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    slots: Arc<Mutex<BTreeMap<Slot, OwnedSlot>>>,
    /// Rung whenever a slot comes or goes.
    changes: watch::Sender<()>,
}

/// A slot that is ours.
#[derive(Debug)]
struct OwnedSlot {
    token: i64,
    /// Lanes of it that must be read again before anything of them is done.
    stale: BTreeSet<String>,
}

impl Ownership {
    /// A slot is ours with this token.
    pub fn take(&self, slot: Slot, token: i64) {
        self.slots().insert(slot, OwnedSlot { token, stale: BTreeSet::new() });
        self.changes.send_replace(());
    }

    /// A slot is no longer ours.
    pub fn give_up(&self, slot: Slot) {
        self.slots().remove(&slot);
        self.changes.send_replace(());
    }

    /// Tells whenever a slot comes or goes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The token of a slot that is ours.
    #[must_use]
    pub fn token(&self, slot: Slot) -> Option<i64> {
        self.slots().get(&slot).map(|owned| owned.token)
    }

    /// The slots that are ours, with their tokens.
    #[must_use]
    pub fn tokens(&self) -> BTreeMap<Slot, i64> {
        self.slots().iter().map(|(slot, owned)| (*slot, owned.token)).collect()
    }

    /// How many slots are ours.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots().len()
    }

    /// Whether a lane may be worked on: it is ours, and what we know of it is what the engine holds.
    #[must_use]
    pub fn may_work(&self, slot: Slot, lane: &str) -> bool {
        self.slots().get(&slot).is_some_and(|owned| !owned.stale.contains(lane))
    }

    /// What we know of a lane is no longer so.
    pub fn outdate(&self, slot: Slot, lane: &str) {
        if let Some(owned) = self.slots().get_mut(&slot) {
            owned.stale.insert(lane.to_owned());
        }
    }

    /// A lane was read again.
    pub fn refresh(&self, slot: Slot, lane: &str) {
        if let Some(owned) = self.slots().get_mut(&slot) {
            owned.stale.remove(lane);
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Slot, OwnedSlot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
