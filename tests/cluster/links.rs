//! Links between replicas and etcd, and between nodes of etcd, that are cut, pass in one direction alone, or deliver late.

use std::time::{Duration, Instant};

use crate::fetchers::Running;
use crate::harness::Etcd;
use crate::owners::OwnerHistory;
use crate::proxy::{Passage, Ways};
use crate::world::{APIS, PATIENCE, Play};

/// How long a replica is cut off: longer than everything that waits for an answer.
const CUT: Duration = Duration::from_secs(30);
/// How long a node of etcd is: others lead long before.
const NODE_CUT: Duration = Duration::from_secs(10);
/// How long the answers of each node in turn are swallowed.
const ONE_WAY: Duration = Duration::from_secs(4);
/// How much later requests arrive: their writer has had its answer elsewhere, and has written more.
const LATE: Duration = Duration::from_secs(8);
/// How often a node delivers late.
const LATE_ROUNDS: usize = 9;

/// Two fetchers over links. The first runs all APIs.
struct Linked {
    play: Play,
    ways: [Ways; 2],
    fetchers: [Running; 2],
}

impl Linked {
    /// They ask this node of etcd first.
    async fn from(etcd: &Etcd, node: usize) -> Self {
        let ways = [Ways::to(etcd).await, Ways::to(etcd).await];
        let mut play = Play::new(etcd);
        let mut start = |ways: &Ways| {
            let mut endpoints = ways.endpoints();
            endpoints.rotate_left(node);
            play.start_over(&endpoints)
        };
        let first = start(&ways[0]);
        first.wait_for_log("iteration done", APIS);
        let second = start(&ways[1]);
        second.wait_for_log("joined", 1);
        Self { play, ways, fetchers: [first, second] }
    }

    /// All links to a node do this.
    fn set(&self, node: usize, passage: Passage) {
        self.ways.iter().for_each(|ways| ways.links[node].set(passage));
    }

    /// Waits until all APIs go on after a moment, whatever is cut since then, and until so much time has gone by.
    #[track_caller]
    fn go_on_until(&self, since: Instant, later: Duration) {
        self.play.world.wait_for_all_since(since + Duration::from_millis(500));
        std::thread::sleep(later.saturating_sub(since.elapsed()));
    }
}

fn runs(fetcher: &Running) -> usize {
    fetcher.log().matches("iteration done").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_cut_off_from_etcd_is_replaced_and_comes_back() {
    let etcd = Etcd::three().await;
    let linked = Linked::from(&etcd, 0).await;
    let (world, first) = (&linked.play.world, &linked.fetchers[0]);
    linked.ways[0].set(Passage::Swallowing);
    let since = Instant::now();
    linked.go_on_until(since, CUT);
    linked.ways[0].set(Passage::Open);
    first.wait_for_log("goes on in another member", 1);
    let (back, before) = (Instant::now(), runs(first));
    while runs(first) == before {
        assert!(back.elapsed() < PATIENCE, "it has no slots again: {}", first.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    world.wait_for_all_since(Instant::now());
    world.balance(since).assert_whole("replica cut off from etcd", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_etcd_that_no_replica_reaches_costs_no_record() {
    let etcd = Etcd::three().await;
    let leader = etcd.leader().await;
    let linked = Linked::from(&etcd, leader).await;
    linked.set(leader, Passage::Swallowing);
    let since = Instant::now();
    linked.go_on_until(since, NODE_CUT);
    linked.set(leader, Passage::Open);
    let world = &linked.play.world;
    world.wait_for_all_since(Instant::now());
    world.balance(since).assert_whole("leader out of reach", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_etcd_that_nobody_reaches_costs_no_record() {
    let etcd = Etcd::three_over_links().await;
    let leader = etcd.leader().await;
    let linked = Linked::from(&etcd, leader).await;
    etcd.cut_off(leader).await;
    linked.set(leader, Passage::Swallowing);
    let since = Instant::now();
    linked.go_on_until(since, NODE_CUT);
    assert_ne!(etcd.leader_but(leader).await, leader);
    etcd.heal();
    linked.set(leader, Passage::Open);
    let world = &linked.play.world;
    world.wait_for_all_since(Instant::now());
    world.balance(since).assert_whole("leader cut off from all", 0);
}

/// It goes on answering replicas what it can without the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_etcd_that_only_replicas_reach_costs_no_record() {
    let etcd = Etcd::three_over_links().await;
    let leader = etcd.leader().await;
    let linked = Linked::from(&etcd, leader).await;
    etcd.cut_off(leader).await;
    let since = Instant::now();
    linked.go_on_until(since, NODE_CUT);
    etcd.heal();
    let world = &linked.play.world;
    world.wait_for_all_since(Instant::now());
    world.balance(since).assert_whole("leader cut off from other nodes", 0);
}

/// Each write is done, and its writer doesn't hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_get_lost_cost_no_record_and_double_none() {
    let etcd = Etcd::three().await;
    let linked = Linked::from(&etcd, 0).await;
    let (world, since) = (&linked.play.world, Instant::now());
    // Whoever doesn't answer is asked last from then on.
    for node in 0..etcd.nodes.len() {
        linked.set(node, Passage::OneWay);
        linked.go_on_until(Instant::now(), ONE_WAY);
        linked.set(node, Passage::Open);
    }
    world.wait_for_all_since(Instant::now());
    world.balance(since).assert_whole("answers lost", 0);
}

/// A write that is asked elsewhere, and done there, arrives seconds later where it was asked first.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_arrive_late_undo_nothing() {
    let etcd = Etcd::three().await;
    let (linked, history) = (Linked::from(&etcd, 0).await, OwnerHistory::follow(&etcd));
    let (world, since) = (&linked.play.world, Instant::now());
    for round in 0..LATE_ROUNDS {
        let node = round % etcd.nodes.len();
        linked.set(node, Passage::Late { requests: LATE, answers: Duration::ZERO });
        linked.go_on_until(Instant::now(), Duration::from_secs(1));
        linked.set(node, Passage::Open);
    }
    linked.go_on_until(Instant::now(), LATE + Duration::from_secs(1));
    world.wait_for_all_since(Instant::now());
    let (balance, takeovers) = (world.balance(since), history.takeovers().await);
    println!("takeovers {takeovers:?}");
    balance.assert_bounded("late requests", |api| takeovers.get(&api).copied().unwrap_or_default());
}
