//! What is known here of the cluster: who lives, who owns what, and whether this process waits for the engine.
//!
//! Some of it is this process's own and always right; what the engine holds is read by
//! [`watch_cluster`](super::watch_cluster), and as old as that says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::cluster::{
    ClusterCounters, ClusterStatus, ClusterTotals, EngineRoom, LeaseClock, MemberId, RoomLevel, Slot,
};

/// Where a member's figures come from.
#[derive(Clone, Debug)]
pub struct ClusterSources {
    /// The cluster's name.
    pub name: String,
    /// Who this process is.
    pub me: MemberId,
    /// How long it may send.
    pub clock: watch::Receiver<LeaseClock>,
    /// What is counted.
    pub counters: ClusterCounters,
}

/// What the engine held when it was read last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterReading {
    /// When that was; nothing as long as it never answered.
    pub read_at: Option<DateTime<Utc>>,
    /// Who lives, and who owns what.
    pub status: ClusterStatus,
    /// What is known of each API, the earliest of its outputs.
    pub accounts: Arc<BTreeMap<String, AccountSummary>>,
    /// How much room the engine has.
    pub room: Option<EngineRoom>,
    /// Whether it is full. That is told also where its room isn't.
    pub is_full: bool,
    /// Slots that this process took since it began, of owners that had died, and that were free.
    pub takeovers: Takeovers,
}

/// Slots that became this process's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takeovers {
    /// Their owner had died.
    pub of_dead: u64,
    /// They were given back, or never owned.
    pub of_free: u64,
}

/// What an account says of an API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountSummary {
    /// When its last iteration began.
    pub last: Option<DateTime<Utc>>,
    /// Why that failed, if it did.
    pub error: Option<String>,
    /// The newest event date delivered.
    pub checkpoint: Option<DateTime<Utc>>,
}

/// The cluster at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterStanding {
    /// Its name.
    pub name: String,
    /// Who this process is.
    pub me: MemberId,
    /// Whether this process neither asks nor sends, as the engine doesn't answer it.
    pub is_suspended: bool,
    /// What is left of its lease.
    pub lease_left: Duration,
    /// What the engine held.
    pub reading: ClusterReading,
    /// APIs of the config that other members run, with their owners; nobody where that isn't known.
    pub elsewhere: Vec<(String, Option<MemberId>)>,
    /// What was counted.
    pub totals: ClusterTotals,
}

impl ClusterStanding {
    /// Puts together what is known; `elsewhere` are APIs of the config that don't run here.
    #[must_use]
    pub fn of(sources: &ClusterSources, reading: &ClusterReading, elsewhere: Vec<String>, now: Duration) -> Self {
        let clock = *sources.clock.borrow();
        let owner = |name: &String| reading.status.owners.get(&Slot::of(name)).cloned();
        Self {
            name: sources.name.clone(),
            me: sources.me.clone(),
            is_suspended: clock.is_suspended(now),
            lease_left: clock.remaining(now),
            reading: reading.clone(),
            elsewhere: elsewhere.into_iter().map(|name| (name.clone(), owner(&name))).collect(),
            totals: sources.counters.totals(),
        }
    }

    /// How many slots this process owns.
    #[must_use]
    pub fn slots_held(&self) -> usize {
        self.reading.status.slots_of(&self.me)
    }

    /// How much room is left of this process's share for what was delivered.
    #[must_use]
    pub fn room_level(&self) -> RoomLevel {
        // As long as nothing was read it isn't known how large that is.
        if self.reading.read_at.is_none() {
            return RoomLevel::Free;
        }
        RoomLevel::of(self.totals.remembered_bytes, self.slots_held())
    }

    /// Whether the members have different configs.
    #[must_use]
    pub fn configs_differ(&self) -> bool {
        self.reading.status.configs() > 1
    }

    /// What is wrong with it, in words, the worst first.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let status = &self.reading.status;
        let mut troubles = Vec::new();
        if self.is_suspended {
            troubles.push(SUSPENDED.to_owned());
        }
        if self.reading.is_full {
            troubles.push("etcd is full: compact and defragment it, and disarm its alarm".to_owned());
        } else if self.reading.room.is_some_and(|room| room.is_tight()) {
            troubles.push(ROOM_TIGHT.to_owned());
        }
        if self.room_level() > RoomLevel::Free {
            troubles.push(REMEMBERED_TIGHT.to_owned());
        }
        if self.reading.read_at.is_some() && status.orphaned > 0 {
            troubles.push(format!("{} slots have no owner that lives, so their APIs are not asked", status.orphaned));
        }
        if self.configs_differ() {
            troubles.push("the members have different configs".to_owned());
        }
        if status.members.len() == 1 {
            troubles.push("this is the only member: nobody goes on if it dies".to_owned());
        }
        troubles
    }
}

/// Said where the engine is to be full soon.
const ROOM_TIGHT: &str = "etcd's database has over 70 % of what it may have, and all members stop when it is full: see that it \
                          compacts its history, defragment it, or raise its quota";
/// Said where APIs take turns.
const REMEMBERED_TIGHT: &str =
    "what was delivered nearly fills this member's share of etcd, so APIs take turns until windows are complete";

/// Said where the lease could not be renewed.
pub(super) const SUSPENDED: &str = "etcd does not answer this member, so it asks and ships nothing until it does";

impl Takeovers {
    /// The same and what has changed from one reading to the next.
    #[must_use]
    pub fn and(mut self, me: &MemberId, before: &ClusterStatus, after: &ClusterStatus) -> Self {
        let mine = after.owners.iter().filter(|(_, owner)| *owner == me);
        for former in mine.map(|(slot, _)| before.owners.get(slot)).filter(|former| *former != Some(me)) {
            // Who has gone meanwhile gave it back, or died: then it was still the owner when it was read last.
            let has_died = former.is_some_and(|former| !after.members.iter().any(|(member, _)| member == former));
            *if has_died { &mut self.of_dead } else { &mut self.of_free } += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::AboutMember;

    fn member(name: &str) -> MemberId {
        MemberId { member: name.to_owned(), incarnation: 1 }
    }

    fn status(members: &[&str], owners: &[(&str, &str)]) -> ClusterStatus {
        ClusterStatus {
            members: members.iter().map(|name| (member(name), AboutMember::default())).collect(),
            owners: owners.iter().map(|(api, owner)| (Slot::of(api), member(owner))).collect(),
            orphaned: 0,
        }
    }

    #[test]
    fn slots_of_dead_owners_are_told_from_those_that_were_given() {
        let (a, b) =
            (status(&["a", "b"], &[("x", "b"), ("y", "a")]), status(&["a"], &[("x", "a"), ("y", "a"), ("z", "a")]));
        let taken = Takeovers::default().and(&member("a"), &a, &b);
        assert_eq!(taken, Takeovers { of_dead: 1, of_free: 1 });
        let handed = taken.and(&member("a"), &status(&["a", "b"], &[("x", "b")]), &status(&["a", "b"], &[("x", "a")]));
        assert_eq!(handed, Takeovers { of_dead: 1, of_free: 2 });
    }

    #[test]
    fn what_is_wrong_is_said_and_owners_are_named() {
        let (renewing, clock) = watch::channel(LeaseClock::default());
        let sources = ClusterSources {
            name: "production".to_owned(),
            me: member("a"),
            clock,
            counters: ClusterCounters::default(),
        };
        let reading = ClusterReading { status: status(&["a", "b"], &[("x", "b")]), ..ClusterReading::default() };
        let standing = |reading: &ClusterReading, seconds| {
            ClusterStanding::of(&sources, reading, vec!["x".to_owned(), "y".to_owned()], Duration::from_secs(seconds))
        };
        assert_eq!(standing(&reading, 1).troubles(), [SUSPENDED]);
        renewing.send_modify(|clock| clock.renewed(Duration::from_secs(1)));
        let now = standing(&reading, 2);
        assert_eq!(now.troubles(), [""; 0]);
        assert_eq!((now.lease_left, now.slots_held()), (Duration::from_secs(4), 0));
        assert_eq!(now.elsewhere, [("x".to_owned(), Some(member("b"))), ("y".to_owned(), None)]);
        let mut alone = ClusterReading { status: status(&["a"], &[]), read_at: Some(Utc::now()), ..reading };
        alone.status.orphaned = 3;
        alone.is_full = true;
        let troubles = standing(&alone, 9).troubles().join("; ");
        for part in ["does not answer", "is full", "3 slots have no owner", "the only member"] {
            assert!(troubles.contains(part), "{troubles}");
        }
        alone.is_full = false;
        alone.room = Some(EngineRoom { database_bytes: 1_600_000_000, ..EngineRoom::default() });
        alone.status = status(&["a", "b"], &[("x", "a")]);
        sources.counters.remembers(3 << 20);
        let troubles = standing(&alone, 2).troubles().join("; ");
        for part in ["over 70 %", "nearly fills this member's share"] {
            assert!(troubles.contains(part), "{troubles}");
        }
    }
}
