//! From a single fetcher to a cluster and back, while events go on.

use std::time::Instant;

use crate::fetchers::{Fetcher, Outcome};
use crate::harness::Etcd;
use crate::world::{APIS, Play};

fn state(of: Outcome, order: &str) -> Outcome {
    Fetcher::again(of).arguments(&[order]).run("state").assert_code(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_fetcher_becomes_a_cluster_and_a_single_one_again_and_doubles_nothing() {
    let etcd = Etcd::three().await;
    let mut play = Play::new(&etcd);
    let (alone, member) = (play.config_alone(), play.config_over(&etcd.endpoints()));
    let since = Instant::now();
    let single = Fetcher::new(&alone).start();
    single.wait_for_log("iteration done", APIS);
    let single = single.stop().assert_code(0);

    single.write("config.yaml", &member);
    let refused = Fetcher::again(single).start().wait().assert_code(2);
    assert!(refused.stderr.contains("state import"), "{}", refused.stderr);
    let imported = state(refused, "import");
    assert!(imported.stdout.contains("8 imported, 0 known"), "{}", imported.stdout);
    let imported = state(imported, "import");
    assert!(imported.stdout.contains("0 imported, 8 known"), "{}", imported.stdout);
    let first = Fetcher::again(imported).start();
    play.world.wait_for_all_since(Instant::now());
    let second = play.start();
    // Some of its APIs move there.
    second.wait_for_log("iteration done", 1);
    play.world.wait_for_all_since(Instant::now());
    second.stop().assert_code(0);
    play.world.wait_for_all_since(Instant::now());
    let first = first.stop().assert_code(0);

    let exported = state(first, "export");
    assert!(exported.stdout.contains("8 exported"), "{}", exported.stdout);
    exported.write("config.yaml", &alone);
    let single = Fetcher::again(exported).start();
    play.world.wait_for_all_since(Instant::now());
    let single = single.stop().assert_code(0);

    // And once more: what the cluster knew is old by now.
    single.write("config.yaml", &member);
    let refused = Fetcher::again(single).arguments(&["import"]).run("state").assert_code(1);
    assert!(refused.stdout.contains("0 imported, 8 known"), "{}", refused.stdout);
    assert!(refused.stderr.contains("another `cluster.name`"), "{}", refused.stderr);
    refused.write("config.yaml", &member.replace("cluster: {", "cluster: {name: again, "));
    let imported = state(refused, "import");
    assert!(imported.stdout.contains("8 imported, 0 known"), "{}", imported.stdout);
    let again = Fetcher::again(imported).start();
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("to a cluster and back, and there again", 0);
    again.stop().assert_code(0);
}
