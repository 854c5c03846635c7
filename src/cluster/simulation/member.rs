//! A member that is played: a process that owns slots, delivers batches and writes what it did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::engine::{PlayedEngine, number};
use super::{BATCHES, LANES};
use crate::cluster::claim::{self, SeenSlot, TakenSlot};
use crate::cluster::engine::{ABSENT, LeaseId, Transaction, TransactionOutcome};
use crate::cluster::fence::{Fence, LaneChange};
use crate::cluster::keys::ClusterKeys;
use crate::cluster::queue::{EndedWrite, WriteEnd, WriteQueue};
use crate::cluster::slot::{MemberId, Slot};

/// After so many batches the checkpoint moves.
const BATCHES_OF_AN_ITERATION: u64 = 3;
const LEDGER: u64 = 1;

/// What it knows of a lane that it owns.
#[derive(Default)]
struct PlayedLane {
    token: i64,
    checkpoint: u64,
    /// Batches beyond the checkpoint that are remembered, with the numbers of their chunks.
    remembered: BTreeMap<u64, u64>,
    /// The batch that was delivered, and isn't remembered yet.
    delivered: Option<u64>,
    /// Where the checkpoint is about to move.
    moving: Option<u64>,
}

/// What it asks the engine, one thing at a time beside its writes.
enum Question {
    Join(Transaction),
    Take(SeenSlot, Transaction),
    Release(Transaction),
}

impl Question {
    fn transaction(&self) -> &Transaction {
        match self {
            Self::Join(transaction) | Self::Take(_, transaction) | Self::Release(transaction) => transaction,
        }
    }
}

pub(super) struct PlayedMember {
    pub(super) me: MemberId,
    keys: ClusterKeys,
    lease: Option<LeaseId>,
    /// What it believes: who owns slots, since which revision, and who lives.
    owners: BTreeMap<Slot, (MemberId, i64)>,
    living: BTreeSet<MemberId>,
    queue: WriteQueue,
    lanes: BTreeMap<String, PlayedLane>,
    questions: VecDeque<Question>,
    /// Counts what it asked, so that an old answer isn't taken for a new one; writes and questions apart.
    asked: [u64; 2],
    is_next_a_write: bool,
}

impl PlayedMember {
    pub(super) fn new(me: MemberId, keys: ClusterKeys) -> Self {
        Self {
            me,
            keys,
            lease: None,
            owners: BTreeMap::new(),
            living: BTreeSet::new(),
            queue: WriteQueue::default(),
            lanes: BTreeMap::new(),
            questions: VecDeque::new(),
            asked: [0; 2],
            is_next_a_write: false,
        }
    }

    /// Looks at what the engine holds now.
    pub(super) fn sees(&mut self, engine: &PlayedEngine) {
        let owners = engine.owners(&self.keys).into_iter();
        let at = |slot: Slot| engine.get(&self.keys.slot(slot)).map_or(ABSENT, |entry| entry.written_at);
        self.owners = owners.map(|(slot, owner)| (slot, (owner, at(slot)))).collect();
        let members = self.keys.members();
        self.living = engine.range(&members).filter_map(|entry| self.keys.member_in(&entry.key)).collect();
        if self.lease.is_some_and(|lease| !engine.is_alive(lease)) {
            self.lease = None;
        }
    }

    /// Does one thing of its own.
    pub(super) fn act(
        &mut self,
        engine: &mut PlayedEngine,
        delivered: &mut BTreeMap<(String, u64), u64>,
        random: &mut fastrand::Rng,
    ) {
        let Some(lease) = self.lease else {
            let lease = engine.grant();
            self.lease = Some(lease);
            self.questions.push_back(Question::Join(claim::join(&self.keys, &self.me, lease, Vec::new())));
            return;
        };
        let name = LANES[random.usize(..LANES.len())];
        match self.lanes.get(name) {
            Some(lane) if lane.delivered.is_none() && lane.moving.is_none() && random.u8(..60) == 0 => self.leave(name),
            Some(_) => self.go_on(name, delivered),
            None => self.take(name, lease),
        }
    }

    /// Delivers the next batch of a lane, or moves its checkpoint, and asks to write so.
    fn go_on(&mut self, name: &str, delivered: &mut BTreeMap<(String, u64), u64>) {
        let Some(lane) = self.lanes.get_mut(name).filter(|lane| lane.delivered.is_none() && lane.moving.is_none())
        else {
            return;
        };
        let end = (lane.checkpoint + BATCHES_OF_AN_ITERATION).min(BATCHES);
        let change = match (lane.checkpoint..end).find(|batch| !lane.remembered.contains_key(batch)) {
            Some(batch) => {
                *delivered.entry((name.to_owned(), batch)).or_default() += 1;
                lane.delivered = Some(batch);
                LaneChange { chunk: Some(batch.to_string().into_bytes()), ..LaneChange::default() }
            }
            None if lane.checkpoint < end => {
                lane.moving = Some(end);
                let forgotten = lane.remembered.values().map(|seq| (*seq, *seq)).collect();
                LaneChange { account: Some(end.to_string().into_bytes()), forgotten, ..LaneChange::default() }
            }
            None => return,
        };
        assert!(self.queue.ask(name, LEDGER, change, 0), "a lane that is ours takes writes");
    }

    fn take(&mut self, name: &str, lease: LeaseId) {
        let slot = Slot::of(name);
        let is_asked = |question: &Question| matches!(question, Question::Take(seen, _) if seen.slot == slot);
        if self.questions.iter().any(is_asked) {
            return;
        }
        let seen = match self.owners.get(&slot) {
            None => SeenSlot { slot, written_at: ABSENT, owner: None },
            Some((owner, _)) if *owner != self.me && self.living.contains(owner) => return,
            Some((owner, written_at)) => {
                SeenSlot { slot, written_at: *written_at, owner: Some(owner.clone()).filter(|owner| *owner != self.me) }
            }
        };
        let transaction = claim::take(&self.keys, std::slice::from_ref(&seen), &self.me, lease);
        self.questions.push_back(Question::Take(seen, transaction));
    }

    /// Gives a slot back, at a border.
    fn leave(&mut self, name: &str) {
        let Some(lane) = self.lanes.remove(name) else { return };
        self.queue.close(name);
        let slot = Slot::of(name);
        self.owners.remove(&slot);
        self.questions.push_back(Question::Release(claim::release(&self.keys, &[(slot, lane.token)])));
    }

    /// What it has to ask, the same until it is answered: writes and all else by turns.
    pub(super) fn question(&mut self) -> Option<(u64, &Transaction)> {
        self.is_next_a_write = !self.is_next_a_write;
        let write = if self.is_next_a_write || self.questions.is_empty() { self.queue.transaction() } else { None };
        let [of_writes, of_questions] = self.asked;
        match write {
            Some(transaction) => Some((2 * of_writes, transaction)),
            None => Some((2 * of_questions + 1, self.questions.front()?.transaction())),
        }
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, question: u64, outcome: &TransactionOutcome, engine: &PlayedEngine) {
        let kind = usize::from(question % 2 == 1);
        if self.asked[kind] != question / 2 {
            return;
        }
        self.asked[kind] += 1;
        if kind == 0 {
            return self.written(outcome, engine);
        }
        match self.questions.pop_front() {
            Some(Question::Take(seen, _)) => self.taken(&seen, outcome, engine),
            Some(Question::Join(_)) | None => self.sees(engine),
            Some(Question::Release(_)) => {}
        }
    }

    fn taken(&mut self, seen: &SeenSlot, outcome: &TransactionOutcome, engine: &PlayedEngine) {
        let [TakenSlot::Ours { token }] = *claim::taken(outcome, 1, &self.me) else { return self.sees(engine) };
        for name in LANES.into_iter().filter(|name| Slot::of(name) == seen.slot) {
            self.load(name, token, engine);
        }
    }

    /// Reads a lane that is ours.
    fn load(&mut self, name: &str, token: i64, engine: &PlayedEngine) {
        let keys = self.keys.lane(Slot::of(name), name);
        let fence = Fence::new(keys.clone(), self.keys.slot(Slot::of(name)), token, engine.get(&keys.head()));
        if self.lanes.contains_key(name) || self.queue.open(name, fence).is_none() {
            return;
        }
        let chunk =
            |entry: &crate::cluster::engine::EngineEntry| Some((number(&entry.value), keys.chunk_in(&entry.key)?.1));
        let chunks = keys.chunks_of(LEDGER);
        let remembered = engine.range(&chunks).filter_map(chunk).collect();
        let checkpoint = engine.checkpoint(&keys);
        self.lanes.insert(name.to_owned(), PlayedLane { token, checkpoint, remembered, ..PlayedLane::default() });
    }

    fn written(&mut self, outcome: &TransactionOutcome, engine: &PlayedEngine) {
        for EndedWrite { lane: name, end, .. } in self.queue.answered(outcome) {
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            match end {
                WriteEnd::Done { seq } => {
                    if let Some(batch) = lane.delivered.take() {
                        lane.remembered.insert(batch, seq);
                    } else if let Some(end) = lane.moving.take() {
                        lane.checkpoint = end;
                        lane.remembered.clear();
                    }
                }
                WriteEnd::Lost => drop(self.lanes.remove(&name)),
                WriteEnd::Edited => {
                    let token = lane.token;
                    self.lanes.remove(&name);
                    self.load(&name, token, engine);
                }
            }
        }
    }
}
