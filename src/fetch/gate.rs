//! Where the entries that ask one host with one login meet: a wait that one of them is told is a wait for all.
//!
//! Where the fetcher is one of several, they meet those of the others, too: each fetcher uses its share of the rate, and a wait
//! that one of them was asked for is one for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{FetchError, Waits};
use crate::cluster::{ToldPause, UntoldPause};
use crate::pace::{Pace, Rate, RateShare};
use crate::plan::Plan;
use crate::record::Fingerprint;
use crate::text::Secret;

/// How often a wait may grow while it lasts; then it is asked all the same.
const TURNS_MAX: usize = 100;
/// How often a place among the requests may be taken anew; then the last one is kept. Slots that move do so 10 times in a second.
const PLACES_MAX: usize = 10_000;
/// Those that waited for the same moment don't come at the same instant, but within this.
const SPREAD: Duration = Duration::from_millis(500);
/// Of how many hosts it is kept that others were asked for a wait.
const TOLD_MAX: usize = 10_000;

/// The gates of all hosts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    table: Arc<Mutex<GateTable>>,
    /// The way to other fetchers, where there are some.
    peers: Option<Arc<GatePeers>>,
}

/// What is known of hosts.
#[derive(Debug, Default)]
struct GateTable {
    gates: HashMap<Fingerprint, Weak<Gate>>,
    /// This fetcher's shares, where there are others.
    shares: HashMap<Fingerprint, RateShare>,
    /// Until when others were asked to wait.
    told: HashMap<Fingerprint, Instant>,
}

/// How other fetchers know of a host.
#[derive(Debug)]
struct GatePeers {
    /// What all of them know and nobody else: without it a name shows nothing of a login, however easy that is to guess.
    salt: Secret,
    pauses: mpsc::Sender<UntoldPause>,
}

/// One host and login.
#[derive(Debug, Default)]
pub struct Gate {
    pace: Mutex<Pace>,
    /// Rung when those that wait are to take their places anew.
    anew: watch::Sender<()>,
    /// Its name among other fetchers, and the way to them.
    peers: Option<(String, mpsc::Sender<UntoldPause>)>,
    /// Whether the server refused HTTP/2.
    is_http1: AtomicBool,
}

impl Gates {
    /// Those of one of several fetchers. `salt` is something that all of them know and nobody else; waits that a host asks this
    /// one for are sent, where there is room.
    #[must_use]
    pub fn among_peers(salt: Secret, pauses: mpsc::Sender<UntoldPause>) -> Self {
        Self { table: Arc::default(), peers: Some(Arc::new(GatePeers { salt, pauses })) }
    }

    /// By what the gate of a plan is known, the same in all fetchers.
    #[must_use]
    pub fn key(&self, plan: &Plan) -> Fingerprint {
        let own = plan.host_and_login();
        match &self.peers {
            None => own,
            Some(peers) => Fingerprint::of(&[b"host and login", peers.salt.expose().as_bytes(), own.bytes()]),
        }
    }

    /// The gate of a plan, as long as somebody has it.
    #[must_use]
    pub fn of(&self, plan: &Plan) -> Arc<Gate> {
        let key = self.key(plan);
        let mut table = self.table();
        if let Some(gate) = table.gate(&key) {
            return gate;
        }
        table.gates.retain(|_, gate| gate.strong_count() > 0);
        let peers = self.peers.as_ref().map(|peers| (key.to_hex(), peers.pauses.clone()));
        let gate = Arc::new(Gate { peers, ..Gate::default() });
        let now = Instant::now();
        gate.share_out(table.shares.get(&key).copied().unwrap_or_default(), now);
        if let Some(until) = table.told.get(&key) {
            gate.pace().hold_as_told(until.saturating_duration_since(now), now);
        }
        table.gates.insert(key, Arc::downgrade(&gate));
        gate
    }

    /// These are this fetcher's shares from now on.
    pub fn share_out(&self, shares: HashMap<Fingerprint, RateShare>, now: Instant) {
        let mut table = self.table();
        let gates = table.gates.iter().filter_map(|(key, gate)| Some((key, gate.upgrade()?)));
        gates.for_each(|(key, gate)| gate.share_out(shares.get(key).copied().unwrap_or_default(), now));
        table.shares = shares;
    }

    /// Another fetcher was asked for a wait, or such a wait is over. Of hosts that nobody asks here it is kept for later.
    pub fn hear(&self, pause: &ToldPause, now: Instant) {
        let Some(key) = Fingerprint::from_hex(&pause.host) else { return };
        let mut table = self.table();
        let gate = table.gate(&key);
        match pause.wait {
            Some(wait) => {
                gate.iter().for_each(|gate| gate.pace().hold_as_told(wait, now));
                table.told.retain(|_, until| *until > now);
                if let Some(until) = now.checked_add(wait)
                    && (table.told.len() < TOLD_MAX || table.told.contains_key(&key))
                {
                    let known = table.told.entry(key).or_insert(until);
                    *known = until.max(*known);
                }
            }
            None => {
                table.told.remove(&key);
                gate.iter().for_each(|gate| gate.end_told(now));
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, GateTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GateTable {
    fn gate(&self, key: &Fingerprint) -> Option<Arc<Gate>> {
        self.gates.get(key).and_then(Weak::upgrade)
    }
}

impl Gate {
    /// Waits until the next request may be made.
    ///
    /// # Errors
    /// [`FetchError::Held`] where that is too far away; a stop and a recall.
    pub(super) async fn pass(&self, rate: Option<Rate>, waits: &Waits, host: &str) -> Result<(), FetchError> {
        let mut anew = self.anew.subscribe();
        let now = || waits.clock().instant();
        let place = || self.pace().take(rate, waits.longest(), now()).map_err(|wait| waits.held(wait, host));
        let mut wait = place()?;
        let (mut due, mut turns, mut places) = (now() + wait, 0, 0);
        while !wait.is_zero() && turns < TURNS_MAX {
            tokio::select! {
                waited = waits.wait(wait.saturating_add(SPREAD.mul_f64(fastrand::f64()))) => {
                    waited?;
                    turns += 1;
                    // Somebody else may have been told meanwhile.
                    wait = self.pace().held(now()).unwrap_or_default();
                }
                Ok(()) = anew.changed(), if places < PLACES_MAX => {
                    places += 1;
                    if due > now() {
                        wait = place()?;
                        due = now() + wait;
                    } else {
                        wait = self.pace().held(now()).unwrap_or_default();
                    }
                }
            }
            if wait > waits.longest() {
                return Err(waits.held(wait, host));
            }
        }
        Ok(())
    }

    /// Notes a wait that the host asked for.
    pub(super) fn hold(&self, span: Duration, now: Instant) {
        let mut pace = self.pace();
        pace.hold(span, now);
        self.tell(pace.untold(now));
    }

    /// Notes what an answer's headers tell of requests that are left.
    pub(super) fn note(&self, quota: Option<(f64, Duration)>, now: Instant) {
        if let Some((left, until_more)) = quota {
            let mut pace = self.pace();
            pace.note(left, until_more, now);
            self.tell(pace.untold(now));
        }
    }

    /// Has other fetchers know of a wait. Where many are on their way already, they don't hear of this one.
    fn tell(&self, until: Option<Instant>) {
        if let (Some(until), Some((host, pauses))) = (until, &self.peers) {
            pauses.try_send(UntoldPause { host: host.clone(), until }).ok();
        }
    }

    fn share_out(&self, share: RateShare, now: Instant) {
        if self.pace().share_out(share, now) {
            self.anew.send_replace(());
        }
    }

    fn end_told(&self, now: Instant) {
        self.pace().end_told(now);
        self.anew.send_replace(());
    }

    pub(super) fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// Goes on by HTTP/1.1; gives whether that is new.
    pub(super) fn go_on_by_http1(&self) -> bool {
        !self.is_http1.swap(true, Ordering::Relaxed)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, compile};
    use crate::process::stop;
    use crate::transport::Clock;

    fn plan(key: &str) -> Arc<Plan> {
        let text = format!(
            "logzio: {{url: 'http://127.0.0.1:1', token: t}}\nauth_apis:\n- {{type: cisco_secure_x, name: a, \
             credentials: {{id: i, key: {key}}}, settings: {{time_interval: 5, rate_limit: 2/min}}}}\n"
        );
        let config = compile(&text, &Environment { variable: &|_| None, directory: Path::new(".") }).config;
        config.expect("a config").apis.remove(0)
    }

    fn gates(salt: &str) -> (Gates, mpsc::Receiver<UntoldPause>) {
        let (pauses, told) = mpsc::channel(8);
        (Gates::among_peers(Secret::new(salt), pauses), told)
    }

    /// How many seconds it takes to pass.
    async fn passed(gate: &Gate, plan: &Plan) -> u64 {
        let ((_stopping, stop), (_calling, recall)) = (stop::channel(), stop::recall());
        let waits = Waits::new(stop, recall, Duration::from_secs(300), Clock::System);
        let begun = Instant::now();
        gate.pass(plan.rate, &waits, "host").await.expect("it passes");
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_place_takes_it_anew_when_the_share_is_another_one() {
        let (gates, plan) = (gates("salt").0, plan("k"));
        let share = |own| [(gates.key(&plan), RateShare::of(own, 2))].into();
        gates.share_out(share(1), Instant::now());
        let gate = gates.of(&plan);
        assert_eq!(passed(&gate, &plan).await, 0);
        let grows = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            gates.share_out(share(2), Instant::now());
        };
        let (waited, ()) = tokio::join!(passed(&gate, &plan), grows);
        assert_eq!(waited, 20, "the second of two in a minute");
        let falls = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            gates.share_out(share(1), Instant::now());
        };
        let (waited, ()) = tokio::join!(passed(&gate, &plan), falls);
        assert_eq!(waited, 60, "the only one in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_fetcher_was_asked_for_holds_until_it_is_over_also_where_nobody_has_asked_yet() {
        let (gates, plan) = (gates("salt").0, plan("k"));
        let host = gates.key(&plan).to_hex();
        let hear = |wait: Option<u64>| {
            let pause = ToldPause { host: host.clone(), wait: wait.map(Duration::from_secs) };
            gates.hear(&pause, Instant::now());
        };
        hear(Some(30));
        let gate = gates.of(&plan);
        assert_eq!(passed(&gate, &plan).await, 30);
        hear(Some(200));
        let ends = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            hear(None);
        };
        assert_eq!(tokio::join!(passed(&gate, &plan), ends).0, 10);
        for host in ["", "x", "00", &"z".repeat(32), &"+".repeat(32)] {
            gates.hear(&ToldPause { host: host.to_owned(), wait: Some(Duration::from_secs(9)) }, Instant::now());
        }
        for number in 0..TOLD_MAX + 10 {
            let host = Fingerprint::of(&[&number.to_le_bytes()]).to_hex();
            gates.hear(&ToldPause { host, wait: Some(Duration::from_secs(9)) }, Instant::now());
        }
        assert_eq!(gates.table().told.len(), TOLD_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_told_to_others_once_and_a_short_one_is_not() {
        let ((gates, mut told), plan) = (gates("salt"), plan("k"));
        let (gate, now) = (gates.of(&plan), Instant::now());
        gate.hold(Duration::from_secs(2), now);
        assert!(told.try_recv().is_err(), "it is short");
        gate.hold(Duration::from_secs(8), now);
        let pause = told.try_recv().expect("it is told");
        assert_eq!(pause, UntoldPause { host: gates.key(&plan).to_hex(), until: now + Duration::from_secs(8) });
        gates.hear(&ToldPause { host: pause.host, wait: Some(Duration::from_secs(8)) }, now);
        gate.hold(Duration::from_secs(8), now);
        assert!(told.try_recv().is_err(), "the others know it");
        gate.note(Some((3.0, Duration::from_secs(30))), now);
        gate.note(Some((0.0, Duration::from_secs(30))), now);
        assert_eq!(told.try_recv().expect("it is told").until, now + Duration::from_secs(30));
        for seconds in 100..200 {
            // Nobody takes them, and nobody waits for that.
            gate.hold(Duration::from_secs(seconds), now);
        }
        let alone = Gates::default().of(&plan);
        alone.hold(Duration::from_secs(8), now);
        assert_eq!(alone.peers.as_ref().map(|(host, _)| host), None);
    }

    #[test]
    fn a_host_has_the_same_name_in_all_fetchers_and_nobody_else_can_make_it() {
        let (one, other) = (plan("k"), plan("l"));
        let key = |salt: &str, plan: &Plan| gates(salt).0.key(plan);
        assert_eq!(key("salt", &one), key("salt", &one));
        assert_ne!(key("salt", &one), key("salt", &other), "another login");
        assert_ne!(key("salt", &one), key("another", &one));
        assert_ne!(key("", &one), one.host_and_login());
        assert_eq!(Gates::default().key(&one), one.host_and_login());
        let digits = key("salt", &one).to_hex();
        assert_eq!((Fingerprint::from_hex(&digits), digits.len()), (Some(key("salt", &one)), 32));
    }
}
