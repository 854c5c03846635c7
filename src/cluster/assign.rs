//! Who should own which slot, out of the list of members alone: everybody who has the same list comes to the same answer.
//!
//! Rendezvous hashing with a bound: slot after slot goes to the member with the highest hash for it that isn't full yet.
//! Full is who has 5 % more than the mean. That is what keeps members alike, as plain rendezvous hashing gives one of ten a
//! sixth too much; its price are slots that move although neither their old nor their new owner came or went, a tenth more at
//! ten members, some more where there are more of them.
//!
//! The hash is of the slot and the member's *name*, so that one that restarts gets its slots back. Where two processes of a
//! name live (the old one's key isn't gone yet, or two were given the same name), the one with the higher incarnation counts
//! and the other gets nothing: any order will do, as long as all know it.
//!
//! A member may decline slots: it can't run what is in them, and others can. Such a slot goes to another one, be that full
//! or not; only where all decline it, it is as if none did.

use std::collections::{BTreeMap, BTreeSet};

use super::slot::{MemberId, SLOTS, Slot, hash};

/// How much of the mean is the most that a member gets, in per cent.
const BOUND_PERCENT: usize = 105;
/// What SplitMix64 adds from one number to the next.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Who should own which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// One process for each name, by their names.
    members: Vec<MemberId>,
    /// For each slot a place among the members.
    slots: Vec<usize>,
}

impl Targets {
    /// The targets among these members, in whatever order they are named.
    pub fn among<'a>(members: impl IntoIterator<Item = &'a MemberId>) -> Self {
        Self::but_for(members, |_, _| false)
    }

    /// The same, where members decline slots.
    pub(super) fn declined<'a>(
        members: impl IntoIterator<Item = &'a MemberId>,
        declined: &BTreeMap<MemberId, BTreeSet<Slot>>,
    ) -> Self {
        let declines = |id: &MemberId, slot: Slot| declined.get(id).is_some_and(|slots| slots.contains(&slot));
        Self::but_for(members, declines)
    }

    fn but_for<'a>(
        members: impl IntoIterator<Item = &'a MemberId>,
        declines: impl Fn(&MemberId, Slot) -> bool,
    ) -> Self {
        let mut by_name: BTreeMap<&str, &MemberId> = BTreeMap::new();
        for id in members {
            let one = by_name.entry(&id.member).or_insert(id);
            *one = (*one).max(id);
        }
        let members: Vec<MemberId> = by_name.into_values().cloned().collect();
        let seeds: Vec<u64> = members.iter().map(|id| hash(&id.member)).collect();
        let most = bound(members.len());
        let mut loads = vec![0; members.len()];
        let mut best = |slot: Slot| {
            let takes = |place: usize| members.get(place).is_some_and(|id| !declines(id, slot));
            let has_taker = (0..members.len()).any(takes);
            let all = seeds.iter().zip(&loads).enumerate().filter(|(place, _)| !has_taker || takes(*place));
            // Who is full comes last, and only among those that are left.
            let rank = |place: usize, seed: u64, load: usize| (load < most, weight(slot, seed), place);
            let (place, _) = all.max_by_key(|(place, (seed, load))| rank(*place, **seed, **load))?;
            *loads.get_mut(place)? += 1;
            Some(place)
        };
        let slots = Slot::all().map_while(&mut best).collect();
        Self { members, slots }
    }

    /// Who should own a slot; nobody only where there is no member.
    #[must_use]
    pub fn of(&self, slot: Slot) -> Option<&MemberId> {
        self.members.get(*self.slots.get(slot.index())?)
    }
}

/// The most slots that one of so many members gets.
fn bound(members: usize) -> usize {
    (usize::from(SLOTS) * BOUND_PERCENT).div_ceil(100 * members.max(1))
}

/// How much a slot belongs to a member: the number in the slot's place that [SplitMix64](https://prng.di.unimi.it/splitmix64.c)
/// gives from the member's seed on.
fn weight(slot: Slot, seed: u64) -> u64 {
    let at = u64::try_from(slot.index()).unwrap_or_default().wrapping_add(1);
    let mut bits = seed.wrapping_add(at.wrapping_mul(GAMMA));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(names: &[String]) -> Vec<MemberId> {
        names.iter().map(|name| MemberId { member: name.clone(), incarnation: hash(name) }).collect()
    }

    /// `PREFIX-0`, `PREFIX-1` …, as Kubernetes names replicas.
    fn replicas(prefix: &str, count: usize) -> Vec<MemberId> {
        members(&(0..count).map(|number| format!("{prefix}-{number}")).collect::<Vec<_>>())
    }

    fn moved(one: &Targets, other: &Targets) -> usize {
        Slot::all().filter(|slot| one.of(*slot) != other.of(*slot)).count()
    }

    fn load(targets: &Targets, id: &MemberId) -> usize {
        Slot::all().filter(|slot| targets.of(*slot) == Some(id)).count()
    }

    #[test]
    fn weights_are_the_published_numbers_of_splitmix64() {
        let weights: Vec<u64> = Slot::all().take(3).map(|slot| weight(slot, 1_234_567)).collect();
        assert_eq!(weights, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_answer_is_that_of_every_earlier_build() {
        let three = Targets::among(&replicas("fetcher", 3));
        let owners = Slot::all().take(16).filter_map(|slot| three.of(slot)?.member.chars().last());
        assert_eq!(owners.collect::<String>(), "2112122222102012");
    }

    #[test]
    fn a_slot_that_is_declined_goes_to_another_one_and_to_anybody_where_all_decline_it() {
        let all = replicas("fetcher", 3);
        let before = Targets::among(&all);
        let of_first: BTreeSet<Slot> = Slot::all().filter(|slot| before.of(*slot) == Some(&all[0])).collect();
        let one = Targets::declined(&all, &[(all[0].clone(), of_first.clone())].into());
        assert!(of_first.iter().all(|slot| one.of(*slot) != Some(&all[0])));
        let every: BTreeSet<Slot> = Slot::all().collect();
        let two = [&all[0], &all[1]].map(|id| (id.clone(), every.clone()));
        assert_eq!(load(&Targets::declined(&all, &two.into()), &all[2]), usize::from(SLOTS), "it is the only one left");
        let nobody = all.iter().map(|id| (id.clone(), every.clone())).collect();
        assert_eq!(Targets::declined(&all, &nobody), before);
    }

    #[test]
    fn without_a_member_no_slot_has_a_target() {
        assert_eq!(Slot::all().filter_map(|slot| Targets::among(&[]).of(slot).cloned()).count(), 0);
    }

    #[test]
    fn of_two_processes_of_a_name_one_counts_and_has_the_slots_that_the_other_had() {
        let id = |incarnation| MemberId { member: "a".to_owned(), incarnation };
        let others = replicas("b", 2);
        let both = Targets::among(others.iter().chain(&[id(7), id(3)]));
        assert_eq!(both, Targets::among([id(7)].iter().chain(&others)));
        let before = Targets::among(others.iter().chain(&[id(3)]));
        let same = |slot: &Slot| both.of(*slot).map(|id| &id.member) == before.of(*slot).map(|id| &id.member);
        assert!(Slot::all().all(|slot| same(&slot)));
    }

    #[test]
    fn all_slots_are_shared_out_within_the_bound_and_in_any_order_alike() {
        let names = prop::collection::btree_set(any::<String>(), 1..40);
        let names = names.prop_map(|names| names.into_iter().collect::<Vec<_>>());
        proptest!(ProptestConfig::with_cases(64), |((one, other) in names.prop_flat_map(|names| (Just(names.clone()), Just(names).prop_shuffle())))| {
            let one = members(&one);
            let targets = Targets::among(&one);
            prop_assert_eq!(&targets, &Targets::among(&members(&other)));
            prop_assert!(Slot::all().all(|slot| targets.of(slot).is_some()));
            let most = one.iter().map(|id| load(&targets, id)).max().unwrap_or_default();
            prop_assert!(most * one.len() * 100 < 1_024 * 105 + one.len() * 100, "{most} of {}", one.len());
        });
    }

    /// The least at a join is a fair share for the newcomer, at a death what the dead had.
    #[test]
    fn up_to_ten_members_a_join_or_death_moves_15_percent_more_than_the_least() {
        for count in 1..=10 {
            let (mut joined, mut fair, mut died, mut had) = (0, 0, 0, 0);
            for prefix in
                ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "fetcher", "node", "logs", "eu-1"]
            {
                let more = replicas(prefix, count + 1);
                let [before, after] = [count, count + 1].map(|count| Targets::among(more.iter().take(count)));
                let without_first = Targets::among(more.iter().skip(1));
                joined += moved(&before, &after);
                fair += usize::from(SLOTS) / (count + 1);
                died += moved(&after, &without_first);
                had += load(&after, &more[0]);
            }
            assert!(joined * 100 <= fair * 115, "{count} and one more: {joined} instead of {fair}");
            assert!(died * 100 <= had * 115, "{count} and one less: {died} instead of {had}");
        }
    }

    #[test]
    fn no_single_join_moves_much_more_than_the_least() {
        let names = prop::collection::btree_set("[a-z]{1,12}", 2..=11);
        proptest!(ProptestConfig::with_cases(64), |(names in names)| {
            let all = members(&names.into_iter().collect::<Vec<_>>());
            let before = Targets::among(all.iter().skip(1));
            let after = Targets::among(&all);
            let moved = moved(&before, &after);
            prop_assert!(moved * all.len() * 10 <= usize::from(SLOTS) * 15, "{moved} at {}", all.len());
        });
    }

    #[test]
    fn a_hundred_members_get_ten_or_eleven_slots_each() {
        let all = replicas("fetcher", 100);
        let targets = Targets::among(&all);
        assert_eq!(all.iter().map(|id| load(&targets, id)).max(), Some(11));
    }
}
