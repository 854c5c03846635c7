//! The protocol, played against an engine that loses answers, delays requests for any time and does them in any order.
//!
//! Members are processes that crash, lose their leases, and act on a view of the past. What they decide with is the real code:
//! claims, fences, the queue of writes. Only the engine, the APIs and the listener are played. No clock is: whatever
//! members do before they notice that they were replaced, the fences alone must hold.
//!
//! Three mutations take a comparison out of the transactions; each must be found.

mod engine;
mod member;

use std::collections::BTreeMap;

use super::claim;
use super::engine::{Compare, Transaction, TransactionOutcome};
use super::keys::ClusterKeys;
use super::slot::{MemberId, Slot};
use engine::PlayedEngine;
use member::PlayedMember;

/// How many batches each API has.
const BATCHES: u64 = 25;
/// How many schedules are played where all must be well.
const SCHEDULES: u64 = 150;
/// In so many schedules a mutation is found.
const SCHEDULES_OF_A_MUTATION: u64 = 3_000;
/// The steps of the part of a schedule in which everything may go wrong.
const STEPS: usize = 1_200;
/// The steps after that, within which all has to be done.
const CALM_STEPS: usize = 60_000;
/// What was delivered twice stays so, so not every step is looked at.
const STEPS_BETWEEN_LOOKS: usize = 16;
const LANES: [&str; 3] = ["first", "second", "third"];
const MEMBERS: u64 = 3;

const NOT_DONE: &str = "it isn't done in the end";

/// What takes something out of a transaction.
type Mutation = fn(&mut Transaction);

/// A copy of a request under way. It may be done at any time, or never.
struct Sent {
    transaction: Transaction,
    /// Who waits for the answer, and which of his questions it was.
    from: (MemberId, u64),
}

/// What the records' listener and the observer of it all know.
#[derive(Default)]
struct ObservedDeliveries {
    /// How often each batch was delivered, by lane.
    delivered: BTreeMap<(String, u64), u64>,
    /// How often each slot changed hands.
    taken: BTreeMap<Slot, u64>,
}

struct World {
    random: fastrand::Rng,
    keys: ClusterKeys,
    engine: PlayedEngine,
    members: Vec<PlayedMember>,
    under_way: Vec<Sent>,
    observed: ObservedDeliveries,
    mutation: Mutation,
    processes: u64,
}

impl World {
    fn new(seed: u64, mutation: Mutation) -> Self {
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            keys: ClusterKeys::of("default"),
            engine: PlayedEngine::default(),
            members: Vec::new(),
            under_way: Vec::new(),
            observed: ObservedDeliveries::default(),
            mutation,
            processes: 0,
        };
        world.members = (0..MEMBERS).map(|name| world.process(name)).collect();
        world
    }

    fn process(&mut self, name: u64) -> PlayedMember {
        self.processes += 1;
        PlayedMember::new(MemberId { member: name.to_string(), incarnation: self.processes }, self.keys.clone())
    }

    /// One thing happens. `is_calm`: nothing breaks any more.
    fn step(&mut self, is_calm: bool) -> Result<(), String> {
        let at = self.random.usize(..self.members.len());
        match self.random.u8(..if is_calm { 200 } else { 212 }) {
            0..80 => self.act(at),
            80..100 => self.send(at),
            100..200 => return self.arrive(is_calm),
            200..204 => self.engine.end_lease_of(&self.keys.member(&self.members[at].me)),
            204..207 => self.members[at].sees(&self.engine),
            207..210 => self.under_way.truncate(self.random.usize(..=self.under_way.len())),
            _ => {
                let name = self.members[at].me.member.parse().unwrap_or_default();
                self.members[at] = self.process(name);
            }
        }
        self.end_leases_of_the_dead();
        Ok(())
    }

    /// The lease of a process that is gone ends at some time.
    fn end_leases_of_the_dead(&mut self) {
        if self.random.u8(..40) > 0 {
            return;
        }
        let members = self.keys.members();
        let lives = |key: &str| self.members.iter().any(|member| self.keys.member(&member.me) == key);
        let dead = self.engine.range(&members).map(|entry| entry.key.clone()).find(|key| !lives(key));
        if let Some(dead) = dead {
            self.engine.end_lease_of(&dead);
        }
    }

    /// A member goes on. In calm it sees what is.
    fn act(&mut self, at: usize) {
        let member = &mut self.members[at];
        if self.random.u8(..8) == 0 {
            member.sees(&self.engine);
        }
        member.act(&mut self.engine, &mut self.observed.delivered, &mut self.random);
    }

    /// A member asks what it has to ask, once more or for the first time.
    fn send(&mut self, at: usize) {
        let member = &mut self.members[at];
        let Some((question, transaction)) = member.question() else { return };
        let mut transaction = transaction.clone();
        (self.mutation)(&mut transaction);
        self.under_way.push(Sent { transaction, from: (member.me.clone(), question) });
    }

    /// A request gets to the engine, and perhaps its answer to who asked.
    fn arrive(&mut self, is_calm: bool) -> Result<(), String> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let Sent { transaction, from: (who, question) } =
            self.under_way.swap_remove(self.random.usize(..self.under_way.len()));
        let before = self.engine.owners(&self.keys);
        let outcome = self.engine.look_and_commit(&transaction)?;
        self.look_at_owners(&before)?;
        let is_lost = !is_calm && self.random.u8(..4) == 0;
        if !is_lost && let Some(member) = self.members.iter_mut().find(|member| member.me == who) {
            member.answered(question, &outcome, &self.engine);
        }
        Ok(())
    }

    /// A slot changes hands only where its owner is gone.
    fn look_at_owners(&mut self, before: &BTreeMap<Slot, MemberId>) -> Result<(), String> {
        for (slot, owner) in self.engine.owners(&self.keys) {
            let former = before.get(&slot);
            if former == Some(&owner) {
                continue;
            }
            *self.observed.taken.entry(slot).or_default() += 1;
            if let Some(former) = former.filter(|former| self.engine.get(&self.keys.member(former)).is_some()) {
                return Err(format!("{owner} took slot {slot} of {former}, who lives"));
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        LANES.iter().all(|lane| self.engine.checkpoint(&self.keys.lane(Slot::of(lane), lane)) == BATCHES)
    }

    /// What must hold at any time, for each lane.
    fn judge(&self) -> Result<(), String> {
        for lane in LANES {
            let checkpoint = self.engine.checkpoint(&self.keys.lane(Slot::of(lane), lane));
            let of = |batch| self.observed.delivered.get(&(lane.to_owned(), batch)).copied().unwrap_or_default();
            if let Some(lost) = (0..checkpoint).find(|batch| of(*batch) == 0) {
                return Err(format!("the checkpoint of {lane} passed batch {lost}, which wasn't delivered"));
            }
            let doubled: u64 = (0..BATCHES).map(|batch| of(batch).saturating_sub(1)).sum();
            let taken = self.observed.taken.get(&Slot::of(lane)).copied().unwrap_or_default();
            if doubled > taken {
                return Err(format!("{doubled} batches of {lane} doubled at {taken} takeovers"));
            }
        }
        Ok(())
    }
}

/// Plays a schedule to its end.
fn play(seed: u64, mutation: Mutation) -> Result<ObservedDeliveries, String> {
    let mut world = World::new(seed, mutation);
    for step in 0..STEPS + CALM_STEPS {
        let is_calm = step >= STEPS;
        world.step(is_calm)?;
        if step % STEPS_BETWEEN_LOOKS == 0 || is_calm && world.is_done() {
            world.judge()?;
        }
        if is_calm && world.is_done() {
            return Ok(world.observed);
        }
    }
    Err(NOT_DONE.to_owned())
}

/// The first promise that a schedule shows to be broken. That nothing gets on is none.
fn found(mutation: Mutation) -> String {
    let mut broken = (0..SCHEDULES_OF_A_MUTATION).filter_map(|seed| play(seed, mutation).err());
    broken.find(|error| error != NOT_DONE).unwrap_or_default()
}

fn without(transaction: &mut Transaction, is_out: impl Fn(&str) -> bool) {
    transaction.compare.retain(|compare| !matches!(compare, Compare::WrittenAt { key, .. } if is_out(key)));
}

#[test]
fn nothing_is_lost_and_a_takeover_doubles_one_batch_at_most() {
    let (mut taken, mut doubled) = (0, 0);
    for seed in 0..SCHEDULES {
        let observed = play(seed, |_| ()).unwrap_or_else(|error| panic!("schedule {seed}: {error}"));
        taken += observed.taken.values().sum::<u64>();
        doubled += observed.delivered.values().map(|times| times.saturating_sub(1)).sum::<u64>();
    }
    // Or the schedules would show little.
    assert!(taken > 10 * SCHEDULES, "{taken} takeovers");
    assert!(doubled > SCHEDULES, "{doubled} doubled");
}

#[test]
fn without_the_token_former_owners_go_on() {
    let found = found(|transaction| {
        // Claims compare the slot's revision, too, and keep it.
        let is_of_head = |compare: &Compare| matches!(compare, Compare::WrittenAt { key, .. } if key.contains("/h/"));
        if transaction.compare.iter().any(is_of_head) {
            without(transaction, |key| key.contains("/s/"));
        }
    });
    assert!(found.contains("doubled at"), "{found}");
}

#[test]
fn without_the_head_late_copies_of_writes_are_done() {
    let found = found(|transaction| without(transaction, |key| key.contains("/h/")));
    assert!(found.contains("the head"), "{found}");
}

#[test]
fn without_the_look_at_the_owners_key_slots_of_the_living_are_taken() {
    let found = found(|transaction| without(transaction, |key| key.contains("/m/")));
    assert!(found.contains("who lives"), "{found}");
}

#[test]
fn a_slot_that_was_given_back_is_free() {
    let keys = ClusterKeys::of("default");
    let mut engine = PlayedEngine::default();
    let me = MemberId { member: "me".to_owned(), incarnation: 1 };
    let lease = engine.grant();
    let mut done = |transaction: Transaction| engine.commit(&transaction);
    done(claim::join(&keys, &me, lease, Vec::new()));
    let seen = claim::SeenSlot { slot: Slot::of("a"), written_at: 0, owner: None };
    let TransactionOutcome { held: true, revision: token, .. } =
        done(claim::take(&keys, std::slice::from_ref(&seen), &me, lease))
    else {
        panic!("it is taken")
    };
    assert!(!done(claim::release(&keys, &[(seen.slot, token + 1)])).held, "of another owner");
    assert!(done(claim::release(&keys, &[(seen.slot, token)])).held);
    assert!(done(claim::take(&keys, std::slice::from_ref(&seen), &me, lease)).held);
}
