//! Members that come and go all the time: they get no slots, as each of their deaths would cost every API of them a pause.
//!
//! All must agree on who is one, or a slot is handed to somebody who doesn't take it. What others saw doesn't do for that: one
//! that has just joined saw nothing, and the restless one itself, restarted, least of all. So the engine remembers its joins
//! (each puts a key under the member's name with a lease of [`RESTLESS_WITHIN`](super::lease::RESTLESS_WITHIN) that nobody
//! renews), it counts them itself when it joins, and says in its own member key how it stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lease::{RESTLESS_FOR, RESTLESS_JOINS};

/// What a member says in its key about slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It takes what it should own.
    #[default]
    Willing,
    /// It takes nothing as long as anybody is willing: it is restless, or doesn't reach what others reach. Where nobody is
    /// willing it takes its part, as a slot that isn't taken is worse than one that moves twice.
    Reluctant,
    /// It is about to go, and takes nothing whoever else lives.
    Leaving,
}

/// Whether this process is restless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joins {
    restless_until: Option<Duration>,
}

impl Joins {
    /// This process joined, at its start or after its lease was gone. `recent` are the joins under its name that the engine
    /// remembers, with this one.
    pub fn joined(&mut self, recent: usize, now: Duration) {
        if recent >= RESTLESS_JOINS {
            self.restless_until = Some(now.saturating_add(RESTLESS_FOR));
        }
    }

    /// When it is no longer restless, if it is: then its key must say so.
    #[must_use]
    pub fn restless_until(&self, now: Duration) -> Option<Duration> {
        self.restless_until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_third_join_in_five_minutes_makes_restless_for_five_minutes() {
        let mut joins = Joins::default();
        for recent in [1, 2, 2] {
            joins.joined(recent, s(100));
            assert_eq!(joins.restless_until(s(100)), None);
        }
        joins.joined(3, s(200));
        assert_eq!(joins.restless_until(s(200)), Some(s(500)));
        assert_eq!(joins.restless_until(s(499)), Some(s(500)));
        assert_eq!(joins.restless_until(s(500)), None);
    }

    #[test]
    fn a_join_while_restless_begins_the_wait_anew_and_never_ends_it() {
        let mut joins = Joins::default();
        joins.joined(3, s(200));
        joins.joined(1, s(210));
        assert_eq!(joins.restless_until(s(210)), Some(s(500)));
        joins.joined(4, s(300));
        assert_eq!(joins.restless_until(s(500)), Some(s(600)));
    }

    #[test]
    fn a_standing_has_its_name_in_a_members_key() {
        for (standing, text) in [
            (Standing::Willing, "\"willing\""),
            (Standing::Reluctant, "\"reluctant\""),
            (Standing::Leaving, "\"leaving\""),
        ] {
            assert_eq!(serde_json::to_string(&standing).unwrap(), text);
            assert_eq!(serde_json::from_str::<Standing>(text).unwrap(), standing);
        }
    }
}
