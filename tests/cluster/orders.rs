//! `state` while replicas run.

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
