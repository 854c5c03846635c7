//! Chaos with replicas: fetchers, nodes of etcd and the links between them come to harm at random, up to three at a time, and in
//! the end every event must have arrived, and of each API no more batches doubled than its slot was taken over.
//!
//! `CHAOS_SECONDS` and `CHAOS_SEED` make it longer and other. Where it fails, the logs of all fetchers are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::fetchers::{Fetcher, Outcome, Running};
use crate::harness::Etcd;
use crate::owners::OwnerHistory;
use crate::proxy::{Passage, Ways};
use crate::world::{APIS, Balance, Play};

const REPLICAS: usize = 3;
const NODES: usize = 3;
/// How long a run of all tests has time for.
const SECONDS_DEFAULT: u64 = 60;
/// How many faults there are at the same time at most.
const FAULTS_MAX: usize = 3;
/// One of so many faults of a node may come on top of another one: then there is no quorum.
const QUORUM_LOST_ONE_OF: u32 = 8;
/// One of so many restarted fetchers keeps its name: who comes back often under the same one gets no slots for a while.
const NAME_KEPT_ONE_OF: u32 = 4;
/// How long the listener takes to answer at most.
const ANSWERED_WITHIN: Duration = Duration::from_millis(300);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ReplicaKilled(usize),
    ReplicaStopped(usize),
    NodeKilled(usize),
    NodeStopped(usize),
    /// Of a replica's links: one, or all.
    Link(usize, Option<usize>, Passage),
}

impl Fault {
    /// A fault that may come now, and how long it lasts.
    fn drawn(random: &mut Rng, now: &[(Instant, Fault)]) -> Option<(Fault, Duration)> {
        let (replica, node) = (random.usize(..REPLICAS), random.usize(..NODES));
        let fault = match random.u8(..8) {
            0 => Self::ReplicaKilled(replica),
            1 => Self::ReplicaStopped(replica),
            2 => Self::NodeKilled(node),
            3 => Self::NodeStopped(node),
            kind => Self::Link(replica, random.bool().then_some(node), passage(random, kind)),
        };
        let is_bearable = |there: &Fault| match (fault, *there) {
            (Self::Link(one, ..), Self::Link(other, ..)) => one != other,
            (Self::Link(..), _) | (_, Self::Link(..)) => true,
            (one, other) => match (one.node(), other.node()) {
                (Some(one), Some(other)) => one != other && random.u32(..QUORUM_LOST_ONE_OF) == 0,
                _ => one.replica() != other.replica(),
            },
        };
        let is_bearable = now.iter().map(|(_, there)| there).all(is_bearable);
        is_bearable.then(|| (fault, Duration::from_millis(random.u64(200..=12_000))))
    }

    fn node(self) -> Option<usize> {
        match self {
            Self::NodeKilled(node) | Self::NodeStopped(node) => Some(node),
            _ => None,
        }
    }

    fn replica(self) -> Option<usize> {
        match self {
            Self::ReplicaKilled(replica) | Self::ReplicaStopped(replica) => Some(replica),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::ReplicaKilled(_) => "replicas killed",
            Self::ReplicaStopped(_) => "replicas stopped",
            Self::NodeKilled(_) => "nodes killed",
            Self::NodeStopped(_) => "nodes stopped",
            Self::Link(_, Some(_), _) => "replicas cut off from a node",
            Self::Link(_, None, _) => "replicas cut off from all nodes",
        }
    }
}

fn passage(random: &mut Rng, kind: u8) -> Passage {
    let is_second = usize::from(random.bool());
    let mut ms = |most| Duration::from_millis(random.u64(20..=most));
    match kind {
        4 => [Passage::Swallowing, Passage::Holding][is_second],
        5 => Passage::OneWay,
        6 => Passage::slow(ms(400)),
        _ => [Passage::Refusing, Passage::Late { requests: ms(9_000), answers: ms(50) }][is_second],
    }
}

/// A fetcher, and where it is while it isn't running.
struct Replica {
    ways: Ways,
    running: Option<Running>,
    killed: Option<Outcome>,
    /// Of its former lives.
    logs: Vec<String>,
}

struct Chaos {
    etcd: Etcd,
    play: Play,
    replicas: Vec<Replica>,
    random: Rng,
    /// What is wrong now, and until when.
    faults: Vec<(Instant, Fault)>,
    counts: BTreeMap<&'static str, usize>,
}

impl Chaos {
    async fn begin(seed: u64) -> Self {
        let etcd = Etcd::three().await;
        let mut play = Play::new(&etcd);
        play.world.answer_within(ANSWERED_WITHIN);
        let mut replicas = Vec::new();
        for at in 0..REPLICAS {
            let ways = Ways::to(&etcd).await;
            let mut endpoints = ways.endpoints();
            endpoints.rotate_left(at);
            let running = play.start_over(&endpoints);
            replicas.push(Replica { ways, running: Some(running), killed: None, logs: Vec::new() });
        }
        Self { etcd, play, replicas, random: Rng::with_seed(seed), faults: Vec::new(), counts: BTreeMap::new() }
    }

    fn go_on(&mut self, length: Duration) {
        let begun = Instant::now();
        let mut next = begun;
        while begun.elapsed() < length {
            self.heal_until(Instant::now());
            if self.faults.len() < FAULTS_MAX && next <= Instant::now() {
                if let Some((fault, lasts)) = Fault::drawn(&mut self.random, &self.faults) {
                    println!("{:>9.3?} {fault:?} for {lasts:?}; {}", begun.elapsed(), chrono::Utc::now());
                    self.harm(fault);
                    self.faults.push((Instant::now() + lasts, fault));
                    *self.counts.entry(fault.kind()).or_default() += 1;
                }
                next = Instant::now() + Duration::from_millis(self.random.u64(100..=2_500));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.faults.iter_mut().for_each(|(until, _)| *until = Instant::now());
        self.heal_until(Instant::now());
    }

    fn heal_until(&mut self, now: Instant) {
        let (over, faults) = std::mem::take(&mut self.faults).into_iter().partition(|(until, _)| *until <= now);
        self.faults = faults;
        let over: Vec<(Instant, Fault)> = over;
        over.into_iter().for_each(|(_, fault)| self.heal(fault));
    }

    fn harm(&mut self, fault: Fault) {
        match fault {
            Fault::ReplicaKilled(at) => {
                let outcome = self.replicas[at].running.take().expect("it runs").kill();
                self.replicas[at].logs.push(outcome.stderr.clone());
                self.replicas[at].killed = Some(outcome);
            }
            Fault::ReplicaStopped(at) => self.running(at).signal("STOP"),
            Fault::NodeKilled(at) => self.etcd.nodes[at].kill(),
            Fault::NodeStopped(at) => self.etcd.nodes[at].stop(),
            Fault::Link(replica, node, passage) => self.set(replica, node, passage),
        }
    }

    fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::ReplicaKilled(at) => self.restart(at),
            Fault::ReplicaStopped(at) => self.running(at).signal("CONT"),
            Fault::NodeKilled(at) => self.etcd.nodes[at].start(),
            Fault::NodeStopped(at) => self.etcd.nodes[at].go_on(),
            Fault::Link(replica, node, _) => self.set(replica, node, Passage::Open),
        }
    }

    fn running(&self, at: usize) -> &Running {
        self.replicas[at].running.as_ref().expect("it runs")
    }

    fn set(&self, replica: usize, node: Option<usize>, passage: Passage) {
        let ways = &self.replicas[replica].ways;
        node.map_or_else(|| ways.set(passage), |node| ways.links[node].set(passage));
    }

    fn restart(&mut self, at: usize) {
        let outcome = self.replicas[at].killed.take().expect("it was killed");
        if self.random.u32(..NAME_KEPT_ONE_OF) > 0 {
            let mut endpoints = self.replicas[at].ways.endpoints();
            endpoints.rotate_left(at);
            outcome.write("config.yaml", &self.play.config_over(&endpoints));
        }
        self.replicas[at].running = Some(Fetcher::again(outcome).start());
    }

    /// Writes the logs of all fetchers, and says where.
    fn kept_logs(&self, seed: u64) -> PathBuf {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        std::fs::create_dir_all(&directory).unwrap();
        for (at, replica) in self.replicas.iter().enumerate() {
            let last = replica.running.as_ref().map(Running::log);
            for (life, log) in replica.logs.iter().chain(&last).enumerate() {
                std::fs::write(directory.join(format!("replica-{at}-life-{life}.log")), log).unwrap();
            }
        }
        directory
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos() {
    let seconds = number("CHAOS_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CHAOS_SECONDS={seconds} CHAOS_SEED={seed}");
    let mut chaos = Chaos::begin(seed).await;
    let history = OwnerHistory::follow(&chaos.etcd);
    let since = Instant::now();
    chaos.play.world.wait_for_all_since(since);
    chaos.go_on(Duration::from_secs(seconds));
    let balance: Balance = chaos.play.world.balance(since);
    let logs = chaos.kept_logs(seed);
    let takeovers = history.takeovers().await;
    let of = |api: usize| takeovers.get(&api).copied().unwrap_or_default();
    println!(
        "chaos of {seconds} s: {:?}, {} batches, {} takeovers of APIs, {} doubled batches",
        chaos.counts,
        balance.batches,
        (0..APIS).map(of).sum::<usize>(),
        balance.doubled.values().sum::<usize>()
    );
    balance.assert_bounded(&format!("chaos, seed {seed}, logs in {}, takeovers {takeovers:?}", logs.display()), of);
    std::fs::remove_dir_all(logs).unwrap();
}
