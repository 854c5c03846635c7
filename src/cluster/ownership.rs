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
    /// The APIs of it that were read since, each with its lanes that must be read again before anything of them is done.
    read: BTreeMap<String, BTreeSet<String>>,
}

impl Ownership {
    /// A slot is ours with this token. Nothing of its APIs is done before they are read: what is known of them from a time before may
    /// be what another owner has delivered on since.
    pub fn take(&self, slot: Slot, token: i64) {
        self.slots().insert(slot, OwnedSlot { token, read: BTreeMap::new() });
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

    /// An API was read while its slot was ours with this token. Gives whether it still is.
    pub fn has_read(&self, slot: Slot, api: &str, token: i64) -> bool {
        let mut slots = self.slots();
        let owned = slots.get_mut(&slot).filter(|owned| owned.token == token);
        owned.map(|owned| owned.read.insert(api.to_owned(), BTreeSet::new())).is_some()
    }

    /// Whether what was read of an API is of the time since its slot became ours.
    #[must_use]
    pub fn is_read(&self, slot: Slot, api: &str) -> bool {
        self.slots().get(&slot).is_some_and(|owned| owned.read.contains_key(api))
    }

    /// Whether a lane of an API may be worked on: it is ours, and what we know of it is what the engine holds.
    #[must_use]
    pub fn may_work(&self, slot: Slot, api: &str, lane: &str) -> bool {
        let slots = self.slots();
        let stale = slots.get(&slot).and_then(|owned| owned.read.get(api));
        stale.is_some_and(|stale| !stale.contains(lane))
    }

    /// What we know of a lane of an API is no longer so, until the API is read again.
    pub fn outdate(&self, slot: Slot, api: &str, lane: &str) {
        if let Some(stale) = self.slots().get_mut(&slot).and_then(|owned| owned.read.get_mut(api)) {
            stale.insert(lane.to_owned());
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Slot, OwnedSlot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_counts_for_the_token_of_that_time_alone() {
        let (ownership, slot) = (Ownership::default(), Slot::of("api"));
        let works = || ownership.may_work(slot, "api", "api");
        assert!(!ownership.has_read(slot, "api", 1), "it isn't ours");
        ownership.take(slot, 1);
        assert!(!works() && !ownership.is_read(slot, "api"), "it must be read first");
        assert!(ownership.has_read(slot, "api", 1) && works() && ownership.is_read(slot, "api"));
        assert!(!ownership.may_work(slot, "another api", "another api"));
        ownership.outdate(slot, "api", "api");
        assert!(!works() && ownership.may_work(slot, "api", "another lane"));
        assert!(ownership.has_read(slot, "api", 1) && works());
        ownership.give_up(slot);
        ownership.take(slot, 3);
        assert!(!works() && !ownership.is_read(slot, "api"), "another one had it meanwhile");
        assert!(!ownership.has_read(slot, "api", 1) && !works(), "a reading of the time before");
        assert!(ownership.has_read(slot, "api", 3) && works());
    }
}
