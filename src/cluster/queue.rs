//! The writes of all lanes that a member owns, a transaction at a time.
//!
//! Enters: what lanes want written, in the order of each. Leaves: one transaction after the other. What waits while one is
//! under way goes into the next, so that ten thousand lanes cost a few transactions a second. Whoever runs it asks the same
//! transaction until it is known what became of it; meanwhile nothing else of its lanes goes. Pure.

use std::collections::{BTreeMap, VecDeque};

use super::engine::{Transaction, TransactionOutcome};
use super::fence::{Fence, FencedWrite, LaneChange, WriteVerdict, together, verdicts};

/// How many operations a transaction has at most: etcd's own bound is 128 (`--max-txn-ops`).
pub const OPERATIONS_MAX: usize = 100;
/// How many bytes its values have at most, but for a single write that has more by itself: etcd's own bound is 1.5 MiB
/// (`--max-request-bytes`).
pub const BYTES_MAX: usize = 1024 * 1024;

/// Whose answer it is. Whoever asks chooses it.
pub type Ticket = u64;

/// Something that a lane wants written.
#[derive(Clone, Debug)]
struct WantedWrite {
    ledger: u64,
    change: LaneChange,
    ticket: Ticket,
}

/// A lane that this member owns.
#[derive(Debug)]
struct LaneWrites {
    fence: Fence,
    waiting: VecDeque<WantedWrite>,
    /// Whether its next write goes without others beside it.
    is_alone: bool,
}

/// What is under way.
#[derive(Debug)]
struct WriteGroup {
    transaction: Transaction,
    lanes: Vec<String>,
    writes: Vec<FencedWrite>,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedWrite {
    /// Which lane.
    pub lane: String,
    /// Whose it was.
    pub ticket: Ticket,
    /// How.
    pub end: WriteEnd,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteEnd {
    /// It is there.
    Done {
        /// Its number, by which its chunk is found.
        seq: u64,
    },
    /// Somebody else owns the lane. Nothing of it is written by us any more.
    Lost,
    /// Somebody has edited the lane's state, so it has to be read again before anything of it is written.
    Edited,
}

/// All lanes of a member.
#[derive(Debug, Default)]
pub struct WriteQueue {
    lanes: BTreeMap<String, LaneWrites>,
    under_way: Option<WriteGroup>,
    /// Where the next transaction begins to look for writes, so that every lane gets its turn.
    next: String,
}

impl WriteQueue {
    /// Begins with a lane that was read after its slot was taken, and gives whose writes of the time before never go;
    /// nothing where a write of the same owner is under way, or was done since it was read: it has to be read again, as two
    /// writes of one number could not be told apart.
    #[must_use]
    pub fn open(&mut self, lane: &str, fence: Fence) -> Option<Vec<Ticket>> {
        let mut under_way = self.under_way.iter().flat_map(|group| group.lanes.iter().zip(&group.writes));
        if under_way.any(|(name, write)| name == lane && fence.has_token_of(write)) {
            return None;
        }
        if self.lanes.get(lane).is_some_and(|known| known.fence.is_ahead_of(&fence)) {
            return None;
        }
        let never = self.close(lane);
        let writes = LaneWrites { fence, waiting: VecDeque::new(), is_alone: false };
        self.lanes.insert(lane.to_owned(), writes);
        Some(never)
    }

    /// Ends with a lane. Gives whose writes never go. What is under way may still be done.
    pub fn close(&mut self, lane: &str) -> Vec<Ticket> {
        let waiting = self.lanes.remove(lane).map(|lane| lane.waiting).unwrap_or_default();
        waiting.into_iter().map(|wanted| wanted.ticket).collect()
    }

    /// Whether a write of a lane is on its way.
    #[must_use]
    pub fn is_under_way(&self, lane: &str) -> bool {
        self.under_way.iter().flat_map(|group| &group.lanes).any(|name| name == lane)
    }

    /// Whether a lane was begun with.
    #[must_use]
    pub fn has(&self, lane: &str) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Takes a write up; false where the lane isn't ours.
    #[must_use]
    pub fn ask(&mut self, lane: &str, ledger: u64, change: LaneChange, ticket: Ticket) -> bool {
        let Some(lane) = self.lanes.get_mut(lane) else { return false };
        lane.waiting.push_back(WantedWrite { ledger, change, ticket });
        true
    }

    /// The transaction that is to be asked now, the same one until [`WriteQueue::answered`]; nothing where nothing waits.
    pub fn transaction(&mut self) -> Option<&Transaction> {
        if self.under_way.is_none() {
            self.under_way = self.group();
        }
        self.under_way.as_ref().map(|group| &group.transaction)
    }

    /// Takes over what became of the transaction. Gives how its writes ended.
    pub fn answered(&mut self, outcome: &TransactionOutcome) -> Vec<EndedWrite> {
        let Some(group) = self.under_way.take() else { return Vec::new() };
        let mut ended = Vec::new();
        let verdicts = verdicts(&group.writes, outcome);
        for ((name, write), verdict) in group.lanes.into_iter().zip(&group.writes).zip(verdicts) {
            self.take_over(&name, write, verdict, &mut ended);
        }
        ended
    }

    /// The engine takes the transaction not as it is, and never will. Its writes are asked one by one, in the same words, so that
    /// one that is too much for it holds up no others; that one is asked again when all others have had their turn. Gives
    /// whose write it is, where it was asked alone.
    pub fn refused(&mut self) -> Option<Ticket> {
        let group = self.under_way.take()?;
        for name in &group.lanes {
            if let Some(lane) = self.lanes.get_mut(name) {
                lane.is_alone = true;
            }
        }
        if let [only] = &group.lanes[..] {
            self.next = behind(only);
            return self.lanes.get(only)?.waiting.front().map(|wanted| wanted.ticket);
        }
        None
    }

    /// What became of one write. A lane that was closed, or opened anew, in the meantime knows nothing of it.
    fn take_over(&mut self, name: &str, write: &FencedWrite, verdict: WriteVerdict, ended: &mut Vec<EndedWrite>) {
        let Some(lane) = self.lanes.get_mut(name).filter(|lane| lane.fence.is_next(write)) else { return };
        let end = match verdict {
            WriteVerdict::Again => {
                lane.is_alone = true;
                return;
            }
            WriteVerdict::Done { head_at } => {
                lane.fence.moved(write, head_at);
                lane.is_alone = false;
                let done = lane.waiting.pop_front();
                let end = WriteEnd::Done { seq: write.seq() };
                ended.extend(done.map(|wanted| EndedWrite { lane: name.to_owned(), ticket: wanted.ticket, end }));
                return;
            }
            WriteVerdict::Lost => WriteEnd::Lost,
            WriteVerdict::Edited => WriteEnd::Edited,
        };
        let never = self.close(name);
        ended.extend(never.into_iter().map(|ticket| EndedWrite { lane: name.to_owned(), ticket, end }));
    }

    /// The first write of as many lanes as a transaction holds.
    fn group(&mut self) -> Option<WriteGroup> {
        let mut group = WriteGroup { transaction: Transaction::default(), lanes: Vec::new(), writes: Vec::new() };
        let (mut operations, mut bytes) = (0, 0);
        let from = std::mem::take(&mut self.next);
        let (before, after): (Vec<_>, Vec<_>) = self.lanes.iter().partition(|(name, _)| **name < from);
        for (name, lane) in after.into_iter().chain(before) {
            let Some(wanted) = lane.waiting.front() else { continue };
            if lane.is_alone && !group.writes.is_empty() {
                // The next transaction is its own, or it might never have one while others write.
                if self.next.is_empty() {
                    self.next.clone_from(name);
                }
                continue;
            }
            let write = lane.fence.write(wanted.ledger, wanted.change.clone());
            operations += write.operations();
            bytes += write.bytes();
            if !group.writes.is_empty() && (operations > OPERATIONS_MAX || bytes > BYTES_MAX) {
                if self.next.is_empty() {
                    self.next.clone_from(name);
                }
                break;
            }
            group.lanes.push(name.clone());
            group.writes.push(write);
            if lane.is_alone {
                self.next = behind(name);
                break;
            }
        }
        if group.writes.is_empty() {
            return None;
        }
        group.transaction = together(&group.writes);
        Some(group)
    }
}

/// The first name behind another one.
fn behind(name: &str) -> String {
    format!("{name}\0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::engine::EngineEntry;
    use crate::cluster::keys::ClusterKeys;
    use crate::cluster::slot::Slot;

    fn queue(lanes: &[&str]) -> WriteQueue {
        let (keys, mut queue) = (ClusterKeys::of("default"), WriteQueue::default());
        for lane in lanes {
            let fence = Fence::new(keys.lane(Slot::of(lane), lane), keys.slot(Slot::of(lane)), 7, None);
            assert_eq!(queue.open(lane, fence), Some(Vec::new()));
        }
        queue
    }

    fn account(size: usize) -> LaneChange {
        LaneChange { account: Some(vec![0; size]), ..LaneChange::default() }
    }

    fn held(revision: i64) -> TransactionOutcome {
        TransactionOutcome { held: true, revision, read: Vec::new() }
    }

    #[test]
    fn what_waits_goes_at_once_and_a_lane_has_one_write_under_way() {
        let mut queue = queue(&["a", "b"]);
        for (lane, ticket) in [("a", 1), ("a", 2), ("b", 3)] {
            assert!(queue.ask(lane, 1, account(1), ticket));
        }
        assert!(!queue.ask("c", 1, account(1), 4), "it isn't ours");
        let first = queue.transaction().cloned();
        assert_eq!(queue.transaction().cloned(), first, "the same until it is answered");
        let done = |lane: &str, ticket, seq| EndedWrite { lane: lane.to_owned(), ticket, end: WriteEnd::Done { seq } };
        assert_eq!(queue.answered(&held(8)), [done("a", 1, 1), done("b", 3, 1)]);
        assert!(queue.transaction().is_some());
        assert_eq!(queue.answered(&held(9)), [done("a", 2, 2)]);
        assert_eq!(queue.transaction(), None);
    }

    #[test]
    fn a_transaction_is_bounded_and_every_lane_gets_its_turn() {
        let names: Vec<String> = (0..80).map(|at| format!("api {at:02}")).collect();
        let mut queue = queue(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (ticket, name) in (0..).zip(&names) {
            assert!(queue.ask(name, 1, account(30_000), ticket));
        }
        let mut answered = 0;
        for revision in 1..10 {
            let Some(transaction) = queue.transaction() else { break };
            assert!(transaction.then.len() <= OPERATIONS_MAX && transaction.otherwise.len() <= OPERATIONS_MAX);
            answered += queue.answered(&held(revision)).len();
        }
        assert_eq!(answered, names.len());
        assert!(queue.ask("api 00", 1, account(2 * BYTES_MAX), 99));
        assert!(queue.transaction().is_some(), "a write that is too large by itself goes, and is refused");
    }

    #[test]
    fn what_the_engine_refuses_holds_up_no_others() {
        let mut queue = queue(&["a", "b", "c"]);
        for (lane, ticket) in [("a", 1), ("b", 2), ("c", 3)] {
            assert!(queue.ask(lane, 1, account(1), ticket));
        }
        let together = queue.transaction().cloned().expect("a transaction");
        assert_eq!(queue.refused(), None, "nobody knows whose it is");
        let mut seen = Vec::new();
        for revision in 8..14 {
            let Some(transaction) = queue.transaction() else { break };
            assert_eq!(transaction.otherwise.len(), 2, "one alone");
            assert!(transaction.then.iter().all(|part| together.then.contains(part)), "the same words");
            if queue.under_way.as_ref().is_some_and(|group| group.lanes == ["b"]) {
                assert_eq!(queue.refused(), Some(2));
                seen.push(0);
            } else {
                seen.extend(queue.answered(&held(revision)).iter().map(|ended| ended.ticket));
            }
        }
        assert_eq!(seen, [1, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn a_lane_that_is_asked_alone_gets_its_turn_while_all_others_write() {
        let names: Vec<String> = (0..80).map(|at| format!("api {at:02}")).collect();
        let mut queue = queue(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut ticket = 0;
        let mut ask = |queue: &mut WriteQueue, name: &str| {
            ticket += 1;
            assert!(queue.ask(name, 1, account(30_000), ticket));
        };
        names.iter().for_each(|name| ask(&mut queue, name));
        assert!(queue.transaction().is_some());
        assert_eq!(queue.refused(), None, "now each of its lanes is asked alone");
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        for revision in 8..208 {
            assert!(queue.transaction().is_some());
            for ended in queue.answered(&held(revision)) {
                ask(&mut queue, &ended.lane);
                *done.entry(ended.lane).or_default() += 1;
            }
        }
        let starved: Vec<&String> = names.iter().filter(|name| !done.contains_key(*name)).collect();
        assert!(starved.is_empty(), "{starved:?} of {done:?}");
    }

    #[test]
    fn a_lane_that_is_lost_holds_nobody_else_up() {
        let mut queue = queue(&["a", "b"]);
        for (lane, ticket) in [("a", 1), ("a", 2), ("b", 3)] {
            assert!(queue.ask(lane, 1, account(1), ticket));
        }
        assert!(queue.transaction().is_some());
        let (keys, me) = (ClusterKeys::of("default"), Some(7));
        let slot = |lane: &str, written_at: Option<i64>| {
            let key = keys.slot(Slot::of(lane));
            written_at.map(|written_at| EngineEntry { key, value: Vec::new(), written_at, lease: None })
        };
        let read = vec![slot("a", Some(20)), None, slot("b", me), None];
        let lost = |ticket| EndedWrite { lane: "a".to_owned(), ticket, end: WriteEnd::Lost };
        assert_eq!(queue.answered(&TransactionOutcome { held: false, revision: 21, read }), [lost(1), lost(2)]);
        assert!(!queue.ask("a", 1, account(1), 4));
        let alone = queue.transaction().map(|transaction| transaction.otherwise.len());
        assert_eq!(alone, Some(2), "the other one goes again, alone");
        let read = vec![slot("b", me), None];
        let ended = queue.answered(&TransactionOutcome { held: false, revision: 22, read });
        assert_eq!(ended, [EndedWrite { lane: "b".to_owned(), ticket: 3, end: WriteEnd::Edited }]);
    }

    #[test]
    fn a_lane_is_read_again_where_something_was_written_since_it_was_read() {
        let mut queue = queue(&["a"]);
        let (keys, read) = (ClusterKeys::of("default"), |seq: u64| {
            let value = format!("0000000000000001 {seq} 7").into_bytes();
            EngineEntry { key: "head".to_owned(), value, written_at: 8, lease: None }
        });
        let fence = |token, head: Option<&EngineEntry>| {
            Fence::new(keys.lane(Slot::of("a"), "a"), keys.slot(Slot::of("a")), token, head)
        };
        assert!(queue.ask("a", 1, account(1), 1));
        assert!(queue.transaction().is_some());
        assert_eq!(queue.answered(&held(8)).len(), 1);
        assert_eq!(queue.open("a", fence(7, None)), None, "what was read lacks the write");
        assert!(queue.open("a", fence(7, Some(&read(1)))).is_some());
        assert!(queue.open("a", fence(9, None)).is_some(), "the slot was taken anew");
    }

    #[test]
    fn what_was_under_way_of_a_lane_that_was_opened_anew_is_not_its_own() {
        let mut queue = queue(&["a"]);
        assert!(queue.ask("a", 1, account(1), 1));
        assert!(queue.transaction().is_some());
        assert_eq!(queue.close("a"), [1]);
        let fence = |token| {
            let keys = ClusterKeys::of("default");
            Fence::new(keys.lane(Slot::of("a"), "a"), keys.slot(Slot::of("a")), token, None)
        };
        assert_eq!(queue.open("a", fence(7)), None, "a write of that owner is under way");
        assert!(queue.open("a", fence(30)).is_some());
        assert!(queue.ask("a", 1, account(1), 2));
        assert_eq!(queue.answered(&held(8)), []);
        assert!(queue.transaction().is_some());
        let ended = queue.answered(&held(31));
        assert_eq!(ended, [EndedWrite { lane: "a".to_owned(), ticket: 2, end: WriteEnd::Done { seq: 1 } }]);
    }
}
