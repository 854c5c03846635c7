//! What a member has seen of its cluster: who lives, and who claims which slot.
//!
//! It is fed by a watch on the engine's keys, and by the answers to this process' own transactions. Nothing is promised by
//! it: every claim and release is checked by the engine against what it has at that instant.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::assign::Targets;
use super::forms::{EntryForms, OtherForms};
use super::reach::Reach;
use super::restless::Standing;
use super::slot::{MemberId, Slot};

/// A slot as it was seen last.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    /// Who claims it; nobody where it is free.
    pub(super) owner: Option<MemberId>,
    /// The revision at which it was claimed or freed: what is older is no news.
    pub(super) revision: i64,
    /// When this process asked for it, unless it has changed since.
    pub(super) asked: Option<Duration>,
    /// Whether this process gives it up, unless it has changed since.
    pub(super) is_handed_over: bool,
}

/// What is known of the cluster here and now.
#[derive(Clone, Debug)]
pub struct ClusterView {
    pub(super) me: MemberId,
    /// The processes whose keys are there.
    pub(super) members: BTreeMap<MemberId, Standing>,
    /// The slots that members leave to others, where they do.
    pub(super) declined: BTreeMap<MemberId, BTreeSet<Slot>>,
    /// What members say of the outputs, where they do.
    reaches: BTreeMap<MemberId, Reach>,
    /// Whether this process leaves its slots to those that get through to the outputs.
    pub(super) has_ceded: bool,
    /// The forms of their entries.
    forms: BTreeMap<MemberId, EntryForms>,
    /// Owners whose keys are gone, and since when.
    pub(super) gone: BTreeMap<MemberId, Duration>,
    /// All slots, in their order.
    pub(super) seats: Vec<Seat>,
    pub(super) targets: Targets,
    /// When a member came, went or changed its mind last.
    pub(super) changed: Duration,
    pub(super) is_leaving: bool,
    /// When handovers of the last second were begun, oldest first.
    pub(super) handovers: VecDeque<Duration>,
}

impl ClusterView {
    /// What a process knows that has heard of nobody, not even that it has joined.
    #[must_use]
    pub fn new(me: MemberId, now: Duration) -> Self {
        Self {
            me,
            members: BTreeMap::new(),
            declined: BTreeMap::new(),
            reaches: BTreeMap::new(),
            has_ceded: false,
            forms: BTreeMap::new(),
            gone: BTreeMap::new(),
            seats: Slot::all().map(|_| Seat::default()).collect(),
            targets: Targets::default(),
            changed: now,
            is_leaving: false,
            handovers: VecDeque::new(),
        }
    }

    /// A member's key was written. One that says nothing new about slots changes nothing.
    pub fn member_came(&mut self, id: MemberId, standing: Standing, now: Duration) {
        let before = self.members.insert(id.clone(), standing);
        self.gone.remove(&id);
        if before.is_none() && id == self.me {
            // What was asked before was refused, as the key wasn't there.
            self.seats.iter_mut().for_each(|seat| seat.asked = None);
        }
        if before != Some(standing) {
            self.membership_changed(now);
        }
    }

    /// A member's key says which slots it leaves to others. What moves for that doesn't wait for calm.
    pub fn member_declines(&mut self, id: &MemberId, slots: BTreeSet<Slot>) {
        let before = if slots.is_empty() {
            self.declined.remove(id).unwrap_or_default()
        } else {
            self.declined.insert(id.clone(), slots.clone()).unwrap_or_default()
        };
        if before != slots {
            self.share_out();
        }
    }

    /// A member's key says whether it reaches the outputs.
    pub fn member_reaches(&mut self, id: &MemberId, reach: Reach) {
        match reach {
            Reach::Untold => drop(self.reaches.remove(id)),
            told => drop(self.reaches.insert(id.clone(), told)),
        }
    }

    /// Whether any member says that it is cut off from an output.
    #[must_use]
    pub fn is_anybody_cut(&self) -> bool {
        self.reaches.values().any(|reach| *reach == Reach::Cut)
    }

    /// Whether another one that may own slots gets through to the outputs.
    #[must_use]
    pub fn is_reached_by_another(&self) -> bool {
        let may_own = |id: &MemberId| *id != self.me && self.members.get(id) == Some(&Standing::Willing);
        self.reaches.iter().any(|(id, reach)| *reach == Reach::Reached && may_own(id))
    }

    /// Whether this process leaves its slots to those that get through to the outputs. Its key must say that it is reluctant.
    pub fn cede(&mut self, has_ceded: bool) {
        self.has_ceded = has_ceded;
    }

    /// A member has said which forms its entries have.
    pub fn forms_came(&mut self, id: MemberId, forms: EntryForms) {
        self.forms.insert(id, forms);
    }

    /// The key with a member's forms is gone.
    pub fn forms_left(&mut self, id: &MemberId) {
        self.forms.remove(id);
    }

    /// The forms of the others that may own slots.
    #[must_use]
    pub fn others(&self) -> OtherForms {
        let kind = self.kind_of_targets();
        let is_other = |id: &MemberId| *id != self.me && self.members.get(id) == Some(&kind);
        self.forms
            .iter()
            .filter(|(id, _)| is_other(id))
            .map(|(id, forms)| (id.clone(), forms.clone()))
            .collect::<BTreeMap<_, _>>()
            .into()
    }

    /// A member's key is gone.
    pub fn member_left(&mut self, id: &MemberId, now: Duration) {
        self.declined.remove(id);
        self.reaches.remove(id);
        if self.members.remove(id).is_some() {
            self.gone.insert(id.clone(), now);
            let owners: BTreeSet<&MemberId> = self.seats.iter().filter_map(|seat| seat.owner.as_ref()).collect();
            self.gone.retain(|id, _| owners.contains(id));
            self.membership_changed(now);
        }
    }

    /// A slot was claimed at a revision, be it by this process: a claim of its own that came through late is its own as well.
    pub fn slot_taken(&mut self, slot: Slot, owner: MemberId, revision: i64, now: Duration) {
        if !self.members.contains_key(&owner) {
            self.gone.entry(owner.clone()).or_insert(now);
        }
        self.seat_changed(slot, Some(owner), revision);
    }

    /// A slot was released at a revision.
    pub fn slot_freed(&mut self, slot: Slot, revision: i64) {
        self.seat_changed(slot, None, revision);
    }

    /// The engine has told that a slot isn't this process' own by that token any more. Whose it is, or was in between, the watch tells.
    pub fn slot_lost(&mut self, slot: Slot, token: i64) {
        let is_mine = |seat: &&mut Seat| seat.owner.as_ref() == Some(&self.me) && seat.revision == token;
        if let Some(seat) = self.seats.get_mut(slot.index()).filter(is_mine) {
            *seat = Seat { owner: None, revision: token, ..Seat::default() };
        }
    }

    /// Everything was read at one revision, at the start or as the watch had missed something: who isn't in it has left, and
    /// slots that aren't are free.
    pub fn read(
        &mut self,
        members: BTreeMap<MemberId, Standing>,
        owners: BTreeMap<Slot, (MemberId, i64)>,
        revision: i64,
        now: Duration,
    ) {
        let left: Vec<MemberId> = self.members.keys().filter(|id| !members.contains_key(id)).cloned().collect();
        left.iter().for_each(|id| self.member_left(id, now));
        members.into_iter().for_each(|(id, standing)| self.member_came(id, standing, now));
        self.slots_read(owners, revision, now);
    }

    /// All slots were read at one revision: those that aren't there are free.
    pub fn slots_read(&mut self, owners: BTreeMap<Slot, (MemberId, i64)>, revision: i64, now: Duration) {
        for slot in Slot::all().filter(|slot| !owners.contains_key(slot)) {
            if self.seat(slot).is_some_and(|seat| seat.owner.is_some()) {
                self.slot_freed(slot, revision);
            }
        }
        owners.into_iter().for_each(|(slot, (owner, written_at))| self.slot_taken(slot, owner, written_at, now));
    }

    /// This process is about to go: from now on it takes nothing and gives up what it has. Its key must say so before the
    /// first slot is released, or the others still leave it to this process.
    pub fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// The slots that this process owns, with their tokens: the revisions at which they were claimed.
    pub fn mine(&self) -> impl Iterator<Item = (Slot, i64)> {
        let seats = Slot::all().zip(&self.seats);
        seats.filter(|(_, seat)| seat.owner.as_ref() == Some(&self.me)).map(|(slot, seat)| (slot, seat.revision))
    }

    /// The members that live, and what they say about slots.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<MemberId, Standing> {
        &self.members
    }

    /// Who should own which slot.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// How many slots are owned by nobody that lives.
    #[must_use]
    pub fn orphaned(&self) -> usize {
        let lives = |seat: &Seat| seat.owner.as_ref().is_some_and(|owner| self.members.contains_key(owner));
        self.seats.iter().filter(|seat| !lives(seat)).count()
    }

    pub(super) fn seat(&self, slot: Slot) -> Option<&Seat> {
        self.seats.get(slot.index())
    }

    fn seat_changed(&mut self, slot: Slot, owner: Option<MemberId>, revision: i64) {
        let seat = self.seats.get_mut(slot.index()).filter(|seat| seat.revision < revision);
        if let Some(seat) = seat {
            *seat = Seat { owner, revision, ..Seat::default() };
        }
    }

    /// Targets are those who are willing. Where nobody is, those that don't leave.
    fn membership_changed(&mut self, now: Duration) {
        self.changed = now;
        self.share_out();
    }

    fn share_out(&mut self) {
        let kind = self.kind_of_targets();
        let of_kind = self.members.iter().filter(|(_, standing)| **standing == kind).map(|(id, _)| id);
        self.targets = Targets::declined(of_kind, &self.declined);
    }

    fn kind_of_targets(&self) -> Standing {
        let is_willing = |standing: &Standing| *standing == Standing::Willing;
        if self.members.values().any(is_willing) { Standing::Willing } else { Standing::Reluctant }
    }
}
