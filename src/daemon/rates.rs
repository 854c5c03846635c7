//! How much of each host's rate this member of a cluster may use: as slots come and go, and as the config changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::cluster::{LEASE_TTL, Ownership, ShareClock, Slot, ToldPause, since_boot};
use crate::fetch::Gates;
use crate::pace::RateShare;
use crate::plan::Config;
use crate::record::Fingerprint;

/// The hosts that the config sets a rate for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HostRates {
    gates: Gates,
    ownership: Ownership,
    hosts: Arc<Mutex<HostTable>>,
}

/// Hosts by the keys of their gates.
type HostTable = BTreeMap<Fingerprint, HostRate>;

/// One of them, with one login.
#[derive(Debug, Default)]
struct HostRate {
    /// The slots of its APIs, one for each.
    slots: Vec<Slot>,
    share: ShareClock,
}

impl HostRates {
    /// Of a member that owns slots, for the gates through which it asks.
    #[must_use]
    pub fn new(gates: Gates, ownership: Ownership) -> Self {
        Self { gates, ownership, hosts: Arc::default() }
    }

    /// The config is another one.
    pub fn configure(&self, config: &Config) {
        let limited = config.apis.iter().filter(|plan| plan.rate.is_some());
        let limited = limited.map(|plan| (self.gates.key(plan), Slot::of(&plan.name))).collect();
        let mut hosts = self.hosts();
        configure(&mut hosts, limited);
        self.share_out(&mut hosts, since_boot());
    }

    /// Follows what becomes of slots, and what hosts ask other members for, until there is nobody any more who tells of them.
    pub async fn follow(self, mut pauses: mpsc::Receiver<ToldPause>) {
        let mut changes = self.ownership.changes();
        let mut look_at = since_boot();
        loop {
            tokio::select! {
                pause = pauses.recv() => match pause {
                    Some(pause) => self.gates.hear(&pause, Instant::now()),
                    None => return,
                },
                Ok(()) = changes.changed() => look_at = self.look(),
                () = sleep(look_at.saturating_sub(since_boot())) => look_at = self.look(),
            }
        }
    }

    /// Shares out anew. Gives when to do so again, if nothing changes before: the config may have changed what grows next.
    fn look(&self) -> Duration {
        let now = since_boot();
        let latest = now.saturating_add(LEASE_TTL);
        self.share_out(&mut self.hosts(), now).map_or(latest, |next| next.min(latest))
    }

    /// Gives when a share grows by itself. Whoever shares out has the hosts, so that nobody does by older counts afterwards.
    fn share_out(&self, hosts: &mut HostTable, now: Duration) -> Option<Duration> {
        let owned = self.ownership.tokens();
        let (shares, grows_at) = shares(hosts, |slot| owned.contains_key(&slot), now);
        self.gates.share_out(shares, Instant::now());
        grows_at
    }

    fn hosts(&self) -> MutexGuard<'_, HostTable> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// These are the APIs with a rate: the host of each, and its slot. What is known of a host's former shares stays.
fn configure(hosts: &mut HostTable, limited: Vec<(Fingerprint, Slot)>) {
    hosts.values_mut().for_each(|host| host.slots.clear());
    for (key, slot) in limited {
        hosts.entry(key).or_default().slots.push(slot);
    }
    hosts.retain(|_, host| !host.slots.is_empty());
}

/// The shares of these hosts, and when one of them grows by itself.
fn shares(
    hosts: &mut HostTable,
    is_owned: impl Fn(Slot) -> bool,
    now: Duration,
) -> (HashMap<Fingerprint, RateShare>, Option<Duration>) {
    let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
    let share = |host: &mut HostRate| {
        let own = host.slots.iter().filter(|slot| is_owned(**slot)).count();
        host.share.counted(RateShare::of(count(own), count(host.slots.len())), now)
    };
    let shares = hosts.iter_mut().map(|(key, host)| (*key, share(host))).collect();
    (shares, hosts.values().filter_map(|host| host.share.grows_at()).min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_is_shared_by_its_own_apis_as_slots_and_config_change() {
        let (one, other) = (Fingerprint::of(&[b"one"]), Fingerprint::of(&[b"other"]));
        let slot = |api: &str| Slot::of(api);
        let s = Duration::from_secs;
        let mut hosts = HostTable::new();
        configure(&mut hosts, vec![(one, slot("a")), (one, slot("b")), (one, slot("c")), (other, slot("a"))]);
        let owned = |apis: &'static [&str]| move |slot| apis.iter().any(|api| Slot::of(api) == slot);
        let (first, grows_at) = shares(&mut hosts, owned(&["a"]), s(100));
        assert_eq!((first[&one], first[&other], grows_at), (RateShare::of(1, 3), RateShare::WHOLE, None));
        let (grown, grows_at) = shares(&mut hosts, owned(&["a", "b"]), s(101));
        assert_eq!((grown[&one], grows_at), (RateShare::of(1, 3), Some(s(101) + LEASE_TTL)));
        let (grown, grows_at) = shares(&mut hosts, owned(&["a", "b"]), s(101) + LEASE_TTL);
        assert_eq!((grown[&one], grows_at), (RateShare::of(2, 3), None));
        configure(&mut hosts, vec![(one, slot("a")), (one, slot("b")), (one, slot("c")), (one, slot("d"))]);
        let (fallen, _) = shares(&mut hosts, owned(&["a", "b"]), s(200));
        assert_eq!((fallen.len(), fallen[&one]), (1, RateShare::of(2, 4)), "a host without a rate is no longer shared");
    }
}
