//! Whether a member reaches what it ships to, and when it leaves its slots to one that does.
//!
//! Each member says in its key how it is, and asks only where somebody has reason to. One that was cut off for long enough,
//! while another one has said that it gets through, cedes: it gives its slots up and takes none until it gets through
//! itself. Where all are cut off nobody has said so, and nothing moves. Whoever has ceded stays so whatever becomes of the
//! others, or slots would go to and fro between members that don't get through. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a member is cut off before it cedes: what is shorter passes by itself, and slots that move cost more.
pub const CEDE_AFTER: Duration = Duration::from_secs(60);

/// What a member says of the outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// It has had no reason to ask.
    #[default]
    Untold,
    /// It has asked, and all of them answer.
    Reached,
    /// One of them doesn't.
    Cut,
}

/// How long it has been so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReachClock {
    cut_since: Option<Duration>,
    has_ceded: bool,
}

impl ReachClock {
    /// What was found now.
    pub fn found(&mut self, reach: Reach, now: Duration) {
        match reach {
            Reach::Cut => drop(self.cut_since.get_or_insert(now)),
            Reach::Reached => *self = Self::default(),
            Reach::Untold => self.cut_since = None,
        }
    }

    /// Whether it leaves its slots to others; `is_reached` is whether another one that may own slots gets through.
    pub fn cedes(&mut self, is_reached: bool, now: Duration) -> bool {
        let is_long = self.cut_since.is_some_and(|since| now.saturating_sub(since) >= CEDE_AFTER);
        self.has_ceded |= is_long && is_reached;
        self.has_ceded
    }

    /// Whether it does, as it was decided last.
    #[must_use]
    pub fn has_ceded(&self) -> bool {
        self.has_ceded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn who_is_cut_off_for_a_minute_cedes_to_who_gets_through_and_until_it_does_itself() {
        let mut clock = ReachClock::default();
        for at in [100, 110, 159] {
            clock.found(Reach::Cut, s(at));
            assert!(!clock.cedes(true, s(at)));
        }
        assert!(!clock.cedes(false, s(160)), "nobody else gets through");
        assert!(clock.cedes(true, s(161)));
        assert!(clock.cedes(false, s(162)), "and stays so");
        clock.found(Reach::Cut, s(200));
        assert!(clock.cedes(false, s(200)));
        clock.found(Reach::Reached, s(210));
        assert!(!clock.cedes(true, s(210)));
    }

    #[test]
    fn a_cut_that_ends_in_between_counts_anew() {
        let mut clock = ReachClock::default();
        clock.found(Reach::Cut, s(100));
        clock.found(Reach::Untold, s(150));
        clock.found(Reach::Cut, s(155));
        assert!(!clock.cedes(true, s(165)));
        assert!(clock.cedes(true, s(215)));
    }

    proptest! {
        /// Nobody cedes who isn't cut off, nor where nobody else gets through.
        #[test]
        fn to_cede_takes_a_long_cut_and_somebody_who_gets_through(
            found in prop::collection::vec((0..3_u8, any::<bool>(), 1..40_u64), 1..60)
        ) {
            let (mut clock, mut now, mut cut_for, mut before) = (ReachClock::default(), 0, 0, false);
            for (reach, is_reached, passed) in found {
                now += passed;
                let reach = [Reach::Untold, Reach::Reached, Reach::Cut][usize::from(reach)];
                cut_for = if reach == Reach::Cut { cut_for + passed } else { 0 };
                clock.found(reach, s(now));
                let cedes = clock.cedes(is_reached, s(now));
                prop_assert!(!cedes || before || (is_reached && cut_for >= CEDE_AFTER.as_secs()));
                prop_assert!(!cedes || reach != Reach::Reached);
                before = cedes;
            }
        }
    }
}
