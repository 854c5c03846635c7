//! How much of a host's rate a member may use while slots move.
//!
//! A member's share is its part of the APIs of the host and login. It knows its own slots and its own config, so nothing is
//! written for that; and as a slot has one owner, all shares together are never more than the rate. But what a former owner
//! asked a moment ago counts for the host, too, and others may hear of a change later than this member. So for one lease after
//! a change the smallest share counts that was seen since: one that falls does so at once, one that grows waits. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::lease::LEASE_TTL;
use crate::pace::RateShare;

/// The shares of one host and login that still count.
#[derive(Clone, Debug, Default)]
pub struct ShareClock {
    /// What was counted last.
    last: Option<RateShare>,
    /// Those before it and when each ended, oldest first. None of them is as large as the next: that one counts for longer.
    before: VecDeque<(RateShare, Duration)>,
}

impl ShareClock {
    /// The entries were counted. Gives the share that counts now.
    pub fn counted(&mut self, share: RateShare, now: Duration) -> RateShare {
        if let Some(last) = self.last.replace(share).filter(|last| *last != share) {
            while self.before.back().is_some_and(|(earlier, _)| !earlier.is_less_than(last)) {
                self.before.pop_back();
            }
            self.before.push_back((last, now));
        }
        while self.before.front().is_some_and(|(_, ended)| now.saturating_sub(*ended) >= LEASE_TTL) {
            self.before.pop_front();
        }
        // The first of those that are left is the smallest of them.
        self.before
            .front()
            .map(|(smallest, _)| *smallest)
            .filter(|smallest| smallest.is_less_than(share))
            .unwrap_or(share)
    }

    /// When the share grows though nothing is counted anew.
    #[must_use]
    pub fn grows_at(&self) -> Option<Duration> {
        let smallest = self.before.front().filter(|(share, _)| self.last.is_some_and(|last| share.is_less_than(last)));
        smallest.map(|(_, ended)| ended.saturating_add(LEASE_TTL))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The lease in milliseconds.
    const TTL: u64 = 5_000;

    #[test]
    fn a_share_falls_at_once_and_grows_when_a_lease_is_over() {
        let mut clock = ShareClock::default();
        let mut count = |own, at| (clock.counted(RateShare::of(own, 8), ms(at)), clock.grows_at());
        let share = |own| RateShare::of(own, 8);
        assert_eq!(count(4, 0), (share(4), None), "nothing is known of before");
        assert_eq!(count(8, 1_000), (share(4), Some(ms(1_000 + TTL))));
        assert_eq!(count(8, 999 + TTL), (share(4), Some(ms(1_000 + TTL))));
        assert_eq!(count(8, 1_000 + TTL), (share(8), None));
        assert_eq!(count(2, 10_000), (share(2), None));
        assert_eq!(count(6, 11_000), (share(2), Some(ms(11_000 + TTL))), "the smallest of those since");
        assert_eq!(count(5, 12_000), (share(2), Some(ms(11_000 + TTL))));
        assert_eq!(count(5, 11_000 + TTL), (share(5), None));
    }

    #[test]
    fn whoever_had_none_begins_with_that_of_one_entry() {
        let mut clock = ShareClock::default();
        clock.counted(RateShare::of(0, 8), ms(0));
        assert_eq!(clock.counted(RateShare::of(5, 8), ms(100)), RateShare::of(1, 8));
        assert_eq!(clock.counted(RateShare::of(5, 8), ms(100 + TTL)), RateShare::of(5, 8));
    }

    /// What a member has seen: how many entries it owns, from which moment on.
    type Seen = Vec<(u64, u32)>;

    /// What each member sees of slots that move one after the other: when, and from whom to whom. It sees each change within
    /// a lease, in their order.
    fn seen(members: usize, owners: &[usize], moves: &[(usize, usize, u64)], delays: &[Vec<u64>]) -> Vec<Seen> {
        let count = |owners: &[usize], member| u32::try_from(owners.iter().filter(|owner| **owner == member).count());
        let (mut owners, mut at) = (owners.to_vec(), 0);
        let mut seen: Vec<Seen> = (0..members).map(|member| vec![(0, count(&owners, member).expect("few"))]).collect();
        for (number, (slot, to, passed)) in moves.iter().enumerate() {
            at += passed;
            let slot = slot % owners.len();
            owners[slot] = to % members;
            for (member, seen) in seen.iter_mut().enumerate() {
                let heard = at + delays[number % delays.len()][member % delays[0].len()];
                let heard = heard.max(seen.last().map_or(0, |(before, _)| *before));
                seen.push((heard, count(&owners, member).expect("few")));
            }
        }
        seen
    }

    /// The share of a member at a moment, and whether it has had none of the entries lately.
    fn at(seen: &Seen, all: u32, now: u64) -> Option<(RateShare, bool)> {
        let (mut clock, mut had_none) = (ShareClock::default(), false);
        let until: Seen = seen.iter().copied().filter(|(heard, _)| *heard <= now).collect();
        for (place, (heard, own)) in until.iter().enumerate() {
            clock.counted(RateShare::of(*own, all), ms(*heard));
            let ended = until.get(place + 1).map_or(u64::MAX, |(next, _)| *next);
            had_none |= *own == 0 && ended.saturating_add(TTL) > now;
        }
        let own = until.last()?.1;
        (own > 0).then(|| (clock.counted(RateShare::of(own, all), ms(now)), had_none))
    }

    proptest! {
        /// Members hear of each move within a lease, each at another moment, also of their own slots: whatever they think to
        /// own, they never have more than the rate. Those who had none before have that of one entry, so that nobody starves.
        #[test]
        fn members_whose_views_differ_have_no_more_than_the_rate(
            members in 1..5_usize,
            owners in prop::collection::vec(0..5_usize, 1..9),
            moves in prop::collection::vec((0..9_usize, 0..5_usize, 0..4_000_u64), 0..20),
            delays in prop::collection::vec(prop::collection::vec(0..=TTL, 5), 1..6),
        ) {
            let owners: Vec<usize> = owners.into_iter().map(|owner| owner % members).collect();
            let all = u32::try_from(owners.len()).expect("few");
            let seen = seen(members, &owners, &moves, &delays);
            let moments: Vec<u64> = seen.iter().flatten().flat_map(|(heard, _)| [*heard, heard + TTL - 1, heard + TTL]).collect();
            for now in moments {
                let shares: Vec<(RateShare, bool)> = seen.iter().filter_map(|seen| at(seen, all, now)).collect();
                let entries = |(share, had_none): &(RateShare, bool)| {
                    // How many entries such a share is that of.
                    let own = (1..=all).find(|own| *share == RateShare::of(*own, all)).expect("a share of all");
                    if *had_none { own - 1 } else { own }
                };
                prop_assert!(shares.iter().map(entries).sum::<u32>() <= all, "{shares:?} at {now}");
            }
        }

        /// Where members know their own slots, as owners do, not even newcomers have more.
        #[test]
        fn members_that_know_their_own_slots_have_no_more_than_the_rate(
            members in 1..5_usize,
            owners in prop::collection::vec(0..5_usize, 1..9),
            moves in prop::collection::vec((0..9_usize, 0..5_usize, 0..4_000_u64), 0..20),
        ) {
            let owners: Vec<usize> = owners.into_iter().map(|owner| owner % members).collect();
            let all = u32::try_from(owners.len()).expect("few");
            let seen = seen(members, &owners, &moves, &[vec![0]]);
            for now in seen[0].iter().map(|(heard, _)| *heard) {
                let shares: Vec<RateShare> = seen.iter().filter_map(|seen| Some(at(seen, all, now)?.0)).collect();
                let own = |share: &RateShare| (1..=all).find(|own| *share == RateShare::of(*own, all)).expect("a share of all");
                prop_assert!(shares.iter().map(own).sum::<u32>() <= all, "{shares:?} at {now}");
            }
        }

        /// However often slots move, few shares are kept.
        #[test]
        fn no_more_shares_are_kept_than_there_are_entries(counts in prop::collection::vec((0..6_u32, 0..100_u64), 0..200)) {
            let (mut clock, mut now) = (ShareClock::default(), 0);
            for (own, passed) in counts {
                now += passed;
                clock.counted(RateShare::of(own, 5), ms(now));
                prop_assert!(clock.before.len() <= 5);
            }
        }
    }
}
