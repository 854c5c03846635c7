//! Which slots a member takes and which it hands over.
//!
//! - A slot that nobody claims is taken at once by its target, and so is one whose owner's key has been gone for [`GRACE`].
//! - An owner hands a slot over only to a target that lives and is somebody else, only when no member came or went for
//!   [`CALM`], and [`HANDOVERS_PER_SECOND`] at most: it releases the slot, which then is free.
//! - What its owner declines, as others can run what is in it, is handed over at once.
//! - Who is cut off from the outputs, and has ceded for that, hands everything over at once to those that are not.
//! - Who leaves hands everything over as soon as it is idle, and takes nothing.
//!
//! So a slot is never taken from a living owner, and when all have seen the same, each has its target for owner and nothing
//! moves any more. Until then views may differ: the engine lets one of several claims through, and none of a living owner's.

use std::time::Duration;

use super::claim::SeenSlot;
use super::engine::ABSENT;
use super::lease::{CALM, GRACE, HANDOVERS_PER_SECOND};
use super::slot::Slot;
use super::view::{ClusterView, Seat};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// How long after a slot was asked for in vain it is asked for again: what tells that it changed is on its way by then.
const TAKE_AGAIN: Duration = Duration::from_secs(2);
/// The span in which handovers are counted.
const SECOND: Duration = Duration::from_secs(1);

/// What a member does next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Slots to claim now, as they were seen.
    pub take: Vec<SeenSlot>,
    /// Own slots to give up: each API's iteration runs to its end or until it is cut, then the slot is released.
    pub hand_over: Vec<Slot>,
    /// When to decide again where nothing new is heard; never, if nothing but news can change anything.
    pub next_look: Option<Duration>,
}

impl Decision {
    /// Decides again at this moment, if not before.
    fn look_at(&mut self, at: Duration) {
        self.next_look = Some(self.next_look.map_or(at, |before| before.min(at)));
    }
}

impl ClusterView {
    /// What to do next. Whoever does it tells by [`decided`](Self::decided), or it is decided again.
    #[must_use]
    pub fn decide(&self, now: Duration) -> Decision {
        let mut decision = Decision::default();
        if self.is_leaving {
            decision.hand_over = self.kept().collect();
        } else if self.members.contains_key(&self.me) {
            self.decide_takes(now, &mut decision);
            self.decide_handovers(now, &mut decision);
        }
        decision
    }

    /// What was decided is being done.
    pub fn decided(&mut self, decision: &Decision, now: Duration) {
        for seen in &decision.take {
            self.seats.get_mut(seen.slot.index()).into_iter().for_each(|seat| seat.asked = Some(now));
        }
        for slot in &decision.hand_over {
            self.seats.get_mut(slot.index()).into_iter().for_each(|seat| seat.is_handed_over = true);
        }
        self.handovers.retain(|begun| now < begun.saturating_add(SECOND));
        self.handovers.extend(decision.hand_over.iter().map(|_| now));
    }

    fn decide_takes(&self, now: Duration, decision: &mut Decision) {
        let wanted = Slot::all().zip(&self.seats).filter(|(slot, _)| self.targets.of(*slot) == Some(&self.me));
        for (slot, seat) in wanted {
            let Some(at) = self.to_be_had_at(seat) else { continue };
            let again = seat.asked.map(|asked| asked.saturating_add(TAKE_AGAIN));
            let at = at.max(again.unwrap_or_default());
            if now < at {
                decision.look_at(at);
                continue;
            }
            let written_at = if seat.owner.is_some() { seat.revision } else { ABSENT };
            decision.take.push(SeenSlot { slot, written_at, owner: seat.owner.clone() });
        }
    }

    /// From when on a slot may be claimed, if its owner doesn't live.
    fn to_be_had_at(&self, seat: &Seat) -> Option<Duration> {
        match &seat.owner {
            None => Some(Duration::ZERO),
            Some(owner) => self.gone.get(owner).map(|since| since.saturating_add(GRACE)),
        }
    }

    fn decide_handovers(&self, now: Duration, decision: &mut Decision) {
        let is_misplaced = |slot: &Slot| self.targets.of(*slot).is_some_and(|target| *target != self.me);
        // What is in them waits for somebody else.
        let is_declined =
            |slot: &Slot| self.has_ceded || self.declined.get(&self.me).is_some_and(|slots| slots.contains(slot));
        let mut declined = self.kept().filter(|slot| is_misplaced(slot) && is_declined(slot));
        let mut misplaced = self.kept().filter(|slot| is_misplaced(slot) && !is_declined(slot));
        let calm_at = self.changed.saturating_add(CALM);
        let recent = self.handovers.iter().filter(|begun| now < begun.saturating_add(SECOND));
        let room = HANDOVERS_PER_SECOND.saturating_sub(recent.clone().count());
        // What is in them can't be shipped from here.
        let room = if self.has_ceded { usize::MAX } else { room };
        decision.hand_over.extend(declined.by_ref().take(room));
        if now >= calm_at {
            let room = room.saturating_sub(decision.hand_over.len());
            decision.hand_over.extend(misplaced.by_ref().take(room));
        }
        if declined.next().is_some() {
            decision.look_at(recent.clone().copied().next().unwrap_or(now).saturating_add(SECOND));
        }
        if misplaced.next().is_some() {
            let room_at = recent.copied().next().unwrap_or(now).saturating_add(SECOND);
            decision.look_at(if now < calm_at { calm_at } else { room_at });
        }
    }

    /// The own slots that aren't being handed over.
    fn kept(&self) -> impl Iterator<Item = Slot> {
        let is_kept = |slot: &Slot| self.seat(*slot).is_some_and(|seat| !seat.is_handed_over);
        self.mine().map(|(slot, _)| slot).filter(is_kept)
    }
}
