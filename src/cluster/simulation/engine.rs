//! The engine that is played: the one in memory, which also looks that no head goes back.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use crate::cluster::engine::{EngineEntry, Operation, Transaction, TransactionOutcome};
use crate::cluster::fence::LaneHead;
use crate::cluster::keys::{ClusterKeys, LaneKeys};
use crate::cluster::memory::MemoryStore;
use crate::cluster::slot::{MemberId, Slot};

/// The engine.
#[derive(Default)]
pub(super) struct PlayedEngine {
    store: MemoryStore,
}

impl Deref for PlayedEngine {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.store
    }
}

impl DerefMut for PlayedEngine {
    fn deref_mut(&mut self) -> &mut MemoryStore {
        &mut self.store
    }
}

impl PlayedEngine {
    /// Does a transaction.
    ///
    /// # Errors
    /// Where a head goes back, which no correct member brings about.
    pub(super) fn look_and_commit(&mut self, transaction: &Transaction) -> Result<TransactionOutcome, String> {
        let puts = transaction.then.iter().filter_map(|operation| match operation {
            Operation::Put { key, value, .. } => Some((key, LaneHead::read(value)?)),
            _ => None,
        });
        let before: Vec<_> = puts.map(|(key, new)| (key, new, self.head(key))).collect();
        let outcome = self.store.commit(transaction);
        match before.into_iter().find(|(_, new, old)| outcome.held && old.is_some_and(|old| new.seq <= old.seq)) {
            Some((key, new, old)) => Err(format!("the head {key} went from {old:?} to {new:?}")),
            None => Ok(outcome),
        }
    }

    fn head(&self, key: &str) -> Option<LaneHead> {
        LaneHead::read(&self.store.get(key)?.value)
    }

    /// Ends the lease that a key hangs on, and everything on it.
    pub(super) fn end_lease_of(&mut self, key: &str) {
        if let Some(lease) = self.get(key).and_then(|entry| entry.lease) {
            self.store.end_lease(lease);
        }
    }

    /// Who owns which slot.
    pub(super) fn owners(&self, keys: &ClusterKeys) -> BTreeMap<Slot, MemberId> {
        let owner = |entry: &EngineEntry| {
            let slot = keys.slot_in(&entry.key)?;
            Some((slot, std::str::from_utf8(&entry.value).ok()?.parse().ok()?))
        };
        self.range(&keys.slots()).filter_map(owner).collect()
    }

    /// The first batch that a lane's checkpoint doesn't cover.
    pub(super) fn checkpoint(&self, lane: &LaneKeys) -> u64 {
        self.get(&lane.account()).map_or(0, |entry| number(&entry.value))
    }
}

/// A number that was written as text.
pub(super) fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
