//! How a member joins, and how slots change hands.
//!
//! Only the key of a member hangs on its lease. The claim of a slot hangs on nothing, and is taken over in a transaction that
//! finds the key of its owner gone: leases that an engine drops by mistake cost nobody a slot, as their members put
//! their keys again. Pure.

use super::engine::{ABSENT, Compare, LeaseId, Operation, Transaction, TransactionOutcome};
use super::keys::Keys;
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
pub fn join(keys: &Keys, me: &MemberId, lease: LeaseId, about: Vec<u8>) -> Transaction {
    let put = Operation::Put { key: keys.member(me), value: about, lease: Some(lease) };
    Transaction { then: vec![put], ..Transaction::default() }
}

/// Takes a slot that nobody has, or whose owner's key is gone.
#[must_use]
pub fn take(keys: &Keys, seen: &SeenSlot, me: &MemberId, lease: LeaseId) -> Transaction {
    let slot = keys.slot(seen.slot);
    let gone = seen.owner.iter().map(|owner| Compare::WrittenAt { key: keys.member(owner), revision: ABSENT });
    let mut compare = vec![
        Compare::WrittenAt { key: slot.clone(), revision: seen.written_at },
        Compare::Leased { key: keys.member(me), lease },
    ];
    compare.extend(gone);
    let put = Operation::Put { key: slot.clone(), value: me.to_string().into_bytes(), lease: None };
    Transaction { compare, then: vec![put], otherwise: vec![Operation::Get { key: slot }] }
}

/// What became of it. A slot that names this incarnation was taken by an earlier try.
#[must_use]
pub fn taken(outcome: &TransactionOutcome, me: &MemberId) -> TakenSlot {
    if outcome.held {
        return TakenSlot::Ours { token: outcome.revision };
    }
    match outcome.read.first() {
        Some(Some(entry)) if entry.value == me.to_string().into_bytes() => TakenSlot::Ours { token: entry.written_at },
        _ => TakenSlot::Not,
    }
}

/// Gives a slot back, where it is still ours. Whether it was doesn't matter.
#[must_use]
pub fn release(keys: &Keys, slot: Slot, token: i64) -> Transaction {
    let key = keys.slot(slot);
    let compare = vec![Compare::WrittenAt { key: key.clone(), revision: token }];
    Transaction { compare, then: vec![Operation::Delete { key }], otherwise: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::engine::EngineEntry;

    #[test]
    fn a_slot_is_taken_only_where_its_owner_is_gone_and_the_taker_lives() {
        let keys = Keys::of("default");
        let member = |name: &str| MemberId { member: name.to_owned(), incarnation: 1 };
        let (me, other) = (member("me"), member("other"));
        let seen = SeenSlot { slot: Slot::of("a"), written_at: 4, owner: Some(other.clone()) };
        let transaction = take(&keys, &seen, &me, 9);
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
        assert_eq!(taken(&held, &me), TakenSlot::Ours { token: 8 });
        assert_eq!(taken(&names(&me), &me), TakenSlot::Ours { token: 6 }, "an earlier try");
        assert_eq!(taken(&names(&other), &me), TakenSlot::Not);
        assert_eq!(taken(&TransactionOutcome::default(), &me), TakenSlot::Not);
    }
}
