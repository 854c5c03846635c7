//! Writes of an owner that get through only while it is one, and in its own order.
//!
//! Every write compares two revisions: that of the slot's owner (the *token*, which changes only when somebody takes the slot)
//! and that of the lane's *head*, which every write of the lane moves. The first keeps former owners out. The second keeps
//! the owner's own copies out: a write whose answer got lost is asked again elsewhere, and the first copy may be done
//! seconds later, when the lane has moved on. Where a comparison fails, the head tells whether it was this very write
//! that moved it. Pure.

use std::fmt;
use std::str::FromStr;

use super::engine::{ABSENT, Compare, EngineEntry, KeyRange, Operation, Transaction, TransactionOutcome};
use super::keys::LaneKeys;

/// What the head of a lane says: which write was the last. No two writes say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneHead {
    /// The ledger that the lane has.
    pub ledger: u64,
    /// Counts the writes of the lane, whoever makes them.
    pub seq: u64,
    /// The token of the owner that wrote; [`LaneHead::OF_AN_EDIT`] where it was nobody's.
    pub token: i64,
}

impl LaneHead {
    /// The token of whoever changes a lane without owning it.
    pub const OF_AN_EDIT: i64 = 0;

    /// Read from the engine; nothing where it makes no sense.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

impl fmt::Display for LaneHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {} {}", self.ledger, self.seq, self.token)
    }
}

impl FromStr for LaneHead {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ' ');
        let mut next = || parts.next().ok_or(());
        let ledger = u64::from_str_radix(next()?, 16).map_err(drop)?;
        let seq = next()?.parse().map_err(drop)?;
        Ok(Self { ledger, seq, token: next()?.parse().map_err(drop)? })
    }
}

/// What an owner knows of a lane's place in the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    keys: LaneKeys,
    slot_key: String,
    token: i64,
    /// The revision of the head, [`ABSENT`] where the lane has none yet.
    head_at: i64,
    /// The number of the last write.
    seq: u64,
}

/// A write that isn't known to be done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FencedWrite {
    compare: Vec<Compare>,
    then: Vec<Operation>,
    slot_key: String,
    token: i64,
    head_key: String,
    head: LaneHead,
}

/// What a lane writes, beside its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneChange {
    /// The account as it is now.
    pub account: Option<Vec<u8>>,
    /// What was delivered in one batch: the number of the write is its name.
    pub chunk: Option<Vec<u8>>,
    /// Chunks that are forgotten, by their numbers, from the first to the last.
    pub forgotten: Vec<(u64, u64)>,
    /// Chunks that become one.
    pub folded: Option<FoldedChunks>,
}

/// Chunks that become one, in the place of the last: so the order of all of them stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedChunks {
    /// The number of the first.
    pub first: u64,
    /// That of the last.
    pub last: u64,
    /// What they hold together.
    pub bytes: Vec<u8>,
}

impl LaneChange {
    /// How many bytes its values have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let folded = self.folded.as_ref().map_or(0, |folded| folded.bytes.len());
        self.account.as_ref().map_or(0, Vec::len) + self.chunk.as_ref().map_or(0, Vec::len) + folded
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteVerdict {
    /// It is done, and the head has this revision.
    Done {
        /// The head's revision.
        head_at: i64,
    },
    /// It wasn't done and never will be: somebody else owns the lane.
    Lost,
    /// It wasn't done and never will be: somebody has edited the lane's state.
    Edited,
    /// It wasn't done, for a reason of a write beside it: it is asked alone.
    Again,
}

impl Fence {
    /// Of a lane whose slot was taken with a token, and whose head was read after that.
    #[must_use]
    pub fn new(keys: LaneKeys, slot_key: String, token: i64, head: Option<&EngineEntry>) -> Self {
        let said = head.and_then(|entry| LaneHead::read(&entry.value));
        let head_at = head.map_or(ABSENT, |entry| entry.written_at);
        Self { keys, slot_key, token, head_at, seq: said.map_or(0, |head| head.seq) }
    }

    /// The lane's keys.
    #[must_use]
    pub fn keys(&self) -> &LaneKeys {
        &self.keys
    }

    /// The number that the next write has.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.seq + 1
    }

    /// The next write. There is one at a time: whoever asks for another one has told [`Fence::moved`] of this one.
    #[must_use]
    pub fn write(&self, ledger: u64, change: LaneChange) -> FencedWrite {
        let head = LaneHead { ledger, seq: self.next_seq(), token: self.token };
        let put = |key, value| Operation::Put { key, value, lease: None };
        let mut then = vec![put(self.keys.head(), head.to_string().into_bytes())];
        then.extend(change.account.map(|account| put(self.keys.account(), account)));
        then.extend(change.chunk.map(|chunk| put(self.keys.chunk(ledger, head.seq), chunk)));
        then.extend(change.forgotten.into_iter().map(|(first, last)| {
            let to = format!("{}0", self.keys.chunk(ledger, last));
            Operation::DeleteRange(KeyRange { from: self.keys.chunk(ledger, first), to })
        }));
        if let Some(FoldedChunks { first, last, bytes }) = change.folded {
            // The engine takes no key that is put inside of a range that is deleted: it ends before this one.
            let (from, to) = (self.keys.chunk(ledger, first), self.keys.chunk(ledger, last));
            then.push(Operation::DeleteRange(KeyRange { from, to: to.clone() }));
            then.push(put(to, bytes));
        }
        let written_at = |key, revision| Compare::WrittenAt { key, revision };
        FencedWrite {
            compare: vec![written_at(self.slot_key.clone(), self.token), written_at(self.keys.head(), self.head_at)],
            then,
            slot_key: self.slot_key.clone(),
            token: self.token,
            head_key: self.keys.head(),
            head,
        }
    }

    /// Whether a write is the one that comes next.
    #[must_use]
    pub fn is_next(&self, write: &FencedWrite) -> bool {
        self.token == write.token && self.next_seq() == write.head.seq
    }

    /// Whether a write is of the same owner.
    #[must_use]
    pub fn has_token_of(&self, write: &FencedWrite) -> bool {
        self.token == write.token
    }

    /// Whether it knows of a later write of the same owner than another one of the same lane.
    #[must_use]
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        self.token == other.token && self.seq > other.seq
    }

    /// Takes over that a write is done.
    pub fn moved(&mut self, write: &FencedWrite, head_at: i64) {
        self.head_at = head_at;
        self.seq = write.head.seq;
    }
}

impl FencedWrite {
    /// Its number among the writes of its lane.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.head.seq
    }

    /// How many operations it adds to a transaction, at most: the engine bounds them.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.then.len().max(2)
    }

    /// How many bytes its values have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sizes = self.then.iter().map(|operation| match operation {
            Operation::Put { key, value, .. } => key.len() + value.len(),
            Operation::Delete { key } | Operation::Get { key } => key.len(),
            Operation::DeleteRange(range) => range.from.len() + range.to.len(),
        });
        sizes.sum()
    }
}

/// One transaction of the writes of several lanes: all are done, or none.
#[must_use]
pub fn together(writes: &[FencedWrite]) -> Transaction {
    let mut transaction = Transaction::default();
    for write in writes {
        let unknown = write.compare.iter().filter(|compare| !transaction.compare.contains(compare));
        let unknown: Vec<Compare> = unknown.cloned().collect();
        transaction.compare.extend(unknown);
        transaction.then.extend(write.then.iter().cloned());
        transaction.otherwise.push(Operation::Get { key: write.slot_key.clone() });
        transaction.otherwise.push(Operation::Get { key: write.head_key.clone() });
    }
    transaction
}

/// What became of each of these writes, by the answer to their transaction.
#[must_use]
pub fn verdicts(writes: &[FencedWrite], outcome: &TransactionOutcome) -> Vec<WriteVerdict> {
    let is_alone = writes.len() == 1;
    let verdict = |(at, write): (usize, &FencedWrite)| {
        if outcome.held {
            return WriteVerdict::Done { head_at: outcome.revision };
        }
        let read = |at: usize| outcome.read.get(at).and_then(Option::as_ref);
        let (slot, head) = (read(2 * at), read(2 * at + 1));
        match head {
            // An earlier try of the same bytes got through.
            Some(entry) if LaneHead::read(&entry.value) == Some(write.head) => {
                WriteVerdict::Done { head_at: entry.written_at }
            }
            _ if slot.map_or(ABSENT, |entry| entry.written_at) != write.token => WriteVerdict::Lost,
            _ if is_alone => WriteVerdict::Edited,
            _ => WriteVerdict::Again,
        }
    };
    writes.iter().enumerate().map(|(at, write)| verdict((at, write))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::keys::ClusterKeys;
    use crate::cluster::slot::Slot;

    fn fence(api: &str, head_at: i64) -> Fence {
        let keys = ClusterKeys::of("default");
        let slot_key = keys.slot(Slot::of(api));
        Fence { keys: keys.lane(Slot::of(api), api), slot_key, token: 7, head_at, seq: 3 }
    }

    fn entry(key: String, value: &str, written_at: i64) -> Option<EngineEntry> {
        Some(EngineEntry { key, value: value.as_bytes().to_vec(), written_at, lease: None })
    }

    fn failed(read: Vec<Option<EngineEntry>>) -> TransactionOutcome {
        TransactionOutcome { held: false, revision: 99, read }
    }

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let head = LaneHead { ledger: u64::MAX, seq: 12, token: 345 };
        assert_eq!(LaneHead::read(head.to_string().as_bytes()), Some(head));
        for wrong in ["", "1", "1 2", "x 1 2", "1 -1 2", "1 1 2 3"] {
            assert_eq!(LaneHead::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_write_compares_token_and_head_and_names_its_chunk_by_its_number() {
        let of = fence("a", 5);
        let change = LaneChange { account: Some(vec![1]), chunk: Some(vec![2]), forgotten: vec![(1, 2)], folded: None };
        let transaction = together(&[of.write(9, change)]);
        let expected = [
            Compare::WrittenAt { key: of.slot_key.clone(), revision: 7 },
            Compare::WrittenAt { key: of.keys.head(), revision: 5 },
        ];
        assert_eq!(transaction.compare, expected);
        let Some(Operation::DeleteRange(range)) = transaction.then.last() else { panic!("{transaction:?}") };
        for (seq, is_forgotten) in [(0, false), (1, true), (2, true), (3, false)] {
            let key = of.keys.chunk(9, seq);
            assert_eq!(range.from <= key && key < range.to, is_forgotten, "{seq}");
        }
        let chunk = Operation::Put { key: of.keys.chunk(9, 4), value: vec![2], lease: None };
        assert!(transaction.then.contains(&chunk), "{transaction:?}");
    }

    #[test]
    fn chunks_that_become_one_go_in_the_place_of_the_last() {
        let of = fence("a", 5);
        let folded = Some(FoldedChunks { first: 2, last: 3, bytes: vec![9] });
        let transaction = together(&[of.write(9, LaneChange { folded, ..LaneChange::default() })]);
        let last = of.keys.chunk(9, 3);
        let range = KeyRange { from: of.keys.chunk(9, 2), to: last.clone() };
        let expected = [Operation::DeleteRange(range), Operation::Put { key: last, value: vec![9], lease: None }];
        assert_eq!(transaction.then.get(1..), Some(&expected[..]));
    }

    #[test]
    fn what_became_of_a_write_is_told_by_owner_and_head() {
        let of = fence("a", 5);
        let write = of.write(9, LaneChange::default());
        let (slot, head) = (of.slot_key.clone(), of.keys.head());
        let done = TransactionOutcome { held: true, revision: 8, read: vec![] };
        let mine = |at| entry(head.clone(), "0000000000000009 4 7", at);
        let edited = entry(head.clone(), "0000000000000009 4 0", 6);
        let cases = [
            (done, WriteVerdict::Done { head_at: 8 }),
            (failed(vec![entry(slot.clone(), "me", 7), mine(6)]), WriteVerdict::Done { head_at: 6 }),
            // The owner was there when it was done.
            (failed(vec![entry(slot.clone(), "other", 20), mine(6)]), WriteVerdict::Done { head_at: 6 }),
            (failed(vec![entry(slot.clone(), "other", 20), edited.clone()]), WriteVerdict::Lost),
            (failed(vec![None, edited.clone()]), WriteVerdict::Lost),
            (failed(vec![entry(slot, "me", 7), edited]), WriteVerdict::Edited),
            (failed(vec![]), WriteVerdict::Lost),
        ];
        for (outcome, expected) in cases {
            assert_eq!(verdicts(std::slice::from_ref(&write), &outcome), [expected], "{outcome:?}");
        }
    }

    #[test]
    fn one_lost_lane_has_the_others_of_a_transaction_asked_again() {
        let (first, second) = (fence("a", 5), fence("b", 6));
        let writes = [first.write(1, LaneChange::default()), second.write(2, LaneChange::default())];
        assert_eq!(together(&writes).compare.len(), 4);
        let read = vec![
            entry(first.slot_key.clone(), "other", 20),
            entry(first.keys.head(), "0000000000000001 3 7", 5),
            entry(second.slot_key.clone(), "me", 7),
            entry(second.keys.head(), "0000000000000002 3 7", 6),
        ];
        assert_eq!(verdicts(&writes, &failed(read)), [WriteVerdict::Lost, WriteVerdict::Again]);
    }
}
