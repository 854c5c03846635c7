//! `state` while replicas run, and what others write into their part of etcd.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Instant;

use crate::fetchers::{Fetcher, wait_until};
use crate::world::begun;

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_moved_and_moved_back_while_replicas_run() {
    let (etcd, mut play, _first) = begun().await;
    let second = play.start();
    second.wait_for_log("iteration done", 1);
    let config = play.config_over(&etcd.endpoints());
    // From a machine that runs nothing.
    let state = |arguments: &[&str]| Fetcher::new(&config).arguments(arguments).run("state").assert_code(0).stdout;
    let since = Instant::now();
    let came =
        |event: u64| play.world.taken().iter().filter(|taken| taken.api == 0 && taken.events.contains(&event)).count();
    assert_eq!(came(0), 1);

    state(&["rewind", "api-0", "2020-01-01"]);
    wait_until("all events of it come again", || came(0) == 2);
    play.world.wait_for_all_since(Instant::now());
    let shown = state(&["show", "api-0"]);
    assert!(shown.contains("api-0") && shown.contains("rewind"), "{shown}");
    state(&["undo"]);
    play.world.wait_for_all_since(Instant::now());
    let shown = state(&["show", "api-0"]);
    assert!(!shown.contains("rewind"), "{shown}");
    play.world.wait_for_all_since(Instant::now());
    assert_eq!(came(0), 2, "nothing more of the beginning came");
    let balance = play.world.balance(since);
    balance.assert_bounded("rewound and undone", |api| if api == 0 { usize::MAX } else { 0 });
}

/// Through the socket, by a config of the member's directory that says nothing of the cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_refuses_an_order_about_its_state_and_its_api_goes_on() {
    let (_etcd, play, first) = begun().await;
    let config = first.directory().join("alone.yaml");
    std::fs::write(&config, play.config_alone()).unwrap();
    let order = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logzio-api-fetcher"));
        let config = config.to_str().unwrap();
        command.args(["--config", config, "state", "rewind", "api-0", "2020-01-01"]).output().unwrap()
    };
    let since = Instant::now();
    for _ in 0..2 {
        let outcome = order();
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned() + &String::from_utf8_lossy(&outcome.stdout);
        assert_eq!(outcome.status.code(), Some(2), "{said}");
        assert!(said.contains("the state is the cluster's"), "{said}");
    }
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("orders refused", 0);
    assert!(!first.log().contains("the API is no longer in the config"), "{}", first.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_among_a_clusters_keys_is_told_and_costs_nothing_once_it_is_gone() {
    let (etcd, mut play, first) = begun().await;
    let since = Instant::now();
    let foreign = OsStr::from_bytes(b"/logzio-api-fetcher/default/m/\xff");
    etcd.ctl(&[OsStr::new("put"), foreign, OsStr::new("x")]);
    first.wait_for_log("the cluster can't be read", 1);
    assert!(first.log().contains("a key is not text; others write there too"), "{}", first.log());
    etcd.ctl(&[OsStr::new("del"), foreign]);
    first.wait_for_log("the cluster is read again", 1);
    let second = play.start();
    second.wait_for_log("iteration done", 1);
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("a foreign key", 0);
}
