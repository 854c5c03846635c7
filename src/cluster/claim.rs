//! How a member joins, and how slots change hands.
//!
//! Only the key of a member hangs on its lease. The claim of a slot hangs on nothing, and is taken over in a transaction that
//! finds the key of its owner gone: leases that an engine drops by mistake cost nobody a slot, as their members put
//! their keys again. Pure.

use super::engine::{ABSENT, Compare, LeaseId, Operation, Transaction, TransactionOutcome};
use super::keys::ClusterKeys;
use super::slot::{MemberId, Slot};

/// A slot as somebody sees it who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSlot {
    /// Which.
    pub slot: Slot,
    /// The revision at which its owner wrote its name; [`ABSENT`] where it has none.
    pub written_at: i64,
    /// Its owner.
    pub owner: Option<MemberId>,
}

/// What became of a slot that was to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenSlot {
    /// It is ours, with this token.
    Ours {
        /// The token of every write.
        token: i64,
    },
    /// It isn't: it changed hands, its owner lives, or our own key is gone.
    Not,
}

/// Puts the key of a member, with its lease.
#[must_use]
pub fn join(keys: &ClusterKeys, me: &MemberId, lease: LeaseId, about: Vec<u8>) -> Transaction {
    let put = Operation::Put { key: keys.member(me), value: about, lease: Some(lease) };
    Transaction { then: vec![put], ..Transaction::default() }
}

/// How many slots change hands in one transaction at most: it compares two keys for each, and etcd's own bound is 128
/// (`--max-txn-ops`).
pub const SLOTS_AT_ONCE: usize = 50;

/// Takes slots that nobody has, or whose owners' keys are gone: all of them, or none.
#[must_use]
pub fn take(keys: &ClusterKeys, seen: &[SeenSlot], me: &MemberId, lease: LeaseId) -> Transaction {
    let mut transaction =
        Transaction { compare: vec![Compare::Leased { key: keys.member(me), lease }], ..Transaction::default() };
    for SeenSlot { slot, written_at, owner } in seen {
        let slot = keys.slot(*slot);
        transaction.compare.push(Compare::WrittenAt { key: slot.clone(), revision: *written_at });
        if let Some(owner) = owner {
            let gone = Compare::WrittenAt { key: keys.member(owner), revision: ABSENT };
            if !transaction.compare.contains(&gone) {
                transaction.compare.push(gone);
            }
        }
        transaction.then.push(Operation::Put { key: slot.clone(), value: me.to_string().into_bytes(), lease: None });
        transaction.otherwise.push(Operation::Get { key: slot });
    }
    transaction
}

/// What became of so many. A slot that names this incarnation was taken by an earlier try. One that isn't ours may be so for a
/// reason of another one beside it.
#[must_use]
pub fn taken(outcome: &TransactionOutcome, count: usize, me: &MemberId) -> Vec<TakenSlot> {
    let taken = |at: usize| match outcome.read.get(at) {
        _ if outcome.held => TakenSlot::Ours { token: outcome.revision },
        Some(Some(entry)) if entry.value == me.to_string().into_bytes() => TakenSlot::Ours { token: entry.written_at },
        _ => TakenSlot::Not,
    };
    (0..count).map(taken).collect()
}

/// Gives slots back with their tokens, where all of them are still ours.
#[must_use]
pub fn release(keys: &ClusterKeys, slots: &[(Slot, i64)]) -> Transaction {
    let mut transaction = Transaction::default();
    for (slot, token) in slots {
        let key = keys.slot(*slot);
        transaction.compare.push(Compare::WrittenAt { key: key.clone(), revision: *token });
        transaction.then.push(Operation::Delete { key });
    }
    transaction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::engine::EngineEntry;

    #[test]
    fn a_slot_is_taken_only_where_its_owner_is_gone_and_the_taker_lives() {
        let keys = ClusterKeys::of("default");
        let member = |name: &str| MemberId { member: name.to_owned(), incarnation: 1 };
        let (me, other) = (member("me"), member("other"));
        let seen = SeenSlot { slot: Slot::of("a"), written_at: 4, owner: Some(other.clone()) };
        let transaction = take(&keys, std::slice::from_ref(&seen), &me, 9);
        let slot = keys.slot(seen.slot);
        for needed in [
            Compare::WrittenAt { key: slot.clone(), revision: 4 },
            Compare::WrittenAt { key: keys.member(&other), revision: ABSENT },
            Compare::Leased { key: keys.member(&me), lease: 9 },
        ] {
            assert!(transaction.compare.contains(&needed), "{needed:?}");
        }
        let names = |name: &MemberId| {
            let entry =
                EngineEntry { key: slot.clone(), value: name.to_string().into_bytes(), written_at: 6, lease: None };
            TransactionOutcome { held: false, revision: 8, read: vec![Some(entry)] }
        };
        let held = TransactionOutcome { held: true, revision: 8, read: vec![] };
        assert_eq!(taken(&held, 1, &me), [TakenSlot::Ours { token: 8 }]);
        assert_eq!(taken(&names(&me), 1, &me), [TakenSlot::Ours { token: 6 }], "an earlier try");
        assert_eq!(taken(&names(&other), 2, &me), [TakenSlot::Not; 2]);
        assert_eq!(taken(&TransactionOutcome::default(), 1, &me), [TakenSlot::Not]);
    }
}
