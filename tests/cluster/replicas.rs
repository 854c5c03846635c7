//! Several fetchers on one etcd, and what becomes of records when one of them dies, stands still, leaves or joins, or when
//! a node of etcd does.

use std::time::{Duration, Instant};

use crate::fetchers::{Fetcher, MockListener, MockServer, Outcome, Running, general, page};
use crate::harness::Etcd;
use crate::proxy::{Passage, Ways};
use crate::world::{APIS, Play, begun};

/// How long all of etcd is away.
const AWAY: Duration = Duration::from_secs(20);
/// How long a process stands still: long enough to be replaced, and for everything that waited for it to have ended.
const STILL: Duration = Duration::from_secs(30);

/// Whether a fetcher runs any API.
fn runs(fetcher: &Running) -> usize {
    fetcher.log().matches("iteration done").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_is_replaced() {
    let (_etcd, mut play, first) = begun().await;
    let _second = play.start();
    let begun = Instant::now();
    play.world.wait_for_all_since(begun);
    first.kill();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(1));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("replica killed", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_still_is_replaced_and_wakes_up_to_nothing() {
    let (_etcd, mut play, first) = begun().await;
    let second = play.start();
    second.wait_for_log("joined", 1);
    first.signal("STOP");
    let since = Instant::now();
    // Until it was replaced, and a while after.
    play.world.wait_for_all_since(since + Duration::from_millis(500));
    std::thread::sleep(STILL.saturating_sub(since.elapsed()));
    let awake = Instant::now();
    first.signal("CONT");
    first.wait_for_log("goes on in another member", 1);
    play.world.wait_for_all_since(awake);
    play.world.balance(since).assert_whole("replica stood still", 1);
    assert!(runs(&second) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_leaves_doubles_nothing() {
    let (_etcd, mut play, first) = begun().await;
    let second = play.start();
    second.wait_for_log("joined", 1);
    let since = Instant::now();
    let stopped: Outcome = first.stop();
    stopped.assert_code(0);
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("replica left", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_joins_gets_its_part_and_doubles_nothing() {
    let (_etcd, mut play, first) = begun().await;
    let since = Instant::now();
    let second = play.start();
    // One of its APIs at least moves there.
    second.wait_for_log("iteration done", 1);
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("replica joined", 0);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_etcds_leader_costs_no_record() {
    let (mut etcd, play, _first) = begun().await;
    let leader = etcd.leader().await;
    etcd.nodes[leader].kill();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(500));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("leader killed", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_etcd_that_hangs_costs_no_record() {
    let (etcd, play, _first) = begun().await;
    let leader = etcd.leader().await;
    etcd.nodes[leader].stop();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(500));
    let awake = Instant::now();
    etcd.nodes[leader].go_on();
    play.world.wait_for_all_since(awake);
    play.world.balance(since).assert_whole("leader stood still", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_etcd_nothing_is_sent_and_all_goes_on_when_it_is_back() {
    let (etcd, play, first) = begun().await;
    let since = Instant::now();
    etcd.nodes.iter().for_each(|node| node.stop());
    // By the clock: what is to be shown is what isn't sent.
    std::thread::sleep(AWAY);
    let silent_from = since + Duration::from_secs(6);
    let late = play.world.taken().iter().filter(|taken| taken.at > silent_from).count();
    assert_eq!(late, 0, "nothing is sent without a lease");
    let back = Instant::now();
    etcd.nodes.iter().for_each(|node| node.go_on());
    play.world.wait_for_all_since(back);
    println!("etcd away {AWAY:?}: all go on {:?} after its return", back.elapsed());
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(back).assert_whole("etcd away", 0);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_etcd_and_a_replica_may_die_at_once() {
    let (mut etcd, mut play, first) = begun().await;
    let second = play.start();
    second.wait_for_log("joined", 1);
    let leader = etcd.leader().await;
    etcd.nodes[leader].kill();
    first.kill();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(1));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("leader and replica killed", 1);
}

/// It ends in its grace window, and what it could not give back is taken over like that of a dead one.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_stopped_while_etcd_is_away_ends_in_time() {
    let (etcd, mut play, first) = begun().await;
    etcd.nodes.iter().for_each(|node| node.stop());
    first.wait_for_log("takes no writes", 1);
    first.stop().assert_code(0).assert_within(Duration::from_secs(30));
    etcd.nodes.iter().for_each(|node| node.go_on());
    let since = Instant::now();
    let _second = play.start();
    play.world.wait_for_all_since(since);
    play.world.balance(since).assert_whole("stopped while etcd was away", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_nothing_under_way_waits_for_no_etcd_when_it_stops() {
    let etcd = Etcd::one().await;
    let (api, listener) = (MockServer::start(|_, _| page(&[], None)), MockListener::start().may_be_idle());
    let cluster = format!("cluster: {{etcd: ['{}'], member: one}}\n", etcd.endpoints()[0]);
    let config = general(api.url(), listener.url(), &cluster).replace("time_interval: 1s", "time_interval: 60m");
    let replica = Fetcher::new(&config).start();
    replica.wait_for_log("iteration done", 1);
    etcd.nodes[0].stop();
    let outcome = replica.stop().assert_code(0);
    assert!(outcome.stderr.contains("the slots aren't given back"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("the shutdown timeout is over"), "{}", outcome.stderr);
    etcd.nodes[0].go_on();
}

/// A quarter of a second each way: a connection with its first request takes longer than a try may.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_to_etcd_suspends_nobody() {
    let etcd = Etcd::three().await;
    let ways = Ways::to(&etcd).await;
    ways.set(Passage::slow(Duration::from_millis(250)));
    let mut play = Play::over(&ways.endpoints());
    let first = play.start();
    first.wait_for_log("iteration done", APIS);
    let since = Instant::now();
    let second = play.start();
    second.wait_for_log("joined", 1);
    play.world.wait_for_all_since(Instant::now());
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("slow network", 0);
    for fetcher in [first, second] {
        fetcher.stop().assert_code(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_an_etcd_that_is_away_and_may_be_stopped_meanwhile() {
    let etcd = Etcd::three().await;
    etcd.nodes.iter().for_each(|node| node.stop());
    let mut play = Play::new(&etcd);
    let (first, second) = (play.start(), play.start());
    for fetcher in [&first, &second] {
        fetcher.wait_for_log("the start waits for it", 1);
    }
    second.stop().assert_code(0).assert_within(Duration::from_secs(30));
    etcd.nodes.iter().for_each(|node| node.go_on());
    first.wait_for_log("iteration done", APIS);
    let since = Instant::now();
    play.world.wait_for_all_since(since);
    play.world.balance(since).assert_whole("started while etcd was away", 0);
}
