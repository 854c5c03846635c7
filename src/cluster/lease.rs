//! The times of a cluster, with their reasons, and how long an owner may go on without an answer of the engine.
//!
//! All moments are times since the machine's boot that go on while it sleeps: who slept must find that its time is over.

use std::time::Duration;

/// How long a member that says nothing still counts. It must outlast a change of the engine's leader, up to 2.6 s, with the
/// wait for the next renewal and one try at a node that hangs. Much longer, and a takeover takes more than 10 s where the
/// leader and an owner die at once.
pub const LEASE_TTL: Duration = Duration::from_secs(5);
/// How often the lease is renewed: four chances before it ends.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long one node is waited for before the next is asked. One that hangs still accepts connections, so it shows only by
/// this; under full load 99 of 100 answers came within 43 ms.
pub const TRY_WITHIN: Duration = Duration::from_millis(700);
/// How long after the *start* of the last good renewal records may be sent. What is left of the lease is for the answer's
/// way, a clock that runs some per cent too slow, and a process that wakes late.
pub const SEND_UNTIL: Duration = Duration::from_millis(3_500);
/// How long a member's key must be gone before its slots are taken: one whose lease was dropped by mistake sees it within
/// some 10 ms, and is back.
pub const GRACE: Duration = Duration::from_millis(700);
/// How long no member came, went or changed its mind before living ones hand slots over: what moves during a rollout would
/// only move again.
pub const CALM: Duration = Duration::from_secs(10);
/// How many slots an owner hands over in a second: neither the engine nor the hosts that are asked see a storm.
pub const HANDOVERS_PER_SECOND: usize = 10;
/// How long an iteration may go on in a slot that is handed over. Then it is cut between two batches.
pub const BORDER_AFTER: Duration = Duration::from_secs(30);
/// How many joins of a member within [`RESTLESS_WITHIN`] show that it won't stay.
pub const RESTLESS_JOINS: usize = 3;
/// The span in which joins are counted.
pub const RESTLESS_WITHIN: Duration = Duration::from_secs(300);
/// How long a restless member takes no slots: each of its deaths costs 6 s and may double a batch of each of its APIs.
pub const RESTLESS_FOR: Duration = Duration::from_secs(300);

/// The longest change of the engine's leader.
const LEADER_CHANGE: Duration = Duration::from_millis(2_600);
/// What is promised: within this somebody else goes on.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

const _: () = {
    let renewal = LEADER_CHANGE.as_millis() + RENEW_EVERY.as_millis() + TRY_WITHIN.as_millis();
    assert!(renewal < LEASE_TTL.as_millis(), "a change of the leader costs leases");
    let dead = LEADER_CHANGE.as_millis() + LEASE_TTL.as_millis() + GRACE.as_millis() + TRY_WITHIN.as_millis();
    assert!(dead < TAKEN_WITHIN.as_millis(), "a dead owner is replaced too late");
    assert!(SEND_UNTIL.as_millis() + 1_500 <= LEASE_TTL.as_millis(), "an owner may send when another one is");
    assert!(
        RENEW_EVERY.as_millis() + TRY_WITHIN.as_millis() * 2 < SEND_UNTIL.as_millis(),
        "one node that hangs stops all"
    );
};

/// How long this process may go on as an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseClock {
    /// When the last renewal that went well was begun.
    renewed: Option<Duration>,
    /// When the engine said that it doesn't know the lease: what was begun before tells nothing.
    lost: Option<Duration>,
}

impl LeaseClock {
    /// A renewal, or the grant of a lease, that was begun then went well. It counts from its beginning however late the answer
    /// is, as the engine may have counted from there: after a sleep in between it is worth nothing any more.
    pub fn renewed(&mut self, begun: Duration) {
        if self.lost.is_none_or(|lost| begun >= lost) {
            self.renewed = self.renewed.max(Some(begun));
        }
    }

    /// The engine doesn't know the lease, or the member's key is gone: slots may be taken, so nothing more is sent until a
    /// lease is granted anew. What is under way goes on until it would have ended anyway: it is the one batch that whoever
    /// takes over may double, and where nobody does, to cut it would double it for nothing.
    pub fn lost(&mut self, now: Duration) {
        self.lost = Some(now);
    }

    /// When sends that are under way are cut off, if there is anything that allows some.
    #[must_use]
    pub fn send_deadline(&self) -> Option<Duration> {
        Some(self.renewed?.saturating_add(SEND_UNTIL))
    }

    /// Whether records may be sent.
    #[must_use]
    pub fn may_send(&self, now: Duration) -> bool {
        let is_lost = self.lost.is_some_and(|lost| self.renewed.is_none_or(|renewed| renewed < lost));
        !is_lost && self.send_deadline().is_some_and(|deadline| now < deadline)
    }

    /// Whether this process waits for the engine, and does nothing else.
    #[must_use]
    pub fn is_suspended(&self, now: Duration) -> bool {
        !self.may_send(now)
    }

    /// What is left of the lease at least, as far as is known here.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> Duration {
        self.renewed.map_or(Duration::ZERO, |renewed| renewed.saturating_add(LEASE_TTL).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_is_sent_before_the_first_lease() {
        let clock = LeaseClock::default();
        assert!(clock.is_suspended(ms(0)));
        assert_eq!((clock.send_deadline(), clock.remaining(ms(0))), (None, ms(0)));
    }

    #[test]
    fn sends_end_3_5_s_after_the_renewals_start() {
        let mut clock = LeaseClock::default();
        clock.renewed(ms(10_000));
        assert_eq!(clock.send_deadline(), Some(ms(13_500)));
        assert!(clock.may_send(ms(13_499)) && !clock.is_suspended(ms(13_499)));
        assert!(!clock.may_send(ms(13_500)) && clock.is_suspended(ms(13_500)));
        assert_eq!([12_000, 14_900, 20_000].map(|now| clock.remaining(ms(now))), [ms(3_000), ms(100), ms(0)]);
    }

    #[test]
    fn a_renewal_that_was_answered_after_a_sleep_counts_from_its_start() {
        let mut clock = LeaseClock::default();
        clock.renewed(ms(10_000));
        // Begun at 11 s, answered at 71 s, after a minute of sleep.
        clock.renewed(ms(11_000));
        assert!(clock.is_suspended(ms(71_000)));
        clock.renewed(ms(71_010));
        assert!(clock.may_send(ms(71_020)));
    }

    #[test]
    fn an_earlier_renewal_that_is_answered_late_takes_nothing_back() {
        let mut clock = LeaseClock::default();
        clock.renewed(ms(12_000));
        clock.renewed(ms(11_000));
        assert_eq!(clock.send_deadline(), Some(ms(15_500)));
    }

    #[test]
    fn a_lost_lease_lets_nothing_more_be_sent_until_a_new_one() {
        let mut clock = LeaseClock::default();
        clock.renewed(ms(10_000));
        clock.lost(ms(10_500));
        assert!(clock.is_suspended(ms(10_500)));
        assert_eq!(clock.send_deadline(), Some(ms(13_500)), "what is under way goes on");
        // Answered only now.
        clock.renewed(ms(10_400));
        assert!(clock.is_suspended(ms(10_600)));
        clock.renewed(ms(10_510));
        assert_eq!(clock.send_deadline(), Some(ms(14_010)));
    }
}
