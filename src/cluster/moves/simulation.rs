//! Several members with views that lag behind, around one engine that does what it is asked only if its conditions hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cluster::assign::Targets;
use crate::cluster::lease::LEASE_TTL;
use crate::cluster::restless::Standing;
use crate::cluster::slot::MemberId;

/// How exactly moments are told apart.
const TICK: Duration = Duration::from_millis(100);
/// The longest way of a message, and the longest iteration.
const LAG_MAX_MS: u64 = 1_500;
const ITERATION_MAX_MS: u64 = 30_000;
/// One member hands all slots over in 103 s; before there is calm, and after it an iteration ends.
const QUIET_WITHIN: Duration = Duration::from_secs(200);

/// The name of one that lives through everything.
const SURVIVOR: u8 = 9;

/// What happens from outside.
#[derive(Clone, Copy, Debug)]
enum PlayedFault {
    /// A process starts under this name. One that ran under it is killed.
    Start(u8),
    Kill(u8),
    Leave(u8),
    /// The engine drops its lease by mistake.
    Revoke(u8),
    /// It stands still for so many seconds.
    Freeze(u8, u64),
    Say(u8, Standing),
}

#[derive(Clone, Debug)]
enum PlayedNews {
    Came(MemberId, Standing),
    Left(MemberId),
    Taken(Slot, MemberId, i64),
    Freed(Slot, i64),
}

#[derive(Clone, Debug)]
enum PlayedAct {
    Register(MemberId),
    /// The lease ends, unless it was renewed or granted anew since.
    Expire(MemberId),
    Claim(MemberId, SeenSlot),
    Release(MemberId, Slot, i64),
}

struct PlayedProcess {
    view: ClusterView,
    standing: Standing,
    is_running: bool,
    frozen_until: Duration,
    /// Up to where it has read the log.
    read: usize,
    wake: Option<Duration>,
    /// What it has read, noted apart from the view.
    heard_of_change: Duration,
    heard_left: BTreeMap<MemberId, Duration>,
    handovers: Vec<Duration>,
}

struct PlayedCluster {
    now: Duration,
    random: fastrand::Rng,
    revision: i64,
    members: BTreeMap<MemberId, Standing>,
    owners: BTreeMap<Slot, (MemberId, i64)>,
    log: Vec<(Duration, PlayedNews)>,
    acts: Vec<(Duration, PlayedAct)>,
    processes: BTreeMap<MemberId, PlayedProcess>,
}

impl PlayedCluster {
    fn new(seed: u64) -> Self {
        Self {
            now: Duration::from_secs(1_000),
            random: fastrand::Rng::with_seed(seed),
            revision: 1,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            log: Vec::new(),
            acts: Vec::new(),
            processes: BTreeMap::new(),
        }
    }

    fn after(&mut self, longest_ms: u64, act: PlayedAct) {
        let delay = Duration::from_millis(self.random.u64(1..=longest_ms));
        self.acts.push((self.now + delay, act));
    }

    fn happened(&mut self, event: impl FnOnce(i64) -> PlayedNews) -> i64 {
        self.revision += 1;
        self.log.push((self.now, event(self.revision)));
        self.revision
    }

    /// The process that runs under a name.
    fn running(&self, name: u8) -> Option<MemberId> {
        let named = |(id, process): &(&MemberId, &PlayedProcess)| id.member == name.to_string() && process.is_running;
        self.processes.iter().find(named).map(|(id, _)| id.clone())
    }

    fn start(&mut self, name: u8) {
        let id = MemberId { member: name.to_string(), incarnation: self.random.u64(..) };
        let mut view = ClusterView::new(id.clone(), self.now);
        view.read(self.members.clone(), self.owners.clone(), self.revision, self.now);
        let dead =
            self.owners.values().map(|(owner, _)| owner.clone()).filter(|owner| !self.members.contains_key(owner));
        let process = PlayedProcess {
            view,
            standing: Standing::Willing,
            is_running: true,
            frozen_until: Duration::ZERO,
            read: self.log.len(),
            wake: None,
            heard_of_change: self.now,
            heard_left: dead.map(|owner| (owner, self.now)).collect(),
            handovers: Vec::new(),
        };
        self.processes.insert(id.clone(), process);
        self.after(LAG_MAX_MS, PlayedAct::Register(id));
    }

    fn fault(&mut self, fault: PlayedFault) {
        let (PlayedFault::Start(name) | PlayedFault::Kill(name) | PlayedFault::Leave(name)) = fault else {
            return self.disturb(fault);
        };
        let running = self.running(name);
        if let Some((id, process)) = running.and_then(|id| Some((id.clone(), self.processes.get_mut(&id)?))) {
            if matches!(fault, PlayedFault::Leave(_)) {
                process.standing = Standing::Leaving;
                process.view.leave();
                process.wake = Some(self.now + TICK);
                self.register(&id);
            } else {
                process.is_running = false;
                self.acts.push((self.now + LEASE_TTL, PlayedAct::Expire(id)));
            }
        }
        if matches!(fault, PlayedFault::Start(_)) {
            self.start(name);
        }
    }

    fn disturb(&mut self, fault: PlayedFault) {
        let (PlayedFault::Revoke(name) | PlayedFault::Freeze(name, _) | PlayedFault::Say(name, _)) = fault else {
            return;
        };
        let Some(id) = self.running(name) else { return };
        let Some(process) = self.processes.get_mut(&id) else { return };
        match fault {
            PlayedFault::Freeze(_, seconds) => {
                process.frozen_until = self.now + Duration::from_secs(seconds);
                self.acts.push((self.now + LEASE_TTL, PlayedAct::Expire(id)));
            }
            PlayedFault::Say(_, standing) if process.standing != Standing::Leaving => {
                process.standing = standing;
                self.register(&id);
            }
            PlayedFault::Revoke(_) => self.unregister(&id),
            _ => {}
        }
    }

    fn register(&mut self, id: &MemberId) {
        let Some(process) = self.processes.get(id).filter(|process| process.is_running) else { return };
        let standing = process.standing;
        if self.members.insert(id.clone(), standing) != Some(standing) {
            self.happened(|_| PlayedNews::Came(id.clone(), standing));
        }
    }

    fn unregister(&mut self, id: &MemberId) {
        if self.members.remove(id).is_some() {
            self.happened(|_| PlayedNews::Left(id.clone()));
        }
    }

    fn act(&mut self, act: PlayedAct) {
        match act {
            PlayedAct::Register(id) => self.register(&id),
            PlayedAct::Expire(id) => {
                let renews = |process: &PlayedProcess| process.is_running && process.frozen_until <= self.now;
                if !self.processes.get(&id).is_some_and(renews) {
                    self.unregister(&id);
                }
            }
            PlayedAct::Claim(id, take) => {
                let seen = self.owners.get(&take.slot).map_or(ABSENT, |(_, revision)| *revision);
                let lives = take.owner.as_ref().is_some_and(|owner| self.members.contains_key(owner));
                if seen == take.written_at && !lives && self.members.contains_key(&id) {
                    let owner = self.owners.get(&take.slot).map(|(owner, _)| owner.clone());
                    assert_eq!(owner, take.owner, "it was another one's");
                    let revision = self.happened(|revision| PlayedNews::Taken(take.slot, id.clone(), revision));
                    self.owners.insert(take.slot, (id.clone(), revision));
                    // The answer may be here before the news.
                    if let (true, Some(process)) = (self.random.bool(), self.processes.get_mut(&id)) {
                        process.view.slot_taken(take.slot, id, revision, self.now);
                    }
                }
            }
            PlayedAct::Release(id, slot, token) => {
                if self.owners.get(&slot) == Some(&(id, token)) {
                    self.owners.remove(&slot);
                    self.happened(|revision| PlayedNews::Freed(slot, revision));
                }
            }
        }
    }

    /// A process reads what has come to it, decides, and does it.
    fn step(&mut self, id: &MemberId) {
        let until = self.now.saturating_sub(Duration::from_millis(self.random.u64(1..=LAG_MAX_MS)));
        let Some(process) = self.processes.get_mut(id) else { return };
        if !process.is_running || self.now < process.frozen_until {
            return;
        }
        let mut has_news = false;
        let mut acts = Vec::new();
        for (_, event) in self.log.iter().skip(process.read).take_while(|(at, _)| *at <= until) {
            process.read += 1;
            has_news = true;
            if process.hear(event.clone(), self.now) {
                acts.push((10, PlayedAct::Register(id.clone())));
            }
        }
        if has_news || process.wake.is_some_and(|wake| wake <= self.now) {
            let decision = process.decide(self.now);
            let tokens: BTreeMap<Slot, i64> = process.view.mine().collect();
            acts.extend(decision.take.into_iter().map(|take| (LAG_MAX_MS, PlayedAct::Claim(id.clone(), take))));
            let released = decision.hand_over.iter().map(|slot| PlayedAct::Release(id.clone(), *slot, tokens[slot]));
            acts.extend(released.map(|act| (ITERATION_MAX_MS, act)));
        }
        acts.into_iter().for_each(|(longest_ms, act)| self.after(longest_ms, act));
        self.quit_if_done(id);
    }

    /// Who leaves and has nothing any more goes.
    fn quit_if_done(&mut self, id: &MemberId) {
        let Some(process) = self.processes.get_mut(id) else { return };
        if process.standing == Standing::Leaving && process.view.mine().next().is_none() {
            process.is_running = false;
            self.unregister(id);
        }
    }

    /// Goes on up to a moment, or until nothing happens any more.
    fn run(&mut self, until: Duration) {
        while self.now < until && self.goes_on() {
            self.now += TICK;
            let (due, later) = std::mem::take(&mut self.acts).into_iter().partition(|(at, _)| *at <= self.now);
            self.acts = later;
            let mut due: Vec<(Duration, PlayedAct)> = due;
            due.sort_by_key(|(at, _)| *at);
            due.into_iter().for_each(|(_, act)| self.act(act));
            let ids: Vec<MemberId> = self.processes.keys().cloned().collect();
            ids.iter().for_each(|id| self.step(id));
        }
        self.now = self.now.max(until);
    }

    fn goes_on(&self) -> bool {
        let has_more = |process: &PlayedProcess| process.read < self.log.len() || process.wake.is_some();
        !self.acts.is_empty() || self.processes.values().any(|process| process.is_running && has_more(process))
    }

    /// All have what they should, know it, and leave it at that.
    fn assert_settled(&mut self) {
        assert!(!self.goes_on(), "it doesn't come to rest");
        let of = |kind| self.members.iter().filter(move |(_, standing)| **standing == kind).map(|(id, _)| id);
        let willing: Vec<&MemberId> = of(Standing::Willing).collect();
        let reluctant: Vec<&MemberId> = of(Standing::Reluctant).collect();
        let targets = Targets::among(if willing.is_empty() { reluctant } else { willing });
        for slot in Slot::all() {
            let owner = self.owners.get(&slot).map(|(owner, _)| owner);
            assert_eq!(owner, targets.of(slot), "{slot}");
            assert!(owner.is_some_and(|owner| self.members.contains_key(owner)));
        }
        for (id, process) in self.processes.iter().filter(|(_, process)| process.is_running) {
            let owned = self.owners.iter().filter(|(_, (owner, _))| owner == id);
            let owned: Vec<(Slot, i64)> = owned.map(|(slot, (_, token))| (*slot, *token)).collect();
            assert_eq!(process.view.mine().collect::<Vec<_>>(), owned);
            assert_eq!(process.view.decide(self.now + Duration::from_secs(3_600)), Decision::default());
        }
    }
}

impl PlayedProcess {
    /// Whether its own key is gone, and must be written again.
    fn hear(&mut self, event: PlayedNews, now: Duration) -> bool {
        match event {
            PlayedNews::Came(id, standing) => {
                self.heard_of_change = now;
                self.heard_left.remove(&id);
                self.view.member_came(id, standing, now);
            }
            PlayedNews::Left(id) => {
                self.heard_of_change = now;
                self.heard_left.insert(id.clone(), now);
                self.view.member_left(&id, now);
                return id == self.view.me;
            }
            PlayedNews::Taken(slot, owner, revision) => self.view.slot_taken(slot, owner, revision, now),
            PlayedNews::Freed(slot, revision) => self.view.slot_freed(slot, revision),
        }
        false
    }

    /// What it decides, which must keep to the rules.
    fn decide(&mut self, now: Duration) -> Decision {
        let decision = self.view.decide(now);
        self.view.decided(&decision, now);
        self.wake = decision.next_look;
        for owner in decision.take.iter().filter_map(|take| take.owner.as_ref()) {
            let left = self.heard_left.get(owner).expect("its owner lives");
            assert!(now >= *left + GRACE, "taken within the grace");
        }
        if self.standing == Standing::Leaving {
            assert_eq!(decision.take, []);
        } else if !decision.hand_over.is_empty() {
            assert!(now >= self.heard_of_change + CALM, "handed over before it was calm");
            self.handovers.extend(decision.hand_over.iter().map(|_| now));
            let recent = self.handovers.iter().filter(|at| now < **at + SECOND).count();
            assert!(recent <= HANDOVERS_PER_SECOND, "{recent} handovers in a second");
        }
        decision
    }
}

fn fault() -> impl Strategy<Value = PlayedFault> {
    let standing = prop_oneof![Just(Standing::Willing), Just(Standing::Reluctant)];
    (0_u8..4).prop_flat_map(move |name| {
        prop_oneof![
            3 => Just(PlayedFault::Start(name)),
            1 => Just(PlayedFault::Kill(name)),
            1 => Just(PlayedFault::Leave(name)),
            1 => Just(PlayedFault::Revoke(name)),
            1 => (1_u64..20).prop_map(move |seconds| PlayedFault::Freeze(name, seconds)),
            1 => standing.clone().prop_map(move |standing| PlayedFault::Say(name, standing)),
            1 => standing.clone().prop_map(|standing| PlayedFault::Say(SURVIVOR, standing)),
        ]
    })
}

#[test]
fn in_the_end_every_slot_has_its_target_for_owner_and_nothing_moves_any_more() {
    let faults = prop::collection::vec((fault(), 0_u64..40_000), 0..8);
    proptest!(ProptestConfig::with_cases(16), |(seed in any::<u64>(), others in 0_u8..4, faults in faults)| {
        let mut cluster = PlayedCluster::new(seed);
        (0..others).chain([SURVIVOR]).for_each(|name| cluster.start(name));
        for (fault, wait) in faults {
            cluster.run(cluster.now + Duration::from_millis(wait));
            cluster.fault(fault);
        }
        cluster.run(cluster.now + QUIET_WITHIN);
        cluster.assert_settled();
    });
}
