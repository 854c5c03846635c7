//! The engine that is played: one store, a transaction at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::engine::{ABSENT, Compare, Entry, KeyRange, LeaseId, Operation, Outcome, Transaction};
use crate::cluster::fence::Head;
use crate::cluster::keys::{Keys, LaneKeys};
use crate::cluster::slot::{MemberId, Slot};

/// The engine.
#[derive(Default)]
pub(super) struct PlayedEngine {
    entries: BTreeMap<String, Entry>,
    leases: BTreeSet<LeaseId>,
    granted: LeaseId,
    revision: i64,
}

impl PlayedEngine {
    /// Does a transaction.
    ///
    /// # Errors
    /// Where a head goes back, which no correct member brings about.
    pub(super) fn commit(&mut self, transaction: &Transaction) -> Result<Outcome, String> {
        let held = transaction.compare.iter().all(|compare| self.holds(compare));
        let operations = if held { &transaction.then } else { &transaction.otherwise };
        if operations.iter().any(|operation| !matches!(operation, Operation::Get { .. })) {
            self.revision += 1;
        }
        let mut read = Vec::new();
        for operation in operations {
            match operation {
                Operation::Put { key, value, lease } => self.put(key, value, *lease)?,
                Operation::Delete { key } => drop(self.entries.remove(key)),
                Operation::DeleteRange(KeyRange { from, to }) => {
                    self.entries.retain(|key, _| key < from || key >= to);
                }
                Operation::Get { key } => read.push(self.entries.get(key).cloned()),
            }
        }
        Ok(Outcome { held, revision: self.revision, read })
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::WrittenAt { key, revision } => {
                self.entries.get(key).map_or(ABSENT, |entry| entry.written_at) == *revision
            }
            Compare::Leased { key, lease } => self.entries.get(key).is_some_and(|entry| entry.lease == Some(*lease)),
        }
    }

    fn put(&mut self, key: &str, value: &[u8], lease: Option<LeaseId>) -> Result<(), String> {
        if lease.is_some_and(|lease| !self.leases.contains(&lease)) {
            // As etcd: the lease is not found, and nothing is done. It stands alone in its transaction.
            return Ok(());
        }
        if let (Some(new), Some(old)) = (Head::read(value), self.get(key).and_then(|entry| Head::read(&entry.value)))
            && new.seq <= old.seq
        {
            return Err(format!("the head {key} went from {old} to {new}"));
        }
        let entry = Entry { key: key.to_owned(), value: value.to_vec(), written_at: self.revision, lease };
        self.entries.insert(key.to_owned(), entry);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn range<'e>(&'e self, range: &KeyRange) -> impl Iterator<Item = &'e Entry> + use<'e> {
        self.entries.range(range.from.clone()..range.to.clone()).map(|(_, entry)| entry)
    }

    pub(super) fn grant(&mut self) -> LeaseId {
        self.granted += 1;
        self.leases.insert(self.granted);
        self.granted
    }

    pub(super) fn is_alive(&self, lease: LeaseId) -> bool {
        self.leases.contains(&lease)
    }

    /// Ends the lease that a key hangs on, and everything on it.
    pub(super) fn end_lease_of(&mut self, key: &str) {
        let Some(lease) = self.get(key).and_then(|entry| entry.lease) else { return };
        self.leases.remove(&lease);
        self.revision += 1;
        self.entries.retain(|_, entry| entry.lease != Some(lease));
    }

    /// Who owns which slot.
    pub(super) fn owners(&self, keys: &Keys) -> BTreeMap<Slot, MemberId> {
        let owner = |entry: &Entry| {
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
